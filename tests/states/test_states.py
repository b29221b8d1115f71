"""States that earlier versions wrote: each opens with the gate that it had, or shut with a reason.

``write.py`` has written them and says what stands in ``expected.json``.
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
    """What ``expected.json`` says: how the version that wrote the state judges it."""

    about: str
    phase: str | None
    open: bool
    blockers: list[list[str | None]]
    passed: NotRequired[int]
    failed: NotRequired[int]
    outstanding: NotRequired[int]
    error: NotRequired[str]


def expected_of(kind: str) -> Expected:
    """What the version that wrote ``kind`` says of it."""
    found: Expected = json.loads((HERE / kind / EXPECTED).read_bytes())
    return found


KINDS = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*.*.*/*") if path.is_dir())
REFUSED = [kind for kind in KINDS if "error" in expected_of(kind)]
OPENED = [kind for kind in KINDS if kind not in REFUSED]


def copied(kind: str, folder: Path) -> MigrationTracker:
    """A copy of the state in ``folder``, opened. What it has to tell a person is no error here."""
    shutil.copytree(HERE / kind, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(EXPECTED))
    return MigrationTracker(folder / DOCUMENT, notify=lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the state but its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def blockers(gate: GateResult) -> set[tuple[str | None, ...]]:
    """What keeps the gate shut, as ``expected.json`` names it."""
    return {(blocker.kind, blocker.component, blocker.test_name) for blocker in gate.blockers}


def revision(state: MigrationState) -> int:
    """How many changes the state has seen; a document of another tool does not count them."""
    return state.metadata.revision or 0


def names(items: Iterable[Any]) -> list[tuple[str, str]]:
    """Component and test name of each item of a document's list."""
    return [(item["component"], item["test_name"]) for item in items]


def test_there_are_states() -> None:
    """The first release has its states here, and each of them says in a sentence what it is."""
    assert any(kind.startswith("0.1.0/") for kind in KINDS)
    assert all(expected_of(kind)["about"] for kind in KINDS)


@pytest.mark.parametrize("kind", OPENED)
def test_read(kind: str, tmp_path: Path) -> None:
    """Read only: phase and number of verdicts are the same, the gate is as it was or shut with a reason; no file is changed."""
    expected, tracker = expected_of(kind), copied(kind, tmp_path)
    before = contents(tmp_path)
    gate, state = tracker.gate(), tracker.state
    passed = sum(verdict.passed for verdict in state.validation_results)
    counts = passed, len(state.validation_results) - passed, len(state.outstanding_validations)
    assert state.phase == expected["phase"]
    assert counts == (expected["passed"], expected["failed"], expected["outstanding"])
    assert blockers(gate) >= {tuple(blocker) for blocker in expected["blockers"]}
    assert expected["open"] or not gate.open
    assert gate.open is (not gate.blockers)
    assert all(blocker.message.strip() for blocker in gate.blockers)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", OPENED)
def test_written(kind: str, tmp_path: Path) -> None:
    """An entry of one's own can be written; it counts as a change, and the gate is the same afterwards."""
    tracker = copied(kind, tmp_path)
    gate, before = tracker.gate(), tracker.state
    written = tracker.write_audit("Handover", "opened by a later version")
    assert revision(written) > revision(before)
    assert tracker.state == written
    assert tracker.gate() == gate
    assert tracker.state.phase is before.phase


@pytest.mark.parametrize("kind", OPENED)
def test_nothing_lost(kind: str, tmp_path: Path) -> None:
    """A document that is written back holds every verdict and every outstanding validation, and the keys of other tools."""
    tracker = copied(kind, tmp_path)
    before, keys = tracker.state, top_level(tmp_path)
    tracker.write_audit("Handover", "opened by a later version")
    after = tracker.state
    assert after.validation_results == before.validation_results
    assert after.outstanding_validations == before.outstanding_validations
    document = json.loads((tmp_path / DOCUMENT).read_bytes())
    assert names(document["validation_results"]) == [(verdict.component, verdict.test_name) for verdict in before.validation_results]
    assert names(document["outstanding_validations"]) == [(entry.component, entry.test_name) for entry in before.outstanding_validations]
    assert document.keys() >= keys


def top_level(folder: Path) -> set[str]:
    """The document's own keys; none where there is no document."""
    path = folder / DOCUMENT
    return set(json.loads(path.read_text("utf-8-sig"))) if path.exists() else set()


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str, tmp_path: Path) -> None:
    """What the version that wrote it refuses to open is refused with the same error, by readers and writers, and is not changed."""
    expected, tracker = expected_of(kind), copied(kind, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(MigrationStateError) as read:
        tracker.gate()
    with pytest.raises(MigrationStateError) as written:
        tracker.write_audit("Handover", "opened by a later version")
    assert [type(error.value).__name__ for error in (read, written)] == [expected["error"]] * 2
    assert contents(tmp_path) == before
