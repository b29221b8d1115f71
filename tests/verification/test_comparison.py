"""``verify`` compares the document with the log: missing effects, unexplained values, and no false alarm."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from powershell_writer import PowerShellError, PowerShellWriter
from pytest_migration_state import MigrationTracker, Policy
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from pytest_migration_state.verification import verify
from state_files import DOCUMENT, STATES, edit, in_validation, kinds, lines, log_of, put_lines, read, sample

if TYPE_CHECKING:
    from pathlib import Path

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SECOND_LOOK", 0)


# --- no false alarm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATES)
def test_what_powershell_left_is_sound(tmp_path: Path, name: str) -> None:
    """Every state that the real functions and scripts left is sound."""
    report = MigrationTracker(sample(name, tmp_path)).verify()
    assert report.problems == ()


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("flavour", ["7", "5.1"])
@pytest.mark.parametrize("name", [name for name in STATES if name != "7.6/list-became-object"])
def test_both_writers_in_turn_are_sound(tmp_path: Path, name: str, flavour: str) -> None:
    """Both write in turn and with the same names, to a state of PowerShell and to a new one."""
    path = sample(name, tmp_path)
    tracker, other = MigrationTracker(path, notify=lambda _: None), PowerShellWriter(path, flavour, seed=7)
    reports = []
    for beginning in (lambda: None, other.initialize, lambda: tracker.initialize(force=True)):
        beginning()
        other.phase("NativeDeployment", force=True)
        tracker.set_phase("Validation")
        for key in ("config", "it's 'here' [1]"):
            tracker.add_preserved_data(key, "/a")
            other.data(key, "C:\\backups\\b 'c'")
        for name_, container in (("guardian", "abc"), ("a' (b)", "c) marked")):
            other.container(name_, container)
            tracker.add_processed_container(name_, container)
            other.container(name_, container)
        for pid in (1, 2):
            tracker.add_native_process("worker", pid)
            other.process("worker", str(pid))
        for component, test in (("guardian", "starts"), ("c' for 'd", "t' for 'u[1]")):
            other.result(component, test, "false", "first")
            tracker.add_validation_result(component, test, passed=True)
            other.result(component, test, "false", "again")
            other.result(component, test, "true")
        tracker.set_error("a word")
        other.error("line one\nline two, 'quoted'")
        other.write_audit("Error", "an operator's own words", "ERROR")
        tracker.set_rollback_availability(False)
        other.rollback("true")
        tracker.forget_validation("guardian", "starts", "it no longer exists")
        reports.append(tracker.verify())
    assert [report.problems for report in reports] == [(), (), ()]


def test_text_that_is_a_date_is_no_difference(tmp_path: Path) -> None:
    """PowerShell 7 reformats every string that is a date."""
    path = tmp_path / DOCUMENT
    tracker, other = MigrationTracker(path), PowerShellWriter(path)
    tracker.initialize()
    tracker.add_preserved_data("taken", "2026-01-15T09:10:00.1200000+07:00")
    tracker.add_processed_container("2026-01-15T09:10:00.10+07:00", "id")
    other.container("2026-01-15T09:10:00.10+05:30", "2026-01-15T09:10:00.10+05:30")
    other.rollback("true")
    assert read(path)["data_preserved"]["taken"] != "2026-01-15T09:10:00.1200000+07:00"
    assert tracker.verify().problems == ()


def test_two_states_that_share_powershells_log_are_both_sound(tmp_path: Path) -> None:
    """PowerShell's lines about one state are in the log of the other."""
    one, two = tmp_path / DOCUMENT, tmp_path / "shard-2.json"
    first, second = MigrationTracker(one), MigrationTracker(two)
    first.initialize()
    second.initialize()
    for number, path in enumerate((one, two, one, two)):
        other = PowerShellWriter(path, seed=number)
        other.phase("BackupInProgress", force=True)
        other.container(f"c{number}", "id")
        other.data(f"k{path.stem}", f"/{number}")
        other.result("guardian", "starts", "true" if path == one else "false")
        other.phase("Validation", force=True)
        first.add_native_process(f"p{number}")
        second.add_native_process(f"p{number}")
    PowerShellWriter(two).phase("RolledBack")
    third = tmp_path / "third.json"
    PowerShellWriter(third).initialize()
    assert [MigrationTracker(path).verify().problems for path in (one, two, third)] == [(), (), ()]


def test_a_document_adopted_without_any_line_is_sound(tmp_path: Path) -> None:
    """Content from before the first entry needs no line."""
    path = sample("5.1/complete", tmp_path)
    log_of(path).unlink()
    tracker = MigrationTracker(path)
    tracker.add_validation_result("guardian-hive", "native_execution", passed=True)
    assert tracker.verify().problems == ()


def test_a_migration_begun_without_a_line_is_reported(tmp_path: Path) -> None:
    """PowerShell's Initialize could not write its line: the next entry puts the new migration on record."""
    path = tmp_path / DOCUMENT
    tracker, other = in_validation(path), PowerShellWriter(path)
    kept = lines(path)
    other.initialize()
    put_lines(path, kept)
    report = tracker.verify()
    assert kinds(report) == [("unexplained", 1)]
    assert report.problems[0].message.startswith(
        "line 1: the migration that begins here is not the document's, which began at"
    )
    notices: list[str] = []
    MigrationTracker(path, notify=notices.append).add_processed_container("n", "id")
    assert (tracker.verify().problems, tracker.state.phase) == ((), "NotStarted")
    assert "Migration state initialized by another program" in " ".join(notices)


def test_writers_at_work_raise_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While this package and PowerShell write, only a problem that is found twice is reported."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0.3)
    path = tmp_path / DOCUMENT
    in_validation(path).close()
    done = threading.Event()

    def write() -> None:
        tracker, number = MigrationTracker(path), 0
        while not done.is_set():
            number += 1
            tracker.add_validation_result("c", f"t{number}", passed=True)

    def write_with_powershell() -> None:
        other, number = PowerShellWriter(path), 0
        while not done.wait(0.005):
            number += 1
            # "It is being used by another process": the change is not made, and the operator is informed.
            with suppress(PowerShellError):
                other.container(f"n{number}", "id")

    writers = [threading.Thread(target=write), threading.Thread(target=write_with_powershell)]
    for writer in writers:
        writer.start()
    try:
        reports = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            reports.append(MigrationTracker(path).verify())
    finally:
        done.set()
        for writer in writers:
            writer.join()
    problems = {problem for report in reports for problem in report.problems}
    # Two problems are real: a PowerShell function opened the document just before it was replaced, or could
    # not write its line, which it says on the screen.
    unwritten = capsys.readouterr().err.count(
        "migration-audit.log' because it is being used by another process"
    )
    there = {container["name"] for container in read(path)["docker_containers_removed"]}
    false = {
        problem
        for problem in problems
        if problem.kind != "unexplained"
        and not (
            problem.kind == "effect_missing"
            and problem.line
            and details_of(path, problem.line).split("'")[1] not in there
        )
    }
    assert set() == false
    assert len([problem for problem in problems if problem.kind == "unexplained"]) <= unwritten


def details_of(path: Path, line: int) -> str:
    return str(json.loads(lines(path)[line - 1])["details"])


# --- what the document lacks --------------------------------------------------------------------------------


CHANGES: dict[str, tuple[Callable[[PowerShellWriter], None], str]] = {
    "container": (
        lambda other: other.container("a' (b)", "id"),
        "Container 'a' (b)' (id) marked as removed, but the document does not hold it",
    ),
    "process": (
        lambda other: other.process("p", "3"),
        "Native process 'p' started, but the document does not hold it",
    ),
    "data": (
        lambda other: other.data("k", "C:\\b"),
        "data 'k' is preserved at 'C:\\b', but the document says that there is no data 'k'",
    ),
    "data again": (
        lambda other: other.data("config", "C:\\b"),
        "but the document says that data 'config' is preserved at '/old'",
    ),
    "verdict": (
        lambda other: other.result("c", "t[1]", "true"),
        "'t[1]' of 'c' passed, but the document says that 't[1]' of 'c' has no verdict",
    ),
    "newer verdict": (
        lambda other: other.result("guardian", "starts", "false"),
        "'starts' of 'guardian' failed, but the document says that 'starts' of 'guardian' passed at",
    ),
    "phase": (
        lambda other: other.phase("Completed"),
        "the phase is Completed, but the document says that the phase is Validation",
    ),
    "rollback": (
        lambda other: other.rollback("false"),
        "rollback is unavailable, but the document says that rollback is available",
    ),
    "error": (
        lambda other: other.error("disk 'full'"),
        "the error is 'disk 'full'', but the document says that there is no error",
    ),
    "beginning": (
        lambda other: other.initialize(),
        "another program began a migration here, but the document is that of the one that began in line 1",
    ),
}


@pytest.mark.parametrize("flavour", ["7", "5.1"])
@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_that_was_lost_is_named_by_its_line(
    tmp_path: Path, change: Callable[[PowerShellWriter], None], words: str, flavour: str
) -> None:
    """PowerShell opened the document just before it was replaced: its line exists, its change is lost."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    tracker.add_preserved_data("config", "/old")
    tracker.add_validation_result("guardian", "starts", passed=True)
    kept = path.read_bytes()
    change(PowerShellWriter(path, flavour))
    path.write_bytes(kept)
    report = tracker.verify()
    assert kinds(report) == [("effect_missing", 8)]
    assert report.problems[0].message.startswith("line 8")
    assert words in report.problems[0].message
    assert report.problems[0] in MigrationTracker(path).verify().problems
    MigrationTracker(path, notify=lambda _: None).add_native_process("after")
    assert tracker.verify().problems == ()


def test_the_lost_one_of_three_equal_changes_is_named(tmp_path: Path) -> None:
    """The same container was recorded three times; the timestamps show which line has no item."""
    path = tmp_path / DOCUMENT
    tracker, other = in_validation(path), PowerShellWriter(path)
    for _ in range(3):
        other.container("n", "id")
        time.sleep(0.01)
    fewer = read(path)["docker_containers_removed"]
    edit(path, docker_containers_removed=[fewer[0], fewer[2]])
    report = tracker.verify()
    assert kinds(report) == [("effect_missing", 7)]
    assert "adds an item counts from its line alone" in report.problems[0].message
    assert len(tracker.state.docker_containers_removed) == 3


def test_each_change_lost_by_an_older_document_is_named(tmp_path: Path) -> None:
    """What an entry holds is not lost. A line behind the last entry that has no effect is named."""
    path = tmp_path / DOCUMENT
    tracker, other = in_validation(path), PowerShellWriter(path)
    stale = path.read_bytes()
    other.container("one", "1")
    tracker.add_processed_container("two", "2")
    other.result("c", "t", "true")
    path.write_bytes(stale)
    other.process("three")
    report = tracker.verify()
    assert kinds(report) == [("effect_missing", 9)]
    names = [container.name for container in tracker.state.docker_containers_removed]
    assert (names, tracker.state.native_processes_started[0].name) == (["one", "two"], "three")


def test_a_newer_change_settles_a_lost_one(tmp_path: Path) -> None:
    """What a line alone tells is on record with the next entry, and a newer value is in its place."""
    path = tmp_path / DOCUMENT
    tracker, other = in_validation(path), PowerShellWriter(path)
    kept = path.read_bytes()
    other.result("c", "t", "false")
    other.data("k", "/lost")
    other.phase("RolledBack")
    path.write_bytes(kept)
    lost = kinds(tracker.verify())
    tracker = MigrationTracker(path, notify=lambda _: None)
    tracker.add_validation_result("c", "t", passed=True)
    tracker.add_preserved_data("k", "/new")
    assert tracker.state.phase == "RolledBack"
    assert (lost, kinds(tracker.verify())) == (
        [("effect_missing", 6), ("effect_missing", 7), ("effect_missing", 8)],
        [],
    )


# --- what no line explains ----------------------------------------------------------------------------------


def _set(*keys: str | int, value: object) -> Edit:
    def change(document: dict[str, Any]) -> None:
        target: Any = document
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return change


EDITS: dict[str, tuple[Edit, tuple[str, int | None], str]] = {
    "phase": (
        _set("phase", value="NativeDeployment"),
        ("effect_missing", 5),
        "the phase is Validation, but the document says that the phase is NativeDeployment",
    ),
    "an impossible phase": (
        _set("phase", value="RolledBack"),
        ("unexplained", 5),
        "the document says that the phase is RolledBack, but line 5, the last about it",
    ),
    "completed_at": (
        _set("completed_at", value="2026-01-15T09:00:00Z"),
        ("unexplained", 5),
        "the migration ended at 2026-01-15T09:00:00Z",
    ),
    "started_at": (
        _set("started_at", value="2026-01-15T09:00:00Z"),
        ("unexplained", 1),
        "the migration began at 2026-01-15T09:00:00Z",
    ),
    "rollback": (
        _set("rollback_available", value=False),
        ("unexplained", 1),
        "rollback is unavailable, but line 1, the last about it",
    ),
    "error": (
        _set("error", value={"message": "m", "occurred_at": None}),
        ("unexplained", 1),
        "the error is 'm', but line 1",
    ),
    "verdict": (
        _set("validation_results", 0, "passed", value=True),
        ("unexplained", 7),
        "'stops' of 'guardian' passed",
    ),
    "message": (
        _set("validation_results", 0, "error_message", value="flaky"),
        ("unexplained", 7),
        "'stops' of 'guardian' failed (flaky)",
    ),
    "verdict gone": (
        lambda document: document["validation_results"].clear(),
        ("effect_missing", 7),
        "has no verdict: it was edited by hand, or an older",
    ),
    "verdict added": (
        lambda document: document["validation_results"].append(
            {"component": "c", "test_name": "t", "passed": True}
        ),
        ("unexplained", None),
        "the document says that 't' of 'c' passed, and no line explains it: it was edited by hand",
    ),
    "outstanding gone": (
        lambda document: document["outstanding_validations"].append(
            {"component": "c", "test_name": "t", "reason": "skipped"}
        ),
        ("unexplained", None),
        "'t' of 'c' is outstanding (skipped",
    ),
    "data": (
        _set("data_preserved", "config", value="/other"),
        ("unexplained", 6),
        "data 'config' is preserved at '/other', but line 6",
    ),
    "data gone": (_set("data_preserved", value={}), ("effect_missing", 6), "there is no data 'config'"),
    "data added": (
        _set("data_preserved", "more", value="/m"),
        ("unexplained", None),
        "data 'more' is preserved at '/m', and no line",
    ),
    "container gone": (
        _set("docker_containers_removed", value=[]),
        ("effect_missing", 8),
        "Container 'n' (id) marked as removed, but",
    ),
    "container twice": (
        lambda document: document["docker_containers_removed"].append(
            document["docker_containers_removed"][0]
        ),
        ("unexplained", None),
        "the document holds \"Container 'n' (id) marked as removed\", and no line explains it",
    ),
    "container's time": (
        _set("docker_containers_removed", 0, "removed_at", value="2026-01-15T09:00:00Z"),
        ("unexplained", 8),
        (
            "line 8: the document has another time or number for it than this line "
            "(Container 'n' (id) marked as removed)"
        ),
    ),
    "process number": (
        _set("native_processes_started", 0, "process_id", value=5),
        ("unexplained", 9),
        "line 9: the document has another time or number for it than this line",
    ),
}


@pytest.mark.parametrize(("change", "expected", "words"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_by_hand_is_reported(
    tmp_path: Path, change: Edit, expected: tuple[str, int | None], words: str
) -> None:
    """If the log is complete, every value in the document needs a line."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    tracker.add_preserved_data("config", "/backups")
    tracker.add_validation_result("guardian", "stops", passed=False, error_message="status 3")
    tracker.add_processed_container("n", "id")
    tracker.add_native_process("p", 4)
    document = read(path)
    change(document)
    edit(path, **document)
    report = tracker.verify()
    assert [expected] == kinds(report)
    assert words in report.problems[0].message


def test_entries_replayed_twice_are_reported(tmp_path: Path) -> None:
    """A document that names an earlier entry than it holds was edited by hand. Nothing counts twice."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    before = read(path)["metadata"]["audit"]
    tracker.add_processed_container("n", "id")
    edit(path, metadata={**read(path)["metadata"], "audit": before})
    assert kinds(tracker.verify()) == [("unexplained", None), ("unexplained", None)]
    assert [container.name for container in tracker.state.docker_containers_removed] == ["n"]


# --- stale verdicts -----------------------------------------------------------------------------------------


def test_stale_verdict_is_sound_and_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    """The log tells which verdicts are stale: a document that is moved away comes back with them."""
    path = tmp_path / DOCUMENT
    in_validation(path)
    tracker = MigrationTracker(path, notify=lambda _: None)
    tracker.add_validation_result("guardian", "starts", passed=True)
    tracker.add_native_process("guardian", 222)
    before = read(path)
    assert kinds(tracker.verify()) == []
    path.rename(tmp_path / "away")
    tracker.write_audit("Note", "the document is gone")
    after = read(path)
    assert after["validation_results"] == before["validation_results"]
    assert (after["metadata"]["version"], tracker.gate().open) == ("2.0", False)


# --- past the gate ------------------------------------------------------------------------------------------


def test_a_completion_past_the_gate_is_reported_with_its_first_blockers(tmp_path: Path) -> None:
    """PowerShell has no gate."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    for number in range(5):
        tracker.add_validation_result("guardian", f"t{number}", passed=False)
    PowerShellWriter(path).phase("Completed")
    report = tracker.verify()
    assert kinds(report) == [("completed_past_gate", None)]
    message = report.problems[0].message
    assert message.startswith(
        "the migration is Completed although its gate is shut: it was completed by a program that does not "
        "know the gate: 't0' of 'guardian' failed; fix it"
    )
    assert ("'t2'" in message, "'t3'" in message, message.endswith("; and 2 more")) == (True, False, True)


def test_a_forced_completion_is_reported_too(tmp_path: Path) -> None:
    """Force overrides the gate; it does not open it."""
    tracker = in_validation(tmp_path / DOCUMENT)
    tracker.set_phase("Completed", force=True, reason="it is late")
    assert kinds(tracker.verify()) == [("completed_past_gate", None)]


def test_a_completion_under_a_policy_is_sound(tmp_path: Path) -> None:
    """The gate was open: exceptions that the policy allowed are not problems."""
    tracker = in_validation(tmp_path / DOCUMENT)
    tracker.add_validation_result("guardian", "starts", passed=True)
    document = read(tmp_path / DOCUMENT)
    document["outstanding_validations"].append(
        {"component": "c", "test_name": "t", "reason": "skipped", "since": None}
    )
    document["metadata"].pop("audit")
    log_of(tmp_path / DOCUMENT).unlink()
    edit(tmp_path / DOCUMENT, **document)
    tracker = MigrationTracker(tmp_path / DOCUMENT)
    tracker.set_phase("Completed", policy=Policy(allow=frozenset({"skipped"})))
    assert (tracker.verify().problems, tracker.gate().open) == ((), True)
    tracker.set_phase("Validation", force=True)
    assert (tracker.gate().open, "completed_with" in tracker.read().metadata) == (False, False)


def test_a_verdict_that_failed_after_the_completion_is_reported(tmp_path: Path) -> None:
    """The gate was open then, and is shut now."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    tracker.add_validation_result("guardian", "starts", passed=True)
    tracker.set_phase("Completed")
    sound = tracker.verify().problems
    PowerShellWriter(path).result("guardian", "starts", "false", "it stopped")
    assert (sound, kinds(tracker.verify())) == ((), [("completed_past_gate", None)])


# --- size ---------------------------------------------------------------------------------------------------


def test_time_is_linear_in_the_length_of_the_log(tmp_path: Path) -> None:
    """Ten thousand lines of each writer take a second or two, not a minute."""
    path = tmp_path / DOCUMENT
    tracker = in_validation(path)
    tracker.apply(
        [
            {
                "operation": "add_validation_result",
                "component": "c",
                "test_name": f"t{number}",
                "passed": True,
            }
            for number in range(10_000)
        ]
    )
    with log_of(path).open("ab") as log:
        log.writelines(
            b'{"timestamp":"2026-11-23T00:11:37.3559507-03:00","level":"INFO",'
            b'"action":"CustomAction","details":"n %d"}\n' % number
            for number in range(10_000)
        )
    tracker.add_validation_result("c", "t1", passed=True)
    began = time.monotonic()
    report = tracker.verify()
    assert (report.problems, report.lines, report.entries) == ((), 20_006, 10_006)
    assert time.monotonic() - began < 10


def test_a_run_on_a_completed_migration_of_another_tool_is_sound(tmp_path: Path) -> None:
    """The log does not contain the phase in which a run keeps the verdicts that it will record again."""
    path = sample("7.6/complete", tmp_path)
    run = RunWriter(path, "r", notify=lambda _: None)
    run.open(lambda _: None, {})
    verdict = read(path)["validation_results"][0]
    key = verdict["component"], verdict["test_name"]
    run.plan(RunPlan([outstanding(utc_now(), key, "pending")]))
    run.close()
    assert key in run.document.verdicts
    assert [problem.message for problem in MigrationTracker(path).verify().problems] == []


def test_a_detail_that_was_edited_is_reported(tmp_path: Path) -> None:
    """The reason why a test failed is evidence too; a state whose log has none needs none."""
    path = tmp_path / "migration-state.json"
    in_validation(path)
    run = RunWriter(path, "r", notify=lambda _: None)
    run.open(lambda _: None, {})
    run.plan(RunPlan([outstanding(utc_now(), ("c", name), "pending") for name in ("t", "u")]))
    run.verdict(Verdict(("c", "t"), passed=False, detail="E   why"))
    run.verdict(Verdict(("c", "u"), passed=False))
    run.finish(1, {})
    run.close()
    tracker = MigrationTracker(path)
    assert tracker.verify().problems == ()
    first, second = read(path)["validation_results"]
    edit(path, validation_results=[{**first, "detail": "E   nothing"}, second])
    assert [problem.message.partition(":")[0] for problem in tracker.verify().problems] == [
        "'detail' of 't' for 'c' is not what the log tells"
    ]
