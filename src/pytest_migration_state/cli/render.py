"""What a person reads: states, logs and verdicts as lines of text. Made harmless where they are printed, in ``output``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pytest_migration_state.core.document import open_runs
from pytest_migration_state.core.gate import evaluate, run_in_words
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import parse_time, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_migration_state.core.backup import Finding
    from pytest_migration_state.core.document import Document, JsonObject
    from pytest_migration_state.core.gate import Context, GateResult
    from pytest_migration_state.core.lines import Line
    from pytest_migration_state.core.verify import VerifyReport

#: How many entries of the audit log the overview ends with.
LAST_ENTRIES: Final = 5
#: How many items a list shows before it counts the rest.
_LISTED: Final = 20
#: How wide a name or message is shown in a list, in characters.
_WIDTH: Final = 100


def listed(items: Sequence[str]) -> list[str]:
    """Each item on a line, and how many more there are."""
    lines = [f"  - {item}" for item in items[:_LISTED]]
    return [*lines, f"  and {len(items) - _LISTED} more"] if len(items) > _LISTED else lines


def _cell(value: object) -> str:
    """One value from outside, on one line and not too wide."""
    text = printable(str(value)[: _WIDTH + 1])
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _names(names: Iterable[object]) -> str:
    shown = [_cell(name) for name in names]
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return f"{len(shown)}: {', '.join(shown[:_LISTED])}{more}" if shown else "none"


def _when(time: object) -> str:
    """A time as it is written, and how long ago it was."""
    if not isinstance(time, str):
        return "not known"
    seconds = (datetime.now(UTC) - parse_time(time)).total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{time} ({int(seconds // length)} {unit} ago)"
    return f"{time} (just now)" if seconds >= 0 else time


# --- show -------------------------------------------------------------------------------------------------------------


def overview(document: Document, context: Context, last: Sequence[Line]) -> list[str]:
    """Where the migration stands, at a glance."""
    fields, metadata = document.fields, document.metadata
    head = [
        f"State       {context.state}",
        f"Migration   {_cell(metadata.get('migration_id') or 'without an id')}",
        f"            {_cell(metadata.get('migration_type') or 'of no type')} on {_cell(metadata.get('platform') or 'an unknown platform')}",
        f"Started     {_when(fields['started_at'])}",
        f"Updated     {_when(fields['last_updated'])}",
    ]
    if fields["completed_at"]:
        head.append(f"Ended       {_when(fields['completed_at'])}")
    return [
        *head,
        "",
        *_phases(document.phase),
        "",
        f"Containers  {_names(item['name'] for item in fields['docker_containers_removed'])}",
        f"Data        {_names(fields['data_preserved'])}",
        f"Processes   {_names(_process(item) for item in fields['native_processes_started'])}",
        f"Rollback    {'available' if document.rollback_available else 'unavailable'}",
        f"Error       {_error(fields['error'])}",
        *_components(document),
        "",
        *_gate_in_short(document, context),
        *_open_runs(document, context),
        "",
        "Last entries",
        *([f"  {entry(line)}" for line in last] or ["  none"]),
    ]


def _phases(current: Phase) -> list[str]:
    return [f"{'Phase' if phase is Phase.NOT_STARTED else '':7} {'->' if phase is current else '  '}  {phase}" for phase in Phase]


def _process(item: JsonObject) -> str:
    return f"{item['name']} ({item['process_id']})" if item.get("process_id") is not None else item["name"]


def _error(error: JsonObject | None) -> str:
    return f"{_cell(error.get('message') or 'without a message')}, {_when(error.get('occurred_at'))}" if error else "none"


def _components(document: Document) -> Iterator[str]:
    waiting = {key: entry for key, entry in document.outstanding.items() if not document.is_settled(key)}
    counts: dict[str, list[int]] = {}
    for (component, _), verdict in document.verdicts.items():
        counts.setdefault(component, [0, 0, 0])[0 if verdict["passed"] else 1] += 1
    for component, _ in waiting:
        counts.setdefault(component, [0, 0, 0])[2] += 1
    yield ""
    if not counts:
        yield "Components  none: nothing has been validated yet"
        return
    width = max(len("Components"), *(len(_cell(component)) for component in counts))
    yield f"{'Components':{width}}  passed  failed  outstanding"
    for component, (passed, failed, outstanding) in counts.items():
        yield f"{_cell(component):{width}}  {passed:6}  {failed:6}  {outstanding:11}"
    failures = [_failure(*key, verdict) for key, verdict in document.verdicts.items() if not verdict["passed"]]
    if failures:
        yield from ("", "Failed", *listed(failures))
    if waiting:
        yield from ("", "Outstanding", *listed([_outstanding(*key, entry) for key, entry in waiting.items()]))


def _failure(component: str, test_name: str, verdict: JsonObject) -> str:
    expected = " (as its xfail mark expects)" if verdict.get("outcome") == "xfailed" else ""
    why = f": {_cell(verdict['error_message'].strip())}" if verdict.get("error_message") else ""
    return f"{_cell(component)}: {_cell(test_name)}{expected}{why}"


def _outstanding(component: str, test_name: str, entry: JsonObject) -> str:
    detail = f": {_cell(entry['detail'])}" if entry.get("detail") else ""
    return f"{_cell(component)}: {_cell(test_name)}, {entry['reason'].replace('_', ' ')}{detail}"


def _gate_in_short(document: Document, context: Context) -> Iterator[str]:
    verdict = evaluate(document, None, context)
    count = len(verdict.blockers)
    yield "Gate        open" if verdict.open else f"Gate        shut, {_blockers(count)}; 'migration-state gate' says what to do"
    if warning := _past_the_gate(document.phase, verdict):
        yield f"            {warning}"


def _open_runs(document: Document, context: Context) -> Iterator[str]:
    runs = open_runs(document)
    if runs:
        told = [run_in_words(run_id, run, context.liveness.get(run_id, "unknown")) for run_id, run in runs.items()]
        yield from ("", "Runs that began and did not end, or are running now", *listed(told))


# --- audit ------------------------------------------------------------------------------------------------------------


def entry(line: Line) -> str:
    """One entry of the audit log. What another tool left out is a hyphen."""
    content = line.content or {}
    time, level, action, details = (
        "-" if content.get(key) is None else str(content[key]) for key in ("timestamp", "level", "action", "details")
    )
    return f"{printable(time):24}  {printable(level):7}  {printable(action):20}  {details}"


# --- gate, verify -----------------------------------------------------------------------------------------------------


def gate(phase: Phase, verdict: GateResult) -> list[str]:
    """The gate's verdict, and every blocker with what to do about it."""
    if verdict.open:
        lines = ["open: nothing keeps this migration from Completed"]
    else:
        lines = [f"shut: {_blockers(len(verdict.blockers))}", *(f"  - {blocker.message}" for blocker in verdict.blockers)]
    if warning := _past_the_gate(phase, verdict):
        lines.append(warning)
    elif phase not in (Phase.VALIDATION, Phase.COMPLETED):
        lines.append(f"the phase is '{phase}': Completed can follow only Validation")
    return lines


def _blockers(count: int) -> str:
    return f"{count} blocker{'' if count == 1 else 's'}"


def _past_the_gate(phase: Phase, verdict: GateResult) -> str | None:
    if phase is Phase.COMPLETED and not verdict.open:
        return (
            "the phase is 'Completed' although the gate is shut: it was forced, it was set by a tool that does not know the gate, "
            "or what shuts the gate came later"
        )
    return None


def verification(report: VerifyReport) -> list[str]:
    """What is not as it should be."""
    extent = f"{report.lines} lines in the audit log, {report.entries} of them entries of ours"
    found = len(report.problems)
    verdict = "sound" if report.sound else f"not sound, {found} problem{'' if found == 1 else 's'}"
    problems = [f"  - {f'line {problem.line}: ' if problem.line else ''}{problem.message}" for problem in report.problems]
    return [f"{verdict}: {extent}", *problems, *(f"note: {note}" for note in report.notes)]


# --- import-backup ----------------------------------------------------------------------------------------------------


def backups(findings: Sequence[Finding]) -> Iterator[str]:
    """What became of each container's backup, with every reason."""
    for finding in findings:
        name = f"Backup of '{_cell(finding.container)}'"
        if finding.passed:
            yield f"{name}: PASSED ({finding.files} files, {finding.size} bytes, every checksum computed anew)"
        else:
            yield f"{name}: FAILED"
            yield from listed(finding.reasons)
