"""Waiting for a lock: one that stays held, one whose holder is killed or stopped, one whose file is deleted."""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from processes import Words, run_all, start
from writers import assert_sound, in_validation, no_check, operation, quiet, recorder_at, tracker_at, write_as_run, write_by_api, written

from pytest_migration_state.core.errors import StateLockedError, StateWriteError
from pytest_migration_state.core.lock import _LOOK_AGAIN, StateLock
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _hold(state: Path, words: Words) -> None:
    """Take the lock and keep it until killed."""
    lock = StateLock(state.with_name(f"{state.name}.lock"))
    lock.acquire()
    words.say("held")
    time.sleep(60)


def test_held_lock(state: Path) -> None:
    """A lock that stays held is an error after the timeout that names the holder; a killed holder frees it at once."""
    tracker_at(state).commit([operation("before", 1)])
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    began = time.monotonic()
    with pytest.raises(StateLockedError) as caught:
        MigrationTracker(state, lock_timeout=0.3).commit([operation("new", 1)])
    assert 0.3 <= time.monotonic() - began < 5
    assert f"process {holder.pid} on {os.uname().nodename} (" in str(caught.value)
    assert "still locked after 0.3 s" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    # Readers do not wait.
    assert written(Store(state, notify=quiet).read(), "before") == [1]
    holder.kill()
    began = time.monotonic()
    MigrationTracker(state, lock_timeout=5).commit([operation("new", 1)])
    assert time.monotonic() - began < 1
    words.close()


def test_killed_while_others_wait(state: Path) -> None:
    """Whoever waits goes on as soon as the holder is killed."""
    tracker_at(state).commit([])
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    waiting = [start(partial(write_by_api, state, f"waiting-{number}", 3)) for number in range(4)]
    time.sleep(0.1)
    holder.kill()
    began = time.monotonic()
    assert [child.wait() for child in waiting] == [0, 0, 0, 0]
    assert time.monotonic() - began < 2
    words.close()
    assert_sound(state)


def test_run_beside_a_held_lock(state: Path) -> None:
    """A run waits once for a lock that stays held, not at every verdict, and records everything when it is free."""
    tracker_at(state).commit([])
    run = recorder_at(state, "run-1")
    run.open(no_check, {})
    run._timeout = 0.3
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    began = time.monotonic()
    for number in range(1, 51):
        run.verdict(("new", str(number)), passed=True, error_message=None)
    assert time.monotonic() - began < 1.5
    assert isinstance(run.failure, StateLockedError)
    assert len(run.unrecorded) == 50
    holder.kill()
    run.finish(0, {}, 0.0)
    assert run.failure is None
    assert written(Store(state, notify=quiet).read(), "new") == list(range(1, 51))
    words.close()
    assert_sound(state)


def test_stopped_writers(state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """A writer that is stopped anywhere, in the middle of its writing too, delays the others and breaks nothing."""
    chance = random.Random(6)
    names = [f"writer-{number}" for number in range(3)]
    children = [
        start(partial(write, state, name, 400)) for write, name in zip((write_by_api, write_as_run, write_by_api), names, strict=True)
    ]
    stops = 0
    for _ in range(rounds(60, 600)):
        child = chance.choice(children)
        child.send(signal.SIGSTOP)
        stops += 1
        time.sleep(chance.uniform(0, 0.02))
        child.send(signal.SIGCONT)
        time.sleep(chance.uniform(0, 0.005))
    assert [child.wait() for child in children] == [0, 0, 0]
    document = Store(state, notify=quiet).read()
    assert [written(document, name) for name in names] == [list(range(1, 401))] * 3
    assert_sound(state)
    figures(f"{stops} stops of 3 writers: 1200 of 1200 writes there")


def test_stopped_and_killed(state: Path) -> None:
    """A writer that was stopped with the lock in its hand keeps the others waiting until it is killed."""
    tracker_at(state).commit([])
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    holder.send(signal.SIGSTOP)
    with pytest.raises(StateLockedError, match=f"process {holder.pid} "):
        MigrationTracker(state, lock_timeout=0.1).commit([])
    holder.kill()
    MigrationTracker(state, lock_timeout=1).commit([])
    words.close()


def test_lock_file_deleted(state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """While somebody deletes the lock file over and over, what was acknowledged stays, and the chain is unbroken."""
    tracker_at(state).commit([])
    lock = state.with_name(f"{state.name}.lock")
    words = Words()
    count = rounds(150, 1500)

    def delete() -> None:
        while True:
            lock.unlink(missing_ok=True)
            time.sleep(0.0005)

    def write(name: str) -> None:
        tracker = tracker_at(state)
        for number in range(1, count + 1):
            request = {"operation": "add_validation_result", "component": name, "test_name": str(number), "passed": True}
            while True:
                try:
                    tracker.commit([request])
                    break
                except StateWriteError:
                    words.say("refused")

    deleter = start(delete)
    names = [f"writer-{number}" for number in range(4)]
    run_all([*(partial(write, name) for name in names), partial(write_as_patient_run, state, "run", count)])
    deleter.kill()
    document = Store(state, notify=quiet).read()
    for name in (*names, "run"):
        assert written(document, name) == list(range(1, count + 1))
    tracker_at(state).commit([])
    assert_sound(state)
    figures(f"lock file deleted all the time: {5 * count} of {5 * count} writes there, {len(words.heard())} refused and tried again")
    words.close()


def test_lock_file_moved_away(state: Path) -> None:
    """A lock on a file that was moved away excludes nobody: it is noticed, and the one at the path is waited for."""
    tracker = MigrationTracker(state, create=True, lock_timeout=0.2, notify=quiet)
    tracker.commit([])
    lock = state.with_name(f"{state.name}.lock")
    lock.rename(state.with_name("elsewhere"))
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    time.sleep(_LOOK_AGAIN)
    with pytest.raises(StateLockedError, match=f"process {holder.pid} "):
        tracker.commit([])
    holder.kill()
    tracker.commit([operation("new", 1)])
    words.close()
    assert_sound(state)


def write_as_patient_run(state: Path, name: str, count: int) -> None:
    """A run that may be refused on the way: at its end everything is recorded."""
    run = recorder_at(state, name)
    for _ in range(100):
        try:
            run.open(no_check, {})
            break
        except StateWriteError:
            continue
    for number in range(1, count + 1):
        run.verdict((name, str(number)), passed=True, error_message=None)
    for _ in range(100):
        run.finish(0, {}, 0.0)
        if run.failure is None:
            return
    raise AssertionError(run.failure)


def test_forked_in_the_middle(state: Path) -> None:
    """A process that is forked while another thread of its parent writes shares neither its lock nor what it holds."""
    tracker = tracker_at(state)
    tracker.commit([operation("before", 1)])
    stop = threading.Event()
    count = 0

    def write_on() -> None:
        nonlocal count
        while not stop.is_set():
            count += 1
            tracker.commit([operation("parent", count)])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        children = [start(lambda name=f"child-{n}": [tracker.commit([operation(name, i)]) for i in range(1, 11)]) for n in range(20)]  # type: ignore[misc]  # a default argument binds the name
        assert [child.wait() for child in children] == [0] * 20
    finally:
        stop.set()
        writer.join()
    document = tracker.read()
    assert written(document, "parent") == list(range(1, count + 1))
    for number in range(20):
        assert written(document, f"child-{number}") == list(range(1, 11))
    assert_sound(state)


def test_interrupted_anywhere(state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """An exception out of a signal (Ctrl-C, a test's time limit) in the middle of recording: memory and files stay in step."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def work() -> None:
        signal.signal(signal.SIGALRM, interrupt)
        chance = random.Random(7)
        run = recorder_at(state, "run")
        run.open(no_check, {})
        interrupted, number, beside = 0, 0, tracker_at(state)
        while interrupted < limit:
            try:
                # And again: one that comes while a finalizer runs is swallowed.
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.01), 0.05)
                while True:
                    number += 1
                    run.verdict(("run", str(number)), passed=True, error_message=None)
                    if number % 50 == 0:
                        beside.commit([operation("beside", number)])
            except Interrupted:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        run.finish(0, {}, 0.0)
        assert run.failure is None, run.failure
        words.say(str(number))

    tracker_at(state).commit([])
    words, limit = Words(), rounds(150, 3000)
    run_all([work])
    count = int(words.heard()[-1])
    words.close()
    document = Store(state, notify=quiet).read()
    there = written(document, "run")
    # The verdict in whose middle the exception came was handed over, or it was not.
    assert len(set(range(1, count + 1)) - set(there)) <= limit
    assert written(document, "beside") == sorted(set(written(document, "beside")))
    assert_sound(state)
    figures(f"{limit} interrupts in {count} verdicts: {len(there)} recorded, chain unbroken")


def test_group_of_states_in_one_folder(folder: Path) -> None:
    """Two states in one folder have a lock and a log each."""
    one, other = folder / "one.json", folder / "other.json"
    run_all([partial(write_by_api, one, "one", 50), partial(write_as_run, other, "other", 50)])
    assert written(tracker_at(one).read(), "one") == list(range(1, 51)) == written(tracker_at(other).read(), "other")
    in_validation(one)
