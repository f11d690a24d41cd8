"""What rules and dashboards ask for is what the services of a running stack expose. A test of `test_main_job`."""

import asyncio
from pathlib import Path

import httpx

from dashboards.check import problems_with

from .running import RunningStack, job, submit, until_status, upload


async def exposed(stack: RunningStack) -> list[str]:
    """What each service answers at /metrics, in Prometheus's text format."""
    addresses = [str(service["health_url"]) for service in stack.state["services"].values() if service["health_url"]]
    urls = [url.removesuffix("/readyz") + "/metrics" for url in addresses if url.endswith("/readyz")]
    async with httpx.AsyncClient(timeout=20) as http:
        answers = await asyncio.gather(*(http.get(url, headers={"Accept": "text/plain"}) for url in urls))
    return [answer.raise_for_status().text for answer in answers]


async def test_rules_and_dashboards_ask_for_series_that_there_are(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    training = await until_status(api, (await submit(api, job(await upload(api, photos))))["id"])
    assert training["status"] == "completed", training["error"]
    assert problems_with(await exposed(stack)) == []
