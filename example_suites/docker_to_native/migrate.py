"""Migrate the three containers of ``inventory.json`` to native processes, and validate them with pytest.

This is the operator's script. It records every step in a migration state, and only the gate decides whether
the migration is completed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_migration_state import MigrationStateError, MigrationTracker, Phase

# Write no bytecode when backup.py is imported: the suite's folder is only read.
sys.dont_write_bytecode = True

from backup import MANIFEST, JsonObject, back_up  # noqa: E402  # after the line above

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = Path(__file__).resolve().parent
# Ctrl-C, a request to end, and the closing of the terminal. SIGHUP does not exist on Windows.
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
START_LIMIT = 10.0  # seconds within which a native process must be ready
STOP_LIMIT = 5.0  # seconds within which it must end after SIGTERM

#: The file that ``--break`` cuts in half, relative to the work folder: one that the process reads, or one of
#: the backup.
BREAKABLE = {
    "guardian-hive": "native/guardian-hive/rules/rules.json",
    "worker-aider": "native/worker-aider/settings/glossary.json",
    "agent-zero": "backups/agent-zero/volumes/volume-0/instructions.txt",
}


class StepFailedError(Exception):
    """A failed step of the migration, which is then rolled back. The message is for the operator."""


class Migration:
    """One migration, from its first step to the last.

    :ivar started: every process that was started; all of them are stopped in the end.
    """

    def __init__(self, work: Path, broken: str | None) -> None:
        self.work = work
        self.broken = broken
        self.state_path = work / "migration-state.json"
        self.tracker = MigrationTracker(self.state_path)
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Carry out every step in order, up to phase Completed.

        :raises StepFailedError: a step failed.
        """
        self.tracker.initialize()
        self.say(f"state begun in {self.state_path}")
        containers = self.back_up_data()
        self.remove(containers)
        self.deploy(containers)
        self.validate()

    def say(self, line: str) -> None:
        """Print a message after the current phase."""
        print(f"{self.tracker.state.phase:<21} {line}")

    def back_up_data(self) -> list[JsonObject]:
        """Save the containers' data, have it checked, and return the manifest's containers."""
        self.tracker.set_phase(Phase.BACKUP_IN_PROGRESS)
        backups = self.work / "backups"
        containers: list[JsonObject] = back_up(SUITE / "inventory.json", backups)["containers"]
        self.say(f"data saved, manifest: {backups / MANIFEST}")
        self.break_on_purpose("backups")
        state = self.tracker.import_backup(backups / MANIFEST)
        for result in state.validation_results:
            finding = "checked" if result.passed else f"NOT SAFE: {result.error_message}"
            self.say(f"{result.component}: backup {finding}")
        if unsafe := [result.component for result in state.validation_results if not result.passed]:
            self.show_blockers()
            raise StepFailedError(f"No safe backup of {', '.join(unsafe)}; no container was removed")
        return containers

    def remove(self, containers: list[JsonObject]) -> None:
        """Record the containers as removed.

        A real migration would call ``docker rm``; this suite has only their data.
        """
        self.tracker.set_phase(Phase.CONTAINER_TERMINATION)
        for container in containers:
            name = container["container_name"]
            container_id = container["container_id"]
            self.tracker.add_processed_container(name, container_id)
            self.say(f"{name}: container {container_id[:12]} recorded as removed")

    def deploy(self, containers: list[JsonObject]) -> None:
        """Restore each container's data, and start the native process that works on it."""
        self.tracker.set_phase(Phase.NATIVE_DEPLOYMENT)
        for container in containers:
            name = container["container_name"]
            folder = self.work / "native" / name
            for volume in container["volumes"]:
                shutil.copytree(volume["backup_path"], folder / Path(volume["destination"]).name)
            self.tracker.add_preserved_data(f"{name}-data", str(folder))
            self.say(f"{name}: data restored from the backup")
        self.break_on_purpose("native")
        processes = {
            container["container_name"]: self.start(container["container_name"]) for container in containers
        }
        for name, process in processes.items():
            process_id = self.wait_until_ready(name, process)
            self.tracker.add_native_process(name, process_id)
            self.say(f"{name}: native process {process_id} is ready")

    def break_on_purpose(self, folder: str) -> None:
        """Damage the file chosen by ``--break``, if it is below this subfolder of the work folder."""
        if self.broken and BREAKABLE[self.broken].startswith(f"{folder}/"):
            path = self.work / BREAKABLE[self.broken]
            os.truncate(path, path.stat().st_size // 2)
            self.say(f"{self.broken}: DAMAGED ON PURPOSE, cut in half: {path}")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        folder = self.work / "native" / name
        program = SUITE / "services" / f"{name.replace('-', '_')}.py"
        with (folder / "output.log").open("wb") as log:
            return self.launch([sys.executable, str(program), str(folder)], output=log)

    def launch(self, command: list[str], output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a process that reads no input, writes no bytecode and does not receive the terminal's Ctrl-C.

        Only the operator's script receives it, and stops the other processes. Otherwise a test could fail
        because its service was stopped first.
        """
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with interruption_postponed():
            process = subprocess.Popen(
                command,
                cwd=SUITE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self.started.append(process)
        return process

    def wait_until_ready(self, name: str, process: subprocess.Popen[bytes]) -> int:
        """Wait until the process reports that it is ready, and return its process id.

        The process reports the id itself: in a virtual environment on Windows, the process started here is
        only a launcher.
        """
        folder = self.work / "native" / name
        deadline = time.monotonic() + START_LIMIT
        while not (folder / "ready.json").exists():
            if process.poll() is not None:
                last_words = (
                    (folder / "output.log")
                    .read_text(encoding="utf-8", errors="replace")
                    .strip()
                    .rpartition("\n")[2]
                )
                raise StepFailedError(f"{name} ended while it was starting: {last_words}")
            if time.monotonic() > deadline:
                raise StepFailedError(
                    f"{name} was not ready after {START_LIMIT:g} s; "
                    f"what it says is in {folder / 'output.log'}"
                )
            time.sleep(0.02)
        process_id: int = json.loads((folder / "ready.json").read_text(encoding="utf-8"))["process_id"]
        return process_id

    def validate(self) -> None:
        """Run the marked tests against the native processes.

        If the tests open the gate, pytest completes the migration.
        """
        self.tracker.set_phase(Phase.VALIDATION)
        self.say("running the tests of the three components\n")
        sys.stdout.flush()
        options = [f"--migration-state={self.state_path}", "--migration-complete", "-p", "no:cacheprovider"]
        status = self.launch([sys.executable, "-m", "pytest", "validation", *options]).wait()
        print()
        self.show_verdicts()
        if self.tracker.state.phase is Phase.COMPLETED:
            return
        components = self.show_blockers()
        if not components:
            raise StepFailedError(f"Validation did not take place: pytest ended with exit status {status}")
        raise StepFailedError(f"Validation failed for {', '.join(components)}")

    def show_blockers(self) -> list[str]:
        """Print the gate's blockers, and return the components that they are about."""
        blockers = self.tracker.gate().blockers
        if blockers:
            self.say("the gate stays shut:")
        for blocker in blockers:
            print(f"  - {blocker.message}")
            print(f"    -> {blocker.fix}")
        return sorted({str(blocker.component) for blocker in blockers})

    def show_verdicts(self) -> None:
        state = self.tracker.state
        for container in state.docker_containers_removed:
            verdicts = [
                result.passed for result in state.validation_results if result.component == container.name
            ]
            outstanding = sum(
                validation.component == container.name for validation in state.outstanding_validations
            )
            self.say(
                f"{container.name}: {verdicts.count(True)} passed, {verdicts.count(False)} failed, "
                f"{outstanding} outstanding"
            )

    def roll_back(self, reason: str) -> None:
        """Record the failure and the rollback.

        A real migration would create the containers again from the inventory and the backups.
        """
        self.say(f"recorded as error: {reason}")
        self.tracker.set_error(reason)
        self.tracker.set_phase(Phase.ROLLED_BACK)
        self.say("rolled back; the processes that were started are stopped")

    def stop(self) -> None:
        """Stop every process that was started and still runs.

        Signals are ignored, so that all of them are stopped.
        """
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def interruption_postponed() -> Iterator[None]:
    """Postpone signals while a process is started and added to the list of started processes.

    A process that is not in the list would not be stopped.
    """
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: received.append(number)) for number in ENDING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt


def prepare(work: Path | None) -> Path:
    """Return an empty folder to work in, and create it if it is missing.

    :raises OSError: the folder is not empty, or it cannot be created.
    """
    if work is None:
        return Path(tempfile.mkdtemp(prefix="docker-to-native-")).resolve()
    if work.exists() and not (work.is_dir() and not any(work.iterdir())):
        raise FileExistsError(f"{work} is no empty folder; name an empty or a new one, or leave --work out")
    work.mkdir(parents=True, exist_ok=True)
    return work.resolve()


def carry_out(migration: Migration) -> int:
    """Run the migration, stop all processes in any case, and return the exit status."""
    try:
        try:
            migration.run()
        finally:
            migration.stop()
    except (StepFailedError, OSError) as failure:
        migration.roll_back(str(failure))
        return 1
    except KeyboardInterrupt:
        migration.tracker.write_audit(
            "Interrupted",
            "Interrupted by the operator; the processes that were started are stopped",
            "WARNING",
        )
        migration.say("interrupted; the processes that were started are stopped, nothing is rolled back")
        return 130
    migration.say("the migration is completed; being an example, it has stopped its processes again")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="the folder to work in, empty or new (default: a new temporary folder)",
    )
    parser.add_argument(
        "--break", dest="broken", choices=BREAKABLE, help="damage this component, to see the gate stay shut"
    )
    arguments = parser.parse_args()
    for number in ENDING_SIGNALS:
        # Treat all of them like Ctrl-C. A signal that is ignored, as under nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        work = prepare(arguments.work)
    except OSError as error:
        print(f"The work folder cannot be used: {error}", file=sys.stderr)
        return 2
    print(f"Work folder: {work}")
    try:
        return carry_out(Migration(work, arguments.broken))
    except MigrationStateError as error:
        print(f"The migration state cannot be used: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
