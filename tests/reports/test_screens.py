"""What is printed on terminals of every kind: whole screens, and what is true of each of them.

The screens in ``snapshots`` are compared as they are. ``UPDATE_SNAPSHOTS=1`` writes them anew: look at them
before they are committed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from screens import NAMES, NOW, SEQUENCE, Screen, TerminalFile, gate, section, show, state

from pytest_migration_state.reports import times
from pytest_migration_state.reports.blocks import ASCII, UNICODE, cell_width
from pytest_migration_state.reports.pytest_summary import LINES
from pytest_migration_state.reports.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.reports.blocks import Block, Form

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = (60, 80, 120, 200)
BLOCKERS = (0, 1, 30, 5_000)
REPORTS: dict[str, Callable[[Document, Form], Iterable[Block]]] = {"show": show, "gate": gate}
#: A screen of more lines says at its end what its beginning says.
LONG = 24


@pytest.fixture(autouse=True)
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages and durations are always the same."""
    monkeypatch.setattr(times, "now", lambda: NOW)


def compare(name: str, printed: str) -> None:
    """Compare a screen with the one on record."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(printed, encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("blockers", BLOCKERS)
@pytest.mark.parametrize("report", REPORTS)
def test_screen(monkeypatch: pytest.MonkeyPatch, report: str, blockers: int, width: int) -> None:
    """A screen in UTF-8 without colours."""
    screen = Screen(width)
    printed = screen.printed(monkeypatch, REPORTS[report](state(blockers), screen.form))
    compare(f"{report}-{blockers}-{width}", printed)


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("kind", ["ascii", "coloured", "wide"])
def test_screen_of_another_terminal(monkeypatch: pytest.MonkeyPatch, report: str, kind: str) -> None:
    """Only ASCII; colours; names of East Asia and emoji."""
    screen = Screen(80, "ascii" if kind == "ascii" else "utf-8", is_coloured=kind == "coloured")
    names = NAMES if kind == "wide" else NAMES[:1]
    printed = screen.printed(monkeypatch, REPORTS[report](state(30, names, 5), screen.form))
    compare(f"{report}-30-80-{kind}", printed)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("blockers", BLOCKERS)
def test_section(blockers: int, width: int) -> None:
    """pytest's section on a terminal."""
    compare(f"section-{blockers}-{width}", "".join(f"{text}\n" for text in section(state(blockers), width)))


@pytest.mark.parametrize("problems", [0, 9])
@pytest.mark.parametrize("verbosity", [-1, 0, 1])
@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
@pytest.mark.parametrize("blockers", [1, 30, 2_000])
def test_section_is_short_however_many_blockers_there_are(
    blockers: int, width: int, verbosity: int, problems: int
) -> None:
    """It fits in 25 lines with its title, and with -q in less; with -v every blocker is there."""
    printed = section(state(blockers, NAMES), width, verbosity, problems)
    assert [text for text in printed if cell_width(text) > width] == []
    if verbosity > 0:
        assert sum(text.startswith("  failed:") for text in printed) == blockers
    else:
        assert len(printed) + 1 <= LINES
    if verbosity < 0:
        assert len(printed) < len(section(state(blockers, NAMES), width, 0, problems)) or not blockers


@pytest.mark.parametrize(
    ("encoding", "is_coloured"), [("utf-8", True), ("ascii", False), ("cp437", True), ("latin-1", False)]
)
@pytest.mark.parametrize("width", [50, *WIDTHS])
@pytest.mark.parametrize("blockers", BLOCKERS[:-1])
@pytest.mark.parametrize("report", REPORTS)
def test_every_screen_fits(
    monkeypatch: pytest.MonkeyPatch, report: str, blockers: int, width: int, encoding: str, is_coloured: bool
) -> None:
    """No line is wider than the terminal, whatever it can show; a long screen ends as it begins."""
    screen = Screen(width, encoding, is_coloured)
    printed = screen.printed(monkeypatch, REPORTS[report](state(blockers, NAMES), screen.form))
    lines = SEQUENCE.sub("", printed).splitlines()
    assert [text for text in lines if cell_width(text) > width] == []
    assert bool(SEQUENCE.search(printed)) == is_coloured
    if len(lines) > LONG:
        assert lines[0] in lines[-3:]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_blocker_with_verbose(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """``gate -v`` shows each of 30 failures and a run, with every command that deals with it."""
    screen = Screen(width)
    form = screen.form._replace(is_full=True)
    printed = screen.printed(monkeypatch, gate(state(30), form), is_full=True)
    joined = printed.replace(" \\\n", " ")
    assert joined.count("pytest --migration-state=migration-state.json") == 30
    assert joined.count("migration-state forget -s migration-state.json") == 31
    assert [text for text in printed.splitlines() if cell_width(text) > width] == []


def test_old_console_of_windows_is_given_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fonts may not have the symbols, and its last column begins a new line."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal(TerminalFile(io.BytesIO(), "utf-8"))
    assert terminal.form[:2] == (80, UNICODE)
    terminal.console.legacy_windows = True
    assert terminal.form[:2] == (79, ASCII)
