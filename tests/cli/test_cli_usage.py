"""Wrong usage: what is wrong in plain words, and what was probably meant."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commandline import TO_VALIDATION, contents

from pytest_migration_state.cli.registry import COMMANDS
from pytest_migration_state.domain.phases import PHASES
from pytest_migration_state.domain.policy import ALLOWABLE

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

_COMMANDS = ", ".join(sorted(name for command in COMMANDS for name in (command.name, *command.aliases)))


def _one_of(argument: str, typed: str, words: str, hint: str) -> str:
    cannot = f"argument {argument}: {typed!r} cannot be used"
    return f"{cannot}: it must be one of {words}; did you mean {hint!r}?"


#: What is typed, the sentence about it, and the command whose help it names.
MISTYPED = {
    "sho": ("there is no command 'sho'; did you mean 'show'?", ""),
    "SHOW": ("there is no command 'SHOW'; did you mean 'show'?", ""),
    "foo": ("there is no command 'foo': the commands are " + _COMMANDS, ""),
    "import": ("there is no command 'import'; did you mean 'import-backup'?", ""),
    "validation": ("there is no command 'validation'; did you mean 'phase Validation'?", ""),
    "''": ("there is no command '': the commands are " + _COMMANDS, ""),
    '"o\'clock"': ('there is no command "o\'clock": the commands are ' + _COMMANDS, ""),
    "-s x": ("the command is missing: one of " + _COMMANDS, ""),
    "--versoin": ("there is no option '--versoin'; did you mean '--version'?", ""),
    "show --jsn": ("there is no option '--jsn'; did you mean '--json'?", "show"),
    "show -json": ("there is no option '-json'; did you mean '--json'?", "show"),
    "verify --xyz": ("there is no option '--xyz'", "verify"),
    "gate --requir x": ("there is no option '--requir'; did you mean '--require'?", "gate"),
    "gate --requir=x": ("there is no option '--requir'; did you mean '--require'?", "gate"),
    "--jsn show": ("there is no option '--jsn'; did you mean '--json'?", "show"),
    "--stat x show": ("there is no option '--stat' before a command; did you mean '--state'?", ""),
    "--require x gate": (
        "there is no option '--require' before a command; the options of a command belong behind it",
        "",
    ),
    "--force init": ("'--force' belongs behind the command: migration-state init --force", "init"),
    "phase validation": (_one_of("PHASE", "validation", ", ".join(PHASES), "Validation"), "phase"),
    "phase backup": (_one_of("PHASE", "backup", ", ".join(PHASES), "BackupInProgress"), "phase"),
    "phase Complete": (_one_of("PHASE", "Complete", ", ".join(PHASES), "Completed"), "phase"),
    "gate --allow skiped": (_one_of("--allow", "skiped", ", ".join(ALLOWABLE), "skipped"), "gate"),
    "log a d --level warn": (_one_of("--level", "warn", "INFO, WARNING, ERROR", "WARNING"), "log"),
    "rollback avail": (_one_of("AVAILABILITY", "avail", "available, unavailable", "available"), "rollback"),
    "result c t passed": ("--passed or --failed is missing; did you mean '--passed'?", "result"),
    "result c t --pased": ("there is no option '--pased'; did you mean '--passed'?", "result"),
    "result c t --failed reason": (
        "'result' does not take 'reason'; did you mean '--reason'?",
        "result",
    ),
    "forget c t": (
        (
            "--reason is missing; example: migration-state forget guardian-hive native_execution_test "
            "--reason 'replaced by test_guardian_hive.py'"
        ),
        "forget",
    ),
    "accept": (
        (
            "--by and --reason are missing; example: migration-state accept --by 'the operator on duty' "
            "--reason 'OPS-9: the log was deleted with the old disk'"
        ),
        "accept",
    ),
    "error the disk is full": (
        (
            "'error' does not take 'disk is full'; example: migration-state error "
            "'the disk of the new host is full'"
        ),
        "error",
    ),
    "error m -- -s": (
        ("'error' does not take '-s'; example: migration-state error 'the disk of the new host is full'"),
        "error",
    ),
    "error -full": (
        "there is no option '-full'; a text that begins with '-' needs '--' before it",
        "error",
    ),
    "show -s": ("-s needs a value", "show"),
    "show --state": ("--state needs a value", "show"),
    "result c t --failed --error --timeout=3": (
        "--error needs a value; one that begins with '-' is written as --error=--timeout=3",
        "result",
    ),
    "show --json=yes": ("--json takes no value, and got 'yes'", "show"),
    "result c t --passed --failed": ("--failed and --passed exclude each other; leave one out", "result"),
}


@pytest.mark.parametrize(("typed", "sentence", "command"), [(t, *rest) for t, rest in MISTYPED.items()])
def test_a_mistake_is_one_sentence_with_a_hint(
    run: Run, folder: Path, typed: str, sentence: str, command: str
) -> None:
    """A mistake is one line on standard error that says what was probably meant; nothing is created."""
    program = f"migration-state {command}".strip()
    error = f"migration-state: error: {sentence} (see '{program} --help')\n"
    assert run(*shlex.split(typed)) == (2, "", error)
    assert contents(folder) == {}


def test_a_command_without_a_mistake_does_not_load_difflib(folder: Path) -> None:
    """difflib is loaded only when there is an error."""
    program = (
        "import sys\n"
        "from pytest_migration_state.cli.main import main\n"
        "assert main(['init']) == 0\n"
        "assert 'difflib' not in sys.modules\n"
        "assert main(['sho']) == 2\n"
        "assert 'difflib' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_argument_prints_a_short_help_whose_commands_work(run: Run) -> None:
    """Without arguments a short help is printed, the exit status is 2, and each command in it works."""
    status, out, err = run()
    assert (status, err) == (2, "")
    assert "$MIGRATION_STATE, else migration-state.json here" in out
    examples = re.findall(r"^  \S.*\S  +migration-state (.+)$", out, re.MULTILINE)
    assert [example.split()[0] for example in examples] == [
        "init",
        "phase",
        "result",
        "show",
        "gate",
        "audit",
    ]
    for example in examples:
        if example == "gate":
            for phase in TO_VALIDATION[1:]:
                run("phase", phase)
        assert run(*example.split()).status == 0, example
    assert max(map(len, out.splitlines())) <= 100


def test_options_of_every_command_stand_before_or_after_it(run: Run, folder: Path) -> None:
    """The state may be named before or after the command, and what comes after it counts."""
    run("-s", "a.json", "init")
    run("init", "-s", "b.json")
    run("-s", "a.json", "error", "m", "-s", "b.json")
    assert "Error" not in (folder / "a-audit.log").read_text()
    assert '"Error"' in (folder / "b-audit.log").read_text()
