"""``show --watch`` and ``audit --follow``: a migration, looked at again and again until it ends.

Nothing is waited for but time, so that this works over every store.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime
from time import sleep
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.cli import output
from pytest_migration_state.cli.context import state_path, tracker_of
from pytest_migration_state.cli.refusals import DONE, REFUSED, Refusal
from pytest_migration_state.cli.views import judge, print_entries, view_of
from pytest_migration_state.domain.phases import FINAL_PHASES
from pytest_migration_state.errors import MigrationStateError, StateNotFoundError
from pytest_migration_state.reports.blocks import EMPTY, Span, line
from pytest_migration_state.reports.gate_report import result_in_words
from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytest_migration_state.cli.views import AuditLine
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.reports.blocks import Block, Form
    from pytest_migration_state.reports.gate_report import Judged
    from pytest_migration_state.tracking.tracker import MigrationTracker

#: How long to wait before the state is looked at again, in seconds.
INTERVAL: Final = 2.0
#: How many entries are printed before the new ones, and how many are looked at first for new ones.
_BEFORE: Final = 10
_WINDOW: Final = 100


class _Warnings:
    """Warnings of a tracker that is asked again and again: each is printed once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def add(self, sentence: str) -> None:
        """Print a warning if it is new."""
        if sentence not in self._said:
            self._said.add(sentence)
            output.complain(f"warning: {sentence}")


# --- show --watch -------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """The state when it was looked at, and what ``show`` prints of it."""

    judged: Judged
    view: Callable[[Form], Iterable[Block]]

    @property
    def is_final(self) -> bool:
        """True if the migration has ended."""
        return self.judged.document.phase in FINAL_PHASES

    @property
    def exit_status(self) -> int:
        """The exit status of ``gate``."""
        return DONE if self.judged.gate.open else REFUSED


def watch(options: Namespace) -> int:
    """Show the state again and again until the migration ends. Return the exit status of ``gate``."""
    warnings: list[str] = []
    tracker = tracker_of(options, notify=warnings.append)

    def look() -> _Seen:
        document = tracker.read()
        return _Seen(judge(tracker, document), view_of(tracker, document, options.component))

    first = look()
    if not output.is_terminal():
        return _print_changes(options, look, first)
    from pytest_migration_state.reports.terminal import Terminal

    terminal = Terminal(sys.stdout)
    if not terminal.is_redrawn:
        return _print_changes(options, look, first)
    with terminal.redrawing() as redraw:
        for seen, problem in _looks(look, first):
            redraw([*_status_lines(problem, warnings), EMPTY, *seen.view(terminal.form)])
    output.report(seen.view)
    return seen.exit_status


def _looks(look: Callable[[], _Seen], first: _Seen) -> Iterator[tuple[_Seen, str | None]]:
    """Yield the state every :data:`INTERVAL`, the final one last, and why it cannot be read now.

    :param first: the state as it was first seen.
    """
    seen, problem = first, None
    while True:
        yield seen, problem
        if seen.is_final and problem is None:
            return
        sleep(INTERVAL)
        problem = None
        try:
            seen = look()
        except (MigrationStateError, OSError) as error:
            problem = Refusal(error).lines[0]


def _status_lines(problem: str | None, warnings: list[str]) -> Iterator[Block]:
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    yield line(Span(f"{now}, every {INTERVAL:.0f} s; Ctrl-C ends it, the migration goes on", "faint"))
    if problem:
        yield line(Span(f"cannot be read now, this is how it was: {problem}", "bad"), hanging=2)
    for warning in dict.fromkeys(warnings):
        yield line(Span(f"warning: {to_printable(warning)}", "doubt"), hanging=2)


def _print_changes(options: Namespace, look: Callable[[], _Seen], first: _Seen) -> int:
    """Print a line whenever the result changes: for a pipe, or a terminal that cannot be redrawn."""
    before = None
    for seen, problem in _looks(look, first):
        words = problem or result_in_words(seen.judged)[0]
        if words != before:
            before = words
            now = f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}"
            if not output.lines([f"{now}  {state_path(options)}  {words}"]):
                break
    return seen.exit_status


# --- audit --follow -----------------------------------------------------------------------------------------


def follow(options: Namespace) -> int:
    """Print the entries of the audit log as they come. Return the exit status of ``gate``."""
    tracker = tracker_of(options, notify=_Warnings().add)
    last = _BEFORE if options.last is None else options.last
    entries = _Entries(tracker)
    found = [*entries.first(last)]
    while True:
        document = _document_of(tracker)
        found += entries.new()
        is_read = print_entries(found, options)
        found = []
        if document is not None and (document.phase in FINAL_PHASES or not is_read):
            return DONE if judge(tracker, document).gate.open else REFUSED
        if not is_read:
            return REFUSED
        sleep(INTERVAL)


def _document_of(tracker: MigrationTracker) -> Document | None:
    """Return the state; ``None`` if the migration has not begun or the state cannot be read now."""
    try:
        return tracker.read()
    except StateNotFoundError:
        return None
    except (MigrationStateError, OSError) as error:
        output.complain(f"warning: {Refusal(error).lines[0]}")
        return None


class _Entries:
    """The entries of an audit log, each once."""

    def __init__(self, tracker: MigrationTracker) -> None:
        self._tracker = tracker
        # Those at the end of the log, as they were last seen.
        self._seen: Counter[bytes] = Counter()

    def first(self, last: int) -> Sequence[AuditLine]:
        """Return the last entries.

        :param last: how many; 0: all.
        :raises MigrationStateError: there is neither a log nor a state.
        """
        found = self._tracker.audit_lines(last, must_exist=True)
        window = self._tracker.audit_lines(max(_WINDOW, len(found)))
        self._seen = Counter(line.raw for line in window)
        return found

    def new(self) -> Sequence[AuditLine]:
        """Return the entries that came since."""
        size = _WINDOW
        while True:
            window = self._tracker.audit_lines(size)
            unseen = self._seen.copy()
            found = []
            for entry in window:
                unseen[entry.raw] -= 1
                if unseen[entry.raw] < 0:
                    found.append(entry)
            if len(found) < len(window) or len(window) < size:
                self._seen = Counter(line.raw for line in window)
                return found
            size *= 10
