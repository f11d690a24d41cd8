"""Peers and floors, installed from public packages into .bench/ when a bench first asks for them, or told missing."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.measure import ROOT, SCRATCH

PEERS = ROOT / "bench" / "peers"


@cache
def imaging() -> Path | None:
    """The Python that has libvips and simplejpeg."""
    return environment("imaging")


def environment(name: str) -> Path | None:
    """The Python of a virtual environment with bench/requirements-{name}.txt."""
    python = SCRATCH / name / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    ready = python.with_name(".ready")
    if not ready.exists():
        commands = (
            [uv, "venv", "--quiet", "--clear", SCRATCH / name],
            [uv, "pip", "install", "--quiet", "--python", python, "-r", ROOT / "bench" / f"requirements-{name}.txt"],
        )
        if not all(_done(command, name) for command in commands):
            return None
        ready.touch()
    return python


@cache
def node_modules() -> Path | None:
    """The folder that has sharp and archiver in its node_modules."""
    folder = SCRATCH / "node"
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("Without: sharp + archiver (there is no Node here)", file=sys.stderr)
        return None
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(PEERS / "package.json", folder)
        if not _done([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent"], "sharp + archiver"):
            return None
        (folder / ".ready").touch()
    return folder


@cache
def floor() -> Sequence[str | Path] | None:
    """The command of libjpeg-turbo's floor: in C where that compiles, otherwise by simplejpeg."""
    program = SCRATCH / "floor"
    compiler = shutil.which("cc")
    if compiler and _done([compiler, "-O2", PEERS / "floor.c", "-o", program, "-ljpeg", "-lpthread"], "the floor in C"):
        return [program]
    python = imaging()
    return [python, PEERS / "floor_simplejpeg.py"] if python else None


def _done(command: Sequence[str | Path], what: str) -> bool:
    """Whether the command did its work; says what will be missing otherwise."""
    SCRATCH.mkdir(exist_ok=True)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)
    if done.returncode:
        print(f"Without: {what} ({done.stderr.strip()[-200:]})", file=sys.stderr)
    return done.returncode == 0
