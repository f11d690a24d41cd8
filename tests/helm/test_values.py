"""What can be said of the chart without helm: its values fit their schema, and its pages fit the code."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import yaml

from fluxline.contracts.catalog import CONSUMERS, STREAMS
from fluxline.contracts.permissions import PERMISSIONS
from fluxline.runtime.provision import OUTCOMES_BYTES
from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.environment import SANDBOX_KEYS, SANDBOX_PATHS, USES_PROVIDERS, USES_STORAGE
from fluxline_cli.stack.providers import ADDRESSES

from .chart import ASKED_FOR, CHART, ROOT, facts, run, samples

FILES = [path.relative_to(CHART).as_posix() for path in sorted([*CHART.glob("values*.yaml"), *CHART.glob("ci/*.yaml")])]
SCHEMA = jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text()))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
UNITS = {"GB": 10**9, "Gi": 2**30}


@pytest.mark.parametrize("name", FILES)
def test_values_fit_their_schema(name: str) -> None:
    values = yaml.safe_load((CHART / name).read_text())
    assert [f"{error.instance_path}: {error.message}" for error in SCHEMA.iter_errors(values)] == []


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"nats": {"replicas": 2}}, ["nats", "replicas"]),
        ({"nats": {"bundled": False, "external": {"servers": [], "monitorUrls": []}}}, ["nats", "external", "servers"]),
        ({"services": {"zipper": {"replica": 3}}}, ["services", "zipper"]),
        ({"services": {"trainer": {"autoscaling": {"min": 0}}}}, ["services", "trainer", "autoscaling", "min"]),
        ({"services": {"zipper": {"settings": {"NATS_URL": "nats://here"}}}}, ["services", "zipper", "settings"]),
        ({"publicUrl": "api.example.com"}, ["publicUrl"]),
        ({"storage": {"bundled": False, "endpoint": ""}}, ["storage", "endpoint"]),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_refused_where_it_stands(wrong: dict[str, Any], where: list[str]) -> None:
    assert where in [list(error.instance_path) for error in SCHEMA.iter_errors(wrong)]


def test_every_value_has_a_place_in_the_schema() -> None:
    properties = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(VALUES) == set(properties) - {"global"}
    assert set(VALUES["services"]) == set(facts())


def test_every_value_of_a_service_is_used() -> None:
    """One that changes nothing would be a promise that nobody keeps."""
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    defaults = dict(VALUES["defaults"])
    scaling = defaults.pop("autoscaling")
    placement = {"nodeSelector", "tolerations"}  # by way of `fluxline.placement`
    assert [name for name in defaults if f"config.{name}" not in templates and name not in placement] == []
    assert [name for name in placement if f"with .{name}" not in templates] == []
    assert [name for name in scaling if f"scaling.{name}" not in templates] == []


def test_services_scale_with_consumers_that_exist_and_are_their_own() -> None:
    known = {(consumer.stream.name, consumer.durable): consumer for consumer in CONSUMERS}
    for service, values in VALUES["services"].items():
        triggers = values["autoscaling"].get("triggers", [])
        asked = {(trigger["stream"], trigger["consumer"]) for trigger in triggers}
        own = {key for key in known if key[1].partition("-")[0] == service}
        assert asked == (set() if service in ("gateway", "studio") else own), service
        for trigger in triggers:
            # A replica that is there for less than it takes at once would be one too many.
            assert trigger["lag"] >= known[trigger["stream"], trigger["consumer"]].batch, trigger
            assert trigger["lag"] < known[trigger["stream"], trigger["consumer"]].max_ack_pending


def test_the_chart_knows_what_each_service_talks_to() -> None:
    topology = facts()
    assert {name for name, fact in topology.items() if fact.get("nats")} == set(PERMISSIONS)
    assert {name for name, fact in topology.items() if fact.get("postgres")} == set(ROLES)
    assert {name for name, fact in topology.items() if fact.get("storage")} == set(USES_STORAGE)
    assert {name: tuple(fact["providers"]) for name, fact in topology.items() if "providers" in fact} == USES_PROVIDERS


def test_the_sandbox_is_where_the_chart_says() -> None:
    page = yaml.safe_load((CHART / "files" / "sandbox.yaml").read_text())
    assert page["keys"] == SANDBOX_KEYS
    paths = {name: (address["variable"], address["path"]) for name, address in page["addresses"].items()}
    assert paths == {name: (ADDRESSES[name], path) for name, path in SANDBOX_PATHS.items()}


def test_the_users_of_nats_are_those_that_are_shipped() -> None:
    link = CHART / "files" / "authorization.conf"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "deploy" / "nats" / "users" / "authorization.conf"


@pytest.mark.parametrize("name", ["values.yaml", "values-production.yaml"])
def test_the_disk_of_nats_holds_what_the_streams_reserve(name: str) -> None:
    storage = yaml.safe_load((CHART / name).read_text())["nats"]["storage"]
    reserved = sum(stream.max_bytes for stream in STREAMS) + OUTCOMES_BYTES
    assert reserved < size_of(storage["maxFileStore"]) < 0.9 * size_of(storage["size"])


def test_the_guide_lists_the_keys_of_every_secret() -> None:
    guide = (ROOT / "docs" / "kubernetes.md").read_text()
    for service in facts():
        [row] = re.findall(rf"^\| `{service}` \| .*$", guide, re.MULTILINE)
        assert set(samples(service)) <= set(re.findall(r"`([A-Z][A-Z0-9_]+)`", row)), service


def test_the_chart_has_the_version_of_the_product() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"appVersion: {version[1]}\n" in (CHART / "Chart.yaml").read_text()


@pytest.mark.skipif(not ASKED_FOR, reason="the rest needs helm: `make test-helm`")
def test_helm_is_at_hand() -> None:
    assert run("version").returncode == 0


def size_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]
