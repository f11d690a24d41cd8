"""The model card says what it must, whatever users call things."""

import re

import pytest
from huggingface_hub import ModelCard

from fluxline_publisher.card import check_card, make_card
from fluxline_publisher.errors import CardInvalid

from .conftest import succeeded

HOSTILE = [
    "---",
    "a: b",
    "# Title",
    "*bold* _it_ [x](javascript:alert(1))",
    "<script>alert(1)</script>",
    "`code` ```",
    "a | b | c",
    "'\"' \\ {0} {name} %s",
    "‮evil⁦",
    "!!python/object:os.system",
    "- item",
    "~ null yes 1e3",
    "emoji 🤖 ünïcödé",
]


def test_the_card_follows_the_convention() -> None:
    card = ModelCard(make_card(succeeded(), "ada/ada-0", 5))
    assert card.data.to_dict() == {
        "license": "other",
        "license_name": "flux-1-dev-non-commercial-license",
        "license_link": "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        "base_model": "black-forest-labs/FLUX.1-dev",
        "pipeline_tag": "text-to-image",
        "library_name": "diffusers",
        "tags": ["text-to-image", "flux", "lora", "diffusers", "template:sd-lora", "replicate"],
        "instance_prompt": "ADATOK",
        "widget": [{"text": "a photo of ADATOK"}],
    }
    for wanted in ("<Gallery />", "Use ADATOK", "| steps | 1000 |", "| learning rate | 0.0004 |", "| LoRA rank | 16 |"):
        assert wanted in card.text
    assert "| resolution | 512, 768, 1024 |" in card.text
    assert "| captioned images | 5 |" in card.text
    assert "load_lora_weights('ada/ada-0', weight_name='lora.safetensors')" in card.text


def test_a_figure_that_is_not_known_is_absent() -> None:
    assert "captioned images" not in make_card(succeeded(), "ada/ada-0", 0)


@pytest.mark.parametrize("text", HOSTILE)
def test_user_text_cannot_break_out_of_its_place(text: str) -> None:
    content = make_card(succeeded(name=text, trigger_word=text), "ada/ada-0", 5)
    card = ModelCard(content)
    assert card.data.get("instance_prompt") == text
    assert card.data.get("widget") == [{"text": f"a photo of {text}"}]
    assert re.findall(r"^#+ .*$", card.text, re.M)[1:] == [
        "## Trigger word",
        "## Training parameters",
        "## Use with diffusers",
        "## License",
    ]
    outside_code = re.sub(r"```python\n.*?\n```\n", "", card.text, flags=re.S)
    assert re.findall(r"(?<!\\)<[a-z/!]+", outside_code, re.I) == ["<Gallery"]
    assert "](javascript" not in outside_code


@pytest.mark.parametrize("text", HOSTILE)
def test_the_snippet_stays_python(text: str) -> None:
    content = make_card(succeeded(trigger_word=text), "ada/ada-0", 5)
    snippet = re.search(r"^```python\n(.*?)^```$", content, re.M | re.S)
    assert snippet is not None
    compile(snippet[1], "card", "exec")


def test_the_same_job_gives_the_same_card() -> None:
    job = succeeded()
    assert make_card(job, "ada/ada-0", 5) == make_card(job, "ada/ada-0", 5)


@pytest.mark.parametrize("broken", ["instance_prompt: ADATOK", "<Gallery />", "base_model: black"])
def test_a_card_that_lacks_something_is_not_published(broken: str) -> None:
    job = succeeded()
    content = make_card(job, "ada/ada-0", 5)
    with pytest.raises(CardInvalid):
        check_card(content.replace(broken, "x: y", 1), job)
