"""Whether the process of a run still lives: certainly, certainly not, or nobody knows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state.core import liveness
from pytest_migration_state.core.liveness import begin_here, end_here, liveness_of, process_start, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator


def how(run: object) -> str:
    """The liveness of one run, called ``r``."""
    found: dict[str, Any] = {"r": run}
    return str(liveness_of(found)["r"])


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its standard input is closed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as started:
        yield started
        started.kill()


def record_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    return {**this_process(), "process_id": process.pid, "process_start": process_start(process.pid)}


def test_a_process_that_lives_and_one_that_ended(process: subprocess.Popen[bytes]) -> None:
    """Also one that was killed and not yet waited for, which the system still lists."""
    record = record_of(process)
    assert how(record) == "alive"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) if sys.platform != "win32" else process.wait()
    assert how(record) == "dead"
    process.wait()
    assert how(record) == "dead"
    with pytest.raises(ProcessLookupError):
        process_start(process.pid)


def test_a_process_id_that_was_used_again(process: subprocess.Popen[bytes]) -> None:
    """The start tells the two processes apart."""
    place, _, _ = record_of(process)["process_start"].rpartition(" ")
    assert how({**record_of(process), "process_start": f"{place} 1"}) == "dead"


UNKNOWN: dict[str, Any] = {
    "another machine": {"host": "runner-7"},
    "another boot, or another container of the same name": {"process_start": "another boot pid:[1] 5"},
    "recorded by version 0.1.0, without a start": {"process_start": None},
    "no process id": {"process_id": None},
    "a process id that is none": {"process_id": "1"},
    "a process id that no system has": {"process_id": 10**30},
}


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_nothing_is_known(process: subprocess.Popen[bytes], change: dict[str, Any]) -> None:
    """Of a run elsewhere nobody says that it is dead."""
    if sys.platform == "win32" and "process_start" in change and change["process_start"]:
        pytest.skip("Windows names no boot")
    assert how({**record_of(process), **change}) == "unknown"


def test_a_record_that_is_none() -> None:
    """PowerShell's ConvertTo-Json makes text of what is nested too deep for it."""
    assert how("@{started_at=; host=}") == "unknown"


def test_what_cannot_be_asked(process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may not be looked at is not called dead."""
    record = record_of(process)

    def refuse(_: int) -> str:
        raise PermissionError

    monkeypatch.setattr(liveness, "process_start", refuse)
    assert how(record) == "unknown"


def test_several_runs_of_one_process() -> None:
    """One that has ended in this process is dead, although the process lives."""
    assert how(this_process()) == "dead"
    begin_here("r")
    assert how(this_process()) == "alive"
    end_here("r")
    assert how(this_process()) == "dead"


def test_a_run_that_said_that_it_ended() -> None:
    """Nothing more will come of it, wherever it was."""
    assert how({"host": "runner-7", "process_id": 9, "finished_at": "2026-01-15T09:14:00Z"}) == "dead"
