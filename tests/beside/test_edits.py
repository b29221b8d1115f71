"""Edits by hand, field by field: none opens the gate, none is unseen, and nothing is lost.

Each state has one thing that keeps its gate shut, so that one edit could open it.
"""

from __future__ import annotations

import copy
import json
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from test_changes import commit, read

from pytest_migration_state import MigrationStateError, MigrationTracker
from pytest_migration_state.domain.beside.identity import meaning
from pytest_migration_state.domain.document import Document
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.run_writer import RunWriter
from pytest_migration_state.verification import verify
from state_files import DOCUMENT, in_validation, lines
from state_files import read as document_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_migration_state.types import JsonObject

pytestmark = pytest.mark.quick_cases(3)


class Edit(NamedTuple):
    """An edit of a document.

    :ivar name: what was done, and where.
    :ivar document: the result.
    :ivar is_gone: whether a whole value, item or verdict was removed, not a part of one.
    """

    name: str
    document: JsonObject
    is_gone: bool


# --- the states ---------------------------------------------------------------------------------------------


def _run(path: Path, *, settle: Callable[[RunWriter], None], is_killed: bool = False) -> None:
    with closing(RunWriter(path, "7f3c", notify=lambda _: None)) as run:
        run.open(lambda _: None, {})
        run.plan(RunPlan([outstanding(utc_now(), ("hive", name), "pending") for name in ("a", "b")]))
        run.verdict(Verdict(("hive", "a"), passed=True, duration_seconds=0.1))
        settle(run)
        if not is_killed:
            run.finish(0, {})


def _passes(run: RunWriter) -> None:
    run.verdict(Verdict(("hive", "b"), passed=True))


def _fails(run: RunWriter) -> None:
    run.verdict(Verdict(("hive", "b"), passed=False, error_message="no"))


def _open(path: Path) -> None:
    _run(path, settle=_passes)


def _failed(path: Path) -> None:
    _run(path, settle=_fails)


def _skipped(path: Path) -> None:
    _run(path, settle=lambda run: run.skip(("hive", "b"), "why", "test_it.py::b"))


def _killed(path: Path) -> None:
    _run(path, settle=lambda _: None, is_killed=True)


def _before_its_plan(path: Path) -> None:
    _open(path)
    with closing(RunWriter(path, "81aa", notify=lambda _: None)) as run:
        run.open(lambda _: None, {})


def _stale(path: Path) -> None:
    _open(path)
    with closing(MigrationTracker(path)) as tracker:
        tracker.add_validation_result("proxy", "b", passed=True)
        tracker.add_native_process("proxy", 2)


def _rolled_back(path: Path) -> None:
    _open(path)
    MigrationTracker(path).set_phase("RolledBack")


SHUT: Final = {
    "failed": _failed,
    "skipped": _skipped,
    "pending of a killed run": _killed,
    "a run that was killed before its plan": _before_its_plan,
    "stale": _stale,
    "rolled back": _rolled_back,
}
#: Those of which another one is quick to say the same.
_LIKE_OTHERS: Final = {"skipped", "rolled back"}


def _prepare(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a state that has something in every list."""
    folder.mkdir()
    path = folder / DOCUMENT
    with closing(in_validation(path)) as tracker:
        tracker.add_processed_container("hive", "abc")
        tracker.add_preserved_data("key", "/backups/key")
        tracker.add_native_process("hive", 1)
        tracker.set_error("it was slow")
    make(path)
    return path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk, nor for a writer: nobody else writes here."""
    monkeypatch.setattr(verify, "SECOND_LOOK", 0)
    monkeypatch.setattr("os.fsync", lambda _: None)


# --- the edits ----------------------------------------------------------------------------------------------

#: What would open a gate, by key.
_OPENING: Final = {"phase": "Validation", "passed": True, "outcome": "passed", "rollback_available": True}
#: A document that names no entry is compared with the beginning: its writer knew nothing.
_MEANS_NOTHING: Final = {"metadata.audit removed", "metadata.audit = None"}
_OLD, _NEW = "2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z"


def edits(document: JsonObject) -> Iterator[Edit]:
    """Yield an edit for each thing that can be done to each value, if it changes what the document means."""
    before = _meaning(document)
    for place, value in _values(document):
        name = ".".join(map(str, place))
        for change, after in [("removed", _removed(document, place)), *_changed(document, place, value)]:
            if f"{name} {change}" not in _MEANS_NOTHING and _meaning(after) != before:
                yield Edit(f"{name} {change}", after, is_gone=change == "removed" and _is_whole(place))


def _is_whole(place: tuple[str | int, ...]) -> bool:
    return place[0] != "error" and not any(isinstance(key, int) for key in place[:-1])


def _values(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*place, key), item
        yield from _values(item, (*place, key))


def _changed(
    document: JsonObject, place: tuple[str | int, ...], value: Any
) -> Iterator[tuple[str, JsonObject]]:
    for other in _others(place[-1], value):
        yield f"= {other!r}", _with(document, place, other)


def _others(key: str | int, value: Any) -> Iterator[Any]:
    """Yield other values for a key."""
    if isinstance(key, str) and key in _OPENING:
        yield _OPENING[key]
    if key == "phase":
        yield from ("Completed", "RolledBack", "NotStarted")
    if isinstance(value, dict | list):
        # ConvertTo-Json writes what is too deep for it as text.
        yield from (type(value)(), None, "@{passed=True}")
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, 0)
    elif isinstance(value, str):
        yield from (f"{value}x", None, _OLD, _NEW)
    else:
        yield from ("x", _OLD)


def _inside(document: JsonObject, place: tuple[str | int, ...]) -> tuple[JsonObject, Any]:
    after = copy.deepcopy(document)
    at: Any = after
    for key in place[:-1]:
        at = at[key]
    return after, at


def _with(document: JsonObject, place: tuple[str | int, ...], value: Any) -> JsonObject:
    after, at = _inside(document, place)
    at[place[-1]] = value
    return after


def _removed(document: JsonObject, place: tuple[str | int, ...]) -> JsonObject:
    after, at = _inside(document, place)
    del at[place[-1]]
    return after


def _meaning(document: JsonObject) -> Any:
    """Return what a document means; the error if it means nothing.

    The time of the last writing means nothing, nor does the digest by which we recognise our own writing.
    """
    try:
        found = Document(copy.deepcopy(document)).to_object()
    except ValueError as error:
        return str(error)
    del found["last_updated"]
    audit = found["metadata"].pop("audit", {})
    return meaning(found), audit and (audit["seq"], audit["hash"])


# --- what becomes of them -----------------------------------------------------------------------------------


def _is_open(path: Path) -> bool:
    """Return whether the gate is open. A document that cannot be used opens nothing."""
    try:
        return MigrationTracker(path).gate().open
    except MigrationStateError:
        return False


def _seen(path: Path) -> list[str]:
    """Return what is said of an edit: by an error, by ``verify``, and in the log by the next command."""
    known = len(lines(path))
    try:
        problems = [problem.message for problem in MigrationTracker(path).verify().problems]
        commit(path)
    except MigrationStateError as error:
        return [str(error)]
    entries = [json.loads(line) for line in lines(path)[known:]]
    return problems + [entry["details"] for entry in entries if entry["action"] != "Notice"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.deep] * (name in _LIKE_OTHERS))
        for name, make in SHUT.items()
    ],
)
def test_no_edit_opens_the_gate(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Nothing that is edited in a document opens what our entries keep shut."""
    path = _prepare(tmp_path / "state", make)
    assert len(MigrationTracker(path).gate().blockers) == 1
    document = document_at(path)
    opened = []
    for edit in edits(document):
        path.write_text(json.dumps(edit.document), "utf-8")
        if _is_open(path):
            opened.append(edit.name)
    assert opened == []


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_open, id="open"),
        *(pytest.param(make, id=name, marks=pytest.mark.deep) for name, make in SHUT.items()),
    ],
)
def test_every_edit_is_seen(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """It is named, by ``verify`` or by the next command; what was removed stays; nothing more is opened."""
    original = _prepare(tmp_path / "state", make)
    was_open, before = _is_open(original), read(original)
    unseen, lost, opened = [], [], []
    for number, edit in enumerate(edits(document_at(original))):
        path = tmp_path / str(number) / DOCUMENT
        shutil.copytree(original.parent, path.parent)
        path.write_text(json.dumps(edit.document), "utf-8")
        if not _seen(path):
            unseen.append(edit.name)
        if edit.is_gone and _is_usable(path) and read(path) != before:
            lost.append(edit.name)
        if _is_open(path) and not was_open:
            opened.append(edit.name)
    assert (unseen, lost, opened) == ([], [], [])


def _is_usable(path: Path) -> bool:
    try:
        MigrationTracker(path).read()
    except MigrationStateError:
        return False
    return True
