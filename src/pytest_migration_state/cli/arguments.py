"""Arguments that several commands take, and the parser that they are added to."""

from __future__ import annotations

import argparse

from pytest_migration_state.domain.policy import SETTINGS

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NoReturn

#: The name of the command, however it was started.
PROGRAM: Final = "migration-state"
#: The levels of an entry of the audit log; those of :data:`~pytest_migration_state.domain.events.LEVELS`.
LEVELS: Final = ("INFO", "WARNING", "ERROR")
#: The mark of an operand behind ``--``. No argument of a process can hold it.
_MARK: Final = "\0"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of a fixed width.

    Asking for the width of the terminal would load shutil, and with it every archive format.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


class ParserError(Exception):
    """An error in the words of argparse; see :mod:`~pytest_migration_state.cli.wrong_usage` for ours.

    :ivar parser: the parser that found it: of the program or of a command.
    :ivar message: what argparse says.
    """

    def __init__(self, parser: Parser, message: str) -> None:
        super().__init__(parser, message)
        self.parser = parser
        self.message = message


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that they are put into words in one place.

    :ivar mixes_operands: whether operands may stand between options although the last one takes several.
        Their type is then :func:`operand`.
    """

    mixes_operands = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, and return those that are unknown too.

        The method for mixed operands takes no ``--``: what is behind it is marked, so that it is no option.
        """
        if not self.mixes_operands:
            return super().parse_known_args(args, namespace)
        end = args.index("--") if "--" in args else len(args)
        marked = [*args[:end], *(_MARK + text for text in args[end + 1 :])]
        # That method calls this one.
        self.mixes_operands = False
        try:
            return self.parse_known_intermixed_args(marked, namespace)
        finally:
            self.mixes_operands = True

    def error(self, message: str) -> NoReturn:
        """Raise an error of the command line.

        :raises ParserError: always.
        """
        raise ParserError(self, message)

    @property
    def options(self) -> list[str]:
        """The options that it takes, as they are typed, without those that the help does not show."""
        shown = self._option_string_actions.items()
        return [option for option, action in shown if action.help != argparse.SUPPRESS]

    @property
    def takes_operands(self) -> bool:
        """Whether it takes anything besides options."""
        return any(not action.option_strings for action in self._actions)


def add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the options of every command.

    :param default: the value of an option that is not given.
    """
    parser.add_argument("-s", "--state", metavar="PATH", default=default, help="the state file")
    parser.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        default=default,
        type=seconds,
        help="how long to wait for another process that holds the state",
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option for JSON.

    :param what: what is printed, for the help.
    """
    parser.add_argument("--json", action="store_true", help=what)


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of the gate's policy."""
    for setting in SETTINGS:
        parser.add_argument(
            f"--{setting.option}",
            metavar=setting.metavar,
            action="append",
            default=[],
            type=one_of(setting.choices) if setting.choices else str,
            help=f"the gate: {setting.full_help} (repeatable)",
        )


def add_validation(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a validation."""
    parser.add_argument("component", metavar="COMPONENT", help="the component that was validated")
    parser.add_argument("test_name", metavar="TEST", help="the test's name")


def component_name(text: str) -> str:
    """Return the name of a component as it is stored."""
    from pytest_migration_state.text import to_storable

    return to_storable(text)


def operand(text: str) -> str:
    """Return an operand as it was typed; see :attr:`Parser.mixes_operands`."""
    return text.removeprefix(_MARK)


class OneOf:
    """An argument type that accepts one of these words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        if text in self.words:
            return text
        from pytest_migration_state.cli.suggestions import did_you_mean

        reason = f"it must be one of {', '.join(self.words)}"
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: {reason}{did_you_mean(text, self.words)}")


def one_of(words: Sequence[str]) -> OneOf:
    """Return an argument type that accepts one of these words."""
    return OneOf(words)


def seconds(text: str) -> float:
    """Return a number of seconds, which is not negative and may be a fraction."""
    is_number = text.isascii() and text.replace(".", "", 1).isdecimal() and len(text) < 20
    if not is_number:
        reason = "it must be a number of seconds, such as 5 or 0.5"
        raise argparse.ArgumentTypeError(f"{text[:200]!r} cannot be used: {reason}")
    return float(text)


def integer_from(first: int) -> Callable[[str], int]:
    """Return an argument type that accepts an integer that is not less than ``first``."""

    def check(text: str) -> int:
        is_integer = text.isascii() and text.isdecimal() and len(text) < 20
        if not is_integer or int(text) < first:
            reason = f"it must be an integer from {first}"
            raise argparse.ArgumentTypeError(f"{text[:200]!r} cannot be used: {reason}")
        return int(text)

    return check
