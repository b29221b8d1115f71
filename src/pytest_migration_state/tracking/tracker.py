"""The façade of a migration state: what the plugin, the command line and users call."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_migration_state.domain import events
from pytest_migration_state.domain.document import new_document
from pytest_migration_state.domain.gate import Context, evaluate
from pytest_migration_state.domain.operations import INITIALIZE, audit_entry
from pytest_migration_state.domain.phase_history import ACTIONS, stays
from pytest_migration_state.errors import GateBlockedError, InvalidArgumentError, StateNotFoundError
from pytest_migration_state.importers.backup.record import import_backup
from pytest_migration_state.importing import importing
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT
from pytest_migration_state.storage.opening import open_store
from pytest_migration_state.text import utc_now
from pytest_migration_state.tracking.audit import audit_lines
from pytest_migration_state.tracking.notices import Notices
from pytest_migration_state.tracking.requests import decide_all, late_verdicts, parse_all, with_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.domain.gate import GateResult
    from pytest_migration_state.domain.phase_history import Stay
    from pytest_migration_state.domain.policy import Policy
    from pytest_migration_state.importers.backup.finding import BackupResult
    from pytest_migration_state.models import AuditEntry, MigrationState
    from pytest_migration_state.storage.base import Decide
    from pytest_migration_state.storage.records import Line
    from pytest_migration_state.verification.report import VerifyReport


class CarriedOut(NamedTuple):
    """The result of operations.

    :ivar document: the state after them.
    :ivar events: what they became, in order.
    """

    document: Document
    events: list[Event]


class MigrationTracker:
    """The state of one migration. Threads may share a tracker; processes may share a state.

    Nothing is read or written before a method is called. When a method that changes the state returns, the
    change is on the disk; the method returns the new :class:`~pytest_migration_state.MigrationState`. Each
    may raise ``StateNotFoundError``, ``StateDamagedError``, ``StateVersionError``, ``StateLockedError``,
    ``StateWriteError`` and, for an argument that no state may hold, ``InvalidArgumentError``. A name or a
    message of more than 4 KiB is cut.

    :param path: the document, such as ``migration-state.json``. Audit log and lock are beside it.
    :param create: create the state if there is none, instead of raising ``StateNotFoundError``.
    :param run_id: the run that the entries in the audit log belong to.
    :param lock_timeout: how long to wait for another process that holds the state, in seconds.
    :param notify: called with a warning, one sentence, while the work goes on; by default a
        :class:`~pytest_migration_state.MigrationStateWarning` is issued after the work.
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
        self._notices = Notices(notify)
        self._store: Final = open_store(
            self.path,
            run_id=run_id,
            lock_timeout=lock_timeout,
            notify=self._notices.add,
            on_wait=self._notices.pass_on_now,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def audit_log_path(self) -> Path:
        """The path of the audit log of this state."""
        return Path(self._store.log_address)

    # --- operations -----------------------------------------------------------------------------------------

    def initialize(self, force: bool = False) -> MigrationState:
        """Begin a migration.

        :param force: set an existing state aside beside the new one; its log continues.
        :raises StateExistsError: there is a state already and ``force`` was not given.
        """
        return self._do("initialize", force=force)

    def set_phase(
        self, phase: str, *, force: bool = False, reason: str | None = None, policy: Policy | None = None
    ) -> MigrationState:
        """Move to ``phase``. Validation → Completed passes the gate in the same hold of the lock.

        :param force: overrides the table of transitions, the gate and ``rollback_available``; the log says
            so.
        :param reason: why, for the log.
        :param policy: the gate's policy.
        :raises InvalidTransitionError: ``phase`` cannot follow the current one.
        :raises GateBlockedError: the gate is shut; a ``GateBlocked`` entry is in the log.
        :raises RollbackUnavailableError: → RolledBack while rollback is unavailable.
        """
        settings = policy.to_object() if policy else {}
        return self._do("set_phase", phase=phase, force=force, reason=reason, **settings)

    def add_processed_container(self, name: str, container_id: str) -> MigrationState:
        """Record that a container was removed."""
        return self._do("add_processed_container", name=name, container_id=container_id)

    def add_preserved_data(self, key: str, backup_path: str | os.PathLike[str]) -> MigrationState:
        """Record where data was saved. An existing key gets the new path.

        :raises InvalidArgumentError: also if ``key`` differs from an existing one only in case or is a name
            that PowerShell reserves, such as ``psbase``, or if ``backup_path`` is longer than 4 KiB.
        """
        return self._do("add_preserved_data", key=key, backup_path=os.fspath(backup_path))

    def add_native_process(self, name: str, process_id: int | None = None) -> MigrationState:
        """Record that a native process was started. The verdicts of the component ``name`` become stale."""
        return self._do("add_native_process", name=name, process_id=process_id)

    def add_validation_result(
        self,
        component: str,
        test_name: str,
        passed: bool,
        error_message: str | None = None,
        reason: str | None = None,
    ) -> MigrationState:
        """Record a verdict. It replaces an earlier one of the same validation; the log keeps both.

        :param reason: why a run's failure is overridden; kept with the verdict and in the log.
        """
        verdict = {"component": component, "test_name": test_name, "passed": passed}
        return self._do("add_validation_result", **verdict, error_message=error_message, reason=reason)

    def set_rollback_availability(self, available: bool) -> MigrationState:
        """Record whether → RolledBack is possible."""
        return self._do("set_rollback_availability", available=available)

    def set_error(self, message: str) -> MigrationState:
        """Record an error of the migration."""
        return self._do("set_error", message=message)

    def clear_error(self) -> MigrationState:
        """Take the error of the migration off the record. If there is none, nothing happens."""
        return self._do("clear_error")

    def forget_validation(
        self, component: str, test_name: str | Sequence[str], reason: str
    ) -> MigrationState:
        """Remove validations whose tests no longer exist from the record; the log holds the reason.

        A run that did not finish is removed as the validation ``run ID`` of the component ``(collection)``.
        If it is alive, only its name means it, and no pattern.

        :param test_name: a name or a pattern, or several of them; ``"*"``: every validation of the component.
            A name that is on record means just that one. In a pattern ``*`` stands for any text, ``?`` for
            one character, and every other character for itself, ``[`` and ``]`` too.
        :raises InvalidArgumentError: also if one of them means nothing; then nothing is removed.
        """
        return self._do("forget_validation", component=component, test_name=test_name, reason=reason)

    def accept_record(self, by: str, reason: str) -> MigrationState:
        """Accept the state as the document has it, although its record is not whole.

        :raises NothingToAcceptError: :meth:`verify` finds nothing wrong with the record.
        """
        return self._do("accept_record", by=by, reason=reason)

    def write_audit(self, action: str, details: str, level: str = "INFO") -> MigrationState:
        """Write an entry to the audit log.

        :param level: INFO, WARNING or ERROR.
        """
        return self._do("write_audit", action=action, details=details, level=level)

    def write_early_audit(self, action: str, details: str, level: str = "INFO") -> None:
        """Write an entry to the audit log, even of a migration that has not begun.

        Then no state is created; the migration that begins later continues that log.

        :param level: INFO, WARNING or ERROR.
        """
        entry = {"operation": "write_audit", "action": action, "details": details, "level": level}
        event = audit_entry(action, details, level)
        is_written = False
        while not is_written:
            try:
                self.commit([entry])
            except StateNotFoundError:
                # Another process may begin the migration at this moment.
                is_written = self._store.write_early(event)
            else:
                is_written = True

    def apply(self, operations: Iterable[Mapping[str, Any]]) -> MigrationState:
        """Carry out operations, all of them or none.

        Each is decided on the state that the operations before it lead to. It raises what the method of its
        name raises, with its ``position`` (from 1).

        :param operations: each names its ``operation``, a method of this class that changes the state, and
            that method's arguments. In place of a ``policy``, ``set_phase`` has the lists ``require`` and
            ``allow``.
        """
        return _snapshot(self.commit(operations))

    def import_backup(
        self,
        manifest: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> MigrationState:
        """Check the backups that a manifest describes against their files, and record the results.

        Each container gets a verdict with the test name ``backup``. It is passed only if every checksum was
        computed from the files and is right; then ``data_preserved`` names the container's folder too, as
        ``<container>-backup``. The files are read before the state is locked; all containers are recorded, or
        none.

        :param manifest: the ``backup-manifest.json`` of the operators' PowerShell script.
        :param root: where the manifest's ``backup_root`` is mounted here; by default where the manifest says
            it is.
        :param progress: called with the bytes read so far and the bytes to read.
        :raises InvalidArgumentError: ``manifest`` cannot be read or is not a manifest, a key would differ
            from an existing one only in case, or the folder of a safe backup is a path of more than 4 KiB.
        """
        return _snapshot(self.commit_backups(self.check_backups(manifest, root, progress)))

    @staticmethod
    def check_backups(
        manifest: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[BackupResult]:
        """Check the backups of :meth:`import_backup` without recording anything."""
        with importing:
            from pytest_migration_state.importers.backup.check import check
            from pytest_migration_state.importers.backup.manifest import read_manifest

        return check(read_manifest(manifest), root, progress)

    def _do(self, operation: str, **arguments: Any) -> MigrationState:
        return self.apply([{"operation": operation, **arguments}])

    # --- the working form, for the command line and the recorder --------------------------------------------

    def commit(self, requests: Iterable[Mapping[str, Any]]) -> Document:
        """Do the same as :meth:`apply`, without the snapshot."""
        return self.carry_out(requests).document

    def carry_out(self, requests: Iterable[Mapping[str, Any]]) -> CarriedOut:
        """Do the same as :meth:`commit`, and return the events too."""
        parsed = with_findings(parse_all(requests), self._store)
        # A migration can be begun even if the state is damaged; every other operation needs a state that can
        # be read.
        begins = bool(parsed) and parsed[0].operation == INITIALIZE
        decided: list[Event] = []

        def decide(document: Document, *, exists: bool = True) -> list[Event]:
            # The last call decides what is committed.
            decided[:] = decide_all(parsed, document, self._store, self.context, exists=exists)
            return list(decided)

        try:
            if begins:
                blank = new_document(None, "", "")
                begun = self._store.initialize(lambda exists: decide(blank, exists=exists)).document
                return CarriedOut(begun, decided)
            document = self._committed(decide)
        except GateBlockedError as error:
            if not begins:
                self._record_refusal(error)
            raise
        else:
            for late in late_verdicts(parsed, document, self.context):
                self._notices.add(f"{self.path}: {late}")
            return CarriedOut(document, decided)
        finally:
            self._notices.pass_on()

    def commit_backups(self, results: Sequence[BackupResult]) -> Document:
        """Record the results of :meth:`import_backup`, without the snapshot."""

        def decide(document: Document) -> list[Event]:
            now = utc_now()
            draft = document.copy()
            decided = []
            for result in results:
                decided.append(import_backup(draft, now, result))
                events.apply(draft, decided[-1].data, now)
            return decided

        try:
            return self._committed(decide)
        finally:
            self._notices.pass_on()

    def _committed(self, decide: Decide) -> Document:
        commit = self._store.commit(decide, create=self._create)
        if commit.created:
            self._notices.add(f"{self.path}: created, in phase {commit.document.phase}")
        return commit.document

    def _record_refusal(self, error: GateBlockedError) -> None:
        """Record in the log that the transition to Completed was refused, if there is a state."""
        with suppress(StateNotFoundError):
            self._store.commit(lambda _: [events.gate_blocked(error.blockers)])

    def read(self) -> Document:
        """Return the same as :attr:`state`, without the snapshot."""
        try:
            return self._store.read()
        finally:
            self._notices.pass_on()

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def state(self) -> MigrationState:
        """The state as it is now, read without the lock."""
        return _snapshot(self.read())

    def gate(self, policy: Policy | None = None) -> GateResult:
        """Return whether Completed would be accepted now and, if not, every reason.

        In a phase that Completed cannot follow the gate is shut, whatever the verdicts are.

        :param policy: the gate's policy; ``None``: an empty one.
        """
        document = self.read()
        return evaluate(document, policy, self.context(document))

    def context(self, document: Document) -> Context:
        """Return the gate's context for a document."""
        return Context(str(self.path), self._store.liveness_of(document.open_runs), self._run_id)

    def read_audit(self, last: int | None = None) -> list[AuditEntry]:
        """Return the lines of the audit log that are JSON objects, the oldest first.

        Other lines cause a warning. Lines of other programs that may be about another state of the folder
        stand among them by their time; their ``log`` names the log in which they are.

        :param last: the number of lines, counted from the end; ``None`` or 0: all.
        """
        with importing:
            from pytest_migration_state.models import AuditEntry

        return [AuditEntry.of(line.content) for line in self.audit_lines(last) if line.content is not None]

    def audit_lines(self, last: int | None = None, *, must_exist: bool = False) -> list[Line]:
        """Return the lines that :meth:`read_audit` converts.

        :param must_exist: whether it is an error that there is neither a log nor a state. A state without a
            log is a warning.
        """
        if last is not None and last < 0:
            raise InvalidArgumentError("last", last, "it must be an integer from 0")
        if must_exist and not self.audit_log_path.exists():
            self.read()
        # PowerShell's Get-MigrationAuditLog -Last 0 returns all of them.
        found = audit_lines(self._store, self._notices.add, last)
        self._notices.pass_on()
        return found

    def phase_history(self, document: Document) -> list[Stay]:
        """Return the times that a migration spent in each phase, as far as its log tells them."""
        try:
            lines = list(self._store.lines_with(ACTIONS))
        except OSError:
            lines = []
        entries = [line.content for line in lines if line.content]
        return stays(entries, document.phase, document.fields["started_at"])

    def verify(self) -> VerifyReport:
        """Check the hash chain, and the document against the log. Nothing is locked or changed.

        :returns: the report; damage of the log is in it.
        :raises MigrationStateError: the document cannot be used.
        """
        with importing:
            from pytest_migration_state.verification.verify import verify

        return verify(self._store)

    def close(self) -> None:
        """Close the files. A closed tracker opens them again when it is used."""
        self._store.close()


def _snapshot(document: Document) -> MigrationState:
    with importing:
        from pytest_migration_state.models import MigrationState

    return MigrationState.model_validate(document.to_object())
