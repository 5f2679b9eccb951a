"""Commands on groups in; answers, events, memberships, notices and changed audiences out."""

from __future__ import annotations

from streams.groups.relations.command import command

__all__ = ["command"]
