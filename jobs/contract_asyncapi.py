"""The contract as an AsyncAPI 3 document: channels, messages, and what each outside role sends and receives.

Payloads are references into the JSON Schemas beside it, so nothing is said twice. It knows no address: where the broker
is, is the cluster's own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final, get_args

from topics import catalog, limits
from topics.catalog import Topic
from topics.codec import TYPES
from topics.links import Clock

VERSION: Final = "3.0.0"

#: What is neither the pipeline itself nor a part of it, by the catalog's names for it.
OUTSIDE: Final[dict[str, tuple[str, str]]] = {
    "gateways": ("gateway", "Holds the long connections of clients: a link."),
    "callers": ("backEnd", "Changes relations and sends messages, without a session."),
    "other services": ("service", "Follows what happens: search, analytics, audit."),
}
#: Records of a public topic that the pipeline alone writes.
_OWN: Final = frozenset({Clock})
_JSON_SCHEMA: Final = "application/schema+json;version=draft-2020-12"
_BINDING: Final = "0.5.0"
_ID: Final = rf"[A-Za-z0-9_.@-]{{1,{limits.ID_CHARS}}}"
#: What a record's key looks like, by the catalog's words for it; None: it has none, or one without meaning.
_KEYS: Final[dict[str, str | None]] = {
    "link": f"^{_ID}$",
    "app:user": f"^{_ID}:{_ID}$",
    "app:group": f"^{_ID}:{_ID}$",
}
_ABOUT: Final = """\
Linkcast tells very large groups what happened, once for each link. This document lists what travels between it and
gateways, back ends and other services on Kafka. The contract's README beside it says what it means and in which order.

Records are JSON in UTF-8, told apart by `t`. A key's partition is `(murmur2(key) & 0x7fffffff) mod partitions`. Produce
with acks=all, idempotent. Read with isolation.level=read_committed, partitions assigned, without a consumer group.
Partition counts, and the broker's address, are the cluster's own.
"""


def document(topics: tuple[Topic, ...]) -> str:
    """The document over these topics."""
    operations = {name: operation for topic in topics for name, operation in _operations(topic)}
    body = {
        "asyncapi": VERSION,
        "info": {
            "title": "Linkcast",
            "version": version("linkcast"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name, "description": about} for name, about in OUTSIDE.values()],
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": operations,
        "components": {"messages": {_name(topic, record): _message(topic, record) for topic, record in _all(topics)}},
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _all(topics: tuple[Topic, ...]) -> Iterator[tuple[Topic, type]]:
    for topic in topics:
        for record in _records(topic):
            yield topic, record


def _records(topic: Topic) -> tuple[type, ...]:
    type_ = TYPES[topic.name]
    return get_args(type_) or (type_,)


def _tag(record: type) -> str:
    tag: str = record.__struct_config__.tag  # type: ignore[attr-defined]  # every record is a Struct
    return tag


def _name(topic: Topic, record: type) -> str:
    """A message's name: two topics carry a `void`."""
    return f"{topic.name}.{_tag(record)}"


def _channel(topic: Topic) -> dict[str, Any]:
    kept = {"cleanup.policy": ["delete"], "retention.ms": topic.kept_ms}
    return {
        "address": topic.name,
        "description": f"Keyed by: {topic.key}. Partitions: {_partitions(topic)}.",
        "messages": {_tag(record): _ref("components", "messages", _name(topic, record)) for record in _records(topic)},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": kept, "bindingVersion": _BINDING}},
    }


def _partitions(topic: Topic) -> str:
    return "1" if topic.count is catalog.Count.ONE else f"the cluster's `{topic.count.value}`"


def _message(topic: Topic, record: type) -> dict[str, Any]:
    about = inspect.cleandoc(record.__doc__ or "").split("\n\n")[0]
    message: dict[str, Any] = {
        "name": _tag(record),
        "title": record.__name__,
        "summary": " ".join(about.split()),
        "payload": {
            "schemaFormat": _JSON_SCHEMA,
            "schema": {"$ref": f"./schemas/{topic.name}.json#/$defs/{record.__name__}"},
        },
    }
    if (key := _KEYS.get(topic.key)) is not None:
        message["bindings"] = {"kafka": {"key": {"type": "string", "pattern": key}, "bindingVersion": _BINDING}}
    return message


def _operations(topic: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    sent = [record for record in _records(topic) if record not in _OWN]
    for role in topic.writers:
        if role in OUTSIDE:
            yield _operation(topic, role, "send", sent)
    for role in topic.readers:
        if role in OUTSIDE:
            yield _operation(topic, role, "receive", list(_records(topic)))


def _operation(topic: Topic, role: str, action: str, records: list[type]) -> tuple[str, dict[str, Any]]:
    name, _ = OUTSIDE[role]
    operation: dict[str, Any] = {
        "action": action,
        "channel": _ref("channels", topic.name),
        "summary": f"{role} {'write' if action == 'send' else 'read'} `{topic.name}`".capitalize(),
        "tags": [{"name": name}],
        "messages": [_ref("channels", topic.name, "messages", _tag(record)) for record in records],
    }
    if action == "send" and (reply := _reply(topic, role)):
        operation["reply"] = {"channel": _ref("channels", reply)}
    return f"{name}.{action}.{topic.name}", operation


def _reply(topic: Topic, role: str) -> str | None:
    """Where an answer comes: to a session among its link's deliveries, to anybody else on `answers`."""
    if topic is catalog.LINKS:
        return catalog.ANSWERS.name
    if topic is catalog.RESYNC:
        return catalog.DELIVERIES.name
    if topic in {catalog.RELATIONS, catalog.MESSAGES}:
        return catalog.DELIVERIES.name if role == "gateways" else catalog.ANSWERS.name
    return None


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
