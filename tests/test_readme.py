"""Run every command of the README, section by section."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    section: str
    language: str
    text: str


def blocks() -> list[Block]:
    found = []
    for section in re.split(r"^## ", README, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        found += [
            Block(name, language, text)
            for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        ]
    return found


SECTIONS = list(
    dict.fromkeys(
        block.section for block in blocks() if block.language == "sh" and block.section != "Quick start"
    )
)


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_every_command_of_a_section_works(section: str, tmp_path: Path) -> None:
    """The commands of a section, taken in order, work in a folder that holds the files shown so far."""
    for block in blocks():
        if block.language == "python":
            name = block.text.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(block.text, encoding="utf-8")
        elif block.section == section and block.language == "sh":
            done = shell(block.text, tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_by_hand_can_be_run_again(tmp_path: Path) -> None:
    """A reader changes it and runs it again, on the state that the first run left."""
    (example,) = (block.text for block in blocks() if block.text.startswith("# by_hand.py"))
    (tmp_path / "by_hand.py").write_text(example, encoding="utf-8")
    for _ in range(2):
        done = shell("python by_hand.py", tmp_path)
        assert done.returncode == 0, done.stderr
        assert "'native_execution_test' of 'guardian-hive' failed: port 8080 is in use -> " in done.stdout


def test_the_quick_start_has_two_blocks() -> None:
    """The Quick start holds exactly two sh blocks: the main job, and the tests."""
    scripts = [block.text for block in blocks() if block.section == "Quick start" and block.language == "sh"]
    assert len(scripts) == 2
    assert "migrate.py" in scripts[0]
    assert "-m pytest" in scripts[1]


@pytest.mark.deep
@pytest.mark.sample
def test_the_quick_start_runs_on_a_clean_copy(tmp_path: Path) -> None:
    """The first block of the Quick start reaches Completed in a clean copy with nothing installed."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    script = next(block.text for block in blocks() if block.section == "Quick start")
    done = shell(script, tmp_path, PIP_DISABLE_PIP_VERSION_CHECK="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout
