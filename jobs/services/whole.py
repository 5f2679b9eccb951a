"""A file that is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Puts `content` in the place of what `path` held: whoever reads it finds one of both, whatever ends the writer."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
