"""The checksum of a saved folder, by the rule of the operators' PowerShell backup script, computed anew from its files.

The rule: SHA-256 of the SHA-256s, each in upper-case hex, of the files in all subfolders, hidden ones left out, sorted by
their full paths in the order of the culture. So a file's name counts only for its place in that order.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import unicodedata
from dataclasses import dataclass
from itertools import groupby, islice, permutations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: What the script writes for a folder without files, in the place of a checksum.
EMPTY_FOLDER: Final = "EMPTY_DIRECTORY"
#: How much of a file is in memory at once, in bytes.
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that counts.

    :ivar name: its path below the saved folder, with ``/``.
    :ivar path: where its bytes are: where it is a symbolic link, what that leads to.
    :ivar size: in bytes.
    """

    name: str
    path: Path
    size: int


# --- which files count ------------------------------------------------------------------------------------------------


def survey(saved: Path, backup: Path, *, from_windows: bool) -> tuple[list[SavedFile], list[str]]:
    """The files that the script counts in ``saved``, and in words what stands in the way of reading them.

    A link to a file counts as that file and one to a folder is passed over, as PowerShell does, but one that leads out of
    ``backup`` is not followed and stands in the way: what it leads to was not saved.

    :param saved: a folder, or a single file. No link.
    :param backup: the folder that no link may lead out of. No link.
    :param from_windows: was it saved on Windows? There an attribute hides a file (not known here unless this is Windows),
        elsewhere a leading dot does.
    """
    files: list[SavedFile] = []
    problems: list[str] = []
    waiting = [saved]
    try:
        if not saved.is_dir():
            return [_saved_file(saved.name, saved)], []
    except (OSError, ValueError) as error:
        return [], [_unreadable(saved, error)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = [entry for entry in found if not _is_hidden(entry, from_windows=from_windows)]
        except OSError as error:
            problems.append(_unreadable(folder, error))
            continue
        for entry in entries:
            path = Path(entry.path)
            try:
                if _is_link(entry):
                    path = Path(os.path.realpath(path))
                    if not path.is_relative_to(backup):
                        problems.append(f"'{entry.path}' is a link that leads out of the backup")
                        continue
                    if path.is_dir():
                        continue
                if path.is_dir():
                    waiting.append(path)
                else:
                    files.append(_saved_file(Path(entry.path).relative_to(saved).as_posix(), path))
            except (OSError, ValueError) as error:
                problems.append(_unreadable(path, error))
    return files, problems


def _saved_file(name: str, path: Path) -> SavedFile:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
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
    return f"'{path}' cannot be read ({error.strerror if isinstance(error, OSError) else error})"


# --- digests ----------------------------------------------------------------------------------------------------------


def digest(file: SavedFile, count: Callable[[int], None]) -> str:
    """The SHA-256 of a file, in upper-case hex. ``count`` is told how many bytes each piece had.

    :raises OSError: the file cannot be read.
    """
    sha256 = hashlib.sha256()
    with file.path.open("rb", buffering=0) as opened:
        while piece := opened.read(_PIECE):
            sha256.update(piece)
            count(len(piece))
    return sha256.hexdigest().upper()


def is_checksum(text: str, digests: dict[str, str], *, from_5_1: bool) -> bool:
    """Is ``text`` the script's checksum of a folder?

    :param digests: of each file that counts, by its name.
    :param from_5_1: did Windows PowerShell 5.1 compute it? Its order is inferred, so that of PowerShell 7 is good as well.
    """
    if not digests:
        return text == EMPTY_FOLDER
    keys = (culture_key, word_sort_key) if from_5_1 else (culture_key,)
    return any(text.upper() == candidate for key in keys for candidate in _checksums(digests, key))


def _checksums(digests: dict[str, str], key: Callable[[str], Any]) -> Iterator[str]:
    """The checksum; each of the possible ones where names differ in case alone, which the order leaves open.

    Bounded: names that differ so are rare, and a folder made of them must not keep us busy for ever.
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


# --- the order of the culture -----------------------------------------------------------------------------------------

#: In this order before digits and letters; a space comes before them. PowerShell 7 takes it from Unicode's root collation.
_PUNCTUATION: Final = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
#: The same in Windows PowerShell 5.1, after Microsoft's weight tables. Not seen in a real one.
_PUNCTUATION_5_1: Final = '!"#$%&()*,./:;?@[\\]^_`{|}~+<=>'
#: Letters that Unicode does not take apart, although they sort as if it did.
_LETTERS: Final = str.maketrans({"ø": "o\u0338", "ł": "l\u0338", "æ": "ae", "œ": "oe"})


def culture_key(name: str, punctuation: str = _PUNCTUATION) -> tuple[list[tuple[int, str]], list[str]]:
    """What PowerShell 7 sorts by: space and punctuation, digits, letters; accents among equals only, case not at all.

    Cultures that order letters in their own way (Danish has å after z) are not known here.
    """
    weights: list[tuple[int, str]] = []
    accents: list[str] = []
    for character in unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS)):
        category = unicodedata.category(character)[0]
        if category == "M" and accents:
            accents[-1] += character
        elif category not in "CM":
            rank = punctuation.find(character) + 1 or {"Z": 0, "P": 100, "S": 101, "N": 102}.get(category, 103)
            weights.append((rank, character))
            accents.append("")
    return weights, accents


def word_sort_key(name: str) -> tuple[object, ...]:
    """What Windows PowerShell 5.1 sorts by: hyphens and apostrophes count among equals only (inferred).

    Its paths have backslashes, which that order does not have beside the slash.
    """
    name = name.replace("/", "\\")
    bare = name.replace("-", "").replace("'", "")
    return culture_key(bare, _PUNCTUATION_5_1), len(name) - len(bare), culture_key(name)
