"""Shared by the reliability tests: their folders, the number of rounds, and the figures that they print.

``RELIABILITY=full`` in the environment runs the long versions (2,000 rounds of SIGKILL instead of 150, and so
on). A number, such as ``RELIABILITY=0.1``, runs that share of the default.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import kill_all

from pytest_migration_state.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIGURE = "reliability figure"

if sys.platform == "win32":
    # They fork, send signals and lock with flock.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that takes a sentence with figures and prints it after the run, also under xdist."""
    return lambda sentence: record_property(_FIGURE, sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    sentences = [
        f"{report.nodeid.rpartition('/')[2]}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for name, value in report.user_properties
        if name == _FIGURE
    ]
    if sentences:
        terminalreporter.section("reliability figures")
        for line in sorted(sentences):
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """Kill the processes that a test has left running, even if it failed."""
    yield
    kill_all()


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the second check of ``verify``: nothing is being written when these tests call it."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0.0)


@pytest.fixture
def rounds() -> Callable[[int, int], int]:
    """Return a function that chooses the number of rounds from the default and that of the long version."""

    def choose(ci: int, full: int) -> int:
        wish = os.environ.get("RELIABILITY", "1")
        return full if wish == "full" else max(1, round(ci * float(wish)))

    return choose


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder, in memory if possible: these tests do not depend on a disk."""
    memory = Path("/dev/shm")
    place = tempfile.mkdtemp(prefix="migration-", dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(place)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def state(folder: Path) -> Path:
    """Return the path of a state that does not exist yet."""
    return folder / "migration-state.json"
