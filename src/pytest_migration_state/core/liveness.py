"""Whether the process of a run still lives, by its host, its process id and the moment at which it was started.

A process id alone is not enough: the operating system gives it to another process once the first has ended.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pytest_migration_state.core.text import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_migration_state.core.document import JsonObject

#: ``unknown``: the run is on another machine, or nothing can be learned of its process.
Liveness = Literal["alive", "dead", "unknown"]

#: What keeps one from learning when a process was started.
_UNKNOWN: Final = (OSError, ValueError, IndexError, OverflowError, subprocess.SubprocessError)
# Windows' names and numbers for what is asked of it (winnt.h, winerror.h, minwinbase.h).
_QUERY_LIMITED_INFORMATION: Final = 0x1000
_INVALID_PARAMETER: Final = 87
_STILL_ACTIVE: Final = 259
# Bound here: a test may replace os.getpid, and leave it so.
_getpid: Final = os.getpid
#: The runs of this process that have begun and not ended, by their id.
_running_here: Final[set[str]] = set()


def this_host() -> str:
    """The name of this machine, as it is stored."""
    return storable(socket.gethostname())


def this_process() -> JsonObject:
    """Host, process id and start of this process, as a run's record has them. ``process_start`` is left out where unknown."""
    found: JsonObject = {"host": this_host(), "process_id": _getpid()}
    with contextlib.suppress(*_UNKNOWN):
        found["process_start"] = process_start(_getpid())
    return found


def begin_here(run_id: str) -> None:
    """Note that a run of this process begins: one process may hold several, one after the other."""
    _running_here.add(run_id)


def end_here(run_id: str) -> None:
    """Note that a run of this process has ended, in whatever way."""
    _running_here.discard(run_id)


def liveness_of(runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
    """Whether each of these open runs still lives, by its id."""
    return {run_id: _liveness(run_id, run) for run_id, run in runs.items()}


def _liveness(run_id: str, run: object) -> Liveness:
    if not isinstance(run, dict):
        return "unknown"
    if run.get("finished_at"):
        return "dead"
    process_id, started = run.get("process_id"), run.get("process_start")
    if run.get("host") != this_host() or type(process_id) is not int or not _shows_its_processes_here(started):
        return "unknown"
    try:
        lives = process_start(process_id) == started
    except ProcessLookupError:
        lives = False
    except _UNKNOWN:
        return "unknown"
    return "alive" if lives and (process_id != _getpid() or run_id in _running_here) else "dead"


def process_start(process_id: int) -> str:
    """A text that is the same for as long as this process lives, and another for every other process of this id.

    :raises ProcessLookupError: there is no such process.
    :raises OSError: nothing can be learned of it (also ``ValueError`` or ``subprocess.SubprocessError``).
    """
    if sys.platform == "win32":
        return _start_on_windows(process_id)
    if sys.platform == "darwin":
        return _start_by_ps(process_id)
    return _start_in_proc(process_id)


def _start_in_proc(process_id: int) -> str:
    """Linux: boot, process id namespace, and clock ticks since the boot (proc(5), /proc/pid/stat, field 22)."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        # Processes of other users may be hidden in /proc; then this raises PermissionError.
        os.kill(process_id, 0)
        raise
    # The second field is the command in brackets, and may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        raise ProcessLookupError(process_id)
    return f"{_namespace()} {fields[19]}"


def _namespace() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115  # it names no file


def _shows_its_processes_here(started: object) -> bool:
    """Whether a process with this start can be seen from here. Containers may share a host's name, and not its processes."""
    if not isinstance(started, str):
        return False
    if sys.platform in {"win32", "darwin"}:
        return True
    try:
        return started.rpartition(" ")[0] == _namespace()
    except OSError:
        return False


def _start_by_ps(process_id: int) -> str:
    """macOS: the start in seconds, as ps prints it."""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(process_id)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, env=environment)  # noqa: S603  # a number
    if not (start := done.stdout.strip()):
        raise ProcessLookupError(process_id)
    return start


if sys.platform == "win32":

    def _start_on_windows(process_id: int) -> str:
        """Windows: the creation time, in units of 100 ns since 1601 (GetProcessTimes)."""
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        handle = wintypes.HANDLE(kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, 0, process_id))
        if not handle:
            error = ctypes.get_last_error()
            raise ProcessLookupError(process_id) if error == _INVALID_PARAMETER else ctypes.WinError(error)
        try:
            code, created, other = wintypes.DWORD(), wintypes.FILETIME(), [wintypes.FILETIME() for _ in range(3)]
            if not (
                kernel.GetExitCodeProcess(handle, ctypes.byref(code))
                and kernel.GetProcessTimes(handle, ctypes.byref(created), *map(ctypes.byref, other))
            ):
                raise ctypes.WinError(ctypes.get_last_error())
            if code.value != _STILL_ACTIVE:
                raise ProcessLookupError(process_id)
            return str(created.dwHighDateTime << 32 | created.dwLowDateTime)
        finally:
            kernel.CloseHandle(handle)
