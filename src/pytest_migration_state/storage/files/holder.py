"""The process that holds a lock, in words: named only if it lives and holds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_migration_state.json_codec import decode_object, to_json_bytes
from pytest_migration_state.storage.identity import this_host
from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

#: How a record begins. Windows locks the first byte of the file, and nobody else may read it then: the record
#: is behind it.
_START: Final = b'{"pid":'
RECORD_AT: Final = 1
RECORD_LIMIT: Final = 1024


# Constants of the Windows API (winnt.h, minwinbase.h).
_QUERY_LIMITED_INFORMATION: Final = 0x1000
_STILL_ACTIVE: Final = 259


def own_record() -> bytes:
    """Return the content of a lock file while this process holds it."""
    command = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    record = to_json_bytes({"pid": os.getpid(), "host": this_host(), "command": command})
    return b" " * RECORD_AT + record[: RECORD_LIMIT - 1] + b"\n"


def is_record(content: bytes) -> bool:
    """Return True if this is a record, whole or cut short.

    :param content: the content of the lock file from its second byte on.
    """
    return content.startswith(_START) or _START.startswith(content)


def holder_in_words(file: os.stat_result, record: bytes) -> str | None:
    """Return who holds the lock on a file; ``None`` if that cannot be said with certainty.

    :param record: the content of the file from its second byte on: who took the lock last, as it said itself.
        Except on Linux, it is removed when the lock is released.
    """
    try:
        fields = decode_object(record)
    except ValueError:
        fields = {}
    if sys.platform == "linux":
        return _named(fields, _pids_in_proc(file))
    process_id = fields.get("pid")
    return _named(fields, [process_id] if type(process_id) is int else [])


def _pids_in_proc(file: os.stat_result) -> list[int]:
    """Return the processes of this namespace that hold a lock on a file (proc(5), /proc/locks)."""
    if sys.platform != "linux":
        return []
    where = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    try:
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    return [process_id for process_id in (_pid_in(line, where) for line in lines) if process_id > 0]


def _pid_in(line: str, where: str) -> int:
    """Return the process that holds the lock in a line of ``/proc/locks``, if it is one on this file; else 0.

    The line is ``1: FLOCK  ADVISORY  WRITE 1234 fe:00:2154499 0 EOF``. That of a process that waits has
    ``->`` after the number.
    """
    fields = line.split()
    return int(fields[4]) if fields[5:6] == [where] else 0


def _named(record: JsonObject, pids: list[int]) -> str | None:
    host = this_host()
    alive = [process_id for process_id in pids if _is_process(process_id)]
    if record.get("pid") in alive and record.get("host") == host:
        return to_printable(f"process {record['pid']} on {host} ({record.get('command')})")
    if alive and sys.platform == "linux":
        return to_printable(f"process {alive[0]} on {host}")
    return None


if sys.platform == "win32":

    def _is_process(process_id: int) -> bool:
        """Return True if there is certainly a process with this id on this machine."""
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        handle = wintypes.HANDLE(kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, 0, process_id))
        if not handle:
            return False
        try:
            code = wintypes.DWORD()
            return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == _STILL_ACTIVE
        finally:
            kernel.CloseHandle(handle)

else:

    def _is_process(process_id: int) -> bool:
        """Return True if there is certainly a process with this id on this machine."""
        if process_id <= 0:
            # Signals would go to many.
            return False
        try:
            os.kill(process_id, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        return True
