"""Backups: checking a manifest against its files, and recording the result."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_migration_state import InvalidArgumentError, MigrationTracker
from pytest_migration_state.importers.backup.check import check
from pytest_migration_state.importers.backup.checksum import SavedFile, digest, is_checksum
from pytest_migration_state.importers.backup.collation import culture_key, word_sort_key
from pytest_migration_state.importers.backup.finding import BackupResult
from pytest_migration_state.importers.backup.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).parents[1] / "data" / "powershell" / "backup"
#: The backup root in the manifests of the samples.
MADE_AT = "/srv/migration/backups"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest().upper()


def folder_checksum(*contents: bytes) -> str:
    """Return the script's checksum of a folder with these file contents, in the order of their names."""
    return sha256("".join(map(sha256, contents)).encode())


def saved(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


CONFIG = {"config/environment.json": b"{}", "config/ports.json": b"[1]"}
VOLUME = {
    "volumes/volume-0/a.txt": b"one",
    "volumes/volume-0/b/c.txt": b"four",
    "volumes/volume-0/z.txt": b"two",
}


def manifest_of(root: str, separator: str = "/") -> dict[str, Any]:
    """A sound backup's manifest: one container with a configuration and a volume."""
    own = f"{root}{separator}web"
    return {
        "backup_root": root,
        "containers": [
            {
                "container_name": "web",
                "container_id": "abc",
                "success": True,
                "error": None,
                "config": {
                    "backup_path": f"{own}{separator}config",
                    "checksum": folder_checksum(*CONFIG.values()),
                    "success": True,
                    "error": None,
                },
                "volumes": [
                    {
                        "destination": "/data",
                        "backup_path": separator.join((own, "volumes", "volume-0")),
                        "checksum": folder_checksum(b"one", b"four", b"two"),
                        "size_bytes": 10.0,
                        "file_count": 3,
                        "success": True,
                        "error": None,
                    }
                ],
            }
        ],
        "verification": {"verification_passed": True},
    }


class Backup:
    """A sound backup of one container in ``folder``, which tests then damage.

    :ivar own: the container's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.own = folder, folder / "web"
        saved(self.own, {**CONFIG, **VOLUME})
        self.path = folder / "backup-manifest.json"
        self.fields = manifest_of(str(folder)) if os.sep == "/" else manifest_of(str(folder), "\\")

    @property
    def container(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fields["containers"][0]
        return found

    @property
    def volume(self) -> dict[str, Any]:
        found: dict[str, Any] = self.container["volumes"][0]
        return found

    def write(self, *, mark: bytes = b"") -> Path:
        self.path.write_bytes(mark + json.dumps(self.fields).encode())
        return self.path

    def findings(self, root: Path | None = None) -> list[BackupResult]:
        return check(read_manifest(self.write()), root)

    def reasons(self, root: Path | None = None) -> str:
        """Return the reasons why the container's backup is not safe; empty if it is safe."""
        (finding,) = self.findings(root)
        return "; ".join(finding.reasons)


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    folder = tmp_path / "backups"
    folder.mkdir()
    return Backup(folder.resolve())


@pytest.fixture
def tracker(tmp_path: Path) -> MigrationTracker:
    tracker = MigrationTracker(tmp_path / "migration-state.json")
    tracker.initialize()
    return tracker


needs_links = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")


# --- the order and the checksum -----------------------------------------------------------------------------


def test_names_are_sorted_like_powershell() -> None:
    """400 names sort as PowerShell sorted them; names that differ only in case may swap."""
    names = (SAMPLES / "sorted-by-fullname.txt").read_text(encoding="utf-8").splitlines()
    shuffled = list(names)
    random.Random(7).shuffle(shuffled)
    shuffled.sort(key=culture_key)
    assert len(names) == 400
    assert [culture_key(name) for name in shuffled] == [culture_key(name) for name in names]
    assert {name.casefold() for name, other in zip(shuffled, names, strict=True) if name != other} <= {
        "a",
        "b",
        "z",
        "ç",
    }


def test_names_are_sorted_like_windows_powershell() -> None:
    """Windows PowerShell 5.1 ignores hyphens and apostrophes unless all other characters are equal."""
    assert sorted(["co-op", "coop", "cope", "con", "a_b", "a-c"], key=word_sort_key) == [
        "a_b",
        "a-c",
        "con",
        "coop",
        "co-op",
        "cope",
    ]


@pytest.mark.parametrize("order", ["Aa", "aA"])
def test_names_that_differ_in_case_are_accepted_in_both_orders(order: str) -> None:
    """The script's checksum is recognized in both orders of two such names; another is not."""
    digests = {"A": sha256(b"upper"), "a": sha256(b"lower"), "b": sha256(b"b")}
    text = sha256("".join(digests[name] for name in [*order, "b"]).encode())
    assert is_checksum(text, digests, from_5_1=False)
    assert is_checksum(text.lower(), digests, from_5_1=False)
    assert not is_checksum(text, {**digests, "b": sha256(b"c")}, from_5_1=False)


def test_many_names_that_differ_in_case_are_checked_quickly() -> None:
    """A folder of names that differ only in case is checked without trying every order."""
    names = [f"{number:b}".translate({48: "a", 49: "A"}).rjust(4, "a") for number in range(16)]
    assert not is_checksum("0" * 64, dict.fromkeys(names, "00"), from_5_1=False)


@pytest.mark.parametrize(("mark", "passed"), [(b"\xef\xbb\xbf", True), (b"", False)], ids=["5.1", "7"])
def test_order_depends_on_the_writer(mark: bytes, passed: bool, backup: Backup) -> None:
    """The order of 5.1 is accepted only for its manifests: made on Windows, with a byte order mark."""
    shutil.rmtree(backup.own / "volumes/volume-0")
    saved(backup.own, {"volumes/volume-0/co-op.txt": b"1", "volumes/volume-0/coop.txt": b"2"})
    backup.fields = manifest_of("D:\\backups", "\\")
    backup.volume.update(checksum=folder_checksum(b"2", b"1"), size_bytes=2, file_count=2)
    (finding,) = check(read_manifest(backup.write(mark=mark)), backup.folder)
    assert finding.passed is passed


# --- the samples --------------------------------------------------------------------------------------------


def test_failed_container_of_the_sample_is_failed() -> None:
    """A container whose backup failed is failed, although the manifest calls it verified."""
    sound, failed = check(
        read_manifest(SAMPLES / "container-failed/backups/backup-manifest.json"),
        SAMPLES / "container-failed/backups",
    )
    assert sound == BackupResult("guardian-hive", f"{MADE_AT}/guardian-hive", (), 5, 675)
    assert (failed.container, failed.passed, failed.files) == ("worker-aider", False, 0)
    assert failed.reasons[0].startswith(
        "its backup failed: Cannot process argument transformation on parameter 'VolumeInfo'."
    )


def test_missing_volume_of_the_sample_fails_its_container() -> None:
    """A volume that was not saved fails its container, whatever the container's ``success`` says."""
    sound, failed = check(
        read_manifest(SAMPLES / "volume-failed/backups/backup-manifest.json"),
        SAMPLES / "volume-failed/backups",
    )
    assert sound.passed
    assert failed.reasons == ("volume '/app/x' was not saved: Source path not found",)
    assert failed.files == 13


@pytest.mark.parametrize("name", ["container-failed", "volume-failed"])
def test_damaged_file_of_the_sample_fails_its_container(name: str, tmp_path: Path) -> None:
    """A flipped byte in any saved file fails its container."""
    folder = tmp_path / "backups"
    shutil.copytree(SAMPLES / name / "backups", folder)
    manifest = read_manifest(folder / "backup-manifest.json")
    before = {finding.container: finding.reasons for finding in check(manifest, folder)}
    # The container that failed as a whole has no checksums.
    unchecked = folder / "worker-aider" if name == "container-failed" else folder / "none"
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder and unchecked not in path.parents
    ]
    assert len(files) == {"container-failed": 5, "volume-failed": 18}[name]
    for file in files:
        content = file.read_bytes()
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        after = {finding.container: finding.reasons for finding in check(manifest, folder)}
        container = file.relative_to(folder).parts[0]
        assert len(after[container]) == len(before[container]) + 1, file
        assert "has another checksum" in after[container][-1]
        file.write_bytes(content)


# --- damage -------------------------------------------------------------------------------------------------


def exchange(folder: Path) -> None:
    a, z = folder / "volumes/volume-0/a.txt", folder / "volumes/volume-0/z.txt"
    one, two = a.read_bytes(), z.read_bytes()
    a.write_bytes(two)
    z.write_bytes(one)


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "volumes/volume-0")
    (folder / "volumes/volume-0").mkdir()


VOLUME_CHECKSUM = (
    "volume '/data' has another checksum than the manifest says: a file was changed, renamed, "
    "added or removed"
)
DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "byte flipped": (lambda own: (own / "volumes/volume-0/a.txt").write_bytes(b"onf"), [VOLUME_CHECKSUM]),
    "contents exchanged": (exchange, [VOLUME_CHECKSUM]),
    "file added": (
        lambda own: saved(own, {"volumes/volume-0/b/new.txt": b"surplus"}),
        [
            "volume '/data' has 4 files, but the manifest says 3",
            "volume '/data' has 17 bytes, but the manifest says 10",
        ],
    ),
    "empty file added": (
        lambda own: saved(own, {"volumes/volume-0/new.txt": b""}),
        ["volume '/data' has 4 files, but the manifest says 3"],
    ),
    "file removed": (
        lambda own: (own / "volumes/volume-0/z.txt").unlink(),
        [
            "volume '/data' has 2 files, but the manifest says 3",
            "volume '/data' has 7 bytes, but the manifest says 10",
        ],
    ),
    "file grown": (
        lambda own: (own / "volumes/volume-0/z.txt").write_bytes(b"two and more"),
        ["volume '/data' has 19 bytes, but the manifest says 10"],
    ),
    "file renamed past another": (
        lambda own: (own / "volumes/volume-0/a.txt").rename(own / "volumes/volume-0/y.txt"),
        [VOLUME_CHECKSUM],
    ),
    "file moved to a folder": (
        lambda own: (own / "volumes/volume-0/z.txt").rename(own / "volumes/volume-0/b/a.txt"),
        [VOLUME_CHECKSUM],
    ),
    "volume removed": (
        lambda own: shutil.rmtree(own / "volumes/volume-0"),
        ["volume '/data': '{own}/volumes/volume-0' is missing"],
    ),
    "volume emptied": (
        empty,
        [
            "volume '/data' has 0 files, but the manifest says 3",
            "volume '/data' has 0 bytes, but the manifest says 10",
        ],
    ),
    "configuration changed": (
        lambda own: (own / "config/ports.json").write_bytes(b"[2]"),
        [
            (
                "its configuration has another checksum than the manifest says: a file was "
                "changed, renamed, added or removed"
            )
        ],
    ),
    "configuration removed": (
        lambda own: shutil.rmtree(own / "config"),
        ["its configuration: '{own}/config' is missing"],
    ),
    "all removed": (
        shutil.rmtree,
        [
            "its configuration: '{own}/config' is missing",
            "volume '/data': '{own}/volumes/volume-0' is missing",
        ],
    ),
}


@pytest.mark.parametrize(("damage", "reasons"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_fails_a_sound_backup(
    damage: Callable[[Path], object], reasons: list[str], backup: Backup
) -> None:
    """A sound backup passes. A change of its files fails it, with every reason."""
    assert backup.reasons() == ""
    damage(backup.own)
    expected = "; ".join(reasons).replace("{own}/volumes/volume-0", str(backup.own / "volumes" / "volume-0"))
    assert backup.reasons() == expected.replace("{own}/config", str(backup.own / "config"))


def without(key: str) -> Callable[[Backup], object]:
    return lambda backup: backup.container.pop(key)


def container_with(**values: object) -> Callable[[Backup], None]:
    return lambda backup: backup.container.update(values)


def volume_with(**values: object) -> Callable[[Backup], None]:
    return lambda backup: backup.volume.update(values)


CONFESSED: dict[str, tuple[Callable[[Backup], object], str]] = {
    "container failed": (
        container_with(success=False, error="no space left"),
        "its backup failed: no space left",
    ),
    "container failed, no reason": (
        container_with(success=False),
        "its backup failed: the manifest does not say why",
    ),
    "container with an error": (container_with(error="half of it"), "its backup failed: half of it"),
    "no configuration": (without("config"), "the manifest has no configuration of it"),
    "no volumes": (without("volumes"), "the manifest does not say which volumes it has"),
    "volume failed": (
        volume_with(success=False, error="not found"),
        "volume '/data' was not saved: not found",
    ),
    "volume without a name failed": (
        volume_with(success=False, destination=None),
        "volume 'number 1' was not saved: the manifest does not say why",
    ),
    "no checksum": (volume_with(checksum=None), "volume '/data' has no checksum in the manifest"),
    "no size": (volume_with(size_bytes=None), "volume '/data' has 10 bytes, but the manifest says 0"),
    "no count": (volume_with(file_count=None), "volume '/data' has 3 files, but the manifest says 0"),
    "half a file": (volume_with(file_count=2.5), "volume '/data' has 3 files, but the manifest says 2.5"),
    "no path": (volume_with(backup_path=None), "volume '/data': its backup_path '' is not in '{own}'"),
}


@pytest.mark.parametrize(("confess", "reason"), CONFESSED.values(), ids=CONFESSED.keys())
def test_failure_in_the_manifest_fails_the_container(
    confess: Callable[[Backup], object], reason: str, backup: Backup
) -> None:
    """An error or a gap in the manifest fails the container although its files are sound."""
    confess(backup)
    assert backup.reasons() == reason.replace("{own}", str(backup.own))


def test_empty_volume_is_accepted(backup: Backup) -> None:
    """A volume without files has a word instead of a checksum, and its size is null."""
    shutil.rmtree(backup.own / "volumes/volume-0")
    (backup.own / "volumes/volume-0/empty").mkdir(parents=True)
    backup.volume.update(checksum="EMPTY_DIRECTORY", size_bytes=None, file_count=0)
    assert backup.reasons() == ""
    saved(backup.own, {"volumes/volume-0/a": b""})
    assert backup.reasons() == "volume '/data' has 1 files, but the manifest says 0"


@pytest.mark.parametrize(
    "wrap", [lambda item: item, lambda item: {"value": [item], "Count": 1}], ids=["bare object", "5.1"]
)
def test_list_of_one_is_read_in_every_form(wrap: Callable[[object], object], backup: Backup) -> None:
    """A list with one item is read as a list in each form in which PowerShell writes it."""
    backup.container["volumes"] = wrap(backup.volume)
    backup.fields["containers"] = wrap(backup.container)
    (finding,) = check(read_manifest(backup.write(mark=b"\xef\xbb\xbf")))
    assert (finding.passed, finding.files, finding.size) == (True, 5, 15)


def test_volume_of_a_single_file_is_accepted(backup: Backup) -> None:
    """A volume that consisted of one file is saved as one file."""
    shutil.rmtree(backup.own / "volumes/volume-0")
    saved(backup.own, {"volumes/volume-0": b"content"})
    backup.volume.update(checksum=folder_checksum(b"content"), size_bytes=7, file_count=1)
    assert backup.reasons() == ""


# --- hidden files and links ---------------------------------------------------------------------------------


def test_hidden_files_count_only_in_backups_of_windows(backup: Backup) -> None:
    """Files and folders with a leading dot count only in backups made on Windows."""
    saved(backup.own, {"volumes/volume-0/.hidden": b"x", "volumes/volume-0/.git/config": b"y"})
    backup.fields = manifest_of("/srv/backups")
    assert backup.reasons(backup.folder) == ""
    backup.fields = manifest_of("D:\\backups", "\\")
    assert backup.reasons(backup.folder).startswith("volume '/data' has 5 files, but the manifest says 3")


@needs_links
@pytest.mark.parametrize("target", ["file", "folder"])
def test_link_out_of_the_backup_is_not_followed(target: str, backup: Backup, tmp_path: Path) -> None:
    """A link that leads out of the backup is not followed, and fails it."""
    outside = tmp_path / "outside"
    saved(outside, {"a.txt": b"one"})
    link = backup.own / "volumes/volume-0" / ("a.txt" if target == "file" else "linked")
    link.unlink(missing_ok=True)
    link.symlink_to(outside / "a.txt" if target == "file" else outside)
    assert backup.reasons() == f"volume '/data': '{link}' is a link that leads out of the backup"


@needs_links
def test_link_within_the_backup_counts_as_in_powershell(backup: Backup) -> None:
    """As in PowerShell, a link to a file counts as that file, and a link to a folder does not count."""
    volume = backup.own / "volumes/volume-0"
    (volume / "b/linked").symlink_to(volume)
    assert backup.reasons() == ""
    (volume / "a.txt").rename(backup.folder / "elsewhere.txt")
    (volume / "a.txt").symlink_to("../../../elsewhere.txt")
    assert backup.reasons() == ""


@needs_links
@pytest.mark.parametrize("part", ["web", "web/config", "web/volumes"])
def test_link_in_the_path_is_not_followed(part: str, backup: Backup, tmp_path: Path) -> None:
    """A folder reached through a link out of the backup is not read, even if it is sound."""
    (backup.folder / part).rename(tmp_path / "outside")
    (backup.folder / part).symlink_to(tmp_path / "outside")
    assert "is reached through a link that leads out of the backup" in backup.reasons()


@needs_links
def test_root_may_be_a_link(backup: Backup, tmp_path: Path) -> None:
    """The root of the backup may be a link, since the operator names it."""
    (tmp_path / "mounted").symlink_to(backup.folder)
    assert backup.reasons(tmp_path / "mounted") == ""


@needs_links
def test_special_files_are_reported_without_waiting(backup: Backup) -> None:
    """A pipe, a loop of links and a dangling link are named without waiting for them."""
    volume = backup.own / "volumes/volume-0"
    os.mkfifo(volume / "pipe")
    (volume / "loop").symlink_to("loop")
    (volume / "nothing").symlink_to("gone")
    reasons = backup.reasons()
    assert f"volume '/data': '{volume / 'pipe'}' cannot be read (it is not a regular file)" in reasons
    assert f"'{volume / 'loop'}' cannot be read" in reasons
    assert f"'{volume / 'gone'}' is missing" in reasons


def test_unreadable_file_is_reported(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable file is reported as such, and not as a wrong checksum."""

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pytest_migration_state.importers.backup.check.digest", refuse)
    assert (
        f"its configuration cannot be read: '{backup.own / 'config' / 'ports.json'}' (Permission denied)"
        in backup.reasons()
    )
    assert "has another checksum" not in backup.reasons()


# --- where the backup is ------------------------------------------------------------------------------------

ROOTS = {
    "posix": ("/srv/backups", "/"),
    "posix, closing slash": ("/srv/backups/", "/"),
    "relative": ("./backups", "/"),
    "drive": ("D:\\backups", "\\"),
    "drive, slashes": ("D:/backups", "/"),
    "share": ("\\\\nas\\backups\\migration", "\\"),
    "relative on Windows": (".\\backups", "\\"),
}


@pytest.mark.parametrize(("made_at", "separator"), ROOTS.values(), ids=ROOTS.keys())
def test_root_finds_a_moved_backup(made_at: str, separator: str, backup: Backup) -> None:
    """With ``root`` a backup is found wherever it was made. Its recorded folder keeps the original name."""
    backup.fields = manifest_of(made_at, separator)
    (finding,) = backup.findings(backup.folder)
    assert finding.reasons == ()
    assert finding.folder.replace("\\", "/").endswith(
        "backups/web" if "nas" not in made_at else "backups/migration/web"
    )


def test_case_of_the_root_is_ignored_for_windows(backup: Backup) -> None:
    """Windows ignores case, so case is ignored in a manifest made there."""
    backup.fields = manifest_of("D:\\Backups", "\\")
    backup.volume["backup_path"] = "d:\\BACKUPS\\web\\volumes\\volume-0"
    assert backup.reasons(backup.folder) == ""


@pytest.mark.parametrize("made_at", ["/nowhere/backups", "Q:\\backups"])
def test_unreachable_files_fail(made_at: str, backup: Backup) -> None:
    """Files that cannot be reached fail, and the reason explains ``--root``."""
    backup.fields = manifest_of(made_at, "\\" if "\\" in made_at else "/")
    assert backup.reasons() == (
        f"'{made_at}' cannot be reached from here; --root names the folder where the "
        f"manifest's backup_root '{made_at}' "
        "is mounted on this machine"
    )


def test_wrong_root_is_reported(backup: Backup, tmp_path: Path) -> None:
    """A root that does not exist and one that is another folder have different reasons."""
    backup.fields = manifest_of("/srv/backups")
    assert backup.reasons(tmp_path / "gone").startswith(
        f"'{tmp_path / 'gone'}' cannot be reached from here; --root names the folder"
    )
    config = backup.own / "web" / "config"
    assert (
        f"its configuration: '{config}' is missing (--root must be the folder that the "
        "manifest calls '/srv/backups')" in backup.reasons(backup.own)
    )


TRICKS = {
    "out of the root": "{root}/web/../../outside",
    "out of the container": "{root}/web/../other",
    "another container": "{root}/other",
    "the root": "{root}",
    "elsewhere": "/etc",
    "relative": "web/config",
}


@pytest.mark.parametrize("path", TRICKS.values(), ids=TRICKS.keys())
def test_path_outside_the_container_is_not_read(path: str, backup: Backup) -> None:
    """A path that is not in its container's folder is not read."""
    for name in ("outside", "backups/other"):
        shutil.copytree(backup.own / "volumes/volume-0", backup.folder.parent / name)
    backup.fields = manifest_of("/srv/backups")
    backup.volume["backup_path"] = path.replace("{root}", "/srv/backups")
    assert backup.reasons(backup.folder).startswith(
        f"volume '/data': its backup_path '{backup.volume['backup_path']}' is not in"
    )


def test_path_with_a_lone_surrogate_fails(backup: Backup, tracker: MigrationTracker) -> None:
    """A path that no file system supports fails, and is recorded escaped."""
    backup.fields = manifest_of("/srv/backups")
    backup.volume["backup_path"] = "/srv/backups/web/\ud800"
    (result,) = tracker.import_backup(backup.write(), backup.folder).validation_results
    assert result.error_message == "volume '/data': no file here can be called '/srv/backups/web/\\ud800'"


# --- malformed manifests ------------------------------------------------------------------------------------


def changed(**values: object) -> bytes:
    return json.dumps({**manifest_of("/srv/backups"), **values}).encode()


def one(**values: object) -> bytes:
    container = manifest_of("/srv/backups")["containers"][0]
    return changed(containers=[{**container, **values}])


def with_volume(**values: object) -> bytes:
    volume = manifest_of("/srv/backups")["containers"][0]["volumes"][0]
    return one(volumes=[{**volume, **values}])


MALFORMED = {
    "empty": (b"", "Expecting value: line 1 column 1 (char 0)"),
    "cut": (changed()[:300], "Unterminated string starting at: line 1 column"),
    "a list": (b"[]", "expected a JSON object, found a list"),
    "not UTF-8": (b"\xff\xfe{\x00}\x00", "it is not text in UTF-8"),
    "another document": (b"{}", "'backup_root' is missing"),
    "root of another type": (
        changed(backup_root=["/srv"]),
        "'backup_root' is ['/srv']; expected a string",
    ),
    "root with NUL": (
        changed(backup_root="/srv\0"),
        "'backup_root' is '/srv\\x00'; expected a string",
    ),
    "no containers": (changed(containers=None), "it lists no container"),
    "empty containers": (changed(containers=[]), "it lists no container"),
    "containers of another type": (
        changed(containers="web"),
        "'containers' is 'web'; expected a list of objects",
    ),
    "container of another type": (
        changed(containers=["web"]),
        "'containers' is ['web']; expected a list of objects",
    ),
    "no name": (
        one(container_name=None),
        "'containers[0].container_name' is ''; expected the name of a container",
    ),
    "name of another type": (
        one(container_name=7),
        "'containers[0].container_name' is 7; expected a string",
    ),
    "name out of the root": (
        one(container_name="../x"),
        "'containers[0].container_name' is '../x'; expected the name of a container",
    ),
    "name of the parent": (
        one(container_name=".."),
        "'containers[0].container_name' is '..'; expected the name of a container",
    ),
    "name with a backslash": (
        one(container_name="..\\x"),
        "'containers[0].container_name' is '..\\\\x'; expected the name of a container",
    ),
    "name with a drive": (
        one(container_name="C:x"),
        "'containers[0].container_name' is 'C:x'; expected the name of a container",
    ),
    "no success": (one(success=None), "'containers[0].success' is None; expected true or false"),
    "success as a text": (
        one(success="true"),
        "'containers[0].success' is 'true'; expected true or false",
    ),
    "error of another type": (one(error={}), "'containers[0].error' is {}; expected a string"),
    "configuration of another type": (
        one(config="x"),
        "'containers[0].config' is 'x'; expected an object",
    ),
    "configuration without success": (
        one(config={}),
        "'containers[0].config.success' is None; expected true or false",
    ),
    "volumes of another type": (
        one(volumes=3),
        "'containers[0].volumes' is 3; expected a list of objects",
    ),
    "path of another type": (
        with_volume(backup_path=1),
        "'containers[0].volumes[0].backup_path' is 1; expected a string",
    ),
    "checksum of another type": (
        with_volume(checksum=1),
        "'containers[0].volumes[0].checksum' is 1; expected a string",
    ),
    "size of another type": (
        with_volume(size_bytes="10"),
        "'containers[0].volumes[0].size_bytes' is '10'; expected a number",
    ),
    "count of another type": (
        with_volume(file_count=True),
        "'containers[0].volumes[0].file_count' is True; expected a number",
    ),
    "a container twice": (
        changed(containers=manifest_of("/srv")["containers"] * 2),
        "it lists the container 'web' twice; names must differ in more than case",
    ),
    "a key twice": (
        b'{"backup_root": "/a", "backup_root": "/b"}',
        "duplicate key 'backup_root'",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_manifest_is_refused(
    content: bytes, sentence: str, tracker: MigrationTracker, tmp_path: Path
) -> None:
    """The error names the file, the value and the remedy. Nothing is recorded."""
    path = tmp_path / "backup-manifest.json"
    path.write_bytes(content)
    before = tracker.path.read_bytes(), tracker.audit_log_path.read_bytes()
    with pytest.raises(InvalidArgumentError) as refusal:
        tracker.import_backup(path)
    shown = str(refusal.value)
    assert sentence in shown
    assert refusal.value.value == str(path)
    assert shown.endswith("; give the backup-manifest.json that the backup script wrote")
    assert (tracker.path.read_bytes(), tracker.audit_log_path.read_bytes()) == before


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    """A missing manifest and a folder in its place are errors."""
    with pytest.raises(InvalidArgumentError, match="it cannot be read"):
        read_manifest(tmp_path / "gone.json")
    with pytest.raises(InvalidArgumentError, match="it is not a file"):
        read_manifest(tmp_path)


def test_huge_manifest_is_refused(tmp_path: Path) -> None:
    """An archive passed by mistake is not read into memory."""
    path = tmp_path / "backup.tar"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InvalidArgumentError, match="it has more than 64 MiB"):
        read_manifest(path)


# --- big files and progress ---------------------------------------------------------------------------------


def test_files_are_not_read_if_their_size_is_not_that_of_the_manifest(backup: Backup) -> None:
    """A sparse file of 200 GB would take minutes to read, and its size says enough."""
    with (backup.own / "volumes/volume-0/sparse.bin").open("wb") as file:
        file.truncate(200 << 30)
    backup.volume["file_count"] = 4
    reports: list[tuple[int, int]] = []
    (finding,) = check(read_manifest(backup.write()), None, lambda done, total: reports.append((done, total)))
    assert finding.reasons == (f"volume '/data' has {(200 << 30) + 10} bytes, but the manifest says 10",)
    assert reports[-1] == (finding.size, finding.size)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no such file")
def test_file_of_the_kernel_is_read_no_further_than_its_size() -> None:
    """It says that it has none, and may never end, as ``/proc/kmsg``."""
    file = SavedFile("status", Path("/proc/self/status"), 0)
    with pytest.raises(OSError, match="it changed while it was read"):
        digest(file, lambda _: None)


@needs_links
def test_manifest_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe would block, and ``/dev/zero`` never ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(InvalidArgumentError, match="and not a regular file"):
            read_manifest(path)


def test_big_file_is_read_in_pieces(backup: Backup) -> None:
    """A file is read in pieces, and progress is reported from zero to the whole size."""
    size = 64 << 20
    with (backup.own / "volumes/volume-0/big.bin").open("wb") as file:
        file.truncate(size)
    backup.volume.update(size_bytes=size + 10, file_count=4)
    manifest = read_manifest(backup.write())
    reports: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        (finding,) = check(manifest, None, lambda done, total: reports.append((done, total)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert finding.size == size + 15
    assert peak < 8 << 20
    assert reports == sorted(reports)
    assert reports[0] == (0, size + 15)
    assert reports[-1] == (size + 15, size + 15)
    assert len(reports) > 60


# --- what is recorded ---------------------------------------------------------------------------------------


def test_each_container_is_recorded(tracker: MigrationTracker) -> None:
    """Each container has one entry with its verdict and, if it passed, its folder."""
    folder = SAMPLES / "volume-failed" / "backups"
    state = tracker.import_backup(folder / "backup-manifest.json", folder)
    assert state.data_preserved == {"guardian-hive-backup": f"{MADE_AT}/guardian-hive"}
    assert [
        (result.component, result.test_name, result.passed, result.error_message)
        for result in state.validation_results
    ] == [
        ("guardian-hive", "backup", True, None),
        ("worker-aider", "backup", False, "volume '/app/x' was not saved: Source path not found"),
    ]
    sound, failed = tracker.read_audit(2)
    assert (sound.action, sound.details) == (
        "BackupImported",
        f"Backup of 'guardian-hive' at '{MADE_AT}/guardian-hive': PASSED",
    )
    assert (failed.action, failed.details) == (
        "BackupImported",
        f"Backup of 'worker-aider' at '{MADE_AT}/worker-aider': FAILED",
    )
    assert sound.data is not None
    assert failed.data is not None
    assert list(sound.data) == ["data_preserved", "validation_results", "checked"]
    assert list(failed.data) == ["validation_results", "checked"]
    assert sound.data["checked"] == {"files": 5, "bytes": 675}
    assert state.metadata.revision == 3


def test_importing_again_changes_only_times(tracker: MigrationTracker) -> None:
    """Importing the same backup again changes only times and the revision."""
    folder = SAMPLES / "volume-failed" / "backups"
    first = tracker.import_backup(folder / "backup-manifest.json", folder)
    second = tracker.import_backup(folder / "backup-manifest.json", folder)
    changing = {
        "last_updated": True,
        "metadata": {"revision", "audit"},
        "validation_results": {"__all__": {"tested_at"}},
    }
    # pydantic's own type is private
    before = first.model_dump(exclude=changing)  # type: ignore[arg-type]
    after = second.model_dump(exclude=changing)  # type: ignore[arg-type]
    assert after == before
    assert len(second.validation_results) == 2


def test_repaired_backup_passes(tracker: MigrationTracker, backup: Backup) -> None:
    """A failed backup that is repaired passes the next import. If it is damaged later, it fails again."""
    (backup.own / "config/ports.json").rename(backup.folder / "lost")
    tracker.set_phase("Validation", force=True)
    assert tracker.import_backup(backup.write()).data_preserved == {}
    assert not tracker.gate().open
    (backup.folder / "lost").rename(backup.own / "config/ports.json")
    state = tracker.import_backup(backup.path)
    assert state.data_preserved == {"web-backup": str(backup.own)}
    assert tracker.gate().open
    exchange(backup.own)
    assert not tracker.import_backup(backup.path).validation_results[0].passed


def test_clashing_key_is_refused(tracker: MigrationTracker, backup: Backup) -> None:
    """A key that differs only in case from an existing one is refused; no container is recorded."""
    tracker.add_preserved_data("WEB-backup", "elsewhere")
    before = tracker.audit_log_path.read_bytes()
    with pytest.raises(
        InvalidArgumentError, match="key 'web-backup' cannot be used: 'WEB-backup' already exists"
    ):
        tracker.import_backup(backup.write())
    assert tracker.audit_log_path.read_bytes() == before
    assert tracker.state.validation_results == ()


def test_long_name_is_cut_and_failed(tracker: MigrationTracker, backup: Backup) -> None:
    """A name that is too long is cut with a mark, and its backup is failed."""
    backup.container["container_name"] = "w" * 5000
    (result,) = tracker.import_backup(backup.write()).validation_results
    assert len(result.component.encode()) <= 4096
    assert "…[cut: 5000 characters" in result.component
    assert not result.passed


def test_folder_with_too_long_a_path_is_refused(tracker: MigrationTracker, backup: Backup) -> None:
    """A safe backup is refused if its path could be stored only in part; no container is recorded."""
    backup.fields = manifest_of("/srv/" + "x" * 4096)
    before = tracker.audit_log_path.read_bytes()
    with pytest.raises(InvalidArgumentError, match="it is longer than 4 KiB, and a path is never cut"):
        tracker.import_backup(backup.write(), backup.folder)
    assert tracker.audit_log_path.read_bytes() == before


def test_failed_backup_with_too_long_a_path_is_recorded(tracker: MigrationTracker, backup: Backup) -> None:
    """It has no path to store, and an earlier pass must not remain."""
    tracker.import_backup(backup.write())
    exchange(backup.own)
    backup.fields = manifest_of("/srv/" + "x" * 4096)
    (result,) = tracker.import_backup(backup.write(), backup.folder).validation_results
    assert not result.passed


def test_import_creates_the_state(tmp_path: Path, backup: Backup) -> None:
    """With ``create`` an import creates the state, as every operation does."""
    notices: list[str] = []
    tracker = MigrationTracker(tmp_path / "new" / "migration-state.json", create=True, notify=notices.append)
    assert tracker.import_backup(backup.write()).validation_results[0].passed
    assert notices == [f"{tracker.path}: created, in phase NotStarted"]
