"""What the trainer makes of the images it is given, and the webhooks it sends."""

import base64
import json
import struct
import zlib
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from fluxline_sandbox.replicate import dataset
from fluxline_sandbox.replicate.catalog import MODELS

from .stand import Site, Stand, good_zip, photo, until, zipped

TRAINER = MODELS["ostris/flux-dev-lora-trainer"]
ENDED = ("succeeded", "failed", "canceled", "aborted")


def auth(stand: Stand) -> dict[str, str]:
    return {"authorization": f"Bearer {stand.replicate_token}"}


def train(stand: Stand, url: str, **options: Any) -> dict[str, Any]:
    model = {"owner": "fluxline-sandbox", "name": "m", "visibility": "private", "hardware": "cpu"}
    stand.http.post("/replicate/v1/models", json=model, headers=auth(stand))
    body = {"destination": "fluxline-sandbox/m", "input": {"input_images": url}, **options}
    path = f"/replicate/v1/models/{TRAINER.id}/versions/{TRAINER.version}/trainings"
    return dict(stand.http.post(path, json=body, headers=auth(stand)).raise_for_status().json())


def shown(stand: Stand, training: dict[str, Any]) -> dict[str, Any]:
    return dict(stand.http.get(f"/replicate/v1/trainings/{training['id']}", headers=auth(stand)).json())


def ended(stand: Stand, training: dict[str, Any]) -> dict[str, Any]:
    return dict(until(lambda: shown(stand, training), lambda job: job["status"] in ENDED))


def bomb() -> bytes:
    """A small PNG whose header promises 40,000 x 40,000 pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99))]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7", "input_images must be a zip file"),
        (photo(), "input_images must be a zip file"),
        (zipped({"a.jpg": b"this is text"}), "cannot identify image file 'input_images/a.jpg'"),
        (zipped({"a.jpg": photo(), "b.png": b""}), "cannot identify image file 'input_images/b.png'"),
        (zipped({"a.jpg": photo(size=(400, 400))[:-900]}), "image file is truncated"),
        (zipped({"a.png": bomb()}), "exceeds limit of"),
        (zipped({"a.heic": photo(), "a.txt": b"caption"}), "No images found"),
        (zipped({"__MACOSX/a.jpg": photo(), "._b.jpg": photo()}), "No images found"),
        (zipped({}), "No images found"),
    ],
    ids=["pdf", "photo", "text", "empty", "truncated", "bomb", "heic", "macosx", "nothing"],
)
def test_a_training_with_bad_images_fails_with_the_reason(stand: Stand, site: Site, content: bytes, words: str) -> None:
    job = ended(stand, train(stand, site.put("/a.zip", content)))
    assert (job["status"], job["output"]) == ("failed", None)
    assert words in job["error"]
    assert job["logs"].endswith(job["error"] + "\n")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_every_format_the_trainer_reads_is_trained_on(stand: Stand, site: Site, format: str) -> None:
    stand.configure(training_seconds=0)
    url = site.put("/a.zip", zipped({f"pictures/1.{format}": photo(format)}))
    assert ended(stand, train(stand, url))["status"] == "succeeded"


def test_an_address_that_does_not_answer_fails_the_training(
    stand: Stand, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "RETRY_WAITS_S", (0.1, 0.1))
    assert ended(stand, train(stand, f"{site.url}/missing.zip"))["error"] == "HTTP Error 404: Not Found"
    assert "urlopen error" in ended(stand, train(stand, "http://127.0.0.1:1/a.zip"))["error"]


def test_an_archive_that_is_too_large_is_not_read_to_its_end(stand: Stand, site: Site) -> None:
    stand.configure(max_zip_bytes=1_000)
    job = ended(stand, train(stand, site.put("/a.zip", bytes(100_000))))
    assert "larger than 1000 bytes" in job["error"]


def test_webhooks_are_signed_and_carry_the_training(stand: Stand, site: Site) -> None:
    training = train(stand, site.put("/a.zip", good_zip()), webhook=f"{site.url}/hook")
    ended(stand, training)
    until(lambda: stand.state()["webhooks"] >= 3)
    secret = stand.http.get("/replicate/v1/webhooks/default/secret", headers=auth(stand)).json()["key"]
    assert base64.b64decode(secret.removeprefix("whsec_"))
    statuses = sorted(Webhook(secret).verify(body, headers)["status"] for headers, body in site.posts)
    assert statuses == ["processing", "succeeded", "succeeded"]
    assert {body["id"] for body in site.bodies()} == {training["id"]}
    headers, body = site.posts[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)


def test_only_the_events_that_were_asked_for_are_sent(stand: Stand, site: Site) -> None:
    ended(
        stand,
        train(
            stand,
            site.put("/a.zip", good_zip()),
            webhook=f"{site.url}/hook",
            webhook_events_filter=["completed"],
        ),
    )
    until(lambda: stand.state()["webhooks"] == 1)
    assert [body["status"] for body in site.bodies()] == ["succeeded"]


def test_logs_are_sent_while_the_training_runs(stand: Stand, site: Site) -> None:
    stand.configure(training_seconds=1.6)
    options = {"webhook": f"{site.url}/hook", "webhook_events_filter": ["logs"]}
    ended(stand, train(stand, site.put("/a.zip", good_zip()), **options))
    lengths = [len(body["logs"]) for body in site.bodies()]
    assert len(lengths) >= 2
    assert lengths == sorted(set(lengths))


def test_the_terminal_webhook_is_repeated_until_it_is_taken(stand: Stand, site: Site) -> None:
    stand.configure(webhook_retry_delays=[0.05] * 5, training_seconds=0)
    site.statuses = [500, 503]
    options = {"webhook": f"{site.url}/hook", "webhook_events_filter": ["completed"]}
    train(stand, site.put("/a.zip", good_zip()), **options)
    until(lambda: stand.state()["webhooks"] == 1)
    assert len(site.posts) == 3
    assert len({headers["webhook-id"] for headers, _ in site.posts}) == 1
    assert [c["status"] for c in stand.log() if c["operation"] == "webhook"] == [500, 503, 200]


def test_webhook_faults_lose_duplicate_and_falsify(stand: Stand, site: Site) -> None:
    stand.configure(webhook_retry_delays=[0.02] * 5, training_seconds=0)
    for kind in ("drop_request", "drop_answer", "corrupt"):
        stand.fault("webhook", kind)
    options = {"webhook": f"{site.url}/hook", "webhook_events_filter": ["completed"]}
    train(stand, site.put("/a.zip", good_zip()), **options)
    until(lambda: stand.state()["webhooks"] == 1)
    assert len(site.posts) == 2
    json.loads(site.posts[0][1])
    with pytest.raises(json.JSONDecodeError):
        json.loads(site.posts[1][1])


def test_a_canceled_training_says_so_by_webhook(stand: Stand, site: Site) -> None:
    stand.configure(training_seconds=600)
    options = {"webhook": f"{site.url}/hook", "webhook_events_filter": ["completed"]}
    training = train(stand, site.put("/a.zip", good_zip()), **options)
    stand.http.post(f"/replicate/v1/trainings/{training['id']}/cancel", headers=auth(stand))
    until(lambda: site.posts)
    assert site.bodies()[0]["status"] == "canceled"


@pytest.mark.parametrize(
    "options",
    [{"webhook": "ftp://x/y"}, {"webhook": 5}, {"webhook_events_filter": ["done"]}, {"destination": None}],
)
def test_impossible_options_are_refused(stand: Stand, site: Site, options: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        train(stand, site.put("/a.zip", good_zip()), **options)
    assert stand.state()["trainings"] == 0
