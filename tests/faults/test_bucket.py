"""Files in a bucket: an S3 server that dies, or falls silent, while jobs run."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from polling import poll_until
from servers import SeaweedServer, seaweedfs_server

from .conftest import Observe
from .rows import fault
from .scene import Scene
from .stack import FaultStack

TEMPORARY = ("zips/", "weights/")


@pytest.fixture(scope="module")
def bucket() -> Iterator[SeaweedServer]:
    """An S3 server with one bucket."""
    with seaweedfs_server() as server:
        yield server


@pytest.fixture(scope="module")
def stack(bucket: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """A stack that keeps its files in the bucket, as it would in R2."""
    with FaultStack(tmp_path_factory.mktemp("stack") / "home", bucket.settings) as running:
        yield running
    assert running.exit_status == 0, running.output()
    assert not running.remaining_processes()
    assert not running.violations()


def temporary(bucket: SeaweedServer) -> list[str]:
    """The keys in the bucket that nobody needs after a job has ended."""
    with closing(bucket.client()) as client:
        found = client.list_objects_v2(Bucket=bucket.bucket).get("Contents", [])
    return [item["Key"] for item in found if item["Key"].startswith(TEMPORARY)]


@fault(
    "F103",
    component="storage",
    fault="the S3 server is killed (-9) under four jobs, and back after 5 s",
    promise="what fails is tried again; every job completes; one bill, one publication each",
)
async def test_jobs_survive_the_kill_of_the_object_store(scene: Scene, observe: Observe, bucket: SeaweedServer) -> None:
    await scene.providers(training_seconds=2)
    ids = await scene.submit(4)
    await scene.until(ids[0], "training")
    await asyncio.to_thread(bucket.kill)
    await asyncio.sleep(5)
    await asyncio.to_thread(bucket.start)
    seen = await scene.completed(ids, timeout_s=120)
    await poll_until(lambda: not temporary(bucket), timeout_s=30)
    observe(f"{seen}; no temporary file left")


@fault(
    "F104",
    component="storage",
    fault="the S3 server is silent (SIGSTOP) for 10 s under four jobs",
    promise="calls time out or wait; every job completes; one bill, one publication each",
)
async def test_jobs_survive_a_silent_object_store(scene: Scene, observe: Observe, bucket: SeaweedServer) -> None:
    ids = await scene.submit(4)
    await scene.until(ids[0], "zipping")
    os.kill(bucket.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(10)
    finally:
        os.kill(bucket.pid, signal.SIGCONT)
    seen = await scene.completed(ids, timeout_s=120)
    await poll_until(lambda: not temporary(bucket), timeout_s=30)
    observe(f"{seen}; no temporary file left")
