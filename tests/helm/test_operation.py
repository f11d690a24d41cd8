"""How the rendered system scales, upgrades, and says what is wrong with its values."""

from typing import Any

import pytest

from fluxline.contracts.catalog import CONSUMERS

from .chart import WITH, Manifest, named, of_kind, pods, render, run, secrets_of

ALL = pytest.mark.parametrize("values", WITH)
SCALED = pytest.mark.parametrize("values", ["values-production.yaml", "values-external.yaml"])
HOOK = "helm.sh/hook"


@pytest.mark.parametrize("values", WITH)
def test_helm_finds_nothing_to_complain_of(values: str) -> None:
    files = [part for name in WITH[values] for part in ("-f", name)]
    done = run("lint", "--strict", "--kube-version", "1.37.0", ".", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("nats.replicas=2", "'/nats/replicas': value must be one of 1, 3, 5"),
        ("services.zipper.replica=3", "'/services/zipper': additional properties 'replica' not allowed"),
        ("services.trainer.autoscaling.min=0", "'/services/trainer/autoscaling/min': minimum: got 0, want 1"),
        ("postgresql.bundled=false", "'/postgresql/external/host': minLength: got 0, want 1"),
        ("logLevel=loud", "'/logLevel': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ("sandbox.enabled=false", "secrets.given.REPLICATE_API_TOKEN is missing: generator needs it"),
        ("nats.tls.enabled=true", "nats.tls.enabled needs nats.tls.secretName or nats.tls.certManager.enabled"),
    ],
)
def test_a_wrong_value_is_refused_in_words(option: str, said: str) -> None:
    done = run("template", "fluxline", ".", "--kube-version", "1.37.0", "--set", option)
    assert done.returncode != 0
    assert said in done.stderr


@SCALED
def test_keda_asks_for_consumers_that_exist(values: str) -> None:
    known = {(consumer.stream.name, consumer.durable) for consumer in CONSUMERS}
    asked = set()
    for part, scaled in of_kind(render(values), "ScaledObject").items():
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "nats-jetstream":
                data = trigger["metadata"]
                assert data["consumer"].partition("-")[0] == part
                assert data["natsServerMonitoringEndpoint"].endswith(":8222")
                assert "://" not in data["natsServerMonitoringEndpoint"]
                asked.add((data["stream"], data["consumer"]))
    gateways_own = {key for key in known if key[1].partition("-")[0] == "gateway"}
    assert asked == known - gateways_own


@SCALED
def test_every_service_scales_by_itself_and_slowly_down(values: str) -> None:
    objects = render(values)
    deployments = of_kind(objects, "Deployment")
    scaled = of_kind(objects, "ScaledObject")
    assert set(scaled) == set(deployments)
    for part, each in scaled.items():
        assert "replicas" not in deployments[part]["spec"], "two would decide on the number"
        assert each["spec"]["scaleTargetRef"]["name"] == deployments[part]["metadata"]["name"]
        assert 1 <= each["spec"]["minReplicaCount"] < each["spec"]["maxReplicaCount"]
        down = each["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        grace = deployments[part]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert down["stabilizationWindowSeconds"] > grace
        assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_who_scales_to_zero_is_woken_by_each_of_its_consumers() -> None:
    option = "services.zipper.autoscaling.min=0,services.publisher.autoscaling.min=0"
    scaled = of_kind(render("values-production.yaml", "--set", option), "ScaledObject")
    for part in ("zipper", "publisher"):
        asked = {each["metadata"]["consumer"] for each in scaled[part]["spec"]["triggers"]}
        assert scaled[part]["spec"]["minReplicaCount"] == 0
        assert asked == {each.durable for each in CONSUMERS if each.durable.partition("-")[0] == part}
        assert {each["metadata"]["activationLagThreshold"] for each in scaled[part]["spec"]["triggers"]} == {"0"}


def test_without_autoscaling_numbers_are_those_of_the_values() -> None:
    found = of_kind(render("values.yaml", "--set", "services.zipper.replicas=4"), "Deployment")
    assert found["zipper"]["spec"]["replicas"] == 4
    assert found["trainer"]["spec"]["replicas"] == 1
    assert of_kind(render(), "ScaledObject") == {}


@ALL
def test_one_pod_of_each_part_may_be_away_at_a_time(values: str) -> None:
    objects = render(values)
    budgets = of_kind(objects, "PodDisruptionBudget")
    for part, deployment in of_kind(objects, "Deployment", "StatefulSet").items():
        if part in ("sandbox", "postgresql", "s3"):
            continue
        assert budgets[part]["spec"]["maxUnavailable"] == 1
        assert budgets[part]["spec"]["selector"] == deployment["spec"]["selector"]
        if deployment["kind"] == "Deployment":
            assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    for part, pod in pods(objects):
        for constraint in pod["spec"].get("topologySpreadConstraints", []):
            assert constraint["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), part


@ALL
def test_selectors_are_what_they_will_always_be(values: str) -> None:
    """Kubernetes refuses an upgrade that changes one; the version and every other value may change."""
    changed = (
        "--set",
        "image.tag=9.9.9,services.zipper.tag=8.0.0,logLevel=DEBUG,defaults.podAnnotations.a=b",
        "--is-upgrade",
    )
    before, after = (of_kind(render(values, *how), "Deployment", "StatefulSet") for how in ((), changed))
    assert set(before) == set(after)
    for part, each in before.items():
        expected = {
            "app.kubernetes.io/name": "fluxline",
            "app.kubernetes.io/instance": "fluxline",
            "app.kubernetes.io/component": part,
        }
        assert each["spec"]["selector"] == after[part]["spec"]["selector"] == {"matchLabels": expected}
        if each["kind"] == "StatefulSet":
            assert _fixed(each) == _fixed(after[part])


def test_migrations_come_before_the_services_on_every_upgrade() -> None:
    for values, options, is_hook in [
        ("values.yaml", (), False),  # its servers start together with it
        ("values.yaml", ("--is-upgrade",), True),
        ("values-production.yaml", ("--is-upgrade",), True),
        ("values-external.yaml", (), True),
        ("values-external.yaml", ("--is-upgrade",), True),
    ]:
        objects = render(values, *options)
        [job] = of_kind(objects, "Job").values()
        hooks = {_title(each): each["metadata"]["annotations"] for each in objects if _hook(each)}
        assert (_title(job) in hooks) is is_hook, values
        if not is_hook:
            assert hooks == {}
            continue
        assert _hook(job) == "pre-install,pre-upgrade,pre-rollback"
        account = job["spec"]["template"]["spec"]["serviceAccountName"]
        needed = {f"ServiceAccount {account}"}
        if secrets_of(objects, job["spec"]["template"]) is not None:
            needed.add(f"Secret {job['metadata']['name']}")
        weights = {title: int(annotations[f"{HOOK}-weight"]) for title, annotations in hooks.items()}
        assert {title for title, weight in weights.items() if weight < weights[_title(job)]} == needed, values


def test_a_service_may_have_a_version_of_its_own() -> None:
    found = of_kind(render("values.yaml", "--set", "image.tag=2.0.0,services.gateway.tag=1.9.0"), "Deployment")
    images = {part: each["spec"]["template"]["spec"]["containers"][0]["image"] for part, each in found.items()}
    assert images["gateway"] == "fluxline/gateway:1.9.0"
    assert images["trainer"] == "fluxline/trainer:2.0.0"


@ALL
def test_what_serves_http_stops_after_nobody_comes_any_more(values: str) -> None:
    deployments = of_kind(render(values), "Deployment")
    for part in ("gateway", "studio"):
        spec = deployments[part]["spec"]["template"]["spec"]
        wait = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert 0 < wait < spec["terminationGracePeriodSeconds"] - 15


def test_hosts_lead_to_gateway_and_studio() -> None:
    ingress = named(render("values-production.yaml"), "Ingress", "fluxline")
    hosts = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in ingress["spec"]["rules"]}
    assert {host: backend["name"] for host, backend in hosts.items()} == {
        "api.example.com": "fluxline-gateway",
        "studio.example.com": "fluxline-studio",
    }
    assert ingress["spec"]["tls"] == [{"secretName": "fluxline-tls", "hosts": sorted(hosts)}]
    routes = of_kind(render("values-external.yaml"), "HTTPRoute")
    assert {part: each["spec"]["hostnames"] for part, each in routes.items()} == {
        "gateway": ["api.example.com"],
        "studio": ["studio.example.com"],
    }


def _hook(manifest: Manifest) -> str | None:
    return manifest["metadata"].get("annotations", {}).get(HOOK)


def _fixed(stateful_set: Manifest) -> dict[str, Any]:
    """What Kubernetes does not let change."""
    free = ("replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy")
    return {name: value for name, value in stateful_set["spec"].items() if name not in free}


def _title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
