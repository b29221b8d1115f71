"""What a recorded run prints: its lines in pytest's header and its section in the summary."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.reports.status import status_of
from pytest_migration_state.text import and_more, counted, to_printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import GateResult
    from pytest_migration_state.types import Key

#: How many blockers (and how many lost verdicts) are printed; the rest are counted.
SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run has to say at its end.

    :ivar gate: the gate's result; ``None`` if it was not judged.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar notices: what users should know although the recording went on.
    :ivar problems: what went wrong with the recording.
    :ivar unrecorded: the events that could not be written, in words.
    :ivar completion: what came of ``--migration-complete``, in words; ``None`` without it.
    """

    document: Document
    gate: GateResult | None
    flaky: Mapping[Key, int]
    notices: Sequence[str]
    problems: Sequence[str]
    unrecorded: Sequence[str]
    completion: str | None


def header(path: Path, document: Document, earlier_runs: Sequence[str], gate: GateResult | None) -> list[str]:
    """Return the lines in pytest's header.

    :param earlier_runs: the runs that were open when this one began, in words.
    :param gate: the gate of a Completed migration; ``None`` in another phase.
    """
    status = status_of(document)
    counts = (
        f"{status.passed_count} passed, {len(status.failed)} failed, {len(document.outstanding)} outstanding"
    )
    lines = [f"{to_printable(str(path))}, phase {document.phase}, {counts}", *earlier_runs]
    if gate is not None and not gate.open:
        lines.append(f"Completed although the gate is shut: {gate.blockers[0].message}")
    return [f"migration state: {line}" for line in lines]


def write(summary: RunSummary, terminal: pytest.TerminalReporter) -> None:
    """Write the section "migration validation"."""
    document = summary.document
    terminal.section("migration validation")
    for line in component_lines(document):
        terminal.line(line)
    for (component, test_name), attempts in summary.flaky.items():
        which = f"'{to_printable(test_name)}' of '{to_printable(component)}'"
        terminal.line(f"flaky: {which} passed on attempt {attempts}")
    for notice in summary.notices:
        terminal.line(f"note: {to_printable(notice)}")
    if summary.gate is not None:
        for line in _gate_lines(document.phase, summary.gate):
            terminal.line(line)
    for problem in summary.problems:
        terminal.line(f"problem: {to_printable(problem)}", red=True)
    unrecorded, more = and_more(summary.unrecorded, SHOWN, " not recorded")
    for details in unrecorded:
        terminal.line(f"  not recorded: {to_printable(details)}", red=True)
    for words in more:
        terminal.line(f"  {words}", red=True)
    if summary.completion:
        is_completed = document.phase is Phase.COMPLETED
        terminal.line(to_printable(summary.completion), green=is_completed, red=not is_completed)


def _gate_lines(phase: Phase, gate: GateResult) -> Iterator[str]:
    if gate.open:
        yield f"gate: open; phase {phase}"
        return
    yield f"gate: shut, {counted(len(gate.blockers), 'blocker')}; phase {phase}"
    shown, more = and_more(gate.blockers, SHOWN, ": see 'migration-state gate'")
    for blocker in shown:
        yield f"  {blocker.kind}: {blocker.message}"
        yield f"    -> {blocker.fix}"
    for words in more:
        yield f"  {words}"


def component_lines(document: Document) -> Iterator[str]:
    """Yield a line for each component, in the order of their names; ``(collection)`` comes last."""
    components = status_of(document).components
    width = max((len(to_printable(component)) for component in components), default=0)
    for component in sorted(components, key=lambda name: (name == COLLECTION, name)):
        counts = components[component]
        groups = {"passed": counts.passed, "failed": counts.failed, "outstanding": counts.outstanding}
        words = ", ".join(f"{count} {group}" for group, count in groups.items() if count)
        yield f"{to_printable(component):{width}}  {words}"


def write_fallback(sentences: Sequence[str]) -> None:
    """Print what matters where pytest prints no summary.

    That is after an internal error, with ``--no-summary`` and with ``-p no:terminal``.
    """
    for sentence in sentences:
        sys.stderr.write(f"migration-state: {to_printable(sentence)}\n")
