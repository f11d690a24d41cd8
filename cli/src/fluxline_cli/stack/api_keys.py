"""API keys of the local stack: made by the gateway's own command, with the gateway's database."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.program import python_module

COMMAND_TIMEOUT_S = 60.0
EVERYTHING: Final = ("read", "write", "admin")
"""The scopes of a key that may do everything."""


async def create_key(
    env: Mapping[str, str],
    owner: str,
    *,
    name: str = "",
    scopes: Sequence[str] = (),
    expires_days: int | None = None,
) -> dict[str, Any]:
    """A new key of `owner`, as `{key, id, owner, scopes, expires_at}`; `env` holds the gateway's DATABASE_URL.

    It is shown only here. Without scopes it may read and write. Raises StackError.
    """
    arguments = ["--owner", owner, "--name", name, "--json"]
    for scope in scopes:
        arguments += ["--scope", scope]
    if expires_days is not None:
        arguments += ["--expires-days", str(expires_days)]
    created: dict[str, Any] = json.loads(await _keys(env, "create", *arguments))
    return created


async def list_keys(env: Mapping[str, str], owner: str | None) -> list[dict[str, Any]]:
    """The facts of all keys, or those of `owner`, oldest first; raises StackError."""
    arguments = ("--owner", owner) if owner else ()
    return [json.loads(line) for line in (await _keys(env, "list", *arguments)).splitlines()]


async def revoke_key(env: Mapping[str, str], key_id: str) -> None:
    """End a key; raises StackError when there is none that lives."""
    await _keys(env, "revoke", key_id)


async def may_do_everything(http: httpx.AsyncClient, gateway_url: str, key: str) -> bool:
    """Whether the gateway takes the key for everything; taken to be so while the gateway has other troubles."""
    answer = await http.get(f"{gateway_url}/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    if answer.status_code == httpx.codes.OK:
        return "admin" in answer.json()["scopes"]
    return answer.status_code not in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


async def _keys(env: Mapping[str, str], *arguments: str) -> str:
    """What `fluxline_gateway.identity.keys` prints."""
    child = await asyncio.create_subprocess_exec(
        *python_module("fluxline_gateway.identity.keys", *arguments),
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output, complaint = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        what = {"create": "no API key could be made", "revoke": "the API key could not be revoked"}
        detail = complaint.decode(errors="replace").strip()
        raise StackError(what.get(arguments[0], "the API keys could not be read"), detail=detail)
    return output.decode()
