"""The overview of a migration for people: what ``show`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.events import AVAILABILITY
from pytest_migration_state.domain.phases import FINAL_PHASES, Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import run_in_words
from pytest_migration_state.reports import times
from pytest_migration_state.reports.blocks import EMPTY, Grid, Line, Span, closed, line, sections
from pytest_migration_state.reports.gate_report import blockers, headline, mark, same_date
from pytest_migration_state.reports.records import entry_line, short_entry
from pytest_migration_state.reports.status import (
    ComponentCounts,
    notes_of,
    rewritten_names,
    status_of,
    style_of,
)
from pytest_migration_state.reports.times import duration, when
from pytest_migration_state.text import and_more, counted, to_printable, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.phase_history import Stay
    from pytest_migration_state.reports.blocks import Block, Form, Style
    from pytest_migration_state.reports.gate_report import Judged
    from pytest_migration_state.types import JsonObject, Liveness

#: How many entries of the audit log the overview ends with.
LAST_ENTRIES: Final = 5
#: How many components the table of a terminal has; the others are counted.
_ROWS: Final = 30
#: How many items a list on a terminal has.
_LISTED: Final = 5
#: How wide the names of fields are, in columns.
_LABEL: Final = 12
#: A narrower terminal has no room for the columns about containers and processes.
_NARROW: Final = 80


class Overview(NamedTuple):
    """A migration as ``show`` prints it.

    :ivar judged: the state, and what the gate says of it.
    :ivar history: the times in each phase, the oldest first.
    :ivar last: the last entries of the audit log.
    """

    judged: Judged
    history: Sequence[Stay]
    last: Sequence[JsonObject]


def overview(found: Overview, form: Form) -> Iterator[Block]:
    """Return an overview of a migration."""
    rest = sections(
        _fields(found, form),
        _components(found.judged.document, form),
        _blockers(found.judged, form),
        _runs(found.judged, form),
        _last(found.last, form),
    )
    if form.width is None:
        return rest
    return closed(headline(found.judged, form), [EMPTY, *rest], form)


# --- fields -------------------------------------------------------------------------------------------------


def _field(name: str, *spans: str | Span) -> Line:
    return line(Span(f"{name:{_LABEL}}", "faint"), *spans, hanging=_LABEL)


def _fields(found: Overview, form: Form) -> Iterator[Line]:
    document = found.judged.document
    fields, metadata = document.fields, document.metadata
    migration_type = to_printable(str(metadata.get("migration_type") or "of no type"))
    platform = to_printable(str(metadata.get("platform") or "an unknown platform"))
    migration_id = to_printable(str(document.migration_id or "without an id"))
    yield _field("State", found.judged.context.state)
    yield _field("Migration", f"{migration_id}, {migration_type} on {platform}")
    yield _field("Started", when(fields["started_at"]))
    yield _field("Updated", when(fields["last_updated"]))
    if fields["completed_at"]:
        yield _field("Ended", when(fields["completed_at"]))
    yield _field("Phases", *_phases(found, form))
    for stay in found.history:
        if stay.forced is not None:
            reason = to_printable(stay.forced) or "no reason given"
            at = "" if stay.since is None else f" at {utc_text(stay.since)}"
            yield _field("Forced", Span(f"to {stay.phase}{at} ({reason})", "doubt"))
    yield _field("Containers", f"{len(fields['docker_containers_removed'])} removed")
    yield _field("Processes", f"{len(fields['native_processes_started'])} started")
    yield _field("Data", _data(fields["data_preserved"], form))
    yield _field("Rollback", AVAILABILITY[document.rollback_available])
    yield _field("Error", _error(fields["error"]))
    if form.width is None:
        result = headline(found.judged, form)
        yield _field("Gate", *result.spans)
    for sentence in filter(None, [document.lost_entries, *notes_of(document)]):
        yield _field("Note", Span(str(sentence), "doubt"))
    for pair in rewritten_names(document):
        yield _field("Names", Span(same_date(*pair), "doubt"))


def _phases(found: Overview, form: Form) -> Iterator[Span]:
    """Yield the phases in one line, with the time in each and a mark at the current one."""
    current = found.judged.document.phase
    known = {stay.phase for stay in found.history}
    is_whole = found.history[0].phase is Phase.NOT_STARTED
    separator = f" {form.symbols.arrow if form.width is not None else '>'} "
    following = current in FINAL_PHASES
    is_first = True
    for phase in Phase:
        if phase in FINAL_PHASES and phase is not current and (following or phase is Phase.ROLLED_BACK):
            continue
        is_past = not following and phase is not current and [*Phase].index(phase) < [*Phase].index(current)
        if current is Phase.ROLLED_BACK and phase is not current and phase not in known and is_whole:
            continue
        if not is_first:
            yield Span(separator, "faint")
        is_first = False
        spent = _time_in(phase, found.history)
        words = f"{phase} {spent}" if spent else str(phase)
        if phase is current:
            yield Span(f"[{words}]", "strong")
        elif is_whole and phase not in known and (is_past or following):
            yield Span(f"({phase} skipped)", "doubt")
        else:
            yield Span(words, "plain" if phase in known or is_past else "faint")
    if not is_whole and len(found.history) > 1:
        yield Span(" (what came before is not known)", "faint")


def _time_in(phase: Phase, history: Sequence[Stay]) -> str:
    """Return how long the migration was in a phase, or is; empty if that is not known."""
    if phase in FINAL_PHASES:
        return ""
    seconds, is_known = 0.0, False
    for stay in history:
        if stay.phase is phase:
            until = times.now() if stay is history[-1] else stay.until
            if stay.since is None or until is None or until < stay.since:
                return ""
            seconds += (until - stay.since).total_seconds()
            is_known = True
    return duration(seconds) if is_known else ""


def _data(preserved: JsonObject, form: Form) -> str:
    if not preserved:
        return "none"
    names = form.listed([to_printable(key) for key in preserved], _LABEL + 5)
    return f"{len(preserved)}: {names}"


def _error(error: JsonObject | None) -> Span:
    if not error:
        return Span("none")
    message = to_printable(str(error.get("message") or "without a message"))
    return Span(f"{message}, {when(error.get('occurred_at'))}", "bad")


# --- the table of components --------------------------------------------------------------------------------


def _components(document: Document, form: Form) -> Iterator[Block]:
    status = status_of(document)
    processes = {item["name"]: item.get("process_id") for item in document.fields["native_processes_started"]}
    containers = {item["name"] for item in document.fields["docker_containers_removed"]}
    counts = dict(status.components)
    for name in sorted({*processes, *containers} - counts.keys()):
        counts[name] = ComponentCounts()
    if not counts:
        yield line("Components  none: nothing has been validated yet")
        return
    is_narrow = form.width is not None and form.width < _NARROW
    head = ["Component", "passed", "failed", "outstanding"]
    head += ["stale"] * bool(status.stale)
    head += [] if is_narrow else ["container"] * bool(containers) + ["process"] * bool(processes)
    names = _in_order(counts, form)
    shown, more = (names, []) if form.width is None else and_more(names, _ROWS)
    rows = []
    for name in shown:
        cells = _row(name, counts[name], form, has_stale=bool(status.stale))
        if not is_narrow:
            cells += [Span("removed" if name in containers else "-")] * bool(containers)
            cells += [_process(processes, name)] * bool(processes)
        rows.append(tuple(cells))
    yield Grid(tuple(head), tuple(rows))
    if more:
        troubled = sum(counts[name].is_troubled for name in names[_ROWS:])
        words = f"{more[0]} components, {troubled} of them with failed, outstanding or stale validations"
        yield line(Span(words, "faint"))


def _in_order(counts: dict[str, ComponentCounts], form: Form) -> list[str]:
    """Return the names of components; on a terminal those with troubles come first."""
    names = sorted(counts, key=lambda name: (name == COLLECTION, name))
    if form.width is None:
        return names
    return sorted(names, key=lambda name: not counts[name].is_troubled)


def _row(name: str, counts: ComponentCounts, form: Form, *, has_stale: bool) -> list[Span]:
    style = style_of(counts, of_nothing="faint")
    title = f"{mark(form, style).text}{to_printable(name)}"
    if not mark(form, style).text and form.width is not None:
        title = f"  {title}"
    cells = [Span(title, style), _number(counts.passed, "good"), _number(counts.failed, "bad")]
    cells.append(_number(counts.outstanding, "doubt"))
    if has_stale:
        cells.append(_number(counts.stale, "doubt"))
    return cells


def _number(count: int, style: Style) -> Span:
    return Span(str(count), style if count else "faint")


def _process(processes: dict[str, object], name: str) -> Span:
    if name not in processes:
        return Span("-")
    process_id = processes[name]
    return Span("started" if process_id is None else str(process_id))


# --- blockers, runs, entries --------------------------------------------------------------------------------


def _blockers(judged: Judged, form: Form) -> Iterator[Block]:
    """Yield the blockers, without the phase where it alone keeps the gate shut: the headline says so."""
    if judged.gate.open or judged.gate.is_shut_by_phase_alone:
        return
    found = list(blockers(judged, form, causes=1))
    if found and found[0] == EMPTY:
        del found[0]
    if form.width is None:
        yield line("Blockers")
    yield from found


_TITLES: Final[dict[Liveness, str]] = {
    "alive": "Running now",
    "unknown": "Runs of which nothing is known, begun and not finished",
    "dead": "Runs that were killed",
}


def _runs(judged: Judged, form: Form) -> Iterator[Line]:
    """Yield the unfinished runs, those that are running apart from the others."""
    context = judged.context
    for liveness, title in _TITLES.items():
        runs = [
            run_in_words(run_id, run, liveness)
            for run_id, run in judged.document.open_runs.items()
            if context.liveness_of(run_id) == liveness
        ]
        if runs:
            yield line(Span(f"{title}: {counted(len(runs), 'run')}", "strong"))
            yield from _listed(runs, form)


def _listed(items: Sequence[str], form: Form) -> Iterator[Line]:
    shown, more = (items, []) if form.width is None else and_more(items, _LISTED)
    yield from (line(f"- {item}", indent=2, hanging=2) for item in shown)
    yield from (line(Span(words, "faint"), indent=2) for words in more)


def _last(entries: Iterable[JsonObject], form: Form) -> Iterator[Line]:
    yield line(Span("Last entries", "strong"))
    if form.width is None:
        lines = [entry_line(entry, indent=2) for entry in entries]
    else:
        lines = [short_entry(entry, form) for entry in entries]
    yield from lines or [line("none", indent=2)]
