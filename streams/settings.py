"""Every setting, once: its type, its default, what it means, and where its value came from.

A value comes from the first of: what the caller gives, the environment (`LINKCAST_KAFKA_PORT=…`), the settings file
(`linkcast.toml` in the current folder unless another is named), the default. Settings never change after loading.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from topics import limits

PREFIX: Final = "LINKCAST_"
FILE: Final = Path("linkcast.toml")
KEYS_FILE: Final = "token.keys"  #: in the data folder: a key a line, where the settings name none
_SECRET_BYTES: Final = 32
_FIRST_KEY: Final = "first"
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

Origin = Literal["given", "environment", "file", "derived", "default"]


class SettingsError(Exception):
    """A settings file or a value that cannot be used; its text says which and why."""


def _split(value: object) -> object:
    """`a, b` as a tuple, so that lists read the same in the environment and in a file."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


def _checked_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Refuses keys that protect nothing. What it says holds no secret."""
    names = set()
    for number, key in enumerate(keys, 1):
        name, colon, secret = key.get_secret_value().partition(":")
        if not colon or not is_key_name(name):
            message = f"key {number} is not `name:secret`, with a name of letters, digits and _ . @ -"
            raise ValueError(message)
        if len(secret.encode()) < limits.TOKEN_BYTES:
            least = limits.TOKEN_BYTES
            message = f"the secret of key `{name}` has fewer than {least} bytes; make one: linkcast token-key"
            raise ValueError(message)
        if name in names:
            message = f"two keys are named `{name}`"
            raise ValueError(message)
        names.add(name)
    return keys


def _by_name(keys: tuple[SecretStr, ...]) -> dict[str, str]:
    return dict(key.get_secret_value().split(":", 1) for key in keys)


def is_key_name(name: str) -> bool:
    """Whether a key may have this name."""
    return _KEY_NAME.fullmatch(name) is not None


def new_key(name: str) -> str:
    """A key for `token_keys`, with a secret that nobody knows."""
    return f"{name}:{secrets.token_urlsafe(_SECRET_BYTES)}"


Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1)]
Megabytes = Annotated[int, Field(ge=16)]
Milliseconds = Annotated[int, Field(ge=1)]
Folder = Annotated[Path, AfterValidator(_absolute)]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked_keys)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[tuple[Port, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of one cluster and of whoever works in it. Get them from `load`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)
    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    data: Folder = Field(Path(".linkcast"), description="folder of everything kept: logs, stores, pids, the secret")
    cache: Folder = Field(Path("~/.cache/linkcast"), description="folder of downloaded jars, shared by data folders")
    cluster: str = Field("linkcast", pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="name of the cluster")
    services_by: Literal["auto", "jars", "docker"] = Field(
        "auto", description="what starts Kafka, Redis and Cassandra; auto: jars where Java and Maven are, else Docker"
    )
    host: str = Field("127.0.0.1", description="address that services, views and gateways listen on")

    partitions: Count = Field(4, description="partitions of a role's topics; fixed at the birth of a cluster")
    links: Count = Field(32, description="most links at once: partitions of `deliveries`; fixed at birth too")
    replication: Count = Field(1, description="copies of each topic; as many brokers are needed")
    groups_memory_mb: Megabytes = Field(
        256, description="memory for groups, of a worker that serves every partition; idle groups leave it"
    )
    session_timeout_ms: Milliseconds = Field(6_000, description="a worker silent for this long loses its partitions")
    heartbeat_ms: Milliseconds = Field(1_000, description="how often a worker tells its group that it lives")

    kafka_port: Port = Field(19_092, description="port of the broker")
    kafka_controller_port: Port = Field(19_093, description="port of the broker's controller")
    kafka_heap_mb: Megabytes = Field(512, description="heap of the broker")
    kafka_bootstrap: str = Field(
        default_factory=lambda known: f"{known['host']}:{known['kafka_port']}",
        description="brokers to ask first, host:port, by commas",
    )

    redis_port: Port = Field(16_379, description="port of Redis")
    redis_memory_mb: Megabytes = Field(
        256, description="memory Redis may fill before it evicts what has a time to live"
    )
    redis_url: str = Field(
        default_factory=lambda known: f"redis://{known['host']}:{known['redis_port']}/0", description="where Redis is"
    )

    cassandra_port: Port = Field(19_042, description="port of Cassandra for clients")
    cassandra_storage_port: Port = Field(17_000, description="port of Cassandra for its own nodes")
    cassandra_jmx_port: Port = Field(17_199, description="port of Cassandra for its operators, loopback only")
    cassandra_heap_mb: Megabytes = Field(768, description="heap of Cassandra")
    cassandra_contact_points: Names = Field(
        default_factory=lambda known: (known["host"],), description="Cassandra nodes to ask first, by commas"
    )
    cassandra_datacenter: str = Field("datacenter1", description="the Cassandra datacenter to work with")
    cassandra_replication: Count = Field(1, description="copies of each row in a datacenter; for a new keyspace")
    cassandra_consistency: Literal["ONE", "TWO", "QUORUM", "LOCAL_QUORUM", "ALL"] = Field(
        "LOCAL_QUORUM", description="copies that must confirm a write and answer a read"
    )
    keyspace: str = Field("linkcast", pattern=r"^[a-z][a-z0-9_]{0,47}$", description="Cassandra keyspace")

    view_port: Port = Field(18_080, description="first port of the web views; each worker takes the next free one")
    gateway_ports: Ports = Field((18_100, 18_101), description="ports of the example gateways, by commas")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="the least that workers log")
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", description="how workers log: a JSON object a line, or for people; auto: pretty on a terminal"
    )
    token_keys: Keys = Field(
        (),
        description="sign the views' tokens, `name:secret` by commas: the first signs, all are accepted; without any a "
        "key is made and kept in the data folder",
    )

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        """Three heartbeats must fit into a session, or one slow moment costs a worker its partitions."""
        if self.session_timeout_ms < 3 * self.heartbeat_ms:
            message = f"session_timeout_ms must be at least three times heartbeat_ms ({self.heartbeat_ms})"
            raise ValueError(message)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leaves the sources to `load`, which must know what came from where."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def origin(self, name: str) -> Origin:
        """Where the value of the setting `name` came from."""
        if name in self._origins:
            return self._origins[name]
        return "derived" if type(self).model_fields[name].default_factory_takes_validated_data else "default"

    def signing_keys(self) -> dict[str, str]:
        """The secrets that sign tokens, by name, the first to be used: those given, else one kept in the data folder.

        Raises:
            SettingsError: the file in the data folder cannot be used.
        """
        if self.token_keys:
            return _by_name(self.token_keys)
        kept = self.data / KEYS_FILE
        if not kept.exists():
            _write_once(kept, new_key(_FIRST_KEY) + "\n")
        try:
            return _by_name(_checked_keys(tuple(SecretStr(line) for line in kept.read_text().split())))
        except ValueError as error:
            raise SettingsError(f"{kept}: {error}") from None


def load(file: Path | None = None, **given: Any) -> Settings:
    """Reads the settings.

    Args:
        file: the settings file; None means `linkcast.toml` in the current folder if there is one.
        **given: values that win over every other source.

    Raises:
        SettingsError: the named file is missing, or a value cannot be used.
    """
    sources: tuple[tuple[Origin, dict[str, Any]], ...] = (
        ("file", _from_file(file)),
        ("environment", EnvSettingsSource(Settings)()),
        ("given", given),
    )
    values = {name: value for _, source in sources for name, value in source.items()}
    origins = {name: origin for origin, source in sources for name in source}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error, origins)) from None
    settings._origins.update(origins)  # noqa: SLF001 - the one place that fills it
    return settings


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or FILE
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        message = f"the settings file {path} cannot be read: {error.strerror}"
        raise SettingsError(message) from None
    except tomllib.TOMLDecodeError as error:
        message = f"the settings file {path} is not TOML: {error}"
        raise SettingsError(message) from None


def _explain(error: ValidationError, origins: dict[str, Origin]) -> str:
    """One line a wrong value. The value itself is not shown: it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False):
        if problem["type"] == "default_factory_not_called":  # follows from another line
            continue
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        lines.append(f"{name} (from: {origins.get(name, 'default')}): {problem['msg']}")
    return "\n".join(lines)


def _write_once(path: Path, text: str) -> None:
    """Writes `text`, readable by its owner only, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(temporary)
    Path(temporary).unlink()
