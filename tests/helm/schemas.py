"""The schemas of Kubernetes and of the operators, as `make test-helm` gets them."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from .chart import ROOT, Manifest

KUBERNETES = ROOT / ".venv" / "kubernetes" / "kubernetes_validate" / "kubernetes-json-schema"
CRDS = ROOT / ".venv" / "crds"


def problems(manifest: Manifest, version: str) -> list[str]:
    """What is wrong with an object, by where; skips the test where its schema is not at hand."""
    errors = _validator(manifest["apiVersion"], manifest["kind"], version).iter_errors(manifest)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def is_ours(manifest: Manifest) -> bool:
    """Whether Kubernetes itself knows this kind, rather than an operator."""
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))


@cache
def _validator(api_version: str, kind: str, version: str) -> jsonschema_rs.Validator:
    if is_ours({"apiVersion": api_version}):
        return _of_kubernetes(api_version, kind, version)
    return _of_operator(api_version, kind)


def _of_kubernetes(api_version: str, kind: str, version: str) -> jsonschema_rs.Validator:
    folder = KUBERNETES / f"v{version}-local-strict"
    _require(folder)
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], number]))
    schema = json.loads((folder / f"{name}.json").read_text())

    def local(uri: str) -> Any:
        """A schema that it points to, which lies beside it; nothing is fetched."""
        return json.loads((folder / uri.rpartition("/")[2]).read_text())

    return jsonschema_rs.validator_for(schema, retriever=local)


def _of_operator(api_version: str, kind: str) -> jsonschema_rs.Validator:
    _require(CRDS)
    group, _, number = api_version.rpartition("/")
    for path in CRDS.glob(f"{group}_*.yaml"):
        for spec in (each["spec"] for each in yaml.safe_load_all(path.read_text()) if each):
            if spec["names"]["kind"] == kind:
                [found] = [each for each in spec["versions"] if each["name"] == number]
                return jsonschema_rs.validator_for(_closed(found["schema"]["openAPIV3Schema"]), validate_formats=False)
    raise LookupError(f"no schema of {api_version} {kind} in {CRDS}")


def _closed(schema: Any) -> Any:
    """The same, refusing what the server would silently drop; objects' metadata aside."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {name: _closed(value) for name, value in schema.items() if name != "nullable"}
    if isinstance(schema.get("properties"), dict):
        closed["properties"] = {name: _closed(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    return closed


def _require(folder: Path) -> None:
    if not folder.is_dir():
        assert "FLUXLINE_REQUIRE_HELM" not in os.environ, f"{folder} is missing"
        pytest.skip(f"needs {folder.relative_to(ROOT)}: `make test-helm` gets it")
