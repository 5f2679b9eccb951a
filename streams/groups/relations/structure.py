"""Channels, categories, their lists and overrides."""

from __future__ import annotations

from typing import Final

from streams.groups.relations.base import Handler

HANDLERS: Final[dict[type, Handler]] = {}
