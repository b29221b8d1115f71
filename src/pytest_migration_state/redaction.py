"""Secrets in text from tests: each is replaced before the text is cut and stored."""

from __future__ import annotations

import json
import os
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPLACEMENT: Final = "***"
#: A variable of the environment holds a secret if one of these is in its name.
_WORDS: Final = ("TOKEN", "SECRET", "PASSWORD", "API_KEY")
#: The length of the shortest value of a variable that is a secret, in characters.
_SHORTEST: Final = 8

# Each pattern begins with fixed text and has a limit: the time that a text takes grows only with its length.
#: The password in a URL. A port before a path is no password.
_URL: Final = re.compile(r"(://[^\s/:@\"'<>]{0,256}:)(?!\d{1,5}[/?#])(?:(?:[^\s/@\"'<>]|/(?!/)){0,2048}+@)+")
#: The value of an Authorization header, behind its scheme.
_AUTHORIZATION: Final = re.compile(
    r"""(authorization (?:["']\ {0,8},|\\?["']?\ {0,8}[:=]) \ {0,8}(?:b?\\?["'])?"""
    r"""(?:(?:basic|bearer|token|digest|negotiate|ntlm|apikey|[\w-]{0,20}hmac[\w-]{0,20})\ {1,8})?)"""
    r"""[^\s"',\\]+""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER: Final = re.compile(r"(bearer {1,8})[a-z0-9._~+/=-]+", re.IGNORECASE)
_BASIC: Final = re.compile(r"(basic {1,8})([a-z0-9+/_=-]{4,})", re.IGNORECASE)


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return ``text`` with ``***`` in place of each secret.

    Secrets are the values, of 8 characters or more, of the variables of ``environment`` whose names contain
    TOKEN, SECRET, PASSWORD or API_KEY; passwords in URLs; and the values of ``Authorization`` headers, and of
    ``Bearer`` and ``Basic`` wherever they are.

    Pass the whole text: of a secret that was cut before, a part would remain. The environment is that of this
    process, as it is now. Not covered are values that only another process has in its environment, such as an
    xdist worker whose test has set it, and values that are encoded, shortened or split over lines. As Python
    and JSON show a text, with backslashes before some characters, it is no other value.
    """
    for secret in _secrets_of(environment):
        text = text.replace(secret, _REPLACEMENT)
    text = _URL.sub(rf"\1{_REPLACEMENT}@", text)
    text = _AUTHORIZATION.sub(rf"\1{_REPLACEMENT}", text)
    text = _BEARER.sub(rf"\1{_REPLACEMENT}", text)
    return _BASIC.sub(_without_credentials, text)


def _secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Return the values that are secrets, the longest first: one may be a part of another."""
    names = [name for name in environment if any(word in name.upper() for word in _WORDS)]
    # Another thread may have removed a variable meanwhile.
    values = {environment.get(name, "").strip() for name in names}
    forms = {form for value in values if len(value) >= _SHORTEST for form in _forms_of(value)}
    return sorted(forms, key=len, reverse=True)


def _forms_of(value: str) -> set[str]:
    """Return a value as it is, as Python shows it between quotes, and as JSON does."""
    forms = {value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    # Python chooses the quotes by what is in the whole text, of which the value may be a part.
    return forms | {form.replace("'", "\\'") for form in forms if "\\'" not in form}


def _without_credentials(found: re.Match[str]) -> str:
    """Return the match with its value replaced, unless it is prose such as "basic functionality"."""
    return found[1] + _REPLACEMENT if _is_credentials(found[2]) else found[0]


def _is_credentials(value: str) -> bool:
    """Return True for the Base64 of ``user:password``, or for the beginning of it."""
    whole = value.rstrip("=")
    try:
        return b":" in a2b_base64(whole[: len(whole) // 4 * 4])
    except Base64Error:
        return False
