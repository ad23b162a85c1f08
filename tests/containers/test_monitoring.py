"""Alerts, dashboard and scrape configuration name only what exists."""

import json
import re
from typing import Final

import pytest

from tests.containers.composition import ROOT, image_environment, mapping, seconds, services, strings
from tests.containers.monitoring import PROMETHEUS, alerts, jobs, loaded
from tests.containers.promql import declared, faults, metrics, names

DASHBOARD: Final = ROOT / "ops" / "grafana" / "cartrita.json"
SEVERITIES: Final = {"critical", "warning"}
WATCHED: Final = {
    "SequenceConflict": "cartrita_sink_sequence_conflicts_total",
    "DeadLettersGrow": "cartrita_dead_letters_total",
    "SinkDeadLettersGrow": "cartrita_sink_dead_letters_total",
    "LagGrows": "cartrita_lag_records",
    "SinkLagGrows": "cartrita_sink_lag_records",
    "NoWorkerUp": "up",
    "ReservationExceeded": "cartrita_reservations_exceeded_total",
    "SessionQuarantined": "cartrita_quarantined_keys",
    "PartitionStopped": "cartrita_stopped_partitions",
    "OutboxStuck": "cartrita_outbox_records",
    "RecoverySlow": "cartrita_recovery_seconds",
    "CostBurns": "cartrita_model_cost_dollars_total",
    "AnswersSlow": "cartrita_answer_seconds_bucket",
    "BudgetsRunOut": "cartrita_answers_total",
    "ApprovalsExpire": "cartrita_approvals_ended_total",
    "RetriesPile": "cartrita_retries_total",
}
"""What an operator must be told of, and by which series it is seen."""


def panels() -> list[dict[str, object]]:
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert isinstance(found, list)
    return [mapping(panel) for panel in found]


def queries() -> dict[str, list[str]]:
    """Return the dashboard's expressions by panel."""
    found: dict[str, list[str]] = {}
    for panel in panels():
        targets = panel.get("targets", [])
        assert isinstance(targets, list)
        if panel["type"] != "row":
            found[str(panel["title"])] = [str(target["expr"]) for target in targets]
    return found


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_promql_over_series_that_exist(name: str) -> None:
    assert faults(str(alerts()[name]["expr"]), declared()) == []


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]

    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert mapping(rule["labels"])["severity"] in SEVERITIES
    assert "for" not in rule or seconds(str(rule["for"])) > 0
    annotations = mapping(rule["annotations"])
    assert {"summary", "description", "runbook"} == set(annotations)
    path, _, anchor = str(annotations["runbook"]).partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", alerts())
def test_an_alerts_texts_use_only_labels_that_its_expression_leaves(name: str) -> None:
    rule = alerts()[name]
    texts = " ".join(str(text) for text in mapping(rule["annotations"]).values())
    used = set(re.findall(r"\$labels\.(\w+)", texts))
    expression = str(rule["expr"])
    grouped = re.findall(r"by \(([\w, ]+)\)", expression)
    series = [declared()[one].labels for one in names(expression)]

    left = {label.strip() for group in grouped for label in group.split(",")}
    if not grouped:
        left = set(frozenset.intersection(*series))

    assert used <= left


def test_everything_that_must_be_told_of_has_an_alert_by_its_series() -> None:
    found = alerts()

    assert {
        name: series in names(str(found[name]["expr"])) for name, series in WATCHED.items()
    } == dict.fromkeys(WATCHED, True)


@pytest.mark.parametrize("title", queries())
def test_a_panel_is_promql_over_series_that_exist(title: str) -> None:
    found = queries()[title]

    assert found
    assert [fault for expression in found for fault in faults(expression, declared())] == []


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for found in queries().values() for expression in found for name in names(expression)}

    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert metrics() <= bare


def test_the_dashboards_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = mapping(panel["gridPos"])
        x, y, width, height = (int(str(place[key])) for key in ("x", "y", "w", "h"))
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert x + width <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in panels()]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(cartrita_inputs_total[5m])", "no PromQL"),
        ("cartrita_input_total", "nobody serves cartrita_input_total"),
        ("sum by (tool) (rate(cartrita_inputs_total[5m]))", "no label tool"),
        ('cartrita_outbox_records{topic="plans"}', "no label topic"),
        ("cartrita_inputs_total > 5", "is a counter"),
        ("rate(cartrita_outbox_records[5m])", "is a gauge"),
        ("histogram_quantile(0.5, rate(cartrita_hop_latency_seconds[5m]))", "nobody serves"),
        ("sum by (le) (rate(cartrita_hop_latency_seconds_count[5m]))", "no label le"),
    ],
)
def test_the_check_of_expressions_finds(expression: str, fault: str) -> None:
    assert fault in " ".join(faults(expression, declared()))


def test_prometheus_asks_every_process_of_ours_at_the_port_on_which_it_answers() -> None:
    port = int(image_environment()["CARTRITA_METRICS_PORT"])
    ours = {
        name
        for name, service in services().items()
        if strings(service.get("command") or [])[:1] == ("cartrita",)
    }

    scraped = {name: config for name, config in jobs().items() if "dns_sd_configs" in config}

    assert set(scraped) == ours
    for name, config in scraped.items():
        found = config["dns_sd_configs"]
        assert isinstance(found, list)
        (place,) = found
        assert place["names"] == [name]
        assert place["port"] == port
    assert loaded(PROMETHEUS / "prometheus.yml")["rule_files"] == ["alerts.yml"]


def test_alerts_speak_of_jobs_that_prometheus_knows() -> None:
    expressions = [str(rule["expr"]) for rule in alerts().values()]
    expressions += [expression for found in queries().values() for expression in found]

    named = {job for expression in expressions for job in re.findall(r'job="(\w+)"', expression)}

    assert named <= set(jobs())
    assert named
