"""Blockers in groups: those of one file or one component together, with one fix for all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.advice import BACKUP, Advice, file_of, name_of
from pytest_migration_state.domain.policy import ALLOWABLE, COLLECTION
from pytest_migration_state.domain.runs import clashing, is_rest, run_name, runs_of
from pytest_migration_state.text import to_printable
from pytest_migration_state.types import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.gate import Context
    from pytest_migration_state.types import Blocker, JsonObject, Key

#: The places of runs that did not finish, and of required components.
RUNS: Final = "runs"
_REQUIRED: Final = "required components"
#: What has to be dealt with before the tests are run again.
_TO_BE_FIXED: Final = frozenset({"failed", "xfailed", "skipped", "collection_error"})
#: How many files a command names before it runs all tests.
_FILES_NAMED: Final = 3


class Cause(NamedTuple):
    """The blockers of one group of which the same is to be said.

    :ivar what: what is wrong with them, such as ``failed: assert 500 == 200``.
    :ivar number: how many blockers there are.
    :ivar names: the names of their validations, without what the title of the group says.
    """

    what: str
    number: int
    names: tuple[str, ...]


class Group(NamedTuple):
    """Blockers with one fix.

    :ivar component: the component; ``None`` for what concerns none.
    :ivar place: the file, or another heading; empty if there is none.
    :ivar counts: how many there are of each kind; what is outstanding is counted by its reason.
    :ivar causes: what is wrong, each cause once.
    :ivar step: what to do about all of them.
    """

    component: str | None
    place: str
    counts: dict[str, int]
    causes: tuple[Cause, ...]
    step: Step
    blockers: tuple[Blocker, ...]


def grouped(document: Document, blockers: Iterable[Blocker], context: Context) -> list[Group]:
    """Return blockers in groups, in the order of their first blockers.

    :param document: the state that they are about.
    :param context: the gate's context; its commands are those of the fixes.
    """
    collected: dict[tuple[object, ...], list[Blocker]] = {}
    for blocker in blockers:
        component, place = blocker.component, _place_of(document, blocker)
        key: tuple[object, ...] = (component, place)
        if place == _REQUIRED:
            key = (None, place)
        elif component is None:
            # What concerns no component is a group of its own.
            key = (None, blocker.kind, len(collected))
        collected.setdefault(key, []).append(blocker)
    advice = Advice(context.commands(context.state))
    return [_group(document, members, context, advice) for members in collected.values()]


def _group(document: Document, members: list[Blocker], context: Context, advice: Advice) -> Group:
    first = members[0]
    place = _place_of(document, first) or ""
    if len(members) == 1:
        step = first.steps[0] if first.steps else Step(first.fix)
    else:
        step = _step(document, members, place, context, advice)
    counts = Counter(_kind_of(document, blocker) for blocker in members)
    component = None if place == _REQUIRED else first.component
    return Group(component, place, dict(counts), _causes(document, members, place), step, tuple(members))


def _place_of(document: Document, blocker: Blocker) -> str | None:
    if blocker.kind == "missing_component":
        return _REQUIRED
    if blocker.component is None or blocker.test_name is None:
        return None
    key = blocker.component, blocker.test_name
    if blocker.component == COLLECTION:
        return None if key in document.outstanding else RUNS
    if blocker.test_name == BACKUP:
        # It is imported again, and never set by hand with others.
        return BACKUP
    return file_of(key, _entry_of(document, key))


def _entry_of(document: Document, key: Key) -> JsonObject:
    """Return what the document holds of a validation: why it is outstanding, or its verdict."""
    if key in document.outstanding and not document.is_settled(key):
        return document.outstanding[key]
    return document.verdicts.get(key) or document.outstanding.get(key, {})


def _kind_of(document: Document, blocker: Blocker) -> str:
    """Return the kind of a blocker; of what is outstanding, the reason."""
    if blocker.kind == "outstanding" and blocker.component and blocker.test_name:
        entry = document.outstanding.get((blocker.component, blocker.test_name), {})
        return str(entry.get("reason", "unfinished run"))
    return blocker.kind


# --- what is wrong ------------------------------------------------------------------------------------------


def shared_causes(groups: Sequence[Group]) -> list[tuple[str, int, int]]:
    """Return the causes that several groups share, the most frequent first.

    :returns: what is wrong, the number of blockers, and the number of groups.
    """
    numbers: Counter[str] = Counter()
    sharing: Counter[str] = Counter()
    for group in groups:
        for cause in group.causes:
            numbers[cause.what] += cause.number
            sharing[cause.what] += 1
    return [(what, number, sharing[what]) for what, number in numbers.most_common() if sharing[what] > 1]


def _causes(document: Document, members: Sequence[Blocker], place: str) -> tuple[Cause, ...]:
    causes: dict[str, list[str]] = {}
    for blocker in members:
        name, what = _name_and_cause(document, blocker, place)
        causes.setdefault(what, []).append(name)
    # The most frequent first; of equal ones, the first.
    ordered = sorted(causes.items(), key=lambda cause: -len(cause[1]))
    return tuple(Cause(what, len(names), tuple(filter(None, names))) for what, names in ordered)


def _name_and_cause(document: Document, blocker: Blocker, place: str) -> tuple[str, str]:
    """Return the name of a blocker's validation within its group, and what is wrong with it."""
    if blocker.kind == "missing_component":
        return to_printable(blocker.component or ""), "no verdict"
    if blocker.component is None or blocker.test_name is None or place == RUNS:
        return "", blocker.message
    key = blocker.component, blocker.test_name
    name = key[1]
    if place and name == _entry_of(document, key).get("node_id", name):
        name = name.removeprefix(f"{place}::")
    prefix = f"{name_of(key)} "
    if not blocker.message.startswith(prefix):
        return "", blocker.message
    return to_printable(name), blocker.message.removeprefix(prefix)


# --- what to do ---------------------------------------------------------------------------------------------


def _step(document: Document, members: list[Blocker], place: str, context: Context, advice: Advice) -> Step:
    """Return what to do about several blockers of one group."""
    component = members[0].component or ""
    kinds = {_kind_of(document, blocker) for blocker in members}
    first = _before(document, members, kinds, context)
    allow = ""
    if kinds <= {*ALLOWABLE}:
        allow = ", ".join(f"'{kind}'" for kind in ALLOWABLE if kind in kinds)
    if place == _REQUIRED:
        return advice.on_all_missing()
    if place == RUNS:
        return advice.on_runs(_ended_runs(document, members, context))
    if component == COLLECTION:
        return advice.on_collection(_files_of(members), first, allow)
    if place:
        return advice.on_file(place, first, allow)
    return advice.on_records(component, first)


def _ended_runs(document: Document, members: Sequence[Blocker], context: Context) -> list[str]:
    """Return the names of the unfinished runs that are not known to be alive."""
    alive = {run_name(run_id) for run_id in document.open_runs if context.liveness_of(run_id) == "alive"}
    names = [blocker.test_name or "" for blocker in members]
    return [name for name in names if name not in alive]


def _files_of(members: Sequence[Blocker]) -> list[str]:
    """Return the files and tests that settle what was not collected; none if everything has to be run."""
    keys = [(blocker.component or "", blocker.test_name or "") for blocker in members]
    if len(keys) > _FILES_NAMED or any(map(is_rest, keys)):
        return []
    return [name for key in keys for name in clashing(key) or (key[1],)]


def _before(document: Document, members: Sequence[Blocker], kinds: set[str], context: Context) -> str:
    """Return what comes before the tests of a group are run again, with the words that follow it."""
    if kinds & _TO_BE_FIXED:
        return "fix them, then "
    keys = [(blocker.component or "", blocker.test_name or "") for blocker in members]
    awaited = {run_id for key in keys for run_id in runs_of(document.outstanding.get(key, {}))}
    is_running = any(context.liveness_of(run_id) == "alive" for run_id in awaited & document.open_runs.keys())
    return "let it finish, or " if is_running else ""
