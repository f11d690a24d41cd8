"""`fluxline alerts`: what was found, by which rules, and whether notices arrive."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from fluxline.contracts.alerts import AlertIncident, AlertRules, AlertTest
from fluxline_cli import calls
from fluxline_cli.client import Client
from fluxline_cli.main import app


def shown(model: type[AlertIncident] | type[AlertRules] | type[AlertTest]) -> dict[str, Any]:
    [example] = model.model_json_schema()["examples"]
    found: dict[str, Any] = example
    return found


def channel(name: str, reason: str | None = None) -> dict[str, Any]:
    return {"channel": name, "severities": ["critical"], "ok": reason is None, "reason": reason}


def fluxline(monkeypatch: pytest.MonkeyPatch, command: str, **answers: Any) -> Result:
    """The command with a gateway that answers by the end of the path."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[request.url.path.removeprefix("/v1/admin/").replace("/", "_")])

    client = Client("http://gateway", "fl_key", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(calls, "connect", lambda: client)
    monkeypatch.setattr(calls.console, "width", 200)
    return CliRunner().invoke(app, ["alerts", *command.split()])


def test_incidents_are_listed_on_lines_that_move_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    incident = shown(AlertIncident) | {"title": "Publishing\x1b[2J fails [red]"}
    done = fluxline(monkeypatch, "list", alerts={"items": [incident], "next_cursor": None})
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    for part in ("17", "critical", "open", "fails [red]", "2026-11-25 10:00:00", "failures-to-mend"):
        assert part in done.stdout
    assert fluxline(monkeypatch, "list", alerts={"items": [], "next_cursor": None}).stdout == "nothing was found\n"


def test_rules_are_listed_with_where_their_notices_go(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(AlertRules)
    told = fluxline(monkeypatch, "rules", alerts_rules=found).stdout
    for part in ("failures-to-mend", "a job fails with", "stage, category", "4 h", "to discord 1: critical", "22:00"):
        assert part in told
    without = fluxline(monkeypatch, "rules", alerts_rules=found | {"channels": [], "quiet_hours": None}).stdout
    assert "no channel is configured: set COLLECTOR_ALERT_URLS" in without
    assert json.loads(fluxline(monkeypatch, "rules --json", alerts_rules=found).stdout) == found


@pytest.mark.parametrize(
    ("channels", "status", "lines", "remedy"),
    [
        ([channel("slack 1")], 0, ["✓ slack 1 took the test notice"], ""),
        (
            [channel("slack 1"), channel("json 2", "it answered with the HTTP status 404")],
            1,
            ["✓ slack 1 took the test notice", "✗ json 2 did not take it: it answered with the HTTP status 404"],
            "correct the channel's address in COLLECTOR_ALERT_URLS",
        ),
        ([], 1, ["✗ no channel is configured"], "set COLLECTOR_ALERT_URLS"),
    ],
    ids=["all well", "one failed", "none"],
)
def test_a_test_tells_of_each_channel_and_fails_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, channels: list[dict[str, Any]], status: int, lines: list[str], remedy: str
) -> None:
    answer = {"channels": channels}
    done = fluxline(monkeypatch, "test", alerts_test=answer)
    assert (done.exit_code, done.stdout.splitlines()) == (status, lines)
    assert (remedy in done.stderr, bool(done.stderr)) == (True, bool(remedy))
    in_json = fluxline(monkeypatch, "test --json", alerts_test=answer)
    assert (in_json.exit_code, json.loads(in_json.stdout)) == (status, answer)
