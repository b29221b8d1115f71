"""A report on a terminal: coloured, and no wider than the terminal."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pytest_migration_state.reports.blocks import ASCII, UNICODE, Command, Form, Grid, Line, command_lines
from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import NoReturn, TextIO

    from pytest_migration_state.reports.blocks import Block, Span, Style

_STYLES: Final[dict[Style, str]] = {
    "plain": "",
    "good": "green",
    "bad": "red",
    "doubt": "yellow",
    "faint": "dim",
    "strong": "bold",
}
#: The narrowest width that a report is laid out for, in columns.
_NARROWEST: Final = 40


class _Console(Console):
    """A console that leaves a closed pipe to its caller, as every other output does."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


class Terminal:
    """A terminal that reports are printed on.

    :param file: where they are printed.
    :ivar form: the form that a report must have to fit.
    """

    def __init__(self, file: TextIO, *, is_full: bool = False) -> None:
        self._encoding = getattr(file, "encoding", None) or "ascii"
        self._is_full = is_full
        # The terminal may be resized while a report is followed.
        self.console = _Console(file=file, highlight=False, markup=False, emoji=False)

    @property
    def form(self) -> Form:
        """The form that a report must have to fit."""
        width = max(_NARROWEST, shutil.get_terminal_size().columns)
        if self.console.legacy_windows:
            width -= 1  # its last column would begin a new line
        symbols = UNICODE if self._has("".join(UNICODE)) else ASCII
        return Form(width, symbols, self._is_full)

    def _has(self, text: str) -> bool:
        try:
            text.encode(self._encoding)
        except (UnicodeError, LookupError):
            return False
        return True

    def print(self, blocks: Iterable[Block]) -> None:
        """Print a report."""
        for part in self.rendered(blocks):
            self.console.print(part, soft_wrap=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar until the context ends. Yield the function that moves it (bytes done, bytes in all)."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def working(self, what: str) -> AbstractContextManager[object]:
        """Return a context that shows that work is going on whose end is not known."""
        return self.console.status(what, spinner="dots" if self._has("⠋") else "line")

    @property
    def is_redrawn(self) -> bool:
        """True if the terminal can show a report in the place of an earlier one."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    @contextmanager
    def redrawing(self) -> Iterator[Callable[[Iterable[Block]], None]]:
        """Yield a function that shows a report in the place of the one before, until the context ends.

        What the terminal has no lines for is counted.
        """
        with Live(console=self.console, screen=True, auto_refresh=False) as live:

            def show(blocks: Iterable[Block]) -> None:
                live.update(Group(*self._fitting(self.rendered(blocks))), refresh=True)

            yield show

    def _fitting(self, parts: Iterable[Text]) -> list[Text]:
        """Return the lines that the terminal has room for, and how many more there are."""
        room = shutil.get_terminal_size().lines - 1
        lines = list(parts)
        if len(lines) <= room:
            return lines
        rest = Text(f"and {len(lines) - room + 1} more lines: migration-state show", "dim")
        return [*lines[: room - 1], rest]

    def rendered(self, blocks: Iterable[Block]) -> Iterator[Text]:
        """Yield the lines of a report as the console prints them."""
        form = self.form
        width = form.width
        assert width is not None
        for block in blocks:
            match block:
                case Grid():
                    shown_cells = block._replace(rows=tuple(map(self._shown_cells, block.rows)))
                    yield from (self._text(line.spans) for line in shown_cells.lines(form))
                case Command():
                    shown = Command(self._shown(block.text), block.indent)
                    yield from (Text(text) for text in command_lines(shown, width))
                case Line():
                    yield from self._wrapped(block, width)

    def _shown(self, text: str) -> str:
        """Return a text without what the terminal would take for an instruction, or cannot show."""
        return to_printable(text).encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _shown_cells(self, row: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple(cell._replace(text=self._shown(cell.text)) for cell in row)

    def _text(self, spans: Iterable[Span]) -> Text:
        text = Text(no_wrap=True)
        for span in spans:
            text.append(self._shown(span.text), _STYLES[span.style])
        return text

    def _wrapped(self, line: Line, width: int) -> Iterator[Text]:
        text = self._text(line.spans)
        if line.indent + text.cell_len <= width:
            yield Text(" " * line.indent) + text
            return
        indent = line.indent + line.hanging
        text.no_wrap = False
        first, *_ = text.wrap(self.console, width - line.indent, overflow="fold")
        yield Text(" " * line.indent) + _without_end(first)
        rest = text[len(first) :]
        rest.no_wrap = False
        plain = rest.plain
        rest = rest[len(plain) - len(plain.lstrip()) :]
        if rest:
            for part in rest.wrap(self.console, width - indent, overflow="fold"):
                yield Text(" " * indent) + _without_end(part)


def _without_end(text: Text) -> Text:
    """Return a text without the white space at its end."""
    return text[: len(text.plain.rstrip())]
