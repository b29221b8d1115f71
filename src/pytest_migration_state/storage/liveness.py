"""The liveness of a run, found out from the host, the id and the start time of its process.

A process id alone is not enough: the operating system reuses it once the process has ended.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_migration_state.text import to_storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_migration_state.types import JsonObject, Liveness

#: Errors after which the start time of a process stays unknown.
_UNKNOWN: Final = (OSError, ValueError, IndexError, OverflowError, subprocess.SubprocessError)
# Constants of the Windows API (winnt.h, winerror.h, minwinbase.h).
_QUERY_LIMITED_INFORMATION: Final = 0x1000
_INVALID_PARAMETER: Final = 87
_STILL_ACTIVE: Final = 259
# Bound at import: a test may replace os.getpid and not restore it.
_getpid: Final = os.getpid
#: The runs of this process that have begun and not ended, by their id.
_running_here: Final[set[str]] = set()


def this_host() -> str:
    """Return the name of this machine, as it is stored."""
    return to_storable(socket.gethostname())


def this_process() -> JsonObject:
    """Return host, process id and start of this process, as a run records them.

    An unknown start is left out.
    """
    found: JsonObject = {"host": this_host(), "process_id": _getpid()}
    with contextlib.suppress(*_UNKNOWN):
        found["process_start"] = process_start(_getpid())
    return found


def begin_here(run_id: str) -> None:
    """Note that a run of this process begins: one process may have several, one after the other."""
    _running_here.add(run_id)


def end_here(run_id: str) -> None:
    """Note that a run of this process has ended."""
    _running_here.discard(run_id)


def liveness_of(runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
    """Return whether each of these open runs is alive, by id."""
    return {run_id: _liveness(run_id, run) for run_id, run in runs.items()}


def _liveness(run_id: str, run: object) -> Liveness:
    if not isinstance(run, dict):
        return "unknown"
    if run.get("finished_at"):
        return "dead"
    process_id, started = run.get("process_id"), run.get("process_start")
    if run.get("host") != this_host() or type(process_id) is not int or not _is_visible_here(started):
        return "unknown"
    if process_id == _getpid() and run_id not in _running_here:
        return "dead"
    return _process_liveness(process_id, started)


def _process_liveness(process_id: int, started: object) -> Liveness:
    """Return whether the process that had this id and this start still runs."""
    try:
        return "alive" if process_start(process_id) == started else "dead"
    except ProcessLookupError:
        return "dead"
    except _UNKNOWN:
        return "unknown"


def is_process(process_id: int) -> bool:
    """Return True if there is certainly a process with this id on this machine."""
    try:
        process_start(process_id)
    except _UNKNOWN:
        return False
    return True


def process_start(process_id: int) -> str:
    """Return a string that identifies this process among all that ever have this id.

    :raises ProcessLookupError: there is no such process.
    :raises OSError: its start cannot be learned (also ``ValueError`` or ``subprocess.SubprocessError``).
    """
    if sys.platform == "win32":
        return _start_on_windows(process_id)
    if sys.platform == "darwin":
        return _start_by_ps(process_id)
    return _start_in_proc(process_id)


def _start_in_proc(process_id: int) -> str:
    """Return the start on Linux: boot, process id namespace, and clock ticks since the boot.

    Source: proc(5), /proc/pid/stat, field 22.
    """
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        # Processes of other users may be hidden in /proc; then this raises PermissionError.
        os.kill(process_id, 0)
        raise
    # The second field is the command in brackets, and may contain spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        raise ProcessLookupError(process_id)
    return f"{_namespace()} {fields[19]}"


def _namespace() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115  # it names no file


def _is_visible_here(started: object) -> bool:
    """Return True if a process with this start is visible here.

    Containers may share a host name, but not processes.
    """
    if not isinstance(started, str):
        return False
    if sys.platform in {"win32", "darwin"}:
        return True
    try:
        return started.rpartition(" ")[0] == _namespace()
    except OSError:
        return False


def _start_by_ps(process_id: int) -> str:
    """Return the start on macOS, to the second, as ps prints it."""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(process_id)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(  # noqa: S603  # a number
        command, capture_output=True, text=True, timeout=5, check=False, env=environment
    )
    if not (start := done.stdout.strip()):
        raise ProcessLookupError(process_id)
    return start


if sys.platform == "win32":

    def _start_on_windows(process_id: int) -> str:
        """Return the start on Windows: the creation time, in units of 100 ns since 1601 (GetProcessTimes)."""
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        handle = wintypes.HANDLE(kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, 0, process_id))
        if not handle:
            error = ctypes.get_last_error()
            raise ProcessLookupError(process_id) if error == _INVALID_PARAMETER else ctypes.WinError(error)
        try:
            code, created, other = (
                wintypes.DWORD(),
                wintypes.FILETIME(),
                [wintypes.FILETIME() for _ in range(3)],
            )
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
