"""The hash chain of an audit log, followed from its first line, and what is wrong with a line that breaks it.

An entry is proved by its hash, which covers the hash of the entry before it. So an entry that does not fit is
classified by the next one, which shows whether it was modified in its place, inserted, or follows a gap.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.json_codec import BOM, decode_object, strip_bom, utf16_of
from pytest_migration_state.storage.records import (
    GENESIS_HASH,
    HASH_AT_END,
    Position,
    chained_hash,
    gap_position,
    no_object_in_words,
    without_hash,
)
from pytest_migration_state.text import numbered, to_printable
from pytest_migration_state.verification.report import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject
    from pytest_migration_state.verification.report import ProblemKind


class LineStatus(Enum):
    """The effect of a log line on the expected state."""

    #: It counts.
    VALID = auto()
    #: It counts, but lines before it are missing.
    VALID_AFTER_GAP = auto()
    #: It does not count, and neither do the lines before it.
    BREAKS_CHAIN = auto()
    #: It does not count, and nothing is lost by that.
    IGNORED = auto()


_SEQ: Final = re.compile(rb'"seq":(\d{1,18}),')


class _Entry(NamedTuple):
    """The line of an entry.

    :ivar hashes: the hashes that the entry after it may be chained to: the one that it states and, if that
        differs, the one that it should have. Empty: unknown.
    """

    line: int
    seq: int
    hashes: tuple[str, ...]


@dataclass(slots=True)
class _ForeignLines:
    """The lines of other programs since an entry."""

    content: bytearray = field(default_factory=bytearray)
    first: int = 0
    last: int = 0

    def add(self, line: Line) -> None:
        self.content += line.raw + b"\n"
        self.first, self.last = self.first or line.number, line.number


class _Suspect(NamedTuple):
    """An entry that does not fit the one before it.

    :ivar fits_alone: whether it would fit without the lines of other programs before it.
    """

    entry: _Entry
    before: _Entry
    between: _ForeignLines
    fits_alone: bool


class HashChain:
    """The hash chain of a log, checked line by line.

    :ivar problems: the problems found so far; complete and in the order of lines after :meth:`finish`.
    :ivar lines: the number of lines so far.
    :ivar entries: how many of them are, or were, entries written by this package.
    :ivar strange: the lines that are not JSON objects and never were entries.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines = self.entries = 0
        self.strange: list[int] = []
        self._last = _Entry(0, 0, (GENESIS_HASH,))
        self._between = _ForeignLines()
        self._suspect: _Suspect | None = None
        self._seen: dict[int, _Entry] = {}
        # Highest sequence number seen in order.
        self._highest = 0
        # Ranges of sequence numbers that were skipped, and the line that skipped them.
        self._gaps: list[tuple[int, int, int]] = []

    def check(self, line: Line) -> LineStatus:
        """Check the next line."""
        self.lines += 1
        if line.damage:
            return self._damaged(line)
        if line.hash is not None:
            self.entries += 1
            return self._entry(line)
        self._between.add(line)
        if line.content is None:
            return self._foreign_garbage(line)
        return LineStatus.VALID

    def finish(self) -> None:
        """Complete the check after the last line."""
        self._classify_suspect(None)
        self.problems += [_dropped(first, last, line) for first, last, line in self._missing()]
        self.problems.sort(key=lambda problem: problem.line or 0)

    def find(self, seq: int) -> tuple[int, tuple[str, ...]] | None:
        """Return line and possible hashes of an entry."""
        found = self._seen.get(seq)
        return (found.line, found.hashes) if found else None

    @property
    def end(self) -> tuple[int, int]:
        """The highest sequence number, and its line; zeros if there is none."""
        return max(((entry.seq, entry.line) for entry in self._seen.values()), default=(0, 0))

    def _report(self, kind: ProblemKind, line: int, message: str) -> None:
        self.problems.append(Problem(kind, line, f"line {line}{message}"))

    # --- lines that hold no entry ---

    def _foreign_garbage(self, line: Line) -> LineStatus:
        if not line.raw.strip():
            return LineStatus.IGNORED
        if utf16_of(line.raw):
            self._report("changed", line.number, f": {no_object_in_words(line.raw)}")
            return LineStatus.BREAKS_CHAIN
        if line.raw.removeprefix(BOM).startswith(b"{") or b'"action"' in line.raw:
            self._report(
                "changed",
                line.number,
                " was written by another program and is not, or no longer, a JSON object",
            )
            return LineStatus.BREAKS_CHAIN
        self.strange.append(line.number)
        return LineStatus.IGNORED

    def _damaged(self, line: Line) -> LineStatus:
        self.entries += 1
        self._classify_suspect(None)
        try:
            decode_object(strip_bom(line.raw))
        except ValueError:
            self._report("changed", line.number, f": {line.damage}")
        else:
            why = line.damage
            if line.raw.endswith(b"\r"):
                why = "its line end was changed to CRLF, as editors and git do"
            self._report("changed", line.number, f": {why}")
        seq, digest = _SEQ.findall(line.raw), HASH_AT_END.search(line.raw.rstrip())
        number = int(seq[-1]) if seq else self._last.seq + 1
        hashes = (digest[1].decode(),) if digest else ()
        self._step(_Entry(line.number, number, hashes))
        return LineStatus.BREAKS_CHAIN

    # --- entries ---

    def _entry(self, line: Line) -> LineStatus:
        assert line.content is not None and line.hash is not None
        entry = _Entry(line.number, line.content["seq"], (line.hash,))
        last, suspect = self._last, self._suspect
        follows = partial(_follows, line)
        here = self._between.content
        if suspect and follows(suspect.before, suspect.between.content, here):
            self._classify_suspect(entry.seq, is_extra=True)
            return self._accept(entry)
        if follows(last, here) or (not last.hashes and entry.seq > last.seq):
            self._classify_suspect(entry.seq)
            return self._accept(entry)
        if (same := self._seen.get(entry.seq)) and line.hash in same.hashes:
            doubled = f" repeats entry {entry.seq}, which is in line {same.line}: the line was doubled"
            self._report("moved", entry.line, doubled)
            return LineStatus.IGNORED
        self._classify_suspect(None)
        if self._is_after_stated_gap(entry, line):
            which = _entries(last.seq + 1, entry.seq - 1)
            says = to_printable(str(line.content.get("details")))
            self._report("missing", entry.line, f": {which} missing before it, as it says itself ({says})")
            self._step(entry)
            return LineStatus.VALID_AFTER_GAP
        if follows(self._seen.get(entry.seq - 1), here):
            return self._accept(entry)
        alone = bool(here) and follows(last, bytearray())
        if last.hashes and entry.seq == last.seq + 1:
            expected = chained_hash(last.hashes[0], bytes(here), without_hash(line.raw))
            entry = entry._replace(hashes=(line.hash, expected))
        self._suspect = _Suspect(entry, last, self._between, alone)
        self._last, self._between = entry, _ForeignLines()
        return LineStatus.BREAKS_CHAIN

    def _is_after_stated_gap(self, entry: _Entry, line: Line) -> bool:
        """Return True if an entry says itself that those between it and the last one are missing."""
        assert line.content is not None
        named = _named(line.content["data"])
        return (
            named is not None
            and self._last.seq < named.seq == entry.seq - 1
            and chained_hash(named.hash, b"", without_hash(line.raw)) == line.hash
        )

    def _accept(self, entry: _Entry) -> LineStatus:
        """Accept a genuine entry, which may be out of its place."""
        is_late = entry.seq <= self._highest or entry.seq in self._seen
        if is_late:
            self._report_out_of_place(entry)
        elif not self._last.hashes and entry.seq > self._last.seq + 1:
            self._gaps.append((self._last.seq + 1, entry.seq - 1, entry.line))
        self._step(entry)
        if is_late:
            return LineStatus.BREAKS_CHAIN
        return LineStatus.VALID

    def _step(self, entry: _Entry) -> None:
        self._seen.setdefault(entry.seq, entry)
        self._highest = max(self._highest, entry.seq)
        self._last, self._between = entry, _ForeignLines()

    def _report_out_of_place(self, entry: _Entry) -> None:
        if other := self._seen.get(entry.seq):
            self._report(
                "other_log",
                entry.line,
                f" is a second entry {entry.seq} beside line {other.line}: two logs were put together, "
                "or writing continued on an older copy of the log",
            )
        else:
            self._report(
                "moved", entry.line, f" is entry {entry.seq} and out of its place: lines were reordered"
            )

    def _classify_suspect(self, next_seq: int | None, *, is_extra: bool = False) -> None:
        """Report what is wrong with the suspect.

        :param next_seq: the number of the entry that is chained to it; ``None`` if none is.
        :param is_extra: whether that entry is chained to the one before the suspect instead.
        """
        if not (suspect := self._suspect):
            return
        self._suspect = None
        entry, before, between, fits_alone = suspect
        follows = before.seq + 1
        if is_extra and next_seq == entry.seq:
            self._report("changed", entry.line, " was inserted: the chain continues without it")
            return
        if is_extra:
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
            which = numbered(between.first, between.last, "line {} was", "lines {} to {} were")
            message = f"{which} inserted afterwards: entry {entry.seq} fits the one before it without them"
            self.problems.append(Problem("changed", between.first, message))
        else:
            message = f": entry {entry.seq} was modified, or {_other_cause(between)} (its hash does not fit)"
            self._report("changed", entry.line, message)
        self._seen.setdefault(entry.seq, entry)
        self._highest = max(self._highest, entry.seq)
        if self._last.line == entry.line:
            self._last = entry

    def _missing(self) -> Iterator[tuple[int, int, int]]:
        """Yield the gaps, without the sequence numbers that are elsewhere in the log."""
        seen = sorted(self._seen) if self._gaps else []
        for first, last, line in self._gaps:
            start = first
            for number in seen[bisect_left(seen, first) : bisect_right(seen, last)]:
                if number > start:
                    yield start, number - 1, line
                start = number + 1
            if start <= last:
                yield start, last, line


def _follows(line: Line, entry: _Entry | None, *between: bytearray) -> bool:
    """Return True if a line is chained to an entry over the bytes between them."""
    if entry is None:
        return False
    content, body = b"".join(between), without_hash(line.raw)
    return any(chained_hash(known, content, body) == line.hash for known in entry.hashes)


def _other_cause(between: _ForeignLines) -> str:
    """Return what else than a modified entry makes its hash not fit."""
    if between.first:
        one, several = "line {} of another program was", "lines {} to {} of other programs were"
        return f"{numbered(between.first, between.last, one, several)} changed or removed"
    return "a line of another program before it was removed"


def _named(data: JsonObject) -> Position | None:
    try:
        return gap_position(data)
    except (KeyError, TypeError):
        return None


def _dropped(first: int, last: int, line: int) -> Problem:
    return Problem(
        "missing", line, f"line {line}: {_entries(first, last)} missing before it: lines were removed"
    )


def _entries(first: int, last: int) -> str:
    return numbered(first, last, "entry {} is", "entries {} to {} are")
