"""The section "migration validation": short, whole, or in the log of a CI service."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from recorded import ALONE, XDIST

from pseudo_terminal import SEQUENCE, at_terminal
from pytest_migration_state.reports.blocks import cell_width

if TYPE_CHECKING:
    from recorded import Suite

#: A suite with failures of one cause in many components.
MANY = """
import pytest

@pytest.mark.parametrize("number", range(40))
@pytest.mark.migration_component("worker-{file}")
def test_answers(number):
    assert number < 0, "it answers 500"
"""
#: One test that passes, and two that do not.
FEW = """\
@component
def test_a(): pass
@component
def test_b(): assert 0
@component
def test_c(): pytest.skip("no configuration")
"""


def section(lines: list[str]) -> list[str]:
    """The section's lines, its title first, without the empty line that pytest may print after them."""
    begin = next(index for index, line in enumerate(lines) if "= migration validation =" in line)
    ends = (index for index, line in enumerate(lines) if index > begin and line.startswith("===="))
    found = lines[begin : next(ends)]
    return found if found[-1] else found[:-1]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("how", [XDIST, ALONE])
def test_section_has_at_most_25_lines(suite: Suite, how: str) -> None:
    """However many blockers there are; the most frequent cause and the first groups are named."""
    suite.write({f"test_{file}.py": MANY.format(file=file) for file in "abcdefghijkl"})
    lines = section(suite.run("--tb=no", how=how).lines)
    assert len(lines) <= 25
    assert "gate: shut, 480 blockers; phase Validation" in lines
    assert "and 8 more components, 8 of them not all passed" in lines
    assert any(line.startswith("  480 x failed: AssertionError: it answers 500") for line in lines)
    assert f"    -> fix them, then run: pytest --migration-state={suite.path} test_a.py" in lines
    (more,) = [line for line in lines if line.startswith("  and ")]
    assert more.endswith(f" more: migration-state gate -s {suite.path} -v")


def test_quiet_run_prints_the_result_alone(suite: Suite) -> None:
    """The counts, the gate, and the command that says more."""
    suite.write(FEW)
    assert section(suite.run("-q").lines)[1:] == [
        "validations: 1 passed, 1 failed, 1 outstanding in 1 component; not all passed: guardian-hive",
        "gate: shut, 2 blockers; phase Validation",
        f"see: migration-state gate -s {suite.path} -v",
    ]


def test_verbose_run_prints_every_blocker(suite: Suite) -> None:
    """With its whole fix."""
    suite.write(MANY.format(file="a"))
    lines = section(suite.run("-v", "--tb=no").lines)
    assert sum(line.startswith("  failed: ") for line in lines) == 40
    assert sum("if it no longer exists: migration-state forget" in line for line in lines) == 40


def test_what_is_allowed_is_counted(suite: Suite) -> None:
    """Beside an open gate and beside a shut one."""
    suite.write(FEW)
    shut = section(suite.run("--migration-allow=skipped").lines)
    assert "gate: shut, 1 blocker; phase Validation; allowed: 1 skipped" in shut
    opened = section(suite.run("--deselect=test_it.py::test_b", "--migration-allow=skipped").lines)
    assert "gate: shut, 1 blocker; phase Validation; allowed: 1 skipped" in opened
    suite.tracker.forget_validation("guardian-hive", "test_it.py::test_b", "gone")
    done = section(suite.run("--migration-allow=skipped", "-k", "not test_b").lines)
    assert done[-1].startswith("  outstanding: ") or "allowed: 1 skipped" in " ".join(done)


@pytest.mark.parametrize("arguments", [(), ("-q",)], ids=["default", "quiet"])
def test_log_of_a_ci_service_says_where_the_state_is(suite: Suite, arguments: tuple[str, ...]) -> None:
    """Its reader has no other way to know, and -q leaves the header out."""
    suite.environment["CI"] = "true"
    suite.write(FEW)
    assert section(suite.run(*arguments).lines)[1] == (
        f"state: {suite.path}, phase Validation, 1 passed, 1 failed, 1 outstanding"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")
@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("columns", [60, 120])
def test_section_fits_the_terminal_and_is_coloured_as_pytest_is(suite: Suite, columns: int) -> None:
    """``--color=no`` leaves the colours out."""
    suite.write({f"test_{file}.py": MANY.format(file=file) for file in "abc"})
    command = ["pytest", f"--migration-state={suite.path}", "--tb=no", "-p", "no:cacheprovider"]
    environment = {"PYTEST_ADDOPTS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    terminal = at_terminal(suite.folder, *command, columns=columns, environment=environment)
    assert terminal.status == 1
    lines = section(terminal.lines)
    assert [line for line in lines if cell_width(line) > columns] == []
    assert len(lines) <= 25
    assert "\x1b[31mgate: shut, 120 blockers; phase Validation\x1b[0m" in terminal.printed
    plain = at_terminal(suite.folder, *command, "--color=no", columns=columns, environment=environment)
    assert SEQUENCE.search(plain.printed) is None
    assert "gate: shut, 120 blockers; phase Validation" in plain.lines


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("how", [XDIST, ALONE])
def test_recorded_run_does_not_load_rich(suite: Suite, how: str) -> None:
    """Its import would cost each run more than the recording does."""
    suite.write(
        {
            "test_it.py": FEW,
            "conftest.py": (
                "import sys\n"
                "def pytest_unconfigure(config):\n"
                "    loaded = sorted(name for name in sys.modules if name.split('.')[0] == 'rich')\n"
                "    print('modules of rich:', loaded)\n"
            ),
        }
    )
    run = suite.run(how=how)
    assert [line for line in run.lines if line.startswith("modules of rich: ")] == ["modules of rich: []"]
