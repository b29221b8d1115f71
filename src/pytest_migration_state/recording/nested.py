"""Processes inside a recorded run: forks of its process, and runs of pytest that its tests start."""

from __future__ import annotations

import contextlib
import os
from os import getpid  # bound at import: a test may replace os.getpid and not restore it
from typing import TYPE_CHECKING, Final

from pytest_migration_state.errors import MigrationStateError
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from pathlib import Path

#: Environment variable for the processes that a run starts: the id of the run, and the path of its document.
INSIDE_RUN: Final = "MIGRATION_STATE_RUN"


class RecordingProcess:
    """The process that records a run. A process that a test forked records nothing."""

    def __init__(self) -> None:
        self._process_id = getpid()
        self._outer_run: str | None = None
        self._is_marked = False

    @property
    def is_current(self) -> bool:
        """True if this is the process that records, and not a fork of it."""
        return getpid() == self._process_id

    def mark(self, run_id: str, path: Path) -> None:
        """Set the environment variable by which child processes know that they are inside a run."""
        self._outer_run = os.environ.get(INSIDE_RUN)
        self._is_marked = True
        os.environ[INSIDE_RUN] = f"{run_id} {os.path.realpath(path)}"

    def unmark(self) -> None:
        """Restore the environment that :meth:`mark` changed."""
        if not self._is_marked:
            return
        os.environ.pop(INSIDE_RUN, None)
        if self._outer_run is not None:
            os.environ[INSIDE_RUN] = self._outer_run


def outer_run(path: Path) -> str | None:
    """Return a description of the run that started this one, if both would record in the same state."""
    run_id, _, outer_path = os.environ.get(INSIDE_RUN, "").partition(" ")
    if not outer_path or outer_path != os.path.realpath(path):
        return None
    # A process that outlives its run still has the variable, so check that the run is open and alive.
    with (
        contextlib.suppress(MigrationStateError),
        contextlib.closing(MigrationTracker(path, notify=lambda _: None)) as tracker,
    ):
        document = tracker.read()
        if run_id in document.open_runs and tracker.context(document).liveness_of(run_id) != "dead":
            return f"inside run {run_id}, which records in the same state"
    return None
