"""Hostile text: stored escaped or cut, printed harmlessly by every command, never used in a file name."""

from __future__ import annotations

import json
import os
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from commandline import document, entries

from pytest_migration_state.text import TEXT_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Run, Start

pytestmark = pytest.mark.quick_cases(3)

HOSTILE = {
    "ANSI": "\x1b[31mred\x1b[0m",
    "OSC": "\x1b]0;title\x07",
    "C1": "\x9b31m",
    "bidi": "abc\u202egnp.exe\u2066",
    "zero width": "guard\u200bian",
    "newline": "first\nsecond",
    "carriage return": "PASSED\rFAILED",
    "GitHub": "::error::boo",
    "GitHub on a line of its own": "x\n::error::boo",
    "GitHub's older form": "##[error]boo",
    "Azure": "##vso[task.complete result=Succeeded]",
    "TeamCity": "##teamcity[buildProblem]",
    "NUL": "a\x00b",
    "line separator": "a\u2028::error::b",
    "path": "../../x",
    "markup": "<script>alert(1)</script>",
    "percent": "%s %(x)s {0}",
    "long": "x" * 100_000,
    "lone surrogate": "a\udc80b",
}


def harmless(out: str) -> None:
    """Fail if a terminal or a CI service could interpret a part of ``out`` as an instruction."""
    for line in out.split("\n"):
        assert not [
            character
            for character in line
            if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
        ], line[:200]
        assert not line.lstrip().startswith("::"), line[:200]
        assert not any(command in line for command in ("##[", "##vso[", "##teamcity[")), line[:200]


def everything_printed(run: Run) -> str:
    """Return the output of every reading command, on both streams."""
    outcomes = [
        run("show"),
        run("audit"),
        run("gate"),
        run("gate", "--require", "\x1b[31mrequired"),
        run("verify"),
        run("phase", "Completed"),
        run("init"),
    ]
    return "".join(outcome.out + outcome.err for outcome in outcomes)


def requests(text: str) -> list[dict[str, Any]]:
    """Return an operation for every field that stores text."""
    return [
        {"operation": "add_processed_container", "name": text, "container_id": text},
        {"operation": "add_preserved_data", "key": text, "backup_path": text[:TEXT_LIMIT]},
        {"operation": "add_native_process", "name": text},
        {
            "operation": "add_validation_result",
            "component": text,
            "test_name": text,
            "passed": False,
            "error_message": text,
        },
        {"operation": "add_validation_result", "component": text, "test_name": "old", "passed": True},
        {"operation": "forget_validation", "component": text, "test_name": "old", "reason": text},
        {"operation": "set_error", "message": text},
        {"operation": "write_audit", "action": text, "details": text},
        {"operation": "set_phase", "phase": "Validation", "force": True, "reason": text},
    ]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_printed_harmlessly(run: Run, folder: Path, text: str) -> None:
    """Hostile text anywhere in the state is printed escaped, on its own line. Both files stay valid."""
    lines = "".join(json.dumps(request) + "\n" for request in requests(text)).encode()
    assert run("apply", stdin=lines).status == 0
    harmless(everything_printed(run))
    assert {path.name for path in folder.rglob("*")} == {
        "migration-state.json",
        "migration-audit.log",
        "migration-state.json.lock",
    }
    # Each line of the log is still one entry, and text that needs no escaping is unchanged.
    assert len(entries(folder)) == len(requests(text)) + 2
    kept = document(folder)["docker_containers_removed"][0]["name"]
    if text == HOSTILE["lone surrogate"]:
        assert kept == "a\\udc80b"
    elif text == HOSTILE["long"]:
        assert kept.startswith("xxx")
        assert "[cut: 100000 characters, sha256 " in kept
        assert len(kept.encode()) <= 4096
    else:
        assert kept == text
    assert json.loads(run("show", "--json").out) == document(folder)


@pytest.mark.parametrize(
    "text", [text for name, text in HOSTILE.items() if name != "lone surrogate"], ids=[*HOSTILE][:-1]
)
def test_hostile_document_of_another_tool_is_printed_harmlessly(run: Run, folder: Path, text: str) -> None:
    """Hostile text that another tool wrote is printed harmlessly too; so are unknown keys and types."""
    now = "2026-01-15T09:00:00Z"
    state = {
        "phase": "Validation",
        "started_at": now,
        "last_updated": now,
        "docker_containers_removed": [{"name": text}],
        "data_preserved": {text: text},
        "native_processes_started": [{"name": text, "process_id": 1.5}],
        "validation_results": [
            {"component": text, "test_name": text, "passed": False, "error_message": text, "outcome": text},
            {"component": text, "test_name": "other", "passed": True},
        ],
        "outstanding_validations": [
            {"component": text, "test_name": text + "2", "reason": "skipped", "detail": text, "since": now}
        ],
        "error": {"message": text, "occurred_at": now},
        "metadata": {
            "migration_id": text,
            "migration_type": text,
            "platform": [text],
            "open_runs": {text: {"started_at": text, "host": text, "process_id": text}, "other": text},
        },
        text: text,
    }
    (folder / "migration-state.json").write_text(json.dumps(state), encoding="utf-8")
    line = {"timestamp": text, "level": text, "action": [text], "details": {"x": text}}
    (folder / "migration-audit.log").write_text(
        json.dumps(line) + "\n" + text.replace("\n", " ") + "\n", encoding="utf-8", newline=""
    )
    harmless(everything_printed(run))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arguments_are_quoted_harmlessly(run: Run, folder: Path, text: str) -> None:
    """A command quotes its arguments harmlessly, whether it accepts or refuses them."""
    run("init")
    outcomes = [
        run("container", "--", text, text),
        run("data", "--", text, text[:TEXT_LIMIT]),
        run("process", "--", text),
        run("result", "--failed", f"--error={text}", "--", text, text),
        run("error", "--", text),
        run("log", "--", text, text),
        run("forget", f"--reason={text}", "--", text, text),
        run("phase", "--", text),
        run("phase", f"--allow={text}", "Completed"),
        run("process", f"--pid={text}", "x"),
        run("rollback", "--", text),
        run("apply", "--", text.replace("\x00", "")),
        run(text),
        run("show", "--", text),
        run("gate", f"--component={text}"),
    ]
    harmless("".join(outcome.out + outcome.err for outcome in outcomes))
    assert [outcome.status for outcome in outcomes] == [0] * 7 + [2] * 6 + [0, 1]
    assert document(folder)["phase"] == "NotStarted"


def test_arguments_that_are_not_utf8_are_escaped(start: Start, folder: Path) -> None:
    """Arguments that are not UTF-8 are stored and printed escaped."""
    outcome = start("result", b"guard\xffian", b"t\x80", "--failed", "--error", b"\xc3")
    assert (outcome.status, outcome.out) == (0, "Test 't\\udc80' for 'guard\\udcffian': FAILED\n")
    verdict = document(folder)["validation_results"][0]
    assert (verdict["component"], verdict["test_name"], verdict["error_message"]) == (
        "guard\\udcffian",
        "t\\udc80",
        "\\udcc3",
    )
    for arguments in (("show",), ("gate",), ("audit",)):
        harmless(start(*arguments).out)
    assert start("forget", b"guard\xffian", b"t\x80", "--reason", "r").status == 0
    assert document(folder)["validation_results"] == []


@pytest.mark.skipif(os.sep != "/", reason="such names cannot be files there")
def test_hostile_path_is_printed_harmlessly(run: Run, folder: Path) -> None:
    """The name of the state file itself is printed harmlessly."""
    name = "::error::\x1b[31m\u202e\n##[error].json"
    outcomes = [
        run(command, "-s", name) for command in ("show", "init", "show", "gate", "audit", "verify", "init")
    ]
    outcomes += [run("error", "m", "-s", f"{name}/x.json"), run("apply", name + "x")]
    harmless("".join(outcome.out + outcome.err for outcome in outcomes))
    assert (folder / name).exists()


def test_message_of_twenty_megabytes_is_cut(start: Start, folder: Path) -> None:
    """``apply`` stores its beginning and its end, with a mark between them."""
    message = "first line\n" + "x" * 20_000_000 + "\nE   ConnectionError: refused"
    request = {"operation": "set_error", "message": message}
    assert start("apply", stdin=json.dumps(request).encode()).status == 0
    stored = document(folder)["error"]["message"]
    assert len(stored.encode()) <= TEXT_LIMIT
    assert stored.startswith("first line\n")
    assert f"[cut: {len(message)} characters, sha256 " in stored
    assert stored.endswith("\nE   ConnectionError: refused")


def test_path_over_the_limit_is_refused(run: Run, folder: Path) -> None:
    """A part of a path is another path, so it is not cut. Nothing is written."""
    status, out, err = run("data", "config", "/backups/" + "x" * TEXT_LIMIT)
    assert (status, out) == (2, "")
    assert "it is longer than 4 KiB, and a path is never cut; give a shorter one" in err
    assert list(folder.iterdir()) == []
