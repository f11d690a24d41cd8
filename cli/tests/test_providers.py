"""Which providers are real, and what each process is told."""

from pathlib import Path

import pytest

from fluxline_cli.stack.credentials import Credentials
from fluxline_cli.stack.environment import Environments
from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.ports import Ports
from fluxline_cli.stack.providers import choose
from fluxline_cli.stack.topology import PORT_NAMES, SERVICES

R2 = {
    "CLOUDFLARE_R2_ACCESS_KEY_ID": "id",
    "CLOUDFLARE_R2_SECRET_ACCESS_KEY": "secret",
    "CLOUDFLARE_R2_BUCKET": "photos",
    "CLOUDFLARE_R2_ENDPOINT": "account.r2.cloudflarestorage.com",
}
HUB = {"HUGGINGFACE_API_TOKEN": "hf_real_real_real", "HUGGINGFACE_USERNAME": "ada"}
REPLICATE = {"REPLICATE_API_TOKEN": "r8_real_real_real"}


def environments(inherited: dict[str, str], *, sandbox: bool | None = None) -> Environments:
    ports = Ports({name: 20_000 + number for number, name in enumerate(PORT_NAMES)})
    return Environments(inherited, Layout(Path("/home")), ports, Credentials(), choose(inherited, sandbox=sandbox))


def test_without_keys_the_sandbox_stands_in_for_everybody() -> None:
    assert choose({}, sandbox=None).real == frozenset()


def test_a_provider_with_a_key_is_real_and_the_others_stay_in_the_sandbox() -> None:
    providers = choose(HUB, sandbox=None)
    assert providers.real == {"huggingface"}
    assert providers.needs_sandbox


def test_the_sandbox_can_be_demanded_in_spite_of_keys() -> None:
    providers = choose({**HUB, **REPLICATE, **R2}, sandbox=True)
    assert not providers.real
    assert not providers.r2


def test_real_providers_can_be_demanded_and_missing_keys_are_named() -> None:
    with pytest.raises(StackError, match=r"REPLICATE_API_TOKEN|HUGGINGFACE_API_TOKEN"):
        choose({}, sandbox=False)


def test_all_is_real_without_the_optional_keys_too() -> None:
    providers = choose({**HUB, **REPLICATE, **R2}, sandbox=False)
    assert providers.real == {"replicate", "huggingface"}
    assert not providers.needs_sandbox


def test_the_generator_is_given_every_maker_of_images_that_the_sandbox_stands_in_for() -> None:
    told = environments({}).service("generator")
    assert told["FAL_BASE_URL"].endswith("/fal")
    assert environments({}).sandbox()["SANDBOX_FAL_KEY"] == told["FAL_KEY"]
    assert told["TOGETHER_BASE_URL"].endswith("/together/v1")


def test_beside_a_real_replicate_no_image_is_ever_made_by_the_sandbox() -> None:
    stack = environments({**REPLICATE, **R2, "FAL_KEY": "id:secret"})
    told = stack.service("generator")
    assert told["FAL_KEY"] == "id:secret"
    assert "FAL_BASE_URL" not in told
    assert "TOGETHER_API_KEY" not in told
    assert "fal: real, together: off" in stack.providers.describe()


def test_real_fal_needs_storage_that_it_can_reach() -> None:
    with pytest.raises(StackError, match="fal"):
        choose({"FAL_KEY": "id:secret"}, sandbox=None)


def test_half_of_the_hub_keys_is_refused_with_the_name_of_the_other_half() -> None:
    with pytest.raises(StackError, match="HUGGINGFACE_USERNAME"):
        choose({"HUGGINGFACE_API_TOKEN": "hf_x"}, sandbox=None)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:8000", "http://localhost:8000", "http://192.168.1.5"])
def test_real_replicate_with_a_local_folder_that_it_cannot_reach_is_refused_with_the_remedy(address: str) -> None:
    with pytest.raises(StackError) as refusal:
        choose({**REPLICATE, "STORAGE_PUBLIC_URL": address}, sandbox=None)
    assert "CLOUDFLARE_R2_" in refusal.value.remedy
    assert "STORAGE_PUBLIC_URL" in refusal.value.remedy


def test_real_replicate_takes_a_bucket_or_a_public_address() -> None:
    assert choose({**REPLICATE, **R2}, sandbox=None).r2
    assert not choose({**REPLICATE, "STORAGE_PUBLIC_URL": "https://flux.example.com"}, sandbox=None).r2


def test_a_service_gets_the_keys_that_it_needs_and_no_others() -> None:
    stack = environments({**HUB, **REPLICATE, **R2, "PATH": "/bin"})
    assert stack.service("publisher")["HUGGINGFACE_API_TOKEN"] == HUB["HUGGINGFACE_API_TOKEN"]
    for name in set(SERVICES) - {"publisher"}:
        assert "HUGGINGFACE_API_TOKEN" not in stack.service(name)
    assert "DATABASE_URL" not in stack.service("zipper")
    assert not set(R2) & set(stack.service("collector"))
    assert stack.service("collector")["PATH"] == "/bin"


def test_the_sandbox_is_told_no_real_key() -> None:
    told = environments({**HUB}).sandbox()
    assert not set(HUB.values()) & set(told.values())


def test_a_setting_that_a_person_made_wins_over_the_default_of_the_stack() -> None:
    assert environments({"TRAINER_POLL_SECONDS": "[7]"}).service("trainer")["TRAINER_POLL_SECONDS"] == "[7]"
    assert environments({}).service("trainer")["TRAINER_POLL_SECONDS"] == "[1]"


def test_loopback_never_goes_through_a_proxy() -> None:
    told = environments({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "corp"}).service("zipper")
    assert told["NO_PROXY"] == "corp,127.0.0.1,localhost"
