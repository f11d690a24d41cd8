"""Faults of the sandbox as the rows name them."""

import io
import tarfile
from typing import Any

from .row import FOR_EVER, Json


def fault(operation: str, kind: str, *, times: int | None = 1, **details: Any) -> Json:
    """A fault of Replicate, or of the hub for the hub's operations."""
    return {"operation": operation, "kind": kind, "times": times, **details}


def refusal(operation: str, code: int, title: str = "", detail: str = "", **more: Any) -> Json:
    """An answer of Replicate as problem+json, for ever unless `times` says otherwise."""
    times = more.pop("times", FOR_EVER)
    body = {"title": title, "detail": detail, "status": code, **more}
    headers = {"content-type": "application/problem+json"}
    return fault(operation, "status", code=code, body=body, headers=headers, times=times)


def unwell(operation: str, code: int, *, times: int | None = 2, **headers: str) -> Json:
    """An error status without a body of use."""
    return fault(operation, "status", code=code, body={"error": "not now"}, headers=headers, times=times)


def ended(status: str, error: str | None = None) -> Json:
    """The provider says that the run ended so."""
    return fault("trainings.get", "alter", times=FOR_EVER, body={"status": status, "error": error, "output": None})


def tar_text() -> str:
    """A tar that holds a configuration and no weights; ASCII throughout."""
    content = b'{"job": "custom_job"}'
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("output/flux_train_replicate/config.yaml")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return held.getvalue().decode("ascii")
