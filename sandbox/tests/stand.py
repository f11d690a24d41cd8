"""What the tests share: a running sandbox, a site that serves ZIPs and takes webhooks, and small files."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from PIL import Image

from fluxline_sandbox.settings import Settings

DEADLINE_SECONDS = 20.0


def until(read: Callable[[], Any], reached: Callable[[Any], bool] = bool) -> Any:
    """Poll `read` until `reached`, and return what it read; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached(value := read()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached in time; last value: {value!r}")
        time.sleep(0.02)
    return value


def photo(format: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A small picture in the given format."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 120, 40)).save(out, format)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def good_zip() -> bytes:
    return zipped({"01.jpg": photo(), "01.txt": b"a photo of TOK", "02.png": photo("PNG"), "__MACOSX/._01.jpg": b"x"})


class Site:
    """A local web server: serves `files` by path and keeps what is posted to it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = site.files.get(self.path)
                self._reply(404 if content is None else 200, content or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = site.statuses.pop(0) if site.statuses else 200
                site.posts.append((dict(self.headers), body))
                self._reply(status, b"")

            def _reply(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, content: bytes) -> str:
        self.files[path] = content
        return self.url + path

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Stand:
    """A running sandbox with the tokens it accepts and its admin calls."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.settings = settings
        self.http = httpx.Client(base_url=url, timeout=10)
        self.replicate_token = settings.replicate_api_token.get_secret_value()
        self.hf_token = settings.huggingface_api_token.get_secret_value()
        self.together_key = settings.together_api_key.get_secret_value()

    def state(self) -> dict[str, Any]:
        return dict(self.http.get("/_sandbox/state").json())

    def log(self) -> list[dict[str, Any]]:
        return list(self.http.get("/_sandbox/log").json())

    def configure(self, **changes: Any) -> None:
        self.http.post("/_sandbox/settings", json=changes).raise_for_status()

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        fault = {"operation": operation, "kind": kind, **details}
        self.http.post("/_sandbox/faults", json=[fault]).raise_for_status()
