"""The one façade of a migration state: what the plugin, the command line and users call."""

from __future__ import annotations

import inspect
import os
import warnings
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core import operations
from pytest_migration_state.core.document import open_runs
from pytest_migration_state.core.errors import (
    GateBlockedError,
    InvalidArgumentError,
    MigrationStateError,
    MigrationStateWarning,
    StateExistsError,
)
from pytest_migration_state.core.events import gate_blocked
from pytest_migration_state.core.gate import Context, evaluate
from pytest_migration_state.core.journal import read_lines
from pytest_migration_state.core.liveness import liveness_of
from pytest_migration_state.core.lock import DEFAULT_TIMEOUT
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_migration_state.core.backup import Finding
    from pytest_migration_state.core.document import Document, JsonObject
    from pytest_migration_state.core.gate import GateResult, Policy
    from pytest_migration_state.core.lines import Line
    from pytest_migration_state.core.models import AuditEntry, MigrationState
    from pytest_migration_state.core.verify import VerifyReport


class MigrationTracker:
    """The state of one migration, on disk. Threads may share a tracker; processes may share a state.

    Nothing is read or written before a method is called. Methods that change the state do so under its lock, have it on
    the disk when they return, and return the new :class:`~pytest_migration_state.MigrationState`. Each may raise
    ``StateNotFoundError``, ``StateDamagedError``, ``StateVersionError``, ``StateLockedError``, ``StateWriteError`` and, for
    an argument that no state may hold, ``InvalidArgumentError``.

    :param path: the document, such as ``migration-state.json``. Audit log and lock stand beside it.
    :param create: create the state where there is none, in place of raising ``StateNotFoundError``.
    :param run_id: the run that the entries in the audit log belong to.
    :param lock_timeout: how long to wait for another process to let go of the state, in seconds.
    :param notify: called with a sentence about what a person should know although the work goes on; by default a
        :class:`~pytest_migration_state.MigrationStateWarning` is issued once the work is done.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        run_id: str | None = None,
        lock_timeout: float = DEFAULT_TIMEOUT,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.path: Final = Path(path)
        self._create = create
        self._run_id = run_id
        self._notices: deque[str] = deque()
        self._notify = notify
        self._store: Final = Store(self.path, run_id=run_id, lock_timeout=lock_timeout, notify=self._notices.append)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def audit_log_path(self) -> Path:
        """Where the audit log of this state is."""
        return self._store.log_path

    # --- operations -------------------------------------------------------------------------------------------------

    def initialize(self, force: bool = False) -> MigrationState:
        """Begin a migration. With ``force`` an existing state is set aside beside the new one; its log goes on.

        :raises StateExistsError: there is a state already and ``force`` was not given.
        """
        return self._do("initialize", force=force)

    def set_phase(self, phase: str, *, force: bool = False, reason: str | None = None, policy: Policy | None = None) -> MigrationState:
        """Move to ``phase``. Validation → Completed passes the gate in the same hold of the lock.

        :param force: overrides the table of transitions, the gate and ``rollback_available``; the log says so.
        :param reason: why it was forced, for the log.
        :param policy: the gate's policy.
        :raises InvalidTransitionError: ``phase`` cannot follow the current one.
        :raises GateBlockedError: the gate is shut; a ``GateBlocked`` entry is in the log.
        :raises RollbackUnavailableError: → RolledBack while rollback is unavailable.
        """
        require, allow = (policy.require, sorted(policy.allow)) if policy else ((), [])
        return self._do("set_phase", phase=phase, force=force, reason=reason, require=require, allow=allow)

    def add_processed_container(self, name: str, container_id: str) -> MigrationState:
        """Record that a container was removed."""
        return self._do("add_processed_container", name=name, container_id=container_id)

    def add_preserved_data(self, key: str, backup_path: str | os.PathLike[str]) -> MigrationState:
        """Record where data was saved. A key that is there already is given the new path.

        :raises InvalidArgumentError: also where ``key`` differs from one that is there only in case.
        """
        return self._do("add_preserved_data", key=key, backup_path=os.fspath(backup_path))

    def add_native_process(self, name: str, process_id: int | None = None) -> MigrationState:
        """Record that a native process was started."""
        return self._do("add_native_process", name=name, process_id=process_id)

    def add_validation_result(self, component: str, test_name: str, passed: bool, error_message: str | None = None) -> MigrationState:
        """Record a verdict. It replaces an earlier one of the same validation; the log keeps both."""
        return self._do("add_validation_result", component=component, test_name=test_name, passed=passed, error_message=error_message)

    def set_rollback_availability(self, available: bool) -> MigrationState:
        """Say whether → RolledBack is possible."""
        return self._do("set_rollback_availability", available=available)

    def set_error(self, message: str) -> MigrationState:
        """Record an error of the migration."""
        return self._do("set_error", message=message)

    def forget_validation(self, component: str, test_name: str, reason: str) -> MigrationState:
        """Take a validation whose test no longer exists off the record; the log says so, with the reason."""
        return self._do("forget_validation", component=component, test_name=test_name, reason=reason)

    def write_audit(self, action: str, details: str, level: str = "INFO") -> MigrationState:
        """Write an entry of one's own to the audit log. ``level`` is INFO, WARNING or ERROR."""
        return self._do("write_audit", action=action, details=details, level=level)

    def apply(self, operations: Iterable[Mapping[str, Any]]) -> MigrationState:
        """Carry out operations, all of them or none: one hold of the lock, one append, one checkpoint.

        Each is judged on the state as those before have left it, and raises what the method of its name raises, with
        ``position`` saying which it was.

        :param operations: each names its ``operation``, a method of this class that changes the state, and that method's
            arguments. In the place of a ``policy``, ``set_phase`` has the lists ``require`` and ``allow``.
        """
        return _snapshot(self.commit(operations))

    def import_backup(
        self,
        manifest: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> MigrationState:
        """Check the backup that a manifest of the operators' script describes against its files, and record what was found.

        Each container is given a verdict with the test name ``backup``. It is passed only if every checksum was computed
        anew from the files and is right; then ``data_preserved`` names the container's folder too, as ``<container>-backup``.
        The files are read before the state is locked; all containers are recorded, or none.

        :param root: where the manifest's ``backup_root`` is mounted here; by default where the manifest says it is.
        :param progress: called with the bytes read so far and the bytes to read.
        :raises InvalidArgumentError: ``manifest`` cannot be read or is no manifest, or a key would differ from one that is
            there only in case.
        """
        from pytest_migration_state.core import backup

        return _snapshot(self.commit_backups(backup.check(backup.read_manifest(manifest), root, progress)))

    def _do(self, operation: str, **arguments: Any) -> MigrationState:
        return self.apply([{"operation": operation, **arguments}])

    # --- the working form, for the command line and the recorder ----------------------------------------------------

    def begin(self, *, force: bool = False) -> Document:
        """:meth:`initialize` without the snapshot."""
        return self.commit([{"operation": "initialize", "force": force}])

    def commit(self, requests: Iterable[Mapping[str, Any]]) -> Document:
        """:meth:`apply` without the snapshot."""
        asked = list(_checked(requests))
        # A migration can be begun whatever the state is like; every other operation needs one that can be read.
        begins = bool(asked) and asked[0][0] == "initialize"
        hold = self._store.held_for_beginning() if begins else self._store.held(create=self._create)
        try:
            with hold as is_new:
                for position, (operation, arguments) in enumerate(asked, 1):
                    try:
                        self._stage(operation, arguments, exists=not (is_new and begins and position == 1))
                    except MigrationStateError as error:
                        error.position = position
                        if isinstance(error, GateBlockedError) and not (is_new or begins):
                            self._put_on_record(error)
                        raise
                self._store.commit()
                self._store.checkpoint()
                if is_new and not begins:
                    self._notices.append(f"{self.path}: created, in phase {self._store.document.phase}")
                return self._store.document
        finally:
            self._pass_notices_on()

    def commit_backups(self, findings: Iterable[Finding]) -> Document:
        """The second half of :meth:`import_backup`, without the snapshot: record what was found."""
        try:
            with self._store.held(create=self._create) as is_new:
                for finding in findings:
                    self._store.stage(operations.import_backup(self._store.document, utc_now(), finding))
                self._store.commit()
                self._store.checkpoint()
                if is_new:
                    self._notices.append(f"{self.path}: created, in phase {self._store.document.phase}")
                return self._store.document
        finally:
            self._pass_notices_on()

    def _stage(self, operation: str, arguments: JsonObject, *, exists: bool) -> None:
        if operation == "initialize":
            if not operations.truth("force", arguments.get("force", False)) and exists:
                raise StateExistsError(str(self.path), "there is a migration state already; go on with it, or set it aside with --force")
            self._store.stage_beginning()
            return
        if operation == "set_phase":
            policy = operations.gate_policy(arguments.pop("require", ()), arguments.pop("allow", ()))
            arguments = {**arguments, "policy": policy, "context": self.context(self._store.document)}
        self._store.stage(getattr(operations, operation)(self._store.document, utc_now(), **arguments))

    def _put_on_record(self, error: GateBlockedError) -> None:
        """Take back what is staged, and say in the log that Completed was asked for and refused."""
        self._store.discard()
        self._store.append(gate_blocked(error.blockers))
        self._store.checkpoint()

    def read(self) -> Document:
        """:attr:`state` without the snapshot."""
        try:
            return self._store.read()
        finally:
            self._pass_notices_on()

    def _pass_notices_on(self) -> None:
        while self._notices:
            notice = self._notices.popleft()
            if self._notify:
                self._notify(notice)
            else:
                warnings.warn(notice, MigrationStateWarning, stacklevel=_callers_level())

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> MigrationState:
        """The state as it is now, read anew without the lock."""
        return _snapshot(self.read())

    def gate(self, policy: Policy | None = None) -> GateResult:
        """Would Validation → Completed be allowed now, and if not, why."""
        document = self.read()
        return evaluate(document, policy, self.context(document))

    def context(self, document: Document) -> Context:
        """What the gate must know besides the state and the policy, as it is now."""
        return Context(str(self.path), liveness_of(open_runs(document)), self._run_id)

    def read_audit(self, last: int | None = None) -> list[AuditEntry]:
        """The audit log's lines that hold JSON objects, oldest first; only the ``last`` ones where that is given.

        A line that holds none is warned about, with its number.
        """
        from pytest_migration_state.core.models import AuditEntry

        return [AuditEntry.of(line.content) for line in self.audit_lines(last) if line.content is not None]

    def audit_lines(self, last: int | None = None) -> list[Line]:
        """The lines behind :meth:`read_audit`."""
        if last is not None and last < 0:
            raise InvalidArgumentError("last", last, "it must be a whole number from 0")
        lines: deque[Line] = deque(maxlen=last)
        try:
            for line in read_lines(self._store.log_path):
                if line.content is not None:
                    lines.append(line)
                elif line.raw.strip():
                    self._notices.append(f"{self._store.log_path}: line {line.number}: {line.damage or 'it is no JSON object'}")
        except FileNotFoundError:
            self._notices.append(f"{self._store.log_path}: there is no audit log")
        self._pass_notices_on()
        return list(lines)

    def verify(self) -> VerifyReport:
        """Check the hash chain, and the document against the log, without the lock and without changing anything.

        Damage of the log is in the report. A document that cannot be used raises as everywhere.
        """
        from pytest_migration_state.core.verify import verify

        return verify(self._store)

    def close(self) -> None:
        """Let go of the files. A closed tracker opens them again when it is used."""
        self._store.close()


def _callers_level() -> int:
    """The ``stacklevel`` of whoever called into this module, seen from the function that calls this one."""
    frame, level = inspect.currentframe(), 0
    while frame and frame.f_globals is globals():
        frame, level = frame.f_back, level + 1
    return level


def _checked(requests: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, JsonObject]]:
    for position, request in enumerate(requests, 1):
        try:
            yield operations.checked(request)
        except InvalidArgumentError as error:
            error.position = position
            raise


def _snapshot(document: Document) -> MigrationState:
    from pytest_migration_state.core.models import MigrationState

    return MigrationState.model_validate(document.to_object())
