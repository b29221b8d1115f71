"""Waiting for the lock: in turn, for as long as the timeout, and with a word about who holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import lock_descriptor, unlock_descriptor

from pytest_migration_state import MigrationTracker, StateLockedError, StateWriteError
from pytest_migration_state.cli.main import main
from pytest_migration_state.storage.files import checkpoint, holder, waiting
from pytest_migration_state.storage.identity import this_host
from state_files import DOCUMENT, files_of, in_validation, read
from windows_files import on_windows

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(
    sys.platform != "linux" or on_windows(), reason="only Linux tells who holds a lock"
)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

#: A program that takes the lock in its first argument and keeps it until its input ends.
HOLDER = """
import sys
from filelock import lock_descriptor
file = open(sys.argv[1], "r+b")
assert lock_descriptor(file.fileno(), blocking=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / DOCUMENT
    in_validation(path).close()
    return path


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock of the state, as a program without our record does."""
    command = [sys.executable, "-c", HOLDER, f"{path}.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@linux
def test_the_process_that_holds_the_lock_is_named(path: Path) -> None:
    """The record in the file is that of another process: the operating system knows better."""
    with held(path) as process, pytest.raises(StateLockedError) as caught:
        MigrationTracker(path, lock_timeout=0.05).set_error("x")
    assert caught.value.holder == f"process {process.pid} on {this_host()}"
    assert f"; process {process.pid} on {this_host()} holds it. Let it finish" in str(caught.value)


@pytest.mark.parametrize(
    "record",
    [
        b'{"pid": %d, "host": "elsewhere", "command": "pytest"}' % os.getpid(),
        b'{"pid": 0, "host": "%b", "command": "pytest"}' % this_host().encode(),
        b'{"pid": "7"}',
        b"",
    ],
    ids=["another machine", "no process", "no number", "empty"],
)
def test_nobody_is_named_who_may_not_hold_the_lock(
    tmp_path: Path, record: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record stays in the file when its writer has released the lock, or is dead."""
    file = tmp_path / "lock"
    file.touch()
    monkeypatch.setattr(holder, "_pids_in_proc", lambda _: [])
    assert holder.holder_in_words(file.stat(), record) is None


def test_the_writer_of_the_record_is_named_while_it_lives(path: Path) -> None:
    """Its command says what it is."""
    with files_of(path).hold(), pytest.raises(StateLockedError) as caught:
        MigrationTracker(path, lock_timeout=0.05).set_error("x")
    assert str(caught.value.holder).startswith(f"process {os.getpid()} on {this_host()} (")


def test_a_person_is_told_who_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, while the wait goes on."""
    monkeypatch.setattr(waiting, "_NOTICE_AFTER", 0.05)
    told: list[str] = []
    with held(path) as process:

        def tell(sentence: str) -> None:
            told.append(sentence)
            process.kill()

        MigrationTracker(path, lock_timeout=30, notify=tell).set_error("x")
    assert len(told) == 1
    assert told[0].startswith(f"{path}.lock: waiting for the lock, which ")
    assert read(path)["error"]["message"] == "x"


def test_a_command_prints_who_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one line on standard error, and the command goes on."""
    monkeypatch.setattr(waiting, "_NOTICE_AFTER", 0.05)
    with held(path) as process:
        threading.Timer(0.5, process.kill).start()
        assert main(["error", "x", "-s", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "Error recorded: x\n"
    assert printed.err.startswith(f"warning: {path}.lock: waiting for the lock, which ")
    assert printed.err.count("\n") == 1


def test_the_timeouts_of_threads_do_not_add_up(path: Path) -> None:
    """They share one tracker, and each waits for as long as if it were alone."""
    timeout, number = 0.5, 6
    tracker = MigrationTracker(path, lock_timeout=timeout)
    waited: list[float] = []

    def wait() -> None:
        began = time.monotonic()
        with pytest.raises(StateLockedError):
            tracker.set_error("x")
        waited.append(time.monotonic() - began)

    threads = [threading.Thread(target=wait) for _ in range(number)]
    with held(path):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(waited) == number
    assert max(waited) < timeout * number / 2


def test_a_wait_that_was_given_up_keeps_nothing(path: Path) -> None:
    """When the holder releases the lock, the forgotten wait must not take it for ever."""
    with held(path):
        for _ in range(3):
            with pytest.raises(StateLockedError):
                MigrationTracker(path, lock_timeout=0.02).set_error("x")
    MigrationTracker(path, lock_timeout=10).set_error("afterwards")
    with path.with_name(f"{DOCUMENT}.lock").open("r+b") as file:
        deadline = time.monotonic() + 10
        while not lock_descriptor(file.fileno(), blocking=False):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        unlock_descriptor(file.fileno())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the open files are not known")
def test_waits_that_were_given_up_leave_no_files_or_threads(path: Path) -> None:
    """A service that tries again for days beside a holder that hangs must not run out of them."""

    def in_use() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    tracker = MigrationTracker(path, lock_timeout=0.01)
    with held(path):
        with pytest.raises(StateLockedError):
            tracker.set_error("x")
        before = in_use()
        for _ in range(30):
            with pytest.raises(StateLockedError):
                tracker.set_error("x")
        assert in_use() == before


@pytest.mark.parametrize("timeout", [float("inf"), 1e10, 0, -1])
def test_any_timeout_can_be_given(path: Path, timeout: float) -> None:
    """Also one that is longer than a thread can wait."""
    MigrationTracker(path, lock_timeout=timeout).set_error("x")
    assert read(path)["error"]["message"] == "x"


def test_a_writer_keeps_off_the_lock_that_it_has_released(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So another one, which asks again and again, gets it soon, whoever writes all the time."""
    pauses: list[float] = []
    # The clock stands still, as if no time passed between two uses of the lock.
    monkeypatch.setattr("pytest_migration_state.storage.files.lock.monotonic", lambda: 1000.0)
    monkeypatch.setattr("pytest_migration_state.storage.files.lock.sleep", pauses.append)
    files = files_of(path)
    for _ in range(3):
        with files.hold():
            pass
    assert pauses == [pytest.approx(waiting.COURTESY)] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send itself a signal")
def test_a_wait_can_be_interrupted(path: Path) -> None:
    """Ctrl-C ends it at once, and the lock can be taken afterwards."""
    tracker = MigrationTracker(path, lock_timeout=60)
    with held(path):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            tracker.set_error("x")
    tracker.set_error("afterwards")
    assert read(path)["error"]["message"] == "afterwards"


#: A thread waits for the lock while the main thread forks. When it has the lock, the process is killed.
FORK_DURING_WAIT = """
import os, signal, sys, threading, time
from pathlib import Path
from state_files import files_of

def wait():
    with files_of(Path(sys.argv[1])).hold():
        os.kill(os.getpid(), signal.SIGKILL)

thread = threading.Thread(target=wait)
thread.start()
time.sleep(0.2)
if not os.fork():
    os.close(1)
    time.sleep(20)
    os._exit(0)
print("forked", flush=True)
thread.join()
"""


@forks
def test_a_fork_while_a_thread_waits_shares_nothing(path: Path) -> None:
    """A child that lived on with the waiting descriptor would keep the lock of its dead parent."""
    folder = str(Path(__file__).parents[1])
    with held(path):
        process = subprocess.Popen(
            [sys.executable, "-c", FORK_DURING_WAIT, str(path)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
    with process:
        assert process.wait(20) == -signal.SIGKILL
    MigrationTracker(path, lock_timeout=5).set_error("beside the child")
    assert read(path)["error"]["message"] == "beside the child"


def test_a_document_that_somebody_keeps_locked_costs_others_little(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may read the document can lock it. The change counts, and the state lock is released soon."""
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.05)
    tracker = MigrationTracker(path, lock_timeout=60)
    with path.open("rb") as document:
        assert lock_descriptor(document.fileno(), blocking=False)
        with pytest.raises(StateWriteError, match=r"(keeps it locked|being used).*is in the audit log"):
            tracker.set_error("x")
    assert tracker.read().fields["error"]["message"] == "x"


#: A thread imports the models for the first time, slowly, while the main thread forks.
FORK_DURING_IMPORT = """
import os, sys, threading, time
import pytest_migration_state
import pytest_migration_state.tracking.tracker

begun = threading.Event()

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "pytest_migration_state.models":
            begun.set()
            time.sleep(0.5)
        return None

sys.meta_path.insert(0, Slow())
threading.Thread(target=lambda: pytest_migration_state.MigrationState).start()
begun.wait()
child = os.fork()
if not child:
    pytest_migration_state.MigrationState
    os._exit(7)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
"""


@forks
def test_a_fork_during_the_first_import_of_the_models_does_not_hang() -> None:
    """The child would wait for the import lock of a thread that it does not have."""
    done = subprocess.run([sys.executable, "-c", FORK_DURING_IMPORT], check=False, timeout=60)
    assert done.returncode == 7
