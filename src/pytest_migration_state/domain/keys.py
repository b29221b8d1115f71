"""The keys of JSON objects that PowerShell can read.

PowerShell reads no document in which two keys of one object differ only in case, nor one in which a key has a
name that it reserves: every function fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The members that each of PowerShell's objects has, in upper case.
_RESERVED: Final = frozenset({"PSADAPTED", "PSBASE", "PSEXTENDED", "PSOBJECT", "PSTYPENAMES"})


def in_one_case(key: str) -> str:
    """Return the same text for keys that PowerShell does not distinguish, and another one for other keys.

    It compares them with .NET's ``StringComparer.OrdinalIgnoreCase``: character by character in simple upper
    case, so that "ß" is not "ss". Letters that are newer than Python's tables count as letters without case.
    """
    return key.upper() if key.isascii() else "".join(map(_upper, key))


def _upper(character: str) -> str:
    """Return a character in simple upper case, which is one character."""
    # Where the upper case is several characters, the title case may be one: "ᾳ" becomes "ᾼ".
    for changed in character.upper(), character.title():
        if len(changed) == 1:
            # .NET keeps what is not ASCII apart from ASCII, such as the dotless i.
            return changed if character.isascii() or not changed.isascii() else character
    return character


def clashing_key(keys: Iterable[str], new: str) -> str | None:
    """Return the key that differs from ``new`` only in case, which PowerShell does not distinguish."""
    wanted = in_one_case(new)
    return next((key for key in keys if key != new and in_one_case(key) == wanted), None)


def is_reserved(key: str) -> bool:
    """Return True if PowerShell reserves the name ``key``, in any case."""
    return in_one_case(key) in _RESERVED
