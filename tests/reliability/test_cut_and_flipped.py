"""A log cut at every byte, and flipped bits in log and document: no crash, and nothing changes silently."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from writers import (
    in_validation,
    kinds_found,
    no_check,
    operation,
    quiet,
    run_at,
    tracker_at,
    written,
)

from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import MigrationStateError, StateNotFoundError
from pytest_migration_state.storage.files import document_file
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from writers import JsonObject

    from pytest_migration_state.storage.records import Position


_FOREIGN_LINE = (
    '{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","action":"Note","details":"a foreign line"}\n'
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for other writers: there are none, so damage is permanent."""
    monkeypatch.setattr(document_file, "READ_PAUSE", 0.0)


def _forty_entries(state: Path) -> None:
    tracker = in_validation(state)
    for number in range(1, 31):
        tracker.commit([operation("c", number)])
    tracker.commit([operation("c", number) for number in range(31, 36)])
    tracker.close()


def _seen(state: Path) -> JsonObject:
    return FileStore(state, notify=quiet).read().to_object()


def _whole(seen: JsonObject) -> JsonObject:
    """Return a state without the fields that every write by this package changes or adds."""
    return {key: value for key, value in seen.items() if key not in {"last_updated", "metadata"}}


_LOGGED = ("phase", "started_at", "completed_at", "docker_containers_removed", "data_preserved",
           "native_processes_started", "validation_results", "rollback_available", "error",
           "outstanding_validations")  # fmt: skip


def _meaning(seen: JsonObject) -> JsonObject:
    """Return the part of a state that the log describes: the keys of the format that have a value."""

    def valued(item: object) -> object:
        return (
            {key: value for key, value in item.items() if value is not None}
            if isinstance(item, dict)
            else item
        )

    logged = {
        key: [valued(item) for item in seen[key]] if isinstance(seen[key], list) else seen[key]
        for key in _LOGGED
    }
    return {key: value for key, value in logged.items() if value}


@pytest.mark.parametrize("half", [0, 1])
def test_log_cut_at_any_byte_leaves_the_state_unchanged(
    state: Path, half: int, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """Wherever the log is cut, the state is unchanged, the loss reported, and the next writer continues."""
    _forty_entries(state)
    log = state.with_name("migration-audit.log")
    document, content = state.read_bytes(), log.read_bytes()
    before = _whole(_seen(state))
    total: Counter[str] = Counter()
    step = max(2, len(content) // rounds(len(content) // 4, len(content)))
    for length in [*range(half, len(content) - 1, step), len(content) - 1 + half]:
        state.write_bytes(document)
        log.write_bytes(content[:length])
        assert _whole(_seen(state)) == before
        notices: list[str] = []
        tracker = MigrationTracker(state, notify=notices.append)
        assert _whole(tracker.commit([]).to_object()) == before
        is_short = length < len(content) - 1
        assert any("has lost entries" in notice for notice in notices) is is_short
        if length % 5 == 0 or not is_short:
            assert kinds_found(tracker) == ({"loss_reported"} if is_short else set())
        total["cuts"] += 1
        total["torn"] += any("was set aside" in notice for notice in notices)
        for aside in state.parent.glob("*.torn-*"):
            aside.unlink()
    figures(
        f"{total['cuts']} cuts of a log of {len(content)} bytes: 0 crashes, 0 changes; "
        f"{total['torn']} torn lines set aside, every loss reported"
    )


def test_log_cut_without_its_document_gives_the_state_of_a_commit(
    state: Path, figures: Callable[[str], None]
) -> None:
    """With only the log, the state is that after one of the commits, and never half of one."""
    _forty_entries(state)
    log = state.with_name("migration-audit.log")
    content = log.read_bytes()
    state.unlink()
    states: list[JsonObject] = []
    for length in range(len(content) + 1):
        log.write_bytes(content[:length])
        try:
            seen = _whole(_seen(state))
        except StateNotFoundError:
            assert not states
            continue
        if not states or seen != states[-1]:
            states.append(seen)
        if length % 50 == 0:
            # A writer rebuilds the document from it, and then there are no problems.
            assert _whole(tracker_at(state).commit([]).to_object()) == seen
            assert tracker_at(state).verify().sound
            for path in state.parent.iterdir():
                path.unlink()
    # Created together with the first of four phases, thirty operations one by one, and five at once.
    assert len(states) == 4 + 30 + 1
    figures(f"{len(content) + 1} cuts of a log without its document: {len(states)} states, one a commit")


def test_run_whose_log_is_cut_loses_no_verdict(state: Path, rounds: Callable[[int, int], int]) -> None:
    """A run whose log is cut, emptied or deleted during the run loses no verdict that it recorded."""
    chance = random.Random(5)
    for number in range(rounds(40, 400)):
        run = run_at(state, f"run-{number}")
        run.open(no_check, {})
        for test in range(12):
            run.verdict(Verdict((f"c{number}", str(test)), passed=True))
            log = state.with_name("migration-audit.log")
            if test == 6:
                content = log.read_bytes()
                match chance.randrange(3):
                    case 0:
                        log.write_bytes(content[: chance.randrange(len(content))])
                    case 1:
                        log.write_bytes(b"")
                    case _:
                        log.unlink()
            elif test == 8 and chance.random() < 0.5:
                tracker_at(state).commit([operation(f"other{number}", 3)])
        run.finish(0, {})
        assert run.failure is None
        run.close()
        document = FileStore(state, notify=quiet).read()
        assert [test for component, test in document.verdicts if component == f"c{number}"] == [
            str(test) for test in range(12)
        ]
        for aside in state.parent.glob("*.torn-*"):
            aside.unlink()
    assert kinds_found(tracker_at(state)) <= {"loss_reported"}


@pytest.mark.parametrize("others", [0, 1, 4, 5, 6, 20])
@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_run_whose_log_is_replaced_loses_no_verdict(state: Path, how: str, others: int) -> None:
    """If a run loses its log, and others begin a new one without its newest verdicts, nothing is lost."""
    run = run_at(state, "run")
    run.open(no_check, {})
    for test in range(5):
        run.verdict(Verdict(("run", str(test)), passed=True))
    log = state.with_name("migration-audit.log")
    if how == "deleted":
        log.unlink()
    else:
        # As in log rotation: the file is the same, and may have grown beyond its earlier size.
        os.truncate(log, 0)
    tracker = tracker_at(state)
    for number in range(1, others + 1):
        tracker.commit([operation("other", number)])
    for test in range(5, 8):
        run.verdict(Verdict(("run", str(test)), passed=True))
    assert run.failure is None
    # It is on the disk before the run's end: a kill would not lose it.
    assert written(FileStore(state, notify=quiet).read(), "run") == list(range(8))
    run.finish(0, {})
    assert run.failure is None
    assert written(FileStore(state, notify=quiet).read(), "run") == list(range(8))
    assert written(FileStore(state, notify=quiet).read(), "other") == list(range(1, others + 1))
    content = log.read_text()
    assert all(f"Test '{test}' for 'run': PASSED" in content for test in range(8))
    tracker.commit([])
    assert kinds_found(tracker) == {"loss_reported"}


def test_run_without_a_log_records_nothing_for_a_reinitialized_migration(state: Path) -> None:
    """A run does not record verdicts of a migration that was set aside in the one that replaced it."""
    run = run_at(state, "run")
    run.open(no_check, {})
    run.verdict(Verdict(("run", "1"), passed=False))
    tracker_at(state).initialize(force=True)
    state.with_name("migration-audit.log").unlink()
    run.verdict(Verdict(("run", "2"), passed=True))
    run.finish(0, {})
    assert "its migration was replaced by a new one during the run" in str(run.failure)
    assert written(FileStore(state, notify=quiet).read(), "run") == []
    tracker_at(state).commit([])
    assert kinds_found(tracker_at(state)) == {"loss_reported"}


def test_foreign_line_at_the_start_of_a_new_log_is_chained(state: Path) -> None:
    """If another program appends a line just before the loss is reported, the chain continues behind it."""
    tracker_at(state).commit([operation("c", 1)])
    log = state.with_name("migration-audit.log")
    log.unlink()
    seek = AuditLogFile.seek

    def seek_and_be_overtaken(
        log_file: AuditLogFile, audit: Position, migration_id: str | None
    ) -> str | None:
        gap = seek(log_file, audit, migration_id)
        if gap and log_file.is_open and not log.stat().st_size:
            with log.open("a") as file:
                file.write(_FOREIGN_LINE)
        return gap

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditLogFile, "seek", seek_and_be_overtaken)
        tracker_at(state).commit([operation("c", 2)])
    tracker_at(state).commit([operation("c", 3)])
    assert log.read_text().count("a foreign line") == 1
    assert kinds_found(tracker_at(state)) == {"loss_reported"}
    assert written(FileStore(state, notify=quiet).read(), "c") == [1, 2, 3]


@pytest.mark.parametrize("which", ["migration-audit.log", "migration-state.json"])
def test_flipped_bits_never_change_the_state_silently(
    state: Path, which: str, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A flipped bit of log or document leads to an error, a report of verify, or an unchanged state."""
    _forty_entries(state)
    files = {path: path.read_bytes() for path in state.parent.glob("migration-*[gn]")}
    before = _seen(state)
    target = state.with_name(which)
    chance = random.Random(which)
    outcome: Counter[str] = Counter()
    unnoticed = []
    for _ in range(rounds(2500, 25_000)):
        for path, content in files.items():
            path.write_bytes(content)
        damaged = bytearray(files[target])
        offset = chance.randrange(len(damaged))
        damaged[offset] ^= 1 << chance.randrange(8)
        target.write_bytes(damaged)
        try:
            seen = _seen(state)
        except MigrationStateError as error:
            outcome["errors" if "\n" not in str(error) else "errors of several lines"] += 1
            continue
        is_same = _meaning(seen) == _meaning(before)
        is_sound = tracker_at(state).verify().sound
        if is_same and seen == before:
            outcome["the same state"] += 1
        elif is_same:
            outcome["the same state but for a key without meaning"] += 1
        else:
            outcome["silent" if is_sound else "another state, reported by verify"] += 1
        if is_sound and (not is_same or target.suffix == ".log"):
            unnoticed.append(
                (offset, bytes(files[target][max(0, offset - 60) : offset + 20]), bytes([damaged[offset]]))
            )
        # A writer continues from it, or refuses with a message.
        notices: list[str] = []
        try:
            MigrationTracker(state, notify=notices.append).commit([])
        except MigrationStateError:
            outcome["refused to write"] += 1
            continue
        after = _seen(state)
        assert _whole(after) == _whole(seen) or notices
    figures(f"{which}: " + ", ".join(f"{count} {what}" for what, count in sorted(outcome.items())))
    assert not unnoticed, unnoticed[:5]
    assert not outcome["errors of several lines"]
