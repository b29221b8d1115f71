"""Migrate the three containers of ``inventory.json`` to native processes, validated by pytest, gated and audited.

This is the operator: every step is recorded in a migration state, and only the gate says that the migration is completed.
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

# The suite's folder is only read: importing its own module leaves nothing there either.
sys.dont_write_bytecode = True

from backup import MANIFEST, JsonObject, back_up  # noqa: E402  # after the line above

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = Path(__file__).resolve().parent
# Ctrl-C, a request to end, and the terminal being closed; Windows does not know the last.
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
START_LIMIT = 10.0  # seconds that a native process may take until it is ready
STOP_LIMIT = 5.0  # seconds that it may take to end by itself

#: What ``--break`` cuts in half, relative to the work folder: a file that the process reads, or one of the backup itself.
BREAKABLE = {
    "guardian-hive": "native/guardian-hive/rules/rules.json",
    "worker-aider": "native/worker-aider/settings/glossary.json",
    "agent-zero": "backups/agent-zero/volumes/volume-0/instructions.txt",
}


class StepFailedError(Exception):
    """A step of the migration failed, and the migration is rolled back. The message is for the operator."""


class Migration:
    """One migration, from its first step to the last.

    :ivar started: every process that was started, to be stopped whatever happens.
    """

    def __init__(self, work: Path, broken: str | None) -> None:
        self.work = work
        self.broken = broken
        self.state_path = work / "migration-state.json"
        self.tracker = MigrationTracker(self.state_path)
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Every step in its order, up to phase Completed.

        :raises StepFailedError: a step failed.
        """
        self.tracker.initialize()
        self.say(f"state begun in {self.state_path}")
        containers = self.back_up_data()
        self.remove(containers)
        self.deploy(containers)
        self.validate()

    def say(self, line: str) -> None:
        """Print what was done, beside the phase in which it was done."""
        print(f"{self.tracker.state.phase:<21} {line}")

    def back_up_data(self) -> list[JsonObject]:
        """Save the containers' data, have every saved file checked again, and return the manifest's containers."""
        self.tracker.set_phase(Phase.BACKUP_IN_PROGRESS)
        backups = self.work / "backups"
        containers: list[JsonObject] = back_up(SUITE / "inventory.json", backups)["containers"]
        self.say(f"data saved, manifest: {backups / MANIFEST}")
        self.break_on_purpose("backups")
        state = self.tracker.import_backup(backups / MANIFEST)
        for result in state.validation_results:
            self.say(
                f"{result.component}: backup {'checked' if result.passed else f'NOT SAFE: {result.error_message}'}"
            )
        if unsafe := [result.component for result in state.validation_results if not result.passed]:
            self.show_blockers()
            raise StepFailedError(f"No safe backup of {', '.join(unsafe)}; no container was removed")
        return containers

    def remove(self, containers: list[JsonObject]) -> None:
        """Record the containers as removed. Here ``docker rm`` would be called; the suite has their data only."""
        self.tracker.set_phase(Phase.CONTAINER_TERMINATION)
        for container in containers:
            self.tracker.add_processed_container(container["container_name"], container["container_id"])
            self.say(
                f"{container['container_name']}: container {container['container_id'][:12]} recorded as removed"
            )

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
        """Do the damage that ``--break`` asked for, if it is one to this folder of the work folder."""
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
        """Start a process that reads no input and leaves no bytecode, away from the terminal's Ctrl-C.

        That is for the operator alone, who stops the others: a test must not fail because its service was stopped before it.
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
        """Wait until the process says that it is ready; its process id.

        It says the id itself: in a virtual environment of Windows, the process that was started here is only a launcher.
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
                    f"{name} was not ready after {START_LIMIT:g} s; what it says is in {folder / 'output.log'}"
                )
            time.sleep(0.02)
        process_id: int = json.loads((folder / "ready.json").read_text(encoding="utf-8"))["process_id"]
        return process_id

    def validate(self) -> None:
        """Run the marked tests against the native processes. If they open the gate, pytest completes the migration."""
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
        """Print what keeps the gate shut; the components that it is about."""
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
                f"{container.name}: {verdicts.count(True)} passed, {verdicts.count(False)} failed, {outstanding} outstanding"
            )

    def roll_back(self, reason: str) -> None:
        """Record the failure and the rollback. Here the containers would be created again from the inventory and the backups."""
        self.say(f"recorded as error: {reason}")
        self.tracker.set_error(reason)
        self.tracker.set_phase(Phase.ROLLED_BACK)
        self.say("rolled back; the processes that were started are stopped")

    def stop(self) -> None:
        """Stop everything that was started and still runs. A second Ctrl-C must not leave half of it behind."""
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
    """Postpone signals from the start of a process until it is noted: otherwise it would not be stopped."""
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
    """The folder to work in, empty.

    :raises OSError: there is something in it already, or it cannot be created.
    """
    if work is None:
        return Path(tempfile.mkdtemp(prefix="docker-to-native-")).resolve()
    if work.exists() and not (work.is_dir() and not any(work.iterdir())):
        raise FileExistsError(f"{work} is no empty folder; name an empty or a new one, or leave --work out")
    work.mkdir(parents=True, exist_ok=True)
    return work.resolve()


def carry_out(migration: Migration) -> int:
    """Run the migration and stop what it started, whatever happens; the exit status."""
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
        # All of them end it as Ctrl-C does; one that is ignored, as under nohup, stays so.
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
