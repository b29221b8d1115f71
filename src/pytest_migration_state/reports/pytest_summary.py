"""The output of a recorded run: its lines in pytest's header and its section in the summary."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.gate import completion_in_words
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.reports.status import notes_of, status_of
from pytest_migration_state.text import and_more, counted, to_printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import GateResult
    from pytest_migration_state.reports.status import Status
    from pytest_migration_state.types import Key

#: How many blockers (and how many lost verdicts) are printed; the rest are counted.
SHOWN: Final = 20


class Judged(NamedTuple):
    """The gate's result, and the counts of the state that it judged, so that the two do not contradict."""

    gate: GateResult
    status: Status


class RunSummary(NamedTuple):
    """The data of the summary at the end of a run.

    :ivar judged: the gate's result and the counts of that state; ``None`` if it was not judged.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar notices: warnings that did not stop the recording.
    :ivar problems: errors of the recording.
    :ivar unrecorded: the events that could not be written, in words.
    :ivar completion: the result of ``--migration-complete``, in words; ``None`` without it.
    """

    document: Document
    judged: Judged | None
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
        f"{status.passed_count} passed, {len(status.failed)} failed, {len(status.outstanding)} outstanding"
    )
    if status.stale:
        counts += f", {len(status.stale)} stale"
    lines = [f"{to_printable(str(path))}, phase {document.phase}, {counts}", *earlier_runs]
    if gate is not None and not gate.open:
        cause = completion_in_words(document)
        lines.append(f"Completed although the gate is shut ({cause}): {gate.blockers[0].message}")
    return [f"migration state: {line}" for line in lines]


def write(summary: RunSummary, terminal: pytest.TerminalReporter) -> None:
    """Write the section "migration validation"."""
    document, judged = summary.document, summary.judged
    terminal.section("migration validation")
    for line in component_lines(judged.status if judged else status_of(document)):
        terminal.line(line)
    for (component, test_name), attempts in summary.flaky.items():
        which = f"'{to_printable(test_name)}' of '{to_printable(component)}'"
        terminal.line(f"flaky: {which} passed on attempt {attempts}")
    for notice in [*summary.notices, *notes_of(document)]:
        terminal.line(f"note: {to_printable(notice)}")
    if judged:
        for line in _gate_lines(document.phase, judged):
            terminal.line(line)
    for line in _problem_lines(summary):
        terminal.line(line, red=True)
    if summary.completion:
        is_completed = document.phase is Phase.COMPLETED
        terminal.line(to_printable(summary.completion), green=is_completed, red=not is_completed)


def _problem_lines(summary: RunSummary) -> Iterator[str]:
    for problem in summary.problems:
        yield f"problem: {to_printable(problem)}"
    unrecorded, more = and_more(summary.unrecorded, SHOWN, " not recorded")
    for details in unrecorded:
        yield f"  not recorded: {to_printable(details)}"
    for words in more:
        yield f"  {words}"


def _gate_lines(phase: Phase, judged: Judged) -> Iterator[str]:
    """Yield the gate's result. The phase is not one of the blockers: it is no failure of the run."""
    gate = judged.gate
    if gate.open:
        yield f"gate: open; phase {phase}"
        return
    if gate.is_shut_by_phase_alone:
        yield f"validations: {_result_in_words(judged.status)}; gate: shut, the phase is {phase}"
        return
    blockers = [blocker for blocker in gate.blockers if blocker.kind != "phase"]
    yield f"gate: shut, {counted(len(blockers), 'blocker')}; phase {phase}"
    shown, more = and_more(blockers, SHOWN, ": see 'migration-state gate'")
    for blocker in shown:
        yield f"  {blocker.kind}: {blocker.message}"
        yield f"    -> {blocker.fix}"
    for words in more:
        yield f"  {words}"


def _result_in_words(status: Status) -> str:
    """Return the result of validations of which none keeps the gate shut."""
    return "all passed or allowed" if status.failed or status.stale or status.outstanding else "all passed"


def component_lines(status: Status) -> Iterator[str]:
    """Yield a line for each component, in the order of their names; ``(collection)`` comes last."""
    components = status.components
    width = max((len(to_printable(component)) for component in components), default=0)
    for component, counts in components.items():
        words = ", ".join(f"{count} {group}" for group, count in asdict(counts).items() if count)
        yield f"{to_printable(component):{width}}  {words}"


def write_fallback(sentences: Sequence[str]) -> None:
    """Print the most important sentences if pytest prints no summary.

    That is the case after an internal error, with ``--no-summary`` and with ``-p no:terminal``.
    """
    for sentence in sentences:
        sys.stderr.write(f"migration-state: {to_printable(sentence)}\n")
