"""Unusable states: each is one clear sentence and exit status 3, and nothing is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import Outcome, contents, document

from pytest_migration_state import StateLockedError, StateWriteError
from pytest_migration_state.cli.main import main
from pytest_migration_state.storage.files import document_file
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commandline import Run

# Root may write everywhere, so the user is changed. A command runs before that, so that every module is
# loaded: another user may not be able to read the interpreter's files.
_AS_NOBODY = """
import os, sys
from pytest_migration_state.cli.main import main
sys.stdout = open(os.devnull, "w")
main(["show", "--json"])
sys.stdout = sys.__stdout__
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main())
"""

_WAY_OUT = (
    "Restore it from a copy, or move it away: the next command that writes then rebuilds it from the audit "
    "log if that is whole"
)
_NOTHING = {"phase": "NotStarted"}

UNUSABLE = {
    "no JSON": (
        b"phase: Validation\n",
        f"it is not a migration state (Expecting value: line 1 column 1 (char 0)). {_WAY_OUT}",
    ),
    "list": (
        b"[]\n",
        f"it is not a migration state (expected a JSON object, found a list). {_WAY_OUT}",
    ),
    "empty": (b"", f"it is empty. {_WAY_OUT}"),
    "cut": (
        b'{"phase": "Valid',
        (
            "it is not a migration state (Unterminated string starting at: line 1 column 11 (char 10)). "
            f"{_WAY_OUT}"
        ),
    ),
    "newer": (
        b'{"phase": "NotStarted", "metadata": {"version": "3.0"}}',
        (
            "it was written in version 3.0 of the format, and this program knows versions up to 2.0; "
            "install a newer one"
        ),
    ),
    "no phase": (
        b"{}",
        (
            "it is not a migration state ('phase' is None; expected one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, "
            f"Validation, Completed, RolledBack). {_WAY_OUT}"
        ),
    ),
    "unknown phase": (
        b'{"phase": "Done"}',
        (
            "it is not a migration state ('phase' is 'Done'; expected one of NotStarted, BackupInProgress, "
            "ContainerTermination, NativeDeployment, "
            f"Validation, Completed, RolledBack). {_WAY_OUT}"
        ),
    ),
    "verdict no verdict": (
        json.dumps(
            {**_NOTHING, "validation_results": [{"component": "c", "test_name": "t", "passed": "yes"}]}
        ).encode(),
        (
            "it is not a migration state ('validation_results[0].passed' is 'yes'; expected true or false). "
            f"{_WAY_OUT}"
        ),
    ),
}

EVERY = (
    ("show",), ("show", "--json"), ("gate",), ("gate", "--json"), ("verify",),
    ("phase", "BackupInProgress"), ("container", "n", "i"), ("data", "k", "p"), ("process", "n"), ("result",
        "c", "t", "--passed"),
    ("rollback", "available"), ("error", "m"), ("log", "a", "d"), ("forget", "c", "t", "--reason", "r"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the writer of an empty document."""
    monkeypatch.setattr(document_file, "EMPTY_PATIENCE", 0.0)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(("content", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_state_is_refused_and_kept(run: Run, folder: Path, content: bytes, reason: str) -> None:
    """Every command except a forced init names the file and the remedy, and leaves the file unchanged."""
    path = folder / "migration-state.json"
    path.write_bytes(content)
    for arguments in EVERY:
        status, out, err = run(*arguments)
        assert (status, err) == (3, f"migration-state: error: migration-state.json: {reason}\n"), arguments
        assert bool(out) == ("--json" in arguments)
    status, out, err = run("apply", stdin=b'{"operation":"set_error","message":"m"}')
    assert (status, out, err) == (3, "", f"migration-state: error: migration-state.json: {reason}\n")
    assert run("init").status == 1
    assert contents(folder) == {"migration-state.json": content}
    assert run("init", "--force").status == 0
    assert document(folder)["phase"] == "NotStarted"
    (kept,) = folder.glob("migration-state.json.replaced-*")
    assert kept.read_bytes() == content


def test_log_of_another_state_is_refused(run: Run, folder: Path) -> None:
    """The error names the line of the log whose hash differs from the one in the document."""
    run("init")
    path = folder / "migration-state.json"
    state = document(folder)
    state["metadata"]["audit"]["hash"] = "0" * 64
    path.write_text(json.dumps(state))
    before = contents(folder)
    for arguments in (("show",), ("error", "m")):
        status, out, err = run(*arguments)
        assert (status, out) == (3, "")
        assert err.startswith("migration-state: error: ")
        assert err.count("\n") == 1
        assert (
            "migration-audit.log: line 1: entry 1 is not the one that the document names: the log belongs to "
            "another state"
        ) in err
    assert contents(folder) == before


def test_folder_in_place_of_the_state_is_refused(run: Run, folder: Path) -> None:
    """A folder is refused as a state, and nothing is created in it or beside it."""
    (folder / "migration-state.json").mkdir()
    sentence = (
        "migration-state.json: this is a folder; name the state file in it, such as migration-state.json"
    )
    for arguments in (*EVERY, ("init",), ("init", "--force")):
        status, _, err = run(*arguments)
        assert (status, err) == (3, f"migration-state: error: {sentence}\n"), arguments
    assert [path.name for path in folder.rglob("*")] == ["migration-state.json"]


def test_file_in_place_of_a_folder_is_refused(run: Run, folder: Path) -> None:
    """The error names a folder that cannot be created."""
    (folder / "file").write_bytes(b"")
    status, _, err = run("init", "-s", "file/migration-state.json")
    assert (status, err.count("\n")) == (3, 1)
    assert err.startswith("migration-state: error: file/migration-state.json: its folder cannot be created (")


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    """A folder that other users can reach, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits for folders")
def test_unwritable_folder_can_only_be_read(readable_by_all: Path) -> None:
    """In a read-only folder reading works, and writing reports the missing permission."""
    folder = readable_by_all
    assert main(["init", "-s", str(folder / "migration-state.json")]) == 0
    before = contents(folder)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)

    def start(*arguments: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    assert start("show", "--json").status == 0
    refused = (
        f"migration-state: error: {folder / 'migration-state.json.lock'}: the lock file cannot be opened "
        "for writing (Permission denied)\n"
    )
    assert start("error", "m") == (3, "", refused)
    assert start("init", "--force") == (3, "", refused)
    assert start("init", "-s", "new/migration-state.json") == (
        3,
        "",
        (
            "migration-state: error: new/migration-state.json: its folder cannot be created (Permission "
            "denied)\n"
        ),
    )
    assert contents(folder) == before
    folder.chmod(0o755)


def test_folder_in_place_of_the_log_is_an_error(run: Run, folder: Path) -> None:
    """An unreadable log is an error of one sentence."""
    run("init")
    log = folder / "migration-audit.log"
    log.unlink()
    log.mkdir()
    assert run("audit") == (3, "", f"migration-state: error: {log}: Is a directory\n")


def test_damaged_log_line_is_a_warning(run: Run, folder: Path) -> None:
    """A line of the log that is not a JSON object is a warning with its number; the others are shown."""
    run("init")
    with (folder / "migration-audit.log").open("ab") as file:
        file.write(b"by hand\n")
    run("error", "m")
    status, out, err = run("audit")
    assert (status, [line.split()[2] for line in out.splitlines()]) == (0, ["Initialize", "Error"])
    assert err == f"warning: {folder / 'migration-audit.log'}: line 2: it is not a JSON object\n"


def test_missing_log_is_a_warning(run: Run, folder: Path) -> None:
    """A missing log is a warning, not an error: the state has no entries."""
    (folder / "migration-state.json").write_bytes(b'{"phase": "Validation"}')
    assert run("audit") == (0, "", f"warning: {folder / 'migration-audit.log'}: there is no audit log\n")
    assert run("audit", "--json").out == ""


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            StateLockedError("migration-state.json.lock", 60, "process 12 on ci-7 (pytest)"), id="locked"
        ),
        pytest.param(
            StateWriteError(
                "migration-state.json", "the document cannot be written (No space left on device)"
            ),
            id="disk full",
        ),
    ],
)
def test_other_errors_of_a_state_are_exit_status_3(
    run: Run, folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A held lock and a full disk are exit status 3 and the error's own sentence."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(MigrationTracker, "commit", fail)
    assert run("error", "m") == (3, "", f"migration-state: error: {error}\n")
    assert list(folder.iterdir()) == []


def test_unexpected_exception_is_one_line(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is one line that names where it was raised, without a traceback."""

    def fail(*_: object) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr(MigrationTracker, "read", fail)
    status, out, err = run("show")
    assert (status, out, list(folder.iterdir())) == (3, "", [])
    assert err.startswith("migration-state: error: unexpected KeyError in test_cli_bad_input.py, line ")
    assert err.count("\n") == 1
