"""What the generator's tests share: a sandbox with a trained version, a migrated database, a storage folder."""

import io
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from fluxline.contracts.events import GenerationRequested
from fluxline.postgres.pool import Database
from fluxline.storage.local import LocalStorage
from fluxline_generator.fal_api import FalApi
from fluxline_generator.generator import Generator
from fluxline_generator.orders import FLUX_DEV
from fluxline_generator.prices import Prices
from fluxline_generator.provider import Provider
from fluxline_generator.replicate_api import ReplicateApi
from fluxline_generator.store import GenerationStore
from fluxline_generator.together_api import TogetherApi
from fluxline_generator.waiting import Pace
from fluxline_sandbox.server import running
from fluxline_sandbox.settings import Settings
from polling import poll_until

QUICK = Pace(poll_s=0.02, run_s=30, settle_s=30)
LORA_KEY = "trainings/a/lora.safetensors"
PRICES = Prices(usd_per_second=0.001525, usd_per_image=0.025)


@dataclass
class SandboxReplicate:
    """A running sandbox: its address and token, the version that a training left there, and what it counted."""

    url: str
    token: str
    version: str = ""
    clients: list[ReplicateApi] = field(default_factory=list)

    def client(self, *, token: str | None = None, timeout_s: float = 10) -> ReplicateApi:
        client = ReplicateApi(token or self.token, f"{self.url}/replicate", timeout_s=timeout_s)
        self.clients.append(client)
        return client

    def generations(self) -> int:
        return int(httpx.get(f"{self.url}/_sandbox/state").json()["generations"])

    def cancels(self) -> int:
        return int(httpx.get(f"{self.url}/_sandbox/state").json()["cancels"])

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        self.fault_at("replicate", operation, kind, **details)

    def fault_at(self, provider: str, operation: str, kind: str, **details: Any) -> None:
        fault = {"provider": provider, "operation": operation, "kind": kind, **details}
        httpx.post(f"{self.url}/_sandbox/faults", json=[fault]).raise_for_status()

    def calls(self, operation: str) -> int:
        """How often the operation was called, with success or not."""
        return sum(call["operation"] == operation for call in httpx.get(f"{self.url}/_sandbox/log").json())

    def configure(self, **changes: Any) -> None:
        httpx.post(f"{self.url}/_sandbox/settings", json=changes).raise_for_status()


@pytest.fixture
def database_url(migrated: Callable[[str], Iterator[str]]) -> Iterator[str]:
    """The URL of a database with the generator's schema."""
    yield from migrated("fluxline_generator")


@pytest.fixture
async def replicate(tmp_path: Path) -> AsyncIterator[SandboxReplicate]:
    settings = Settings(port=0, home=tmp_path / "sandbox", training_seconds=0.05)
    with running(settings) as url:
        sandbox = SandboxReplicate(url, settings.replicate_api_token.get_secret_value())
        sandbox.version = await _trained_version(sandbox)
        sandbox.configure(generation_seconds=0.05)
        yield sandbox
        for client in sandbox.clients:
            await client.close()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)


@pytest.fixture
def lora_key(tmp_path: Path) -> str:
    """Weights in our storage, as small as they get."""
    file = tmp_path / "storage" / LORA_KEY
    file.parent.mkdir(parents=True)
    file.write_bytes((2).to_bytes(8, "little") + b"{}")
    return LORA_KEY


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LocalStorage]:
    """Our storage, with its links answered: what of the signature is the gateway's part."""
    handler = partial(_Files, directory=str(tmp_path / "storage"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield LocalStorage(tmp_path / "storage", f"http://127.0.0.1:{server.server_port}", b"s" * 32)
    server.shutdown()
    server.server_close()
    thread.join()


class _Files(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return super().translate_path(path[path.index("trainings/") - 1 :])

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
async def fal(replicate: SandboxReplicate, storage: LocalStorage) -> AsyncIterator[FalApi]:
    client = FalApi(Settings().fal_key.get_secret_value(), f"{replicate.url}/fal", storage, timeout_s=30)
    yield client
    await client.close()


@pytest.fixture
async def together(replicate: SandboxReplicate, storage: LocalStorage) -> AsyncIterator[TogetherApi]:
    client = together_at(replicate, storage)
    yield client
    await client.close()


def together_at(replicate: SandboxReplicate, storage: LocalStorage, **options: Any) -> TogetherApi:
    key = Settings().together_api_key.get_secret_value()
    settings: dict[str, Any] = {"timeout_s": 30, "model": FLUX_DEV, **options}
    return TogetherApi(settings.pop("key", key), f"{replicate.url}/together", storage, **settings)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[GenerationStore]:
    database = Database(database_url, "generator")
    await database.open()
    yield GenerationStore(database)
    await database.close()


def generator(store: GenerationStore, provider: Provider, storage: LocalStorage, pace: Pace = QUICK) -> Generator:
    return Generator(store, [provider], storage, PRICES, pace=pace)


def wanted(version: str | None, generation_id: UUID | None = None, **facts: Any) -> GenerationRequested:
    """A plausible generation.requested; `parameters` are added to a prompt."""
    generation_id = generation_id or uuid4()
    parameters = {"prompt": "a photo of ADATOK", **facts.pop("parameters", {})}
    lora = {"model_id": uuid4(), "training_id": uuid4(), "trigger_word": "ADATOK"} if version else {}
    defaults = {"owner": "ada", "provider_version": version, **lora}
    return GenerationRequested.first(
        str(generation_id), generation_id=generation_id, parameters=parameters, **(defaults | facts)
    )


async def _trained_version(sandbox: SandboxReplicate) -> str:
    """The version (owner/name:id) that a training in the sandbox ended with."""
    headers = {"Authorization": f"Bearer {sandbox.token}"}
    with httpx.Client(base_url=f"{sandbox.url}/replicate/v1", headers=headers) as http, _site(_zip()) as zip_url:
        owner = http.get("/account").json()["username"]
        model = {"owner": owner, "name": "ada", "visibility": "private", "hardware": "gpu-t4"}
        http.post("/models", json=model).raise_for_status()
        trainer = http.get("/models/ostris/flux-dev-lora-trainer").json()["latest_version"]["id"]
        body = {"destination": f"{owner}/ada", "input": {"input_images": zip_url, "trigger_word": "ADATOK"}}
        path = f"/models/ostris/flux-dev-lora-trainer/versions/{trainer}/trainings"
        training = http.post(path, json=body).raise_for_status().json()["id"]

        def ended() -> dict[str, Any] | None:
            answer: dict[str, Any] = http.get(f"/trainings/{training}").json()
            return answer if answer["status"] == "succeeded" else None

        return str((await poll_until(ended))["output"]["version"])


def _zip() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 120, 40)).save(picture, "JPEG")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("01.jpg", picture.getvalue())
    return out.getvalue()


@contextmanager
def _site(content: bytes) -> Iterator[str]:
    """A web server with one file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/images.zip"
    server.shutdown()
    server.server_close()
    thread.join()
