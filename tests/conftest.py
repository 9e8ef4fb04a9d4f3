"""Fixtures for every level of tests: real servers, recorded webhooks, and no error log that nobody expected."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import settings

from relay.channels.telegram.loading import load_channel
from relay.rendering.sandbox import BoundedEnvironment
from tests import programs, recorded
from tests.error_logs import ErrorLogs
from tests.fakes.gateway import FakeGateway
from tests.postgres_server import PostgresCluster
from tests.programs import AlertmanagerProgram
from tests.servers import AlertmanagerStarter, PrometheusStarter

settings.register_profile("the same each time", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("the same each time")  # `make fuzz` takes the other: what it finds becomes an @example

LONGEST_FIRST = ("e2e", "browser", "integration", "property")
"""Folders of tests; the others follow."""


def pytest_configure(config: pytest.Config) -> None:
    """Python 3.11 makes an event loop for whoever asks first, here plugins, which nobody closes: say that there is none."""
    asyncio.set_event_loop(None)
    for number in (signal.SIGINT, signal.SIGHUP):
        # a shell in the background or `nohup` has them ignored, which programs inherit; of a handler they do not know
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    if hasattr(config, "workerinput"):
        load_channel()  # one of several processes collects all tests, some of which import aiogram: so for half the time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders whose files take longest go out first: one that begins last keeps a single process busy at the end."""
    rank = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests that passed put into `record_property("table", …)`, also when they ran in other processes."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "table":
                terminalreporter.write_line(str(value))


@pytest.fixture(autouse=True)
def error_logs(request: pytest.FixtureRequest) -> Iterator[ErrorLogs]:
    """Fails a test that logs an error, unless it is marked `expects_errors`; such a test may ask what was logged."""
    with ErrorLogs() as errors:
        yield errors
    if errors.seen and not request.node.get_closest_marker("expects_errors"):
        pytest.fail("logged errors that it did not expect (mark expects_errors):\n" + "\n".join(errors.seen))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that runs in the test's process configures all of logging; the next test finds it as it was."""
    root, own = logging.getLogger(), logging.getLogger("relay")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    own.setLevel(own_level)


@pytest.fixture(scope="session", autouse=True)
def templates_compiled_once() -> Iterator[None]:
    """Tests have renderers of their own, each of which would compile the same templates: tens of milliseconds for each."""
    compiled: dict[tuple[Any, ...], CodeType] = {}

    def compile_once(self: BoundedEnvironment, source: str, *names: Any) -> CodeType:
        key = (self.autoescape, source, *names)
        if key not in compiled:
            compiled[key] = super(BoundedEnvironment, self).compile(source, *names)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoundedEnvironment, "compile", compile_once)
        yield


@pytest.fixture(params=programs.alertmanager_names())
def alertmanager_program(request: pytest.FixtureRequest) -> AlertmanagerProgram:
    """Each version of Alertmanager that is here, with its `amtool`."""
    return programs.find_alertmanager(request.param)


@pytest.fixture
def start_alertmanager(alertmanager_program: AlertmanagerProgram, tmp_path: Path) -> Iterator[AlertmanagerStarter]:
    """`start_alertmanager(config_text)` returns the address of a real Alertmanager, once for each version."""
    starter = AlertmanagerStarter(tmp_path, program=alertmanager_program)
    yield starter
    starter.stop_all()


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[PrometheusStarter]:
    """`start_prometheus(config_text, rules={name: text})` returns the address of a real Prometheus."""
    starter = PrometheusStarter(tmp_path, program=programs.find("prometheus", "prometheus"))
    yield starter
    starter.stop_all()


@pytest.fixture
def amtool_path() -> Path:
    """The installed `amtool`."""
    return programs.find("amtool", "amtool")


@pytest.fixture
def promtool_path() -> Path:
    return programs.find("promtool", "promtool")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One throwaway PostgreSQL for all tests of this process."""
    cluster = PostgresCluster(programs.find_postgres())
    yield cluster
    cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """`postgresql://postgres@127.0.0.1:PORT/NAME` of a database that is new and empty for each test."""
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    """A service for a channel of type http: a relay that speaks only to it starts in half the time."""
    async with FakeGateway() as server:
        yield server


@pytest.fixture
def chromium_path() -> Path:
    """A Chromium for playwright's `executable_path`."""
    return programs.find_chromium()


@pytest.fixture
def payload() -> Callable[..., bytes]:
    """The loader of recorded webhook bodies: `payload("mixed_group.02", "0.25.0")`."""
    return recorded.payload
