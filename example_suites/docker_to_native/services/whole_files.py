"""Atomic writing of files that another process waits for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` so that a reader finds either no file or the complete file."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(value), encoding="utf-8")
    unfinished.replace(path)
