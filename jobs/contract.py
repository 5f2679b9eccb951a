"""`linkcast contract`: writes the parts of `docs/contract` that follow from the code, or says that they are stale.

The README there is written by hand but for what stands between `<!-- generated: name -->` and `<!-- end -->`; the JSON
Schemas and the AsyncAPI document are generated whole. Nothing else in that folder is touched.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import msgspec
import typer
from pyroaring import BitMap

from jobs import contract_asyncapi, contract_example
from jobs.conformance import protocol as conformance
from jobs.generated import settle, table
from jobs.limits import all_limits
from jobs.problem import Problem
from streams.web import openapi, problems
from streams.web.views import VIEWS
from topics import answers, catalog, entities, rejects, relations
from topics.codec import TYPES
from topics.keys import murmur2

FOLDER: Final = Path(__file__).parents[1] / "docs" / "contract"

#: The topics that anybody outside the pipeline writes or reads.
PUBLIC: Final = (
    *(catalog.LINKS, catalog.SESSIONS, catalog.RELATIONS, catalog.MESSAGES, catalog.RESYNC, catalog.LINK_ACKS),
    *(catalog.DELIVERIES, catalog.ANSWERS, catalog.RELATION_EVENTS, catalog.HISTORY, catalog.REJECTS),
)

#: The limits that a gateway or a client meets.
LIMITS: Final = (
    *("ID_CHARS", "BODY_BYTES", "BODY_DEPTH", "LOT_USERS", "RECORD_BYTES"),
    *("NAME_CHARS", "TOPIC_CHARS", "AVATAR_CHARS", "CUSTOM_CHARS", "REQUEST_CHARS"),
    *("CHANNELS", "CATEGORIES", "ROLES", "ROLES_OF_MEMBER", "LIST_ROLES", "OVERRIDES", "GROUP_MEMBERS"),
    *("OPEN_REQUESTS", "OPEN_CODES", "CODE_USES", "REQUEST_MS", "CHANGE_SET_PARTS", "CHANGE_SETS", "BOUND_HEADS"),
    *("NOTICE_USERS", "NOTICE_WINDOW_MS", "NOTICE_CHANNELS", "NOTICES_KEPT", "NOTICE_DAYS"),
    *("SESSIONS_PER_USER", "RESUME_MS", "GROUND_WINDOW_MS", "STATUS_CHARS", "SUBSCRIPTIONS_PER_CALL"),
    *("SUBSCRIBE_MEMBERS", "CHANNELS_SUBSCRIBED", "GROUPS_SUBSCRIBED", "WATCHED_USERS", "PRESENCE_WINDOW_MS"),
    *("MENTIONS", "UNREAD_WINDOW_MS", "STATUS_WINDOW_MS", "BURST_PER_S"),
    *("ACK_MS", "ACKS_LATE_MS", "LINK_SLOW_BYTES", "LINK_SLOW_MS", "LINK_BACKLOG_BYTES"),
    *("DEDUPE_WINDOW_MS", "DEDUPE_PER_DEVICE", "CLOCK_SKEW_MS", "QUIET_MS"),
    *("LINK_BEAT_MS", "LINK_TIMEOUT_MS", "PULL_MESSAGES"),
    *("PAGE_ENTRIES", "MAP_CHANGES", "CURSOR_CHARS", "TOKEN_BYTES", "TOKEN_S", "TOKEN_LEEWAY_S"),
)

#: Keys for the table of hashes: every length modulo 4, every kind of character, the longest there is.
VECTORS: Final = (
    *("a:b", "a:b1", "a:b_2", "app:g1", "app:g12", "demo:ann", "demo:friends", "Demo:A.b-C_9@x"),
    *("6f1c2d0e8b7a4c53", f"{'a' * 64}:{'z' * 64}"),
)

#: Sets for the table of bitmaps: none, an array, a bitmap, runs, more than one container.
BITMAPS: Final[tuple[tuple[str, BitMap], ...]] = (
    ("none", BitMap()),
    ("0", BitMap([0])),
    ("0, 3, 70000, 4294967295", BitMap([0, 3, 70_000, 2**32 - 1])),
    ("0 to 9999, as runs", BitMap(range(10_000))),
    ("every third from 0 to 149997", BitMap(range(0, 150_000, 3))),
)
_SHOWN_CHARS: Final = 100

app = typer.Typer(add_completion=False)


@app.command()
def contract(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail when a file is stale.")] = False,
) -> None:
    """Write the generated parts of docs/contract: schemas, AsyncAPI, tables, hashes, the worked example.

    Run it after a change of a record, a code or a limit, and commit what it wrote with the change.
    """
    if not FOLDER.is_dir():
        raise Problem("docs/contract is not here: this command is for a checkout of the repository")
    found = (*(FOLDER / "schemas").glob("*.json"), FOLDER / "asyncapi.json", FOLDER / "openapi.json")
    typer.echo(settle(FOLDER, generated(), found, "linkcast contract", check=check))


def generated() -> dict[Path, str]:
    """Every file that is generated, in whole or in part, as it should be."""
    files = {FOLDER / "schemas" / f"{topic.name}.json": schema(topic) for topic in PUBLIC}
    readme = FOLDER / "README.md"
    return files | {
        FOLDER / "asyncapi.json": contract_asyncapi.document(PUBLIC),
        FOLDER / "openapi.json": openapi.text(),
        FOLDER / "conformance.json": _text_of(conformance.schema()),
        readme: with_blocks(readme.read_text()),
    }


def with_blocks(text: str) -> str:
    """The hand-written text with its generated blocks as they should be.

    Raises:
        Problem: it names a block that does not exist, or one is named nowhere.
    """
    named = _BLOCK.findall(text)
    if (names := [name for name, _ in named]) != list(BLOCKS):
        raise Problem(f"docs/contract/README.md has the generated blocks {names}; they should be {list(BLOCKS)}")
    return _BLOCK.sub(lambda found: f"<!-- generated: {found[1]} -->\n{BLOCKS[found[1]]()}\n<!-- end -->", text)


_BLOCK: Final = re.compile(r"<!-- generated: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def schema(topic: catalog.Topic) -> str:
    """The JSON Schema of a topic's records."""
    (root,), defs = msgspec.json.schema_components([TYPES[topic.name]], ref_template="#/$defs/{name}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic.name,
        "description": f"Records of the topic `{topic.name}`, keyed by: {topic.key}.",
    }
    return _text_of(head | root | {"$defs": defs})


def _text_of(schema: dict[str, Any]) -> str:
    return json.dumps(openapi.portable(schema), indent=2, ensure_ascii=False) + "\n"


def _hashes() -> str:
    rows = []
    for key in VECTORS:
        data = key.encode()
        number = murmur2(data)
        positive = number & 0x7FFFFFFF
        shown = f"`{key}`" if len(key) < 40 else f"64 times `{key[0]}`, `:`, 64 times `{key[-1]}`"  # noqa: PLR2004
        rows.append((shown, str(len(data)), f"`{number:08x}`", str(positive % 8), str(positive % 32)))
    return table(("key", "bytes", "murmur2", "of 8", "of 32"), *rows)


def _topics() -> str:
    rows = [
        (
            f"[`{topic.name}`](schemas/{topic.name}.json)",
            {"one": "1", "partitions": "`partitions`", "links": "`links`"}[topic.count.value],
            topic.key,
            ", ".join(topic.writers),
            ", ".join(topic.readers),
        )
        for topic in PUBLIC
    ]
    return table(("topic", "partitions", "key", "written by", "read by"), *rows)


def _codes() -> str:
    return table(("code", "meaning, and what to do"), *((f"`{code}`", text) for code, text in answers.CODES.items()))


def _bitmaps() -> str:
    rows = []
    for what, bits in BITMAPS:
        if "runs" in what:
            bits.run_optimize()
        data = bits.serialize()
        text = base64.b64encode(data).decode()
        shown = (
            f"`{text}`" if len(text) <= _SHOWN_CHARS else f"{len(data):,} bytes, SHA-256 `{sha256(data).hexdigest()}`"
        )
        rows.append((what, str(len(bits)), shown.replace(",", " ", 1)))
    return table(("ordinals", "how many", "base64, or what is in it"), *rows)


def _commands() -> str:
    rows = []
    for command in get_args(relations.RelationRecord):
        says = " ".join(inspect.cleandoc(command.__doc__ or "").split("\n\n")[0].split())
        large = " In parts." if issubclass(command, relations.Large) else ""
        says = re.sub(r" See `topics[^`]*`\.", "", says).replace("EVERYONE", "`everyone`")
        rows.append((f"`{command.__struct_config__.tag}`", says + large))
    return table(("command", "what it does"), *rows)


def _permissions() -> str:
    rows = ((f"`{name}`", says) for name, says in entities.PERMISSIONS.items())
    return table(("permission", "lets its holder"), *rows)


def _reasons() -> str:
    return table(("reason", "meaning"), *((f"`{reason}`", text) for reason, text in rejects.REASONS.items()))


def _views() -> str:
    rows = [
        (f"`{view.path}`", view.says, ", ".join(sorted(view.roles)) if view.roles else "anybody, without a token")
        for view in VIEWS.values()
        if view.public
    ]
    return table(("GET", "tells", "for"), *rows)


def _view_codes() -> str:
    rows = ((str(status), f"`{code}`", " ".join(told)) for code, (status, *told) in problems.CODES.items())
    return table(("status", "code", "meaning, and what to do"), *rows)


def _limits() -> str:
    rows = [(f"`{limit.name}`", limit.shown, limit.meaning) for limit in map(all_limits().__getitem__, LIMITS)]
    return table(("limit", "value", "meaning"), *rows)


def _example() -> str:
    parts = []
    for number, step in enumerate(contract_example.steps(), 1):
        parts.append(f"**{number}.** {step.title}\n")
        for line in step.lines:
            who = "gateway writes" if line.sent else "pipeline writes"
            key = f", key `{line.key.decode()}`" if line.key is not None else ""
            parts.append(
                f"{who} `{line.topic}`, partition {line.partition}{key}:\n\n```json\n{line.value.decode()}\n```\n"
            )
    return "\n".join(parts)


#: The generated blocks of the README, in their order there.
BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "topics": _topics,
    "hashes": _hashes,
    "bitmaps": _bitmaps,
    "commands": _commands,
    "permissions": _permissions,
    "codes": _codes,
    "reasons": _reasons,
    "views": _views,
    "problems": _view_codes,
    "limits": _limits,
    "example": _example,
}
