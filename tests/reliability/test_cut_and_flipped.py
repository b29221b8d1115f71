"""Damage: a log cut at every byte, flipped bytes in log and document. No crash, and nothing silently altered."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from writers import in_validation, no_check, operation, quiet, recorder_at, tracker_at, written

from pytest_migration_state.core import checkpoint
from pytest_migration_state.core.errors import MigrationStateError, StateNotFoundError
from pytest_migration_state.core.journal import Journal
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from writers import JsonObject

    from pytest_migration_state.core.lines import Position


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes here: what is damaged stays so, however long one waits."""
    monkeypatch.setattr(checkpoint, "_REREAD_PATIENCE", 0.0)
    monkeypatch.setattr(checkpoint, "READ_PAUSE", 0.0)


def _forty_entries(state: Path) -> None:
    tracker = in_validation(state)
    for number in range(1, 31):
        tracker.commit([operation("c", number)])
    tracker.commit([operation("c", number) for number in range(31, 36)])
    tracker.close()


def _seen(state: Path) -> JsonObject:
    return Store(state, notify=quiet).read().to_object()


def _whole(seen: JsonObject) -> JsonObject:
    """A state without what every write of ours changes, or adds where it is missing."""
    return {key: value for key, value in seen.items() if key not in {"last_updated", "metadata"}}


_TOLD = ("phase", "started_at", "completed_at", "docker_containers_removed", "data_preserved", "native_processes_started",
         "validation_results", "rollback_available", "error", "outstanding_validations")  # fmt: skip


def _meaning(seen: JsonObject) -> JsonObject:
    """What the log tells of a state: no key without a value, none that is not the format's, and not who wrote it last and when."""

    def valued(item: object) -> object:
        return {key: value for key, value in item.items() if value is not None} if isinstance(item, dict) else item

    told = {key: [valued(item) for item in seen[key]] if isinstance(seen[key], list) else seen[key] for key in _TOLD}
    return {key: value for key, value in told.items() if value}


@pytest.mark.parametrize("half", [0, 1])
def test_log_cut_at_every_byte(state: Path, half: int, figures: Callable[[str], None]) -> None:
    """However short the log was cut: what the document holds stays, the loss is told, and the next writer goes on."""
    _forty_entries(state)
    log = state.with_name("migration-audit.log")
    document, content = state.read_bytes(), log.read_bytes()
    before = _whole(_seen(state))
    told: Counter[str] = Counter()
    for length in range(half, len(content), 2):
        state.write_bytes(document)
        log.write_bytes(content[:length])
        assert _whole(_seen(state)) == before
        notices: list[str] = []
        tracker = MigrationTracker(state, notify=notices.append)
        assert _whole(tracker.commit([]).to_object()) == before
        is_short = length < len(content) - 1
        assert any("has lost entries" in notice for notice in notices) is is_short
        if length % 5 == 0 or not is_short:
            assert {problem.kind for problem in tracker.verify().problems} == ({"entries_missing"} if is_short else set())
        told["cuts"] += 1
        told["torn"] += any("was set aside" in notice for notice in notices)
        for aside in state.parent.glob("*.torn-*"):
            aside.unlink()
    figures(
        f"{told['cuts']} cuts of a log of {len(content)} bytes: 0 crashes, 0 changes; {told['torn']} torn lines set aside, every loss told"
    )


def test_log_cut_at_every_byte_without_its_document(state: Path, figures: Callable[[str], None]) -> None:
    """Where the log is all there is, the state is that after one of the commits, and never half of one."""
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
            # A writer rebuilds the document from it, and nothing is amiss then.
            assert _whole(tracker_at(state).commit([]).to_object()) == seen
            assert tracker_at(state).verify().sound
            for path in state.parent.iterdir():
                path.unlink()
    # Begun together with the first of four phases, thirty operations one by one, and five at once.
    assert len(states) == 4 + 30 + 1
    figures(f"{len(content) + 1} cuts of a log without its document: {len(states)} states, one a commit")


def test_log_cut_beneath_a_run(state: Path, rounds: Callable[[int, int], int]) -> None:
    """A run whose log is cut, emptied or taken away under it loses no verdict that it recorded."""
    chance = random.Random(5)
    for number in range(rounds(40, 400)):
        run = recorder_at(state, f"run-{number}")
        run.open(no_check, {})
        for test in range(12):
            run.verdict((f"c{number}", str(test)), passed=True, error_message=None)
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
        run.finish(0, {}, 0.0)
        assert run.failure is None
        run.close()
        document = Store(state, notify=quiet).read()
        assert [test for component, test in document.verdicts if component == f"c{number}"] == [str(test) for test in range(12)]
        for aside in state.parent.glob("*.torn-*"):
            aside.unlink()
    kinds = {problem.kind for problem in tracker_at(state).verify().problems}
    assert kinds <= {"entries_missing"}


@pytest.mark.parametrize("others", [0, 1, 4, 5, 6, 20])
@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_log_begun_again_beneath_a_run(state: Path, how: str, others: int) -> None:
    """A log that is deleted beneath a run, and begun again by others who knew none of its newest verdicts: both sides stay."""
    run = recorder_at(state, "run")
    run.open(no_check, {})
    for test in range(5):
        run.verdict(("run", str(test)), passed=True, error_message=None)
    log = state.with_name("migration-audit.log")
    if how == "deleted":
        log.unlink()
    else:
        # As log rotation does it: the file is the same, and may have grown beyond where it was.
        os.truncate(log, 0)
    tracker = tracker_at(state)
    for number in range(1, others + 1):
        tracker.commit([operation("other", number)])
    for test in range(5, 8):
        run.verdict(("run", str(test)), passed=True, error_message=None)
    assert run.failure is None
    # On the disk already, without the run's end: a kill would lose none of it.
    assert written(Store(state, notify=quiet).read(), "run") == list(range(8))
    run.finish(0, {}, 0.0)
    assert run.failure is None
    assert written(Store(state, notify=quiet).read(), "run") == list(range(8))
    assert written(Store(state, notify=quiet).read(), "other") == list(range(1, others + 1))
    content = log.read_text()
    assert all(f"Test '{test}' for 'run': PASSED" in content for test in range(8))
    tracker.commit([])
    assert {problem.kind for problem in tracker.verify().problems} == {"entries_missing"}


def test_begun_anew_while_a_run_has_no_log(state: Path) -> None:
    """What a run knows of a migration that was set aside is not put into the one that took its place."""
    run = recorder_at(state, "run")
    run.open(no_check, {})
    run.verdict(("run", "1"), passed=False, error_message=None)
    tracker_at(state).begin(force=True)
    state.with_name("migration-audit.log").unlink()
    run.verdict(("run", "2"), passed=True, error_message=None)
    run.finish(0, {}, 0.0)
    assert "another migration was begun here" in str(run.failure)
    assert written(Store(state, notify=quiet).read(), "run") == []
    tracker_at(state).commit([])
    assert {problem.kind for problem in tracker_at(state).verify().problems} == {"entries_missing"}


def test_line_of_another_tool_while_the_log_is_begun_again(state: Path) -> None:
    """A line that comes in just before the entry that tells of the loss: the chain goes on behind it."""
    tracker_at(state).commit([operation("c", 1)])
    log = state.with_name("migration-audit.log")
    log.unlink()
    seek = Journal.seek

    def seek_and_be_overtaken(journal: Journal, audit: Position, migration_id: str | None) -> str | None:
        gap = seek(journal, audit, migration_id)
        if gap and journal.is_open:
            with log.open("a") as file:
                file.write('{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","action":"Note","details":"of theirs"}\n')
        return gap

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "seek", seek_and_be_overtaken)
        tracker_at(state).commit([operation("c", 2)])
    tracker_at(state).commit([operation("c", 3)])
    assert log.read_text().count("of theirs") == 1
    assert {problem.kind for problem in tracker_at(state).verify().problems} == {"entries_missing"}
    assert written(Store(state, notify=quiet).read(), "c") == [1, 2, 3]


@pytest.mark.parametrize("which", ["migration-audit.log", "migration-state.json"])
def test_flipped_bytes(state: Path, which: str, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """Whatever byte of log or document becomes another one: an error of ours, a report, or the same state as before."""
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
        how = "" if seen == before else " but for a key that tells nothing"
        outcome[f"the same state{how}" if is_same else "silent" if is_sound else "another state, told by verify"] += 1
        if is_sound and (not is_same or target.suffix == ".log"):
            unnoticed.append((offset, bytes(files[target][max(0, offset - 60) : offset + 20]), bytes([damaged[offset]])))
        # A writer goes on from it, or refuses with a sentence.
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
