"""fal and Together held to their protocols, by the clients that production uses, against the sandbox."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline.image_formats import image_format
from fluxline.storage.local import LocalStorage
from fluxline_generator.errors import ContentRefused, ProviderError, RunLost, RunOverdue
from fluxline_generator.fal_api import FalApi
from fluxline_generator.generator import Generator
from fluxline_generator.orders import SIZES, Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import wanted_of
from fluxline_generator.provider import Provider
from fluxline_generator.store import GenerationStore
from fluxline_generator.together_api import TogetherApi
from fluxline_generator.waiting import Pace
from fluxline_sandbox.server import running
from fluxline_sandbox.settings import Settings
from polling import poll_until

from .conftest import PRICES, QUICK, SandboxReplicate, together_at, wanted

SUBMIT = {"fal": "requests.submit", "together": "images.generate"}
KEYS = {"fal": "FAL_KEY", "together": "TOGETHER_API_KEY"}
BOTH = pytest.mark.parametrize("name", ["fal", "together"])


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(Settings(port=0, home=tmp_path_factory.mktemp("sandbox"))) as url:
        yield url


@pytest.fixture
async def replicate(sandbox_url: str) -> AsyncIterator[SandboxReplicate]:
    """A sandbox of this module's, as new for each test; it has trained nothing."""
    for what in ("state", "faults"):
        httpx.delete(f"{sandbox_url}/_sandbox/{what}").raise_for_status()
    sandbox = SandboxReplicate(sandbox_url, Settings().replicate_api_token.get_secret_value())
    sandbox.configure(generation_seconds=0.05)
    yield sandbox
    for client in sandbox.clients:
        await client.close()


@pytest.fixture
def providers(fal: FalApi, together: TogetherApi) -> dict[str, Provider]:
    return {"fal": fal, "together": together}


def order_of(provider: Provider, **parameters: Any) -> Order:
    order = provider.order(wanted_of(wanted(None, parameters=parameters)))
    assert order is not None
    return order


async def ended(provider: Provider, run: Prediction) -> Prediction:
    async def look() -> Prediction | None:
        now = run if run.ended else await provider.get(run.id)
        return now if now and now.ended else None

    done: Prediction = await poll_until(look)
    return done


@BOTH
@pytest.mark.parametrize("output_format", ["jpg", "png"])
async def test_images_are_made_as_they_were_ordered(
    providers: dict[str, Provider], name: str, output_format: str, tmp_path: Path
) -> None:
    provider = providers[name]
    run = await provider.create(order_of(provider, num_outputs=2, output_format=output_format, aspect_ratio="21:9"))
    done = await ended(provider, run)
    assert (done.status, len(done.output)) == ("succeeded", 2)
    await provider.download(done.output[0], tmp_path / "image")
    assert image_format((tmp_path / "image").read_bytes()) == output_format.replace("jpg", "jpeg")


@pytest.mark.parametrize("aspect_ratio", sorted(SIZES))
def test_every_shape_is_one_that_providers_of_pixels_take(aspect_ratio: str) -> None:
    width, height = SIZES[aspect_ratio]
    across, down = map(int, aspect_ratio.split(":"))
    assert width % 16 == height % 16 == 0
    assert 0.85 <= width * height / 1_000_000 <= 1.1
    assert width / height == pytest.approx(across / down, rel=0.04)


@BOTH
@pytest.mark.parametrize(
    ("code", "category", "hint"),
    [
        (401, ErrorCategory.AUTHENTICATION, "key"),
        (402, ErrorCategory.BILLING, "key"),
        (403, ErrorCategory.AUTHENTICATION, "key"),
        (404, ErrorCategory.VALIDATION, ""),
        (422, ErrorCategory.VALIDATION, ""),
        (429, ErrorCategory.RATE_LIMIT, ""),
        (500, ErrorCategory.SERVICE_ERROR, "status"),
        (503, ErrorCategory.SERVICE_ERROR, "status"),
    ],
)
async def test_a_refusal_says_why_and_whose_key_it_is(
    replicate: SandboxReplicate,
    providers: dict[str, Provider],
    name: str,
    code: int,
    category: ErrorCategory,
    hint: str,
) -> None:
    body = {"detail": "Because."} if name == "fal" else {"error": {"message": "Because."}}
    replicate.fault_at(name, SUBMIT[name], "status", code=code, body=body, headers={"Retry-After": "7"})
    with pytest.raises(ProviderError, match="Because") as raised:
        await providers[name].create(order_of(providers[name]))
    assert (raised.value.category, raised.value.ambiguous) == (category, False)
    assert raised.value.retry_after_s == 7
    assert "eplicate" not in raised.value.hint + raised.value.message
    if hint:
        assert {"key": KEYS[name], "status": f"status.{name}"}[hint] in raised.value.hint
    assert replicate.calls(SUBMIT[name]) == 1, "the client does not repeat it"


@BOTH
@pytest.mark.parametrize(
    ("kind", "details", "category"),
    [
        ("drop_request", {}, ErrorCategory.NETWORK),
        ("drop_answer", {}, ErrorCategory.NETWORK),
        ("corrupt", {}, ErrorCategory.SERVICE_ERROR),
        ("status", {"code": 504}, ErrorCategory.TIMEOUT),
        ("status", {"code": 502}, ErrorCategory.SERVICE_ERROR),
        ("alter", {"body": {"request_id": None, "data": None}}, ErrorCategory.SERVICE_ERROR),
    ],
)
async def test_an_answer_that_is_lost_leaves_a_doubt(
    replicate: SandboxReplicate,
    providers: dict[str, Provider],
    name: str,
    kind: str,
    details: dict[str, Any],
    category: ErrorCategory,
) -> None:
    replicate.fault_at(name, SUBMIT[name], kind, **details)
    with pytest.raises(ProviderError) as raised:
        await providers[name].create(order_of(providers[name]))
    assert (raised.value.category, raised.value.ambiguous) == (category, True)
    assert replicate.calls(SUBMIT[name]) == 1, "the client does not repeat it"


@BOTH
async def test_who_hangs_is_a_timeout(replicate: SandboxReplicate, storage: LocalStorage, name: str) -> None:
    hanging: FalApi | TogetherApi = (
        FalApi("a:b", f"{replicate.url}/fal", storage, timeout_s=0.2)
        if name == "fal"
        else together_at(replicate, storage, timeout_s=0.2)
    )
    replicate.fault_at(name, SUBMIT[name], "hang", seconds=5)
    with pytest.raises(ProviderError) as raised:
        await hanging.create(order_of(hanging))
    await hanging.close()
    assert (raised.value.category, raised.value.ambiguous) == (ErrorCategory.TIMEOUT, True)


@BOTH
async def test_who_cannot_be_reached_was_not_asked(storage: LocalStorage, name: str) -> None:
    nowhere = "http://127.0.0.1:1"
    away: FalApi | TogetherApi = (
        FalApi("a:b", nowhere, storage, timeout_s=5)
        if name == "fal"
        else TogetherApi("key", nowhere, storage, timeout_s=5, model="m")
    )
    with pytest.raises(ProviderError) as raised:
        await away.create(order_of(away))
    await away.close()
    assert (raised.value.category, raised.value.ambiguous) == (ErrorCategory.NETWORK, False)
    assert f"{name.upper()}_BASE_URL" in raised.value.hint


@BOTH
async def test_a_wrong_key_is_named_and_not_told(replicate: SandboxReplicate, storage: LocalStorage, name: str) -> None:
    wrong: FalApi | TogetherApi = (
        FalApi("wrong:secret", f"{replicate.url}/fal", storage, timeout_s=5)
        if name == "fal"
        else together_at(replicate, storage, key="wrong-secret")
    )
    with pytest.raises(ProviderError) as raised:
        await wrong.create(order_of(wrong))
    await wrong.close()
    assert KEYS[name] in raised.value.hint
    assert "secret" not in raised.value.message + raised.value.hint


@BOTH
async def test_a_refused_content_ends_the_generation(
    replicate: SandboxReplicate,
    providers: dict[str, Provider],
    store: GenerationStore,
    storage: LocalStorage,
    name: str,
) -> None:
    works = Generator(store, [providers[name], replicate.client()], storage, PRICES, pace=QUICK)
    with pytest.raises(ContentRefused):
        await works.generate(wanted(None, parameters={"prompt": "nsfw-test"}))
    assert replicate.calls("predictions.create") == 0


@BOTH
@pytest.mark.parametrize("code", [403, 404, 410])
async def test_a_result_that_has_expired_is_made_again(
    replicate: SandboxReplicate,
    providers: dict[str, Provider],
    store: GenerationStore,
    storage: LocalStorage,
    name: str,
    code: int,
) -> None:
    works, event = Generator(store, [providers[name]], storage, PRICES, pace=QUICK), wanted(None)
    replicate.fault_at(name, "result.download", "status", code=code)
    with pytest.raises(RunLost) as raised:
        await works.generate(event)
    assert ("hour" in raised.value.message) == (name == "together"), "fal does not say how long its results live"
    assert (await works.generate(event)).state == "succeeded"
    assert replicate.generations() == 2


@BOTH
async def test_a_result_that_cannot_be_fetched_now_is_fetched_later_by_another_process(
    replicate: SandboxReplicate,
    providers: dict[str, Provider],
    store: GenerationStore,
    storage: LocalStorage,
    name: str,
) -> None:
    event = wanted(None)
    replicate.fault_at(name, "result.download", "status", code=429, headers={"Retry-After": "11"})
    with pytest.raises(ProviderError) as raised:
        await Generator(store, [providers[name]], storage, PRICES, pace=QUICK).generate(event)
    assert (raised.value.category, raised.value.retry_after_s) == (ErrorCategory.RATE_LIMIT, 11)
    done = await Generator(store, [providers[name]], storage, PRICES, pace=QUICK).generate(event)
    assert (done.state, done.run) == ("succeeded", None)
    assert replicate.generations() == 1


async def test_a_run_at_fal_that_takes_too_long_is_canceled(
    replicate: SandboxReplicate, fal: FalApi, store: GenerationStore, storage: LocalStorage
) -> None:
    replicate.configure(generation_seconds=60)
    works = Generator(store, [fal], storage, PRICES, pace=Pace(poll_s=0.02, run_s=0, settle_s=30))
    with pytest.raises(RunOverdue):
        await works.generate(wanted(None))
    assert replicate.cancels() == 1


@pytest.mark.parametrize("body", [{"images": 7}, {"images": [3]}, {"images": [{"url": None}]}])
async def test_fal_s_nonsense_is_a_lost_run(
    replicate: SandboxReplicate, fal: FalApi, store: GenerationStore, storage: LocalStorage, body: dict[str, Any]
) -> None:
    replicate.fault_at("fal", "requests.result", "alter", body=body)
    with pytest.raises(RunLost):
        await Generator(store, [fal], storage, PRICES, pace=QUICK).generate(wanted(None))


@pytest.fixture
async def with_lora(replicate: SandboxReplicate, served: LocalStorage, lora_key: str) -> AsyncIterator[FalApi]:
    client = FalApi(Settings().fal_key.get_secret_value(), f"{replicate.url}/fal", served, timeout_s=5)
    yield client
    await client.close()


async def test_fal_makes_images_of_the_lora_in_our_storage(
    with_lora: FalApi, store: GenerationStore, served: LocalStorage, lora_key: str
) -> None:
    event = wanted("x:" + "a" * 64, weights_key=lora_key, parameters={"output_format": "png"})
    done = await Generator(store, [with_lora], served, PRICES, pace=QUICK).generate(event)
    assert (done.state, done.order.target) == ("succeeded", "fal-ai/flux-lora")
    assert done.outcome is not None
    assert done.outcome["cost"]["basis"] == "1 × 1.05 megapixels × 0.035 USD per megapixel"


async def test_weights_that_fal_cannot_load_are_told_and_nobody_makes_something_else(
    with_lora: FalApi, store: GenerationStore, served: LocalStorage
) -> None:
    event = wanted("x:" + "a" * 64, weights_key="trainings/a/missing.safetensors")
    with pytest.raises(ProviderError, match="Failed to load LoRA weights"):
        await Generator(store, [with_lora], served, PRICES, pace=QUICK).generate(event)


async def test_together_takes_a_lora_only_where_a_model_for_it_is_configured(
    replicate: SandboxReplicate, together: TogetherApi, storage: LocalStorage, lora_key: str
) -> None:
    wish = wanted_of(wanted("x:" + "a" * 64, weights_key=lora_key))
    assert together.order(wish) is None
    configured = together_at(replicate, storage, lora_model="black-forest-labs/FLUX.1-dev-lora")
    order = configured.order(wish)
    assert order is not None
    with pytest.raises(ProviderError, match="retired") as raised:
        await configured.create(order)
    await configured.close()
    assert raised.value.context["status"] == 404
