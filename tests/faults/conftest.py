"""Stacks and scenes for the rows, and the table that a whole run of the suite writes (`make test-faults`)."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from random import Random
from typing import Any, Protocol

import httpx
import pytest

from photos import write_photos

from .rows import Row, write_table
from .scene import Scene
from .stack import FaultStack

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reliability.md"
_ROWS = pytest.StashKey[dict[str, Row]]()
_CONFIG: pytest.Config


class Observe(Protocol):
    """Says what the row saw, for the table."""

    def __call__(self, text: str, /) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/reliability.md after a complete run")
    parser.addoption("--seed", type=int, default=20, help="of everything random in the fault suite")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(id, component, fault, promise): one row of the fault matrix")
    config.stash[_ROWS] = {}
    global _CONFIG
    _CONFIG = config


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Put the row into the report, which reaches the process that writes the table, wherever the test ran."""
    report = yield
    if mark := item.get_closest_marker("fault"):
        report.user_properties.append(("fault", mark.args))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A row that leaves the stack broken behind (its teardown fails) is not kept either."""
    told = dict(report.user_properties)
    if "fault" in told and (report.when == "call" or report.failed):
        _CONFIG.stash[_ROWS][report.nodeid] = Row(
            *told["fault"], kept=report.passed, observed=str(told.get("observed", ""))
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, if every row of every file has run; those of a worker are not the whole."""
    config, rows = session.config, session.config.stash[_ROWS]
    if hasattr(config, "workerinput") or not config.getoption("--write-table"):
        return
    chosen = config.option.keyword or config.option.markexpr
    files = {Path(node.partition("::")[0]).name for node in rows}
    everything = files == {path.name for path in HERE.glob("test_*.py")} and not chosen
    if everything and len(rows) >= session.testscollected:
        write_table(PAGE, rows.values())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"fault suite: --seed {config.getoption('--seed')}")


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """The module's stack, with the variables of the module's `SETTINGS`; leaving it checks that nothing is left."""
    settings = getattr(request.module, "SETTINGS", {})
    with FaultStack(tmp_path_factory.mktemp("stack") / "home", settings) as running:
        yield running
    assert running.exit_status == 0, running.output()
    assert not running.remaining_processes()
    assert not running.violations()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six different small photos."""
    return write_photos(tmp_path_factory.mktemp("photos"), count=6, size=(640, 600), seed=7)


@pytest.fixture
async def scene(stack: FaultStack, photos: list[Path]) -> AsyncIterator[Scene]:
    """The stack at rest, looked at from outside; at rest again, and without faults, after the row."""
    async with (
        stack.client(stack.state["api_key"]) as api,
        httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as sandbox,
    ):
        scene = Scene(stack, api, sandbox, photos)
        await scene.begin()
        yield scene
        await scene.end()


@pytest.fixture
def observe(request: pytest.FixtureRequest) -> Observe:
    """Call it once, with what the table says in the row's last column."""
    return lambda text: request.node.user_properties.append(("observed", text))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> Random:
    """The row's own source of chance: the same for the same `--seed`, whichever rows run before."""
    value = f"{request.config.getoption('--seed')}/{request.node.name}"
    print(f"seed: {value}")
    return Random(value)
