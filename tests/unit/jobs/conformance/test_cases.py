"""The cases quote the contract, and the docs name every case."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.conformance.case import Case
from jobs.conformance.cases import CASES

DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_rule_is_a_sentence_of_the_contract(case: Case) -> None:
    contract = " ".join((DOCS / "contract" / "README.md").read_text().split())
    assert case.rule in contract


def test_the_docs_have_every_case_and_its_rule() -> None:
    rows = [f"| `{case.name}` | {case.rule.replace('|', chr(92) + '|')} |" for case in CASES.values()]
    assert (DOCS / "conformance.md").read_text().endswith("\n".join(rows) + "\n")


def test_the_cases_come_in_the_order_of_the_contract() -> None:
    assert next(iter(CASES)) == "register"
    assert list(CASES).index("hole") < list(CASES).index("gap")
