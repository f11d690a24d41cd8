"""What is said of images before money is spent: their looks, those that look alike, their captions, and of a set."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image as Picture
from PIL import ImageFilter

from fluxline.contracts.limits import MAX_CAPTION_CHARS, MAX_IMAGES
from fluxline.image_looks import NEAR_DUPLICATE_BITS
from fluxline.postgres.pool import Database
from fluxline_gateway.images import near_duplicates
from fluxline_gateway.images.review import review
from fluxline_gateway.images.store import Image
from photos import jpeg_bytes, scene

from .jobs import ClientOf, order_of

SEEN = """
INSERT INTO images (
    owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings, perceptual_hash, created_at
)
SELECT 'ada', md5(n::text), 'x', n || '.jpg', 'jpeg', 800, 800, 1, '{}', $2::bit(128), now() + n * interval '1 second'
FROM generate_series(1, $1::int) AS n
"""


def saved(picture: Picture.Image, quality: int = 90) -> bytes:
    return jpeg_bytes(picture, quality)


def seen(bits: int) -> Image:
    """An image of that perceptual hash."""
    facts = {"storage_key": "x", "filename": "a.jpg", "format": "jpeg", "width": 800, "height": 800, "size_bytes": 1}
    looks = {"warnings": [], "warning_codes": [], "caption": None, "perceptual_hash": bits.to_bytes(16, "big")}
    return Image(id=uuid4(), owner="ada", sha256="0" * 64, created_at=datetime.now(UTC), **facts, **looks)


async def uploaded(client: httpx.AsyncClient, *contents: bytes) -> list[dict[str, Any]]:
    files = [("files", (f"{number}.jpg", content)) for number, content in enumerate(contents)]
    answer = await client.post("/v1/images", files=files)
    assert answer.status_code == 201, answer.text
    images: list[dict[str, Any]] = answer.json()["accepted"]
    assert len(images) == len(contents)
    return images


async def reviewed(client: httpx.AsyncClient, *ids: str) -> dict[str, Any]:
    answer = await client.post("/v1/images/review", json={"image_ids": ids})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_images_that_look_alike_are_named_at_each_other_and_the_warning_goes_with_the_other(
    client: httpx.AsyncClient,
) -> None:
    picture = scene((800, 600), 1)
    first, other, again = await uploaded(client, saved(picture), saved(scene((800, 600), 2)), saved(picture, 60))
    assert (first["near_duplicates"], again["near_duplicates"]) == ([again["id"]], [first["id"]])
    assert first["warning_codes"] == again["warning_codes"] == ["near_duplicate"]
    assert "“2.jpg”" in first["warnings"][0]
    assert (other["near_duplicates"], other["warning_codes"], other["warnings"]) == ([], [], [])
    listed = (await client.get("/v1/images")).json()["items"]
    assert {image["id"]: image["near_duplicates"] for image in listed} == {
        image["id"]: image["near_duplicates"] for image in (first, other, again)
    }
    assert (await client.get(f"/v1/images/{first['id']}")).json() == first
    await client.delete(f"/v1/images/{again['id']}")
    alone = (await client.get(f"/v1/images/{first['id']}")).json()
    assert (alone["near_duplicates"], alone["warnings"], alone["warning_codes"]) == ([], [], [])


async def test_an_image_looks_like_none_of_another_owners(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    await uploaded(client, saved(scene((800, 600), 1)))
    async with client_of("bob") as bob:
        [image] = await uploaded(bob, saved(scene((800, 600), 1), 60))
    assert image["near_duplicates"] == []


async def test_of_a_hundred_alike_the_most_alike_are_named(client: httpx.AsyncClient, database: Database) -> None:
    [image] = await uploaded(client, saved(scene((800, 600), 1)))
    hashed = await database.pool.fetchval("SELECT perceptual_hash FROM images")
    await database.pool.execute(SEEN, 100, hashed)
    flip = "UPDATE images SET perceptual_hash = perceptual_hash # $2::text::bit(128) WHERE filename = ANY($1)"
    await database.pool.execute(flip, [f"{n}.jpg" for n in range(1, 81)], "0" * 127 + "1")
    await database.pool.execute(flip, ["99.jpg"], "1" * 128)
    listed = {item["id"]: item for item in (await client.get("/v1/images?limit=100")).json()["items"]}
    shown = (await client.get(f"/v1/images/{image['id']}")).json()["near_duplicates"]
    names = [listed[other]["filename"] for other in shown]
    assert len(shown) == near_duplicates.MAX_NEAR_DUPLICATES
    assert {*names[:19]} == {f"{n}.jpg" for n in range(81, 101) if n != 99}
    assert names[19] in {f"{n}.jpg" for n in range(1, 81)}
    assert [item["near_duplicates"] for item in listed.values() if item["filename"] == "99.jpg"] == [[]]


async def test_an_image_is_compared_with_the_newest_only(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "COMPARED_IMAGES", 10)
    [image] = await uploaded(client, saved(scene((800, 600), 1)))
    hashed = await database.pool.fetchval("SELECT perceptual_hash FROM images")
    await database.pool.execute(SEEN, 30, hashed)
    items = (await client.get("/v1/images?limit=100")).json()["items"]
    newest = {item["id"] for item in items[:10]}
    assert {*(await client.get(f"/v1/images/{image['id']}")).json()["near_duplicates"]} == newest
    assert {*items[0]["near_duplicates"]} == newest - {items[0]["id"]}


async def test_the_threshold_is_the_one_that_was_calibrated(client: httpx.AsyncClient, database: Database) -> None:
    first, second = await uploaded(client, saved(scene((800, 600), 1)), saved(scene((800, 600), 2)))
    for bits, expected in ((NEAR_DUPLICATE_BITS, [second["id"]]), (NEAR_DUPLICATE_BITS + 1, [])):
        other = "0" * (128 - bits) + "1" * bits
        await database.pool.execute("UPDATE images SET perceptual_hash = repeat('0', 128)::bit(128)")
        await database.pool.execute(
            "UPDATE images SET perceptual_hash = $2::text::bit(128) WHERE id = $1", UUID(second["id"]), other
        )
        assert (await client.get(f"/v1/images/{first['id']}")).json()["near_duplicates"] == expected


async def test_an_image_from_before_its_looks_were_taken_is_shown_and_learns_them_when_it_is_sent_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    content = saved(scene((800, 600), 1).filter(ImageFilter.GaussianBlur(6)))
    image, other = await uploaded(client, content, saved(scene((800, 600), 1).filter(ImageFilter.GaussianBlur(6)), 60))
    await database.pool.execute("UPDATE images SET perceptual_hash = NULL, warnings = '{}', warning_codes = '{}'")
    shown = (await client.get(f"/v1/images/{image['id']}")).json()
    assert (shown["near_duplicates"], shown["warning_codes"]) == ([], [])
    [again] = await uploaded(client, content)
    assert (again["id"], again["warning_codes"]) == (image["id"], ["blurry"])
    assert (await reviewed(client, image["id"], other["id"]))["warning_codes"] == ["too_few_images"]


async def test_a_caption_is_kept_with_the_image_and_can_be_taken_back(client: httpx.AsyncClient) -> None:
    content = saved(scene((800, 600), 1))
    [image] = await uploaded(client, content)
    url = f"/v1/images/{image['id']}"
    assert image["caption"] is None
    changed = await client.patch(url, json={"caption": "  ADATOK on a hill 🌴 "})
    assert changed.status_code == 200
    assert changed.json() == (await client.get(url)).json() == image | {"caption": "ADATOK on a hill 🌴"}
    assert (await uploaded(client, content))[0]["caption"] == "ADATOK on a hill 🌴"
    for nothing in (None, "", "  "):
        assert (await client.patch(url, json={"caption": nothing})).json()["caption"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"caption": 7}, {"caption": "a" * (MAX_CAPTION_CHARS + 1)}, {"caption": "a\0b"}, {"caption": "a", "x": 1}],
    ids=["nothing", "a number", "too long", "a nul", "another field"],
)
async def test_a_caption_that_cannot_be_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    [image] = await uploaded(client, saved(scene((800, 600), 1)))
    answer = await client.patch(f"/v1/images/{image['id']}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


async def test_another_owners_image_cannot_be_described_or_reviewed(
    client: httpx.AsyncClient, client_of: ClientOf
) -> None:
    [image] = await uploaded(client, saved(scene((800, 600), 1)))
    async with client_of("bob") as bob:
        assert (await bob.patch(f"/v1/images/{image['id']}", json={"caption": "mine"})).status_code == 404
        answer = await bob.post("/v1/images/review", json={"image_ids": [str(uuid4()), image["id"]]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["image_ids.0", "image_ids.1"]
    assert (await client.get(f"/v1/images/{image['id']}")).json()["caption"] is None


async def test_five_different_photos_are_ready_and_answered_in_the_order_asked_for(client: httpx.AsyncClient) -> None:
    ids = [image["id"] for image in await uploaded(client, *(saved(scene((800, 600), n)) for n in range(5)))]
    await client.patch(f"/v1/images/{ids[2]}", json={"caption": "the third"})
    said = await reviewed(client, *reversed(ids))
    assert [image["id"] for image in said["images"]] == ids[::-1]
    assert said["images"][2]["caption"] == "the third"
    assert (said["ready"], said["warnings"], said["warning_codes"]) == (True, [], [])


async def test_a_set_with_too_few_images_that_differ_is_not_ready(client: httpx.AsyncClient) -> None:
    pictures = [scene((800, 600), n) for n in range(5)]
    images = await uploaded(client, *map(saved, pictures), *(saved(picture, 60) for picture in pictures[:2]))
    ids = [image["id"] for image in images]
    seven = await reviewed(client, *ids)
    assert (seven["ready"], seven["warning_codes"]) == (True, ["near_duplicates"])
    assert "4 of the 7 images" in seven["warnings"][0]
    assert "leaves 5" in seven["warnings"][0]
    six = await reviewed(client, *ids[1:4], *ids[5:], ids[0])
    assert (six["ready"], six["warning_codes"]) == (False, ["near_duplicates"])
    assert six["images"][4]["near_duplicates"] == [ids[1]]
    assert six["images"][4]["warning_codes"] == ["near_duplicate"]
    one = await reviewed(client, ids[5])
    assert (one["ready"], one["warning_codes"]) == (False, ["too_few_images"])
    assert one["images"][0]["near_duplicates"] == one["images"][0]["warnings"] == []  # its twin is not of this set


@pytest.mark.parametrize(("own_bits", "codes"), [(12, ["low_variety"]), (20, []), (7, ["near_duplicates"])])
def test_images_that_are_much_alike_but_no_duplicates_have_low_variety(own_bits: int, codes: list[str]) -> None:
    """Each differs from a sixth in bits of its own, and so from each other in twice as many."""
    images = [seen((2**own_bits - 1) << own_bits * number) for number in range(5)]
    said = review(images)
    assert said.warning_codes == codes
    assert said.ready == ("near_duplicates" not in codes)
    assert all(warning.endswith(".") for warning in said.warnings)


def test_of_those_that_look_alike_in_a_chain_every_second_counts() -> None:
    """The first and the third of a chain do not look alike: both are kept."""
    chain = [seen((1 << 10 * number) - 1) for number in range(4)]
    others = [seen(bits << 64) for bits in (2**40 - 1, (2**40 - 1) << 20, (2**60 - 1))]
    said = review(chain + others)
    assert said.warning_codes == ["near_duplicates"]
    assert [len(image.near_duplicates) for image in said.images] == [1, 2, 2, 1, 0, 0, 0]
    assert "leaves 5" in said.warnings[0]
    assert said.ready


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
async def test_a_review_is_of_one_to_twenty_images(client: httpx.AsyncClient, count: int) -> None:
    answer = await client.post("/v1/images/review", json={"image_ids": [str(uuid4()) for _ in range(count)]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "image_ids"


async def test_an_image_that_is_named_twice_is_refused(client: httpx.AsyncClient) -> None:
    image_id = str(uuid4())
    answer = await client.post("/v1/images/review", json={"image_ids": [image_id, image_id]})
    assert answer.status_code == 422
    assert "once" in answer.json()["errors"][0]["message"]


async def test_images_from_before_can_be_reviewed(client: httpx.AsyncClient, database: Database) -> None:
    order = await order_of(database)
    said = await reviewed(client, *order["image_ids"])
    assert (said["ready"], said["warning_codes"]) == (True, [])


async def test_images_that_come_in_at_once_all_name_the_others_afterwards(client: httpx.AsyncClient) -> None:
    picture = scene((600, 600), 1)
    await asyncio.gather(*(uploaded(client, saved(picture, 70 + n)) for n in range(10)))
    listed = (await client.get("/v1/images")).json()["items"]
    assert [len(image["near_duplicates"]) for image in listed] == [9] * 10


async def test_no_other_call_takes_review_for_the_id_of_an_image(client: httpx.AsyncClient) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = await client.request(method, "/v1/images/review")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await client.get("/v1/images/no-id")).status_code == 404
