"""Changes of another program beside a command or a run, and what counts in the end.

A case is a kind of change, the part of it that the other program leaves, the moment, and what it comes
beside. What counts follows from the table of the contract: the one function of each kind.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_migration_state.domain.document import Document

KEY: Final = ("hive", "probe")

#: What the other program leaves.
BOTH, LINE, DOCUMENT = "line and document", "line only", "document only"
PARTS: Final = (BOTH, LINE, DOCUMENT)

#: When it works: before ours; when ours is in the journal of its run alone; when it is decided and not in the
#: log yet; when it is in the log and not in the document yet; after all of it; or all the time, so that it
#: reads before ours and writes after it.
BEFORE, JOURNALED, DECIDED, LOGGED = "before", "journaled", "decided", "logged"
AFTER, ACROSS = "after", "across"
MOMENTS: Final = (BEFORE, JOURNALED, DECIDED, LOGGED, AFTER, ACROSS)

COMMAND, RUN = "command", "run"


class Program(PowerShellWriter):
    """Another program that leaves only a part of each change.

    :ivar copy: the document that it has read already; ``None`` if it reads it when it changes it.
    """

    def __init__(self, path: Path, part: str = BOTH) -> None:
        super().__init__(path, seed=1)
        self._part = part
        self.copy: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        return super().read() if self.copy is None else self.copy

    def _write(self, document: dict[str, Any]) -> None:
        if self._part != LINE:
            super()._write(document)

    def write_audit(self, action: str, details: str, level: str = "INFO") -> None:
        if self._part != DOCUMENT:
            super().write_audit(action, details, level)


@dataclass(frozen=True)
class Situation:
    """What decides whether a change counts.

    :ivar is_last: whether it comes after ours.
    :ivar knows: whether its writer knew what ours had changed about the same.
    :ivar in_document: whether the document has it.
    :ivar in_line: whether a line has it.
    """

    is_last: bool
    knows: bool
    in_document: bool
    in_line: bool


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    :ivar theirs: the change of the other program.
    :ivar ours: our operation about the same; a run records a verdict.
    :ivar value: what of the state the two are about.
    :ivar outcomes: that value if ours counts, and if theirs does.
    :ivar counts: whether theirs does.
    :ivar before: the operations before, in a state in Validation.
    """

    theirs: Callable[[PowerShellWriter], None]
    ours: dict[str, Any]
    value: Callable[[Document], Any]
    outcomes: tuple[Any, Any]
    counts: Callable[[Situation], bool]
    before: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Case:
    """A change, the part of it that is left, the moment, and what it comes beside."""

    name: str
    part: str
    moment: str
    beside: str

    def __str__(self) -> str:
        return f"{self.name}, {self.part}, {self.moment}, {self.beside}"

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def situation(self) -> Situation:
        """What decides whether the change counts.

        A line that comes before ours is in the log has that of a command decided again. That of a run is in
        its journal then, and stands first.
        """
        in_line = self.part != DOCUMENT
        is_decided_again = self.moment == DECIDED and in_line and self.beside == COMMAND
        is_first = self.moment == BEFORE or is_decided_again
        knows = is_first or self.moment == AFTER or not self.is_about_the_same
        return Situation(not (is_first and self.is_about_the_same), knows, self.part != LINE, in_line)

    @property
    def expected(self) -> Any:
        """The value of the state in the end."""
        return self.kind.outcomes[self.kind.counts(self.situation)]

    @property
    def is_about_the_same(self) -> bool:
        """Whether ours is about the same: a run records only verdicts."""
        return self.beside == COMMAND or self.kind.ours["operation"] == "add_validation_result"


def _result(word: str) -> dict[str, Any]:
    names = {"component": KEY[0], "test_name": KEY[1]}
    return {"operation": "add_validation_result", **names, "passed": word == "passed"}


def _phase(phase: str) -> dict[str, Any]:
    return {"operation": "set_phase", "phase": phase, "force": True}


def _phase_in(document: Document) -> str:
    return document.phase.value


def _verdict_in(document: Document) -> bool | None:
    verdict = document.verdicts.get(KEY)
    return bool(verdict["passed"]) if verdict else None


def _error_in(document: Document) -> str | None:
    error = document.fields["error"]
    return error["message"] if error else None


def _if_last(case: Situation) -> bool:
    """What shuts or adds counts from the document or from a line, whatever its writer knew."""
    return case.is_last


def _if_it_knows(case: Situation) -> bool:
    """What opens counts only from the document, and only if its writer knew what it overrides."""
    return case.is_last and case.in_document and case.knows


def _phase_counts(case: Situation) -> bool:
    """A phase counts from a document or a line whose writer knew the phase before it."""
    return case.is_last and case.knows


def _always(_: Situation) -> bool:
    return True


def _names(key: str) -> Callable[[Document], Any]:
    return lambda document: sorted(item["name"] for item in document.fields[key])


KINDS: Final = {
    "failed": Kind(
        lambda other: other.result(*KEY, "false"),
        _result("passed"), _verdict_in, (True, False), _if_last,
        (_result("passed"),),
    ),
    "passed": Kind(
        lambda other: other.result(*KEY, "true"),
        _result("failed"), _verdict_in, (False, True), _if_it_knows,
        (_result("failed"),),
    ),
    "RolledBack": Kind(
        lambda other: other.phase("RolledBack"),
        _phase("NativeDeployment"), _phase_in, ("NativeDeployment", "RolledBack"), _if_last,
    ),
    "phase": Kind(
        lambda other: other.phase("Validation", force=True),
        _phase("NativeDeployment"), _phase_in, ("NativeDeployment", "Validation"), _phase_counts,
        (_phase("ContainerTermination"),),
    ),
    "rollback unavailable": Kind(
        lambda other: other.rollback("false"),
        {"operation": "set_rollback_availability", "available": True},
        lambda document: document.rollback_available, (True, False), _if_last,
    ),
    "rollback available": Kind(
        lambda other: other.rollback("true"),
        {"operation": "set_rollback_availability", "available": False},
        lambda document: document.rollback_available, (False, True), _if_it_knows,
        ({"operation": "set_rollback_availability", "available": False},),
    ),
    "error": Kind(
        lambda other: other.error("theirs"),
        {"operation": "set_error", "message": "ours"},
        lambda document: document.fields["error"]["message"], ("ours", "theirs"), _if_last,
    ),
    "error after another": Kind(
        lambda other: other.error("theirs"),
        {"operation": "clear_error"}, _error_in, (None, "theirs"), _if_last,
        ({"operation": "set_error", "message": "ours"},),
    ),
    "error in the words of a cleared one": Kind(
        lambda other: other.error("ours"),
        {"operation": "clear_error"}, _error_in, (None, "ours"), _if_last,
        ({"operation": "set_error", "message": "ours"},),
    ),
    "container": Kind(
        lambda other: other.container("theirs", "1"),
        {"operation": "add_processed_container", "name": "ours", "container_id": "1"},
        _names("docker_containers_removed"), (["ours"], ["ours", "theirs"]), _always,
    ),
    "process": Kind(
        lambda other: other.process("theirs", "1"),
        {"operation": "add_native_process", "name": "ours", "process_id": 1},
        _names("native_processes_started"), (["ours"], ["ours", "theirs"]), _always,
    ),
    "data": Kind(
        lambda other: other.data("key", "theirs"),
        {"operation": "add_preserved_data", "key": "key", "backup_path": "ours"},
        lambda document: document.fields["data_preserved"]["key"], ("ours", "theirs"), _if_last,
    ),
    "begin anew": Kind(
        lambda other: other.initialize(),
        _result("failed"), lambda document: (_phase_in(document), _verdict_in(document)),
        (("NotStarted", False), ("NotStarted", None)), _if_last,
        (_result("passed"),),
    ),
    "own line": Kind(
        lambda other: other.write_audit("Notice", "the window was extended"),
        _result("passed"), _verdict_in, (True, True), _always,
        (_result("failed"),),
    ),
}  # fmt: skip

CASES: Final = [
    Case(name, part, moment, beside)
    for name in KINDS
    for part in PARTS
    for moment in MOMENTS
    for beside in (COMMAND, RUN)
    if not (name == "own line" and part == DOCUMENT)  # it changes no document
    and not (name == "begin anew" and moment == ACROSS)  # it reads nothing
    and not (beside == COMMAND and moment == JOURNALED)  # it has none
]


# --- playing a case -----------------------------------------------------------------------------------------


def play(case: Case, path: Path) -> None:
    """Have the other program and ours work on a state."""
    other = Program(path, case.part)

    def act() -> None:
        case.kind.theirs(other)

    with closing(MigrationTracker(path, notify=lambda _: None)) as tracker:
        tracker.initialize()
        tracker.apply([_phase("Validation"), *case.kind.before])
        if not case.is_about_the_same:
            tracker.apply([case.kind.ours])
    if case.moment == BEFORE:
        act()
    if case.beside == COMMAND:
        _command(case, path, other, act)
    else:
        _run(case, path, other, act)
    if case.moment in {AFTER, ACROSS}:
        act()


def _command(case: Case, path: Path, other: Program, act: Callable[[], None]) -> None:
    if case.moment == ACROSS:
        other.copy = PowerShellWriter.read(other)
    with closing(MigrationTracker(path, notify=lambda _: None)) as tracker, _acting(case.moment, act):
        tracker.apply([case.kind.ours])


def _run(case: Case, path: Path, other: Program, act: Callable[[], None]) -> None:
    ours = case.kind.ours
    with closing(RunWriter(path, "7f3c", notify=lambda _: None)) as run:
        run.open(lambda _: None, {})
        run.plan(RunPlan([outstanding(utc_now(), KEY, "pending")]))
        if case.moment == ACROSS:
            other.copy = PowerShellWriter.read(other)
        with _acting(case.moment, act):
            run.verdict(Verdict(KEY, ours.get("passed", True)))
            if case.moment == JOURNALED:
                act()
            run.gate(Policy())
        run.finish(0, {})


@contextmanager
def _acting(moment: str, act: Callable[[], None]) -> Iterator[None]:
    """Have the other program work when the next entry is decided, or when it is in the log."""
    waiting = [act] if moment in {DECIDED, LOGGED} else []

    append = AuditLogFile.append

    def wrapped(*arguments: Any) -> Any:
        if waiting and moment == DECIDED:
            waiting.pop()()
        written = append(*arguments)
        if waiting and written:
            waiting.pop()()
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditLogFile, "append", wrapped)
        yield
    assert not waiting
