"""The operators' pages in a real browser: a dead letter is read, replayed and dropped; a key is made and revoked."""

import os
import re
import signal
import uuid

import httpx
from playwright.async_api import Locator, Page, expect

from e2e.running import RunningStack

from .conftest import Visit
from .scene import bury_a_message

LETTERS = "/v1/admin/dead-letters"


async def of_the_zipper(ada: httpx.AsyncClient) -> list[int]:
    """The numbers of its dead letters, oldest first."""
    items = (await ada.get(LETTERS, params={"limit": 100})).raise_for_status().json()["items"]
    return sorted(item["number"] for item in items if item["durable"] == "zipper")


def row(page: Page, number: int) -> Locator:
    """The dead letter of this number."""
    return page.locator("#dead-letters tbody tr").filter(
        has=page.get_by_role("rowheader", name=str(number), exact=True)
    )


async def test_a_dead_letter_is_replayed_comes_back_and_is_dropped(
    visit: Visit, operator_key: str, ada: httpx.AsyncClient, stack: RunningStack
) -> None:
    known = await of_the_zipper(ada)
    page = await visit(operator_key)
    await page.goto("/operations")
    await bury_a_message(stack)
    letters = page.locator("#dead-letters tbody tr").filter(has_text="zipper")
    await expect(letters).to_have_count(len(known) + 1, timeout=15_000)  # the page keeps fresh by itself
    [number] = set(await of_the_zipper(ada)) - set(known)
    await expect(row(page, number)).to_contain_text("training.requested")
    await page.get_by_role("button", name=f"Replay {number}").click()
    await page.wait_for_url("**/operations#dead-letters")
    await expect(row(page, number)).to_have_count(0)
    await expect(letters).to_have_count(len(known) + 1, timeout=15_000)  # nobody can read it the second time either
    [again] = set(await of_the_zipper(ada)) - set(known)
    await page.get_by_role("link", name=f"Drop {again}").click()
    await page.get_by_role("link", name="Keep it").click()
    await page.get_by_role("link", name=f"Drop {again}").click()
    await page.get_by_role("button", name="Drop", exact=True).click()
    await expect(row(page, again)).to_have_count(0)
    assert await of_the_zipper(ada) == known


async def test_every_consumer_is_shown_and_one_that_nobody_serves_stands_out(
    visit: Visit, operator_key: str, stack: RunningStack
) -> None:
    page = await visit(operator_key)
    await page.goto("/operations")
    consumer = page.locator("#now tbody tr").filter(has=page.get_by_role("cell", name="publisher-cards", exact=True))
    await expect(consumer).to_contain_text("Listening")
    pid = int(stack.state["services"]["publisher"]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        await expect(consumer).to_contain_text("Nobody listens", timeout=30_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    await expect(consumer).to_contain_text("Listening", timeout=30_000)


async def test_insights_and_logs_are_filtered(visit: Visit, operator_key: str) -> None:
    page = await visit(operator_key)
    await page.goto("/operations/insights")
    await page.get_by_label("Period").select_option("24 hours")
    await page.get_by_label("Stage", exact=True).select_option("Archive")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**period=day&stage=zip_creation")
    await expect(page.get_by_label("Period")).to_have_value("day")
    await page.get_by_role("link", name="Logs").click()
    await page.get_by_label("Search").fill("service.started")
    await page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("region", name="Logs").locator("tbody tr")
    await expect(rows.first).to_contain_text("service.started")
    assert all("service.started" in words for words in await rows.all_inner_texts())


async def test_who_is_no_operator_sees_none_of_it(visit: Visit, stack: RunningStack) -> None:
    [key] = re.findall(r"fl_[\w-]+", stack.run("keys", "create", "--owner", "emil", "--json").stdout)
    page = await visit(key)
    await expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    answer = await page.goto("/operations")
    assert answer
    assert answer.status == 403


async def test_a_key_that_is_made_here_works_until_it_is_revoked(
    visit: Visit, operator_key: str, stack: RunningStack
) -> None:
    page, name = await visit(operator_key), f"laptop {uuid.uuid4()}"
    await page.goto("/account")
    await page.get_by_label("Name of the new key").fill(name)
    await page.get_by_role("button", name="Make a key").click()
    key = await page.locator(".secret").inner_text()
    async with stack.client(key) as client:
        assert (await client.get("/v1/me")).status_code == 200
        await page.get_by_role("link", name=f"Revoke the key {name}").click()
        await page.get_by_role("button", name="Revoke", exact=True).click()
        await expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("Revoked")
        assert (await client.get("/v1/me")).status_code == 401
