"""One Kafka broker that is its own controller (KRaft), as a developer and the tests need it."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from pathlib import Path
from typing import Final

from jobs.needs import find_java
from jobs.problem import Problem
from jobs.services.jars import fetch
from jobs.services.service import Report, Service
from streams.settings import Settings
from topics.catalog import DELETE_RETENTION_MS

#: What holds wherever the broker runs; docker-compose.yml says the same, and a test compares.
BROKER: Final[dict[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A cluster is born with fixed partition counts: a topic made by accident would have the wrong one.
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(2 << 20),
    "replica.fetch.max.bytes": str(2 << 20),
    # One broker: its own topics have one copy, and few partitions, so that it is up soon.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # A dead worker's open transaction holds up every reader of its links: end it soon after its time-out.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.delete.retention.ms": str(DELETE_RETENTION_MS),
    "log.cleaner.dedupe.buffer.size": str(32 << 20),  # of the heap; the default is 128 MiB
    # A killed broker may come back only when its controller has given it up; the default is 9 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

_LOG4J: Final = """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
log4j.logger.org.apache.kafka=WARN
log4j.logger.kafka=WARN
log4j.logger.kafka.server=INFO
log4j.logger.kafka.server.KafkaConfig=WARN
log4j.logger.state.change.logger=WARN
"""

_API_VERSIONS: Final = bytes.fromhex("0000000a 0012 0000 00000001 ffff")  # length, request, version, id, no client


class Kafka(Service):
    """The broker."""

    name = "kafka"
    start_timeout_s = 120  # after a crash it reads what it wrote last, partition by partition

    @property
    def port_settings(self) -> tuple[str, ...]:
        """The clients' and the controller's."""
        return ("kafka_port", "kafka_controller_port")

    def prepare(self, report: Report) -> list[str]:
        """Fetches jars, writes its properties, and formats its folder before the first start."""
        java = find_java()
        jars = fetch(self.name, self.settings.cache, report)
        properties = self.home / "server.properties"
        lines = BROKER | local_properties(self.settings, self.home)
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        log4j = self.home / "log4j.properties"
        log4j.write_text(_LOG4J)
        heap_mb = self.settings.kafka_heap_mb
        base = [java, f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
        base += [f"-XX:ErrorFile={self.home}/crash-%p.log", f"-Dlog4j.configuration=file:{log4j}", "-cp", f"{jars}/*"]
        if not (self.home / "data" / "meta.properties").exists():
            report(self.name, "formatting its folder")
            self._format(base, properties)
        return [*base, "kafka.Kafka", str(properties)]

    def healthy(self) -> bool:
        """It answers which requests it knows."""
        answer = self.exchange(_API_VERSIONS, 10)
        return answer[4:8] == _API_VERSIONS[8:12] and answer[8:10] == b"\0\0"

    def _format(self, base: list[str], properties: Path) -> None:
        """Gives the folder the id of a new cluster, as the broker asks for."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        fast = ["-XX:TieredStopAtLevel=1"]
        given = [f"--cluster-id={cluster}", f"--config={properties}"]  # an id may begin like an option
        command = [base[0], *fast, *base[1:], "kafka.tools.StorageTool", "format", *given]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        if done.returncode:
            raise Problem(f"Kafka's folder {self.home / 'data'} could not be formatted:\n{done.stdout}{done.stderr}")


def local_properties(settings: Settings, home: Path) -> dict[str, str]:
    """What differs from place to place: addresses and folders."""
    host, port, controller_port = settings.host, settings.kafka_port, settings.kafka_controller_port
    return {
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.quorum.voters": f"1@{host}:{controller_port}",
        "log.dirs": str(home / "data"),
    }
