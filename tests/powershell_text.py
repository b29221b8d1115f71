"""``MigrationState.ps1`` parsed as text, for tests without a PowerShell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest_migration_state

PATH: Final = Path(pytest_migration_state.__file__).with_name("MigrationState.ps1")

_FUNCTION: Final = re.compile(r"^function ([\w-]+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_PARAMETERS: Final = re.compile(r"^    param\(\n(.*?)^    \)\n", re.MULTILINE | re.DOTALL)
_PARAMETER: Final = re.compile(r"^        \[(\w+(?:\[\])?)\]\$(\w+)(?: = .+?)?,?$", re.MULTILINE)
_SENT: Final = re.compile(r"@\{ (operation|command) = '(\w+)'(?:; (.*?))? \}(?:\n|$| -What)", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function: its type and valid values, as written in the script.

    :ivar is_piped: whether it is read from the objects of a pipeline.
    """

    name: str
    type: str
    is_mandatory: bool
    is_piped: bool
    values: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A function that users call.

    :ivar help: the comment-based help.
    :ivar operations: the operations that it requests, each with the arguments that it always sends.
    :ivar command: the command that it requests, or ``None``.
    :ivar sometimes: the arguments that it sends only if they have a value.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    operations: dict[str, frozenset[str]]
    command: str | None
    sometimes: frozenset[str]


def text() -> str:
    return PATH.read_text(encoding="ascii")


def functions() -> dict[str, Function]:
    """Return the functions that have help, which are those for users, by name."""
    return {name: _function(name, body) for name, body in _FUNCTION.findall(text()) if "<#" in body}


def _function(name: str, body: str) -> Function:
    comment, code = body.split("#>")
    parameters = _found(_PARAMETERS, code)[1]
    sent = [found.groups() for found in _SENT.finditer(code)]
    assert sent, f"{name} sends no request"
    operations = {
        word: frozenset(re.findall(r"(\w+) = ", rest or ""))
        for kind, word, rest in sent
        if kind == "operation"
    }
    columns = re.search(r" -Columns (.+)", code)
    return Function(
        name,
        comment.split("<#")[1],
        tuple(_parameters(parameters, re.findall(r"'(\w+)[ ?*']", columns[1]) if columns else [])),
        operations,
        next((word for kind, word, _ in sent if kind == "command"), None),
        frozenset(re.findall(r"\$(?:operation|request)\.(\w+) = ", code)),
    )


def _parameters(block: str, columns: list[str]) -> list[Parameter]:
    found, end = [], 0
    for match in _PARAMETER.finditer(block):
        attributes, end = block[end : match.start()], match.end()
        kind, name = match.groups()
        found.append(
            Parameter(
                name,
                kind,
                "Mandatory = $true" in attributes and "ValueFromPipeline =" not in attributes,
                name in columns,
                _valid_values(attributes),
            )
        )
    return found


def _valid_values(attributes: str) -> tuple[str, ...]:
    match = re.search(r"\[ValidateSet\((.*?)\)\]", attributes)
    return tuple(re.findall(r"'(\w+)'", match[1])) if match else ()


def _found(pattern: re.Pattern[str], within: str) -> re.Match[str]:
    match = pattern.search(within)
    assert match, f"there is no {pattern.pattern!r}"
    return match
