"""agent-zero works with the configuration that was restored from its container's backup."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backup import folder_checksum

if TYPE_CHECKING:
    from conftest import Native

pytestmark = pytest.mark.migration_component("agent-zero")

TIMEOUT = 5.0  # seconds


def ask(native: Native, setting: str) -> Any:
    """Return the agent's answer: the value of a setting, and its process id."""
    with (
        socket.create_connection(("127.0.0.1", native.port), timeout=TIMEOUT) as connection,
        connection.makefile("rw", encoding="utf-8") as lines,
    ):
        lines.write(f"{setting}\n")
        lines.flush()
        return json.loads(lines.readline())


def test_answers(native: Native) -> None:
    """The agent answers, and it is the process that the migration started."""
    assert ask(native, "name") == {"process_id": native.process_id, "answer": "agent-zero"}


def test_works_with_the_preserved_settings(native: Native) -> None:
    """The settings are those of the container."""
    assert [ask(native, setting)["answer"] for setting in ("role", "max-steps")] == ["planner", 25]


def test_knows_its_complete_instructions(native: Native) -> None:
    """The instructions are complete, up to the last line."""
    assert (
        ask(native, "instructions")["answer"].splitlines()[-1]
        == "Stop after the last step and say what was done."
    )


def test_backup_is_unchanged(native: Native) -> None:
    """The backup from which the configuration was restored still has the checksum of its manifest."""
    for volume in native.saved_volumes:
        assert folder_checksum(Path(volume["backup_path"])) == volume["checksum"], (
            f"{volume['backup_path']} was changed since it was saved"
        )
