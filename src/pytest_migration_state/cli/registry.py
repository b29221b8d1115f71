"""The table of commands. A command registers itself where it is defined, together with its arguments."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from pytest_migration_state.cli.arguments import Parser

    Run = Callable[[Namespace], int]
    AddArguments = Callable[[Parser], object]


class Command:
    """A command.

    :ivar name: as it is typed.
    :ivar aliases: other names.
    :ivar run: carries it out and returns its exit status. Its docstring is the help.
    :ivar add_arguments: adds what it takes besides the state.
    :ivar powershell: the PowerShell function that it stands for.
    :ivar examples: arguments that may follow its name, for the help.
    """

    def __init__(
        self,
        name: str,
        aliases: tuple[str, ...],
        run: Run,
        add_arguments: AddArguments,
        powershell: str,
        examples: tuple[str, ...],
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.run = run
        self.add_arguments = add_arguments
        self.powershell = powershell
        self.examples = examples


#: Every command, in the order of the help.
COMMANDS: list[Command] = []


def command(
    name: str,
    *examples: str,
    powershell: str = "none",
    arguments: AddArguments = lambda _: None,
    aliases: tuple[str, ...] = (),
) -> Callable[[Run], Run]:
    """Return a decorator that registers a function as a command; see :class:`Command`."""

    def register(run: Run) -> Run:
        COMMANDS.append(Command(name, aliases, run, arguments, powershell, examples or ("",)))
        return run

    return register
