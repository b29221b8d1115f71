"""What the reliability tests share: where they work, how much they do, and the figures that they print.

``RELIABILITY=full`` in the environment runs the long versions (2,000 rounds of SIGKILL in place of 150, and the like); a
number, such as ``RELIABILITY=0.1``, runs that share of what CI runs.
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

from pytest_migration_state.core import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIGURE = "reliability figure"

if sys.platform == "win32":
    # They fork, send signals and lock with flock.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a sentence with figures, which is printed after the run, also by xdist's controller."""
    return lambda sentence: record_property(_FIGURE, sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        f"{report.nodeid.rpartition('/')[2]}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for name, value in report.user_properties
        if name == _FIGURE
    ]
    if told:
        terminalreporter.section("reliability figures")
        for line in sorted(told):
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """No process that a test has started outlives it, also where it fails."""
    yield
    kill_all()


@pytest.fixture(autouse=True)
def _nothing_in_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes while these tests verify: what is amiss then will be so a moment later."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0.0)


@pytest.fixture
def rounds() -> Callable[[int, int], int]:
    """How often to do it: called with the number in CI and the number of the long version."""

    def choose(ci: int, full: int) -> int:
        wish = os.environ.get("RELIABILITY", "1")
        return full if wish == "full" else max(1, round(ci * float(wish)))

    return choose


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is such a thing: what is tested here does not depend on a disk."""
    memory = Path("/dev/shm")
    place = tempfile.mkdtemp(prefix="migration-", dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(place)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def state(folder: Path) -> Path:
    """Where a state will be."""
    return folder / "migration-state.json"
