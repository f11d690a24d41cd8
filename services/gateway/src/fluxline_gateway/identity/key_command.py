"""The command line of API keys: `python -m fluxline_gateway.identity.keys`, with the gateway's DATABASE_URL."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from fluxline.postgres.pool import CONNECT_TIMEOUT_S
from fluxline.runtime.settings import value_of
from fluxline_gateway.identity.keys import Executor, create, list_keys, revoke
from fluxline_gateway.identity.scopes import SCOPES
from fluxline_gateway.migrations import SCHEMA

MAX_DAYS = 36_500


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    url = value_of("DATABASE_URL")
    if not url:
        return _complain("DATABASE_URL: is not set → set it to the gateway's database, as postgresql://gateway:...@...")
    try:
        return asyncio.run(_run(url, options))
    except ValidationError:
        return _complain("--owner: use 1 to 63 of a-z, 0-9, - and _, starting with a letter or a digit")
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        return _complain("The schema is not migrated → run `python -m fluxline.postgres.migrate fluxline_gateway`")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return _complain(f"PostgreSQL refuses ({type(error).__name__}) → check DATABASE_URL and that PostgreSQL is up")


async def _run(url: str, options: argparse.Namespace) -> int:
    connection = await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S, server_settings={"search_path": SCHEMA}
    )
    try:
        if options.command == "create":
            await _create(connection, options)
        elif options.command == "list":
            for record in await list_keys(connection, options.owner):
                print(json.dumps(vars(record) | {"id": str(record.id)}, default=_iso))
        elif not await revoke(connection, options.id):
            return _complain(f"{options.id}: no such key, or it is revoked already")
    finally:
        await connection.close()
    return 0


async def _create(connection: Executor, options: argparse.Namespace) -> None:
    scopes = [scope for scope in SCOPES if scope in (options.scope or ("read", "write"))]
    days = options.expires_days
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    key, key_id = await create(connection, options.owner, name=options.name, scopes=scopes, expires_at=expires_at)
    facts = {"key": key, "id": str(key_id), "owner": options.owner, "scopes": scopes, "expires_at": expires_at}
    print(json.dumps(facts, default=_iso) if options.json else key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fluxline_gateway.identity.keys", description="API keys of the gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    create_ = commands.add_parser("create", help="make a key and print it")
    create_.add_argument("--owner", required=True)
    create_.add_argument("--name", default="", help="what the key is for")
    create_.add_argument("--scope", action="append", choices=SCOPES, help="may be repeated; read and write without")
    create_.add_argument("--expires-days", type=_days, metavar="N", help="when the key ends; never without")
    create_.add_argument("--json", action="store_true", help="print key, id, owner, scopes and expires_at as JSON")
    commands.add_parser("list", help="print all keys' facts, a JSON object a line").add_argument("--owner")
    commands.add_parser("revoke", help="end a key").add_argument("id", type=UUID)
    return parser


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"a number of days from 1 to {MAX_DAYS}")
    return int(text)


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1
