"""What was green and is red: other programs between commands, and edits by hand, on real files.

Those during a run of pytest are in ``plugin/test_other_programs.py``.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker, StateDamagedError
from pytest_migration_state.cli.main import main
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from state_files import DOCUMENT, edit, in_validation, log_of, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation with one verdict, which is passed: its gate is open."""
    return _with_a_pass(tmp_path / DOCUMENT)


def _with_a_pass(path: Path) -> Path:
    in_validation(path).add_validation_result("hive", "a", passed=True)
    return path


def _tracker(path: Path) -> MigrationTracker:
    return MigrationTracker(path, notify=lambda _: None)


def _run(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str]:
    status = main([*command])
    return status, capsys.readouterr().out


def _is_completed(path: Path) -> bool:
    """Try to complete the migration, and return whether it is Completed then."""
    return main(["phase", "Completed", "-s", str(path)]) == 0


def test_a_rollback_stays_although_its_writer_had_an_older_document(tmp_path: Path) -> None:
    """The phase that its document does not contain is not replayed over it."""
    path = tmp_path / DOCUMENT
    tracker = _tracker(path)
    tracker.initialize()
    tracker.set_phase("NativeDeployment", force=True)
    other = PowerShellWriter(path)
    old = other.read()
    tracker.set_phase("Validation")
    tracker.add_validation_result("hive", "a", passed=True)
    other.read = lambda: old  # type: ignore[method-assign]  # it has read it before
    other.phase("RolledBack")
    assert not _is_completed(path)
    assert _tracker(path).read().phase == "RolledBack"
    assert ("hive", "a") in _tracker(path).read().verdicts


def test_a_migration_begun_between_two_commands_is_said_so(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one before it is kept, with its failed verdict, and the command that finds it says so."""
    _tracker(path).add_validation_result("hive", "b", passed=False)
    PowerShellWriter(path).initialize()
    said: list[str] = []
    tracker = MigrationTracker(path, notify=said.append)
    for phase in ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation"):
        tracker.set_phase(phase)
    tracker.add_validation_result("hive", "a", passed=True)
    words = "initialized by another program; the migration before it was in phase Validation with 2 verdicts"
    assert any(f"{words}, 1 of them failed" in sentence for sentence in said)
    [kept] = path.parent.glob(f"{DOCUMENT}.replaced-*")
    assert [verdict["passed"] for verdict in read(kept)["validation_results"]] == [True, False]
    assert words in _run(capsys, "audit", "-s", str(path))[1]


# --- a document that was moved away -------------------------------------------------------------------------


def _killed_while_it_wrote(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _written_by_two(path: Path) -> None:
    content = path.read_bytes()
    mixtures = (content[:end] + content[100:] for end in range(300, 600, 50))
    path.write_bytes(next(mixture for mixture in mixtures if not _begins_with_an_object(mixture)))


def _begins_with_an_object(content: bytes) -> bool:
    """Return True for one mixture in a hundred."""
    try:
        json.JSONDecoder().raw_decode(content.decode("utf-8-sig"))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("damage", [_killed_while_it_wrote, _written_by_two])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda other: other.result("hive", "a", "false"), id="failed"),
        pytest.param(lambda other: other.phase("RolledBack"), id="RolledBack"),
    ],
)
def test_moving_the_document_away_opens_nothing(
    path: Path, damage: Callable[[Path], None], change: Callable[[PowerShellWriter], None]
) -> None:
    """The next command rebuilds it with what the lines of the other program tell."""
    change(PowerShellWriter(path))
    damage(path)
    with pytest.raises(StateDamagedError, match="move it away"):
        _tracker(path).read()
    path.rename(path.with_name("moved away"))
    _tracker(path).write_audit("Notice", "the next command")
    assert not _is_completed(path)
    assert _tracker(path).verify().problems == ()


# --- edits where the gate looks -----------------------------------------------------------------------------


def _open_runs_as_text(document: dict[str, Any]) -> None:
    """ConvertTo-Json writes what is deeper than its default depth as text."""
    document["metadata"]["open_runs"] = "@{81aa=}"


def _passed(document: dict[str, Any]) -> None:
    document["validation_results"][-1]["passed"] = True


def _none_outstanding(document: dict[str, Any]) -> None:
    document["outstanding_validations"] = []


def _completed_with(document: dict[str, Any]) -> None:
    document["metadata"]["completed_with"] = {"require": [], "allow": ["pending"], "at": None}


def _revision(document: dict[str, Any]) -> None:
    document["metadata"]["revision"] += 1


EDITS = [_open_runs_as_text, _passed, _none_outstanding, _completed_with, _revision]


@pytest.mark.parametrize("change", EDITS)
def test_an_edit_where_the_gate_looks_is_named_and_opens_nothing(
    path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Our entries alone tell these values."""
    with closing(RunWriter(path, "81aa", notify=lambda _: None)) as run:
        run.open(lambda _: None, {})
        run.plan(RunPlan([outstanding(utc_now(), ("hive", "c"), "pending")]))
    _tracker(path).add_validation_result("hive", "b", passed=False)
    before = _tracker(path).gate().blockers
    document = read(path)
    change(document)
    edit(path, **document)
    assert _tracker(path).gate().blockers == before
    assert not _tracker(path).verify().sound
    _tracker(path).write_audit("Notice", "the next command")
    assert _tracker(path).gate().blockers == before
    assert _tracker(path).verify().problems == ()


# --- a state that is not called migration-state.json --------------------------------------------------------


@pytest.mark.parametrize("writer", ["an editor", "a PowerShell that could not write its line"])
@pytest.mark.parametrize("is_on_record", [True, False], ids=["on record", "not on record"])
def test_a_failure_whose_line_never_came_does_not_hide_a_later_one(
    path: Path, writer: str, *, is_on_record: bool
) -> None:
    """It failed without a line, passed, and failed with a line alone: the document was overwritten."""

    def go_on(*, is_open: bool) -> None:
        if is_on_record:
            _tracker(path).write_audit("Notice", "the next command")
        assert _tracker(path).gate().open is is_open

    other = PowerShellWriter(path)
    if writer == "an editor":
        verdicts = [{**verdict, "passed": False} for verdict in read(path)["validation_results"]]
        edit(path, validation_results=verdicts)
    else:
        log = log_of(path).read_bytes()
        other.result("hive", "a", "false")
        log_of(path).write_bytes(log)
    go_on(is_open=False)
    other.result("hive", "a", "true")
    go_on(is_open=True)
    passed = path.read_bytes()
    other.result("hive", "a", "false")
    path.write_bytes(passed)
    assert not _tracker(path).gate().open
    assert not _is_completed(path)


def test_a_pass_that_names_a_run_is_refused_once(tmp_path: Path) -> None:
    """Other programs write no run: it was changed by hand. Its line is not another refusal."""
    path = tmp_path / DOCUMENT
    in_validation(path).add_validation_result("hive", "a", passed=False)
    PowerShellWriter(path).result("hive", "a", "true")
    *others, forged = read(path)["validation_results"]
    edit(path, validation_results=[*others, {**forged, "run_id": "7f3c"}])
    told: list[str] = []
    MigrationTracker(path, notify=told.append).set_error("x")
    (warning,) = told
    assert warning.count("refused PASSED") == 1
    assert "a verdict was changed by hand, its time was not" in warning
    assert not _is_completed(path)


def test_lines_in_the_shared_log_stand_among_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``audit`` shows them by time and marked, and ``verify`` says that nobody can tell whose they are."""
    path = _with_a_pass(tmp_path / "x-state.json")
    PowerShellWriter(path).result("hive", "a", "false")
    _tracker(path).write_audit("Notice", "the next command")
    address = str(path)
    shown = _run(capsys, "audit", "-s", address)[1].splitlines()
    assert shown[-3].endswith("Test 'a' for 'hive': FAILED  (maybe about another state)")
    assert "Changed by another program: 1 verdict (1 failed)" in shown[-2]
    lines = [json.loads(line) for line in _run(capsys, "audit", "--json", "-s", address)[1].splitlines()]
    assert [line.get("log") for line in lines[-3:]] == ["migration-audit.log", None, None]
    assert [entry.log for entry in _tracker(path).read_audit(3)] == ["migration-audit.log", None, None]
    status, said = _run(capsys, "verify", "-s", address)
    assert status == 0
    assert "1 line of other programs: it cannot be told which state of the folder they are about" in said
    assert not _is_completed(path)


def test_lines_in_a_log_that_several_states_share_are_marked(tmp_path: Path) -> None:
    """Where another state is in the folder, they may be about that one."""
    path = _with_a_pass(tmp_path / DOCUMENT)
    PowerShellWriter(path).error("theirs")
    assert _tracker(path).read_audit(1)[0].log is None
    _with_a_pass(tmp_path / "x-state.json")
    assert _tracker(path).read_audit(1)[0].log == "migration-audit.log"
    assert any("it cannot be told" in note for note in _tracker(path).verify().notes)


def test_a_migration_begun_over_another_name_is_said_so(tmp_path: Path) -> None:
    """Its line is in another log: the document tells it."""
    path = _with_a_pass(tmp_path / "x-state.json")
    PowerShellWriter(path).initialize()
    said: list[str] = []
    MigrationTracker(path, notify=said.append).write_audit("Notice", "the next command")
    assert any("initialized by another program" in sentence for sentence in said)
    assert len([*tmp_path.glob("x-state.json.replaced-*")]) == 1
