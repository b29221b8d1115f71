"""What commands print for people, once or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_migration_state.cli import output
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.domain.gate import evaluate
from pytest_migration_state.reports.component import component_report, known_components
from pytest_migration_state.reports.gate_report import Judged
from pytest_migration_state.reports.overview import LAST_ENTRIES, Overview, overview
from pytest_migration_state.reports.records import entry_line

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.reports.blocks import Block, Form
    from pytest_migration_state.tracking.tracker import MigrationTracker
    from pytest_migration_state.types import JsonObject


class AuditLine(Protocol):
    """A line of the audit log."""

    @property
    def raw(self) -> bytes:
        """Its bytes without the line end."""

    @property
    def content(self) -> JsonObject | None:
        """The object that it holds; ``None`` if it holds none."""


def judge(tracker: MigrationTracker, document: Document, policy: Policy | None = None) -> Judged:
    """Return a state with the gate's result on it."""
    context = tracker.context(document)
    return Judged(document, evaluate(document, policy, context), context, policy)


def check_component(judged: Judged, options: Namespace) -> None:
    """Refuse a component of which nothing is on record: its name is misspelt.

    :raises UsageError: nothing is on record of it.
    """
    name = options.component
    if name is None:
        return
    known = known_components(judged.document)
    known.update(blocker.component for blocker in judged.gate.blockers if blocker.component)
    if name not in known:
        from pytest_migration_state.cli.suggestions import did_you_mean

        hint = did_you_mean(name, known) or "; 'migration-state show' lists those that are"
        raise UsageError(f"nothing is on record of a component '{name}'{hint}")


def view_of(tracker: MigrationTracker, judged: Judged, name: str | None) -> Callable[[Form], Iterable[Block]]:
    """Return what ``show`` prints.

    :param name: the component to show; ``None``: all of the migration.
    """
    if name is not None:
        return lambda form: component_report(judged.document, name, form)

    def report(form: Form) -> Iterable[Block]:
        entries = [line.content for line in tracker.audit_lines(LAST_ENTRIES) if line.content]
        history = tracker.phase_history(judged.document)
        return overview(Overview(judged, history, entries), form)

    return report


def print_entries(lines: Iterable[AuditLine], options: Namespace) -> bool:
    """Print entries of the audit log as ``audit`` does. Return False if nobody reads them any more."""
    chosen = [
        line for line in lines if options.level is None or (line.content or {}).get("level") == options.level
    ]
    if options.json:
        from pytest_migration_state.json_codec import strip_bom

        return output.json_pieces(strip_bom(line.raw) + b"\n" for line in chosen)
    return output.report(lambda _: (entry_line(line.content) for line in chosen if line.content))
