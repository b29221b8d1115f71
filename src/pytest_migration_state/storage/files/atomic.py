"""Atomic replacement of files, so that no reader ever finds an incomplete one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pytest_migration_state.regular_files import FLAGS, despite_sharing, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

#: The identity of a file, whatever its name: device and inode number.
Identity = tuple[int, int]

# Bound at import: a test may replace os.fstat and the like, for a whole module.
fstat: Final = os.fstat
stat_at: Final = os.stat
_close: Final = os.close

_TEMPORARY: Final = ".tmp-"
#: What the owner of a file beside the document needs, even if the document is read-only.
OWNERS: Final = stat.S_IRUSR | stat.S_IWUSR
#: The attribute that holds the access control list of a file, on Linux (acl(5), xattr(7)).
_ACL: Final = "system.posix_acl_access"


def identity(found: os.stat_result) -> Identity:
    """Return the identity of a file."""
    return found.st_dev, found.st_ino


def appearance(path: Path) -> tuple[int, ...] | None:
    """Return what a file looks like without being read: its identity, its size, the time of its last change.

    :returns: ``None`` if there is no file.
    """
    try:
        found = stat_at(path)
    except OSError:
        return None
    return *identity(found), found.st_size, found.st_mtime_ns


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


def write_temporary(
    target: Path, pieces: Iterable[bytes], patch: Callable[[], tuple[int, bytes]] | None = None
) -> Path:
    """Write ``pieces`` to a new file beside ``target``, flush it and return its path.

    The file has the mode of ``target``. Its name is random and it is created exclusively: a link planted in
    its place is not followed.

    :param patch: called when everything is written; returns an offset, and bytes to be written there.
    :raises OSError: it cannot be written; the new file is removed.
    """
    temporary = target.with_name(f"{target.name}{_TEMPORARY}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 16) as file:
            keep_access(descriptor, target)
            file.writelines(pieces)
            if patch:
                offset, content = patch()
                file.seek(offset)
                file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(temporary)
        raise
    return temporary


def keep_access(descriptor: int, other: Path, *, more: int = 0) -> None:
    """Give a new file the access of another one, so that whoever could use that one can use this one too.

    That is its owner and group, where this process may give files away, its mode, and its POSIX access
    control list. Nothing is done if the other one is missing.

    :param more: rights to add to the mode of the other one.
    :raises OSError: the access control list cannot be copied.
    """
    if sys.platform == "win32":
        # A new file inherits the access of its folder.
        return
    try:
        old = other.stat()
    except (FileNotFoundError, PermissionError):
        return
    new = os.fstat(descriptor)
    # The mode first: who gives a file away may not be allowed to change it afterwards.
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) | more)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except OSError:
            with contextlib.suppress(OSError):
                os.fchown(descriptor, -1, old.st_gid)
    if sys.platform == "linux" and (acl := _access_control_list(other)):
        os.setxattr(descriptor, _ACL, acl)


def _access_control_list(path: Path) -> bytes | None:
    """Return the POSIX access control list of a file; ``None`` if it has none."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.getxattr(path, _ACL)
    return None


def replace(temporary: Path, target: Path) -> None:
    """Replace ``target`` by ``temporary`` and flush the folder.

    :raises OSError: the operating system refused; ``temporary`` is removed and ``target`` is unchanged.
    """
    try:
        despite_sharing(lambda: os.replace(temporary, target))
    except OSError:
        remove(temporary)
        raise
    flush_folder(target.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there.

    :raises OSError: the operating system refused.
    """
    despite_sharing(lambda: path.unlink(missing_ok=True))


def set_aside(path: Path, kind: str, content: bytes) -> str:
    """Keep ``content`` in a file beside ``path``, and return its name: a new one if it is not kept already.

    The name consists of the name of ``path``, ``kind`` and the time.

    :raises OSError: it cannot be written.
    """
    prefix = f"{path.name}.{kind}-"
    for name in os.listdir(path.parent):
        if name.startswith(prefix) and _holds(path.with_name(name), content):
            return name
    aside = path.with_name(f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    replace(write_temporary(path, [content]), aside)
    return aside.name


def _holds(path: Path, content: bytes) -> bool:
    """Return True if a file certainly holds ``content``."""
    with contextlib.suppress(OSError):
        return path.stat().st_size == len(content) and read_regular(path) == content
    return False


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
    """Remove temporary files of killed writers: files whose names :func:`write_temporary` makes.

    Call this only under the lock: the file of a running writer looks the same.
    """
    made = re.compile(f"({'|'.join(map(re.escape, names))}){re.escape(_TEMPORARY)}[0-9a-f]{{16}}")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if made.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
