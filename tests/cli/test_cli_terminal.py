"""What a person sees at a terminal, and a pipe does not."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals in Python", allow_module_level=True)

import pty


def at_a_terminal(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run a command whose standard output is a terminal, and return the lines that it prints."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "pytest_migration_state", *arguments]
    env = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=folder, stdout=terminal, env=env) as process:
        os.close(terminal)
        printed = b""
        # Linux reports the end of the output as an error.
        with suppress(OSError):
            while read := os.read(controller, 4096):
                printed += read
    os.close(controller)
    assert process.returncode == 0
    return printed.decode().splitlines()


@pytest.mark.parametrize(
    ("arguments", "environment", "lines"),
    [
        pytest.param(
            (),
            {},
            [
                "Migration state initialized: migration-state.json",
                "  next phase:     migration-state phase BackupInProgress",
                "  run the tests:  pytest --migration-state=migration-state.json",
                "  look at it:     migration-state show",
            ],
            id="default",
        ),
        pytest.param(
            ("-s", "my work/state.json"),
            {},
            [
                "Migration state initialized: my work/state.json",
                "  next phase:     migration-state phase BackupInProgress -s 'my work/state.json'",
                "  run the tests:  pytest --migration-state='my work/state.json'",
                "  look at it:     migration-state show -s 'my work/state.json'",
            ],
            id="given",
        ),
        pytest.param(
            (),
            {"MIGRATION_STATE": "work.json"},
            [
                "Migration state initialized: work.json",
                "  next phase:     migration-state phase BackupInProgress",
                "  run the tests:  pytest --migration-state=work.json",
                "  look at it:     migration-state show",
            ],
            id="of the environment",
        ),
    ],
)
def test_init_says_what_comes_next(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], lines: list[str]
) -> None:
    """At a terminal, init names the next commands, with the state only if it was given."""
    assert at_a_terminal(folder, "init", *arguments, **environment) == lines


def test_init_prints_one_line_into_a_pipe(run: Run) -> None:
    """Into a pipe, init prints its sentence alone."""
    assert run("init").out == "Migration state initialized: migration-state.json\n"


def test_init_prints_json_alone(folder: Path) -> None:
    """With --json nothing follows the document."""
    lines = at_a_terminal(folder, "init", "--json")
    assert (lines[0], lines[-1]) == ("{", "}")
