"""Following the chain of an audit log from its first line, and telling what is wrong with a line that breaks it.

What proves an entry is its hash, which covers the hash of the entry before: so an entry that does not fit is judged by the
next one, which tells whether it was changed in its place, put in, or is what follows a gap.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pytest_migration_state.core.document import decode_object
from pytest_migration_state.core.lines import GENESIS, HASH_AT_END, Position, chained_hash, continues, without_hash
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.core.document import JsonObject
    from pytest_migration_state.core.lines import Line

ProblemKind = Literal[
    "changed",  # a line is not what it was when it was written, or was put in
    "not_json",  # a line was an entry and is no JSON object any more
    "dropped",  # entries are gone, and the log does not say so
    "doubled",  # a line stands there twice
    "moved",  # a line stands out of its place
    "entries_missing",  # entries are gone, and the log says so itself
    "unlogged_changes",  # changes were made while the log could not be written
    "log_missing",  # there is no log, and the document names an entry of it
    "log_short",  # the log ends before the entry that the document names
    "other_log",  # the log, or a part of it, belongs to something else
    "document_missing",  # there is a log and no document
    "effect_missing",  # the document lacks what a line tells
    "unexplained",  # the document holds what no line tells
    "completed_past_gate",  # Completed, and the gate is shut
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    :ivar kind: see :data:`ProblemKind`.
    :ivar line: the line of the audit log that it is about, counted from 1; ``None`` where it is about none.
    :ivar message: a sentence for the operator; it names the line too.
    """

    kind: ProblemKind
    line: int | None
    message: str

    def to_object(self) -> JsonObject:
        return asdict(self)


class Standing(Enum):
    """What a line is worth to the account of what the log tells."""

    COUNTS = auto()
    #: It counts, and what stands before it is no longer the whole story.
    COUNTS_AFRESH = auto()
    #: It does not count, and what stands before it is no longer the whole story.
    BREAKS = auto()
    #: It does not count, and nothing is lost by that.
    IS_NOTHING = auto()


_SEQ: Final = re.compile(rb'"seq":(\d{1,18}),')
_BOM: Final = b"\xef\xbb\xbf"


class _Entry(NamedTuple):
    """An entry's line.

    :ivar hashes: what the entry after it may be chained to: the hash that it states and, where that differs, the one that it
        should have. Empty: not known.
    """

    line: int
    seq: int
    hashes: tuple[str, ...]


@dataclass(slots=True)
class _Between:
    """The lines of other writers since an entry."""

    content: bytearray = field(default_factory=bytearray)
    first: int = 0
    last: int = 0

    def add(self, line: Line) -> None:
        self.content += line.raw + b"\n"
        self.first, self.last = self.first or line.number, line.number


class _Suspect(NamedTuple):
    """An entry that does not fit the one before it.

    :ivar fits_alone: it would, if no lines of other writers stood before it.
    """

    entry: _Entry
    before: _Entry
    between: _Between
    fits_alone: bool


class Chain:
    """The walk along a log.

    :ivar problems: what was found so far; complete and in the order of lines after :meth:`finish`.
    :ivar lines: how many lines there were.
    :ivar entries: how many of them are, or were, entries of ours.
    :ivar strange: the lines that hold no JSON object and never were an entry.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines = self.entries = 0
        self.strange: list[int] = []
        self._last = _Entry(0, 0, (GENESIS,))
        self._between = _Between()
        self._suspect: _Suspect | None = None
        self._seen: dict[int, _Entry] = {}
        # Of those that stand in their place.
        self._highest = 0
        # Numbers that were stepped over, and the line that did.
        self._gaps: list[tuple[int, int, int]] = []

    def check(self, line: Line) -> Standing:
        """Take the next line."""
        self.lines += 1
        if line.damage:
            return self._damaged(line)
        if line.hash is not None:
            self.entries += 1
            return self._entry(line)
        self._between.add(line)
        return Standing.COUNTS if line.content is not None else self._no_json(line)

    def finish(self) -> None:
        """There are no more lines."""
        self._judge(None)
        self.problems += [_dropped(first, last, line) for first, last, line in self._missing()]
        self.problems.sort(key=lambda problem: problem.line or 0)

    def find(self, seq: int) -> tuple[int, tuple[str, ...]] | None:
        """Line and possible hashes of an entry."""
        found = self._seen.get(seq)
        return (found.line, found.hashes) if found else None

    @property
    def end(self) -> tuple[int, int]:
        """The highest number of an entry, and its line; zeros where there is none."""
        return max(((entry.seq, entry.line) for entry in self._seen.values()), default=(0, 0))

    def _report(self, kind: ProblemKind, line: int, message: str) -> None:
        self.problems.append(Problem(kind, line, f"line {line}{message}"))

    # --- lines that hold no entry ---

    def _no_json(self, line: Line) -> Standing:
        if not line.raw.strip():
            return Standing.IS_NOTHING
        if line.raw.removeprefix(_BOM).startswith(b"{") or b'"action"' in line.raw:
            self._report("not_json", line.number, " was written by another program and is no JSON object (any more)")
            return Standing.BREAKS
        self.strange.append(line.number)
        return Standing.IS_NOTHING

    def _damaged(self, line: Line) -> Standing:
        self.entries += 1
        self._judge(None)
        try:
            decode_object(line.raw.removeprefix(_BOM).strip())
        except ValueError:
            self._report("not_json", line.number, f": {line.damage}")
        else:
            why = "its line end was made CRLF, as editors and git do" if line.raw.endswith(b"\r") else line.damage
            self._report("changed", line.number, f": {why}")
        seq, digest = _SEQ.findall(line.raw), HASH_AT_END.search(line.raw.rstrip())
        number = int(seq[-1]) if seq else self._last.seq + 1
        self._step(_Entry(line.number, number, (digest[1].decode(),) if digest else ()))
        return Standing.BREAKS

    # --- entries ---

    def _entry(self, line: Line) -> Standing:
        assert line.content is not None and line.hash is not None
        entry = _Entry(line.number, line.content["seq"], (line.hash,))
        body, last, suspect = without_hash(line.raw), self._last, self._suspect

        def follows(other: _Entry | None, *between: bytearray) -> bool:
            content = b"".join(between)
            return other is not None and any(chained_hash(known, content, body) == line.hash for known in other.hashes)

        here = self._between.content
        if suspect and follows(suspect.before, suspect.between.content, here):
            self._judge(entry.seq, is_extra=True)
            return self._accept(entry)
        if follows(last, here) or (not last.hashes and entry.seq > last.seq):
            self._judge(entry.seq)
            return self._accept(entry)
        if (same := self._seen.get(entry.seq)) and line.hash in same.hashes:
            self._report("doubled", entry.line, f" is entry {entry.seq} once more, which stands in line {same.line}: it was doubled")
            return Standing.IS_NOTHING
        self._judge(None)
        named = _named(line.content["data"])
        if named and last.seq < named.seq == entry.seq - 1 and chained_hash(named.hash, b"", body) == line.hash:
            which = _entries(last.seq + 1, named.seq)
            says = printable(str(line.content.get("details")))
            self._report("entries_missing", entry.line, f": {which} missing before it, as it says itself ({says})")
            self._step(entry)
            return Standing.COUNTS_AFRESH
        if follows(self._seen.get(entry.seq - 1), here):
            return self._accept(entry)
        alone = bool(here) and follows(last, bytearray())
        if last.hashes and entry.seq == last.seq + 1:
            entry = entry._replace(hashes=(line.hash, chained_hash(last.hashes[0], bytes(here), body)))
        self._suspect = _Suspect(entry, last, self._between, alone)
        self._last, self._between = entry, _Between()
        return Standing.BREAKS

    def _accept(self, entry: _Entry) -> Standing:
        """``entry`` is genuine; is this its place?"""
        is_late = entry.seq <= self._highest or entry.seq in self._seen
        if is_late:
            self._report_out_of_place(entry)
        elif not self._last.hashes and entry.seq > self._last.seq + 1:
            self._gaps.append((self._last.seq + 1, entry.seq - 1, entry.line))
        self._step(entry)
        return Standing.BREAKS if is_late else Standing.COUNTS

    def _step(self, entry: _Entry) -> None:
        self._seen.setdefault(entry.seq, entry)
        self._highest = max(self._highest, entry.seq)
        self._last, self._between = entry, _Between()

    def _report_out_of_place(self, entry: _Entry) -> None:
        if other := self._seen.get(entry.seq):
            self._report(
                "other_log",
                entry.line,
                f" is a second entry {entry.seq} beside line {other.line}: two logs were put together, or an older copy of the log was gone on with",
            )
        else:
            self._report("moved", entry.line, f" is entry {entry.seq} and stands out of its place: lines were put in another order")

    def _judge(self, next_seq: int | None, *, is_extra: bool = False) -> None:
        """Say what is wrong with the suspect.

        :param next_seq: the number of the entry that is chained to it (``is_extra``: to the one before it); ``None``: none is.
        """
        if not (suspect := self._suspect):
            return
        self._suspect = None
        entry, before, between, fits_alone = suspect
        follows = before.seq + 1
        if is_extra:
            if next_seq == entry.seq:
                self._report("changed", entry.line, " was put in: the chain goes on without it")
                return
            self._report_out_of_place(entry)
            self._seen.setdefault(entry.seq, entry)
            return
        if next_seq == follows + 1 and entry.seq != follows:
            self._report("changed", entry.line, f": the number of entry {follows} was changed to {entry.seq}")
            entry = entry._replace(seq=follows)
        elif entry.seq > follows:
            self._gaps.append((follows, entry.seq - 1, entry.line))
        elif entry.seq < follows:
            self._report_out_of_place(entry)
        elif fits_alone:
            which = _lines(between.first, between.last)
            self._report("changed", between.first, f": {which} put in afterwards: entry {entry.seq} fits the one before it without them")
        else:
            or_before = (
                f", or {_lines(between.first, between.last, 'of other programs')} changed or removed"
                if between.first
                else ", or a line of another program before it was removed"
            )
            self._report("changed", entry.line, f": entry {entry.seq} was changed after it was written{or_before} (its hash does not fit)")
        self._seen.setdefault(entry.seq, entry)
        self._highest = max(self._highest, entry.seq)
        if self._last.line == entry.line:
            self._last = entry

    def _missing(self) -> Iterator[tuple[int, int, int]]:
        """The gaps, without the numbers that stand elsewhere."""
        seen = sorted(self._seen) if self._gaps else []
        for first, last, line in self._gaps:
            start = first
            for number in seen[bisect_left(seen, first) : bisect_right(seen, last)]:
                if number > start:
                    yield start, number - 1, line
                start = number + 1
            if start <= last:
                yield start, last, line


def _named(data: JsonObject) -> Position | None:
    try:
        return continues(data)
    except (KeyError, TypeError):
        return None


def _dropped(first: int, last: int, line: int) -> Problem:
    return Problem("dropped", line, f"line {line}: {_entries(first, last)} missing before it: lines were removed")


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _lines(first: int, last: int, whose: str = "") -> str:
    whose = whose and f" {whose}"
    return f"line {first}{whose} was" if first == last else f"lines {first} to {last}{whose} were"
