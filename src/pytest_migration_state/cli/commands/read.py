"""Commands that change nothing."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import add_json, add_policy, integer_from, one_of
from pytest_migration_state.cli.context import print_json, report, tracker_of
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.registry import command
from pytest_migration_state.domain.policy import SETTINGS, Policy

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pytest_migration_state.domain.document import Document


# --- show ---------------------------------------------------------------------------------------------------


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "component",
        metavar="COMPONENT",
        nargs="?",
        help="only this component: its verdicts, and why they failed",
    )
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
    tracker = tracker_of(options)
    document = tracker.read()
    _check_component(document, options)
    if options.json:
        if options.component is None:
            return report(options, document)
        from pytest_migration_state.reports.component import component_object

        print_json(component_object(document, options.component))
        return 0
    from pytest_migration_state.cli.views import view_of

    output.report(view_of(tracker, document, options.component))
    return 0


def _check_component(document: Document, options: Namespace) -> None:
    """Refuse a component of which nothing is on record: its name is misspelt.

    :raises UsageError: nothing is on record of it.
    """
    if options.component is None:
        return
    from pytest_migration_state.reports.component import known_components
    from pytest_migration_state.text import to_storable

    known = known_components(document)
    name = options.component = to_storable(options.component)
    if name not in known:
        from pytest_migration_state.cli.suggestions import did_you_mean

        hint = did_you_mean(name, known) or "; 'migration-state show' lists those that are"
        raise UsageError(f"nothing is on record of a component '{name}'{hint}")


# --- audit --------------------------------------------------------------------------------------------------

#: The levels of an entry of the audit log; those of :data:`~pytest_migration_state.domain.events.LEVELS`.
_LEVELS = ("INFO", "WARNING", "ERROR")


def _audit_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--last", metavar="N", type=integer_from(0), help="only the last N entries; 0: all")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="print new entries as they come, until Completed or RolledBack; begins with the last 10",
    )
    parser.add_argument("--level", metavar="LEVEL", type=one_of(_LEVELS), help=f"only {' or '.join(_LEVELS)}")
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
    parser.add_argument("--component", metavar="NAME", help="only the blockers of this component")


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
    from pytest_migration_state.domain.gate import evaluate
    from pytest_migration_state.reports.gate_report import Judged, gate_report

    policy = Policy.of({setting.name: getattr(options, setting.name) for setting in SETTINGS})
    tracker = tracker_of(options)
    document = tracker.read()
    if options.component not in policy.require:
        _check_component(document, options)
    context = tracker.context(document)
    result = evaluate(document, policy, context)
    if options.json:
        from pytest_migration_state.reports.status import gate_object

        found = gate_object(document, result)
        if options.component is not None:
            found["blockers"] = [one for one in found["blockers"] if one["component"] == options.component]
        print_json(found)
    else:
        judged = Judged(document, result, context, policy)
        output.report(lambda form: gate_report(judged, form, options.component), is_full=options.verbose)
    return 0 if result.open else 1


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
