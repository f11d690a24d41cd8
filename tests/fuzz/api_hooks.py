"""What a schema cannot say: valid requests are made to keep these rules too, invalid ones are sent as they are.

- An `Idempotency-Key` is for one request: with another body it is 422.
- `cursor` comes from the page before; every other text is 422.
- `image_ids` are the caller's own images and distinct, `captions` are of these.
- Publishing needs `accept_license`.
- `webhook_url` leads to a public host.
- A new key ends later than now, and not later than the one that asks for it.
"""

import os
from typing import Any
from uuid import uuid4

import schemathesis

KEY_ID = os.environ["FLUXLINE_KEY_ID"]
IMAGES = os.environ["FLUXLINE_IMAGES"].split()
HOOK = "https://hooks.example.com/fluxline"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a valid request one that can be granted, and none one that ends the run: its own key, its own limits."""
    parameters = case.path_parameters or {}
    if case.operation.method.upper() == "DELETE" and parameters.get("key_id") == KEY_ID:
        parameters["key_id"] = str(uuid4())
    if case.operation.label == "PATCH /v1/admin/owners/{owner}" and parameters.get("owner") == "ada":
        parameters["owner"] = "bob"
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    headers = case.headers or {}
    for name in [name for name in headers if name.lower() == "idempotency-key"]:
        headers[name] = str(uuid4())
    (case.query or {}).pop("cursor", None)
    if isinstance(case.body, dict):
        _make_grantable(case.operation.label, case.body)


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
