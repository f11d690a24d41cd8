"""`fluxline insights`: spans as people say them, tables that fit a terminal, words where there is nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from fluxline.contracts import insights as contract
from fluxline_cli import calls
from fluxline_cli.client import Client
from fluxline_cli.insights import moment_of, short
from fluxline_cli.main import app

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MODELS = {
    "stages": contract.StageDurations,
    "failures": contract.FailureRate,
    "jobs": contract.JobInsight,
    "retries": contract.RetryInsight,
    "providers": contract.ProviderLatency,
    "costs": contract.ProviderCosts,
}
LONGEST = {
    "stage": "image_generation", "provider": "huggingface", "outcome": "succeeded", "category": "content_policy",
    "service_version": "10.2.10", "kind": "automatic", "status": "succeeded",
    **dict.fromkeys(("attempts", "failed", "retried", "runs", "jobs", "succeeded"), 99_999),
    **dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "duration_ms", "silent_ms", "stuck_after_ms"), 3_540_000),
    **dict.fromkeys(("cost_usd", "mean_usd", "max_usd", "lost_usd"), 9_999.99),
    **dict.fromkeys(("error_rate", "success_rate"), 0.9999),
}  # fmt: skip


def example(what: str, **changes: Any) -> dict[str, Any]:
    shown: dict[str, Any] = MODELS[what].model_json_schema()["examples"][0]
    return shown | {name: value for name, value in changes.items() if name in shown}


def insights(monkeypatch: pytest.MonkeyPatch, command: str, *items: dict[str, Any]) -> tuple[Result, httpx.URL]:
    """What the command prints, and what it asked a gateway that has these items."""
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"items": items, "next_cursor": None})

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(calls, "connect", lambda: Client("http://gateway", "fl_key", transport=transport))
    done = CliRunner().invoke(app, ["insights", *command.split()])
    assert done.exit_code == 0, done.output
    [url] = asked
    return done, url


@pytest.mark.parametrize("command", [*sorted(MODELS), "jobs --stuck", "stages --bucket day", "failures --bucket day",
                                     "providers --bucket hour", "costs --bucket day"])  # fmt: skip
def test_a_row_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    done, _ = insights(monkeypatch, command, example(command.split()[0], **LONGEST))
    lines = done.stdout.rstrip().splitlines()
    assert len(lines) == 2, done.stdout
    assert max(map(len, (line.rstrip() for line in lines))) <= 80


def test_figures_have_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    stages, _ = insights(monkeypatch, "stages", example("stages"))
    assert stages.stdout.splitlines()[1].split() == [
        "Training", "replicate", "succeeded", "140", "14m44s", "24m01s", "28m22s", "38m30s",
    ]  # fmt: skip
    failures, _ = insights(monkeypatch, "failures", example("failures", category=None))
    assert failures.stdout.splitlines()[1].split() == [
        "Publishing",
        "huggingface",
        "1.4.0",
        "all",
        "1",
        "5",
        "120",
        "5.0%",
    ]
    costs, _ = insights(monkeypatch, "costs", example("costs"))
    assert costs.stdout.splitlines()[1].split() == ["replicate", "140", "144", "$212.40", "$1.52", "$4.12", "$3.20"]


def test_the_stuck_are_looked_for_in_all_time_and_others_in_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = example("jobs", status="running", stuck=True, silent_ms=1_900_000, stuck_after_ms=600_000)
    done, url = insights(monkeypatch, "jobs --stuck --owner ada -q x", stuck)
    assert dict(url.params) == {"sort": "newest", "owner": "ada", "q": "x", "stuck": "true", "limit": "20"}
    assert done.stdout.splitlines()[1].split()[1:] == ["stuck", "Publishing", "31m40s", "10m00s"]
    _, url = insights(monkeypatch, "jobs --min-duration 10m", example("jobs"))
    assert url.params["min_duration_ms"] == "600000"
    week = datetime.now(UTC) - datetime.fromisoformat(url.params["since"])
    assert 6.99 < week.total_seconds() / 86400 < 7.01


def test_names_stand_beside_ids_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, _ = insights(monkeypatch, "jobs", example("jobs", name="Grace"))
    monkeypatch.setattr("fluxline_cli.calls.console.width", 140)
    wide, _ = insights(monkeypatch, "jobs", example("jobs", name="Grace"))
    assert ("Grace" in narrow.stdout, "Grace" in wide.stdout) == (False, True)


@pytest.mark.parametrize("what", sorted(MODELS))
def test_nothing_is_said_in_words_and_as_an_empty_list(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    done, _ = insights(monkeypatch, what)
    assert done.stdout.endswith(" in this time\n")
    done, _ = insights(monkeypatch, f"{what} --json")
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", "2026-11-25T11:30:00+00:00"),
        ("12h", "2026-11-25T00:00:00+00:00"),
        ("7d", "2026-11-18T12:00:00+00:00"),
        ("2w", "2026-11-11T12:00:00+00:00"),
        ("2026-11-25", "2026-11-25T00:00:00+00:00"),
        ("2026-11-25T10:00+02:00", "2026-11-25T10:00:00+02:00"),
    ],
)
def test_a_time_is_said_as_people_say_it(text: str, expected: str) -> None:
    assert moment_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "7", "d", "-7d", "7y", "9999999w", "2026-13-01", ""])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_of(text, NOW)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (None, ""),
        (0, "0ms"),
        (999, "999ms"),
        (2345, "2.3s"),
        (59_960, "1m00s"),
        (884_120, "14m44s"),
        (3_599_600, "1h00m"),
        (11_400_000, "3h10m"),
        (86_399_999, "1d0h"),
        (450_000_000, "5d5h"),
    ],
)
def test_a_duration_takes_six_characters(milliseconds: int | None, expected: str) -> None:
    assert short(milliseconds) == expected
