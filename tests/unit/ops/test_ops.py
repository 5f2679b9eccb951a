"""Dashboard and alert rules ask only for what a worker tells; every rule says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from streams.app import ROLES, Worker
from streams.settings import load

OPS = Path(__file__).parents[3] / "ops"
#: Told by Prometheus itself of each target; and in the expressions of dashboards.
OF_PROMETHEUS = {"up"}
VARIABLES = {"$__rate_interval": "1m", "$cluster": "linkcast", "$role": ".*", "$kind": ".*"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, frozenset[str]]]:
    """The metrics in the registries of workers, by sample name, with the labels they may have."""
    found: set[tuple[str, frozenset[str]]] = set()
    settings = load(data=tmp_path_factory.mktemp("data"))
    for role in ROLES:
        for family in Worker(role, settings, role).metrics.collect():
            labels = frozenset(getattr(family, "_labelnames", ())).union(*(sample.labels for sample in family.samples))
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            extra = {"_bucket": {"le"}}
            found |= {(family.name + suffix, labels | extra.get(suffix, set())) for suffix in suffixes}
    return found


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OPS / "grafana" / "linkcast.json").read_text())
    return found


def questions() -> Iterator[tuple[str, str]]:
    """Every expression of rules and dashboard, with where it stands."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def selectors(text: str) -> list[promql_parser.VectorSelector]:
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> None:
        match node:
            case promql_parser.VectorSelector():
                found.append(node)
            case promql_parser.MatrixSelector():
                found.append(node.vector_selector)
            case promql_parser.BinaryExpr():
                visit(node.lhs)
                visit(node.rhs)
            case promql_parser.Call():
                for argument in node.args:
                    visit(argument)
            case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
                visit(node.expr)
            case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
                pass
            case _:
                raise AssertionError(f"not understood: {node!r} in {text}")

    visit(promql_parser.parse(text))
    return found


@pytest.mark.parametrize(("where", "question"), list(questions()))
def test_every_question_is_for_something_that_a_worker_tells(
    told: set[tuple[str, frozenset[str]]], where: str, question: str
) -> None:
    labels_of: dict[str, set[str]] = {}
    for name, labels in told:
        labels_of.setdefault(name, set()).update(labels)
    asked = selectors(question)
    assert asked, where
    for selector in asked:
        if selector.name not in OF_PROMETHEUS:
            assert selector.name in labels_of, f"{where}: {selector.name}"
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= labels_of[selector.name], f"{where}: {question}"


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Linkcast[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.fullmatch(r"\d+[sm]", rule.get("for", "1m"))


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule["alert"])
def test_a_rules_text_names_only_labels_that_its_answer_has(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    kept: set[str] = set()
    for by in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        kept |= {label.strip() for label in by.split(",")}
    kept |= {"kind"} if rule["expr"].startswith("absent(") else set()
    kept |= {"instance"} if rule["expr"].startswith("up") else set()
    assert named <= kept


def test_no_rule_stands_twice() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_every_trouble_that_a_partition_can_be_in_has_a_rule() -> None:
    asked = " ".join(rule["expr"] for rule in rules())
    for what in ("recovering", "stuck", "fenced", 'store="cassandra"', "rejects", "aborts", "oldest_record_age"):
        assert what in asked


def test_the_dashboard_has_an_id_for_each_panel_and_none_covers_another() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        taken = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & places, panel["title"]
        places |= taken


def test_every_variable_that_a_panel_uses_is_defined() -> None:
    defined = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__rate_interval"}
    text = (OPS / "grafana" / "linkcast.json").read_text()
    assert set(re.findall(r"\$\{?(\w+)", text)) - {"__all"} <= defined


def test_the_scrape_configuration_finds_the_workers_of_a_run(tmp_path: Path) -> None:
    found = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    (job,) = found["scrape_configs"]
    assert job["job_name"] == "linkcast"  # alerts ask for it by this name
    assert found["rule_files"] == ["alerts.yml"]
    first = load(data=tmp_path).view_port
    targets = job["static_configs"][0]["targets"]
    assert [int(target.rpartition(":")[2]) for target in targets] == [first + i for i in range(len(ROLES))]
