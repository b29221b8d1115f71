"""Write one state of each kind as the installed version of the package writes it.

Run it once for each release, in an environment that has the package and its ``test`` extra::

    python tests/states/write.py

The states are written to ``tests/states/<version>/<kind>/``: the files of the state, without its lock, and
``expected.json``, the judgement of this version. ``test_states.py`` opens each with the version under test. A
later version never changes the folders of earlier ones, so the script refuses to write into an existing
folder.

``expected.json`` has these keys:

``about``
    The description of the state, in a sentence.
``phase``
    The phase; ``null`` if this version refuses to open the state.
``open``
    True if the gate is open.
``blockers``
    Every reason for the gate to be shut, as kind, component and test name.
``passed``, ``failed``, ``outstanding``
    The numbers of verdicts and outstanding validations. A document of another tool may contain several for
    one validation.
``error``
    The class of the error with which this version refuses to open the state; missing if it opens it.

The output contains nothing of the machine that runs the script: the host is called ``runner-7`` and the user
``ci``, and paths are relative. The script checks that before it keeps anything. It needs Linux or macOS.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state import (
    GateBlockedError,
    MigrationStateError,
    MigrationTracker,
    Policy,
    __version__,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STATES: Final = Path(__file__).resolve().parent
SAMPLES: Final = STATES.parent / "data" / "powershell"
POWERSHELL: Final = STATES.parent / "powershell_writer.py"
DOCUMENT: Final = Path("migration-state.json")
LOG: Final = Path("migration-audit.log")
EXPECTED: Final = "expected.json"

HOST, USER = "runner-7", "ci"
HIVE, AIDER, ZERO = "guardian-hive", "worker-aider", "agent-zero"
#: The phases between the beginning and the tests.
TO_VALIDATION: Final = ("BackupInProgress", "ContainerTermination", "NativeDeployment", "Validation")
KILLED: Final = -signal.SIGKILL

#: Part of every suite: the host's neutral name, and pytest's root folder.
SUITE_FILES: Final = {
    "conftest.py": f'import socket\n\nsocket.gethostname = lambda: "{HOST}"\n',
    "pytest.ini": "[pytest]\n",
}
#: The beginning of every test file.
PREAMBLE: Final = f"""\
import os, signal, time
from pathlib import Path
import pytest

hive = pytest.mark.migration_component("{HIVE}")

"""

KINDS: Final[dict[str, Callable[[Making], None]]] = {}


def kind(make: Callable[[Making], None]) -> Callable[[Making], None]:
    """Register a function as the recipe of the kind with its name. Its docstring describes the state."""
    KINDS[make.__name__] = make
    return make


class Making:
    """A state in the making.

    The current folder is the folder of the state, and the suites that are run on it are there too.
    """

    @property
    def tracker(self) -> MigrationTracker:
        """A new tracker of the state."""
        return MigrationTracker(DOCUMENT, notify=lambda _: None)

    def advance(self, *phases: str) -> MigrationTracker:
        """Begin a migration and move it through ``phases``."""
        tracker = self.tracker
        tracker.initialize()
        for phase in phases:
            tracker.set_phase(phase)
        return tracker

    def in_validation(self) -> MigrationTracker:
        """Begin a migration and move it to Validation."""
        return self.advance(*TO_VALIDATION)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of tests by their names."""
        for name, content in files.items():
            Path(name).write_text(PREAMBLE + content, encoding="utf-8")

    def pytest(self, *arguments: str, status: int = 0) -> None:
        """Run pytest on the suite with its outcomes recorded, and assert that it ends with ``status``."""
        for name, content in SUITE_FILES.items():
            Path(name).write_text(content, encoding="utf-8")
        plugins = ["-p", "pytest_migration_state.plugin", "-p", "xdist", "-p", "no:cacheprovider"]
        self.python("-m", "pytest", *plugins, f"--migration-state={DOCUMENT}", *arguments, status=status)

    def run(self, tests: str, *arguments: str, status: int = 0) -> None:
        """Write ``tests`` as ``test_it.py`` and run pytest."""
        self.write({"test_it.py": tests})
        self.pytest(*arguments, status=status)

    def powershell(self, *arguments: str) -> None:
        """Change the state as the PowerShell functions do."""
        self.python(str(POWERSHELL), str(DOCUMENT), *arguments)

    def python(self, *arguments: str, status: int = 0) -> None:
        """Run this interpreter, and assert that it ends with ``status``."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        if done.returncode != status:
            sys.exit(
                f"{arguments} ended with {done.returncode}, not with {status}:\n{done.stdout}{done.stderr}"
            )

    def sample(self, name: str) -> None:
        """Copy a state that PowerShell wrote."""
        for path in (SAMPLES / name).iterdir():
            shutil.copyfile(path, path.name)


def environment() -> dict[str, str]:
    """The environment of every started process: a neutral user, and nothing of a CI job."""
    return {
        "PATH": os.environ["PATH"],
        "LOGNAME": USER,
        "USER": USER,
        "TZ": "<-03>3",  # that of the PowerShell samples
        "TMPDIR": os.getcwd(),  # noqa: PTH109  # files of a killed process are deleted with the folder
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


@contextmanager
def without_log() -> Iterator[None]:
    """Put a folder in the place of the log, so that no entry can be written. Afterwards there is no log."""
    LOG.unlink()
    LOG.mkdir()
    yield
    LOG.rmdir()


@contextmanager
def earlier_document() -> Iterator[None]:
    """Restore the earlier document afterwards, so that only the log contains the later changes."""
    document = DOCUMENT.read_bytes()
    yield
    DOCUMENT.write_bytes(document)


def open_but_for_one(making: Making) -> MigrationTracker:
    """A migration in Validation with one passed and one failed verdict."""
    tracker = making.in_validation()
    tracker.add_validation_result(HIVE, "native_execution_test", passed=True)
    tracker.add_validation_result(AIDER, "file_access_test", passed=False, error_message="Permission denied")
    return tracker


# --- phases -------------------------------------------------------------------------------------------------


@kind
def fresh(making: Making) -> None:
    """A migration that was begun and nothing else."""
    making.advance()


@kind
def backup_in_progress(making: Making) -> None:
    """In BackupInProgress, with preserved data."""
    tracker = making.advance("BackupInProgress")
    tracker.add_preserved_data("guardian-hive-config", "backups/guardian-hive/config.json")
    tracker.add_preserved_data("worker-aider-config", "C:\\backups\\worker-aider")


@kind
def container_termination(making: Making) -> None:
    """In ContainerTermination, with removed containers."""
    tracker = making.advance("BackupInProgress", "ContainerTermination")
    tracker.add_processed_container(HIVE, "abc123def456")
    tracker.add_processed_container(AIDER, "def456abc123")


@kind
def native_deployment(making: Making) -> None:
    """In NativeDeployment, with started processes, an error and no rollback."""
    tracker = making.advance("BackupInProgress", "ContainerTermination", "NativeDeployment")
    tracker.add_native_process(HIVE, 12345)
    tracker.add_native_process(ZERO)
    tracker.set_error("worker-aider does not start")
    tracker.set_rollback_availability(available=False)


@kind
def validation_without_verdicts(making: Making) -> None:
    """In Validation, and nothing was validated."""
    making.in_validation()


@kind
def validation_open(making: Making) -> None:
    """In Validation, with an open gate: everything passed, by hand and in a run of several components."""
    making.in_validation().add_validation_result(ZERO, "looked_at_by_hand", passed=True)
    making.run(f"""
@hive
def test_answers(): pass

@pytest.mark.migration_component("{HIVE}", "{AIDER}", test_name="queue")
def test_queue_between_the_two(): pass
""")


@kind
def completed(making: Making) -> None:
    """Completed through the gate by a run with --migration-complete, after a refused attempt."""
    tracker = making.in_validation()
    with_gate_shut(tracker)
    making.run("@hive\ndef test_answers(): pass\n", "--migration-complete", f"--migration-require={HIVE}")


@kind
def completed_by_hand(making: Making) -> None:
    """Completed through the gate by hand, without a policy."""
    tracker = making.in_validation()
    tracker.add_validation_result(HIVE, "native_execution_test", passed=True)
    tracker.set_phase("Completed")


@kind
def completed_by_force(making: Making) -> None:
    """Completed by force while the gate was shut."""
    open_but_for_one(making).set_phase("Completed", force=True, reason="the file share is mended tomorrow")


@kind
def rolled_back(making: Making) -> None:
    """RolledBack from Validation."""
    open_but_for_one(making).set_phase("RolledBack")


@kind
def rolled_back_by_force(making: Making) -> None:
    """RolledBack by force while rollback was unavailable."""
    tracker = making.in_validation()
    tracker.set_rollback_availability(available=False)
    tracker.set_phase("RolledBack", force=True, reason="the containers were restored from tape")


@kind
def begun_anew(making: Making) -> None:
    """A second migration in the place of an open one, which is kept beside it."""
    tracker = making.in_validation()
    tracker.add_validation_result(HIVE, "native_execution_test", passed=True)
    tracker.initialize(force=True)


def with_gate_shut(tracker: MigrationTracker) -> None:
    """Request Completed, which is refused and recorded."""
    try:
        tracker.set_phase("Completed")
    except GateBlockedError:
        return
    sys.exit("the gate should be shut")


# --- why the gate is shut -----------------------------------------------------------------------------------


@kind
def failed(making: Making) -> None:
    """A failed verdict alone keeps the gate shut; Completed was asked for and refused."""
    making.in_validation()
    making.run(
        "@hive\ndef test_passes(): pass\n\n@hive\ndef test_fails():\n    assert 6 * 7 == 41\n", status=1
    )
    with_gate_shut(making.tracker)


@kind
def failed_by_hand(making: Making) -> None:
    """A failed verdict that was recorded by hand keeps the gate shut."""
    open_but_for_one(making)


@kind
def xfailed(making: Making) -> None:
    """A test that failed as it was expected to keeps the gate shut."""
    making.in_validation()
    making.run(
        "@hive\ndef test_passes(): pass\n\n@hive\n@pytest.mark.xfail(reason='known')\n"
        "def test_expected(): assert False\n"
    )


@kind
def skipped(making: Making) -> None:
    """A skipped test keeps the gate shut."""
    making.in_validation()
    making.run(
        "@hive\ndef test_passes(): pass\n\n@hive\n"
        "@pytest.mark.skip(reason='needs the old host')\ndef test_skipped(): pass\n"
    )


@kind
def deselected(making: Making) -> None:
    """A test that was never selected keeps the gate shut."""
    making.in_validation()
    making.run("@hive\ndef test_passes(): pass\n\n@hive\ndef test_left_out(): pass\n", "-k", "passes")


@kind
def pending(making: Making) -> None:
    """A run that was stopped leaves tests without a verdict; both had passed before."""
    making.in_validation()
    making.run(
        "@hive\ndef test_first(): pass\n\n@hive\ndef test_stops(): pass\n\n@hive\ndef test_last(): pass\n"
    )
    making.run(
        "@hive\ndef test_first(): pass\n\n@hive\ndef test_stops(): pytest.exit('stop')\n\n"
        "@hive\ndef test_last(): pass\n",
        status=2,
    )


@kind
def collection_error(making: Making) -> None:
    """A file that could not be collected keeps the gate shut."""
    making.in_validation()
    making.write({"test_broken.py": "raise RuntimeError('no inventory')\n"})
    making.run("@hive\ndef test_passes(): pass\n", "--continue-on-collection-errors", status=1)


@kind
def file_skipped(making: Making) -> None:
    """A file that was skipped as a whole keeps the gate shut."""
    making.in_validation()
    making.write({"test_old.py": "pytest.skip('needs the old host', allow_module_level=True)\n"})
    making.run("@hive\ndef test_passes(): pass\n")


@kind
def every_reason(making: Making) -> None:
    """Passes, failures and outstanding validations of every reason in one run."""
    making.in_validation()
    making.write({"test_broken.py": "raise RuntimeError('no inventory')\n"})
    making.run(
        f"""
@pytest.fixture
def broken_before(): raise RuntimeError("before")

@pytest.fixture
def broken_after():
    yield
    raise RuntimeError("after")

@hive
def test_passes(): pass

@hive
def test_fails():
    assert 6 * 7 == 41, "several\\nlines"

@hive
def test_fails_before(broken_before): pass

@hive
def test_fails_after(broken_after): pass

@hive
@pytest.mark.xfail(reason="known")
def test_expected(): assert False

@hive
@pytest.mark.xfail(strict=True)
def test_passes_in_spite(): pass

@hive
def test_skipped(): pytest.skip("needs the old host")

@pytest.mark.migration_component("{HIVE}", "{AIDER}", test_name="queue")
def test_queue(): assert False

@hive
def test_left_out(): pass

@hive
def test_stops(): pytest.exit("stop")

@hive
def test_never_begun(): pass
""",
        "--continue-on-collection-errors", "--deselect=test_it.py::test_left_out",
        status=2,
    )  # fmt: skip


# --- policies and special verdicts --------------------------------------------------------------------------


@kind
def completed_with_skipped(making: Making) -> None:
    """Completed under a policy that allows skipped; the skipped validation is still outstanding."""
    skipped(making)
    making.tracker.set_phase("Completed", policy=Policy(allow=frozenset({"skipped"})))


@kind
def completed_with_policy(making: Making) -> None:
    """Completed by a run under a policy that requires a component and allows xfailed and deselected."""
    making.in_validation()
    making.run(
        "@hive\ndef test_passes(): pass\n\n@hive\n@pytest.mark.xfail\ndef test_passes_not(): assert False\n"
        "\n@hive\ndef test_left(): pass\n",
        "-k", "passes", "--migration-complete", f"--migration-require={HIVE}", "--migration-allow=xfailed",
        "--migration-allow=deselected",
    )  # fmt: skip


@kind
def rerun(making: Making) -> None:
    """Verdicts with attempts: one test passed only after a rerun, another failed each time."""
    making.in_validation()
    making.run(
        """
@hive
def test_flaky():
    there = Path("second").exists()
    Path("second").touch()
    assert there

@hive
def test_never(): assert False
""",
        "-p", "pytest_rerunfailures", "--reruns=2",
        status=1,
    )  # fmt: skip


@kind
def names(making: Making) -> None:
    """Names beyond ASCII, with quotes, line ends, control characters, in two spellings
    and of great length.
    """
    hard = [
        'says "yes"', "it's", "back\\slash", "two\nlines", "tab\tand \x1b[31mred", "`$(id)`; rm -rf x",
        "--force", "Überprüfung 🐝 検証",
        "e\u0301", "\u00e9", "Queue", "queue", "line\u2028separator", "right\u202eto left",
        "lone \ud800 surrogate", "x" * 5000,
    ]  # fmt: skip
    tracker = making.in_validation()
    tracker.apply(
        {
            "operation": "add_validation_result",
            "component": component,
            "test_name": name,
            "passed": number % 2 == 0,
            "error_message": None if number % 2 == 0 else name,
        }
        for component in ('Überwachung "häuschen" 🐝', HIVE)
        for number, name in enumerate(hard)
    )
    making.run(
        "component = pytest.mark.migration_component\n"
        "@component('プロキシ', test_name='\"zitiert\" «so»')\n"
        "@pytest.mark.skip(reason='später, «bald»')\ndef test_a(): pass\n"
        "@component('プロキシ')\n"
        "@pytest.mark.parametrize('n', ['ü', \"'\", '\"', '\\n', '::', '[]'])\n"
        "def test_ä(n): assert n == 'ü', n\n",
        status=1,
    )


@kind
def two_thousand_verdicts(making: Making) -> None:
    """The verdicts of 2,000 tests, three of them failed."""
    making.in_validation()
    making.write(
        {
            "t.py": (
                "@hive\n@pytest.mark.parametrize('n', range(2000))\n"
                "def test(n): assert n not in (0, 999, 1999)\n"
            )
        }
    )
    making.pytest("t.py", status=1)


@kind
def backup_imported(making: Making) -> None:
    """An imported backup: one container is safe, the other is not."""
    shutil.copytree(SAMPLES / "backup" / "volume-failed" / "backups", "backups")
    making.advance("BackupInProgress").import_backup("backups/backup-manifest.json", "backups")


@kind
def created_by_a_run(making: Making) -> None:
    """A state that a run created: verdicts in NotStarted."""
    making.run("@hive\ndef test_passes(): pass\n\n@hive\ndef test_fails(): assert False\n", status=1)


@kind
def forgotten(making: Making) -> None:
    """A skipped validation and a killed run were taken off the books, so that the gate is open."""
    skipped(making)
    making.tracker.forget_validation(HIVE, "test_it.py::test_skipped", reason="the test was deleted")
    Path("test_it.py").unlink()
    making.write({"test_kills.py": "os.kill(os.getpid(), signal.SIGKILL)\n"})
    making.pytest(status=KILLED)
    (run,) = making.tracker.gate().blockers
    making.tracker.forget_validation(str(run.component), str(run.test_name), reason="it was a mistake")


# --- killed -------------------------------------------------------------------------------------------------

#: Five tests that pass, or whose third kills the run.
DEADLY: Final = """
@hive
@pytest.mark.parametrize("n", range(5))
def test(n):
    if n == 2 and Path("kill").exists():
        os.kill(os.getpid(), signal.SIGKILL)
"""


@kind
def killed_while_collecting(making: Making) -> None:
    """A run was killed while it collected, after another one had opened the gate."""
    making.in_validation()
    making.run("@hive\ndef test_passes(): pass\n")
    making.write({"test_kills.py": "os.kill(os.getpid(), signal.SIGKILL)\n"})
    making.pytest(status=KILLED)


@kind
def killed_while_running(making: Making) -> None:
    """A run was killed in its third test, after another one had opened the gate;
    the document is behind the log.
    """
    making.in_validation()
    making.run(DEADLY)
    Path("kill").touch()
    making.run(DEADLY, status=KILLED)


@kind
def killed_while_running_distributed(making: Making) -> None:
    """A run on two workers whose controller was killed after it had recorded some verdicts."""
    making.in_validation()
    making.run(
        """
def verdicts(): return Path("migration-audit.log").read_bytes().count(b"ValidationResult")

@hive
@pytest.mark.parametrize("n", range(12))
def test(n):
    if n == 7:
        deadline = time.monotonic() + 30
        while verdicts() < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getppid(), signal.SIGKILL)
""",
        "-n2",
        status=KILLED,
    )


@kind
def worker_crashed(making: Making) -> None:
    """A run on two workers of which one died in a test."""
    making.in_validation()
    making.run("@hive\ndef test_passes(): pass\n\n@hive\ndef test_dies(): os._exit(3)\n", "-n2", status=1)


@kind
def killed_in_a_checkpoint(making: Making) -> None:
    """A command was killed after it had written its entry, while it replaced the document;
    its temporary file is there.
    """
    making.in_validation().add_validation_result(HIVE, "native_execution_test", passed=True)
    making.python(
        "-c",
        f"""
import os, signal, socket
socket.gethostname = lambda: "{HOST}"
os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
from pytest_migration_state import MigrationTracker
tracker = MigrationTracker("{DOCUMENT}")
tracker.add_validation_result("{AIDER}", "file_access_test", False, "Permission denied")
""",
        status=KILLED,
    )


@kind
def torn(making: Making) -> None:
    """A writer was killed in the middle of its line, which would have opened the gate."""
    tracker = open_but_for_one(making)
    with earlier_document():
        tracker.add_validation_result(AIDER, "file_access_test", passed=True)
    *whole, last = LOG.read_bytes().splitlines(keepends=True)
    LOG.write_bytes(b"".join(whole) + last[: len(last) // 2])


@kind
def torn_set_aside(making: Making) -> None:
    """A torn line that a later command has set aside."""
    torn(making)
    making.tracker.write_audit("Handover", "the torn line is set aside")


@kind
def torn_commit(making: Making) -> None:
    """A writer was killed after the first of three lines that count together,
    which would have opened the gate.
    """
    tracker = open_but_for_one(making)
    before = len(LOG.read_bytes())
    with earlier_document():
        verdict = {
            "operation": "add_validation_result",
            "component": AIDER,
            "test_name": "file_access_test",
            "passed": True,
        }
        tracker.apply(
            [
                verdict,
                *({"operation": "write_audit", "action": "Note", "details": text} for text in ("one", "two")),
            ]
        )
    content = LOG.read_bytes()
    LOG.write_bytes(content[: content.index(b"\n", before) + 1])


# --- documents and logs that are gone or behind -------------------------------------------------------------


@kind
def document_behind(making: Making) -> None:
    """The document is behind the log by 31 entries, of which one shuts the gate."""
    tracker = making.in_validation()
    tracker.add_validation_result(HIVE, "native_execution_test", passed=True)
    with earlier_document():
        for number in range(30):
            tracker.add_validation_result(AIDER, f"test_{number}", passed=True)
        tracker.add_validation_result(AIDER, "test_7", passed=False, error_message="Permission denied")


@kind
def document_behind_a_run(making: Making) -> None:
    """The document, whose gate is open, is behind the whole of a run that was killed."""
    making.in_validation()
    making.run(DEADLY)
    Path("kill").touch()
    with earlier_document():
        making.run(DEADLY, status=KILLED)


@kind
def document_missing_after_runs(making: Making) -> None:
    """The document is gone, and the log tells of two runs, of which the second was killed."""
    killed_while_running(making)
    DOCUMENT.unlink()


@kind
def document_missing(making: Making) -> None:
    """The document is gone, and the log tells all of it."""
    open_but_for_one(making)
    DOCUMENT.unlink()


@kind
def document_rebuilt(making: Making) -> None:
    """The document was gone, and a later command has rebuilt it from the log."""
    document_missing(making)
    making.tracker.write_audit("Handover", "the document is rebuilt")


@kind
def document_missing_log_incomplete(making: Making) -> None:
    """The document is gone, and the log does not tell all of it: it is refused."""
    unlogged_changes_told(making)
    DOCUMENT.unlink()


@kind
def document_damaged(making: Making) -> None:
    """The document holds the marks of a merge and is no JSON: it is refused,
    although the log tells all of it.
    """
    open_but_for_one(making)
    DOCUMENT.write_bytes(b"<<<<<<< ours\n" + DOCUMENT.read_bytes())


@kind
def log_missing(making: Making) -> None:
    """The log is gone; the document holds what it told."""
    open_but_for_one(making)
    LOG.unlink()


@kind
def log_begun_again(making: Making) -> None:
    """The log was gone, and a later command has begun another that says so."""
    log_missing(making)
    making.tracker.write_audit("Handover", "a log is begun")


@kind
def log_lost_lines(making: Making) -> None:
    """The log has lost its last three lines; the document holds what they told."""
    open_but_for_one(making)
    LOG.write_bytes(b"".join(LOG.read_bytes().splitlines(keepends=True)[:-3]))


@kind
def log_changed(making: Making) -> None:
    """A failed verdict behind the document was changed to passed in the log: it is refused."""
    tracker = making.in_validation()
    with earlier_document():
        tracker.add_validation_result(HIVE, "native_execution_test", passed=False)
    LOG.write_bytes(LOG.read_bytes().replace(b'"passed":false', b'"passed":true'))


@kind
def unlogged_changes(making: Making) -> None:
    """Changes that the log did not take stand in the document alone; the earlier log is back."""
    tracker = making.in_validation()
    log = LOG.read_bytes()
    with without_log():
        tracker.add_validation_result(HIVE, "native_execution_test", passed=True)
        tracker.add_validation_result(
            AIDER, "file_access_test", passed=False, error_message="Permission denied"
        )
    LOG.write_bytes(log)


@kind
def unlogged_changes_no_log(making: Making) -> None:
    """Changes of a run that the log did not take stand in the document alone, and there is no log."""
    making.in_validation()
    with without_log():
        making.run("@hive\ndef test_passes(): pass\n\n@hive\ndef test_fails(): assert False\n", status=1)


@kind
def unlogged_changes_told(making: Making) -> None:
    """Changes stood in the document alone, and a later command has said so in the log."""
    unlogged_changes(making)
    making.tracker.write_audit("Handover", "the log takes entries again")


# --- PowerShell and other tools -----------------------------------------------------------------------------


@kind
def powershell_5_1(making: Making) -> None:
    """A document of Windows PowerShell 5.1 that we have not written to; a validation has two verdicts."""
    making.sample("5.1/validation-with-failures")


@kind
def powershell_5_1_adopted(making: Making) -> None:
    """A document of Windows PowerShell 5.1 to which we have added a verdict."""
    powershell_5_1(making)
    making.tracker.add_validation_result(ZERO, "native_execution_test", passed=True)


@kind
def powershell_5_1_complete_adopted(making: Making) -> None:
    """A Completed migration of Windows PowerShell 5.1 with an entry of ours."""
    making.sample("5.1/complete")
    making.tracker.write_audit("Handover", "from the scripts")


@kind
def powershell_5_1_no_metadata_adopted(making: Making) -> None:
    """A document of Windows PowerShell 5.1 without metadata to which we have added a verdict."""
    making.sample("5.1/no-metadata")
    making.tracker.add_validation_result(ZERO, "native_execution_test", passed=True)


@kind
def powershell_7_6(making: Making) -> None:
    """A document of PowerShell 7.6 that we have not written to; a validation has two verdicts."""
    making.sample("7.6/validation-with-failures")


@kind
def powershell_7_6_adopted(making: Making) -> None:
    """A document of PowerShell 7.6 to which we have added a verdict; it settles the one that had failed."""
    powershell_7_6(making)
    making.tracker.add_validation_result(AIDER, "file_access_test", passed=True)


@kind
def powershell_7_6_adopted_by_a_run(making: Making) -> None:
    """A document of PowerShell 7.6 on which a run recorded its outcomes."""
    powershell_7_6(making)
    making.run("@hive\ndef test_passes(): pass\n\n@hive\n@pytest.mark.skip\ndef test_skipped(): pass\n")


@kind
def powershell_7_6_list_became_object_adopted(making: Making) -> None:
    """A document of PowerShell 7.6 in which a list of one became an object, with a verdict of ours."""
    making.sample("7.6/list-became-object")
    making.tracker.add_validation_result(HIVE, "native_execution_test", passed=True)


@kind
def several_verdicts(making: Making) -> None:
    """PowerShell recorded validations twice in a state of ours; the last verdict counts."""
    making.in_validation().add_validation_result(HIVE, "native_execution_test", passed=True)
    making.powershell("result", HIVE, "native_execution_test", "false", "exit code 3")
    making.powershell("result", AIDER, "file_access_test", "false", "Permission denied")
    making.powershell("result", AIDER, "file_access_test", "true")
    making.tracker.add_validation_result(ZERO, "dependency_install", passed=True)


@kind
def settled_by_powershell(making: Making) -> None:
    """PowerShell recorded a verdict that is newer than the outstanding validation: the gate is open."""
    skipped(making)
    making.powershell("result", HIVE, "test_it.py::test_skipped", "true")


@kind
def completed_past_the_gate(making: Making) -> None:
    """PowerShell 5.1, which knows no gate, moved a state of ours to Completed past a shut gate."""
    open_but_for_one(making)
    making.powershell("phase", "Completed", "--flavour", "5.1")


@kind
def keys_of_other_tools(making: Making) -> None:
    """A state with keys of another tool on every level, to which we have written afterwards."""
    tracker = open_but_for_one(making)
    document = json.loads(DOCUMENT.read_bytes())
    document["x_other_tool"] = {
        "ticket": "OPS-17",
        "ratio": 1.0,
        "big": 12345678901234567890,
        "nested": [[1], [], {"k": []}],
    }
    document["metadata"]["x_owner"] = "operations"
    document["validation_results"][1]["x_seen_by"] = ["ops"]
    DOCUMENT.write_text(json.dumps(document, indent=1), encoding="utf-8")
    tracker.add_validation_result(ZERO, "dependency_install", passed=True)


# --- writing them all ---------------------------------------------------------------------------------------


def judged(about: str) -> dict[str, Any]:
    """Return the judgement of this version on the state in the current folder."""
    tracker = MigrationTracker(DOCUMENT, notify=lambda _: None)
    try:
        state, gate = tracker.state, tracker.gate()
    except MigrationStateError as error:
        return {"about": about, "phase": None, "open": False, "blockers": [], "error": type(error).__name__}
    passed = sum(verdict.passed for verdict in state.validation_results)
    blockers = [[blocker.kind, blocker.component, blocker.test_name] for blocker in gate.blockers]
    return {
        "about": about,
        "phase": state.phase.value,
        "open": gate.open,
        "blockers": blockers,
        "passed": passed,
        "failed": len(state.validation_results) - passed,
        "outstanding": len(state.outstanding_validations),
    }


def make(name: str, target: Path) -> None:
    """Make a state of the kind ``name`` in a separate folder, and keep its files in ``target``."""
    recipe = KINDS[name]
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        recipe(Making())
        for path in Path().glob("migration-*"):
            if path.suffix != ".lock" and path.is_file():
                shutil.copyfile(path, target / path.name)
    with chdir(target):
        expected = json.dumps(judged(" ".join((recipe.__doc__ or "").split())), ensure_ascii=False, indent=1)
        Path(EXPECTED).write_text(expected + "\n", encoding="utf-8", newline="\n")


def traces(folder: Path, strange: re.Pattern[bytes]) -> list[str]:
    """Return the traces of this machine in the files below ``folder``, as sentences."""
    return [
        f"{path.relative_to(folder)}: {match[0].decode('utf-8', 'replace')}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for match in strange.finditer(path.read_bytes())
    ]


def of_this_machine() -> re.Pattern[bytes]:
    """Return the texts that no file may contain: this machine's folders, its name and the user's."""
    folders = {
        Path(tempfile.gettempdir()),
        Path.home(),
        Path.cwd(),
        STATES.parents[1],
        Path(sys.prefix),
        Path(sys.base_prefix),
    }
    paths = [re.escape(str(folder)) for folder in folders if len(folder.parts) > 1]
    who = rf"\b{re.escape(getpass.getuser())}@|[@\"]{re.escape(socket.gethostname())}\b"
    return re.compile("|".join([*paths, who]).encode())


def neutral() -> None:
    """Give this process a neutral host name and user name."""
    socket.gethostname = lambda: HOST
    os.environ |= {"LOGNAME": USER, "USER": USER}


def main() -> None:
    """Write every kind, or nothing."""
    target = STATES / __version__
    if target.exists():
        sys.exit(f"{target} already exists: the states of a release are written once")
    strange = of_this_machine()
    neutral()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, __version__)
        folder.mkdir()
        for name in KINDS:
            make(name, folder / name)
        if found := traces(folder, strange):
            sys.exit("\n".join(["something of this machine stands in the files:", *found]))
        shutil.copytree(folder, target)
    sys.stdout.write(f"{len(KINDS)} states in {target}\n")


if __name__ == "__main__":
    main()
