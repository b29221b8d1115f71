"""A state, its log and verdicts as lines of text for a terminal.

The code that prints them makes them printable.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.events import AVAILABILITY
from pytest_migration_state.domain.gate import completion_in_words, evaluate
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.runs import run_in_words
from pytest_migration_state.reports.status import Status, notes_of, rewritten_names, status_of
from pytest_migration_state.text import and_more, counted, in_utc, parse_time, to_printable
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import Context, GateResult
    from pytest_migration_state.importers.backup.finding import BackupResult
    from pytest_migration_state.types import JsonObject, Key
    from pytest_migration_state.verification.report import VerifyReport

#: How many entries of the audit log the overview ends with.
LAST_ENTRIES: Final = 5
#: How many items a list shows before it counts the rest.
_LISTED: Final = 20
#: How wide a name or message is shown in a list, in characters.
_WIDTH: Final = 100


def listed(items: Sequence[str]) -> list[str]:
    """Return a line for each item, up to a limit, and the number of the others."""
    shown, more = and_more(items, _LISTED)
    return [*(f"  - {item}" for item in shown), *(f"  {words}" for words in more)]


def _cell(value: object) -> str:
    """Return one value from outside, on one line and not too wide."""
    text = to_printable(str(value)[: _WIDTH + 1])
    if len(text) > _WIDTH:
        text = text[: _WIDTH - 3] + "..."
    return text


def _names(names: Iterable[object]) -> str:
    cells = Counter(_cell(name) for name in names)
    if not cells:
        return "none"
    items = [cell if times == 1 else f"{cell} ({times} times)" for cell, times in cells.items()]
    shown, more = and_more(items, _LISTED)
    return " ".join([f"{len(cells)}: {', '.join(shown)}", *more])


def _when(time: object) -> str:
    """Return a time in UTC, and its age."""
    if not isinstance(time, str):
        return "not known"
    seconds = (datetime.now(UTC) - parse_time(time)).total_seconds()
    words = in_utc(time)
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{words} ({int(seconds // length)} {unit} ago)"
    return f"{words} (just now)" if seconds >= 0 else words


# --- show ---------------------------------------------------------------------------------------------------


def overview(document: Document, context: Context, last: Sequence[JsonObject]) -> list[str]:
    """Return an overview of the migration.

    :param last: the last entries of the audit log.
    """
    fields = document.fields
    return [
        *_head(document, context),
        "",
        *_phases(document.phase),
        "",
        f"Containers  {_names(item['name'] for item in fields['docker_containers_removed'])}",
        f"Data        {_names(fields['data_preserved'])}",
        f"Processes   {_names(_process(item) for item in fields['native_processes_started'])}",
        f"Rollback    {AVAILABILITY[document.rollback_available]}",
        f"Error       {_error(fields['error'])}",
        *_components(document),
        *_rewritten(document),
        "",
        *_gate_in_short(document, context),
        *_open_runs(document, context),
        "",
        "Last entries",
        *([f"  {entry(content)}" for content in last] or ["  none"]),
    ]


def _head(document: Document, context: Context) -> Iterator[str]:
    fields, metadata = document.fields, document.metadata
    migration_type = _cell(metadata.get("migration_type") or "of no type")
    platform = _cell(metadata.get("platform") or "an unknown platform")
    yield f"State       {context.state}"
    yield f"Migration   {_cell(document.migration_id or 'without an id')}"
    yield f"            {migration_type} on {platform}"
    yield f"Started     {_when(fields['started_at'])}"
    yield f"Updated     {_when(fields['last_updated'])}"
    if fields["completed_at"]:
        yield f"Ended       {_when(fields['completed_at'])}"


def _phases(current: Phase) -> Iterator[str]:
    title = "Phase"
    for phase in Phase:
        mark = "->" if phase is current else "  "
        yield f"{title:7} {mark}  {phase}"
        title = ""


def _process(item: JsonObject) -> str:
    name: str = item["name"]
    if item.get("process_id") is not None:
        name += f" ({item['process_id']})"
    return name


def _error(error: JsonObject | None) -> str:
    if not error:
        return "none"
    return f"{_cell(error.get('message') or 'without a message')}, {_when(error.get('occurred_at'))}"


def _components(document: Document) -> Iterator[str]:
    status = status_of(document)
    yield ""
    if not status.components:
        yield "Components  none: nothing has been validated yet"
        return
    width = max(len("Components"), *(len(_cell(component)) for component in status.components))
    yield f"{'Components':{width}}  passed  failed  outstanding{_column('stale', status)}"
    for component, counts in status.components.items():
        numbers = f"{counts.passed:6}  {counts.failed:6}  {counts.outstanding:11}"
        yield f"{_cell(component):{width}}  {numbers}{_column(f'{counts.stale:5}', status)}"
    yield from _validations(status)


def _column(cell: str, status: Status) -> str:
    """Return a cell of the column of stale verdicts, which is shown only if there are any."""
    return f"  {cell}" if status.stale else ""


def _validations(status: Status) -> Iterator[str]:
    if status.failed:
        yield from ("", "Failed", *listed([_failure(key, verdict) for key, verdict in status.failed.items()]))
    if status.stale:
        named = [f"{_cell(component)}: {_cell(test_name)}" for component, test_name in status.stale]
        yield from ("", "Stale: passed before the newest process was started", *listed(named))
    if status.outstanding:
        yield from (
            "",
            "Outstanding",
            *listed([_outstanding(key, entry) for key, entry in status.outstanding.items()]),
        )


def _failure(key: Key, verdict: JsonObject) -> str:
    component, test_name = key
    words = f"{_cell(component)}: {_cell(test_name)}"
    if verdict.get("outcome") == "xfailed":
        words += " (as its xfail mark expects)"
    if verdict.get("error_message"):
        words += f": {_cell(verdict['error_message'].strip())}"
    return words


def _outstanding(key: Key, entry: JsonObject) -> str:
    component, test_name = key
    words = f"{_cell(component)}: {_cell(test_name)}, {entry['reason'].replace('_', ' ')}"
    if entry.get("detail"):
        words += f": {_cell(entry['detail'])}"
    return words


def _rewritten(document: Document) -> Iterator[str]:
    sentences = [_same_date(*pair) for pair in rewritten_names(document)]
    if sentences:
        yield from ("", "Names", *listed(sentences))


def _same_date(first: Key, second: Key) -> str:
    names = f"'{_cell(first[1])}' and '{_cell(second[1])}' of '{_cell(first[0])}'"
    return f"{names} are the same date: another program rewrote the name"


def _gate_in_short(document: Document, context: Context) -> Iterator[str]:
    result = evaluate(document, None, context)
    if result.open:
        yield "Gate        open"
    elif result.is_shut_by_phase_alone:
        yield f"Gate        shut, the phase is {document.phase}; nothing else keeps it shut"
    else:
        blockers = counted(len(result.blockers), "blocker")
        yield f"Gate        shut, {blockers}; 'migration-state gate' says what to do"
    if document.lost_entries:
        yield f"            {document.lost_entries}"
    if warning := _past_the_gate(document, result):
        yield f"            {warning}"
    yield from (f"            {sentence}" for sentence in notes_of(document))


def _open_runs(document: Document, context: Context) -> Iterator[str]:
    runs = [
        run_in_words(run_id, run, context.liveness_of(run_id)) for run_id, run in document.open_runs.items()
    ]
    if runs:
        yield from ("", "Runs that began and did not end, or are running now", *listed(runs))


# --- audit --------------------------------------------------------------------------------------------------


def entry(content: JsonObject) -> str:
    """Return one entry of the audit log, its time in UTC, with a reason that its details do not contain.

    A hyphen stands for what another tool left out.
    """
    keys = ("timestamp", "level", "action", "details")
    time, level, action, details = ("-" if content.get(key) is None else str(content[key]) for key in keys)
    reason = as_object(content.get("data")).get("reason")
    if isinstance(reason, str) and reason not in details:
        details = f"{details} (reason: {reason})"
    mark = "  (maybe about another state)" if "log" in content else ""
    head = f"{to_printable(in_utc(time)):24}  {to_printable(level):7}  {to_printable(action):20}"
    return f"{head}  {details}{mark}"


# --- gate, verify -------------------------------------------------------------------------------------------


def gate(document: Document, result: GateResult) -> Iterator[str]:
    """Yield the gate's result, every blocker with its fix, and notes."""
    if result.open:
        yield "open: nothing keeps this migration from Completed"
    else:
        yield f"shut: {counted(len(result.blockers), 'blocker')}"
        hints: dict[tuple[str | None, str | None], str] = {
            key: f"    {_same_date(*pair)}" for pair in rewritten_names(document) for key in pair
        }
        for blocker in result.blockers:
            yield f"  - {blocker.message}"
            yield f"    -> {blocker.fix}"
            if hint := hints.get((blocker.component, blocker.test_name)):
                yield hint
    stale = status_of(document).stale
    if stale and not any(blocker.kind == "stale" for blocker in result.blockers):
        what = "passed before the newest process was started, which does not keep the gate shut"
        yield f"note: {counted(len(stale), 'validation')} {what}"
    if warning := _past_the_gate(document, result):
        yield warning
    yield from (f"note: {sentence}" for sentence in notes_of(document))


def _past_the_gate(document: Document, result: GateResult) -> str | None:
    if document.phase is not Phase.COMPLETED or result.open:
        return None
    return f"the phase is 'Completed' although the gate is shut: {completion_in_words(document)}"


def verification(report: VerifyReport) -> Iterator[str]:
    """Yield the result of a verification, with every problem and note."""
    lines = "no line in the audit log"
    if report.lines:
        lines = f"{counted(report.lines, 'line')} in the audit log, "
        lines += f"{report.entries} of them written by this program"
    verdict = "sound"
    if not report.sound:
        verdict = f"not sound, {counted(len(report.problems), 'problem')}"
    yield f"{verdict}: {lines}"
    for problem in report.problems:
        yield f"  - {problem.message}"
    for note in report.notes:
        yield f"note: {note}"


# --- import-backup ------------------------------------------------------------------------------------------


def backups(results: Sequence[BackupResult]) -> Iterator[str]:
    """Yield the result of checking each container's backup, with every reason."""
    for result in results:
        name = f"Backup of '{_cell(result.container)}'"
        if result.passed:
            extent = f"{result.files} files, {result.size} bytes"
            yield f"{name}: PASSED ({extent}, every checksum computed from the files)"
        else:
            yield f"{name}: FAILED"
            yield from listed(result.reasons)
