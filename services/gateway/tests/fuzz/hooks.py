"""What a schema cannot say: valid requests are made to keep these rules too, invalid ones are sent as they are.

- An `Idempotency-Key` is for one request: with another body it is 422.
- `cursor` comes from the page before; every other text is 422.
- `since` is before `until`, or before now, and not years before.
- `image_ids` are the caller's own images and distinct, `captions` are of these.
- Publishing needs `accept_license`.
- `webhook_url` leads to a public host.
- The provider signs what it sends.
- A new key ends later than now, and not later than the one that asks for it.

Where one request leads to the next, valid ones also find something: photos are photos, announced files arrive, and
lists are not narrowed until nothing is left.
"""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zlib import crc32

import requests
import schemathesis
from schemathesis.generation.meta import TestPhase
from standardwebhooks import Webhook

from photos import jpeg_bytes, scene

KEY_ID = os.environ["FLUXLINE_KEY_ID"]
PROVIDER = Webhook(os.environ["FLUXLINE_PROVIDER_SECRET"])
IMAGES = os.environ["FLUXLINE_IMAGES"].split()
HOOK = "https://hooks.example.com/fluxline"
PHOTOS = [jpeg_bytes(scene((600, 600), seed)) for seed in range(100, 116)]
BY_SIZE = {len(photo): photo for photo in PHOTOS}
RULED = {"cursor", "since", "until"}
NARROWING = {"q", "status", "level", "service", "provider", "version", "category", "stage"}
_OWN = {"DELETE /v1/keys/{key_id}", "DELETE /v1/admin/keys/{key_id}"}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a valid request one that can be granted, and none one that ends the run: its own key, images, limits."""
    _spare(case.operation.label, case.path_parameters or {})
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    _name_something(case.path_parameters or {})
    if case.operation.label == "POST /v1/webhooks/replicate":
        kwargs["auth"] = _signed
    headers = case.headers or {}
    for name in [name for name in headers if name.lower() == "idempotency-key"]:
        headers[name] = str(uuid4())
    query = case.query or {}
    for name in RULED & query.keys():
        del query[name]
    if case.meta.phase.name is TestPhase.STATEFUL:
        for name in NARROWING & query.keys():
            del query[name]
        if isinstance(case.body, dict):
            _make_fruitful(case.operation.label, case.body)
    if isinstance(case.body, dict):
        _make_grantable(case.operation.label, case.body)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Send the photos that have been announced."""
    if case.operation.label == "POST /v1/images/uploads" and response.status_code == 201:
        for file in response.json()["files"]:
            if file["url"] and file["size_bytes"] in BY_SIZE:
                requests.put(file["url"], data=BY_SIZE[file["size_bytes"]], timeout=30).raise_for_status()


@schemathesis.check
def named_status(context: Any, response: Any, case: Any) -> None:
    """`default` stands for what nobody foresees: a status that comes here has its own place in the document.

    All but that of a method which the path has not.
    """
    operation = case.operation
    if response.status_code != 405 or case.method.upper() == operation.method.upper():
        named = operation.definition.raw["responses"]
        assert str(response.status_code) in named, f"{response.status_code} is not among {', '.join(named)}"


def _spare(label: str, parameters: dict[str, Any]) -> None:
    if label in _OWN and parameters.get("key_id") == KEY_ID:
        parameters["key_id"] = str(uuid4())
    if label == "DELETE /v1/images/{image_id}" and parameters.get("image_id") in IMAGES:
        parameters["image_id"] = str(uuid4())
    if label == "PATCH /v1/admin/owners/{owner}" and parameters.get("owner") == "ada":
        parameters["owner"] = "bob"


def _signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
    body, at = request.body or b"", datetime.now(UTC)
    signature = PROVIDER.sign("msg_1", at, body if isinstance(body, str) else body.decode())
    stamp = str(int(at.timestamp()))
    request.headers.update({"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature})
    return request


def _name_something(parameters: dict[str, Any]) -> None:
    """What a link finds may be null, as the training of a test delivery is: nobody asks for that."""
    for name in [name for name, value in parameters.items() if value is None]:
        parameters[name] = str(uuid4())


def _make_grantable(label: str, body: dict[str, Any]) -> None:
    match label:
        case "POST /v1/trainings":
            _grantable(body)
        case "POST /v1/trainings/estimate" if body.get("image_ids"):
            body["image_ids"] = IMAGES
        case "POST /v1/images/review":
            body["image_ids"] = IMAGES
        case "POST /v1/keys" | "POST /v1/admin/owners/{owner}/keys":
            body.pop("expires_at", None)
        case "POST /v1/webhooks/test":
            body["url"] = HOOK


def _grantable(order: dict[str, Any]) -> None:
    order["image_ids"] = IMAGES
    order.pop("captions", None)
    if isinstance(order.get("publish"), dict):
        order["publish"]["accept_license"] = True
    if order.get("webhook_url") is not None:
        order["webhook_url"] = HOOK


def _make_fruitful(label: str, body: dict[str, Any]) -> None:
    """The same for the same request, so that what has been found is found again."""
    photo = PHOTOS[crc32(repr(body).encode()) % len(PHOTOS)]
    match label:
        case "POST /v1/images":
            body["files"] = [photo]
        case "POST /v1/images/uploads":
            body["files"] = [{"filename": body["files"][0]["filename"], "size_bytes": len(photo)}]
