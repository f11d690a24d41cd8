"""More than one provider, and cancelation, against the sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.storage.local import LocalStorage
from fluxline_generator.errors import ContentRefused, ProvidersExhausted, SubmissionDoubtful
from fluxline_generator.fal_api import FalApi
from fluxline_generator.generator import Generator
from fluxline_generator.prompts import wanted_of
from fluxline_generator.store import GenerationStore
from fluxline_sandbox.settings import Settings
from polling import poll_until

from .conftest import PRICES, QUICK, SandboxReplicate, wanted

REFUSED = {"title": "No", "detail": "Because."}


@pytest.fixture
async def fal(replicate: SandboxReplicate, storage: LocalStorage) -> AsyncIterator[FalApi]:
    client = FalApi(Settings().fal_key.get_secret_value(), f"{replicate.url}/fal", storage, timeout_s=5)
    yield client
    await client.close()


@pytest.fixture
def works(replicate: SandboxReplicate, fal: FalApi, store: GenerationStore, storage: LocalStorage) -> Generator:
    return Generator(store, [replicate.client(), fal], storage, PRICES, pace=QUICK)


@pytest.mark.parametrize("code", [401, 402, 403, 404])
async def test_who_declines_for_its_own_reason_makes_room_for_the_next(
    replicate: SandboxReplicate, works: Generator, code: int
) -> None:
    replicate.fault("predictions.create", "status", code=code, body=REFUSED)
    done = await works.generate(wanted(None))
    assert (done.state, done.provider) == ("succeeded", "fal")
    assert [refusal["provider"] for refusal in done.refusals] == ["replicate"]
    assert done.outcome is not None
    assert "USD per megapixel" in done.outcome["cost"]["basis"]
    assert done.outcome["image_keys"][0].endswith(".webp")
    assert replicate.generations() == 1


async def test_a_refused_content_is_not_tried_elsewhere(replicate: SandboxReplicate, works: Generator) -> None:
    with pytest.raises(ContentRefused):
        await works.generate(wanted(None, parameters={"prompt": "nsfw-test"}))
    assert replicate.generations() == 1


async def test_an_outage_moves_on_after_a_few_attempts(replicate: SandboxReplicate, works: Generator) -> None:
    event = wanted(None)
    replicate.fault("predictions.create", "status", code=429, body=REFUSED, times=None)
    for _ in range(2):
        with pytest.raises(FluxlineError) as raised:
            await works.generate(event)
        assert raised.value.category is ErrorCategory.RATE_LIMIT
    assert (await works.generate(event)).provider == "fal"


async def test_when_nobody_is_left_the_first_one_s_reason_counts(
    replicate: SandboxReplicate, works: Generator, store: GenerationStore, storage: LocalStorage
) -> None:
    wrong = FalApi("wrong:key", f"{replicate.url}/fal", storage, timeout_s=5)
    replicate.fault("predictions.create", "status", code=402, body=REFUSED)
    with pytest.raises(ProvidersExhausted) as raised:
        await Generator(store, [replicate.client(), wrong], storage, PRICES, pace=QUICK).generate(wanted(None))
    await wrong.close()
    assert raised.value.category is ErrorCategory.BILLING
    assert "replicate" in raised.value.message
    assert "fal" in raised.value.message


async def test_a_doubtful_submission_without_a_list_is_never_repeated(
    replicate: SandboxReplicate, fal: FalApi, store: GenerationStore, storage: LocalStorage
) -> None:
    fault = {"provider": "fal", "operation": "requests.submit", "kind": "drop_answer"}
    httpx.post(f"{replicate.url}/_sandbox/faults", json=[fault]).raise_for_status()
    works, event = Generator(store, [fal], storage, PRICES, pace=QUICK), wanted(None)
    with pytest.raises(SubmissionDoubtful) as raised:
        await works.generate(event)
    assert not raised.value.retryable
    with pytest.raises(FluxlineError):
        await works.generate(event)
    assert replicate.generations() == 1


async def test_a_lora_is_handed_over_by_a_link_that_is_kept_nowhere(fal: FalApi) -> None:
    order = fal.order(wanted_of(wanted("x:" + "a" * 64, weights_key="trainings/a/lora.safetensors")))
    assert order is not None
    assert "http" not in json.dumps(order.input)
    assert fal._body(order)["loras"][0]["path"].startswith("http")


async def test_a_running_generation_is_canceled_at_its_provider(
    replicate: SandboxReplicate, works: Generator, store: GenerationStore
) -> None:
    replicate.configure(generation_seconds=60)
    event = wanted(None)
    running = asyncio.create_task(works.generate(event))
    await poll_until(lambda: replicate.generations() == 1)
    await store.want_cancel(event.generation_id)
    assert (await running).state == "canceled"
    assert replicate.cancels() == 1


async def test_what_was_canceled_before_it_was_asked_for_is_never_paid(
    replicate: SandboxReplicate, works: Generator, store: GenerationStore
) -> None:
    event = wanted(None)
    for _ in range(2):
        assert (await store.want_cancel(event.generation_id)).state == "canceled"
    assert (await works.generate(event)).state == "canceled"
    assert replicate.generations() == 0
