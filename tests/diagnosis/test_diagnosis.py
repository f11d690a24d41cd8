"""For every row: the summary names the right stage, category, retryability and remedy, and the gateway agrees."""

from collections import Counter
from pathlib import Path

import pytest

from faults.stack import FaultStack
from fluxline.contracts.errors import ErrorCategory

from .row import Json, Row, table
from .rows import GENERATION_ROWS, ROWS, TRAINING_ROWS
from .run import SETTINGS as SETTINGS
from .run import Observation, drive

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
BEGIN, END = "<!-- diagnoses: begin -->", "<!-- diagnoses: end -->"
STAGE_WORDS = {
    "zip_creation": "ZIP creation",
    "replicate_training": "Training",
    "huggingface_upload": "Publishing",
}
_right: dict[str, str] = {}
"""The remedy that was read, of every row that was right."""


@pytest.fixture(scope="module")
def seen(stack: FaultStack, photos: list[Path], request: pytest.FixtureRequest) -> dict[str, Observation]:
    """What was read of the rows that are to be tested, all driven at once."""
    chosen = {item.callspec.params["row"].name for item in request.session.items if hasattr(item, "callspec")}
    return drive(stack, [row for row in ROWS if row.name in chosen], photos)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", TRAINING_ROWS, ids=lambda row: row.name)
def test_the_summary_names_the_fault(seen: dict[str, Observation], row: Row) -> None:
    training, summary = seen[row.name].answer, seen[row.name].summary
    assert training["status"] == row.outcome, training["error"] or summary
    _right_error(row, summary["last_error"])
    assert summary["last_error"]["stage"] == row.stage
    _right_counts(row, summary["error_counts"])
    assert summary["retryable_errors"] == (sum(summary["error_counts"].values()) if row.category.retryable else 0)
    [stage] = [stage for stage in summary["stages"] if stage["stage"] == row.stage]
    if row.mended:
        assert (summary["status"], stage["status"], training["error"]) == ("succeeded", "succeeded", None)
        assert stage["attempts"] > 1
    else:
        _right_end(row, training, summary, stage)
    _right[row.name] = summary["last_error"]["hint"]


def _right_end(row: Row, training: Json, summary: Json, stage: Json) -> None:
    """The job ended at that stage, the diagnosis says so, and the gateway says the same."""
    assert (summary["status"], summary["current_stage"], stage["status"]) == ("failed", row.stage, "failed")
    assert STAGE_WORDS[row.stage] in summary["diagnosis"]
    assert row.category.value in summary["diagnosis"]
    assert row.remedy in summary["diagnosis"]
    _right_error(row, training["error"])
    assert training["error"]["stage"] == row.stage
    assert training["error"]["message"] == summary["last_error"]["message"]
    assert summary["last_error"]["hint"].startswith(training["error"]["hint"])
    assert not training["error"]["hint"].startswith("It is tried again"), "nobody tries again"


def _right_error(row: Row, error: Json) -> None:
    assert (error["category"], error["retryable"]) == (row.category, row.category.retryable), error
    assert row.remedy in error["hint"], error
    assert error["message"], error
    assert row.names in error["message"], error


def _right_counts(row: Row, counts: dict[str, int]) -> None:
    """Nothing but what was injected was met; a run of hours meets what others do to the stack meanwhile."""
    assert counts.get(row.category.value, 0) >= 1, counts
    if row.scene != "endless":
        assert set(counts) <= {row.category.value, *row.also}, counts


@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", GENERATION_ROWS, ids=lambda row: row.name)
def test_a_generation_names_the_fault(seen: dict[str, Observation], row: Row) -> None:
    generation, events = seen[row.name].answer, seen[row.name].events
    errors = [event for event in events if event["subject"] in ("stage.retried", "stage.failed")]
    _right_counts(row, Counter(event["category"] for event in errors))
    assert {event["stage"] for event in events} == {row.stage}
    assert all(event["retryable"] == ErrorCategory(event["category"]).retryable for event in errors)
    fitting = [event for event in errors if event["category"] == row.category]
    told = fitting[0 if row.mended else -1]
    _right_error(row, told)
    _right[row.name] = told["hint"]
    if row.mended:
        assert (generation["status"], generation["error"]) == ("succeeded", None)
        assert generation["images"]
        assert max(event["attempt"] for event in events) > 1
    else:
        assert generation["status"] == "failed"
        _right_error(row, generation["error"])
        assert generation["error"]["hint"] == told["hint"]


def test_the_table_is_complete_and_written(request: pytest.FixtureRequest) -> None:
    """Every row of it was right; with --write-diagnosis the page says so."""
    if len(request.session.items) <= len(ROWS):
        pytest.skip("only a run of all rows makes the table")
    assert set(_right) == {row.name for row in ROWS}
    if request.config.getoption("--write-diagnosis"):
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        lines = table((row, _right[row.name]) for row in ROWS)
        PAGE.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}")
