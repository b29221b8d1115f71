"""One component of a migration for people: what ``show COMPONENT`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.domain.override import mark_of
from pytest_migration_state.reports.blocks import EMPTY, Span, closed, line, sections
from pytest_migration_state.reports.gate_report import detail, mark
from pytest_migration_state.reports.status import ComponentCounts, override_in_words, status_of, style_of
from pytest_migration_state.reports.times import when
from pytest_migration_state.text import first_line, to_printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.reports.blocks import Block, Form, Line, Style
    from pytest_migration_state.reports.status import Status
    from pytest_migration_state.types import JsonObject, Key


def component_object(document: Document, name: str) -> JsonObject:
    """Return what the document holds of a component as a JSON object."""
    fields = document.fields
    return {
        "component": name,
        "docker_containers_removed": _named(fields["docker_containers_removed"], name),
        "native_processes_started": _named(fields["native_processes_started"], name),
        "validation_results": [verdict for key, verdict in document.verdicts.items() if key[0] == name],
        "outstanding_validations": [entry for key, entry in document.outstanding.items() if key[0] == name],
    }


def _named(items: list[JsonObject], name: str) -> list[JsonObject]:
    return [item for item in items if item["name"] == name]


def known_components(document: Document) -> set[str]:
    """Return the names of everything that the document holds as a component, a container or a process."""
    fields = document.fields
    names = {key[0] for key in (*document.verdicts, *document.outstanding)}
    for items in (fields["docker_containers_removed"], fields["native_processes_started"]):
        names.update(item["name"] for item in items)
    return names


def component_report(document: Document, name: str, form: Form) -> Iterator[Block]:
    """Return what is on record of a component: its container, its process and its validations."""
    status = status_of(document)
    first = _headline(name, status.components.get(name, ComponentCounts()), form)
    origin = [*_origin(document, name)]
    validations = sections(_outstanding(document, name, form), _verdicts(document, name, status, form))
    return closed(first, [*origin, EMPTY, *validations], form)


def _headline(name: str, counts: ComponentCounts, form: Form) -> Line:
    numbers = {
        "passed": counts.passed,
        "failed": counts.failed,
        "outstanding": counts.outstanding,
        "stale": counts.stale,
    }
    words = ", ".join(f"{number} {group}" for group, number in numbers.items() if number)
    style = style_of(counts, of_nothing="doubt")
    return line(mark(form, style), Span(f"{to_printable(name)}: {words or 'nothing validated'}", style))


def _origin(document: Document, name: str) -> Iterator[Line]:
    fields = document.fields
    for item in _named(fields["docker_containers_removed"], name):
        yield line(f"Container   {item.get('id') or 'without an id'}, removed {when(item.get('removed_at'))}")
    for item in _named(fields["native_processes_started"], name):
        process = item.get("process_id")
        words = "without an id" if process is None else str(process)
        yield line(f"Process     {words}, started {when(item.get('started_at'))}")


def _outstanding(document: Document, name: str, form: Form) -> Iterator[Line]:
    for key, entry in document.outstanding.items():
        if key[0] == name and not document.is_settled(key):
            words = f"{entry['reason'].replace('_', ' ')}: {to_printable(key[1])}"
            if entry.get("detail"):
                words += f" ({to_printable(first_line(str(entry['detail'])))})"
            yield line(mark(form, "doubt"), words, hanging=4)


def _verdicts(document: Document, name: str, status: Status, form: Form) -> Iterator[Line]:
    """Yield the verdicts, failed ones first."""
    own = [(key, verdict) for key, verdict in document.verdicts.items() if key[0] == name]
    for key, verdict in sorted(own, key=lambda item: bool(item[1]["passed"])):
        yield from _verdict(key, verdict, form, is_stale=key in status.stale)


def _verdict(key: Key, verdict: JsonObject, form: Form, *, is_stale: bool) -> Iterator[Line]:
    style: Style = "bad"
    word = "xfailed" if verdict.get("outcome") == "xfailed" else "failed"
    if verdict["passed"]:
        style, word = ("doubt", "stale") if is_stale else ("good", "passed")
    yield line(mark(form, style), Span(word, style), f": {to_printable(key[1])}", hanging=4)
    facts = [when(verdict.get("tested_at"))]
    if "duration_seconds" in verdict:
        facts.append(f"took {verdict['duration_seconds']} s")
    if "attempts" in verdict:
        facts.append(f"attempt {verdict['attempts']}")
    yield line(Span(", ".join(facts), "faint"), indent=4)
    for part in (verdict.get("error_message") or "").splitlines():
        yield line(to_printable(part), indent=4)
    if override := mark_of(verdict):
        yield line(
            Span(f"set by hand over a run's failure: {override_in_words(key, override)}", "doubt"), indent=4
        )
    yield from detail(verdict.get("detail"))
