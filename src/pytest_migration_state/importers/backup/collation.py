"""The order in which PowerShell sorts file names: that of the culture."""

from __future__ import annotations

import unicodedata
from typing import Final

#: The order of punctuation, which comes after a space and before digits and letters.
#: Source: Unicode's root collation, which PowerShell 7 uses.
_PUNCTUATION: Final = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
#: The same in Windows PowerShell 5.1. Source: Microsoft's weight tables; not checked with a real one.
_PUNCTUATION_5_1: Final = '!"#$%&()*,./:;?@[\\]^_`{|}~+<=>'
#: Letters that Unicode does not decompose, although they sort as if it did.
_LETTERS: Final = str.maketrans({"ø": "o\u0338", "ł": "l\u0338", "æ": "ae", "œ": "oe"})


def culture_key(name: str, punctuation: str = _PUNCTUATION) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the sort key of PowerShell 7: punctuation, digits, letters; then accents; case is ignored.

    Cultures with an order of letters of their own (Danish has å after z) are not supported.
    """
    weights: list[tuple[int, str]] = []
    accents: list[str] = []
    for character in unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS)):
        category = unicodedata.category(character)[0]
        if category == "M" and accents:
            accents[-1] += character
        elif category not in "CM":
            rank = punctuation.find(character) + 1 or {"Z": 0, "P": 100, "S": 101, "N": 102}.get(
                category, 103
            )
            weights.append((rank, character))
            accents.append("")
    return weights, accents


def word_sort_key(name: str) -> tuple[object, ...]:
    """Return the sort key of Windows PowerShell 5.1, as far as it could be inferred.

    Hyphens and apostrophes count only between names that are equal without them. Windows paths have
    backslashes, which this order does not place next to the slash.
    """
    name = name.replace("/", "\\")
    bare = name.replace("-", "").replace("'", "")
    return culture_key(bare, _PUNCTUATION_5_1), len(name) - len(bare), culture_key(name)
