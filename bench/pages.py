"""What an open job page costs a studio: memory, CPU, and the time from an event to the changed part of the page.

    python bench/pages.py [--pages 200] [--trainings 200] [--seconds 20] [--every 2]

A studio as a process, before a gateway that answers at once and tells of every training every few seconds: what is
measured is the studio's own. An event's step is the time at which it was told, which comes back in the page's feed.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import httpx  # noqa: E402  # the folder of the tests is on no path
import psutil  # noqa: E402
import uvicorn  # noqa: E402
from fastapi import FastAPI, Request, Response  # noqa: E402
from fastapi.responses import JSONResponse, StreamingResponse  # noqa: E402

from polling import poll_until  # noqa: E402
from processes import free_ports  # noqa: E402

EXAMPLE = json.loads((ROOT / "docs" / "openapi.json").read_text())["components"]["schemas"]["Training"]["examples"][0]
TRAINING = EXAMPLE | {"status": "training", "result": None, "progress": 40.0}
HISTORY = 50
FEED, STEP = b'data: {"target": "job-feed"', re.compile(rb"step (\d+) of")


def event(number: int, step: int) -> dict[str, Any]:
    """Progress, with the log tail that a provider sends along."""
    data = {
        "percent": 1.0,
        "step": step,
        "steps": 1,
        "loss": 0.3,
        "phase": "training",
        "log_tail": [f"line {number}"] * 8,
    }
    about = {"type": "training.progressed", "occurred_at": "2026-11-25T10:00:00Z", "category": None, "attempt": 1}
    return {"id": number, "stage": "replicate_training", "duration_ms": None, "data": data, **about}


def double(every_s: float) -> FastAPI:
    """The gateway's stand-in."""
    app = FastAPI()

    @app.get("/v1/trainings/{training_id}/events")
    async def events(request: Request, training_id: UUID) -> Response:
        if "event-stream" in request.headers["accept"]:
            return StreamingResponse(told(), media_type="text/event-stream")
        items = [event(number, number) for number in range(1, HISTORY)]
        return JSONResponse({"items": items, "next_cursor": None})

    async def told() -> AsyncIterator[str]:
        number = HISTORY
        while True:
            await asyncio.sleep(every_s)
            number += 1
            body = json.dumps(event(number, time.time_ns() // 1_000_000))
            yield f"id: {number}\nevent: training.progressed\ndata: {body}\n\n"

    @app.get("/{path:path}")
    async def rest(path: str) -> dict[str, Any]:
        return {"owner": "ada", "scopes": []} if path == "v1/me" else TRAINING

    return app


@contextmanager
def process(*command: str, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python process that ends with the block."""
    running = subprocess.Popen([sys.executable, *command], env={"PATH": os.environ["PATH"], **variables})
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def measure(pages: int, trainings: int, seconds: float, studio: psutil.Process, url: str) -> dict[str, float]:
    """Open the pages, and follow them for a while."""
    delays: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=60) as browser:
        await poll_until(lambda: _is_ready(browser), timeout_s=30)
        await browser.post("/sign-in", data={"key": "fl_" + "A" * 40}, headers={"Origin": url})
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        began = time.perf_counter()
        await browser.get(f"/trainings/{UUID(int=1)}")
        first_s = time.perf_counter() - began
        memory = studio.memory_info().rss
        following = [
            asyncio.create_task(follow(url, UUID(int=n % trainings + 1), cookie, delays)) for n in range(pages)
        ]
        await asyncio.sleep(seconds / 2)
        delays.clear()
        used_s, began = sum(studio.cpu_times()[:2]), time.perf_counter()
        await asyncio.sleep(seconds)
        cpu = (sum(studio.cpu_times()[:2]) - used_s) / (time.perf_counter() - began)
        kib = (studio.memory_info().rss - memory) / 1024 / pages
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    ordered = sorted(delays)
    return {
        "page_ms": first_s * 1e3, "updates": len(ordered), "kib_per_page": kib, "cpu_percent": cpu * 100,
        "delay_median_ms": statistics.median(ordered), "delay_p99_ms": ordered[int(len(ordered) * 0.99)],
    }  # fmt: skip


async def follow(url: str, training_id: UUID, cookie: str, delays: list[float]) -> None:
    """One browser, as a bare socket: note how old the newest step is whenever the feed changes."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
    head = f"GET /trainings/{training_id}/live HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\n\r\n"
    writer.write(head.encode())
    try:
        async for line in reader:
            if line.startswith(FEED) and (seen := STEP.search(line)) and int(seen[1]) > HISTORY:
                delays.append(time.time() * 1e3 - int(seen[1]))
    finally:
        writer.close()


async def _is_ready(browser: httpx.AsyncClient) -> bool:
    try:
        return (await browser.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every", type=float, default=2, help="seconds between two events of a training")
    parser.add_argument("--double", type=int, help="be the gateway's stand-in on this port")
    chosen = parser.parse_args()
    if chosen.double:
        await uvicorn.Server(uvicorn.Config(double(chosen.every), port=chosen.double, log_level="error")).serve()
        return
    port, gateway_port = free_ports(2)
    settings = {"STUDIO_HTTP_PORT": str(port), "STUDIO_GATEWAY_URL": f"http://127.0.0.1:{gateway_port}"}
    settings |= {"STUDIO_SECRET": "s" * 32, "STUDIO_COOKIE_SECURE": "false", "LOG_LEVEL": "WARNING"}
    with (
        process(str(Path(__file__)), "--double", str(gateway_port), "--every", str(chosen.every)),
        process("-m", "fluxline_studio", **settings) as studio,
    ):
        figures = await measure(
            chosen.pages, chosen.trainings, chosen.seconds, psutil.Process(studio.pid), f"http://127.0.0.1:{port}"
        )
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


if __name__ == "__main__":
    asyncio.run(main())
