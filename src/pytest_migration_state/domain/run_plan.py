"""The plan of a run, decided on the current state. Everything here is pure; the time is passed in."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain import run_events
from pytest_migration_state.domain.policy import COLLECTION
from pytest_migration_state.domain.runs import clashing, projects_of, rest_name, runs_of, waiting_for
from pytest_migration_state.types import as_object, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.types import JsonObject, Key, Liveness

#: The number of selections for which the files of a full collection are remembered.
_SELECTIONS: Final = 20
#: The number of validations in one entry of the plan: lines must stay short enough to be read.
_PLAN_PIECE: Final = 500


class Look(NamedTuple):
    """The files that a complete collection looked at, and those that it left out.

    :ivar selection: the digest of what was asked for, without the options that leave files out because of an
        earlier run's results.
    :ivar files: the digests of the files that it looked at, separated by spaces.
    :ivar unseen: the digest of each file that was left out without a look at it (``--lf``, testmon), by node
        id.
    :ivar chosen_by_plugin: whether a plugin (such as pytest-picked), and not the selection, chose the files.
    :ivar why: why something was left out, in words.
    :ivar project: a digest of the project whose files they are; empty if it is not known.
    """

    selection: str
    files: str
    unseen: Mapping[str, str] = MappingProxyType({})
    chosen_by_plugin: bool = False
    why: str | None = None
    project: str = ""

    @property
    def is_full(self) -> bool:
        """True if nothing was left out."""
        return not self.unseen and not self.chosen_by_plugin


class RunPlan(NamedTuple):
    """The plan of a run.

    :ivar entries: the validations that become outstanding. A deselected one counts only if it is not known
        yet.
    :ivar collected: files (node ids) that could be collected: an earlier collection error of theirs is
        settled.
    :ivar look: what the collection looked at, if that is known.
    :ivar is_whole: whether the collection was completed, so that all tests of the run are known.
    """

    entries: list[JsonObject]
    collected: Sequence[str] = ()
    look: Look | None = None
    is_whole: bool = True


def settled_runs(
    document: Document, plan: RunPlan, selection: str, liveness: Mapping[str, Liveness]
) -> dict[str, JsonObject]:
    """Return the runs that have ended and were asked to run what this run runs.

    :param selection: a digest of what this run was asked to run.
    :param liveness: whether each other open run is alive, by id.
    """
    if not plan.is_whole:
        return {}
    return {
        run_id: run
        for run_id, run in document.open_runs.items()
        if isinstance(run, dict)
        and liveness.get(run_id, "alive") != "alive"
        and selection in {run.get("selection"), run.get("collecting"), run.get("full")}
    }


def planned(
    document: Document,
    now: str,
    plan: RunPlan,
    run_id: str,
    settled: Mapping[str, JsonObject],
    liveness: Mapping[str, Liveness],
) -> list[Event]:
    """Return the events that record a plan.

    :param run_id: the run whose plan it is.
    :param settled: the earlier runs that this one settles (see :func:`settled_runs`).
    :param liveness: whether each other open run is alive, by id.
    """
    metadata = _changed_runs(document, plan, run_id, settled)
    entries = plan.entries
    if plan.look and plan.is_whole:
        entries = entries + _not_looked_at(document, now, plan.look)
        metadata |= _remembered(document, plan.look)
    unfinished = [other for other, how in liveness.items() if how != "dead" and other not in settled]
    entries = [
        _awaiting(document, entry, run_id, unfinished)
        for entry in entries
        if not _is_deselected_and_known(document, entry)
    ]
    entries, gone = _by_project(document, plan, entries)
    if not (entries or gone or metadata):
        return []
    first, *others = _in_pieces(entries)
    return [
        run_events.planned(first, gone, metadata, settled),
        *(run_events.planned(piece) for piece in others),
    ]


def _changed_runs(
    document: Document, plan: RunPlan, run_id: str, settled: Mapping[str, JsonObject]
) -> JsonObject:
    """Return the change of the metadata that closes settled runs and ends the collecting of this one."""
    runs: JsonObject = dict.fromkeys(settled)
    if plan.is_whole and run_id in document.collecting_runs:
        runs[run_id] = {"collecting": None}
    return {"open_runs": runs} if runs else {}


def _is_deselected_and_known(document: Document, entry: JsonObject) -> bool:
    """Return True for a deselected test that keeps its existing result."""
    return entry["reason"] == "deselected" and document.is_known(key_of(entry))


def _in_pieces(entries: list[JsonObject]) -> list[list[JsonObject]]:
    """Return a plan in pieces that each fit in one entry of the audit log; at least one piece."""
    starts = range(0, max(len(entries), 1), _PLAN_PIECE)
    return [entries[start : start + _PLAN_PIECE] for start in starts]


def _awaiting(document: Document, entry: JsonObject, run_id: str, unfinished: list[str]) -> JsonObject:
    """Return a pending validation with the runs that will record its verdict: this one and earlier ones."""
    if entry["reason"] != "pending":
        return entry
    before = document.outstanding.get(key_of(entry))
    if before is None:
        return {**entry, "run_id": run_id}
    return waiting_for(entry, [run_id, *(other for other in runs_of(before) if other in unfinished)])


def _not_looked_at(document: Document, now: str, look: Look) -> list[JsonObject]:
    """Return an entry for each file that was left out, unless an earlier run looked at it as it is now."""
    if look.is_full:
        return []
    before = _collections(document).get(look.selection)
    known = set(before.split()) if before else set()
    names = [name for name, digest in look.unseen.items() if digest not in known]
    if look.chosen_by_plugin and before is None:
        names.append(rest_name(look.selection))
    return [run_events.outstanding(now, (COLLECTION, name), "deselected", look.why) for name in names]


def _collected_again(document: Document, plan: RunPlan, entries: list[JsonObject]) -> list[Key]:
    """Return the files that earlier could not be collected, or were not looked at, and now were collected."""
    failing = {entry["test_name"] for entry in entries if entry["component"] == COLLECTION}
    failed_before = {name for component, name in document.outstanding if component == COLLECTION} - failing
    found = _found(plan)
    settled = {name for name in failed_before if name in found or _are_found(name, found)}
    return [(COLLECTION, name) for name in sorted(settled)]


def _by_project(
    document: Document, plan: RunPlan, entries: list[JsonObject]
) -> tuple[list[JsonObject], list[Key]]:
    """Return the entries with the projects of files that were not collected, and the files that now were.

    Several projects may have a file of one name: each waits until its own is collected.
    """
    gone = _collected_again(document, plan, entries)
    if not plan.look or not plan.look.project:
        return entries, gone
    own = {plan.look.project}
    others = {key: projects_of(document.outstanding[key]) - own for key in gone}
    waiting = [{**document.outstanding[key], "projects": sorted(others[key])} for key in gone if others[key]]
    entries = [_with_projects(document, entry, own) for entry in entries]
    return entries + waiting, [key for key in gone if not others[key]]


def _with_projects(document: Document, entry: JsonObject, own: set[str]) -> JsonObject:
    if entry["component"] != COLLECTION:
        return entry
    others = projects_of(document.outstanding.get(key_of(entry), {}))
    return {**entry, "projects": sorted(own | others)}


def _found(plan: RunPlan) -> set[str]:
    found = set(plan.collected)
    if plan.look and plan.look.is_full and plan.is_whole:
        found.add(rest_name(plan.look.selection))
    return found


def _are_found(name: str, found: set[str]) -> bool:
    """Return True for two tests that claimed one validation, if both were collected without a clash."""
    both = clashing((COLLECTION, name))
    return both is not None and found.issuperset(both)


def _collections(document: Document) -> Mapping[str, str]:
    """Return the digests of the files in the last full collection of each selection."""
    return as_object(document.metadata.get("collections"))


def _remembered(document: Document, look: Look) -> JsonObject:
    """Return the metadata change that remembers the collected files, for the newest selections only."""
    known = _collections(document)
    if not look.is_full or known.get(look.selection) == look.files:
        return {}
    others = [selection for selection in known if selection != look.selection]
    surplus = others[: max(0, len(known) - _SELECTIONS + 1)]
    return {"collections": {**dict.fromkeys(surplus), look.selection: look.files}}
