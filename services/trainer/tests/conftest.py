"""A trainer on real parts: PostgreSQL, the sandbox as the provider, a folder as storage that a site serves."""

import io
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image

from fluxline.postgres.pool import Database
from fluxline.storage import StorageError
from fluxline.storage.local import LocalStorage
from fluxline_sandbox.server import running
from fluxline_sandbox.settings import Settings

from .bench import Bench, Stand


class Site:
    """Serves the storage's signed links, as the gateway does."""

    def __init__(self, root: Path) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                key = parts.path.removeprefix("/storage/")
                try:
                    site.storage.verify_signature(key, "GET", dict(parse_qsl(parts.query)), time())
                    content, status = (root / key).read_bytes(), 200
                except StorageError:
                    content, status = b"", 403
                except FileNotFoundError:
                    content, status = b"", 404
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = LocalStorage(root, self.url, b"a secret of at least 32 characters")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def database_url(migrated: Callable[[str], Iterator[str]]) -> Iterator[str]:
    """The URL of a database with the trainer's schema."""
    yield from migrated("fluxline_trainer")


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    site = Site(tmp_path / "storage")
    yield site.storage
    await site.storage.close()
    site.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    settings = Settings(port=0, home=tmp_path / "sandbox", training_seconds=0.2)
    with running(settings) as url:
        stand = Stand(url, settings)
        stand.configure(lora_blocks=1)
        yield stand
        stand.http.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "trainer", max_size=20)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="session")
def photos_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(5):
            photo = io.BytesIO()
            Image.new("RGB", (64, 64), (40 * number, 90, 30)).save(photo, "JPEG")
            archive.writestr(f"{number:02}.jpg", photo.getvalue())
            archive.writestr(f"{number:02}.txt", "a photo of ADATOK")
    return out.getvalue()


@pytest.fixture
async def bench(
    database: Database, database_url: str, storage: LocalStorage, stand: Stand, photos_zip: bytes
) -> AsyncIterator[Bench]:
    bench = Bench(database, database_url, storage, stand, photos_zip)
    yield bench
    await bench.close()
