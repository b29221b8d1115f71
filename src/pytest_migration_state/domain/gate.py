"""The gate that guards Validation → Completed: a pure function of the state, a policy and the context.

A rule is one function that yields blockers; :data:`RULES` lists them in the order in which people read their
blockers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.advice import Advice
from pytest_migration_state.domain.commands import ShellCommands
from pytest_migration_state.domain.facts import time_of
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import COLLECTION, Policy
from pytest_migration_state.domain.runs import run_in_words, run_name, runs_of
from pytest_migration_state.domain.staleness import is_stale
from pytest_migration_state.text import first_line, to_printable
from pytest_migration_state.types import Blocker, JsonObject, Step, as_object, fix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_migration_state.domain.commands import Commands
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import Liveness


class Context(NamedTuple):
    """The context of an evaluation: what the gate needs besides the state and the policy.

    :ivar state: the address of the state as a person would type it, for the commands in the fixes.
    :ivar liveness: whether each open run is alive, by id; a run that is missing is ``unknown``.
    :ivar run_id: the run that evaluates the gate, or ``None``. It does not wait for itself.
    :ivar commands: the kind of commands in the fixes.
    """

    state: str = "STATE"
    liveness: Mapping[str, Liveness] = MappingProxyType({})
    run_id: str | None = None
    commands: Callable[[str], Commands] = ShellCommands

    def liveness_of(self, run_id: str) -> Liveness:
        """Return the liveness of an open run."""
        return self.liveness.get(run_id, "unknown")


class GateResult(NamedTuple):
    """The result of :func:`evaluate`. It is true if the gate is open.

    :ivar blockers: every reason for the gate to stay shut; none means open.
    """

    blockers: tuple[Blocker, ...]

    def __bool__(self) -> bool:
        return self.open

    @property
    def open(self) -> bool:
        """True if Validation → Completed is allowed."""
        return not self.blockers

    @property
    def is_shut_by_phase_alone(self) -> bool:
        """True if the phase is the only reason for the gate to be shut."""
        return [blocker.kind for blocker in self.blockers] == ["phase"]

    def to_object(self) -> JsonObject:
        """Return the result as a JSON object."""
        return {"open": self.open, "blockers": [blocker.to_object() for blocker in self.blockers]}


def evaluate(document: Document, policy: Policy | None = None, context: Context | None = None) -> GateResult:
    """Return whether the migration may be completed and, if not, every reason.

    :param policy: the gate's policy. If it is ``None`` or empty, a Completed migration is judged by the
        policy with which it was completed.
    """
    if policy is None or policy == Policy():
        policy = _policy_of_completion(document)
    question = _Question(document, policy, context or Context())
    return GateResult(tuple(blocker for rule in RULES for blocker in rule(question)))


def let_pass(document: Document, policy: Policy | None = None) -> dict[str, int]:
    """Return how many validations do not keep the gate shut only because the policy allows their reason.

    :param policy: as that of :func:`evaluate`.
    :returns: the number for each reason, without those that let nothing pass.
    """
    if policy is None or policy == Policy():
        policy = _policy_of_completion(document)
    counts = dict.fromkeys(sorted(policy.allow), 0)
    for verdict in document.verdicts.values():
        if not verdict["passed"] and verdict.get("outcome") in counts:
            counts[verdict["outcome"]] += 1
        elif verdict["passed"] and is_stale(verdict) and "stale" in counts:
            counts["stale"] += 1
    for key, entry in document.outstanding.items():
        if entry["reason"] in counts and not document.is_settled(key):
            counts[entry["reason"]] += 1
    return {reason: count for reason, count in counts.items() if count}


def _policy_of_completion(document: Document) -> Policy:
    """Return the policy of a Completed migration; an empty one for another phase."""
    completion = _completion(document)
    if _was_completed_again(document, completion):
        # That program does not know what may be let pass.
        completion = {**completion, "allow": []}
    return Policy.recorded(completion)


def completion_in_words(document: Document) -> str:
    """Return, as a part of a sentence, why a Completed migration can have a gate that is shut."""
    completion = _completion(document)
    if not completion or _was_completed_again(document, completion):
        return "it was completed by a program that does not know the gate"
    if completion.get("forced") is None:
        return "the gate was open when it was completed, and what shuts it came later"
    reason = to_printable(first_line(str(completion["forced"] or ""))) or "no reason given"
    return f"it was forced ({reason})"


def _completion(document: Document) -> JsonObject:
    """Return the record of a completion; an empty one if there is none."""
    if document.phase is not Phase.COMPLETED:
        return {}
    return as_object(document.metadata.get("completed_with"))


def _was_open_at_completion(document: Document) -> bool:
    """Return True if it is on record that the gate was open when the migration was completed."""
    completion = _completion(document)
    is_forced = completion.get("forced") is not None
    return "at" in completion and not is_forced and not _was_completed_again(document, completion)


def _was_completed_again(document: Document, completion: JsonObject) -> bool:
    """Return True if another program completed the migration after the recorded completion.

    It keeps the record, and changes the time. An earlier version of this program recorded no time.
    """
    at = completion.get("at")
    return "at" in completion and (time_of(at) or at) != time_of(document.fields["completed_at"])


#: How much is to be expected of an unfinished run, the most first.
_EXPECTED: Final[tuple[Liveness, ...]] = ("alive", "unknown", "dead")

# --- the rules ----------------------------------------------------------------------------------------------


def _blocker(
    kind: str, component: str | None, test_name: str | None, message: str, steps: tuple[Step, ...]
) -> Blocker:
    return Blocker(kind, component, test_name, message, fix_of(steps), steps)


class _Question:
    """The input of a rule."""

    def __init__(self, document: Document, policy: Policy, context: Context) -> None:
        self.document = document
        self.policy = policy
        self.context = context
        self.advice = Advice(context.commands(context.state))

    def is_accepted(self, verdict: JsonObject) -> bool:
        """Return True for a verdict that is passed, or failed as the policy allows."""
        if verdict["passed"]:
            return True
        return verdict.get("outcome") == "xfailed" and "xfailed" in self.policy.allow


def _log(question: _Question) -> Iterator[Blocker]:
    """Require that the log has lost no entries, or that somebody has accepted it."""
    if lost := question.document.lost_entries:
        yield _blocker("log", None, None, *question.advice.on_lost_entries(lost))


def _no_verdicts(question: _Question) -> Iterator[Blocker]:
    """Require that at least one validation has a verdict."""
    if not question.document.verdicts:
        yield _blocker("no_verdicts", None, None, *question.advice.on_no_verdicts())


def _failures(question: _Question) -> Iterator[Blocker]:
    """Require that every verdict is passed."""
    for key, verdict in question.document.verdicts.items():
        if question.is_accepted(verdict):
            continue
        if verdict.get("outcome") == "xfailed":
            yield _blocker("xfailed", *key, *question.advice.on_expected_failure(key, verdict))
        else:
            yield _blocker("failed", *key, *question.advice.on_failure(key, verdict))


def _stale(question: _Question) -> Iterator[Blocker]:
    """Require that no verdict is about an earlier process of its component.

    If the gate was open when the migration was completed, every such process was recorded later. That does
    not make the migration incomplete. Otherwise nothing says which came first, and the verdict counts as
    stale.
    """
    document = question.document
    if "stale" in question.policy.allow or _was_open_at_completion(document):
        return
    processes = {item["name"]: item for item in document.fields["native_processes_started"]}
    for key, verdict in document.verdicts.items():
        if is_stale(verdict) and question.is_accepted(verdict):
            yield _blocker("stale", *key, *question.advice.on_stale(key, verdict, processes.get(key[0], {})))


def _outstanding(question: _Question) -> Iterator[Blocker]:
    """Require that nothing is outstanding."""
    document = question.document
    for key, entry in document.outstanding.items():
        if entry["reason"] in question.policy.allow or document.is_settled(key):
            continue
        awaited = _awaited(question, entry)
        run, is_running = None, "alive" in awaited.values()
        if awaited:
            # The one that says most about what will come.
            first = min(awaited, key=lambda run_id: _EXPECTED.index(awaited[run_id]))
            run = run_in_words(first, document.open_runs[first], awaited[first])
        sentences = question.advice.on_outstanding(key, entry, run, is_running=is_running)
        yield _blocker("outstanding", *key, *sentences)


def _awaited(question: _Question, entry: JsonObject) -> dict[str, Liveness]:
    """Return the unfinished runs that an outstanding validation waits for, and whether each is alive."""
    context = question.context
    return {
        run_id: context.liveness_of(run_id)
        for run_id in runs_of(entry)
        if run_id in question.document.open_runs and run_id != context.run_id
    }


def _unfinished_runs(question: _Question) -> Iterator[Blocker]:
    """Require that no run is alive, and that none ended before its plan was recorded.

    If the gate was open when the migration was completed, such a run validates it again. That does not make
    it incomplete.
    """
    document, context = question.document, question.context
    if _was_open_at_completion(document):
        return
    for run_id, run in document.open_runs.items():
        liveness = context.liveness_of(run_id)
        is_alive_elsewhere = run_id != context.run_id and liveness == "alive"
        if run_id in document.collecting_runs or is_alive_elsewhere:
            sentences = question.advice.on_unfinished_run(
                run_id, run, liveness, is_own=run_id == context.run_id
            )
            yield _blocker("outstanding", COLLECTION, run_name(run_id), *sentences)


def _missing_components(question: _Question) -> Iterator[Blocker]:
    """Require that every required component has a verdict."""
    validated = {component for component, _ in question.document.verdicts}
    for component in question.policy.require:
        if component not in validated:
            yield _blocker("missing_component", component, None, *question.advice.on_missing(component))


def _phase(question: _Question) -> Iterator[Blocker]:
    """Require the phase from which Completed can follow. A Completed migration has passed it."""
    phase = question.document.phase
    if phase not in {Phase.VALIDATION, Phase.COMPLETED}:
        yield _blocker("phase", None, None, *question.advice.on_phase(phase))


#: Every rule of the gate.
RULES: Final[tuple[Callable[[_Question], Iterator[Blocker]], ...]] = (
    _log,
    _no_verdicts,
    _failures,
    _stale,
    _outstanding,
    _unfinished_runs,
    _missing_components,
    _phase,
)
