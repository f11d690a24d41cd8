"""What helm renders: valid objects, which give every program what it needs and let it do no more."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from certificates import Authority
from fluxline.contracts.permissions import PERMISSIONS
from fluxline.runtime.settings import ServiceSettings
from fluxline.storage.settings import StorageSettings
from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.environment import USES_STORAGE
from fluxline_collector.settings import CollectorSettings
from fluxline_gateway.settings import GatewaySettings
from fluxline_generator.settings import GeneratorSettings
from fluxline_publisher.settings import PublisherSettings
from fluxline_studio.settings import StudioSettings
from fluxline_trainer.settings import TrainerSettings
from fluxline_zipper.settings import ZipperSettings

from .chart import (
    ROOT,
    WITH,
    Manifest,
    environment,
    facts,
    named,
    of_kind,
    part_of,
    pods,
    render,
    samples,
    secrets_of,
)
from .schemas import is_ours, problems

SETTINGS: dict[str, type[BaseSettings]] = {
    "collector": CollectorSettings,
    "gateway": GatewaySettings,
    "generator": GeneratorSettings,
    "publisher": PublisherSettings,
    "studio": StudioSettings,
    "trainer": TrainerSettings,
    "zipper": ZipperSettings,
}
OTHERS = {"FLUXLINE_SECRETS_DIR", "PGSSLMODE", "PGSSLROOTCERT"}
"""Variables that no settings class has: where secrets are, and those of PostgreSQL's clients."""
OLDEST, NEWEST = "1.30.0", "1.37.0"
ALL = pytest.mark.parametrize("values", WITH)
EXTRAS = (
    ("values.yaml", "--set", "nats.replicas=1"),
    ("values.yaml", "--is-upgrade"),
    ("values-production.yaml", "--is-upgrade"),
    ("values-production.yaml", "--set", "services.zipper.autoscaling.min=0,prepare.bucket=true"),
)
"""More ways to render it that have to be valid."""


@pytest.mark.parametrize("how", [(values,) for values in WITH] + list(EXTRAS), ids=" ".join)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_object(how: tuple[str, ...], version: str) -> None:
    objects = [each for each in render(*how) if is_ours(each)]
    assert len(objects) >= 40
    assert {_title(each): found for each in objects if (found := problems(each, version))} == {}


@ALL
def test_operators_take_their_objects(values: str) -> None:
    objects = [each for each in render(values) if not is_ours(each)]
    assert bool(objects) == (values != "values.yaml")
    assert {_title(each): found for each in objects if (found := problems(each, NEWEST))} == {}


def test_a_wrong_object_is_refused() -> None:
    """The schemas would say so: of Kubernetes, and of an operator."""
    deployment = dict(named(render(), "Deployment", "fluxline-zipper"))
    deployment["spec"] = deployment["spec"] | {"replica": 3}
    assert problems(deployment, NEWEST)
    scaled = dict(named(render("values-external.yaml"), "ScaledObject", "fluxline-zipper"))
    scaled["spec"] = scaled["spec"] | {"minReplicas": 3}
    assert problems(scaled, NEWEST)


@ALL
def test_names_are_unique(values: str) -> None:
    titles = [_title(each) for each in render(values)]
    assert len(titles) == len(set(titles))


@ALL
@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_with_the_settings_it_is_given(
    values: str, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = render(values)
    pod = of_kind(objects, "Deployment")[service]["spec"]["template"]
    secrets = secrets_of(objects, pod)
    secrets = samples(service) if secrets is None else secrets
    _put(monkeypatch, tmp_path, environment(pod), secrets)
    settings: Any = SETTINGS[service](_secrets_dir=[tmp_path / "secrets"])
    if facts()[service].get("storage"):
        assert StorageSettings(_secrets_dir=[tmp_path / "secrets"]).uses_r2
    if isinstance(settings, ServiceSettings):
        assert settings.production
        assert settings.nats_replicas == 3
        assert len(settings.nats_monitor_urls) == 3
        assert (settings.nats_ca_file is not None) == (values != "values.yaml")
        assert settings.nats_url.startswith("nats://" if values == "values.yaml" else "tls://")
    assert settings.graceful_timeout_s + 5 < pod["spec"]["terminationGracePeriodSeconds"]


@ALL
@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_gets_no_variable_that_it_does_not_know(values: str, service: str) -> None:
    objects = render(values)
    pod = of_kind(objects, "Deployment")[service]["spec"]["template"]
    known = _variables(SETTINGS[service]) | OTHERS
    if service in USES_STORAGE:
        known |= _variables(StorageSettings)
    assert set(environment(pod)) | set(secrets_of(objects, pod) or {}) <= known


@ALL
def test_every_image_is_built_and_its_port_is_that_of_the_pod(values: str) -> None:
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM base AS (\S+)$", dockerfile, re.MULTILINE))
    for part, pod in pods(render(values)):
        [container] = pod["spec"]["containers"]
        if not container["image"].startswith("fluxline/"):
            continue
        image = container["image"].partition("/")[2].partition(":")[0]
        assert image in targets, part
        found = re.findall(rf"^ENV {image.upper()}_(?:HTTP_)?HOST=0\.0\.0\.0 \S+=(\d+)", dockerfile, re.MULTILINE)
        assert [int(port) for port in found] == [each["containerPort"] for each in container.get("ports", [])], part


@ALL
def test_services_lead_to_ports_that_pods_have(values: str) -> None:
    ports = {part: pod["spec"]["containers"][0].get("ports", []) for part, pod in pods(render(values))}
    services = [each for each in render(values) if each["kind"] == "Service"]
    assert services
    for service in services:
        open_ports = {each["name"] for each in ports[part_of(service)]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= open_ports


@ALL
def test_pods_may_do_no_more_than_they_need(values: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in render(values) if each["kind"] == "ServiceAccount"}
    for part, pod in pods(render(values)):
        spec = pod["spec"]
        [container] = spec["containers"]
        assert spec["automountServiceAccountToken"] is False, part
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, part
        assert container["resources"]["requests"], part
        assert container["resources"]["limits"]["memory"], part
        assert {each["name"] for each in container["volumeMounts"]} == {
            *(each["name"] for each in spec["volumes"]),
            *(["data"] if part in ("nats", "postgresql", "s3") else []),
        }, part


def test_each_container_gets_its_own_secrets() -> None:
    objects = render()
    made = {each["metadata"]["name"]: each["stringData"] for each in objects if each["kind"] == "Secret"}
    credentials = made.pop("fluxline-credentials")
    for user in PERMISSIONS:
        readers = {name for name, data in made.items() if credentials[f"NATS_PASSWORD_{user.upper()}"] in str(data)}
        assert readers == {f"fluxline-{user}", "fluxline-nats"}, user
    for role in ROLES:
        readers = {name for name, data in made.items() if credentials[f"DATABASE_PASSWORD_{role.upper()}"] in str(data)}
        assert readers == {f"fluxline-{role}", "fluxline-prepare-1"}, role
    assert {name for name, data in made.items() if credentials["POSTGRES_PASSWORD"] in str(data)} == {
        "fluxline-postgresql",
        "fluxline-prepare-1",
    }
    passwords = list(credentials.values())
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(r"f[0-9a-f]{47}", password) for password in passwords)
    text = str([each for each in objects if each["kind"] != "Secret"])
    assert [name for name, password in credentials.items() if password in text] == []


@pytest.mark.parametrize("values", ["values.yaml", "values-production.yaml"])
def test_what_prepares_has_all_that_it_asks_for(values: str) -> None:
    objects = render(values)
    [job] = of_kind(objects, "Job").values()
    secrets = secrets_of(objects, job["spec"]["template"])
    assert secrets is not None
    assert set(secrets) >= {"DATABASE_URL", "NATS_URL", *(f"DATABASE_URL_{role.upper()}" for role in ROLES)}
    for role in ROLES:
        own = secrets_of(objects, of_kind(objects, "Deployment")[role]["spec"]["template"])
        assert own is not None
        assert own["DATABASE_URL"] == secrets[f"DATABASE_URL_{role.upper()}"]
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "fluxline_cli.deployment.prepare"


def _put(monkeypatch: pytest.MonkeyPatch, folder: Path, values: dict[str, str], secrets: dict[str, str]) -> None:
    """Make this the environment and the files that a container finds, and nothing else."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    (folder / "secrets").mkdir()
    for name, value in secrets.items():
        (folder / "secrets" / name).write_text(value)
    for name, value in values.items():
        monkeypatch.setenv(name, str(Authority(folder).ca_file) if name == "NATS_CA_FILE" else value)


def _variables(settings: type[BaseSettings]) -> set[str]:
    prefix = str(settings.model_config.get("env_prefix", ""))
    fields = settings.model_fields.items()
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper()
        for name, field in fields
    }


def _title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
