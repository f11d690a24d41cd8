"""Cancel, retry and delete: what is asked of the gateway, and what a person is told."""

import json

import httpx
import pytest
from typer.testing import CliRunner

from fluxline_cli import actions
from fluxline_cli import client as client_module
from fluxline_cli.client import Client
from fluxline_cli.main import app

TRAINING = {"id": "t1", "status": "canceling"}
HEARTBEAT = ": still here\n\n"


class Gateway:
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway()
    transport = httpx.MockTransport(gateway.handle)
    monkeypatch.setattr(actions, "connect", lambda: Client("http://gateway", "fl_key", transport=transport))
    monkeypatch.setattr(client_module, "LONGEST_PAUSE_S", 0.0)
    return gateway


def answer(status: int, body: object = None) -> httpx.Response:
    return httpx.Response(status, json=body)


def fluxline(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_cancel_says_what_the_training_is_now(gateway: Gateway) -> None:
    gateway.answers = [answer(202, TRAINING)]
    assert fluxline("cancel", "t1")[:2] == (0, "training t1: canceling\n")
    assert gateway.asked == ["POST /v1/trainings/t1/cancel"]


def test_cancel_as_json_is_the_training_and_nothing_else(gateway: Gateway) -> None:
    gateway.answers = [answer(202, TRAINING)]
    _, out, _ = fluxline("cancel", "t1", "--json")
    assert json.loads(out) == TRAINING


def test_a_training_that_cannot_be_canceled_is_status_1(gateway: Gateway) -> None:
    problem = {"title": "Conflict", "detail": "The training has completed.", "hint": "Delete it instead."}
    gateway.answers = [answer(409, problem)]
    assert fluxline("cancel", "t1")[:2] == (1, "")


def test_a_retry_after_a_lost_answer_is_the_same_retry(gateway: Gateway) -> None:
    gateway.answers = [httpx.ReadError("lost"), answer(202, {"id": "t1", "status": "training"})]
    assert fluxline("retry", "t1")[:2] == (0, "training t1: training\n")
    assert gateway.asked == ["POST /v1/trainings/t1/retry"] * 2
    assert len({request.headers["idempotency-key"] for request in gateway.requests}) == 1


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [("completed", 0, "training t1: completed"), ("failed", 1, "training t1: failed")],
)
def test_a_followed_retry_ends_as_the_training_does(gateway: Gateway, status: str, code: int, said: str) -> None:
    training = {"id": "t1", "status": status, "stage": None, "progress": 100, "error": None}
    stream = f"id: 1\nevent: snapshot\ndata: {json.dumps(training)}\n\n{HEARTBEAT}{HEARTBEAT}"
    gateway.answers = [
        answer(202, {"id": "t1", "status": "training"}),
        httpx.Response(200, headers={"content-type": "text/event-stream"}, text=stream),
        answer(200, training),
        answer(200, {"items": [], "next_cursor": None}),
        answer(200, training),
    ]
    result = fluxline("retry", "t1", "--follow")
    assert result[0] == code
    assert said in result[1]


def test_delete_removes_at_once_what_has_ended(gateway: Gateway) -> None:
    gateway.answers = [answer(200, TRAINING), httpx.Response(204)]
    assert fluxline("delete", "t1", "--yes")[:2] == (0, "training t1 is deleted\n")
    assert gateway.asked[-1] == "DELETE /v1/trainings/t1?keep_repository=false"


def test_delete_cancels_what_runs_and_keeps_the_repository_on_request(gateway: Gateway) -> None:
    gateway.answers = [answer(200, TRAINING), answer(202, TRAINING)]
    code, out, _ = fluxline("delete", "t1", "--yes", "--keep-repository")
    assert (code, out) == (0, "training t1 is being canceled, and then deleted\n")
    assert gateway.asked[-1] == "DELETE /v1/trainings/t1?keep_repository=true"


def test_a_deletion_whose_answer_was_lost_has_succeeded(gateway: Gateway) -> None:
    gateway.answers = [answer(200, TRAINING), httpx.ReadError("lost"), answer(404, {"title": "Not Found"})]
    assert fluxline("delete", "t1", "--yes")[0] == 0


def test_a_training_that_never_was_is_not_reported_as_deleted(gateway: Gateway) -> None:
    gateway.answers = [answer(404, {"title": "Not Found"})]
    assert fluxline("delete", "t1", "--yes")[0] == 1
    assert gateway.asked == ["GET /v1/trainings/t1"]


def test_nothing_is_deleted_without_a_yes(gateway: Gateway) -> None:
    assert fluxline("delete", "t1")[0] == 2
    assert gateway.asked == []
