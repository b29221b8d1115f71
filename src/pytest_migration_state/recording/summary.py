"""What a recorded run prints: its lines in pytest's header and its section in the summary."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from pytest_migration_state.core.gate import COLLECTION, run_in_words
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    import pytest

    from pytest_migration_state.core.document import Document
    from pytest_migration_state.recording.recorder import Recorder

#: How many blockers (and how many lost verdicts) are printed; the rest are counted.
SHOWN = 20


def header(recorder: Recorder) -> list[str]:
    """The lines in pytest's header."""
    path = printable(str(recorder.path))
    if recorder.passive:
        return [f"migration state: {path}: nothing is recorded {recorder.passive}"]
    if not recorder.is_open:
        return []
    document = recorder.run.document
    passed = sum(verdict["passed"] for verdict in document.verdicts.values())
    counts = f"{passed} passed, {len(document.verdicts) - passed} failed, {len(document.outstanding)} outstanding"
    lines = [f"migration state: {path}, phase {document.phase}, {counts}"]
    for run_id, run in recorder.interrupted_runs.items():
        lines.append(f"migration state: {run_in_words(run_id, run, recorder.liveness.get(run_id, 'unknown'))}")
    if document.phase is Phase.COMPLETED and not (result := recorder.run.gate(recorder.policy)).open:
        lines.append(f"migration state: Completed although the gate is shut: {result.blockers[0].message}")
    return lines


def write(recorder: Recorder, terminal: pytest.TerminalReporter) -> None:
    """The section "migration validation"."""
    document = recorder.run.document
    terminal.section("migration validation")
    for line in component_lines(document):
        terminal.line(line)
    for (component, test_name), attempts in recorder.flaky.items():
        terminal.line(f"flaky: '{printable(test_name)}' of '{printable(component)}' passed on attempt {attempts}")
    for notice in dict.fromkeys(recorder.notices):
        terminal.line(f"note: {printable(notice)}")
    result = recorder.gate
    if result is not None:
        count = len(result.blockers)
        terminal.line(f"gate: {'open' if result.open else f'shut, {count} blocker' + 's' * (count > 1)}; phase {document.phase}")
        for blocker in result.blockers[:SHOWN]:
            terminal.line(f"  {blocker.kind}: {blocker.message}")
        if count > SHOWN:
            terminal.line(f"  and {count - SHOWN} more: see 'migration-state gate'")
    for problem in recorder.problems:
        terminal.line(f"problem: {printable(problem)}", red=True)
    for event in recorder.run.unrecorded[:SHOWN]:
        terminal.line(f"  not recorded: {printable(event.details)}", red=True)
    if (more := len(recorder.run.unrecorded) - SHOWN) > 0:
        terminal.line(f"  and {more} more not recorded", red=True)
    if recorder.completion:
        is_done = document.phase is Phase.COMPLETED
        terminal.line(printable(recorder.completion), green=is_done, red=not is_done)


def component_lines(document: Document) -> list[str]:
    """A line for each component of the state, in the order of their names."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for (component, _), verdict in document.verdicts.items():
        counts[component]["passed" if verdict["passed"] else "failed"] += 1
    for key in document.outstanding:
        if not document.is_settled(key):
            counts[key[0]]["outstanding"] += 1
    width = max((len(printable(component)) for component in counts), default=0)
    lines = []
    for component in sorted(counts, key=lambda name: (name == COLLECTION, name)):
        told = ", ".join(f"{counts[component][word]} {word}" for word in ("passed", "failed", "outstanding") if counts[component][word])
        lines.append(f"{printable(component):{width}}  {told}")
    return lines
