"""The adapter against the sandbox, through the unmodified client, and against a wire that misbehaves."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline_trainer.errors import AnswerUnreadable, DownloadRefused, NotFound, ProviderError, Throttled
from fluxline_trainer.provider import Order
from fluxline_trainer.replicate_api import ReplicateApi
from fluxline_trainer.replicate_download import download

from .bench import Bench, Stand

TRAINER = "ostris/flux-dev-lora-trainer"
BASE = "https://api.replicate.com"
TOKEN = "r8_" + "a1" * 18


async def order(api: ReplicateApi, **inputs: Any) -> Order:
    owner = await api.account()
    await api.ensure_destination(owner, "m")
    values: dict[str, Any] = {"input_images": "http://127.0.0.1:1/zips/x.zip?signature=1", **inputs}
    return Order(TRAINER, await api.latest_version(TRAINER), f"{owner}/m", values)


async def test_a_destination_that_exists_is_as_good_as_a_new_one(bench: Bench) -> None:
    api = bench.api()
    owner = await api.account()
    await api.ensure_destination(owner, "m")
    await api.ensure_destination(owner, "m")


async def test_a_created_training_is_found_in_the_list_with_its_tags(bench: Bench) -> None:
    api = bench.api()
    placed = await order(api)
    created = [await api.create(placed) for _ in range(3)]
    listed = [run async for run in api.newest_first()]
    assert [run.id for run in listed] == [run.id for run in reversed(created)]
    assert listed[0].destination == placed.destination
    assert listed[0].created_at is not None


async def test_the_list_is_followed_over_its_pages(bench: Bench) -> None:
    api = bench.api()
    bench.stand.configure(training_seconds=60)
    placed = await order(api)
    for _ in range(11):
        await asyncio.gather(*(api.create(placed) for _ in range(10)))
    assert len({run.id async for run in api.newest_first()}) == 110


async def test_an_invalid_input_is_refused_with_the_fields_names(bench: Bench) -> None:
    api = bench.api()
    with pytest.raises(ProviderError, match=r"input\.steps: Must be less than or equal to 6000") as refused:
        await api.create(await order(api, steps=7000))
    assert (refused.value.category, refused.value.ambiguous) == (ErrorCategory.VALIDATION, False)


async def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    api = bench.api()
    with pytest.raises(NotFound):
        await api.get("nothing")
    with pytest.raises(NotFound):
        await api.latest_version("nobody/nothing")


async def test_the_longer_of_two_stated_waits_counts(bench: Bench, stand: Stand) -> None:
    stand.fault("account", "status", code=429, body={"retry_after": 3}, headers={"Retry-After": "9"})
    with pytest.raises(Throttled) as refused:
        await bench.api().account()
    assert refused.value.retry_after_s == 9


@pytest.mark.parametrize(
    ("fault", "category"),
    [
        ({"kind": "status", "code": 401}, ErrorCategory.AUTHENTICATION),
        ({"kind": "status", "code": 403}, ErrorCategory.AUTHENTICATION),
        ({"kind": "status", "code": 402}, ErrorCategory.BILLING),
        ({"kind": "status", "code": 408}, ErrorCategory.TIMEOUT),
        ({"kind": "status", "code": 418}, ErrorCategory.VALIDATION),
        ({"kind": "status", "code": 500, "body": "<html>oops"}, ErrorCategory.SERVICE_ERROR),
        ({"kind": "status", "code": 504}, ErrorCategory.TIMEOUT),
        ({"kind": "hang", "seconds": 30}, ErrorCategory.TIMEOUT),
        ({"kind": "drop_request"}, ErrorCategory.NETWORK),
        ({"kind": "drop_answer"}, ErrorCategory.NETWORK),
        ({"kind": "corrupt", "mode": "flip"}, ErrorCategory.SERVICE_ERROR),
        ({"kind": "corrupt", "mode": "cut"}, ErrorCategory.NETWORK),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value.value,
)
async def test_each_failure_has_its_category_and_is_met_once(
    bench: Bench, stand: Stand, fault: dict[str, Any], category: ErrorCategory
) -> None:
    stand.fault("account", **fault)
    with pytest.raises(ProviderError) as refused:
        await bench.api(request_timeout_s=1 if fault["kind"] == "hang" else 30).account()
    assert refused.value.category is category
    assert len(stand.calls("account")) == 1
    assert refused.value.hint


@pytest.mark.parametrize(
    ("operation", "answer"),
    [("account", {"username": TOKEN}), ("models.get", {"latest_version": {"id": TOKEN}}), ("trainings.list", None)],
    ids=["username", "version", "id"],
)
async def test_an_id_that_looks_like_a_credential_is_not_kept(
    bench: Bench, stand: Stand, operation: str, answer: dict[str, Any] | None
) -> None:
    run = {"id": TOKEN, "status": "starting"}
    stand.fault(operation, "alter", body=answer or {"results": [run], "next": None})
    api = bench.api()
    calls = {
        "account": api.account,
        "models.get": lambda: api.latest_version(TRAINER),
        "trainings.list": lambda: anext(api.newest_first()),
    }
    with pytest.raises(AnswerUnreadable) as refused:
        await calls[operation]()
    assert TOKEN not in refused.value.message


async def test_a_server_that_is_not_there_is_no_doubt(bench: Bench) -> None:
    with pytest.raises(ProviderError) as refused:
        await bench.api(replicate_base_url="http://127.0.0.1:1").account()
    assert (refused.value.category, refused.value.ambiguous) == (ErrorCategory.NETWORK, False)


@pytest.mark.parametrize("body", [[], {"id": 7}, {"id": "../x", "status": "starting"}, {"id": "x", "status": "odd"}])
async def test_an_answer_that_is_no_training_is_refused(bench: Bench, body: Any) -> None:
    api = bench.api()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    api._client._client_kwargs["mounts"] = {"all://": transport}  # the client opens with the first call
    with pytest.raises(AnswerUnreadable) as refused:
        await api.get("x")
    assert refused.value.ambiguous


Answer = Callable[[httpx.Request], httpx.Response]


async def fetched(url: str, target: Path, answer: Answer, *, max_bytes: int = 100) -> None:
    headers = {"authorization": "Bearer r8_secret"}
    async with httpx.AsyncClient(headers=headers, transport=httpx.MockTransport(answer)) as http:
        await download(http, url, target, base_url=BASE, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://api.replicate.com/v1/files/x", True),
        ("https://replicate.delivery/x.tar", True),
        ("https://a.b.replicate.delivery/x.tar", True),
        ("https://replicate.delivery.evil.example/x.tar", False),
        ("https://evilreplicate.delivery/x.tar", False),
        ("https://storage.googleapis.com/x.tar", False),
        ("https://replicate.com@evil.example/x.tar", False),
    ],
)
async def test_the_token_goes_to_replicates_own_hosts_only(tmp_path: Path, url: str, token: bool) -> None:
    seen: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization") == "Bearer r8_secret")
        return httpx.Response(200, content=b"tar")

    await fetched(url, tmp_path / "tar", answer)
    assert (seen, (tmp_path / "tar").read_bytes()) == ([token], b"tar")


async def test_the_token_does_not_follow_a_redirect_elsewhere(tmp_path: Path) -> None:
    seen: dict[str, bool] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = "authorization" in request.headers
        if request.url.host == "replicate.delivery":
            return httpx.Response(302, headers={"location": "https://cdn.example/x.tar"})
        return httpx.Response(200, content=b"tar")

    await fetched("https://replicate.delivery/x.tar", tmp_path / "tar", answer)
    assert seen == {"replicate.delivery": True, "cdn.example": False}


@pytest.mark.parametrize(
    "url", ["http://replicate.delivery/x", "file:///etc/passwd", "ftp://x/y", "", "https://", "https://[x"]
)
async def test_other_addresses_are_not_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadRefused):
        await fetched(url, tmp_path / "tar", lambda _: httpx.Response(200))


@pytest.mark.parametrize("headers", [{}, {"content-length": "101"}])
async def test_a_result_that_is_too_large_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async def endless() -> Any:
        for _ in range(101):
            yield b"x"

    with pytest.raises(DownloadRefused, match="larger"):
        await fetched(
            "https://replicate.delivery/x",
            tmp_path / "tar",
            lambda _: httpx.Response(200, content=endless(), headers=headers),
        )


@pytest.mark.parametrize(
    ("host", "status", "category"),
    [
        ("replicate.delivery", 404, ErrorCategory.FILE_ERROR),
        ("replicate.delivery", 503, ErrorCategory.SERVICE_ERROR),
        ("replicate.delivery", 401, ErrorCategory.AUTHENTICATION),
        ("replicate.delivery", 403, ErrorCategory.AUTHENTICATION),
        ("cdn.example", 403, ErrorCategory.FILE_ERROR),
    ],
)
async def test_a_result_that_is_refused_says_whether_trying_helps(
    tmp_path: Path, host: str, status: int, category: ErrorCategory
) -> None:
    with pytest.raises((DownloadRefused, ProviderError)) as refused:
        await fetched(f"https://{host}/x", tmp_path / "tar", lambda _: httpx.Response(status))
    assert refused.value.category is category
