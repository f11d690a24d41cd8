"""Images: a verdict for each file, the owner's only, the same bytes once, upright thumbnails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from fluxline.contracts.limits import MAX_IMAGE_BYTES
from fluxline.postgres.pool import Database
from fluxline.storage.local import LocalStorage
from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.images import uploads
from fluxline_gateway.images.uploads import display_name
from photos import Case, camera_exif, jpeg_bytes, rotated_for, scene

ClientOf = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]
File = tuple[str, tuple[str, bytes]]
FORM = {"content-type": "multipart/form-data; boundary=b"}


def photo(seed: int = 1, size: tuple[int, int] = (800, 600)) -> bytes:
    return jpeg_bytes(scene(size, seed))


def files(*contents: bytes, name: str = "photo.jpg") -> list[File]:
    return [("files", (name, content)) for content in contents]


async def upload(client: httpx.AsyncClient, *contents: bytes, name: str = "photo.jpg") -> dict[str, Any]:
    answer = await client.post("/v1/images", files=files(*contents, name=name))
    assert answer.status_code == 201, answer.text
    verdicts: dict[str, Any] = answer.json()
    return verdicts


async def test_an_accepted_photo_is_described_and_stored_under_its_hash(
    client: httpx.AsyncClient, storage: LocalStorage
) -> None:
    content = photo()
    [image] = (await upload(client, content, name="Ada.JPG"))["accepted"]
    digest = hashlib.sha256(content).hexdigest()
    assert (image["filename"], image["width"], image["height"]) == ("Ada.JPG", 800, 600)
    assert (image["format"], image["size_bytes"], image["sha256"]) == ("jpeg", len(content), digest)
    assert image["warnings"] == []
    assert await storage.read(f"uploads/ada/{digest}.jpg", max_bytes=MAX_IMAGE_BYTES) == content
    assert (await client.get(f"/v1/images/{image['id']}")).json() == image


async def test_every_file_of_a_hostile_set_gets_its_own_verdict(
    client: httpx.AsyncClient, hostile_set: list[Case]
) -> None:
    sent = [("files", (case.upload_name, case.path.read_bytes())) for case in hostile_set]
    verdicts = (await client.post("/v1/images", files=sent, timeout=60)).json()
    assert [image["filename"] for image in verdicts["accepted"]] == [
        display_name(case.upload_name) for case in hostile_set if case.accepted
    ]
    assert {file["filename"]: file["code"] for file in verdicts["rejected"]} == {
        case.upload_name: case.code for case in hostile_set if not case.accepted
    }
    assert all(file["reason"].endswith(".") for file in verdicts["rejected"])


async def test_the_same_bytes_are_the_same_image(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    content = photo()
    first, second = (await upload(client, content, content))["accepted"]
    [again] = (await upload(client, content, name="other.jpg"))["accepted"]
    assert first["id"] == second["id"] == again["id"]
    assert again["filename"] == "other.jpg"
    async with client_of("bob") as bob:
        assert (await upload(bob, content))["accepted"][0]["id"] != first["id"]


async def test_ten_uploads_of_the_same_bytes_at_once_are_one_image(
    client: httpx.AsyncClient, database: Database
) -> None:
    content = photo()
    verdicts = await asyncio.gather(*(upload(client, content) for _ in range(10)))
    assert len({verdict["accepted"][0]["id"] for verdict in verdicts}) == 1
    assert await database.pool.fetchval("SELECT count(*) FROM images") == 1


async def test_an_upload_and_a_deletion_at_once_leave_no_image_without_bytes(
    client: httpx.AsyncClient, storage: LocalStorage
) -> None:
    content = photo()
    for _ in range(10):
        [image] = (await upload(client, content))["accepted"]
        await asyncio.gather(upload(client, content), client.delete(f"/v1/images/{image['id']}"))
        for left in (await client.get("/v1/images")).json()["items"]:
            assert (await client.get(f"/v1/images/{left['id']}/content")).content == content


async def test_a_file_over_the_limit_is_rejected_with_its_size_and_takes_no_space(
    client: httpx.AsyncClient, storage: LocalStorage
) -> None:
    verdicts = await upload(client, photo() + bytes(MAX_IMAGE_BYTES + 2**20), photo())
    assert len(verdicts["accepted"]) == 1
    [file] = verdicts["rejected"]
    assert file["code"] == "too_large"
    assert "26." in file["reason"]


async def test_too_many_files_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/images", files=files(*[b"x"] * (uploads.MAX_UPLOAD_FILES + 1)))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert str(uploads.MAX_UPLOAD_FILES) in answer.json()["detail"]


async def test_an_upload_that_is_too_large_is_refused_however_it_is_sent(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 10_000)

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(1000)
        raise AssertionError("the body was read to its end")

    allowed = await client.post("/v1/images", files=files(bytes(9_000)))
    assert allowed.status_code == 201
    declared = await client.post("/v1/images", files=files(bytes(20_000)))
    chunked = await client.post("/v1/images", content=endless(), headers=FORM)
    assert declared.status_code == chunked.status_code == 413


async def test_an_upload_that_stalls_is_ended(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE_TIMEOUT_S", 0.05)

    async def stalling() -> AsyncIterator[bytes]:
        yield b"--b\r\n"
        await asyncio.Event().wait()

    answer = await client.post("/v1/images", content=stalling(), headers=FORM)
    assert answer.status_code == 408
    assert answer.json()["category"] == "timeout"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=", b"", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"garbage", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nno header at all\r\n\r\nx\r\n--b--\r\n", 400),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx', 400),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b--', 422),
    ],
)
async def test_an_upload_that_is_none_is_a_problem(
    client: httpx.AsyncClient, content_type: str, body: bytes, status: int
) -> None:
    answer = await client.post("/v1/images", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.json()["hint"]


async def test_nothing_of_an_upload_stays_in_the_temporary_folder(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    await upload(client, photo(), b"no image")
    half = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhalf'
    assert (await client.post("/v1/images", content=half, headers=FORM)).status_code == 400
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_pages_go_from_the_newest_to_the_oldest(client: httpx.AsyncClient) -> None:
    ids = [(await upload(client, photo(seed)))["accepted"][0]["id"] for seed in range(5)]
    seen: list[str] = []
    url: str | None = "/v1/images?limit=2"
    while url:
        page = await client.get(url)
        seen += [image["id"] for image in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
        assert ("cursor=" in url) if url else page.json()["next_cursor"] is None
    assert seen == ids[::-1]


@pytest.mark.parametrize("query", ["cursor=x", "cursor=W10", "cursor=bnVsbA", "limit=0", "limit=101", "limit=a"])
async def test_a_page_that_cannot_be_is_422(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/images?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


async def test_the_content_comes_back_as_it_was_sent(client: httpx.AsyncClient) -> None:
    content = photo()
    [image] = (await upload(client, content, name='a "b" 🌴.jpg'))["accepted"]
    answer = await client.get(f"/v1/images/{image['id']}/content")
    assert answer.content == content
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert "private" in answer.headers["cache-control"]
    assert "sandbox" in answer.headers["content-security-policy"]
    known = await client.get(f"/v1/images/{image['id']}/content", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_a_thumbnail_is_small_and_upright_and_made_once(client: httpx.AsyncClient, storage: LocalStorage) -> None:
    content = BytesIO()
    rotated_for(scene((900, 1200), 3), 6).save(content, "JPEG", exif=camera_exif(6))
    [image] = (await upload(client, content.getvalue()))["accepted"]
    assert (image["width"], image["height"]) == (900, 1200)
    first, second = [await client.get(f"/v1/images/{image['id']}/thumbnail") for _ in range(2)]
    assert first.content == second.content
    assert first.headers["content-type"] == "image/jpeg"
    small = Image.open(BytesIO(first.content))
    assert small.size == (384, 512)
    assert not small.getexif()
    assert await storage.stat(f"thumbnails/ada/{image['sha256']}.jpg")


async def test_every_accepted_kind_of_image_has_a_thumbnail(client: httpx.AsyncClient, hostile_set: list[Case]) -> None:
    contents = [case.path.read_bytes() for case in hostile_set if case.accepted]
    for image in (await upload(client, *contents))["accepted"]:
        answer = await client.get(f"/v1/images/{image['id']}/thumbnail")
        assert answer.status_code == 200, answer.text
        small = Image.open(BytesIO(answer.content))
        small.load()
        assert (small.format, max(small.size)) == ("JPEG", 512)
        assert np.asarray(small.convert("L")).max() > 60  # not black


async def test_a_thumbnail_of_sixteen_bits_is_scaled_not_clipped(client: httpx.AsyncClient) -> None:
    ramp = np.linspace(0, 65535, 600 * 600).reshape(600, 600).astype(np.uint16)
    content = BytesIO()
    Image.fromarray(ramp).save(content, "PNG")
    [image] = (await upload(client, content.getvalue()))["accepted"]
    answer = await client.get(f"/v1/images/{image['id']}/thumbnail")
    shown = np.asarray(Image.open(BytesIO(answer.content)).convert("L"), dtype=float)
    assert abs(shown.mean() - 127.5) < 2
    assert abs(shown[len(shown) // 2].mean() - 127.5) < 2


async def test_a_deleted_image_is_gone_with_its_bytes(client: httpx.AsyncClient, storage: LocalStorage) -> None:
    [image] = (await upload(client, photo()))["accepted"]
    await client.get(f"/v1/images/{image['id']}/thumbnail")
    assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 204
    assert (await client.get(f"/v1/images/{image['id']}")).status_code == 404
    assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 404
    assert [item async for item in storage.list("")] == []


async def test_a_thumbnail_that_was_in_the_making_does_not_outlive_its_image(
    client: httpx.AsyncClient, gateway: Gateway, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    [image] = (await upload(client, photo()))["accepted"]
    make = gateway.inspections.thumbnail

    async def overtaken(path: Path, target: Path) -> None:
        await make(path, target)
        assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 204

    monkeypatch.setattr(gateway.inspections, "thumbnail", overtaken)
    assert (await client.get(f"/v1/images/{image['id']}/thumbnail")).status_code == 404
    assert [item async for item in storage.list("")] == []


async def test_an_image_of_a_running_training_is_kept(client: httpx.AsyncClient, database: Database) -> None:
    [image] = (await upload(client, photo()))["accepted"]
    training = (
        "INSERT INTO trainings (id, owner, name, status, request, image_ids, state)"
        " VALUES ($1, 'ada', 'Ada', 'training', '{}', ARRAY[$2::uuid], '{}')"
    )
    await database.pool.execute(training, uuid4(), image["id"])
    refused = await client.delete(f"/v1/images/{image['id']}")
    assert refused.status_code == 409
    assert refused.json()["hint"]
    await database.pool.execute("UPDATE trainings SET status = 'completed'")
    assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 204


async def test_another_owners_image_does_not_exist(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    [image] = (await upload(client, photo()))["accepted"]
    async with client_of("bob") as bob:
        for path in ("", "/content", "/thumbnail"):
            theirs = await bob.get(f"/v1/images/{image['id']}{path}")
            nobodys = await bob.get(f"/v1/images/{uuid4()}{path}")
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json()["title"] == nobodys.json()["title"]
        assert (await bob.delete(f"/v1/images/{image['id']}")).status_code == 404
        assert (await bob.get("/v1/images")).json()["items"] == []
    assert (await client.get(f"/v1/images/{image['id']}")).status_code == 200


async def test_images_need_a_key(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.post("/v1/images", files=files(b"x"))).status_code == 401
    assert (await anonymous.get("/v1/images")).status_code == 401


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a\r\nb\0\x1b[31m\u202ec.jpg", "a b[31mc.jpg"),
        ("  ", "unnamed"),
        ("ü" * 300, "ü" * 255),
    ],
)
def test_a_file_name_is_shown_as_one_harmless_line(sent: str, shown: str) -> None:
    assert display_name(sent) == shown


async def test_a_file_name_that_is_not_utf8_is_no_obstacle(client: httpx.AsyncClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="caf\xe9.jpg"\r\n\r\n'
    answer = await client.post("/v1/images", content=head + photo() + b"\r\n--b--\r\n", headers=FORM)
    assert answer.json()["accepted"][0]["filename"] == "caf\ufffd.jpg"
