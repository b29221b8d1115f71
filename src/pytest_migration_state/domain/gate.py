"""The gate that guards Validation → Completed: a pure function of the state, a policy and the context.

A rule is one function that yields blockers; :data:`RULES` lists them in the order in which people read their
blockers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pytest_migration_state.domain.advice import Advice
from pytest_migration_state.domain.phases import Phase
from pytest_migration_state.domain.policy import ALLOWABLE, COLLECTION, Policy
from pytest_migration_state.domain.runs import run_in_words, run_name, runs_of
from pytest_migration_state.types import Blocker, JsonObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import Liveness


@dataclass(frozen=True, slots=True)
class Context:
    """What the gate must know besides the state and the policy.

    :ivar state: the address of the state as a person would type it, for the commands in the fixes.
    :ivar liveness: whether each open run is alive, by id; a run that is not named is ``unknown``.
    :ivar run_id: the run that asks, or ``None``: it does not wait for itself.
    """

    state: str = "STATE"
    liveness: Mapping[str, Liveness] = field(default_factory=dict)
    run_id: str | None = None

    def liveness_of(self, run_id: str) -> Liveness:
        """Return whether an open run is alive."""
        return self.liveness.get(run_id, "unknown")


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of :func:`evaluate`.

    :ivar blockers: every reason for the gate to stay shut; none means open.
    """

    blockers: tuple[Blocker, ...]

    @property
    def open(self) -> bool:
        """Whether Validation → Completed is allowed."""
        return not self.blockers

    def to_object(self) -> JsonObject:
        """Return the result as a JSON object."""
        return {"open": self.open, "blockers": [blocker.to_object() for blocker in self.blockers]}


def evaluate(document: Document, policy: Policy | None = None, context: Context | None = None) -> GateResult:
    """Return whether the migration may be completed and, if not, every reason.

    :param policy: without one, or with an empty one, a Completed migration is judged by the policy that it
        was completed with.
    """
    if policy is None or policy == Policy():
        policy = _completed_with(document)
    question = _Question(document, policy, context or Context())
    return GateResult(tuple(blocker for rule in RULES for blocker in rule(question)))


def _completed_with(document: Document) -> Policy:
    """Return the policy that a Completed migration was completed with; an empty one if none is recorded."""
    recorded = document.metadata.get("completed_with")
    if document.phase is not Phase.COMPLETED or not isinstance(recorded, dict):
        return Policy()
    allow = recorded.get("allow")
    return Policy(allow=frozenset(ALLOWABLE).intersection(allow if isinstance(allow, list) else ()))


# --- the rules ----------------------------------------------------------------------------------------------


class _Question:
    """What a rule is asked about."""

    def __init__(self, document: Document, policy: Policy, context: Context) -> None:
        self.document = document
        self.policy = policy
        self.context = context
        self.advice = Advice(context.state)


def _no_verdicts(question: _Question) -> Iterator[Blocker]:
    """At least one validation has a verdict."""
    if not question.document.verdicts:
        yield Blocker(
            "no_verdicts",
            None,
            None,
            "no validation has a verdict yet",
            question.advice.run_all("run the marked tests"),
        )


def _failures(question: _Question) -> Iterator[Blocker]:
    """Every verdict is passed."""
    for key, verdict in question.document.verdicts.items():
        if verdict["passed"]:
            continue
        if verdict.get("outcome") != "xfailed":
            yield Blocker("failed", *key, *question.advice.on_failure(key, verdict))
        elif "xfailed" not in question.policy.allow:
            yield Blocker("xfailed", *key, *question.advice.on_expected_failure(key, verdict))


def _outstanding(question: _Question) -> Iterator[Blocker]:
    """Nothing is outstanding."""
    document, context = question.document, question.context
    for key, entry in document.outstanding.items():
        if entry["reason"] in question.policy.allow or document.is_settled(key):
            continue
        awaited = [
            run_id for run_id in runs_of(entry) if run_id in document.open_runs and run_id != context.run_id
        ]
        run = None
        if awaited:
            run = run_in_words(awaited[0], document.open_runs[awaited[0]], context.liveness_of(awaited[0]))
        yield Blocker("outstanding", *key, *question.advice.on_outstanding(key, entry, run))


def _unfinished_runs(question: _Question) -> Iterator[Blocker]:
    """No run is alive, and none ended before its plan was recorded.

    A Completed migration is not made incomplete by a run that validates it again.
    """
    document, context = question.document, question.context
    if document.phase is Phase.COMPLETED:
        return
    for run_id, run in document.open_runs.items():
        liveness = context.liveness_of(run_id)
        is_alive_elsewhere = run_id != context.run_id and liveness == "alive"
        if run_id in document.collecting_runs or is_alive_elsewhere:
            sentences = question.advice.on_unfinished_run(
                run_id, run, liveness, is_own=run_id == context.run_id
            )
            yield Blocker("outstanding", COLLECTION, run_name(run_id), *sentences)


def _missing_components(question: _Question) -> Iterator[Blocker]:
    """Every required component has a verdict."""
    validated = {component for component, _ in question.document.verdicts}
    for component in question.policy.require:
        if component not in validated:
            yield Blocker("missing_component", component, None, *question.advice.on_missing(component))


#: Every rule of the gate.
RULES: Final[tuple[Callable[[_Question], Iterator[Blocker]], ...]] = (
    _no_verdicts,
    _failures,
    _outstanding,
    _unfinished_runs,
    _missing_components,
)
