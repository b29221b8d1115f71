"""``verify`` distinguishes every kind of damage to the log, and names the line."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import (
    MigrationStateError,
    MigrationTracker,
    StateDamagedError,
    StateNotFoundError,
)
from pytest_migration_state.verification import verify
from state_files import FOREIGN, edit, kinds, lines, log_of, put_lines, read

if TYPE_CHECKING:
    from pathlib import Path

Damage = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SECOND_LOOK", 0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with nine lines in its log: entries 1 to 8, and line 4 of another program."""
    path = tmp_path / "migration-state.json"
    tracker = MigrationTracker(path)
    tracker.initialize()
    tracker.set_phase("BackupInProgress")
    tracker.add_processed_container("guardian-hive", "abc123")
    put_lines(path, [*lines(path), FOREIGN])
    tracker.add_preserved_data("guardian-hive-config", "/backups/config.json")
    tracker.add_native_process("guardian-hive", 4242)
    tracker.add_validation_result("guardian-hive", "starts", passed=True)
    tracker.add_validation_result("guardian-hive", "stops", passed=False, error_message="exit status 3")
    tracker.set_rollback_availability(False)
    return path


def test_a_log_that_is_whole_is_sound(state: Path) -> None:
    """It has nine lines, eight of them entries, and no note."""
    report = MigrationTracker(state).verify()
    assert (report.sound, report.problems, report.notes, report.lines, report.entries) == (True, (), (), 9, 8)


def _change(number: int, old: bytes, new: bytes) -> Damage:
    def damage(log: list[bytes]) -> list[bytes]:
        assert old in log[number - 1]
        return [*log[: number - 1], log[number - 1].replace(old, new), *log[number:]]

    return damage


def _order(*numbers: int) -> Damage:
    return lambda log: [log[number - 1] for number in numbers]


def _insert(number: int, line: bytes) -> Damage:
    return lambda log: [*log[: number - 1], line, *log[number - 1 :]]


DAMAGES: dict[str, tuple[Damage, list[tuple[str, int | None]], str]] = {
    "a verdict changed": (
        _change(8, b'"passed":false', b'"passed":true'),
        [("changed", 8)],
        "line 8: entry 7 was modified",
    ),
    "the details changed": (
        _change(2, b"NotStarted", b"Validation"),
        [("changed", 2)],
        "line 2: entry 2 was modified",
    ),
    "a time changed": (
        _change(1, b'"timestamp":"20', b'"timestamp":"19'),
        [("changed", 1)],
        "line 1: entry 1 was modified",
    ),
    "a hash changed": (
        lambda log: [*log[:5], re.sub(rb'"hash":".{8}', b'"hash":"00000000', log[5]), *log[6:]],
        [("changed", 6)],
        "line 6: entry 5 was modified",
    ),
    "a hash too short": (
        lambda log: [*log[:5], re.sub(rb'"hash":".{8}', b'"hash":"', log[5]), *log[6:]],
        [("changed", 6)],
        "line 6: the entry was modified: its seq, data or hash is invalid",
    ),
    "a number raised": (
        _change(6, b'"seq":5,', b'"seq":7,'),
        [("changed", 6)],
        "the number of entry 5 was changed to 7",
    ),
    "a number lowered": (
        _change(6, b'"seq":5,', b'"seq":2,'),
        [("changed", 6)],
        "the number of entry 5 was changed to 2",
    ),
    "a number made text": (
        _change(6, b'"seq":5,', b'"seq":"5",'),
        [("changed", 6)],
        "the entry was modified: its seq, data or hash is invalid",
    ),
    "the last entry changed": (
        _change(9, b"false", b"true"),
        [("changed", 9)],
        "line 9: entry 8 was modified",
    ),
    "another program's line changed": (
        _change(4, b"Custom action", b"Other action"),
        [("changed", 5)],
        "line 5: entry 4 was modified, or line 4 of another program was changed or removed",
    ),
    "another program's line dropped": (
        _order(1, 2, 3, 5, 6, 7, 8, 9),
        [("changed", 4)],
        "or a line of another program before it was removed",
    ),
    "a line inserted": (
        _insert(7, FOREIGN),
        [("changed", 7)],
        "line 7 was inserted afterwards: entry 6 fits the one before it",
    ),
    "an entry inserted": (
        lambda log: [*log[:6], log[5].replace(b'"seq":5', b'"seq":6'), *log[6:]],
        [("changed", 7)],
        "line 7 was inserted: the chain continues without it",
    ),
    "cut within": (
        _change(6, b'"data"', b'"da'),
        [("changed", 6)],
        "line 6: it was an entry and is no longer a JSON object",
    ),
    "nothing but noise": (
        lambda log: [*log[:5], b'\x00\xff"seq":\x00', *log[6:]],
        [("changed", 6)],
        "line 6: it was an entry and is no longer a JSON object",
    ),
    "two lines glued": (
        lambda log: [*log[:5], log[5] + log[6], *log[7:]],
        [("changed", 6)],
        "line 6: it was an entry and is no longer a JSON object",
    ),
    "overwritten by another program": (
        lambda log: [*log[:5], FOREIGN, log[5][len(FOREIGN) + 1 :], *log[6:]],
        [("changed", 7)],
        "line 7: it was an entry and is no longer a JSON object",
    ),
    "another program's line cut": (
        _change(4, b'details"}', b""),
        [("changed", 4), ("changed", 5)],
        "line 4 was written by another program and is not, or no longer, a JSON object",
    ),
    "line end made CRLF": (
        _change(6, b'"}', b'"}\r'),
        [("changed", 6)],
        "line 6: its line end was changed to CRLF, as editors and git do",
    ),
    "one dropped": (
        _order(1, 2, 3, 4, 5, 7, 8, 9),
        [("missing", 6)],
        "line 6: entry 5 is missing before it: lines were removed",
    ),
    "three dropped": (
        _order(1, 2, 3, 4, 5, 9),
        [("missing", 6)],
        "line 6: entries 5 to 7 are missing before it",
    ),
    "the beginning dropped": (
        _order(6, 7, 8, 9),
        [("missing", 1)],
        "line 1: entries 1 to 4 are missing before it",
    ),
    "one doubled": (
        _order(1, 2, 3, 4, 5, 6, 6, 7, 8, 9),
        [("moved", 7)],
        "line 7 repeats entry 5, which is in line 6: the line was doubled",
    ),
    "a block doubled": (
        _order(1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        [("moved", 4), ("moved", 5), ("moved", 6)],
        "line 5 repeats entry 2",
    ),
    "the last doubled": (_order(1, 2, 3, 4, 5, 6, 7, 8, 9, 9), [("moved", 10)], "line 10 repeats entry 8"),
    "two exchanged": (
        _order(1, 2, 3, 4, 5, 7, 6, 8, 9),
        [("moved", 6)],
        "line 6 is entry 6 and out of its place",
    ),
    "one moved down": (
        _order(1, 2, 3, 4, 5, 7, 8, 9, 6),
        [("moved", 9)],
        "line 9 is entry 5 and out of its place",
    ),
    "one moved up": (
        _order(1, 9, 2, 3, 4, 5, 6, 7, 8),
        [("moved", 2)],
        "line 2 is entry 8 and out of its place",
    ),
    "cut after a line": (
        _order(1, 2, 3, 4, 5, 6),
        [("missing", 6)],
        "the log ends with entry 5 (line 6), but the document contains entry 8",
    ),
    "all entries dropped": (
        _order(4),
        [("missing", None)],
        "the log holds no entry, but the document contains entry 8",
    ),
}


@pytest.mark.parametrize(("damage", "expected", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_of_the_log_is_reported(
    state: Path, damage: Damage, expected: list[tuple[str, int | None]], words: str
) -> None:
    """Each kind of damage is reported once, at its line, and nothing else is reported."""
    put_lines(state, damage(lines(state)))
    before = log_of(state).read_bytes(), state.read_bytes()
    report = MigrationTracker(state).verify()
    assert expected == kinds(report)
    assert any(words in problem.message for problem in report.problems), report.problems
    assert not any(f"line {problem.line}: line" in problem.message for problem in report.problems)
    assert before == (log_of(state).read_bytes(), state.read_bytes())


def test_a_missing_log_is_reported(state: Path) -> None:
    """The document names entries that no log contains."""
    log_of(state).unlink()
    report = MigrationTracker(state).verify()
    assert kinds(report) == [("missing", None)]
    assert (
        report.problems[0].message == "the audit log migration-audit.log is gone, and with it entries 1 to 8"
    )


def test_a_missing_log_of_one_entry_is_no_range(tmp_path: Path) -> None:
    """One entry is named as one, by the command that misses it and by verification."""
    state = tmp_path / "migration-state.json"
    MigrationTracker(state).initialize()
    log_of(state).unlink()
    (problem,) = MigrationTracker(state).verify().problems
    assert problem.message == "the audit log migration-audit.log is gone, and with it entry 1"
    with pytest.warns(UserWarning, match="the audit log is gone: entry 1 is missing"):
        MigrationTracker(state).add_native_process("worker-aider")
    (problem,) = MigrationTracker(state).verify().problems
    assert problem.message.startswith("line 1: entry 1 is missing before it, as it says itself")


def test_a_log_that_was_begun_again_says_what_is_missing(state: Path) -> None:
    """The gap is reported at the line that names it. The chain continues there and is checked."""
    log_of(state).unlink()
    tracker = MigrationTracker(state, notify=lambda _: None)
    tracker.add_native_process("worker-aider")
    report = tracker.verify()
    assert kinds(report) == [("missing", 1)]
    assert report.problems[0].message.startswith(
        "line 1: entries 1 to 8 are missing before it, as it says itself (the audit log is gone"
    )


def test_the_log_of_another_migration_is_reported(state: Path, tmp_path: Path) -> None:
    """It contains another entry at the position that the document names."""
    other = tmp_path / "other" / "migration-state.json"
    tracker = MigrationTracker(other)
    tracker.initialize()
    for number in range(9):
        tracker.add_processed_container(f"c{number}", "id")
    put_lines(state, lines(other))
    report = MigrationTracker(state).verify()
    assert kinds(report) == [("other_log", 8)]
    assert report.problems[0].message == (
        "line 8: entry 8 is not the one that the document names: "
        "the audit log belongs to a different migration (begun in line 1)"
    )


def test_a_log_that_went_another_way_is_reported(state: Path, tmp_path: Path) -> None:
    """A copy of the state that was used has the same beginning and a different end."""
    copy = tmp_path / "copy" / state.name
    copy.parent.mkdir()
    copy.write_bytes(state.read_bytes())
    put_lines(copy, lines(state))
    MigrationTracker(state).add_native_process("a")
    MigrationTracker(copy).add_native_process("b")
    put_lines(state, lines(copy))
    report = MigrationTracker(state).verify()
    assert kinds(report) == [("other_log", 10)]
    assert "document and log went different ways" in report.problems[0].message


def test_an_old_document_beside_a_new_log_is_no_problem(state: Path) -> None:
    """Every reader adds the newer entries of the log."""
    old = state.read_bytes()
    tracker = MigrationTracker(state)
    tracker.add_native_process("a")
    tracker.add_native_process("b")
    state.write_bytes(old)
    report = tracker.verify()
    assert (report.problems, report.notes) == (
        (),
        ("the document is behind the log by 2 entries, which every reader adds",),
    )


def test_a_new_document_beside_an_old_log_is_reported(state: Path) -> None:
    """The restored log ends before the entry that the document names."""
    old = lines(state)
    MigrationTracker(state).add_native_process("a")
    put_lines(state, old)
    report = MigrationTracker(state).verify()
    assert kinds(report) == [("missing", 9)]


def test_a_torn_last_line_is_a_note(state: Path) -> None:
    """Another writer may still be writing it."""
    with log_of(state).open("ab") as log:
        log.write(b'{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"Valid')
    report = MigrationTracker(state).verify()
    assert (
        report.problems,
        report.notes,
    ) == ((), ("line 10, the last, is unfinished: it is being written, or its writer was killed",))


def test_an_unfinished_commit_does_not_count(state: Path) -> None:
    """If a writer is killed between entries that are committed together, none of them has an effect."""
    before = state.read_bytes()
    tracker = MigrationTracker(state)
    tracker.apply([{"operation": "add_native_process", "name": name} for name in ("a", "b", "c")])
    state.write_bytes(before)
    whole = tracker.verify().notes
    put_lines(state, lines(state)[:-1])
    report = tracker.verify()
    assert whole == ("the document is behind the log by 3 entries, which every reader adds",)
    note = "line 10 begins an unfinished commit, which does not count: its writer was killed"
    assert ((), (note,)) == (report.problems, report.notes)


def test_a_last_line_without_its_end_still_counts_for_the_document_that_contains_it(state: Path) -> None:
    """An editor that removes the last line end damages nothing."""
    log_of(state).write_bytes(log_of(state).read_bytes()[:-1])
    report = MigrationTracker(state).verify()
    assert (report.sound, report.lines, report.entries, len(report.notes)) == (True, 9, 8, 1)


def test_what_never_was_an_entry_is_a_note_with_its_lines(state: Path) -> None:
    """Text that a script wrote to the log is kept and noted."""
    put_lines(state, [*lines(state), b"deployment done", b"", b"[1]"])
    report = MigrationTracker(state).verify()
    assert (report.problems, report.notes) == (
        (),
        ("lines 10, 12 of the log: not a JSON object, so it counts for nothing",),
    )


def test_a_missing_document_is_reported(state: Path) -> None:
    """The log is checked; the next command rebuilds the document."""
    state.unlink()
    report = MigrationTracker(state).verify()
    assert kinds(report) == [("missing", None)]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("migration-state.json", b"{", StateDamagedError),
        ("migration-state.json", b"[]", StateDamagedError),
        ("other.json", b"", StateNotFoundError),
    ],
    ids=["cut", "a list", "nothing there"],
)
def test_a_document_that_cannot_be_used_raises(
    tmp_path: Path, name: str, content: bytes, error: type[MigrationStateError]
) -> None:
    """There is no state to verify."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        MigrationTracker(tmp_path / "migration-state.json").verify()


def test_a_log_that_cannot_be_read_raises(state: Path) -> None:
    """A folder at the log's path is not taken for a missing log."""
    log_of(state).unlink()
    log_of(state).mkdir()
    with pytest.raises(StateDamagedError, match="it cannot be read"):
        MigrationTracker(state).verify()


def test_changes_made_while_the_log_could_not_be_written_count_once(state: Path) -> None:
    """At first only the document contains them, and later the log as well."""
    aside = log_of(state).rename(state.with_name("aside"))
    log_of(state).mkdir()
    tracker = MigrationTracker(state, notify=lambda _: None)
    tracker.add_native_process("a")
    tracker.set_phase("ContainerTermination")
    log_of(state).rmdir()
    aside.rename(log_of(state))
    before = tracker.verify()
    tracker.add_native_process("b")
    after = tracker.verify()
    assert (kinds(before), kinds(after)) == ([("unlogged_changes", None)], [("unlogged_changes", 10)])
    assert after.problems[0].message.startswith("line 10: 2 changes only in the document")


def test_every_flipped_byte_of_the_log_is_reported(state: Path) -> None:
    """Every change of a covered byte is found, and verify never raises."""
    whole = log_of(state).read_bytes()
    numbers = random.Random(4)
    for _ in range(400):
        at = numbers.randrange(len(whole))
        flipped = bytes([whole[at] ^ (1 << numbers.randrange(8))])
        log_of(state).write_bytes(whole[:at] + flipped + whole[at + 1 :])
        report = MigrationTracker(state).verify()
        assert not report.sound or report.notes, (at, flipped)


def test_every_cut_of_the_log_is_reported(state: Path) -> None:
    """The log cut at any byte is too short for the document."""
    whole = log_of(state).read_bytes()
    for size in range(0, len(whole) - 1, 7):
        log_of(state).write_bytes(whole[:size])
        problems = MigrationTracker(state).verify().problems
        assert [problem.kind for problem in problems] == ["missing"], (size, problems)


def test_the_report_is_printed_as_json(state: Path) -> None:
    """It is the output of the command line with --json."""
    put_lines(state, lines(state)[:8])
    message = (
        "line 8: the log ends with entry 7 (line 8), but the document contains entry 8: its end was cut off"
    )
    expected = {
        "sound": False,
        "lines": 8,
        "entries": 7,
        "problems": [{"kind": "missing", "line": 8, "message": message}],
        "notes": ["the gate is shut until 'migration-state accept': the audit log has lost entry 8"],
    }
    assert expected == MigrationTracker(state).verify().to_object()


def test_a_state_without_a_log_is_sound(tmp_path: Path) -> None:
    """A document that names no entry needs no log."""
    path = tmp_path / "migration-state.json"
    MigrationTracker(path).initialize()
    metadata = read(path)["metadata"]
    del metadata["audit"]
    edit(path, metadata=metadata)
    log_of(path).unlink()
    assert (
        (report := MigrationTracker(path).verify()).problems,
        report.notes,
    ) == ((), ("there is no audit log migration-audit.log",))
