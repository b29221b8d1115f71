"""Waiting for a lock that stays held, whose holder is killed or stopped, or whose file is deleted."""

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
from writers import (
    assert_sound,
    in_validation,
    no_check,
    operation,
    quiet,
    run_at,
    tracker_at,
    write_as_run,
    write_by_api,
    written,
)

from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import StateLockedError, StateWriteError
from pytest_migration_state.storage.files.lock import StateLock
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.files.run_log import FileRunLog
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _hold(state: Path, words: Words) -> None:
    """Take the lock and keep it until killed."""
    lock = StateLock(state.with_name(f"{state.name}.lock"))
    lock.acquire()
    words.say("held")
    time.sleep(60)


def test_held_lock_is_an_error_that_names_the_holder(state: Path) -> None:
    """After the timeout, an error names the holder. When the holder is killed, the lock is free at once."""
    tracker_at(state).commit([operation("before", 1)])
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    began = time.monotonic()
    with pytest.raises(StateLockedError) as caught:
        MigrationTracker(state, lock_timeout=0.3).commit([operation("new", 1)])
    assert 0.3 <= time.monotonic() - began < 30
    assert f"process {holder.pid} on {os.uname().nodename} (" in str(caught.value)
    assert "still locked after 0.3 s" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    # Readers do not wait.
    assert written(FileStore(state, notify=quiet).read(), "before") == [1]
    holder.kill()
    began = time.monotonic()
    MigrationTracker(state, lock_timeout=20).commit([operation("new", 1)])
    assert time.monotonic() - began < 10
    words.close()


def test_killed_holder_frees_the_lock(state: Path) -> None:
    """Waiting writers go on as soon as the holder is killed."""
    tracker_at(state).commit([])
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    waiting = [start(partial(write_by_api, state, f"waiting-{number}", 3)) for number in range(4)]
    time.sleep(0.1)
    holder.kill()
    began = time.monotonic()
    assert [child.wait() for child in waiting] == [0, 0, 0, 0]
    assert time.monotonic() - began < 20
    words.close()
    assert_sound(state)


def test_the_lock_file_is_opened_while_others_write_their_records(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A record that is being replaced is not taken for the content of another program's file."""
    count = rounds(300, 5000)

    def work() -> None:
        for _ in range(count):
            lock = StateLock(state.with_name(f"{state.name}.lock"))
            with lock:
                pass
            lock.close()

    run_all(work for _ in range(6))
    figures(f"6 processes opened and locked the file {count} times each, and none was refused")


def test_no_writer_starves(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A run gets the lock in turn beside two processes that write all the time.

    Counted is how often the others commit between two verdicts of the run, and not the time.
    """
    count = rounds(60, 1000)
    tracker = in_validation(state)
    words = Words()

    def record() -> None:
        words.say("begun")
        write_as_run(state, "run-1", count, lambda _: time.sleep(0.001))
        words.say("done")

    def write() -> None:
        number = 0
        while not done():
            number += 1
            tracker_at(state).commit([operation(f"writer-{os.getpid()}", number)])

    def done() -> bool:
        return written(tracker_at(state).read(), "run-1")[-1:] == [count]

    run_all([record, write, write])
    writers = [line for line in read_lines(state.with_name("migration-audit.log")) if line.content]
    overtaken, longest = 0, 0
    for line in writers:
        assert line.content is not None
        is_own = line.content.get("run_id") == "run-1"
        overtaken = 0 if is_own else overtaken + 1
        longest = max(longest, overtaken)
    assert tracker.read().verdicts
    figures(f"{count} verdicts beside two writers: overtaken at most {longest} times in a row")
    assert longest < 100


def test_run_waits_for_a_held_lock_once(state: Path) -> None:
    """A run waits for a held lock once, not at every verdict. Its journal holds the verdicts meanwhile."""
    tracker_at(state).commit([])
    run = run_at(state, "run-1")
    run.open(no_check, {})
    log = run._log
    assert isinstance(log, FileRunLog)
    log._group_due_at = 0.0
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    began = time.monotonic()
    for number in range(1, 51):
        run.verdict(Verdict(("new", str(number)), passed=True))
    assert 1 < time.monotonic() - began < 5
    assert run.failure is None
    assert written(FileStore(state, notify=quiet).read(), "new") == list(range(1, 51))
    log._timeout = 0.1
    run.finish(0, {})
    assert isinstance(run.failure, StateLockedError)
    assert [event.action for event in run.unrecorded] == ["RunFinished"]
    holder.kill()
    run.finish(0, {})
    assert run.failure is None
    assert written(FileStore(state, notify=quiet).read(), "new") == list(range(1, 51))
    words.close()
    assert_sound(state)


def test_stopped_writer_only_delays_others(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A writer that is stopped anywhere, even in the middle of a write, only delays the others."""
    chance = random.Random(6)
    names = [f"writer-{number}" for number in range(3)]
    children = [
        start(partial(write, state, name, 400))
        for write, name in zip((write_by_api, write_as_run, write_by_api), names, strict=True)
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
    document = FileStore(state, notify=quiet).read()
    assert [written(document, name) for name in names] == [list(range(1, 401))] * 3
    assert_sound(state)
    figures(f"{stops} stops of 3 writers: 1200 of 1200 writes there")


def test_stopped_holder_delays_others_until_it_is_killed(state: Path) -> None:
    """A writer that was stopped while it held the lock keeps the others waiting until it is killed."""
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


def test_deleted_lock_file_loses_nothing(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """If the lock file is deleted repeatedly, nothing acknowledged is lost, and the chain is unbroken."""
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
            request = {
                "operation": "add_validation_result",
                "component": name,
                "test_name": str(number),
                "passed": True,
            }
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
    document = FileStore(state, notify=quiet).read()
    for name in (*names, "run"):
        assert written(document, name) == list(range(1, count + 1))
    tracker_at(state).commit([])
    assert_sound(state)
    figures(
        f"lock file deleted all the time: {5 * count} of {5 * count} writes there, "
        f"{len(words.heard())} refused and tried again"
    )
    words.close()


def test_moved_lock_file_is_noticed(state: Path) -> None:
    """If the lock file was moved away, a writer notices, and waits for the file that is now at the path."""
    tracker = MigrationTracker(state, create=True, lock_timeout=0.2, notify=quiet)
    tracker.commit([])
    lock = state.with_name(f"{state.name}.lock")
    lock.rename(state.with_name("elsewhere"))
    words = Words()
    holder = start(partial(_hold, state, words))
    assert words.heard(10) == ["held"]
    with pytest.raises(StateLockedError, match=f"process {holder.pid} "):
        tracker.commit([])
    holder.kill()
    tracker.commit([operation("new", 1)])
    words.close()
    assert_sound(state)


def write_as_patient_run(state: Path, name: str, count: int) -> None:
    """Write as a run whose writes may be temporarily refused, and assert that all are recorded at its end."""
    run = run_at(state, name)
    for _ in range(100):
        try:
            run.open(no_check, {})
            break
        except StateWriteError:
            continue
    for number in range(1, count + 1):
        run.verdict(Verdict((name, str(number)), passed=True))
    for _ in range(100):
        run.finish(0, {})
        if run.failure is None:
            return
    raise AssertionError(run.failure)


def test_fork_during_a_write_shares_nothing(state: Path) -> None:
    """A process forked while another thread of its parent writes shares neither its lock nor its document."""
    tracker = tracker_at(state)
    tracker.commit([operation("before", 1)])
    stop = threading.Event()
    count = 0

    def write_on() -> None:
        nonlocal count
        while not stop.is_set():
            count += 1
            tracker.commit([operation("parent", count)])

    def write_ten(name: str) -> None:
        for number in range(1, 11):
            tracker.commit([operation(name, number)])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        children = [start(partial(write_ten, f"child-{number}")) for number in range(20)]
        assert [child.wait() for child in children] == [0] * 20
    finally:
        stop.set()
        writer.join()
    document = tracker.read()
    assert written(document, "parent") == list(range(1, count + 1))
    for number in range(20):
        assert written(document, f"child-{number}") == list(range(1, 11))
    assert_sound(state)


def test_interrupt_anywhere_keeps_memory_and_files_equal(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """After an exception from a signal (Ctrl-C, a time limit) anywhere, memory and files agree."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def work() -> None:
        signal.signal(signal.SIGALRM, interrupt)
        chance = random.Random(7)
        run = run_at(state, "run")
        run.open(no_check, {})
        interrupted, number, beside = 0, 0, tracker_at(state)
        while interrupted < limit:
            try:
                # Repeated, because an exception during a finalizer is swallowed.
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.01), 0.05)
                while True:
                    number += 1
                    run.verdict(Verdict(("run", str(number)), passed=True))
                    if number % 50 == 0:
                        beside.commit([operation("beside", number)])
            except Interrupted:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        run.finish(0, {})
        assert run.failure is None, run.failure
        words.say(str(number))

    tracker_at(state).commit([])
    words, limit = Words(), rounds(150, 3000)
    run_all([work])
    count = int(words.heard()[-1])
    words.close()
    document = FileStore(state, notify=quiet).read()
    there = written(document, "run")
    # A verdict that was interrupted may be recorded or not.
    assert len(set(range(1, count + 1)) - set(there)) <= limit
    assert written(document, "beside") == sorted(set(written(document, "beside")))
    assert_sound(state)
    figures(f"{limit} interrupts in {count} verdicts: {len(there)} recorded, chain unbroken")


def test_two_states_in_one_folder_are_separate(folder: Path) -> None:
    """Two states in one folder have a lock and a log each."""
    one, other = folder / "one.json", folder / "other.json"
    run_all([partial(write_by_api, one, "one", 50), partial(write_as_run, other, "other", 50)])
    assert (
        written(tracker_at(one).read(), "one")
        == list(range(1, 51))
        == written(tracker_at(other).read(), "other")
    )
    in_validation(one)
