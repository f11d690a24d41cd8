"""Which providers are real and which the sandbox stands in for, from the keys in the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from fluxline_cli.stack.errors import StackError

KEYS = {
    "replicate": ("REPLICATE_API_TOKEN",),
    "huggingface": ("HUGGINGFACE_API_TOKEN", "HUGGINGFACE_USERNAME"),
    "fal": ("FAL_KEY",),
    "together": ("TOGETHER_API_KEY",),
}
SPARE = ("fal", "together")
"""They make images where Replicate declines. Beside a real Replicate they are real or left out: nobody gets an image of
the sandbox in place of a real one."""
R2_KEYS = (
    "CLOUDFLARE_R2_ACCESS_KEY_ID",
    "CLOUDFLARE_R2_SECRET_ACCESS_KEY",
    "CLOUDFLARE_R2_BUCKET",
    "CLOUDFLARE_R2_ENDPOINT",
)
R2_OPTIONS = (*R2_KEYS, "CLOUDFLARE_R2_PUBLIC_URL")
ADDRESSES = {
    "replicate": "REPLICATE_BASE_URL",
    "huggingface": "HF_ENDPOINT",
    "fal": "FAL_BASE_URL",
    "together": "TOGETHER_BASE_URL",
}
VARIABLES = {*(name for names in KEYS.values() for name in names), *R2_OPTIONS, *ADDRESSES.values()}
"""All that speaks of providers: no process of the stack gets it unless it is meant to."""


@dataclass(frozen=True)
class Providers:
    """The choice: `real` names the providers with keys; `r2` says that files go to a bucket, not to a folder."""

    real: frozenset[str]
    r2: bool

    @property
    def needs_sandbox(self) -> bool:
        """Whether anything is left to stand in for."""
        return any(self.role(name) == "sandbox" for name in KEYS)

    def role(self, name: str) -> Literal["real", "sandbox", "off"]:
        """How the provider is there."""
        if name in self.real:
            return "real"
        return "off" if name in SPARE and "replicate" in self.real else "sandbox"

    def describe(self) -> str:
        """One line for a person: who is real, and where files go."""
        parts = [f"{name}: {self.role(name)}" for name in KEYS]
        return ", ".join([*parts, "storage: " + ("R2/S3 bucket" if self.r2 else "local folder")])


def choose(env: Mapping[str, str], *, sandbox: bool | None) -> Providers:
    """The providers to use: `sandbox` True = none real, False = no stand-in, None = real where there are keys.

    Raises StackError, with the remedy, for keys that are missing or that cannot work together.
    """
    if sandbox:
        return Providers(frozenset(), r2=False)
    real = frozenset(name for name, keys in KEYS.items() if env.get(keys[0]))
    for name in real if sandbox is None else real | (KEYS.keys() - set(SPARE)):
        _require(env, KEYS[name], name)
    r2 = any(env.get(key) for key in R2_KEYS)
    if r2:
        _require(env, R2_KEYS, "R2 storage")
    if real & {"replicate", "fal"} and not r2 and not _is_public(env.get("STORAGE_PUBLIC_URL", "")):
        raise StackError(
            "Replicate cannot fetch the photos, nor fal the weights, from a folder of this machine",
            remedy="set the CLOUDFLARE_R2_* variables, or STORAGE_PUBLIC_URL to an address of the gateway that the "
            "internet reaches (a tunnel), or use the sandbox: `--sandbox`",
        )
    return Providers(real, r2)


def _require(env: Mapping[str, str], keys: tuple[str, ...], name: str) -> None:
    missing = [key for key in keys if not env.get(key)]
    if missing:
        raise StackError(f"{name} needs {', '.join(missing)}", remedy=f"set {', '.join(missing)}, or use `--sandbox`")


def _is_public(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local"))
