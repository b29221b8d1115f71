"""``completion``: the scripts, asked by the shells themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.cli.registry import COMMANDS
from pytest_migration_state.domain.phases import PHASES
from pytest_migration_state.domain.policy import ALLOWABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from commandline import Run

    Complete = Callable[[str], set[str]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX shells")

#: Load the script, and ask the function that it registered what may stand at the end of the line.
_BASH = r"""
source ./completion
registered=$(complete -p migration-state)
[[ $registered =~ -F\ ([^ ]+) ]]
function=${BASH_REMATCH[1]}
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
"$function" migration-state "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
#: Load the script in an interactive zsh with a terminal of its own, and list the possible ends of a line.
_ZSH = r"""
zmodload zsh/zpty
zpty shell 'zsh -f -i'
zpty -w shell 'autoload -U compinit; compinit -u -D; eval "$(<completion)"; LISTMAX=0; stty columns 200'
zpty -w shell 'bindkey "^D" list-choices; PS1="the%{%}prompt "'
# The editor reads keys once it has printed the prompt. Keys that come earlier would go to the terminal.
zpty -r -m shell line '*theprompt*'
zpty -w -n shell "$1"$'\x04'
zpty -w -n shell $'\x15print do""ne\n'
while zpty -r shell line; do print -r -- "$line"; [[ $line == *done* ]] && break; done
zpty -d shell
"""


def _script(run: Run, folder: Path, shell: str) -> None:
    status, out, err = run("completion", shell)
    assert (status, err) == (0, "")
    (folder / "completion").write_text(out, encoding="utf-8")


@pytest.fixture
def in_bash(run: Run, folder: Path) -> Complete:
    """Return what bash offers at the end of a line."""
    if not shutil.which("bash"):
        pytest.skip("there is no bash here")
    _script(run, folder, "bash")

    def complete(line: str) -> set[str]:
        command = ["bash", "-c", _BASH, "bash", *line.split(" ")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        return {word.strip() for word in done.stdout.split("\n") if word.strip()}

    return complete


def test_bash_completes_commands(in_bash: Complete) -> None:
    """The name of a command is completed, and all are listed."""
    assert {command.name for command in COMMANDS} <= in_bash("migration-state ")
    assert in_bash("migration-state imp") == {"import-backup"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("migration-state phase ", PHASES),
        ("migration-state phase --allow ", ALLOWABLE),
        ("migration-state rollback ", ("available", "unavailable")),
        ("migration-state log a d --level ", ("INFO", "WARNING", "ERROR")),
        ("migration-state completion ", ("bash", "zsh")),
    ],
)
def test_bash_completes_words(in_bash: Complete, line: str, expected: tuple[str, ...]) -> None:
    """Where only certain words may stand, these are offered."""
    assert set(expected) <= in_bash(line)
    assert in_bash(f"{line}{expected[-1][:4]}") == {expected[-1]}


def test_bash_completes_options(in_bash: Complete) -> None:
    """The options of a command are offered; those that the help does not show are not."""
    assert {"--state", "--lock-timeout", "--json", "--require", "--allow"} <= in_bash(
        "migration-state gate --"
    )
    assert "--request" not in in_bash("migration-state powershell --")


@pytest.mark.parametrize("line", ["show -s ", "-s ", "show --state ", "apply ", "import-backup "])
def test_bash_completes_files(in_bash: Complete, folder: Path, line: str) -> None:
    """Where a file is named, files are offered."""
    (folder / "prod-state.json").touch()
    assert in_bash(f"migration-state {line}prod") == {"prod-state.json"}


def test_bash_completes_folders(in_bash: Complete, folder: Path) -> None:
    """Where a folder is named, only folders are offered."""
    (folder / "prod-state.json").touch()
    (folder / "prod-backups").mkdir()
    assert in_bash("migration-state import-backup m --root prod") == {"prod-backups"}


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("migration-state imp", {"import-backup"}),
        ("migration-state phase ", set(PHASES)),
        ("migration-state gate --allow ", set(ALLOWABLE)),
        ("migration-state show --l", {"--lock-timeout"}),
        ("migration-state show -s prod", {"prod-state.json", "prod-state.old"}),
    ],
)
def test_zsh_completes_too(run: Run, folder: Path, line: str, expected: set[str]) -> None:
    """zsh offers commands, words, options and files."""
    _script(run, folder, "zsh")
    for name in ("prod-state.json", "prod-state.old"):
        (folder / name).touch()
    command = ["zsh", "-f", "-c", _ZSH, "zsh", line]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert expected <= set(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", " ", done.stdout).split())


def test_without_the_library_there_is_a_way_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If shtab is missing, one sentence says how to install it."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    way_out = "install it with: pip install 'pytest-migration-state[completion]'"
    error = f"migration-state: error: completion needs the library shtab; {way_out}\n"
    assert run("completion", "bash") == (2, "", error)


def test_only_this_command_loads_the_library(folder: Path) -> None:
    """Neither help nor another command imports shtab."""
    program = (
        "import sys\n"
        "from pytest_migration_state.cli.main import main\n"
        "main(['init']), main(['completion', '--help'])\n"
        "sys.exit('shtab' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode == 0
