"""One Cassandra node from its published jar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jobs.needs import find_java
from jobs.problem import Problem
from jobs.services.jars import fetch
from jobs.services.service import Report, Service

#: What holds wherever Cassandra runs; docker-compose.yml says the same, and a test compares.
CASSANDRA: Final[dict[str, Any]] = {
    "cluster_name": "linkcast",
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "SimpleSnitch",
    "num_tokens": 1,
    # A write is answered when it is on disk: the sinks tell Kafka then that it is stored. Writes of 10 ms share a sync.
    "commitlog_sync": "group",
    "commitlog_sync_group_window": "10ms",
    "commitlog_segment_size": "16MiB",
    "hinted_handoff_enabled": False,  # nobody to hand to
    "auto_snapshot": False,
    # A small node beside the workers on few cores.
    "concurrent_reads": 8,
    "concurrent_writes": 64,  # each waits for its group's sync: so many rows a sync, not so many at work
    "concurrent_counter_writes": 2,
    "concurrent_compactors": 1,
    "memtable_heap_space": "96MiB",
    "memtable_offheap_space": "96MiB",
    "file_cache_size": "32MiB",
    "key_cache_size": "16MiB",
}

_LOGBACK: Final = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
  <logger name="org.apache.cassandra.service" level="INFO"/>
</configuration>
"""

_OPENS: Final[dict[str, tuple[str, ...]]] = {
    "java.base": (
        *("java.io", "java.lang", "java.lang.module", "java.nio", "java.util", "java.util.concurrent"),
        *("java.util.concurrent.atomic", "jdk.internal.loader", "jdk.internal.math", "jdk.internal.module"),
        *("jdk.internal.ref", "jdk.internal.reflect", "jdk.internal.util.jar", "sun.nio.ch"),
    ),
    "jdk.management": ("com.sun.management.internal",),
}
_EXPORTS: Final[dict[str, tuple[str, ...]]] = {
    "java.base": ("jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch"),
    "java.management.rmi": ("com.sun.jmx.remote.internal.rmi",),
    "java.rmi": ("sun.rmi.registry", "sun.rmi.server"),
    "java.sql": ("java.sql",),
}

_OPTIONS: Final = bytes.fromhex("04 00 0000 05 00000000")  # protocol 4, no flags, stream 0, OPTIONS, no body
_SUPPORTED: Final = 0x06


class Cassandra(Service):
    """The node."""

    name = "cassandra"
    start_timeout_s = 120

    @property
    def port_settings(self) -> tuple[str, ...]:
        """The clients', the nodes' and the operators'."""
        return ("cassandra_port", "cassandra_storage_port", "cassandra_jmx_port")

    def prepare(self, report: Report) -> list[str]:
        """Fetches jars and writes its configuration."""
        java = find_java()
        jars = fetch(self.name, self.settings.cache, report)
        agent = next(jars.glob("jamm-*.jar"), None)
        if agent is None:
            raise Problem(f"{jars} is not complete: jamm is missing. Remove that folder and start again.")
        configuration = self.home / "cassandra.yaml"
        configuration.write_text(json.dumps(CASSANDRA | self._local(), indent=2))  # JSON is YAML
        (self.home / "logback.xml").write_text(_LOGBACK)
        heap_mb = self.settings.cassandra_heap_mb
        return [
            *(java, f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"),
            *(f"-XX:ErrorFile={self.home}/crash-%p.log", f"-javaagent:{agent}", "-Djdk.attach.allowAttachSelf=true"),
            *(f"--add-opens={module}/{name}=ALL-UNNAMED" for module, names in _OPENS.items() for name in names),
            *(f"--add-exports={module}/{name}=ALL-UNNAMED" for module, names in _EXPORTS.items() for name in names),
            f"-Dcassandra.config=file://{configuration}",
            f"-Dcassandra.storagedir={self.home}",
            f"-Dcassandra.jmx.local.port={self.settings.cassandra_jmx_port}",
            "-Dcassandra-foreground=yes",
            "-Dcassandra.ring_delay_ms=100",  # one node has no ring to wait for
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            *("-cp", f"{self.home}:{jars}/*", "org.apache.cassandra.service.CassandraDaemon"),
        ]

    def healthy(self) -> bool:
        """It answers which options it supports."""
        answer = self.exchange(_OPTIONS, 5)
        return len(answer) == len(_OPTIONS[:5]) and answer[4] == _SUPPORTED

    def _local(self) -> dict[str, Any]:
        """What differs from place to place: addresses and folders."""
        settings, home = self.settings, self.home
        seeds = {"seeds": f"{settings.host}:{settings.cassandra_storage_port}"}
        return {
            "listen_address": settings.host,
            "rpc_address": settings.host,
            "storage_port": settings.cassandra_storage_port,
            "native_transport_port": settings.cassandra_port,
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [seeds]}],
            "data_file_directories": [_folder(home, "data")],
            "commitlog_directory": _folder(home, "commitlog"),
            "saved_caches_directory": _folder(home, "saved_caches"),
            "hints_directory": _folder(home, "hints"),
            "cdc_raw_directory": _folder(home, "cdc_raw"),
        }


def _folder(home: Path, name: str) -> str:
    return str(home / name)
