"""The state that a command works on, and its report."""

from __future__ import annotations

import os

from pytest_migration_state.cli import output

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.tracking.tracker import MigrationTracker
    from pytest_migration_state.types import JsonObject


def state_path(options: Namespace) -> str:
    """Return the path of the state: as given, else from the environment, else in the current folder."""
    path: str | None = options.state
    return path if path is not None else os.environ.get("MIGRATION_STATE") or "migration-state.json"


def tracker_of(
    options: Namespace, *, create: bool = False, notify: Callable[[str], None] | None = None
) -> MigrationTracker:
    """Return the tracker of the state. Its module is loaded when a command runs, and not before.

    :param notify: called with each warning; by default it is printed.
    """
    from functools import partial

    from pytest_migration_state.tracking.tracker import MigrationTracker

    tracker = partial(MigrationTracker, state_path(options), create=create, notify=notify or _warn)
    return tracker() if options.lock_timeout is None else tracker(lock_timeout=options.lock_timeout)


def _warn(sentence: str) -> None:
    output.complain(f"warning: {sentence}")


def report(options: Namespace, document: Document, *sentences: str) -> int:
    """Print the document with ``--json``, else the sentences. Return the exit status of success."""
    if options.json:
        output.json_pieces(document.encoded())
    else:
        output.lines(sentences)
    return 0


def print_json(value: JsonObject) -> None:
    """Print a JSON object over several lines."""
    from pytest_migration_state.json_codec import to_json_bytes

    output.json_pieces([to_json_bytes(value, indent=2), b"\n"])
