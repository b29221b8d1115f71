"""The output of a recorded run: its lines in pytest's header and its section in the summary."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.gate import completion_in_words
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.reports.status import allowed_in_words, notes_of, status_of, style_of
from pytest_migration_state.text import and_more, counted, to_printable
from pytest_migration_state.types import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import Context, GateResult
    from pytest_migration_state.domain.groups import Group
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.reports.blocks import Form, Style
    from pytest_migration_state.reports.status import ComponentCounts, Status
    from pytest_migration_state.types import Blocker, Key

#: How many lines the section has at most, its title included, however many blockers there are.
LINES: Final = 25
#: How many lines there are for components, flaky validations, notes, problems, and lost verdicts. What they
#: have no room for is counted.
_COMPONENTS, _FLAKY, _NOTES, _PROBLEMS, _LOST = 5, 2, 3, 4, 5
#: How many causes that groups of blockers share are shown.
_SHARED: Final = 2
#: The markup of pytest's terminal writer for each style.
_MARKUP: Final[dict[Style, dict[str, bool]]] = {
    "plain": {},
    "good": {"green": True},
    "bad": {"red": True},
    "doubt": {"yellow": True},
    "faint": {"light": True},
    "strong": {"bold": True},
}
#: The variables by which pytest knows that it runs under CI.
_CI: Final = ("CI", "BUILD_NUMBER")


class GateAndCounts(NamedTuple):
    """The gate's result, and the counts of the state that it judged, so that the two do not contradict."""

    gate: GateResult
    status: Status


class RunSummary(NamedTuple):
    """The data of the summary at the end of a run.

    :ivar judged: the gate's result and the counts of that state; ``None`` if it was not judged.
    :ivar context: the gate's context.
    :ivar policy: the policy that the gate judged with.
    :ivar address: the absolute address of the state.
    :ivar flaky: validations that passed only after a rerun, with the number of attempts.
    :ivar notices: warnings that did not stop the recording.
    :ivar problems: errors of the recording.
    :ivar unrecorded: the events that could not be written, in words.
    :ivar completion: the result of ``--migration-complete``, in words; ``None`` without it.
    """

    document: Document
    judged: GateAndCounts | None
    context: Context
    policy: Policy
    address: str
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
    counts = _totals(status_of(document))
    lines = [f"{to_printable(str(path))}, phase {document.phase}, {counts}", *earlier_runs]
    if gate is not None and not gate.open:
        cause = completion_in_words(document)
        lines.append(f"Completed although the gate is shut ({cause}): {gate.blockers[0].message}")
    return [f"migration state: {line}" for line in lines]


def _totals(status: Status) -> str:
    counts = (
        f"{status.passed_count} passed, {len(status.failed)} failed, {len(status.outstanding)} outstanding"
    )
    if status.stale:
        counts += f", {len(status.stale)} stale"
    return counts


# --- the section --------------------------------------------------------------------------------------------


def write(summary: RunSummary, terminal: pytest.TerminalReporter) -> None:
    """Write the section "migration validation"."""
    from pytest_migration_state.reports.blocks import Form

    verbosity: int = terminal.config.get_verbosity()
    is_ci = any(os.environ.get(name) for name in _CI)
    width = None
    if terminal.isatty and not is_ci:
        width = terminal.config.get_terminal_writer().fullwidth
    terminal.section("migration validation")
    for text, style in lines(summary, Form(width, is_full=verbosity > 0), verbosity, is_ci=is_ci):
        terminal.line(text, **_MARKUP[style])


def lines(
    summary: RunSummary, form: Form, verbosity: int = 0, *, is_ci: bool = False
) -> Iterator[tuple[str, Style]]:
    """Yield the lines of the section, each with its style.

    :param form: the form of the terminal; without a width nothing is cut.
    :param verbosity: pytest's: less than 0 for the result alone, more than 0 for every blocker.
    :param is_ci: whether the run's output is a log of a CI service.
    """
    head = [*_head(summary, form, verbosity, is_ci=is_ci), *_gate_line(summary)]
    first = [piece for part in head for piece in _fitted(part, form)]
    end = [*_problems(summary, form), *_completion(summary, form)]
    last = [piece for part in end for piece in _fitted(part, form)]
    yield from first
    if verbosity > 0:
        yield from _every_blocker(summary, form)
    elif verbosity == 0:
        yield from _groups(summary, form, LINES - 1 - len(first) - len(last))
    elif _blockers(summary):
        yield from _step_lines(Step("see", _gate_command(summary)), form, "")
    yield from last


def _fitted(part: tuple[str, Style], form: Form) -> list[tuple[str, Style]]:
    """Return a line over as many lines of the terminal as it needs."""
    from pytest_migration_state.reports.blocks import Line, Span, wrapped

    text, style = part
    pieces = wrapped(Line((Span(text),), hanging=4), form.width)
    return [("".join(span.text for span in piece), style) for piece in pieces]


def _within(
    limit: int, parts: Sequence[tuple[str, Style]], what: str, form: Form
) -> Iterator[tuple[str, Style]]:
    """Yield as many parts as there are lines for, each on two lines at most, and the number of the others.

    :param what: what is said after that number.
    """
    room = limit
    for number, (text, style) in enumerate(parts):
        lines = [(text, style)] if form.is_full else _fitted((form.fitted(text, 4, 2), style), form)
        is_last = number == len(parts) - 1
        if not form.is_full and len(lines) > room - (not is_last):
            yield f"and {len(parts) - number} more{what}", style
            return
        room -= len(lines)
        yield from lines


def _head(summary: RunSummary, form: Form, verbosity: int, *, is_ci: bool) -> Iterator[tuple[str, Style]]:
    """Yield what the section begins with: the state, the components, flaky validations and notes."""
    document = summary.document
    status = summary.judged.status if summary.judged else status_of(document)
    if is_ci:
        yield f"state: {to_printable(summary.address)}, phase {document.phase}, {_totals(status)}", "plain"
    if verbosity < 0:
        yield f"validations: {_totals(status)} in {_components_in_short(status)}", "plain"
    else:
        yield from _component_lines(status, form)
    yield from _within(_FLAKY, [*_flaky(summary)], " flaky validations", form)
    notices = [*summary.notices, *notes_of(document)]
    notes: list[tuple[str, Style]] = [(f"note: {to_printable(notice)}", "doubt") for notice in notices]
    yield from _within(_NOTES, notes, " notes; -v shows them", form)


def _flaky(summary: RunSummary) -> Iterator[tuple[str, Style]]:
    for (component, test_name), attempts in summary.flaky.items():
        which = f"'{to_printable(test_name)}' of '{to_printable(component)}'"
        yield f"flaky: {which} passed on attempt {attempts}", "doubt"


def _components_in_short(status: Status) -> str:
    """Return the number of components, and the names of those with troubles."""
    words = counted(len(status.components), "component")
    troubled = [to_printable(name) for name, counts in status.components.items() if counts.is_troubled]
    names, more = and_more(troubled, _COMPONENTS - 1)
    return "; not all passed: ".join(filter(None, [words, " ".join([", ".join(names), *more])]))


def _component_lines(status: Status, form: Form) -> Iterator[tuple[str, Style]]:
    """Yield a line for each component, in the order of their names; ``(collection)`` comes last.

    If there are too many, those with troubles come first, and the rest are counted.
    """
    from pytest_migration_state.reports.blocks import cell_width

    names = shown = list(status.components)
    if not form.is_full and len(names) > _COMPONENTS:
        names.sort(key=lambda name: not status.components[name].is_troubled)
        shown = names[: _COMPONENTS - 1]
    width = max((cell_width(to_printable(name)) for name in shown), default=0)
    for name in shown:
        counts = status.components[name]
        title = to_printable(name)
        padding = " " * (width - cell_width(title))
        yield form.fitted(f"{title}{padding}  {_counts_in_words(counts)}"), style_of(counts)
    if rest := [status.components[name] for name in names[len(shown) :]]:
        troubled = sum(counts.is_troubled for counts in rest)
        what = counted(len(rest), "more component")
        if troubled:
            yield f"and {what}, {troubled} of them not all passed", "bad"
        else:
            yield f"and {what}, all passed", "good"


def _counts_in_words(counts: ComponentCounts) -> str:
    return ", ".join(f"{count} {group}" for group, count in asdict(counts).items() if count)


# --- the gate -----------------------------------------------------------------------------------------------


def _blockers(summary: RunSummary) -> list[Blocker]:
    """Return the blockers. The phase is not one of them: it is no failure of the run."""
    if summary.judged is None:
        return []
    return [blocker for blocker in summary.judged.gate.blockers if blocker.kind != "phase"]


def _gate_line(summary: RunSummary) -> Iterator[tuple[str, Style]]:
    """Yield the gate's result, and how much the policy lets pass."""
    if summary.judged is None:
        return
    gate, phase = summary.judged.gate, summary.document.phase
    passed_over = allowed_in_words(summary.document, summary.policy)
    if gate.open:
        yield f"gate: open; phase {phase}{passed_over}", "good"
    elif gate.is_shut_by_phase_alone:
        result = _result_in_words(summary.judged.status)
        yield f"validations: {result}; gate: shut, the phase is {phase}{passed_over}", "doubt"
    else:
        blockers = counted(len(_blockers(summary)), "blocker")
        yield f"gate: shut, {blockers}; phase {phase}{passed_over}", "bad"


def _result_in_words(status: Status) -> str:
    """Return the result of validations of which none keeps the gate shut."""
    return "all passed or allowed" if status.failed or status.stale or status.outstanding else "all passed"


def _every_blocker(summary: RunSummary, form: Form) -> Iterator[tuple[str, Style]]:
    for blocker in _blockers(summary):
        yield from _single(blocker, form)


def _single(blocker: Blocker, form: Form, steps: int | None = None) -> Iterator[tuple[str, Style]]:
    """Yield a blocker and its fix.

    :param steps: how many steps of the fix are shown on a terminal; ``None``: all.
    """
    message = f"  {blocker.kind}: {blocker.message}"
    yield from _fitted((form.fitted(message), "bad"), form)
    if form.width is None or not blocker.steps:
        yield from _fitted((f"    -> {blocker.fix}", "plain"), form)
        return
    for step in blocker.steps[:steps]:
        yield from _step_lines(step, form)


def _groups(summary: RunSummary, form: Form, room: int) -> Iterator[tuple[str, Style]]:
    """Yield every blocker if there is room; else groups of them, and how many more there are.

    :param room: the number of lines.
    """
    from pytest_migration_state.domain.groups import grouped, shared_causes
    from pytest_migration_state.reports.blocks import cell_width

    blockers = _blockers(summary)
    if len(blockers) <= room // 2:
        each = list(_every_blocker(summary, form))
        if len(each) <= room:
            yield from each
            return
    groups = grouped(summary.document, blockers, summary.context)
    for what, number, sharing in shared_causes(groups)[:_SHARED]:
        room -= 1
        where = f" (in {sharing} groups)"
        text = f"  {number} {form.symbols.times} {what}"
        yield form.fitted(text, cell_width(where)) + where, "strong"
    rest = len(blockers)
    for group in groups:
        part = list(_group_lines(group, form))
        left = rest - len(group.blockers)
        if len(part) + len(_more(left, summary, form)) > room:
            break
        room -= len(part)
        rest = left
        yield from part
    words = "and {} more" if rest < len(blockers) else "{} blockers"
    yield from _more(rest, summary, form, words)


def _more(
    number: int, summary: RunSummary, form: Form, words: str = "and {} more"
) -> list[tuple[str, Style]]:
    """Return the lines that say how many blockers are not shown, and which command shows them."""
    if not number:
        return []
    step = Step(words.format(number), _gate_command(summary))
    return list(_step_lines(step, form, "  "))


def _gate_command(summary: RunSummary) -> str:
    return summary.context.commands(summary.context.state).gate(in_full=True)


def _group_lines(group: Group, form: Form) -> Iterator[tuple[str, Style]]:
    """Yield a group: a single blocker, or a title with the most frequent cause; and what to do about it."""
    from pytest_migration_state.reports.gate_report import cause_in_words, counts_in_words, group_title

    if len(group.blockers) == 1:
        yield from _single(group.blockers[0], form, 1)
        return
    cause = group.causes[0]
    what = f"{cause.number} {form.symbols.times} {cause_in_words(group, cause)}"
    if cause.number == 1:
        what = "such as " + ": ".join([*cause.names, cause_in_words(group, cause)])
    yield form.fitted(f"  {group_title(group)}: {counts_in_words(group)}; {what}"), "bad"
    yield from _step_lines(group.step, form)


def _step_lines(step: Step, form: Form, before: str = "    -> ") -> Iterator[tuple[str, Style]]:
    """Yield one way to deal with blockers.

    :param before: what its first line begins with.
    """
    from pytest_migration_state.reports.blocks import Command, command_lines

    indent = len(before) - len(before.lstrip())
    words = f"{before.lstrip()}{step.words}"
    if not step.command:
        yield from _fitted((f"{' ' * indent}{words}", "plain"), form)
    elif form.width is None:
        yield f"{before}{step.in_words()}", "plain"
    else:
        command = Command(step.command, indent, f"{words}{step.rest}")
        yield from ((text, "plain") for text in command_lines(command, form.width))


# --- problems, completion -----------------------------------------------------------------------------------


def _problems(summary: RunSummary, form: Form) -> Iterator[tuple[str, Style]]:
    problems: list[tuple[str, Style]] = [(f"problem: {to_printable(one)}", "bad") for one in summary.problems]
    yield from _within(_PROBLEMS, problems, " problems", form)
    lost: list[tuple[str, Style]] = [
        (f"  not recorded: {to_printable(details)}", "bad") for details in summary.unrecorded
    ]
    yield from _within(_LOST, lost, " not recorded", form)


def _completion(summary: RunSummary, form: Form) -> Iterator[tuple[str, Style]]:
    if summary.completion:
        is_completed = summary.document.phase is Phase.COMPLETED
        text = form.fitted(to_printable(summary.completion), 4, 2)
        yield text, "good" if is_completed else "bad"


def write_fallback(sentences: Sequence[str]) -> None:
    """Print the most important sentences if pytest prints no summary.

    That is the case after an internal error, with ``--no-summary`` and with ``-p no:terminal``.
    """
    for sentence in sentences:
        sys.stderr.write(f"migration-state: {to_printable(sentence)}\n")
