"""What must be on a machine before Linkcast can start its services there, and how to get it.

There are two ways, and one is enough: jars with Java, Maven and Redis, or Docker. This module needs Python alone, so
that `make` can ask it before anything is installed: `python3 -m jobs.needs`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from jobs.problem import Problem

#: How services are started: from jars as processes of this machine, or with Docker as containers.
Means = Literal["jars", "docker"]

POM: Final = Path(__file__).parent / "services" / "pom.xml"
JAVA_VERSIONS: Final = (11, 17)  # what both servers run on
COMPOSE_VERSION: Final = (2, 23, 1)  # the first that takes a configuration file from docker-compose.yml itself
MAVEN_ADVICE: Final = "Install Maven (Debian: apt-get install maven; macOS: brew install maven)."
REDIS_ADVICE: Final = "Install Redis 7 (Debian: apt-get install redis-server; macOS: brew install redis)."
DOCKER_ADVICE: Final = (
    "Install Docker Engine with its compose plugin (https://docs.docker.com/engine/install/; Debian's own package "
    "docker.io has no such plugin)."
)
_JAVA_ADVICE: Final = (
    "Install a JDK, version 17 (Debian 12: apt-get install openjdk-17-jdk-headless; macOS: brew install openjdk@17), "
    "or set JAVA_HOME to one."
)
_ENGINE_ADVICE: Final = "Start it (systemctl start docker), or let this user use it (usermod -aG docker <user>)."
_ASK_S: Final = 20.0


def find_program(name: str, advice: str) -> str:
    """The full path of a program, or a Problem that says how to get it."""
    if (path := shutil.which(name)) is None:
        raise Problem(f"{name} is needed and not on the path.\n{advice}")
    return path


def find_java() -> str:
    """The Java to run the servers with: that of JAVA_HOME, else the one on the path; 11 or 17."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else find_program("java", _JAVA_ADVICE)
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        raise Problem(f"{java} does not run.\n{_JAVA_ADVICE}") from None
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) not in JAVA_VERSIONS:
        raise Problem(f"{java} is not Java 11 or 17, on which both Kafka and Cassandra run.\n{_JAVA_ADVICE}")
    return java


def find_docker() -> str:
    """The Docker to run containers with: its compose plugin fits and its engine answers."""
    docker = find_program("docker", DOCKER_ADVICE)
    told = _ask(docker, "compose", "version", "--short")
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", told.stdout)
    if told.returncode or numbers is None:
        raise Problem(f"{docker} has no compose plugin.\n{DOCKER_ADVICE}")
    if tuple(map(int, numbers.groups())) < COMPOSE_VERSION:
        wanted = ".".join(map(str, COMPOSE_VERSION))
        raise Problem(f"docker compose is {numbers[0]}, and {wanted} or newer is needed.\n{DOCKER_ADVICE}")
    told = _ask(docker, "info", "--format", "{{.ServerVersion}}")
    if told.returncode or not told.stdout.strip():
        why = told.stderr.strip().rpartition("\n")[2] or "it tells no version"
        raise Problem(f"The Docker engine does not answer: {why}\n{_ENGINE_ADVICE}")
    return docker


def may_install_redis() -> bool:
    """Whether Redis can be installed on the way, as a package of Debian."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def jars_home(cache: Path) -> Path:
    """The folder of the jars that `pom.xml` pins: another one after each change, so old checkouts find their own."""
    return cache / "jars" / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]


def missing(means: Means, cache: Path) -> list[str]:
    """What is missing for one way, each with how to get it; empty when services can be started so."""
    return _missing_for_docker() if means == "docker" else _missing_for_jars(cache)


def choose(wanted: Literal["auto"] | Means, cache: Path) -> Means:
    """The way to start services: the wanted one; with `auto` jars where they can run, else Docker.

    Raises:
        Problem: nothing fits; it names what is missing for each way, and how to get that.
    """
    ways: tuple[Means, ...] = ("jars", "docker") if wanted == "auto" else (wanted,)
    lacks: dict[Means, list[str]] = {}
    for means in ways:
        lacks[means] = missing(means, cache)
        if not lacks[means]:
            return means
    heading = "Kafka, Redis and Cassandra cannot be started on this machine."
    if len(ways) > 1:
        heading += " There are two ways; make one of them work:"
    titles: dict[Means, str] = {"jars": "With a JDK, Maven and Redis:", "docker": "With Docker:"}
    lines = [heading]
    for means in ways:
        lines += ["", titles[means], *(f"  - {lack}" for lack in lacks[means])]
    raise Problem("\n".join(lines))


def _missing_for_jars(cache: Path) -> list[str]:
    lacks = _lacks(find_java)
    if not all((jars_home(cache) / name).is_dir() for name in ("kafka", "cassandra")):
        lacks += _lacks(lambda: find_program("mvn", MAVEN_ADVICE))
    if not may_install_redis():
        lacks += _lacks(lambda: find_program("redis-server", REDIS_ADVICE))
    return lacks


def _missing_for_docker() -> list[str]:
    return _lacks(find_docker)


def _lacks(find: Callable[[], str]) -> list[str]:
    try:
        find()
    except Problem as problem:
        return [str(problem).replace("\n", " ")]
    return []


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """What a short question is answered with; one that is not answered in time has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ASK_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {_ASK_S:.0f} s")


def main() -> None:
    """Ends with 1 and says what is missing when services can be started in neither way."""
    cache = Path(os.environ.get("LINKCAST_CACHE", "~/.cache/linkcast")).expanduser()
    try:
        choose("auto", cache)
    except Problem as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
