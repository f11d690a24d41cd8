"""The list of trainings in a real browser: found by name and status, page by page, and kept as the trainings are."""

import re
from pathlib import Path

import httpx
from playwright.async_api import expect

from e2e.running import RunningStack, job, submit, until_status, upload

from .conftest import Visit
from .scene import settle

A_PAGE = 20


async def test_trainings_are_found_by_name_and_status_page_by_page(
    visit: Visit, stack: RunningStack, sandbox: httpx.AsyncClient, photos: list[Path]
) -> None:
    [key] = re.findall(r"fl_[\w-]+", stack.run("keys", "create", "--owner", "cleo", "--json").stdout)
    page = await visit(key)
    await expect(page.get_by_role("heading", name="No trainings yet")).to_be_visible()
    await settle(sandbox, training_seconds=30)
    async with stack.client(key) as cleo:
        images = await upload(cleo, photos)
        trainings = [await submit(cleo, job(images, name=f"Cat {number}")) for number in range(A_PAGE + 1)]
        for training in trainings:
            (await cleo.post(f"/v1/trainings/{training['id']}/cancel")).raise_for_status()
        await page.reload()
        rows = page.locator("#trainings tbody tr")
        await expect(rows).to_have_count(A_PAGE)
        await expect(rows.first).to_contain_text(f"Cat {A_PAGE}")
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(1)
        await page.get_by_role("link", name="Back to the newest").click()
        await page.get_by_label("Search by name").fill("cat 17")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(1)
        await page.get_by_label("Status").select_option("Completed")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
        await page.get_by_role("link", name="Clear").first.click()
        await expect(rows).to_have_count(A_PAGE)


async def test_the_list_follows_what_runs_and_keeps_the_focus(
    visit: Visit, stack: RunningStack, sandbox: httpx.AsyncClient, photos: list[Path]
) -> None:
    [key] = re.findall(r"fl_[\w-]+", stack.run("keys", "create", "--owner", "dora", "--json").stdout)
    await settle(sandbox, training_seconds=3)
    async with stack.client(key) as dora:
        training = await submit(dora, job(await upload(dora, photos), name="Dog"))
        page = await visit(key)
        await page.evaluate("window.opened = true")
        link = page.get_by_role("link", name="Dog")
        await link.focus()
        await until_status(dora, training["id"], "completed")
        await expect(page.locator("#trainings .badge")).to_have_text("Completed", timeout=10_000)
        await expect(link).to_be_focused()
        assert await page.evaluate("window.opened")


async def test_times_are_told_in_the_zone_of_the_browser(
    visit: Visit, stack: RunningStack, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    training = await submit(api, job(await upload(api, photos), name="Clock"))
    page = await visit(stack.state["api_key"], timezone_id="Asia/Kolkata")
    await page.goto(f"/trainings/{training['id']}")
    asked = page.locator("#job-feed time").last
    at = await asked.get_attribute("datetime")
    told = await page.evaluate(
        "(at) => new Date(at).toLocaleTimeString('en-GB', {timeZone: 'Asia/Kolkata', hour12: false})", at
    )
    await expect(asked).to_have_text(told)
    await until_status(api, training["id"], "completed")
