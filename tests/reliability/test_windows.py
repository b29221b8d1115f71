"""The store with the semantics of files on Windows, which are imitated: see ``windows_files``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import Words, run_all, start
from writers import TO_VALIDATION, assert_sound, tracker_at, write_as_run, write_by_api, written

import windows_files
from pytest_migration_state.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("folder_of_tests", ["storage", "tracking"])
def test_the_tests_of_the_store_pass(folder_of_tests: str) -> None:
    """Those that need what Windows does not have are skipped."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "windows_files",
            "-p",
            "no:cacheprovider",
            folder_of_tests,
        ],
        env=os.environ | {"PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


def _on_windows(words: Words, work: Callable[[], object]) -> None:
    """Do some work in a process with the semantics of Windows, and say how often it was refused something."""
    windows_files.install()
    work()
    words.say(f"refused {sum(windows_files.refused.values())}")


def test_show_beside_a_recording_run(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """A reader has the document open while the run wants to replace it. Neither of them fails."""
    count = rounds(300, 2000)
    words = Words()

    def record() -> None:
        tracker = tracker_at(state)
        for phase in TO_VALIDATION:
            tracker.commit([{"operation": "set_phase", "phase": phase}])
        write_as_run(state, "run-1", count, lambda _: time.sleep(0.005))

    def show() -> None:
        deadline = time.monotonic() + 60
        while written(tracker_at(state).read(), "run-1")[-1:] != [count] and time.monotonic() < deadline:
            with (state.parent / "out").open("w", encoding="utf-8") as sys.stdout:
                assert main(["show", "-s", str(state)]) == 0

    def look() -> None:
        """Have the document open most of the time, as an editor or a virus scanner."""
        deadline = time.monotonic() + 60
        while written(tracker_at(state).read(), "run-1")[-1:] != [count] and time.monotonic() < deadline:
            with state.open("rb"):
                time.sleep(0.02)
            time.sleep(0.005)

    tracker_at(state).commit([])
    run_all(partial(_on_windows, words, work) for work in (record, show, look))
    refused = [int(word.partition(" ")[2]) for word in words.heard(10)]
    assert sum(refused) > 0
    assert_sound(state)
    figures(
        f"{count} verdicts beside two readers: {sum(refused)} operations refused as on Windows, none failed"
    )


def test_every_write_counts_on_windows(
    state: Path, rounds: Callable[[int, int], int], figures: Callable[[str], None]
) -> None:
    """Runs and other writers race for one state."""
    count = rounds(40, 400)
    words = Words()
    tracker = tracker_at(state)
    for phase in TO_VALIDATION:
        tracker.commit([{"operation": "set_phase", "phase": phase}])
    kinds = [write_as_run, write_by_api]
    names = [f"writer-{number}" for number in range(4)]
    run_all(
        partial(_on_windows, words, partial(kinds[number % 2], state, name, count))
        for number, name in enumerate(names)
    )
    document = tracker_at(state).read()
    for name in names:
        assert written(document, name) == list(range(1, count + 1))
    assert not document.outstanding
    assert_sound(state)
    figures(f"4 writers x {count} with the semantics of Windows: all {4 * count} writes there")


def test_the_imitation_refuses_what_windows_refuses(folder: Path) -> None:
    """Otherwise the tests above would show nothing."""
    words = Words()

    def check() -> None:
        windows_files.install()
        file, other = folder / "file", folder / "other"
        file.write_text("x", "utf-8")
        other.write_text("y", "utf-8")
        with file.open("rb"):
            for refused in (
                lambda: other.replace(file),
                lambda: file.rename(folder / "new"),
                file.unlink,
            ):
                with pytest.raises(PermissionError):
                    refused()
        other.replace(file)
        assert file.read_text("utf-8") == "y"
        words.say("done")

    assert start(check).wait() == 0
    assert words.heard(10) == ["done"]
