"""What a run of tests writes: its plan, each verdict as it falls, and its end.

A run keeps the document in memory and appends to the log under the lock; the document is replaced now and then, so that
the cost stays linear in the number of tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core import events, operations
from pytest_migration_state.core.document import collecting_runs, open_runs, runs_of, waiting_for
from pytest_migration_state.core.errors import GateBlockedError, MigrationStateError, StateDamagedError
from pytest_migration_state.core.gate import COLLECTION, Context, GateResult, evaluate, rest_name, run_in_words
from pytest_migration_state.core.liveness import begin_here, end_here, liveness_of, this_process
from pytest_migration_state.core.phases import Phase
from pytest_migration_state.core.store import Store
from pytest_migration_state.core.text import storable, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_migration_state.core.document import Document, JsonObject, Key
    from pytest_migration_state.core.events import Event
    from pytest_migration_state.core.gate import Blocker, Policy
    from pytest_migration_state.core.liveness import Liveness

#: The shortest time between two checkpoints of a run, in seconds, and how many times its own cost one must wait.
CHECKPOINT_INTERVAL: Final = 1.0
CHECKPOINT_SHARE: Final = 10
#: After a failure the state is tried again no sooner than this, in seconds: the tests must not wait for it each time.
_RETRY_INTERVAL: Final = 1.0
#: Of how many selections it is remembered which files were looked at.
_SELECTIONS: Final = 20
#: How many validations one line of the plan holds: lines stay short enough to be read.
_PLAN_PIECE: Final = 500


@dataclass(frozen=True, slots=True)
class Look:
    """What a collection that came to its end looked at.

    :ivar selection: digest of what was asked for, without the options that leave out files by what an earlier run found.
    :ivar files: the digests of the files that it looked at, with a space between them.
    :ivar unseen: the digest of each file that was left out without a look at it (``--lf``, testmon), by its node id.
    :ivar chosen_by_plugin: whether the files were chosen by a plugin, and not by what was asked for (picked).
    :ivar why: in words, why something was left out.
    """

    selection: str
    files: str
    unseen: Mapping[str, str] = field(default_factory=dict)
    chosen_by_plugin: bool = False
    why: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing was left out."""
        return not self.unseen and not self.chosen_by_plugin


class RunRecorder:
    """The writer of one run.

    :param path: the state; created where there is none.
    :param run_id: the run's id in log and document.
    :param notify: called with a sentence about what a person should know although the work goes on.
    :ivar failure: why the last write failed; ``None`` where it did not.
    """

    def __init__(self, path: Path, run_id: str, *, notify: Callable[[str], None]) -> None:
        self.path = path
        self.run_id = run_id
        self._waiting: list[tuple[Event, str]] = []
        # Written to a document in memory only, because the log does not take them and the disk no document.
        self._doubtful: list[tuple[Event, str]] = []
        self.failure: MigrationStateError | None = None
        self._selection = ""
        self._migration_id: str | None = None
        self._store = Store(path, run_id=run_id, notify=notify)
        self._timeout = self._store.lock_timeout
        self._tried_at = 0.0
        self._checkpoint_due_at = 0.0

    @property
    def document(self) -> Document:
        """The state as this run last saw it."""
        return self._store.document

    def open(self, check: Callable[[Document], None], where: JsonObject, selection: str = "all tests", full: str | None = None) -> bool:
        """Begin the run on the state; gives whether it had to be created.

        :param check: called with the state under the lock; raises to refuse the run before anything of it is written.
        :param where: who runs it and where, for the log.
        :param selection: what it was asked to run, as a digest: a run of the same that did not finish is settled by this one.
        :param full: the same without the options that narrow it down (``--lf``): a run of that looks at more, and settles it too.
        """
        with self._store.held(create=True) as created:
            check(self.document)
            self._selection = selection
            self._store.append(events.run_started(utc_now(), self.run_id, this_process(), where, selection, full))
            begin_here(self.run_id)
            self._migration_id = self.document.metadata.get("migration_id")
            self._checkpoint()
        return created

    def _make_sure(self) -> None:
        """See that it still is the migration that the run began on.

        :raises StateDamagedError: another one was begun in its place.
        """
        if self.document.metadata.get("migration_id") != self._migration_id:
            raise StateDamagedError(str(self.path), "another migration was begun here while the tests ran; run them again for that one")

    def plan(
        self, entries: list[JsonObject], collected: Iterable[str] = (), look: Look | None = None, *, is_whole: bool = True
    ) -> list[str]:
        """Put on record, and on the disk, what the run is about to do.

        :param entries: outstanding validations. A deselected one counts only if nothing is known of it yet.
        :param collected: files (node ids) that could be collected: an earlier collection error of theirs is settled.
        :param look: what the collection looked at, where something is known of that.
        :param is_whole: did the collection come to its end, so that it is known what the run will run?
        :returns: the earlier runs that are settled by this one, in words.
        """
        with self._store.held(reuse=True):
            self._make_sure()
            known = self.document
            lives = liveness_of({run_id: run for run_id, run in open_runs(known).items() if run_id != self.run_id})
            settled = self._settled(lives) if is_whole else {}
            runs: JsonObject = dict.fromkeys(settled)
            if is_whole and self.run_id in collecting_runs(known):
                runs[self.run_id] = {"collecting": None}
            metadata: JsonObject = {"open_runs": runs} if runs else {}
            if look and is_whole:
                entries = entries + self._not_looked_at(look)
                metadata |= _remembered(known, look)
            # A deselected test that is known keeps what is known of it.
            entries = [entry for entry in entries if entry["reason"] != "deselected" or not _is_known(known, _key(entry))]
            waited_for = [run_id for run_id, how in lives.items() if how != "dead" and run_id not in settled]
            entries = [self._waited_for(entry, waited_for) for entry in entries]
            failing = {entry["test_name"] for entry in entries if entry["component"] == COLLECTION}
            failed_before = {name for component, name in known.outstanding if component == COLLECTION} - failing
            found = set(collected)
            if look and look.is_full and is_whole:
                found.add(rest_name(look.selection))
            gone = [(COLLECTION, name) for name in sorted(failed_before & found)]
            if entries or gone or metadata:
                for start in range(0, max(len(entries), 1), _PLAN_PIECE):
                    piece = entries[start : start + _PLAN_PIECE]
                    first = (gone, metadata, settled) if start == 0 else ()
                    self._store.stage(events.planned(piece, *first))
                self._store.commit()
                self._checkpoint()
            return [run_in_words(run_id, run, lives[run_id]) for run_id, run in settled.items()]

    def _settled(self, lives: Mapping[str, Liveness]) -> dict[str, JsonObject]:
        """The runs that were asked to run what this one runs, and of which nothing more will come."""
        return {
            run_id: run
            for run_id, run in open_runs(self.document).items()
            if isinstance(run, dict)
            and lives.get(run_id, "alive") != "alive"
            and self._selection in {run.get("selection"), run.get("collecting"), run.get("full")}
        }

    def _not_looked_at(self, look: Look) -> list[JsonObject]:
        """What was left out without a look at it, unless an earlier run looked at it as it is now: then its tests are known."""
        if look.is_full:
            return []
        before = _collections(self.document).get(look.selection)
        known = set(before.split()) if before else set()
        names = [name for name, digest in look.unseen.items() if digest not in known]
        if look.chosen_by_plugin and before is None:
            names.append(rest_name(look.selection))
        now = utc_now()
        return [events.outstanding(now, (COLLECTION, name), "deselected", look.why) for name in names]

    def _waited_for(self, entry: JsonObject, others: list[str]) -> JsonObject:
        """A pending validation says which runs are to give its verdict: this one, and others that have it before them still."""
        if entry["reason"] != "pending":
            return entry
        before = self.document.outstanding.get(_key(entry), {})
        return waiting_for(entry, [self.run_id, *(run_id for run_id in runs_of(before) if run_id in others)])

    @property
    def unrecorded(self) -> list[Event]:
        """What could not be written yet. Each later write tries again, in order."""
        return [event for event, _ in (*self._doubtful, *self._waiting)]

    def record(self, event: Event, now: str) -> None:
        """Write an event of ``now``. Never raises for the state's sake: see :attr:`unrecorded` and :attr:`failure`."""
        self._waiting.append((event, now))
        if self.failure is None:
            if len(self._waiting) == 1 and self._store.append_next(event, now):
                self._waiting.clear()
                if monotonic() < self._checkpoint_due_at:
                    return
            self._flush(self._timeout)
        elif monotonic() - self._tried_at > _RETRY_INTERVAL:
            self._flush(0.0)

    def verdict(self, key: Key, passed: bool, error_message: str | None, **more: Any) -> None:
        """Record a verdict of this run. ``more``: see :func:`~pytest_migration_state.core.events.verdict_given`."""
        now = utc_now()
        component, test_name = key
        message = None if error_message is None else storable(error_message)
        self.record(events.verdict_given(now, component, test_name, passed, message, more), now)

    def skip(self, key: Key, reason: str, node_id: str) -> None:
        """Record that a planned validation was skipped."""
        now = utc_now()
        self.record(events.skipped(events.outstanding(now, key, "skipped", storable(reason), node_id)), now)

    def withdraw(self, key: Key, why: str, node_id: str) -> None:
        """Record that a planned validation has no verdict that counts, and why; an earlier one of this run is withdrawn."""
        now = utc_now()
        entry = waiting_for(events.outstanding(now, key, "pending", storable(why), node_id), [self.run_id])
        self.record(events.left_without_verdict(entry), now)

    def _flush(self, timeout: float) -> None:
        self._store.lock_timeout = timeout
        try:
            with self._store.held(reuse=True):
                self._make_sure()
                for event, timestamp in self._waiting:
                    self._store.stage(event, timestamp=timestamp)
                self._store.commit()
                if self._store.is_log_failing:
                    # The document is the only place for them, and there they must be before they count as recorded.
                    self._doubtful.extend(self._waiting)
                    self._waiting.clear()
                    self._checkpoint()
                self._waiting.clear()
                self._doubtful.clear()
                if monotonic() >= self._checkpoint_due_at:
                    self._checkpoint()
            self.failure = None
        except MigrationStateError as error:
            self.failure = error
        finally:
            self._tried_at = monotonic()

    def _checkpoint(self) -> None:
        began = monotonic()
        self._store.checkpoint()
        now = monotonic()
        self._checkpoint_due_at = now + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * (now - began))

    def gate(self, policy: Policy) -> GateResult:
        """The gate on the state as this run last saw it."""
        return evaluate(self.document, policy, self._context())

    def _context(self) -> Context:
        return Context(str(self.path), liveness_of(open_runs(self.document)), self.run_id)

    def complete(self, policy: Policy, own: Sequence[Blocker] = ()) -> GateResult:
        """Move Validation → Completed if the gate is open, in one hold of the lock. A Completed migration is only judged.

        :param own: why this run does not answer for it, besides what the gate says.
        :raises MigrationStateError: the phase does not allow it, or the state cannot be used.
        """
        self._store.lock_timeout = self._timeout
        with self._store.held():
            self._make_sure()
            if self.document.phase is Phase.COMPLETED:
                return _with(self.gate(policy).blockers, own)
            try:
                event = operations.set_phase(self.document, utc_now(), Phase.COMPLETED, policy=policy, context=self._context())
                result = GateResult(tuple(own))
            except GateBlockedError as error:
                result = _with(error.blockers, own)
            self._store.append(event if result.open else events.gate_blocked(result.blockers))
            self._checkpoint()
            return result

    def write_waiting(self) -> None:
        """Try once more to write what could not be written yet. Never raises for the state's sake."""
        if self._waiting or self.failure:
            self._flush(self._timeout)

    def finish(self, exit_status: int, counts: dict[str, int], seconds: float, *, is_refused: bool = False) -> None:
        """Write what is left and the run's end, and bring all of it to the disk. Never raises for the state's sake.

        :param is_refused: whether pytest refused what it was asked for, so that there is nothing that it would have run.
        """
        now = utc_now()
        has_planned = is_refused or self.run_id not in collecting_runs(self.document)
        self._waiting.append((events.run_finished(now, self.run_id, exit_status, counts, seconds, has_planned=has_planned), now))
        self._checkpoint_due_at = 0.0
        self._flush(self._timeout)

    def close(self) -> None:
        """Close the files. Whatever became of the run, it is no longer alive."""
        end_here(self.run_id)
        self._store.close()


def _with(blockers: Sequence[Blocker], own: Sequence[Blocker]) -> GateResult:
    """The gate's blockers, and those of the run that are about something else."""
    known = {(blocker.component, blocker.test_name) for blocker in blockers}
    return GateResult((*blockers, *(blocker for blocker in own if (blocker.component, blocker.test_name) not in known)))


def _key(entry: JsonObject) -> Key:
    return entry["component"], entry["test_name"]


def _collections(document: Document) -> Mapping[str, str]:
    """Which files were looked at when a selection was last collected in full: their digests, by that of the selection."""
    found = document.metadata.get("collections")
    return found if isinstance(found, dict) else {}


def _remembered(document: Document, look: Look) -> JsonObject:
    """What changes in the metadata, so that what was looked at is remembered; for the newest selections alone."""
    known = _collections(document)
    if not look.is_full or known.get(look.selection) == look.files:
        return {}
    surplus = [selection for selection in known if selection != look.selection][: max(0, len(known) - _SELECTIONS + 1)]
    return {"collections": {**dict.fromkeys(surplus), look.selection: look.files}}


def _is_known(document: Document, key: Key) -> bool:
    return key in document.verdicts or key in document.outstanding
