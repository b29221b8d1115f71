"""Checking backups against the files that the manifest says were saved.

This module reads files and returns results; it knows nothing about a state. What the manifest says about its
own success counts only as evidence of failure, never of success: the script writes ``verification_passed``
and ``success`` as true even if volumes were not saved.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_migration_state.importers.backup.checksum import digest, is_checksum, list_files
from pytest_migration_state.importers.backup.finding import BackupResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.importers.backup.checksum import SavedFile
    from pytest_migration_state.importers.backup.manifest import Container, Manifest, Part


def check(
    manifest: Manifest,
    root: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[BackupResult]:
    """Check every container's backup against its files.

    :param root: where the manifest's ``backup_root`` is mounted here; by default where the manifest says it
        is.
    :param progress: called with the bytes read so far and the bytes to read.
    """
    checker = _Checker(manifest, root)
    surveys = [checker.survey(container) for container in manifest.containers]
    total = sum(file.size for survey in surveys for _, files in survey.parts for file in files)
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, total)

    count(0)
    return [checker.judge(survey, count) for survey in surveys]


@dataclass(frozen=True, slots=True)
class _Survey:
    """A container before its files are read.

    :ivar reasons: the reasons known so far why its backup is not safe.
    :ivar parts: the parts that can be read, with their files.
    """

    container: Container
    reasons: list[str]
    parts: list[tuple[Part, list[SavedFile]]]


class _Checker:
    """The check of one manifest's backups."""

    def __init__(self, manifest: Manifest, root: str | os.PathLike[str] | None) -> None:
        self._manifest = manifest
        self._has_root = root is not None
        self._shown_root = os.fspath(manifest.root if root is None else root)
        self._root: Path | None = None
        # A path of another operating system means nothing here.
        is_native = manifest.from_windows == (os.name == "nt")
        # Path.is_dir raises for some invalid paths; os.path.isdir returns False.
        if (self._has_root or is_native) and os.path.isdir(self._shown_root):  # noqa: PTH112  # as above
            self._root = Path(os.path.realpath(self._shown_root))

    def survey(self, container: Container) -> _Survey:
        """Examine a container before its files are read."""
        survey = _Survey(container, list(container.failures), [])
        for part in container.parts:
            if part.failure:
                survey.reasons.append(f"{part.name} was not saved: {part.failure}")
            elif self._root is not None:
                self._survey_part(survey, part, self._root)
        if self._root is None and container.parts:
            survey.reasons.append(
                f"'{self._shown_root}' cannot be reached from here; --root names the folder where the "
                f"manifest's backup_root '{self._manifest.root}' is mounted on this machine"
            )
        return survey

    def _survey_part(self, survey: _Survey, part: Part, root: Path) -> None:
        try:
            folder = self._located(part.path, survey.container, root)
            files, problems = list_files(folder, root, from_windows=self._manifest.from_windows)
        except UnicodeEncodeError:
            files, problems = [], [f"no file here can be called '{part.path}'"]
        except (OSError, ValueError) as error:
            files, problems = [], [str(error)]
        if not problems:
            survey.parts.append((part, files))
        for problem in problems:
            reason = f"{part.name}: {problem}"
            if self._has_root and problem.endswith("is missing"):
                reason += f" (--root must be the folder that the manifest calls '{self._manifest.root}')"
            survey.reasons.append(reason)

    def _located(self, path: str, container: Container, root: Path) -> Path:
        """Return the local path of a saved folder.

        It must be in the folder of its container, and no link may lead out of the backup.

        :param path: the folder as the manifest names it.
        """
        named = type(self._manifest.root)(path)
        folder = self._manifest.root / container.name
        names = named.relative_to(self._manifest.root).parts if named.is_relative_to(folder) else ()
        if not path or not names or ".." in names:
            raise ValueError(f"its backup_path '{path}' is not in '{folder}'")
        real = Path(os.path.realpath(root.joinpath(*names)))
        if not real.is_relative_to(root):
            raise ValueError(
                f"'{root.joinpath(*names)}' is reached through a link that leads out of the backup"
            )
        return real

    def judge(self, survey: _Survey, count: Callable[[int], None]) -> BackupResult:
        """Read the files of a container and return the result.

        :param count: called with the number of bytes of each piece that was read.
        """
        for part, files in survey.parts:
            survey.reasons.extend(f"{part.name} {reason}" for reason in self._differences(part, files, count))
        sizes = [file.size for _, files in survey.parts for file in files]
        container = survey.container.name
        folder = str(self._manifest.root / container)
        return BackupResult(container, folder, tuple(survey.reasons), len(sizes), sum(sizes))

    def _differences(self, part: Part, files: list[SavedFile], count: Callable[[int], None]) -> Iterator[str]:
        reasons = [*_differences_in_size(part, files)]
        if not part.checksum:
            reasons.append("has no checksum in the manifest")
        if reasons:
            yield from reasons
            # Files that are not the saved ones may be of any length: there is no need to read them.
            count(sum(file.size for file in files))
            return
        digests = {}
        for file in files:
            try:
                digests[file.name] = digest(file, count)
            except OSError as error:
                yield f"cannot be read: '{file.path}' ({error.strerror})"
        is_complete = len(digests) == len(files)
        if is_complete and not is_checksum(part.checksum, digests, from_5_1=self._manifest.from_5_1):
            yield "has another checksum than the manifest says: a file was changed, renamed, added or removed"


def _differences_in_size(part: Part, files: list[SavedFile]) -> Iterator[str]:
    size = sum(file.size for file in files)
    for found, expected, unit in (len(files), part.count, "files"), (size, part.size, "bytes"):
        if expected not in (None, found):
            yield f"has {found} {unit}, but the manifest says {expected}"
