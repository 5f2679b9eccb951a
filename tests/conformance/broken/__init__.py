"""Gateways that are broken in one way each: what is wrong, and the case of the kit that finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.conformance.broken import audiences, clients, deliveries, life, listening, sessions

VARIANTS: Final[dict[Callable[[], None], str]] = {
    variant: case
    for module in (life, sessions, deliveries, audiences, listening, clients)
    for variant, case in module.VARIANTS.items()
}
