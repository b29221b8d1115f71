"""The commit protocol on real files: the content of the disk at each step, and the handling of damage."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from filelock import lock_descriptor, unlock_descriptor

from powershell_writer import PowerShellWriter
from pytest_migration_state import (
    InvalidArgumentError,
    MigrationTracker,
    StateDamagedError,
    StateExistsError,
    StateLockedError,
    StateNotFoundError,
    StateVersionError,
    StateWriteError,
)
from pytest_migration_state.domain.events import container_removed
from pytest_migration_state.storage.files.atomic import set_aside
from pytest_migration_state.storage.files.audit_log import AuditLogFile
from pytest_migration_state.storage.files.paths import audit_log_name
from state_files import (
    DOCUMENT,
    FOREIGN,
    STATES,
    edit,
    files_of,
    in_validation,
    lines,
    log_of,
    put_lines,
    read,
    sample,
)
from windows_files import on_windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_migration_state.domain.events import Event
    from pytest_migration_state.storage.files.state_files import StateFiles

modes_bind = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="modes do not bind the superuser"
)


class Notices(list[str]):
    """The notices of the trackers that it creates."""

    def tracker(self, path: Path, *, create: bool = False) -> MigrationTracker:
        return MigrationTracker(path, create=create, notify=self.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a test's state."""
    return tmp_path / DOCUMENT


@pytest.fixture
def notices() -> Notices:
    """The notices of a test."""
    return Notices()


def containers(path: Path) -> list[str]:
    return [container["name"] for container in read(path)["docker_containers_removed"]]


def names(tracker: MigrationTracker) -> list[str]:
    return [container.name for container in tracker.state.docker_containers_removed]


def actions(path: Path) -> list[str]:
    return [str(entry.action) for entry in MigrationTracker(path, notify=lambda _: None).read_audit()]


def uses(path: Path, *, create: bool = False) -> list[Callable[[], object]]:
    """Return a reader and a writer."""
    return [
        lambda: MigrationTracker(path).state,
        lambda: MigrationTracker(path, create=create).add_processed_container("n", "id"),
    ]


def container(name: str) -> Event:
    return container_removed("2026-01-15T09:10:00Z", name, "id")


def refuse(*_: object) -> None:
    raise OSError(errno.EIO, "no disk")


def append(state: StateFiles, event: Event) -> None:
    """Commit an event under the lock."""
    state.stage(event)
    state.commit()


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def files(path: Path) -> dict[str, bytes]:
    """Return everything in the folder of the state except the lock."""
    return {
        entry.name: entry.read_bytes()
        for entry in path.parent.iterdir()
        if not entry.name.endswith(".lock") and entry.is_file()
    }


# --- the protocol -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "log"),
    [
        ("migration-state.json", "migration-audit.log"),
        ("shard-3.json", "shard-3-audit.log"),
        ("state", "state-audit.log"),
    ],
)
def test_the_name_of_the_log_follows_from_that_of_the_state(document: str, log: str) -> None:
    """The stem without a final ``-state``, and ``-audit.log``."""
    assert log == audit_log_name(document)


def test_a_state_is_three_files(path: Path) -> None:
    """Nothing else is left in the folder."""
    in_validation(path)
    assert names_in(path.parent) == [
        "migration-audit.log",
        "migration-state.json",
        "migration-state.json.lock",
    ]


def test_an_operation_is_in_both_files_when_it_returns(path: Path) -> None:
    """The document names the entry that it contains."""
    tracker = MigrationTracker(path)
    tracker.initialize()
    tracker.add_processed_container("n", "id")
    last = json.loads(lines(path)[-1])
    audit = read(path)["metadata"]["audit"]
    assert {"seq": 2, "hash": last["hash"], "content": audit["content"]} == audit
    assert (containers(path), last["action"], read(path)["metadata"]["revision"]) == (
        ["n"],
        "ContainerProcessed",
        2,
    )


def test_an_entry_is_committed_before_its_checkpoint(path: Path) -> None:
    """If a writer is killed between the two, nothing is lost: the next one replays the entry."""
    tracker = in_validation(path)
    before = path.read_bytes()
    tracker.add_processed_container("n", "id")
    path.write_bytes(before)
    found = names(MigrationTracker(path))
    assert (before, ["n"]) == (path.read_bytes(), found)
    MigrationTracker(path).add_processed_container("m", "id")
    assert containers(path) == ["n", "m"]


def test_a_run_appends_now_and_checkpoints_later(path: Path) -> None:
    """Readers see each event when it is appended. The document follows later."""
    in_validation(path)
    store = files_of(path)
    reader = MigrationTracker(path)
    with store.hold(reuse=True):
        append(store, container("a"))
    seen = (names(reader), containers(path))
    with store.hold(reuse=True):
        append(store, container("b"))
        store.checkpoint()
    assert (seen, containers(path)) == ((["a"], []), ["a", "b"])


def test_two_writers_that_reuse_their_documents_see_each_other(path: Path) -> None:
    """Each brings its own document up to date from the log."""
    in_validation(path)
    stores = [files_of(path) for _ in range(2)]
    for number in range(6):
        with stores[number % 2].hold(reuse=True):
            append(stores[number % 2], container(str(number)))
    assert list("012345") == names(MigrationTracker(path))


def test_a_batch_is_written_completely_or_not_at_all(path: Path) -> None:
    """The second is refused: the first is neither in the log nor in the document."""
    tracker = in_validation(path)
    before = files(path)
    with pytest.raises(InvalidArgumentError) as caught:
        tracker.apply(
            [
                {"operation": "add_processed_container", "name": "n", "container_id": "id"},
                {"operation": "add_native_process", "name": ""},
            ]
        )
    assert (2, before) == (caught.value.position, files(path))


def test_reading_changes_nothing(path: Path) -> None:
    """Not even a torn line is repaired."""
    in_validation(path)
    with log_of(path).open("ab") as log:
        log.write(b'{"timestamp":"2026')
    tracker = MigrationTracker(path, notify=lambda _: None)
    path.write_bytes(path.read_bytes().replace(b'"phase": "Validation"', b'"phase": "NativeDeployment"'))
    before = files(path)
    assert (tracker.state.phase, len(tracker.read_audit()), tracker.gate().open) == (
        "NativeDeployment",
        5,
        False,
    )
    assert before == files(path)


# --- rebuilt, repaired, refused -----------------------------------------------------------------------------


def test_a_missing_document_is_rebuilt_from_the_log(path: Path, notices: Notices) -> None:
    """Readers get the same state as before. The next command writes the document and notes it in the log."""
    tracker = in_validation(path)
    tracker.add_processed_container("n", "id")
    before = tracker.state
    path.unlink()
    rebuilt = MigrationTracker(path).state
    assert before.model_copy(update={"metadata": rebuilt.metadata}) == rebuilt
    assert not path.exists()
    notices.tracker(path).add_processed_container("m", "id")
    assert (containers(path), actions(path)[-2]) == (["n", "m"], "Recovered")
    assert [
        f"{log_of(path)}: The document 'migration-state.json' was missing and has been rebuilt from this log"
    ] == notices


def test_a_log_without_its_beginning_rebuilds_nothing(path: Path) -> None:
    """A partial state would be worse than an error."""
    in_validation(path)
    put_lines(path, lines(path)[2:])
    path.unlink()
    before = files(path)
    with pytest.raises(StateDamagedError):
        MigrationTracker(path).add_processed_container("n", "id")
    assert before == files(path)


def test_the_log_of_another_state_rebuilds_nothing(tmp_path: Path) -> None:
    """``migration.json`` and ``migration-state.json`` have the same log name."""
    in_validation(tmp_path / "migration-state.json")
    with pytest.raises(
        StateDamagedError, match=r"its audit log migration-audit\.log is that of migration-state\.json"
    ):
        MigrationTracker(tmp_path / "migration.json", create=True).add_processed_container("n", "id")


@pytest.mark.parametrize(
    "torn", [b"{", b'{"timestamp":"2026-01-15T09:14:00.123Z","level":"INFO","action":"Vali', b"\x00\x00\x00"]
)
def test_a_torn_last_line_is_set_aside(path: Path, notices: Notices, torn: bytes) -> None:
    """It is moved to another file, and the log says so."""
    in_validation(path)
    whole = log_of(path).read_bytes()
    log_of(path).write_bytes(whole + torn)
    notices.tracker(path).add_processed_container("n", "id")
    aside = [entry for entry in path.parent.iterdir() if ".torn-" in entry.name]
    assert [torn] == [entry.read_bytes() for entry in aside]
    assert whole == log_of(path).read_bytes()[: len(whole)]
    assert actions(path)[-2:] == ["Recovered", "ContainerProcessed"]
    assert (
        f"A torn last line was set aside in '{aside[0].name}'"
        == MigrationTracker(path).read_audit()[-2].details
    )
    assert len(notices) == 1


def test_a_last_line_that_lacks_only_its_line_end_gets_one(path: Path, notices: Notices) -> None:
    """The line is whole, so there is nothing to report."""
    in_validation(path)
    log_of(path).write_bytes(log_of(path).read_bytes()[:-1])
    notices.tracker(path).add_processed_container("n", "id")
    assert (containers(path), actions(path)[-1], len(lines(path)), list(notices)) == (
        ["n"],
        "ContainerProcessed",
        6,
        [],
    )
    assert MigrationTracker(path).verify().sound


def test_a_foreign_line_without_a_line_end_gets_one(path: Path, notices: Notices) -> None:
    """PowerShell always writes line ends; an editor may not."""
    in_validation(path)
    with log_of(path).open("ab") as log:
        log.write(FOREIGN)
    notices.tracker(path).add_processed_container("n", "id")
    assert (lines(path)[5], len(lines(path)), list(notices)) == (FOREIGN, 7, [])
    assert MigrationTracker(path).verify().sound


def test_a_missing_log_is_begun_again(path: Path, notices: Notices) -> None:
    """Numbers and chain continue from the entry that the document names; the first line names the gap."""
    in_validation(path)
    log_of(path).unlink()
    notices.tracker(path).add_processed_container("n", "id")
    first, _, second = (json.loads(line) for line in lines(path))
    assert (first["action"], first["level"], first["seq"], second["seq"]) == ("Recovered", "WARNING", 6, 8)
    assert "the audit log is gone: entries 1 to 5 are missing" in first["details"]
    assert (containers(path), len(notices)) == (["n"], 1)
    notices.tracker(path).add_processed_container("m", "id")
    assert (containers(path), len(notices)) == (["n", "m"], 1)


def test_a_log_that_was_cut_is_continued(path: Path, notices: Notices) -> None:
    """The document contains the effect of the lines that were cut off."""
    tracker = in_validation(path)
    tracker.add_processed_container("n", "id")
    put_lines(path, lines(path)[:3])
    notices.tracker(path).add_processed_container("m", "id")
    assert (containers(path), actions(path)[3], json.loads(lines(path)[3])["seq"]) == (
        ["n", "m"],
        "Recovered",
        7,
    )
    assert [notice.split(": ")[1].split(";")[0] for notice in notices] == [
        "the audit log has lost entries 4 to 6"
    ]


def test_a_log_that_lost_one_entry_names_it(path: Path, notices: Notices) -> None:
    """One entry is no range."""
    in_validation(path)
    put_lines(path, lines(path)[:4])
    notices.tracker(path).add_processed_container("n", "id")
    assert "the audit log has lost entry 5;" in notices[0]


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("size", range(0, 2000, 97))
def test_a_log_cut_anywhere_is_continued_on_a_new_line(path: Path, notices: Notices, size: int) -> None:
    """Nothing is appended to the rest of a cut line."""
    tracker = in_validation(path)
    tracker.add_processed_container("n", "id")
    tracker.add_processed_container("o", "id")
    whole = log_of(path).read_bytes()
    assert size < len(whole)
    log_of(path).write_bytes(whole[:size])
    notices.tracker(path).add_processed_container("m", "id")
    assert names(MigrationTracker(path)) == ["n", "o", "m"]
    assert {"missing"} == {problem.kind for problem in MigrationTracker(path).verify().problems}


def test_a_log_begun_again_and_not_yet_in_the_document_is_read(path: Path, notices: Notices) -> None:
    """The writer was killed between the entry that names the gap and its checkpoint."""
    in_validation(path)
    before = path.read_bytes()
    log_of(path).unlink()
    notices.tracker(path).add_processed_container("n", "id")
    path.write_bytes(before)
    assert names(MigrationTracker(path)) == ["n"]
    notices.tracker(path).add_processed_container("m", "id")
    assert containers(path) == ["n", "m"]


def test_the_log_of_another_migration_is_refused(path: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    other = tmp_path / "other" / DOCUMENT
    in_validation(path)
    in_validation(other).add_processed_container("x", "id")
    put_lines(path, lines(other))
    before = files(path)
    for change in uses(path):
        with pytest.raises(
            StateDamagedError,
            match="line 5: entry 5 is not the one that the document names: the log belongs to another state",
        ):
            change()
    assert before == files(path)


def test_damage_in_entries_to_replay_is_refused_with_its_line(path: Path) -> None:
    """Readers and writers are refused, and nothing is changed."""
    tracker = in_validation(path)
    before = path.read_bytes()
    tracker.add_processed_container("n", "id")
    tracker.add_processed_container("m", "id")
    path.write_bytes(before)
    log_of(path).write_bytes(log_of(path).read_bytes().replace(b"Container 'n'", b"Container 'x'"))
    left = files(path)
    for change in uses(path):
        with pytest.raises(StateDamagedError, match="line 6: the hash of entry 6 does not fit"):
            change()
    assert left == files(path)


def test_damage_in_entries_that_the_document_contains_is_no_obstacle(path: Path) -> None:
    """``verify`` reports it; the state is complete."""
    in_validation(path)
    log_of(path).write_bytes(log_of(path).read_bytes().replace(b"'NotStarted'", b"'notstarted'"))
    MigrationTracker(path).add_processed_container("n", "id")
    assert containers(path) == ["n"]
    assert [(problem.kind, problem.line) for problem in MigrationTracker(path).verify().problems] == [
        ("changed", 2)
    ]


REFUSED: dict[str, tuple[str, type[Exception], str]] = {
    "empty": ("", StateDamagedError, "it is empty. Restore it from a copy"),
    "cut": ('{"phase": "Valid', StateDamagedError, "it is not a migration state (Unterminated string"),
    "a list": (
        "[]",
        StateDamagedError,
        "it is not a migration state (expected a JSON object, found a list)",
    ),
    "newer": (
        '{"phase":"Validation","metadata":{"version":"3.0"}}',
        StateVersionError,
        "it was written in version 3.0 of the format, and this program knows versions up to 2.0",
    ),
    "unknown phase": (
        '{"phase":"Done"}',
        StateDamagedError,
        "it is not a migration state ('phase' is 'Done'",
    ),
}


@pytest.mark.parametrize(("content", "error", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_a_document_that_cannot_be_used_is_refused_and_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch, content: str, error: type[Exception], sentence: str
) -> None:
    """Readers and writers are refused; ``--force`` sets the document aside byte for byte."""
    monkeypatch.setattr("pytest_migration_state.storage.files.document_file.EMPTY_PATIENCE", 0.05)
    path.write_text(content, "utf-8")
    for change in uses(path, create=True):
        with pytest.raises(error) as caught:
            change()
        assert f"{path}: {sentence}" in str(caught.value)
        assert content == path.read_text("utf-8")
    notices: list[str] = []
    MigrationTracker(path, notify=notices.append).initialize(force=True)
    assert [content] == [
        entry.read_text("utf-8") for entry in path.parent.iterdir() if ".replaced-" in entry.name
    ]
    assert (read(path)["phase"], len(notices)) == ("NotStarted", 1)


def test_a_folder_instead_of_a_document_is_refused(path: Path) -> None:
    """The error says what to name instead."""
    path.mkdir()
    with pytest.raises(
        StateDamagedError, match=r"this is a folder; name the state file in it, such as migration-state\.json"
    ):
        MigrationTracker(path, create=True).add_processed_container("n", "id")


def test_a_missing_state_is_refused_or_created(path: Path) -> None:
    """Readers and writers are refused, unless they may create it; then its folder is created too."""
    deep = path.parent / "a" / "b" / DOCUMENT
    for change in uses(deep):
        with pytest.raises(
            StateNotFoundError,
            match="there is no migration state here; check the path, or begin one: migration-state init -s ",
        ):
            change()
    assert not deep.parent.exists()
    notices: list[str] = []
    MigrationTracker(deep, create=True, notify=notices.append).add_processed_container("n", "id")
    assert (["n"], [f"{deep}: created, in phase NotStarted"]) == (containers(deep), notices)


# --- documents of other programs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATES)
def test_a_document_of_powershell_is_adopted_unchanged(tmp_path: Path, name: str) -> None:
    """The first write adds what is missing, and changes nothing else."""
    path = sample(name, tmp_path)
    before = MigrationTracker(path).read().to_object()
    MigrationTracker(path).write_audit("Note", "adopted")
    after = read(path)
    added = {"metadata", "last_updated"}
    assert {key: before[key] for key in before if key not in added} == {
        key: after[key] for key in after if key not in added
    }
    assert before["metadata"] == {key: after["metadata"][key] for key in before["metadata"]}
    assert {"version", "migration_type", "platform", "migration_id", "revision", "audit"} <= set(
        after["metadata"]
    )
    entry, _ = (json.loads(line) for line in lines(path)[-2:])
    assert (entry["action"], entry["data"]["adopted"]["phase"]) == ("ExternalChange", after["phase"])


def test_a_document_that_names_no_entry_is_compared_with_the_beginning(path: Path, notices: Notices) -> None:
    """Whoever wrote it knew nothing of the log: what it lacks stays, and its phase is refused."""
    tracker = in_validation(path)
    tracker.add_processed_container("n", "id")
    metadata = read(path)["metadata"]
    del metadata["audit"]
    edit(path, metadata=metadata, docker_containers_removed=[], phase="NativeDeployment")
    notices.tracker(path).add_processed_container("m", "id")
    assert (containers(path), read(path)["phase"], read(path)["metadata"]["audit"]["seq"]) == (
        ["n", "m"],
        "Validation",
        7,
    )


@pytest.mark.parametrize("flavour", ["7", "5.1"])
def test_changes_of_both_sides_stay(path: Path, flavour: str) -> None:
    """PowerShell writes a copy that lacks the newest entries; they are replayed on top of its change."""
    in_validation(path)
    store, other = files_of(path), PowerShellWriter(path, flavour)
    with store.hold(reuse=True):
        append(store, container("first"))
    other.container("powershell", "id")
    with store.hold(reuse=True):
        append(store, container("second"))
        store.checkpoint()
    assert {"first", "powershell", "second"} == set(containers(path))
    assert MigrationTracker(path).verify().sound


def test_a_checkpoint_that_fails_after_reading_a_change_does_not_lose_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that goes on afterwards, as a run does, has the change in its document too."""
    in_validation(path).close()
    files = files_of(path)
    with files.hold():
        files.stage(container("a"))
        files.commit()
        PowerShellWriter(path).result("guardian-hive", "test_1", "False")
        with monkeypatch.context() as patch:
            patch.setattr("pytest_migration_state.storage.files.document_file.replace", refuse)
            with pytest.raises(StateWriteError, match="cannot be written"):
                files.checkpoint()
    with files.hold(reuse=True):
        files.stage(container("b"))
        files.commit()
        files.checkpoint()
    files.close()
    assert [result["passed"] for result in read(path)["validation_results"]] == [False]
    assert MigrationTracker(path).verify().problems == ()


def test_a_document_that_cannot_be_merged_is_never_replaced(path: Path, tmp_path: Path) -> None:
    """Another state was put in its place during a run: each group refuses it, not only the first."""
    in_validation(path)
    in_validation(tmp_path / "other" / DOCUMENT).add_processed_container("x", "id")
    store = files_of(path)
    with store.hold(reuse=True):
        append(store, container("a"))
    path.write_bytes((tmp_path / "other" / DOCUMENT).read_bytes())
    before = path.read_bytes()
    for _ in range(2):
        with (
            pytest.raises(StateDamagedError, match="the log belongs to another state"),
            store.hold(reuse=True),
        ):
            append(store, container("b"))
    assert before == path.read_bytes()


# --- init ---------------------------------------------------------------------------------------------------


def test_init_on_a_state_is_refused(path: Path) -> None:
    """It is carried out only if it is forced."""
    tracker = in_validation(path)
    before = files(path)
    with pytest.raises(
        StateExistsError,
        match="there is a migration state already; use it, or set it aside with --force",
    ):
        tracker.initialize()
    assert before == files(path)


def test_init_by_force_keeps_the_old_document_and_continues_the_log(path: Path, notices: Notices) -> None:
    """The document is kept unchanged under another name."""
    in_validation(path)
    before = path.read_bytes()
    notices.tracker(path).initialize(force=True)
    aside = [entry for entry in path.parent.iterdir() if ".replaced-" in entry.name]
    assert [before] == [entry.read_bytes() for entry in aside]
    assert [f"{path}: the earlier document is kept as {aside[0].name}"] == notices
    assert (read(path)["phase"], len(lines(path)), actions(path)[-1]) == ("NotStarted", 6, "Initialize")
    assert MigrationTracker(path).verify().sound


@pytest.mark.parametrize("keys", [("config", "Config"), ("fähre", "FÄHRE")])
def test_keys_that_powershell_does_not_distinguish_are_refused(path: Path, keys: tuple[str, str]) -> None:
    """Every PowerShell function would fail on the document."""
    tracker = in_validation(path)
    tracker.add_preserved_data(keys[0], "/a")
    with pytest.raises(
        InvalidArgumentError,
        match="already exists and differs only in case, which PowerShell does not distinguish",
    ):
        tracker.add_preserved_data(keys[1], "/b")
    assert {keys[0]: "/a"} == read(path)["data_preserved"]


# --- the operating system -----------------------------------------------------------------------------------


def test_a_symbolic_link_is_followed_and_stays_one(path: Path, tmp_path: Path) -> None:
    """Log and lock are beside the link's target."""
    real = tmp_path / "real" / DOCUMENT
    real.parent.mkdir()
    path.symlink_to(real)
    in_validation(path).add_processed_container("n", "id")
    assert (path.is_symlink(), containers(real), (real.parent / "migration-audit.log").exists()) == (
        True,
        ["n"],
        True,
    )
    assert [path.name, "real"] == names_in(tmp_path)


@pytest.mark.skipif(on_windows(), reason="a file there has no mode")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o666])
def test_the_documents_mode_is_kept(path: Path, mode: int) -> None:
    """The permissions of other users do not change."""
    tracker = in_validation(path)
    path.chmod(mode)
    tracker.add_processed_container("n", "id")
    assert mode == stat.S_IMODE(path.stat().st_mode)


def test_new_files_have_the_mode_that_the_umask_gives(path: Path) -> None:
    """The same as for the files of any program."""
    old = os.umask(0o027)
    try:
        in_validation(path)
    finally:
        os.umask(old)
    assert {0o640} == {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}


def test_temporary_files_of_killed_writers_are_removed(path: Path) -> None:
    """Files of other programs stay."""
    tracker = in_validation(path)
    left, stays = (
        path.with_name(f"{path.name}.tmp-0123456789abcdef"),
        path.with_name("other.json.tmp-0123456789abcdef"),
    )
    left.write_bytes(b"{")
    stays.write_bytes(b"{")
    tracker.add_processed_container("n", "id")
    assert (left.exists(), stays.exists()) == (False, True)


def test_a_link_instead_of_the_lock_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Nothing is written to its target."""
    target = tmp_path / "target"
    path.with_name(f"{DOCUMENT}.lock").symlink_to(target)
    with pytest.raises(StateWriteError, match="the lock file cannot be opened"):
        MigrationTracker(path).initialize()
    assert not target.exists()


def test_a_lock_that_stays_held_is_an_error_that_names_the_holder(path: Path) -> None:
    """Only writers get it, after the timeout."""
    in_validation(path).close()
    holder = files_of(path)
    with holder.hold():
        waiting = MigrationTracker(path, lock_timeout=0.1)
        assert waiting.state.phase == "Validation"
        with pytest.raises(StateLockedError) as caught:
            waiting.add_processed_container("n", "id")
    error = caught.value
    assert (f"{path}.lock", 0.1) == (error.path, error.timeout)
    assert str(error.holder).startswith(f"process {os.getpid()} on ")
    waiting.add_processed_container("n", "id")
    assert containers(path) == ["n"]


def test_a_log_that_cannot_be_written_is_no_obstacle(path: Path, notices: Notices) -> None:
    """The document is written, with a warning. Later the log says what is missing in it."""
    in_validation(path)
    aside = log_of(path).rename(path.with_name("aside"))
    log_of(path).mkdir()
    tracker = notices.tracker(path)
    tracker.add_processed_container("n", "id")
    tracker.add_processed_container("m", "id")
    assert (containers(path), names(tracker), read(path)["metadata"]["unlogged_changes"]) == (
        ["n", "m"],
        ["n", "m"],
        2,
    )
    assert notices
    assert all("migration-audit.log" in notice for notice in notices)
    log_of(path).rmdir()
    aside.rename(log_of(path))
    tracker.add_processed_container("o", "id")
    assert actions(path)[-3:] == ["Recovered", "ExternalChange", "ContainerProcessed"]
    assert (
        tracker.read_audit()[-3].details
        == "2 changes only in the document: the log was not writable at the time"
    )
    assert (containers(path), read(path)["metadata"].get("unlogged_changes")) == (["n", "m", "o"], None)


@pytest.mark.skipif(on_windows(), reason="the log is not locked there, only open")
def test_a_log_that_stays_locked_is_no_obstacle(
    path: Path, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is treated like a log that cannot be written."""
    monkeypatch.setattr("pytest_migration_state.storage.files.log_file._APPEND_PATIENCE", 0.05)
    in_validation(path)
    descriptor = os.open(log_of(path), os.O_RDONLY)
    assert lock_descriptor(descriptor, blocking=False)
    try:
        notices.tracker(path).add_processed_container("n", "id")
    finally:
        unlock_descriptor(descriptor)
        os.close(descriptor)
    assert (containers(path), len(notices)) == (["n"], 1)
    assert "another program keeps it locked" in notices[0]


@modes_bind
def test_a_read_only_folder_is_refused(path: Path) -> None:
    """The state stays whole, and is usable again when the folder is writable."""
    tracker = in_validation(path)
    tracker.close()
    before = files(path)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StateWriteError, match="the document cannot be written"):
            tracker.add_processed_container("n", "id")
    finally:
        path.parent.chmod(0o700)
    assert before[DOCUMENT] == path.read_bytes()
    tracker.add_processed_container("m", "id")
    assert "m" in containers(path)


def test_threads_share_a_tracker(path: Path) -> None:
    """Every operation of each thread is recorded once, and the chain is whole."""
    tracker = in_validation(path)

    def work(number: int) -> None:
        for count in range(10):
            tracker.add_processed_container(f"{number}-{count}", "id")

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"{number}-{count}" for number in range(4) for count in range(10)} == set(containers(path))
    assert (len(containers(path)), tracker.verify().sound) == (40, True)


def test_a_closed_tracker_opens_its_files_again(path: Path) -> None:
    """Closing a tracker does not end its use."""
    tracker = in_validation(path)
    tracker.close()
    tracker.close()
    tracker.add_processed_container("n", "id")
    assert containers(path) == ["n"]


def test_without_notify_a_notice_is_a_warning(path: Path) -> None:
    """The warning names the line that called the tracker."""
    in_validation(path)
    log_of(path).unlink()
    with pytest.warns(UserWarning, match="the audit log is gone: entries 1 to 5 are missing") as caught:
        MigrationTracker(path).add_processed_container("n", "id")
    assert [__file__] == [warning.filename for warning in caught]


def test_an_open_log_notices_that_its_file_was_emptied_and_has_grown_again(path: Path) -> None:
    """The position is then within a line. Near its end, its rest looks like a line of another program."""
    in_validation(path)
    log = AuditLogFile(log_of(path))
    log.open_to_read()
    log.read_all()
    size = log.offset
    found = []
    for at in (size - 40, size):
        log_of(path).write_bytes(b" " * (at - 1) + b"\n" + b" " * 60 + b"\n")
        found.append(log.is_current())
    log.close()
    assert found == [False, True]


@pytest.mark.skipif(on_windows(), reason="an open file cannot be replaced there")
def test_an_open_log_notices_that_its_file_was_replaced(path: Path) -> None:
    """A run must not continue to write to a log that was deleted or replaced."""
    in_validation(path)
    log = AuditLogFile(log_of(path))
    log.open_to_read()
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: log_of(path).write_bytes(log_of(path).read_bytes()),
        lambda: log_of(path).rename(path.with_name("aside")),
        lambda: log_of(path).write_bytes(b""),
    ]
    found = []
    for change in changes:
        change()
        found.append(log.is_current())
    assert found == [True, True, False, False]


def test_a_document_of_an_earlier_migration_that_is_put_back_is_kept(path: Path, notices: Notices) -> None:
    """The log goes on with the later migration, but nothing of the earlier one is overwritten."""
    in_validation(path).close()
    MigrationTracker(path, notify=lambda _: None).initialize(force=True)
    (earlier,) = path.parent.glob(f"{DOCUMENT}.replaced-*")
    content = earlier.read_bytes()
    for _ in range(2):
        path.write_bytes(content)
        earlier.unlink(missing_ok=True)
        notices.tracker(path).set_error("x")
        (earlier,) = path.parent.glob(f"{DOCUMENT}.replaced-*")
        assert earlier.read_bytes() == content
        what = "the document was that of an earlier migration, which a later one in its audit log replaced"
        assert notices.pop() == f"{path}: {what}; it is kept as {earlier.name}"
    notices.tracker(path).set_error("y")
    assert notices == []
    assert read(path)["phase"] == "NotStarted"


def test_a_file_is_kept_once(path: Path) -> None:
    """A command that is repeated does not fill the folder with copies of one document."""
    in_validation(path).close()
    names = {set_aside(path, "replaced", b"one") for _ in range(3)}
    assert len(names) == 1
    assert set_aside(path, "replaced", b"two") not in names
    assert len(list(path.parent.glob(f"{DOCUMENT}.replaced-*"))) == 2
