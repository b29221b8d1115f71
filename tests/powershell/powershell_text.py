"""``MigrationState.ps1`` parsed as text, for tests without a PowerShell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest_migration_state

PATH: Final = Path(pytest_migration_state.__file__).with_name("MigrationState.ps1")

_FUNCTION: Final = re.compile(r"^function ([\w-]+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_PARAMETERS: Final = re.compile(r"^    param\(\n(.*?)^    \)", re.MULTILINE | re.DOTALL)
_PARAMETER: Final = re.compile(
    r"((?:\[(?:Parameter|ValidateSet)\([^\]]*\)\]\s*)*)\[([\w\[\]]+)\]\$(\w+)(?: = ([^,\n]+))?"
)
_REQUEST: Final = re.compile(r"@\{ (operation = .*?) \}")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function: its type, default and valid values, as written in the script."""

    name: str
    type: str
    default: str | None
    is_mandatory: bool
    values: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A function that users call.

    :ivar help: the comment-based help.
    :ivar request: the fields that it sends, each with the variable that holds it; empty if it only reads.
    :ivar more: the fields that it sends only if they have a value.
    :ivar command: the command that it runs if it only reads, with that command's options.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    request: dict[str, str]
    more: dict[str, str]
    command: tuple[str, ...]


def text() -> str:
    return PATH.read_text(encoding="ascii")


def functions() -> dict[str, Function]:
    """Return the functions that have help, which are those for users, by name."""
    return {name: _function(name, body) for name, body in _FUNCTION.findall(text()) if "<#" in body}


def _function(name: str, body: str) -> Function:
    comment, code = body.split("#>")
    request = _REQUEST.search(code)
    pairs = re.findall(r"(\w+) = ([^;]+)", request[1]) if request else []
    command = re.search(r"(?:-Arguments |\$arguments = @\()('[^)\n]*')", code)
    return Function(
        name,
        comment.split("<#")[1],
        tuple(map(_parameter, _PARAMETER.findall(_found(_PARAMETERS, code)))),
        {key: value.strip() for key, value in pairs},
        dict(re.findall(r"\$request\.(\w+) = (\S+)", code)),
        tuple(re.findall(r"'([^']*)'", command[1])) if command else (),
    )


def _parameter(parts: tuple[str, str, str, str]) -> Parameter:
    attributes, kind, name, default = parts
    values = re.search(r"ValidateSet\((.*?)\)", attributes)
    return Parameter(
        name,
        kind,
        default or None,
        "Mandatory = $true" in attributes,
        tuple(re.findall(r"'(\w+)'", values[1])) if values else (),
    )


def _found(pattern: re.Pattern[str], within: str) -> str:
    match = pattern.search(within)
    assert match, f"there is no {pattern.pattern!r}"
    return match[1]
