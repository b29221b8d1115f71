"""The author of entries in the audit log, and the platform."""

from __future__ import annotations

import getpass
import os
import socket
import sys

from pytest_migration_state.text import to_storable


def this_host() -> str:
    """Return the name of this machine, as it is stored."""
    return to_storable(socket.gethostname())


def this_actor() -> str:
    """Return the author of this process's entries: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return to_storable(f"{user}@{socket.gethostname()}")


def this_platform() -> str:
    """Return the platform as the document names it: ``windows``, ``linux`` or ``macos``."""
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
