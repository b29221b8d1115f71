"""``show --watch`` and ``audit --follow``: a migration, looked at again and again until it ends.

The state is polled, since not every store can notify.
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
from pytest_migration_state.cli.views import check_component, judge, print_entries, view_of
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
#: How many entries are remembered as printed.
_REMEMBERED: Final = 20_000


class _Sentences:
    """Warnings of a tracker that is asked again and again, each once."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def add(self, sentence: str) -> None:
        """Keep a warning if it is new."""
        if sentence not in self.said:
            self.said.append(sentence)

    def print(self, sentence: str) -> None:
        """Print a warning if it is new."""
        if sentence not in self.said:
            self.said.append(sentence)
            output.complain(f"warning: {sentence}")


def _status_of(judged: Judged) -> int:
    """Return the exit status of ``gate``; of a migration that has not ended, that of a shut one."""
    is_over = judged.document.phase in FINAL_PHASES
    return DONE if is_over and judged.gate.open else REFUSED


# --- show --watch -------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """The state when it was looked at, and what ``show`` prints of it."""

    judged: Judged
    view: Callable[[Form], Iterable[Block]]


def watch(options: Namespace) -> int:
    """Show the state again and again until the migration ends. Return the exit status of ``gate``."""
    warnings = _Sentences()
    tracker = tracker_of(options, notify=warnings.add)

    def look() -> _Seen:
        judged = judge(tracker, tracker.read())
        check_component(judged, options)
        return _Seen(judged, view_of(tracker, judged, options.component))

    first = look()
    if output.is_terminal():
        from pytest_migration_state.reports.terminal import Terminal

        terminal = Terminal(sys.stdout)
        if terminal.is_redrawn:
            seen = first
            with output.writing(), terminal.redrawing() as redraw:
                for seen, problem in _looks(look, first):
                    redraw([*_status_lines(problem, warnings.said), EMPTY, *seen.view(terminal.form)])
            output.report(seen.view)
            output.complain(*(f"warning: {sentence}" for sentence in warnings.said))
            return _status_of(seen.judged)
    return _print_changes(options, look, first, warnings)


def _looks(look: Callable[[], _Seen], first: _Seen) -> Iterator[tuple[_Seen, str | None]]:
    """Yield the state every :data:`INTERVAL`, the final one last, and why it cannot be read now.

    :param first: the state as it was first seen.
    """
    seen, problem = first, None
    while True:
        yield seen, problem
        if seen.judged.document.phase in FINAL_PHASES and problem is None:
            return
        sleep(INTERVAL)
        problem = None
        try:
            seen = look()
        except (MigrationStateError, OSError) as error:
            problem = Refusal(error).lines[0]


def _status_lines(problem: str | None, warnings: Sequence[str]) -> Iterator[Block]:
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    yield line(Span(f"{now}, every {INTERVAL:.0f} s; Ctrl-C ends it, the migration goes on", "faint"))
    if problem:
        yield line(Span(f"cannot be read now, this is how it was: {problem}", "bad"), hanging=2)
    for warning in warnings:
        yield line(Span(f"warning: {to_printable(warning)}", "doubt"), hanging=2)


def _print_changes(options: Namespace, look: Callable[[], _Seen], first: _Seen, warnings: _Sentences) -> int:
    """Print a line whenever the result changes: for a pipe, or a terminal that cannot be redrawn."""
    before, printed = None, 0
    seen = first
    for seen, problem in _looks(look, first):
        words = problem or result_in_words(seen.judged, options.component)[0]
        output.complain(*(f"warning: {sentence}" for sentence in warnings.said[printed:]))
        printed = len(warnings.said)
        if words != before:
            before = words
            now = f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}"
            if not output.lines([f"{now}  {state_path(options)}  {words}"]):
                break
    return _status_of(seen.judged)


# --- audit --follow -----------------------------------------------------------------------------------------


def follow(options: Namespace) -> int:
    """Print the entries of the audit log as they come. Return the exit status of ``gate``."""
    warnings = _Sentences()
    tracker = tracker_of(options, notify=warnings.print)
    entries = _Entries(tracker)
    last = _BEFORE if options.last is None else options.last
    found = entries.first(last)
    while True:
        # The document is read first: what led to its phase is then among the entries.
        document: Document | None = None
        try:
            document = _document_of(tracker)
            found = [*found, *entries.new()]
        except (MigrationStateError, OSError) as error:
            document = None
            warnings.print(Refusal(error).lines[0])
        is_read = print_entries(found, options)
        found = []
        if document is not None and (document.phase in FINAL_PHASES or not is_read):
            return _status_of(judge(tracker, document))
        if not is_read:
            return REFUSED
        sleep(INTERVAL)


def _document_of(tracker: MigrationTracker) -> Document | None:
    """Return the state; ``None`` if the migration has not begun."""
    try:
        return tracker.read()
    except StateNotFoundError:
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
        window = self._tracker.audit_lines(max(last, _WINDOW) if last else 0, must_exist=True)
        self._seen = _counted(window)
        return window[-last:]

    def new(self) -> Sequence[AuditLine]:
        """Return the entries that came since."""
        size = _WINDOW
        while True:
            window = self._tracker.audit_lines(size)
            unseen = self._seen.copy()
            found = []
            for entry in window:
                unseen[_bytes_of(entry)] -= 1
                if unseen[_bytes_of(entry)] < 0:
                    found.append(entry)
            if len(found) < len(window) or len(window) < size:
                # The log may be shorter for a moment, while another program writes it.
                self._seen |= _counted(window)
                if len(self._seen) > _REMEMBERED:
                    self._seen = _counted(window)
                return found
            size *= 10


def _counted(entries: Iterable[AuditLine]) -> Counter[bytes]:
    return Counter(map(_bytes_of, entries))


def _bytes_of(entry: AuditLine) -> bytes:
    """Return the bytes of an entry without its line end, which may come later."""
    return entry.raw.rstrip(b"\r\n")
