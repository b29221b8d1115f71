"""``migration-state import-backup``: its exit statuses, its human output, its JSON and its progress."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import contents, document, entries

from pytest_migration_state.cli import output

if TYPE_CHECKING:
    from commandline import Run, Start

SAMPLES = Path(__file__).parents[1] / "data" / "powershell" / "backup"


@pytest.fixture
def backups(folder: Path) -> Path:
    """A copy of the sample in which one volume was not saved."""
    shutil.copytree(SAMPLES / "volume-failed" / "backups", folder / "backups")
    return folder / "backups"


def keep_only(backups: Path, *names: str) -> None:
    """Keep only these containers in the manifest."""
    path = backups / "backup-manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["containers"] = [
        container for container in manifest["containers"] if container["container_name"] in names
    ]
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.usefixtures("backups")
def test_unsafe_backup_is_exit_status_1(folder: Path, run: Run) -> None:
    """If a backup is not safe, the exit status is 1, and both verdicts are recorded."""
    run("init")
    done = run("import-backup", "backups/backup-manifest.json", "--root", "backups")
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "Backup of 'guardian-hive': PASSED (5 files, 675 bytes, every checksum computed from the files)",
        "Backup of 'worker-aider': FAILED",
        "  - volume '/app/x' was not saved: Source path not found",
    ]
    recorded = {result["component"]: result["passed"] for result in document(folder)["validation_results"]}
    assert recorded == {"guardian-hive": True, "worker-aider": False}
    assert [entry["action"] for entry in entries(folder)] == [
        "Initialize",
        "BackupImported",
        "BackupImported",
    ]
    assert run("verify").status == 0


def test_safe_backups_are_exit_status_0(folder: Path, backups: Path, run: Run) -> None:
    """If every backup is safe, the exit status is 0, and --json prints the new document."""
    keep_only(backups, "guardian-hive")
    run("init")
    done = run("import-backup", "backups/backup-manifest.json", "--root", "backups", "--json")
    assert done.status == 0
    assert json.loads(done.out) == document(folder)
    assert document(folder)["data_preserved"] == {
        "guardian-hive-backup": "/srv/migration/backups/guardian-hive"
    }


def test_unreachable_files_fail_each_container(backups: Path, run: Run) -> None:
    """Without --root the files of a backup made elsewhere cannot be reached; each container fails."""
    done = run("import-backup", str(backups / "backup-manifest.json"))
    assert done.status == 1
    assert done.err == "warning: migration-state.json: created, in phase NotStarted\n"
    assert (
        done.out.count(
            "--root names the folder where the manifest's backup_root '/srv/migration/backups' is mounted"
        )
        == 2
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(None, "it cannot be read (No such file or directory)", id="missing"),
        pytest.param(b'{"backup_root": "/srv', "it is not a backup manifest: Unterminated string", id="cut"),
        pytest.param(
            b"[1]",
            "it is not a backup manifest: expected a JSON object, found a list",
            id="no object",
        ),
        pytest.param(
            b'{"backup_root": 7}',
            "it is not a backup manifest: 'backup_root' is 7; expected a string",
            id="type",
        ),
    ],
)
def test_invalid_manifest_is_exit_status_2(
    content: bytes | None, sentence: str, folder: Path, run: Run
) -> None:
    """An invalid manifest is exit status 2 and one line on standard error; nothing is recorded."""
    if content is not None:
        (folder / "backup-manifest.json").write_bytes(content)
    before = contents(folder)
    done = run("import-backup", "backup-manifest.json")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(
        f"migration-state: error: manifest 'backup-manifest.json' cannot be used: {sentence}"
    )
    assert done.err.endswith("; give the backup-manifest.json that the backup script wrote\n")
    assert done.err.count("\n") == 1
    assert contents(folder) == before


def test_control_characters_are_escaped(backups: Path, run: Run) -> None:
    """Text of the manifest is printed on one line, with control characters escaped."""
    path = backups / "backup-manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace("Source path not found", "gone\\u001b[2J\\n::error::x"),
        encoding="utf-8",
    )
    done = run("import-backup", str(path), "--root", "backups")
    assert "  - volume '/app/x' was not saved: gone\\x1b[2J\\n::error::x\n" in done.out


def test_piped_command_shows_no_progress(backups: Path, start: Start) -> None:
    """Piped, the command shows no progress; names beyond ASCII are read whatever the locale."""
    done = start(
        "import-backup",
        "backups/backup-manifest.json",
        "--root",
        "backups",
        "--json",
        env={"LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    assert done.status == 1
    assert done.err == "warning: migration-state.json: created, in phase NotStarted\n"
    state = json.loads(done.out)
    assert [result["error_message"] for result in state["validation_results"]] == [
        None,
        "volume '/app/x' was not saved: Source path not found",
    ]
    assert (backups / "worker-aider/volumes/volume-0/çedilha.txt").exists()


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_terminal_shows_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal a bar shows the progress, and is cleared at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with output.progress("checking the backup") as progress:
        assert progress is not None
        progress(1_000_000_000, 4_000_000_000)
    printed = terminal.getvalue()
    assert "checking the backup" in printed
    assert "1.0/4.0 GB" in printed
    assert printed.endswith("\x1b[1A\x1b[2K")
