"""Commands on groups in; answers, events, memberships, notices and changed audiences out."""

from __future__ import annotations

from streams.groups.relations.command import command
from streams.groups.relations.requests import expire

__all__ = ["command", "expire"]
