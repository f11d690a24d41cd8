"""Photos that go straight to the storage: announced, sent by links, completed; whatever is interrupted or repeated."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.storage import Storage, StorageUnreachable
from fluxline.storage.local import LocalStorage
from fluxline.storage.s3 import S3Storage
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.images import direct_uploads, upload_claims, upload_completion
from fluxline_gateway.images.upload_claims import UploadClaimed, claimed
from fluxline_gateway.images.upload_store import UploadStore
from fluxline_gateway.images.uploads import UploadSlots
from photos import jpeg_bytes, scene
from polling import poll_until
from servers import SeaweedServer

ClientOf = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]
PATH = "/v1/images/uploads"
PHOTOS = [jpeg_bytes(scene((600, 600), seed)) for seed in range(3)]
NO_PHOTO = b"no photo at all"


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Every kind of storage."""
    storage: LocalStorage | S3Storage
    if request.param == "local":
        storage = LocalStorage(tmp_path / "storage", "http://gateway.test", b"s" * 32)
    else:
        seaweed: SeaweedServer = request.getfixturevalue("seaweed")
        storage = S3Storage(
            endpoint=seaweed.endpoint,
            bucket=seaweed.bucket,
            access_key_id=seaweed.access_key,
            secret_access_key=seaweed.secret_key,
        )
        for prefix in ("uploads/", "incoming/"):
            async for item in storage.list(prefix):
                await storage.delete(item.key)
    yield storage
    await storage.close()


only_local = pytest.mark.parametrize("storage", ["local"], indirect=True)


@pytest.fixture
async def sender(storage: Storage, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Someone who has nothing but links."""
    transport = httpx.ASGITransport(app) if isinstance(storage, LocalStorage) else None
    async with httpx.AsyncClient(transport=transport, trust_env=False) as sender:
        yield sender


def announced(*contents: bytes, sha256: bool = False) -> dict[str, Any]:
    files = [
        {"filename": f"{n}.jpg", "size_bytes": len(content)}
        | ({"sha256": hashlib.sha256(content).hexdigest()} if sha256 else {})
        for n, content in enumerate(contents, 1)
    ]
    return {"files": files}


async def announce(client: httpx.AsyncClient, *contents: bytes, sha256: bool = False) -> dict[str, Any]:
    answer = await client.post(PATH, json=announced(*contents, sha256=sha256))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/{answer.json()['id']}"
    return cast(dict[str, Any], answer.json())


async def send(sender: httpx.AsyncClient, file: dict[str, Any], content: bytes) -> None:
    answer = await sender.request(file["method"], file["url"], content=content, headers=file["headers"])
    assert answer.status_code == 200, answer.text


async def complete(client: httpx.AsyncClient, upload: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(f"{PATH}/{upload['id']}/complete")
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


async def seen(client: httpx.AsyncClient, upload: dict[str, Any]) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], (await client.get(f"{PATH}/{upload['id']}")).json()["files"])


async def staged(storage: Storage) -> list[str]:
    return [item.key async for item in storage.list("incoming/")]


def codes(verdicts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file["filename"], file["code"]) for file in verdicts["rejected"]]


async def test_files_that_were_sent_by_their_links_are_the_images_that_an_upload_would_give(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, storage: Storage
) -> None:
    upload = await announce(client, *PHOTOS)
    for file, photo in zip(upload["files"], PHOTOS, strict=True):
        await send(sender, file, photo)
    assert [file["received"] for file in await seen(client, upload)] == [True] * 3
    verdicts = await complete(client, upload)
    assert [image["filename"] for image in verdicts["accepted"]] == ["1.jpg", "2.jpg", "3.jpg"]
    assert await staged(storage) == []
    multipart = await client.post("/v1/images", files=[("files", ("a.jpg", photo)) for photo in PHOTOS])
    ids = [image["id"] for image in verdicts["accepted"]]
    assert [image["id"] for image in multipart.json()["accepted"]] == ids
    content = await client.get(f"/v1/images/{ids[1]}/content")
    assert content.content == PHOTOS[1]
    assert [file["image"]["id"] for file in await seen(client, upload)] == ids


async def test_a_file_that_has_not_arrived_is_missing_until_it_is_sent(
    client: httpx.AsyncClient, sender: httpx.AsyncClient
) -> None:
    upload = await announce(client, PHOTOS[0], PHOTOS[1])
    await send(sender, upload["files"][1], PHOTOS[1])
    assert [file["received"] for file in await seen(client, upload)] == [False, True]
    first = await complete(client, upload)
    assert codes(first) == [("1.jpg", "missing")]
    [file, _] = await seen(client, upload)
    await send(sender, file, PHOTOS[0])
    second = await complete(client, upload)
    assert codes(second) == []
    assert second["accepted"][1]["id"] == first["accepted"][0]["id"]


async def test_every_file_has_a_verdict_of_its_own_and_keeps_it(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, storage: Storage
) -> None:
    upload = await announce(client, NO_PHOTO, PHOTOS[0], PHOTOS[0][:5000])
    for file, content in zip(upload["files"], (NO_PHOTO, PHOTOS[0], PHOTOS[0][:5000]), strict=True):
        await send(sender, file, content)
    first = await complete(client, upload)
    assert codes(first) == [("1.jpg", "not_an_image"), ("3.jpg", "truncated")]
    assert await complete(client, upload) == first
    assert await staged(storage) == []
    files = await seen(client, upload)
    assert [file["rejected"] and file["rejected"]["code"] for file in files] == ["not_an_image", None, "truncated"]
    assert [file["received"] for file in files] == [False, True, False]


async def test_a_file_that_arrived_damaged_can_be_sent_again(
    client: httpx.AsyncClient, sender: httpx.AsyncClient
) -> None:
    upload = await announce(client, PHOTOS[0], sha256=True)
    await send(sender, upload["files"][0], bytes(len(PHOTOS[0])))
    assert codes(await complete(client, upload)) == [("1.jpg", "checksum_mismatch")]
    [file] = await seen(client, upload)
    await send(sender, file, PHOTOS[0])
    assert codes(await complete(client, upload)) == []
    assert [file["rejected"] for file in await seen(client, upload)] == [None]


async def test_a_file_of_another_size_than_announced_is_not_even_read(
    client: httpx.AsyncClient, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await announce(client, PHOTOS[0])
    key = f"incoming/ada/{upload['id']}/1"
    await storage.put(key, PHOTOS[0] + b"x", content_type="image/jpeg")

    async def get(*_: object) -> None:
        raise AssertionError("it was downloaded")

    monkeypatch.setattr(storage, "get", get)
    assert codes(await complete(client, upload)) == [("1.jpg", "size_mismatch")]
    assert await staged(storage) == []


async def test_an_image_that_is_known_by_its_hash_needs_no_sending(
    client: httpx.AsyncClient, client_of: ClientOf, sender: httpx.AsyncClient
) -> None:
    known = (await client.post("/v1/images", files=[("files", ("a.jpg", PHOTOS[0]))])).json()["accepted"][0]
    upload = await announce(client, PHOTOS[0], PHOTOS[1], sha256=True)
    first, second = upload["files"]
    assert (first["url"], first["headers"], first["received"], first["image"]["id"]) == (None, {}, True, known["id"])
    assert (second["received"], second["image"]) == (False, None)
    await send(sender, second, PHOTOS[1])
    verdicts = await complete(client, upload)
    assert [image["filename"] for image in verdicts["accepted"]] == [known["filename"], "2.jpg"]
    assert verdicts["accepted"][0]["id"] == known["id"]
    async with client_of("bob") as bob:
        assert (await announce(bob, PHOTOS[0], sha256=True))["files"][0]["image"] is None


async def test_an_image_that_was_deleted_since_is_missing_and_may_be_sent_again(
    client: httpx.AsyncClient, sender: httpx.AsyncClient
) -> None:
    upload = await announce(client, PHOTOS[0])
    await send(sender, upload["files"][0], PHOTOS[0])
    [image] = (await complete(client, upload))["accepted"]
    assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 204
    assert codes(await complete(client, upload)) == [("1.jpg", "missing")]
    [file] = await seen(client, upload)
    assert (file["image"], file["received"]) == (None, False)
    await send(sender, file, PHOTOS[0])
    assert len((await complete(client, upload))["accepted"]) == 1


@only_local
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size_bytes", 0),
        ("size_bytes", -1),
        ("size_bytes", 25 * 1024 * 1024 + 1),
        ("size_bytes", "7"),
        ("size_bytes", True),
        ("filename", ""),
        ("filename", "a" * 256),
        ("sha256", "ABC"),
        ("sha256", "A" * 64),
        ("url", "https://example.com"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_its_field(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    body = announced(*PHOTOS)
    body["files"][2][field] = value
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"files.2.{field}"]


@only_local
@pytest.mark.parametrize("count", [0, 51])
async def test_an_upload_has_one_to_fifty_files(client: httpx.AsyncClient, count: int) -> None:
    answer = await client.post(PATH, json={"files": [{"filename": "a", "size_bytes": 1}] * count})
    assert [error["field"] for error in answer.json()["errors"]] == ["files"]
    most = await client.post(PATH, json={"files": [{"filename": "a", "size_bytes": 1}] * 50})
    assert [file["number"] for file in most.json()["files"]] == list(range(1, 51))


@only_local
async def test_a_hostile_file_name_is_one_harmless_line(client: httpx.AsyncClient) -> None:
    body = {"files": [{"filename": "../a\u0000\n\u202eb.jpg", "size_bytes": 1}]}
    [file] = (await client.post(PATH, json=body)).json()["files"]
    assert file["filename"] == "../a b.jpg"
    assert "/1?" in file["url"]


@only_local
async def test_an_upload_that_is_announced_twice_with_one_key_is_one(
    client: httpx.AsyncClient, database: Database
) -> None:
    key = {"Idempotency-Key": "a-click"}
    first, second = [await client.post(PATH, json=announced(*PHOTOS), headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotent-replayed"] == "true"
    assert await database.pool.fetchval("SELECT count(*) FROM image_uploads") == 1
    other = await client.post(PATH, json=announced(PHOTOS[0]), headers=key)
    assert other.status_code == 422


@only_local
async def test_another_owners_upload_does_not_exist(
    client: httpx.AsyncClient, client_of: ClientOf, anonymous: httpx.AsyncClient, sender: httpx.AsyncClient
) -> None:
    upload = await announce(client, PHOTOS[0])
    await send(sender, upload["files"][0], PHOTOS[0])
    async with client_of("bob") as bob:
        for who, status in ((bob, 404), (anonymous, 401)):
            assert (await who.get(f"{PATH}/{upload['id']}")).status_code == status
            assert (await who.post(f"{PATH}/{upload['id']}/complete")).status_code == status
        nobodys = await bob.get(f"{PATH}/{uuid4()}")
        assert nobodys.json()["title"] == "Upload not found"
    assert len((await complete(client, upload))["accepted"]) == 1


@only_local
async def test_an_upload_expires_and_says_so(client: httpx.AsyncClient, database: Database) -> None:
    upload = await announce(client, PHOTOS[0])
    await database.pool.execute("UPDATE image_uploads SET expires_at = now() - interval '1 second'")
    for answer in (
        await client.get(f"{PATH}/{upload['id']}"),
        await client.post(f"{PATH}/{upload['id']}/complete"),
    ):
        assert (answer.status_code, answer.json()["title"]) == (404, "Upload expired")
        assert "24 hours" in answer.json()["hint"]


def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are judged from now on."""
    names: list[str] = []
    judge = upload_completion.judge

    async def counted(*arguments: Any) -> Any:
        names.append(arguments[3])
        return await judge(*arguments)

    monkeypatch.setattr(upload_completion, "judge", counted)
    return names


@only_local
async def test_two_completions_at_once_give_the_same_verdicts_and_judge_each_file_once(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_claims, "WAIT_S", 60)
    names = judged(monkeypatch)
    upload = await announce(client, *PHOTOS, NO_PHOTO)
    for file, content in zip(upload["files"], (*PHOTOS, NO_PHOTO), strict=True):
        await send(sender, file, content)
    answers = await asyncio.gather(*(complete(client, upload) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert (len(answers[0]["accepted"]), codes(answers[0])) == (3, [("4.jpg", "not_an_image")])
    assert sorted(names) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]


@only_local
async def test_another_gateway_completes_what_one_has_announced(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, gateway: Gateway
) -> None:
    upload = await announce(client, PHOTOS[0])
    await send(sender, upload["files"][0], PHOTOS[0])
    other = Gateway(gateway.settings, gateway.database, gateway.bus, gateway.storage, gateway.live)
    app = make_app(other, routers(other.storage), probes={}, tracer_provider=make_tracer_provider("gateway", None))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=client.base_url, headers=client.headers) as second:
        assert (await seen(second, upload))[0]["received"]
        assert len((await complete(second, upload))["accepted"]) == 1
    await other.http.aclose()


@only_local
async def test_an_upload_that_another_gateway_is_completing_is_busy_until_that_one_is_gone(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_claims, "WAIT_S", 0.2)
    upload = await announce(client, PHOTOS[0])
    await send(sender, upload["files"][0], PHOTOS[0])
    died = "UPDATE image_uploads SET claim = gen_random_uuid(), claimed_until = now() + $1::interval"
    await database.pool.execute(died, timedelta(minutes=1))
    busy = await client.post(f"{PATH}/{upload['id']}/complete")
    assert (busy.status_code, busy.json()["title"]) == (409, "Upload being completed")
    assert int(busy.headers["retry-after"]) > 0
    await database.pool.execute(died, timedelta(seconds=-1))
    assert len((await complete(client, upload))["accepted"]) == 1


@only_local
async def test_a_claim_outlives_its_term_while_its_holder_lives(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = UUID((await announce(client, PHOTOS[0]))["id"])
    monkeypatch.setattr(upload_claims, "CLAIM", timedelta(seconds=0.4))
    monkeypatch.setattr(upload_claims, "WAIT_S", 1.2)
    async with claimed(database, upload_id):
        with pytest.raises(UploadClaimed):
            async with claimed(database, upload_id):
                pass
    async with claimed(database, upload_id):
        pass


@only_local
async def test_a_claim_outlives_a_database_that_is_away_for_a_moment(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = UUID((await announce(client, PHOTOS[0]))["id"])
    monkeypatch.setattr(upload_claims, "CLAIM", timedelta(seconds=0.4))
    monkeypatch.setattr(upload_claims, "WAIT_S", 1.2)
    claim, holders = upload_claims._claim, list[UUID]()

    async def claims(database: Database, upload_id: UUID, holder: UUID) -> bool:
        holders.append(holder)
        if len(holders) == 2:
            raise asyncpg.ConnectionDoesNotExistError("away")
        return await claim(database, upload_id, holder)

    monkeypatch.setattr(upload_claims, "_claim", claims)
    async with claimed(database, upload_id):
        await poll_until(lambda: len(holders) >= 2)
        with pytest.raises(UploadClaimed):
            async with claimed(database, upload_id):
                pass
    assert holders[1] == holders[0]


@only_local
@pytest.mark.parametrize("broken", ["settle", "delete"])
async def test_a_completion_that_breaks_off_is_finished_by_the_next(
    client: httpx.AsyncClient,
    sender: httpx.AsyncClient,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    upload = await announce(client, *PHOTOS)
    for file, photo in zip(upload["files"], PHOTOS, strict=True):
        await send(sender, file, photo)
    where: Any = UploadStore if broken == "settle" else storage
    works, calls = getattr(where, broken), 0

    async def breaks_off(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StorageUnreachable
        await works(*arguments, **named)

    monkeypatch.setattr(where, broken, breaks_off)
    assert (await client.post(f"{PATH}/{upload['id']}/complete")).status_code == 503
    assert await staged(storage) != []
    verdicts = await complete(client, upload)
    assert [image["filename"] for image in verdicts["accepted"]] == ["1.jpg", "2.jpg", "3.jpg"]
    assert await staged(storage) == []
    assert await complete(client, upload) == verdicts


@only_local
async def test_no_file_is_left_on_the_gateways_disk(
    client: httpx.AsyncClient, sender: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    most, judge = 0, upload_completion.judge

    async def counted(*arguments: Any) -> Any:
        nonlocal most
        most = max(most, len([path for path in folder.rglob("*") if path.is_file()]))
        return await judge(*arguments)

    monkeypatch.setattr(upload_completion, "judge", counted)
    upload = await announce(client, *PHOTOS, NO_PHOTO)
    for file, content in zip(upload["files"], (*PHOTOS, NO_PHOTO), strict=True):
        await send(sender, file, content)
    await complete(client, upload)
    assert 1 <= most <= 2
    assert list(folder.iterdir()) == []


@only_local
async def test_completions_beyond_the_places_are_told_to_come_back(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await announce(client, PHOTOS[0])
    for slots, status in ((UploadSlots(5, 0), 429), (UploadSlots(0, 5), 503)):
        monkeypatch.setattr(direct_uploads, "_slots", slots)
        answer = await client.post(f"{PATH}/{upload['id']}/complete")
        assert (answer.status_code, answer.json()["title"]) == (status, "Too many uploads at once")
        assert int(answer.headers["retry-after"]) > 0


@only_local
async def test_an_owner_has_a_bounded_number_of_uploads_that_wait_for_files(
    client: httpx.AsyncClient, client_of: ClientOf, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_uploads, "MAX_OPEN_UPLOADS", 1)
    upload = await announce(client, PHOTOS[0])
    refused = await client.post(PATH, json=announced(PHOTOS[0]))
    assert (refused.status_code, refused.json()["category"]) == (429, "rate_limit")
    async with client_of("bob") as bob:
        await announce(bob, PHOTOS[0])
    await send(sender, upload["files"][0], PHOTOS[0])
    await complete(client, upload)
    await announce(client, PHOTOS[1])


@only_local
async def test_announcements_side_by_side_do_not_get_past_the_bound(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_uploads, "MAX_OPEN_UPLOADS", 2)
    answers = await asyncio.gather(*(client.post(PATH, json=announced(b"x")) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [429] * 6


async def test_links_are_told_to_nobody_else(
    client: httpx.AsyncClient,
    sender: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    upload = await announce(client, NO_PHOTO)
    caplog.set_level(logging.INFO, logger="fluxline_gateway")
    await send(sender, upload["files"][0], NO_PHOTO)
    wrong = await sender.put(upload["files"][0]["url"], content=NO_PHOTO + b"more")
    assert wrong.status_code >= 400
    await complete(client, upload)
    query = httpx.URL(upload["files"][0]["url"]).params
    signature = query.get("signature") or query["X-Amz-Signature"]
    logged = capfd.readouterr()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("fluxline")]
    assert signature not in logged.out + logged.err + "\n".join(ours)
    assert signature not in str((await client.get("/v1/images")).json())


@only_local
async def test_a_sender_that_vanishes_leaves_nothing(
    sender: httpx.AsyncClient, client: httpx.AsyncClient, storage: Storage, tmp_path: Path
) -> None:
    upload = await announce(client, PHOTOS[0])
    part_arrived = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield PHOTOS[0][:1000]
        part_arrived.set()
        await asyncio.Event().wait()

    file = upload["files"][0]
    sending = asyncio.create_task(sender.put(file["url"], content=half(), headers=file["headers"]))
    await part_arrived.wait()
    await poll_until(lambda: list((tmp_path / "storage" / ".incoming").iterdir()))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert list((tmp_path / "storage" / ".incoming").iterdir()) == []
    assert not (await seen(client, upload))[0]["received"]
    await send(sender, file, PHOTOS[0])
    assert len((await complete(client, upload))["accepted"]) == 1
