"""The cases of the tables of outcomes: a suite, the way it is run, and what the state must then contain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from recorded import ALONE, XDIST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recorded import Suite

BOTH = (ALONE, XDIST)

OK, FAILED, INTERRUPTED, INTERNAL_ERROR, USAGE_ERROR, NO_TESTS = range(6)

PYTEST_9 = pytest.version_tuple >= (9,)
not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork are POSIX")

BREAKS_IN_TEARDOWN = """
@pytest.fixture
def service():
    yield
    raise OSError("not stopped")
"""

GOOD_A, GOOD_B, BAD_B = (
    "@component\ndef test_a(): pass",
    "@component\ndef test_b(): pass",
    "@component\ndef test_b(): assert 0",
)

#: Counts the attempts of a test, also across processes.
ATTEMPT = """
def attempt(name):
    with open(name, "a") as file:
        file.write(".")
    return os.path.getsize(name)
"""


class Case(NamedTuple):
    """One line of the table.

    :ivar id: what happens, in short.
    :ivar files: the suite: the content of ``test_it.py``, or several files.
    :ivar status: pytest's exit status; several where xdist gives now one, now another.
    :ivar books: what the state contains afterwards.
    :ivar args: further arguments of pytest.
    :ivar how: in one process, distributed over two, or once each.
    :ivar says: words that the output must hold.
    """

    id: str
    files: str | Mapping[str, str]
    status: int | tuple[int, ...]
    books: Mapping[str, str]
    args: str = ""
    how: tuple[str, ...] = BOTH
    says: tuple[str, ...] = ()


def table(cases: Iterable[Case], *, deep: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Each case in each way in which it is to be run.

    :param deep: the ways that belong to the deep tests.
    """
    parameters = [
        pytest.param(case, how, id=f"{case.id}-{how}", marks=[pytest.mark.deep] if how in deep else [])
        for case in cases
        for how in case.how
    ]
    return pytest.mark.parametrize(("case", "how"), parameters)


def check(suite: Suite, case: Case, how: str) -> None:
    suite.write(case.files)
    result = suite.run(*case.args.split(), how=how)
    assert suite.books == case.books
    assert result.status in (case.status if isinstance(case.status, tuple) else (case.status,))
    assert [words for words in case.says if words not in result.output] == []
    assert suite.can_be_completed() is is_open(case.books)


def is_open(books: Mapping[str, str]) -> bool:
    """Return True if a migration with these books may be completed."""
    return bool(books) and all(known.startswith("passed") for known in books.values())


class Steps(NamedTuple):
    """Runs of one suite, one after the other.

    :ivar id: what happens, in short.
    :ivar files: the suite.
    :ivar steps: of each run the further arguments, the exit status, and the books after it.
    :ivar changes: files that are written again before the last run; ``None`` for one that is deleted.
    :ivar how: as in :class:`Case`.
    """

    id: str
    files: str | Mapping[str, str]
    steps: tuple[tuple[str, int | tuple[int, ...], Mapping[str, str]], ...]
    changes: Mapping[str, str | None] = {}
    how: tuple[str, ...] = BOTH


def check_steps(suite: Suite, case: Steps, how: str) -> None:
    suite.write(case.files)
    for number, (args, status, books) in enumerate(case.steps, 1):
        if number == len(case.steps):
            for name, content in case.changes.items():
                (suite.folder / name).unlink(missing_ok=True)
                if content is not None:
                    suite.write({name: content})
        result = suite.run(
            *(word.replace("not(", "not (") for word in args.split())
            if "(" in args
            else args.replace("-k ", "-k=").split(),
            how=how,
        )
        assert (number, suite.books) == (number, books)
        assert result.status in (status if isinstance(status, tuple) else (status,))
    assert suite.can_be_completed() is is_open(books)
