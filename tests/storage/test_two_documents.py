"""Two documents that lead to one log name: the log has one owner, and the other document is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from powershell_writer import PowerShellWriter
from pytest_migration_state import MigrationTracker, StateDamagedError, StateNotFoundError
from pytest_migration_state.domain.events import container_removed
from pytest_migration_state.domain.run_plan import RunPlan
from pytest_migration_state.domain.verdict import Verdict
from pytest_migration_state.storage.files import owner
from pytest_migration_state.storage.files.paths import StatePaths
from pytest_migration_state.storage.opening import open_store
from pytest_migration_state.tracking.run_writer import RunWriter
from state_files import in_validation, lines, log_of, read

if TYPE_CHECKING:
    from collections.abc import Callable

STATES = Path(__file__).parent.parent / "states"
ONE, OTHER = "a-state.json", "a.json"
OWNED = r"a\.json: its audit log a-audit\.log is that of a-state\.json, which is in the same folder; "
GONE = r"its audit log a-audit\.log is that of a-state\.json, which is not in the folder; "


def begin_run(path: Path) -> None:
    """Begin a run of tests, as the plugin does."""
    open_store(path, notify=lambda _: None).begin_run(
        "r", lambda _: [container_removed("2026-01-15T09:10:00Z", "n", "id")]
    )


#: Everything that loads a state.
USES: dict[str, Callable[[Path], object]] = {
    "read": lambda path: MigrationTracker(path).state,
    "gate": lambda path: MigrationTracker(path).gate(),
    "verify": lambda path: MigrationTracker(path).verify(),
    "write": lambda path: MigrationTracker(path).add_processed_container("n", "id"),
    "create": lambda path: MigrationTracker(path, create=True).add_processed_container("n", "id"),
    "run": begin_run,
    "init": lambda path: MigrationTracker(path).initialize(),
    "init --force": lambda path: MigrationTracker(path).initialize(force=True),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


def quiet(path: Path) -> MigrationTracker:
    """Return the tracker of a state whose warnings do not matter here."""
    return MigrationTracker(path, notify=lambda _: None)


def by_powershell(path: Path) -> MigrationTracker:
    """Return the tracker of a state that PowerShell began."""
    PowerShellWriter(path).initialize()
    return quiet(path)


def without_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to a state of PowerShell as version 0.1.0 did: no entry names an owner."""
    with monkeypatch.context() as patch:
        patch.setattr(owner, "check", lambda _: None)
        by_powershell(path).add_processed_container("n", "id")


def files(folder: Path) -> dict[str, bytes]:
    """Return every file in the folder; of a lock file, only that it is there."""
    return {path.name: b"" if path.suffix == ".lock" else path.read_bytes() for path in folder.iterdir()}


def data_of_last(path: Path) -> dict[str, Any]:
    """Return the data of the last entry in the log."""
    found: dict[str, Any] = json.loads(lines(path)[-1])["data"]
    return found


def refuses(use: Callable[[Path], object], path: Path, sentence: str) -> None:
    """Check that a use of the state is refused with this sentence and changes nothing."""
    before = files(path.parent)
    with pytest.raises(StateDamagedError, match=sentence):
        use(path)
    assert before == files(path.parent)


# --- a second document --------------------------------------------------------------------------------------


@every_use
def test_a_second_document_cannot_be_created(tmp_path: Path, use: Callable[[Path], object]) -> None:
    """Not even by force: the log is that of the first."""
    in_validation(tmp_path / ONE)
    refuses(use, tmp_path / OTHER, OWNED + "give this state another name or a folder of its own")


@every_use
def test_a_copy_under_another_name_is_refused(tmp_path: Path, use: Callable[[Path], object]) -> None:
    """It names an entry of the log, but it is not the document of the log's owner."""
    in_validation(tmp_path / ONE)
    shutil.copy(tmp_path / ONE, tmp_path / OTHER)
    (tmp_path / f"{OTHER}.lock").touch()
    refuses(use, tmp_path / OTHER, OWNED)


@every_use
def test_a_second_document_of_powershell_is_refused(tmp_path: Path, use: Callable[[Path], object]) -> None:
    """The first entry in the log of an adopted state names its owner."""
    by_powershell(tmp_path / OTHER)
    by_powershell(tmp_path / ONE).add_processed_container("n", "id")
    assert (len(lines(tmp_path / ONE)), data_of_last(tmp_path / ONE)["owner"]) == (2, ONE)
    refuses(use, tmp_path / OTHER, OWNED)


@pytest.mark.parametrize("use", [USES["create"], USES["run"], USES["init"], USES["init --force"]])
def test_a_state_beside_one_without_a_log_cannot_be_created(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    """PowerShell began the other state, and wrote its lines to a log of another name."""
    by_powershell(tmp_path / ONE)
    refuses(use, tmp_path / OTHER, OWNED)


def test_files_that_are_no_state_are_no_obstacle(tmp_path: Path) -> None:
    """Other programs have files of such names too."""
    (tmp_path / ONE).write_text('{"name": "a"}', "utf-8")
    in_validation(tmp_path / OTHER)
    assert MigrationTracker(tmp_path / OTHER).state.phase == "Validation"


def test_a_link_to_the_document_is_no_second_one(tmp_path: Path) -> None:
    """Both names are those of one state."""
    in_validation(tmp_path / ONE)
    (tmp_path / OTHER).symlink_to(tmp_path / ONE)
    quiet(tmp_path / OTHER).add_processed_container("n", "id")
    assert [item["name"] for item in read(tmp_path / ONE)["docker_containers_removed"]] == ["n"]


# --- a log that names no owner ------------------------------------------------------------------------------


def test_a_state_of_the_first_release_is_given_an_owner(tmp_path: Path) -> None:
    """One entry of its own says so, before the first change."""
    shutil.copytree(STATES / "0.1.0" / "powershell_7_6_adopted", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "migration-state.json"
    before = len(lines(path))
    for name in ("n", "m"):
        quiet(path).add_processed_container(name, "id")
    _, *added = (json.loads(line) for line in lines(path)[before:])
    assert [entry["action"] for entry in added] == ["Recovered", "ContainerProcessed", "ContainerProcessed"]
    assert [entry["data"].get("owner") for entry in added] == [path.name, None, None]
    sentence = "This log named no owner: it is the log of 'migration-state.json' from here on"
    assert added[0]["details"] == sentence


def test_the_document_that_names_an_entry_is_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of version 0.1.0 names no owner, and one of two documents is in it."""
    without_owner(tmp_path / ONE, monkeypatch)
    by_powershell(tmp_path / OTHER)
    assert quiet(tmp_path / ONE).gate().blockers
    refuses(USES["gate"], tmp_path / OTHER, OWNED)
    refuses(USES["write"], tmp_path / OTHER, OWNED)


@every_use
@pytest.mark.parametrize("name", [ONE, OTHER])
def test_a_log_that_two_documents_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: Callable[[Path], object]
) -> None:
    """Version 0.1.0 wrote the entries of both, and none says whose it is."""
    without_owner(tmp_path / ONE, monkeypatch)
    without_owner(tmp_path / OTHER, monkeypatch)
    (other,) = {ONE, OTHER} - {name}
    sentence = (
        rf"its audit log a-audit\.log holds entries of {other} in the same folder too, and names no owner"
    )
    refuses(use, tmp_path / name, sentence)


def test_a_log_that_is_begun_again_names_its_owner(tmp_path: Path) -> None:
    """Its first change does."""
    in_validation(tmp_path / ONE)
    log_of(tmp_path / ONE).unlink()
    quiet(tmp_path / ONE).add_processed_container("n", "id")
    assert (len(lines(tmp_path / ONE)), data_of_last(tmp_path / ONE)["owner"]) == (3, ONE)


def test_the_owner_is_named_again_in_a_long_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load searches the log from its end."""
    tracker = in_validation(tmp_path / ONE)
    monkeypatch.setattr(owner, "_NEAR", 500)
    for expected in (ONE, None):
        tracker.add_processed_container("n", "id")
        assert data_of_last(tmp_path / ONE).get("owner") == expected
    shutil.copy(tmp_path / ONE, tmp_path / OTHER)
    refuses(USES["gate"], tmp_path / OTHER, OWNED)


def test_a_long_run_names_the_owner_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdicts alone may make the log long: what it writes last names the owner."""
    path = tmp_path / ONE
    in_validation(path).close()
    monkeypatch.setattr(owner, "_NEAR", 2000)
    with closing(RunWriter(path, "r", notify=lambda _: None)) as run:
        run.open(lambda _: None, {})
        run.plan(RunPlan([]))
        for number in range(20):
            run.verdict(Verdict(("c", str(number)), passed=True))
        run.finish(0, {})
    assert data_of_last(path)["owner"] == ONE


# --- a document with another name ---------------------------------------------------------------------------


def test_a_renamed_document_takes_its_log_with_it(tmp_path: Path) -> None:
    """Readers accept it while no other document has the old name. The first writer puts it on record."""
    in_validation(tmp_path / ONE)
    (tmp_path / ONE).rename(tmp_path / OTHER)
    before = files(tmp_path)
    assert MigrationTracker(tmp_path / OTHER).state.phase == "Validation"
    assert before == files(tmp_path)
    quiet(tmp_path / OTHER).add_processed_container("n", "id")
    entry = json.loads(lines(tmp_path / OTHER)[-2])
    assert (
        entry["details"]
        == "The document 'a-state.json' was renamed: this is the log of 'a.json' from here on"
    )
    assert entry["data"] == {"owner": OTHER}
    assert MigrationTracker(tmp_path / OTHER).verify().sound
    refuses(USES["create"], tmp_path / ONE, r"its audit log a-audit\.log is that of a\.json, which is in")


@pytest.mark.parametrize("move", [shutil.move, shutil.copy], ids=["renamed", "copied"])
def test_a_document_may_be_renamed_or_copied_with_its_log(
    tmp_path: Path, move: Callable[[Path, Path], object]
) -> None:
    """Its log is one of its own then, even if the old document is still there."""
    in_validation(tmp_path / ONE)
    move(log_of(tmp_path / ONE), log_of(tmp_path / "b.json"))
    move(tmp_path / ONE, tmp_path / "b.json")
    quiet(tmp_path / "b.json").add_processed_container("n", "id")
    assert MigrationTracker(tmp_path / "b.json").verify().sound


def test_a_renamed_document_is_rebuilt(tmp_path: Path) -> None:
    """The log says whose it is now."""
    in_validation(tmp_path / ONE)
    (tmp_path / ONE).rename(tmp_path / OTHER)
    quiet(tmp_path / OTHER).add_processed_container("n", "id")
    (tmp_path / OTHER).unlink()
    assert [item.name for item in quiet(tmp_path / OTHER).state.docker_containers_removed] == ["n"]


def test_an_old_copy_in_place_of_a_missing_document_is_brought_up_to_date(tmp_path: Path) -> None:
    """It is not green where the log is red."""
    tracker = in_validation(tmp_path / ONE)
    tracker.add_validation_result("db", "dump", passed=True)
    shutil.copy(tmp_path / ONE, tmp_path / OTHER)
    tracker.add_validation_result("db", "dump", passed=False)
    (tmp_path / ONE).unlink()
    assert [blocker.kind for blocker in quiet(tmp_path / OTHER).gate().blockers] == ["failed"]


@every_use
def test_a_document_that_is_not_in_the_log_does_not_get_it(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    """The document of the log is gone, and this one is of another migration."""
    in_validation(tmp_path / ONE)
    (tmp_path / ONE).unlink()
    by_powershell(tmp_path / OTHER)
    refuses(
        use, tmp_path / OTHER, GONE + r"rename this document to a-state\.json if it is the same migration"
    )


@every_use
def test_a_new_state_does_not_get_the_log_of_a_missing_document(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    """The missing document can be rebuilt from it."""
    in_validation(tmp_path / ONE)
    (tmp_path / ONE).unlink()
    refuses(use, tmp_path / OTHER, GONE + r"go on with a-state\.json, give this state another name")
    log_of(tmp_path / ONE).rename(tmp_path / "moved.log")
    with pytest.raises(StateNotFoundError):
        MigrationTracker(tmp_path / OTHER).gate()


# --- file systems that ignore case --------------------------------------------------------------------------


def test_names_that_differ_only_in_case_are_one_document_where_case_is_ignored(tmp_path: Path) -> None:
    """The log in other case stands for such a file system."""
    in_validation(tmp_path / ONE)
    (tmp_path / ONE).rename(tmp_path / "a-state.JSON")
    (tmp_path / "A-AUDIT.LOG").symlink_to(log_of(tmp_path / ONE))
    quiet(tmp_path / "a-state.JSON").add_processed_container("n", "id")
    assert "owner" not in data_of_last(tmp_path / ONE)
    assert len(lines(tmp_path / ONE)) == 6


def test_the_log_name_follows_from_the_document_as_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another spelling would lead to another log. Hard links stand for a file system that ignores case."""
    path = tmp_path / "A-State.json"
    path.touch()
    for name in ("a-state.json", "A-STATE.JSON"):
        path.with_name(name).hardlink_to(path)
    assert StatePaths(path.with_name("a-state.json")).log.name == "a-audit.log"
    monkeypatch.setattr("os.listdir", lambda _: ["other", path.name])
    assert StatePaths(path.with_name("a-state.json")).log.name == "A-State-audit.log"
