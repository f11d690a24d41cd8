"""Stacks and scenes for the rows, and the table that a whole run of the suite writes (`make test-faults`)."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from random import Random
from typing import Any, Protocol

import httpx
import pytest

from photos import write_photos

from .rows import Row, row_of, write_table
from .scene import Scene
from .stack import FaultStack

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reliability.md"
_ROWS = pytest.StashKey[dict[str, Row]]()
_COMPLETE = pytest.StashKey[bool]()


class Observe(Protocol):
    """Says what the row saw, for the table."""

    def __call__(self, text: str, /) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/reliability.md after a complete run")
    parser.addoption("--seed", type=int, default=20, help="of everything random in the fault suite")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(id, component, fault, promise): one row of the fault matrix")
    config.stash[_ROWS] = {}


def pytest_deselected(items: list[pytest.Item]) -> None:
    items[0].config.stash[_COMPLETE] = False


def pytest_collection_finish(session: pytest.Session) -> None:
    files = {item.path for item in session.items}
    session.config.stash.setdefault(_COMPLETE, files == set(HERE.glob("test_*.py")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A row that leaves the stack broken behind (its teardown fails) is not kept either."""
    report = yield
    if call.when == "call" or report.failed:
        observed = next((text for name, text in item.user_properties if name == "observed"), "")
        if row := row_of(item, kept=report.passed, observed=str(observed)):
            item.config.stash[_ROWS][item.nodeid] = row
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    config, rows = session.config, session.config.stash[_ROWS]
    if config.getoption("--write-table") and config.stash.get(_COMPLETE, False) and len(rows) == len(session.items):
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
