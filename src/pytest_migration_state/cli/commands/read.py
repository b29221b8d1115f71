"""Commands that change nothing."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import add_json, add_policy, integer_from
from pytest_migration_state.cli.context import print_json, report, tracker_of
from pytest_migration_state.cli.registry import command
from pytest_migration_state.domain.policy import SETTINGS, Policy

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


@command(
    "show",
    "",
    "--json",
    powershell="Get-MigrationState",
    arguments=lambda parser: add_json(parser, "print the state document"),
)
def show(options: Namespace) -> int:
    """Show the current state of the migration."""
    tracker = tracker_of(options)
    document = tracker.read()
    if options.json:
        return report(options, document)
    from pytest_migration_state.reports import terminal

    entries = [line.content for line in tracker.audit_lines(terminal.LAST_ENTRIES) if line.content]
    output.lines(terminal.overview(document, tracker.context(document), entries))
    return 0


def _audit_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--last", metavar="N", type=integer_from(0), help="only the last N entries; 0: all")
    add_json(parser, "print JSON Lines, each object as it is in the log")


@command("audit", "--last 20", "--json", powershell="Get-MigrationAuditLog", arguments=_audit_arguments)
def audit(options: Namespace) -> int:
    """Show the audit log, the oldest entry first."""
    found = tracker_of(options).audit_lines(options.last, must_exist=True)
    if options.json:
        from pytest_migration_state.json_codec import strip_bom

        output.json_pieces(strip_bom(line.raw) + b"\n" for line in found)
        return 0
    from pytest_migration_state.reports import terminal

    output.lines(terminal.entry(line.content) for line in found if line.content)
    return 0


def _gate_arguments(parser: ArgumentParser) -> None:
    add_policy(parser)
    add_json(parser, "print the result, its blockers, overrides and acceptances as JSON")


@command(
    "gate",
    "--require guardian-hive --allow skipped",
    powershell="Get-MigrationGate",
    arguments=_gate_arguments,
)
def gate(options: Namespace) -> int:
    """Say whether Completed would be accepted now and, if not, why.

    Exit status 0 means open, 1 shut.
    """
    from pytest_migration_state.domain.gate import evaluate

    policy = Policy.of({setting.name: getattr(options, setting.name) for setting in SETTINGS})
    tracker = tracker_of(options)
    document = tracker.read()
    result = evaluate(document, policy, tracker.context(document))
    if options.json:
        from pytest_migration_state.reports.status import gate_object

        print_json(gate_object(document, result))
    else:
        from pytest_migration_state.reports import terminal

        output.lines(terminal.gate(document, result))
    return 0 if result.open else 1


@command(
    "verify",
    "--json",
    powershell="Test-MigrationState",
    arguments=lambda parser: add_json(parser, "print the report as JSON"),
)
def verify(options: Namespace) -> int:
    """Check the audit log's hash chain, and the document against the log.

    Exit status 0 means sound, 1 not.
    """
    found = tracker_of(options).verify()
    if options.json:
        print_json(found.to_object())
    else:
        from pytest_migration_state.reports import terminal

        output.lines(terminal.verification(found))
    return 0 if found.sound else 1
