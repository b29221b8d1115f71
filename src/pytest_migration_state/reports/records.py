"""Entries of the audit log, the result of a verification and of an import, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_migration_state.reports.blocks import Span, closed, line
from pytest_migration_state.reports.gate_report import mark
from pytest_migration_state.text import and_more, counted, in_utc, to_printable
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_migration_state.importers.backup.finding import BackupResult
    from pytest_migration_state.reports.blocks import Block, Form, Line, Style
    from pytest_migration_state.types import JsonObject
    from pytest_migration_state.verification.report import VerifyReport

#: How many items a list shows before it counts the rest.
_LISTED: Final = 20
_LEVELS: Final[dict[str, Style]] = {"WARNING": "doubt", "ERROR": "bad"}
#: How far the details of an entry are indented where they do not fit on its line, in columns.
_DETAILS: Final = 4


def listed(items: Sequence[str]) -> list[str]:
    """Return a line for each item, up to a limit, and the number of the others."""
    shown, more = and_more(items, _LISTED)
    return [*(f"  - {item}" for item in shown), *(f"  {words}" for words in more)]


def entry_line(content: JsonObject, indent: int = 0) -> Line:
    """Return one entry of the audit log, its time in UTC, with a reason that its details do not contain.

    A hyphen stands for what another tool left out.
    """
    keys = ("timestamp", "level", "action", "details")
    time, level, action, details = ("-" if content.get(key) is None else str(content[key]) for key in keys)
    reason = as_object(content.get("data")).get("reason")
    if isinstance(reason, str) and reason not in details:
        details = f"{details} (reason: {reason})"
    if "log" in content:
        details += "  (maybe about another state)"
    return line(
        Span(f"{to_printable(in_utc(time)):24}", "faint"),
        "  ",
        Span(f"{to_printable(level):7}", _LEVELS.get(level, "plain")),
        "  ",
        Span(f"{to_printable(action):20}", "strong"),
        f"  {to_printable(details)}",
        indent=indent,
        hanging=_DETAILS,
    )


def short_entry(content: JsonObject, form: Form) -> Line:
    """Return one entry of the audit log on one line of a terminal: when, how serious, and the details."""
    level = str(content.get("level"))
    words = f"{level}: " if level in _LEVELS else ""
    return form.on_one_line(
        line(
            Span(f"{to_printable(in_utc(str(content.get('timestamp') or '-'))):24}  ", "faint"),
            Span(f"{words}{to_printable(str(content.get('details') or '-'))}", _LEVELS.get(level, "plain")),
            indent=2,
        )
    )


def verification(report: VerifyReport, form: Form) -> Iterator[Block]:
    """Return the result of a verification, with every problem and note."""
    lines = "no line in the audit log"
    if report.lines:
        lines = f"{counted(report.lines, 'line')} in the audit log, "
        lines += f"{report.entries} of them written by this program"
    verdict = "sound"
    style: Style = "good"
    if not report.sound:
        verdict = f"not sound, {counted(len(report.problems), 'problem')}"
        style = "bad"
    first = line(mark(form, style), Span(f"{verdict}: {lines}", style), hanging=2)
    rest = [line(f"- {problem.message}", indent=2, hanging=2) for problem in report.problems]
    rest += [line(f"note: {note}", hanging=2) for note in report.notes]
    return closed(first, rest, form)


def backups(results: Sequence[BackupResult], form: Form) -> Iterator[Line]:
    """Yield the result of checking each container's backup, with every reason."""
    for result in results:
        name = f"Backup of '{to_printable(result.container)}'"
        if result.passed:
            extent = f"{result.files} files, {result.size} bytes"
            words = f"PASSED ({extent}, every checksum computed from the files)"
            yield line(mark(form, "good"), f"{name}: {words}", hanging=2)
        else:
            yield line(mark(form, "bad"), Span(f"{name}: FAILED", "bad"), hanging=2)
            yield from (line(text, hanging=2) for text in listed(result.reasons))
