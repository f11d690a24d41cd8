"""What the OpenAPI document says before its calls: how to use the API as a whole, and the groups of calls."""

from typing import Final

SUMMARY: Final = "Photos in, a trained and published FLUX LoRA out"
GUIDE: Final = """\
Upload photos, ask for a training, follow it live, use the model.

**Authentication.** `Authorization: Bearer fl_…`, an API key; or a JSON Web Token where the gateway trusts an issuer.
A key belongs to an owner and has scopes: `read` for GET, `write` for everything else, `admin` for `/v1/admin`.
What belongs to somebody else answers 404, as if it did not exist.

**Errors** are problem documents (RFC 9457, `application/problem+json`): `title` and `detail` say what happened,
`hint` what to do, `category` is one of ten fixed words, `errors` names the fields that do not fit.

**Pages.** Lists answer `items`, newest first, and `next_cursor`: send it as `cursor`, or follow the `Link` header.
A cursor is opaque and stays valid while things are added and deleted.

**Idempotency.** Send an `Idempotency-Key` of your own with calls that create: a repeat with the same key and body
changes nothing and gets the first answer again, with `Idempotent-Replayed: true`.

**Caching.** JSON answers to GET have an `ETag`; with `If-None-Match` an unchanged one is answered 304.

**Rate limits.** Each answer has `RateLimit-Policy` and `RateLimit`; above the limit it is 429 with `Retry-After`.

**Events.** `GET /v1/trainings/{id}/events` is a stream of server-sent events: first a `snapshot`, then every event.
A client that reconnects with `Last-Event-ID` misses none and gets none twice. With `Accept: application/json` the
same path answers the history.

**Webhooks.** A training with a `webhook_url` sends a signed request there (Standard Webhooks) whenever its status
changes: see the webhooks section of this document.

**Traces.** Each answer has a `traceparent`: its trace id finds the request in logs and traces.
"""

TAGS: Final = {
    "images": "Photos: uploaded, looked at, each with a verdict of its own.",
    "trainings": "From photos to a published model, step by step.",
    "events": "What happens to a training, live and as history.",
    "debug": "Why a training is where it is.",
    "models": "What came out of trainings.",
    "generations": "Images made with a model.",
    "webhooks": "Requests that the gateway sends and receives.",
    "account": "Who is asking: keys, limits, spending, the record of calls.",
    "limits": "What the API accepts.",
    "admin": "Every owner's keys and limits; needs the scope `admin`.",
    "operations": "What goes on across all trainings; needs the scope `admin`.",
}
"""Groups of calls in the order in which they are shown."""
