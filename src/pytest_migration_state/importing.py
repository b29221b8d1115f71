"""A lock for imports that happen late.

A thread may import a module for the first time while another thread forks. The child would find the module's
import lock held by a thread that it does not have, and wait for it for ever (CPython does not renew these
locks in a child). So a fork waits until such an import is over.
"""

from __future__ import annotations

import os
from _thread import RLock  # threading's, without the cost of threading for --help

TYPE_CHECKING = False  # type checkers take it for typing's, which is not loaded: --help would pay for it
if TYPE_CHECKING:
    from typing import Final

#: Held during an import that happens late.
importing: Final = RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=importing.acquire, after_in_parent=importing.release, after_in_child=importing.release
    )
