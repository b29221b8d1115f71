"""Commands that change nothing."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import (
    LEVELS,
    add_json,
    add_policy,
    component_name,
    integer_from,
    one_of,
)
from pytest_migration_state.cli.context import print_json, report, tracker_of
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.registry import command
from pytest_migration_state.domain.policy import SETTINGS, Policy

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


# --- show ---------------------------------------------------------------------------------------------------


def _show_arguments(parser: ArgumentParser) -> None:
    help_text = "only this component: its verdicts, and why they failed"
    parser.add_argument("component", metavar="COMPONENT", nargs="?", type=component_name, help=help_text)
    add_json(parser, "print the state document, or what it holds of the component")
    parser.add_argument(
        "--watch", action="store_true", help="show it anew every 2 seconds, until Completed or RolledBack"
    )


@command(
    "show",
    "",
    "guardian-hive",
    "--json",
    powershell="Get-MigrationState",
    arguments=_show_arguments,
    aliases=("status",),
)
def show(options: Namespace) -> int:
    """Show the current state of the migration.

    With --watch it ends when the migration is Completed or RolledBack, with the exit status of 'gate'.
    """
    if options.watch:
        if options.json:
            raise UsageError("--watch shows the state to people; follow the log with 'audit --follow --json'")
        from pytest_migration_state.cli.following import watch

        return watch(options)
    from pytest_migration_state.cli.views import check_component, judge, view_of

    tracker = tracker_of(options)
    document = tracker.read()
    if options.json and options.component is None:
        return report(options, document)
    judged = judge(tracker, document)
    check_component(judged, options)
    if not options.json:
        output.report(view_of(tracker, judged, options.component))
        return 0
    from pytest_migration_state.reports.component import component_object

    print_json(component_object(document, options.component))
    return 0


# --- audit --------------------------------------------------------------------------------------------------


def _audit_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--last", metavar="N", type=integer_from(0), help="only the last N entries; 0: all")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="print new entries as they come, until Completed or RolledBack; begins with the last 10",
    )
    parser.add_argument("--level", metavar="LEVEL", type=one_of(LEVELS), help=f"only {' or '.join(LEVELS)}")
    add_json(parser, "print JSON Lines, each object as it is in the log")


@command(
    "audit",
    "--last 20",
    "--level WARNING",
    "--json",
    powershell="Get-MigrationAuditLog",
    arguments=_audit_arguments,
)
def audit(options: Namespace) -> int:
    """Show the audit log, the oldest entry first.

    With --follow it ends when the migration is Completed or RolledBack, with the exit status of 'gate'.
    """
    from pytest_migration_state.cli.views import print_entries

    if options.follow:
        from pytest_migration_state.cli.following import follow

        return follow(options)
    print_entries(tracker_of(options).audit_lines(options.last, must_exist=True), options)
    return 0


# --- gate ---------------------------------------------------------------------------------------------------


def _gate_arguments(parser: ArgumentParser) -> None:
    add_policy(parser)
    add_json(parser, "print the result, its blockers, overrides and acceptances as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="every blocker, and why its test failed")
    help_text = "only the blockers of this component"
    parser.add_argument("--component", metavar="NAME", type=component_name, help=help_text)


@command(
    "gate",
    "--require guardian-hive --allow skipped",
    "-v --component guardian-hive",
    powershell="Get-MigrationGate",
    arguments=_gate_arguments,
)
def gate(options: Namespace) -> int:
    """Say whether Completed would be accepted now and, if not, why.

    Exit status 0 means open, 1 shut, whichever component is asked for.
    """
    from pytest_migration_state.cli.views import check_component, judge
    from pytest_migration_state.reports.gate_report import gate_report

    policy = Policy.of({setting.name: getattr(options, setting.name) for setting in SETTINGS})
    tracker = tracker_of(options)
    judged = judge(tracker, tracker.read(), policy)
    check_component(judged, options)
    if options.json:
        from pytest_migration_state.reports.status import gate_object

        found = gate_object(judged.document, judged.gate)
        if options.component is not None:
            own = [one for one in found["blockers"] if one["component"] == options.component]
            found |= {"blockers": own, "other_blockers": len(found["blockers"]) - len(own)}
        print_json(found)
    else:
        output.report(lambda form: gate_report(judged, form, options.component), is_full=options.verbose)
    return 0 if judged.gate.open else 1


# --- verify -------------------------------------------------------------------------------------------------


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
    if options.json:
        found = tracker_of(options).verify()
        print_json(found.to_object())
    else:
        from pytest_migration_state.reports.records import verification

        with output.working("checking the audit log"):
            found = tracker_of(options).verify()
        output.report(lambda form: verification(found, form))
    return 0 if found.sound else 1
