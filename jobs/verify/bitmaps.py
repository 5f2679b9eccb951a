"""Bitmaps of ordinals as deliveries hold them."""

from __future__ import annotations

from base64 import b64decode

from pyroaring import BitMap


def ordinals_of(text: str) -> set[int] | None:
    """The ordinals of a roaring bitmap in its portable format, base64; empty text: none. None: it is no such thing."""
    if not text:
        return set()
    try:
        return set(BitMap.deserialize(b64decode(text, validate=True)))
    except (ValueError, IndexError):
        return None
