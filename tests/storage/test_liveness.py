"""The liveness of a run's process: alive, dead or unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.storage import liveness
from pytest_migration_state.storage.liveness import (
    begin_here,
    end_here,
    liveness_of,
    process_start,
    this_process,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def liveness_of_one(run: object) -> str:
    """Return the liveness of one run."""
    found: dict[str, Any] = {"r": run}
    return str(liveness_of(found)["r"])


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as started:
        yield started
        started.kill()


def record_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    return {**this_process(), "process_id": process.pid, "process_start": process_start(process.pid)}


def test_a_running_process_is_alive_and_an_ended_one_dead(process: subprocess.Popen[bytes]) -> None:
    """A process that was killed and not yet waited for is dead, although the system still lists it."""
    record = record_of(process)
    assert liveness_of_one(record) == "alive"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) if sys.platform != "win32" else process.wait()
    assert liveness_of_one(record) == "dead"
    process.wait()
    assert liveness_of_one(record) == "dead"
    with pytest.raises(ProcessLookupError):
        process_start(process.pid)


def test_a_reused_process_id_is_recognized(process: subprocess.Popen[bytes]) -> None:
    """The start times distinguish the two processes."""
    place, _, _ = record_of(process)["process_start"].rpartition(" ")
    assert liveness_of_one({**record_of(process), "process_start": f"{place} 1"}) == "dead"


UNKNOWN: dict[str, Any] = {
    "another machine": {"host": "runner-7"},
    "another boot, or another container of the same name": {"process_start": "another boot pid:[1] 5"},
    "recorded by version 0.1.0, without a start": {"process_start": None},
    "no process id": {"process_id": None},
    "a process id that is text": {"process_id": "1"},
    "a process id that no system has": {"process_id": 10**30},
}


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_the_liveness_of_a_run_elsewhere_is_unknown(
    process: subprocess.Popen[bytes], change: dict[str, Any]
) -> None:
    """A run elsewhere is not reported dead."""
    if sys.platform == "win32" and "process_start" in change and change["process_start"]:
        pytest.skip("``process_start`` does not name the boot on Windows")
    assert liveness_of_one({**record_of(process), **change}) == "unknown"


def test_a_record_that_is_not_an_object_is_unknown() -> None:
    """PowerShell's ConvertTo-Json turns deeply nested objects into text."""
    assert liveness_of_one("@{started_at=; host=}") == "unknown"


def test_a_process_that_may_not_be_inspected_is_not_dead(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not reported dead."""
    record = record_of(process)

    def refuse(_: int) -> str:
        raise PermissionError

    monkeypatch.setattr(liveness, "process_start", refuse)
    assert liveness_of_one(record) == "unknown"


def test_an_ended_run_of_a_live_process_is_dead() -> None:
    """A run that has ended is dead, although its process is alive."""
    assert liveness_of_one(this_process()) == "dead"
    begin_here("r")
    assert liveness_of_one(this_process()) == "alive"
    end_here("r")
    assert liveness_of_one(this_process()) == "dead"


def test_a_run_that_recorded_its_end_is_dead() -> None:
    """It is dead, wherever it ran."""
    assert (
        liveness_of_one({"host": "runner-7", "process_id": 9, "finished_at": "2026-01-15T09:14:00Z"})
        == "dead"
    )
