"""The log is JSON for machines and columns for people, and says in both of which trace, span and job a line is."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from structlog.contextvars import bound_contextvars

from fluxline.runtime.logs import get_logger, setup_logs


@pytest.fixture(autouse=True)
def root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str, str]:
    """What is logged within a span, and the ids that it was logged with."""
    setup_logs("zipper", "INFO")
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span, bound_contextvars(training_id="t-1"):
        get_logger("fluxline.test").info("zip.stored", size_bytes=5)
    ids = span.get_span_context()
    return capsys.readouterr().err, f"{ids.trace_id:032x}", f"{ids.span_id:016x}"


def test_a_line_for_machines_names_trace_span_and_job(capsys: pytest.CaptureFixture[str]) -> None:
    text, trace_id, span_id = said(capsys)
    line = json.loads(text)
    assert (line["trace_id"], line["span_id"], line["training_id"]) == (trace_id, span_id, "t-1")
    assert (line["event"], line["size_bytes"], line["service"]) == ("zip.stored", 5, "zipper")


def test_a_line_on_a_terminal_is_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    text, trace_id, _ = said(capsys)
    assert not text.startswith("{")
    assert "zip.stored" in text
    assert trace_id in text


def test_outside_of_a_span_no_ids_are_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logs("zipper", "INFO")
    get_logger("fluxline.test").info("alone")
    assert not {"trace_id", "span_id"} & set(json.loads(capsys.readouterr().err))
