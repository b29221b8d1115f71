"""A report on a terminal: coloured, and no wider than the terminal."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from pytest_migration_state.reports.blocks import ASCII, UNICODE, Command, Form, Grid, command_lines, wrapped
from pytest_migration_state.text import to_printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import NoReturn, TextIO

    from pytest_migration_state.reports.blocks import Block, Line, Span, Style

_STYLES: Final[dict[Style, str]] = {
    "plain": "",
    "good": "green",
    "bad": "red",
    "doubt": "yellow",
    "faint": "dim",
    "strong": "bold",
}
#: The narrowest width that a report is laid out for, in columns.
_NARROWEST: Final = 50
#: How many lines are printed at once.
_BATCH: Final = 200


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
        self._is_terminal = file.isatty()
        # Its own idea of the size is another one if TERM is 'dumb' or COLUMNS is 0.
        columns, lines = shutil.get_terminal_size()
        self.console = _Console(
            file=file, width=columns, height=lines, highlight=False, markup=False, emoji=False
        )

    @property
    def form(self) -> Form:
        """The form that a report must have to fit; a pipe has no width."""
        symbols = UNICODE if self._has("".join(UNICODE)) and not self.console.legacy_windows else ASCII
        if not self._is_terminal:
            return Form(None, symbols, self._is_full)
        width = max(_NARROWEST, shutil.get_terminal_size().columns)
        if self.console.legacy_windows:
            width -= 1  # its last column would begin a new line
        return Form(width, symbols, self._is_full)

    def _has(self, text: str) -> bool:
        try:
            text.encode(self._encoding)
        except (UnicodeError, LookupError):
            return False
        return True

    def print(self, blocks: Iterable[Block]) -> None:
        """Print a report."""
        lines = self.rendered(blocks)
        while batch := list(islice(lines, _BATCH)):
            self.console.print(Text("\n").join(batch), soft_wrap=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar until the context ends. Yield the function that moves it (bytes done, bytes in all)."""
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=self.console, transient=True)
        task = bar.add_task(what, total=None)
        with _unless_closed(bar):
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def working(self, what: str) -> AbstractContextManager[object]:
        """Return a context that shows that work is going on whose end is not known."""
        spinner = "dots" if self._has("⠋") else "line"
        return _unless_closed(self.console.status(what, spinner=spinner))

    @property
    def is_redrawn(self) -> bool:
        """True if the terminal can show a report in the place of an earlier one."""
        return self._is_terminal and not self.console.is_dumb_terminal

    @contextmanager
    def redrawing(self) -> Iterator[Callable[[Iterable[Block]], None]]:
        """Yield a function that shows a report in the place of the one before, until the context ends.

        What the terminal has no lines for is counted.
        """
        from rich.console import Group
        from rich.live import Live

        with Live(console=self.console, screen=True, auto_refresh=False) as live:

            def show(blocks: Iterable[Block]) -> None:
                # It may have been resized.
                self.console.width, self.console.height = shutil.get_terminal_size()
                live.update(Group(*self._fitting(self.rendered(blocks))), refresh=True)

            yield show

    def _fitting(self, parts: Iterable[Text]) -> list[Text]:
        """Return the lines that the terminal has room for, and how many more there are."""
        room = shutil.get_terminal_size().lines - 1
        lines = list(parts)
        if len(lines) <= room:
            return lines
        rest = Text(f"and {len(lines) - room + 1} more lines", "dim")
        return [*lines[: room - 1], rest]

    def rendered(self, blocks: Iterable[Block]) -> Iterator[Text]:
        """Yield the lines of a report as the console prints them."""
        form = self.form
        for block in blocks:
            match block:
                case Grid():
                    rows = tuple(tuple(map(self._shown_span, row)) for row in block.rows)
                    yield from (self._text(line.spans) for line in block._replace(rows=rows).lines(form))
                case Command():
                    shown = Command(self._shown(block.text), block.indent, self._shown(block.words))
                    yield from map(Text, command_lines(shown, form.width))
                case _:
                    yield from self._line(block, form.width)

    def _line(self, line: Line, width: int | None) -> Iterator[Text]:
        shown = line._replace(spans=tuple(map(self._shown_span, line.spans)))
        yield from map(self._text, wrapped(shown, width))

    def _shown_span(self, span: Span) -> Span:
        return span._replace(text=self._shown(span.text))

    def _text(self, spans: Iterable[Span]) -> Text:
        """Return spans as the console prints them. NO_COLOR leaves out the weight of the letters, too."""
        if self.console.no_color:
            return Text("".join(span.text for span in spans))
        return Text.assemble(*((span.text, _STYLES[span.style]) for span in spans))

    def _shown(self, text: str) -> str:
        """Return a text without what the terminal would take for an instruction, or cannot show."""
        return to_printable(text).encode(self._encoding, "backslashreplace").decode(self._encoding)


@contextmanager
def _unless_closed(display: AbstractContextManager[object]) -> Iterator[None]:
    """Show a display until the context ends. That it cannot be shown is no error of the work."""
    with suppress(OSError, ValueError):
        display.__enter__()
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            display.__exit__(None, None, None)
