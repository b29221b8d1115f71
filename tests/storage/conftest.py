"""Shared by the tests of journals."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from journaled import begun

from state_files import DOCUMENT, in_validation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_migration_state.tracking.run_writer import RunWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in Validation."""
    in_validation(tmp_path / DOCUMENT).close()
    return tmp_path / DOCUMENT


@pytest.fixture
def run(path: Path) -> Iterator[RunWriter]:
    """A run that has planned one validation."""
    with closing(begun(path)) as run:
        yield run
