"""The report: one document that needs nothing else, in which everything that an event holds is text.

Looked at in a real browser where there is one; REPORT_SCREENSHOTS names a folder for pictures.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from chromium import running_chromium
from fluxline_collector.report import render

from .stories import TRAIN, UPLOAD, HubDown, Story, Throttled, WrongToken

SCREENS = {"desktop": (1200, 900, "light"), "dark": (1200, 900, "dark"), "phone": (390, 844, "light")}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>{{ 7 * 7 }}"
    " \u202egnp.exe \u0000 \u2066 \ud800 https://evil.example/x.png </title></style>"
)


class Tags(HTMLParser):
    """The tags of a document and their attributes; the text of it in one piece."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report_of(story: Story) -> str:
    curve = [
        {"at": event.at, **{name: event.facts.get(name) for name in ("step", "loss", "percent")}}
        for event in story.events()
        if event.type == "training.progressed"
    ]
    return render(story.summary(), story.timeline(), story.events(), curve, story.now)


def eventful(name: str = "Ada at the sea") -> Story:
    story = Story(name=name).zipped().after(2).start(TRAIN).retry(TRAIN, Throttled(), delay_s=32).after(32)
    story.start(TRAIN, 2).accepted().trains(0, phase="starting").after(40)
    for percent in range(2, 101, 2):
        story.after(12).trains(percent)
    story.weights(attempt=2, worked_s=640).after(1).start(UPLOAD).retry(UPLOAD, HubDown(), worked_s=30, delay_s=45)
    return story.after(45).start(UPLOAD, 2).fail(UPLOAD, WrongToken(status=401, repository="ada/x"), 2, worked_s=12)


def hostile() -> Story:
    story = Story(name=HOSTILE.replace("\x00", "").replace("\ud800", "")[:50])
    story.start(TRAIN).fail(
        TRAIN, WrongToken(HOSTILE.replace("\ud800", ""), hint=HOSTILE.replace("\ud800", ""), what=HOSTILE[:40])
    )
    story.raw(HOSTILE.replace("\ud800", ""), json.dumps({"training_id": str(story.training_id), "a": HOSTILE}).encode())
    story.raw("zip.created", HOSTILE.encode(errors="replace"))
    return story


def test_it_says_what_the_summary_says() -> None:
    text = re.sub(r"\s+", " ", Tags(report_of(eventful())).text)
    for words in (
        "Ada at the sea",
        "Publishing failed (authentication): Hugging Face refused the token. Set HUGGINGFACE_API_TOKEN.",
        "rate_limit 1, service_error 1, authentication 1",
        "$1.50 1000 s of an H100",
        "Training · attempt 2",
        "Training waited 32.0 s: rate limit",
        "Loss",
    ):
        assert words in text


@pytest.mark.parametrize("story", [eventful, hostile, Story], ids=["eventful", "hostile", "just requested"])
def test_it_needs_nothing_else_and_runs_nothing(story: Any) -> None:
    html = report_of(story())
    for tag, attributes in Tags(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")]
        assert tag == "a" or "href" not in attributes
    assert not re.search(r"@import|url\(", html)
    assert "default-src 'none'" in html


def test_what_an_event_holds_stays_text() -> None:
    html = report_of(hostile())
    tags = Tags(html)
    assert "<script>alert(1)</script>" in tags.text
    assert "{{ 7 * 7 }}" in tags.text
    assert not set("\x00\u202e\u2066\ud800") & set(html)
    html.encode()


def test_it_has_a_bound_and_says_what_it_leaves_out() -> None:
    story = Story()
    for number in range(1000):
        story.raw(
            "zip.unheard_of", json.dumps({"training_id": str(story.training_id), "n": number, "x": "y" * 9000}).encode()
        )
    html = report_of(story)
    assert len(html) < 3_000_000
    assert "701 events are left out here" in html
    assert "701 entries are left out here" in html
    assert "more characters" in html


def test_the_progress_by_time_stands_for_a_loss_that_nobody_told() -> None:
    story = Story().zipped().start(TRAIN).accepted()
    rows = [{"at": story.now, "step": None, "loss": "nan", "percent": str(percent)} for percent in (1, 50)]
    html = render(story.summary(), story.timeline(), story.events(), rows, story.now)
    assert ">Progress" in html


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real browser."""
    async with running_chromium() as browser:
        yield browser


async def test_a_browser_shows_it_on_every_screen_and_asks_nobody_for_anything(
    browser: Browser, tmp_path: Path
) -> None:
    for kind, story in (("eventful", eventful()), ("hostile", hostile())):
        (tmp_path / f"{kind}.html").write_text(report_of(story))
    for screen, (width, height, scheme) in SCREENS.items():
        context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        for kind in ("eventful", "hostile"):
            await page.goto((tmp_path / f"{kind}.html").as_uri())
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            if folder := os.environ.get("REPORT_SCREENSHOTS"):
                await page.screenshot(path=Path(folder) / f"report-{kind}-{screen}.png", full_page=True)
        await page.goto((tmp_path / "eventful.html").as_uri())
        bars = await page.locator("svg rect.succeeded, svg rect.retried, svg rect.failed").all()
        boxes = [box for bar in bars if (box := await bar.bounding_box())]
        assert len(boxes) == 5
        assert all(box["width"] > 0.5 and box["x"] + box["width"] <= width for box in boxes)
        assert [url for url in asked if not url.startswith("file:")] == []
        await context.close()
