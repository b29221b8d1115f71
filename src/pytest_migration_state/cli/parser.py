"""The parser of the command line, built from the table of commands."""

from __future__ import annotations

import argparse

from pytest_migration_state import __version__
from pytest_migration_state.cli.arguments import PROGRAM, Formatter, Parser, ParserError, add_common
from pytest_migration_state.cli.commands import apply, completion, importers, powershell, read, write
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.registry import COMMANDS

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, Final

    from pytest_migration_state.cli.registry import Command

#: The modules that register commands.
_MODULES: Final[tuple[ModuleType, ...]] = (write, apply, importers, read, powershell, completion)
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments, the command to run (``run``), its ``parser`` and that of the ``program``.

    :param arguments: as typed after the program's name.
    :raises UsageError: they are invalid.
    :raises SystemExit: help or version was asked for, and is printed.
    """
    try:
        parsed: tuple[argparse.Namespace, list[str]] = _program_parser().parse_known_args(arguments)
    except ParserError as error:
        from pytest_migration_state.cli.wrong_usage import explain

        raise UsageError(explain(error.parser, error.message, arguments)) from error
    options, surplus = parsed
    if surplus:
        from pytest_migration_state.cli.wrong_usage import explain_surplus

        raise UsageError(explain_surplus(options.parser, surplus, arguments))
    return options


def _program_parser() -> Parser:
    """Return the parser of the program, with a parser for each command."""
    parser = Parser(
        prog=PROGRAM,
        description="Record, look at and gate a migration whose validations are pytest's verdicts.",
        epilog=_CLOSING,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.set_defaults(program=parser)
    add_common(parser, None)
    parsers = parser.add_subparsers(
        prog=PROGRAM, title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser
    )
    for command in sorted(COMMANDS, key=lambda command: _ORDER[command.run.__module__]):
        summary = (command.run.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        parsers.add_parser(command.name, aliases=command.aliases, help=summary, command=command)
    return parser


class _CommandParser(Parser):
    """The parser of one command, which is filled when it is first used.

    To fill the parsers of all commands would take a quarter of the time of --help.

    :param settings: what argparse passes to each parser.
    """

    def __init__(self, *, command: Command, **settings: Any) -> None:
        # argparse's own __init__ is what takes the time.
        self._fill_with = command, settings

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Fill the parser, and parse arguments."""
        self._fill()
        return super().parse_known_args(args, namespace)

    def __getattr__(self, name: str) -> Any:
        """Fill the parser: no attribute that argparse's methods use is there before that."""
        if "_fill_with" not in vars(self):
            raise AttributeError(name)
        self._fill()
        return getattr(self, name)

    def _fill(self) -> None:
        if "_fill_with" not in vars(self):
            return
        command, settings = self._fill_with
        del self._fill_with
        description = (command.run.__doc__ or "").strip()
        examples = "\n".join(f"  {PROGRAM} {command.name} {example}".rstrip() for example in command.examples)
        super().__init__(
            description="\n".join(line.strip() for line in description.splitlines()),
            epilog=f"example:\n{examples}\n\nPowerShell: {command.powershell}",
            formatter_class=Formatter,
            allow_abbrev=False,
            **settings,
        )
        self.set_defaults(run=command.run, parser=self)
        # These options may come before or after the command. If one is not given after it, it must not
        # override the one before.
        add_common(self, argparse.SUPPRESS)
        command.add_arguments(self)
