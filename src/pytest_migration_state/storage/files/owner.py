"""The owner of an audit log: the one state whose entries it holds.

Two documents in one folder may lead to one log name (``a.json`` and ``a-state.json``). The verdicts of one
must never count for the other. So the log names its owner, and every load checks that the owner is the state
that is loaded.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import Document
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.json_codec import decode_object
from pytest_migration_state.regular_files import read_regular
from pytest_migration_state.storage.files.log_file import LogFile
from pytest_migration_state.storage.files.paths import audit_log_name, ignores_case, unreadable
from pytest_migration_state.text import to_printable
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.records import Line

#: The key of an entry's data that names the owner. It has no effect on the document.
_OWNER: Final = "owner"
#: How far from the end of the log the owner is named, in bytes. It is named again in the first entry behind
#: that, so that a load does not have to search a long log.
_NEAR: Final = 1 << 20


class Claim(NamedTuple):
    """What a writer has to do so that the log names its state as the owner.

    :ivar name: the name of the document.
    :ivar sentence: why the owner is named in an entry of its own; empty if the next entry names it.
    """

    name: str
    sentence: str = ""

    def added_to(self, new_events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Return the events, at least one, of which the first names the owner."""
        if "initialize" in new_events[0].data:
            return new_events
        if self.sentence:
            return events.recovered(self.sentence, **{_OWNER: self.name}), *new_events
        first, *others = new_events
        return first._replace(data={**first.data, _OWNER: self.name}), *others


class Naming:
    """The duty of a writer to name the owner of the log, again and again in a long one.

    :ivar claim: what has to be done before anything else is written.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self.claim: Claim | None = None
        # Where the log ended when its owner was last seen or named not far from its end.
        self._seen_at = 0

    def check(self) -> None:
        """Check that the audit log is that of the state; see :func:`check`."""
        self.claim = check(self._paths)

    def seen(self, end: int) -> None:
        """Note that the owner is named not far from this end of the log."""
        self._seen_at = end

    def _due(self, end: int) -> Claim | None:
        return self.claim or claim_again(self._paths, end - self._seen_at)

    def named(self, new_events: tuple[Event, ...], end: int) -> tuple[Event, ...]:
        """Return events of which the first names the owner, where that is due.

        :param end: where the log ends.
        """
        if not new_events or not (claim := self._due(end)):
            return new_events
        self.claim, self._seen_at = None, end
        return claim.added_to(new_events)

    def named_in_one(self, event: Event, end: int) -> Event:
        """Return an event that names the owner, where that is due and needs no entry of its own."""
        claim = self._due(end)
        if claim is None or claim.sentence:
            return event
        (named,) = self.named((event,), end)
        return named


def check(paths: StatePaths) -> Claim | None:
    """Check that the audit log is that of the state at ``paths``. Nothing is changed.

    :returns: what a writer has to do; ``None`` if the log names the owner.
    :raises StateDamagedError: the log is that of another state, or may be; or there is no state at ``paths``,
        and the log name is that of another one.
    """
    with closing(LogFile(paths.log)) as log:
        try:
            log.open_to_read()
        except OSError:
            # Without the log, its lines cannot be mistaken for those of this state.
            return _claim_of_nobodys(paths, log)
        try:
            found = _naming_entry(log)
            if found is None:
                return _claim_of_nobodys(paths, log)
            return _claim_of_named(paths, log, *found)
        except OSError as error:
            raise unreadable(paths.log, error) from error


def claim_again(paths: StatePaths, distance: int) -> Claim | None:
    """Return what the state's own writer has to do; ``None`` if the owner is named near the end of the log.

    :param distance: how far from the end it is named, in bytes.
    """
    if distance > _NEAR:
        return Claim(paths.document.name)
    return None


def _claim_of_named(paths: StatePaths, log: LogFile, offset: int, owner: str) -> Claim | None:
    """Return the claim to a log that names an owner."""
    name = paths.document.name
    if owner == name or (owner.casefold() == name.casefold() and ignores_case(paths.log)):
        return claim_again(paths, log.size() - offset)
    shown = to_printable(owner)
    has_same_log = audit_log_name(owner) == paths.log.name
    if has_same_log and _is_other_file(paths, owner):
        raise _not_own(paths, shown)
    where = "which is not in the folder" if has_same_log else "whose log has another name"
    if not os.path.lexists(paths.document):
        fix = f"go on with {shown}, give this state another name or folder, or move the log away"
        raise _not_own(paths, shown, f"{where}; {fix}")
    if not _names_entry(log, _document_at(paths.document)):
        fix = f"rename this document to {shown} if it is the same migration, else give it another name or "
        raise _not_own(paths, shown, f"{where}; {fix}folder")
    return Claim(name, f"The document '{shown}' was renamed: this is the log of '{name}' from here on")


def _claim_of_nobodys(paths: StatePaths, log: LogFile) -> Claim:
    """Return the claim to a log that names no owner, as that of an adopted document, or to no log."""
    for other in _others(paths):
        document = _document_at(other)
        if document is None:
            continue
        if not os.path.lexists(paths.document):
            raise _not_own(paths, other.name)
        if _names_entry(log, document):
            if _names_entry(log, _document_at(paths.document)):
                raise _mixed(paths, other.name)
            raise _not_own(paths, other.name)
    name = paths.document.name
    if log.is_open and log.find_last_entry():
        return Claim(name, f"This log named no owner: it is the log of '{name}' from here on")
    return Claim(name)


# --- what the log names -------------------------------------------------------------------------------------


def _naming_entry(log: LogFile) -> tuple[int, str] | None:
    """Return the offset of the newest entry that names the owner, and that name."""
    if not log.is_open:
        return None
    found = log.find_last(b'"owner":', lambda line: bool(_named_in(line)), b'"initialize":')
    return (found[0], _named_in(found[1])) if found else None


def _named_in(line: Line) -> str:
    """Return the owner that an entry names; empty if it names none."""
    if line.hash is None or line.content is None:
        return ""
    data = line.content["data"]
    named = data.get(_OWNER) or as_object(data.get("initialize")).get("state")
    return named if isinstance(named, str) else ""


def _names_entry(log: LogFile, document: Document | None) -> bool:
    """Return True if a document names an entry of the log."""
    if not log.is_open or document is None or not document.audit or not document.audit[0]:
        return False
    seq, digest = document.audit
    found = log.find_entry(seq)
    return found is not None and found[1].hash == digest


# --- other documents ----------------------------------------------------------------------------------------


def _others(paths: StatePaths) -> Iterator[Path]:
    """Yield the other files in the folder whose name leads to the same log name."""
    stem = paths.log.name.removesuffix("-audit.log")
    for suffix in sorted({paths.document.suffix, ".json"}):
        for name in (f"{stem}{suffix}", f"{stem}-state{suffix}"):
            if audit_log_name(name) == paths.log.name and _is_other_file(paths, name):
                yield paths.document.with_name(name)


def _is_other_file(paths: StatePaths, name: str) -> bool:
    """Return True if there is a file of this name in the folder that is not the document."""
    path = os.path.join(paths.document.parent, name)
    try:
        return os.path.lexists(path) and not os.path.samefile(path, paths.document)
    except FileNotFoundError:
        return True


def _document_at(path: Path) -> Document | None:
    """Return the document at ``path``; ``None`` if there is none that can be read."""
    try:
        return Document(decode_object(read_regular(path)))
    except (OSError, ValueError):
        return None


# --- errors -------------------------------------------------------------------------------------------------


def _not_own(paths: StatePaths, owner: str, fix: str = "") -> StateDamagedError:
    """Return the error for the log of another state."""
    fix = fix or "which is in the same folder; give this state another name or a folder of its own"
    return StateDamagedError(str(paths.shown), f"its audit log {paths.log.name} is that of {owner}, {fix}")


def _mixed(paths: StatePaths, other: str) -> StateDamagedError:
    """Return the error for a log in which two states wrote."""
    what = f"its audit log {paths.log.name} holds entries of {other} in the same folder too"
    fix = "move each of the two documents, without the log, to a folder of its own, and check what it holds"
    return StateDamagedError(str(paths.shown), f"{what}, and names no owner; {fix}")
