"""Every page in a real browser, light and dark, on a desktop and a phone: nothing that axe finds, nothing too wide.

With STUDIO_SCREENSHOTS=folder each is written there as a picture.
"""

import io
import os
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Page, expect

from .conftest import DESKTOP, PHONE, Visit, sign_in
from .scene import running_training
from .test_wizard import add_photos, go_on

SHOTS = os.environ.get("STUDIO_SCREENSHOTS")
TALLEST, COLOURS = 1600, 64
"""Of a picture; there are about a hundred of them."""
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PAGES: Final = {
    "history": "/",
    "job-done": "/trainings/{training}",
    "job-failed": "/trainings/{failed}",
    "job-delete": "/trainings/{training}?ask=delete",
    "debug": "/trainings/{failed}/debug",
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
Look = tuple[str, Literal["light", "dark"], tuple[int, int]]
LOOKS: Final[tuple[Look, ...]] = (
    ("light-desktop", "light", DESKTOP),
    ("dark-phone", "dark", PHONE),
    *((("dark-desktop", "dark", DESKTOP), ("light-phone", "light", PHONE)) if SHOTS else ()),
)


class Examiner:
    """Looks at page after page of one look, and keeps what it finds."""

    def __init__(self, page: Page, look: str) -> None:
        self.page, self._look = page, look
        self.faults: dict[str, list[str]] = {}

    async def examine(self, name: str) -> None:
        """The page that is open now, which is called so in pictures and findings."""
        await expect(self.page.locator("h1:visible")).to_have_count(1)
        if SHOTS:
            await self.page.evaluate("Promise.all([...document.images].map((image) => image.decode().catch(() => {})))")
            picture = Image.open(io.BytesIO(await self.page.screenshot(full_page=True)))
            part = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, TALLEST)))
            few = part.quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(Path(SHOTS) / f"{name}-{self._look}.png", optimize=True)
        if found := await faults_of(self.page):
            self.faults[name] = found


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
    visit: Visit,
    operator_key: str,
    names: dict[str, str],
    ada: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    photos: list[Path],
    look: str,
    scheme: Any,
    size: tuple[int, int],
) -> None:
    page = await visit(None, size=size, color_scheme=scheme, reduced_motion="reduce")
    examiner = Examiner(page, look)
    await page.goto("/sign-in")
    await examiner.examine("sign-in")
    await sign_in(page, operator_key)
    async with running_training(ada, sandbox, photos, losses=12 if SHOTS else 2) as training_id:
        await page.goto(f"/trainings/{training_id}")
        await expect(page.locator("#job-loss polyline")).to_be_visible()
        await examiner.examine("job-running")
        for name, path in PAGES.items():
            await page.goto(path.format(**names))
            await examiner.examine(name)
    await _examine_the_wizard(examiner, photos)
    assert examiner.faults == {}


async def _examine_the_wizard(examiner: Examiner, photos: list[Path]) -> None:
    page = examiner.page
    await page.goto("/new/photos")
    await examiner.examine("wizard-empty")
    await add_photos(page, "", photos)
    await examiner.examine("wizard-photos")
    await go_on(page, "captions")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await examiner.examine("wizard-captions-wrong")
    await page.get_by_label("Name of the model").fill("Ada in the garden")
    await expect(page.get_by_role("alert").get_by_role("listitem")).to_have_count(1)
    await page.get_by_role("button", name="Suggest a word").click()
    await expect(page.get_by_role("alert")).to_be_hidden()
    await page.locator("#caption-list textarea").first.fill("ADATOK under an apple tree, evening light")
    await examiner.examine("wizard-captions")
    await go_on(page, "settings")
    await page.get_by_label("Custom").check()
    await expect(page.locator("#estimate-cost")).to_contain_text("$")
    await examiner.examine("wizard-settings")
    await go_on(page, "review")
    await examiner.examine("wizard-review")


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
