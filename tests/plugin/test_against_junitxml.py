"""The recorded outcomes of a few hundred tests of all kinds, compared with pytest's own JUnit XML."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
from recorded import ALONE, XDIST

if TYPE_CHECKING:
    from pathlib import Path

    from recorded import Suite

#: A test of each kind, named ``NAME``.
KINDS = {
    "passes": "def NAME(): pass",
    "fails": "def NAME(): assert 0",
    "raises": "def NAME(): raise OSError('no service')",
    "exits": "def NAME(): sys.exit(0)",
    "error_in_setup": "def NAME(breaks_in_setup): pass",
    "error_in_teardown": "def NAME(breaks_in_teardown): pass",
    "fails_and_error_in_teardown": "def NAME(breaks_in_teardown): assert 0",
    "skip_mark": "@pytest.mark.skip\ndef NAME(): pass",
    "skip_in_setup": "def NAME(skips_in_setup): pass",
    "skip_in_call": "def NAME(): pytest.skip('not here')",
    "skip_in_teardown": "def NAME(skips_in_teardown): pass",
    "fails_and_skip_in_teardown": "def NAME(skips_in_teardown): assert 0",
    "xfail": "@pytest.mark.xfail\ndef NAME(): assert 0",
    "xfail_in_call": "def NAME(): pytest.xfail('known')",
    "xfail_with_another_error": "@pytest.mark.xfail(raises=KeyError)\ndef NAME(): raise OSError",
    "xfail_and_error_in_teardown": "@pytest.mark.xfail(raises=KeyError)\n"
    "def NAME(breaks_in_teardown): raise KeyError",
    "xpass": "@pytest.mark.xfail\ndef NAME(): pass",
    "xpass_strict": "@pytest.mark.xfail(strict=True)\ndef NAME(): pass",
    "rerun_passes": "@pytest.mark.flaky(reruns=2)\ndef NAME(tmp_path_factory): assert attempt('NAME') == 2",
    "rerun_fails": "@pytest.mark.flaky(reruns=1)\ndef NAME(): assert 0",
    "param": "@pytest.mark.parametrize('n', [1, 2])\ndef NAME(n): assert n == 1",
    "method": "class TestNAME:\n    @component\n    def NAME(self): pass\n    @component\n"
    "    def NAME_bad(self): assert 0",
    "unittest": "class TestNAME(unittest.TestCase):\n    def NAME(self): pass\n"
    "    def NAME_bad(self): self.fail()\n    def NAME_skip(self): self.skipTest('')",
    "unittest_expected": "class TestNAME(unittest.TestCase):\n    @unittest.expectedFailure\n"
    "    def NAME(self): self.fail()\n    @unittest.expectedFailure\n    def NAME_mended(self): pass",
    "sub_test_fails": "class TestNAME(unittest.TestCase):\n    def NAME(self):\n"
    "        with self.subTest(n=1): self.fail('one')\n        with self.subTest(n=2): pass",
    "sub_test_passes": "class TestNAME(unittest.TestCase):\n    def NAME(self):\n"
    "        with self.subTest(n=1): pass",
}  # fmt: skip

if pytest.version_tuple >= (9,):
    KINDS |= {
        "subtests_fail": (
            "def NAME(subtests):\n    with subtests.test(n=1): assert 0\n    with subtests.test(n=2): pass"
        ),
        "subtests_pass": "def NAME(subtests):\n    with subtests.test(n=1): pass",
    }

HELPERS = """
def attempt(name):
    with open(f"attempts-{name}", "a") as file:
        file.write(".")
    return os.path.getsize(f"attempts-{name}")

@pytest.fixture
def breaks_in_setup(): raise OSError("no service")

@pytest.fixture
def breaks_in_teardown():
    yield
    raise OSError("not stopped")

@pytest.fixture
def skips_in_setup(): pytest.skip("not here")

@pytest.fixture
def skips_in_teardown():
    yield
    pytest.skip("not here")
"""

FILES, OF_EACH_KIND = 4, 3


def write_suite(suite: Suite) -> None:
    chance = random.Random(20)
    for number in range(FILES):
        kinds = [kind for kind in KINDS for _ in range(OF_EACH_KIND)]
        chance.shuffle(kinds)
        tests = (
            f"@component\n{KINDS[kind].replace('NAME', f'test_{kind}_{number}_{index}')}\n"
            for index, kind in enumerate(kinds)
        )
        suite.write({f"test_{number}.py": HELPERS + "\n".join(tests)})


def junit_outcomes(path: Path) -> dict[str, str]:
    """Return each test's outcome in JUnit XML, by node id: the worst of its elements."""
    said: dict[str, set[str]] = defaultdict(set)
    for case in ET.parse(path).iter("testcase"):
        module, *classes = str(case.get("classname")).split(".")
        said["::".join([f"{module}.py", *classes, str(case.get("name"))])].update(
            "xfailed" if element.get("type") == "pytest.xfail" else element.tag
            for element in case
            if element.tag in {"failure", "error", "skipped"}
        )
    return {
        node_id: next((word for tag, word in WORDS if tag in tags), "passed")
        for node_id, tags in said.items()
    }  # fmt: skip


WORDS = (("failure", "failed"), ("error", "failed"), ("xfailed", "xfailed"), ("skipped", "skipped"))

#: Ambiguous reports, with the plugin's interpretation and its reason. JUnit XML may differ.
INTERPRETED = {
    "xpass": ("passed", "it passed against an expectation that is not strict"),
    "sub_test_fails": ("failed", "a subTest failed, and the report of the test that it is in is passed"),
}


@pytest.mark.parametrize("how", [ALONE, XDIST])
def test_outcomes_do_not_contradict_junit_xml(suite: Suite, how: str) -> None:
    """Every test has its outcome in JUnit XML, except those that are interpreted; these are printed."""
    write_suite(suite)
    result = suite.run("-p", "rerunfailures", "--junitxml=junit.xml", "-q", "--tb=no", how=how)
    assert result.status == 1
    junit = junit_outcomes(suite.folder / "junit.xml")
    assert len(junit) > 300
    recorded = {name: known.partition(" on attempt ")[0] for name, known in suite.books.items()}
    assert recorded.keys() == junit.keys()

    interpreted: Counter[str] = Counter()
    contradictions = []
    for name in junit:
        kind = re.sub(r"_\d+_\d+.*", "", name.rpartition("::test_")[2])
        meant, why = INTERPRETED.get(kind, (junit[name], ""))
        if why:
            interpreted[f"{why}: JUnit XML says {junit[name]}, we say {recorded[name]}"] += 1
        if recorded[name] != meant:
            contradictions.append((name, junit[name], recorded[name]))
    for what, count in sorted(interpreted.items()):
        print(f"interpreted, {count} times: {what}")
    assert contradictions == []
    flaky = [name for name, known in suite.books.items() if known == "passed on attempt 2"]
    assert len(flaky) == FILES * OF_EACH_KIND
