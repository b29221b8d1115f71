"""What the commands are called and what they take. Nothing of ``core`` is loaded here: help and version must be quick."""

from __future__ import annotations

import argparse

from pytest_migration_state import __version__
from pytest_migration_state.cli import commands
from pytest_migration_state.cli.commands import UsageError

TYPE_CHECKING = False  # as in the package itself: typing is not loaded
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NoReturn

#: What the command is called, however it was started.
PROGRAM: Final = "migration-state"

# The words of core/phases.py, core/events.py and core/gate.py; a test keeps them the same.
PHASES: Final = (
    "NotStarted", "BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation", "Completed", "RolledBack",
)  # fmt: skip
LEVELS: Final = ("INFO", "WARNING", "ERROR")
ALLOWABLE: Final = ("skipped", "deselected", "xfailed")

_CLOSING: Final = """\
Without -s, the state is the file that $MIGRATION_STATE names, else migration-state.json in the current folder.
A text that begins with '-' needs '--' before it, or an option's '=': --error=-1.

exit status:
  0  done
  1  refused by the rules: illegal transition, gate shut, rollback unavailable, state exists, not sound,
     a backup not safe
  2  wrong usage
  3  the state cannot be used: missing, damaged, newer, locked, not writable"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of one width. Asking the terminal for its own would load shutil, and with it every archive format."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are handled where all others are, and not by an exit of its own."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see '{self.prog} --help')")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command to run and what it was given: ``command`` is the function of :mod:`.commands`, the rest its arguments.

    :param arguments: as typed; by default those of this process.
    :raises UsageError: they make no sense.
    :raises SystemExit: help or version was asked for, and is printed.
    """
    return _parser().parse_args(arguments)


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description="Record, look at and gate a migration whose validations are pytest's verdicts.",
        epilog=_CLOSING,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_state(parser, None)
    add = _Adder(parser)
    _add_writing(add)
    _add_reading(add)
    return parser


def _add_state(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("-s", "--state", metavar="PATH", default=default, help="the state file")


class _Command(_Parser):
    """The parser of one command, made when that command is given: to make all of them takes longer than all else that help does."""

    def __init__(self, takes: Callable[[_Parser], object], command: Callable[..., int], **settings: Any) -> None:
        self._takes, self._command, self._settings = takes, command, settings

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # argparse has three overloads of it
        super().__init__(**self._settings)
        self.set_defaults(command=self._command)
        # After the command as well as before it; not given here, it must not undo what was given there.
        _add_state(self, argparse.SUPPRESS)
        self._takes(self)
        return super().parse_known_args(args, namespace)


class _Adder:
    """Adds a command."""

    def __init__(self, parser: _Parser) -> None:
        self._commands = parser.add_subparsers(prog=PROGRAM, title="commands", metavar="COMMAND", required=True, parser_class=_Command)

    def __call__(self, name: str, command: Callable[..., int], takes: Callable[[_Parser], object], powershell: str, *examples: str) -> None:
        """Add a command.

        :param command: what it runs; its docstring is the help.
        :param takes: adds to a parser what the command takes besides the state.
        :param powershell: the PowerShell function that it stands for.
        :param examples: what may follow its name, for the help.
        """
        description = (command.__doc__ or "").strip()
        shown = "\n".join(f"  {PROGRAM} {name}{' ' if example else ''}{example}" for example in examples)
        self._commands.add_parser(
            name,
            help=description.partition("\n")[0].rstrip("."),
            description="\n".join(line.strip() for line in description.splitlines()),
            epilog=f"example:\n{shown}\n\nPowerShell: {powershell}",
            formatter_class=_Formatter,
            allow_abbrev=False,
            takes=takes,
            command=command,
        )

    def writing(self, name: str, command: Callable[..., int], takes: Callable[[_Parser], object], powershell: str, *examples: str) -> None:
        """A command that changes the state."""

        def takes_json_too(parser: _Parser) -> None:
            _add_json(parser, "print the state document as it is afterwards")
            takes(parser)

        self(name, command, takes_json_too, powershell, *examples)


def _add_writing(add: _Adder) -> None:
    add.writing("init", commands.init, _init, "Initialize-MigrationState", "", "--force -s work/migration-state.json")
    add.writing(
        "phase", commands.phase, _phase, "Set-MigrationPhase", "BackupInProgress", "RolledBack --reason 'the new service loses jobs'"
    )
    add.writing("container", commands.container, _container, "Add-ProcessedContainer", "guardian-hive abc123def456")
    add.writing("data", commands.data, _data, "Add-PreservedData", "guardian-hive-config backups/guardian-hive/config.json")
    add.writing("process", commands.process, _process, "Add-NativeProcess", "guardian-hive --pid 12345")
    passed, failed = "guardian-hive native_execution_test --passed", "guardian-hive native_execution_test --failed --error 'it answers 500'"
    add.writing("result", commands.result, _result, "Add-ValidationResult", passed, failed)
    add.writing("rollback", commands.rollback, _rollback, "Set-RollbackAvailability", "unavailable")
    add.writing("error", commands.error, _error, "Set-MigrationError", "'the disk of the new host is full'")
    add.writing("log", commands.log, _log, "Write-MigrationAuditLog", "Notice 'the window was extended to 23:00' --level WARNING")
    add.writing(
        "forget", commands.forget, _forget, "none", "guardian-hive native_execution_test --reason 'replaced by test_guardian_hive.py'"
    )
    add.writing("apply", commands.apply, _apply, "every function that writes", "operations.jsonl --json", "-")
    here, elsewhere = "backups/backup-manifest.json", "/mnt/backups/backup-manifest.json --root /mnt/backups"
    loop = "the loop over a backup manifest that is written by hand"
    add.writing("import-backup", commands.import_backup, _import_backup, loop, here, elsewhere)


def _add_reading(add: _Adder) -> None:
    add("show", commands.show, _show, "Get-MigrationState", "", "--json")
    add("audit", commands.audit, _audit, "Get-MigrationAuditLog", "--last 20", "--json")
    add("gate", commands.gate, _gate, "Get-MigrationGate", "--require guardian-hive --allow skipped")
    add("verify", commands.verify, _verify, "none", "--json")
    add("powershell", commands.powershell, lambda _: None, "itself: . (migration-state powershell)", "")


def _init(parser: _Parser) -> None:
    parser.add_argument("--force", action="store_true", help="set an existing state aside, under a name beside it, and begin anew")


def _phase(parser: _Parser) -> None:
    parser.add_argument("phase", metavar="PHASE", type=_one_of(PHASES), help=", ".join(PHASES))
    parser.add_argument("--force", action="store_true", help="whatever transition table, gate and rollback availability say")
    parser.add_argument("--reason", metavar="TEXT", help="why it was forced, for the audit log")
    _add_policy(parser)


def _container(parser: _Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the container's name")
    parser.add_argument("container_id", metavar="ID", help="its id, as the container engine prints it")


def _data(parser: _Parser) -> None:
    parser.add_argument("key", metavar="KEY", help="what was saved")
    parser.add_argument("backup_path", metavar="PATH", help="where it was saved")


def _process(parser: _Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the process is called")
    parser.add_argument("--pid", metavar="N", type=_whole_number, help="its process id")


def _result(parser: _Parser) -> None:
    _add_validation(parser)
    verdict = parser.add_mutually_exclusive_group(required=True)
    verdict.add_argument("--passed", action="store_true", help="it passed")
    verdict.add_argument("--failed", action="store_true", help="it failed")
    parser.add_argument("--error", metavar="TEXT", help="why it failed; only with --failed")


def _rollback(parser: _Parser) -> None:
    words = ("available", "unavailable")
    parser.add_argument("availability", metavar="AVAILABILITY", type=_one_of(words), help=" or ".join(words))


def _error(parser: _Parser) -> None:
    parser.add_argument("message", metavar="MESSAGE", help="what went wrong")


def _log(parser: _Parser) -> None:
    parser.add_argument("action", metavar="ACTION", help="what kind of entry it is, in one word")
    parser.add_argument("details", metavar="DETAILS", help="the entry in words")
    parser.add_argument("--level", metavar="LEVEL", type=_one_of(LEVELS), default="INFO", help=f"{', '.join(LEVELS)}; INFO if not given")


def _forget(parser: _Parser) -> None:
    _add_validation(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why it does not exist any more, for the audit log")


def _apply(parser: _Parser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="the operations; standard input if '-' or not given")


def _import_backup(parser: _Parser) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="the backup-manifest.json that the backup script wrote")
    parser.add_argument("--root", metavar="DIR", help="where the manifest's backup_root is mounted here, if it is elsewhere")


def _show(parser: _Parser) -> None:
    _add_json(parser, "print the state document")


def _audit(parser: _Parser) -> None:
    parser.add_argument("--last", metavar="N", type=_whole_number, help="only the last N entries")
    _add_json(parser, "print JSON Lines, each object as it stands in the log")


def _gate(parser: _Parser) -> None:
    _add_policy(parser)
    _add_json(parser, "print the verdict and its blockers as JSON")


def _verify(parser: _Parser) -> None:
    _add_json(parser, "print what was found as JSON")


def _add_json(parser: _Parser, words: str) -> None:
    parser.add_argument("--json", action="store_true", help=words)


def _add_policy(parser: _Parser) -> None:
    parser.add_argument(
        "--require", metavar="NAME", action="append", default=[], help="the gate: this component must have a verdict (repeatable)"
    )
    parser.add_argument(
        "--allow",
        metavar="REASON",
        action="append",
        default=[],
        type=_one_of(ALLOWABLE),
        help=f"the gate: this does not keep it shut; {', '.join(ALLOWABLE)} (repeatable)",
    )


def _add_validation(parser: _Parser) -> None:
    parser.add_argument("component", metavar="COMPONENT", help="the component that was validated")
    parser.add_argument("test_name", metavar="TEST", help="the test's name")


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be used: it is one of {', '.join(words)}")
        return text

    return check


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text[:200]!r} cannot be used: it must be a whole number from 0")
    return int(text)
