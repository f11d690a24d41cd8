"""A server that answers each call of the OpenAPI document with the document's example, and notes what was called."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
OUTSIDE = re.compile(r'"https?://[^"]*"')
"""Links of the examples: none may be followed out of the test."""


class DocumentedApi:
    """`url` is where it listens, `called` the operation ids in the order of the calls, `bodies` what was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.called: list[str] = []
        self.bodies: dict[str, Any] = {}

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation that the call belongs to; paths without parameters go before those with."""
        for template in sorted(DOCUMENT["paths"], key=lambda template: template.count("{")):
            pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
            found: dict[str, Any] | None = DOCUMENT["paths"][template].get(method.lower())
            if found and re.fullmatch(pattern, path):
                return found
        return None

    def example(self, operation: dict[str, Any], sent: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer that the document shows first."""
        status = next(code for code in sorted(operation["responses"]) if code[0] in "23")
        content = operation["responses"][status].get("content") or {}
        if "application/json" in content:
            text = json.dumps(_fitting(operation["operationId"], _example(content["application/json"]), sent))
            return int(status), "application/json", OUTSIDE.sub(f'"{self.url}/storage/file"', text).encode()
        return int(status), next(iter(content), "application/octet-stream"), b"the bytes"


def _example(media: dict[str, Any]) -> Any:
    """The media type's own example, or that of its schema."""
    if "example" in media:
        return media["example"]
    if "examples" in media:
        return next(iter(media["examples"].values()))["value"]
    schema = media["schema"]
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["examples"][0]


def _fitting(operation: str, shown: Any, sent: bytes) -> Any:
    """The example with an image of its own for each upload, and a link for each file that was announced."""
    if operation == "upload_images":
        return {"accepted": [shown["accepted"][0] | {"id": str(uuid4())}], "rejected": []}
    if operation == "create_image_upload":
        return shown | {"files": [_link(shown["files"][0], file) for file in json.loads(sent)["files"]]}
    return shown


def _link(shown: Any, announced: Any) -> Any:
    headers = shown["headers"] | {"Content-Length": str(announced["size_bytes"])}
    return shown | {"size_bytes": announced["size_bytes"], "headers": headers, "image": None}


@contextmanager
def documented_api() -> Iterator[DocumentedApi]:
    """The server, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = urlsplit(self.path).path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            operation = api.operation(self.command, path)
            if operation is None:
                return self.send(200 if path.startswith("/storage/") else 404, "image/png", b"the bytes")
            api.called.append(operation["operationId"])
            api.bodies[operation["operationId"]] = body
            return self.send(*api.example(operation, body))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def send(self, status: int, content_type: str, body: bytes) -> None:
            body = b"" if status == 204 else body
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", f"{api.url}/storage/file")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = DocumentedApi(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
