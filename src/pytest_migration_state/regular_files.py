"""Opening files at names that other people may have prepared.

A pipe makes whoever opens it wait for its other end. A device may act when it is opened, and never end when
it is read. A link leads to somebody else's file. So a file is examined before it is opened, opened without
waiting, and examined again when it is open.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Result = TypeVar("_Result")

#: Flags that are not on every platform. Non-blocking, for a pipe that takes the place of a file just now.
FLAGS: Final = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}
#: How often a file is opened again because it was created or deleted in between.
_ATTEMPTS: Final = 10
#: How long to wait for another program that keeps a file to itself, in seconds: a virus scanner or an editor
#: on Windows, a file server with a lease.
SHARING_PATIENCE: Final = 3.0

# Bound at import: a test may replace os.open and the like, for a whole module.
_open: Final = os.open
_close: Final = os.close
_fstat: Final = os.fstat


def despite_sharing(operation: Callable[[], _Result], patience: float = SHARING_PATIENCE) -> _Result:
    """Return the result of ``operation``.

    It is repeated while another program keeps the file to itself: on Windows while that has it open or
    locked, elsewhere until it has given up its lease (fcntl(2)).

    :param patience: how long another program may keep the file to itself, in seconds.
    :raises OSError: what ``operation`` raises; because of another program only after ``patience``.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return operation()
        except (PermissionError, BlockingIOError) as error:
            is_shared = sys.platform == "win32" or isinstance(error, BlockingIOError)
            if not is_shared or time.monotonic() > deadline:
                raise
            # For a random time, so as not to stay in step with a program that opens it again and again.
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311  # a pause, no secret


def open_regular(path: Path, *, writable: bool = False) -> int:
    """Open a regular file and return its descriptor. Symbolic links are followed.

    :raises OSError: it cannot be opened, or it is no regular file.
    """
    descriptor, _ = _opened(path, FLAGS | (os.O_RDWR if writable else os.O_RDONLY))
    return descriptor


def open_own(path: Path, *, append: bool = False) -> tuple[int, bool]:
    """Open a file that this package writes, for reading and writing; create it if it is missing.

    It is a regular file that is reached through no symbolic link and has no second name.

    :param append: whether each write goes to the end of the file.
    :returns: its descriptor, and True if it was created.
    :raises OSError: it cannot be opened, or it is not such a file.
    """
    flags = FLAGS | _NO_FOLLOW | os.O_RDWR
    if append:
        flags |= os.O_APPEND
    descriptor, is_new = _opened(path, flags, create=True, follow=False)
    _check_single(descriptor)
    return descriptor, is_new


def open_single(path: Path, *, writable: bool = False) -> int:
    """Open a regular file that is reached through no symbolic link and has no second name.

    :returns: its descriptor.
    :raises OSError: it cannot be opened, or it is not such a file.
    """
    flags = FLAGS | _NO_FOLLOW | (os.O_RDWR | os.O_APPEND if writable else os.O_RDONLY)
    descriptor, _ = _opened(path, flags, follow=False)
    _check_single(descriptor)
    return descriptor


def _check_single(descriptor: int) -> None:
    """Check that an open file has no second name.

    :raises OSError: it has; it is closed.
    """
    names = _fstat(descriptor).st_nlink
    if names > 1:
        _close(descriptor)
        raise OSError(
            errno.EMLINK, f"it has {names} names (hard links), and a write would change all of them"
        )


def open_to_read(path: Path) -> BinaryIO:
    """Open a regular file to be read.

    :raises OSError: it cannot be opened, or it is no regular file.
    """
    return os.fdopen(despite_sharing(lambda: open_regular(path)), "rb")


def read_regular(path: Path, patience: float = SHARING_PATIENCE) -> bytes:
    """Return the content of a regular file.

    :param patience: how long another program may keep the file to itself, in seconds.
    :raises OSError: it cannot be read, or it is no regular file.
    """

    return _content(lambda: open_regular(path), patience)


def read_single(path: Path) -> bytes:
    """Return the content of a regular file that is no link and has no second name.

    :raises OSError: it cannot be read, or it is not such a file.
    """
    return _content(lambda: open_single(path), SHARING_PATIENCE)


def _content(opened: Callable[[], int], patience: float) -> bytes:
    def content() -> bytes:
        with os.fdopen(opened(), "rb") as file:
            return file.read()

    return despite_sharing(content, patience)


def check_regular(path: Path, found: os.stat_result) -> None:
    """Check that the file at ``path`` is a regular one.

    :raises OSError: it is something else; :class:`IsADirectoryError` for a folder.
    """
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind} and not a regular file", str(path))


def _opened(path: Path, flags: int, *, create: bool = False, follow: bool = True) -> tuple[int, bool]:
    """Return the descriptor, and True if the file was created."""
    for _ in range(_ATTEMPTS):
        try:
            check_regular(path, path.stat(follow_symlinks=follow))
            descriptor = _open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
            # Exclusively: Linux refuses to create what is there already in a folder that everybody may write
            # to (fs.protected_regular in proc(5)), and a link that leads nowhere is not followed.
            try:
                return _open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
            except FileExistsError:
                continue
        try:
            check_regular(path, _fstat(descriptor))
        except OSError:
            _close(descriptor)
            raise
        return descriptor, False
    raise OSError(errno.EAGAIN, "another program keeps creating and deleting it", str(path))


def is_empty(file: BinaryIO) -> bool:
    """Return True if an open file has no content."""
    return os.fstat(file.fileno()).st_size == 0
