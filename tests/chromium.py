"""A real browser for tests. Without one they are skipped, unless FLUXLINE_REQUIRE_BROWSER is set."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright
from playwright.async_api import Error as BrowserError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Chromium: the system's, or else the one that `playwright install chromium` has put there."""
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except BrowserError as error:
            if os.environ.get("FLUXLINE_REQUIRE_BROWSER"):
                raise
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield browser
        await browser.close()
