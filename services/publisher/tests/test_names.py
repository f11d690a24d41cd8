"""Repository names: readable, safe, deterministic, unique by training."""

from typing import Any
from uuid import UUID

import pytest
from huggingface_hub.utils import validate_repo_id

from fluxline_publisher.errors import RepoNameInvalid
from fluxline_publisher.names import derived_name, repo_name

from .conftest import succeeded

ID = UUID("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ada", "ada-01234567"),
        ("  My   Dog!! ", "my-dog-01234567"),
        ("Zoë Straße", "zoe-strasse-01234567"),
        ("小狗", "xiaogou-01234567"),
        ("🤖", "robot-01234567"),
        ("---...///", "flux-lora-01234567"),
        ("../../etc/passwd", "etc-passwd-01234567"),
        ("con.git", "con-git-01234567"),
    ],
)
def test_a_name_becomes_a_slug_with_the_training_s_id(name: str, expected: str) -> None:
    assert repo_name(succeeded(ID, name=name)) == expected
    validate_repo_id(f"fluxline-sandbox/{expected}")


def test_a_name_that_grows_when_transliterated_is_capped() -> None:
    name = derived_name("鬱" * 20 + "x" * 200, ID.hex)
    assert len(name) <= 96
    assert name.endswith("-01234567")
    validate_repo_id(name)


def test_two_trainings_of_one_name_have_two_repositories() -> None:
    assert repo_name(succeeded(name="Ada")) != repo_name(succeeded(name="Ada"))


def publish(repo_name: str) -> dict[str, Any]:
    return {"enabled": True, "accept_license": True, "repo_name": repo_name}


def test_a_chosen_name_is_kept() -> None:
    assert repo_name(succeeded(publish=publish("My_Model.v2"))) == "My_Model.v2"


@pytest.mark.parametrize("name", ["a--b", "a..b", "a.git"])
def test_a_chosen_name_that_the_hub_forbids_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(RepoNameInvalid, match=name) as raised:
        repo_name(succeeded(publish=publish(name)))
    assert "--" in raised.value.hint
