"""``show --watch`` and ``audit --follow`` in a pipe."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from commandline import walk

from pytest_migration_state.cli import following
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from commandline import Run


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens between two looks at the state, in order. Nobody waits for it."""
    happenings: list[Callable[[], object]] = []

    def sleep(seconds: float) -> None:
        assert seconds == following.INTERVAL == 2.0
        happenings.pop(0)()

    monkeypatch.setattr(following, "sleep", sleep)
    return happenings


@pytest.fixture
def tracker(run: Run, folder: Path) -> MigrationTracker:
    """The tracker of a migration in Validation whose gate is open."""
    walk(run)
    tracker = MigrationTracker(folder / "migration-state.json")
    tracker.add_validation_result("guardian-hive", "answers", passed=True)
    return tracker


def refused(tracker: MigrationTracker) -> None:
    """Record a failure."""
    tracker.add_validation_result("guardian-hive", "answers", passed=False)


def test_watch_prints_a_line_for_each_change(
    run: Run, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """What stays the same is not said again, and the status is that of ``gate``."""
    meanwhile += [
        lambda: None,
        lambda: refused(tracker),
        lambda: tracker.write_audit("Note", "nothing changes"),
        lambda: tracker.set_phase("RolledBack"),
    ]
    status, out, err = run("show", "--watch")
    assert [line.split("  ", 2)[1:] for line in out.splitlines()] == [
        ["migration-state.json", "open: nothing keeps this migration from Completed"],
        ["migration-state.json", "shut: 1 blocker; phase Validation"],
        ["migration-state.json", "shut: 2 blockers; phase RolledBack"],
    ]
    assert (status, err, meanwhile) == (1, "", [])


def test_watch_of_a_completed_migration_ends_at_once(run: Run, tracker: MigrationTracker) -> None:
    """The status is that of its gate."""
    tracker.set_phase("Completed")
    assert run("show", "--watch").status == 0
    run("result", "guardian-hive", "answers", "--failed")
    assert run("show", "--watch").status == 1


def test_watch_needs_a_state(run: Run) -> None:
    """It refuses where there is none, as ``show`` does."""
    assert run("show", "--watch")[:2] == (3, "")


def test_watch_prints_no_json(run: Run, tracker: MigrationTracker) -> None:
    """It says what follows the log as JSON."""
    assert tracker.state.phase == "Validation"
    status, _, err = run("show", "--watch", "--json")
    instead = "'audit --follow --json'"
    assert (status, err) == (
        2,
        f"migration-state: error: --watch shows the state to people; follow the log with {instead}\n",
    )


def test_state_that_cannot_be_read_is_said_and_waited_for(
    run: Run, folder: Path, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """Another program writes it in several steps."""
    path = folder / "migration-state.json"
    whole = path.read_bytes()
    meanwhile += [
        lambda: path.write_bytes(whole[:40]),
        lambda: path.write_bytes(whole),
        lambda: tracker.set_phase("Completed"),
    ]
    status, out, _ = run("show", "--watch")
    words = [line.split("  ", 2)[2] for line in out.splitlines()]
    assert words[0] == words[2] == "open: nothing keeps this migration from Completed"
    assert words[1].startswith("migration-state.json: ")
    assert words[3:] == ["open: the migration is in phase Completed"]
    assert status == 0


# --- audit --follow -----------------------------------------------------------------------------------------


def test_follow_prints_each_entry_once(
    run: Run, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """It begins with the last entries, and ends with the last one of the migration."""
    meanwhile += [
        lambda: [tracker.write_audit("Note", f"number {number}") for number in range(250)],
        lambda: None,
        lambda: tracker.set_phase("Completed"),
    ]
    status, out, _ = run("audit", "--follow", "--last", "2", "--json")
    details = [json.loads(line)["details"] for line in out.splitlines()]
    assert details == [
        "Transitioned from 'NativeDeployment' to 'Validation'",
        "Test 'answers' for 'guardian-hive': PASSED",
        *(f"number {number}" for number in range(250)),
        "Transitioned from 'Validation' to 'Completed'",
    ]
    assert status == 0


def test_follow_prints_lines_of_other_programs(
    run: Run, folder: Path, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """Also two that are the same."""
    line = '{"timestamp":"2026-01-15T09:00:00Z","level":"INFO","action":"Own","details":"by a script"}\n'

    def append() -> None:
        with (folder / "migration-audit.log").open("a") as file:
            file.write(line)

    meanwhile += [append, append, lambda: tracker.set_phase("RolledBack")]
    status, out, _ = run("audit", "--follow", "--last", "1")
    assert [text.split()[2] for text in out.splitlines()] == [
        "ValidationResult",
        "Own",
        "Own",
        "PhaseTransition",
    ]
    assert status == 1


def test_follow_begins_with_the_last_ten_entries(
    run: Run, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """All of them with ``--last 0``."""
    for number in range(20):
        tracker.write_audit("Note", f"number {number}")
    # 26 entries, and two more of the first round.
    for arguments, count in (((), 10 + 1), (("--last", "0"), 28 + 1)):
        meanwhile.append(lambda: tracker.set_phase("RolledBack"))
        out = run("audit", "--follow", *arguments).out
        assert len(out.splitlines()) == count
        tracker.set_phase("Validation", force=True)


def test_only_entries_of_a_level_are_printed(run: Run, tracker: MigrationTracker) -> None:
    """``--level`` chooses from the last entries, or from all."""
    tracker.set_error("it answers 500")
    tracker.set_phase("RolledBack")
    assert [line.split()[2] for line in run("audit", "--level", "ERROR").out.splitlines()] == ["Error"]
    assert len(run("audit", "--level", "INFO", "--last", "2").out.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="it is a signal elsewhere")
@pytest.mark.parametrize("command", [["audit", "--follow"], ["show", "--watch"]], ids=" ".join)
def test_interrupt_ends_it_without_a_traceback(
    folder: Path, tracker: MigrationTracker, command: list[str]
) -> None:
    """The status says that it was interrupted."""
    assert tracker.state.phase == "Validation"
    started = [sys.executable, "-m", "pytest_migration_state", *command]
    with subprocess.Popen(started, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="head(1) is not there")
def test_reader_that_has_gone_ends_it(folder: Path, tracker: MigrationTracker) -> None:
    """It does not go on for nobody, and the migration has not ended: its status is no success."""
    command = [sys.executable, "-m", "pytest_migration_state", "audit", "--follow"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        for number in range(3):
            tracker.write_audit("Note", f"number {number}")
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_entry_that_comes_while_it_begins_is_printed(
    run: Run, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """Between the first look at the log and the next nothing is lost."""
    read = MigrationTracker.audit_lines
    looks = 0

    def audit_lines(self: MigrationTracker, *arguments: Any, **options: Any) -> Any:
        nonlocal looks
        found = read(self, *arguments, **options)
        looks += 1
        if looks == 1:
            tracker.write_audit("Note", "after the first look")
        return found

    meanwhile.append(lambda: tracker.set_phase("RolledBack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MigrationTracker, "audit_lines", audit_lines)
        out = run("audit", "--follow", "--last", "1", "--json").out
    assert [json.loads(line)["action"] for line in out.splitlines()] == [
        "ValidationResult",
        "Note",
        "PhaseTransition",
    ]


def test_log_that_is_away_for_a_moment_is_not_printed_again(
    run: Run, folder: Path, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """Another program may rewrite it; what was printed is remembered."""
    log = folder / "migration-audit.log"
    whole = log.read_bytes()
    meanwhile += [
        lambda: log.write_bytes(whole[: len(whole) // 3]),
        lambda: log.write_bytes(whole),
        lambda: tracker.set_phase("RolledBack"),
    ]
    out = run("audit", "--follow", "--last", "2", "--json").out
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [5, 6, 7]


def test_log_that_cannot_be_read_is_said_once_and_waited_for(
    run: Run,
    tracker: MigrationTracker,
    meanwhile: list[Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program may have opened it so that nobody else can."""
    read = MigrationTracker.audit_lines

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "it is open in another program", "migration-audit.log")

    def give_back() -> None:
        monkeypatch.setattr(MigrationTracker, "audit_lines", read)
        tracker.set_phase("RolledBack")

    meanwhile += [
        lambda: monkeypatch.setattr(MigrationTracker, "audit_lines", refuse),
        lambda: None,
        lambda: None,
        give_back,
    ]
    status, out, err = run("audit", "--follow", "--last", "1")
    assert (status, len(out.splitlines())) == (1, 2)
    assert err == "warning: migration-audit.log: it is open in another program\n"


def test_warnings_are_printed_while_it_is_watched(
    run: Run, folder: Path, tracker: MigrationTracker, meanwhile: list[Callable[[], object]]
) -> None:
    """Each once, on standard error."""
    log, kept = folder / "migration-audit.log", folder / "kept.log"

    def replace() -> None:
        log.rename(kept)
        log.mkdir()

    def give_back() -> None:
        log.rmdir()
        kept.rename(log)

    meanwhile += [replace, lambda: None, give_back, lambda: tracker.set_phase("RolledBack")]
    status, _, err = run("show", "--watch")
    (warning,) = err.splitlines()
    assert warning.startswith(f"warning: {log}: the audit log cannot be read (")
    assert warning.endswith("); only the document is known")
    assert (status, meanwhile) == (1, [])


def test_component_that_is_watched_must_be_known(run: Run, tracker: MigrationTracker) -> None:
    """A misspelt name is refused at once."""
    assert tracker.state.phase == "Validation"
    status, _, err = run("show", "guardian-hiv", "--watch")
    assert (status, "did you mean 'guardian-hive'?" in err) == (2, True)
