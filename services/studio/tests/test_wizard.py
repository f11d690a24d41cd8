"""The wizard's pages as they are rendered, with the limits that the gateway enforces."""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi.testclient import TestClient

import fluxline_studio.pages.wizard_view as wizard_view
from fluxline_studio import texts_wizard
from fluxline_studio.app import make_app
from fluxline_studio.settings import StudioSettings

LIMITS: dict[str, Any] = {
    "images": {
        "per_training_min": 5,
        "per_training_max": 20,
        "formats": ["jpeg", "heic"],
        "short_side_min_px": 512,
        "size_max_bytes": 25 * 1024**2,
        "caption": {"min": 0, "max": 1000},
    },
    "training": {
        "name": {"min": 1, "max": 50},
        "trigger_word": {"min": 1, "max": 50},
        "steps": {"min": 600, "max": 1500, "default": 1000},
        "learning_rate": {"min": 1e-05, "max": 0.01, "default": 0.0004},
        "lora_rank": {"min": 1, "max": 128, "default": 16},
        "resolution": {"options": ["512", "768", "1024"], "default": "512,768,1024"},
    },
}


def gateway(request: httpx.Request) -> httpx.Response:
    """A double of the gateway that knows its limits and takes any key, whose owner it is named after."""
    if request.url.path == "/v1/limits":
        return httpx.Response(200, json=LIMITS)
    owner = request.headers["authorization"].removeprefix("Bearer ")
    return httpx.Response(200, json={"owner": owner, "scopes": ["read", "write"]})


class Facts(HTMLParser):
    """Ids, what refers to them, and the wizard's configuration."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.referred: set[str] = set()
        self.inline: list[str] = []
        self.headings = 0
        self.config: dict[str, Any] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        facts = {name: value or "" for name, value in attrs}
        self.ids += [facts["id"]] if "id" in facts else []
        for name in ("for", "aria-describedby", "aria-labelledby", "form"):
            self.referred |= set(facts.get(name, "").split())
        self.inline += [name for name in facts if name == "style" or name.startswith("on")]
        self.headings += tag == "h1"
        if "data-config" in facts:
            self.config = json.loads(facts["data-config"])


def client(owner: str = "ada") -> TestClient:
    """A browser in which `owner` is signed in."""
    settings = StudioSettings(secret="s" * 32, cookie_secure=False, _env_file=None)  # type: ignore[call-arg, arg-type]
    made = TestClient(make_app(settings, httpx.MockTransport(gateway)), headers={"Origin": "http://testserver"})
    assert made.post("/sign-in", data={"key": owner}, follow_redirects=False).status_code == 303
    return made


def test_the_wizard_begins_with_the_photos() -> None:
    answer = client().get("/new", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/new/photos")


@pytest.mark.parametrize("step", wizard_view.STEPS)
def test_each_step_is_a_page_whose_references_lead_somewhere_and_whose_ids_are_unique(step: str) -> None:
    facts = Facts(client().get(f"/new/{step}").text)
    assert facts.headings == 1
    assert len(facts.ids) == len(set(facts.ids))
    assert facts.referred <= set(facts.ids), facts.referred - set(facts.ids)
    assert not facts.inline


@pytest.mark.parametrize("step", wizard_view.STEPS)
def test_each_step_has_its_own_module(step: str) -> None:
    browser = client()
    (address,) = re.findall(rf"/static/\w+/wizard-{step}\.js", browser.get(f"/new/{step}").text)
    imported = re.findall(r'from "(\./[\w-]+\.js)"', browser.get(address).text)
    assert imported
    assert {browser.get(urljoin(address, name)).status_code for name in imported} == {200}


def test_another_step_does_not_exist() -> None:
    assert client().get("/new/payment").status_code == 404


def test_an_owner_with_a_hostile_name_is_a_name() -> None:
    owner = "'><script>alert(1)</script>"
    page = client(owner).get("/new/photos").text
    assert "<script>alert" not in page
    assert Facts(page).config["owner"] == owner


def test_presets_stay_within_the_gateways_bounds() -> None:
    steps = {name: settings["steps"] for name, settings in wizard_view.presets(LIMITS).items()}
    assert steps == {"quick": 600, "balanced": 1000, "thorough": 1500}


def test_a_small_number_is_written_as_people_write_it() -> None:
    assert "0.00001 to 0.01" in client().get("/new/settings").text


def test_a_preset_or_choice_has_its_own_text() -> None:
    assert set(wizard_view.presets(LIMITS)) | {"custom"} == set(texts_wizard.PAGE["settings"]["presets"])
    assert set(texts_wizard.PAGE["captions"]["subjects"]) == set(texts_wizard.SCRIPT["review"]["subjects"])
