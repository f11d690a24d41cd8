"""Outgoing webhooks, signed by the Standard Webhooks scheme (github.com/standard-webhooks/standard-webhooks).

Intermediate events are sent once; the terminal one is sent again until it is answered with a 2xx.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from fluxline_sandbox.calls import Call
from fluxline_sandbox.faults import Fault
from fluxline_sandbox.operations import WEBHOOK
from fluxline_sandbox.replicate.inputs import is_http_url
from fluxline_sandbox.replicate.problems import invalid
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

EVENTS = ("start", "output", "logs", "completed")
_TIMEOUT_SECONDS = 10.0
_UNSENT = {"status", "drop_request", "hang"}


def subscription(body: dict[str, Any]) -> Document:
    """`webhook` and `webhook_events_filter` of a create request, checked; raises a 422 `Problem`."""
    url, wanted = body.get("webhook"), body.get("webhook_events_filter")
    if url is not None and not (isinstance(url, str) and is_http_url(url)):
        raise invalid([("format", "webhook", "webhook must be an HTTPS URL")])
    if wanted is not None and (not isinstance(wanted, list) or not set(map(str, wanted)) <= set(EVENTS)):
        listed = ", ".join(f'"{event}"' for event in EVENTS)
        raise invalid([("enum", "webhook_events_filter", f"Must be one of the following: {listed}")])
    return {"webhook": url, "webhook_events": wanted or list(EVENTS)}


def wants(job: Document, event: str) -> bool:
    """Whether the job was created with a webhook for this event."""
    return job["webhook"] is not None and event in job["webhook_events"]


async def deliver(sandbox: Sandbox, job: Document, event: str, body: dict[str, Any]) -> None:
    """Send one event if the job asked for it; `completed` is repeated after each configured delay."""
    if not wants(job, event):
        return
    delays = sandbox.behaviour.webhook_retry_delays if event == "completed" else []
    message_id = f"msg_{secrets.token_hex(12)}"
    for delay in [0.0, *delays]:
        await asyncio.sleep(delay)
        if await _attempt(sandbox, job["webhook"], message_id, body):
            sandbox.store.increment("webhooks")
            return


def tell(sandbox: Sandbox, job: Document, event: str, body: Callable[[], dict[str, Any]]) -> None:
    """Send an intermediate event in the background: a slow receiver does not hold up the job."""
    if wants(job, event):
        sandbox.spawn(f"{event} {job['id']} {time.time_ns()}", deliver(sandbox, job, event, body()))


async def _attempt(sandbox: Sandbox, url: str, message_id: str, body: dict[str, Any]) -> bool:
    """One POST, logged; true when it was answered with a 2xx that the planned faults let through."""
    call = sandbox.calls.add(Call("POST", urlsplit(url).path, *WEBHOOK))
    faults = sandbox.faults.take(WEBHOOK, json.dumps(body))
    call.fault = "+".join(fault.kind for fault in faults) or None
    try:
        status = await _post(sandbox, url, message_id, body, faults)
    except httpx.HTTPError:
        status = None
    call.finish(status)
    answered = status is not None and 200 <= status < 300
    return answered and not any(fault.kind == "drop_answer" for fault in faults)


async def _post(sandbox: Sandbox, url: str, message_id: str, body: dict[str, Any], faults: list[Fault]) -> int | None:
    for fault in faults:
        if fault.kind in ("latency", "hang"):
            await asyncio.sleep(fault.hang_seconds)
        if fault.kind in _UNSENT:
            return fault.code if fault.kind == "status" else None
    now = datetime.now(UTC)
    text = json.dumps(body)
    signature = Webhook(sandbox.settings.webhook_secret.get_secret_value()).sign(message_id, now, text)
    if any(fault.kind == "corrupt" for fault in faults):
        text = text.replace('"', "'", 1)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    answer = await sandbox.http.post(url, content=text, headers=headers, timeout=_TIMEOUT_SECONDS)
    return answer.status_code
