"""Is the audit log whole, and does the document hold what it tells? Read only, and without the lock."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pytest_migration_state.core import events
from pytest_migration_state.core.account import Account, Holdings
from pytest_migration_state.core.chain import Chain, Problem, Standing
from pytest_migration_state.core.differences import differences
from pytest_migration_state.core.document import Document, decode_object, open_runs
from pytest_migration_state.core.errors import StateDamagedError
from pytest_migration_state.core.gate import Context, evaluate
from pytest_migration_state.core.journal import read_lines
from pytest_migration_state.core.lines import NO_LINE_END, Position
from pytest_migration_state.core.liveness import liveness_of
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    from pytest_migration_state.core.chain import ProblemKind
    from pytest_migration_state.core.document import JsonObject
    from pytest_migration_state.core.lines import Line
    from pytest_migration_state.core.store import Store

#: PowerShell writes every state's lines to the log of this name in the state's folder.
_SHARED_LOG: Final = "migration-audit.log"
#: How long after it was found a problem must still be there, in seconds: PowerShell writes the document and then the log.
SECOND_LOOK: Final = 0.3
#: How many of other states' documents in the folder are looked into.
_OTHERS_LIMIT: Final = 50


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found.

    :ivar problems: what is not as it should be, in the order of the log's lines; last what is about none.
    :ivar notes: what is worth knowing and no problem.
    :ivar lines: how many lines the log has, whoever wrote them.
    :ivar entries: how many of them are ours.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    lines: int
    entries: int

    @property
    def sound(self) -> bool:
        return not self.problems

    def to_object(self) -> JsonObject:
        return {
            "sound": self.sound,
            "lines": self.lines,
            "entries": self.entries,
            "problems": [problem.to_object() for problem in self.problems],
            "notes": list(self.notes),
        }


def verify(store: Store) -> VerifyReport:
    """Check the chain of the log, and the document against the log.

    :raises MigrationStateError: the document cannot be used, or the log cannot be read at all. Damage is reported instead.
    """
    found = _Examination(store).report()
    if found.sound:
        return found
    # Others may be writing just now: what is really amiss still is a moment later.
    time.sleep(SECOND_LOOK)
    first, again = set(found.problems), _Examination(store).report()
    return replace(again, problems=tuple(problem for problem in again.problems if problem in first))


class _Examination:
    """One reading of the document, and then of the log: the document is never newer than the log that it is held against."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log_name = store.log_path.name
        self._notes: list[str] = []
        self._problems: list[Problem] = []
        self._chain = Chain()
        self._document = store.read_checkpoint()
        self._named = Position(*self._document.audit) if self._document and self._document.audit else None
        # Behind the document's last entry: how many entries, and whether the document could be brought up to date.
        self._behind = 0
        # Entries that were committed together, until their last one comes: line numbers and contents.
        self._unfinished: list[tuple[int, JsonObject]] = []
        held = Holdings.of(self._document) if self._document else Holdings({}, {})
        self._account = Account.of(held)
        self._has_log = self._read_log()
        self._chain.finish()
        if self._unfinished:
            first = self._unfinished[0][0]
            self._notes.append(f"line {first} begins what was to be committed together with lines that are not there: it does not count")

    def _read_log(self) -> bool:
        try:
            for line in read_lines(self._store.log_path):
                self._take(line)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateDamagedError(str(self._store.log_path), f"it cannot be read ({error.strerror})") from error
        return True

    def _take(self, line: Line) -> None:
        if line.damage == NO_LINE_END:
            self._notes.append(f"line {line.number}, the last, has no line end: its writer is in the middle of it, or was killed in it")
            if not (self._named and line.hash == self._named.hash):
                return
            line = line._replace(damage=None)
        standing = self._chain.check(line)
        if standing in {Standing.BREAKS, Standing.COUNTS_AFRESH}:
            self._account.forget(line.number)
        if standing in {Standing.COUNTS, Standing.COUNTS_AFRESH} and line.content:
            if line.hash is None:
                self._account.tell_words(line.number, line.content)
            else:
                try:
                    self._take_part(line.number, line.content)
                except (AttributeError, KeyError, TypeError, ValueError):
                    # Its hash fits, so that it was written like this: not by this program.
                    self._report("changed", line.number, "its data are no change of a document, although its hash fits")

    def _take_part(self, number: int, content: JsonObject) -> None:
        """Take an entry when the last of those that were committed with it is there."""
        part, total = content.get("part", (1, 1))
        if part == 1:
            self._unfinished.clear()
        self._unfinished.append((number, content))
        if part == total:
            for entry in self._unfinished:
                self._take_entry(*entry)
            self._unfinished.clear()

    def _take_entry(self, number: int, content: JsonObject) -> None:
        timestamp, data = str(content.get("timestamp")), content["data"]
        if "unlogged_changes" in data.get("metadata", {}):
            self._problems.append(Problem("unlogged_changes", number, f"line {number}: {printable(str(content.get('details')))}"))
        if self._document and self._named and content["seq"] > self._named.seq:
            self._behind += 1
            self._document = events.apply(self._document, data, timestamp)
            if "initialize" in data:
                self._account.migration_id = data["initialize"]["migration_id"]
                self._account.started_at = data["initialize"]["started_at"]
        self._account.tell(number, timestamp, data)

    # --- the findings ---

    def report(self) -> VerifyReport:
        if self._document is None:
            self._examine_without_document()
        elif self._belong_together():
            self._compare(self._document)
        if self._document:
            self._examine_gate(self._document)
        if self._chain.strange:
            self._notes.append(f"{_some(self._chain.strange)} of the log: no JSON object, and never was an entry")
        if self._behind:
            self._notes.append(f"the document is behind the log by {self._behind} of its entries, which every reader adds")
        if self._account.forgotten_at > 1:
            self._notes.append(f"what stands before line {self._account.forgotten_at} of the log could not be held against the document")
        problems = sorted(self._chain.problems + self._problems, key=lambda problem: problem.line or self._chain.lines + 1)
        return VerifyReport(tuple(problems), tuple(self._notes), self._chain.lines, self._chain.entries)

    def _report(self, kind: ProblemKind, line: int | None, message: str) -> None:
        self._problems.append(Problem(kind, line, f"line {line}: {message}" if line else message))

    def _examine_without_document(self) -> None:
        if not self._chain.entries:
            raise self._store.not_found()
        way_out = "the next command rebuilds it from the log, if that is whole and reaches back to the beginning"
        self._report("document_missing", None, f"the document is missing, and its log is there: {way_out}")

    def _belong_together(self) -> bool:
        """Is the log the one that the document names, and does it reach as far?"""
        named = self._named
        if not self._has_log:
            if named and named.seq:
                self._report("log_missing", None, f"the audit log {self._log_name} is gone, and with it entries 1 to {named.seq}")
            else:
                self._notes.append(f"there is no audit log {self._log_name}")
            return False
        if not named or not named.seq:
            return True
        end, end_line = self._chain.end
        found = self._chain.find(named.seq)
        if found is None:
            if end < named.seq:
                where = f"ends with entry {end} (line {end_line})" if end else "holds no entry"
                self._report(
                    "log_short", end_line or None, f"the log {where}, but the document contains entry {named.seq}: its end was cut off"
                )
            return False
        line, hashes = found
        if hashes and named.hash not in hashes:
            begun = self._account.other_beginning
            what = (
                f"the log tells of another migration (begun in line {begun})"
                if begun
                else "document and log went different ways: one of them is a copy from another time or place"
            )
            self._report("other_log", line, f"entry {named.seq} is not the one that the document names: {what}")
            return False
        return True

    def _compare(self, document: Document) -> None:
        account = self._account
        if missing := document.metadata.get("unlogged_changes"):
            self._report("unlogged_changes", None, f"{missing} changes stand in the document alone: the log could not be written")
            account.forget(self._chain.lines + 1)
        self._ask_shared_log()
        if account.other_beginning:
            self._report(
                "unexplained",
                account.other_beginning,
                f"the migration that begins here is not the document's, which began at {document.fields['started_at']} "
                "without a line in the log: begun by a program that could not write its line, or put here from elsewhere",
            )
        self._problems += differences(account, Holdings.of(document), self._others())

    def _ask_shared_log(self) -> None:
        """PowerShell logs to one file for every state of a folder: its lines about this one may stand there."""
        if self._log_name == _SHARED_LOG:
            return
        try:
            for line in read_lines(self._store.log_path.with_name(_SHARED_LOG)):
                if line.hash is None and line.content:
                    self._account.tell_words(0, line.content)
        except OSError:
            return

    def _others(self) -> list[Holdings]:
        """What the other states hold whose lines PowerShell may have written to this log."""
        if self._log_name != _SHARED_LOG:
            return []
        found = []
        for path in sorted(self._store.document_path.parent.glob("*.json"))[:_OTHERS_LIMIT]:
            if path != self._store.document_path:
                try:
                    found.append(Holdings.of(Document(decode_object(path.read_bytes()))))
                except (OSError, ValueError):
                    continue
        return found

    def _examine_gate(self, document: Document) -> None:
        if document.phase is not Phase.COMPLETED:
            return
        blockers = evaluate(document, None, Context(str(self._store.path), liveness_of(open_runs(document)))).blockers
        if blockers:
            shown = "; ".join(blocker.message for blocker in blockers[:3])
            more = f"; and {len(blockers) - 3} more" if len(blockers) > 3 else ""
            self._report("completed_past_gate", None, f"the migration is Completed although its gate is shut: {shown}{more}")


def _some(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    more = f" and {len(numbers) - 20} more" if len(numbers) > 20 else ""
    return f"lines {', '.join(map(str, numbers[:20]))}{more}"
