"""The command behind the PowerShell functions."""

from __future__ import annotations

import argparse

from pytest_migration_state.cli import output
from pytest_migration_state.cli.registry import command

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _powershell_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--module", action="store_true", help="print the path of the module instead")
    # What the functions themselves call; see cli.powershell_requests.
    parser.add_argument("--request", action="store_true", help=argparse.SUPPRESS)


@command(
    "powershell",
    "",
    "--module",
    powershell="itself: . (migration-state powershell)",
    arguments=_powershell_arguments,
)
def powershell(options: Namespace) -> int:
    """Print the path of MigrationState.ps1, the PowerShell functions over this command line.

    A script loads them with:  . (migration-state powershell)
    As a module:               Import-Module (migration-state powershell --module)
    """
    if options.request:
        from pytest_migration_state.cli.powershell_requests import answer

        return answer()
    from pathlib import Path

    name = "MigrationState.psd1" if options.module else "MigrationState.ps1"
    output.for_powershell(str(Path(__file__).parents[2] / name))
    return 0
