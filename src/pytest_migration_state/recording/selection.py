"""A digest of the tests that a run was asked to run, to recognise another run of the same tests.

The digest covers the whole invocation: ini file, environment and command line. Options that cannot change
which tests are run are left out (verbosity, reports, number of workers, options of this plugin). Paths are
relative to pytest's rootdir, so that a retry on another machine has the same digest. The words themselves are
never recorded, because they may hold secrets.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from pytest_migration_state.domain.policy import SETTINGS
from pytest_migration_state.types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

#: Options with a value that do not change which tests are run.
_WITH_VALUE: Final = (
    "--migration-state", *(f"--migration-{setting.option}" for setting in SETTINGS),
    "-n", "--numprocesses", "--maxprocesses",
    "--dist", "--tx", "--px", "--rsyncdir", "--max-worker-restart", "--maxfail", "-r", "--tb", "--color",
    "--code-highlight", "--show-capture", "--capture", "--junitxml", "--junit-xml", "--junitprefix",
    "--junit-prefix", "--basetemp", "--durations", "--durations-min", "--verbosity", "-W", "--pythonwarnings",
    "--log-level", "--log-format", "--log-date-format", "--log-cli-level", "--log-cli-format", "--log-file",
    "--log-file-level", "--timeout", "--timeout-method", "--session-timeout", "--reruns", "--reruns-delay",
    "--retries", "--retry-delay", "--report-log", "--html", "--css", "--json-report-file", "--alluredir",
    "--cov", "--cov-report", "--cov-config", "--rootdir",
)  # fmt: skip
#: Options without a value that do not change which tests are run.
_WITHOUT_VALUE: Final = (
    "--migration-complete", "-v", "--verbose", "-q", "--quiet", "-s", "-x", "--exitfirst", "-l",
    "--showlocals", "--no-showlocals", "--no-header", "--no-summary", "--full-trace", "--disable-warnings",
    "--disable-pytest-warnings", "--setup-show", "--json-report", "--self-contained-html", "--cov-append",
    "--no-cov", "--cache-clear", "--force-short-summary", "--no-fold-skipped", "--ff", "--failed-first",
    "--nf", "--new-first",
)  # fmt: skip
#: Options that make a plugin leave out tests because of an earlier run, or of version control.
_NARROWING: Final = (
    "--lf", "--last-failed", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset",
    "--stepwise-reset", "--testmon", "--testmon-noselect", "--testmon-nocollect", "--testmon-forceselect",
    "--no-testmon",
)  # fmt: skip
#: Options whose value is a path, even if no such file exists.
_PATHS: Final = ("--ignore", "--ignore-glob")
#: The name of the remote repository in the configuration of git: the last part of its address.
_REMOTE: Final = re.compile(
    r"""^\[remote "origin"\][^\[]*?^\s*url\s*=\s*\S*?([^/:\\\s]+?)(?:\.git)?/?\s*$""", re.MULTILINE
)
#: How deep files with arguments may be nested.
_DEPTH: Final = 10
_NARROWING_WITH_VALUE: Final = ("--lfnf", "--last-failed-no-failures", "--testmon-env")
#: The option of pytest-picked, and those that say how it picks. Without it, they are those of another plugin.
_PICKED: Final = "--picked"
_HOW_PICKED: Final = ("--mode", "--parent-branch")


class Selection(NamedTuple):
    """The tests that a run was asked to run.

    :ivar digest: the digest of the whole invocation.
    :ivar full: the digest without the options that narrow the selection down.
    :ivar narrowed_by: the options that narrow the selection down, as written; empty if there are none.
    :ivar chosen_by_plugin: True if a plugin replaced the places to collect.
    :ivar project: a digest of the project whose tests they are.
    """

    digest: str
    full: str
    narrowed_by: str
    chosen_by_plugin: bool
    project: str


def selection_of(config: pytest.Config) -> Selection:
    """Return the selection of this run."""
    words = _words(config)
    project = _project(config.rootpath)
    rest = _without(words, _WITH_VALUE, _WITHOUT_VALUE)
    full = _without_narrowing(rest)
    default = _default_places(config)
    chosen = not config.args or not set(words + default).issuperset(config.args)
    is_default = chosen or set(config.args).issubset(default)
    places = default if is_default else []  # otherwise the words name the places
    return Selection(
        digest=_digest(config, project, rest, [*places, *(config.args if chosen else ())]),
        full=_digest(config, project, full, places),
        narrowed_by=" ".join(word for word in rest if word not in full),
        chosen_by_plugin=chosen,
        project=_digest_of(project),
    )


def _words(config: pytest.Config) -> list[str]:
    """Return the words of the whole invocation: ini file, environment and command line."""
    given = [
        *config.getini("addopts"),
        *shlex.split(os.environ.get("PYTEST_ADDOPTS", "")),
        *map(str, config.invocation_params.args),
    ]
    return list(_expanded(given, config.invocation_params.dir))


def _default_places(config: pytest.Config) -> list[str]:
    """Return the places that pytest collects if its arguments name none."""
    here = config.invocation_params.dir
    found: set[str] = set()
    if here == config.rootpath:
        for pattern in config.getini("testpaths"):
            found.update(glob.glob(pattern, recursive=True, root_dir=here))  # noqa: PTH207  # as pytest does
    return sorted(found) or [str(here)]


class _CutError(Exception):
    """The words cannot be parsed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _CutError(message)


def _without(words: list[str], with_value: tuple[str, ...], without_value: tuple[str, ...]) -> list[str]:
    """Return ``words`` without these options and their values.

    If the words cannot be parsed, only options of this plugin are left out.
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


def _without_narrowing(words: list[str]) -> list[str]:
    """Return ``words`` without the options that narrow the selection down."""
    others = [word for word in words if not word.startswith(_PICKED)]
    if others == words:
        return _without(words, _NARROWING_WITH_VALUE, _NARROWING)
    return _without(others, (*_NARROWING_WITH_VALUE, *_HOW_PICKED), _NARROWING)


def _expanded(words: list[str], here: Path, depth: int = 0) -> Iterator[str]:
    """Yield ``words`` with each ``@FILE`` replaced by the words in it, one per line, as pytest does."""
    for word in words:
        inner = _words_in_file(word, here) if depth < _DEPTH else None
        if inner is None:
            yield word
        else:
            yield from _expanded(inner, here, depth + 1)


def _words_in_file(word: str, here: Path) -> list[str] | None:
    """Return the words in ``@FILE``; ``None`` if ``word`` has another form or the file cannot be read."""
    if not word.startswith("@"):
        return None
    try:
        return (here / word[1:]).read_text().splitlines()
    except (OSError, ValueError):
        return None


def _digest(config: pytest.Config, project: str, words: list[str], places: list[str]) -> str:
    here, root = config.invocation_params.dir, config.rootpath
    relative = []
    before = ""
    for word in words:
        relative.append(_in_project(word, before, here, root))
        before = word
    return _digest_of([project, relative, [_relative(place, here, root) for place in places]])


def _digest_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _in_project(word: str, before: str, here: Path, root: Path) -> str:
    """Return a word of the command line, with a path in it made relative to ``root``.

    :param before: the previous word, of which this word may be the value.
    """
    if not word.startswith("-"):
        return _relative(word, here, root, is_path=before in _PATHS)
    option, equals, value = word.partition("=")
    if not equals:
        return word
    return f"{option}={_relative(value, here, root, is_path=option in _PATHS)}"


def _relative(value: str, here: Path, root: Path, *, is_path: bool = False) -> str:
    """Return ``value`` with its path (all of it, or the part before ``::``) made relative to ``root``.

    A value that is not a path is returned as it is.

    :param is_path: True if the value is a path even if no such file exists.
    """
    path, colons, inside = value.partition("::")
    if path and (is_path or _exists(here / path)):
        path = _relative_path(path, here, root)
    return f"{path}{colons}{inside}"


def _relative_path(path: str, here: Path, root: Path) -> str:
    """Return ``path`` relative to ``root``; an absolute path outside of ``root`` stays as it is.

    Case and links are not resolved: another spelling is another selection, which is safe.
    """
    try:
        shown = os.path.relpath(here / path, root)
    except ValueError:  # on another drive
        shown = path
    is_elsewhere = Path(path).is_absolute() and shown.startswith("..")
    return path if is_elsewhere else shown.replace(os.sep, "/")


def _exists(path: Path) -> bool:
    """Return True if the path exists; False also if the system refuses to say."""
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises if the system refuses


def _project(root: Path) -> str:
    """Return the name of the project, and the place of rootdir in its repository.

    One state may have the results of several projects. A project without a name is told from others only by
    that place.
    """
    name = _name_in_pyproject(root)
    for folder in (root, *root.parents):
        if any(_exists(folder / mark) for mark in (".git", ".hg")):
            name = name or _name_of_remote(folder)
            return f"{name} {root.relative_to(folder).as_posix()}"
    return f"{name} ."


def _name_in_pyproject(root: Path) -> str:
    """Return the name of the project in its pyproject.toml; empty if there is none that can be read."""
    try:
        content = (root / "pyproject.toml").read_text("utf-8")
    except (OSError, ValueError):
        return ""
    import tomllib  # loaded by pytest already if there is such a file

    try:
        return str(as_object(tomllib.loads(content).get("project")).get("name", ""))
    except ValueError:
        return ""


def _name_of_remote(repository: Path) -> str:
    """Return the name of the remote repository; empty if git's configuration names none."""
    try:
        found = _REMOTE.search((repository / ".git" / "config").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""
