"""A PowerShell for tests, with this package's command on its path."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any, Final

import pytest

import powershell_text

if TYPE_CHECKING:
    from pathlib import Path

#: The mark of a test of something that few scripts depend on: all its cases are samples of the deep tests.
LONG: Final = pytest.mark.quick_cases(0)
LIMIT: Final = 240  # seconds within which a script must end
#: PowerShell prints in the code page of its console on Windows, and the tests read UTF-8.
_UTF8: Final = (
    "[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false; "
    if sys.platform == "win32"
    else ""
)
#: How a test loads the functions, if it is not about that: without a start of the command.
LOAD: Final = f". '{powershell_text.PATH}'"


class PowerShell:
    """A PowerShell in the test's own folder.

    :param program: ``pwsh``, or ``powershell`` for Windows PowerShell 5.1.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self._program = program
        self._environment = {
            key: value
            for key, value in os.environ.items()
            # Windows PowerShell, started below PowerShell 7, would look for its modules where that has them.
            if key not in ("MIGRATION_STATE", "PYTHONIOENCODING", "PSModulePath")
        }
        self._environment["PATH"] = os.pathsep.join(
            (sysconfig.get_path("scripts"), self._environment["PATH"])
        )
        self._count = 0

    @property
    def state(self) -> Path:
        """The path of the state."""
        return self.folder / "migration-state.json"

    def script(self, content: str, name: str | None = None) -> Path:
        """Write a script."""
        self._count += 1
        path = self.folder / (name or f"script-{self._count}.ps1")
        # With a byte order mark: without it, 5.1 reads the text as ANSI.
        path.write_text(content, encoding="utf-8-sig", newline="\r\n")
        return path

    def start(self, script: str, *, load: str = LOAD, **environment: str) -> subprocess.Popen[str]:
        """Start a script that the functions are loaded for."""
        return self._start(self.script(f"{_UTF8}{load}\n{script}\n"), environment=environment)

    def fails(self, script: str, **options: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, whatever that is."""
        return self._ended(self.start(script, **options))

    def run_file(self, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script that is there already, as an operator does."""
        return self._ended(self._start(path, *arguments, environment={}))

    def _start(self, path: Path, *arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
        options = [
            "-NoProfile",
            "-NonInteractive",
            *(["-ExecutionPolicy", "Bypass"] if sys.platform == "win32" else []),
            "-File",
        ]
        return subprocess.Popen(
            [self._program, *options, str(path), *arguments],
            cwd=self.folder,
            env={**self._environment, "NO_COLOR": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    @staticmethod
    def _ended(running: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = running.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(running.args, running.returncode, out, err)

    def __call__(self, script: str, **options: str) -> list[str]:
        """Run a script that must succeed, and return its output as lines."""
        done = self.fails(script, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def document(self) -> dict[str, Any]:
        """The state document on the disk."""
        found: dict[str, Any] = json.loads(self.state.read_bytes())
        return found

    def another_command(self, name: str, shell: str, batch: str) -> Path:
        """Make a folder with another program that is called ``migration-state``, and return it.

        :param name: the folder's name.
        :param shell: its lines for a POSIX shell.
        :param batch: its lines for Windows.
        """
        folder = self.folder / name
        folder.mkdir()
        if sys.platform == "win32":
            (folder / "migration-state.cmd").write_text(f"@echo off\n{batch}\n", encoding="ascii")
        else:
            path = folder / "migration-state"
            path.write_text(f"#!/bin/sh\n{shell}\n", encoding="ascii")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return folder


def quoted(text: str) -> str:
    """Return ``text`` as a PowerShell expression."""
    encoded = base64.b64encode(text.encode()).decode()
    return f"([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')))"
