"""Options and fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from powershell_runner import PowerShell

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--deep", action="store_true", help="run the tests that are marked as deep too, as .ci/deep does"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts its background jobs with this signal ignored, and every process of a test would inherit
    # that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "deep: not one of the tests that everybody runs; see --deep")
    config.addinivalue_line("markers", "sample: a part of the deep tests that is quick enough for CI")
    config.addinivalue_line(
        "markers", "quick_cases(number): of each test, further cases are deep tests, and samples of them"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest's -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the deep tests unless they were requested."""
    _mark_further_cases(items)
    if config.getoption("--deep"):
        return
    deep = [item for item in items if item.get_closest_marker("deep")]
    if deep:
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


def _mark_further_cases(items: list[pytest.Item]) -> None:
    cases: Counter[str] = Counter()
    for item in items:
        limit = item.get_closest_marker("quick_cases")
        if limit is None or item.get_closest_marker("deep"):
            continue
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        if cases[test] > limit.args[0]:
            item.add_marker(pytest.mark.deep)
            item.add_marker(pytest.mark.sample)


@pytest.fixture(params=["pwsh", "powershell"] if sys.platform == "win32" else ["pwsh"])
def powershell(request: pytest.FixtureRequest, tmp_path: Path) -> PowerShell:
    """See :class:`PowerShell`. With ``REQUIRE_POWERSHELL`` in the environment it must be there."""
    program = shutil.which(request.param)
    if program is None:
        missing = f"{request.param} is not on the path"
        if os.environ.get("REQUIRE_POWERSHELL"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path / "with space"
    folder.mkdir()
    return PowerShell(program, folder)
