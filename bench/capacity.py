"""What one job costs each part: CPU seconds by process, messages and bytes on the stream, rows and bytes in PostgreSQL.

    python bench/capacity.py [--jobs 6] [--photos 20] [--width 4000]

A whole local stack with the sandbox as the provider. CPU time hardly depends on what else the machine does; time on the
clock does, and is not reported. docs/scaling.md builds on these figures.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]
import asyncpg  # noqa: E402  # the folder of the tests is on no path
import httpx  # noqa: E402
import nats  # noqa: E402
import psutil  # noqa: E402

from e2e.running import RunningStack, job, submit, until_status, upload  # noqa: E402
from photos import write_photos  # noqa: E402

_ROWS = """
SELECT nspname || '.' || relname AS name, format('%I.%I', nspname, relname) AS quoted,
    pg_total_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname IN ('gateway', 'trainer', 'generator', 'collector') AND relkind = 'r'
"""
_EVENTS = """
SELECT subject, count(*) AS n, avg(length(body::text))::int AS bytes FROM collector.events GROUP BY 1 ORDER BY 2 DESC
"""
Figures = dict[str, float]


def cpu_seconds(stack: RunningStack) -> Figures:
    """CPU time that each program and its children have used."""
    used = {}
    for name, program in stack.state["services"].items():
        processes = [psutil.Process(program["pid"])]
        processes += processes[0].children(recursive=True)
        used[name] = sum(sum(process.cpu_times()) for process in processes)
    return used


def table(title: str, figures: Figures, unit: str) -> None:
    """Print a table in Markdown, the largest first; what is nothing is left out."""
    print(f"\n| {title} | {unit} |\n|---|---|")
    for name, value in sorted(figures.items(), key=lambda each: -each[1]):
        if value:
            print(f"| {name} | {value:.3g} |")


def differences(after: Figures, before: Figures, per: int) -> Figures:
    """What was added, per unit."""
    return {name: (after[name] - before.get(name, 0.0)) / per for name in after}


async def sizes(stack: RunningStack) -> tuple[Figures, Figures]:
    """Rows and bytes of every table."""
    connection = await asyncpg.connect(stack.state["postgres_url"])
    try:
        tables = await connection.fetch(_ROWS)
        rows = {}
        for each in tables:
            rows[each["name"]] = float(await connection.fetchval(f"SELECT count(*) FROM {each['quoted']}"))  # noqa: S608
        return rows, {each["name"]: float(each["bytes"]) for each in tables}
    finally:
        await connection.close()


async def streams(stack: RunningStack) -> tuple[Figures, Figures]:
    """Messages (by last sequence) and bytes of every stream."""
    client = await nats.connect(stack.state["nats_url"])
    try:
        infos = await client.jetstream().streams_info()
        return (
            {info.config.name or "": float(info.state.last_seq) for info in infos},
            {info.config.name or "": float(info.state.bytes) for info in infos},
        )
    finally:
        await client.close()


async def measure(jobs: int, photos: list[Path], stack: RunningStack) -> None:
    """Upload, run the jobs, print what they cost."""
    async with stack.client(stack.state["api_key"]) as api:
        before = cpu_seconds(stack)
        images = await upload(api, photos)
        uploaded = cpu_seconds(stack)
        table("upload of one set: CPU", differences(uploaded, before, 1), "s")
        first_messages, first_bytes = await streams(stack)
        first_rows, first_sizes = await sizes(stack)
        started = cpu_seconds(stack)
        async with httpx.AsyncClient(base_url=stack.state["sandbox_url"]) as sandbox:
            await sandbox.post("/_sandbox/settings", json={"training_seconds": 5})
        ids = [(await submit(api, job(images, name=f"Job {n}")))["id"] for n in range(jobs)]
        ended = await asyncio.gather(*(until_status(api, each) for each in ids))
        if failures := [each["error"] for each in ended if each["status"] != "completed"]:
            raise RuntimeError(f"not every job completed: {failures}")
        table("a job: CPU", differences(cpu_seconds(stack), started, jobs), "s")
        messages, sizes_now = await streams(stack)
        table("a job: messages", differences(messages, first_messages, jobs), "messages")
        table("a job: stream bytes", differences(sizes_now, first_bytes, jobs), "bytes")
        rows, row_bytes = await sizes(stack)
        table("a job: rows", differences(rows, first_rows, jobs), "rows")
        table("a job: PostgreSQL bytes", differences(row_bytes, first_sizes, jobs), "bytes")
    await _events(stack, jobs)


async def _events(stack: RunningStack, jobs: int) -> None:
    connection = await asyncpg.connect(stack.state["postgres_url"])
    try:
        found = await connection.fetch(_EVENTS)
    finally:
        await connection.close()
    print("\n| event | a job | bytes each |\n|---|---|---|")
    for row in found:
        print(f"| {row['subject']} | {row['n'] / jobs:.1f} | {row['bytes']} |")


def main() -> None:
    """Run it in a home that is gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--width", type=int, default=4000)
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="fluxline-capacity-") as folder:
        size = (chosen.width, chosen.width * 3 // 4)
        photos = write_photos(Path(folder) / "photos", count=chosen.photos, size=size, seed=5)
        megabytes = sum(path.stat().st_size for path in photos) / 1e6
        print(f"{chosen.jobs} jobs of {chosen.photos} photos, {size[0]} × {size[1]}, {megabytes:.0f} MB")
        with RunningStack(Path(folder) / "home") as stack:
            asyncio.run(measure(chosen.jobs, photos, stack))


if __name__ == "__main__":
    main()
