"""A full disk, a limit on file sizes, a read-only file system, lost permissions, a vanished folder.

Each is a clear error that leaves the earlier state complete, and work continues when the cause is gone.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import Words, run_all, start
from system_calls import killed_at_each_call, needs_strace
from writers import (
    assert_sound,
    in_validation,
    kinds_found,
    leave_journal,
    no_check,
    operation,
    quiet,
    run_at,
    tracker_at,
    write_as_run,
    written,
)

from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.errors import (
    MigrationStateError,
    StateDamagedError,
    StateNotFoundError,
    StateWriteError,
)
from pytest_migration_state.storage.files.log_lines import read_lines
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.tracking.tracker import MigrationTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOBODY = 65534
#: States as version 0.1.0 wrote them.
_STATES = Path(__file__).parent.parent / "states" / "0.1.0"
_THREE = [operation("new", number) for number in (1, 2, 3)]


def _log(state: Path) -> Path:
    return state.with_name("migration-audit.log")


def _numbers(state: Path, name: str = "new") -> list[int]:
    return written(FileStore(state, notify=quiet).read(), name)


def _kinds(state: Path) -> set[str]:
    return kinds_found(tracker_at(state))


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = folder / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", place],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a file system of its own needs the right to mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _fill(place: Path, leave: int = 0) -> Path:
    """Fill the file system, except for this number of bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            pass
        file.truncate(max(0, filler.stat().st_size - leave))
    return filler


def test_full_disk_leaves_no_partial_operation(small_disk: Path, figures: Callable[[str], None]) -> None:
    """However little space is left, an operation is complete or without effect, and work continues."""
    done = refused = 0
    for leave in range(0, 80_000, 4096):
        state = small_disk / "migration-state.json"
        in_validation(state).close()
        filler = _fill(small_disk, leave)
        try:
            tracker_at(state).commit([operation("new", number) for number in range(1, 31)])
            done += 1
            assert len(_numbers(state)) == 30
        except StateWriteError:
            refused += 1
            assert len(_numbers(state)) in {0, 30}
        there = _numbers(state)
        filler.unlink()
        tracker_at(state).commit([operation("after", 1)])
        assert _numbers(state) == there
        assert _kinds(state) <= {"unlogged_changes"}
        for path in small_disk.iterdir():
            path.unlink()
    assert done
    assert refused
    figures(
        f"{done + refused} disks with 0 to 80,000 bytes left: "
        f"{done} operations done, {refused} refused, none half"
    )


def test_full_disk_only_delays_a_run(small_disk: Path) -> None:
    """A run on a full disk reports that it could not record. When there is space, everything is recorded."""
    state = small_disk / "migration-state.json"
    run = run_at(state, "run-1")
    run.open(no_check, {})
    filler = _fill(small_disk)
    for number in range(1, 200):
        run.verdict(Verdict(("new", str(number)), passed=True))
    assert isinstance(run.failure, StateWriteError)
    assert run.unrecorded
    before = len(_numbers(state))
    assert before < 199
    filler.unlink()
    run.finish(0, {})
    assert run.failure is None
    assert run.unrecorded == []
    assert _numbers(state) == list(range(1, 200))
    assert _kinds(state) <= {"unlogged_changes"}


def test_size_limit_leaves_no_partial_operation(state: Path, figures: Callable[[str], None]) -> None:
    """Whatever the size limit of files, an operation is complete or without effect; no half line stays."""
    in_validation(state).close()
    files = {path: path.read_bytes() for path in state.parent.iterdir()}
    sizes = len(files[state]), len(files[_log(state)])
    done = refused = 0

    def limited(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            tracker_at(state).commit(_THREE)
        except StateWriteError:
            os._exit(3)

    for limit in sorted(
        {*range(0, max(sizes) + 2500, 97), *(size + delta for size in sizes for delta in (-1, 0, 1))}
    ):
        for path, content in files.items():
            path.write_bytes(content)
        status = start(partial(limited, limit)).wait()
        assert status in {0, 3}
        there = _numbers(state)
        assert there in ([1, 2, 3], []) if status else there == [1, 2, 3]
        done, refused = done + (status == 0), refused + (status == 3)
        tracker_at(state).commit([operation("after", 1)])
        assert _numbers(state) == there
        assert _kinds(state) <= {"unlogged_changes"}
    assert done
    assert refused
    figures(f"{done + refused} limits on a file's size: {done} operations done, {refused} refused, none half")


def test_killed_removal_of_a_partial_commit_has_no_effect(
    state: Path, figures: Callable[[str], None]
) -> None:
    """If a commit does not fit on the disk and the writer is killed before it removes it, nothing counts."""
    needs_strace()
    in_validation(state).close()
    files = {path: path.read_bytes() for path in state.parent.iterdir()}
    size = len(files[_log(state)])
    kills = 0

    def reset() -> None:
        for path in state.parent.iterdir():
            path.unlink()
        for path, content in files.items():
            path.write_bytes(content)

    def limited(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            tracker_at(state).commit(_THREE)
        except StateWriteError:
            return

    for limit in range(size + 50, size + 1000, 90):
        for _ in killed_at_each_call(partial(limited, limit), calls=("ftruncate",), reset=reset):
            kills += 1
            assert _numbers(state) == []
            tracker_at(state).commit(_THREE)
            assert _numbers(state) == [1, 2, 3]
            assert_sound(state)
    figures(f"{kills} kills around a commit of which the disk took a part: 0 parts counted")


def test_read_only_file_system_can_be_read(small_disk: Path) -> None:
    """On a read-only file system the state can be read, and a write is an error. Work continues later."""
    state = small_disk / "migration-state.json"
    in_validation(state).close()
    run = run_at(state, "run-1")
    run.open(no_check, {})
    run.close()
    files = {path: path.read_bytes() for path in small_disk.iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        assert tracker_at(state).state.phase == "Validation"
        assert tracker_at(state).verify().sound
        with pytest.raises(StateWriteError, match="Read-only file system"):
            tracker_at(state).commit(_THREE)
        with pytest.raises(StateWriteError, match="Read-only file system"):
            tracker_at(small_disk / "folder" / "other-state.json").commit(_THREE)
        run.verdict(Verdict(("new", "1"), passed=True))
        assert isinstance(run.failure, StateWriteError)
        assert files == {path: path.read_bytes() for path in small_disk.iterdir()}
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    run.finish(0, {})
    assert run.failure is None
    assert _numbers(state) == [1]
    assert_sound(state)


def test_dead_journal_on_a_read_only_file_system_is_read(small_disk: Path) -> None:
    """Readers add what it holds. The next command that can write takes it over."""
    state = small_disk / "migration-state.json"
    in_validation(state).close()
    journal = leave_journal(state, "new", 2)
    files = {path: path.read_bytes() for path in small_disk.iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        assert _numbers(state) == [1, 2]
        assert tracker_at(state).gate().open
        with pytest.raises(StateWriteError, match="Read-only file system"):
            tracker_at(state).commit(_THREE)
        assert files == {path: path.read_bytes() for path in small_disk.iterdir()}
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    tracker_at(state).commit([])
    assert _numbers(state) == [1, 2]
    assert not journal.exists()
    assert_sound(state)


# --- permissions


def _as_nobody(function: Callable[[], object], user: int = _NOBODY, groups: tuple[int, ...] = ()) -> None:
    """Run a function in a process without privileges. A failed assertion there fails the test."""

    def without_privileges() -> None:
        if os.geteuid() == 0:
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
        function()

    run_all([without_privileges])


@pytest.fixture
def open_folder(folder: Path) -> Path:
    """Return the folder, open to all users."""
    folder.chmod(0o777)
    return folder


def _fails(state: Path, error: type[MigrationStateError], match: str) -> None:
    with pytest.raises(error, match=match):
        tracker_at(state).commit(_THREE)


def test_read_only_folder_can_be_read(folder: Path, state: Path) -> None:
    """In a read-only folder the state can be read, a write is an error, and nothing is changed."""
    in_validation(state).close()
    before = {path: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
    folder.chmod(0o555)

    def check() -> None:
        assert tracker_at(state).state.phase == "Validation"
        match = (
            "lock file cannot be opened for writing .Permission denied"
            if state.stat().st_uid != os.geteuid()
            else "Permission denied"
        )
        _fails(state, StateWriteError, match)
        _fails(folder / "sub" / "other-state.json", StateWriteError, "Permission denied")

    _as_nobody(check)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        assert before == {path: path.read_bytes() for path in before}
    tracker_at(state).commit([operation("after", 1)])
    assert_sound(state)


def test_inaccessible_folder_is_not_a_missing_state(folder: Path, state: Path) -> None:
    """A folder that may not be entered is a separate error, and not mistaken for a missing state."""
    in_validation(state).close()
    folder.chmod(0o000)

    def check() -> None:
        _fails(state, StateWriteError, "cannot be reached|cannot be created|Permission denied")
        with pytest.raises(StateDamagedError, match="Permission denied"):
            tracker_at(state).read()
        with pytest.raises(StateWriteError, match=r"cannot be reached \(Permission denied"):
            MigrationTracker(state).set_error("x")

    _as_nobody(check)
    folder.chmod(0o755)
    assert_sound(state)


@pytest.mark.usefixtures("open_folder")
def test_unreadable_document_is_not_overwritten(state: Path) -> None:
    """A document that may not be read is an error, and is not overwritten."""
    in_validation(state).close()
    for path in state.parent.iterdir():
        path.chmod(0o666)
    state.chmod(0o000)
    content = state.stat().st_ino

    def check() -> None:
        with pytest.raises(StateDamagedError, match=r"cannot be read \(Permission denied"):
            tracker_at(state).read()
        _fails(state, StateDamagedError, "cannot be read .Permission denied")

    _as_nobody(check)
    assert state.stat().st_ino == content
    state.chmod(0o644)
    assert_sound(state)


@pytest.mark.usefixtures("open_folder")
@pytest.mark.parametrize("mode", [0o444, 0o000], ids=["readable", "unreadable"])
def test_unwritable_log_is_a_warning(state: Path, mode: int) -> None:
    """A log that cannot be written is a warning. The document is written, and later the log says so."""
    in_validation(state).close()
    for path in state.parent.iterdir():
        path.chmod(0o666)
    _log(state).chmod(mode)
    words = Words()

    def check() -> None:
        tracker = MigrationTracker(state, notify=words.say)
        for request in _THREE:
            tracker.commit([request])
        run = run_at(state, "run-1")
        run.open(no_check, {})
        run.verdict(Verdict(("run", "1"), passed=True))
        assert run.failure is None
        run.finish(0, {})
        assert run.failure is None

    _as_nobody(check)
    said = words.heard()
    assert said
    assert all(
        "the audit log cannot be written (Permission denied); the document is written directly" in line
        for line in said
    )
    words.close()
    assert _numbers(state) == [1, 2, 3]
    assert _numbers(state, "run") == [1]
    _log(state).chmod(0o644)
    tracker_at(state).commit([operation("after", 1)])
    details = [line.content["details"] for line in read_lines(_log(state)) if line.content]
    # Three operations, and start, verdict and end of the run.
    assert sum("6 changes only in the document" in text for text in details) == 1
    assert _kinds(state) == {"unlogged_changes"}
    tracker_at(state).commit([operation("after", 2)])
    assert sum("only in the document" in text for text in details) == 1


def test_folder_in_place_of_the_log_is_a_warning(state: Path) -> None:
    """A folder in place of the log is a warning. The document is written, and the log is used again later."""
    tracker_at(state).commit([operation("before", 1)])
    _log(state).rename(state.with_name("kept"))
    _log(state).mkdir()
    notices: list[str] = []
    MigrationTracker(state, notify=notices.append).commit(_THREE)
    assert len(notices) == 1
    assert "the audit log cannot be written" in notices[0]
    assert _numbers(state) == [1, 2, 3]
    _log(state).rmdir()
    state.with_name("kept").rename(_log(state))
    write_as_run(state, "run", 3)
    assert _kinds(state) == {"unlogged_changes"}
    assert _numbers(state) == [1, 2, 3]


def test_changes_of_both_are_kept_without_a_log(state: Path) -> None:
    """Without a writable log, the changes of another tool and those of the run are both kept."""
    run = run_at(state, "run")
    run.open(no_check, {})
    _log(state).rename(state.with_name("kept"))
    _log(state).mkdir()
    for number in range(1, 5):
        run.verdict(Verdict(("new", str(number)), passed=True))
        document = json.loads(state.read_bytes())
        document["docker_containers_removed"].append({"name": "foreign", "id": str(number)})
        state.write_text(json.dumps(document))
    run.finish(0, {})
    assert run.failure is None
    assert _numbers(state) == _numbers(state, "foreign") == [1, 2, 3, 4]
    # Four verdicts, and the end of the run.
    assert json.loads(state.read_bytes())["metadata"]["unlogged_changes"] == 5


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_special_file_as_log_blocks_no_writer(state: Path, kind: str) -> None:
    """A pipe or a device in place of the log blocks no writer, and is a warning."""
    tracker_at(state).commit([operation("before", 1)])
    _log(state).unlink()
    if kind == "pipe":
        os.mkfifo(_log(state))
    else:
        _log(state).symlink_to("/dev/null")
    notices: list[str] = []
    MigrationTracker(state, notify=notices.append).commit(_THREE)
    reason = {"pipe": "it is a pipe and not a regular file", "device": "it is a symbolic link"}[kind]
    assert any(reason in notice for notice in notices)
    assert _numbers(state) == [1, 2, 3]
    # Without either file it is unknown whether there was a migration, so no new one is begun.
    state.unlink()
    _fails(state, StateDamagedError, "cannot be read; restore the document from a copy, or begin again")


# --- vanishing files


def test_vanished_folder_is_an_error(folder: Path) -> None:
    """A folder that vanishes during a run is an error. If it comes back in time, nothing is lost."""
    state = folder / "place" / "migration-state.json"
    run = run_at(state, "run-1")
    run.open(no_check, {})
    run.verdict(Verdict(("new", "1"), passed=True))
    state.parent.rename(folder / "elsewhere")
    run.verdict(Verdict(("new", "2"), passed=True))
    run.retry()
    assert "No such file or directory" in str(run.failure)
    with pytest.raises(StateNotFoundError):
        MigrationTracker(state).read()
    (folder / "elsewhere").rename(state.parent)
    run.verdict(Verdict(("new", "3"), passed=True))
    run.finish(0, {})
    assert run.failure is None
    assert _numbers(state) == [1, 2, 3]
    assert "unlogged_changes" not in tracker_at(state).read().metadata
    assert_sound(state)


def test_empty_folder_receives_the_whole_state(folder: Path) -> None:
    """If document and log are both gone, a run writes the complete state again, and the log reports it."""
    state = folder / "place" / "migration-state.json"
    tracker_at(state).commit([operation("before", 1)])
    run = run_at(state, "run-1")
    run.open(no_check, {})
    run.verdict(Verdict(("new", "1"), passed=False))
    shutil.rmtree(state.parent)
    state.parent.mkdir()
    run.verdict(Verdict(("new", "2"), passed=True))
    run.finish(0, {})
    assert run.failure is None
    assert _numbers(state) == [1, 2]
    assert _numbers(state, "before") == [1]
    assert _kinds(state) == {"loss_reported"}


def test_deleted_document_is_written_again(state: Path) -> None:
    """A document that is deleted during a run or between two runs is written again."""
    write_as_run(state, "one", 3)
    run = run_at(state, "two")
    run.open(no_check, {})
    run.verdict(Verdict(("two", "1"), passed=True))
    state.unlink()
    run.verdict(Verdict(("two", "2"), passed=True))
    run.finish(0, {})
    assert run.failure is None
    assert _numbers(state, "two") == [1, 2]
    state.unlink()
    write_as_run(state, "three", 3)
    assert _numbers(state, "one") == _numbers(state, "three") == [1, 2, 3]
    assert_sound(state)


@pytest.mark.parametrize("left", [0, -2], ids=["gone", "cut"])
def test_log_that_was_begun_again_holds_the_whole_state(state: Path, left: int) -> None:
    """A run that finds its log gone or cut puts the whole document on record, so it can be rebuilt."""
    write_as_run(state, "one", 3)
    lines = _log(state).read_bytes().splitlines(keepends=True)
    _log(state).unlink()
    if left:
        _log(state).write_bytes(b"".join(lines[:left]))
    write_as_run(state, "two", 3)
    state.unlink()
    write_as_run(state, "three", 3)
    for name in ("one", "two", "three"):
        assert _numbers(state, name) == [1, 2, 3]


def test_rebuilding_needs_the_whole_log(state: Path) -> None:
    """A document is not rebuilt from a log that has lost entries, because it would silently lack verdicts.

    Version 0.1.0 left such logs.
    """
    shutil.copytree(_STATES / "log_begun_again", state.parent, dirs_exist_ok=True)
    state.unlink()
    why = r"does not reach back to its beginning.*restore the document from a copy"
    with pytest.raises(StateDamagedError, match=why):
        tracker_at(state).read()
    _fails(state, StateDamagedError, "restore the document from a copy, or begin again")
    tracker_at(state).initialize(force=True)
    write_as_run(state, "three", 3)
    assert _numbers(state, "three") == [1, 2, 3]


# --- modes and links


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_modes_are_kept(state: Path) -> None:
    """New files have the mode of the umask. A changed mode of document or log is kept, also by copies."""

    def check() -> None:
        os.umask(0o027)
        tracker_at(state).commit(_THREE)
        assert {path.name: _mode(path) for path in state.parent.iterdir()} == dict.fromkeys(
            ("migration-state.json", "migration-audit.log", "migration-state.json.lock"), 0o640
        )
        os.umask(0o022)
        state.chmod(0o600)
        _log(state).chmod(0o600)
        with _log(state).open("ab") as file:
            file.write(b'{"torn')
        tracker_at(state).initialize(force=True)
        write_as_run(state, "run", 3)
        names = {
            path.name.partition(".json.replaced-")[0].partition(".log.torn-")[0]: _mode(path)
            for path in state.parent.iterdir()
        }
        assert {name: mode for name, mode in names.items() if not name.endswith(".lock")} == {
            "migration-state": 0o600,
            "migration-audit": 0o600,
            "migration-state.json": 0o600,
            "migration-audit.log": 0o600,
        }

    run_all([check])


@pytest.mark.skipif(os.geteuid() != 0, reason="two users need root")
def test_two_users_of_one_group_can_write(folder: Path, figures: Callable[[str], None]) -> None:
    """Two users of a group can write a state of the group concurrently, and it keeps its group."""
    group = 65533
    state = folder / "migration-state.json"
    folder.parent.stat()
    os.chown(folder, 0, group)
    folder.chmod(0o2770)

    def write(name: str) -> None:
        os.umask(0o002)
        write_as_run(state, name, 60)
        tracker_at(state).commit([operation(name, 63)])

    run_all([partial(_as_nobody, partial(write, f"user-{user}"), user, (group,)) for user in (65531, 65532)])
    assert _numbers(state, "user-65531") == _numbers(state, "user-65532") == [*range(1, 61), 63]
    assert {path.stat().st_gid for path in folder.iterdir()} == {group}
    assert_sound(state)
    figures("two users of one group: 122 of 122 writes there")


def test_symbolic_link_stays_a_link(folder: Path) -> None:
    """A link to the state remains a link. Log and lock are beside its target, whichever path is used."""
    real = folder / "real" / "migration-state.json"
    link = folder / "link.json"
    link.symlink_to(real)
    write_as_run(link, "by-link", 3)
    write_as_run(real, "by-name", 3)
    assert link.is_symlink()
    assert not real.is_symlink()
    assert _numbers(real, "by-link") == _numbers(link, "by-name") == [1, 2, 3]
    assert sorted(path.name for path in folder.iterdir()) == ["link.json", "real"]
    assert_sound(real)


def test_planted_links_are_not_followed(folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in place of the lock, or of a temporary file whose name was guessed, is not followed."""
    tracker_at(state).commit(_THREE)
    victim = folder / "victim"
    victim.write_text("untouched")
    guessed = "0123456789abcdef"
    monkeypatch.setattr("secrets.token_hex", lambda _: guessed)
    planted = state.with_name(f"{state.name}.tmp-{guessed}")
    run = run_at(state, "run-1")
    run.open(no_check, {})
    planted.symlink_to(victim)
    run.finish(0, {})
    assert isinstance(run.failure, StateWriteError)
    assert victim.read_text() == "untouched"
    # The temporary files of killed writers are deleted, and so is the link itself.
    tracker_at(state).commit([operation("after", 1)])
    assert not planted.is_symlink()
    lock = state.with_name(f"{state.name}.lock")
    lock.unlink()
    lock.symlink_to(victim)
    _fails(state, StateWriteError, "lock file cannot be opened")
    assert victim.read_text() == "untouched"
