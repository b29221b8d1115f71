"""The gate for people: its headline, and its blockers in groups or one on a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.gate import completion_in_words
from pytest_migration_state.domain.groups import RUNS, grouped, shared_causes
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.reports.blocks import EMPTY, Command, Line, Span, closed, line
from pytest_migration_state.reports.status import allowed_in_words, notes_of, rewritten_names, status_of
from pytest_migration_state.text import counted, to_printable
from pytest_migration_state.types import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import Context, GateResult
    from pytest_migration_state.domain.groups import Cause, Group
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.reports.blocks import Block, Form, Style
    from pytest_migration_state.types import Blocker, Key

#: How many groups are shown, how many causes of each, and how many that groups share; the rest are counted.
GROUPS: Final = 10
CAUSES: Final = 3
_SHARED: Final = 3


class Judged(NamedTuple):
    """A state, and what the gate says of it.

    :ivar policy: the policy that it was judged with; ``None``: that of a completion, or an empty one.
    """

    document: Document
    gate: GateResult
    context: Context
    policy: Policy | None = None


# --- the headline -------------------------------------------------------------------------------------------


def headline(judged: Judged, form: Form, component: str | None = None) -> Line:
    """Return the gate's result in one line.

    :param component: the only component whose blockers are shown.
    """
    words, style = result_in_words(judged, component)
    return line(mark(form, style), Span(words, style), hanging=2)


def mark(form: Form, style: Style) -> Span:
    """Return the symbol that stands before words of this style on a terminal."""
    symbols = {"good": form.symbols.good, "bad": form.symbols.bad, "doubt": form.symbols.doubt}
    if form.width is None or style not in symbols:
        return Span("")
    return Span(f"{symbols[style]} ", style)


def result_in_words(judged: Judged, component: str | None = None) -> tuple[str, Style]:
    """Return the gate's result in words, and its style.

    :param component: the component whose blockers are counted too.
    """
    document, gate = judged.document, judged.gate
    phase = document.phase
    if gate.open:
        words = "open: nothing keeps this migration from Completed"
        if phase is Phase.COMPLETED:
            words = "open: the migration is in phase Completed"
        return words + allowed_in_words(document, judged.policy), "good"
    if gate.is_shut_by_phase_alone:
        if phase is Phase.ROLLED_BACK:
            return "shut: the migration is rolled back", "bad"
        return f"shut: the phase is {phase}; nothing else keeps it shut", "doubt"
    words = f"shut: {counted(len(gate.blockers), 'blocker')}"
    if component is not None:
        own = sum(blocker.component == component for blocker in gate.blockers)
        words += f", {own} of them in '{to_printable(component)}'"
    if phase is Phase.COMPLETED:
        return f"{words}, although the phase is Completed: {completion_in_words(document)}", "bad"
    return f"{words}; phase {phase}", "bad"


# --- the whole report ---------------------------------------------------------------------------------------


def gate_report(judged: Judged, form: Form, component: str | None = None) -> Iterator[Block]:
    """Yield the gate's result, its blockers with their fixes, and notes.

    :param component: show only the blockers of this component.
    """
    first = headline(judged, form, component)
    yield from closed(first, [*blockers(judged, form, component), *_notes(judged)], form)


def _notes(judged: Judged) -> Iterator[Line]:
    stale = status_of(judged.document).stale
    if stale and not any(blocker.kind == "stale" for blocker in judged.gate.blockers):
        what = "passed before the newest process was started, which does not keep the gate shut"
        yield line(f"note: {counted(len(stale), 'validation')} {what}", hanging=2)
    for sentence in notes_of(judged.document):
        yield line(f"note: {sentence}", hanging=2)


# --- blockers -----------------------------------------------------------------------------------------------


def blockers(
    judged: Judged, form: Form, component: str | None = None, causes: int = CAUSES
) -> Iterator[Block]:
    """Yield the gate's blockers: in groups for a terminal, else one on a line.

    :param component: the only component whose blockers are shown.
    :param causes: how many causes of each group are shown.
    """
    chosen = judged.gate.blockers
    if component is not None:
        chosen = tuple(blocker for blocker in chosen if blocker.component == component)
    if form.width is None or form.is_full:
        yield from _each(judged, chosen, form)
        return
    groups = grouped(judged.document, chosen, judged.context)
    yield from _shared(groups, form)
    shown, rest = groups, groups[:0]
    if component is None:
        shown, rest = groups[:GROUPS], groups[GROUPS:]
    for group in shown:
        yield EMPTY
        yield from group_blocks(group, form, causes)
    if rest:
        yield EMPTY
        yield from _more(rest, judged.context, form)
    if any(len(blocker.steps) > 1 for group in shown for blocker in group.blockers):
        command = judged.context.commands(judged.context.state).gate(component, in_full=True)
        yield EMPTY
        yield from step_blocks(Step("every blocker, and what to do if its test is gone", command), form)


def _shared(groups: Sequence[Group], form: Form) -> Iterator[Line]:
    """Yield the most frequent causes that several groups share: dealing with one of them helps most."""
    shared = shared_causes(groups)[:_SHARED]
    if shared:
        yield EMPTY
        yield line(Span("Most frequent", "strong"))
    for what, number, sharing in shared:
        times = f"{number} {form.symbols.times} "
        where = f" (in {sharing} groups)"
        text = form.fitted(what, 4 + len(times) + len(where), 2)
        yield line(Span(times, "strong"), text, Span(where, "faint"), indent=4, hanging=4)


def _each(judged: Judged, chosen: Sequence[Blocker], form: Form) -> Iterator[Block]:
    """Yield each blocker on a line of its own, or, for a terminal, with its commands set apart."""
    hints: dict[tuple[str | None, str | None], str] = {
        key: same_date(*pair) for pair in rewritten_names(judged.document) for key in pair
    }
    for blocker in chosen:
        hint = hints.get((blocker.component, blocker.test_name))
        if form.width is None:
            text = f"  - {blocker.message} -> {blocker.fix}"
            yield line(f"{text} ({hint})" if hint else text)
        else:
            yield EMPTY
            yield line(mark(form, "bad"), blocker.message, hanging=2)
            yield from (line(Span(hint, "faint"), indent=4) for hint in filter(None, [hint]))
            for step in blocker.steps:
                yield from step_blocks(step, form, indent=4)
        if form.is_full:
            yield from _detail_of(judged.document, blocker)


def _detail_of(document: Document, blocker: Blocker) -> Iterator[Line]:
    if blocker.kind == "failed" and blocker.component and blocker.test_name:
        yield from detail(document.verdicts.get((blocker.component, blocker.test_name), {}).get("detail"))


def detail(text: object) -> Iterator[Line]:
    """Yield the lines of a failed verdict's ``detail``."""
    if isinstance(text, str):
        for part in text.splitlines():
            yield line(Span(part.expandtabs(), "faint"), indent=6)


def same_date(first: Key, second: Key) -> str:
    """Return a sentence about two names of one validation that are the same date."""
    names = f"'{to_printable(first[1])}' and '{to_printable(second[1])}' of '{to_printable(first[0])}'"
    return f"{names} are the same date: another program rewrote the name"


def _more(rest: Sequence[Group], context: Context, form: Form) -> Iterator[Block]:
    number = sum(len(group.blockers) for group in rest)
    command = context.commands(context.state).gate("NAME")
    yield from step_blocks(Step(f"and {number} more in {counted(len(rest), 'group')}", command), form)
    names = list(dict.fromkeys(to_printable(group.component) for group in rest if group.component))
    if names:
        yield line(Span(form.listed(names, indent=4), "faint"), indent=4)


# --- one group ----------------------------------------------------------------------------------------------


def group_blocks(group: Group, form: Form, limit: int = CAUSES) -> Iterator[Block]:
    """Yield a group: its title, what is wrong, and what to do about all of it.

    :param limit: how many causes are shown.
    """
    title = group_title(group)
    causes, rest = group.causes[:limit], group.causes[limit:]
    if title:
        yield line(mark(form, "bad"), Span(title, "strong"), f": {counts_in_words(group)}", hanging=4)
    for cause in causes:
        yield from _cause_lines(
            cause._replace(what=cause_in_words(group, cause)), form, has_title=bool(title)
        )
    if rest:
        number = sum(cause.number for cause in rest)
        yield line(Span(f"and {number} more, for {counted(len(rest), 'other cause')}", "faint"), indent=4)
    yield from step_blocks(group.step, form, indent=4)


def group_title(group: Group) -> str:
    """Return the component and the place of a group; empty if it has neither."""
    if group.place == RUNS:
        return group.place
    names = [to_printable(group.component)] if group.component else []
    if group.place:
        names.append(to_printable(group.place))
    return "  ".join(names)


def counts_in_words(group: Group) -> str:
    """Return how many blockers of each kind there are in a group."""
    return ", ".join(f"{count} {_KINDS.get(kind, kind)}" for kind, count in group.counts.items())


def cause_in_words(group: Group, cause: Cause) -> str:
    """Return a cause without what the counts of its group say."""
    if [*group.counts] == ["failed"]:
        return cause.what.removeprefix("failed: ")
    return cause.what


_KINDS: Final = {
    "pending": "without a verdict",
    "missing_component": "without a verdict",
    "collection_error": "not collected",
    "unfinished run": "unfinished",
}


def _cause_lines(cause: Cause, form: Form, *, has_title: bool) -> Iterator[Line]:
    if not has_title:
        yield line(mark(form, "bad"), form.fitted(cause.what, 2, 3), hanging=2)
    elif cause.number > 1:
        times = f"{cause.number} {form.symbols.times} "
        yield line(Span(times, "strong"), form.fitted(cause.what, 8 + len(times), 2), indent=4, hanging=4)
        if cause.names:
            yield line(Span(form.listed(cause.names, 8), "faint"), indent=8)
    else:
        words = ": ".join([*cause.names, cause.what])
        yield line(form.fitted(words, 8, 3), indent=4, hanging=4)


def step_blocks(step: Step, form: Form, indent: int = 0) -> Iterator[Block]:
    """Yield one way to deal with blockers."""
    words = f"{form.symbols.arrow} {step.words}{step.rest}"
    if step.command:
        yield Command(step.command, indent, words)
    else:
        yield line(words, indent=indent, hanging=3)
