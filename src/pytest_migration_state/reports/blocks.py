"""The parts that a report for people is made of, whatever prints them.

A report is a sequence of blocks. :mod:`~pytest_migration_state.reports.plain` prints them for a pipe or a
file, :mod:`~pytest_migration_state.reports.terminal` for a terminal, and
:mod:`~pytest_migration_state.reports.pytest_summary` with pytest's own writer.
"""

from __future__ import annotations

import math
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
    """A command to copy. Where it is too long for a line, it is continued as a shell reads it."""

    text: str
    indent: int = 0


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


def wrapped(text: str, width: int | None, indent: int = 0, hanging: int = 0) -> list[str]:
    """Return a text over as many lines as it needs; a word that is longer than a line is broken.

    :param width: the width of the terminal in columns; ``None``: the text stays on one line.
    """
    lines = [" " * indent]
    is_first = True
    for word in text.split(" "):
        joined = lines[-1] + word if is_first else f"{lines[-1]} {word}"
        is_first = False
        if width is None or cell_width(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1].strip():
            joined = " " * (indent + hanging) + word
            lines.append("")
        lines[-1:] = _broken(joined, width, indent + hanging)
    return lines


def _broken(text: str, width: int, indent: int) -> list[str]:
    """Return a text that begins a line, broken wherever the line ends."""
    lines, current, taken = [], "", 0
    for character in text:
        if taken + _width_of(character) > width and current.strip():
            lines.append(current)
            current, taken = " " * indent, indent
        current += character
        taken += _width_of(character)
    return [*lines, current]


#: The arguments of a command: quoted parts may hold spaces.
_ARGUMENT: Final = re.compile(r"(?:[^\s'\"]|'[^']*'?|\"[^\"]*\"?)+")


def command_lines(command: Command, width: int | None) -> list[str]:
    """Return a command over as many lines as it needs, each continued as a POSIX shell reads it.

    :param width: the width of the terminal; ``None``: the command stays on one line.
    """
    indent = " " * command.indent
    if width is None or cell_width(indent + command.text) <= width:
        return [indent + command.text]
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
