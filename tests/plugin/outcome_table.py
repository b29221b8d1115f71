"""The cases of the tables of outcomes: a suite, the way it is run, and the expected state."""

from __future__ import annotations

import itertools
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from recorded import ALONE, XDIST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recorded import Suite

BOTH = (ALONE, XDIST)
#: The same for a test whose subject is no other on workers: its distributed run is one of the deep tests.
BOTH_DEEP = (ALONE, pytest.param(XDIST, marks=pytest.mark.deep))

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

#: A function that counts the attempts of a test of this file, also across processes.
ATTEMPT = """
def attempt(name):
    counter = f"{__file__}.{name}"
    with open(counter, "a") as file:
        file.write(".")
    return os.path.getsize(counter)
"""


class Case(NamedTuple):
    """One row of the table.

    :ivar id: the case, in short.
    :ivar files: the suite: the content of ``test_it.py``, or several files.
    :ivar status: pytest's exit status; several where the status under xdist varies.
    :ivar books: the expected content of the state.
    :ivar args: further arguments of pytest.
    :ivar how: in one process, distributed over two, or once each.
    :ivar says: texts that the output must contain.
    :ivar deep: whether it is one of the deep tests, whichever way it is run.
    """

    id: str
    files: str | Mapping[str, str]
    status: int | tuple[int, ...]
    books: Mapping[str, str]
    args: str = ""
    how: tuple[str, ...] = BOTH
    says: tuple[str, ...] = ()
    deep: bool = False


def table(
    cases: Sequence[Case], *, deep: tuple[str, ...] = (), together: str | None = None
) -> pytest.MarkDecorator:
    """Return each case in each way in which it must be run.

    In the quick tests, those that can share a run do so, alone and distributed. Where none can, the first of
    those that are run both ways is distributed. The rest are deep tests; CI runs a sample of them.

    :param deep: the ways that belong to the deep tests.
    :param together: the arguments of a run that cases can share; ``None`` if each needs its own.
    """
    shared = [case for case in cases if case.args == together and _can_share(case)]
    distributed = [case for case in cases if case.how == BOTH and not shared][:1]
    parameters = [pytest.param(_merged(shared), how, id=f"together-{how}") for how in BOTH if shared]
    samples = itertools.cycle([[pytest.mark.sample], [], [], []])
    for case in cases:
        for how in case.how:
            is_twin = case.how == BOTH and how == XDIST and case not in distributed
            is_deep = case.deep or how in deep or is_twin or case in shared
            marks = [pytest.mark.deep, *next(samples)] if is_deep else []
            parameters.append(pytest.param(case, how, id=f"{case.id}-{how}", marks=marks))
    return pytest.mark.parametrize(("case", "how"), parameters)


def _can_share(case: Case) -> bool:
    """Return True for a case of one file whose run comes to its end, and whose output does not matter."""
    ends = case.how == BOTH and case.status in {OK, FAILED}
    return isinstance(case.files, str) and ends and not case.says


def _merged(cases: Sequence[Case]) -> Case:
    """Return one case with the files of all, each under a name of its own."""
    files: dict[str, str] = {}
    books: dict[str, str] = {}
    for number, case in enumerate(cases):
        assert isinstance(case.files, str)
        name = f"test_{number}.py"
        files[name] = case.files
        for key, known in case.books.items():
            books[re.sub("^(?=::)|test_it.py", name, key)] = known
    status = FAILED if any(case.status == FAILED for case in cases) else OK
    return Case("together", files, status, books, cases[0].args)


def both_ways(rows: Mapping[str, tuple[Any, ...]], *, deep: Sequence[str]) -> list[object]:
    """Return each row with each way. In the quick tests only the first is distributed.

    :param deep: the rows that belong to the deep tests, whichever way they are run.
    """
    first = next(iter(rows))
    return [
        pytest.param(*row, how, id=f"{name}-{how}", marks=[pytest.mark.deep] if is_deep else [])
        for name, row in rows.items()
        for how, is_deep in ((ALONE, name in deep), (XDIST, name != first))
    ]


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
    """Successive runs of one suite.

    :ivar id: the case, in short.
    :ivar files: the suite.
    :ivar steps: for each run the further arguments, the exit status, and the books after it.
    :ivar changes: files that are rewritten before the last run; ``None`` for one that is deleted.
    :ivar how: as in :class:`Case`.
    :ivar deep: as in :class:`Case`.
    """

    id: str
    files: str | Mapping[str, str]
    steps: tuple[tuple[str, int | tuple[int, ...], Mapping[str, str]], ...]
    changes: Mapping[str, str | None] = {}
    how: tuple[str, ...] = BOTH
    deep: bool = False


def steps_table(cases: Sequence[Steps]) -> pytest.MarkDecorator:
    """Return each case in each way in which it must be run. A case of both is distributed as a deep test."""
    parameters = [
        pytest.param(case, how, id=f"{case.id}-{how}", marks=[pytest.mark.deep] if is_deep else [])
        for case in cases
        for how in case.how
        for is_deep in [case.deep or (case.how == BOTH and how == XDIST)]
    ]
    return pytest.mark.parametrize(("case", "how"), parameters)


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
