"""The servers' published jars, fetched by Maven as `pom.xml` pins them, once for all data folders."""

from __future__ import annotations

import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from jobs.needs import MAVEN_ADVICE, POM, find_program, jars_home
from jobs.problem import Problem
from jobs.services.service import Name, Report

_LOG_LINES: Final = 15


def version(service: Name) -> str:
    """The version of a service that `pom.xml` pins."""
    pinned = ET.parse(POM).findtext(f".//{{*}}{service}.version")  # noqa: S314 - our own file
    if pinned is None:
        raise KeyError(service)
    return pinned


def fetch(service: Name, cache: Path, report: Report) -> Path:
    """The folder of a service's jars; filled first if need be.

    A folder is complete or not there: it is filled under another name and then moved.
    """
    folder = jars_home(cache) / service
    if folder.is_dir():
        return folder
    maven = find_program("mvn", MAVEN_ADVICE)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{service}-") as temporary:
        jars = Path(temporary, "jars")
        _copy(maven, service, jars, report)
        try:
            jars.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
    return folder


def _copy(maven: str, service: Name, jars: Path, report: Report) -> None:
    """Runs Maven, telling what it downloads; its whole output is kept when it fails."""
    command = [
        maven,
        "--batch-mode",
        "--file",
        str(POM),
        "--activate-profiles",
        service,
        "dependency:copy-dependencies",
    ]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        for line in run.stdout or ():
            lines.append(line)
            if "Downloaded from" in line:
                name = line.partition(" (")[0].rpartition("/")[2]
                report(service, f"downloading: {name}")
    if run.returncode:
        log = jars.parent.parent / f"{service}-maven.log"
        log.write_text("".join(lines))
        tail = "".join(lines[-_LOG_LINES:]).rstrip()
        raise Problem(f"Maven could not fetch the jars of {service} (all of its output: {log}):\n{tail}")
