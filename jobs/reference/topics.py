"""The page of topics: the catalog, and who may write and read what."""

from __future__ import annotations

from typing import Final

from jobs.contract import PUBLIC
from jobs.generated import table
from topics.catalog import CATALOG, Topic

_DAY_MS: Final = 86_400_000

_HEAD: Final = """\
# Topics

`linkcast topics create` makes what is missing of these; it never changes or deletes one. Every topic carries the
broker's append time (`LogAppendTime`). Those with a schema are public: gateways and other services may rely on them,
as [the contract](../contract/README.md) and the [AsyncAPI document](../contract/asyncapi.json) say. The others are
the pipeline's own and change without notice.

`partitions` and `links` are [settings](settings.md) of the cluster. A *compacted* topic keeps the newest record of
each key for good.
"""

_ACCESS: Final = """\
## Who may write and read what

Give each role these rights on the broker, and nobody else any: see [security](../operations/security.md). "callers"
are back ends that write without a session. Workers of a role also need their consumer group and their transactional
ids.
"""


def page() -> str:
    """The page."""
    topics = table(
        ("topic", "partitions", "key", "kept", "schema"),
        *((f"`{one.name}`", _count(one), one.key, _kept(one), _schema(one)) for one in CATALOG),
    )
    access = table(
        ("role", "writes", "reads"), *((role, _named(role, "writers"), _named(role, "readers")) for role in _ROLES)
    )
    return "\n".join([_HEAD, topics + "\n", _ACCESS, access + "\n"])


_ROLES: Final = tuple(dict.fromkeys(role for topic in CATALOG for role in (*topic.writers, *topic.readers)))


def _count(topic: Topic) -> str:
    return {"one": "1", "partitions": "`partitions`", "links": "`links`"}[topic.count.value]


def _kept(topic: Topic) -> str:
    if topic.kept_ms is None:
        return "compacted"
    days = topic.kept_ms // _DAY_MS
    return f"{days} day{'s' if days > 1 else ''}"


def _schema(topic: Topic) -> str:
    return f"[{topic.name}.json](../contract/schemas/{topic.name}.json)" if topic in PUBLIC else ""


def _named(role: str, side: str) -> str:
    return ", ".join(f"`{topic.name}`" for topic in CATALOG if role in getattr(topic, side)) or "nothing"
