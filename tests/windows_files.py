"""The semantics of files on Windows, imitated on Linux for the calls that the store makes.

- A file that is open, in whatever process, is neither replaced nor renamed nor deleted: Python opens files
  there without FILE_SHARE_DELETE (error 32, which Python raises as ``PermissionError``).
- A lock is mandatory: while one handle has locked the first byte of a file, no other can read or write it
  (error 33, ``PermissionError`` again).
- A file that another program has open as PowerShell writes it cannot be opened (error 32). A shared lock is
  the sign of it: PowerShell takes one elsewhere, and this package takes none.
- ``O_NOFOLLOW``, ``O_NONBLOCK``, ``fchmod``, ``fchown`` and the flush of a folder do not exist.

Use it as a pytest plugin (``-p windows_files``), or call :func:`install` in a process.
Not imitated: other sharing modes of other programs, code pages, drives and paths.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_FILES: Final = "pytest_migration_state.storage.files"
#: The modules that ask for the platform.
_ASKING: Final = (
    "pytest_migration_state.regular_files",
    f"{_FILES}.atomic",
    f"{_FILES}.document_file",
    f"{_FILES}.holder",
    f"{_FILES}.lock",
    f"{_FILES}.paths",
    f"{_FILES}.waiting",
)
#: How often an operation was refused as Windows refuses it, by its name.
refused: Final[dict[str, int]] = {}
_is_installed = False


class _Windows:
    """The module ``sys`` as it is on Windows."""

    platform = "win32"

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def install() -> None:
    """Imitate Windows in this process, from now on."""
    global _is_installed  # noqa: PLW0603  # it concerns the whole process
    _is_installed = True
    for name in _ASKING:
        vars(import_module(name))["sys"] = _Windows()
    regular_files: Any = import_module("pytest_migration_state.regular_files")
    regular_files.FLAGS = os.O_CLOEXEC
    regular_files._NO_FOLLOW = 0
    regular_files._open = _sharing("open", regular_files._open)
    log_file: Any = import_module(f"{_FILES}.log_file")
    os.replace = _refusing("replace", os.replace)
    os.rename = _refusing("rename", os.rename)
    os.unlink = os.remove = _refusing("unlink", os.unlink)
    os.read = log_file.os_read = _unlocked("read", os.read)
    os.write = log_file.os_write = _unlocked("write", os.write)


def on_windows() -> bool:
    """Return True on Windows and where it is imitated."""
    return sys.platform == "win32" or _is_installed


def pytest_configure() -> None:
    """Install it for a whole run of pytest."""
    install()


def _refusing(name: str, operation: Callable[..., None]) -> Callable[..., None]:
    """Return an operation on paths that fails if one of them is open anywhere."""

    def refuse_open(*paths: Any, **more: Any) -> None:
        if any(_is_open(path) for path in paths if isinstance(path, str | os.PathLike)):
            refused[name] = refused.get(name, 0) + 1
            raise PermissionError(errno.EACCES, "it is being used by another process", str(paths[0]))
        operation(*paths, **more)

    return refuse_open


def _sharing(name: str, operation: Callable[..., int]) -> Callable[..., int]:
    """Return an operation that opens a file, and fails if another program shares it with nobody."""

    def refuse_unshared(path: Any, *arguments: Any) -> int:
        if Path(path).is_file() and Path(path).suffix != ".lock" and _is_kept(path):
            refused[name] = refused.get(name, 0) + 1
            raise PermissionError(errno.EACCES, "it is being used by another process", str(path))
        return operation(path, *arguments)

    return refuse_unshared


def _is_kept(path: Any) -> bool:
    """Return True if another program has a shared lock on a file."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        return False
    else:
        return False
    finally:
        os.close(descriptor)


def _is_open(path: Any) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    wanted = found.st_dev, found.st_ino
    return stat.S_ISREG(found.st_mode) and any(
        (opened.st_dev, opened.st_ino) == wanted for opened in _open_files()
    )


def _open_files() -> list[os.stat_result]:
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            descriptors = list(folder.iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            with suppress(OSError):
                found.append(descriptor.stat())
    return found


def _unlocked(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation on a descriptor that fails at the first byte if another handle has locked it."""

    def refuse_locked(descriptor: int, *arguments: Any) -> Any:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and _position(descriptor) == 0 and _is_locked_elsewhere(descriptor):
            refused[name] = refused.get(name, 0) + 1
            raise PermissionError(errno.EACCES, "another process has locked a portion of it")
        return operation(descriptor, *arguments)

    return refuse_locked


def _position(descriptor: int) -> int:
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def _is_locked_elsewhere(descriptor: int) -> bool:
    """Return True if the file is locked, but not through this descriptor."""
    import fcntl

    other = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _flags_of(descriptor) != "locked"
    else:
        return False
    finally:
        os.close(other)


def _flags_of(descriptor: int) -> str:
    """Return ``locked`` if the lock is that of this descriptor (proc(5), /proc/pid/fdinfo)."""
    info = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii")
    return "locked" if "lock:" in info else "free"
