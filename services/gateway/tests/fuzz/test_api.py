"""The running gateway keeps what its OpenAPI document promises, whatever it is sent: schemathesis, with all checks."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from .world import REPLICATE_SECRET, Api, served_api

SEED = os.environ.get("FUZZ_SEED", "20250101")
EXAMPLES = int(os.environ.get("FUZZ_API", "0"))
CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("hooks.py")
LINKS_S = 150
"""For how long links are followed: another order of calls finds other things, without end."""
_LINKS = re.compile(r"API Links:\s+(\d+) covered / \d+ selected / (\d+) total")
takes_minutes = pytest.mark.skipif(not EXAMPLES, reason="takes minutes: make test-fuzz")


@takes_minutes
@pytest.mark.timeout(3600)
async def test_the_api_does_what_its_document_says(
    nats: Any, jetstream: Any, database_url: str, tmp_path: Path
) -> None:
    async with served_api(nats.url, database_url, tmp_path, things=60) as api:
        print(await judged(api, tmp_path, "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)))


@takes_minutes
@pytest.mark.timeout(3600)
async def test_what_an_answer_leads_to_does_what_the_document_says(
    nats: Any, jetstream: Any, database_url: str, tmp_path: Path
) -> None:
    async with served_api(nats.url, database_url, tmp_path, things=60) as api:
        output = await judged(api, tmp_path, "stateful", "--max-examples", str(EXAMPLES), "--max-time", str(LINKS_S))
    print(output)
    assert share_of_links(output) > 0.7, output


async def test_the_examples_and_some_of_what_they_lead_to_do_what_the_document_says(
    nats: Any, jetstream: Any, database_url: str, tmp_path: Path
) -> None:
    async with served_api(nats.url, database_url, tmp_path, things=4) as api:
        output = await judged(api, tmp_path, "examples,stateful", "--max-examples", "3")
    assert share_of_links(output) > 0, output


async def judged(api: Api, folder: Path, phases: str, *options: str) -> str:
    """What schemathesis says when it is content; raises AssertionError with what it has found."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{api.url}/openapi.json", "--phases", phases, "--seed", SEED, "--no-color", *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | environment(api),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output[-20_000:]
    return output


def environment(api: Api) -> dict[str, str]:
    """What the configuration and the hooks need to know."""
    return {
        "FLUXLINE_KEY": api.key,
        "FLUXLINE_KEY_ID": api.key_id,
        "FLUXLINE_IMAGES": api.image_ids,
        "FLUXLINE_PROVIDER_SECRET": REPLICATE_SECRET,
        "FLUXLINE_HOOKS": str(HOOKS),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def share_of_links(output: str) -> float:
    """How many of the links were followed, of all that the document says and of those that follow from its schemas."""
    found = _LINKS.search(output)
    assert found, output
    return int(found[1]) / int(found[2])
