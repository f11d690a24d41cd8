"""TLS to NATS, on a real server with a certificate of an authority of the tests."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from certificates import Authority
from fluxline.contracts.catalog import ZIPPER
from fluxline.runtime.bus import Bus
from fluxline.runtime.nats_tls import client_tls, client_tls_of_environment
from fluxline.runtime.nats_users import USERS, authorization
from fluxline.runtime.provision import provision
from fluxline.runtime.provisioned import Provisioned
from fluxline.runtime.settings import ServiceSettings, explain
from fluxline.runtime.telemetry import make_tracer_provider
from servers import nats_server


@dataclass(frozen=True)
class Secured:
    """A server that takes TLS alone, and has the users that are shipped, each with its name as password."""

    port: str
    authority: Authority

    def url(self, user: str, host: str = "127.0.0.1", scheme: str = "tls") -> str:
        return f"{scheme}://{user}:{user}@{host}:{self.port}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    certificate, key = authority.sign("nats", "127.0.0.1")
    files = {"cert_file": str(certificate), "key_file": str(key)}
    tls = "tls {" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in files.items()) + "}\n"
    users = authorization({user: user for user in USERS})
    with nats_server(tls + users) as server:
        yield Secured(server.url.rpartition(":")[2], authority)


def settings(secured: Secured, **more: object) -> ServiceSettings:
    values = {"nats_url": secured.url("zipper"), "nats_ca_file": secured.authority.ca_file} | more
    return ServiceSettings.model_validate(values)


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_provisioning_and_a_service_work_over_tls_with_the_authority_of_their_settings(
    secured: Secured, scheme: str
) -> None:
    tls = client_tls(secured.authority.ca_file)
    await provision(secured.url("operator", scheme=scheme), tls=tls)
    wanted = settings(secured, nats_url=secured.url("zipper", scheme=scheme))
    bus = Bus("zipper", wanted.nats_url, make_tracer_provider("zipper", None), tls=client_tls(wanted.nats_ca_file))
    await bus.broker.connect()
    provisioned = Provisioned(bus, wanted)
    provisioned.consumers.append(ZIPPER)
    try:
        async with asyncio.timeout(10):
            await provisioned.wait()
    finally:
        bus.stopping = True
        await bus.broker.stop()


@pytest.mark.parametrize(
    ("authority", "host"), [("another", "127.0.0.1"), ("none", "127.0.0.1"), ("the server's", "localhost")]
)
async def test_a_server_that_cannot_prove_its_name_gets_no_password(
    secured: Secured, tmp_path: Path, authority: str, host: str
) -> None:
    files = {
        "another": Authority(tmp_path, "another").ca_file,
        "none": None,
        "the server's": secured.authority.ca_file,
    }
    bus = Bus(
        "zipper",
        secured.url("zipper", host),
        make_tracer_provider("zipper", None),
        tls=client_tls(files[authority]),
    )
    connecting = asyncio.create_task(bus.broker.connect())
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(connecting), 1)
    assert not connecting.done()
    bus.stopping = True
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)


async def test_a_command_takes_the_authority_from_its_environment(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client_tls_of_environment() is None
    monkeypatch.setenv("NATS_CA_FILE", str(secured.authority.ca_file))
    await provision(secured.url("operator"), tls=client_tls_of_environment())


def test_a_file_that_is_no_authority_stops_the_service_with_the_remedy(secured: Secured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("nothing of the kind")
    for path in (wrong, tmp_path / "missing.crt"):
        with pytest.raises(ValidationError) as caught:
            settings(secured, nats_ca_file=path)
        said = explain(ServiceSettings, caught.value)
        assert "NATS_CA_FILE: " in said
        assert "authority that signed NATS' certificates" in said
