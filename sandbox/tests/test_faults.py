"""Planned faults, as a real HTTP client meets them on the wire."""

import json
import time
from typing import Any

import httpx
import pytest

from .stand import Stand

MODEL = {"owner": "fluxline-sandbox", "name": "m", "visibility": "private", "hardware": "cpu"}
CUT = (httpx.RemoteProtocolError, httpx.ReadError)


def create(stand: Stand, **headers: str) -> httpx.Response:
    return stand.http.post("/replicate/v1/models", json=MODEL, headers=auth(stand) | headers)


def account(stand: Stand, **options: Any) -> httpx.Response:
    return stand.http.get("/replicate/v1/account", headers=auth(stand), **options)


def exists(stand: Stand) -> bool:
    return stand.http.get("/replicate/v1/models/fluxline-sandbox/m", headers=auth(stand)).status_code == 200


def auth(stand: Stand) -> dict[str, str]:
    return {"authorization": f"Bearer {stand.replicate_token}"}


def test_a_dropped_request_has_no_effect_and_no_answer(stand: Stand) -> None:
    stand.fault("models.create", "drop_request")
    with pytest.raises(CUT):
        create(stand)
    assert not exists(stand)
    assert create(stand).status_code == 201


def test_a_dropped_answer_has_its_effect(stand: Stand) -> None:
    stand.fault("models.create", "drop_answer")
    with pytest.raises(CUT):
        create(stand)
    assert exists(stand)
    assert create(stand).status_code == 409


def test_a_status_is_answered_with_its_body_and_headers_before_any_effect(stand: Stand) -> None:
    stand.fault("models.create", "status", code=429, body={"detail": "slow down"}, headers={"Retry-After": "7"})
    answer = create(stand)
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (429, {"detail": "slow down"}, "7")
    assert not exists(stand)


def test_latency_delays_and_then_answers(stand: Stand) -> None:
    stand.fault("account", "latency", seconds=0.2)
    begin = time.monotonic()
    assert account(stand).status_code == 200
    assert time.monotonic() - begin >= 0.2


def test_latency_adds_to_another_fault(stand: Stand) -> None:
    stand.fault("account", "status", code=503)
    stand.fault("*", "latency", seconds=0.01, times=None)
    assert account(stand).status_code == 503
    assert stand.log()[-1]["fault"] == "latency+status"


def test_a_hang_lasts_until_the_client_gives_up(stand: Stand) -> None:
    stand.fault("account", "hang")
    with pytest.raises(httpx.ReadTimeout):
        account(stand, timeout=0.2)
    assert account(stand).status_code == 200


def test_a_hang_with_an_end_is_cut(stand: Stand) -> None:
    stand.fault("account", "hang", seconds=0.1)
    with pytest.raises(CUT):
        account(stand)


def test_a_flipped_answer_cannot_be_parsed(stand: Stand) -> None:
    stand.fault("account", "corrupt")
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        account(stand).json()


def test_a_truncated_answer_is_whole_for_http_but_not_for_json(stand: Stand) -> None:
    stand.fault("account", "corrupt", mode="truncate")
    answer = account(stand)
    assert len(answer.content) == int(answer.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_an_answer_can_break_off_half_way(stand: Stand) -> None:
    stand.fault("account", "corrupt", mode="cut")
    with pytest.raises(CUT):
        account(stand)


def test_a_fault_can_wait_and_repeat_and_be_cleared(stand: Stand) -> None:
    stand.fault("account", "status", code=500, after=1, times=2)
    assert [account(stand).status_code for _ in range(4)] == [200, 500, 500, 200]
    stand.fault("account", "status", times=None)
    assert [account(stand).status_code for _ in range(3)] == [500] * 3
    assert len(stand.http.get("/_sandbox/faults").json()) == 1
    assert stand.http.delete("/_sandbox/faults").status_code == 204
    assert account(stand).status_code == 200


def test_a_fault_of_another_provider_or_operation_does_not_touch_a_call(stand: Stand) -> None:
    stand.fault("*", "drop_request", provider="huggingface")
    stand.fault("trainings.create", "drop_request")
    stand.fault("generate", "drop_request")
    assert account(stand).status_code == 200


def test_a_request_can_carry_its_own_fault(stand: Stand) -> None:
    with pytest.raises(CUT):
        create(stand, **{"x-sandbox-fault": '{"kind": "drop_answer"}'})
    assert exists(stand)
    assert create(stand, **{"x-sandbox-fault": '{"kind": "explode"}'}).status_code == 400


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "account", "kind": "explode"},
        {"operation": "no.such", "kind": "hang"},
        {"operation": "account", "kind": "latency"},
        {"operation": "account", "kind": "status", "code": 200},
        {"operation": "account", "kind": "status", "headers": {"a": "b\r\nc: d"}},
        {"operation": "account", "kind": "hang", "provider": "aws"},
        {"operation": "account", "kind": "alter"},
        {"operation": "account", "kind": "alter", "body": [1]},
        {"operation": "account", "kind": "hang", "match": ""},
    ],
)
def test_an_impossible_fault_is_refused(stand: Stand, fault: dict[str, Any]) -> None:
    assert stand.http.post("/_sandbox/faults", json=[fault]).status_code == 422


def test_settings_change_partly_and_refuse_what_they_do_not_know(stand: Stand) -> None:
    stand.configure(list_lag_seconds=5)
    stand.configure(training_seconds=1)
    settings = stand.http.get("/_sandbox/settings").json()
    assert (settings["list_lag_seconds"], settings["training_seconds"]) == (5, 1)
    for wrong in ({"training_seconds": -1}, {"unknown": 1}, {"lora_blocks": 58}, {"webhook_retry_delays": [-1]}):
        assert stand.http.post("/_sandbox/settings", json=wrong).status_code == 422
    assert stand.http.get("/_sandbox/settings").json() == settings


def test_the_log_tells_calls_by_operation_without_tokens_or_queries(stand: Stand) -> None:
    create(stand)
    stand.http.get("/replicate/v1/trainings?cursor=secret", headers=auth(stand))
    log = stand.log()
    assert [(call["operation"], call["status"]) for call in log] == [("models.create", 201), ("trainings.list", 400)]
    assert "secret" not in json.dumps(log)
    assert stand.replicate_token not in json.dumps(log)
