"""JSON as the files hold it: strict when read, compact or indented when written."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticSerializationError, to_json

if TYPE_CHECKING:
    from pytest_migration_state.types import JsonObject

#: The byte order mark with which Windows programs begin a file in UTF-8.
BOM: Final = b"\xef\xbb\xbf"


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        duplicate = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {duplicate!r}")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_reject_duplicates, parse_float=_finite, parse_constant=_reject_constant
)
_TYPE_NAMES: Final = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}


def decode_object(data: bytes) -> JsonObject:
    """Return the JSON object in ``data``. A byte order mark is skipped.

    :raises ValueError: ``data`` is not a JSON object, or not one that can be written back unchanged (a
        duplicate key, NaN, too deeply nested).
    """
    try:
        value = _decoder.decode(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {_TYPE_NAMES.get(type(value), 'a number')}")
    return value


def strip_bom(line: bytes) -> bytes:
    """Return a line without a byte order mark and surrounding white space."""
    return line.removeprefix(BOM).strip()


def is_cut_short(data: bytes, error: ValueError) -> bool:
    """Return True if ``data``, which raised ``error``, looks like the beginning of a document."""
    if not data.strip():
        return True
    if isinstance(error, UnicodeDecodeError):
        return error.end == len(data)
    if not isinstance(error, json.JSONDecodeError):
        return False
    # The longest token whose beginning is reported at its start, strings apart, is a \uXXXX escape or a
    # constant.
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc.rstrip()) - 12


def to_json_bytes(value: object, indent: int | None = None) -> bytes:
    """Return ``value`` as JSON in UTF-8, non-ASCII characters unescaped.

    :param indent: spaces for each level; ``None`` for one compact line.
    """
    try:
        # NaN and infinities become null: a document that holds them could not be read again.
        return to_json(value, indent=indent, inf_nan_mode="null")
    except PydanticSerializationError:
        # A lone surrogate that another tool wrote (kept as its escape \udXXX), or nesting deeper than
        # pydantic allows.
        separators = (",", ":") if indent is None else None
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
        return text.encode("utf-8", "backslashreplace")
