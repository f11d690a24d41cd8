"""The home of a stack: ports, secrets, the lock, what a killed stack leaves."""

import os
import socket
from pathlib import Path

import pytest

from fluxline_cli.stack import ports
from fluxline_cli.stack.credentials import Credentials
from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.state import HomeLock, StackState, read_state, running_pid


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def state(home: Path) -> StackState:
    return StackState(
        home=str(home),
        gateway_url="http://127.0.0.1:1",
        studio_url=None,
        collector_url="http://127.0.0.1:2",
        sandbox_url=None,
        nats_url="nats://127.0.0.1:3",
        postgres_url="postgresql://postgres:x@127.0.0.1:4/fluxline",
        api_key="fl_x",
        collector_token="t",
        services={"nats": {"pid": 1, "health_url": None}},
    )


def test_a_taken_port_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setitem(ports.FIXED, "gateway", port)
        with pytest.raises(StackError, match=rf"port {port} .* gateway") as refusal:
            ports.choose(["gateway"], auto=False)
        assert "--ports auto" in refusal.value.remedy
        assert ports.choose(["gateway"], auto=True)["gateway"] != port


def test_free_ports_are_distinct() -> None:
    chosen = ports.choose([str(number) for number in range(12)], auto=True)
    assert len(set(chosen.by_name.values())) == 12


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    first = Credentials.of(path)
    assert Credentials.of(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(set(first.database_passwords.values())) == 5


def test_a_second_stack_on_a_home_is_told_who_runs_already(layout: Layout) -> None:
    with HomeLock(layout):
        assert running_pid(layout) == os.getpid()
        with pytest.raises(StackError, match=rf"runs already .* {os.getpid()}"), HomeLock(layout):
            pass
    assert running_pid(layout) is None


def test_the_state_is_readable_while_the_stack_runs_and_private(layout: Layout) -> None:
    with HomeLock(layout):
        state(layout.home).write(layout.state_file)
        assert read_state(layout) == state(layout.home)
        assert layout.state_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StackError, match="no stack runs"):
        read_state(layout)


def test_the_state_of_a_killed_stack_is_not_believed_and_removed_by_the_next(layout: Layout) -> None:
    state(layout.home).write(layout.state_file)
    layout.lock_file.write_text("12345\n")
    with pytest.raises(StackError, match="no stack runs"):
        read_state(layout)
    with HomeLock(layout):
        assert not layout.state_file.exists()
