"""The console view: one line an event, as the seed of the product drew it."""

from fluxline_cli.view import line_of_event


def event(kind: str, **more: object) -> dict[str, object]:
    base = {"id": 1, "type": kind, "stage": None, "category": None, "attempt": None, "duration_ms": None, "data": {}}
    return {**base, **more}


def test_a_milestone_is_a_blue_info_line_with_stage_message_and_data() -> None:
    line = line_of_event(event("zip.created", stage="zip_creation", data={"image_count": 10, "size_bytes": 5}))
    assert line == (
        "🔵 TRAINING INFO: { stage: 'zip_creation', message: 'Archive of 10 images created', "
        "data: { image_count: 10, size_bytes: 5 } }"
    )


def test_progress_is_a_green_debug_line() -> None:
    line = line_of_event(event("zip.progressed", data={"done": 1, "total": 10, "current": "image_001.jpg"}))
    assert line.startswith("🟢 TRAINING DEBUG: { message: 'Processed image 1/10'")


def test_a_retry_is_a_yellow_warning_that_says_when_and_why() -> None:
    data = {"message": "Network timeout", "next_attempt_at": "2026-01-01T00:00:02Z", "hint": ""}
    line = line_of_event(event("stage.retried", stage="zip_creation", attempt=1, data=data))
    assert line.startswith("🟡 TRAINING WARNING:")
    assert "ZIP creation: attempt 1 failed, next at 00:00:02 UTC: Network timeout" in line


def test_a_failure_is_a_red_error_with_category_and_whether_it_is_retried() -> None:
    data = {"message": "The token was refused", "hint": "Check HUGGINGFACE_API_TOKEN", "retryable": False}
    line = line_of_event(
        event("stage.failed", stage="huggingface_upload", category="authentication", attempt=2, data=data)
    )
    assert line.startswith(
        "🔴 TRAINING ERROR: { stage: 'huggingface_upload', message: 'Publishing failed in attempt 2: "
    )
    assert "The token was refused" in line
    assert "category: 'authentication', retryable: false" in line
    assert "Check HUGGINGFACE_API_TOKEN" in line


def test_control_characters_of_a_message_cannot_move_the_cursor() -> None:
    line = line_of_event(event("stage.failed", data={"message": "bad\x1b[2Jname\n"}))
    assert line.isprintable()


def test_an_event_of_a_later_version_is_shown_by_its_type() -> None:
    assert "message: 'model.audited'" in line_of_event(event("model.audited"))
