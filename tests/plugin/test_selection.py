"""Equality of the selections of two runs, on whatever machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from pytest_migration_state.recording.selection import Selection, selection_of

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = ("-p", "pytest_migration_state.plugin")
SAME: dict[str, tuple[str, str]] = {
    "verbosity": ("-k a", "-vv -k a -q"),
    "combined flags": ("-xvs a", "a"),
    "workers": ("a", "-n4 --dist loadfile a"),
    "reports": ("a", "a --junitxml=x.xml --tb short -rA --color=yes --durations 3"),
    "our own options": ("a", "--migration-state=x.json --migration-complete --migration-require hive a"),
    "a place as it is spelled": ("a/test_a.py::test", "./a/../a/test_a.py::test"),
    "the order of tests": ("a", "--ff a"),
}
OTHER: dict[str, tuple[str, str]] = {
    "-k": ("-k a", "-k b"),
    "-m": ("a", "-m slow a"),
    "a place": ("a", "b"),
    "all and a place": ("", "a"),
    "--ignore": ("--ignore=a", "--ignore=b"),
    "--ignore, in two words": ("--ignore a", "--ignore b"),
    "--deselect": ("a", "--deselect a/test_a.py::test a"),
    "an ini value": ("a", "-o python_files=check_*.py a"),
    "a plugin": ("a", "-p no:cacheprovider a"),
    "--lf": ("a", "--lf a"),
    "options without a value": ("--doctest-modules a", "--strict-markers a"),
    "other options without a value": ("--noconftest a", "--pyargs a"),
    "-k, in one word": ("-ka", "-kb"),
    "the same value of another option": ("-k slow a", "-m slow a"),
    "the same place of another option": ("--ignore b a", "--deselect b a"),
    "the import mode": ("a", "--import-mode=importlib a"),
}


@pytest.fixture
def asked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A project with two folders."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makefile(".ini", pytest="[pytest]")
    for name in ("a", "b"):
        (pytester.mkdir(name) / f"test_{name}.py").write_text("def test(): pass", "utf-8")
    return Asked(pytester)


class Asked:
    """Returns the selection of a run with these arguments."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, words: str) -> Selection:
        return selection_of(self._pytester.parseconfig(*PLUGIN, "-p", "xdist", *words.split()))


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_irrelevant_differences_leave_the_selection_the_same(asked: Asked, one: str, other: str) -> None:
    """A difference that cannot change the selected tests is ignored."""
    assert asked(one).digest == asked(other).digest


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER.keys())
def test_relevant_differences_make_another_selection(asked: Asked, one: str, other: str) -> None:
    """A difference that may change the selected tests makes it another selection."""
    assert asked(one).digest != asked(other).digest


def test_options_in_the_environment_count(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options in the environment count like those on the command line."""
    alone = asked("a")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k a")
    assert asked("a").digest != alone.digest
    monkeypatch.setenv("PYTEST_ADDOPTS", "-v --color=yes")
    assert asked("a").digest == alone.digest


def test_options_in_the_ini_file_count(asked: Asked, pytester: pytest.Pytester) -> None:
    """Options in the ini file count as well."""
    alone = asked("a")
    pytester.makefile(".ini", pytest="[pytest]\naddopts = -k a")
    assert asked("a").digest != alone.digest


def test_full_selection_omits_narrowing_options(asked: Asked) -> None:
    """The full selection omits the options that leave out tests by the results of an earlier run."""
    whole, narrowed = asked("a"), asked("--lf --sw a")
    assert narrowed.full == whole.digest == whole.full
    assert narrowed.narrowed_by == "--lf --sw"


def test_path_on_another_drive_stays_as_typed(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows no relative path leads from one drive to another: the path stays as it was typed."""

    def refuse(path: str | Path, start: str | Path) -> NoReturn:
        raise ValueError(path, start)

    monkeypatch.setattr(os.path, "relpath", refuse)
    assert asked("a").digest != asked("b").digest
