"""Files of the docs that follow from the code: written anew, or named when they are stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from jobs.problem import Problem


def settle(folder: Path, wanted: Mapping[Path, str], found: Iterable[Path], command: str, *, check: bool) -> str:
    """Makes the generated files of `folder` in docs what they should be.

    Args:
        folder: where they are.
        wanted: every generated file and its text.
        found: the generated files that are there; those that are not wanted go.
        command: what writes them anew.
        check: change nothing.

    Returns:
        One line that says what was stale.

    Raises:
        Problem: `check`, and something is stale.
    """
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    extra = set(found) - set(wanted)
    names = ", ".join(sorted(str(path.relative_to(folder)) for path in (*stale, *extra)))
    shown = f"docs/{folder.name}"
    if check and names:
        raise Problem(f"Stale in {shown}: {names}. Write them anew: {command}")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])
    for path in extra:
        path.unlink()
    return f"{shown}: {names or 'nothing'} {'was stale' if names else 'to do'}"


def table(*rows: Iterable[str]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    line = "|" + "---|" * (head.count(" | ") + 1)
    return "\n".join([head, line, *rest])
