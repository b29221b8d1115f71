"""Accepting what a verification finds: what is covered afterwards, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import MigrationTracker, NothingToAcceptError
from state_files import (
    DOCUMENT,
    FOREIGN,
    edit,
    files_of,
    in_validation,
    kinds,
    lines,
    log_of,
    put_lines,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_migration_state import VerifyReport

pytestmark = pytest.mark.quick_cases(3)

WHO, WHY = "ops", "the disk died"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation with one passed verdict; its log has six lines."""
    in_validation(tmp_path / DOCUMENT).add_validation_result("hive", "t", passed=True)
    return tmp_path / DOCUMENT


def tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def accept(path: Path) -> VerifyReport:
    """Accept the record, and verify it."""
    tracker(path).accept_record(WHO, WHY)
    return tracker(path).verify()


def accepted(report: VerifyReport) -> list[str]:
    """The notes about what was accepted."""
    return [note for note in report.notes if note.startswith("accepted ")]


def damaged(path: Path, number: int) -> None:
    """Modify a line of the log."""
    content = lines(path)
    content[number - 1] = content[number - 1].replace(b'"level":"INFO"', b'"level":"info"')
    put_lines(path, content)


def unlogged(path: Path) -> None:
    """Record something while the log cannot be written."""
    aside = log_of(path).rename(path.with_name("aside"))
    log_of(path).mkdir()
    tracker(path).add_native_process("worker")
    log_of(path).rmdir()
    aside.rename(log_of(path))


def with_garbage(path: Path) -> None:
    with log_of(path).open("ab") as log:
        log.write(b'{"action": "half a li\n')


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: log_of(path).unlink(),
    "cut": lambda path: put_lines(path, lines(path)[:-2]),
    "a line changed": lambda path: damaged(path, 3),
    "a line dropped": lambda path: put_lines(path, lines(path)[:2] + lines(path)[3:]),
    "a line inserted": lambda path: put_lines(path, [*lines(path)[:2], FOREIGN, *lines(path)[2:]]),
    "a line of another program that is cut": with_garbage,
    "changes that were not logged": unlogged,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_accepted_damage_is_a_note(path: Path, damage: Callable[[Path], object]) -> None:
    """It is a problem before, and a note afterwards, also after later entries."""
    damage(path)
    assert not tracker(path).verify().sound
    report = accept(path)
    (one,) = read(path)["metadata"]["accepted"]
    (note,) = accepted(report)
    assert report.sound
    assert note.startswith(f"accepted by ops at {one['at']} (the disk died): line ")
    assert tracker(path).gate().open
    tracker(path).set_phase("Completed")
    later = tracker(path).verify()
    assert (later.problems, later.notes) == ((), report.notes)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_that_a_writer_found_first_can_be_accepted(
    path: Path, damage: Callable[[Path], object]
) -> None:
    """The next entry does not settle it: it stays a problem until it is accepted."""
    damage(path)
    tracker(path).write_audit("Notice", "x")
    assert not tracker(path).verify().sound
    assert accept(path).sound


@pytest.mark.parametrize("name", ["gone", "cut"])
def test_lost_entries_keep_the_gate_shut(path: Path, name: str) -> None:
    """For readers, and after a writer has begun the log again; until they are accepted."""
    DAMAGES[name](path)
    before = tracker(path).gate().blockers
    tracker(path).write_audit("Notice", "x")
    assert [blocker.kind for blocker in before] == ["log"]
    assert tracker(path).gate().blockers == before
    assert "migration-state accept -s" in before[0].fix
    assert (read(path)["metadata"]["version"], "lost_entries" in read(path)["metadata"]) == ("2.0", True)
    tracker(path).accept_record(WHO, WHY)
    assert (tracker(path).gate().open, "lost_entries" in read(path)["metadata"]) == (True, False)


def test_another_program_cannot_accept(path: Path) -> None:
    """Only an entry of this package does: a document without the key is still one without a log."""
    log_of(path).unlink()
    tracker(path).write_audit("Notice", "x")
    metadata = {key: value for key, value in read(path)["metadata"].items() if key != "lost_entries"}
    accepted = [{"by": "me", "at": metadata["audit"]["hash"], "reason": "r", "what": "w"}]
    edit(path, metadata={**metadata, "accepted": accepted})
    assert [blocker.kind for blocker in tracker(path).gate().blockers] == ["log"]
    tracker(path).write_audit("Notice", "x")
    assert [blocker.kind for blocker in tracker(path).gate().blockers] == ["log"]
    assert "accepted" not in read(path)["metadata"]


def test_later_damage_is_a_problem(path: Path) -> None:
    """It stands behind the acceptance, and can be accepted too."""
    damaged(path, 3)
    accept(path)
    tracker(path).write_audit("Notice", "x")
    tracker(path).write_audit("Notice", "y")
    damaged(path, 8)
    report = tracker(path).verify()
    assert (kinds(report), len(accepted(report))) == ([("changed", 8)], 1)
    report = accept(path)
    assert (kinds(report), len(accepted(report))) == ([], 2)


def test_what_a_later_entry_says_itself_is_a_problem(path: Path) -> None:
    """An acceptance covers what stands before it, and nothing behind it."""
    damaged(path, 3)
    accept(path)
    unlogged(path)
    tracker(path).write_audit("Notice", "x")
    assert kinds(tracker(path).verify()) == [("unlogged_changes", 8)]


def test_lines_before_an_acceptance_stay_protected(path: Path) -> None:
    """It covers the lines as they were verified: another change of them uncovers all of it."""
    damaged(path, 3)
    accept(path)
    damaged(path, 2)
    assert [line for _, line in kinds(tracker(path).verify())] == [2, 3]
    assert accept(path).sound


def test_a_gap_that_an_entry_says_is_covered_only_if_the_entry_is_there(path: Path) -> None:
    """Without the line that says it, the gap is damage."""
    log_of(path).unlink()
    accept(path)
    put_lines(path, lines(path)[1:])
    assert not tracker(path).verify().sound


def test_a_log_that_is_lost_again_is_accepted_again(path: Path) -> None:
    """The gate shuts again. Both acceptances stay on record."""
    for _ in range(2):
        log_of(path).unlink()
        assert not tracker(path).gate().open
        accept(path)
        assert tracker(path).gate().open
    assert len(read(path)["metadata"]["accepted"]) == 2


EDITS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a verdict, after the log was lost": ("gone", lambda path: edit(path, validation_results=[])),
    "the phase, after the log was lost": ("gone", lambda path: edit(path, phase="Completed")),
    "metadata, after the log was lost": (
        "gone",
        lambda path: edit(path, metadata={**read(path)["metadata"], "accepted": []}),
    ),
    "a verdict, after a line was changed": (
        "a line changed",
        lambda path: edit(path, validation_results=[]),
    ),
    "the phase, after a line was changed": ("a line changed", lambda path: edit(path, phase="Completed")),
}


@pytest.mark.parametrize(("damage", "change"), EDITS.values(), ids=EDITS.keys())
def test_a_later_edit_of_the_document_is_a_problem(
    path: Path, damage: str, change: Callable[[Path], None]
) -> None:
    """An acceptance is about the log as it was, not about what somebody writes to the document later."""
    DAMAGES[damage](path)
    assert accept(path).sound
    change(path)
    assert not tracker(path).verify().sound


def test_an_edit_that_is_accepted_opens_nothing(path: Path) -> None:
    """A failure that was set to passed by hand is refused, and stays failed."""
    tracker(path).add_validation_result("hive", "t", passed=False)
    (verdict,) = read(path)["validation_results"]
    edit(path, validation_results=[{**verdict, "passed": True}])
    assert accept(path).sound
    assert [blocker.kind for blocker in tracker(path).gate().blockers] == ["failed"]


def test_a_gate_that_was_passed_by_force_is_not_accepted(path: Path) -> None:
    """Its record is whole: it says that a failure was forced past the gate."""
    tracker(path).add_validation_result("hive", "t", passed=False)
    tracker(path).set_phase("Completed", force=True)
    with pytest.raises(NothingToAcceptError):
        tracker(path).accept_record(WHO, WHY)
    log_of(path).unlink()
    assert kinds(accept(path)) == [("completed_past_gate", None)]


def test_an_entry_of_the_same_name_accepts_nothing(path: Path) -> None:
    """Whoever writes an entry of their own can name it as they like."""
    damaged(path, 3)
    tracker(path).write_audit("RecordAccepted", "everything")
    assert kinds(tracker(path).verify()) == [("changed", 3)]


def test_acceptance_and_completion_in_one_step(path: Path) -> None:
    """Each operation is decided on the state that the one before it leads to."""
    log_of(path).unlink()
    accepting = {"operation": "accept_record", "by": WHO, "reason": WHY}
    completing = {"operation": "set_phase", "phase": "Completed"}
    tracker(path).apply([accepting, completing])
    assert tracker(path).verify().sound


def test_a_new_migration_has_nothing_to_accept(path: Path) -> None:
    """It begins with a record that is whole."""
    log_of(path).unlink()
    requests: list[dict[str, object]] = [
        {"operation": "initialize", "force": True},
        {"operation": "accept_record", "by": WHO, "reason": WHY},
    ]
    with pytest.raises(NothingToAcceptError):
        tracker(path).apply(requests)


def test_a_run_that_loses_log_and_document_says_so(path: Path) -> None:
    """What the run had in memory is written again; the entries before are lost all the same."""
    store = files_of(path)
    with store.hold():
        pass
    log_of(path).unlink()
    path.unlink()
    with store.hold(reuse=True):
        store.decide(lambda _: ())
        store.checkpoint()
    store.close()
    assert [blocker.kind for blocker in tracker(path).gate().blockers] == ["log"]
    assert accept(path).sound
