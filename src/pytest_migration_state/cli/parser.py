"""The parser of the command line, built from the table of commands."""

from __future__ import annotations

import argparse

from pytest_migration_state import __version__
from pytest_migration_state.cli.arguments import PROGRAM, Formatter, Parser, add_state
from pytest_migration_state.cli.commands import apply, importers, powershell, read, write
from pytest_migration_state.cli.registry import COMMANDS

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Final

#: The modules that register commands.
_MODULES: Final[tuple[ModuleType, ...]] = (write, apply, importers, read, powershell)
#: The order of the commands in the help.
_ORDER: Final = {module.__name__: position for position, module in enumerate(_MODULES)}

_CLOSING: Final = """\
Without -s, the state is the file that $MIGRATION_STATE names, else migration-state.json here.
A text that begins with '-' needs '--' before it, or an option's '=': --error=-1.

exit status:
  0  done
  1  refused by the rules: illegal transition, gate shut, rollback unavailable, state exists, not sound,
     a backup not safe, nothing to accept
  2  wrong usage
  3  the state cannot be used: missing, damaged, newer, locked, not writable"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command to run (``run``) and its arguments.

    :param arguments: as typed; by default those of this process.
    :raises UsageError: they are invalid.
    :raises SystemExit: help or version was asked for, and is printed.
    """
    return _parser().parse_args(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Record, look at and gate a migration whose validations are pytest's verdicts.",
        epilog=_CLOSING,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    add_state(parser, None)
    parsers = parser.add_subparsers(prog=PROGRAM, title="commands", metavar="COMMAND", required=True)
    for command in sorted(COMMANDS, key=lambda command: _ORDER[command.run.__module__]):
        description = (command.run.__doc__ or "").strip()
        examples = "\n".join(f"  {PROGRAM} {command.name} {example}".rstrip() for example in command.examples)
        added = parsers.add_parser(
            command.name,
            help=description.partition("\n")[0].rstrip("."),
            description="\n".join(line.strip() for line in description.splitlines()),
            epilog=f"example:\n{examples}\n\nPowerShell: {command.powershell}",
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        added.set_defaults(run=command.run)
        # The option may come before or after the command. If it is not given after it, it must not override
        # the one before.
        add_state(added, argparse.SUPPRESS)
        command.add_arguments(added)
    return parser
