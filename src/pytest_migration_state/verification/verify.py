"""Verifying a state: the hash chain of its log, and its document against the log.

Read only, and without the lock.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain import events
from pytest_migration_state.domain.expected_state import ExpectedState
from pytest_migration_state.domain.facts import DocumentFacts
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.records import NO_LINE_END, Position
from pytest_migration_state.text import and_more, counted, to_printable
from pytest_migration_state.verification.comparison import differences
from pytest_migration_state.verification.hash_chain import HashChain, LineStatus
from pytest_migration_state.verification.report import Problem, VerifyReport

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.base import StateStore
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject
    from pytest_migration_state.verification.report import ProblemKind

#: How long after it was found a problem must still be there, in seconds: PowerShell writes the document and
#: then the log.
SECOND_LOOK: Final = 0.3


def verify(store: StateStore) -> VerifyReport:
    """Check the chain of the log, and the document against the log.

    :raises MigrationStateError: the document cannot be used, or the log cannot be read. Damage is reported
        instead.
    """
    first = _Examination(store).report()
    if first.sound:
        return first
    # Look twice: a problem seen only once was a write in progress.
    time.sleep(SECOND_LOOK)
    second = _Examination(store).report()
    seen_before = set(first.problems)
    return replace(second, problems=tuple(problem for problem in second.problems if problem in seen_before))


class _Examination:
    """One reading of the document and then of the log, so that the document is never the newer one."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._notes: list[str] = []
        self._problems: list[Problem] = []
        self._chain = HashChain()
        self._document = store.checkpoint()
        # The last entry that the document contains, and how many entries are behind it.
        self._named = Position(*self._document.audit) if self._document and self._document.audit else None
        self._behind = 0
        # Entries that were committed together, until their last one comes: line numbers and contents.
        self._unfinished: list[tuple[int, JsonObject]] = []
        facts = DocumentFacts.of(self._document) if self._document else DocumentFacts({}, {})
        self._expected = ExpectedState.of(facts)
        self._has_log = self._read_log()
        self._chain.finish()
        if self._unfinished:
            first = self._unfinished[0][0]
            self._notes.append(
                f"line {first} begins an unfinished commit, which does not count: its writer was killed"
            )

    # --- reading --------------------------------------------------------------------------------------------

    def _read_log(self) -> bool:
        try:
            for line in self._store.audit_lines():
                self._add(line)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateDamagedError(
                self._store.log_address, f"it cannot be read ({error.strerror})"
            ) from error
        return True

    def _add(self, line: Line) -> None:
        if line.damage == NO_LINE_END:
            self._notes.append(
                f"line {line.number}, the last, is unfinished: it is being written, or its writer was killed"
            )
            if not (self._named and line.hash == self._named.hash):
                return
            line = line._replace(damage=None)
        status = self._chain.check(line)
        if status in {LineStatus.BREAKS_CHAIN, LineStatus.VALID_AFTER_GAP}:
            self._expected.discard_before(line.number)
        if status not in {LineStatus.VALID, LineStatus.VALID_AFTER_GAP} or not line.content:
            return
        if line.hash is None:
            self._expected.add_foreign_line(line.number, line.content)
            return
        try:
            self._add_part(line.number, line.content)
        except (AttributeError, KeyError, TypeError, ValueError):
            # Its hash fits, so that it was written like this: not by this program.
            self._report("changed", line.number, "its data do not describe a change, although its hash fits")

    def _add_part(self, number: int, content: JsonObject) -> None:
        """Add an entry when the last of those that were committed with it has been read."""
        part, total = content.get("part", (1, 1))
        if part == 1:
            self._unfinished.clear()
        self._unfinished.append((number, content))
        if part == total:
            for entry in self._unfinished:
                self._add_entry(*entry)
            self._unfinished.clear()

    def _add_entry(self, number: int, content: JsonObject) -> None:
        timestamp, data = str(content.get("timestamp")), content["data"]
        if "unlogged_changes" in data.get("metadata", {}):
            self._report("unlogged_changes", number, to_printable(str(content.get("details"))))
        if self._document and self._named and content["seq"] > self._named.seq:
            self._behind += 1
            events.apply(self._document, data, timestamp)
            if "initialize" in data:
                self._expected.migration_id = data["initialize"]["migration_id"]
                self._expected.started_at = data["initialize"]["started_at"]
        self._expected.add_entry(number, timestamp, data)

    # --- the findings ---------------------------------------------------------------------------------------

    def report(self) -> VerifyReport:
        """Return what was found."""
        chain = self._chain
        if self._document is None:
            self._examine_without_document()
        else:
            if self._belong_together():
                self._compare(self._document)
            self._examine_gate(self._document)
        if chain.strange:
            self._notes.append(
                f"{_lines(chain.strange)} of the log: not a JSON object, and never was an entry"
            )
        if self._behind:
            behind = counted(self._behind, "entry", "entries")
            self._notes.append(f"the document is behind the log by {behind}, which every reader adds")
        if self._expected.gap_at > 1:
            self._notes.append(
                f"lines before line {self._expected.gap_at} of the log could not be compared with the document"
            )
        problems = sorted(
            chain.problems + self._problems, key=lambda problem: problem.line or chain.lines + 1
        )
        return VerifyReport(tuple(problems), tuple(self._notes), chain.lines, chain.entries)

    def _report(self, kind: ProblemKind, line: int | None, message: str) -> None:
        where = f"line {line}: " if line else ""
        self._problems.append(Problem(kind, line, where + message))

    def _examine_without_document(self) -> None:
        if not self._chain.entries:
            raise self._store.not_found()
        fix = "the next command rebuilds it from the log, if that is whole and reaches back to the beginning"
        self._report("missing", None, f"the document is missing, and its log is there: {fix}")

    def _belong_together(self) -> bool:
        """Return True if the log is the one that the document names, and reaches as far."""
        named, log_name = self._named, self._store.log_name
        if not self._has_log:
            if named and named.seq:
                self._report(
                    "missing", None, f"the audit log {log_name} is gone, and with it entries 1 to {named.seq}"
                )
            else:
                self._notes.append(f"there is no audit log {log_name}")
            return False
        if not named or not named.seq:
            return True
        found = self._chain.find(named.seq)
        if found is None:
            self._examine_end(named.seq)
            return False
        line, hashes = found
        if not hashes or named.hash in hashes:
            return True
        what = "document and log went different ways: one of them is a copy from another time or place"
        if self._expected.other_beginning:
            begun = self._expected.other_beginning
            what = f"the audit log belongs to a different migration (begun in line {begun})"
        self._report("other_log", line, f"entry {named.seq} is not the one that the document names: {what}")
        return False

    def _examine_end(self, named_seq: int) -> None:
        """Report that the log ends before the entry that the document names.

        A gap before it is a problem of the chain.
        """
        end, line = self._chain.end
        if end < named_seq:
            where = f"ends with entry {end} (line {line})" if end else "holds no entry"
            message = f"the log {where}, but the document contains entry {named_seq}: its end was cut off"
            self._report("missing", line or None, message)

    def _compare(self, document: Document) -> None:
        expected = self._expected
        if missing := document.metadata.get("unlogged_changes"):
            message = f"{counted(missing, 'change')} only in the document: the log could not be written"
            self._report("unlogged_changes", None, message)
            expected.discard_before(self._chain.lines + 1)
        for line in self._store.foreign_lines():
            if line.content:
                expected.add_foreign_line(0, line.content)
        if expected.other_beginning:
            self._report(
                "unexplained",
                expected.other_beginning,
                "the migration that begins here is not the document's, which began at "
                f"{document.fields['started_at']} without a line in the log: begun by a program that could not write "
                "its line, or copied here from elsewhere",
            )
        neighbours = [DocumentFacts.of(other) for other in self._store.other_documents()]
        self._problems += differences(expected, DocumentFacts.of(document), neighbours)

    def _examine_gate(self, document: Document) -> None:
        if document.phase is not Phase.COMPLETED:
            return
        context = Context(self._store.address, self._store.liveness_of(document.open_runs))
        blockers = evaluate(document, None, context).blockers
        if blockers:
            shown, more = and_more([f"{blocker.message}; {blocker.fix}" for blocker in blockers], 3)
            message = "; ".join([*shown, *more])
            self._report(
                "completed_past_gate",
                None,
                f"the migration is Completed although its gate is shut: {message}",
            )


def _lines(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    shown, more = and_more(numbers, 20)
    return " ".join([f"lines {', '.join(map(str, shown))}", *more])
