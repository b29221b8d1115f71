"""A suite in its own folder, run under pytest with its outcomes recorded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from textwrap import dedent
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_migration_state import GateBlockedError, MigrationTracker
from pytest_migration_state.domain.policy import COLLECTION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The component that the suites' tests validate unless a case needs another one.
COMPONENT = "guardian-hive"

#: The beginning of every test file.
PREAMBLE = f"""\
import os, sys, time, unittest
import pytest
component = pytest.mark.migration_component("{COMPONENT}")
"""

#: The ways to run a suite: in one process, or distributed over two.
ALONE, XDIST = "alone", "n2"


class Run(NamedTuple):
    """A finished run of pytest.

    :ivar status: its exit status; if negative, the signal that ended it.
    :ivar output: the text on standard output and standard error.
    :ivar lines: the lines on standard output.
    :ivar errors: the lines on standard error.
    """

    status: int
    output: str
    lines: list[str]
    errors: list[str]


class Suite:
    """A suite of files in a folder, and the state beside it, in phase Validation.

    :ivar path: the state document.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "migration-state.json"
        self.path.write_text('{"phase": "Validation"}', encoding="utf-8")
        # Plugins are loaded by name and not automatically: that is faster, and shows which are needed.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))
        }
        self.environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}

    def write(self, files: str | Mapping[str, str]) -> None:
        """Write ``test_it.py``, or several files by name. Test files begin with the :data:`PREAMBLE`."""
        for name, content in ({"test_it.py": files} if isinstance(files, str) else files).items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            beginning = PREAMBLE if name.endswith(".py") else ""
            target.write_text(beginning + dedent(content), encoding="utf-8")

    def run(self, *arguments: str, how: str = ALONE, recorded: bool = True) -> Run:
        """Run pytest on the suite in a separate process."""
        options = ["-p", "pytest_migration_state.plugin", "-p", "xdist"]
        if how == XDIST:
            options.append("-n2")
        if recorded:
            options.append(f"--migration-state={self.path}")
        return self.run_python("-m", "pytest", *options, *arguments)

    def run_python(self, *arguments: str) -> Run:
        """Run this interpreter in the suite's folder."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        # Some tests print bytes that are not UTF-8.
        output, errors = (
            stream.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
            for stream in (done.stdout, done.stderr)
        )
        sys.stdout.write(output + errors)
        return Run(done.returncode, output + errors, output.splitlines(), errors.splitlines())

    @property
    def tracker(self) -> MigrationTracker:
        return MigrationTracker(self.path, notify=lambda _: None)

    @property
    def books(self) -> dict[str, str]:
        """The content of the state, in short: see :func:`in_short`."""
        return in_short(self.tracker.read().to_object())

    @property
    def phase(self) -> str:
        return str(self.tracker.state.phase)

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = self.tracker.read().to_object()
        return found

    def log(self) -> list[dict[str, Any]]:
        """The entries of the audit log."""
        path = self.tracker.audit_log_path
        return (
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if path.exists()
            else []
        )

    def can_be_completed(self) -> bool:
        """Try to complete the migration, as ``migration-state phase Completed`` does."""
        with closing(self.tracker) as tracker:
            try:
                tracker.set_phase("Completed")
            except GateBlockedError:
                return False
            return True


def in_short(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdicts and outstanding validations of a document as one table of names and results.

    A validation of :data:`COMPONENT` is named by its test alone, and without the file if that is
    ``test_it.py``: ``::test``. A file that could not be collected has its own name. Every other validation is
    named ``component: test_name``.
    """
    books: dict[str, str] = {}
    for verdict in document["validation_results"]:
        known = (
            str(verdict["outcome"]) if "outcome" in verdict else ("passed" if verdict["passed"] else "failed")
        )
        assert verdict["passed"] is (known == "passed")
        if "attempts" in verdict:
            known += f" on attempt {verdict['attempts']}"
        books[_name(verdict)] = known
    for entry in document["outstanding_validations"]:
        name = _name(entry)
        books[name] = f"{books[name]}, {entry['reason']}" if name in books else str(entry["reason"])
    return books


def _name(entry: Mapping[str, Any]) -> str:
    component, test_name = str(entry["component"]), str(entry["test_name"])
    if component == COLLECTION:
        # A selection from which a plugin left out files is named by its digest.
        return re.sub(r" \([0-9a-f]{16}\)$", "", test_name)
    return test_name.removeprefix("test_it.py") if component == COMPONENT else f"{component}: {test_name}"
