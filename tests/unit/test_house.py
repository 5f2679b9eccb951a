"""What the import contracts cannot say in general terms."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"topics", "tables", "streams", "jobs", "examples", "linkcast_gateway", "tests"}


def imports_of(folder: Path) -> set[str]:
    """The modules that the files in `folder` import, at the top or inside a function."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module or "." * node.level)
            elif isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
    return found


def test_the_verifier_knows_only_topics_and_itself() -> None:
    ours = {name for name in imports_of(ROOT / "jobs" / "verify") if name.split(".")[0] in OURS}
    assert {name for name in ours if name.split(".")[0] != "topics" and not name.startswith("jobs.verify")} == set()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.image.lock"])
def test_the_locks_name_no_place_to_download_from(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    assert "--index-url" not in lock
    assert "--find-links" not in lock
