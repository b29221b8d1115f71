"""Every kind of change of another program, at every moment of a command or a run: what counts in the end.

The cases are generated (``changes``); none is picked. Runs beside a change of something else are deep tests,
and so are processes, which count as containers do.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from changes import BOTH, CASES, LINE, RUN, Case, play

from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.beside.identity import meaning
from pytest_migration_state.verification import verify
from state_files import DOCUMENT, log_of

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from pytest_migration_state.domain.document import Document


def told(document: Document) -> Hashable:
    """Return what a document tells, without the places and times of our writing."""
    content = document.to_object()
    del content["last_updated"]
    metadata = {key: value for key, value in content["metadata"].items() if key not in {"audit", "revision"}}
    return meaning({**content, "metadata": metadata})


def read(path: Path) -> Hashable:
    return told(MigrationTracker(path, notify=lambda _: None).read())


def commit(path: Path) -> None:
    """Commit an entry that changes nothing, as the next command."""
    with closing(MigrationTracker(path, notify=lambda _: None)) as tracker:
        tracker.write_audit("Notice", "the next command")


def external(path: Path) -> list[dict[str, Any]]:
    """Return the entries that put changes of other programs on record."""
    entries = [json.loads(line) for line in log_of(path).read_bytes().splitlines()]
    return [
        entry
        for entry in entries
        if entry["action"] == "ExternalChange" or "adopted" in entry.get("data", {})
    ]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk, nor for a writer: nobody else writes here."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0)
    monkeypatch.setattr("os.fsync", lambda _: None)


def _is_deep(case: Case) -> bool:
    return case.name == "process" or (case.beside == RUN and not case.is_about_the_same)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.deep] * _is_deep(case), id=str(case)) for case in CASES],
)
def test_what_counts_in_the_end(tmp_path: Path, case: Case) -> None:
    """Readers, the next command, the one after it and a rebuilt document tell the same; nothing is silent."""
    path = tmp_path / DOCUMENT
    play(case, path)
    tracker = MigrationTracker(path, notify=lambda _: None)
    assert case.kind.value(tracker.read()) == case.expected
    before, report, known = read(path), tracker.verify(), external(path)
    commit(path)
    assert read(path) == before
    found = external(path)
    assert {problem.kind for problem in report.problems} <= _true_causes(case)
    assert report.sound or len(found) > len(known)
    assert tracker.verify().problems == ()
    commit(path)
    assert external(path) == found
    path.rename(tmp_path / "moved away")
    assert read(path) == before
    commit(path)
    assert read(path) == before


def _true_causes(case: Case) -> set[str]:
    """Return the problems that ``verify`` may have with a change that is not on record yet."""
    if case.part == BOTH:
        return set()
    return {"effect_missing"} if case.part == LINE else {"unexplained", "effect_missing"}
