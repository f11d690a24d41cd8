"""Publishing against the sandbox's hub through the unmodified client: once, complete, and never over another's."""

import hashlib
from pathlib import Path
from typing import Self
from uuid import UUID

import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.events import TrainingSucceeded
from fluxline.contracts.job import PublishOptions
from fluxline.runtime.handlers import JobOver
from fluxline.storage.local import LocalStorage
from fluxline.weights import WeightsError
from fluxline_publisher.errors import (
    HubHashMismatch,
    HubTokenRefused,
    LicenseNotAccepted,
    RepoTaken,
    WeightsDamaged,
    WeightsGone,
    WeightsUnusable,
)
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publication import Hub
from fluxline_publisher.publisher import Model, Publisher, Report

from .conftest import NAMESPACE, SandboxHub, lora, succeeded, tar_of, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CHOSEN = PublishOptions(enabled=True, private=True, accept_license=True, repo_name="my-model")


async def quiet(_done: int, _total: int) -> None:
    return None


class Unrivalled:
    """A claim that nobody competes for."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def require_open(self) -> None:
        return None

    async def confirm(self) -> None:
        return None

    async def published(self) -> None:
        return None


class Works:
    """A publisher whose announcement is returned."""

    def __init__(self, storage: LocalStorage, hub: Hub) -> None:
        self.publisher = Publisher(storage, hub)

    async def publish(self, job: TrainingSucceeded, report: Report) -> Model:
        announced: list[Model] = []

        async def announce(model: Model) -> None:
            announced.append(model)

        await self.publisher.publish(job, Unrivalled(), report, announce)
        (model,) = announced
        return model


def publisher(storage: LocalStorage, hub: Hub) -> Works:
    return Works(storage, hub)


async def test_what_arrives_on_the_hub_is_complete(hub: SandboxHub, storage: LocalStorage, tmp_path: Path) -> None:
    job = await trained(storage)
    reports: list[tuple[int, int]] = []

    async def report(done: int, total: int) -> None:
        reports.append((done, total))

    model = await publisher(storage, hub.client()).publish(job, report)
    published = model.huggingface
    assert published is not None
    assert published.repo == f"{NAMESPACE}/ada-{job.training_id.hex[:8]}"
    assert published.url == f"{hub.url}/hf/{published.repo}"
    assert published.private
    assert reports == [(0, len(lora())), (len(lora()), len(lora()))]

    (repo,) = hub.state()["repos"]
    assert (repo["private"], repo["commits"], repo["head"]) == (True, 1, published.commit)
    captions = [f"captions/image_{n:03d}.txt" for n in range(1, 6)]
    assert sorted(file["path"] for file in repo["files"]) == sorted(
        [".gitattributes", "README.md", "config.yaml", "lora.safetensors", *captions]
    )

    path = hub.api.hf_hub_download(published.repo, "lora.safetensors", cache_dir=tmp_path / "cache")
    with safe_open(path, framework="numpy") as weights:
        assert len(weights.keys()) == 2
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == model.sha256
    card = ModelCard.load(hub.api.hf_hub_download(published.repo, "README.md", cache_dir=tmp_path / "cache"))
    assert card.data.get("instance_prompt") == "ADATOK"
    assert published.repo in card.text


async def test_the_weights_are_in_our_storage_too(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    model = await publisher(storage, hub.client()).publish(job, quiet)
    assert model.weights_key == f"models/{job.training_id}/lora.safetensors"
    assert await storage.read(model.weights_key, max_bytes=10_000_000) == lora()


async def test_publishing_twice_is_one_publication(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    first = await publisher(storage, hub.client()).publish(job, quiet)
    assert await publisher(storage, hub.client()).publish(job, quiet) == first
    assert hub.state()["commits"] == 1


async def test_a_model_that_is_not_to_be_published_stays_in_storage(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage, publish=PublishOptions(enabled=False))
    model = await publisher(storage, hub.client()).publish(job, quiet)
    assert model.huggingface is None
    assert await storage.stat(model.weights_key) is not None
    assert hub.calls() == []


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("commit", "drop_answer"),
        ("commit", "drop_request"),
        ("commit", "status"),
        ("commit", "corrupt"),
        ("repos.create", "drop_answer"),
        ("repos.create", "status"),
        ("lfs.batch", "status"),
        ("lfs.upload", "status"),
        ("lfs.verify", "status"),
        ("preupload", "status"),
        ("model_info", "status"),
        ("whoami", "drop_request"),
    ],
)
async def test_a_failure_on_the_way_is_retried_into_one_commit(
    hub: SandboxHub, storage: LocalStorage, operation: str, kind: str
) -> None:
    job = await trained(storage)
    hub.fault(operation, kind)
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category.retryable
    model = await publisher(storage, hub.client()).publish(job, quiet)
    assert model.huggingface is not None
    assert hub.state()["commits"] == 1
    assert len(hub.state()["repos"]) == 1


async def test_a_hub_that_hangs_is_a_timeout(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    hub.fault("commit", "hang", seconds=5)
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client(timeout_s=0.3)).publish(job, quiet)
    assert raised.value.category is ErrorCategory.TIMEOUT


async def test_a_throttled_upload_waits_as_long_as_the_hub_says(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    hub.fault("lfs.batch", "status", code=429, headers={"Retry-After": "17"})
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is ErrorCategory.RATE_LIMIT
    assert raised.value.retry_after_s == 17
    assert hub.calls().count("lfs.batch") == 1


async def test_a_conflict_on_creating_does_not_loop(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    body = {"error": "Cannot create repo: another conflicting operation is in progress"}
    hub.fault("repos.create", "status", code=409, body=body, times=None)
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is ErrorCategory.SERVICE_ERROR
    assert hub.calls().count("repos.create") == 1


async def test_a_commit_without_an_id_is_looked_for_and_found(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    hub.fault("commit", "alter", body={"commitOid": "hf_" + "a1" * 18})
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is ErrorCategory.SERVICE_ERROR
    assert "hf_" not in raised.value.message
    model = await publisher(storage, hub.client()).publish(job, quiet)
    assert model.huggingface is not None
    assert hub.calls().count("commit") == 1


async def test_what_the_hub_says_is_cut_after_its_secrets_are_gone(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    said = "x" * 290 + " hf_" + "a1" * 18
    hub.fault("repos.create", "status", code=403, headers={"X-Error-Message": said})
    with pytest.raises(HubTokenRefused) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert "hf_a1" not in raised.value.message


@pytest.mark.parametrize(("code", "category"), [(402, ErrorCategory.BILLING), (403, ErrorCategory.AUTHENTICATION)])
async def test_a_refusal_of_the_account_is_told_apart_by_its_status(
    hub: SandboxHub, storage: LocalStorage, code: int, category: ErrorCategory
) -> None:
    job = await trained(storage)
    hub.fault("preupload", "status", code=code)
    with pytest.raises(FluxlineError) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is category


async def test_a_wrong_token_is_named_before_anything_is_created(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    with pytest.raises(HubTokenRefused) as raised:
        await publisher(storage, hub.client(token="hf_wrongwrongwrong")).publish(job, quiet)
    assert "HUGGINGFACE_API_TOKEN" in raised.value.hint
    assert "hf_wrong" not in raised.value.message
    assert hub.calls() == ["whoami"]


async def test_a_namespace_that_is_not_the_token_s_is_refused(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    with pytest.raises(HubTokenRefused, match="not to somebody-else"):
        await publisher(storage, hub.client(namespace="somebody-else")).publish(job, quiet)
    assert hub.state()["repos"] == []


async def test_the_account_is_asked_once(hub: SandboxHub, storage: LocalStorage) -> None:
    works = publisher(storage, hub.client())
    for seed in range(2):
        await works.publish(await trained(storage, seed=seed), quiet)
    assert hub.calls().count("whoami") == 1


async def test_a_licence_that_was_not_accepted_stops_before_the_upload(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage, publish=PublishOptions(enabled=True, accept_license=False))
    with pytest.raises(LicenseNotAccepted) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is ErrorCategory.VALIDATION
    assert hub.calls() == []


async def test_the_repository_of_another_training_is_never_overwritten(hub: SandboxHub, storage: LocalStorage) -> None:
    works = publisher(storage, hub.client())
    await works.publish(await trained(storage, publish=CHOSEN), quiet)
    with pytest.raises(RepoTaken, match="my-model") as raised:
        await works.publish(await trained(storage, seed=1, publish=CHOSEN), quiet)
    assert raised.value.category is ErrorCategory.VALIDATION
    assert hub.state()["commits"] == 1


async def test_a_private_model_does_not_go_into_a_public_repository(hub: SandboxHub, storage: LocalStorage) -> None:
    hub.api.create_repo(f"{NAMESPACE}/my-model", private=False)
    with pytest.raises(RepoTaken, match="is not private"):
        await publisher(storage, hub.client()).publish(await trained(storage, publish=CHOSEN), quiet)
    assert hub.state()["commits"] == 0


async def test_an_empty_repository_of_the_owner_is_filled(hub: SandboxHub, storage: LocalStorage) -> None:
    hub.api.create_repo(f"{NAMESPACE}/my-model", private=True)
    model = await publisher(storage, hub.client()).publish(await trained(storage, publish=CHOSEN), quiet)
    assert model.huggingface is not None
    assert hub.state()["commits"] == 1


async def test_new_weights_of_the_same_training_become_its_next_commit(hub: SandboxHub, storage: LocalStorage) -> None:
    works = publisher(storage, hub.client())
    first = await trained(storage)
    old = (await works.publish(first, quiet)).huggingface
    new = (await works.publish(await trained(storage, first.training_id, seed=1), quiet)).huggingface
    assert old is not None
    assert new is not None
    assert (old.repo, hub.state()["commits"]) == (new.repo, 2)
    assert old.commit != new.commit


async def test_weights_that_the_hub_does_not_hold_are_not_announced(hub: SandboxHub, storage: LocalStorage) -> None:
    class Forgetful(HuggingFace):
        def _holds(self, repo_id: str, commit: str, sha256: str) -> bool:
            return super()._holds(repo_id, commit, "f" * 64)

    works = publisher(storage, Forgetful(f"{hub.url}/hf", hub.token, NAMESPACE, timeout_s=10))
    with pytest.raises(HubHashMismatch):
        await works.publish(await trained(storage), quiet)


async def test_an_archive_that_changed_in_storage_is_refused(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    await storage.put(job.weights_key, b"something else", content_type="application/x-tar")
    with pytest.raises(WeightsDamaged) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.resume_from is Stage.REPLICATE_TRAINING
    assert hub.state()["repos"] == []


async def test_an_archive_that_is_gone_is_fetched_again_by_the_trainer(hub: SandboxHub, storage: LocalStorage) -> None:
    job = await trained(storage)
    await storage.delete(job.weights_key)
    with pytest.raises(WeightsGone) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert (raised.value.category, raised.value.resume_from) == (ErrorCategory.FILE_ERROR, Stage.REPLICATE_TRAINING)


async def test_a_model_whose_publication_a_restored_system_has_forgotten_is_told_of_again(
    hub: SandboxHub, storage: LocalStorage
) -> None:
    job = await trained(storage)
    first = await publisher(storage, hub.client()).publish(job, quiet)
    await storage.delete(job.weights_key)
    assert await publisher(storage, hub.client()).publish(job, quiet) == first
    assert hub.state()["commits"] == 1


async def test_the_weights_of_an_earlier_training_are_not_taken_for_those_that_are_gone(
    hub: SandboxHub, storage: LocalStorage
) -> None:
    first = await trained(storage)
    await publisher(storage, hub.client()).publish(first, quiet)
    second = await trained(storage, first.training_id, seed=1)
    await storage.delete(second.weights_key)
    with pytest.raises(WeightsGone):
        await publisher(storage, hub.client()).publish(second, quiet)


@pytest.mark.parametrize(
    ("tar", "error"),
    [
        (b"no tar at all", WeightsError),
        (tar_of(lora()[:-10]), WeightsError),
        (tar_of(lora(prefix="transformer.something")), WeightsUnusable),
    ],
)
async def test_weights_that_do_not_open_create_no_repository(
    hub: SandboxHub, storage: LocalStorage, tar: bytes, error: type[FluxlineError]
) -> None:
    job = succeeded(tar=tar)
    await storage.put(job.weights_key, tar, content_type="application/x-tar")
    with pytest.raises(error) as raised:
        await publisher(storage, hub.client()).publish(job, quiet)
    assert raised.value.category is ErrorCategory.FILE_ERROR
    assert hub.state()["repos"] == []


async def test_a_hostile_name_is_published_under_a_harmless_one(hub: SandboxHub, storage: LocalStorage) -> None:
    training_id = UUID("0123456789abcdef0123456789abcdef")
    job = await trained(storage, training_id, name="../<b>--- 🤖: {x}", trigger_word="--- [x](y)")
    model = await publisher(storage, hub.client()).publish(job, quiet)
    assert model.huggingface is not None
    assert model.huggingface.repo == f"{NAMESPACE}/b-robot-x-01234567"


class Published(Unrivalled):
    """The claim on a run that an attempt has announced whose end was lost."""

    async def require_open(self) -> None:
        raise JobOver(done=True)


async def test_an_archive_that_is_gone_because_the_model_was_announced_ends_the_stage_well(
    hub: SandboxHub, storage: LocalStorage
) -> None:
    job = await trained(storage)
    await storage.delete(job.weights_key)

    async def announce(_model: Model) -> None:
        pytest.fail("it was announced before")

    with pytest.raises(JobOver) as over:
        await Publisher(storage, hub.client()).publish(job, Published(), quiet, announce)
    assert over.value.done
    assert hub.state()["repos"] == []
