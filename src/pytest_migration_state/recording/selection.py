"""What a run was asked to run, as a digest by which another run of the same is known.

Taken from the whole invocation: ini file, environment and command line. What cannot change which tests are run is left out
(verbosity, reports, number of workers, options of this plugin), and paths are relative to pytest's rootdir, so that a retry
on another machine is the same. Never the words themselves: they may hold secrets.
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
    "--lf", "--last-failed", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset", "--stepwise-reset", "--testmon", "--testmon-noselect", "--testmon-nocollect", "--testmon-forceselect", "--no-testmon",
)  # fmt: skip
_NARROWING_WITH_VALUE: Final = ("--lfnf", "--last-failed-no-failures", "--testmon-env", "--mode", "--parent-branch")


class Selection(NamedTuple):
    """What a run was asked to run.

    :ivar digest: of all of it.
    :ivar full: of all of it but the options that narrow it down.
    :ivar narrowed_by: those options, in words; empty where there are none.
    :ivar chosen_by_plugin: are the files to collect others than were asked for?
    """

    digest: str
    full: str
    narrowed_by: str
    chosen_by_plugin: bool


def selection_of(config: pytest.Config) -> Selection:
    """What this run was asked to run."""
    words = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    rest = _without(words, _WITH_VALUE, _WITHOUT_VALUE)
    full = [word for word in _without(rest, _NARROWING_WITH_VALUE, _NARROWING) if not word.startswith("--picked")]
    default = _default_places(config)
    # Where words stand in a file, nobody knows here which place they name.
    is_known = not any(word.startswith("@") for word in words)
    chosen = is_known and (not config.args or not set(words + default).issuperset(config.args))
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
    """``words`` without these options and their values. Where they cannot be told apart, only options of this plugin are left out."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for number, option in enumerate(with_value):
        parser.add_argument(option, action="append", dest=f"value{number}")
    for number, option in enumerate(without_value):
        parser.add_argument(option, action="count", dest=f"flag{number}")
    try:
        return parser.parse_known_args(words)[1]
    except (_CutError, argparse.ArgumentError):
        return [word for word in words if not word.startswith("--migration-")]


def _digest(config: pytest.Config, words: list[str], places: list[str]) -> str:
    def relative(text: str) -> str:
        return _relative(text, config.invocation_params.dir, config.rootpath)

    asked = json.dumps([[relative(word) for word in words], [relative(place) for place in places]])
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _relative(word: str, here: Path, root: Path) -> str:
    """``word`` with the path that it is, or has behind its ``=`` or before its ``::``, relative to ``root``."""
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path, colons, inside = value.partition("::")
    if path and os.path.exists(absolute := here / path):  # noqa: PTH110  # false where that may not be asked
        # Case and links as they are: a spelling of its own is another selection, which is safe.
        shown = os.path.relpath(absolute, root) if absolute.is_relative_to(root) or not Path(path).is_absolute() else path
        path = shown.replace(os.sep, "/")
    return f"{option}{equals}{path}{colons}{inside}"
