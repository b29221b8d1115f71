"""Forked processes for the reliability tests. Starting an interpreter takes a hundred times as long."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_PR_SET_PDEATHSIG: Final = 1
_started: list[Child] = []


@dataclass
class Child:
    """A forked process.

    :ivar status: its exit status once it was waited for; if negative, the signal that ended it.
    """

    pid: int
    status: int | None = None

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return its exit status, or ``None`` if it is still running."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self, timeout: float = 60.0) -> int:
        """Return its exit status. A child that does not end in time is killed, and the test fails."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"process {self.pid} did not end within {timeout} s")
            time.sleep(0.001)
        return status

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.wait()


def start(function: Callable[[], object]) -> Child:
    """Run ``function`` in a forked process.

    An exception is printed on standard error, and the status is 1.
    """
    with warnings.catch_warnings():
        # Since Python 3.12: "this process is multi-threaded". xdist's workers are, but their thread only
        # waits.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        child = Child(pid)
        _started.append(child)
        return child
    status = 1
    try:
        _end_with_parent()
        function()
        status = 0
    except BaseException:  # noqa: BLE001  # no exception may reach pytest in the child
        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stdout = sys.stderr = None  # pytest's streams contain the parent's buffers
        os._exit(status)


def _end_with_parent() -> None:
    """Kill this child when its parent ends, so that it does not outlive a killed test run. Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill_all() -> None:
    """Kill every child that a test has left running."""
    while _started:
        child = _started.pop()
        if child.poll() is None:
            child.kill()


def run_all(functions: Iterable[Callable[[], object]], timeout: float = 280.0) -> None:
    """Run each function in its own process, all at once, and assert that each succeeds."""
    children = [start(function) for function in functions]
    statuses = [child.wait(timeout) for child in children]
    assert statuses == [0] * len(statuses)


class Words:
    """A pipe of lines from children to their parent. Lines that were sent are kept when a child is killed."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._rest = b""

    def say(self, line: str) -> None:
        os.write(self._writer, line.encode() + b"\n")

    def heard(self, wait: float = 0.0) -> list[str]:
        """Return the lines since the last call. Wait for the first line for up to ``wait`` seconds."""
        select.select([self._reader], [], [], wait)
        with suppress(BlockingIOError):
            while piece := os.read(self._reader, 1 << 16):
                self._rest += piece
        *lines, self._rest = self._rest.split(b"\n")
        return [line.decode() for line in lines]

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
