"""`fluxline logs`: the newest last, a line each, and on as they come."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from fluxline_cli import logs
from fluxline_cli.client import Client
from fluxline_cli.main import app

ID = "7a1a1a60-0000-4000-8000-000000000001"


def entry(number: int, **facts: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": f"1.{number}.0", "at": f"2026-11-25T10:00:{number:02}.123456Z", "level": "info", "service": "zipper",
        "event": f"event.{number}", "fields": {},
    }  # fmt: skip
    return made | facts


class Gateway:
    """Answers with what it holds, by order and cursor; ends a follower who is told everything."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)
        self.coming: list[dict[str, Any]] = []
        self.asked: list[httpx.URL] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        query = request.url.params
        if query["order"] == "oldest" and self.coming:
            self.entries.append(self.coming.pop(0))
        elif query["order"] == "oldest":
            raise KeyboardInterrupt
        after = query.get("cursor")
        found = [one for one in self.entries if after is None or one["id"] > after]
        found = found if query["order"] == "oldest" else found[::-1]
        return httpx.Response(200, json={"items": found[: int(query["limit"])], "next_cursor": None})


def fluxline(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, command: str) -> Result:
    monkeypatch.setattr(logs, "POLL_S", 0.0)
    transport = httpx.MockTransport(gateway.handle)
    monkeypatch.setattr(logs, "connect", lambda: Client("http://gateway", "fl_key", transport=transport))
    return CliRunner().invoke(app, command.split())


def test_a_trainings_log_is_shown_the_newest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(entry(1), entry(2, level="error", fields={"error": "no answer", "attempt": 1}))
    done = fluxline(monkeypatch, gateway, f"logs {ID} --level info --service zipper -q e")
    assert done.stdout.splitlines() == [
        "2026-11-25 10:00:01.123 info     zipper     event.1",
        '2026-11-25 10:00:02.123 error    zipper     event.2 error="no answer" attempt=1',
    ]
    [url] = gateway.asked
    assert url.path == f"/v1/trainings/{ID}/debug/logs"
    assert {name: url.params[name] for name in ("level", "service", "q")} == {
        "level": "info", "service": "zipper", "q": "e",
    }  # fmt: skip


def test_everybodys_log_is_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    assert fluxline(monkeypatch, gateway, "logs").stdout == "nothing was logged\n"
    assert gateway.asked[0].path == "/v1/admin/logs"


def test_a_traceback_stands_under_its_line_and_nothing_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = entry(1, event="\x1b[2Jodd[red]", fields={"exception": "Traceback\n  File x\nValueError: \x1b[31m"})
    done = fluxline(monkeypatch, Gateway(bad), f"logs {ID}")
    assert "\x1b" not in done.stdout
    first, *trace = done.stdout.splitlines()
    assert "odd[red]" in first
    assert [line.strip() for line in trace] == ["Traceback", "File x", "ValueError:  [31m"]


def test_follow_goes_on_with_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(entry(1))
    gateway.coming = [entry(2), entry(3)]
    done = fluxline(monkeypatch, gateway, f"logs {ID} --follow --json")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["event.1", "event.2", "event.3"]
    assert done.exit_code == 130
