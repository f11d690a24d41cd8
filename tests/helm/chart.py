"""The chart as helm renders it, and where to look in what came out."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "fluxline"
NAMESPACE, RELEASE = "studio", "fluxline"
KUBERNETES = "1.37.0"
"""The newest version whose schemas there are; `kubeVersion` of Chart.yaml is the oldest."""
WITH: dict[str, tuple[str, ...]] = {
    "values.yaml": (),
    "values-production.yaml": ("values-production.yaml", "ci/production-values.yaml"),
    "values-external.yaml": ("values-external.yaml",),
}
"""Each values file, and what has to be named beside the chart's own for it."""
_SAMPLES = {
    "NATS_URL": "tls://user:password@nats:4222",
    "DATABASE_URL": "postgresql://role:password@db/fluxline",
    "HUGGINGFACE_USERNAME": "nobody",
}
ASKED_FOR = bool(os.environ.keys() & {"FLUXLINE_HELM", "FLUXLINE_REQUIRE_HELM"})
"""Whether the tests that need helm are to run."""
Manifest = dict[str, Any]


def helm() -> str | None:
    """The program: FLUXLINE_HELM, else that of the PATH."""
    return os.environ.get("FLUXLINE_HELM") or shutil.which("helm")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A call of helm in the chart's folder."""
    command = [helm() or "helm", *arguments]
    return subprocess.run(command, cwd=CHART, capture_output=True, text=True, timeout=60, check=False)


@cache
def render(values: str = "values.yaml", *options: str) -> tuple[Manifest, ...]:
    """Every object with this values file; `options` are helm's. Raises AssertionError with what helm says."""
    files = [part for name in WITH[values] for part in ("-f", name)]
    done = run("template", RELEASE, ".", "--namespace", NAMESPACE, "--kube-version", KUBERNETES, *files, *options)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> dict[str, Manifest]:
    """The objects of these kinds, by the part of the system that they are for."""
    found = [each for each in objects if each["kind"] in kinds]
    return {part_of(each): each for each in found}


def named(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """The object of this kind and name."""
    [found] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def part_of(manifest: Manifest) -> str:
    """The part of the system that an object, or a pod, is for."""
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pods(objects: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Every pod that there will be, as its template, with its part."""
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield part_of(each), each["spec"]["template"]


def environment(pod: Manifest) -> dict[str, str]:
    """The variables of a pod's container that have plain values."""
    [container] = pod["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def secrets_of(objects: tuple[Manifest, ...], pod: Manifest) -> dict[str, str] | None:
    """What the Secret that a pod finds in /secrets holds; None for one that somebody else makes."""
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "secrets"]
    made = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Secret"}
    secret = made.get(volume["secret"]["secretName"])
    return dict(secret["stringData"]) if secret else None


def facts() -> dict[str, dict[str, Any]]:
    """What each service talks to, as the chart has it."""
    return dict(yaml.safe_load((CHART / "files" / "services.yaml").read_text()))


def samples(service: str) -> dict[str, str]:
    """What somebody else's Secret has to hold for a service, as the chart says."""
    fact = facts()[service]
    keys = [*fact.get("keys", [])]
    keys += ["NATS_URL"] if fact.get("nats") else []
    keys += ["DATABASE_URL"] if fact.get("postgres") else []
    keys += ["CLOUDFLARE_R2_ACCESS_KEY_ID", "CLOUDFLARE_R2_SECRET_ACCESS_KEY"] if fact.get("storage") else []
    return {key: _SAMPLES.get(key, f"sample-of-{key}-long-enough-for-all") for key in keys}
