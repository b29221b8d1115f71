"""Checks of the arguments that users pass: names, strings, true or false."""

from __future__ import annotations

from pytest_migration_state.errors import InvalidArgumentError
from pytest_migration_state.text import TEXT_LIMIT, to_storable, to_storable_message


def require_name(argument: str, value: object) -> str:
    """Return a name as it is stored.

    :raises InvalidArgumentError: it is not a string, or empty.
    """
    return to_storable(_nonempty(argument, value))


def require_message(argument: str, value: object) -> str:
    """Return a message as it is stored.

    :raises InvalidArgumentError: it is not a string, or empty.
    """
    return to_storable_message(_nonempty(argument, value))


def require_path(argument: str, value: object) -> str:
    """Return a path as it is stored. It is never cut, since a part of a path is another path.

    :raises InvalidArgumentError: it is not a string, empty, or longer than what is stored.
    """
    path = _nonempty(argument, value)
    encoded = path.encode("utf-8", "backslashreplace")
    if len(encoded) > TEXT_LIMIT:
        reason = f"it is longer than {TEXT_LIMIT >> 10} KiB, and a path is never cut; give a shorter one"
        raise InvalidArgumentError(argument, path, reason)
    return encoded.decode()


def _nonempty(argument: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be a string")
    if not value or value.isspace():
        raise InvalidArgumentError(argument, value, "it must not be empty")
    return value


def require_bool(argument: str, value: object) -> bool:
    """Return ``value`` if it is true or false.

    :raises InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(argument, value, "it must be true or false")
    return value


def require_text(argument: str, value: object) -> str:
    """Return a message as it is stored; an empty one for ``None``.

    :raises InvalidArgumentError: it is not a string.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "it must be a string")
    return to_storable_message(value or "")
