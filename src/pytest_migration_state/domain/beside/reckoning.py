"""The state that log and document tell together: one account, for readers, writers and verification.

Our entries alone tell the state. What other programs did, to the document or in lines of their own, is
translated into one entry; until a writer has put it on record, readers reckon the same. What shuts the gate
always counts. What opens it counts only if its writer knew what it overrides. No clock and no order of lines
ever opens the gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.beside.beginnings import (
    adopted_by,
    begin_by_document,
    begin_by_line,
    beginnings_in,
    is_new_beginning,
)
from pytest_migration_state.domain.beside.case import Case, Stray
from pytest_migration_state.domain.beside.change import Change
from pytest_migration_state.domain.beside.items import add_items
from pytest_migration_state.domain.beside.past import Entry, Said, same_name, what_it_says
from pytest_migration_state.domain.beside.phases import add_phase
from pytest_migration_state.domain.beside.rollback import add_rollback
from pytest_migration_state.domain.beside.stale import add_stale
from pytest_migration_state.domain.beside.values import add_data, add_error, add_others
from pytest_migration_state.domain.beside.verdicts import add_verdicts
from pytest_migration_state.domain.document import new_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_migration_state.domain.beside.beginnings import Beginning
    from pytest_migration_state.domain.beside.past import Line, Logged
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import Key

#: The last one marks what those before it found.
_RULES: Final = (
    add_verdicts,
    add_phase,
    add_rollback,
    add_error,
    add_data,
    add_items,
    add_others,
    add_stale,
)


class Reckoned(NamedTuple):
    """The result of :func:`reckon`.

    :ivar document: the state, with everything that counts.
    :ivar change: what of it is not on record yet; false if nothing is.
    :ivar ours: what our entries alone tell.
    """

    document: Document
    change: Change
    ours: Document


def reckon(
    lines: Sequence[Entry | Line], found: Document | None, *, fits: bool, now: str, platform: str
) -> Reckoned:
    """Return the state that log and document tell together.

    :param lines: the log, from its start. It holds a whole migration (:func:`is_whole`).
    :param found: the document; ``None`` if there is none.
    :param fits: whether the document is as this package wrote it.
    :param now: the time, for the document's ``last_updated``.
    :param platform: the platform to name in a document that names none.
    """
    entries = [line for line in lines if isinstance(line, Entry)]
    ours = fold(entries)
    log = _understood(lines, ours, found)
    case, change = _case_of(log, entries, ours, found, platform, fits=fits)
    for rule in _RULES:
        rule(case, change)
    document = ours.copy()
    if change:
        events.apply(document, change.to_event().data, now)
    return Reckoned(document, change, ours)


def _understood(lines: Sequence[Entry | Line], ours: Document, found: Document | None) -> list[Logged]:
    """Return the entries, and what the lines of other programs say about the state."""
    known: set[Key | str] = set()
    for document in (ours, found) if found else (ours,):
        known.update(map(same_name, (*document.verdicts, *document.outstanding)))
        known.update(document.fields["data_preserved"])
    log: list[Logged] = []
    for line in lines:
        if isinstance(line, Entry):
            log.append(line)
        elif said := what_it_says(line.content, line.number, known):
            log.append(said)
    return log


def is_whole(entries: Iterable[Entry]) -> bool:
    """Return True if our entries tell the whole state: its beginning, and everything since then."""
    whole = False
    for entry in entries:
        if "initialize" in entry.data or "adopted" in entry.data:
            whole = True
        elif "continues" in entry.data or "unlogged_changes" in entry.data.get("metadata", {}):
            whole = False
    return whole


def fold(entries: Sequence[Entry], upto: int | None = None) -> Document:
    """Return the state that our entries tell.

    :param upto: the number of the last entry that counts; ``None``: all of them.
    """
    counting = [entry for entry in entries if upto is None or entry.seq <= upto]
    begins = [
        index for index, entry in enumerate(counting) if "initialize" in entry.data or "adopted" in entry.data
    ]
    document = new_document(None, "", "")
    for entry in counting[begins[-1] if begins else 0 :]:
        events.apply(document, entry.data, entry.timestamp)
    return document


def _case_of(
    log: list[Logged],
    entries: list[Entry],
    ours: Document,
    found: Document | None,
    platform: str,
    *,
    fits: bool,
) -> tuple[Case, Change]:
    """Return what the rules decide on, and what is known of it already: a beginning by another program."""
    beginnings = beginnings_in(entries)
    begin = beginnings[-1]
    past = log[log.index(begin.entry) :]
    tail = [item for item in log[log.index(entries[-1]) + 1 :] if isinstance(item, Said)]
    if found is not None and is_new_beginning(found, ours, beginnings):
        state, tail, change = begin_by_document(found, ours, tail, platform)
        return Case(log, [], tail, state), change
    state, change = ours, Change()
    if lines := begin.unexpected_lines(past, tail):
        state, change = begin_by_line(lines[-1], ours, platform)
        past, tail = [], tail[tail.index(lines[-1]) + 1 :]
    case = Case(log, past, [said for said in tail if said.kind != "initialize"], state)
    if found is None or (fits and past):
        return case, change
    if past and begin.is_before(found):
        _compare_with_base(case, begin, found, entries)
    else:
        case.stray = _stray(found, entries, beginnings)
    return case, change


def _compare_with_base(case: Case, begin: Beginning, found: Document, entries: list[Entry]) -> None:
    """Have the rules compare a document with what its writer had before it."""
    case.found = found
    if found.audit:
        case.base_seq = case.knows = found.audit[0]
        case.base = fold(entries, found.audit[0])
    else:
        case.base_seq, case.base = begin.entry.seq, begin.document()
    case.holds_unlogged = "unlogged_changes" in found.metadata
    if not found.content_digest:
        # Version 0.1.0 merged what other programs wrote without an entry of its own.
        case.not_compared = frozenset({"revision", "collections"})


def _stray(found: Document, entries: list[Entry], beginnings: Sequence[Beginning]) -> Stray:
    if found.audit:
        return Stray(found, fold(entries, found.audit[0]))
    for beginning in reversed(beginnings):
        if beginning.is_of(found):
            return Stray(found, beginning.document())
    return Stray(found, new_document(None, "", ""))


def take_over(document: Document, lines: Sequence[Line], *, now: str, platform: str) -> Reckoned:
    """Return the state of a document that is taken over as it is, because the log does not tell it.

    :param lines: the lines of other programs behind our last entry. What they tell and the document does not
        hold counts as it would count later.
    :param now: the time, for the document's ``last_updated``.
    :param platform: the platform to name in a document that names none.
    """
    log = _understood(lines, document, None)
    tail = [item for item in log if isinstance(item, Said)]
    state, left, change = adopted_by(document, tail, platform)
    case = Case(log, [], left, state)
    for rule in _RULES:
        rule(case, change)
    taken = document.copy()
    events.apply(taken, change.to_event().data, now)
    return Reckoned(taken, change, state)
