"""The command line as a process: exit statuses, encodings, closed pipes and signals."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import document

from pytest_migration_state.cli import output

if TYPE_CHECKING:
    from commandline import Run, Start

#: Environments in which Python cannot print non-ASCII text; in the second it reads arguments as ASCII too.
ASCII = {
    "output": {"PYTHONIOENCODING": "ascii:strict"},
    "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
COMMAND = [sys.executable, "-m", "pytest_migration_state"]


def test_each_kind_of_result_has_its_exit_status(start: Start) -> None:
    """0 done, 1 refused, 2 wrong usage, 3 no state; an error is one line, never a traceback."""
    assert start("show").status == 3
    assert start("init").status == 0
    refused = start("phase", "Completed")
    wrong = start("phase", "Done")
    assert (refused.status, wrong.status) == (1, 2)
    for outcome in (refused, wrong):
        assert outcome.out == ""
        assert outcome.err.startswith("migration-state: error: ")
        assert outcome.err.count("\n") == 1


def test_installed_command_is_on_the_path(folder: Path) -> None:
    """Installing the package puts this command on the path."""
    found = str(Path(sys.executable).parent / "migration-state")
    done = subprocess.run([found, "init"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "Migration state initialized: migration-state.json\n",
        "",
    )


@pytest.mark.parametrize("env", ASCII.values(), ids=ASCII)
def test_output_is_escaped_if_only_ascii_can_be_printed(
    start: Start, folder: Path, env: dict[str, str]
) -> None:
    """If only ASCII can be printed, text is escaped. JSON is read as UTF-8, and always printed in ASCII."""
    text = "völlig — \N{PILE OF POO}"
    line = json.dumps({"operation": "set_error", "message": text}, ensure_ascii=False).encode()
    printed = start("apply", "--json", stdin=line, env=env).out
    assert printed.isascii()
    assert json.loads(printed) == json.loads((folder / "migration-state.json").read_bytes())
    assert document(folder)["error"]["message"] == text
    shown = start("show", env=env)
    assert (shown.status, shown.err) == (0, "")
    assert "v\\xf6llig \\u2014 \\U0001f4a9" in shown.out
    lines = start("audit", "--json", env=env).out.splitlines()
    assert text in [json.loads(line)["details"] for line in lines]
    assert start("gate", "--json", "--require", "x", env=env).status == 1


def test_unprintable_arguments_are_escaped_in_errors(start: Start) -> None:
    """An error escapes the characters of an argument that cannot be printed."""
    outcome = start("phase", "Völlig", env=ASCII["output"])
    assert outcome.err.startswith("migration-state: error: argument PHASE: 'V\\xf6llig' cannot be used")


def _piped(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, stderr=subprocess.PIPE, check=False, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of another kind")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(("show",), 0, id="show"),
        pytest.param(("audit", "--json"), 0, id="audit"),
        pytest.param(("gate",), 1, id="gate, shut"),
        pytest.param(("error", "m", "--json"), 0, id="a command that writes"),
        pytest.param(("--help",), 0, id="help"),
    ],
)
def test_closed_pipe_is_silent(run: Run, folder: Path, arguments: tuple[str, ...], status: int) -> None:
    """A closed pipe is not an error, and does not change the exit status."""
    run("init")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = _piped(folder, *arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("show",), ("show", "--json"), ("--version",)], ids=" ".join)
def test_full_disk_under_standard_output_is_an_error(
    run: Run, folder: Path, arguments: tuple[str, ...]
) -> None:
    """Failing to write the output is an error of one line."""
    run("init")
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # a device
        done = _piped(folder, *arguments, stdout=full)
    assert (done.returncode, done.stderr) == (
        3,
        b"migration-state: error: standard output cannot be written (No space left on device)\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_streams_are_no_error(run: Run, folder: Path) -> None:
    """Streams that were closed before the start are not an error."""
    run("init")
    program = " ".join(f"'{part}'" for part in COMMAND)
    for command, status in (
        ("show >&-", 0),
        ("show --json >&-", 0),
        ("phase Done 2>&-", 2),
        ("error m >&- 2>&-", 0),
        ("apply <&-", 2),
    ):
        done = subprocess.run(
            ["sh", "-c", f"{program} {command}"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, command
        assert "Traceback" not in done.stderr
    assert done.stderr == "migration-state: error: standard input is closed; name a file\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_interrupt_is_exit_status_130(folder: Path) -> None:
    """Ctrl-C while waiting for operations is exit status 130, without a traceback or a state."""
    process = subprocess.Popen(
        [*COMMAND, "apply"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    # Once it has read more than a pipe holds, its imports are done.
    process.stdin.write(b'{"operation":"set_error","message":"m"}\n' * 4_000)
    process.stdin.flush()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_path_that_is_not_utf8_is_used_unchanged(start: Start, folder: Path) -> None:
    """A file name that is not UTF-8 is used as it is, and printed escaped."""
    name = os.fsencode(folder) + b"/st\xffte.json"
    assert start("init", b"-s", name) == (0, f"Migration state initialized: {folder}/st\\udcffte.json\n", "")
    assert start("show", b"-s", name).status == 0
    assert os.path.exists(name)  # noqa: PTH110  # bytes


@pytest.mark.parametrize(
    ("platform", "number", "is_gone"),
    [
        ("linux", errno.EPIPE, True),
        ("linux", errno.EINVAL, False),
        ("win32", errno.EINVAL, True),
        ("win32", errno.ENOSPC, False),
    ],
)
def test_closed_pipe_is_known_on_every_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, number: int, is_gone: bool
) -> None:
    """Windows reports it as an invalid argument."""
    monkeypatch.setattr(sys, "platform", platform)
    assert output._is_gone(OSError(number, "it failed")) is is_gone
