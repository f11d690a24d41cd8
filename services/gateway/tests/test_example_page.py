"""docs/example.html in a real browser, from another origin than the gateway's: what it shows is what a frontend can do.

Skipped without a browser unless FLUXLINE_REQUIRE_BROWSER is set; PAGE_SCREENSHOTS names a folder for pictures.
"""

import functools
import io
import os
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from playwright.async_api import Browser, Page, expect

from chromium import running_chromium
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import TrainingRequested
from fluxline.runtime.errors import DeadlineExceeded
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from photos import scene
from polling import poll_until
from servers import NatsServer
from streams import events_of

from .jobs import job_after, progressed
from .serving import Served, served_gateway

DOCS = Path(__file__).parents[3] / "docs"
DESKTOP, PHONE = (1280, 900), (390, 844)


class Quiet(SimpleHTTPRequestHandler):
    """A web server that writes no log."""

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    """Where the page is, which is not where the gateway is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=DOCS)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
async def served(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, origin: str
) -> AsyncIterator[Served]:
    async with served_gateway(nats.url, database_url, tmp_path, cors_origins=(origin,)) as served:
        yield served


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real browser."""
    async with running_chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser, origin: str) -> AsyncIterator[Page]:
    """The example, opened; an error of its script fails the test."""
    context = await browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page = await context.new_page()
    page.set_default_timeout(15_000)
    crashes: list[str] = []
    page.on("pageerror", lambda error: crashes.append(str(error)))
    await page.goto(f"{origin}/example.html")
    yield page
    await context.close()
    assert not crashes


def photo(number: int) -> dict[str, Any]:
    file = io.BytesIO()
    scene((800, 640), number).save(file, "JPEG")
    return {"name": f"ada {number}.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}


async def connect(page: Page, served: Served) -> None:
    await page.get_by_label("Gateway address").fill(str(served.client.base_url).rstrip("/"))
    await page.get_by_label("API key").fill(served.client.headers["authorization"].removeprefix("Bearer "))
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#who")).to_have_text("Connected as ada")


async def picture(page: Page, name: str) -> None:
    """Pictures for people: wide and narrow, light and dark."""
    if folder := os.environ.get("PAGE_SCREENSHOTS"):
        for size in (DESKTOP, PHONE):
            for scheme in ("light", "dark"):
                await page.set_viewport_size({"width": size[0], "height": size[1]})
                await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                await page.screenshot(path=Path(folder) / f"{name}-{size[0]}-{scheme}.png", full_page=True)


async def start(page: Page, served: Served, jetstream: JetStreamContext) -> TrainingRequested:
    """A training, from the photos on; its request once it is on the stream."""
    await connect(page, served)
    not_a_photo = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
    await page.get_by_label("Choose photos").set_input_files([*(photo(number) for number in range(5)), not_a_photo])
    await expect(page.locator("#verdict")).to_have_text("5 good photos")
    await page.get_by_label("Name").fill("Ada")
    await page.get_by_label("Trigger word").fill("ADATOK")
    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator("#connection")).to_have_text("live")
    [cause] = await poll_until(lambda: events_of(jetstream, TrainingRequested))
    return cause


def told(page: Page, text: str) -> Any:
    """The lines of the log that say this."""
    return page.locator("#log li").filter(has_text=text)


async def test_a_job_from_the_photos_to_the_model(page: Page, served: Served, jetstream: JetStreamContext) -> None:
    cause = await start(page, served, jetstream)
    await expect(page.locator("#photos li")).to_have_count(6)
    await expect(page.locator("#photos .bad")).to_have_count(1)
    await expect(page.locator("#photos img").first).to_have_js_property("complete", True)
    assert len(await events_of(jetstream, TrainingRequested)) == 1
    for event in job_after(cause)[:6]:
        await served.gateway.bus.publish(event)
    await expect(told(page, "training.progressed")).to_have_count(1)
    await expect(page.locator("#status")).to_have_text("training")
    await picture(page, "training")
    for event in job_after(cause)[6:]:
        await served.gateway.bus.publish(event)
    await expect(page.locator("#status")).to_have_text("completed")
    await expect(page.locator("#progress")).to_have_js_property("value", 100)
    await expect(page.locator("#result")).to_contain_text("ada/x:1")
    await expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    await picture(page, "completed")


async def test_the_page_goes_on_with_a_new_ticket_and_tells_nothing_twice(
    page: Page, served: Served, jetstream: JetStreamContext
) -> None:
    cause, hub = await start(page, served, jetstream), served.gateway.live
    await served.gateway.bus.publish(progressed(cause, 1))
    await expect(told(page, "1 of 100 photos")).to_have_count(1)
    served.gateway.tickets._secret = b"another secret than the ticket's"
    [open_page] = hub._subscribers[cause.training_id]
    open_page.end()
    await poll_until(lambda: hub.open_streams == 0)
    await served.gateway.bus.publish(progressed(cause, 2))
    await expect(told(page, "2 of 100 photos")).to_have_count(1)
    await expect(page.locator("#connection")).to_have_text("live")
    await served.gateway.bus.publish(progressed(cause, 3))
    await expect(told(page, "3 of 100 photos")).to_have_count(1)
    await expect(told(page, "zip.progressed")).to_have_count(3)


async def test_a_failure_shows_its_hint_and_is_retried_then_canceled(
    page: Page, served: Served, jetstream: JetStreamContext
) -> None:
    cause = await start(page, served, jetstream)
    failed = training_failed(StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 1), DeadlineExceeded())
    assert failed
    await served.gateway.bus.publish(failed)
    await expect(page.locator("#status")).to_have_text("failed")
    await expect(page.locator("#error")).to_contain_text(failed.hint)
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator("#status")).to_have_text("zipping")
    await expect(page.locator("#connection")).to_have_text("live")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#status")).to_have_text("canceling")


async def test_a_reloaded_tab_shows_its_job_again(page: Page, served: Served, jetstream: JetStreamContext) -> None:
    await start(page, served, jetstream)
    await page.reload()
    await expect(page.locator("#job-name")).to_have_text("Ada")
    await expect(page.locator("#connection")).to_have_text("live")
    assert await page.evaluate("localStorage.length") == 0


async def test_errors_say_what_to_do(page: Page, served: Served) -> None:
    await page.get_by_label("Gateway address").fill(str(served.client.base_url))
    await page.get_by_label("API key").fill("fl_" + "A" * 40)
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("alert")).to_contain_text("API key not valid")
    await expect(page.get_by_role("alert")).to_contain_text("fluxline keys create")
    await connect(page, served)
    await expect(page.get_by_role("alert")).to_be_hidden()
    await page.get_by_label("Name").fill("Ada")
    await page.get_by_label("Trigger word").fill("ADATOK")
    await page.get_by_role("button", name="Start training").click()
    await expect(page.get_by_role("alert")).to_contain_text("image_ids")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    await picture(page, "errors")
    await page.get_by_label("Gateway address").fill("http://127.0.0.1:1")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("alert")).to_contain_text("GATEWAY_CORS_ORIGINS")


async def test_an_estimate_is_shown_before_anything_is_spent(
    page: Page, served: Served, jetstream: JetStreamContext
) -> None:
    await connect(page, served)
    await page.get_by_role("button", name="Estimate").click()
    await expect(page.locator("#estimate")).to_contain_text("About $")
    await expect(page.locator("#estimate")).to_contain_text("minutes")
    assert not await events_of(jetstream, TrainingRequested)


async def test_the_page_needs_no_library_and_every_field_has_a_label(page: Page) -> None:
    text = (DOCS / "example.html").read_text()
    assert "<script src" not in text
    assert "import " not in text
    assert "localStorage" not in text
    unlabelled = "[...document.querySelectorAll('input')].filter((input) => !input.labels.length).length"
    assert await page.evaluate(unlabelled) == 0
