"""`fluxline debug`: lines like the seed's, a table that fits 80 columns, one line that says it all, and the report."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fluxline_cli import debug, timeline
from fluxline_cli.main import app

from .documented_api import DocumentedApi, documented_api

ID = "7a1a1a60-0000-4000-8000-000000000001"
AT = "2026-11-25T10:00:00Z"
SUMMARY: dict[str, Any] = {
    "training_id": ID,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "trace_url": "http://127.0.0.1:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736",
    "status": "failed",
    "current_stage": "huggingface_upload",
    "error_counts": {"service_error": 2, "authentication": 1},
    "retryable_errors": 2,
    "stages": [
        {
            "stage": "zip_creation",
            "status": "succeeded",
            "attempts": 1,
            "work_ms": 4000,
            "wait_ms": 0,
            "duration_ms": 4000,
        },
        {
            "stage": "replicate_training",
            "status": "succeeded",
            "attempts": 12,
            "work_ms": 7_200_000,
            "wait_ms": 3_600_000,
            "duration_ms": 10_800_000,
        },
        {
            "stage": "huggingface_upload",
            "status": "running",
            "attempts": 1,
            "work_ms": 0,
            "wait_ms": 0,
            "duration_ms": None,
        },
    ],
    "provider_ids": {"replicate": "r1"},
    "cost": {"amount_usd": 1.5, "basis": "1000 s of an H100"},
    "diagnosis": "Publishing failed (authentication): Hugging Face refused the token. Set \x1b[2JHF_TOKEN.",
    "log": [
        {"occurred_at": AT, "level": "info", "stage": "zip_creation", "message": "ZIP creation started", "data": {}},
        {"occurred_at": AT, "level": "debug", "stage": "zip_creation", "message": "Processed image 1/10", "data": {}},
        {"occurred_at": AT, "level": "warning", "stage": None, "message": "Attempt 1 failed", "data": {"attempt": 1}},
        {
            "occurred_at": AT,
            "level": "error",
            "stage": "huggingface_upload",
            "message": "Publishing failed",
            "data": {"category": "authentication", "retryable": False, "owner": "ada"},
        },
    ],
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[DocumentedApi]:
    with documented_api() as api:
        monkeypatch.setenv("FLUXLINE_URL", api.url)
        monkeypatch.setenv("FLUXLINE_API_KEY", "fl_" + "a" * 40)
        yield api


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    """80 columns, as in a pipe: no colour."""
    console = Console(width=80, record=True, force_terminal=False)
    monkeypatch.setattr(debug, "console", console)
    monkeypatch.setattr(timeline, "console", console)
    return console


def shown(screen: Console) -> list[str]:
    return screen.export_text().splitlines()


def test_the_log_is_told_in_the_colours_of_its_levels(screen: Console) -> None:
    debug._tell(SUMMARY, as_json=False, with_log=True)
    assert shown(screen)[:4] == [
        "🔵 TRAINING INFO: { stage: 'zip_creation', message: 'ZIP creation started' }",
        "🟢 TRAINING DEBUG: { stage: 'zip_creation', message: 'Processed image 1/10' }",
        "🟡 TRAINING WARNING: { message: 'Attempt 1 failed', data: { attempt: 1 } }",
        "🔴 TRAINING ERROR: { stage: 'huggingface_upload', message: 'Publishing failed', category: 'authentication', "
        "retryable: false }",
    ]


def test_the_table_of_stages_fits_80_columns_and_the_diagnosis_ends_it(screen: Console) -> None:
    debug.print_summary(SUMMARY)
    lines = shown(screen)
    assert [line.split() for line in lines[:4]] == [
        ["stage", "status", "attempts", "work", "wait", "total"],
        ["ZIP", "creation", "succeeded", "1", "4.0", "s", "0", "s", "4.0", "s"],
        ["Training", "succeeded", "12", "2", "h", "00", "min", "1", "h", "00", "min", "3", "h", "00", "min"],
        ["Publishing", "running", "1", "…", "…", "…"],
    ]
    assert all(len(line) <= 80 for line in lines[:4])
    assert lines[4:] == [
        "errors: service_error 2, authentication 1 (2 of them could be tried again)",
        "cost: $1.50 (1000 s of an H100)",
        "ids: replicate r1",
        "diagnosis: Publishing failed (authentication): Hugging Face refused the token. Set  [2JHF_TOKEN.",
        "trace: http://127.0.0.1:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736",
    ]


def test_a_summary_of_an_older_gateway_is_shown_too(screen: Console) -> None:
    older = {name: SUMMARY[name] for name in ("status", "error_counts", "diagnosis", "stages")}
    debug.print_summary({**older, "stages": []})
    assert shown(screen)[-1].startswith("diagnosis: ")


def test_the_timeline_is_told_by_the_time_since_the_request(screen: Console) -> None:
    entry = {"offset_ms": 8000, "level": "warning", "type": "stage.retried", "title": "Attempt 1 failed", "folded": 0}
    wait = {"offset_ms": 9000, "level": "info", "type": "wait", "title": "Training waited 32.0 s: rate limit"}
    timeline.print_timeline({"entries": [entry | {"detail": "Wait."}, wait], "left_out": 7})
    assert [line.rstrip() for line in shown(screen)] == [
        "7 older events are left out",
        "+8.0 s  Attempt 1 failed",
        "        → Wait.",
        "+9.0 s  Training waited 32.0 s: rate limit",
    ]


def test_the_report_is_saved_where_it_is_wanted(api: DocumentedApi, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["debug", ID, "--html", str(target)])
    assert done.exit_code == 0, done.output
    assert target.read_bytes() == b"the bytes"
    assert api.called == ["export_training_debug"]


def test_with_json_and_html_both_are_had(api: DocumentedApi, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["debug", ID, "--json", "--html", str(tmp_path / "report.html")])
    assert json.loads(done.stdout)["training_id"] == ID
    assert (tmp_path / "report.html").exists()


def test_a_file_without_html_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["debug", ID, str(tmp_path / "report.html")])
    assert done.exit_code == 2
