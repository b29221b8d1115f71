"""Files that are replaced whole, so that no reader ever finds half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The identity of a file, whatever its name: device and inode number.
Identity = tuple[int, int]

# Bound at import: a test may replace os.fstat and the like, for a whole module.
fstat: Final = os.fstat
stat_at: Final = os.stat
_close: Final = os.close

_TEMPORARY: Final = ".tmp-"
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
#: How long to retry after a sharing violation on Windows, in seconds: a virus scanner or an editor has the
#: file open.
_SHARING_PATIENCE: Final = 3.0


def identity(found: os.stat_result) -> Identity:
    """Return the identity of a file."""
    return found.st_dev, found.st_ino


def is_open_on(descriptor: int, file: Identity) -> bool:
    """Return True if ``descriptor`` is still open on this file.

    A test may close every descriptor of its process, and the next file that it opens then reuses the number.
    """
    try:
        return descriptor >= 0 and identity(fstat(descriptor)) == file
    except OSError:
        return False


def close_own(descriptor: int, file: Identity) -> None:
    """Close ``descriptor`` if it is still open on this file; another file with its number stays open."""
    if is_open_on(descriptor, file):
        _close(descriptor)


def write_temporary(target: Path, pieces: Iterable[bytes]) -> Path:
    """Write ``pieces`` to a new file beside ``target``, with the mode of ``target``, flush it and return its path.

    The name is random and the file is created exclusively: a link planted in its place is not followed.

    :raises OSError: it cannot be written; the new file is removed.
    """
    temporary = target.with_name(f"{target.name}{_TEMPORARY}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 16) as file:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _keep_access(descriptor, target)
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _keep_access(descriptor: int, target: Path) -> None:
    """Give the new file the mode and, so that a state shared by a group stays shared, the group of the old one."""
    if sys.platform == "win32":
        return
    old, new = target.stat(), os.fstat(descriptor)
    if old.st_gid != new.st_gid:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def replace(temporary: Path, target: Path) -> None:
    """Replace ``target`` by ``temporary`` and flush the folder.

    :raises OSError: the operating system refused; ``temporary`` is removed and ``target`` is unchanged.
    """
    deadline = time.monotonic() + _SHARING_PATIENCE
    while True:
        try:
            os.replace(temporary, target)
            break
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                temporary.unlink(missing_ok=True)
                raise
            time.sleep(0.05)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    flush_folder(target.parent)


def set_aside(path: Path, kind: str, content: bytes) -> str:
    """Keep ``content`` in a new file beside ``path``, and return its name: that of ``path``, ``kind`` and the time.

    :raises OSError: it cannot be written.
    """
    aside = path.with_name(f"{path.name}.{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    replace(write_temporary(path, [content]), aside)
    return aside.name


def flush_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to the disk; Windows does so by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, *names: str) -> None:
    """Remove temporary files of killed writers.

    Only under the lock: a running writer's file looks the same.
    """
    prefixes = tuple(name + _TEMPORARY for name in names)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefixes):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
