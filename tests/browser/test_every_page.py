"""Every page in a real browser, light and dark, on a desktop and a phone: nothing that axe finds, nothing too wide.

With STUDIO_SCREENSHOTS=folder each is written there as a picture.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from e2e.running import RunningStack, job, submit, until_status, upload
from polling import poll_until

from .conftest import DESKTOP, PHONE, Visit

SHOTS = os.environ.get("STUDIO_SCREENSHOTS")
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PAGES: Final = {
    "history": "/",
    "new": "/new",
    "job": "/trainings/{training}",
    "debug": "/trainings/{training}/debug",
    "models": "/models",
    "model": "/models/{model}",
    "generate": "/models/{model}/generate",
    "account": "/account",
    "operations": "/operations",
    "operations-alerts": "/operations/alerts",
    "operations-insights": "/operations/insights",
    "operations-logs": "/operations/logs",
    "operations-owners": "/operations/owners",
    "operations-audit": "/operations/audit",
    "not-found": "/nowhere",
    "offline": "/offline",
}
LOOKS: Final[tuple[tuple[str, Literal["light", "dark"], tuple[int, int]], ...]] = (
    ("light-desktop", "light", DESKTOP),
    ("dark-phone", "dark", PHONE),
    *((("dark-desktop", "dark", DESKTOP), ("light-phone", "light", PHONE)) if SHOTS else ()),
)


@pytest.fixture(scope="session")
def operator_key(stack: RunningStack) -> str:
    """A key that may do everything."""
    made = stack.run("keys", "create", "--owner", "ada", *(f"--scope={name}" for name in ("read", "write", "admin")))
    return next(word for word in made.stdout.split() if word.startswith("fl_"))


@pytest.fixture
async def ada(stack: RunningStack, operator_key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client(operator_key) as client:
        yield client


@pytest.fixture
async def names(ada: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]) -> dict[str, str]:
    """A completed training, its model, and pictures made with it."""
    listed = (await ada.get("/v1/models")).json()["items"]
    if not listed:
        training = await submit(ada, job(await upload(ada, photos)))
        await until_status(ada, training["id"], "completed")
        listed = (await ada.get("/v1/models")).json()["items"]
        await picture(ada, listed[0]["id"])
    return {"model": listed[0]["id"], "training": listed[0]["training_id"]}


async def picture(client: httpx.AsyncClient, model_id: str) -> None:
    body = {"prompt": "ADATOK as an astronaut, studio light", "num_outputs": 2, "seed": 7}
    made = (await client.post(f"/v1/models/{model_id}/generations", json=body)).raise_for_status().json()

    async def status() -> bool:
        return bool((await client.get(f"/v1/generations/{made['id']}")).json()["status"] == "succeeded")

    await poll_until(status, timeout_s=60)


async def faults_of(page: Page) -> list[str]:
    """What axe finds, and whether the page is wider than its window."""
    found = await Axe().run(page, options=RULES)
    faults = [
        f"{item['id']}: {item['help']}: {node['html'][:160]}"
        for item in found.response["violations"]
        for node in item["nodes"]
    ]
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        faults.append("wider than its window")
    return faults


@pytest.mark.parametrize(("look", "scheme", "size"), LOOKS, ids=[look for look, *_ in LOOKS])
async def test_every_page_is_accessible_and_fits(
    visit: Visit, operator_key: str, names: dict[str, str], look: str, scheme: Any, size: tuple[int, int]
) -> None:
    page = await visit(None, size=size, color_scheme=scheme, reduced_motion="reduce")
    faults: dict[str, list[str]] = {}
    await page.goto("/sign-in")
    faults["sign-in"] = await _examined(page, f"sign-in-{look}")
    await page.get_by_label("API key").fill(operator_key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/sign-in" not in url)
    for name, path in PAGES.items():
        await page.goto(path.format(**names))
        faults[name] = await _examined(page, f"{name}-{look}")
    assert {name: found for name, found in faults.items() if found} == {}


async def _examined(page: Page, name: str) -> list[str]:
    await expect(page.locator("h1:visible")).to_have_count(1)
    if SHOTS:
        await page.evaluate("Promise.all([...document.images].map((image) => image.decode().catch(() => {})))")
        await page.screenshot(path=Path(SHOTS) / f"studio-{name}.png", full_page=True)
    return await faults_of(page)


async def test_pictures_are_made_copied_and_made_again(visit: Visit, operator_key: str, names: dict[str, str]) -> None:
    page = await visit(operator_key, permissions=["clipboard-read", "clipboard-write"])
    await page.goto(f"/models/{names['model']}/generate")
    prompt = f"a boat {uuid4()}"
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.get_by_role("spinbutton", name="Pictures").fill("2")
    await page.get_by_role("button", name="Make pictures").click()
    made = page.locator("article", has_text=prompt)
    await expect(made.locator("img")).to_have_count(2, timeout=30_000)
    assert await made.locator("img").first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    async with page.expect_download() as download:
        await made.get_by_role("link", name="Download 1").click()
    assert Path(await (await download.value).path()).stat().st_size > 0
    await made.get_by_role("button", name="Copy prompt").click()
    await expect(page.get_by_text("Prompt copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == prompt
    await made.get_by_role("link", name="Use again").click()
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)
    await expect(page.get_by_role("spinbutton", name="Pictures")).to_have_value("2")


async def test_a_page_of_the_studio_says_that_it_is_offline(visit: Visit, operator_key: str) -> None:
    page = await visit(operator_key)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await page.reload()
    await page.context.set_offline(True)
    await page.goto("/models")
    await expect(page.get_by_role("heading", level=1)).to_have_text("You are offline")
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Models")
