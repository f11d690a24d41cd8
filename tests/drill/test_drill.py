"""The disaster drill (`make drill`): jobs at every stage, a backup, the loss of servers, the way back.

What has to hold afterwards: every job that the backup knows ends, is paid for once and published once, whatever became
of it between the backup and the disaster; what had ended reads as before; what came later is named. Prints figures.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from faults.stack import FaultStack
from photos import write_photos
from polling import poll_until
from processes import free_ports

from .world import (
    crash_everything,
    destroy,
    fluxline,
    go_on,
    jobs_at_every_stage,
    provider_counts,
    scene_of,
    told_of,
)


def settings() -> dict[str, str]:
    """A quick audit, and providers that keep their address when everything else is started anew."""
    [port] = free_ports(1)
    return {"GATEWAY_AUDIT_S": "2", "FAULTS_SANDBOX_PORT": str(port)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"), count=6, size=(640, 600), seed=7)


@pytest.mark.parametrize("lost", ["postgres and nats", "postgres"])
async def test_everything_the_backup_knows_ends_once(lost: str, tmp_path: Path, photos: list[Path]) -> None:
    home, backups, known = tmp_path / "home", tmp_path / "backups", settings()
    with FaultStack(home, known) as stack:
        async with scene_of(stack, photos) as scene:
            jobs = await jobs_at_every_stage(scene)
            before = await told_of(scene, jobs.done)
            made, backup_s = await fluxline(home, "backup", "--to", str(backups), "--verify")
            jobs = await go_on(scene, jobs)
            counts = await provider_counts(scene)
            assert counts["trainings"] == len(jobs.kept) + 1
            await crash_everything(stack)
    gap_s = (datetime.now(UTC) - datetime.fromisoformat(made["taken_at"])).total_seconds()
    destroy(home, postgres=True, nats="nats" in lost)
    forced = [] if "nats" in lost else ["--force"]
    report, restore_s = await fluxline(home, "restore", "--from", str(backups), *forced)
    assert report["lost_trainings"] == [jobs.late]
    assert report["missing_files"] == []
    began = time.monotonic()
    with FaultStack(home, known) as stack:
        up_s = time.monotonic() - began
        async with scene_of(stack, photos) as scene:
            for training in await scene.ended(jobs.kept, timeout_s=180):
                assert (training["status"], training["error"]) == ("completed", None), training
            ended_s = time.monotonic() - began
            assert await told_of(scene, jobs.done) == before
            after = await provider_counts(scene)
            assert after["trainings"] == counts["trainings"], "nothing was paid for again"
            assert after["commits"] == len(jobs.kept), "one publication each"
            assert (await scene.api.get(f"/v1/trainings/{jobs.late}")).status_code == 404
            await scene.calm()
    print(
        f"\nlost: {lost}. backup with rehearsal {backup_s:.1f} s; disaster {gap_s:.0f} s after it; "
        f"restore {restore_s:.1f} s; ready after {up_s:.1f} s, {len(jobs.kept)} jobs ended after {ended_s:.1f} s; "
        f"{after['trainings']} paid (1 of them is lost: begun after the backup), {after['commits']} published"
    )


async def test_the_loss_of_nats_alone_needs_no_backup_but_for_dead_letters(tmp_path: Path, photos: list[Path]) -> None:
    home, backups, known = tmp_path / "home", tmp_path / "backups", settings()
    with FaultStack(home, known) as stack:
        async with scene_of(stack, photos) as scene:
            jobs = await jobs_at_every_stage(scene)
            before = await told_of(scene, jobs.done)
            await _bury_one(stack)
            await poll_until(lambda: scene.dead_letters("trainer"), timeout_s=30, interval_s=0.2)
            await fluxline(home, "backup", "--to", str(backups))
            jobs = await go_on(scene, jobs)
            await stack.stop("nats", crash=True)
            destroy(home, postgres=False, nats=True)
            await stack.start("nats")
            began = time.monotonic()
            everything = [*jobs.kept, jobs.late]
            for training in await scene.ended(everything, timeout_s=180):
                assert (training["status"], training["error"]) == ("completed", None), training
            ended_s = time.monotonic() - began
            report, _ = await fluxline(home, "restore", "--from", str(backups), "--only-streams")
            assert report["messages"]["DLQ"] == 1
            assert await scene.dead_letters("trainer") == 1
            assert await told_of(scene, jobs.done) == before
            assert await provider_counts(scene) == {"trainings": len(everything), "commits": len(everything)}
            await scene.calm()
    print(f"\nlost: nats. all {len(everything)} jobs ended after {ended_s:.1f} s, {len(everything)} paid and published")


async def _bury_one(stack: FaultStack) -> None:
    """A message that nobody can read becomes a dead letter of each who should have."""
    client = await nats.connect(stack.state["nats_url"])
    await client.jetstream().publish("zip.created", b"no event")
    await client.close()
