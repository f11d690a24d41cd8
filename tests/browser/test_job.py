"""The job page in a real browser: it stays as the job is, whatever ends on the way, and nobody has to reload it."""

import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from e2e.running import RunningStack, job, submit, until_status, upload

from .conftest import Visit

END_MS = 60_000
Begin = Callable[..., Awaitable[str]]


@pytest.fixture
async def begin(api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]) -> Begin:
    """Starts a training, with the sandbox's settings changed first; returns its path in the studio."""

    async def begin(**settings: object) -> str:
        (await sandbox.post("/_sandbox/settings", json=settings)).raise_for_status()
        training = await submit(api, job(await upload(api, photos)))
        return f"/trainings/{training['id']}"

    return begin


async def follow(page: Page, path: str) -> None:
    """Open the page and mark it: the mark is gone after a reload."""
    await page.goto(path)
    await page.evaluate("window.opened = true")
    await expect(page.locator("#connection")).to_have_text(re.compile("Live|Finished"))


async def reaches(page: Page, status: str) -> None:
    """The page says so, without having been loaded anew."""
    await expect(page.locator("#job-state .badge")).to_have_text(status, timeout=END_MS)
    assert await page.evaluate("window.opened")


async def test_the_page_follows_a_job_to_its_model(signed_in: Page, begin: Begin) -> None:
    await follow(signed_in, await begin(training_seconds=3))
    await expect(signed_in.locator("#job-state")).to_contain_text("of 1000", timeout=END_MS)
    await expect(signed_in.locator("#job-log")).to_contain_text("Downloading input images")
    await reaches(signed_in, "Completed")
    await expect(signed_in.locator("#connection")).to_have_text("Finished")
    await expect(signed_in.locator("#job-loss svg")).to_have_attribute("aria-label", re.compile("^From 0"))
    await expect(signed_in.locator("#job-stages .stage-succeeded rect")).to_have_count(4)
    await expect(signed_in.locator("#job-feed li").first).to_contain_text("Publishing: done")
    await expect(signed_in.get_by_role("link", name="Open the model")).to_be_visible()
    await expect(signed_in.get_by_role("link", name="Cancel training")).to_be_hidden()
    await signed_in.get_by_role("link", name="Debug").click()
    await expect(signed_in.get_by_role("heading", name="Diagnosis")).to_be_visible()
    async with signed_in.expect_download() as download:
        await signed_in.get_by_role("link", name="Export as NDJSON").click()
    assert "training.requested" in Path(await (await download.value).path()).read_text()


async def test_two_sessions_see_the_same_job_and_a_stranger_sees_none(
    visit: Visit, stack: RunningStack, begin: Begin
) -> None:
    path = await begin()
    mine, phone = await visit(stack.state["api_key"]), await visit(stack.state["api_key"], size=(360, 780))
    created = stack.run("keys", "create", "--owner", "bea", "--json")
    [key] = re.findall(r"fl_[\w-]+", created.stdout)
    stranger = await visit(key)
    await follow(mine, path)
    await follow(phone, path)
    await stranger.goto(path)
    await expect(stranger.get_by_role("heading")).to_have_text("Page not found")
    await reaches(mine, "Completed")
    await reaches(phone, "Completed")
    assert await phone.evaluate("document.documentElement.scrollWidth") <= 360


async def test_a_reload_in_the_middle_shows_at_once_where_the_job_is(signed_in: Page, begin: Begin) -> None:
    await follow(signed_in, await begin(training_seconds=8))
    steps = signed_in.locator("#job-state").get_by_text("Step")
    await expect(steps).to_be_visible(timeout=END_MS)
    told = await signed_in.locator("#job-feed li").count()
    await signed_in.reload()
    await signed_in.evaluate("window.opened = true")
    assert await steps.is_visible()
    assert await signed_in.locator("#job-feed li").count() >= told
    await reaches(signed_in, "Completed")


async def test_the_page_outlives_a_gateway_that_crashes(signed_in: Page, begin: Begin, stack: RunningStack) -> None:
    await follow(signed_in, await begin(training_seconds=10))
    await expect(signed_in.locator("#job-state")).to_contain_text("of 1000", timeout=END_MS)
    pid = stack.kill("gateway")
    await expect(signed_in.locator("#connection")).to_have_text("Reconnecting…")
    await stack.back_after("gateway", pid)
    await expect(signed_in.locator("#connection")).to_have_text("Live", timeout=END_MS)
    await reaches(signed_in, "Completed")


async def test_a_studio_that_stops_lets_its_pages_go_at_once(
    signed_in: Page, begin: Begin, stack: RunningStack
) -> None:
    await follow(signed_in, await begin(training_seconds=10))
    pid = int(stack.state["services"]["studio"]["pid"])
    os.kill(pid, signal.SIGTERM)
    await expect(signed_in.locator("#connection")).to_have_text("Reconnecting…", timeout=3_000)
    await stack.back_after("studio", pid)
    await expect(signed_in.locator("#connection")).to_have_text("Live", timeout=END_MS)
    await reaches(signed_in, "Completed")


async def test_a_session_that_has_ended_leads_to_the_sign_in_and_back(
    signed_in: Page, begin: Begin, stack: RunningStack
) -> None:
    path = await begin(training_seconds=10)
    await follow(signed_in, path)
    await signed_in.context.clear_cookies()
    pid = stack.kill("studio")
    await stack.back_after("studio", pid)
    await signed_in.wait_for_url("**/sign-in?next=**", timeout=END_MS)
    await signed_in.get_by_label("API key").fill(stack.state["api_key"])
    await signed_in.keyboard.press("Enter")
    await signed_in.wait_for_url(f"**{path}")


async def test_a_failure_is_explained_and_retried_from_the_page(
    signed_in: Page, begin: Begin, sandbox: httpx.AsyncClient
) -> None:
    await follow(signed_in, await begin(training_outcome="failed"))
    await reaches(signed_in, "Failed")
    card = signed_in.get_by_role("alert")
    await expect(card.get_by_role("heading")).to_have_text("Training failed")
    for fact in ("Category", "Time", "What to do"):
        await expect(card.get_by_text(fact)).to_be_visible()
    await sandbox.post("/_sandbox/settings", json={"training_outcome": "succeeded"})
    await signed_in.get_by_role("button", name="Retry").click()
    await expect(signed_in.locator("#job-state .badge")).to_have_text("Completed", timeout=END_MS)
    await expect(card.get_by_role("heading")).to_be_hidden()
    await expect(signed_in.locator("#job-feed")).to_contain_text("Retry asked for")


async def test_a_job_is_canceled_from_the_page_after_a_question(
    signed_in: Page, begin: Begin, api: httpx.AsyncClient
) -> None:
    path = await begin(training_seconds=30)
    await follow(signed_in, path)
    await until_status(api, path.rpartition("/")[2], "training")
    await signed_in.get_by_role("link", name="Cancel training").click()
    await signed_in.get_by_role("link", name="Keep it").click()
    await signed_in.get_by_role("link", name="Cancel training").click()
    await signed_in.get_by_role("button", name="Cancel training").click()
    await expect(signed_in.locator("#job-state .badge")).to_have_text("Canceled", timeout=END_MS)
    await expect(signed_in.locator("#connection")).to_have_text("Finished")


async def test_a_deleted_job_is_gone_from_the_history(signed_in: Page, begin: Begin) -> None:
    path = await begin()
    await follow(signed_in, path)
    await reaches(signed_in, "Completed")
    await signed_in.get_by_role("link", name="Delete…").click()
    await signed_in.get_by_role("button", name="Delete…").click()
    await signed_in.wait_for_url(re.compile(r"/$"))
    await expect(signed_in.locator(f"a[href='{path}']")).to_have_count(0)
