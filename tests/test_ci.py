"""CI runs all the tests that it is meant to run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.deep
@pytest.mark.sample
def test_the_deep_tests_are_all_tests() -> None:
    """A folder named beside its parent would be dropped: pytest then leaves out its tests silently."""
    command = (ROOT / ".ci" / "deep").read_text("utf-8").splitlines()[-1]
    arguments = shlex.split(command.partition(" -m pytest ")[2].removesuffix(' "$@"'))
    collect = [sys.executable, "-m", "pytest", *arguments, "--collect-only", "-qq", "-p", "no:cacheprovider"]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False)
    collected = {Path(line.partition(": ")[0]) for line in done.stdout.splitlines() if ": " in line}
    files = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    assert {path for path in files if "suites" not in path.parts[2:-1]} == collected, (
        done.stdout + done.stderr
    )
