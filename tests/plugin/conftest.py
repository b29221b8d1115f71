"""Fixtures for the plugin's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recorded import Suite

if TYPE_CHECKING:
    from pathlib import Path

pytest.register_assert_rewrite("outcome_table")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """An empty suite and a state in phase Validation."""
    return Suite(tmp_path)
