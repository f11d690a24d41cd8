"""Models and pictures in a real browser: weights come as one file, pictures are made, copied, made again, explained."""

from pathlib import Path
from uuid import uuid4

import httpx
from playwright.async_api import expect
from safetensors import safe_open

from .conftest import Visit


async def test_the_weights_are_downloaded_as_one_file(visit: Visit, operator_key: str, names: dict[str, str]) -> None:
    page = await visit(operator_key)
    await page.goto("/models")
    await page.get_by_role("link", name="Ada's Robot", exact=True).first.click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download the weights").click()
    with safe_open(await (await download.value).path(), "np") as weights:
        assert all("lora" in name for name in weights.keys())  # noqa: SIM118  # it is no dictionary


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


async def test_pictures_that_the_provider_refuses_are_explained(
    visit: Visit, operator_key: str, names: dict[str, str], sandbox: httpx.AsyncClient
) -> None:
    refusal = {
        "title": "Refused",
        "detail": "NSFW content detected. Try running it again, or try a different prompt.",
        "status": 422,
    }
    plan = {
        "operation": "generate",
        "kind": "status",
        "code": 422,
        "times": None,
        "body": refusal,
    }
    (await sandbox.post("/_sandbox/faults", json=[plan])).raise_for_status()
    page = await visit(operator_key)
    await page.goto(f"/models/{names['model']}/generate")
    prompt = f"a lighthouse {uuid4()}"
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.get_by_role("button", name="Make pictures").click()
    made = page.locator("article", has_text=prompt)
    await expect(made.locator(".badge")).to_have_text("Failed", timeout=30_000)
    await expect(made.locator(".error")).to_contain_text("prompt")
