"""Options and fixtures shared by all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--deep", action="store_true", help="run the tests that are marked as deep too, as .ci/deep does"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deep: not one of the tests that everybody runs; see --deep")
    config.addinivalue_line("markers", "sample: a part of the deep tests that is quick enough for CI")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the deep tests unless they were requested."""
    if config.getoption("--deep"):
        return
    deep = [item for item in items if item.get_closest_marker("deep")]
    if deep:
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]
