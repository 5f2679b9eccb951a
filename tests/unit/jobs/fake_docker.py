"""A `docker` without an engine: it writes down what it is asked, and a container is a process that answers on its port.

It knows the commands that `jobs.services.containers` uses, and nothing about images. What it does follows from files in
its folder, `FAKE_DOCKER`: `version` (of the compose plugin), `engine` (there when it answers), `broken` (the command
that fails), `<service>.pid`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

HOME = Path(os.environ["FAKE_DOCKER"])
ANSWERS = {"kafka": "0000000000000001 0000", "redis": "2b504f4e47", "cassandra": "8400000006"}
SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(bytes.fromhex(sys.argv[2]))
"""


def say(line: str) -> None:
    """Prints a line."""
    sys.stdout.write(f"{line}\n")


def answer(line: str | None, *, otherwise: str) -> None:
    """Prints a line, or fails in other words when there is none."""
    if line is None:
        sys.exit(otherwise)
    say(line)


def pid_of(service: str) -> int | None:
    """The process of a service that runs."""
    with contextlib.suppress(FileNotFoundError):
        return int((HOME / f"{service}.pid").read_text())
    return None


def up(names: list[str]) -> None:
    """Starts what does not run."""
    for name in names:
        port = os.environ[f"LINKCAST_{name.upper()}_PORT"]
        if pid_of(name) is None:
            command = [sys.executable, "-S", "-c", SERVER, port, ANSWERS[name]]
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            (HOME / f"{name}.pid").write_text(str(server.pid))
        say(f" Container {project()}-{name}-1  Started")


def end(names: list[str]) -> None:
    """Ends what runs."""
    for name in names:
        if pid := pid_of(name):
            os.kill(pid, signal.SIGKILL)
            (HOME / f"{name}.pid").unlink()
            while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.01)


def project() -> str:
    """The project that was asked for."""
    return sys.argv[sys.argv.index("--project-name") + 1]


def inspect(names: list[str]) -> None:
    """How each container is: its id here is its service's name."""
    for name in names:
        pid = pid_of(name)
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
        say(json.dumps({"Running": pid is not None, "Pid": pid or 0, "StartedAt": started}))


def compose(command: str, names: list[str]) -> None:
    """The compose plugin."""
    match command:
        case "version":
            version = HOME / "version"
            answer(version.read_text() if version.exists() else None, otherwise="unknown command: docker compose")
        case "up":
            up(names)
        case "stop" | "kill":
            end(names)
        case "down":
            end(list(ANSWERS))
        case "ps":
            for name in ANSWERS:
                say(json.dumps({"ID": name, "Service": name}))
        case "logs":
            say("kafka-1  | the last words")


def main() -> None:
    """Takes one command."""
    words = sys.argv[1:]
    with (HOME / "asked").open("a") as asked:
        asked.write(json.dumps([words, {k: v for k, v in os.environ.items() if k.startswith("LINKCAST_")}]) + "\n")
    command = next(
        (word for word in words if word in {"version", "pull", "up", "stop", "kill", "down", "ps", "logs"}), ""
    )
    broken = HOME / "broken"
    if broken.exists() and broken.read_text() == command:
        sys.exit(f"{command} failed")
    names = [word for word in words if word in ANSWERS]
    if words[0] == "info":
        answer("28.0.0" if (HOME / "engine").exists() else None, otherwise="Cannot connect to the Docker daemon.")
    elif words[0] == "inspect":
        inspect(names)
    else:
        compose(command, names)


if __name__ == "__main__":
    main()
