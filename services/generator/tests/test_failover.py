"""More than one provider, against the sandbox: who is asked next, who is not, and what is told of it."""

import json

import pytest

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.events import GenerationRequested
from fluxline.storage.local import LocalStorage
from fluxline_generator.errors import (
    ContentRefused,
    NeedsReview,
    ProviderDeclined,
    ProviderRefused,
    ProvidersExhausted,
    RunLost,
    SubmissionDoubtful,
)
from fluxline_generator.fal_api import FalApi
from fluxline_generator.generator import Generator
from fluxline_generator.prompts import wanted_of
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore
from fluxline_generator.together_api import TogetherApi
from fluxline_sandbox.settings import Settings

from .conftest import PRICES, QUICK, SandboxReplicate, together_at, wanted

REFUSED = {"title": "No", "detail": "Because."}


@pytest.fixture
def works(
    replicate: SandboxReplicate, fal: FalApi, together: TogetherApi, store: GenerationStore, storage: LocalStorage
) -> Generator:
    return generator_of(store, storage, replicate.client(), fal, together)


def generator_of(store: GenerationStore, storage: LocalStorage, *providers: Provider) -> Generator:
    return Generator(store, providers, storage, PRICES, pace=QUICK)


async def moved(works: Generator, event: GenerationRequested) -> tuple[Generation, list[ProviderDeclined]]:
    """The generation at its end, and who declined on the way."""
    declined: list[ProviderDeclined] = []
    while True:
        try:
            return await works.generate(event), declined
        except ProviderDeclined as error:
            declined.append(error)


@pytest.mark.parametrize("code", [401, 402, 403, 404])
async def test_who_declines_for_its_own_reason_makes_room_for_the_next(
    replicate: SandboxReplicate, works: Generator, code: int
) -> None:
    replicate.fault("predictions.create", "status", code=code, body=REFUSED)
    done, declined = await moved(works, wanted(None))
    assert (done.state, done.provider) == ("succeeded", "fal")
    assert [refusal["provider"] for refusal in done.refusals] == ["replicate"]
    assert [error.context["provider"] for error in declined] == ["replicate"]
    assert done.outcome is not None
    assert "USD per megapixel" in done.outcome["cost"]["basis"]
    assert done.outcome["image_keys"][0].endswith(".webp")
    assert replicate.generations() == 1


async def test_two_decline_and_the_third_makes_it(replicate: SandboxReplicate, works: Generator) -> None:
    replicate.fault("predictions.create", "status", code=402, body=REFUSED)
    replicate.fault_at("fal", "requests.submit", "status", code=403, body=REFUSED)
    done, declined = await moved(works, wanted(None))
    assert (done.provider, [refusal["provider"] for refusal in done.refusals]) == ("together", ["replicate", "fal"])
    assert [error.category for error in declined] == [ErrorCategory.BILLING, ErrorCategory.AUTHENTICATION]
    assert "REPLICATE_API_TOKEN" in declined[0].hint
    assert "FAL_KEY" in declined[1].hint
    assert replicate.generations() == 1


async def test_a_refused_content_is_not_tried_elsewhere(replicate: SandboxReplicate, works: Generator) -> None:
    with pytest.raises(ContentRefused):
        await works.generate(wanted(None, parameters={"prompt": "nsfw-test"}))
    assert replicate.generations() == 1


async def test_a_wrong_request_is_not_tried_elsewhere(replicate: SandboxReplicate, works: Generator) -> None:
    replicate.fault("predictions.create", "status", code=422, body=REFUSED)
    with pytest.raises(ProviderRefused):
        await works.generate(wanted(None))
    assert replicate.generations() == 0


async def test_an_outage_moves_on_after_a_few_attempts(replicate: SandboxReplicate, works: Generator) -> None:
    event = wanted(None)
    replicate.fault("predictions.create", "status", code=429, body={**REFUSED, "retry_after": 9}, times=None)
    for _ in range(2):
        with pytest.raises(FluxlineError) as raised:
            await works.generate(event)
        assert (raised.value.category, raised.value.retry_after_s) == (ErrorCategory.RATE_LIMIT, 9)
    done, declined = await moved(works, event)
    assert (done.provider, len(declined)) == ("fal", 1)


async def test_when_nobody_is_left_the_first_one_s_reason_counts(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    fal = FalApi("wrong:key", f"{replicate.url}/fal", storage, timeout_s=5)
    together = together_at(replicate, storage, key="wrong")
    replicate.fault("predictions.create", "status", code=402, body=REFUSED)
    with pytest.raises(ProvidersExhausted) as raised:
        await moved(generator_of(store, storage, replicate.client(), fal, together), wanted(None))
    await fal.close()
    await together.close()
    assert raised.value.category is ErrorCategory.BILLING
    assert "REPLICATE_API_TOKEN" in raised.value.hint
    for name in ("replicate", "fal", "together"):
        assert name in raised.value.message


async def test_a_lora_is_never_replaced_by_the_base_model(replicate: SandboxReplicate, works: Generator) -> None:
    replicate.fault("predictions.create", "status", code=402, body=REFUSED, times=None)
    with pytest.raises(FluxlineError) as raised:
        await moved(works, wanted(replicate.version))
    assert raised.value.category is ErrorCategory.BILLING
    assert replicate.generations() == 0


async def test_a_lora_s_weights_take_over_where_its_version_is_gone(
    replicate: SandboxReplicate, store: GenerationStore, served: LocalStorage, lora_key: str
) -> None:
    replicate.fault("predictions.create", "status", code=404, body=REFUSED)
    fal = FalApi(Settings().fal_key.get_secret_value(), f"{replicate.url}/fal", served, timeout_s=5)
    works = generator_of(store, served, replicate.client(), fal)
    done, _ = await moved(works, wanted(replicate.version, weights_key=lora_key))
    await fal.close()
    assert (done.provider, done.order.input["weights_key"]) == ("fal", lora_key)


@pytest.mark.parametrize(
    ("name", "operation"), [("fal", "requests.submit"), ("together", "images.generate")], ids=["fal", "together"]
)
async def test_a_doubtful_submission_without_a_list_is_never_repeated(
    replicate: SandboxReplicate,
    fal: FalApi,
    together: TogetherApi,
    store: GenerationStore,
    storage: LocalStorage,
    name: str,
    operation: str,
) -> None:
    replicate.fault_at(name, operation, "drop_answer")
    first: Provider = fal if name == "fal" else together
    others: list[Provider] = [replicate.client()]
    works, event = generator_of(store, storage, first, *others), wanted(None)
    with pytest.raises(SubmissionDoubtful) as raised:
        await works.generate(event)
    assert not raised.value.retryable
    with pytest.raises(FluxlineError):
        await works.generate(event)
    assert replicate.generations() == 1


async def test_after_three_lost_runs_another_provider_is_asked(replicate: SandboxReplicate, works: Generator) -> None:
    event = wanted(None)
    replicate.fault_at("replicate", "result.download", "status", code=404, times=None)
    for _ in range(3):
        with pytest.raises(RunLost, match="live for an hour"):
            await works.generate(event)
    done, declined = await moved(works, event)
    assert (done.provider, len(declined)) == ("fal", 1)


async def test_who_is_not_configured_any_more_is_not_asked_again_elsewhere(
    replicate: SandboxReplicate, fal: FalApi, works: Generator, store: GenerationStore, storage: LocalStorage
) -> None:
    replicate.fault("predictions.get", "status", code=500)
    event = wanted(None)
    with pytest.raises(FluxlineError):
        await works.generate(event)
    with pytest.raises(NeedsReview):
        await generator_of(store, storage, fal).generate(event)
    assert replicate.generations() == 1


async def test_a_lora_is_handed_over_by_a_link_that_is_kept_nowhere(
    replicate: SandboxReplicate, fal: FalApi, storage: LocalStorage
) -> None:
    together = together_at(replicate, storage, lora_model="acme/flux-lora")
    for provider, field in ((fal, "loras"), (together, "image_loras")):
        order = provider.order(wanted_of(wanted("x:" + "a" * 64, weights_key="trainings/a/lora.safetensors")))
        assert order is not None
        assert "http" not in json.dumps(order.input)
        assert provider._body(order)[field][0]["path"].startswith("http")
    await together.close()
