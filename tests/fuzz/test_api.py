"""The running gateway keeps what its OpenAPI document promises, whatever it is sent: schemathesis, with all checks."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz.api_server import order, served_api

SEED = os.environ.get("FUZZ_SEED", "20250101")
EXAMPLES = os.environ.get("FUZZ_API", "")
CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("api_hooks.py")


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not EXAMPLES, reason="takes minutes: make test-fuzz")
async def test_the_api_does_what_its_document_says(
    nats: Any, jetstream: Any, database_url: str, tmp_path: Path
) -> None:
    async with served_api(nats.url, database_url, tmp_path) as api:
        images = await order(api)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
        command += [f"{api.url}/openapi.json", "--max-examples", EXAMPLES, "--seed", SEED, "--no-color"]
        tested = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env=os.environ
            | {
                "FLUXLINE_KEY": api.key,
                "FLUXLINE_KEY_ID": api.key_id,
                "FLUXLINE_IMAGES": images,
                "FLUXLINE_HOOKS": str(HOOKS),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await tested.communicate()
    assert tested.returncode == 0, output.decode()[-20_000:]
