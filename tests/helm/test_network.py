"""Who reaches whom through the rendered network policies: each edge of the topology, and nothing else."""

from itertools import product

import pytest

from fluxline.contracts.permissions import PERMISSIONS
from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.environment import USES_PROVIDERS, USES_STORAGE

from .chart import WITH, Manifest, of_kind, pods, render

PORTS = (4222, 5432, 6222, 8000, 8090, 8222, 8333)
Edge = tuple[str, str, int]
BETWEEN: set[Edge] = {("studio", "gateway", 8000), ("gateway", "collector", 8000)}
NATS: set[Edge] = {
    *((service, "nats", port) for service, port in product([*PERMISSIONS, "prepare"], (4222, 8222))),
    ("nats", "nats", 6222),
}
TRIAL: set[Edge] = {
    *((role, "postgresql", 5432) for role in (*ROLES, "prepare")),
    *((service, "s3", 8333) for service in (*USES_STORAGE, "prepare", "sandbox")),
    *((service, "sandbox", 8090) for service in USES_PROVIDERS),
    ("sandbox", "gateway", 8000),
}
EXPECTED = {
    "values.yaml": BETWEEN | NATS | TRIAL,
    "values-production.yaml": BETWEEN | NATS,
    "values-external.yaml": BETWEEN,
}
OUTSIDE = {
    "postgresql": ({*ROLES, "prepare"}, 5432),
    "storage": ({*USES_STORAGE, "prepare"}, 443),
}


@pytest.mark.parametrize("values", WITH)
def test_the_network_carries_each_edge_of_the_topology_and_no_other(values: str) -> None:
    objects = render(values)
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    labels = {part: pod["metadata"]["labels"] for part, pod in pods(objects)}
    found = {
        (source, target, port)
        for source, target, port in product(labels, labels, PORTS)
        if _allows(policies, "egress", labels[source], labels[target], port)
        and _allows(policies, "ingress", labels[target], labels[source], port)
    }
    assert found == EXPECTED[values]


@pytest.mark.parametrize("values", WITH)
def test_nothing_gets_in_or_out_unless_a_policy_says_so(values: str) -> None:
    default = of_kind(render(values), "NetworkPolicy")["default"]["spec"]
    assert default["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in default
    assert default["egress"] == [{"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]
    for part, pod in pods(render(values)):
        assert default["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), part


def test_servers_outside_are_reached_by_those_that_use_them() -> None:
    policies = of_kind(render("values-production.yaml"), "NetworkPolicy")
    for users, port in OUTSIDE.values():
        reach = {
            part
            for part, policy in policies.items()
            for rule in policy["spec"].get("egress", [])
            if {"protocol": "TCP", "port": port} in rule["ports"] and "to" not in rule
        }
        assert reach == users
    nats = of_kind(render("values-external.yaml"), "NetworkPolicy")
    peer = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nats"}}}]
    reach = {part for part, policy in nats.items() for rule in policy["spec"]["egress"] if rule.get("to") == peer}
    assert reach == {*PERMISSIONS, "prepare"}


def test_providers_are_reached_in_public_networks_only() -> None:
    for part, policy in of_kind(render("values-production.yaml"), "NetworkPolicy").items():
        blocks = [
            peer["ipBlock"]
            for rule in policy["spec"].get("egress", [])
            for peer in rule.get("to", [])
            if "ipBlock" in peer
        ]
        expected = part in ("gateway", "trainer", "publisher", "generator", "collector", "studio")
        assert bool(blocks) is expected, part
        for block in blocks:
            assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} < set(block["except"]) or ":" in block["cidr"]


def test_outsiders_come_to_gateway_and_studio_alone() -> None:
    ingress = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    policies = of_kind(render("values-production.yaml"), "NetworkPolicy")
    entered = {
        part
        for part, policy in policies.items()
        for rule in policy["spec"].get("ingress", [])
        if ingress in rule["from"]
    }
    assert entered == {"gateway", "studio"}


def test_keda_and_prometheus_see_the_monitoring_of_nats_and_not_its_clients_port() -> None:
    rules = of_kind(render("values-production.yaml"), "NetworkPolicy")["nats"]["spec"]["ingress"]
    outside = [rule for rule in rules if any("namespaceSelector" in peer for peer in rule["from"])]
    assert [[port["port"] for port in rule["ports"]] for rule in outside] == [[8222]]
    assert {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in outside[0]["from"]} == {
        "keda",
        "monitoring",
    }


def _allows(policies: list[Manifest], way: str, pod: dict[str, str], other: dict[str, str], port: int) -> bool:
    """Whether a policy that selects `pod` lets it talk this way with `other`, which is of the same namespace."""
    peers = "to" if way == "egress" else "from"
    return any(
        any(each["port"] == port for each in rule["ports"])
        and any(_selects(peer.get("podSelector"), other) for peer in rule.get(peers, []))
        for policy in policies
        if _selects(policy["podSelector"], pod)
        for rule in policy.get(way, [])
    )


def _selects(selector: Manifest | None, labels: dict[str, str]) -> bool:
    return selector is not None and selector["matchLabels"].items() <= labels.items()
