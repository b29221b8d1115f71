"""The parts that a report for people is made of, whatever prints them.

A report is a sequence of blocks. :mod:`~pytest_migration_state.reports.plain` prints them for a pipe or a
file, and :mod:`~pytest_migration_state.reports.terminal` for a terminal.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The meaning of a text, which decides on its colour. The words say the same: colour is never alone.
Style = Literal["plain", "good", "bad", "doubt", "faint", "strong"]


class Span(NamedTuple):
    """A text of one style."""

    text: str
    style: Style = "plain"


class Line(NamedTuple):
    """A line of text.

    :ivar indent: how far it is indented, in columns.
    :ivar hanging: how much further its continuation is indented, if the line is wrapped.
    """

    spans: tuple[Span, ...]
    indent: int = 0
    hanging: int = 0

    @property
    def text(self) -> str:
        """The line without its styles."""
        return " " * self.indent + "".join(span.text for span in self.spans)


class Command(NamedTuple):
    """A command to copy. Where it is too long for a line, it is continued as a shell reads it.

    :ivar words: what is said before it, on the same line if both fit.
    """

    text: str
    indent: int = 0
    words: str = ""

    @property
    def whole(self) -> str:
        """The command with the words before it, on one line."""
        words = f"{self.words}: " if self.words else ""
        return f"{' ' * self.indent}{words}{self.text}"


class Grid(NamedTuple):
    """A table. The first column is aligned to the left, the others to the right.

    :ivar head: the headings.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Span, ...], ...]

    def lines(self, form: Form) -> Iterator[Line]:
        """Yield the lines of the table; the first column is cut to what the terminal leaves for it."""
        rows = [tuple(Span(text, "strong") for text in self.head), *self.rows]
        widths = [max(cell_width(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        if form.width is not None:
            widths[0] = min(widths[0], max(8, form.width - sum(widths[1:]) - 2 * len(widths[1:])))
        for first, *rest in rows:
            name = cut(first.text, widths[0], form.symbols.ellipsis)
            spans = [first._replace(text=name + " " * (widths[0] - cell_width(name)))]
            for cell, width in zip(rest, widths[1:], strict=True):
                spans.append(cell._replace(text=" " * (2 + width - cell_width(cell.text)) + cell.text))
            yield Line(tuple(spans))


Block = Line | Command | Grid


class Symbols(NamedTuple):
    """The symbols that stand beside words on a terminal."""

    good: str
    bad: str
    doubt: str
    arrow: str
    times: str
    ellipsis: str


#: The symbols, and those of a terminal that has only ASCII.
UNICODE: Final = Symbols("✓", "✗", "!", "→", "×", "…")
ASCII: Final = Symbols("+", "X", "!", "->", "x", "...")


class Form(NamedTuple):
    """The form of a report.

    :ivar width: the width of the terminal in columns; ``None``: nothing is cut, and nothing depends on where
        it is read.
    :ivar symbols: the symbols that the terminal has.
    :ivar is_full: whether every blocker is shown, with the details of failures.
    """

    width: int | None = None
    symbols: Symbols = ASCII
    is_full: bool = False

    def fitted(self, text: str, indent: int = 0, lines: int = 1) -> str:
        """Return ``text``, cut to what fits on this many lines.

        :param indent: the columns that are taken on each line.
        """
        if self.width is None or self.is_full:
            return text
        room = max(1, self.width - indent) * lines
        # A word may not fit at the end of each line but the last.
        return cut(text, room - (lines - 1) * 12 if lines > 1 else room, self.symbols.ellipsis)

    def is_long(self, blocks: Sequence[Block]) -> bool:
        """Return True if a report is so long on a terminal that its end has to say the result again."""
        if self.width is None:
            return False
        height = 0
        for block in blocks:
            match block:
                case Grid():
                    height += 1 + len(block.rows)
                case Command():
                    height += len(command_lines(block, self.width))
                case Line():
                    height += max(1, math.ceil(cell_width(block.text) / self.width))
        return height > _LONG

    def on_one_line(self, line: Line) -> Line:
        """Return a line, cut to what fits on one."""
        if self.width is None:
            return line
        room, spans = self.width - line.indent, []
        for span in line.spans:
            spans.append(span._replace(text=cut(span.text, room, self.symbols.ellipsis) if room > 3 else ""))
            room -= cell_width(span.text)
        return line._replace(spans=tuple(spans))

    def listed(self, names: Sequence[str], indent: int = 0) -> str:
        """Return names in one line, as many as fit, and the number of the others."""
        if self.width is None or self.is_full:
            return ", ".join(names)
        room = self.width - indent
        for shown in range(len(names), 1, -1) if len(names) < _MANY else range(_MANY, 1, -1):
            text = _joined(names, shown)
            if cell_width(text) <= room:
                return text
        return self.fitted(_joined(names, 1), indent)


#: A report of more lines ends with its headline too.
_LONG: Final = 20
#: How many names are tried in one line.
_MANY: Final = 40


def _joined(names: Sequence[str], shown: int) -> str:
    """Return the first names, and the number of the others."""
    if shown >= len(names):
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def line(*spans: str | Span, indent: int = 0, hanging: int = 0) -> Line:
    """Return a line of spans; a string is a plain one."""
    made = tuple(span if isinstance(span, Span) else Span(span) for span in spans)
    return Line(made, indent, hanging)


EMPTY: Final = Line(())


def closed(first: Line, rest: Sequence[Block], form: Form) -> Iterator[Block]:
    """Yield a report, with its first line again at the end if it is long."""
    yield from (first, *rest)
    if form.is_long(rest):
        yield from (EMPTY, first)


def sections(*parts: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks of each part that has some, with an empty line between two parts."""
    is_first = True
    for part in parts:
        for number, block in enumerate(part):
            if number == 0 and not is_first:
                yield EMPTY
            is_first = False
            yield block


# --- widths -------------------------------------------------------------------------------------------------


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: characters of East Asia and emoji take two."""
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if character.isascii():
        return 1
    if character == "\ufe0f":
        return 1  # it makes an emoji of the character before, which is then twice as wide
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Return ``text``, cut to this many columns with a mark."""
    if cell_width(text) <= width:
        return text
    room, end = width - cell_width(ellipsis), 0
    while room >= (taken := _width_of(text[end])):
        room -= taken
        end += 1
    return f"{text[:end].rstrip()}{ellipsis}"


def wrapped(line: Line, width: int | None) -> list[tuple[Span, ...]]:
    """Return a line over as many lines as it needs; a word that is longer than a line is broken.

    :param width: the width of the terminal in columns; ``None``: it stays on one line.
    """
    first = Span(" " * line.indent)
    if width is None or cell_width(line.text) <= width:
        return [(first, *line.spans)]
    following = line.indent + line.hanging
    text = "".join(span.text for span in line.spans)
    lines: list[tuple[Span, ...]] = []
    start = 0
    while start < len(text):
        indent = following if lines else line.indent
        end = _end_of_line(text, start, max(1, width - indent))
        kept = len(text[start:end].rstrip())
        lines.append((Span(" " * indent), *_part(line.spans, start, start + kept)))
        start = end + len(text[end:]) - len(text[end:].lstrip())
    return lines


def _end_of_line(text: str, start: int, room: int) -> int:
    """Return where a line ends that begins at ``start``: between words, or within one that does not fit."""
    end = start
    while end < len(text) and room >= (taken := _width_of(text[end])):
        room -= taken
        end += 1
    if end == len(text) or text[end].isspace():
        return end
    space = max(text.rfind(" ", start, end), start)
    return space if text[start:space].strip() else max(end, start + 1)


def _part(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    """Yield what spans have from ``start`` to ``end``, counted over all of them."""
    position = 0
    for span in spans:
        text = span.text[max(0, start - position) : max(0, end - position)]
        position += len(span.text)
        if text:
            yield span._replace(text=text)


_IS_POSIX: Final = os.name == "posix"
#: The arguments of a command: quoted parts may hold spaces.
_ARGUMENT: Final = re.compile(r"(?:[^\s'\"]|'[^']*'?|\"[^\"]*\"?)+")


def command_lines(command: Command, width: int | None) -> list[str]:
    """Return a command over as many lines as it needs, each continued as a POSIX shell reads it.

    Shells of Windows do not read it so: there a command stays on one line, which the terminal wraps.

    :param width: the width of the terminal; ``None``: the command stays on one line.
    """
    if width is None or cell_width(command.whole) <= width:
        return [command.whole]
    if command.words:
        words = wrapped(Line((Span(f"{command.words}:"),), command.indent, 3), width)
        first = ["".join(span.text for span in part) for part in words]
        return [*first, *command_lines(Command(command.text, command.indent + 3), width)]
    if not _IS_POSIX:
        return [command.whole]
    indent = " " * command.indent
    lines = [indent]
    for argument in _ARGUMENT.findall(command.text):
        is_first = lines[-1].isspace() or not lines[-1]
        longer = lines[-1] + argument if is_first else f"{lines[-1]} {argument}"
        if cell_width(longer) > width - 2 and not is_first:
            lines[-1] += " \\"
            lines.append("")
            longer = f"{indent}  {argument}"
        lines[-1:] = _folded(longer, width)
    return lines


def _folded(text: str, width: int) -> list[str]:
    """Return the last line of a command, folded within its argument if that does not fit.

    The shell joins the parts: outside of quotes and between double ones it removes a backslash with the line
    end after it, and between single ones the quotes are closed before and opened again behind.
    """
    if cell_width(text) <= width - 2:
        return [text]
    lines, current, taken, quote = [], "", 0, ""
    for character in text:
        is_escaped = current.endswith("\\") and quote != "'"
        # Room for a quote and the backslash.
        if taken + _width_of(character) > width - 2 and not current.isspace() and not is_escaped:
            closed = "'" if quote == "'" else ""
            lines.append(f"{current}{closed}\\")
            current, taken = closed, len(closed)
        if not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        current += character
        taken += _width_of(character)
    return [*lines, current]
