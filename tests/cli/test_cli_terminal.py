"""What a person sees at a terminal, and a pipe does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from commandline import walk

from pseudo_terminal import SEQUENCE, PseudoTerminal, at_terminal
from pytest_migration_state.reports.blocks import cell_width

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals in Python", allow_module_level=True)

PROGRAM = "pytest_migration_state"


def at_a_terminal(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run a command whose standard output is a terminal, and return the lines that it prints."""
    terminal = at_terminal(folder, PROGRAM, *arguments, environment=environment)
    assert terminal.status == 0
    return terminal.lines


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


# --- what is printed fits the terminal ----------------------------------------------------------------------


@pytest.fixture
def failed(run: Run, folder: Path) -> Path:
    """The folder of a migration in Validation with a failure that was recorded by hand."""
    walk(run)
    message = "the queue of the worker did not drain within the 30 seconds that the test waits for it"
    run("result", "worker-aider", "the queue is drained", "--failed", "--error", message)
    run("result", "guardian-hive", "answers", "--passed")
    return folder


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize(("command", "status"), [("show", 0), ("gate", 1), ("audit", 0), ("verify", 0)])
def test_output_fits_the_terminal(failed: Path, command: str, status: int, columns: int) -> None:
    """No line is wider, and the status is the command's own."""
    terminal = at_terminal(failed, PROGRAM, command, columns=columns)
    assert terminal.status == status
    assert terminal.lines
    assert [text for text in terminal.lines if cell_width(text) > columns] == []


def test_columns_is_obeyed(failed: Path) -> None:
    """``COLUMNS`` counts for more than the size of the terminal."""
    lines = at_terminal(failed, PROGRAM, "gate", columns=200, environment={"COLUMNS": "60"}).lines
    assert max(map(cell_width, lines)) <= 60 < cell_width(" ".join(lines))


@pytest.mark.parametrize("environment", [{"COLUMNS": "0"}, {"COLUMNS": "wide"}, {"TERM": "dumb"}], ids=str)
def test_width_is_that_of_the_terminal_if_nothing_better_is_known(
    failed: Path, environment: dict[str, str]
) -> None:
    """A width of nothing is none, and a terminal without colours has a width, too."""
    lines = at_terminal(failed, PROGRAM, "show", columns=60, environment=environment).lines
    assert "✗ shut: 1 blocker; phase Validation" in lines
    assert max(map(cell_width, lines)) <= 60


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_colours_are_those_that_are_wanted(
    failed: Path, environment: dict[str, str], is_coloured: bool
) -> None:
    """The words are the same with and without colours."""
    terminal = at_terminal(failed, PROGRAM, "gate", environment=environment)
    assert ("\x1b[31m" in terminal.printed) == is_coloured
    assert terminal.lines[0] == "✗ shut: 1 blocker; phase Validation"
    if environment.get("TERM") == "dumb":
        assert SEQUENCE.search(terminal.printed) is None


def test_force_color_colours_a_pipe_and_cuts_nothing(
    run: Run, failed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI services set it for all programs: their logs are whole all the same."""
    assert failed.exists()
    plain = run("gate").out
    assert SEQUENCE.search(plain) is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    coloured = run("gate").out
    assert "\x1b[31m" in coloured
    assert SEQUENCE.sub("", coloured) == plain


def test_ascii_terminal_is_given_ascii(failed: Path) -> None:
    """The symbols are ASCII, and what it cannot show is escaped before the lines are laid out."""
    at_terminal(failed, PROGRAM, "result", "監護", "t", "--failed")
    terminal = at_terminal(failed, PROGRAM, "gate", columns=60, environment={"PYTHONIOENCODING": "ascii"})
    assert terminal.printed.isascii()
    assert terminal.lines[0] == "X shut: 2 blockers; phase Validation"
    assert "X \\u76e3\\u8b77: 1 failed" in terminal.lines
    assert max(map(len, terminal.lines)) <= 60


# --- show --watch -------------------------------------------------------------------------------------------


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("phase", "status"), [("Completed", 0), ("RolledBack", 1)])
def test_watch_ends_with_the_migration(run: Run, failed: Path, phase: str, status: int) -> None:
    """It shows each change, ends with the exit status of ``gate``, and leaves the last screen."""
    with PseudoTerminal(failed, PROGRAM, "show", "--watch", columns=100) as terminal:
        terminal.wait_for("shut: 1 blocker; phase Validation")
        run("result", "worker-aider", "the queue is drained", "--passed")
        terminal.wait_for("open: nothing keeps this migration from Completed")
        run("phase", phase)
        assert terminal.end() == status
    last_screen = terminal.printed.rpartition("\x1b[?1049l")[2]
    expected = {
        "Completed": "✓ open: the migration is in phase Completed",
        "RolledBack": "✗ shut: the migration is rolled back",
    }
    assert expected[phase] in SEQUENCE.sub("", last_screen)
    assert "\x1b[?25h" in terminal.printed  # the cursor is shown again


def test_watch_ends_cleanly_with_ctrl_c(failed: Path) -> None:
    """No traceback; the terminal is as before, and the status says that it was interrupted."""
    with PseudoTerminal(failed, PROGRAM, "show", "--watch") as terminal:
        terminal.wait_for("Ctrl-C ends it")
        terminal.type(b"\x03")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.printed
    assert "\x1b[?1049l" in terminal.printed
    assert terminal.printed.rindex("\x1b[?25h") > terminal.printed.rindex("\x1b[?25l")


@pytest.mark.deep
@pytest.mark.sample  # in a pipe it is tested without waiting
def test_watch_goes_on_while_the_state_cannot_be_read(run: Run, failed: Path) -> None:
    """Another program may be writing it: what was last read stays, and the reason is above it."""
    path = failed / "migration-state.json"
    whole = path.read_bytes()
    with PseudoTerminal(failed, PROGRAM, "show", "--watch", columns=120) as terminal:
        terminal.wait_for("shut: 1 blocker")
        path.write_bytes(whole[: len(whole) // 2])
        terminal.wait_for("cannot be read now, this is how it was")
        path.write_bytes(whole)
        run("phase", "RolledBack")
        assert terminal.end() == 1
