"""Kill a process at its n-th system call, or make its n-th call fail, with strace.

The process is forked from this one, stops, and continues when strace is attached: only the calls of the
operation under test are counted, and no interpreter has to start. For a whole program see :func:`command`.

``when=n`` of ``strace`` counts each system call's name separately, so each name has its own loop: the first
openat, the second, … and the first write, the second, …, until the operation succeeds.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from processes import Child, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The calls that change a state. Those with a question mark do not exist on every machine.
CHANGING: Final = (
    "openat", "write", "?pwrite64", "fsync", "ftruncate", "flock", "fchmod", "?rename", "?renameat",
    "renameat2", "?unlink", "unlinkat", "?mkdir", "mkdirat",
)  # fmt: skip

_PR_SET_PTRACER: Final = 0x59616D61
_KILLED: Final = -9


def _missing() -> str | None:
    """Return the reason why strace cannot be used here, or ``None`` if it can."""
    if sys.platform != "linux":
        return "strace is a tool of Linux"
    if not shutil.which("strace"):
        return "strace is not installed"
    child = start(lambda: time.sleep(20))
    tracer = subprocess.Popen(
        ["strace", "-qq", "-o", os.devnull, "-p", str(child.pid)], stderr=subprocess.PIPE
    )
    try:
        _await_tracer(child.pid, tracer)
    except AssertionError as error:
        return f"strace may not attach itself here: {error}"
    finally:
        child.kill()
        tracer.communicate()
    return None


def needs_strace() -> None:
    """Skip the calling test, with the reason, if strace cannot be used."""
    if reason := _missing():
        pytest.skip(reason)


def run_with(inject: str, operation: Callable[[], object], *, trace: str = "", log: str = os.devnull) -> int:
    """Run ``operation`` in a forked process under ``strace -e inject=INJECT``, and return its exit status.

    A negative status is that of a signal. After an exception in the operation the status is 1.

    :param trace: the calls to write to ``log``; by default those of ``inject``.
    """
    go, begin = os.pipe()

    def wait_and_work() -> None:
        # Needed where Yama allows a process to trace only its own children.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        poller = select.poll()
        poller.register(go)
        poller.poll()
        operation()

    child = start(wait_and_work)
    options = ["-e", f"trace={trace or inject.partition(':')[0]}"]
    if inject:
        options += ["-e", f"inject={inject}"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", log, *options, "-p", str(child.pid)], stderr=subprocess.PIPE
    )
    try:
        _await_tracer(child.pid, tracer)
        os.write(begin, b"!")
        return child.wait()
    finally:
        child.kill()
        os.close(go)
        os.close(begin)
        tracer.communicate()


def _await_tracer(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        assert tracer.poll() is None and time.monotonic() < deadline, tracer.communicate()[1].decode()
        time.sleep(0.001)


def killed_at_each_call(
    operation: Callable[[], object], *, reset: Callable[[], object], calls: tuple[str, ...] = CHANGING
) -> Iterator[tuple[str, int]]:
    """Kill ``operation`` at its first system call of each name, the second, …; yield name and number.

    The operation must succeed when it is not killed.

    :param reset: restores the initial state; called before each attempt.
    """
    for call in calls:
        for number in range(1, 1000):
            reset()
            status = run_with(f"{call}:signal=SIGKILL:when={number}", operation)
            if status != _KILLED:
                assert status == 0
                break
            yield call, number


def failed_at_each_call(
    operation: Callable[[], object], call: str, error: str, *, reset: Callable[[], object]
) -> Iterator[tuple[int, int]]:
    """Make the first call of this name fail with ``error``, then the second, …; yield number and exit status.

    :param reset: restores the initial state; called before each attempt.
    """
    reset()
    for number in range(1, calls_made(operation, call) + 1):
        reset()
        yield number, run_with(f"{call}:error={error}:when={number}", operation)


def calls_made(operation: Callable[[], object], call: str) -> int:
    """Run ``operation``, and return the number of times that it makes this call."""
    with tempfile.NamedTemporaryFile("r") as log:
        run_with("", operation, trace=call, log=log.name)
        return sum("(" in line and "resumed>" not in line for line in log)


def command(*arguments: str) -> Callable[[], object]:
    """Return a whole program as an operation. The calls of its interpreter are counted too."""
    return lambda: os.execvp(arguments[0], arguments)


__all__ = [
    "CHANGING",
    "Child",
    "calls_made",
    "command",
    "failed_at_each_call",
    "killed_at_each_call",
    "needs_strace",
    "run_with",
]
