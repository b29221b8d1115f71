"""The command that lets a shell complete the others."""

from __future__ import annotations

import argparse

from pytest_migration_state.cli import output
from pytest_migration_state.cli.arguments import OneOf, one_of
from pytest_migration_state.cli.errors import UsageError
from pytest_migration_state.cli.registry import command

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Final

_SHELLS: Final = ("bash", "zsh")
#: The placeholders of arguments that name files, and what shtab calls such a completion.
_PATHS: Final = {"PATH": "FILE", "FILE": "FILE", "MANIFEST": "FILE", "DIR": "DIRECTORY"}


def _completion_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", type=one_of(_SHELLS), help=" or ".join(_SHELLS))


@command("completion", *_SHELLS, arguments=_completion_arguments)
def completion(options: Namespace) -> int:
    """Print a script that lets the shell complete commands, options, phases and files.

    bash, in ~/.bashrc:  eval "$(migration-state completion bash)"
    zsh, in ~/.zshrc:    eval "$(migration-state completion zsh)", behind compinit

    It needs the extra: pip install 'pytest-migration-state[completion]'
    """
    try:
        import shtab
    except ImportError as missing:
        way_out = "install it with: pip install 'pytest-migration-state[completion]'"
        raise UsageError(f"completion needs the library shtab; {way_out}") from missing
    for action in _actions(options.program):
        if isinstance(action.type, OneOf):
            action.choices = action.type.words
        elif action.metavar in _PATHS:
            vars(action)["complete"] = getattr(shtab, _PATHS[action.metavar])
    output.raw([shtab.complete(options.program, options.shell).encode(), b"\n"])
    return 0


def _actions(parser: ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of the commands' parsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
