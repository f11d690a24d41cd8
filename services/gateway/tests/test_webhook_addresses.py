"""Webhooks reach the address that was looked at and no other, and only who has the name's certificate."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from fluxline_gateway.webhooks.post import Poster
from fluxline_gateway.webhooks.schedule import Attempt

from .webhook_receiver import Receiver, receiving

NAME = "hooks.example.com"
URL = f"https://{NAME}/hook"
PUBLIC, OTHER_PUBLIC = "203.0.114.7", "2a00:1450:4001::1"
Lookup = Callable[[str], Awaitable[list[str]]]


class Names:
    """A resolver whose answer changes with each question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for NAME in one file; who trusts it trusts this receiver."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return both


@pytest.fixture
def names_asked_for() -> list[str | None]:
    """The server names of the TLS handshakes."""
    return []


@pytest.fixture
async def receiver(certificate: Path, names_asked_for: list[str | None]) -> AsyncIterator[Receiver]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names_asked_for.append(name)
    async with receiving(context) as receiver:
        yield receiver


@pytest.fixture
def dialled(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections were asked for; public addresses lead to the receiver."""
    found: list[tuple[str, int]] = []
    connect = anyio.connect_tcp

    async def dial(remote_host: str, remote_port: int, **options: Any) -> Any:
        found.append((remote_host, remote_port))
        return await connect("127.0.0.1", receiver.port, **options)

    monkeypatch.setattr(anyio, "connect_tcp", dial)
    return found


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def posted(poster: Poster, url: str = URL) -> Attempt:
    return await poster.post(url, b"{}", {})


async def test_the_address_that_was_looked_at_is_connected_to_under_its_name(
    receiver: Receiver, certificate: Path, dialled: list[tuple[str, int]], names_asked_for: list[str | None]
) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    attempt = await posted(Poster(resolver=names, ssl_context=trusting(certificate)))
    assert (attempt.outcome, attempt.status_code) == ("delivered", 200)
    assert (dialled, names.asked, names_asked_for) == ([(PUBLIC, 443)], [NAME], [NAME])
    assert receiver.arrived[0].headers["host"] == NAME


async def test_a_name_that_leads_inside_by_the_time_of_sending_is_not_connected_to(
    certificate: Path, dialled: list[tuple[str, int]]
) -> None:
    poster = Poster(resolver=Names([PUBLIC], ["127.0.0.1"], [PUBLIC, "10.0.0.1"]), ssl_context=trusting(certificate))
    assert (await posted(poster)).outcome == "delivered"
    for _ in range(2):
        attempt = await posted(poster)
        assert (attempt.outcome, attempt.error) == ("refused", "The host has an address that is not public.")
    assert len(dialled) == 1


async def test_the_next_address_is_tried_when_one_is_not_there(
    receiver: Receiver, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, tried = anyio.connect_tcp, []

    async def dial(remote_host: str, remote_port: int, **options: Any) -> Any:
        tried.append(remote_host)
        if remote_host == OTHER_PUBLIC:
            raise ConnectionRefusedError
        return await connect("127.0.0.1", receiver.port, **options)

    monkeypatch.setattr(anyio, "connect_tcp", dial)
    poster = Poster(resolver=Names([OTHER_PUBLIC, PUBLIC]), ssl_context=trusting(certificate))
    assert (await posted(poster)).outcome == "delivered"
    assert tried == [OTHER_PUBLIC, PUBLIC]


async def test_a_certificate_of_another_name_is_not_accepted(
    receiver: Receiver, certificate: Path, dialled: list[tuple[str, int]]
) -> None:
    poster = Poster(resolver=Names([PUBLIC]), ssl_context=trusting(certificate))
    attempt = await posted(poster, "https://other.example.com:8443/hook")
    assert attempt.outcome == "unreachable"
    assert attempt.error is not None
    assert attempt.error.startswith("The receiver's certificate is not valid: Hostname mismatch")
    assert (dialled, receiver.arrived) == ([(PUBLIC, 8443)], [])


async def test_a_certificate_of_nobody_we_know_is_not_accepted(
    receiver: Receiver, dialled: list[tuple[str, int]]
) -> None:
    attempt = await posted(Poster(resolver=Names([PUBLIC])))
    assert attempt.error is not None
    assert attempt.error.startswith("The receiver's certificate is not valid: self-signed certificate")
    assert receiver.arrived == []


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/hook", "https://[::1]/hook", "https://169.254.169.254/", "http://example.com/", "https://"],
)
async def test_a_private_address_in_a_stored_url_is_not_connected_to(
    url: str, certificate: Path, dialled: list[tuple[str, int]]
) -> None:
    assert (await posted(Poster(resolver=Names(), ssl_context=trusting(certificate)), url)).outcome == "refused"
    assert dialled == []


async def test_looking_up_a_name_takes_part_of_the_time(dialled: list[tuple[str, int]]) -> None:
    async def never(_host: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    attempt = await posted(Poster(resolver=never, total_s=0.2))
    assert (attempt.outcome, attempt.error) == ("timeout", "The receiver did not answer within 0.2 s.")
    assert dialled == []
