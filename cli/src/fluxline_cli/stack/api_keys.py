"""API keys of the local stack: made by the gateway's own command, with the gateway's database."""

import asyncio
import json
from collections.abc import Mapping

import httpx

from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.program import python_module

CREATE_TIMEOUT_S = 60.0


async def create_key(env: Mapping[str, str], owner: str) -> dict[str, str]:
    """A new key of `owner`, as `{key, id, owner}`; `env` holds the gateway's DATABASE_URL. It is shown only here."""
    child = await asyncio.create_subprocess_exec(
        *python_module("fluxline_gateway.keys", "create", "--owner", owner, "--json"),
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CREATE_TIMEOUT_S):
            output, complaint = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        raise StackError("no API key could be made", detail=complaint.decode(errors="replace").strip())
    created: dict[str, str] = json.loads(output)
    return created


async def is_valid(http: httpx.AsyncClient, gateway_url: str, key: str) -> bool:
    """Whether the gateway takes the key."""
    answer = await http.get(f"{gateway_url}/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    return answer.status_code != httpx.codes.UNAUTHORIZED
