"""The files that a collection left out unread, because of --lf, testmon or a similar option or plugin.

If an earlier run collected such a file, and the file has not changed since, then its tests are known.
Otherwise they are not.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

#: Number of hexadecimal digits that are kept of a file's digest. The state stores a digest for each file.
_DIGITS: Final = 8


class LeftOut:
    """Watches which files and items a collection leaves out.

    :ivar unseen: the digest of each file that was left out, by its node id.
    :ivar items: items that a plugin removed from the result of a collector, with their node ids.
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
        """Return the digests of all files that were collected, separated by spaces."""
        return " ".join(sorted(_digest(name, path) for name, path in self._files.items()))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Note what was left out: --lf removes items from a report, and reports a skipped file as empty."""
        self._full.result = None
        report = yield
        if not _was_collected(report):
            self.unseen[collector.nodeid] = _digest(collector.nodeid, collector.path)
        elif isinstance(collector, pytest.File):
            self._files[collector.nodeid] = collector.path
        if report.passed and report.result:
            self.items += [(item, item.nodeid) for item in self._full.removed_items(report.result)]
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> Generator[None, bool | None, bool | None]:
        """Note what an installed plugin leaves out.

        Files that pytest's options or a conftest ignore do not count: the user has excluded them.
        """
        ignored = yield
        if ignored and not self._is_ignored_by_user(collection_path):
            for path in self._test_files(collection_path):
                name = _node_id(self._config, path)
                self.unseen[name] = _digest(name, path)
        return ignored

    def _is_ignored_by_user(self, path: Path) -> bool:
        """Return True if pytest's own options or a conftest ignore the path."""
        hook = self._config.pluginmanager.hook.pytest_ignore_collect
        others = [
            found.plugin
            for found in hook.get_hookimpls()
            if not _is_of_pytest_or_conftest(found.plugin, found.plugin_name)
        ]
        ask = self._config.pluginmanager.subset_hook_caller(hook.name, others)
        try:
            return bool(ask(collection_path=path, path=None, config=self._config))
        except Exception:  # noqa: BLE001  # a conftest may expect the other form of the path of pytest 8
            return True

    def _test_files(self, path: Path) -> Iterator[Path]:
        """Return the Python test files at or below ``path``."""
        patterns: list[str] = self._config.getini("python_files")
        found: Iterable[Path] = ()
        if path.is_dir():
            found = itertools.chain.from_iterable(map(path.rglob, patterns))
        elif any(map(path.match, patterns)):
            found = (path,)
        return (file for file in found if file.suffix == ".py")


class _FullResults:
    """Keeps the full result of a collector. As the innermost wrapper, it runs before plugins remove items."""

    def __init__(self) -> None:
        self.result: list[pytest.Item | pytest.Collector] | None = None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self.result = list(report.result) if report.passed and report.result else None
        return report

    def removed_items(self, kept: list[pytest.Item | pytest.Collector]) -> list[pytest.Item]:
        """Return the items that a plugin removed from the full result."""
        kept_ids = {id(node) for node in kept}
        full = self.result or ()
        return [node for node in full if isinstance(node, pytest.Item) and id(node) not in kept_ids]


def _was_collected(report: pytest.CollectReport) -> bool:
    """Return True if the collector really ran, and no plugin reported it as empty in its place.

    pytest's own implementation leaves its ``call`` on the report; the attribute is removed only later.
    """
    return hasattr(report, "call") or bool(report.result) or not report.passed


def _digest(name: str, path: Path) -> str:
    """Return a digest of a file's name and content that is the same on every machine."""
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
