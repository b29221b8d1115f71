"""Waiting for a native lock that another process holds.

flock(2) knows no timeout, and a thread that waits in it can neither be interrupted nor forked. So whoever
waits asks again and again, in short pauses. And whoever releases the state lock keeps off it for about as
long as such a pause: a process that writes all the time would otherwise take it again before anybody asks.
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from time import monotonic, sleep  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final

from filelock import lock_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

#: The pauses between two attempts, in seconds.
_SHORTEST_PAUSE: Final = 0.0001
_LONGEST_PAUSE: Final = 0.0005
#: How long a process keeps off a lock that it has released, in seconds.
COURTESY: Final = 0.0003
#: After how many seconds a person is told who is waited for.
_NOTICE_AFTER: Final = 1.0


def wait_for_lock(descriptor: int, timeout: float, notice: Callable[[], None] = lambda: None) -> bool:
    """Take the exclusive native lock on ``descriptor``.

    Return False if it was still held after ``timeout`` seconds.

    :param notice: called once, after a second.
    :raises OSError: the file system does not support file locks.
    """
    if lock_descriptor(descriptor, blocking=False):
        return True
    began = monotonic()
    pause, paused, is_noticed = _SHORTEST_PAUSE, 0.0, False
    # Count the pauses too: a test may have stopped the clock.
    while (waited := monotonic() - began) < timeout and paused < timeout:
        if waited >= _NOTICE_AFTER and not is_noticed:
            is_noticed = True
            notice()
        # Pause for a random time, so that waiters do not stay in step with each other.
        sleep(random.uniform(pause / 2, pause))  # noqa: S311  # a pause, no secret
        paused += pause / 2
        if lock_descriptor(descriptor, blocking=False):
            return True
        pause = min(pause * 2, _LONGEST_PAUSE)
    return False


def shut_out_others(descriptor: int, patience: float) -> bool:
    """Lock an open file against programs without our lock. Return False if another kept it locked.

    On Windows nothing is locked: a program that does not share the file cannot open it while it is open here,
    and a lock would be mandatory, for readers too.

    :param patience: how long to wait, in seconds.
    :raises OSError: the file system does not support file locks.
    """
    return sys.platform == "win32" or wait_for_lock(descriptor, patience)


def is_let_go(descriptor: int, patience: float) -> bool:
    """Lock an open file as :func:`shut_out_others` does. Return False if another program has it open.

    Return True where the file system does not support file locks: nobody is known to have it open then.

    :param patience: how long to wait, in seconds.
    """
    with suppress(OSError):
        return shut_out_others(descriptor, patience)
    return True
