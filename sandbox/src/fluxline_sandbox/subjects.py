"""Which job a call is about when its address holds nothing but a random id."""

import json
import re

from fluxline_sandbox.store import Document, Store

_JOB = re.compile(r"/replicate/v1/(training|prediction)s/([^/]+)(?:/cancel)?")
_DELIVERY = re.compile(r"/replicate/delivery/([^/]+)/.+")


def subject_of(store: Store, path: str) -> str:
    """Destination and input of the training or prediction that the path names, as JSON; empty when there is none."""
    if match := _JOB.fullmatch(path):
        job = store.get(*match.groups())
    elif match := _DELIVERY.fullmatch(path):
        job = _delivered(store, match[1])
    else:
        job = None
    return json.dumps({key: job.get(key) for key in ("destination", "input")}) if job else ""


def _delivered(store: Store, token: str) -> Document | None:
    """The job whose result lies under this token."""
    weights = store.get("delivery", token)
    if weights is not None:
        return store.get("training", weights["training"])
    return next((job for job in store.all("prediction") if token in json.dumps(job["output"])), None)
