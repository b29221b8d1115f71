"""The checksum of a saved folder, computed by the rule of the operators' PowerShell script.

The rule: SHA-256 of the SHA-256s, each in upper-case hex, of the files in all subfolders, hidden ones left
out, sorted by their full paths in the order of the culture. So a file's name matters only for its place in
that order.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from itertools import groupby, islice, permutations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.importers.backup.collation import culture_key, word_sort_key
from pytest_migration_state.regular_files import open_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The text that the script writes instead of a checksum for a folder without files.
EMPTY_FOLDER: Final = "EMPTY_DIRECTORY"
#: How much of a file is read at once, in bytes.
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that counts for the checksum.

    :ivar name: its path below the saved folder, with ``/``.
    :ivar path: where its bytes are; for a symbolic link its target.
    :ivar size: its size in bytes.
    """

    name: str
    path: Path
    size: int


# --- which files count --------------------------------------------------------------------------------------


def list_files(saved: Path, backup: Path, *, from_windows: bool) -> tuple[list[SavedFile], list[str]]:
    """Return the files that the script counts in ``saved``, and the problems in reading them, in words.

    A link to a file counts as that file, and a link to a folder is skipped, as PowerShell does. A link that
    leads out of ``backup`` is not followed and is a problem: its target was not saved.

    :param saved: a folder, or a single file; not a link.
    :param backup: the folder that no link may lead out of; not a link.
    :param from_windows: whether it was saved on Windows, where an attribute hides a file (not visible here
        unless this is Windows); elsewhere a leading dot does.
    """
    try:
        if not saved.is_dir():
            return [_saved_file(saved.name, saved)], []
    except (OSError, ValueError) as error:
        return [], [_unreadable(saved, error)]
    files: list[SavedFile] = []
    problems: list[str] = []
    waiting = [saved]
    while waiting:
        for entry in _entries(waiting.pop(), problems, from_windows=from_windows):
            path = Path(entry.path)
            try:
                target = _target(entry, backup)
                if target is None:
                    continue
                path = target
                if path.is_dir():
                    waiting.append(path)
                else:
                    files.append(_saved_file(Path(entry.path).relative_to(saved).as_posix(), path))
            except _LeadsOutError as error:
                problems.append(str(error))
            except (OSError, ValueError) as error:
                problems.append(_unreadable(path, error))
    return files, problems


def _entries(folder: Path, problems: list[str], *, from_windows: bool) -> list[os.DirEntry[str]]:
    """Return what is in a folder and not hidden; add to ``problems`` if the folder cannot be read."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not _is_hidden(entry, from_windows=from_windows)]
    except OSError as error:
        problems.append(_unreadable(folder, error))
        return []


class _LeadsOutError(Exception):
    """A link leads out of the backup."""


def _target(entry: os.DirEntry[str], backup: Path) -> Path | None:
    """Return the file or folder that an entry leads to; ``None`` for a link to a folder, to be skipped."""
    if not _is_link(entry):
        return Path(entry.path)
    target = Path(os.path.realpath(entry.path))
    if not target.is_relative_to(backup):
        raise _LeadsOutError(f"'{entry.path}' is a link that leads out of the backup")
    return None if target.is_dir() else target


def _saved_file(name: str, path: Path) -> SavedFile:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
    return SavedFile(name, path, found.st_size)


def _is_hidden(entry: os.DirEntry[str], *, from_windows: bool) -> bool:
    if not from_windows:
        return entry.name.startswith(".")
    attributes: int = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)


def _is_link(entry: os.DirEntry[str]) -> bool:
    if sys.version_info >= (3, 12) and entry.is_junction():
        return True
    return entry.is_symlink()


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"'{path}' is missing"
    reason = error.strerror if isinstance(error, OSError) else error
    return f"'{path}' cannot be read ({reason})"


# --- digests ------------------------------------------------------------------------------------------------


def digest(file: SavedFile, count: Callable[[int], None]) -> str:
    """Return the SHA-256 of a file, in upper-case hex.

    :param count: called with the number of bytes of each piece that was read.
    :raises OSError: the file cannot be read, or is not as long as it was.
    """
    sha256 = hashlib.sha256()
    size = 0
    with open_to_read(file.path) as opened:
        # A file of the kernel has no size, and may never end.
        while size <= file.size and (piece := opened.read(_PIECE)):
            sha256.update(piece)
            size += len(piece)
            count(len(piece))
    if size != file.size:
        raise OSError(errno.EAGAIN, "it changed while it was read")
    return sha256.hexdigest().upper()


def is_checksum(text: str, digests: dict[str, str], *, from_5_1: bool) -> bool:
    """Return True if ``text`` is the script's checksum of a folder.

    :param digests: the digest of each file that counts, by name.
    :param from_5_1: whether Windows PowerShell 5.1 computed it. Its order is inferred, so that of PowerShell
        7 is accepted too.
    """
    if not digests:
        return text == EMPTY_FOLDER
    keys = (culture_key, word_sort_key) if from_5_1 else (culture_key,)
    return any(text.upper() == candidate for key in keys for candidate in _checksums(digests, key))


def _checksums(digests: dict[str, str], key: Callable[[str], Any]) -> Iterator[str]:
    """Yield the possible checksums: more than one if names differ only in case, so that their order is open.

    Their number is limited: such names are rare, and a folder full of them must not take forever.
    """
    alike = [list(names) for _, names in groupby(sorted(digests, key=key), key)]
    orders = product(*(permutations(names) if len(names) < 5 else [tuple(names)] for names in alike))
    for order in islice(orders, 1000):
        yield _sha256(digests[name] for names in order for name in names)


def _sha256(pieces: Iterable[str]) -> str:
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece.encode())
    return sha256.hexdigest().upper()
