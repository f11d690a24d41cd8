"""The name of every call a client can make: method and path to provider and operation."""

import re
from typing import NamedTuple


class Operation(NamedTuple):
    """A call as the clients name it, for example `replicate` and `trainings.create`."""

    provider: str
    name: str


_REPO = r"[^/]+(?:/[^/]+)?"
_TABLE: list[tuple[str, str, str, str]] = [
    ("GET", r"/replicate/v1/account", "replicate", "account"),
    ("GET", r"/replicate/v1/webhooks/default/secret", "replicate", "webhooks.secret"),
    ("POST", r"/replicate/v1/models/[^/]+/[^/]+/versions/[^/]+/trainings", "replicate", "trainings.create"),
    ("POST", r"/replicate/v1/models/[^/]+/[^/]+/predictions", "replicate", "predictions.create"),
    ("GET", r"/replicate/v1/models/[^/]+/[^/]+(/versions.*)?", "replicate", "models.get"),
    ("DELETE", r"/replicate/v1/models/[^/]+/[^/]+(/versions.*)?", "replicate", "models.delete"),
    ("POST", r"/replicate/v1/models", "replicate", "models.create"),
    ("GET", r"/replicate/v1/(trainings|predictions)", "replicate", "{0}.list"),
    ("POST", r"/replicate/v1/(predictions)", "replicate", "{0}.create"),
    ("POST", r"/replicate/v1/(trainings|predictions)/[^/]+/cancel", "replicate", "{0}.cancel"),
    ("GET", r"/replicate/v1/(trainings|predictions)/[^/]+", "replicate", "{0}.get"),
    ("GET|HEAD", r"/replicate/delivery/.+\.tar", "replicate", "weights.download"),
    ("GET|HEAD", r"/replicate/delivery/.+", "replicate", "result.download"),
    ("GET", r"/hf/api/whoami-v2", "huggingface", "whoami"),
    ("POST", r"/hf/api/repos/create", "huggingface", "repos.create"),
    ("DELETE", r"/hf/api/repos/delete", "huggingface", "repos.delete"),
    ("POST", r"/hf/api/validate-yaml", "huggingface", "validate_yaml"),
    ("POST", rf"/hf/api/models/{_REPO}/preupload/.+", "huggingface", "preupload"),
    ("POST", rf"/hf/api/models/{_REPO}/commit/.+", "huggingface", "commit"),
    ("PUT", rf"/hf/api/models/{_REPO}/settings", "huggingface", "repos.update"),
    ("POST", rf"/hf/{_REPO}\.git/info/lfs/objects/batch", "huggingface", "lfs.batch"),
    ("POST", rf"/hf/{_REPO}\.git/info/lfs/objects/verify", "huggingface", "lfs.verify"),
    ("PUT", r"/hf/lfs/.+", "huggingface", "lfs.upload"),
    ("GET|HEAD", rf"/hf/{_REPO}/resolve/.+", "huggingface", "file.download"),
    ("GET|POST", r"/hf/api/models/.+", "huggingface", "model_info"),
    ("POST", r"/together(/v1)?/v1/images/generations", "together", "images.generate"),
    ("GET|HEAD", r"/together/results/.+", "together", "result.download"),
    ("GET|HEAD", r"/fal/files/.+", "fal", "result.download"),
    ("GET", r"/fal/.+/requests/[^/]+/status", "fal", "requests.status"),
    ("PUT", r"/fal/.+/requests/[^/]+/cancel", "fal", "requests.cancel"),
    ("GET", r"/fal/.+/requests/[^/]+", "fal", "requests.result"),
    ("POST", r"/fal/.+", "fal", "requests.submit"),
]
_PATTERNS = [(methods.split("|"), re.compile(path), provider, name) for methods, path, provider, name in _TABLE]
WEBHOOK = Operation("replicate", "webhook")
_ALIASES = {"generate": {"predictions.create", "images.generate", "requests.submit"}, "*": None}
PROVIDERS = frozenset(row[2] for row in _TABLE)
NAMES = (
    frozenset(row[3] for row in _TABLE if "{" not in row[3])
    | {f"{kind}.{verb}" for kind in ("trainings", "predictions") for verb in ("create", "get", "list", "cancel")}
    | {WEBHOOK.name, *_ALIASES}
)


def identify(method: str, path: str) -> Operation | None:
    """The operation a request performs, or None for one that no provider has."""
    for methods, pattern, provider, name in _PATTERNS:
        if method in methods and (match := pattern.fullmatch(path)):
            return Operation(provider, name.format(*match.groups()))
    return None


def covers(wanted: str, actual: str) -> bool:
    """Whether the operation named in a fault means `actual`; `generate` and `*` stand for several."""
    group = _ALIASES.get(wanted, {wanted})
    return group is None or actual in group
