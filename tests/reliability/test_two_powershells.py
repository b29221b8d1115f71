"""Two PowerShells that write one document at once, and one that takes its time."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from processes import Words, start
from writers import quiet, tracker_at

from powershell_writer import PowerShellError, PowerShellWriter, to_powershell_7
from pytest_migration_state.errors import StateDamagedError
from pytest_migration_state.storage.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: How often each PowerShell writes the document in a round.
_CALLS = 100


class SetContent(PowerShellWriter):
    """A PowerShell that writes with Set-Content.

    It empties the document and closes it, then opens it again, and writes behind what it finds there.
    """

    def _write(self, document: dict[str, Any]) -> None:
        descriptor = self._open(self.path, os.O_WRONLY)
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
        time.sleep(self.pause)
        descriptor = self._open(self.path, os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, (to_powershell_7(document) + "\n").encode(), os.fstat(descriptor).st_size)
        os.close(descriptor)


def _write(state: Path, kind: type[PowerShellWriter], seed: int) -> None:
    """Write the document again and again, in one piece of a length of its own."""
    writer = kind(state, pause=0.001, seed=seed)
    written = 0
    while written < _CALLS:
        # PowerShell cannot read what two of it have left, until a writer of this package has been there.
        with suppress(PowerShellError):
            writer.error("m" * seed * 300)
            written += 1


@pytest.mark.parametrize("kind", [PowerShellWriter, SetContent], ids=["Out-File", "Set-Content"])
def test_what_two_powershells_leave_is_used_and_kept(
    state: Path,
    kind: type[PowerShellWriter],
    rounds: Callable[[int, int], int],
    figures: Callable[[str], None],
) -> None:
    """A reader and a writer beside them never take it for damage."""
    PowerShellWriter(state).initialize()
    count = rounds(1, 30)
    for _ in range(count):
        children = [start(partial(_write, state, kind, seed)) for seed in (1, 3)]
        while any(child.poll() is None for child in children):
            FileStore(state, notify=quiet).read()
            tracker_at(state).commit([])
            time.sleep(0.005)
        assert [child.status for child in children] == [0, 0]
    tracker_at(state).commit([])
    kept = {file.name for file in state.parent.glob("migration-state.json.damaged-*")}
    log = "".join(str(entry.details) for entry in tracker_at(state).read_audit())
    assert kept
    assert [name for name in kept if name not in log] == []
    figures(f"{count * 2 * _CALLS} calls of two {kind.__name__}: {len(kept)} were more than whole")


def test_a_powershell_that_takes_seconds_is_waited_for(state: Path) -> None:
    """It empties the document, and writes two pieces with more than a second before each."""
    tracker = tracker_at(state)
    tracker.commit([{"operation": "set_error", "message": "m" * 4000}])
    words = Words()

    def write() -> None:
        writer = PowerShellWriter(state, pause=1.2)
        document = writer.read()
        words.say("read")
        writer._write({**document, "note": "by PowerShell"})

    child = start(write)
    assert words.heard(10) == ["read"]
    while state.stat().st_size:
        time.sleep(0.001)
    try:
        assert FileStore(state, notify=quiet).read().fields["note"] == "by PowerShell"
    except StateDamagedError as error:
        pytest.fail(f"it was taken for damage: {error}")
    assert child.wait() == 0
