"""Verifying a state: the hash chain of its log, and its document against the log.

It changes nothing and does not need the lock.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain import events
from pytest_migration_state.domain.beside.past import Entry
from pytest_migration_state.domain.beside.reckoning import fold, is_whole
from pytest_migration_state.domain.expected_state import ExpectedState
from pytest_migration_state.domain.facts import DocumentFacts
from pytest_migration_state.domain.gate import Context, completion_in_words, evaluate
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.errors import MigrationStateError, StateDamagedError
from pytest_migration_state.storage.records import NO_LINE_END, Position
from pytest_migration_state.text import and_more, counted, numbered, to_printable
from pytest_migration_state.verification.acceptance import Acceptances
from pytest_migration_state.verification.comparison import differences, other_differences
from pytest_migration_state.verification.hash_chain import HashChain, LineStatus
from pytest_migration_state.verification.report import Problem, VerifyReport

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.base import StateStore
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.types import JsonObject
    from pytest_migration_state.verification.report import ProblemKind

#: The time after which a problem must still exist to be reported, in seconds: PowerShell writes the document
#: first and then the log.
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
        # Problems of single lines of the log can be accepted; those of the document cannot.
        self._line_problems: list[Problem] = []
        self._problems: list[Problem] = []
        self._acceptances = Acceptances()
        self._chain = HashChain()
        self._document = store.checkpoint()
        # The last entry that the document contains, and how many entries come after it.
        self._named = Position(*self._document.audit) if self._document and self._document.audit else None
        self._behind = 0
        # Entries that were committed together, until their last one comes: line numbers and contents.
        self._unfinished: list[tuple[int, JsonObject]] = []
        # Lines of other programs behind the last entry. Those before it are dealt with: what counts of them
        # is in an entry. Version 0.1.0, which names no digest in the document, wrote no such entries.
        self._heeds_all_lines = not (self._document and self._document.content_digest)
        self._tail: list[Line] = []
        self._entries: list[Entry] = []
        facts = DocumentFacts.of(self._document) if self._document else DocumentFacts({}, {})
        self._expected = ExpectedState.of(facts)
        self._has_log = self._read_log()
        for line in self._tail:
            self._add_foreign(line.number, line)
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
        if status is LineStatus.VALID_AFTER_GAP:
            self._acceptances.add_stated("missing", line.number)
        if status in {LineStatus.BREAKS_CHAIN, LineStatus.VALID_AFTER_GAP}:
            self._expected.discard_before(line.number)
        if status not in {LineStatus.VALID, LineStatus.VALID_AFTER_GAP} or not line.content:
            return
        if line.hash is None:
            if self._heeds_all_lines:
                self._add_foreign(line.number, line)
            else:
                self._tail.append(line)
            return
        try:
            self._add_part(line.number, line.content)
        except (AttributeError, KeyError, TypeError, ValueError):
            # Its hash fits, so it was written like this, but not by this program.
            what = "its data do not describe a change, although its hash fits"
            self._line_problems.append(Problem("changed", line.number, f"line {line.number}: {what}"))

    def _add_foreign(self, number: int, line: Line) -> None:
        assert line.content is not None
        self._expected.add_foreign_line(number, line.content)

    def _add_part(self, number: int, content: JsonObject) -> None:
        """Add an entry as soon as the last of those that were committed with it has been read."""
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
        self._entries.append(Entry(content["seq"], str(content.get("action")), timestamp, data))
        if "unlogged_changes" in data.get("metadata", {}):
            what = to_printable(str(content.get("details")))
            self._line_problems.append(Problem("unlogged_changes", number, f"line {number}: {what}"))
            self._acceptances.add_stated("unlogged_changes", number)
        self._acceptances.add_entry(number, data)
        is_behind = self._document and self._named and content["seq"] > self._named.seq
        self._behind += bool(is_behind)
        if not self._heeds_all_lines:
            if is_behind:
                # The document may hold what these lines say: an entry that it does not contain yet tells.
                for line in self._tail:
                    self._add_foreign(0, line)
            else:
                self._expected.add_entry(number, timestamp, data)
            self._tail.clear()
            return
        if self._document and is_behind:
            events.apply(self._document, data, timestamp)
            self._expected.migration_id = self._document.migration_id
            self._expected.started_at = self._document.fields["started_at"]
        self._expected.add_entry(number, timestamp, data)

    # --- the findings ---------------------------------------------------------------------------------------

    def report(self) -> VerifyReport:
        """Return the report."""
        chain = self._chain
        if self._document is None:
            self._examine_without_document()
        else:
            if self._belong_together():
                self._compare(self._document)
            self._examine_gate(self._as_everybody_reads_it(self._document))
        found = chain.problems + self._line_problems
        unaccepted, accepted = self._acceptances.separate(found, self._store)
        self._notes += accepted
        self._add_notes()
        problems = sorted(unaccepted + self._problems, key=lambda problem: problem.line or chain.lines + 1)
        return VerifyReport(tuple(problems), tuple(self._notes), chain.lines, chain.entries)

    def _add_notes(self) -> None:
        chain = self._chain
        if chain.strange:
            self._notes.append(
                f"{_lines(chain.strange)} of the log: not a JSON object, so it counts for nothing"
            )
        if self._behind:
            behind = counted(self._behind, "entry", "entries")
            self._notes.append(f"the document is behind the log by {behind}, which every reader adds")
        if self._expected.gap_at > 1:
            self._notes.append(
                f"lines before line {self._expected.gap_at} of the log could not be compared "
                "with the document"
            )

    def _report(self, kind: ProblemKind, line: int | None, message: str) -> None:
        where = f"line {line}: " if line else ""
        self._problems.append(Problem(kind, line, where + message))

    def _examine_without_document(self) -> None:
        if not self._chain.entries:
            raise self._store.not_found()
        fix = "the next command that writes rebuilds it from the log, if that is whole and has the beginning"
        self._report("missing", None, f"the document is missing, and its log is there: {fix}")

    def _belong_together(self) -> bool:
        """Return True if the log is the one that the document names, and reaches as far."""
        named = self._named
        if not self._has_log:
            self._examine_without_log()
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

    def _examine_without_log(self) -> None:
        log_name = self._store.log_name
        if self._named and self._named.seq:
            lost = numbered(1, self._named.seq, "entry {}", "entries {} to {}")
            self._report("missing", None, f"the audit log {log_name} is gone, and with it {lost}")
        else:
            self._notes.append(f"there is no audit log {log_name}")

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
        unassigned = 0
        for line in self._store.foreign_lines():
            if line.content:
                expected.add_foreign_line(0, line.content)
                unassigned += 1
        if expected.other_beginning:
            self._report(
                "unexplained",
                expected.other_beginning,
                "the migration that begins here is not the document's, which began at "
                f"{document.fields['started_at']} without a line in the log: begun by a program that could "
                "not write its line, or copied here from elsewhere",
            )
        neighbours = [DocumentFacts.of(other) for other in self._store.other_documents()]
        if neighbours:
            unassigned += self._chain.lines - self._chain.entries
        if unassigned:
            lines = f"{counted(unassigned, 'line')} of other programs"
            whose = "it cannot be told which state of the folder they are about"
            self._notes.append(f"{lines}: {whose}; only the document says what they did")
        self._problems += differences(expected, DocumentFacts.of(document), neighbours)
        # The migration was taken over, or began, behind every line that is damaged.
        is_readable = all((problem.line or 0) < expected.begun_at for problem in self._chain.problems)
        is_whole_log = is_readable and not missing and is_whole(self._entries)
        if self._named and is_whole_log and not self._heeds_all_lines:
            self._problems += other_differences(fold(self._entries, self._named.seq), document)

    def _as_everybody_reads_it(self, document: Document) -> Document:
        """Return the state with what stands only in the log; the document alone if that cannot be used."""
        try:
            return self._store.read()
        except MigrationStateError:
            return document

    def _examine_gate(self, document: Document) -> None:
        if document.lost_entries:
            self._notes.append(
                f"the gate is shut until 'migration-state accept': {to_printable(document.lost_entries)}"
            )
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
                "the migration is Completed although its gate is shut: "
                f"{completion_in_words(document)}: {message}",
            )


def _lines(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    shown, more = and_more(numbers, 20)
    return " ".join([f"lines {', '.join(map(str, shown))}", *more])
