"""`linkcast reference`: writes `docs/reference` from the code, or says which pages are stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from jobs.generated import settle
from jobs.problem import Problem
from jobs.reference import commands, errors, limits, metrics, policy, settings, topics

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"

#: The page of each file; `index.md` is written by hand.
PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings.page,
    "limits.md": limits.page,
    "policy.md": policy.page,
    "errors.md": errors.page,
    "topics.md": topics.page,
    "metrics.md": metrics.page,
    "commands.md": commands.page,
}
_BY_HAND: Final = "index.md"
_MARK: Final = "<!-- Written by `linkcast reference` from the code: change it there. -->\n\n"

app = typer.Typer(add_completion=False)


@app.command()
def reference(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail when a page is stale.")] = False,
) -> None:
    """Write docs/reference: every setting, limit, code, topic and command, from where each is defined.

    Run it after a change of any of these, and commit what it wrote with the change.
    """
    if not FOLDER.is_dir():
        raise Problem("docs/reference is not here: this command is for a checkout of the repository")
    found = (path for path in FOLDER.glob("*.md") if path.name != _BY_HAND)
    wanted = {FOLDER / name: _MARK + page() for name, page in PAGES.items()}
    typer.echo(settle(FOLDER, wanted, found, "linkcast reference", check=check))
