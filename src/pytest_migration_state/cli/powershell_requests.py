"""Requests of the PowerShell functions: one JSON object on standard input, JSON Lines on standard output.

What crosses the pipes is ASCII in both directions, so that no code page matters and no encoding is switched.
A request names its ``command``, the ``state`` and arguments. Each line of the answer has one key: ``warning``
(a sentence), ``answer`` (a value), and in the last line ``end`` (the number of lines before it) or ``error``.
A process that crashed and a program of the same name print no such last line, so that neither is taken for
an answer, and a line that PowerShell cannot read is missed.

Times are local, with an offset: PowerShell 7 reads them as local times, as those of the operators' scripts.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_migration_state.cli import output
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.refusals import DONE, Refusal
from pytest_migration_state.domain.commands import PowerShellCommands, in_powershell
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.keys import in_one_case, is_reserved
from pytest_migration_state.domain.operations import FORGET, VERDICT
from pytest_migration_state.domain.phases import PHASES
from pytest_migration_state.domain.policy import SETTINGS, Policy
from pytest_migration_state.errors import (
    GateBlockedError,
    InvalidArgumentError,
    MigrationStateError,
    RollbackUnavailableError,
    StateExistsError,
    StateNotFoundError,
)
from pytest_migration_state.json_codec import decode_object
from pytest_migration_state.reports.status import gate_object
from pytest_migration_state.text import to_printable
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

#: The keys whose values are times; so are those that end in ``_at``.
_TIMES: Final = frozenset({"at", "last_updated", "since", "stale_since", "timestamp"})
_PHASES: Final = {phase.lower(): phase for phase in PHASES}
_IN_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class _Command(Protocol):
    """Carries a request out, and yields the values of the answer."""

    def __call__(self, tracker: MigrationTracker, request: JsonObject) -> Iterator[object]: ...


class _Tracker(MigrationTracker):
    """A tracker whose blockers say what to type in PowerShell."""

    def context(self, document: Document) -> Context:
        """Return the gate's context for a document."""
        return super().context(document)._replace(commands=PowerShellCommands)


def answer() -> int:
    """Carry out the request on standard input, and print the answer. Return the exit status."""
    reply = _Reply()
    request: JsonObject = {}
    try:
        request = _request()
        tracker = _Tracker(request["state"], notify=reply.warn)
        for value in COMMANDS[request["command"]](tracker, request):
            reply.add("answer", reply.readable(value))
    except output.OutputError:
        raise
    except Exception as error:  # noqa: BLE001  # the functions show every error
        refusal = _in_powershell(error, request)
        output.json_line(refusal)
        status: int = refusal["error"]["exit_status"]
        return status
    output.json_line({"end": reply.lines})
    return DONE


def _request() -> JsonObject:
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return decode_object(sys.stdin.buffer.read())


# --- the commands -------------------------------------------------------------------------------------------


def _apply(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:
    operations = request["operations"]
    for operation in operations:
        # PowerShell takes 'validation' for Validation, and hands it on as it was typed.
        if phase := _PHASES.get(str(operation.get("phase")).lower()):
            operation["phase"] = phase
    _refuse_contradictions(operations)
    _refuse_repeated_names(operations)
    document = tracker.commit(operations)
    yield document.to_object() if request.get("wants_state") else {"phase": document.phase.value}


#: The arguments that name what an operation is about, and the one that says something of it.
_SAYING: Final = {
    VERDICT: (("component", "test_name"), "passed"),
    "add_preserved_data": (("key",), "backup_path"),
}


def _refuse_contradictions(operations: list[JsonObject]) -> None:
    """Refuse operations that contradict each other: of the rows of a table, none is the newer one.

    :raises InvalidArgumentError: there are such; its ``position`` is that of the second one.
    """
    said: dict[tuple[object, ...], object] = {}
    for position, operation in enumerate(operations, 1):
        if saying := _SAYING.get(operation.get("operation", "")):
            names, argument = saying
            key = tuple(operation.get(name) for name in names)
            value = operation.get(argument)
            if said.setdefault(key, value) != value:
                about = " of ".join(f"'{name}'" for name in reversed(key))
                reason = f"an object before it says something else of {about}; keep one of them"
                error = InvalidArgumentError(argument, value, reason)
                error.position = position
                raise error


def _refuse_repeated_names(operations: list[JsonObject]) -> None:
    """Refuse to forget by one name twice: once it is off the record, it could be taken for a pattern.

    :raises InvalidArgumentError: there are such operations; its ``position`` is that of the second one.
    """
    named: set[tuple[object, object]] = set()
    for position, operation in enumerate(operations, 1):
        if operation.get("operation") == FORGET:
            component, tests = operation.get("component"), operation.get("test_name")
            if not isinstance(tests, list):
                tests = [tests]
            if again := [test for test in tests if (component, test) in named]:
                reason = f"an object before it names it too, of '{component}'; keep one of them"
                error = InvalidArgumentError("test_name", again[0], reason)
                error.position = position
                raise error
            named.update((component, test) for test in tests)


def _log(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:
    tracker.write_early_audit(request["action"], request["details"], request["level"])
    yield from ()


def _show(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:  # noqa: ARG001  # see _Command
    yield tracker.read().to_object()


def _audit(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:
    for line in tracker.audit_lines(request.get("last"), must_exist=True):
        yield line.content


def _gate(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:
    document = tracker.read()
    policy = Policy.of({setting.name: request.get(setting.name, ()) for setting in SETTINGS})
    yield gate_object(document, evaluate(document, policy, tracker.context(document)))


def _verify(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:  # noqa: ARG001  # see _Command
    yield tracker.verify().to_object()


def _import_backup(tracker: MigrationTracker, request: JsonObject) -> Iterator[object]:
    tracker.read()
    results = tracker.check_backups(request["manifest"], request.get("root"))
    tracker.commit_backups(results)
    for result in results:
        yield {
            "container": result.container,
            "passed": result.passed,
            "reasons": list(result.reasons),
            "files": result.files,
            "size": result.size,
        }


#: Every command that a request may name.
COMMANDS: Final[dict[str, _Command]] = {
    "apply": _apply,
    "log": _log,
    "show": _show,
    "audit": _audit,
    "gate": _gate,
    "verify": _verify,
    "import_backup": _import_backup,
}


# --- answers ------------------------------------------------------------------------------------------------


class _Reply:
    """The lines of an answer.

    :ivar lines: how many there are.
    """

    def __init__(self) -> None:
        self.lines = 0

    def add(self, key: str, value: object) -> None:
        """Print a line."""
        self.lines += 1
        output.json_line({key: value})

    def warn(self, sentence: str) -> None:
        """Print a warning."""
        self.add("warning", sentence)

    def readable(self, value: Any, key: str = "") -> Any:
        """Return a JSON value as PowerShell is given it: times local, and without keys that it cannot read.

        :param key: the key of the value.
        """
        if isinstance(value, dict):
            return {name: self.readable(value[name], name) for name in self._readable_keys(value)}
        if isinstance(value, list):
            return [self.readable(item, key) for item in value]
        if isinstance(value, str) and (key in _TIMES or key.endswith("_at")) and _IN_UTC.fullmatch(value):
            return _in_local_time(value)
        return value

    def _readable_keys(self, value: JsonObject) -> Iterator[str]:
        """Yield the keys that PowerShell can read beside each other, and warn of the others."""
        seen = {""}
        for name in value:
            same = in_one_case(name)
            if same in seen or is_reserved(name):
                self.warn(f"the key '{to_printable(name)}' is left out here: PowerShell cannot read it")
            else:
                seen.add(same)
                yield name


def _in_local_time(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):  # the first and the last day may not exist in another zone
        return time


def _in_powershell(error: Exception, request: JsonObject) -> JsonObject:
    """Return an error in words for PowerShell, as the last line of an answer."""
    refusal = Refusal(error)
    state = f"-StatePath {in_powershell(str(request.get('state')))}"
    operations = request.get("operations", ())
    match error:
        case StateNotFoundError():
            missing = f"there is no '{error.path}'"
            refusal.lines = [f"Migration state not found. Please initialize first: {missing}"]
        case StateExistsError():
            refusal.lines[0] = refusal.lines[0].replace("aside with --force", "aside with -Force")
        case RollbackUnavailableError():
            command = f"Set-RollbackAvailability {state} -Available $true"
            refusal.lines[0] = refusal.lines[0].replace("command 'rollback available'", command)
        case GateBlockedError() if len(error.blockers) > 1:
            # PowerShell 7 shows the lines of an error as one paragraph.
            gate = " ".join(["Get-MigrationGate", state, *_policy(operations[-1])])
            refusal.lines.append(f"For a list: ({gate}).blockers | Format-List component, message, fix")
    position = getattr(error, "position", None) if isinstance(error, MigrationStateError) else None
    if position and len(operations) > 1:
        refusal.lines[0] = f"object {position} of {len(operations)}: {refusal.lines[0]}; nothing was recorded"
    described = refusal.to_object()
    described["error"]["type"] = type(error).__name__
    return described


def _policy(operation: JsonObject) -> Iterator[str]:
    """Yield the gate's policy of an operation as parameters of the functions."""
    for setting in SETTINGS:
        if names := operation.get(setting.name):
            yield f"-{setting.option.capitalize()} {', '.join(map(in_powershell, names))}"
