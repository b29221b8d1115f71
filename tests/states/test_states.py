"""States of earlier versions: each opens with the gate that it had, or with a gate shut for a reason.

``write.py`` wrote them and describes the content of ``expected.json``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pytest

from pytest_migration_state import MigrationStateError, MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_migration_state import GateResult, MigrationState

HERE = Path(__file__).parent
DOCUMENT = "migration-state.json"
EXPECTED = "expected.json"


class Expected(TypedDict):
    """The content of ``expected.json``: the judgement of the version that wrote the state."""

    about: str
    phase: str | None
    open: bool
    blockers: list[list[str | None]]
    passed: NotRequired[int]
    failed: NotRequired[int]
    outstanding: NotRequired[int]
    error: NotRequired[str]


def expected_of(kind: str) -> Expected:
    """The expectations recorded for ``kind``."""
    found: Expected = json.loads((HERE / kind / EXPECTED).read_bytes())
    return found


KINDS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*.*.*/*") if path.is_dir())
REFUSED = [kind for kind in KINDS if "error" in expected_of(kind)]
OPENED = [kind for kind in KINDS if kind not in REFUSED]


def copied(kind: str, folder: Path) -> MigrationTracker:
    """A copy of the state in ``folder``, opened. Notices to users are ignored."""
    shutil.copytree(HERE / kind, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(EXPECTED))
    return MigrationTracker(folder / DOCUMENT, notify=lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the state except its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def blockers(gate: GateResult) -> set[tuple[str | None, ...]]:
    """The blockers, as ``expected.json`` names them."""
    return {(blocker.kind, blocker.component, blocker.test_name) for blocker in gate.blockers}


#: States whose log has lost entries. Version 0.1.0 judged their documents alone; since then the lost entries
#: keep the gate shut until somebody accepts them. Where version 0.1.0 itself began the log again, that is on
#: record, and the gate stays as it was.
WITH_LOST_ENTRIES = {"0.1.0/log_missing", "0.1.0/log_lost_lines", "0.1.0/unlogged_changes_no_log"}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("kind", OPENED)
def test_lost_entries_are_a_blocker(kind: str, tmp_path: Path) -> None:
    """Lost entries keep the gate shut, and are settled by an acceptance, as all that a verification finds."""
    expected, tracker = expected_of(kind), copied(kind, tmp_path)
    own = {tuple(blocker) for blocker in expected["blockers"]}
    assert (("log", None, None) in blockers(tracker.gate())) is (kind in WITH_LOST_ENTRIES)
    if {problem.kind for problem in tracker.verify().problems} <= {"completed_past_gate"}:
        return
    tracker.accept_record("ops", "a state of an earlier version")
    assert {problem.kind for problem in tracker.verify().problems} <= {"completed_past_gate"}
    assert own <= blockers(tracker.gate())
    assert ("log", None, None) not in blockers(tracker.gate())


def revision(state: MigrationState) -> int:
    """The number of changes to the state; a document of another tool does not count them."""
    return state.metadata.revision or 0


def names(items: Iterable[Any]) -> list[tuple[str, str]]:
    """Component and test name of each item of a document's list."""
    return [(item["component"], item["test_name"]) for item in items]


def test_states_of_the_first_release_exist() -> None:
    """The states of the first release exist, and each has a description."""
    assert any(kind.startswith("0.1.0/") for kind in KINDS)
    assert all(expected_of(kind)["about"] for kind in KINDS)


#: Passed, failed and outstanding validations of states that are read in another way than version 0.1.0 read
#: them. Changes of other programs count as an entry of this package would count: a pass settles what was
#: outstanding, and the last of several results replaces those before it.
AS_READ = {"0.1.0/settled_by_powershell": (2, 0, 0), "0.1.0/several_verdicts": (2, 1, 0)}


@pytest.mark.parametrize("kind", OPENED)
def test_reading_keeps_the_state(kind: str, tmp_path: Path) -> None:
    """Reading keeps phase and verdicts, and the gate unless it is shut for a reason. No file changes."""
    expected, tracker = expected_of(kind), copied(kind, tmp_path)
    before = contents(tmp_path)
    gate, state = tracker.gate(), tracker.state
    passed = sum(verdict.passed for verdict in state.validation_results)
    counts = passed, len(state.validation_results) - passed, len(state.outstanding_validations)
    assert state.phase == expected["phase"]
    assert counts == AS_READ.get(kind, (expected["passed"], expected["failed"], expected["outstanding"]))
    assert blockers(gate) >= {tuple(blocker) for blocker in expected["blockers"]}
    assert expected["open"] or not gate.open
    assert gate.open is (not gate.blockers)
    assert all(blocker.message.strip() for blocker in gate.blockers)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", OPENED)
def test_writing_keeps_the_gate(kind: str, tmp_path: Path) -> None:
    """A new entry can be written. It counts as a change, and the gate is the same afterwards."""
    tracker = copied(kind, tmp_path)
    gate, before = tracker.gate(), tracker.state
    written = tracker.write_audit("Handover", "opened by a later version")
    assert revision(written) > revision(before)
    assert tracker.state == written
    assert tracker.gate() == gate
    assert tracker.state.phase is before.phase


@pytest.mark.parametrize("kind", OPENED)
def test_rewriting_loses_nothing(kind: str, tmp_path: Path) -> None:
    """A rewritten document contains every verdict, every outstanding validation and other tools' keys."""
    tracker = copied(kind, tmp_path)
    before, keys = tracker.state, top_level(tmp_path)
    tracker.write_audit("Handover", "opened by a later version")
    after = tracker.state
    assert after.validation_results == before.validation_results
    assert after.outstanding_validations == before.outstanding_validations
    document = json.loads((tmp_path / DOCUMENT).read_bytes())
    assert names(document["validation_results"]) == [
        (verdict.component, verdict.test_name) for verdict in before.validation_results
    ]
    assert names(document["outstanding_validations"]) == [
        (entry.component, entry.test_name) for entry in before.outstanding_validations
    ]
    assert document.keys() >= keys


def top_level(folder: Path) -> set[str]:
    """The document's keys; none if there is no document."""
    path = folder / DOCUMENT
    return set(json.loads(path.read_text("utf-8-sig"))) if path.exists() else set()


@pytest.mark.parametrize("kind", REFUSED)
def test_refusal_stays_the_same(kind: str, tmp_path: Path) -> None:
    """A state that the writing version refuses is refused with the same error, and is not changed."""
    expected, tracker = expected_of(kind), copied(kind, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(MigrationStateError) as read:
        tracker.gate()
    with pytest.raises(MigrationStateError) as written:
        tracker.write_audit("Handover", "opened by a later version")
    assert [type(error.value).__name__ for error in (read, written)] == [expected["error"]] * 2
    assert contents(tmp_path) == before
