"""Recorded outcomes are correct beside other pytest plugins.

``plugins/matrix.toml`` lists the plugins, and ``plugins/suites`` contains a good and a bad suite for each. A
suite is run as its users run it: in a virtual environment where the plugin is installed and found by pytest
itself. Missing environments are created below ``.venv-deep`` in the checkout, and kept.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from filelock import FileLock

from plugin.recorded import XDIST, in_short
from pytest_migration_state import GateBlockedError, MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
SUITES: Final = Path(__file__).parent / "plugins" / "suites"
ENVIRONMENTS: Final = ROOT / ".venv-deep"

GOOD, BAD = "good", "bad"

#: Installed in every environment.
XDIST_PACKAGE: Final = "pytest-xdist==3.8.0"
#: Time limits of a suite and of the creation of an environment, in seconds.
SUITE_TIMEOUT: Final = 120
INSTALL_TIMEOUT: Final = 900


class Case(NamedTuple):
    """One run of one suite.

    :ivar plugin: the plugin's name in the matrix.
    :ivar packages: the installed packages, with versions.
    :ivar pytest: the version of pytest, such as ``9.2``.
    :ivar way: in one process, or distributed over two.
    :ivar kind: the good suite or the bad one.
    :ivar suite: the folder of both suites.
    :ivar options: further arguments of pytest.
    :ivar recorded: the expected content of the state, in the short form of ``tests/plugin/recorded.py``.
    :ivar sample: True for the cases that CI runs.
    """

    plugin: str
    packages: tuple[str, ...]
    pytest: str
    way: str
    kind: str
    suite: str
    options: tuple[str, ...]
    recorded: Mapping[str, str]
    sample: bool

    @property
    def environment(self) -> str:
        """Return the name of the folder of its environment."""
        return f"{self.plugin}-{self.pytest}"

    @property
    def id(self) -> str:
        return f"{self.environment}-{self.way}-{self.kind}"


def cases() -> Iterator[Case]:
    """Yield the cases of the matrix."""
    matrix = tomllib.loads((SUITES.parent / "matrix.toml").read_text(encoding="utf-8"))
    default = matrix.pop("default")
    for plugin, entry in matrix.items():
        values = default | matrix[entry.get("like", plugin)] | entry
        for version, way, kind in itertools.product(values["pytest"], values["ways"], (GOOD, BAD)):
            yield Case(
                plugin=plugin,
                packages=tuple(values["packages"]),
                pytest=version,
                way=way,
                kind=kind,
                suite=entry.get("like", plugin),
                options=(*values["options"], *(values["n2_options"] if way == XDIST else ())),
                recorded=_recorded(values, kind, way, version),
                # The newest pytest is the last in the list.
                sample=values["sample"] and version == values["pytest"][-1],
            )


def _recorded(values: Mapping[str, dict[str, str]], kind: str, way: str, version: str) -> dict[str, str]:
    """Return the expected content; special values replace general ones."""
    recorded = dict(values[kind])
    for special in (f"{kind}-{way}", f"{kind}-{version}", f"{kind}-{way}-{version}"):
        recorded |= values.get(special, {})
    return recorded


def as_parameter(case: Case) -> object:
    """Return a case as a parameter.

    Cases of one environment share a worker, so that none waits for another.
    """
    marks = [pytest.mark.xdist_group(case.environment)]
    if case.sample:
        marks.append(pytest.mark.sample)
    return pytest.param(case, id=case.id, marks=marks)


# --- environments


def python_of(case: Case) -> Path:
    """Return the interpreter of a case's environment, created if it is missing or has other packages."""
    folder = ENVIRONMENTS / case.environment
    requirements = (f"pytest=={case.pytest}.*", XDIST_PACKAGE, *case.packages)
    made_of = ENVIRONMENTS / f"{case.environment}.json"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with FileLock(ENVIRONMENTS / f"{case.environment}.lock"):
        wanted = json.dumps([sys.version, *requirements, *_own_metadata()])
        if not made_of.exists() or made_of.read_text(encoding="utf-8") != wanted:
            made_of.unlink(missing_ok=True)
            _make(folder, requirements)
            made_of.write_text(wanted, encoding="utf-8")
    return _python_in(folder)


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    # Use this interpreter's pip: installing another one would take longer than most plugins.
    venv.create(folder, clear=True, symlinks=os.name != "nt", with_pip=False)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(_python_in(folder)),
        "--quiet",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*pip, "install", "--editable", str(ROOT), *requirements],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{folder.name} cannot be created:\n{done.stderr}"


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _own_metadata() -> list[str]:
    """Return the metadata on which the installation of the checkout depends.

    It is editable, so code does not count.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], str(project["entry-points"])]


# --- runs


def run(case: Case, folder: Path, path: Path) -> int:
    """Run a copy of the suite, and return pytest's exit status.

    :param folder: where the copy is put.
    :param path: the state document.
    """
    shutil.copytree(SUITES / case.suite / case.kind, folder)
    python = str(python_of(case))
    if (folder / "prepare.py").exists():
        assert run_in(folder, python, "prepare.py", str(path)) == 0
    distribution = ("-n2",) if case.way == XDIST else ()
    return run_in(
        folder,
        python,
        "-m",
        "pytest",
        f"--migration-state={path}",
        "--migration-complete",
        *distribution,
        *case.options,
    )


def run_in(folder: Path, *command: str) -> int:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))
    }
    # The programs of the environment come first, as in an activated one.
    environment |= {
        "COLUMNS": "200",
        "PATH": f"{Path(command[0]).parent}{os.pathsep}{environment.get('PATH', '')}",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SUITE_TIMEOUT,
        check=False,
    )
    sys.stdout.write(done.stdout.decode("utf-8", "backslashreplace"))
    return done.returncode


@pytest.mark.parametrize("case", [as_parameter(case) for case in cases()])
def test_outcomes_are_recorded_beside_plugins(case: Case, tmp_path: Path) -> None:
    """A good suite completes the migration. A bad one does not, and each of its validations has a reason."""
    path = tmp_path / "migration-state.json"
    path.write_text('{"phase": "Validation"}', encoding="utf-8")
    status = run(case, tmp_path / "suite", path)
    with closing(MigrationTracker(path)) as tracker:
        assert in_short(tracker.read().to_object()) == case.recorded
        if case.kind == GOOD:
            assert (status, tracker.state.phase) == (0, "Completed")
        else:
            assert (status != 0, tracker.state.phase) == (True, "Validation")
            with pytest.raises(GateBlockedError):
                tracker.set_phase("Completed")
