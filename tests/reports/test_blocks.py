"""Widths, wrapping and commands over several lines."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_migration_state.reports import blocks
from pytest_migration_state.reports.blocks import (
    Command,
    Form,
    Line,
    Span,
    cell_width,
    command_lines,
    cut,
    line,
    wrapped,
)

#: Characters that are as wide as two columns, as one, and as none; what a shell treats specially; spaces.
TEXT = st.text("aé中🚀\u0301'\"\\$*[ -", max_size=90)


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("é", 1), ("中文", 4), ("🚀", 2), ("e\u0301", 1), ("ｱ", 1), ("", 0)]
)
def test_width_is_counted_in_columns(text: str, width: int) -> None:
    """Characters of East Asia and emoji take two columns, combining ones none."""
    assert cell_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("中文字", 5, "中文…"),
        ("中文字", 4, "中…"),
        ("ab cd", 4, "ab…"),
    ],
)
def test_text_is_cut_with_a_mark(text: str, width: int, expected: str) -> None:
    """A text that fits stays; of another, as much is kept as the mark leaves room for."""
    assert cut(text, width) == expected


@given(text=TEXT, width=st.integers(4, 40))
def test_cut_text_fits(text: str, width: int) -> None:
    """Whatever the text is, it fits."""
    assert cell_width(cut(text, width)) <= width


def joined(spans: tuple[Span, ...]) -> str:
    """The text of spans."""
    return "".join(span.text for span in spans)


@given(text=TEXT, width=st.integers(8, 40), indent=st.integers(0, 3), hanging=st.integers(0, 3))
def test_wrapped_text_fits_and_loses_nothing(text: str, width: int, indent: int, hanging: int) -> None:
    """Each line fits, and together they hold every character but spaces."""
    spans = (Span(text[: len(text) // 2]), Span(text[len(text) // 2 :], "bad"))
    lines = [joined(part) for part in wrapped(Line(spans, indent, hanging), width)]
    assert [part for part in lines if cell_width(part) > width] == []
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_text_is_not_wrapped_without_a_width() -> None:
    """In a pipe a text stays on one line."""
    (only,) = wrapped(line("word " * 100, indent=2), None)
    assert joined(only) == "  " + "word " * 100


# --- commands -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there is no POSIX shell")
@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(TEXT, min_size=1, max_size=4), width=st.integers(12, 70), indent=st.integers(0, 6))
def test_command_over_several_lines_can_be_copied(arguments: list[str], width: int, indent: int) -> None:
    """A shell reads the same arguments, and no line is wider than the terminal."""
    command = Command(shlex.join(["printf", "%s\\n", *arguments]), indent)
    lines = command_lines(command, width)
    assert [part for part in lines if cell_width(part) > width] == []
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"{argument}\n" for argument in arguments)


def test_command_is_broken_between_arguments() -> None:
    """An argument that fits on a line is not broken."""
    command = Command("pytest --migration-state=a/migration-state.json tests/test_a.py::test_one", 3)
    assert command_lines(command, 60) == [
        "   pytest --migration-state=a/migration-state.json \\",
        "     tests/test_a.py::test_one",
    ]
    assert command_lines(command, None) == ["   " + command.text]


def test_command_stays_on_one_line_where_no_shell_reads_continued_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows the terminal wraps it, and it is copied as a whole; the words before it are wrapped."""
    monkeypatch.setattr(blocks, "_IS_POSIX", False)
    command = Command("pytest --migration-state=a/migration-state.json tests/test_a.py::test_one", 3, "run")
    assert command_lines(command, 60) == ["   run:", "      " + command.text]


# --- forms --------------------------------------------------------------------------------------------------


def test_as_many_names_are_listed_as_fit() -> None:
    """The others are counted; in a pipe none is left out."""
    names = [f"test_{number}" for number in range(12)]
    assert Form(30).listed(names) == "test_0, test_1 and 10 more"
    assert Form(200).listed(names) == ", ".join(names)
    assert Form(None).listed(names) == ", ".join(names)
    assert (
        Form(16).listed(["a_very_long_name_indeed", "b"])
        == "a_very_long_nam…".replace("…", "...")[:13] + "..."
    )


def test_line_is_cut_across_its_spans() -> None:
    """A span that has no room at all is left out."""
    shown = Form(12).on_one_line(line("abcdef", "ghijkl", "mnopqr", indent=1))
    assert shown.text == " abcdefgh..."
