"""Redis as the cache it is here: it keeps nothing over a restart, and says so."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from jobs.needs import REDIS_ADVICE, find_program, may_install_redis
from jobs.problem import Problem
from jobs.services.service import Report, Service

#: What holds wherever Redis runs; docker-compose.yml says the same, and a test compares.
REDIS: Final[dict[str, str]] = {
    # Nothing on disk. After a crash a file would bring back a cache without its last second, which looks valid and may
    # miss a recall; an empty one is known to be empty by its missing epoch, and readers go to Cassandra.
    "save": '""',
    "appendonly": "no",
    # When memory is full only what carries a time to live goes: streams of recent messages, which readers check by
    # `prev` and find in Cassandra. The epoch and other keys without one stay. Refusing writes would stall the sinks.
    "maxmemory-policy": "volatile-lru",
}

_INSTALL: Final = (
    ("apt-get", "update"),
    ("apt-get", "install", "-o", "DPkg::Lock::Timeout=600", "--yes", "--no-install-recommends", "redis-server"),
)
_POLICY: Final = Path("/usr/sbin/policy-rc.d")


class Redis(Service):
    """The cache."""

    name = "redis"
    start_timeout_s = 15

    @property
    def port_settings(self) -> tuple[str, ...]:
        """The clients'."""
        return ("redis_port",)

    def prepare(self, report: Report) -> list[str]:
        """Finds the server, installs it where that is possible, and writes its configuration."""
        if shutil.which("redis-server") is None and may_install_redis():
            report(self.name, "installing redis-server")
            _install(self.home / "apt.log")
        server = find_program("redis-server", REDIS_ADVICE)
        lines = REDIS | {
            "bind": self.settings.host,
            "port": str(self.settings.redis_port),
            "dir": str(self.home),
            "maxmemory": f"{self.settings.redis_memory_mb}mb",
            "daemonize": "no",
        }
        configuration = self.home / "redis.conf"
        configuration.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        return [server, str(configuration)]

    def healthy(self) -> bool:
        """It answers a ping."""
        return self.exchange(b"PING\r\n", 5) == b"+PONG"


def _install(log: Path) -> None:
    """Installs Debian's package without letting it start the system's own Redis."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with Path("/run/lock/linkcast-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which("redis-server"):
            return
        ours = not _POLICY.exists()
        if ours:
            _POLICY.write_text("#!/bin/sh\nexit 101\n")  # what Debian asks before it starts a service: no
            _POLICY.chmod(0o755)
        try:
            with log.open("w") as output:
                for command in _INSTALL:
                    done = subprocess.run(command, env=environment, check=False, stdout=output, stderr=output)
                    if done.returncode:
                        raise Problem(f"`{' '.join(command)}` failed; its output: {log}\n{REDIS_ADVICE}")
            if shutil.which("systemctl"):  # nor at the next boot
                subprocess.run(["systemctl", "--quiet", "disable", "redis-server"], check=False, capture_output=True)
        finally:
            if ours:
                _POLICY.unlink()
