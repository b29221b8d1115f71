"""A report as plain text, for a pipe or a file: nothing is cut, and nothing depends on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.reports.blocks import Command, Grid, cell_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_migration_state.reports.blocks import Block


def plain(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the lines of a report."""
    for block in blocks:
        match block:
            case Grid():
                yield from grid_lines(block)
            case Command():
                yield " " * block.indent + block.text
            case _:
                yield block.text.rstrip()


def grid_lines(grid: Grid) -> Iterator[str]:
    """Yield the lines of a table."""
    rows = [grid.head, *(tuple(cell.text for cell in row) for row in grid.rows)]
    widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell + " " * (widths[0] - cell_width(cell)) for cell in row[:1]]
        cells += [
            " " * (width - cell_width(cell)) + cell for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        yield "  ".join(cells).rstrip()
