"""The journals of runs: their lines, who is alive, and what becomes of the journals of dead runs."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from journaled import (
    KEY,
    RUN,
    appended_in_between,
    begun,
    blockers,
    journal_of,
    kept,
    killed,
    tracker,
    verdict,
)

from powershell_writer import PowerShellWriter
from pytest_migration_state import InvalidArgumentError, StateDamagedError
from pytest_migration_state.domain.events import Event
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files import journal_lock
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.storage.identity import this_host
from pytest_migration_state.storage.journal_records import (
    Record,
    before_damage,
    decode_records,
    encode_record,
    select,
)
from pytest_migration_state.storage.records import encode_event
from state_files import log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_migration_state.tracking.run_writer import RunWriter

NOW = "2026-01-15T09:14:00.123Z"
# --- records ------------------------------------------------------------------------------------------------


def records(count: int, first: int = 1) -> list[Record]:
    event = Event("ValidationResult", "für 'ß'", {"validation_results": [{"x": None}]}, "INFO")
    return [Record(number, 100 * number, event, NOW) for number in range(first, first + count)]


def encoded(some: list[Record]) -> bytes:
    return b"".join(
        encode_record(encode_event(record.event, record.timestamp), record.number, record.log_size)
        for record in some
    )


def test_a_record_is_one_line_with_the_keys_of_the_log_first() -> None:
    line = encoded(records(1))
    assert line.endswith(b"\n")
    assert line.startswith(
        b'{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"ValidationResult",'
    )
    assert decode_records(line) == (records(1), b"")


def test_a_journal_that_is_cut_anywhere_keeps_its_whole_lines() -> None:
    content = encoded(records(3))
    for end in range(len(content)):
        found, torn = decode_records(content[:end])
        assert found == records(content[:end].count(b"\n"))
        assert torn == content[:end].rpartition(b"\n")[2]


def test_a_flipped_bit_damages_its_line_alone() -> None:
    whole = records(3)
    content = encoded(whole)
    for index in range(len(content)):
        flipped = bytearray(content)
        flipped[index] ^= 1 << index % 8
        found, torn = decode_records(bytes(flipped))
        intact = [record for record in found if record is not None]
        assert all(record in whole for record in intact)
        assert len(intact) >= (2 if bytes(flipped).count(b"\n") == 3 else 1)
        chosen = select(found, 0)
        assert chosen.missing + chosen.damaged + bool(torn) > 0


def test_selection_begins_behind_what_was_taken_and_counts_what_is_lost() -> None:
    one, two, three, four = records(4)
    assert select([one, two, three], 1) == ([two, three], 0, 0)
    assert select([None, two], 2) == ([], 0, 0)
    assert select([one, None, three], 0) == ([one, three], 1, 0)
    assert select([four], 1) == ([four], 2, 0)
    assert select([one, None, None], 0) == ([one], 0, 2)
    assert before_damage(select([one, two, four], 0), 0) == [one, two]


# --- alive or dead ------------------------------------------------------------------------------------------


def test_the_lock_of_its_journal_says_whether_a_run_is_alive(path: Path, run: RunWriter) -> None:
    def liveness() -> str:
        with closing(FileStore(path, notify=print)) as store:
            return store.liveness_of(store.read().open_runs)[RUN]

    assert liveness() == "alive"
    killed(run)
    assert liveness() == "dead"
    journal_of(path).unlink()
    assert liveness() == "dead"


def test_nothing_is_known_of_a_run_on_another_machine(path: Path) -> None:
    with closing(FileStore(path, notify=print)) as store:
        runs = {
            "a": {"host": "elsewhere"},
            "../b": {"host": this_host()},
            "c": "text",
            "d": {"finished_at": NOW},
        }
        assert store.liveness_of(runs) == {  # type: ignore[arg-type]  # another program wrote "text"
            "a": "unknown", "../b": "unknown", "c": "unknown", "d": "dead",
        }  # fmt: skip


def test_a_file_system_without_locks_says_nothing(
    path: Path, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise OSError("no locks available")

    monkeypatch.setattr(journal_lock, "is_held", refuse)
    with closing(FileStore(path, notify=print)) as store:
        assert store.liveness_of(store.read().open_runs) == {RUN: "unknown"}
    assert "outstanding" in blockers(path)
    assert run.failure is None


# --- dead runs ----------------------------------------------------------------------------------------------


def test_the_journal_of_a_dead_run_is_taken_over_and_removed(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    killed(run)
    assert read(path)["validation_results"] == []
    assert blockers(path) == []  # a reader adds what it holds
    tracker(path).write_audit("Notice", "somebody commits")
    assert read(path)["validation_results"][0]["run_id"] == RUN
    assert not journal_of(path).exists()
    assert not kept(path)
    assert blockers(path) == []
    assert [entry.action for entry in tracker(path).read_audit(last=2)] == ["ValidationResult", "Notice"]
    assert tracker(path).verify().sound


def test_a_torn_last_line_is_kept(path: Path, run: RunWriter) -> None:
    """It is no verdict: its writer was killed in it."""
    run.verdict(verdict(test_name="a"))
    run.verdict(verdict())
    killed(run)
    content = journal_of(path).read_bytes()[:-1]
    journal_of(path).write_bytes(content)
    assert blockers(path) == ["outstanding"]
    tracker(path).write_audit("Notice", "somebody commits")
    (copy,) = kept(path)
    assert copy.read_bytes() == content
    assert blockers(path) == ["outstanding"]
    details = tracker(path).read_audit(last=1)[0].details
    assert details == f"The journal of run {RUN} is kept in '{copy.name}': its last line is torn"


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_damaged_line_keeps_the_gate_shut_until_somebody_accepts_it(
    path: Path, run: RunWriter, where: str
) -> None:
    """It may have been a failure over the pass that is left."""
    for test_name in ("a", KEY[1], KEY[1]):
        run.verdict(verdict(test_name=test_name))
    killed(run)
    lines = journal_of(path).read_bytes().splitlines(keepends=True)
    index = 0 if where == "first" else -1
    lines[index] = lines[index].replace(b'"passed":true', b'"passed":tru3')
    journal_of(path).write_bytes(b"".join(lines))
    assert blockers(path) == ["log"]
    tracker(path).write_audit("Notice", "somebody commits")
    assert blockers(path) == ["log"]
    assert len(kept(path)) == 1
    assert not journal_of(path).exists()
    tracker(path).accept_record("ops", "checked by hand")
    assert blockers(path) == []


def test_a_damaged_line_of_a_run_that_is_alive_comes_from_its_memory(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    content = journal_of(path).read_bytes()
    journal_of(path).write_bytes(content.replace(b'"passed":false', b'"passed":fals3'))
    run.verdict(verdict(test_name="b"))
    assert blockers(path) == ["no_verdicts", "outstanding", "outstanding"]
    tracker(path).write_audit("Notice", "somebody commits")
    run.finish(1, {})
    assert [one["passed"] for one in read(path)["validation_results"]] == [False, True]
    assert blockers(path) == ["failed"]


def test_what_was_taken_over_is_not_taken_again(path: Path, run: RunWriter) -> None:
    """Not even if its journal could not be emptied: a later failure stays."""
    run.verdict(verdict())
    content = journal_of(path).read_bytes()
    killed(run)
    tracker(path).add_validation_result(*KEY, passed=False)
    journal_of(path).write_bytes(content)
    tracker(path).write_audit("Notice", "somebody commits")
    assert blockers(path) == ["failed"]
    assert not journal_of(path).exists()


def test_a_dead_run_is_settled_by_the_next_one_with_its_verdicts(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    killed(run)
    with closing(begun(path, "next")) as following:
        following.verdict(verdict(run_id="next"))
        following.finish(0, {})
    log = [entry.details for entry in tracker(path).read_audit() if entry.action == "ValidationResult"]
    assert log == ["Test 'test_it' for 'guardian-hive': FAILED", "Test 'test_it' for 'guardian-hive': PASSED"]
    assert blockers(path) == []
    assert not journal_of(path).exists()


def test_verdicts_of_a_forgotten_run_are_not_lost(path: Path, run: RunWriter) -> None:
    """It still runs, and records what it has itself."""
    tracker(path).forget_validation("(collection)", f"run {RUN}", "it takes too long")
    run.verdict(verdict(passed=False))
    tracker(path).write_audit("Notice", "somebody commits")
    run.finish(1, {})
    assert blockers(path) == ["failed"]


def test_a_pattern_means_a_run_that_was_killed_and_none_that_is_alive(path: Path, run: RunWriter) -> None:
    """Not even every name of the component means a run that is alive."""
    for pattern in ("*", "run *"):
        with pytest.raises(InvalidArgumentError, match=f"it matches only run {RUN}, which is running now"):
            tracker(path).forget_validation("(collection)", pattern, "it takes too long")
    killed(run)
    tracker(path).forget_validation("(collection)", ["run *"], "it was killed")
    assert "open_runs" not in read(path)["metadata"]


def test_what_a_forgotten_run_left_behind_is_kept(path: Path, run: RunWriter) -> None:
    tracker(path).forget_validation("(collection)", f"run {RUN}", "it takes too long")
    run.verdict(verdict(passed=False))
    content = journal_of(path).read_bytes()
    killed(run)
    tracker(path).write_audit("Notice", "somebody commits")
    (copy,) = kept(path)
    assert copy.read_bytes() == content
    assert "the run is on record no longer" in log_of(path).read_text("utf-8")


def test_a_journal_of_another_machine_is_read_and_not_removed(path: Path, run: RunWriter) -> None:
    """Nobody here knows whether its run is alive."""
    elsewhere = Event(
        "Notice", "it runs elsewhere", {"metadata": {"open_runs": {RUN: {"host": "elsewhere"}}}}
    )
    with closing(FileStore(path, notify=print)) as store:
        store.commit(lambda _: [elsewhere])
    run.verdict(verdict())
    content = journal_of(path).read_bytes()
    killed(run)
    tracker(path).write_audit("Notice", "somebody commits")
    assert read(path)["validation_results"][0]["run_id"] == RUN
    assert journal_of(path).read_bytes() == content
    tracker(path).add_validation_result(*KEY, passed=False)
    assert blockers(path) == ["failed"]


def test_a_journal_that_cannot_be_read_is_an_error(path: Path, run: RunWriter) -> None:
    """It may hold a failure."""
    killed(run)
    journal_of(path).unlink()
    journal_of(path).mkdir()
    with pytest.raises(StateDamagedError, match=rf"\.run-{RUN}: it cannot be read \(Is a directory\)"):
        tracker(path).gate()


# --- the order of events ------------------------------------------------------------------------------------


def test_a_pass_does_not_replace_a_failure_that_was_appended_after_it(path: Path, run: RunWriter) -> None:
    with appended_in_between(run, verdict()):
        tracker(path).add_validation_result(*KEY, passed=False)
    assert blockers(path) == ["failed", "outstanding"]
    run.finish(0, {})
    assert "failed" in blockers(path)
    assert "PASSED, but it counts for nothing" in log_of(path).read_text("utf-8")


def test_a_pass_says_nothing_about_a_process_that_was_appended_after_it(path: Path, run: RunWriter) -> None:
    with appended_in_between(run, verdict()):
        tracker(path).add_native_process(KEY[0])
    run.finish(0, {})
    assert blockers(path) == ["no_verdicts", "outstanding"]


def test_a_pass_does_not_settle_what_was_skipped_after_it(path: Path, run: RunWriter) -> None:
    with closing(begun(path, "other")) as other, appended_in_between(run, verdict()):
        other.skip(KEY, "no database", KEY[1])
        other.gate(Policy())
        run.finish(0, {})
        other.finish(0, {})
    assert blockers(path) == ["no_verdicts", "outstanding"]


def test_a_pass_after_a_failure_of_others_replaces_it(path: Path, run: RunWriter) -> None:
    tracker(path).add_validation_result(*KEY, passed=False)
    run.verdict(verdict())
    tracker(path).write_audit("Notice", "somebody commits")
    run.finish(0, {})
    assert blockers(path) == []


def test_verdicts_of_several_runs_stand_in_the_order_of_their_times(path: Path, run: RunWriter) -> None:
    with closing(begun(path, "other", ("c", "x"))) as other:
        for number in range(3):
            run.verdict(verdict(test_name=f"a{number}"))
            other.verdict(Verdict(("c", f"b{number}"), passed=True, run_id="other"))
        tracker(path).write_audit("Notice", "somebody commits")
        found = tracker(path).read_audit(last=7)[:-1]
        times = [str(entry.timestamp) for entry in found]
        assert times == sorted(times)
        assert sorted(str(entry.run_id) for entry in found) == [RUN] * 3 + ["other"] * 3
        other.finish(0, {})
    run.finish(0, {})
    assert tracker(path).verify().sound


# --- other migrations ---------------------------------------------------------------------------------------


def test_a_new_migration_leaves_the_verdicts_with_the_old_one(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    tracker(path).initialize(force=True)
    (replaced,) = kept(path, "replaced")
    assert '"passed": false' in replaced.read_text("utf-8")
    run.verdict(verdict())
    run.finish(0, {})
    assert "its migration was replaced by a new one during the run" in str(run.failure)
    assert read(path)["validation_results"] == []
    run.close()
    tracker(path).write_audit("Notice", "somebody commits")
    assert len(kept(path)) == 1


def test_initialize_by_powershell_leaves_the_verdicts_with_the_old_one(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    PowerShellWriter(path).initialize()
    assert tracker(path).read().phase is Phase.NOT_STARTED
    tracker(path).write_audit("Notice", "somebody commits")
    assert read(path)["validation_results"] == []
    (replaced,) = kept(path, "replaced")
    assert '"passed": false' in replaced.read_text("utf-8")
    assert tracker(path).verify().sound


def test_rolled_back_by_powershell_stays(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    PowerShellWriter(path).phase("RolledBack")
    run.finish(0, {})
    document = read(path)
    assert document["phase"] == "RolledBack"
    assert document["validation_results"][0]["passed"] is True
    actions = [entry.action for entry in tracker(path).read_audit(last=3)]
    assert actions == ["ValidationResult", "ExternalChange", "RunFinished"]


# --- reading ------------------------------------------------------------------------------------------------


def test_readers_change_nothing(path: Path, run: RunWriter) -> None:
    run.verdict(verdict())
    killed(run)
    journal_of(path).write_bytes(journal_of(path).read_bytes() + b"{")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert tracker(path).state.validation_results[0].passed
    assert tracker(path).verify().sound
    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_the_log_that_is_gone_is_begun_with_what_the_journal_holds(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    killed(run)
    log_of(path).unlink()
    tracker(path).write_audit("Notice", "somebody commits")
    assert blockers(path) == ["log", "failed"]
    tracker(path).accept_record("ops", "checked by hand")
    assert blockers(path) == ["failed"]
    assert tracker(path).verify().sound


def test_a_document_that_is_gone_is_rebuilt_with_what_the_journal_holds(path: Path, run: RunWriter) -> None:
    run.verdict(verdict(passed=False))
    killed(run)
    path.unlink()
    tracker(path).write_audit("Notice", "somebody commits")
    assert blockers(path) == ["failed"]
    assert tracker(path).verify().sound


@pytest.mark.skipif(on_windows(), reason="a file there has no mode")
def test_a_new_journal_has_the_access_of_the_document(path: Path) -> None:
    path.chmod(0o660)
    with closing(begun(path)) as run:
        assert journal_of(path).stat().st_mode & 0o777 == 0o660
        run.finish(0, {})


def test_events_are_applied_once(path: Path, run: RunWriter) -> None:
    """Each entry of the log counts as one change."""
    run.verdict(verdict())
    tracker(path).write_audit("Notice", "somebody commits")
    run.verdict(verdict(passed=False))
    run.finish(1, {})
    last = tracker(path).read_audit(last=1)[0]
    assert read(path)["metadata"]["revision"] == last.seq
