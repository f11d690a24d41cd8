"""Sample images on the model card: one commit with card and images, found again, never over somebody else's work."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, ModelCard
from nats.js import JetStreamContext

from fluxline.contracts.catalog import PUBLISHER_CARDS
from fluxline.contracts.events import ModelCardFailed, ModelCardRequested, ModelCardUpdated, ModelPublished
from fluxline.storage.local import LocalStorage
from fluxline_publisher.remover import Remover
from fluxline_publisher.samples import SampleGallery
from photos import jpeg_bytes, scene
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of, settled

from .conftest import SandboxHub, running, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def card_request(
    storage: LocalStorage, cause: ModelPublished, revision: int, *images: bytes, prompt: str = "ADATOK at sea"
) -> ModelCardRequested:
    """The order to show these images, which are stored under names that tell nothing."""
    samples = []
    for number, image in enumerate(images, 1):
        key = f"generations/{cause.training_id}/{revision}-{number}.bin"
        await storage.put(key, image, content_type="application/octet-stream")
        samples.append({"text": f"{prompt} {number}", "image_key": key})
    facts: dict[str, Any] = {"model_id": cause.model_id, "huggingface": cause.huggingface}
    return ModelCardRequested.caused_by(
        cause, discriminator=str(revision), **cause.job_facts(), **facts, samples=samples, revision=revision
    )


@pytest.fixture
async def published(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> ModelPublished:
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await trained(storage))
        (event,) = await poll_until(lambda: events_of(jetstream, ModelPublished))
    return event


async def test_card_and_images_arrive_in_one_commit_under_names_that_fit_their_contents(
    nats: NatsServer,
    jetstream: JetStreamContext,
    storage: LocalStorage,
    hub: SandboxHub,
    published: ModelPublished,
    tmp_path: Path,
) -> None:
    photo, commits = jpeg_bytes(scene((64, 64), 1)), hub.state()["commits"]
    request = await card_request(storage, published, 1, photo, PNG)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(request)
        (updated,) = await poll_until(lambda: events_of(jetstream, ModelCardUpdated))
    assert hub.state()["commits"] == commits + 1
    assert published.huggingface
    repo = published.huggingface.repo
    assert (updated.repo, updated.url, updated.samples) == (repo, published.huggingface.url, request.samples)
    assert updated.commit == hub.api.model_info(repo).sha != published.huggingface.commit
    before = ModelCard.load(
        hub.api.hf_hub_download(repo, "README.md", revision=published.huggingface.commit, local_dir=tmp_path / "before")
    )
    card = ModelCard.load(hub.api.hf_hub_download(repo, "README.md", local_dir=tmp_path))
    paths = ["images/sample-1.jpg", "images/sample-2.png"]
    assert card.data.get("widget") == [
        {"text": f"ADATOK at sea {number}", "output": {"url": path}} for number, path in enumerate(paths, 1)
    ]
    assert "<Gallery />" in card.text
    assert card.text == before.text
    assert Path(hub.api.hf_hub_download(repo, paths[0], local_dir=tmp_path)).read_bytes() == photo
    assert "lora.safetensors" in hub.api.list_repo_files(repo)


async def test_a_request_that_comes_again_makes_no_other_commit(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, published: ModelPublished
) -> None:
    request = await card_request(storage, published, 1, PNG)
    hub.fault("commit", "drop_answer", times=1)
    commits = hub.state()["commits"]
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(request)
        (updated,) = await poll_until(lambda: events_of(jetstream, ModelCardUpdated))
    assert hub.state()["commits"] == commits + 1
    hub.api.create_commit(updated.repo, [CommitOperationAdd("own.txt", b"own")], commit_message="My own words")
    assert await SampleGallery(storage, hub.client()).show(request) == updated.commit
    assert hub.state()["commits"] == commits + 2


async def test_a_card_that_is_not_updated_tells_why(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, published: ModelPublished
) -> None:
    request = await card_request(storage, published, 1, b"no image")
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(request)
        (failed,) = await poll_until(lambda: events_of(jetstream, ModelCardFailed))
    assert (failed.model_id, failed.revision, failed.category) == (published.model_id, 1, "file_error")
    assert failed.hint == "Ask for the samples again."
    assert await events_of(jetstream, ModelCardUpdated) == []


async def test_the_newest_samples_stand_whatever_comes_last(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, published: ModelPublished
) -> None:
    assert published.huggingface
    repo = published.huggingface.repo
    async with running(nats, storage, hub.client()) as bus:
        for revision, images in ((1, (PNG, PNG, PNG)), (3, (PNG,)), (2, (PNG, PNG))):
            await bus.publish(await card_request(storage, published, revision, *images))
            await poll_until(lambda: settled(jetstream, PUBLISHER_CARDS))
    assert [event.revision for event in await events_of(jetstream, ModelCardUpdated)] == [1, 3]
    assert [name for name in hub.api.list_repo_files(repo) if name.startswith("images/")] == ["images/sample-1.png"]


async def test_a_card_that_somebody_changed_keeps_their_words(
    nats: NatsServer,
    jetstream: JetStreamContext,
    storage: LocalStorage,
    hub: SandboxHub,
    published: ModelPublished,
    tmp_path: Path,
) -> None:
    assert published.huggingface
    repo = published.huggingface.repo
    own = ModelCard("---\nlicense: mit\nlanguage: en\n---\n# My own words\n")
    hub.api.create_commit(repo, [CommitOperationAdd("README.md", str(own).encode())], commit_message="My own words")
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await card_request(storage, published, 1, PNG))
        await poll_until(lambda: events_of(jetstream, ModelCardUpdated))
    card = ModelCard.load(hub.api.hf_hub_download(repo, "README.md", local_dir=tmp_path))
    assert card.data.to_dict() == {
        "license": "mit",
        "language": "en",
        "widget": [{"text": "ADATOK at sea 1", "output": {"url": "images/sample-1.png"}}],
    }
    assert "# My own words" in card.text
    assert "<Gallery />" in card.text


@pytest.mark.parametrize("gone", ["repository", "image"])
async def test_what_was_deleted_meanwhile_needs_no_card(
    nats: NatsServer,
    jetstream: JetStreamContext,
    storage: LocalStorage,
    hub: SandboxHub,
    published: ModelPublished,
    gone: str,
) -> None:
    request = await card_request(storage, published, 1, PNG)
    assert published.huggingface
    if gone == "repository":
        hub.api.delete_repo(published.huggingface.repo)
    else:
        await storage.delete(request.samples[0].image_key)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(request)
        await poll_until(lambda: settled(jetstream, PUBLISHER_CARDS))
    assert await events_of(jetstream, ModelCardUpdated) == []
    assert await messages_of(jetstream, "DLQ") == []


async def test_a_deleted_training_takes_its_repository_with_sample_images_along(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, published: ModelPublished
) -> None:
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await card_request(storage, published, 1, PNG))
        await poll_until(lambda: events_of(jetstream, ModelCardUpdated))
    await Remover(storage, hub.client()).deleted(published.training_id, published.huggingface)
    assert hub.state()["repos"] == []
