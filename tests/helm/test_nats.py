"""The NATS that the chart configures, as three real servers with TLS on names and ports of this machine."""

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import nats
import pytest
from nats.aio.client import Client

from certificates import Authority
from fluxline.contracts.catalog import CONSUMERS, EVENTS_STREAM, ZIPPER
from fluxline.contracts.permissions import PERMISSIONS, inbox_prefix
from fluxline.runtime.bus import Bus
from fluxline.runtime.nats_tls import client_tls
from fluxline.runtime.provision import provision
from fluxline.runtime.provisioned import Provisioned
from fluxline.runtime.settings import ServiceSettings
from fluxline.runtime.telemetry import make_tracer_provider
from polling import poll_until
from processes import Process, free_ports, script, temporary_home
from servers import answers

from .chart import Manifest, environment, named, of_kind, render

VALUES = "values-production.yaml"
PORTS = {"client": 4222, "monitor": 8222, "cluster": 6222}
HOST = re.compile(r"fluxline-nats-(\d)\.fluxline-nats-headless\.studio\.svc:(\d+)")


class Server(Process):
    """The server of one pod: its configuration with this machine's ports and folders."""

    def __init__(self, home: Path, name: str, ports: dict[str, int], certificates: Path) -> None:
        self.name, self.ports, self.home = name, ports, home
        self.monitor_url = f"http://127.0.0.1:{ports['monitor']}"
        config = named(render(VALUES), "ConfigMap", "fluxline-nats")["data"]
        text = config["nats.conf"].replace("$SERVER_NAME", name)
        for port, number in PORTS.items():
            text, count = re.subn(rf"\b{number}\b", str(ports[port]), text)
            assert count == 1, port
        for path, here in {"/data": home / "data", "/var/run/nats": home, "/etc/nats/tls": certificates}.items():
            assert path in text
            text = text.replace(path, str(here))
        (home / "nats.conf").write_text(text)
        (home / "authorization.conf").write_text(config["authorization.conf"])
        command = [script("nats-server"), "-c", str(home / "nats.conf")]
        super().__init__(command, home / "log", lambda _pid: answers(f"{self.monitor_url}/varz", 200))


@dataclass(frozen=True)
class Cluster:
    """The three servers, by number, and who signed for them."""

    servers: list[Server]
    certificates: Path
    authority: Authority
    secrets: dict[str, dict[str, str]]

    def here(self, text: str) -> str:
        """The same addresses on this machine."""
        names = {number: port for port, number in PORTS.items()}
        return HOST.sub(lambda m: f"127.0.0.1:{self.servers[int(m[1])].ports[names[int(m[2])]]}", text)

    def url(self, user: str) -> str:
        return self.here(self.secrets["prepare-1" if user == "operator" else user]["NATS_URL"])

    def settings(self, service: str) -> ServiceSettings:
        """What the chart tells a service, with this machine's addresses."""
        pod = of_kind(render(VALUES), "Deployment")[service]["spec"]["template"]
        told = {name: self.here(value) for name, value in environment(pod).items()}
        told |= {"NATS_URL": self.url(service), "NATS_CA_FILE": str(self.authority.ca_file)}
        return ServiceSettings.model_validate(told)

    async def connect(self, user: str) -> Client:
        tls = client_tls(self.authority.ca_file)
        return await nats.connect(
            self.url(user).split(","),
            tls=tls,
            inbox_prefix=inbox_prefix(user),
            allow_reconnect=False,
            connect_timeout=5,
        )

    async def is_known(self) -> bool:
        """Whether the servers have a certificate of the authority."""
        try:
            client = await self.connect("zipper")
        except (nats.errors.Error, ssl.SSLError, OSError):
            return False
        await client.close()
        return True

    def present_certificates(self) -> None:
        """Give the servers new certificates of the authority, as the guide says."""
        _sign(self.authority, self.certificates)
        for server in self.servers:
            reload = [script("nats-server"), "--signal", f"reload={server.home / 'nats.pid'}"]
            subprocess.run(reload, capture_output=True, timeout=20, check=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    certificates = tmp_path_factory.mktemp("certificates")
    authority = Authority(certificates)
    _sign(authority, certificates)
    objects = render(VALUES)
    secrets = {
        each["metadata"]["name"].removeprefix("fluxline-"): each["stringData"]
        for each in objects
        if each["kind"] == "Secret"
    }
    ports = free_ports(9)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as variables:
        homes = [stack.enter_context(temporary_home("nats")) for _ in range(3)]
        servers = [
            Server(home, f"fluxline-nats-{n}", dict(zip(PORTS, ports[3 * n : 3 * n + 3], strict=True)), certificates)
            for n, home in enumerate(homes)
        ]
        made = Cluster(servers, certificates, authority, secrets)
        for name, value in _variables(named(objects, "StatefulSet", "fluxline-nats"), secrets["nats"]).items():
            variables.setenv(name, made.here(value))
        for server in servers:
            stack.enter_context(server)
        asyncio.run(poll_until(lambda: all(answers(f"{each.monitor_url}/healthz", 200) for each in servers), 60, 0.2))
        asyncio.run(provision(made.url("operator"), tls=client_tls(authority.ca_file), replicas=3))
        yield made


async def test_every_stream_is_on_three_servers_and_every_consumer_is_there(cluster: Cluster) -> None:
    client = await cluster.connect("operator")
    try:
        for stream in await client.jetstream().streams_info():
            assert stream.config.num_replicas == 3
            assert stream.cluster
            assert len(stream.cluster.replicas or []) == 2
        for consumer in CONSUMERS:
            await client.jetstream().consumer_info(consumer.stream.name, consumer.durable)
    finally:
        await client.close()


async def test_a_service_is_content_with_what_the_chart_tells_it(cluster: Cluster) -> None:
    settings = cluster.settings("zipper")
    assert settings.production
    tls = client_tls(settings.nats_ca_file)
    bus = Bus("zipper", settings.nats_url, make_tracer_provider("zipper", None), tls=tls)
    await bus.broker.connect()
    provisioned = Provisioned(bus, settings)
    provisioned.consumers.append(ZIPPER)
    try:
        async with asyncio.timeout(20):
            await provisioned.wait()
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def test_every_service_comes_in_with_its_own_password_over_tls_alone(cluster: Cluster) -> None:
    for user in PERMISSIONS:
        client = await cluster.connect(user)
        assert client.is_connected
        await client.close()
    for server in cluster.servers:
        with socket.create_connection(("127.0.0.1", server.ports["client"]), timeout=5) as connection:
            assert json.loads(connection.makefile().readline().removeprefix("INFO "))["tls_required"] is True


async def test_monitoring_shows_the_lag_where_keda_looks_for_it(cluster: Cluster) -> None:
    """KEDA's scaler asks any server who leads the consumer, and that one, by its name, for the messages that wait."""
    client = await cluster.connect("operator")
    for _ in range(5):
        await client.jetstream().publish("training.requested", b"{}", stream=EVENTS_STREAM.name)
    await client.close()
    scaled = of_kind(render(VALUES), "ScaledObject")["zipper"]["spec"]
    [trigger] = [each["metadata"] for each in scaled["triggers"] if each["name"] == ZIPPER.durable]
    by_name = {server.name: server for server in cluster.servers}
    for server in cluster.servers:
        told = httpx.get(f"{server.monitor_url}/varz", timeout=5, trust_env=False).json()
        assert told["server_name"] in by_name
        assert "connect_urls" not in told, "KEDA would ask addresses rather than names"
        leader = _consumer(server, trigger)["cluster"]["leader"]
        found = _consumer(by_name[leader], trigger)
        assert found["num_pending"] + found["num_ack_pending"] == 5


async def test_a_server_without_a_certificate_is_no_member(cluster: Cluster) -> None:
    """Routes begin with TLS and ask for a certificate; the handshake of TLS 1.3 tells only on reading."""
    port = cluster.servers[0].ports["cluster"]
    context = ssl.create_default_context(cafile=str(cluster.authority.ca_file))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
        pytest.raises(ssl.SSLError) as caught,
    ):
        secured.recv(1)
    assert "CERTIFICATE_REQUIRED" in str(caught.value).upper().replace(" ", "_")


async def test_new_certificates_are_taken_without_a_restart(cluster: Cluster, tmp_path: Path) -> None:
    renewed = replace(cluster, authority=Authority(tmp_path, "renewed"))
    assert not await renewed.is_known()
    pids = [server.pid for server in cluster.servers]
    for each in (renewed, cluster):
        await asyncio.to_thread(each.present_certificates)
        await poll_until(each.is_known, 20)
    assert [server.pid for server in cluster.servers] == pids


async def test_one_of_three_servers_may_be_lost(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.servers[1].kill)

    async def is_acknowledged() -> bool:
        try:
            client = await cluster.connect("operator")
        except (nats.errors.Error, OSError):
            return False
        try:
            ack = await client.jetstream(timeout=2).publish("stage.started", b"{}", stream=EVENTS_STREAM.name)
        except (nats.errors.Error, nats.js.errors.Error):
            return False
        finally:
            await client.close()
        return ack.seq > 0

    await poll_until(is_acknowledged, 30)


@pytest.mark.parametrize("values", ["values.yaml", VALUES])
@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_a_server_understands_the_configuration(values: str, replicas: int, tmp_path: Path) -> None:
    objects = render(values, "--set", f"nats.replicas={replicas}")
    config = named(objects, "ConfigMap", "fluxline-nats")["data"]
    certificate, key = Authority(tmp_path).sign("nats", "127.0.0.1")
    for name, text in config.items():
        text = text.replace("/etc/nats/tls/tls.crt", str(certificate)).replace("/etc/nats/tls/tls.key", str(key))
        (tmp_path / name).write_text(text.replace("/etc/nats/tls/ca.crt", str(tmp_path / "tests-ca.crt")))
    secret = named(objects, "Secret", "fluxline-nats")["stringData"]
    variables = _variables(named(objects, "StatefulSet", "fluxline-nats"), secret) | {"SERVER_NAME": "n0"}
    check = [script("nats-server"), "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(check, env=os.environ | variables, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(variables.get("NATS_ROUTES", "[]"))) == (replicas if replicas > 1 else 0)


def test_the_certificate_is_for_every_name_that_clients_and_servers_use() -> None:
    objects = render(VALUES)
    names = named(objects, "Certificate", "fluxline-nats")["spec"]["dnsNames"]
    secrets = {each["metadata"]["name"]: each["stringData"] for each in objects if each["kind"] == "Secret"}
    urls = secrets["fluxline-zipper"]["NATS_URL"].split(",")
    routes = json.loads(
        _variables(named(objects, "StatefulSet", "fluxline-nats"), secrets["fluxline-nats"])["NATS_ROUTES"]
    )
    assert len(urls) == len(routes) == 3
    for host in {urlsplit(url).hostname or "" for url in (*urls, *routes)}:
        label, _, rest = host.partition(".")
        assert any(fnmatch(name, f"[*].{rest}") or name == host for name in names), (label, names)


def _consumer(server: Server, trigger: dict[str, str]) -> Any:
    """A consumer as this server's monitoring shows it, asked as KEDA asks."""
    query = {"acc": trigger["account"], "consumers": "true", "config": "true"}
    told = httpx.get(f"{server.monitor_url}/jsz", params=query, timeout=5, trust_env=False).json()
    assert told["meta_cluster"]["cluster_size"] == 3
    [account] = [each for each in told["account_details"] if each["name"] == trigger["account"]]
    [stream] = [each for each in account["stream_detail"] if each["name"] == trigger["stream"]]
    [consumer] = [each for each in stream["consumer_detail"] if each["name"] == trigger["consumer"]]
    return consumer


def _variables(stateful_set: Manifest, secret: dict[str, str]) -> dict[str, str]:
    """What a container has, as the kubelet works it out: a Secret's values, and $(NAMES) in later ones replaced."""
    [container] = stateful_set["spec"]["template"]["spec"]["containers"]
    found: dict[str, str] = {}
    for each in container["env"]:
        if "value" in each:
            found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], each["value"])
        elif "secretKeyRef" in each["valueFrom"]:
            found[each["name"]] = secret[each["valueFrom"]["secretKeyRef"]["key"]]
    return found


def _sign(authority: Authority, folder: Path) -> None:
    """The three files of the Secret, in place of those that are there."""
    certificate, key = authority.sign("nats", "127.0.0.1")
    for source, name in ((certificate, "tls.crt"), (key, "tls.key"), (authority.ca_file, "ca.crt")):
        (folder / name).write_bytes(source.read_bytes())
