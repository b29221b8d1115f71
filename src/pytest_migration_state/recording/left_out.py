"""What a collection left out without a look at it: files that --lf, testmon and their like pass over.

A file that was looked at in an earlier run, and has not changed since, is known; the rest is not.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

#: How many hexadecimal digits of a file's digest are kept: a state keeps them for each file.
_DIGITS: Final = 8


class LeftOut:
    """Watches what a collection looks at.

    :ivar unseen: the digest of each file that was left out, by its node id.
    :ivar items: items that a plugin took out of what a collector found.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.unseen: dict[str, str] = {}
        self.items: list[tuple[pytest.Item, str]] = []
        self._config = config
        self._files: dict[str, Path] = {}
        self._full = _FullResults()
        config.pluginmanager.register(self._full, "migration_state_full_results")
        config.pluginmanager.register(self, "migration_state_left_out")

    def files(self) -> str:
        """The digests of all files that were looked at, with a space between them."""
        return " ".join(sorted(_digest(name, path) for name, path in self._files.items()))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """See what was left out: --lf takes items out of a report, and reports files that it did not look at as empty."""
        self._full.result = None
        report = yield
        # pytest's own implementation, which collects, leaves its call on the report until it has been looked
        # at.
        was_looked_at = hasattr(report, "call") or bool(report.result) or not report.passed
        if not was_looked_at:
            self.unseen[collector.nodeid] = _digest(collector.nodeid, collector.path)
        elif isinstance(collector, pytest.File):
            self._files[collector.nodeid] = collector.path
        if report.passed and report.result and self._full.result:
            kept = {id(node) for node in report.result}
            self.items += [
                (node, node.nodeid)
                for node in self._full.result
                if isinstance(node, pytest.Item) and id(node) not in kept
            ]
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> Generator[None, bool | None, bool | None]:
        """See what an installed plugin leaves out.

        What pytest's options or a conftest ignore is meant to be ignored.
        """
        ignored = yield
        if ignored and not self._is_meant(collection_path):
            for path in self._test_files(collection_path):
                name = _node_id(self._config, path)
                self.unseen[name] = _digest(name, path)
        return ignored

    def _is_meant(self, path: Path) -> bool:
        """Whether pytest's own options or a conftest ignore the path."""
        hook = self._config.pluginmanager.hook.pytest_ignore_collect
        others = [
            found.plugin
            for found in hook.get_hookimpls()
            if not _is_of_pytest_or_conftest(found.plugin, found.plugin_name)
        ]
        ask = self._config.pluginmanager.subset_hook_caller(hook.name, others)
        try:
            return bool(ask(collection_path=path, path=None, config=self._config))
        except Exception:  # noqa: BLE001  # a conftest that asks for pytest 8's other form of the path: take it as meant
            return True

    def _test_files(self, path: Path) -> Iterator[Path]:
        """The files of Python tests that ``path`` is or holds."""
        patterns = self._config.getini("python_files")
        if path.is_dir():
            for pattern in patterns:
                yield from (found for found in path.rglob(pattern) if found.suffix == ".py")
        elif path.suffix == ".py" and any(path.match(pattern) for pattern in patterns):
            yield path


class _FullResults:
    """Sees what a collector found before other plugins took items out of it: the innermost of the wrappers."""

    def __init__(self) -> None:
        self.result: list[pytest.Item | pytest.Collector] | None = None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self.result = list(report.result) if report.passed and report.result else None
        return report


def _digest(name: str, path: Path) -> str:
    """A digest of a file's name and content, the same on every machine."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    return hashlib.sha256(os.fsencode(name) + b"\0" + content).hexdigest()[:_DIGITS]


def _node_id(config: pytest.Config, path: Path) -> str:
    try:
        return path.relative_to(config.rootpath).as_posix()
    except ValueError:
        return path.as_posix()


def _is_of_pytest_or_conftest(plugin: object, name: str) -> bool:
    module = plugin.__name__ if hasattr(plugin, "__name__") else type(plugin).__module__
    return str(module).startswith("_pytest.") or name.endswith("conftest.py")
