"""Suggestions for misspelt words. It is loaded only when there is an error, since difflib costs time."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(typed: str, words: Iterable[str]) -> str:
    """Return the end of a sentence that suggests a word, or an empty text if no word is near."""
    word = nearest(typed, words)
    return f"; did you mean {word!r}?" if word else ""


def nearest(typed: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant, in whatever case it was typed: ``None`` if no word is near."""
    by_lower = {word.lower(): word for word in words}
    wanted = typed.lower()
    begun = [word for word in by_lower if word.startswith(wanted)]
    # The beginning of one word alone is near, however long the rest is.
    if len(begun) == 1 and len(wanted.lstrip("-")) > 2:
        return by_lower[begun[0]]
    return next((by_lower[word] for word in get_close_matches(wanted, by_lower, n=1)), None)
