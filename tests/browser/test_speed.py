"""How soon people see something: the first page, and what has just happened to their training."""

import statistics
from pathlib import Path

import httpx
from playwright.async_api import expect

from e2e.running import RunningStack, job, submit, upload

from .conftest import Visit
from .scene import settle

FIRST_PAGE_S = 1.5
NEWS_S = 1.0
WATCH = """() => {
    const feed = document.getElementById("job-feed");
    const known = new Set([...feed.querySelectorAll("time")].map((time) => time.dateTime));
    window.late = [];
    new MutationObserver(() => {
        for (const {dateTime} of feed.querySelectorAll("time")) {
            if (known.has(dateTime)) continue;
            known.add(dateTime);
            window.late.push((Date.now() - new Date(dateTime)) / 1000);
        }
    }).observe(feed, {childList: true, subtree: true});
}"""


async def test_the_first_page_of_a_new_browser_is_usable_at_once(visit: Visit, stack: RunningStack) -> None:
    page = await visit()
    await page.goto("/sign-in")
    await expect(page.get_by_label("API key")).to_be_editable()
    spent = await page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000")
    print(f"first page: {spent:.2f} s")
    assert spent < FIRST_PAGE_S


async def test_what_happens_is_seen_within_a_second(
    visit: Visit, stack: RunningStack, sandbox: httpx.AsyncClient, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    await settle(sandbox, training_seconds=6)
    page = await visit(stack.state["api_key"])
    training = await submit(api, job(await upload(api, photos)))
    await page.goto(f"/trainings/{training['id']}")
    await page.evaluate(WATCH)
    await expect(page.locator("#job-state .badge")).to_have_text("Completed", timeout=60_000)
    late = sorted(await page.evaluate("window.late"))
    print(f"{len(late)} events seen after: median {statistics.median(late):.2f} s, at most {late[-1]:.2f} s")
    assert len(late) >= 8
    assert statistics.median(late) < NEWS_S
