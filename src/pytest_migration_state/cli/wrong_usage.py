"""What is wrong with a command line, in plain words. It is loaded only when there is an error.

A sentence of argparse that is not known here is passed on as it is.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from pytest_migration_state.cli.registry import COMMANDS
from pytest_migration_state.cli.suggestions import did_you_mean, nearest
from pytest_migration_state.domain.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_migration_state.cli.arguments import Parser

_NEGATIVE_NUMBER: Final = re.compile(r"-\d+|-\d*\.\d+")


def explain(parser: Parser, message: str, arguments: Sequence[str]) -> str:
    """Return the sentence about an error that argparse found.

    :param parser: the parser that found it.
    :param message: what argparse says.
    :param arguments: everything that was typed.
    """
    for pattern, in_words in _SENTENCES.items():
        if match := re.fullmatch(pattern, message, re.DOTALL):
            return _with_help(parser, in_words(parser, match, arguments))
    return _with_help(parser, message)


def explain_surplus(parser: Parser, surplus: Sequence[str], arguments: Sequence[str]) -> str:
    """Return the sentence about arguments that the command does not take.

    :param parser: the parser of the command.
    :param surplus: what was left over.
    :param arguments: everything that was typed.
    """
    options = [word for word in _before_dashes(arguments) if word in surplus and _is_option(word)]
    if option := _unknown_option(parser, options):
        return _with_help(parser, _about_option(parser, option))
    if options:
        moved = options[0]
        return _with_help(parser, f"{moved!r} belongs behind the command: {parser.prog} {moved}")
    return _with_help(parser, _about_operands(parser, surplus))


def _with_help(parser: Parser, sentence: str) -> str:
    return f"{sentence} (see '{parser.prog} --help')"


# --- what argparse says -------------------------------------------------------------------------------------


def _unknown_command(parser: Parser, match: re.Match[str], arguments: Sequence[str]) -> str:
    typed = match["typed"][1:-1]
    before = arguments[: arguments.index(typed)] if typed in arguments else ()
    if option := _unknown_option(parser, before):
        hint = did_you_mean(option, parser.options) or "; the options of a command belong behind it"
        return f"there is no option {option!r} before a command{hint}"
    names = _command_names()
    hint = did_you_mean(typed, [*names, *(f"phase {phase}" for phase in PHASES)])
    if not hint and (phase := nearest(typed, PHASES)):
        hint = f"; did you mean 'phase {phase}'?"
    return f"there is no command {match['typed']}{hint or ': the commands are ' + ', '.join(names)}"


def _missing(parser: Parser, match: re.Match[str], arguments: Sequence[str]) -> str:
    if option := _unknown_option(parser, arguments):
        return _about_option(parser, option)
    missing = match["names"].split(", ")
    if missing == ["COMMAND"]:
        return f"the command is missing: one of {', '.join(_command_names())}"
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(missing)} {verb} missing{_example(parser)}"


def _missing_choice(parser: Parser, match: re.Match[str], arguments: Sequence[str]) -> str:
    if option := _unknown_option(parser, arguments):
        return _about_option(parser, option)
    options = match["names"].split(" ")
    without_dashes = [option for option in options if option.lstrip("-") in arguments]
    hint = f"; did you mean {without_dashes[0]!r}?" if without_dashes else _example(parser)
    return f"{' or '.join(options)} is missing{hint}"


def _no_value(_: Parser, match: re.Match[str], arguments: Sequence[str]) -> str:
    names = match["name"].split("/")
    typed = next((name for name in names if name in arguments), names[-1])
    following = arguments[arguments.index(typed) + 1 :] if typed in arguments else ()
    if following and following[0].startswith("-"):
        return f"{typed} needs a value; one that begins with '-' is written as {names[-1]}={following[0]}"
    return f"{typed} needs a value"


def _needless_value(_: Parser, match: re.Match[str], __: Sequence[str]) -> str:
    return f"{match['name']} takes no value, and got {match['value']}"


def _contradiction(_: Parser, match: re.Match[str], __: Sequence[str]) -> str:
    return f"{match['name']} and {match['other']} exclude each other; leave one out"


#: What argparse says, as regular expressions, and who says it in our words.
_SENTENCES: Final[dict[str, Callable[[Parser, re.Match[str], Sequence[str]], str]]] = {
    r"argument COMMAND: invalid choice: (?P<typed>'.*?'|\".*?\")(?:,| \(choose).*": _unknown_command,
    r"the following arguments are required: (?P<names>.*)": _missing,
    r"one of the arguments (?P<names>.*) is required": _missing_choice,
    r"argument (?P<name>\S+): expected one argument": _no_value,
    r"argument (?P<name>\S+): ignored explicit argument (?P<value>.*)": _needless_value,
    r"argument (?P<name>\S+): not allowed with argument (?P<other>.*)": _contradiction,
}


# --- what was typed -----------------------------------------------------------------------------------------


def _unknown_option(parser: Parser, arguments: Sequence[str]) -> str | None:
    """Return the first argument that argparse takes for an option and does not know."""
    options = filter(_is_option, _before_dashes(arguments))
    return next((option for option in options if _option_of(option) not in parser.options), None)


def _before_dashes(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments before ``--``. What is behind it is never an option."""
    return takewhile(lambda argument: argument != "--", arguments)


def _is_option(argument: str) -> bool:
    """Return whether argparse takes an argument for an option."""
    begins_like_one = len(argument) > 1 and argument.startswith("-")
    return begins_like_one and " " not in argument and not _NEGATIVE_NUMBER.fullmatch(argument)


def _option_of(argument: str) -> str:
    """Return the option that an argument gives: ``--error=text`` and ``-spath`` have a value behind it."""
    return argument.partition("=")[0] if argument.startswith("--") else argument[:2]


def _about_option(parser: Parser, typed: str) -> str:
    option = typed.partition("=")[0]
    hint = did_you_mean(option, parser.options)
    if not hint and parser.takes_operands:
        hint = "; a text that begins with '-' needs '--' before it"
    return f"there is no option {option!r}{hint}"


def _about_operands(parser: Parser, surplus: Sequence[str]) -> str:
    command = parser.prog.rpartition(" ")[2]
    refused = f"{command!r} does not take {' '.join(surplus)!r}"
    options = [f"--{word}" for word in surplus if f"--{word}" in parser.options]
    if options:
        return f"{refused}; did you mean {options[0]!r}?"
    return refused + _example(parser)


def _command_names() -> list[str]:
    return sorted(name for command in COMMANDS for name in (command.name, *command.aliases))


def _example(parser: Parser) -> str:
    """Return the first example of the parser's command, as the end of a sentence."""
    name = parser.prog.rpartition(" ")[2]
    examples = next(
        (command.examples for command in COMMANDS if name in (command.name, *command.aliases)), ()
    )
    return f"; example: {parser.prog} {examples[0]}".rstrip() if examples else ""
