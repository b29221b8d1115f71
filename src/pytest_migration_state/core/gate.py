"""The gate that guards Validation → Completed: a pure function of the state and a policy."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pytest_migration_state.core.document import collecting_runs, open_runs, runs_of
from pytest_migration_state.core.errors import InvalidArgumentError
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_migration_state.core.document import Document, JsonObject, Key
    from pytest_migration_state.core.liveness import Liveness

BlockerKind = Literal["no_verdicts", "failed", "xfailed", "outstanding", "missing_component"]

#: What a policy may allow.
ALLOWABLE: Final = ("skipped", "deselected", "xfailed")

#: The component under which a file that could not be collected (or was skipped as a whole) is outstanding.
COLLECTION: Final = "(collection)"
#: The component of a crashed worker's test that cannot be tied to one.
UNKNOWN: Final = "(unknown)"
#: Names that no component of a user may have.
RESERVED: Final = frozenset({COLLECTION, UNKNOWN})

#: What a plugin left out that chose whole files, under which name it is outstanding, and before which digest.
_REST: Final = "everything else"

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
class Context:
    """What the gate must know besides the state and the policy.

    :ivar state: the document's path as a person would type it, for the commands in the messages.
    :ivar liveness: whether each open run still lives, by its id; one that is not named is ``unknown``.
    :ivar run_id: the run that asks, where one does: it does not wait for itself.
    """

    state: str = "STATE"
    liveness: Mapping[str, Liveness] = field(default_factory=dict)
    run_id: str | None = None


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


def evaluate(document: Document, policy: Policy | None = None, context: Context | None = None) -> GateResult:
    """May this migration be completed?

    :param policy: where none is given, or one that says nothing, a migration that is Completed is judged by the policy that it
        was completed with.
    """
    if policy is None or policy == Policy():
        policy = _completed_with(document)
    return GateResult(tuple(_blockers(document, policy, context or Context())))


def _completed_with(document: Document) -> Policy:
    """The policy that a Completed migration was completed with; one that says nothing where none is on record."""
    recorded = document.metadata.get("completed_with")
    if document.phase is not Phase.COMPLETED or not isinstance(recorded, dict):
        return Policy()
    allow = recorded.get("allow")
    return Policy(allow=frozenset(ALLOWABLE).intersection(allow if isinstance(allow, list) else ()))


def _blockers(document: Document, policy: Policy, context: Context) -> Iterator[Blocker]:
    state = shlex.quote(context.state)
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
            message = _outstanding_message(key, entry, _unfinished_run(document, entry, context), state)
            yield Blocker("outstanding", *key, message)
    yield from _waiting_for_runs(document, context, state)
    verified = {component for component, _ in document.verdicts}
    for component in policy.require:
        if component not in verified:
            name = f"the required component '{printable(component)}'"
            yield Blocker(
                "missing_component", component, None, f"{name} has no verdict; run its marked tests: pytest --migration-state={state}"
            )


def _waiting_for_runs(document: Document, context: Context, state: str) -> Iterator[Blocker]:
    """The runs that must end, or be settled, before anybody can say that everything was validated.

    A migration that is Completed is not made incomplete by a run that validates it again.
    """
    if document.phase is Phase.COMPLETED:
        return
    collecting = collecting_runs(document)
    for run_id, run in open_runs(document).items():
        lives = context.liveness.get(run_id, "unknown")
        is_other = run_id != context.run_id
        if run_id in collecting or (is_other and lives == "alive"):
            forget = f"migration-state forget -s {state} {_quoted(COLLECTION)} {_quoted(run_name(run_id))} --reason TEXT"
            if is_other:
                what = run_in_words(run_id, run, lives)
            else:
                what = f"{run_name(run_id)}, this one, ended before it was known which tests it would run"
            way_out = "let it finish" if is_other and lives == "alive" else "run the same again"
            yield Blocker("outstanding", COLLECTION, run_name(run_id), f"{what}; {way_out}, or: {forget}")


def _unfinished_run(document: Document, entry: JsonObject, context: Context) -> str | None:
    """The run that an outstanding validation waits for, in words; ``None`` where it waits for none, or only for who asks."""
    unfinished = open_runs(document)
    for run_id in runs_of(entry):
        if run_id in unfinished and run_id != context.run_id:
            return run_in_words(run_id, unfinished[run_id], context.liveness.get(run_id, "unknown"))
    return None


def _outstanding_message(key: Key, entry: JsonObject, why: str | None, state: str) -> str:
    name, again = _name(key), _run(key, entry, state)
    detail = f" ({printable(_first_line(entry['detail']))})" if entry.get("detail") else ""
    if why:
        detail += f": {why}"
    forget = f"if it no longer exists: migration-state forget -s {state} {_quoted(key[0])} {_quoted(key[1])} --reason TEXT"
    match entry["reason"]:
        case "deselected" if key[0] == COLLECTION:
            return f"{name} was not looked at{detail}; {again}, or allow 'deselected'; {forget}"
        case "deselected":
            return f"{name} was deselected and has never run; {again}, or allow 'deselected'"
        case "skipped":
            return f"{name} was skipped{detail}; mend what it waits for, then {again}, or allow 'skipped'; {forget}"
        case "collection_error":
            return f"{printable(key[1])} could not be collected{detail}; mend it, then {again}; {forget}"
        case _:
            return f"{name} was selected to run and has no verdict{detail}; {again}; {forget}"


def run_name(run_id: str) -> str:
    """Under which name a run that has not finished is outstanding."""
    return f"run {run_id}"


def rest_name(selection: str) -> str:
    """Under which name the files are outstanding that a plugin left out of this selection."""
    return f"{_REST} ({selection})"


def _is_rest(key: Key) -> bool:
    return key[0] == COLLECTION and key[1].startswith(f"{_REST} (")


def run_in_words(run_id: str, run: object, lives: Liveness) -> str:
    """An open run, where it is and what is known of it."""
    known = run if isinstance(run, dict) else {}
    where = f" on {known['host']} (process {known.get('process_id')})" if known.get("host") else ""
    begun = f", begun {known['started_at']}," if known.get("started_at") else ""
    if known.get("finished_at"):
        state = f"ended with exit status {known.get('exit_status')} before it was known which tests it would run"
    elif lives == "alive":
        state = "is running now"
    else:
        state = "was killed" if lives == "dead" else "has not finished; nothing is known of it"
        if known.get("collecting"):
            state += ", and it had not said which tests it would run"
    return printable(f"run {run_id}{where}{begun} {state}")


def _name(key: Key) -> str:
    if key[0] == COLLECTION:
        return _REST if _is_rest(key) else printable(key[1])
    return f"'{printable(key[1])}' of '{printable(key[0])}'"


def _run(key: Key, entry: JsonObject, state: str) -> str:
    """The command that runs just this validation. One recorded by hand has no test to run."""
    if key[1] == BACKUP:
        return f"run: migration-state import-backup -s {state} MANIFEST"
    if _is_rest(key):
        return f"run: pytest --migration-state={state}"
    node_id = entry.get("node_id", key[1])
    if key[0] == COLLECTION or ".py" in node_id or "::" in node_id:
        return f"run: pytest --migration-state={state} {_quoted(node_id)}"
    return f"check it and record what you see: migration-state result -s {state} {_quoted(key[0])} {_quoted(key[1])} --passed (or --failed)"


def _quoted(text: str) -> str:
    return shlex.quote(printable(text))


def _first_line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return first[:200] + (" …" if rest or len(first) > 200 else "")
