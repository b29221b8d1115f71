"""What is wrong with a log, and was accepted.

An entry ``RecordAccepted`` covers problems that stand before it in the log, in two ways. What an entry says
itself (entries before it are missing, changes were not logged) is protected by the entry's hash. Everything
else is covered only while the lines that were verified for the acceptance are the same, byte for byte.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pytest_migration_state.domain.acceptance import ACCEPTED_LOG
from pytest_migration_state.text import first_line, to_printable

if TYPE_CHECKING:
    from collections.abc import Container

    from pytest_migration_state.storage.base import StateStore
    from pytest_migration_state.types import JsonObject
    from pytest_migration_state.verification.report import Problem, ProblemKind


class _Acceptance(NamedTuple):
    """An acceptance in the log.

    :ivar line: the line of its entry.
    :ivar words: by whom, when and why.
    :ivar lines: how many lines of the log were verified for it.
    :ivar digest: their SHA-256, in lower-case hex.
    """

    line: int
    words: str
    lines: int
    digest: str


class Acceptances:
    """The acceptances in a log, and what its entries say of themselves."""

    def __init__(self) -> None:
        self._accepted: list[_Acceptance] = []
        self._stated: set[tuple[ProblemKind, int]] = set()

    def add_stated(self, kind: ProblemKind, line: int) -> None:
        """Note a problem that the entry in this line states itself."""
        self._stated.add((kind, line))

    def add_entry(self, line: int, data: JsonObject) -> None:
        """Note an entry if it is an acceptance."""
        if ACCEPTED_LOG in data:
            seen, last = data[ACCEPTED_LOG], data["metadata"]["accepted"][-1]
            words = f"accepted by {_shown(last['by'])} at {last['at']} ({_shown(last['reason'])})"
            self._accepted.append(_Acceptance(line, words, seen["lines"], seen["sha256"]))

    def separate(self, problems: list[Problem], store: StateStore) -> tuple[list[Problem], list[str]]:
        """Return the problems that nobody accepted, and a note for each of the others."""
        if not (self._accepted and problems):
            return problems, []
        digests = digests_of(store, {one.lines for one in self._accepted})
        left, notes = [], []
        for problem in problems:
            if found := self._covering(problem, digests):
                notes.append(f"{found.words}: {problem.message}")
            else:
                left.append(problem)
        return left, notes

    def _covering(self, problem: Problem, digests: dict[int, str]) -> _Acceptance | None:
        line = problem.line or 0
        is_stated = (problem.kind, line) in self._stated
        for one in self._accepted:
            is_unchanged = line <= one.lines and digests.get(one.lines) == one.digest
            if 0 < line < one.line and (is_stated or is_unchanged):
                return one
        return None


def digests_of(store: StateStore, numbers: Container[int]) -> dict[int, str]:
    """Return the SHA-256 of so many lines of the log from its start, in lower-case hex, for each number."""
    digest = hashlib.sha256()
    found = {0: digest.hexdigest()}
    with suppress(FileNotFoundError):
        for line in store.audit_lines():
            digest.update(line.raw + b"\n")
            if line.number in numbers:
                found[line.number] = digest.hexdigest()
    return found


def _shown(text: object) -> str:
    return to_printable(first_line(str(text)))
