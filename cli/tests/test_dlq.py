"""`fluxline dlq` on a real NATS."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from nats.js import JetStreamContext
from typer.testing import CliRunner

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_cli.console import console
from fluxline_cli.main import app
from servers import NatsServer
from streams import messages_of, requested


class WrongKey(FluxlineError):
    """The key was refused."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Set a key that works."


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console has taken its width when it was imported, by whichever test that was."""
    monkeypatch.setattr(console, "width", 250)


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    bus = Bus("trainer", nats.url, make_tracer_provider("trainer", None))
    await bus.broker.connect()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


async def buried(bus: Bus, durable: str, sequence: int, body: bytes | None = None) -> None:
    event = requested()
    headers = headers_of(event, "gateway")
    message = Received(event.subject, body or body_of(event), headers, sequence, 3, datetime.now(UTC))
    await bus.bury(durable, message, WrongKey())


async def fluxline(nats_url: str | None, *arguments: str, home: Path | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    environment = {"NATS_URL": nats_url, "FLUXLINE_HOME": str(home) if home else None}
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dlq", *arguments], env=environment)
    return result.exit_code, result.stdout, result.stderr


async def listed(nats_url: str, *options: str) -> list[dict[str, Any]]:
    code, out, _ = await fluxline(nats_url, "list", "--json", *options)
    assert code == 0
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def test_an_empty_queue_is_said_so(nats: NatsServer, bus: Bus) -> None:
    assert await fluxline(nats.url, "list") == (0, "no dead letters\n", "")
    assert await fluxline(nats.url, "replay", "--all") == (0, "no dead letters\n", "")
    assert await listed(nats.url) == []


async def test_list_and_show_tell_what_was_given_up_on_and_why(nats: NatsServer, bus: Bus) -> None:
    await buried(bus, "trainer", 1)
    await buried(bus, "zipper", 2)
    (letter,) = await listed(nats.url, "--durable", "trainer")
    assert (letter["durable"], letter["category"], letter["attempts"]) == ("trainer", "authentication", 3)
    _, table, _ = await fluxline(nats.url, "list")
    for part in (str(letter["sequence"]), "trainer", "zipper", letter["training_id"], "The key was refused."):
        assert part in table
    _, page, _ = await fluxline(nats.url, "show", str(letter["sequence"]))
    assert "Set a key that works." in page
    assert '"trigger_word": "ADATOK"' in page
    _, document, _ = await fluxline(nats.url, "show", str(letter["sequence"]), "--json")
    assert json.loads(document)["body"]["training_id"] == letter["training_id"]


async def test_a_long_list_says_how_to_go_on(nats: NatsServer, bus: Bus) -> None:
    for number in range(1, 4):
        await buried(bus, "trainer", number)
    letters = await listed(nats.url)
    _, out, _ = await fluxline(nats.url, "list", "--limit", "2")
    assert f"--after {letters[1]['sequence']}" in out
    assert await listed(nats.url, "--after", str(letters[1]["sequence"])) == letters[2:]


async def test_control_characters_of_a_message_cannot_move_the_cursor(nats: NatsServer, bus: Bus) -> None:
    await buried(bus, "trainer", 1, body=b"\x1b[2J[bold]\xff")
    (letter,) = await listed(nats.url)
    code, page, _ = await fluxline(nats.url, "show", str(letter["sequence"]))
    assert code == 0
    assert "\x1b" not in page
    assert "[2J[bold]" in page


async def test_a_replay_publishes_the_message_and_a_second_one_says_that_the_letter_is_gone(
    nats: NatsServer, bus: Bus, jetstream: JetStreamContext
) -> None:
    await buried(bus, "trainer", 1)
    (letter,) = await listed(nats.url)
    number = str(letter["sequence"])
    assert await fluxline(nats.url, "replay", number) == (0, f"{number} replayed\n", "")
    (message,) = await messages_of(jetstream)
    assert (message.headers or {})["Nats-Msg-Id"] == f"{letter['event_id']}:r{number}"
    code, out, err = await fluxline(nats.url, "replay", number)
    assert (code, out) == (1, "")
    assert "no dead letter" in err
    assert "replayed or dropped already" in err


async def test_replaying_all_of_a_durable_leaves_the_others(
    nats: NatsServer, bus: Bus, jetstream: JetStreamContext
) -> None:
    for number in range(1, 6):
        await buried(bus, "trainer" if number < 4 else "zipper", number)
    code, out, _ = await fluxline(nats.url, "replay", "--all", "--durable", "trainer", "--json")
    assert (code, [result["outcome"] for result in json.loads(out)]) == (0, ["replayed"] * 3)
    assert len(await messages_of(jetstream)) == 3
    assert [letter["durable"] for letter in await listed(nats.url)] == ["zipper"] * 2


async def test_one_number_that_is_not_there_does_not_keep_the_others_from_being_replayed(
    nats: NatsServer, bus: Bus, jetstream: JetStreamContext
) -> None:
    await buried(bus, "trainer", 1)
    (letter,) = await listed(nats.url)
    code, out, _ = await fluxline(nats.url, "replay", "1", str(letter["sequence"]))
    assert (code, out) == (1, f"{letter['sequence']} replayed\n")


async def test_dropping_asks_first_and_then_removes(nats: NatsServer, bus: Bus, jetstream: JetStreamContext) -> None:
    await buried(bus, "trainer", 1)
    (letter,) = await listed(nats.url)
    assert (await fluxline(nats.url, "drop", str(letter["sequence"])))[0] == 1
    assert len(await listed(nats.url)) == 1
    code, out, _ = await fluxline(nats.url, "drop", str(letter["sequence"]), "--yes")
    assert (code, out) == (0, f"{letter['sequence']} dropped\n")
    assert await listed(nats.url) == []
    assert await messages_of(jetstream) == []


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["1", "--durable", "trainer"]])
async def test_which_letters_are_meant_must_be_said_once(arguments: list[str]) -> None:
    code, _, err = await fluxline("nats://127.0.0.1:1", "replay", *arguments)
    assert code == 1
    assert "say which" in err


async def test_without_a_server_or_a_stack_the_remedy_is_named(tmp_path: Path) -> None:
    code, _, err = await fluxline("nats://ada:secret@127.0.0.1:1", "list")
    assert code == 1
    assert "does not answer" in err
    assert "secret" not in err
    code, _, err = await fluxline(None, "list", home=tmp_path)
    assert code == 1
    assert "fluxline up" in err
