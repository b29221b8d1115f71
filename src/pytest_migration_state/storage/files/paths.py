"""The names of a state's files."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.commands import as_operand
from pytest_migration_state.errors import StateDamagedError, StateNotFoundError, StateWriteError
from pytest_migration_state.json_codec import utf16_of
from pytest_migration_state.regular_files import check_regular
from pytest_migration_state.storage.records import IS_UTF16

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The longest name of a file, in bytes (in UTF-16 units on Windows): NAME_MAX of the usual file systems.
_LONGEST_NAME: Final = 255
#: The longest suffix of the document's or the log's name: ``.replaced-20260115T091500.123456Z``.
_LONGEST_SUFFIX: Final = 33
#: What stands between the document's name and the id of a run in the name of its journal.
_JOURNAL: Final = ".run-"
#: The ids of runs that have a journal. Another program may put anything in place of one.
_RUN_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


def audit_log_name(document_name: str) -> str:
    """Return the audit log's name: the document's stem without a final ``-state``, then ``-audit.log``."""
    return Path(document_name).stem.removesuffix("-state") + "-audit.log"


def exists(path: Path) -> bool:
    """Return True if there is something at ``path``, a dangling link included.

    :raises OSError: that cannot be found out.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def ignores_case(path: Path) -> bool:
    """Return True if the file at ``path`` is found under its name in the other case too."""
    try:
        return os.path.samefile(path, path.with_name(path.name.swapcase()))
    except OSError:
        return False


def _as_listed(path: Path) -> Path:
    """Return ``path`` as its folder spells it, if the file system ignores case.

    One document then has one log, whatever case a user types.
    """
    if not path.name or not ignores_case(path):
        return path
    with suppress(OSError):
        alike = [name for name in os.listdir(path.parent) if name.casefold() == path.name.casefold()]
        if alike and path.name not in alike:
            return path.with_name(alike[0])
    return path


class StatePaths:
    """The paths of one state's files.

    :param shown: the path of the document as the user typed it.
    :ivar document: the document. A symbolic link is followed; log and lock are beside its target.
    :ivar log: the audit log.
    :ivar lock: the lock file.
    :raises StateDamagedError: ``shown`` cannot be a document.
    """

    def __init__(self, shown: Path) -> None:
        self.shown = shown
        self.document = _as_listed(Path(os.path.realpath(shown)))
        if not self.document.name:
            raise self.is_folder()
        self.log = self.document.with_name(audit_log_name(self.document.name))
        self.lock = self.document.with_name(self.document.name + ".lock")

    def journal(self, run_id: str) -> Path | None:
        """Return the path of a run's journal; ``None`` if no run can have this id."""
        if not _RUN_ID.fullmatch(run_id):
            return None
        return self.document.with_name(f"{self.document.name}{_JOURNAL}{run_id}")

    def journals(self) -> list[tuple[str, Path]]:
        """Return the id and the path of each journal beside the document."""
        prefix = self.document.name + _JOURNAL
        found = []
        with suppress(OSError), os.scandir(self.document.parent) as entries:
            for entry in entries:
                run_id = entry.name.removeprefix(prefix)
                if run_id != entry.name and _RUN_ID.fullmatch(run_id):
                    found.append((run_id, self.document.with_name(entry.name)))
        return sorted(found)

    def prepare(self, *, create: bool) -> None:
        """Check the paths before the lock is taken and, for a state that may be created, make the folder.

        :raises StateNotFoundError: there is no state, and none is to be created.
        :raises StateDamagedError: there is a folder in the document's place.
        :raises StateWriteError: the folder cannot be reached or made.
        """
        self.check()
        try:
            if create:
                os.makedirs(self.document.parent, exist_ok=True)
            elif not (exists(self.document) or exists(self.log)):
                raise self.not_found()
        except OSError as error:
            what = "created" if create else "reached"
            reason = f"its folder cannot be {what} ({error.strerror})"
            raise StateWriteError(str(self.shown), reason) from error

    def check(self) -> None:
        """Refuse a path that cannot be that of a document, before anything is written.

        :raises StateDamagedError: there is something else in the document's place than a regular file.
        :raises StateWriteError: the name is too long.
        """
        self._check_names()
        try:
            found = self.document.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            reason = f"its folder cannot be reached ({error.strerror})"
            raise StateWriteError(str(self.shown), reason) from error
        try:
            check_regular(self.document, found)
        except IsADirectoryError:
            raise self.is_folder() from None
        except OSError as error:
            reason = f"{error.strerror}; name the state file, such as migration-state.json"
            raise StateDamagedError(str(self.shown), reason) from None

    def _check_names(self) -> None:
        """Refuse a name that leaves no room for the names of the files beside it."""
        for name in (self.document.name, self.log.name):
            size = (
                len(name.encode("utf-16-le", "surrogatepass")) // 2
                if sys.platform == "win32"
                else len(os.fsencode(name))
            )
            if size > _LONGEST_NAME - _LONGEST_SUFFIX:
                limit = _LONGEST_NAME - _LONGEST_SUFFIX
                reason = f"'{name}' has {size} bytes, and the files beside it leave room for {limit}"
                raise StateWriteError(str(self.shown), f"{reason}; give the state a shorter name")

    @contextmanager
    def noting_absence(self, *, absent: bool) -> Iterator[None]:
        """Note in an error that there was no state.

        :param absent: True if there was none.
        """
        try:
            yield
        except Exception as error:
            if absent:
                error.add_note(f"there was no migration state at {self.shown}, and none was created")
            raise

    def is_folder(self) -> StateDamagedError:
        """Return the error for a folder in the document's place."""
        reason = "this is a folder; name the state file in it, such as migration-state.json"
        return StateDamagedError(str(self.shown), reason)

    def not_found(self) -> StateNotFoundError:
        """Return the error for a missing state."""
        begin = f"migration-state init -s {as_operand(str(self.shown))}"
        reason = f"there is no migration state here; check the path, or begin one: {begin}"
        return StateNotFoundError(str(self.shown), reason)


def unreadable(path: Path, error: OSError) -> StateDamagedError:
    """Return the error for a path that the operating system cannot read."""
    reason = f"it cannot be read ({error.strerror or error}). Nothing was changed; try again when it can be"
    return StateDamagedError(str(path), reason)


def document_in_utf16(path: Path, content: bytes) -> str | None:
    """Return what is wrong with a document in UTF-16, and what to do; ``None`` if it is not UTF-16."""
    if not (encoding := utf16_of(content)):
        return None
    name = _quoted(path)
    return (
        f"{IS_UTF16}; convert it: (Get-Content -Raw -Encoding {encoding} {name}) | "
        f"Set-Content -Encoding utf8 {name}"
    )


def log_in_utf16(path: Path, beginning: bytes) -> str | None:
    """Return what is wrong with an audit log in UTF-16, and what to do; ``None`` if it is not UTF-16."""
    if not (encoding := utf16_of(beginning)):
        return None
    name = _quoted(path)
    # The hash chain covers every byte. Set-Content adds a line end and, in 5.1, a byte order mark.
    return (
        f"{IS_UTF16}; convert it: [IO.File]::WriteAllText({name}, "
        f"(Get-Content -Raw -Encoding {encoding} {name}))"
    )


def _quoted(path: Path) -> str:
    """Return the path as a text of PowerShell. It is absolute: .NET has a working folder of its own."""
    return "'" + str(path).replace("'", "''") + "'"
