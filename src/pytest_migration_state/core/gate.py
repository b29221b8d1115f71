"""The gate that guards Validation → Completed: a pure function of the state and a policy."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pytest_migration_state.core.document import collecting_runs
from pytest_migration_state.core.errors import InvalidArgumentError
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.core.document import Document, JsonObject, Key

BlockerKind = Literal["no_verdicts", "failed", "xfailed", "outstanding", "missing_component"]

#: What a policy may allow.
ALLOWABLE: Final = ("skipped", "deselected", "xfailed")

#: The component under which a file that could not be collected (or was skipped as a whole) is outstanding.
COLLECTION: Final = "(collection)"

#: The test name of the verdict on a container's backup.
BACKUP: Final = "backup"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the gate asks beyond its fixed rules, and what it lets pass.

    :ivar require: components that must have a verdict.
    :ivar allow: reasons that do not keep the gate shut, of :data:`ALLOWABLE`.
    :raises InvalidArgumentError: a reason that cannot be allowed.
    """

    require: tuple[str, ...] = ()
    allow: frozenset[str] = field(default_factory=frozenset)

    def to_object(self) -> JsonObject:
        return {"require": list(self.require), "allow": sorted(self.allow)}

    def __post_init__(self) -> None:
        for reason in sorted(self.allow):
            if reason not in ALLOWABLE:
                raise InvalidArgumentError("allow", reason, f"it is one of {', '.join(ALLOWABLE)}")


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason for the gate to stay shut.

    :ivar kind: see :data:`BlockerKind`.
    :ivar component: the component that it is about, or ``None``.
    :ivar test_name: the validation that it is about, or ``None``.
    :ivar message: what is the matter and what to do about it.
    """

    kind: BlockerKind
    component: str | None
    test_name: str | None
    message: str

    def to_object(self) -> JsonObject:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What :func:`evaluate` found.

    :ivar blockers: every reason for the gate to stay shut; none means open.
    """

    blockers: tuple[Blocker, ...]

    @property
    def open(self) -> bool:
        return not self.blockers

    def to_object(self) -> JsonObject:
        return {"open": self.open, "blockers": [blocker.to_object() for blocker in self.blockers]}


def evaluate(document: Document, policy: Policy | None = None, *, state: str = "STATE") -> GateResult:
    """May this migration be completed?

    :param policy: where none is given, or one that says nothing, a migration that is Completed is judged by the policy that it
        was completed with.
    :param state: the document's path as a person would type it, for the commands in the messages.
    """
    if policy is None or policy == Policy():
        policy = _completed_with(document)
    return GateResult(tuple(_blockers(document, policy, shlex.quote(state))))


def _completed_with(document: Document) -> Policy:
    """The policy that a Completed migration was completed with; one that says nothing where none is on record."""
    recorded = document.metadata.get("completed_with")
    if document.phase is not Phase.COMPLETED or not isinstance(recorded, dict):
        return Policy()
    allow = recorded.get("allow")
    return Policy(allow=frozenset(ALLOWABLE).intersection(allow if isinstance(allow, list) else ()))


def _blockers(document: Document, policy: Policy, state: str) -> Iterator[Blocker]:
    if not document.verdicts:
        yield Blocker("no_verdicts", None, None, f"no validation has a verdict yet; run the marked tests: pytest --migration-state={state}")
    for key, verdict in document.verdicts.items():
        if verdict["passed"]:
            continue
        component, test_name = key
        name, again = _name(key), _run(key, verdict, state)
        if verdict.get("outcome") == "xfailed":
            if "xfailed" not in policy.allow:
                message = f"{name} failed as its xfail mark expects; mend it and remove the mark, or allow 'xfailed'; then {again}"
                yield Blocker("xfailed", component, test_name, message)
            continue
        why = f": {printable(_first_line(verdict['error_message']))}" if verdict.get("error_message") else ""
        yield Blocker("failed", component, test_name, f"{name} failed{why}; mend it, then {again}")
    for key, entry in document.outstanding.items():
        if entry["reason"] not in policy.allow and not document.is_settled(key):
            yield Blocker("outstanding", *key, _outstanding_message(key, entry, state))
    for run_id, run in collecting_runs(document).items():
        yield Blocker("outstanding", COLLECTION, run_name(run_id), _collecting_message(run_id, run, state))
    verified = {component for component, _ in document.verdicts}
    for component in policy.require:
        if component not in verified:
            name = f"the required component '{printable(component)}'"
            yield Blocker(
                "missing_component", component, None, f"{name} has no verdict; run its marked tests: pytest --migration-state={state}"
            )


def _outstanding_message(key: Key, entry: JsonObject, state: str) -> str:
    name, again = _name(key), _run(key, entry, state)
    detail = f" ({printable(_first_line(entry['detail']))})" if entry.get("detail") else ""
    forget = f"if it no longer exists: migration-state forget -s {state} {_quoted(key[0])} {_quoted(key[1])} --reason TEXT"
    match entry["reason"]:
        case "deselected":
            return f"{name} was deselected and has never run; {again}, or allow 'deselected'"
        case "skipped":
            return f"{name} was skipped{detail}; mend what it waits for, then {again}, or allow 'skipped'; {forget}"
        case "collection_error":
            return f"{printable(key[1])} could not be collected{detail}; mend it, then {again}; {forget}"
        case _:
            return f"{name} was selected to run and has no verdict{detail}; {again}; {forget}"


def run_name(run_id: str) -> str:
    """Under which name a run that is still collecting is outstanding."""
    return f"run {run_id}"


def _collecting_message(run_id: str, run: JsonObject, state: str) -> str:
    where = f" on {run['host']} (process {run.get('process_id')})" if run.get("host") else ""
    what = f"run {run_id}{where} began to collect its tests and has not said which it will run"
    forget = f"migration-state forget -s {state} {_quoted(COLLECTION)} {_quoted(run_name(run_id))} --reason TEXT"
    return f"{printable(what)}; let it go on, or, if it was killed, run the same again, or: {forget}"


def _name(key: Key) -> str:
    if key[0] == COLLECTION:
        return printable(key[1])
    return f"'{printable(key[1])}' of '{printable(key[0])}'"


def _run(key: Key, entry: JsonObject, state: str) -> str:
    """The command that runs just this validation. One recorded by hand has no test to run."""
    if key[1] == BACKUP:
        return f"run: migration-state import-backup -s {state} MANIFEST"
    node_id = entry.get("node_id", key[1])
    if key[0] == COLLECTION or ".py" in node_id or "::" in node_id:
        return f"run: pytest --migration-state={state} {_quoted(node_id)}"
    return f"check it and record what you see: migration-state result -s {state} {_quoted(key[0])} {_quoted(key[1])} --passed (or --failed)"


def _quoted(text: str) -> str:
    return shlex.quote(printable(text))


def _first_line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return first[:200] + (" …" if rest or len(first) > 200 else "")
