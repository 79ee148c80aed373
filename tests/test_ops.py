"""What operators are given: alert rules and a dashboard that ask for nothing but what /metrics has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

OPS = Path(__file__).resolve().parent.parent / "ops"
ALERTS = yaml.safe_load((OPS / "prometheus" / "alerts.yaml").read_text("utf-8"))
DASHBOARD = json.loads((OPS / "grafana" / "cashman.json").read_text("utf-8"))
OF_PROMETHEUS = {"instance", "job", "le"}
"""The labels that Prometheus adds by itself."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with what it is for."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture
def labels(client: FlaskClient) -> dict[str, set[str]]:
    """The names of all samples, each with its labels."""
    assert client.post("/expenses", json={"description": "pizza", "amount": 5}).status_code == 204
    client.get("/expenses")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").get_data(as_text=True)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_that_is_asked_for_is_there(labels: dict[str, set[str]], engine_name: str) -> None:
    asked = set()
    for what, expression in expressions():
        for name, selector in re.findall(r"\b(cashman_\w+)(?:\{([^}]*)\})?", expression):
            if name == "cashman_disk_free_bytes" and engine_name == "postgresql":
                continue  # its disk is elsewhere
            assert name in labels, (what, name)
            assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selector)) <= labels[name] | OF_PROMETHEUS, (what, name)
            asked.add(name)
        for by in re.findall(r"\bby \(([^)]*)\)", expression):
            known = set().union(*labels.values()) | OF_PROMETHEUS
            assert set(re.split(r",\s*", by)) <= known, (what, by)
    assert len(asked) > 15


def test_nothing_is_counted_that_nobody_looks_at(labels: dict[str, set[str]]) -> None:
    text = " ".join(expression for _, expression in expressions())
    unseen = {name for name in labels if name.removesuffix("_created").removesuffix("_bucket") not in text}
    assert not {
        name for name in unseen if not name.endswith(("_sum", "_count", "_created")) and "_process_" not in name
    }


def test_a_file_that_takes_long_is_no_slow_service_in_any_ledger() -> None:
    (slow,) = [rule["expr"] for rule in rules() if rule["alert"] == "CashmanRequestsSlow"]
    (left_out,) = re.findall(r'route!~"([^"]+)"', slow)
    for route in ("/export/{format_name}", "/import", "/import/{format_name}"):
        assert re.fullmatch(left_out, route)
        assert re.fullmatch(left_out, "/ledgers/{ledger_ulid}" + route)
    assert not re.fullmatch(left_out, "/ledgers/{ledger_ulid}/expenses")


def test_every_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 8
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]


def test_the_dashboard_can_be_imported_and_no_panel_covers_another() -> None:
    assert (DASHBOARD["title"], DASHBOARD["uid"]) == ("Cashman", "cashman")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= own
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {"instance", "__rate_interval"}


def test_promtool_takes_the_rules_where_it_is_there() -> None:
    """It is more than a test needs by itself; what it would find in the names and labels is asked above."""
    promtool = shutil.which("promtool")
    for what, expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), what
    if promtool is not None:
        said = subprocess.run([promtool, "check", "rules", OPS / "prometheus" / "alerts.yaml"], capture_output=True)
        assert said.returncode == 0, said.stderr
