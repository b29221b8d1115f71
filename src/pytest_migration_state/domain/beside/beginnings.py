"""Migrations begun by other programs: their Initialize, and documents that are taken over as they are."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain.beside.case import without_lines
from pytest_migration_state.domain.beside.change import NOT_KNOWN, Change
from pytest_migration_state.domain.beside.past import Said
from pytest_migration_state.domain.beside.stale import mark_by_time
from pytest_migration_state.domain.document import Document, copied, new_document
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.phases import PHASES, Phase
from pytest_migration_state.json_codec import to_json_bytes
from pytest_migration_state.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_migration_state.domain.beside.past import Entry, Logged
    from pytest_migration_state.types import JsonObject


class Beginning(NamedTuple):
    """The entry that begins a migration.

    :ivar entry: the entry.
    :ivar migration_id: the id of the migration.
    :ivar started_at: when it began.
    :ivar owes_line: whether another program's line about it was still to come.
    """

    entry: Entry
    migration_id: str | None
    started_at: str | None
    owes_line: bool

    def document(self) -> Document:
        """Return the document as the migration began."""
        document = new_document(None, "", "")
        for key, effect in (("initialize", document.begin), ("adopted", document.adopt)):
            if key in self.entry.data:
                effect(self.entry.data[key])
        return document

    def is_of(self, document: Document) -> bool:
        """Return True if a document is one of this migration."""
        began = time_of(document.fields["started_at"])
        if began is None or time_of(self.started_at) is None:
            return document.migration_id in {None, self.migration_id}
        return began == time_of(self.started_at)

    def is_before(self, document: Document) -> bool:
        """Return True if a document is one of this migration or, by the entry that it names, a later one."""
        if document.audit:
            return document.audit[0] >= self.entry.seq
        return self.is_of(document)

    def unexpected_lines(self, past: Sequence[Logged], tail: Sequence[Said]) -> list[Said]:
        """Return the lines of the tail that begin a migration and are not owed for this one."""
        lines = [said for said in tail if said.kind == "initialize"]
        paid = sum(isinstance(item, Said) and item.kind == "initialize" for item in past)
        return lines[max(0, self.owes_line - (paid - len(lines))) :]


def beginnings_in(entries: Sequence[Entry]) -> list[Beginning]:
    """Return the beginnings of the migrations in a log."""
    found: list[Beginning] = []
    for entry in entries:
        beginning = _beginning_of(entry)
        if beginning and (not found or beginning.migration_id != found[-1].migration_id):
            found.append(beginning)
    return found


def _beginning_of(entry: Entry) -> Beginning | None:
    if new := entry.data.get("initialize"):
        return Beginning(entry, new.get("migration_id"), new.get("started_at"), owes_line=False)
    if adopted := entry.data.get("adopted"):
        migration_id = adopted.get("metadata", {}).get("migration_id")
        return Beginning(entry, migration_id, adopted.get("started_at"), bool(entry.data.get("line_owed")))
    return None


def is_new_beginning(found: Document, ours: Document, beginnings: Sequence[Beginning]) -> bool:
    """Return True if a document begins a migration that the log does not know."""
    if found.audit is not None or time_of(found.fields["started_at"]) is None:
        return False
    is_ours = time_of(found.fields["started_at"]) == time_of(ours.fields["started_at"])
    return not is_ours and not any(beginning.is_of(found) for beginning in beginnings)


def adopted_by(document: Document, tail: list[Said], platform: str) -> tuple[Document, list[Said], Change]:
    """Return the state that a document is taken over as, the lines that it does not tell, and the change."""
    content = _content_of(document, platform)
    state = Document(copied(content))
    lines = _newest_of_each(_of_this_migration(tail, document))
    without_lines(content, lines)
    lines = [said for said in lines if not _is_explained(said, state)]
    return state, lines, Change({"adopted": content}, is_adoption=True)


def _of_this_migration(tail: list[Said], document: Document) -> list[Said]:
    """Return the lines behind the beginning of the document's migration."""
    begun = [index for index, said in enumerate(tail) if said.kind == "initialize"]
    if begun:
        return tail[begun[-1] + 1 :]
    began = time_of(document.fields["started_at"])
    return [said for said in tail if began and said.time and said.time >= began]


def _newest_of_each(lines: list[Said]) -> list[Said]:
    """Return the lines without those that a later one replaces: a phase, an error, a place of saved data."""
    newest = {(said.kind, said.about): said for said in lines}
    return [
        said for said in lines if said.kind in {"verdict", "item"} or said is newest[said.kind, said.about]
    ]


def begin_by_document(
    found: Document, ours: Document, tail: list[Said], platform: str
) -> tuple[Document, list[Said], Change]:
    """Return the state that a document of another program begins, the lines that are left, and the change."""
    began = time_of(found.fields["started_at"])
    before = time_of(ours.fields["started_at"])
    inits = [
        said for said in tail if said.kind == "initialize" and said.time and began and said.time >= began
    ]
    change = Change(beginning=_replaced_in_words(ours))
    content = _content_of(found, platform) | {"outstanding_validations": []}
    if began and before and began < before:
        # A late copy of a beginning that was overwritten, or a clock that is behind: nothing in it opens.
        _refuse_passes(change, content)
    change.data["adopted"] = content
    if not inits:
        change.data["line_owed"] = True
    state = Document(copied(content))
    lines = tail[tail.index(inits[-1]) + 1 :] if inits else _about_the_new(tail, found)
    without_lines(found.to_object(), lines)
    return state, [said for said in lines if not _is_explained(said, state)], change


def _refuse_passes(change: Change, content: JsonObject) -> None:
    for verdict in content["validation_results"]:
        if verdict["passed"]:
            change.refuse("verdict", verdict, NOT_KNOWN)
    content["validation_results"] = [one for one in content["validation_results"] if not one["passed"]]


def _about_the_new(tail: list[Said], found: Document) -> list[Said]:
    """Return the lines that may be about a migration whose line Initialize has not come yet."""
    began = time_of(found.fields["started_at"])
    return [
        said
        for said in tail
        if (said.kind != "phase" and said.time and began and said.time >= began)
        or (said.kind == "phase" and said.value[1] == Phase.ROLLED_BACK)
    ]


def _is_explained(said: Said, state: Document) -> bool:
    """Return True if a line says what the new document has already."""
    match said.kind:
        case "initialize":
            return True
        case "phase":
            return PHASES.index(said.value[1]) <= PHASES.index(state.phase.value)
        case "error":
            error = state.fields["error"]
            return bool(error) and error.get("message") == said.value
        case "rollback":
            return bool(state.rollback_available == said.value)
        case "data":
            return bool(state.fields["data_preserved"].get(said.about[0]) == said.value)
    return False


def begin_by_line(said: Said, ours: Document, platform: str) -> tuple[Document, Change]:
    """Return the state that a line ``Initialize`` alone begins, and the change."""
    state = new_document(said.timestamp, "", platform)
    state.metadata["migration_id"] = _derived_id(state.to_object())
    change = Change({"adopted": _content_of(state, platform)}, beginning=_replaced_in_words(ours))
    return state, change


def _replaced_in_words(ours: Document) -> str:
    failed = sum(not verdict["passed"] for verdict in ours.verdicts.values())
    verdicts = counted(len(ours.verdicts), "verdict")
    words = f"the migration before it was in phase {ours.phase.value} with {verdicts}"
    return f"{words}, {failed} of them failed" if failed else words


# --- the content of a document ------------------------------------------------------------------------------


def _content_of(document: Document, platform: str) -> JsonObject:
    """Return everything in a document as the data of an entry holds it."""
    content = copied(document.to_object())
    metadata = content["metadata"]
    for key in ("audit", "unlogged_changes"):
        metadata.pop(key, None)
    model = new_document(None, _derived_id(content), platform).metadata
    for key, value in model.items():
        metadata.setdefault(key, value)
    if document.audit is None:
        mark_by_time(content)
    return content


def _derived_id(content: JsonObject) -> str:
    """Return the id of a migration that another program began: every reader finds the same one."""
    began = content.get("started_at") or to_json_bytes(content).decode("utf-8", "replace")
    return hashlib.sha256(f"migration begun at {began}".encode()).hexdigest()[:32]
