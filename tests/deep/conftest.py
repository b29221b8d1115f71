"""The matrix is long: ``.ci/deep`` runs all of it, and ``pytest tests/deep -m sample`` the part for CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: The suites run in environments of their own.
collect_ignore = ["plugins"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sample: a part of the matrix that is quick enough for CI")
