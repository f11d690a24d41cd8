"""Secrets in the fields of the providers' answers, each of them told apart, so that a leak names its field."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .row import FOR_EVER, Json

MARK = "5ec7e7"
"""How every planted secret begins, so that all of them are sought at once."""
SHOWN_CHARS = 12
"""So much of a secret is already too much: what was cut in the middle is found as well."""
_PLANTED = re.compile(rf"{MARK}[0-9a-f]{{{SHOWN_CHARS - len(MARK)}}}")
CUTS = (300, 500, 1000)
"""Lengths that texts of others are cut to: a secret that lies across one must not survive in half."""
BAR = "flux_train_replicate:  52%|█████▏    | 517/1000 [08:01<07:30,  1.07it/s, lr: 4.0e-04 loss: 3.456e-01]\n"


@dataclass
class Garden:
    """Plants secrets; `configured` are those of the stack itself, planted with the shaped ones."""

    configured: tuple[str, ...]
    planted: dict[str, str] = field(default_factory=dict)

    def secret(self, where: str, shape: str) -> str:
        """One made-up secret of that shape for that field."""
        value = MARK + hashlib.sha256(f"{where}/{shape}".encode()).hexdigest()[:30]
        self.planted[value[:SHOWN_CHARS]] = f"{where} ({shape})"
        return value

    def text(self, where: str) -> str:
        """A sentence with a secret of every shape."""
        s = {shape: self.secret(where, shape) for shape in ("r8", "hf", "amz", "bearer", "whsec", "named", "basic")}
        parts = (
            f"refused r8_{s['r8']} and hf_{s['hf']}",
            f"see https://files.example/t.tar?X-Amz-Credential=AK{s['amz']}&X-Amz-Signature={s['amz']}",
            f"Authorization: Bearer {s['bearer']}",
            f"whsec_{s['whsec']} api_key={s['named']} https://user:{s['basic']}@files.example/",
            *self.configured,
        )
        return "; ".join(parts)

    def long_text(self, where: str) -> str:
        """A text in which a secret lies across every length that texts are cut to."""
        text = ""
        for cut in CUTS:
            text = text.ljust(cut - 16, ".") + f" r8_{self.secret(where, f'cut at {cut}')} "
        return text

    def url(self, where: str, base: str) -> str:
        """An address whose query is a credential."""
        return f"{base}?X-Amz-Signature={self.secret(where, 'query')}&X-Amz-Expires=3600"

    def token(self, where: str) -> str:
        """A field that is a token and nothing else."""
        return f"r8_{self.secret(where, 'token')}"

    def headers(self, where: str) -> dict[str, str]:
        """Headers of an answer."""
        names = ("X-Error-Message", "X-Request-Id", "WWW-Authenticate", "Set-Cookie", "Server")
        return {name: self.text(f"{where}, header {name}") for name in names}

    def found_in(self, text: str) -> Iterator[str]:
        """Where the secrets in `text` were planted."""
        for match in _PLANTED.finditer(text):
            if (where := self.planted.get(match[0])) is not None:
                yield where


def _status(garden: Garden, operation: str, code: int, *, times: int | None = FOR_EVER) -> Json:
    where = f"{operation} {code}"
    body = {key: garden.text(f"{where}, {key}") for key in ("title", "error", "type", "instance")}
    fields = [{key: garden.text(f"{where}, invalid_fields.{key}") for key in ("type", "field", "description")}]
    body |= {"detail": garden.long_text(f"{where}, detail")}
    more = {"status": code, "invalid_fields": fields, "url": garden.url(f"{where}, url", "https://hub.example/x")}
    return _fault(operation, "status", code=code, body=body | more, headers=garden.headers(where), times=times)


def _alter(garden: Garden, operation: str, times: int | None = FOR_EVER, **body: Any) -> Json:
    headers = garden.headers(f"{operation}, altered")
    return _fault(operation, "alter", body=body, headers=headers, times=times)


def _fault(operation: str, kind: str, **details: Any) -> Json:
    return {"operation": operation, "kind": kind, **details}


def _run_fields(garden: Garden, where: str) -> Json:
    """The fields of a training or prediction that are texts of the provider's."""
    return {
        "logs": f"{garden.text(f'{where}, logs')}\n{BAR}{garden.text(f'{where}, log tail')}\n",
        "urls": {name: garden.url(f"{where}, urls.{name}", "https://replicate.example/p") for name in ("get", "web")},
        "metrics": {garden.token(f"{where}, metrics"): 1.5, "predict_time": 1.0},
        "source": garden.text(f"{where}, source"),
        "model": garden.text(f"{where}, model"),
    }


def training_plans(garden: Garden, sandbox_url: str) -> dict[str, list[Json]]:
    """Faults by the name of the job that meets them; the hub's and Replicate's, of every kind of answer."""
    missing = f"{sandbox_url}/replicate/delivery/none/trained_model.tar"
    version = f"somebody/something:{'0' * 64}"
    return {
        "refused": [_status(garden, "trainings.create", 422)],
        "failing-once": [_status(garden, "trainings.create", 500, times=1)],
        "model-refused": [_status(garden, "models.create", 403)],
        "accepted": [_alter(garden, "trainings.create", **_run_fields(garden, "trainings.create"))],
        "id-is-a-token": [_alter(garden, "trainings.create", id=garden.token("trainings.create, id"))],
        "progressing": [
            _alter(garden, "trainings.get", 2, status="processing", **_run_fields(garden, "trainings.get, running"))
        ],
        "succeeding": [_alter(garden, "trainings.get", **_run_fields(garden, "trainings.get, succeeded"))],
        "failed": [
            _alter(garden, "trainings.get", status="failed", error=garden.text("trainings.get, error"), output=None)
        ],
        "failed-at-length": [
            _alter(garden, "trainings.get", status="failed", error=garden.long_text("trainings.get, long error"))
        ],
        "failed-with-an-object": [
            _alter(garden, "trainings.get", status="failed", error={"said": garden.text("trainings.get, error.said")})
        ],
        "looks-refused": [_status(garden, "trainings.get", 401)],
        "signed-weights": [
            _alter(
                garden,
                "trainings.get",
                status="succeeded",
                output={"version": version, "weights": garden.url("trainings.get, output.weights", missing)},
            )
        ],
        "version-is-a-token": [
            _alter(
                garden,
                "trainings.get",
                2,
                status="succeeded",
                output={"version": f"{garden.token('output.version')}/x:{'0' * 64}", "weights": missing},
            )
        ],
        "weights-refused": [_status(garden, "weights.download", 403)],
        "repository-refused": [_status(garden, "repos.create", 403)],
        "repository-made": [
            _alter(garden, "repos.create", 1, url=garden.url("repos.create, url", "https://hub.example/a/b"))
        ],
        "looked-at": [_alter(garden, "model_info", 4, sha=garden.token("model_info, sha"), tags=[garden.text("tags")])],
        "preparing-refused": [_status(garden, "preupload", 400)],
        "upload-refused": [_status(garden, "lfs.upload", 500)],
        "commit-refused": [_status(garden, "commit", 400)],
        "commit-failing": [_status(garden, "commit", 503)],
        "commit-made": [
            _alter(
                garden,
                "commit",
                1,
                commitUrl=garden.url("commit, commitUrl", "https://hub.example/a/b/commit/1"),
                hookOutput=garden.text("commit, hookOutput"),
            )
        ],
        "commit-is-a-token": [_alter(garden, "commit", 1, commitOid=garden.token("commit, commitOid"))],
    }


def alone_plans(garden: Garden) -> dict[str, list[Json]]:
    """Faults of calls that say nothing of a job; the first one of each job is met by it."""
    return {
        "whoami": [_alter(garden, "whoami", 1, name=garden.text("whoami, name"), fullname=garden.text("fullname"))],
        "whoami-refused": [_status(garden, "whoami", 401, times=1)],
        "trainer-version": [_alter(garden, "models.get", 1, latest_version={"id": garden.token("models.get, id")})],
        "trainer-refused": [_status(garden, "models.get", 404, times=1)],
    }


def cancel_plan(garden: Garden) -> list[Json]:
    """The provider refuses the cancelation once, and then says too much."""
    return [
        _status(garden, "trainings.cancel", 500, times=1),
        _alter(garden, "trainings.cancel", **_run_fields(garden, "trainings.cancel")),
    ]


def generation_plans(garden: Garden, sandbox_url: str) -> dict[str, list[Json]]:
    """The same for images."""
    missing = f"{sandbox_url}/replicate/delivery/none/out-0.webp"
    return {
        "image-refused": [_status(garden, "predictions.create", 422)],
        "image-accepted": [_alter(garden, "predictions.create", **_run_fields(garden, "predictions.create"))],
        "image-id-is-a-token": [_alter(garden, "predictions.create", id=garden.token("predictions.create, id"))],
        "image-failed": [
            _alter(garden, "predictions.get", status="failed", error=garden.long_text("predictions.get, error"))
        ],
        "image-content": [
            _alter(
                garden,
                "predictions.get",
                status="failed",
                error=f"NSFW content detected {garden.text('predictions.get, refusal')}",
            )
        ],
        "image-made": [_alter(garden, "predictions.get", **_run_fields(garden, "predictions.get"))],
        "image-signed": [
            _alter(
                garden,
                "predictions.get",
                status="succeeded",
                output=[garden.url("predictions.get, output", missing)],
            )
        ],
        "image-result-refused": [_status(garden, "result.download", 403)],
    }
