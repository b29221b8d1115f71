"""Commands that change the state by one operation."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import (
    LEVELS,
    add_json,
    add_policy,
    add_validation,
    integer_from,
    one_of,
    operand,
)
from pytest_migration_state.cli.context import report, state_path, tracker_of
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.registry import command
from pytest_migration_state.domain.phases import PHASES
from pytest_migration_state.domain.policy import SETTINGS

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any, Final

    from pytest_migration_state.cli.arguments import Parser

_AVAILABILITY: Final = ("available", "unavailable")


def _commit(options: Namespace, sentence: str, operation: str, **arguments: Any) -> int:
    """Carry out one operation and print ``sentence``, or the document."""
    document = tracker_of(options, create=True).commit([{"operation": operation, **arguments}])
    return report(options, document, sentence)


def _commit_described(
    options: Namespace, action: str, values: tuple[str, ...], operation: str, **arguments: Any
) -> int:
    """Carry out one operation, and print the details of its entry in the audit log.

    :param action: of :data:`~pytest_migration_state.domain.events.WORDING`.
    :param values: the values in its wording.
    """
    from pytest_migration_state.domain.events import describe

    return _commit(options, describe(action, *values), operation, **arguments)


def _add_document(parser: ArgumentParser) -> None:
    add_json(parser, "print the state document as it is afterwards")


# --- init ---------------------------------------------------------------------------------------------------


def _init_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="set an existing state aside, under a name beside it, and begin again",
    )


@command(
    "init",
    "",
    "--force -s work/migration-state.json",
    powershell="Initialize-MigrationState",
    arguments=_init_arguments,
)
def init(options: Namespace) -> int:
    """Begin a migration.

    An existing state is refused; --force sets it aside and begins again. The audit log goes on.
    """
    sentence = f"Migration state initialized: {state_path(options)}"
    status = _commit(options, sentence, "initialize", force=options.force)
    if not options.json and output.is_terminal():
        output.lines(_next_steps(options))
    return status


def _next_steps(options: Namespace) -> list[str]:
    """Return what a person may do next, each with its command."""
    from pytest_migration_state.domain.commands import ShellCommands, as_operand

    path = state_path(options)
    where = "" if options.state is None else f" -s {as_operand(path)}"
    return [
        f"  next phase:     migration-state phase {PHASES[1]}{where}",
        f"  run the tests:  {ShellCommands(path).run_all()}",
        f"  look at it:     migration-state show{where}",
    ]


# --- phase --------------------------------------------------------------------------------------------------


def _phase_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("phase", metavar="PHASE", type=one_of(PHASES), help=", ".join(PHASES))
    parser.add_argument(
        "--force", action="store_true", help="override transition table, gate and rollback availability"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit log")
    add_policy(parser)


@command(
    "phase",
    "BackupInProgress",
    "RolledBack --reason 'the new service loses jobs'",
    powershell="Set-MigrationPhase",
    arguments=_phase_arguments,
)
def phase(options: Namespace) -> int:
    """Move the migration to a phase.

    One step at a time, from NotStarted to Completed; to RolledBack from every phase but NotStarted.
    Completed passes the gate: see 'gate'.
    """
    policy = {setting.name: getattr(options, setting.name) for setting in SETTINGS}
    sentence = f"Phase set to '{options.phase}'"
    return _commit(
        options,
        sentence,
        "set_phase",
        phase=options.phase,
        force=options.force,
        reason=options.reason,
        **policy,
    )


# --- container, data, process -------------------------------------------------------------------------------


def _container_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("name", metavar="NAME", help="the container's name")
    parser.add_argument("container_id", metavar="ID", help="its id, as the container engine prints it")


@command(
    "container",
    "guardian-hive abc123def456",
    powershell="Add-ProcessedContainer",
    arguments=_container_arguments,
)
def container(options: Namespace) -> int:
    """Record that a container was removed."""
    values = options.name, options.container_id
    arguments = {"name": options.name, "container_id": options.container_id}
    return _commit_described(options, "ContainerProcessed", values, "add_processed_container", **arguments)


def _data_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("key", metavar="KEY", help="what was saved")
    parser.add_argument("backup_path", metavar="PATH", help="where it was saved")


@command(
    "data",
    "guardian-hive-config backups/guardian-hive/config.json",
    powershell="Add-PreservedData",
    arguments=_data_arguments,
)
def data(options: Namespace) -> int:
    """Record where data was saved."""
    values = options.key, options.backup_path
    arguments = {"key": options.key, "backup_path": options.backup_path}
    return _commit_described(options, "DataPreserved", values, "add_preserved_data", **arguments)


def _process_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("name", metavar="NAME", help="what the process is called")
    parser.add_argument("--pid", metavar="N", type=integer_from(1), help="its process id")


@command("process", "guardian-hive --pid 12345", powershell="Add-NativeProcess", arguments=_process_arguments)
def process(options: Namespace) -> int:
    """Record that a native process was started.

    The verdicts of the component of this name become stale: validate it again.
    """
    arguments = {"name": options.name, "process_id": options.pid}
    return _commit_described(options, "ProcessStarted", (options.name,), "add_native_process", **arguments)


# --- result -------------------------------------------------------------------------------------------------


def _result_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    add_validation(parser)
    verdict = parser.add_mutually_exclusive_group(required=True)
    verdict.add_argument("--passed", action="store_true", help="it passed")
    verdict.add_argument("--failed", action="store_true", help="it failed")
    parser.add_argument("--error", metavar="TEXT", help="why it failed; only with --failed")
    help_text = "why it counts as passed although a run's test failed, for the reports and the audit log"
    parser.add_argument("--reason", metavar="TEXT", help=help_text)


@command(
    "result",
    "guardian-hive native_execution_test --passed",
    "guardian-hive native_execution_test --failed --error 'it answers 500'",
    "guardian-hive native_execution_test --passed --reason 'OPS-7: the test asks the old port'",
    powershell="Add-ValidationResult",
    arguments=_result_arguments,
)
def result(options: Namespace) -> int:
    """Record the verdict of a validation.

    It replaces an earlier verdict of the same component and test. A pass over a failure that a run of
    tests recorded is shown by every report, with --reason, until a run records another verdict.
    """
    if options.error is not None and options.passed:
        raise UsageError("--error says why a test failed; leave it out, or say --failed")
    if options.reason is not None and options.failed:
        raise UsageError("--reason says why a test counts as passed; say why it failed with --error")
    words = "PASSED" if options.passed else "FAILED"
    return _commit_described(
        options,
        "ValidationResult",
        (options.test_name, options.component, words),
        "add_validation_result",
        component=options.component,
        test_name=options.test_name,
        passed=options.passed,
        error_message=options.error,
        reason=options.reason,
    )


# --- rollback, error, log -----------------------------------------------------------------------------------


def _rollback_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    help_text = " or ".join(_AVAILABILITY)
    parser.add_argument("availability", metavar="AVAILABILITY", type=one_of(_AVAILABILITY), help=help_text)


@command("rollback", "unavailable", powershell="Set-RollbackAvailability", arguments=_rollback_arguments)
def rollback(options: Namespace) -> int:
    """Record whether the migration can be rolled back."""
    available = options.availability == "available"
    values = (options.availability,)
    return _commit_described(
        options, "RollbackAvailability", values, "set_rollback_availability", available=available
    )


def _error_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("message", metavar="MESSAGE", nargs="?", help="what went wrong")
    parser.add_argument("--clear", action="store_true", help="take the error off the record")


@command(
    "error",
    "'the disk of the new host is full'",
    "--clear",
    powershell="Set-MigrationError",
    arguments=_error_arguments,
)
def error(options: Namespace) -> int:
    """Record an error of the migration, or take it off the record.

    The audit log keeps it. --clear where there is no error changes nothing.
    """
    if options.clear and options.message is not None:
        raise UsageError("--clear takes the error off the record; leave it out, or the message")
    if options.clear:
        document, events = tracker_of(options).carry_out([{"operation": "clear_error"}])
        return report(options, document, events[0].details if events else "There is no error to clear")
    if options.message is None:
        raise UsageError("say what went wrong, or take the error off the record with --clear")
    return _commit(options, f"Error recorded: {options.message}", "set_error", message=options.message)


def _log_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("action", metavar="ACTION", help="what kind of entry it is, in one word")
    parser.add_argument("details", metavar="DETAILS", help="the entry in words")
    levels = f"{', '.join(LEVELS)}; INFO if not given"
    parser.add_argument("--level", metavar="LEVEL", type=one_of(LEVELS), default="INFO", help=levels)


@command(
    "log",
    "Notice 'the window was extended to 23:00' --level WARNING",
    powershell="Write-MigrationAuditLog",
    arguments=_log_arguments,
)
def log(options: Namespace) -> int:
    """Write an entry to the audit log."""
    entry = {"action": options.action, "details": options.details, "level": options.level}
    return _commit(options, f"Entry '{options.action}' written", "write_audit", **entry)


# --- forget -------------------------------------------------------------------------------------------------


#: Every validation of a component, in patterns. One may be called ``*``, and its name means that one alone.
_EVERY: Final = ["*", "?*"]


def _forget_arguments(parser: Parser) -> None:
    parser.mixes_operands = True
    _add_document(parser)
    parser.add_argument(
        "component", metavar="COMPONENT", type=operand, help="the component that was validated"
    )
    parser.add_argument(
        "tests",
        metavar="TEST",
        nargs="*",
        default=[],
        type=operand,
        help="a test's name or a pattern; every test of the component if not given",
    )
    parser.add_argument(
        "--reason", metavar="TEXT", required=True, help="why it no longer exists, for the audit log"
    )


@command(
    "forget",
    "guardian-hive native_execution_test --reason 'replaced by test_guardian_hive.py'",
    "guardian-hive native_execution_test 'tests/test_old.py::*' --reason 'the file was deleted'",
    "guardian-hive --reason 'it is no longer a component'",
    powershell="Remove-ValidationResult",
    arguments=_forget_arguments,
)
def forget(options: Namespace) -> int:
    """Take validations whose tests no longer exist off the record: all that are named, or none.

    In a pattern * stands for any text and ? for one character; [ and ] stand for themselves. A name that is
    on record means just that one, whatever characters it has. A run that did not finish is forgotten as
    'run ID' of '(collection)'; one that is alive only by that name, not by a pattern.
    """
    from pytest_migration_state.domain.forgetting import name_in
    from pytest_migration_state.text import counted

    validations = {"component": options.component, "test_name": options.tests or _EVERY}
    request = {"operation": "forget_validation", **validations, "reason": options.reason}
    document, events = tracker_of(options, create=True).carry_out([request])
    names = [name_in(event) for event in events]
    if len(names) == 1:
        return report(options, document, f"Test '{names[0]}' for '{options.component}' forgotten")
    counts = f"{counted(len(names), 'validation')} of '{options.component}' forgotten"
    return report(options, document, counts, *(f"  {name}" for name in names))


# --- accept -------------------------------------------------------------------------------------------------


def _accept_arguments(parser: ArgumentParser) -> None:
    _add_document(parser)
    parser.add_argument("--by", metavar="WHO", required=True, help="who accepts it")
    parser.add_argument(
        "--reason", metavar="TEXT", required=True, help="why, for the reports and the audit log"
    )


@command(
    "accept",
    "--by 'the operator on duty' --reason 'OPS-9: the log was deleted with the old disk'",
    powershell="Approve-MigrationRecord",
    arguments=_accept_arguments,
)
def accept(options: Namespace) -> int:
    """Accept the state as the document has it, although its record is not whole.

    That is where 'verify' finds the audit log gone, cut or changed, or changes that were not logged. Until
    then a log that lost entries keeps the gate shut; afterwards every report says who accepted it. A failed,
    missing or refused result is not accepted: record it again.
    """
    sentence = f"Accepted by {options.by}: the state is as the document has it"
    return _commit(options, sentence, "accept_record", by=options.by, reason=options.reason)
