"""A request's log tells which job it is about, crashes included."""

import logging

import httpx
import pytest
from fastapi import FastAPI

from fluxline.runtime.logs import get_logger, setup_logs
from fluxline_gateway.log_context import ids_in

ID = "7a1a1a60-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        (f"/v1/trainings/{ID}", {"training_id": ID}),
        (f"/v1/trainings/{ID.upper()}/events", {"training_id": ID}),
        (f"/v1/generations/{ID}", {"generation_id": ID}),
        (f"/v1/trainings/{ID}0", {}),
        ("/v1/trainings/------------------------------------", {}),
        (f"/v1/images/{ID}", {}),
        ("/v1/trainings/estimate", {}),
        (f"/x/v1/trainings/{ID}", {}),
    ],
)
def test_the_path_says_what_a_request_is_about(path: str, ids: dict[str, str]) -> None:
    assert ids_in(path) == ids


async def test_what_is_logged_while_a_request_is_answered_has_its_training(
    app: FastAPI, anonymous: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.get("/v1/trainings/{training_id}/crash")
    async def crash(training_id: str) -> None:
        get_logger("fluxline.test").info("working")
        raise RuntimeError("crash")

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        setup_logs("gateway", "INFO")
        assert (await anonymous.get(f"/v1/trainings/{ID}/crash")).status_code == 500
    finally:
        root.handlers, root.level = handlers, level
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if ID in line]) == len(lines) >= 2
