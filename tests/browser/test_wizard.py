"""The wizard in a real browser, from twenty photos to a training: nothing is lost on the way, and nothing starts twice.

Needs `signed_in` (a page of a signed-in owner without a draft) and `studio_url` of this folder's fixtures.
"""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from photos import write_photos

ALL = 20
SMALL, CAMERA = (640, 560), (4000, 3000)
DROP = """async (zone, names) => {
    const files = new DataTransfer();
    for (const name of names) {
        const canvas = new OffscreenCanvas(600, 600);
        const context = canvas.getContext("2d");
        for (let y = 0; y < 600; y += 20) for (let x = 0; x < 600; x += 20) {
            context.fillStyle = `hsl(${Math.random() * 360} 60% 50%)`;
            context.fillRect(x, y, 20, 20);
        }
        files.items.add(new File([await canvas.convertToBlob({type: "image/png"})], name, {type: "image/png"}));
    }
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty different photos."""
    return write_photos(tmp_path_factory.mktemp("album"), ALL, SMALL)


async def add_photos(page: Page, studio_url: str, photos: list[Path]) -> None:
    """The step of the photos with these, each judged."""
    await page.goto(f"{studio_url}/new/photos")
    await page.set_input_files("#files", photos)
    await expect(page.locator("#photo-list > li")).to_have_count(len(photos), timeout=60_000)
    await expect(page.locator("#queue")).to_be_hidden()


async def go_on(page: Page, step: str) -> None:
    """The next step, which has to be `step`."""
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url(f"**/new/{step}")
    await expect(page.locator("#wizard[data-ready]")).to_be_attached()


async def go_to_review(page: Page, studio_url: str, photos: list[Path]) -> None:
    """Everything filled in."""
    await add_photos(page, studio_url, photos)
    await go_on(page, "captions")
    await page.get_by_label("Name of the model").fill("Ada")
    await page.get_by_role("button", name="Suggest a word").click()
    await go_on(page, "settings")
    await go_on(page, "review")
    await page.get_by_label("I may use these photos").check()


async def names(page: Page) -> list[str]:
    """The chosen photos in their order."""
    return await page.locator("#photo-list .wizard-name").all_inner_texts()


async def test_twenty_photos_keep_the_order_in_which_they_were_chosen_and_survive_a_reload(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    await add_photos(signed_in, studio_url, album)
    assert await names(signed_in) == [photo.name for photo in album]
    await signed_in.reload()
    await expect(signed_in.locator("#photo-list > li")).to_have_count(ALL)
    loaded = "images => images.every(image => image.loading === 'lazy' || image.naturalWidth > 0)"
    assert await signed_in.locator("#photo-list img").evaluate_all(loaded)


async def test_a_file_that_is_no_photo_is_named_with_its_reason_and_a_twin_is_marked(
    signed_in: Page, studio_url: str, album: list[Path], tmp_path: Path
) -> None:
    letter, twin = tmp_path / "letter.jpg", tmp_path / "twin.jpg"
    letter.write_bytes(b"Dear trainer, this is not a photo.")
    twin.write_bytes(album[0].read_bytes() + b"\0")  # the same picture in other bytes
    await signed_in.goto(f"{studio_url}/new/photos")
    await signed_in.set_input_files("#files", [album[0], twin, letter])
    await expect(signed_in.locator("#rejected-list li")).to_contain_text("letter.jpg")
    await expect(signed_in.locator(".wizard-mark")).to_have_count(2)


async def test_photos_are_reordered_by_key_and_by_drag_and_a_removed_one_comes_back(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    await add_photos(signed_in, studio_url, album[:5])
    first, second, *_ = await names(signed_in)
    await signed_in.get_by_role("button", name=f"Move {first} later").press("Enter")
    assert (await names(signed_in))[:2] == [second, first]
    await expect(signed_in.get_by_role("button", name=f"Move {first} later")).to_be_focused()
    cards = signed_in.locator("#photo-list > li")
    await cards.nth(0).drag_to(cards.nth(3))
    ordered = await names(signed_in)
    assert ordered[3] == second
    await signed_in.get_by_role("button", name=f"Remove {second}").click()
    await expect(cards).to_have_count(4)
    await signed_in.get_by_role("button", name="Undo").click()
    assert await names(signed_in) == ordered


async def test_a_reload_in_the_middle_of_an_upload_goes_on_with_it(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await signed_in.goto(f"{studio_url}/new/photos")
    await signed_in.route("**/api/images", refuse)
    await signed_in.set_input_files("#files", album[:6])
    await expect(signed_in.locator("#queue-list li")).to_have_count(6)
    await expect(signed_in.locator("#queue-list")).to_contain_text("No connection")
    await signed_in.unroute("**/api/images")
    await signed_in.reload()
    await expect(signed_in.locator("#photo-list > li")).to_have_count(6, timeout=30_000)


async def test_a_step_opens_when_those_before_it_are_done(signed_in: Page, studio_url: str) -> None:
    await signed_in.goto(f"{studio_url}/new/review")
    await signed_in.wait_for_url("**/new/photos?check=1")
    await expect(signed_in.get_by_role("alert")).to_contain_text("Add 5 more")


async def test_the_estimate_follows_the_settings_and_a_wrong_one_stops_the_step(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    await go_to_review(signed_in, studio_url, album[:5])
    await signed_in.go_back()
    await signed_in.wait_for_url("**/new/settings")
    cost = signed_in.locator("#estimate-cost")
    await expect(cost).to_have_text(re.compile(r"^\$\d"))
    balanced = await cost.inner_text()
    await signed_in.get_by_label("Thorough").check()
    await expect(cost).not_to_have_text(balanced)
    await signed_in.get_by_label("Custom").check()
    await signed_in.locator("#steps").fill("9")
    await signed_in.get_by_role("button", name="Continue").click()
    await expect(signed_in.locator("#steps-error")).to_contain_text("whole number")
    assert signed_in.url.endswith("/new/settings")


async def test_publishing_needs_the_licence(signed_in: Page, studio_url: str, album: list[Path]) -> None:
    await go_to_review(signed_in, studio_url, album[:5])
    await signed_in.get_by_label("Private on Hugging Face").check()
    await signed_in.get_by_role("button", name="Start training").click()
    await expect(signed_in.locator("#licence-error")).to_contain_text("Accept the licence")


async def test_a_lost_answer_a_reload_and_a_double_click_start_one_training(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    answered: list[str] = []

    async def lose(route: Route) -> None:
        answer = await route.fetch()
        answered.append((await answer.json())["id"])
        await route.abort()

    await go_to_review(signed_in, studio_url, album[:5])
    await signed_in.route("**/api/trainings", lose)
    await signed_in.get_by_role("button", name="Start training").click()
    await expect(signed_in.get_by_role("alert")).to_contain_text("No connection")
    await signed_in.unroute("**/api/trainings")
    await signed_in.reload()
    await expect(signed_in.get_by_label("I may use these photos")).to_be_checked()
    await signed_in.get_by_role("button", name="Start training").dblclick()
    await signed_in.wait_for_url(re.compile(r"/trainings/"))
    assert signed_in.url.endswith(answered[0])
    await signed_in.goto(f"{studio_url}/new/photos")
    await expect(signed_in.locator("#photo-empty")).to_be_visible()


async def test_captions_reach_the_training_and_lacking_trigger_words_are_put_before_them(
    signed_in: Page, studio_url: str, album: list[Path]
) -> None:
    await go_to_review(signed_in, studio_url, album[:5])
    await signed_in.goto(f"{studio_url}/new/captions")
    await signed_in.locator("#caption-list textarea").first.fill("in a garden")
    await signed_in.get_by_role("button", name="Put it in front of them").click()
    await go_on(signed_in, "settings")
    await go_on(signed_in, "review")
    async with signed_in.expect_request("**/api/trainings") as sent:
        await signed_in.get_by_role("button", name="Start training").click()
    request = await asyncio.wait_for(sent.value, 10)
    await signed_in.wait_for_url(re.compile(r"/trainings/"))
    assert "ADATOK, in a garden" in request.post_data_json["captions"].values()


async def test_dropped_photos_are_taken(signed_in: Page, studio_url: str) -> None:
    await signed_in.goto(f"{studio_url}/new/photos")
    await expect(signed_in.locator("#wizard[data-ready]")).to_be_attached()
    await signed_in.locator("#drop-zone").evaluate(DROP, ["one.png", "two.png"])
    await expect(signed_in.locator("#photo-list > li")).to_have_count(2)
    assert sorted(await names(signed_in)) == ["one.png", "two.png"]


async def test_twenty_photos_of_a_camera_become_a_model(
    signed_in: Page, studio_url: str, tmp_path: Path, sandbox: httpx.AsyncClient
) -> None:
    photos = write_photos(tmp_path, ALL, CAMERA)
    await go_to_review(signed_in, studio_url, photos)
    await signed_in.get_by_role("button", name="Start training").click()
    await signed_in.wait_for_url(re.compile(r"/trainings/"))
    await expect(signed_in.locator("#job-state .badge")).to_have_text("Completed", timeout=90_000)
    await signed_in.get_by_role("link", name="Open the model").click()
    await expect(signed_in.get_by_role("heading", name="Ada")).to_be_visible()
