"""What a run was asked to run, as a digest by which another run of the same is known.

Taken from the whole invocation: ini file, environment and command line. What cannot change which tests are
run is left out (verbosity, reports, number of workers, options of this plugin), and paths are relative to
pytest's rootdir, so that a retry on another machine is the same. Never the words themselves: they may hold
secrets.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

#: Options, with and without a value, that do not change which tests are run.
_WITH_VALUE: Final = (
    "--migration-state", "--migration-require", "--migration-allow", "-n", "--numprocesses", "--maxprocesses", "--dist", "--tx", "--px",
    "--rsyncdir", "--max-worker-restart", "--maxfail", "-r", "--tb", "--color", "--code-highlight", "--show-capture", "--capture",
    "--junitxml", "--junit-xml", "--junitprefix", "--junit-prefix", "--basetemp", "--durations", "--durations-min", "--verbosity",
    "-W", "--pythonwarnings", "--log-level", "--log-format", "--log-date-format", "--log-cli-level", "--log-cli-format", "--log-file",
    "--log-file-level", "--timeout", "--timeout-method", "--session-timeout", "--reruns", "--reruns-delay", "--retries", "--retry-delay",
    "--report-log", "--html", "--css", "--json-report-file", "--alluredir", "--cov", "--cov-report", "--cov-config", "--rootdir",
)  # fmt: skip
_WITHOUT_VALUE: Final = (
    "--migration-complete", "-v", "--verbose", "-q", "--quiet", "-s", "-x", "--exitfirst", "-l", "--showlocals", "--no-showlocals",
    "--no-header", "--no-summary", "--full-trace", "--disable-warnings", "--disable-pytest-warnings", "--setup-show", "--json-report",
    "--self-contained-html", "--cov-append", "--no-cov", "--cache-clear", "--force-short-summary", "--no-fold-skipped",
    "--ff", "--failed-first", "--nf", "--new-first",
)  # fmt: skip
#: Options under which a plugin leaves out tests by what an earlier run, or version control, says.
_NARROWING: Final = (
    "--lf", "--last-failed", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset", "--stepwise-reset",
    "--testmon", "--testmon-noselect", "--testmon-nocollect", "--testmon-forceselect", "--no-testmon",
)  # fmt: skip
#: Options whose value is a path, whether or not something of this name exists.
_PATHS: Final = ("--ignore", "--ignore-glob")
#: How deep files with arguments may name others.
_DEPTH: Final = 10
_NARROWING_WITH_VALUE: Final = (
    "--lfnf",
    "--last-failed-no-failures",
    "--testmon-env",
    "--mode",
    "--parent-branch",
)


class Selection(NamedTuple):
    """What a run was asked to run.

    :ivar digest: of all of it.
    :ivar full: of all of it but the options that narrow it down.
    :ivar narrowed_by: those options, in words; empty where there are none.
    :ivar chosen_by_plugin: whether the files to collect are others than were asked for.
    """

    digest: str
    full: str
    narrowed_by: str
    chosen_by_plugin: bool


def selection_of(config: pytest.Config) -> Selection:
    """What this run was asked to run."""
    given = [
        *config.getini("addopts"),
        *shlex.split(os.environ.get("PYTEST_ADDOPTS", "")),
        *map(str, config.invocation_params.args),
    ]
    words = list(_expanded(given, config.invocation_params.dir))
    rest = _without(words, _WITH_VALUE, _WITHOUT_VALUE)
    full = [
        word for word in _without(rest, _NARROWING_WITH_VALUE, _NARROWING) if not word.startswith("--picked")
    ]
    default = _default_places(config)
    chosen = not config.args or not set(words + default).issuperset(config.args)
    is_default = chosen or set(config.args).issubset(default)
    places = default if is_default else []  # else the words name them
    return Selection(
        digest=_digest(config, rest, [*places, *(config.args if chosen else ())]),
        full=_digest(config, full, places),
        narrowed_by=" ".join(word for word in rest if word not in full),
        chosen_by_plugin=chosen,
    )


def _default_places(config: pytest.Config) -> list[str]:
    """What pytest collects where it is given no place."""
    here = config.invocation_params.dir
    found: set[str] = set()
    if here == config.rootpath:
        for pattern in config.getini("testpaths"):
            found.update(glob.glob(pattern, recursive=True, root_dir=here))  # noqa: PTH207  # as pytest itself does
    return sorted(found) or [str(here)]


class _CutError(Exception):
    """The words cannot be taken apart."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _CutError(message)


def _without(words: list[str], with_value: tuple[str, ...], without_value: tuple[str, ...]) -> list[str]:
    """``words`` without these options and their values.

    Where they cannot be told apart, only options of this plugin are left out.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for number, option in enumerate(with_value):
        parser.add_argument(option, action="append", dest=f"value{number}")
    for number, option in enumerate(without_value):
        parser.add_argument(option, action="count", dest=f"flag{number}")
    try:
        return parser.parse_known_args(words)[1]
    except (_CutError, argparse.ArgumentError):
        return [word for word in words if not word.startswith("--migration-")]


def _expanded(words: list[str], here: Path, depth: int = 0) -> Iterator[str]:
    """``words`` with what stands in a file that is named ``@FILE``, one word a line, as pytest reads it."""
    for word in words:
        try:
            lines = (
                (here / word[1:]).read_text().splitlines()
                if word.startswith("@") and depth < _DEPTH
                else None
            )
        except (OSError, ValueError):
            lines = None
        if lines is None:
            yield word
        else:
            yield from _expanded(lines, here, depth + 1)


def _digest(config: pytest.Config, words: list[str], places: list[str]) -> str:
    here, root = config.invocation_params.dir, config.rootpath
    relative = []
    before = ""
    for word in words:
        relative.append(_in_project(word, before, here, root))
        before = word
    asked = json.dumps([_project(root), relative, [_relative(place, here, root) for place in places]])
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _in_project(word: str, before: str, here: Path, root: Path) -> str:
    """Return a word of the command line with the path in it relative to ``root``.

    :param before: the word before it, which may be the option whose value it is.
    """
    if not word.startswith("-"):
        return _relative(word, here, root, is_path=before in _PATHS)
    option, equals, value = word.partition("=")
    if not equals:
        return word
    return f"{option}={_relative(value, here, root, is_path=option in _PATHS)}"


def _relative(value: str, here: Path, root: Path, *, is_path: bool = False) -> str:
    """``value`` with the path that it is, or has before its ``::``, relative to ``root``.

    :param is_path: whether it is one, also where nothing of this name exists.
    """
    path, colons, inside = value.partition("::")
    if path and (is_path or os.path.exists(here / path)):  # noqa: PTH110  # false where that may not be asked
        # Case and links as they are: another spelling is another selection, which is safe.
        try:
            shown = os.path.relpath(here / path, root)
        except ValueError:  # on another drive
            shown = path
        is_elsewhere = Path(path).is_absolute() and shown.startswith("..")
        path = path if is_elsewhere else shown.replace(os.sep, "/")
    return f"{path}{colons}{inside}"


def _project(root: Path) -> str:
    """Where rootdir is in its repository: one repository may hold several projects with one state."""
    for folder in (root, *root.parents):
        if any(os.path.exists(folder / mark) for mark in (".git", ".hg")):  # noqa: PTH110  # false where that may not be asked
            return root.relative_to(folder).as_posix()
    return "."
