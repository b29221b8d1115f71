"""Fixtures that run the command line in this process or as a separate one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commandline import Outcome

from pytest_migration_state.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run, Start


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; no environment variable names a state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGRATION_STATE", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """See :class:`Run`."""
    assert folder.is_dir()

    def call(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = main(arguments)
        return Outcome(status, *capsys.readouterr())

    return call


@pytest.fixture
def start(folder: Path) -> Start:
    """See :class:`Start`."""

    def call(*arguments: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None) -> Outcome:
        command = [sys.executable, "-m", "pytest_migration_state", *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            input=stdin,
            env={**os.environ, **(env or {})},
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Outcome(
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )

    return call
