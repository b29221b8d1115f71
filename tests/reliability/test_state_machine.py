"""All events that can happen to a state, in any order, compared with a model in memory.

An API user and a run work on one state. Each may be closed, or killed with all its data in memory. Lines are
torn, the document is deleted or an older copy restored, and another tool rewrites it in its own format.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from writers import kinds_found, no_check, quiet, run_at, tracker_at

from pytest_migration_state.domain.phases import TRANSITIONS, Phase
from pytest_migration_state.domain.policy import Policy
from pytest_migration_state.domain.run_events import outstanding
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import (
    GateBlockedError,
    InvalidArgumentError,
    InvalidTransitionError,
    RollbackUnavailableError,
    StateExistsError,
)
from pytest_migration_state.storage.files.run_log import FileRunLog
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_migration_state.types import JsonObject

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# The other tool has its own component: it may have read a document without a run's newest verdicts, which are
# then applied on top of its changes.
package_keys = st.tuples(
    st.sampled_from(["hive", "störe"]), st.sampled_from(["a", "b", "test_x.py::test[ü-\n]"])
)
foreign_keys = st.tuples(st.just("other"), st.sampled_from(["a", "b"]))
names = st.sampled_from(["one", "zwei", "drei\u202e"])


@dataclass
class Model:
    """The expected state."""

    phase: Phase = Phase.NOT_STARTED
    verdicts: dict[tuple[str, str], bool] = field(default_factory=dict)
    outstanding: dict[tuple[str, str], str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    containers: list[tuple[str, str]] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    rollback: bool = True
    error: str | None = None
    has_lost_entries: bool = False

    @property
    def gate_is_open(self) -> bool:
        is_validated = bool(self.verdicts) and all(self.verdicts.values()) and not self.outstanding
        return is_validated and not self.has_lost_entries

    def record(self, key: tuple[str, str], passed: bool) -> None:
        self.verdicts[key] = passed
        self.outstanding.pop(key, None)

    @classmethod
    def read(cls, path: Path) -> Model:
        document = FileStore(path, notify=quiet).read()
        fields = document.fields
        return cls(
            document.phase,
            {key: verdict["passed"] for key, verdict in document.verdicts.items()},
            {key: entry["reason"] for key, entry in document.outstanding.items()},
            dict(fields["data_preserved"]),
            [(item["name"], item["id"]) for item in fields["docker_containers_removed"]],
            [item["name"] for item in fields["native_processes_started"]],
            document.rollback_available,
            fields["error"] and fields["error"]["message"],
            document.lost_entries is not None,
        )


class Machine(RuleBasedStateMachine):
    """The state on disk, beside its model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="migration-", dir=_MEMORY))
        self.path = self.folder / "migration-state.json"
        self.log = self.folder / "migration-audit.log"
        self.model = Model()
        self.api = tracker_at(self.path)
        self.runs = 0
        self.begin_run()
        self.copy: bytes | None = None
        # The number of changes by another tool to the document, which are in no log.
        self.edits = self.edits_in_copy = 0
        # The clock of the other tool, in seconds: the same verdict with the same time would be one.
        self.clock = 0
        self.is_second_migration = False

    @initialize(in_validation=st.booleans())
    def begin(self, in_validation: bool) -> None:
        if in_validation:
            self.api.commit([{"operation": "set_phase", "phase": "Validation", "force": True}])
            self.model.phase = Phase.VALIDATION

    def begin_run(self) -> None:
        self.runs += 1
        self.run = run_at(self.path, f"run-{self.runs}")
        self.run.open(no_check, {})
        # A run keeps the gate shut until its plan is recorded.
        self.run.plan(RunPlan([]))

    def do(self, operation: str, **arguments: Any) -> None:
        self.api.commit([{"operation": operation, **arguments}])

    # --- the API user ---

    @rule(key=package_keys | foreign_keys, passed=st.booleans(), twice=st.booleans())
    def result(self, key: tuple[str, str], passed: bool, twice: bool) -> None:
        request = {"operation": "add_validation_result", "component": key[0], "test_name": key[1]}
        self.api.commit([{**request, "passed": not passed}] * twice + [{**request, "passed": passed}])
        self.model.record(key, passed)

    @rule(name=names, count=st.integers(1, 3))
    def containers(self, name: str, count: int) -> None:
        self.api.commit(
            [
                {"operation": "add_processed_container", "name": name, "container_id": str(number)}
                for number in range(count)
            ]
        )
        self.model.containers += [(name, str(number)) for number in range(count)]

    @rule(key=names, path=names)
    def data(self, key: str, path: str) -> None:
        self.do("add_preserved_data", key=key, backup_path=path)
        self.model.data[key] = path

    @rule(name=names)
    def process(self, name: str) -> None:
        self.do("add_native_process", name=name)
        self.model.processes.append(name)

    @rule(available=st.booleans())
    def rollback(self, available: bool) -> None:
        self.do("set_rollback_availability", available=available)
        self.model.rollback = available

    @rule(message=names)
    def error(self, message: str) -> None:
        self.do("set_error", message=message)
        self.model.error = message

    @rule(key=package_keys | foreign_keys)
    def forget(self, key: tuple[str, str]) -> None:
        with suppress(InvalidArgumentError):
            self.do("forget_validation", component=key[0], test_name=key[1], reason="gone")
            assert key in self.model.verdicts or key in self.model.outstanding
        self.model.verdicts.pop(key, None)
        self.model.outstanding.pop(key, None)

    @precondition(lambda self: self.model.has_lost_entries)
    @rule()
    def accept(self) -> None:
        self.do("accept_record", by="an operator", reason="seen")
        self.model.has_lost_entries = False

    @rule()
    def words(self) -> None:
        self.do("write_audit", action="Note", details="of an operator")

    @rule(force=st.booleans())
    def reinitialize(self, force: bool) -> None:
        try:
            self.api.initialize(force=force)
            assert force
            self.model = Model()
            # The run belongs to the migration that was set aside: it must record nothing in the new one.
            self.run.verdict(Verdict(("hive", "a"), passed=True))
            self.run.finish(0, {})
            assert "its migration was replaced by a new one during the run" in str(self.run.failure)
            self.run.close()
            self.begin_run()
            self.is_second_migration = True
            self.edits = 0
            self.copy = None
        except StateExistsError:
            assert not force

    @rule(phase=st.sampled_from(Phase), force=st.sampled_from([False, False, True]))
    def move(self, phase: Phase, force: bool) -> None:
        model = self.model
        is_legal = phase in TRANSITIONS[model.phase]
        if phase is Phase.COMPLETED:
            # The gate is shut while a run is alive; see complete_between_runs() for the other case.
            is_legal = False
        if is_legal and phase is Phase.ROLLED_BACK:
            is_legal = model.rollback
        try:
            self.do("set_phase", phase=phase.value, force=force)
            assert is_legal or force
            model.phase = phase
        except (InvalidTransitionError, GateBlockedError, RollbackUnavailableError):
            assert not is_legal
            assert not force

    @rule()
    def reopen_api(self) -> None:
        self.api.close()

    @rule()
    def kill_api(self) -> None:
        self.api = tracker_at(self.path)

    # --- the run ---

    @rule(key=package_keys, passed=st.booleans())
    def verdict(self, key: tuple[str, str], passed: bool) -> None:
        self.run.verdict(Verdict(key, passed, run_id=f"run-{self.runs}"))
        assert self.run.failure is None
        self.model.record(key, passed)

    @rule(key=package_keys)
    def skip(self, key: tuple[str, str]) -> None:
        self.run.skip(key, "no time", key[1])
        assert self.run.failure is None
        self.model.outstanding[key] = "skipped"

    @rule(pending=st.sets(package_keys), deselected=st.sets(package_keys))
    def plan(self, pending: set[tuple[str, str]], deselected: set[tuple[str, str]]) -> None:
        entries = [outstanding(utc_now(), key, "pending") for key in pending]
        entries += [outstanding(utc_now(), key, "deselected") for key in deselected - pending]
        self.run.plan(RunPlan(entries))
        for key in deselected - pending:
            if key not in self.model.verdicts and key not in self.model.outstanding:
                self.model.outstanding[key] = "deselected"
        for key in pending:
            # Validating a Completed migration again does not make it incomplete.
            if self.model.phase is not Phase.COMPLETED:
                self.model.verdicts.pop(key, None)
            self.model.outstanding[key] = "pending"

    @rule()
    def complete(self) -> None:
        if self.model.phase is Phase.VALIDATION:
            is_open = self.model.gate_is_open
            assert self.run.complete(Policy()).open == is_open
            if is_open:
                self.model.phase = Phase.COMPLETED

    @rule()
    def complete_between_runs(self) -> None:
        if self.model.phase is Phase.VALIDATION:
            self.run.finish(0, {})
            assert self.run.failure is None
            self.run.close()
            try:
                self.do("set_phase", phase=Phase.COMPLETED.value)
                assert self.model.gate_is_open
                self.model.phase = Phase.COMPLETED
            except GateBlockedError:
                assert not self.model.gate_is_open
            self.begin_run()

    @rule()
    def group(self) -> None:
        """Have the run write a group to the log."""
        self.run.gate(Policy())
        assert self.run.failure is None

    @rule()
    def checkpoint(self) -> None:
        self.group()
        log = self.run._log
        assert isinstance(log, FileRunLog)
        with log._files.hold(reuse=True):
            log._checkpoint()

    @rule()
    def end_run(self) -> None:
        self.run.finish(0, {})
        assert self.run.failure is None
        self.run.close()
        self.begin_run()

    @rule()
    def kill_run(self) -> None:
        """Start another run. The descriptors of this one are closed, and its data in memory is lost."""
        self.run.close()
        self.begin_run()

    # --- changes of the files ---

    @rule(share=st.floats(0.01, 0.99))
    def tear(self, share: float) -> None:
        """Leave a part of a line, as a killed writer does."""
        line = self.log.read_bytes().splitlines()[-1]
        with self.log.open("ab") as file:
            file.write(line[: max(1, int(len(line) * share))])

    @rule(
        share=st.none() | st.floats(0, 0.99),
        keys=st.lists(package_keys, min_size=1, max_size=4),
        passed=st.booleans(),
    )
    def lose_log(self, share: float | None, keys: list[tuple[str, str]], passed: bool) -> None:
        """Delete or cut the log of a run with verdicts in memory.

        The document then contains more than the log.
        """
        self.checkpoint()
        entries = self.entries()
        for key in keys[1:]:
            self.verdict(key, passed)
        self.group()
        if share is None or self.is_second_migration:
            # A log that was cut within an earlier migration is treated as that of another one, and refused.
            self.log.unlink()
        else:
            content = self.log.read_bytes()
            # Not between two lines: a run cannot notice the loss of lines that it has not read.
            os.truncate(self.log, len(content[: int(len(content) * share)].removesuffix(b"\n")))
        # What the run wrote since its checkpoint it writes again.
        is_loss = len(self.entries()) < len(entries)
        self.edits += 1
        self.verdict(keys[0], not passed)
        self.group()
        self.model.has_lost_entries |= is_loss

    @precondition(lambda self: self.edits == 0)
    @rule()
    def lose_document(self) -> None:
        self.path.unlink(missing_ok=True)

    @rule()
    def copy_document(self) -> None:
        if self.path.exists():
            self.copy, self.edits_in_copy = self.path.read_bytes(), self.edits

    @precondition(lambda self: self.copy is not None and self.edits == self.edits_in_copy)
    @rule()
    def put_back_older_document(self) -> None:
        assert self.copy is not None
        self.path.write_bytes(self.copy)

    @rule(key=foreign_keys, passed=st.booleans(), seed=st.integers(0, 99), windows=st.booleans())
    def edit(self, key: tuple[str, str], passed: bool, seed: int, windows: bool) -> None:
        """Change the document and append a line to the log, as PowerShell does."""
        if not self.path.exists():
            return
        chance = random.Random(seed)
        self.clock += 1
        now = f"2030-01-01T00:{self.clock // 60:02}:{self.clock % 60:02}.0+01:00"
        document = json.loads(self.path.read_text("utf-8-sig"))
        verdict = {
            "component": key[0],
            "test_name": key[1],
            "passed": passed,
            "error_message": "",
            "tested_at": now,
        }
        document["validation_results"] = [*document["validation_results"], verdict]
        document["note"] = document["metadata"]["note"] = verdict["note"] = seed
        document = dict(chance.sample(list(document.items()), len(document)))
        text = (
            json.dumps(document, indent=chance.choice([None, 2, 4]), ensure_ascii=chance.random() < 0.5)
            + "\n"
        )
        self.path.write_bytes(
            b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() if windows else text.encode()
        )
        outcome = "PASSED" if passed else "FAILED"
        details = f"Test '{key[1]}' for '{key[0]}': {outcome}"
        line = json.dumps(
            {
                "level": "INFO",
                "details": details,
                "action": "ValidationResult",
                "timestamp": now,
            }
        )
        is_refused = passed and self._failed_behind(key, document["metadata"].get("audit", {}).get("seq", 0))
        if self.log.read_bytes().endswith(b"\n"):
            with self.log.open("ab") as file:
                file.write(line.encode() + (b"\r\n" if windows else b"\n"))
        if not is_refused:
            self.model.verdicts[key] = passed
        self.edits += 1

    def _failed_behind(self, key: tuple[str, str], seq: int) -> bool:
        """Return True if the present verdict is a failure of an entry that the document does not contain.

        Then a pass in the document does not override it.
        """
        if self.model.verdicts.get(key) is not False:
            return False
        changes = [entry["data"] for entry in self.entries() if entry["seq"] > seq]
        changes += [change["adopted"] for change in changes if "adopted" in change]
        return any(
            (verdict["component"], verdict["test_name"]) == key and not verdict["passed"]
            for change in changes
            for name in ("validation_results", "failed_meanwhile")
            for verdict in change.get(name, ())
        )

    def entries(self) -> list[JsonObject]:
        """Return the entries of the log. A torn line has no end, and is none."""
        if not self.log.exists():
            return []
        lines = self.log.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if b'"hash":"' in line and line.endswith(b"\n")]

    # --- invariants ---

    @invariant()
    def the_state_is_the_model(self) -> None:
        assert Model.read(self.path) == self.model
        if self.path.exists():
            json.loads(self.path.read_text("utf-8-sig"))

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            self.run.close()
            self.api.close()
            shutil.rmtree(self.folder)

    def check_the_end(self) -> None:
        self.run.finish(0, {})
        assert self.run.failure is None
        self.the_state_is_the_model()
        assert kinds_found(self.api) <= {
            "completed_past_gate",
            "unexplained",
            "effect_missing",
            "loss_reported",
        }
        assert not list(self.folder.glob("*.tmp-*"))


def test_state_equals_the_model(rounds: Callable[[int, int], int], figures: Callable[[str], None]) -> None:
    """After every step, in whatever order, the state equals the model."""
    examples, steps = rounds(300, 5000), 40
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            # A sample (``.ci/run``) is the same each time. The longer versions look further each time.
            derandomize=examples < 300,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    figures(f"{examples} examples of up to {steps} steps: the state equalled the model after each")
