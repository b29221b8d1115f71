"""Commands that record results of other tools."""

from __future__ import annotations

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import add_json
from pytest_migration_state.cli.context import report, tracker_of
from pytest_migration_state.cli.registry import command

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _import_backup_arguments(parser: ArgumentParser) -> None:
    add_json(parser, "print the state document as it is afterwards")
    parser.add_argument(
        "manifest", metavar="MANIFEST", help="the backup-manifest.json that the backup script wrote"
    )
    help_text = "where the manifest's backup_root is mounted here, if it is elsewhere"
    parser.add_argument("--root", metavar="DIR", help=help_text)


@command(
    "import-backup",
    "backups/backup-manifest.json",
    "/mnt/backups/backup-manifest.json --root /mnt/backups",
    powershell="Import-MigrationBackup",
    arguments=_import_backup_arguments,
)
def import_backup(options: Namespace) -> int:
    """Check the backup that a manifest describes against its files, and record the result.

    Each container of the backup script's backup-manifest.json gets a verdict with the test name 'backup', and
    if that is passed, its folder is recorded as preserved data. Every checksum is computed from the files;
    what the manifest says of its own success is never believed.
    Exit status 0 means that every backup is safe, 1 that one is not; both are recorded.
    """
    from pytest_migration_state.reports.records import backups

    tracker = tracker_of(options, create=True)
    with output.progress("checking the backup") as progress:
        results = tracker.check_backups(options.manifest, options.root, progress)
    document = tracker.commit_backups(results)
    if options.json:
        report(options, document)
    else:
        output.report(lambda form: backups(results, form))
    return 0 if all(result.passed for result in results) else 1
