"""The commands that a fix names, as a person types them in a POSIX shell or in PowerShell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, Protocol

from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_migration_state.types import Key

#: Text that PowerShell takes as it is, without quotes. It may take what begins with a digit for a number.
_PLAIN: Final = re.compile(r"[A-Za-z_/\\][A-Za-z0-9_./\\:-]*")


class Commands(Protocol):
    """The commands over one state.

    :ivar or_failed: what is said after the command that records a passed result by hand.
    """

    or_failed: str

    def begin_again(self) -> str:
        """Return the command that begins another migration."""

    def go_to(self, phase: str) -> str:
        """Return the command that moves the migration to a phase."""

    def accept(self) -> str:
        """Return the command that accepts a record that is not whole."""

    def forget(self, names: Sequence[str]) -> str:
        """Return the command that removes validations from the record.

        :param names: the component and the names of the tests.
        """

    def record(self, key: Key) -> str:
        """Return the command that records a result by hand."""

    def import_backup(self) -> str:
        """Return the command that records results of backups."""

    def gate(self, component: str | None = None, *, in_full: bool = False) -> str:
        """Return the command that shows the blockers.

        :param component: the only component whose blockers are shown; ``None``: all.
        :param in_full: whether it shows every blocker, and all that can be done about it.
        """

    def run_all(self, component: str | None = None) -> str:
        """Return the command that runs all tests, and what else records results.

        :param component: the component that results are missing of; ``None``: any.
        """

    def run(self, tests: Sequence[str]) -> str:
        """Return the command that runs these tests, given as paths and node ids."""


class ShellCommands(Commands):
    """The commands of the command line, quoted for a POSIX shell.

    :param state: the address of the state as a person would type it.
    """

    or_failed = " (or --failed)"

    def __init__(self, state: str) -> None:
        self._state = as_operand(state)

    def begin_again(self) -> str:
        return f"migration-state init --force -s {self._state}"

    def go_to(self, phase: str) -> str:
        return f"migration-state phase {phase} -s {self._state}"

    def accept(self) -> str:
        return f"migration-state accept -s {self._state} --by WHO --reason TEXT"

    def forget(self, names: Sequence[str]) -> str:
        return f"migration-state forget -s {self._state} {_operands(*names, options='--reason TEXT')}"

    def record(self, key: Key) -> str:
        return f"migration-state result -s {self._state} {_operands(*key, options='--passed')}"

    def import_backup(self) -> str:
        return f"migration-state import-backup -s {self._state} MANIFEST"

    def gate(self, component: str | None = None, *, in_full: bool = False) -> str:
        command = f"migration-state gate -s {self._state}"
        if component is not None:
            # A name that begins with '-' is not taken for an option behind the '='.
            command += f" {shlex.quote(f'--component={to_printable(component)}')}"
        return f"{command} -v" if in_full else command

    def run_all(self, component: str | None = None) -> str:  # noqa: ARG002  # all tests are those of any
        return f"pytest --migration-state={self._state}"

    def run(self, tests: Sequence[str]) -> str:
        return " ".join([self.run_all(), *map(as_operand, tests)])


class PowerShellCommands(Commands):
    """The functions of ``MigrationState.ps1``, and pytest, quoted for PowerShell.

    :param state: the address of the state as a person would type it.
    """

    or_failed = " (or $false)"

    def __init__(self, state: str) -> None:
        self._state = f"-StatePath {in_powershell(state)}"
        self._pytest = "pytest " + in_powershell(f"--migration-state={state}", "--migration-state=")

    def begin_again(self) -> str:
        return f"Initialize-MigrationState {self._state} -Force"

    def go_to(self, phase: str) -> str:
        return f"Set-MigrationPhase {self._state} -NewPhase {phase}"

    def accept(self) -> str:
        return f"Approve-MigrationRecord {self._state} -By WHO -Reason TEXT"

    def forget(self, names: Sequence[str]) -> str:
        component, *tests = map(in_powershell, names)
        named = f"-Component {component} -TestName {', '.join(tests)}"
        return f"Remove-ValidationResult {self._state} {named} -Reason TEXT"

    def record(self, key: Key) -> str:
        return f"Add-ValidationResult {self._state} {_named(key)} -Passed $true"

    def import_backup(self) -> str:
        return f"Import-MigrationBackup {self._state} -ManifestPath MANIFEST"

    def gate(self, component: str | None = None, *, in_full: bool = False) -> str:  # noqa: ARG002  # always
        gate = f"(Get-MigrationGate {self._state}).blockers"
        if component is None:
            return gate
        return f"{gate} | Where-Object component -eq {in_powershell(component)}"

    def run_all(self, component: str | None = None) -> str:
        named = in_powershell(component) if component else "NAME"
        verdict = f"-Component {named} -TestName TEXT -Passed $true{self.or_failed}"
        return f"{self._pytest}, or record what you see: Add-ValidationResult {self._state} {verdict}"

    def run(self, tests: Sequence[str]) -> str:
        return " ".join([self._pytest, *(in_powershell(_no_option(test)) for test in tests)])


def as_operand(path: str) -> str:
    """Return the path of a file as an operand of a command: quoted, and never taken for an option."""
    return shlex.quote(to_printable(_no_option(path)))


def _no_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def _operands(*names: str, options: str) -> str:
    """Return names and options as arguments of a command, so that no name is taken for an option."""
    operands = " ".join(shlex.quote(to_printable(name)) for name in names)
    if any(name.startswith("-") for name in names):
        return f"{options} -- {operands}"
    return f"{operands} {options}"


def in_powershell(text: str, prefix: str = "") -> str:
    """Return ``text`` as one argument in PowerShell, in quotes where it needs them.

    :param prefix: what ``text`` begins with and needs no quotes.
    """
    shown = to_printable(text)
    if _PLAIN.fullmatch(shown.removeprefix(prefix)):
        return shown
    # PowerShell takes typographic quotes for plain ones.
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", shown) + "'"


def _named(key: Key) -> str:
    component, test_name = map(in_powershell, key)
    return f"-Component {component} -TestName {test_name}"
