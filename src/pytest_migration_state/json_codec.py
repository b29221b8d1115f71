"""JSON as the files hold it: strict when read, compact or indented when written."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.types import JsonObject

#: The byte order mark with which Windows programs begin a file in UTF-8.
BOM: Final = b"\xef\xbb\xbf"
#: The byte order marks of UTF-16, and the names that PowerShell has for the encodings.
_UTF16_MARKS: Final = {b"\xff\xfe": "Unicode", b"\xfe\xff": "BigEndianUnicode"}
#: How much of a text is looked at to tell UTF-16, in bytes.
_SAMPLE: Final = 512
#: White space, as JSON knows it.
_WHITE_SPACE: Final = " \t\r\n"
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7e]")


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


def split_object(data: bytes) -> tuple[JsonObject, bytes]:
    """Return the JSON object that ``data`` begins with, and what stands behind it.

    :raises ValueError: ``data`` does not begin with an object that :func:`decode_object` accepts.
    """
    # What stands behind the object may begin in the middle of a character.
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape").lstrip(_WHITE_SPACE)
    if not text.startswith("{"):
        raise ValueError("expected a JSON object")
    try:
        _, end = _decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    found = text[:end].encode("utf-8", "surrogateescape")
    return decode_object(found), text[end:].encode("utf-8", "surrogateescape")


def utf16_of(data: bytes) -> str | None:
    """Return the name that PowerShell has for the encoding of ``data`` if that is UTF-16; ``None`` if not.

    Without a byte order mark, text is recognized of which most characters are ASCII.
    """
    for mark, name in _UTF16_MARKS.items():
        if data.startswith(mark):
            return name
    sample = data[:_SAMPLE]
    low, high = sample[0::2], sample[1::2]
    if _is_half_of_utf16(high, low):
        return "Unicode"
    return "BigEndianUnicode" if _is_half_of_utf16(low, high) else None


def _is_half_of_utf16(high: bytes, low: bytes) -> bool:
    """Return True if these can be the high and the low bytes of characters of which most are ASCII."""
    return len(low) > 1 and b"\0" not in low and high.count(0) > len(high) // 2


def in_ascii(content: bytes) -> bytes:
    """Return JSON with each character that is not printable ASCII escaped: the value stays the same.

    :param content: one or more whole lines.
    """
    if content.isascii() and b"\x7f" not in content:
        return content
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), content.decode()).encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


#: As an encoder's options: nothing is changed, and nothing is written that is not JSON.
_STRICT: Final[dict[str, Any]] = {"ensure_ascii": False, "allow_nan": False, "check_circular": False}
_compact: Final = json.JSONEncoder(**_STRICT, separators=(",", ":"))


def to_json_bytes(value: object, indent: int | None = None) -> bytes:
    """Return ``value`` as JSON in UTF-8, non-ASCII characters unescaped.

    NaN and infinities become null: a document that holds them could not be read again.

    :param indent: spaces for each level; ``None`` for one compact line.
    """
    if _fast is not None:
        # Not a lone surrogate that another tool wrote, nor nesting deeper than pydantic allows.
        with suppress(ValueError):
            return _fast(value, indent=indent, inf_nan_mode="null")
    encoder = _compact if indent is None else json.JSONEncoder(**_STRICT, indent=indent)
    try:
        text = encoder.encode(value)
    except ValueError:
        text = encoder.encode(_without_nan(value))
    # A lone surrogate is kept as its escape \udXXX.
    return text.encode("utf-8", "backslashreplace")


#: How many items make it worthwhile to load pydantic's encoder, which takes as long as the rest of a command.
_MANY: Final = 1000
_fast: Callable[..., bytes] | None = None


def expect(items: int) -> None:
    """Prepare for encoding a document with this number of items in its lists."""
    global _fast  # noqa: PLW0603  # loaded once in a process
    if _fast is None and items >= _MANY:
        # A test may have changed how modules are imported. The other encoder writes the same values, slowly.
        with suppress(Exception):
            from pydantic_core import to_json

            _fast = to_json


def _without_nan(value: Any) -> Any:
    """Return a JSON value without NaN and infinities."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
