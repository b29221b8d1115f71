"""The names of a state's files."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_migration_state.errors import StateDamagedError, StateNotFoundError, StateWriteError


def audit_log_name(document_name: str) -> str:
    """Return the audit log's name: the stem of the document's without a final ``-state``, and ``-audit.log``."""
    return Path(document_name).stem.removesuffix("-state") + "-audit.log"


def exists(path: Path) -> bool:
    """Return True if there is something at ``path``, a dangling link included.

    :raises OSError: that cannot be learned.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


class StatePaths:
    """Where the files of one state are.

    :param shown: the path of the document as the user typed it.
    :ivar document: the document. A symbolic link is followed; log and lock are beside what it leads to.
    :ivar log: the audit log.
    :ivar lock: the lock file.
    :raises StateDamagedError: ``shown`` cannot be a document.
    """

    def __init__(self, shown: Path) -> None:
        self.shown = shown
        self.document = Path(os.path.realpath(shown))
        if not self.document.name:
            raise self.is_folder()
        self.log = self.document.with_name(audit_log_name(self.document.name))
        self.lock = self.document.with_name(self.document.name + ".lock")

    def prepare(self, *, create: bool) -> None:
        """Refuse what needs no lock to be refused and, for a state that may be created, make the folder.

        :raises StateNotFoundError: there is no state, and none is to be created.
        :raises StateDamagedError: there is a folder in the document's place.
        :raises StateWriteError: the folder cannot be reached or made.
        """
        try:
            if os.path.isdir(self.document):
                raise self.is_folder()
            if create:
                os.makedirs(self.document.parent, exist_ok=True)
            elif not (exists(self.document) or exists(self.log)):
                raise self.not_found()
        except OSError as error:
            what = "created" if create else "reached"
            reason = f"its folder cannot be {what} ({error.strerror})"
            raise StateWriteError(str(self.shown), reason) from error

    def is_folder(self) -> StateDamagedError:
        """Return the error that there is a folder in the document's place."""
        reason = "this is a folder; name the state file in it, such as migration-state.json"
        return StateDamagedError(str(self.shown), reason)

    def not_found(self) -> StateNotFoundError:
        """Return the error that there is no state."""
        reason = "there is no migration state here; begin one with 'migration-state init'"
        return StateNotFoundError(str(self.shown), reason)


def unreadable(path: Path, error: OSError) -> StateDamagedError:
    """Return the error that the operating system does not let ``path`` be read."""
    reason = f"it cannot be read ({error.strerror or error}). Nothing was changed; try again when it can be"
    return StateDamagedError(str(path), reason)
