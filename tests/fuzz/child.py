"""Judging hostile files in child processes: a crash, a hang and a runaway allocation are outcomes, not accidents."""

import contextlib
import multiprocessing
import os
import re
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue

PROCESSES = 2
START_TIMEOUT_S = 60.0
WALL_CLOCK = 6
"""How many times its seconds a file may take by the wall clock: on a busy machine, processes wait for each other."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Judged:
    """What a judge says: a `verdict` of its own, or a `finding` that must not be."""

    verdict: str
    finding: str | None = None


@dataclass(frozen=True)
class Outcome(Judged):
    """What became of file number `index`; `peak_mb` is by how much resident memory grew at most meanwhile."""

    index: int = 0
    kind: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Trial:
    """Two functions that can be imported; what the second costs is measured.

    `make(index, folder)` writes file number `index` into a folder (-1 is for warming up) and says what it is;
    `judge(folder)` looks at it.
    """

    make: Callable[[int, Path], str]
    judge: Callable[[Path], Judged]


@dataclass(frozen=True)
class Bounds:
    """What one file may cost: seconds of processor time, and how much the address space may grow by."""

    seconds: float
    memory_mb: int


def judge_all(trial: Trial, indices: Iterable[int], bounds: Bounds, folder: Path) -> list[Outcome]:
    """The outcome of every index, by index; children that die or hang are replaced."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for index in indices:
        waiting.put(index)
    folders = [folder / f"child-{number}" for number in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = list(pool.map(lambda own: _drain(trial, waiting, bounds, own), folders))
    return sorted((outcome for part in parts for outcome in part), key=lambda outcome: outcome.index)


def report(what: str, seed: int, outcomes: list[Outcome]) -> None:
    """Print what came out and what it cost, for `pytest -s` and for whoever reads a failure."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.peak_mb)
    print(f"{len(outcomes)} {what}, FUZZ_SEED={seed}: {dict(verdicts.most_common())}")
    print(f"  slowest: {slowest.seconds:.2f} s, file {slowest.index} ({slowest.kind})")
    print(f"  largest: {largest.peak_mb:.0f} MB, file {largest.index} ({largest.kind})")


def findings(seed: int, outcomes: list[Outcome], bounds: Bounds, peak_mb: float) -> list[str]:
    """What must not be, each with what it takes to make the file again."""
    costly = [o for o in outcomes if not o.finding and (o.peak_mb > peak_mb or o.seconds > bounds.seconds)]
    return [
        *(f"FUZZ_SEED={seed} file {o.index} ({o.kind}): {o.finding}" for o in outcomes if o.finding),
        *(f"FUZZ_SEED={seed} file {o.index} ({o.kind}): took {o.peak_mb:.0f} MB, {o.seconds:.1f} s" for o in costly),
    ]


def _drain(trial: Trial, waiting: "SimpleQueue[int]", bounds: Bounds, folder: Path) -> list[Outcome]:
    folder.mkdir(parents=True)
    outcomes: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        child: _Child | None = None
        while True:
            try:
                index = waiting.get_nowait()
            except Empty:
                return outcomes
            child = child or stack.enter_context(_Child(trial, bounds, folder))
            outcomes.append(child.outcome(index))
            if not child.process.is_alive():
                child = None


class _Child:
    """A process that judges one file after another."""

    def __init__(self, trial: Trial, bounds: Bounds, folder: Path) -> None:
        self.bounds, self.log = bounds, folder / "stderr"
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(trial, bounds, folder, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.connection.poll(START_TIMEOUT_S):
            raise RuntimeError("the judging process did not start")
        try:
            self.connection.recv()
        except EOFError:
            raise RuntimeError(f"the judging process did not start: {self.log.read_text()[-2000:]}") from None

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()

    def outcome(self, index: int) -> Outcome:
        """What the child says of a file; its silence and its death are findings."""
        self.connection.send(index)
        kind = ""
        try:
            kind = self.connection.recv()
            if self.connection.poll(self.bounds.seconds * WALL_CLOCK):
                told: Outcome = self.connection.recv()
                return told
            finding = f"hangs for more than {self.bounds.seconds * WALL_CLOCK} s"
        except EOFError:
            self.process.join()
            finding = f"killed its process: exit status {self.process.exitcode}; {self.log.read_text()[-500:]}"
        self._end()
        return Outcome("none", finding, index, kind)

    def _end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(trial: Trial, bounds: Bounds, folder: Path, connection: Connection) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), 2)  # decoders grumble there
    _measured(trial, -1, trial.make(-1, folder), folder)  # whatever is loaded once is loaded before memory is counted
    budget = _memory_bytes("VmSize") + bounds.memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (budget, budget))
    connection.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            index = connection.recv()
            connection.send(kind := trial.make(index, folder))
            connection.send(_measured(trial, index, kind, folder))


def _measured(trial: Trial, index: int, kind: str, folder: Path) -> Outcome:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    before, started = _memory_bytes("VmRSS"), time.process_time()
    try:
        judged = trial.judge(folder)
    except BaseException as error:
        judged = Judged("none", f"raised {type(error).__name__}: {ascii(error)[:300]}")
    seconds, peak_mb = time.process_time() - started, (_memory_bytes("VmHWM") - before) / 2**20
    return Outcome(judged.verdict, judged.finding, index, kind, seconds, peak_mb)


def _memory_bytes(what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status tells no {what}")
    return int(found[1]) * 1024
