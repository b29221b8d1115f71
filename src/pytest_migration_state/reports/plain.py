"""A report as plain text, for a pipe or a file: nothing is cut, and nothing depends on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_migration_state.reports.blocks import Command, Grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_migration_state.reports.blocks import Block, Form


def plain(blocks: Iterable[Block], form: Form) -> Iterator[str]:
    """Yield the lines of a report.

    :param form: a form without a width.
    """
    for block in blocks:
        match block:
            case Grid():
                yield from (line.text.rstrip() for line in block.lines(form))
            case Command():
                yield block.whole
            case _:
                yield block.text.rstrip()
