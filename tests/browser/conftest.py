"""One real stack for all tests of this folder, and Chromium in front of its studio.

Skipped without a browser unless FLUXLINE_REQUIRE_BROWSER is set.
"""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from playwright.async_api import Browser, Page

from chromium import running_chromium
from e2e.running import RunningStack
from photos import write_photos
from processes import Process, free_ports

from .issuer import AUDIENCE, CLIENT, Issuer, running_issuer
from .scene import make_scene

DESKTOP, PHONE = (1280, 900), (360, 780)
PAGE_TIMEOUT_MS = 15_000
USUAL = {"training_seconds": 2.0, "generation_seconds": 0.3, "training_outcome": "succeeded"}
"""The sandbox's settings that a test may change; they are so again after it."""


class Visit(Protocol):
    """Opens a window of its own (a person, a device), signed in with the key, none for nobody."""

    def __call__(
        self, key: str | None = ..., size: tuple[int, int] = ..., **context: Any
    ) -> Awaitable[Page]: ...  # fmt: skip


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """The organisation whose people may use the stack."""
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[RunningStack]:
    """The running stack; leaving it checks that nothing of it is left."""
    trust = {"GATEWAY_OIDC_ISSUER": issuer.url, "GATEWAY_OIDC_AUDIENCE": AUDIENCE}
    with RunningStack(tmp_path_factory.mktemp("stack") / "home", **trust) as running:
        yield running
    assert running.exit_status == 0, running.output()
    assert not running.remaining_processes()
    assert not running.violations()


@pytest.fixture(scope="session")
def studio_url(stack: RunningStack) -> str:
    """Where the studio is."""
    return str(stack.state["studio_url"])


@pytest.fixture(scope="session")
def replica(stack: RunningStack, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a second studio, which also takes people of the issuer."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    credentials = json.loads((stack.home / "credentials.json").read_text())
    settings = {
        "STUDIO_HTTP_PORT": str(port),
        "STUDIO_GATEWAY_URL": stack.state["gateway_url"],
        "STUDIO_SECRET": credentials["studio_secret"],
        "STUDIO_COOKIE_SECURE": "false",
        "STUDIO_PUBLIC_URL": url,
        "STUDIO_OIDC_ISSUER": issuer.url,
        "STUDIO_OIDC_CLIENT_ID": CLIENT,
        "STUDIO_OIDC_AUDIENCE": AUDIENCE,
        "STUDIO_OIDC_SCOPE": "openid read write",
    }
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), sys.executable, "-m", "fluxline_studio"]
    with Process(command, tmp_path_factory.mktemp("replica") / "log", lambda _: _is_ready(url)):
        yield url


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def operator_key(stack: RunningStack) -> str:
    """A key that may do everything."""
    made = stack.run("keys", "create", "--owner", "ada", *(f"--scope={name}" for name in ("read", "write", "admin")))
    return next(word for word in made.stdout.split() if word.startswith("fl_"))


@pytest.fixture
async def ada(stack: RunningStack, operator_key: str) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway, for an owner who may do everything."""
    async with stack.client(operator_key) as client:
        yield client


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six different photos."""
    return write_photos(tmp_path_factory.mktemp("photos"), count=6, size=(640, 600), seed=7)


@pytest.fixture
async def api(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway, for the owner of the stack."""
    async with stack.client(stack.state["api_key"]) as client:
        yield client


@pytest.fixture
async def sandbox(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """The sandbox's own routes; its faults and settings are the usual ones before and after the test."""
    async with httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as client:
        await _as_usual(client)
        yield client
        await _as_usual(client)


@pytest.fixture(scope="session")
def known() -> dict[str, str]:
    """The names of what is shown, once it is there."""
    return {}


@pytest.fixture
async def names(
    known: dict[str, str], ada: httpx.AsyncClient, sandbox: httpx.AsyncClient, stack: RunningStack, photos: list[Path]
) -> dict[str, str]:
    """A completed training, its model with pictures, a failed training and a dead letter."""
    if not known:
        known.update(await make_scene(ada, sandbox, stack, photos))
    return known


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real browser."""
    async with running_chromium() as browser:
        yield browser


@pytest.fixture
async def visit(browser: Browser, stack: RunningStack, studio_url: str) -> AsyncIterator[Visit]:
    """A `Visit`; an error of a page's script, or something that its policy forbids, fails the test."""
    crashes: list[str] = []

    async with AsyncExitStack() as contexts:

        async def open_page(key: str | None = None, size: tuple[int, int] = DESKTOP, **context: Any) -> Page:
            options = {"viewport": {"width": size[0], "height": size[1]}, "base_url": studio_url, **context}
            window = await contexts.enter_async_context(await browser.new_context(**options))
            page = await window.new_page()
            page.set_default_timeout(PAGE_TIMEOUT_MS)
            page.on("pageerror", lambda error: crashes.append(str(error)))
            page.on("console", lambda said: crashes.append(said.text) if "Content Security" in said.text else None)
            if key:
                await sign_in(page, key)
            return page

        yield open_page
    assert not crashes


@pytest.fixture
async def signed_in(visit: Visit, stack: RunningStack) -> Page:
    """A window of the stack's owner, on the first page, with nothing kept from other tests."""
    return await visit(stack.state["api_key"])


async def sign_in(page: Page, key: str) -> None:
    """As a person does."""
    await page.goto("/sign-in")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/sign-in" not in url)


async def _as_usual(sandbox: httpx.AsyncClient) -> None:
    (await sandbox.delete("/_sandbox/faults")).raise_for_status()
    (await sandbox.post("/_sandbox/settings", json=USUAL)).raise_for_status()
