"""`fluxline keys` by the gateway's database: how the first key of an installation is made."""

import json
import os
from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from fluxline_cli.main import app
from fluxline_cli.stack.api_keys import may_do_everything


@pytest.fixture
def database_url(migrated: Callable[[str], Iterator[str]]) -> Iterator[str]:
    """The URL of a database with the gateway's schema."""
    yield from migrated("fluxline_gateway")


@pytest.fixture(autouse=True)
def _with_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    for name in ("FLUXLINE_URL", "FLUXLINE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert os.environ["DATABASE_URL"] == database_url


def fluxline(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words], env={"COLUMNS": "200"})


def test_an_owners_key_is_made_listed_and_revoked_without_a_gateway() -> None:
    made = json.loads(fluxline("create", "--owner", "ada", "--json").stdout)
    assert made["key"].startswith("fl_")
    assert made["scopes"] == ["read", "write"]
    options = ("--name", "laptop", "--scope", "read", "--expires-days", "3")
    assert fluxline("create", "--owner", "bob", *options).stdout.startswith("fl_")
    everybodys = json.loads(fluxline("list", "--database", "--json").stdout)
    assert [(key["owner"], key["name"], key["scopes"]) for key in everybodys] == [
        ("bob", "laptop", ["read"]),
        ("ada", "", ["read", "write"]),
    ]
    [adas] = json.loads(fluxline("list", "--owner", "ada", "--json").stdout)
    assert adas["hint"] == made["key"][:6]
    assert made["key"] not in json.dumps(everybodys)
    assert fluxline("revoke", made["id"], "--database", "--yes").exit_code == 0
    [adas] = json.loads(fluxline("list", "--owner", "ada", "--json").stdout)
    assert adas["revoked_at"]
    assert "revoked" in fluxline("list", "--database").stdout


def test_what_cannot_be_done_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    again = fluxline("revoke", "4e754e75-0000-4000-8000-000000000001", "--database", "--yes")
    assert again.exit_code == 1
    assert "no such key" in again.stderr
    assert "--name" in fluxline("create").stderr
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    unreachable = fluxline("create", "--owner", "ada")
    assert unreachable.exit_code == 1
    assert "check DATABASE_URL" in unreachable.stderr


@pytest.mark.parametrize(
    ("status", "scopes", "kept"),
    [
        (200, ["admin", "read", "write"], True),
        (200, ["read", "write"], False),
        (401, [], False),
        (403, [], False),
        (503, [], True),
    ],
)
async def test_the_stacks_own_key_is_made_anew_when_it_cannot_do_everything(
    status: int, scopes: list[str], kept: bool
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"scopes": scopes}))
    async with httpx.AsyncClient(transport=transport) as http:
        assert await may_do_everything(http, "http://gateway.test", "fl_x") is kept
