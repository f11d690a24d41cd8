"""Generating against the sandbox through the unmodified client: one paid run for each generation."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import ExifTags, Image

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.image_formats import image_format
from fluxline.storage.errors import StorageFull
from fluxline.storage.local import LocalStorage
from fluxline_generator.errors import (
    ContentRefused,
    ImageUnusable,
    NeedsReview,
    OutcomeUnknown,
    ProviderError,
    RunLost,
    RunOverdue,
)
from fluxline_generator.image_files import extension_of
from fluxline_generator.migrations import AFTER_RESTORE
from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.replicate_api import ReplicateApi
from fluxline_generator.store import GenerationStore
from fluxline_generator.waiting import Pace

from .conftest import QUICK, SandboxReplicate, generator, wanted

SETTLED = Pace(poll_s=0.02, run_s=30, settle_s=0)
OVERDUE = Pace(poll_s=0.02, run_s=0, settle_s=30)

_AS_COPIED = """
UPDATE generations SET state = 'requested', prediction_id = NULL, run = NULL, outcome = NULL, submissions = 0,
    submit_at = NULL, updated_at = $1
"""


async def test_images_of_the_lora_end_in_our_storage(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    event = wanted(replicate.version, parameters={"num_outputs": 2, "output_format": "png"})
    done = await generator(store, replicate.client(), storage).generate(event)
    assert done.outcome is not None
    assert done.outcome["image_keys"] == [f"generations/{event.generation_id}/{n}.png" for n in range(2)]
    for key in done.outcome["image_keys"]:
        assert image_format(await storage.read(key, max_bytes=10_000_000)) == "png"
    assert done.outcome["cost"]["amount_usd"] > 0
    assert "USD per second" in done.outcome["cost"]["basis"]
    assert done.outcome["metrics"]["predict_time"] > 0


@pytest.mark.parametrize("output_format", ["jpg", "png", "webp"])
async def test_stored_images_say_how_they_were_made(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, output_format: str
) -> None:
    event = wanted(replicate.version, parameters={"prompt": "at sea", "seed": 7, "output_format": output_format})
    done = await generator(store, replicate.client(), storage).generate(event)
    assert done.outcome is not None
    content = await storage.read(done.outcome["image_keys"][0], max_bytes=10_000_000)
    with Image.open(BytesIO(content)) as image:
        image.load()
        if output_format == "png":
            prompt, comment = image.text["Description"], image.text["Comment"]  # type: ignore[attr-defined]
        else:
            exif = image.getexif()
            prompt = exif[ExifTags.Base.ImageDescription]
            said = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
            comment = said.removeprefix(b"UNICODE\x00").decode("utf-16-be")
    assert prompt == "ADATOK, at sea"
    assert json.loads(comment) == done.order.used | {"provider": "replicate"}
    assert json.loads(comment)["seed"] == 7


async def test_the_base_model_makes_images_too(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    done = await generator(store, replicate.client(), storage).generate(wanted(None))
    assert done.outcome is not None
    assert done.outcome["cost"] == {"amount_usd": 0.025, "basis": "1 × 0.025 USD per image"}


async def test_the_same_request_again_returns_the_same_images(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    first = await works.generate(event)
    again = await works.generate(event)
    assert (again.outcome, again.prediction_id) == (first.outcome, first.prediction_id)
    assert replicate.generations() == 1


@pytest.mark.parametrize("kind", ["drop_answer", "corrupt"])
async def test_a_lost_answer_is_found_in_the_list_and_adopted(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, kind: str
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("predictions.create", kind)
    with pytest.raises(ProviderError) as raised:
        await works.generate(event)
    assert raised.value.category.retryable
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 1


@pytest.mark.parametrize(("kind", "details"), [("drop_request", {}), ("status", {"code": 502})])
async def test_a_lost_request_is_sent_again_only_after_the_list_has_settled(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, kind: str, details: dict[str, Any]
) -> None:
    client, event = replicate.client(), wanted(replicate.version)
    replicate.fault("predictions.create", kind, **details)
    with pytest.raises(ProviderError):
        await generator(store, client, storage).generate(event)
    with pytest.raises(OutcomeUnknown) as raised:
        await generator(store, client, storage).generate(event)
    assert raised.value.category.retryable
    assert raised.value.retry_after_s == pytest.approx(30 / 4, abs=0.1), "few looks, whatever the retry policy"
    assert (await generator(store, client, storage, SETTLED).generate(event)).outcome is not None
    assert replicate.generations() == 1


class Lagging(ReplicateApi):
    """A client whose provider lists a run late."""

    def __init__(self, replicate: SandboxReplicate) -> None:
        super().__init__(replicate.token, f"{replicate.url}/replicate", timeout_s=10)
        replicate.clients.append(self)
        self.settled = False

    async def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        async for prediction in super().recent(since_s):
            if self.settled:
                yield prediction


async def test_a_run_that_the_list_does_not_show_yet_is_waited_for(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    client, event = Lagging(replicate), wanted(replicate.version)
    replicate.fault("predictions.create", "drop_answer")
    for error in (ProviderError, OutcomeUnknown, OutcomeUnknown):
        with pytest.raises(error):
            await generator(store, client, storage).generate(event)
    client.settled = True
    assert (await generator(store, client, storage).generate(event)).outcome is not None
    assert replicate.generations() == 1


@pytest.mark.parametrize("told", [True, False])
async def test_what_a_restored_database_has_forgotten_to_have_asked_for_is_not_asked_for_again(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, told: bool
) -> None:
    """The control: a database that is not told that it was restored pays twice."""
    event, pool = wanted(replicate.version), store.database.pool
    written_at = await pool.fetchval("SELECT now()")
    await generator(store, replicate.client(), storage).generate(event)
    await pool.execute(_AS_COPIED, written_at)
    for statement in AFTER_RESTORE if told else ():
        await pool.execute(statement)
    assert (await generator(store, replicate.client(), storage).generate(event)).outcome is not None
    assert replicate.generations() == (1 if told else 2)


async def test_a_settle_window_shorter_than_the_list_s_lag_pays_twice(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    client, event = Lagging(replicate), wanted(replicate.version)
    replicate.fault("predictions.create", "drop_answer")
    with pytest.raises(ProviderError):
        await generator(store, client, storage, SETTLED).generate(event)
    await generator(store, client, storage, SETTLED).generate(event)
    assert replicate.generations() == 2, "the control: were this 1, the tests above would show nothing"


class Crashing(ReplicateApi):
    """A client whose process dies around the paid call."""

    def __init__(self, replicate: SandboxReplicate, *, after: bool) -> None:
        super().__init__(replicate.token, f"{replicate.url}/replicate", timeout_s=10)
        replicate.clients.append(self)
        self.after = after

    async def create(self, order: Order) -> Prediction:
        if self.after:
            await super().create(order)
        raise asyncio.CancelledError


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_around_the_paid_call_leads_to_one_run(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, after: bool
) -> None:
    event = wanted(replicate.version)
    with pytest.raises(asyncio.CancelledError):
        await generator(store, Crashing(replicate, after=after), storage).generate(event)
    assert (await store.read(event.generation_id)).state == "submitting"
    assert (await generator(store, replicate.client(), storage, SETTLED).generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_two_processes_at_one_generation_lead_to_one_run(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    event = wanted(replicate.version)
    works = [generator(store, replicate.client(), storage) for _ in range(8)]
    results = await asyncio.gather(*(work.generate(event) for work in works), return_exceptions=True)
    assert {type(result).__name__ for result in results} <= {"Generation", "OutcomeUnknown"}
    assert (await works[0].generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_two_generations_of_one_prompt_and_seed_have_a_run_each(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works = generator(store, replicate.client(), storage)
    first, second = (wanted(replicate.version, parameters={"seed": 1}) for _ in range(2))
    done = await works.generate(first)
    replicate.fault("predictions.create", "drop_request")
    with pytest.raises(ProviderError):
        await works.generate(second)
    with pytest.raises(OutcomeUnknown):
        await works.generate(second)
    other = await generator(store, replicate.client(), storage, SETTLED).generate(second)
    assert other.prediction_id != done.prediction_id
    assert replicate.generations() == 2


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (401, ErrorCategory.AUTHENTICATION),
        (402, ErrorCategory.BILLING),
        (404, ErrorCategory.VALIDATION),
        (422, ErrorCategory.VALIDATION),
        (429, ErrorCategory.RATE_LIMIT),
    ],
)
async def test_a_refusal_is_definite_so_that_the_next_attempt_asks_at_once(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, code: int, category: ErrorCategory
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    body = {"title": "No", "detail": "Because.", "status": code, "retry_after": 7}
    replicate.fault("predictions.create", "status", code=code, body=body)
    with pytest.raises(FluxlineError, match="Because") as raised:
        await works.generate(event)
    assert raised.value.category is category
    assert raised.value.retry_after_s == 7
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_a_wrong_token_is_named(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    client = replicate.client(token="r8_wrong")
    with pytest.raises(FluxlineError) as raised:
        await generator(store, client, storage).generate(wanted(replicate.version))
    assert raised.value.category is ErrorCategory.AUTHENTICATION
    assert "REPLICATE_API_TOKEN" in raised.value.hint
    assert "r8_wrong" not in raised.value.message


async def test_a_provider_that_cannot_be_reached_was_not_asked(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    nowhere = ReplicateApi("r8_token", "http://127.0.0.1:1", timeout_s=5)
    replicate.clients.append(nowhere)
    event = wanted(replicate.version)
    with pytest.raises(FluxlineError) as raised:
        await generator(store, nowhere, storage).generate(event)
    assert raised.value.category is ErrorCategory.NETWORK
    assert (await store.read(event.generation_id)).state == "requested"


async def test_a_provider_that_hangs_is_a_timeout_and_may_have_accepted(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    event = wanted(replicate.version)
    replicate.fault("predictions.create", "hang", seconds=5)
    with pytest.raises(FluxlineError) as raised:
        await generator(store, replicate.client(timeout_s=0.2), storage).generate(event)
    assert raised.value.category is ErrorCategory.TIMEOUT
    assert (await store.read(event.generation_id)).state == "submitting"


async def test_a_refused_content_ends_the_generation_and_is_not_asked_again(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = (
        generator(store, replicate.client(), storage),
        wanted(replicate.version, parameters={"prompt": "nsfw-test"}),
    )
    for _ in range(2):
        with pytest.raises(ContentRefused) as raised:
            await works.generate(event)
        assert raised.value.category is ErrorCategory.CONTENT_POLICY
    assert replicate.generations() == 1


async def test_a_broken_poll_goes_on_with_the_same_run(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("predictions.get", "status", code=500)
    with pytest.raises(ProviderError):
        await works.generate(event)
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_a_result_that_has_expired_is_made_again(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("result.download", "status", code=404)
    with pytest.raises(RunLost):
        await works.generate(event)
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 2


@pytest.mark.parametrize("mode", ["flip", "truncate"])
async def test_a_spoilt_image_is_fetched_once_more(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, mode: str
) -> None:
    works = generator(store, replicate.client(), storage)
    replicate.fault("result.download", "corrupt", mode=mode)
    assert (await works.generate(wanted(replicate.version))).outcome is not None
    replicate.fault("result.download", "corrupt", mode=mode, times=2)
    with pytest.raises(ImageUnusable):
        await works.generate(wanted(replicate.version, UUID(int=2)))


@pytest.mark.parametrize("output_format", ["jpg", "png", "webp"])
async def test_a_whole_image_is_taken_and_a_part_of_it_is_not(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, output_format: str, tmp_path: Path
) -> None:
    event = wanted(replicate.version, parameters={"output_format": output_format})
    done = await generator(store, replicate.client(), storage).generate(event)
    assert done.outcome is not None
    content = await storage.read(done.outcome["image_keys"][0], max_bytes=10_000_000)
    file = tmp_path / "image"
    for kept, expected in ((len(content), output_format), (len(content) // 2, None), (20, None)):
        file.write_bytes(content[:kept])
        assert extension_of(file) == expected


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (401, ErrorCategory.AUTHENTICATION),
        (403, ErrorCategory.AUTHENTICATION),
        (410, ErrorCategory.SERVICE_ERROR),
        (504, ErrorCategory.TIMEOUT),
    ],
)
async def test_an_image_that_is_refused_says_why(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, code: int, category: ErrorCategory
) -> None:
    replicate.fault("result.download", "status", code=code)
    with pytest.raises(ProviderError) as raised:
        await generator(store, replicate.client(), storage).generate(wanted(replicate.version))
    assert raised.value.category is category


async def test_what_looks_like_a_credential_is_not_kept(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    token = "r8_" + "a1" * 18
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("predictions.create", "alter", body={"id": token})
    with pytest.raises(ProviderError):
        await works.generate(event)
    replicate.fault("predictions.get", "alter", body={"metrics": {token: 1.0, "predict_time": 2.0}}, times=None)
    done = await works.generate(event)
    assert done.outcome is not None
    assert done.outcome["metrics"] == {"predict_time": 2.0}
    assert replicate.generations() == 1


async def test_what_the_provider_says_is_cut_after_its_secrets_are_gone(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    body = {"status": "failed", "error": "x" * 290 + " r8_" + "a1" * 18}
    replicate.fault("predictions.get", "alter", body=body)
    with pytest.raises(RunLost) as raised:
        await generator(store, replicate.client(), storage).generate(wanted(replicate.version))
    assert "r8_a1" not in raised.value.message


async def test_a_prompt_that_is_refused_at_once_is_no_invalid_request(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    body = {"title": "Refused", "detail": "NSFW content detected in the prompt.", "status": 422}
    replicate.fault("predictions.create", "status", code=422, body=body)
    with pytest.raises(ContentRefused):
        await generator(store, replicate.client(), storage).generate(wanted(replicate.version))


async def test_a_result_that_cannot_be_fetched_now_is_fetched_later(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("result.download", "drop_request")
    with pytest.raises(ProviderError):
        await works.generate(event)
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_a_throttled_download_waits_as_long_as_the_provider_says(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("result.download", "status", code=429, headers={"Retry-After": "11"})
    with pytest.raises(ProviderError) as raised:
        await works.generate(event)
    assert (raised.value.category, raised.value.retry_after_s) == (ErrorCategory.RATE_LIMIT, 11)
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == 1


@pytest.mark.parametrize(("pace", "runs"), [(QUICK, 1), (SETTLED, 2)])
async def test_a_fresh_run_that_the_provider_does_not_know_yet_is_waited_for(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, pace: Pace, runs: int
) -> None:
    works, event = generator(store, replicate.client(), storage, pace), wanted(replicate.version)
    replicate.fault("predictions.get", "status", code=404, times=5)
    if runs > 1:  # the control: without the time to settle it counts as lost, and another one is paid for
        with pytest.raises(RunLost):
            await works.generate(event)
    assert (await works.generate(event)).outcome is not None
    assert replicate.generations() == runs


async def test_a_full_disk_is_a_named_error_and_no_outage_of_the_database(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    class Full(ReplicateApi):
        async def download(self, url: str, target: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    client = Full(replicate.token, f"{replicate.url}/replicate", timeout_s=10)
    replicate.clients.append(client)
    event = wanted(replicate.version)
    with pytest.raises(StorageFull):
        await generator(store, client, storage).generate(event)
    assert (await generator(store, replicate.client(), storage).generate(event)).outcome is not None
    assert replicate.generations() == 1


@pytest.mark.parametrize("step", ["intend", "adopt", "finish"])
async def test_a_crash_after_any_write_leads_to_one_run(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, step: str
) -> None:
    class Dying(GenerationStore):
        """A store whose process dies right after the write."""

    async def write_and_die(self: GenerationStore, *arguments: Any) -> None:
        await getattr(GenerationStore, step)(self, *arguments)
        raise asyncio.CancelledError

    setattr(Dying, step, write_and_die)
    event = wanted(replicate.version)
    with pytest.raises(asyncio.CancelledError):
        await generator(Dying(store.database), replicate.client(), storage).generate(event)
    assert (await generator(store, replicate.client(), storage, SETTLED).generate(event)).outcome is not None
    assert replicate.generations() == 1


async def test_a_run_that_takes_too_long_is_canceled(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    client, event = replicate.client(), wanted(replicate.version)
    replicate.configure(generation_seconds=60)
    with pytest.raises(RunOverdue) as raised:
        await generator(store, client, storage, OVERDUE).generate(event)
    assert raised.value.category is ErrorCategory.TIMEOUT
    assert replicate.cancels() == 1
    replicate.configure(generation_seconds=0.05)
    assert (await generator(store, client, storage).generate(event)).outcome is not None


async def test_after_three_lost_runs_somebody_has_to_look(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(replicate.version)
    replicate.fault("result.download", "status", code=404, times=None)
    for _ in range(3):
        with pytest.raises(RunLost):
            await works.generate(event)
    with pytest.raises(NeedsReview):
        await works.generate(event)
    assert replicate.generations() == 3


async def test_twenty_generations_at_once_are_twenty_runs(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works = generator(store, replicate.client(timeout_s=60), storage)
    limit = asyncio.Semaphore(16)

    async def one(number: int) -> str:
        async with limit:
            event = wanted(replicate.version, UUID(int=number), parameters={"aspect_ratio": "21:9"})
            return (await works.generate(event)).prediction_id or ""

    assert len(set(await asyncio.gather(*(one(number) for number in range(20))))) == 20
    assert replicate.generations() == 20
