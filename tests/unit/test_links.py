"""What the pages at the root and beside the code link to exists; Sphinx checks those in docs."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("clients/**/*.md"), *ROOT.glob("examples/**/*.md"))
    if not any(part.startswith(".") or part == "node_modules" for part in page.relative_to(ROOT).parts)
)
LINK: Final = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?\)|<img[^>]* src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
FENCE: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """Every link of a page that is not to another site."""
    found = ("".join(groups) for groups in LINK.findall(FENCE.sub("", page.read_text())))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made of their words."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {"".join(map(anchor_part, heading.lower())).replace(" ", "-") for heading in headings}


def anchor_part(character: str) -> str:
    """What stays of a heading's character: letters, digits, spaces and what joins words."""
    return character if character in " -_" or unicodedata.category(character)[0] in "LN" else ""


def test_there_are_pages() -> None:
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "clients/python/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_or_heading_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []
