"""The processes that an example suite has started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_migration_state import MigrationState


def is_running(process_id: int) -> bool:
    if sys.platform == "win32":
        listed = subprocess.run(
            ["tasklist", "/fi", f"pid eq {process_id}"], capture_output=True, text=True, check=True
        )
        return str(process_id) in listed.stdout
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def still_running(state: MigrationState) -> list[str]:
    """The native processes that were not stopped."""
    return [
        process.name
        for process in state.native_processes_started
        if process.process_id is None or is_running(process.process_id)
    ]
