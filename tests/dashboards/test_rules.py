"""Rules and dashboards as they are shipped: made anew they are the same, complete, and about every consumer alike."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from fluxline.contracts.catalog import CONSUMERS
from monitoring import __main__ as generator
from monitoring.burn_rates import BURNS
from monitoring.slos import OBJECTIVES

from . import shipped

PROMTOOL = os.environ.get("FLUXLINE_PROMTOOL") or shutil.which("promtool")
ALERTS = shipped.alerts()
SLO = (shipped.ROOT / "docs" / "slo.md").read_text()
COMPOSE = yaml.safe_load((shipped.ROOT / "docker-compose.yml").read_text())["services"]
SCRAPES = yaml.safe_load((shipped.PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]


def test_every_generated_file_is_committed_as_it_is_generated() -> None:
    made = generator.documents()
    assert [path.name for path, text in made.items() if path.read_text() != text] == [], "run `make dashboards`"
    boards = {path for path in made if path.suffix == ".json"}
    assert set((shipped.ROOT / "deploy" / "grafana" / "dashboards").iterdir()) == boards


def test_every_query_is_promql() -> None:
    for query in shipped.queries():
        try:
            promql.parse(query.expr)
        except ValueError as error:
            pytest.fail(f"{query}: {error}")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_an_alert_says_how_bad_it_is_what_happened_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"].endswith(f"}}}}/{alert['alert']}.md")


def test_no_alert_knows_a_consumer_by_name_but_the_collectors() -> None:
    """A consumer that is added to the catalog is watched as the others are."""
    named = {
        (alert["alert"], consumer.durable)
        for alert in ALERTS
        for consumer in CONSUMERS
        if re.search(rf'durable=~?"[^"]*\b{consumer.durable}\b', alert["expr"])
    }
    assert named <= {("EventsLate", "collector")}
    watched = {alert["alert"] for alert in ALERTS if "$labels.durable" in alert["annotations"]["summary"]}
    assert watched >= {"ConsumerWithoutWorker", "QueueLag"}


def test_every_service_is_scraped_and_missed_when_it_is_away() -> None:
    services = {
        folder.name.removeprefix("debug-") for folder in (shipped.ROOT / "services").iterdir() if folder.is_dir()
    }
    [ours] = [job for job in SCRAPES if job["job_name"] == "fluxline"]
    [found] = ours["dns_sd_configs"]
    assert set(found["names"]) == services
    [down] = [alert for alert in ALERTS if alert["alert"] == "ServiceDown"]
    assert set(re.findall(r'absent\(up\{job="fluxline",service="(\w+)"\}\)', down["expr"])) == services


def test_every_target_is_a_container() -> None:
    names = {name for job in SCRAPES for found in job.get("dns_sd_configs", ()) for name in found["names"]}
    assert names <= COMPOSE.keys()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_an_objective_is_written_down_as_it_is_measured(objective: Any) -> None:
    assert f"```promql\n{objective.ratio('1h')}\n```" in SLO
    assert re.search(
        rf"^\| `{objective.name}` \|.*\| {objective.target * 100:g}% \|.*{objective.alert}\.md\) \|$", SLO, re.M
    )


@pytest.mark.parametrize("burn", BURNS, ids=lambda burn: burn.long)
def test_a_burn_rate_is_written_down(burn: Any) -> None:
    assert f"| {burn.severity} | {burn.factor:g} | {burn.long} | {burn.short} |" in SLO


def test_every_panel_has_a_title_and_a_unit_and_every_board_an_address_of_its_own() -> None:
    boards = shipped.boards()
    assert {board["uid"] for board in boards.values()} == set(boards)
    for name, board in boards.items():
        for panel in shipped.panels(board):
            assert panel["title"], name
            assert panel["type"] == "alertlist" or panel["fieldConfig"]["defaults"]["unit"], (name, panel["title"])
        places = [(place["x"], place["y"]) for place in (panel["gridPos"] for panel in board["panels"])]
        assert len(places) == len(set(places)), name


@pytest.mark.skipif(not PROMTOOL and "FLUXLINE_REQUIRE_PROMTOOL" not in os.environ, reason="needs promtool")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["check config --syntax-only", "check rules --lint=all", "test rules"])
def test_promtool_is_content(command: str) -> None:
    words = command.split()
    what = (
        {"config": ["prometheus.yml"], "rules": _files("rules")}[words[1]] if words[0] == "check" else _files("tests")
    )
    done = subprocess.run(
        [PROMTOOL or "promtool", *words, *what],
        cwd=shipped.PROMETHEUS,
        env=os.environ | {"RUNBOOKS_URL": "docs/runbooks"},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _files(folder: str) -> list[str]:
    return sorted(str(file.relative_to(shipped.PROMETHEUS)) for file in Path(shipped.PROMETHEUS, folder).glob("*.yml"))
