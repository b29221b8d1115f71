"""Runs that may be dead: whether they are alive, and the end of their journals."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_migration_state.regular_files import despite_sharing, open_single, read_single
from pytest_migration_state.storage.files.atomic import remove, set_aside
from pytest_migration_state.storage.files.journal_lock import liveness_by_lock, try_to_lock
from pytest_migration_state.storage.files.journals import journals_of_others, mark_of, unreported_loss
from pytest_migration_state.storage.identity import this_host
from pytest_migration_state.storage.journal_records import decode_records, select
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.storage.files.paths import StatePaths
    from pytest_migration_state.storage.files.run_journal import RunJournal
    from pytest_migration_state.types import JsonObject, Liveness

#: The ids that runs of this package have.
_MADE_HERE: Final = re.compile(r"[0-9a-f]{16}")

# --- liveness -----------------------------------------------------------------------------------------------


def liveness_of(paths: StatePaths, runs: Mapping[str, JsonObject]) -> dict[str, Liveness]:
    """Return whether each of these open runs is alive, by id."""
    return {run_id: _liveness(paths, run_id, run) for run_id, run in runs.items()}


def _liveness(paths: StatePaths, run_id: str, run: object) -> Liveness:
    if as_object(run).get("finished_at"):
        return "dead"
    path = paths.journal(run_id)
    return liveness_by_lock(path, run) if path else "unknown"


# --- the end of dead journals -------------------------------------------------------------------------------


def remove_dead(paths: StatePaths, own: RunJournal | None, document: Document) -> Iterator[str]:
    """Remove the journals of dead runs whose events the document holds.

    Yield what was kept of them, in words. Where a journal cannot be removed, its events are passed over from
    now on. Call this only while the state lock is held.
    """
    for run_id, path in journals_of_others(paths, own):
        with suppress(OSError):
            yield from _remove_if_dead(paths, run_id, path, document)


def _remove_if_dead(paths: StatePaths, run_id: str, path: Path, document: Document) -> Iterator[str]:
    run = document.open_runs.get(run_id)
    if run is not None and as_object(run).get("host") != this_host():
        return
    descriptor = despite_sharing(lambda: open_single(path, writable=True))
    try:
        if not try_to_lock(descriptor):
            return
        content = read_single(path)
        lines, torn = decode_records(content)
        left = select(lines, mark_of(document, run_id))
        if run is None and (None in lines or torn or not _MADE_HERE.fullmatch(run_id)):
            # It may be somebody's own file.
            return
        if run is not None and (left.records or unreported_loss(left, document, run_id)):
            # They came in between. The next command takes them over.
            return
        if left.records or torn or None in lines:
            yield _kept(run_id, set_aside(paths.document, "journal", content), run, torn)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    remove(path)


def _kept(run_id: str, name: str, run: object, torn: bytes) -> str:
    what = f"The journal of run {run_id} is kept in '{name}'"
    if run is None:
        return f"{what}: the run is on record no longer (it ended, or was settled, forgotten or replaced)"
    return f"{what}: its last line is torn" if torn else f"{what}: it was damaged"
