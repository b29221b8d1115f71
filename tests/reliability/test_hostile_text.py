"""Hostile text and JSON: stored escaped or cut, printed harmlessly, never in a file name, or refused."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import partial
from typing import TYPE_CHECKING

import pytest
from processes import run_all
from writers import in_validation, no_check, quiet, run_at, tracker_at

from pytest_migration_state.cli.main import main
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import MigrationStateError
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import TEXT_LIMIT
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = {
    "ansi": "\x1b[31mred\x1b[2J\x1b[1;1H",
    "osc": "\x1b]0;title\x07\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\",
    "c1": "\x9b31m\x85",
    "bidirectional": "abc\u202etxt.exe\u2066\u2069",
    "newlines": "one\ntwo\r\nthree\u2028four",
    "github": "::error::taken over",
    "github_later": "x\n::set-output name=a::b",
    "azure": "##vso[task.complete result=Succeeded]",
    "nul": "a\x00b",
    "surrogate": "a\udc80b\ud83d",
    "path": "../../x",
    "absolute": "/etc/passwd",
    "script": "<script>alert(1)</script>",
    "quotes": "\"'`$(reboot);&|",
    "braces": '{"seq":7,"hash":"' + "0" * 64 + '"}',
    "long": "é" * 100_000,
}
_FILES = ["migration-audit.log", "migration-state.json", "migration-state.json.lock"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_stored_and_never_printed_raw(
    state: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every field of every operation, it is stored, the chain is sound, and no command prints it raw."""
    text = HOSTILE[name]
    tracker = in_validation(state)
    tracker.commit(
        [
            {
                "operation": "add_validation_result",
                "component": text,
                "test_name": text,
                "passed": False,
                "error_message": text,
            },
            {"operation": "add_processed_container", "name": text, "container_id": text},
            {"operation": "add_preserved_data", "key": text, "backup_path": text[: TEXT_LIMIT // 2]},
            {"operation": "add_native_process", "name": text},
            {"operation": "set_error", "message": text},
            {"operation": "write_audit", "action": text, "details": text},
        ]
    )
    run = run_at(state, "run-1")
    run.open(no_check, {"host": text[:200].encode("ascii", "backslashreplace").decode()})
    run.verdict(Verdict(("run", "1"), passed=False, error_message=text))
    run.skip(("run", "2"), text, "x.py::y")
    run.finish(1, {})
    run.close()
    assert run.failure is None
    assert tracker.verify().sound
    document = FileStore(state, notify=quiet).read()
    assert len(document.verdicts) == 2
    for content in (state.read_bytes(), state.with_name("migration-audit.log").read_bytes()):
        assert all(len(line) < 3 * TEXT_LIMIT * 6 for line in content.splitlines())
        content.decode("utf-8")
    json.loads(state.read_bytes())
    assert sorted(path.name for path in state.parent.iterdir()) == _FILES
    for command in (
        ["show"],
        ["gate"],
        ["audit"],
        ["verify"],
        ["phase", "Completed"],
        ["forget", "nobody", "nothing", "--reason", "x"],
    ):
        main([command[0], "-s", str(state), *command[1:]])
        printed = capsys.readouterr()
        for line in (printed.out + printed.err).split("\n"):
            assert not re.match(r"\s*::|##(vso)?\[", line), line
            raw = {
                character
                for character in line
                if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
            }
            assert not raw - {"\t"}, (command, line)


def test_message_of_20_megabytes_is_cut(state: Path) -> None:
    """A long message is cut to 4 KiB, with a mark that contains its original length."""
    tracker_at(state).commit([{"operation": "set_error", "message": "x" * 20_000_000}])
    error = FileStore(state, notify=quiet).read().fields["error"]["message"]
    assert len(error.encode()) <= TEXT_LIMIT
    assert "cut: 20000000 characters" in error
    assert state.with_name("migration-audit.log").stat().st_size < 10 * TEXT_LIMIT


def _nested(depth: int) -> str:
    return '{"phase": "Validation", "x": ' + "[" * depth + "]" * depth + "}"


BOMBS = {
    "nested": _nested(100_000),
    "nested_objects": '{"phase": "Validation", "x": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
    "huge_number": '{"phase": "Validation", "x": 1e999}',
    "huge_integer": '{"phase": "Validation", "x": ' + "9" * 10_000 + "}",
    "nan": '{"phase": "Validation", "x": NaN}',
    "infinity": '{"phase": "Validation", "x": -Infinity}',
    "doubled_key": '{"phase": "Validation", "phase": "Completed"}',
    "doubled_key_inside": '{"phase": "Validation", "metadata": {"a": 1, "a": 2}}',
    "no_object": '"Validation"',
    "binary": "\x00\x01\x02",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("where", ["document", "log"])
def test_hostile_json_is_refused_or_a_foreign_line(
    state: Path, name: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the document, it is refused with a message and left unchanged. In the log, it is a foreign line."""
    tracker_at(state).commit([{"operation": "set_phase", "phase": "BackupInProgress"}])
    if where == "log":
        with state.with_name("migration-audit.log").open("a") as log:
            log.write(BOMBS[name] + "\n")
        tracker_at(state).commit([{"operation": "set_error", "message": "x"}])
        assert FileStore(state, notify=quiet).read().fields["error"]["message"] == "x"
        return
    state.write_text(BOMBS[name])
    for work in (tracker_at(state).read, partial(tracker_at(state).commit, [])):
        with pytest.raises(MigrationStateError) as caught:
            work()
        assert len(str(caught.value)) < 600
    assert state.read_text() == BOMBS[name]
    assert main(["show", "-s", str(state)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_deeply_nested_document_is_refused(state: Path) -> None:
    """A document that can be read but not written back is refused with a message, and left unchanged."""

    def check(depth: int) -> None:
        state.write_text(_nested(depth))
        try:
            MigrationTracker(state, notify=quiet).commit([])
        except MigrationStateError as error:
            # The depth decides whether it is refused.
            assert "too deeply nested" in str(error)  # noqa: PT017  # see above
            assert state.read_text() == _nested(depth)
        else:
            assert FileStore(state, notify=quiet).read().fields["x"]

    for depth in (50, 200, 400, 600, 800, 900, 950, 980, 990, 5000, 20_000):
        run_all([partial(check, depth)])
