"""Other states and logs in the folder of a state: PowerShell writes the lines of all states to one log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.document import Document
from pytest_migration_state.json_codec import decode_object
from pytest_migration_state.regular_files import read_regular
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.records import unassigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.records import Line

#: The log in a state's folder to which PowerShell writes the lines of every state.
_SHARED_LOG: Final = "migration-audit.log"
#: How many documents of other states in the folder are read.
_LIMIT: Final = 50


def is_log_of_others(paths: StatePaths) -> bool:
    """Return True if the state's log is the one to which PowerShell writes."""
    return paths.log.name == _SHARED_LOG


def foreign_lines(paths: StatePaths, *, backwards: bool = False) -> Iterator[Line]:
    """Yield the lines of other programs in PowerShell's shared log, if the state has another log.

    They may be about this state, and are marked so.

    :param backwards: whether the last comes first.
    """
    if is_log_of_others(paths):
        return
    try:
        for line in read_lines(paths.log.with_name(_SHARED_LOG), backwards=backwards):
            if line.hash is None and line.content:
                yield unassigned(line, _SHARED_LOG)
    except OSError:
        return


def other_documents(paths: StatePaths) -> list[Document]:
    """Return the other states in the folder if PowerShell may have written their lines to this log."""
    if not is_log_of_others(paths):
        return []
    found = []
    for path in sorted(paths.document.parent.glob("*.json"))[:_LIMIT]:
        if path != paths.document:
            try:
                found.append(Document(decode_object(read_regular(path))))
            except (OSError, ValueError):
                continue
    return found
