"""Documents and logs that cannot be read: being written, written by two programs at once, cut, or UTF-16."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state import MigrationTracker, StateDamagedError, StateVersionError, StateWriteError
from pytest_migration_state.storage.files import document_file
from pytest_migration_state.storage.files.document_file import DocumentFile
from pytest_migration_state.storage.files.paths import StatePaths
from pytest_migration_state.storage.files.store import FileStore
from pytest_migration_state.storage.files.waiting import shut_out_others
from pytest_migration_state.storage.records import IS_UTF16
from state_files import DOCUMENT, FOREIGN, edit, files_of, in_validation, kinds, lines, log_of, read
from windows_files import on_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="flock(2) is the sign of PowerShell elsewhere")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a state in Validation, with a text beyond ASCII at the end of its document."""
    path = tmp_path_factory.mktemp("model") / DOCUMENT
    in_validation(path).close()
    edit(path, note="ação")
    # This puts the edit on record.
    MigrationTracker(path).write_audit("Note", "begun")
    return path.parent


@pytest.fixture
def path(model: Path, tmp_path: Path) -> Path:
    """A copy of the model."""
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    return tmp_path / DOCUMENT


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made while a document is read, in seconds; none is made for real."""
    made: list[float] = []
    monkeypatch.setattr(document_file, "sleep", made.append)
    return made


@contextmanager
def written_by_another(path: Path, content: bytes, seconds: float) -> Iterator[None]:
    """Hold the document as PowerShell does, with another ``content``, and write it back after some time."""
    import fcntl

    whole = path.read_bytes()
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        path.write_bytes(content)

        def finish() -> None:
            path.write_bytes(whole)
            file.close()

        timer = threading.Timer(seconds, finish)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def contents(path: Path) -> dict[str, bytes]:
    """Return every file beside the document."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}


def kept(path: Path) -> list[bytes]:
    """Return what was set aside of the document."""
    return [content for name, content in contents(path).items() if f"{DOCUMENT}.damaged-" in name]


def recovered(path: Path) -> list[str]:
    """Return the sentences about repairs in the log."""
    return [entry["details"] for entry in map(json.loads, lines(path)) if entry["action"] == "Recovered"]


# --- while another program writes it ------------------------------------------------------------------------

HALF_WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": lambda whole: whole[:300],
    "parts of two documents": lambda whole: whole[:300] + whole[100:],
    "parts that are JSON by chance": lambda whole: whole.replace(b'"phase"', b'"phases"'),
    "whole, with the remains of another one behind it": lambda whole: whole + whole[-100:],
}


@posix
@pytest.mark.parametrize("half", HALF_WRITTEN.values(), ids=HALF_WRITTEN)
@pytest.mark.parametrize("is_reader", [True, False], ids=["reader", "writer"])
def test_a_document_is_waited_for_as_long_as_another_program_writes_it(
    path: Path, half: Callable[[bytes], bytes], is_reader: bool
) -> None:
    """What it holds meanwhile does not matter, and nothing is set aside."""
    with written_by_another(path, half(path.read_bytes()), 0.3):
        if is_reader:
            assert MigrationTracker(path).state.phase == "Validation"
        else:
            MigrationTracker(path).set_error("x")
    assert (read(path)["note"], kept(path)) == ("ação", [])


@posix
@pytest.mark.parametrize("half", HALF_WRITTEN.values(), ids=HALF_WRITTEN)
def test_another_program_that_does_not_finish_is_waited_for_until_the_timeout(
    path: Path, half: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not say that the document should be moved away: its writer may still finish."""
    # It is the timeout of Windows where that is longer.
    monkeypatch.setattr(document_file, "SHARING_PATIENCE", 0.2)
    content = half(path.read_bytes())
    with written_by_another(path, content, 60):
        store = FileStore(path, lock_timeout=0.2, notify=lambda _: None)
        sentence = (
            "it cannot be read" if on_windows() else "another program has not finished with it in 0.2 s"
        )
        with pytest.raises(StateDamagedError, match=f"{sentence}.*Nothing was changed"):
            store.read()
    assert path.read_bytes() == content


CHANGING: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "parts of two documents": lambda whole: whole[:300] + whole[100:],
    "parts that are JSON by chance": lambda whole: whole.replace(b'"phase"', b'"phases"'),
    "whole, with the remains of another one behind it": lambda whole: whole + whole[-100:],
}


@pytest.mark.parametrize("half", CHANGING.values(), ids=CHANGING)
def test_a_program_without_locks_is_noticed_because_the_document_changes(
    path: Path, half: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading finds the whole document."""
    whole = path.read_bytes()
    path.write_bytes(half(whole))
    monkeypatch.setattr(document_file, "sleep", lambda _: path.write_bytes(whole))
    MigrationTracker(path).set_error("x")
    assert (read(path)["note"], kept(path)) == ("ação", [])


@pytest.mark.parametrize("content", [b'{"phase": "Valid', b"[]", b'{"phase": "Validation"}}\n'])
def test_a_document_that_nobody_writes_is_read_again_once(
    path: Path, pauses: list[float], content: bytes
) -> None:
    """A command does not wait for seconds, whatever the damage looks like."""
    path.write_bytes(content)
    try:
        FileStore(path, notify=lambda _: None).read()
    except StateDamagedError as error:
        assert error.path == str(path)  # noqa: PT017  # one of the contents is no damage
    assert set(pauses) == {document_file.READ_PAUSE}
    assert len(pauses) <= 2  # the second time if the document is read again after the log


def test_an_empty_document_is_never_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-Content empties it, closes it, and opens it again: with a lock, that fails, and it stays empty."""
    whole = path.read_bytes()
    sizes: list[int] = []

    def locked(descriptor: int, *_: float, **_more: float) -> bool:
        sizes.append(os.fstat(descriptor).st_size)
        return True

    monkeypatch.setattr(document_file, "shut_out_others", locked)
    monkeypatch.setattr(document_file, "is_let_go", locked)
    monkeypatch.setattr(document_file, "sleep", lambda _: path.write_bytes(whole))
    path.write_bytes(b"")
    assert MigrationTracker(path).state.phase == "Validation"
    store = files_of(path)
    with store.hold():
        path.write_bytes(b"")
        store.checkpoint()
    assert sizes
    assert 0 not in sizes


@posix
def test_an_empty_document_that_nobody_has_open_is_waited_for(path: Path) -> None:
    """A PowerShell that is between its two opens may get no time for a while."""
    whole = path.read_bytes()
    path.write_bytes(b"")
    timer = threading.Timer(0.3, path.write_bytes, [whole])
    timer.start()
    assert MigrationTracker(path).state.phase == "Validation"
    timer.join()


# --- the remains of a longer one ----------------------------------------------------------------------------

REMAINS = {
    "few": b"}\n",
    "twelve characters": b'a": "b" } }\n',
    "many": b'": "x", "b": [1, 2]}, {"c": null}],\n  "phase": "Completed"\n}\n',
    "cut within a character": b'\xa7\xc3\xa3o"\n}\n',
    "an object of its own": b'{"name": "x"}], "phase": "Completed"}\n',
}


@pytest.mark.parametrize("rest", REMAINS.values(), ids=REMAINS)
def test_the_document_in_front_of_the_remains_of_a_longer_one_is_used(path: Path, rest: bytes) -> None:
    """Two programs wrote it at once. A reader changes nothing, and sees what stands in front."""
    path.write_bytes(path.read_bytes() + rest)
    before = contents(path)
    tracker = MigrationTracker(path)
    assert (tracker.state.phase, tracker.verify().sound, tracker.gate().open) == ("Validation", True, False)
    assert contents(path) == before


@pytest.mark.parametrize("rest", REMAINS.values(), ids=REMAINS)
def test_the_next_writer_keeps_what_it_found_and_says_so(path: Path, rest: bytes) -> None:
    """Once: afterwards the document is whole."""
    found = path.read_bytes() + rest
    path.write_bytes(found)
    notices: list[str] = []
    for message in ("x", "y"):
        MigrationTracker(path, notify=notices.append).set_error(message)
    (name,) = (name for name in contents(path) if ".damaged-" in name)
    held = "The document also held remains of another one (two programs wrote it at once)"
    sentence = f"{held}; as found, it is kept in '{name}'"
    assert (kept(path), recovered(path)) == ([found], [sentence])
    assert notices == [f"{log_of(path)}: {sentence}"]
    assert (read(path)["note"], read(path)["error"]["message"]) == ("ação", "y")
    assert MigrationTracker(path).verify().sound


@pytest.mark.parametrize("rest", [b"", b"}\n"], ids=["alone", "with remains of a third one"])
def test_of_several_whole_documents_the_last_is_used(path: Path, rest: bytes) -> None:
    """Set-Content begins to write where another one has ended."""
    first = path.read_bytes()
    edit(path, note="the last")
    path.write_bytes(found := first + path.read_bytes() + rest)
    MigrationTracker(path, notify=lambda _: None).set_error("x")
    assert (read(path)["note"], kept(path), len(recovered(path))) == ("the last", [found], 1)


def test_remains_that_a_checkpoint_finds_are_kept_too(path: Path) -> None:
    """Two other programs wrote it after the state was read."""
    store = files_of(path)
    with store.hold():
        edit(path, note="by another")
        path.write_bytes(found := path.read_bytes() + b"}\n")
        store.checkpoint()
    assert (read(path)["note"], kept(path), len(recovered(path))) == ("by another", [found], 1)
    assert MigrationTracker(path).verify().sound


def test_remains_are_kept_where_the_log_cannot_be_written(path: Path) -> None:
    """The log cannot say so; nothing is overwritten all the same."""
    path.write_bytes(found := path.read_bytes() + b"}\n")
    log_of(path).unlink()
    log_of(path).mkdir()
    MigrationTracker(path, notify=lambda _: None).set_error("x")
    assert (kept(path), read(path)["error"]["message"]) == ([found], "x")


def test_a_document_that_cannot_be_kept_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, for example."""

    def refuse(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(document_file, "set_aside", refuse)
    path.write_bytes(found := path.read_bytes() + b"}\n")
    with pytest.raises(StateWriteError, match=r"cannot be set aside \(No space left on device\)"):
        MigrationTracker(path).set_error("x")
    assert path.read_bytes() == found


NOT_USED: dict[str, tuple[Callable[[bytes], bytes], type[Exception], str]] = {
    "no state": (lambda _: b'{"a": 1}}\n', StateDamagedError, "Extra data"),
    "nothing whole": (
        lambda whole: whole[:300] + whole[100:],
        StateDamagedError,
        "it is not a migration state",
    ),
    "marks of a merge": (lambda whole: b"<<<<<<< ours\n" + whole, StateDamagedError, "Expecting value"),
    "newer": (
        lambda _: b'{"phase": "Validation", "metadata": {"version": "9.0"}}}\n',
        StateVersionError,
        "version 9.0",
    ),
}


@pytest.mark.parametrize(("damage", "error", "sentence"), NOT_USED.values(), ids=NOT_USED)
def test_any_other_damage_is_refused_and_kept(
    path: Path, damage: Callable[[bytes], bytes], error: type[Exception], sentence: str
) -> None:
    """No command guesses what it said."""
    path.write_bytes(damage(path.read_bytes()))
    before = contents(path)
    with pytest.raises(error, match=sentence):
        MigrationTracker(path).verify()
    with pytest.raises(error, match=sentence):
        MigrationTracker(path).set_error("x")
    after = contents(path)
    # A writer leaves its name in the lock file.
    lock = f"{DOCUMENT}.lock"
    assert {**before, lock: b""} == {**after, lock: b""}


# --- UTF-16 -------------------------------------------------------------------------------------------------

ENCODINGS = [("utf-16", "Unicode"), ("utf-16-le", "Unicode"), ("utf-16-be", "BigEndianUnicode")]
USES: dict[str, Callable[[MigrationTracker], object]] = {
    "read": lambda tracker: tracker.state,
    "verify": lambda tracker: tracker.verify(),
    "write": lambda tracker: tracker.set_error("x"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(("encoding", "name"), ENCODINGS)
def test_a_document_in_utf16_is_named_with_the_command_that_converts_it(
    path: Path, use: Callable[[MigrationTracker], object], encoding: str, name: str
) -> None:
    """Windows PowerShell 5.1 writes it with ``>`` and Out-File."""
    path.write_bytes(path.read_text("utf-8").encode(encoding))
    command = f"(Get-Content -Raw -Encoding {name} '{path}') | Set-Content -Encoding utf8 '{path}'"
    with pytest.raises(StateDamagedError) as caught:
        use(MigrationTracker(path))
    sentence = f"{IS_UTF16}; convert it: {command}"
    assert str(caught.value) == f"{path}: {sentence}"


@pytest.mark.parametrize("use", [*USES.values(), lambda tracker: tracker.read_audit()], ids=[*USES, "audit"])
@pytest.mark.parametrize(("encoding", "name"), ENCODINGS)
def test_a_log_in_utf16_is_named_with_the_command_that_converts_it(
    path: Path, use: Callable[[MigrationTracker], object], encoding: str, name: str
) -> None:
    """Nothing is appended to it, and its entries are not taken for lost."""
    log = log_of(path)
    log.write_bytes(before := log.read_text("utf-8").encode(encoding))
    command = f"[IO.File]::WriteAllText('{log}', (Get-Content -Raw -Encoding {name} '{log}'))"
    with pytest.raises(StateDamagedError) as caught:
        use(MigrationTracker(path))
    sentence = f"{IS_UTF16}; convert it: {command}"
    assert (str(caught.value), log.read_bytes()) == (f"{log}: {sentence}", before)


def test_the_command_quotes_the_path_for_powershell(tmp_path: Path) -> None:
    """A quote in it is doubled."""
    path = tmp_path / "it's here" / DOCUMENT
    path.parent.mkdir()
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(StateDamagedError, match="it''s here"):
        FileStore(path, notify=lambda _: None).read()


def test_a_line_in_utf16_is_named(path: Path) -> None:
    """5.1 appends it to a log in UTF-8. The lines around it are read."""
    with log_of(path).open("ab") as log:
        log.write(FOREIGN.decode().encode("utf-16-le") + b"\r\0\n\0")
    notices: list[str] = []
    tracker = MigrationTracker(path, notify=notices.append)
    number = len(lines(path))
    assert len(tracker.read_audit()) == number - 1
    sentence = f"{IS_UTF16}; append to the log with: Add-Content -Encoding utf8"
    assert notices[0] == f"{log_of(path)}: line {number}: {sentence}"
    report = tracker.verify()
    assert kinds(report) == [("changed", number)]
    assert report.problems[0].message == f"line {number}: {sentence}"


@pytest.mark.skipif(on_windows(), reason="nothing is locked there")
def test_a_document_that_is_emptied_before_it_is_locked_is_not_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set-Content empties it, and then opens it again: kept locked, it would stay empty."""
    import fcntl

    def lock_late(descriptor: int, patience: float) -> bool:
        os.truncate(path, 0)
        return shut_out_others(descriptor, patience)

    monkeypatch.setattr(document_file, "shut_out_others", lock_late)
    with DocumentFile(StatePaths(path)).kept_from_others(0.1), path.open("rb") as again:
        fcntl.flock(again, fcntl.LOCK_SH | fcntl.LOCK_NB)


@pytest.mark.skipif(on_windows(), reason="nothing is locked there")
@pytest.mark.parametrize(("phase", "is_rebuilt"), [("Completed", True), ("RolledBack", False)])
def test_a_document_that_stays_empty_because_of_our_lock_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, *, is_rebuilt: bool
) -> None:
    """Set-Content emptied it, was refused when it opened it again, and said so. The log holds all of it.

    Before Completed the document is read again; otherwise the writer knows what it held.
    """

    def lock_late(descriptor: int, patience: float) -> bool:
        if emptied:
            os.truncate(path, emptied.pop())
        return shut_out_others(descriptor, patience)

    emptied = [0]
    tracker = MigrationTracker(path, notify=lambda _: None)
    tracker.add_validation_result("c", "t", passed=True)
    monkeypatch.setattr(document_file, "shut_out_others", lock_late)
    monkeypatch.setattr(document_file, "EMPTY_PATIENCE", 0.05)
    tracker.set_phase(phase)
    assert not emptied
    assert read(path)["phase"] == phase
    assert tracker.verify().problems == ()
    details = [entry.details for entry in tracker.read_audit() if entry.action == "Recovered"]
    rebuilt = f"The document '{path.name}' was empty and has been rebuilt from this log"
    assert details == [rebuilt] * is_rebuilt


@pytest.mark.skipif(on_windows(), reason="nothing is locked there")
def test_a_document_that_another_program_left_empty_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    monkeypatch.setattr(document_file, "EMPTY_PATIENCE", 0.05)
    with pytest.raises(StateDamagedError, match="it is empty"):
        MigrationTracker(path).set_error("x")
    assert path.read_bytes() == b""
