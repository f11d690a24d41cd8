"""What each user of NATS may do, on a real server with the block that is shipped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fluxline.contracts.catalog import CONSUMERS, DLQ_STREAM, EVENTS, EVENTS_STREAM
from fluxline.contracts.permissions import OPERATOR, PERMISSIONS, inbox_prefix
from fluxline.runtime import nats_users
from fluxline.runtime.nats_users import USERS, authorization, authorization_by_variables, variable
from fluxline.runtime.provision import provision
from servers import NatsServer, nats_server

SERVICES = tuple(PERMISSIONS)
SHIPPED = Path(__file__).parents[2] / "deploy" / "nats" / "users" / "authorization.conf"
EVERYBODYS = frozenset(subject for subject in EVENTS if subject.startswith("stage."))


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """A server with the block that is shipped, on which every user's password is its name."""
    with pytest.MonkeyPatch.context() as environment:
        for user in USERS:
            environment.setenv(variable(user), user)
        with nats_server(SHIPPED.read_text()) as server:
            asyncio.run(provision(_url(server, OPERATOR)))
            yield server


class User:
    """A connection in NATS' own protocol, whose server answers in order: what it refuses stands before PONG."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def may(self, command: str) -> bool:
        """Whether the server takes the command."""
        self.writer.write(f"{command}\r\nPING\r\n".encode())
        answer = b""
        while b"PONG\r\n" not in answer:
            answer += await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)
        return b"-ERR" not in answer

    async def may_publish(self, subject: str) -> bool:
        return await self.may(f"PUB {subject} 2\r\n{{}}")


Connect = Callable[[str], Awaitable[User]]


@pytest.fixture
async def user_of(server: NatsServer) -> AsyncIterator[Connect]:
    """Connects as a user."""
    users: list[User] = []

    async def connect(name: str) -> User:
        user = User(*await asyncio.open_connection("127.0.0.1", _port(server)))
        users.append(user)
        assert await user.may(f'CONNECT {{"verbose": false, "user": "{name}", "pass": "{name}"}}')
        return user

    yield connect
    for user in users:
        user.writer.close()
        await user.writer.wait_closed()


def _port(server: NatsServer) -> int:
    return int(server.url.rpartition(":")[2])


def _url(server: NatsServer, user: str) -> str:
    return server.url.replace("nats://", f"nats://{user}:{user}@")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_publishes_its_own_events_and_nobody_elses(service: str, user_of: Connect) -> None:
    user = await user_of(service)
    allowed = {subject for subject in EVENTS if await user.may_publish(subject)}
    assert allowed - EVERYBODYS == {subject for subject in PERMISSIONS[service].publish if subject in EVENTS}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_its_own_consumers_and_no_other_services(service: str, user_of: Connect) -> None:
    user = await user_of(service)
    own = {consumer.durable for consumer in CONSUMERS if consumer.durable.split("-")[0] == service}
    read = {
        consumer.durable
        for consumer in CONSUMERS
        if await user.may_publish(f"$JS.ACK.{consumer.stream.name}.{consumer.durable}.1.1.1.1.1")
    }
    assert read == own


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "call",
    [
        f"STREAM.DELETE.{EVENTS_STREAM.name}",
        f"STREAM.PURGE.{EVENTS_STREAM.name}",
        f"STREAM.UPDATE.{EVENTS_STREAM.name}",
        f"STREAM.MSG.DELETE.{EVENTS_STREAM.name}",
        f"STREAM.PURGE.{DLQ_STREAM.name}",
        "CONSUMER.DELETE.TIMERS.trainer-timers",
    ],
)
async def test_no_service_removes_or_changes_what_is_stored(service: str, call: str, user_of: Connect) -> None:
    user = await user_of(service)
    assert not await user.may_publish(f"$JS.API.{call}")


async def test_a_service_listens_to_its_own_answers_and_to_nothing_else(user_of: Connect) -> None:
    user = await user_of("publisher")
    assert await user.may(f"SUB {inbox_prefix('publisher')}.> 1")
    for number, subject in enumerate((f"{inbox_prefix('gateway')}.>", "_INBOX.>", ">", "training.requested"), 2):
        assert not await user.may(f"SUB {subject} {number}")


async def test_the_operator_may_do_everything(user_of: Connect) -> None:
    user = await user_of(OPERATOR)
    assert all([await user.may_publish(subject) for subject in EVENTS])
    assert await user.may("SUB > 1")


@pytest.mark.parametrize("said", ["{}", '{"user": "gateway", "pass": "wrong"}', '{"user": "nobody", "pass": "nobody"}'])
async def test_a_stranger_is_not_let_in(server: NatsServer, said: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(server))
    writer.write(f"CONNECT {said}\r\nPING\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    assert b"Authorization Violation" in answer


def test_every_event_has_somebody_who_may_emit_it() -> None:
    allowed = {subject for permissions in PERMISSIONS.values() for subject in permissions.publish}
    assert set(EVENTS) - EVERYBODYS <= allowed


def test_every_consumer_belongs_to_a_service() -> None:
    assert {consumer.durable.split("-")[0] for consumer in CONSUMERS} == set(SERVICES)


def test_what_is_shipped_is_what_the_catalog_says() -> None:
    assert SHIPPED.read_text() == authorization_by_variables(), "Run `make docs`."


def test_the_local_stack_has_the_same_block_with_its_own_passwords() -> None:
    expected = authorization({user: user for user in USERS})
    for user in USERS:
        expected = expected.replace(f'password: "{user}"', f"password: ${variable(user)}")
    assert authorization_by_variables() == expected


def test_printing_the_block_needs_a_password_for_each_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nats_users"])
    for user in USERS:
        monkeypatch.setenv(variable(user), f"secret-of-{user}")
    nats_users.main()
    assert capsys.readouterr().out == authorization({user: f"secret-of-{user}" for user in USERS})
    monkeypatch.delenv(variable(OPERATOR))
    with pytest.raises(SystemExit, match="NATS_PASSWORD_OPERATOR"):
        nats_users.main()
