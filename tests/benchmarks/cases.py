"""The measurements. Each function returns rows of the table: a ratio within this run, and its goal."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import measure

import pytest_migration_state

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """One row of the table.

    :ivar value: the measured value.
    :ivar goal: the highest value that meets the goal.
    :ivar unit: the unit of both; ``×`` is a ratio.
    :ivar detail: the figures from which the value was calculated.
    """

    what: str
    value: float
    goal: float
    unit: str
    detail: str

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal


class Size(NamedTuple):
    """The size of the measurements.

    :ivar tests: marked tests in a run.
    :ivar many: verdicts in the measurements of growth and memory.
    :ivar rounds: runs of each command.
    """

    tests: int
    many: int
    rounds: int


FULL = Size(tests=5_000, many=100_000, rounds=5)
QUICK = Size(tests=50, many=500, rounds=1)

#: The peers, each with the arguments that make it write each outcome. The smallest cost is that of a log
#: line.
PEERS = {
    "bare pytest": [],
    "this plugin": ["-p", "pytest_migration_state.plugin", "--migration-state=state/migration-state.json"],
    "the least": ["-p", "floor"],
    "--junitxml": ["--junitxml=junit.xml"],
    "pytest-reportlog": ["-p", "pytest_reportlog.plugin", "--report-log=reportlog.jsonl"],
    "pytest-json-report": [
        "-p",
        "pytest_jsonreport.plugin",
        "--json-report",
        "--json-report-file=report.json",
    ],
    "pytest-html": ["-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "--html=report.html"],
    "allure-pytest": ["-p", "allure_pytest.plugin", "--alluredir=allure"],
}
BARE, OURS, LEAST, CHEAPEST = "bare pytest", "this plugin", "the least", "pytest-reportlog"
OTHERS = [peer for peer in PEERS if peer not in {BARE, OURS, LEAST, CHEAPEST}]


def write_suite(folder: Path, count: int) -> None:
    """Write a suite of ``count`` trivial marked tests."""
    folder.mkdir(parents=True)
    (folder / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    migration_component: as the plugin registers it\n", encoding="utf-8"
    )
    lines = ["import pytest", 'pytestmark = pytest.mark.migration_component("guardian-hive")']
    lines += [f"def test_number_{number}(): pass" for number in range(count)]
    (folder / "test_suite.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pytest_command(peer: str, *arguments: str) -> list[str]:
    """Return the command that runs pytest with one peer and nothing else."""
    fresh = f"""
import shutil, sys
import pytest
for name in "state", "allure":
    shutil.rmtree(name, ignore_errors=True)
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.exit(pytest.main(sys.argv[1:]))
"""
    return [sys.executable, "-c", fresh, "-q", "-p", "no:cacheprovider", *PEERS[peer], *arguments]


def costs(folder: Path, tests: int, rounds: int, peers: list[str], *arguments: str) -> dict[str, float]:
    """Return the cost of each of ``peers`` over bare pytest, in microseconds of CPU time per test."""
    write_suite(folder, tests)
    commands = {peer: pytest_command(peer, *arguments) for peer in [BARE, *peers]}
    found = measure.in_turn(commands, folder, rounds)
    bare = measure.seconds(found[BARE])
    return {peer: (measure.seconds(found[peer]) - bare) / tests * 1e6 for peer in peers}


def inactive(folder: Path, size: Size) -> Row:
    code = """
import sys, time, pytest
began = time.process_time()
import pytest_migration_state.plugin
cost = (time.process_time() - began) * 1e3
package = "pytest_migration_state"
expected = {package, *(f"{package}.{name}" for name in ("plugin", "hookspecs", "domain", "domain.policy"))}
heavy = {"pydantic", "pydantic_core", "filelock", package}
loaded = {name for name in sys.modules if name.split(".")[0] in heavy} - expected
assert not loaded, loaded
print(cost)
"""
    value = measure.median_of(code, folder, size.rounds * 3)
    return Row(
        "inactive: importing the entry module on top of `import pytest`",
        value,
        1.0,
        "ms",
        "of the package only the entry module and the table of settings, no pydantic, no filelock",
    )


def all_costs(folder: Path, size: Size) -> dict[str, float]:
    """Return the :func:`costs` of all peers. Those that a goal names are measured most often."""
    found = costs(folder / "goals", size.tests, size.rounds, [OURS, LEAST, CHEAPEST])
    return found | costs(folder / "others", size.tests, min(size.rounds, 2), OTHERS)


def active(found: dict[str, float]) -> list[Row]:
    peers = {peer: found[peer] for peer in OTHERS}
    lowest = min(peers, key=lambda peer: peers[peer])
    return [
        _against_cheapest("active, a test", found, 0.35),
        Row(
            "active, a test, over one private write of its line",
            found[OURS] / found[LEAST],
            3,
            "×",
            f"{found[OURS]:.0f} µs over {found[LEAST]:.0f} µs",
        ),
        Row(
            f"active, a test, over {lowest}'s, the lowest of the other peers",
            found[OURS] / found[lowest],
            1,
            "×",
            f"{found[OURS]:.0f} µs over {found[lowest]:.0f} µs",
        ),
    ]


def active_xdist(folder: Path, size: Size) -> Row:
    found = costs(
        folder / "suite", size.tests, min(size.rounds, 4), [OURS, CHEAPEST], "-p", "xdist.plugin", "-n2"
    )
    return _against_cheapest("active with `-n2`, a test", found, 0.35)


def start(folder: Path, size: Size) -> Row:
    """Measure what a recorded run of one test costs, and what importing the modules costs that it uses."""
    write_suite(folder / "suite", 1)
    used = """
import sys, pytest
before = set(sys.modules)
assert pytest.main(sys.argv[1:]) == 0
own = [name for name in sys.modules if name.split(".")[0] in {"pytest_migration_state", "filelock"}]
print()
print(",".join(name for name in own if name not in before))
"""
    arguments = pytest_command(OURS)[3:]
    names = measure.last_line(used, folder / "suite", *arguments)
    importing = (
        "import pytest, importlib, sys\nfor name in sys.argv[1].split(','): importlib.import_module(name)"
    )
    commands = {
        BARE: pytest_command(BARE),
        OURS: pytest_command(OURS),
        "pytest": [sys.executable, "-c", "import pytest"],
        "imports": [sys.executable, "-c", importing, names],
    }
    found = measure.in_turn(commands, folder / "suite", size.rounds * 4)
    cost = {name: measure.seconds(usages) * 1e3 for name, usages in found.items()}
    run, imports = cost[OURS] - cost[BARE], cost["imports"] - cost["pytest"]
    what = "start of a recorded run, over the import of what it uses"
    return Row(what, run / imports, 1.2, "×", f"{run:.0f} ms over {imports:.0f} ms")


def _against_cheapest(what: str, found: dict[str, float], goal: float) -> Row:
    detail = f"{found[OURS]:.0f} µs over bare pytest, {CHEAPEST} {found[CHEAPEST]:.0f} µs"
    return Row(f"{what}, over {CHEAPEST}'s", found[OURS] / found[CHEAPEST], goal, "×", detail)


#: A run that records verdicts; ``record`` returns the CPU time that it took, in seconds.
_RECORDER = """
import os, sys, time
from pathlib import Path
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.tracking.run_writer import RunWriter
folder, held, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
state = folder / f"{time.monotonic_ns()}-state.json"
run = RunWriter(state, "7f3c7f3c7f3c7f3c", notify=print)
run.open(lambda document: None, {})
keys = [("guardian-hive", f"tests/test_some_module.py::test_number[{i}]") for i in range(max(held, count))]
def record(keys):
    began = time.process_time()
    for key in keys:
        run.verdict(Verdict(key, True, None, "passed", 0.000123, "7f3c7f3c7f3c7f3c"))
    return time.process_time() - began
record(keys[:held])
"""


def recorder(folder: Path, size: Size) -> Row:
    # Alternate small batches with bare writes, so that changes of the machine's speed affect both alike.
    code = f"""{_RECORDER}
descriptor = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
ours = bare = 0.0
for start in range(0, count, 500):
    some = keys[start:start + 500]
    ours += record(some)
    line = Path(run._store.log_address).read_bytes().splitlines(keepends=True)[-1]
    began = time.process_time()
    for _ in some:
        os.write(descriptor, line)
    bare += time.process_time() - began
print(ours / bare)
"""
    value = measure.median_of(code, folder, size.rounds, str(folder), "0", str(size.tests * 4))
    detail = f"{size.tests * 4:,} verdicts, checkpoints included"
    return Row("recorder alone, a verdict, over one bare `os.write` of its bytes", value, 15, "×", detail)


def growth(folder: Path, size: Size) -> Row:
    code = f"{_RECORDER}\nprint(record(keys[:count]) / count * 1e6)"
    few, many = [], []
    for _ in range(min(size.rounds, 3)):
        few.append(measure.script(code, folder, str(folder), str(size.many // 100), str(size.tests * 4)))
        many.append(measure.script(code, folder, str(folder), str(size.many), str(size.tests * 4)))
    a, b = statistics.median(few), statistics.median(many)
    what = f"growth: a verdict with {size.many:,} in the state over one with {size.many // 100:,}"
    return Row(what, b / a, 1.3, "×", f"{b:.1f} µs over {a:.1f} µs")


def checkpoints(folder: Path, size: Size) -> Row:
    tests = size.tests * 4
    write_suite(folder / "suite", tests)
    code = """
import sys, time, pytest
from pytest_migration_state.storage.files.run_log import FileRunLog
spent, real = 0.0, FileRunLog._checkpoint
def timed(self):
    global spent
    began = time.process_time()
    real(self)
    spent += time.process_time() - began
FileRunLog._checkpoint = timed
began = time.process_time()
assert pytest.main(sys.argv[1:]) == 0
assert spent > 0
print()
print(spent / (time.process_time() - began) * 100)
"""
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "pytest_migration_state.plugin",
        "--migration-state=state/migration-state.json",
    ]
    # Measured once: it is a share within one long run.
    value = measure.script(code, folder / "suite", *arguments)
    return Row(f"checkpoints' share of a run of {tests:,} tests", value, 10, "%", "CPU time")


def opening(folder: Path, size: Size) -> list[Row]:
    """Measure reading a large state: ours with its log, and the document of another program."""
    code = f"{_RECORDER}\nrun.finish(0, {{}})\nrun.close()\nprint(0)"
    measure.script(code, folder, str(folder), str(size.many), "0")
    (own,) = folder.glob("*-state.json")
    document = json.loads(own.read_text(encoding="utf-8"))
    del document["metadata"]["audit"]
    other = folder / "other" / "migration-state.json"
    other.parent.mkdir()
    other.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    code = """
import json, sys, time
from pathlib import Path
from pytest_migration_state.storage.files.store import FileStore
path = Path(sys.argv[1])
content = path.read_bytes()
def best(action):
    times = []
    for _ in range(5):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return sorted(times)[2]
print(best(lambda: FileStore(path, notify=print).read()) / best(lambda: json.loads(content)))
"""
    rows = []
    for state, whose in ((own, ""), (other, " of another program")):
        value = measure.median_of(code, folder, min(size.rounds, 3), str(state))
        what = f"opening a state{whose} with {size.many:,} verdicts, over `json.loads` of its bytes"
        rows.append(Row(what, value, 3, "×", f"{state.stat().st_size:,} bytes"))
    return rows


def command(folder: Path, size: Size) -> list[Row]:
    state = str(folder / "command" / "migration-state.json")
    own = [sys.executable, "-m", "pytest_migration_state"]
    measure.run([*own, "init", "-s", state], folder)
    commands = {
        "phase": [*own, "phase", "BackupInProgress", "--force", "-s", state],
        "libraries": [sys.executable, "-c", "import pydantic, filelock"],
        "--help": [*own, "--help"],
        "--version": [*own, "--version"],
        "python": [sys.executable, "-c", "pass"],
    }
    found = {
        name: measure.seconds(usages) * 1e3
        for name, usages in measure.in_turn(commands, folder, size.rounds * 4).items()
    }
    libraries, python = found["libraries"], found["python"]
    rows = [
        Row(
            "one command (`migration-state phase …`), over `import pydantic, filelock`",
            found["phase"] / libraries,
            1.5,
            "×",
            f"{found['phase']:.0f} ms over {libraries:.0f} ms",
        )
    ]
    for option in ("--help", "--version"):
        detail = f"{found[option]:.0f} ms over {python:.0f} ms"
        rows.append(
            Row(f"`migration-state {option}`, over `python -c pass`", found[option] / python, 3, "×", detail)
        )
    return rows


def reading(folder: Path, size: Size) -> list[Row]:
    """Measure ``audit --last 10`` and ``show`` beside a long log and a short one."""
    counts = {"short": max(size.many // 100, 10), "long": size.many * 10}
    states = {name: _state_with_log(folder / name, count) for name, count in counts.items()}
    own = [sys.executable, "-m", "pytest_migration_state"]
    rows = []
    for command in (["audit", "--last", "10"], ["show"]):
        commands = {name: [*own, *command, "-s", state] for name, state in states.items()}
        found = measure.in_turn(commands, folder, size.rounds * 2)
        short, long = (measure.seconds(found[name]) * 1e3 for name in counts)
        what = f"`{' '.join(command)}` beside a log of {counts['long']:,} entries, over {counts['short']:,}"
        rows.append(Row(what, long / short, 1.5, "×", f"{long:.0f} ms over {short:.0f} ms"))
    return rows


def _state_with_log(folder: Path, count: int) -> str:
    """Return a state whose log has this number of entries."""
    code = """
import sys
from pathlib import Path
from pytest_migration_state import MigrationTracker
from pytest_migration_state.domain.events import Event
from pytest_migration_state.storage.files.store import FileStore
state, count = Path(sys.argv[1]), int(sys.argv[2])
tracker = MigrationTracker(state, notify=print)
tracker.initialize()
for number in range(10):
    tracker.add_validation_result("guardian-hive", f"test_{number}", True)
note = Event("Notice", "An operator's own words, as long as they usually are", {})
while count > 0:
    FileStore(state, notify=print).commit(lambda _: [note] * min(count, 50_000))
    count -= 50_000
print(0)
"""
    folder.mkdir()
    state = str(folder / "migration-state.json")
    measure.script(code, folder, state, str(count))
    return state


def beside_a_run(folder: Path, size: Size) -> Row:  # noqa: ARG001  # 20 commands, whatever the size
    """Measure how much longer commands wait beside a run that records a thousand tests a second."""
    state = str(folder / "migration-state.json")
    own = [sys.executable, "-m", "pytest_migration_state"]
    measure.run([*own, "init", "-s", state], folder)
    run = """
import sys, time
from pathlib import Path
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.tracking.run_writer import RunWriter
run = RunWriter(Path(sys.argv[1]), "7f3c7f3c7f3c7f3c", notify=print)
run.open(lambda document: None, {})
print("recording", flush=True)
began, number = time.monotonic(), 0
while time.monotonic() < began + 600:
    number += 1
    run.verdict(Verdict(("guardian-hive", f"test_{number}"), True, None, "passed", 0.000123))
    time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
"""
    commands = [[*own, "container", f"c{number}", "abc123", "-s", state] for number in range(20)]
    alone = [measure.wall(command, folder) for command in commands]
    with subprocess.Popen(
        [sys.executable, "-c", run, state], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as recording:
        assert recording.stdout is not None
        assert recording.stdout.readline() == "recording\n"
        beside = [measure.wall(command, folder) for command in commands]
        recording.kill()
    what = "20 commands beside a run of 1,000 tests a second: the slowest waits longer by"
    return Row(
        what,
        max(beside) - max(alone),
        0.2,
        "s",
        f"{max(beside):.2f} s over {max(alone):.2f} s; medians {statistics.median(beside):.2f} s "
        f"over {statistics.median(alone):.2f} s",
    )


def apply(folder: Path, size: Size) -> Row:
    state, file = str(folder / "state.json"), folder / "operations.jsonl"
    count = size.tests * 2
    lines = [
        {"operation": "add_processed_container", "name": f"container-{number}", "container_id": "abc123"}
        for number in range(count)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    own = [sys.executable, "-m", "pytest_migration_state"]
    measure.run([*own, "init", "-s", state], folder)
    commands = {
        "one": [*own, "container", "guardian-hive", "abc123", "-s", state],
        "all": [*own, "apply", str(file), "-s", str(folder / "other.json")],
    }
    found = {
        name: measure.seconds(usages)
        for name, usages in measure.in_turn(commands, folder, size.rounds).items()
    }
    detail = f"{found['all'] / count * 1e6:.0f} µs over {found['one'] * 1e6:.0f} µs"
    return Row(
        f"an operation among {count:,} in one `apply`, over a command of its own",
        found["all"] / count / found["one"],
        0.05,
        "×",
        detail,
    )


def powershell(folder: Path, size: Size) -> list[Row]:
    """Measure 300 containers through a pipeline against one call, in one PowerShell."""
    program = shutil.which("pwsh") or shutil.which("powershell")
    if program is None:
        print("no PowerShell is on the path, so its row is left out")
        return []
    functions = Path(pytest_migration_state.__file__).with_name("MigrationState.ps1")
    script = folder / "measure.ps1"
    script.write_text(
        f"""
        $env:PATH = '{sysconfig.get_path("scripts")}' + [IO.Path]::PathSeparator + $env:PATH
        . '{functions}'
        $null = Initialize-MigrationState
        $rows = 1..300 | ForEach-Object {{ [pscustomobject]@{{ Name = "container-$_"; Id = 'abc123' }} }}
        foreach ($round in 1..{size.rounds + 1}) {{
            $one = Measure-Command {{ Add-ProcessedContainer -ContainerName 'one' -ContainerId 'abc123' }}
            $all = Measure-Command {{ $rows | Add-ProcessedContainer }}
            '{{0:r}} {{1:r}}' -f $one.TotalSeconds, $all.TotalSeconds
        }}
        """,
        encoding="utf-8",
    )
    command = [program, "-NoProfile", "-File", str(script)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    # The first round loads what PowerShell compiles.
    found = [[float(word) for word in line.split()] for line in done.stdout.splitlines()[1:]]
    one, every = (statistics.median(times) * 1e3 for times in zip(*found, strict=True))
    what = "PowerShell: 300 containers through a pipeline, over one call"
    return [Row(what, every / one, 2, "×", f"{every:.0f} ms over {one:.0f} ms")]


def memory(folder: Path, size: Size) -> Row:
    write_suite(folder / "suite", size.many)
    commands = {peer: pytest_command(peer) for peer in (BARE, OURS)}
    found = measure.in_turn(commands, folder / "suite", 1)
    bare, ours = found[BARE][0].peak, found[OURS][0].peak
    detail = f"{ours / 2**20:.0f} MiB over {bare / 2**20:.0f} MiB"
    return Row(
        f"peak memory of a run with {size.many:,} verdicts, a verdict",
        (ours - bare) / size.many,
        1024,
        "bytes",
        detail,
    )


#: In the order of the table, which begins with :func:`active`. Each returns one or several rows.
CASES: list[Callable[[Path, Size], Row | list[Row]]] = [
    inactive, active_xdist, start, recorder, growth, checkpoints, opening, command, reading, beside_a_run,
    apply, powershell, memory,
]  # fmt: skip
