"""The client against a gateway that refuses, restarts and breaks off."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline.contracts.limits import MAX_IMAGE_BYTES
from fluxline_cli import client as client_module
from fluxline_cli.client import Client
from fluxline_cli.errors import ApiProblem, Unreachable, Usage
from fluxline_cli.live import follow
from fluxline_cli.photos import Verdict, find, upload, upload_each, usable


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_PAUSE_S", 0.0)


class Script:
    """Answers in order; the last one for ever. An exception is raised instead of answered."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Client:
        return Client("http://gateway", "fl_key", transport=httpx.MockTransport(self.handle))


def sse(*events: tuple[int | None, str, dict[str, Any]]) -> httpx.Response:
    lines = [(f"id: {i}\n" if i is not None else "") + f"event: {n}\ndata: {json.dumps(d)}\n\n" for i, n, d in events]
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text="".join(lines))


def answer(body: dict[str, Any], status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


async def test_a_problem_document_becomes_an_error_with_hint_and_fields() -> None:
    problem = {
        "title": "Wrong request",
        "detail": "2 fields are wrong",
        "category": "validation",
        "hint": "Send 5 to 20 images.",
        "errors": [{"field": "image_ids", "message": "too few"}],
    }
    async with Script(answer(problem, 422)).client() as client:
        with pytest.raises(ApiProblem, match="2 fields are wrong") as refusal:
            await client.create_training({})
    assert refusal.value.hint == "Send 5 to 20 images."
    assert refusal.value.lines == ["image_ids: too few"]


async def test_an_answer_that_is_no_problem_document_is_still_readable() -> None:
    async with Script(httpx.Response(502, text="<html>")).client() as client:
        with pytest.raises(ApiProblem, match="Bad Gateway"):
            await client.get("/v1/limits")


async def test_a_call_is_repeated_with_the_same_key_while_the_gateway_restarts() -> None:
    script = Script(httpx.ConnectError("refused"), answer({}, 503), answer({"id": "t"}, 202))
    async with script.client() as client:
        assert await client.create_training({"name": "x"}) == {"id": "t"}
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 1


async def test_a_gateway_that_stays_away_is_named_with_the_remedy() -> None:
    async with Script(httpx.ConnectError("refused")).client() as client:
        with pytest.raises(Unreachable, match="http://gateway") as failure:
            await client.get("/v1/limits")
    assert "fluxline up" in failure.value.hint


async def test_a_broken_stream_goes_on_where_it_was_and_no_event_is_lost_or_repeated() -> None:
    running, ended = {"status": "training"}, {"status": "completed"}
    first = sse((4, "snapshot", running), (5, "zip.created", {"id": 5}))
    second = sse((7, "snapshot", ended), (6, "training.started", {"id": 6}), (7, "model.published", {"id": 7}))
    script = Script(first, answer(running), second, answer(ended), answer({"items": [], "next_cursor": None}))
    async with script.client() as client:
        events = [event async for event in follow(client, "t")]
    assert [event.data["id"] for event in events if event.type != "snapshot"] == [5, 6, 7]
    assert script.requests[2].headers["last-event-id"] == "5"


async def test_each_photo_gets_its_own_verdict(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"photo")

    async def gateway(request: httpx.Request) -> httpx.Response:
        if b'filename="a.jpg"' in await request.aread():
            return answer({"accepted": [{"id": "1", "warnings": []}], "rejected": []}, 201)
        return answer({"accepted": [], "rejected": [{"filename": "b.jpg", "code": "x", "reason": "no photo"}]}, 201)

    seen: list[Verdict] = []
    async with Client("http://gateway", "fl_key", transport=httpx.MockTransport(gateway)) as client:
        verdicts = await upload(client, find([tmp_path]), seen.append)
    assert [(verdict.path.name, verdict.image_id, verdict.reason) for verdict in verdicts] == [
        ("a.jpg", "1", ""),
        ("b.jpg", None, "no photo"),
    ]
    assert len(seen) == 2


async def test_photos_are_sent_three_at_a_time_and_answered_in_the_order_given(tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(7)]
    for photo in photos:
        photo.write_bytes(b"photo")
    with photos[4].open("wb") as large:
        large.truncate(MAX_IMAGE_BYTES + 1)
    running, most, full = 0, 0, asyncio.Event()

    async def gateway(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()
        running -= 1
        [name] = re.findall(rb'filename="([^"]+)"', await request.aread())
        return answer({"accepted": [{"id": name.decode()}], "rejected": []}, 201)

    async with asyncio.timeout(5), Client("http://g", "fl_key", transport=httpx.MockTransport(gateway)) as client:
        answers = await upload_each(client, photos)
    assert most == 3
    names = [(item["accepted"] or item["rejected"])[0] for item in answers]
    assert [name.get("id") for name in names] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", None, "5.jpg", "6.jpg"]
    assert (names[4]["code"], names[4]["filename"]) == ("too_large", "4.jpg")  # and never sent


def test_four_usable_photos_are_too_few_and_the_message_says_how_many_are_needed() -> None:
    verdicts = [Verdict(Path("a"), str(number)) for number in range(4)] + [Verdict(Path("b"), None, "blurred")]
    with pytest.raises(Usage, match=r"only 4 of 5 photos .* needs 5 to 20"):
        usable(verdicts)


def test_the_same_photo_twice_counts_once() -> None:
    with pytest.raises(Usage, match="only 1 of 5"):
        usable([Verdict(Path("a"), "1")] * 5)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="there is no such file"):
        find([tmp_path / "missing"])
    with pytest.raises(Usage, match="holds no files"):
        find([tmp_path])
