"""Signing in and out in a real browser."""

from playwright.async_api import expect

from e2e.running import RunningStack

from .conftest import Visit
from .issuer import Issuer


async def test_a_person_is_led_to_the_page_they_asked_for_and_out_again(visit: Visit, stack: RunningStack) -> None:
    page = await visit()
    await page.goto("/?q=Ada")
    await page.get_by_label("API key").fill("fl_" + "A" * 40)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("does not accept this key")
    await page.get_by_label("API key").fill(stack.state["api_key"])
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/?q=Ada")
    await expect(page.get_by_label("Search by name")).to_have_value("Ada")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await page.goto("/")
    await page.wait_for_url("**/sign-in?next=**")


async def test_the_chosen_theme_stays(visit: Visit, stack: RunningStack) -> None:
    page = await visit(stack.state["api_key"], color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(background)
    await page.get_by_role("button", name="Dark").click()
    await expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    assert await page.evaluate(background) != before


async def test_people_of_an_organisation_sign_in_there(visit: Visit, replica: str, issuer: Issuer) -> None:
    page = await visit(base_url=replica)
    await page.goto("/models")
    await page.get_by_role("link", name="Sign in with your organisation").click()
    assert page.url.startswith(issuer.url)
    await page.get_by_label("Name").fill("frida")
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url(f"{replica}/models")
    await page.goto("/account")
    await expect(page.locator("main")).to_contain_text("frida")


async def test_a_session_holds_on_every_replica(
    visit: Visit, stack: RunningStack, studio_url: str, replica: str
) -> None:
    page = await visit(stack.state["api_key"])
    await page.goto(f"{replica}/account")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Account")
    await page.goto(f"{studio_url}/account")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Account")
