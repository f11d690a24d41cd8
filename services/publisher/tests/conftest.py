"""What the publisher's tests share: a sandbox hub, a storage folder, a trained job whose archive is stored."""

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from huggingface_hub import HfApi
from safetensors.numpy import save

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.contracts.events import TrainingSucceeded
from fluxline.runtime.bus import Bus
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.register import Registers
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage import Storage
from fluxline.storage.local import LocalStorage
from fluxline_publisher.claim import Claims
from fluxline_publisher.handlers import card_handlers, cleanup_handlers, publisher_handlers
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publication import Hub
from fluxline_publisher.publisher import Publisher
from fluxline_publisher.remover import Remover
from fluxline_publisher.samples import SampleGallery
from fluxline_sandbox import server
from fluxline_sandbox.settings import Settings
from servers import NatsServer

NAMESPACE = "fluxline-sandbox"
FAST = RetryPolicy(attempts=3, base_s=0.05, jitter=0)


@dataclass
class SandboxHub:
    """A running sandbox: its address and token, and what it counted."""

    url: str
    token: str

    def client(self, *, token: str | None = None, namespace: str = NAMESPACE, timeout_s: float = 10) -> HuggingFace:
        return HuggingFace(f"{self.url}/hf", token or self.token, namespace, timeout_s=timeout_s)

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=f"{self.url}/hf", token=self.token)

    def state(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/_sandbox/state").json())

    def calls(self) -> list[str]:
        return [call["operation"] for call in httpx.get(f"{self.url}/_sandbox/log").json()]

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        fault = {"provider": "hf", "operation": operation, "kind": kind, **details}
        httpx.post(f"{self.url}/_sandbox/faults", json=[fault]).raise_for_status()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SandboxHub]:
    settings = Settings(port=0, home=tmp_path / "sandbox", huggingface_username=NAMESPACE)
    with server.running(settings) as url:
        yield SandboxHub(url, settings.huggingface_api_token.get_secret_value())


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)


def lora(seed: int = 0, *, prefix: str = "transformer.single_transformer_blocks.0.attn.to_k.lora") -> bytes:
    """A small LoRA as safetensors bytes."""
    noise = np.random.default_rng(seed).standard_normal((16, 3072)).astype(np.float16)
    zeros = np.zeros((3072, 16), np.float16)
    return save({f"{prefix}_A.weight": noise, f"{prefix}_B.weight": zeros}, {"format": "pt"})


def tar_of(weights: bytes) -> bytes:
    """The provider's archive around these weights."""
    folder = "output/flux_train_replicate"
    config = json.dumps({"job": "custom_job"}).encode()
    files = {"lora.safetensors": weights, "config.yaml": config}
    files |= {f"captions/image_{n:03d}.txt": f"ADATOK, photo {n}".encode() for n in range(1, 6)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def succeeded(training_id: UUID | None = None, tar: bytes = b"", **facts: Any) -> TrainingSucceeded:
    """A plausible training.succeeded whose archive is `tar`."""
    training_id = training_id or uuid4()
    defaults: dict[str, Any] = {
        "name": "Ada",
        "trigger_word": "ADATOK",
        "owner": "ada",
        "publish": {"enabled": True, "private": True, "accept_license": True},
        "weights_key": f"weights/{training_id}/trained_model.tar",
        "sha256": hashlib.sha256(tar).hexdigest(),
        "size_bytes": len(tar),
        "provider": "replicate",
        "external_id": "abc",
        "provider_version": "fluxline/model:" + "0" * 64,
    }
    return TrainingSucceeded.first(str(training_id), training_id=training_id, **(defaults | facts))


async def trained(
    storage: LocalStorage, training_id: UUID | None = None, seed: int = 0, **facts: Any
) -> TrainingSucceeded:
    """The job after its training: the archive is in storage."""
    tar = tar_of(lora(seed))
    event = succeeded(training_id, tar, **facts)
    await storage.put(event.weights_key, tar, content_type="application/x-tar")
    return event


@asynccontextmanager
async def running(
    nats: NatsServer, storage: Storage, hub: Hub, *, patience_s: float = 30, deadline_s: float = 30
) -> AsyncIterator[Bus]:
    """The service's handlers on a real server."""
    bus = Bus("publisher", nats.url, make_tracer_provider("publisher", None))
    remover = Remover(storage, hub)
    claims = Claims(Registers(bus, OUTCOMES_BUCKET), remover.canceled, patience_s=patience_s)
    publishing = publisher_handlers(Publisher(storage, hub), claims, deadline_s=deadline_s, policy=FAST)
    cards = card_handlers(SampleGallery(storage, hub), deadline_s=deadline_s, policy=FAST)
    for handlers in (publishing, cards, cleanup_handlers(remover, policy=FAST)):
        Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()
