"""The page of settings: name, variable, default, what may be given, meaning."""

from __future__ import annotations

from typing import Any, Final

from pydantic.fields import FieldInfo

from jobs.generated import table
from streams.settings import PREFIX, Settings

_HEAD: Final = """\
# Settings

A value comes from the first of: the environment (`LINKCAST_KAFKA_PORT=29092`), the settings file (`linkcast.toml` in
the current folder, or the one that `--settings` names), the default. `linkcast config` shows what holds, and where
each value came from.

```toml
# linkcast.toml
kafka_bootstrap = "kafka-1:9092,kafka-2:9092,kafka-3:9092"
partitions = 16
links = 64
replication = 3
```

Two of them, `partitions` and `links`, are fixed at the birth of a cluster. Commands refuse a cluster that was born
with other numbers. `replication` and `cassandra_replication` count when topics and the keyspace are made.

A value in angle brackets follows from another setting. Lists are given by commas.
"""


def page() -> str:
    """The page."""
    rows = [
        (f"`{name}`<br>`{PREFIX}{name.upper()}`", _default(field), _allowed(name), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return f"{_HEAD}\n{table(('setting, variable', 'default', 'may be', 'meaning'), *rows)}\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is None:
        return f"`{_plain(field.default)}`" if field.default is not None else "none"
    return f"`{_plain(field.default_factory(_Named()))}`"  # type: ignore[call-arg]  # ours take the fields before


class _Named(dict[str, str]):
    """Stands for the fields before: each is its own name in angle brackets."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _allowed(name: str) -> str:
    """What its JSON Schema says of a setting, in words."""
    match _SCHEMA[name]:
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "integer", "minimum": low, "maximum": high}:
            return f"{low} to {high}"
        case {"type": "integer", "minimum": low}:
            return f"from {low}"
        case {"pattern": pattern}:
            return f"`{pattern}`"
        case {"format": "path"}:
            return "a folder"
        case _:
            return ""


_SCHEMA: Final[dict[str, dict[str, Any]]] = Settings.model_json_schema()["properties"]
