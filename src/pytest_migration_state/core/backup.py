"""The manifest of the operators' backup script, checked against the files that it says were saved.

Files in, findings out: nothing here knows of a state. What the manifest says of its own success is evidence of failure
only, never of success: the script's ``verification_passed`` and ``success`` are true beside volumes that were not saved.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.core.checksum import digest, is_checksum, survey
from pytest_migration_state.core.document import JsonObject, decode_object
from pytest_migration_state.core.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_migration_state.core.checksum import SavedFile

#: More than any manifest has, in bytes: an archive given by mistake is not read into memory.
_MANIFEST_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of the backup of one container.

    :ivar container: its name.
    :ivar folder: where it was saved, as the manifest's own machine calls it.
    :ivar reasons: why it is not safe; none means that every checksum was computed from the files and is right.
    :ivar files: how many files were read.
    :ivar size: how many bytes they have.
    """

    container: str
    folder: str
    reasons: tuple[str, ...]
    files: int
    size: int

    @property
    def passed(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Part:
    """The configuration or a volume of a container, as the manifest has it.

    :ivar name: what it is, in words.
    :ivar failure: why it was not saved, if so.
    :ivar path: the folder it was saved to.
    :ivar checksum: what the script computed.
    :ivar size: in bytes, of all files that count; ``None`` where the manifest does not count them, as for a configuration.
    :ivar count: how many files count; ``None`` as above.
    """

    name: str
    failure: str | None
    path: str
    checksum: str
    size: int | float | None = None
    count: int | float | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """A container, as the manifest has it.

    :ivar failures: what the manifest itself says is amiss with it as a whole.
    """

    name: str
    failures: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup, as the manifest has it.

    :ivar root: where it was made, in the form of the machine that made it.
    :ivar from_5_1: was the manifest written by Windows PowerShell 5.1?
    """

    root: PurePath
    containers: tuple[Container, ...]
    from_5_1: bool

    @property
    def from_windows(self) -> bool:
        return isinstance(self.root, PureWindowsPath)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest at ``path``.

    :raises InvalidArgumentError: it cannot be read, or is no manifest.
    """
    try:
        return _manifest(_content(Path(path)))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error})"
    except ValueError as error:
        reason = f"it is no backup manifest: {error}"
    raise InvalidArgumentError("manifest", os.fspath(path), f"{reason}; give the backup-manifest.json that the backup script wrote")


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    if path.stat().st_size > _MANIFEST_LIMIT:
        raise ValueError(f"it has more than {_MANIFEST_LIMIT >> 20} MiB")
    return path.read_bytes()


def _manifest(content: bytes) -> Manifest:
    try:
        fields = decode_object(content)
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    root = _root(_text(fields, "backup_root", ""))
    items = _objects(fields, "containers", "")
    if not items:
        raise ValueError("it lists no container")
    containers = tuple(_container(item, f"containers[{index}].") for index, item in enumerate(items))
    seen: set[str] = set()
    for container in containers:
        if container.name.casefold() in seen:
            raise ValueError(f"it lists the container {_shown(container.name)} twice, and upper and lower case do not tell names apart")
        seen.add(container.name.casefold())
    # 5.1 begins its UTF-8 files with a mark, PowerShell 7 does not.
    return Manifest(root, containers, from_5_1=isinstance(root, PureWindowsPath) and content.startswith(b"\xef\xbb\xbf"))


def _root(text: str) -> PurePath:
    """``text`` as a path of the system that it looks like: a drive, a share or a backslash is Windows."""
    if not text:
        raise ValueError("'backup_root' is missing")
    windows = PureWindowsPath(text)
    return windows if windows.drive or "\\" in text else PurePosixPath(text)


def _container(item: JsonObject, where: str) -> Container:
    name = _text(item, "container_name", where)
    # One name of one folder, on the machine that made the backup and on this one.
    if not name.strip() or name in (".", "..") or any(character in "/\\:" for character in name):
        raise ValueError(f"'{where}container_name' is {_shown(name)}, which is no container's name")
    failures = []
    if failure := _failure(item, where):
        failures.append(f"its backup failed: {failure}")
    parts = []
    config = item.get("config")
    if config is not None:
        if not isinstance(config, dict):
            raise ValueError(f"'{where}config' is {_shown(config)}, where an object is expected")
        parts.append(_part("its configuration", config, f"{where}config."))
    elif not failure:
        failures.append("the manifest has no configuration of it")
    # A manifest that is silent about volumes proves nothing about them.
    if item.get("volumes") is None and not failure:
        failures.append("the manifest does not say which volumes it has")
    for index, volume in enumerate(_objects(item, "volumes", where)):
        inside = f"{where}volumes[{index}]."
        destination = _text(volume, "destination", inside) or f"number {index + 1}"
        size, count = (_number(volume, key, inside) for key in ("size_bytes", "file_count"))
        parts.append(_part(f"volume '{destination}'", volume, inside, size, count))
    return Container(name, tuple(failures), tuple(parts))


def _part(name: str, item: JsonObject, where: str, size: float | None = None, count: float | None = None) -> Part:
    return Part(name, _failure(item, where), _text(item, "backup_path", where), _text(item, "checksum", where), size, count)


def _failure(item: JsonObject, where: str) -> str | None:
    """Why this was not saved; ``None`` where the manifest says that it was."""
    success, error = item.get("success"), _text(item, "error", where)
    if not isinstance(success, bool):
        raise ValueError(f"'{where}success' is {_shown(success)}, where true or false is expected")
    return None if success and not error else error or "the manifest does not say why"


def _objects(item: JsonObject, key: str, where: str) -> list[JsonObject]:
    """A list of objects. PowerShell may write a list of one as the bare object, and 5.1 one as ``{"value": […], "Count": N}``."""
    found: Any = item.get(key)
    if isinstance(found, dict):
        found = found["value"] if found.keys() == {"value", "Count"} else [found]
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"'{where}{key}' is {_shown(found)}, where a list of objects is expected")
    return found


def _text(item: JsonObject, key: str, where: str) -> str:
    found = item.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or "\0" in found:
        raise ValueError(f"'{where}{key}' is {_shown(found)}, where a text is expected")
    return found


def _number(item: JsonObject, key: str, where: str) -> int | float:
    """A count. PowerShell writes the sum of no files as ``null``, and of others as ``12.0``."""
    found = item.get(key)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"'{where}{key}' is {_shown(found)}, where a number is expected")
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


# --- checking ---------------------------------------------------------------------------------------------------------


def check(
    manifest: Manifest, root: str | os.PathLike[str] | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Check every container's backup against its files.

    :param root: where the manifest's ``backup_root`` is mounted here; by default where the manifest says it is.
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
    """A container before its files are read: what is amiss already, and the files of the parts that can be read."""

    container: Container
    reasons: list[str]
    parts: list[tuple[Part, list[SavedFile]]]


class _Checker:
    def __init__(self, manifest: Manifest, root: str | os.PathLike[str] | None) -> None:
        self._manifest = manifest
        self._given = root is not None
        # A path of another system means nothing here.
        is_native = manifest.from_windows == (os.name == "nt")
        asked = Path(root) if root is not None else Path(manifest.root) if is_native else None
        self._root = Path(os.path.realpath(asked)) if asked is not None and os.path.isdir(asked) else None  # noqa: PTH112  # answers False where Path raises
        self._asked = os.fspath(root) if root is not None else str(manifest.root)

    def survey(self, container: Container) -> _Survey:
        found = _Survey(container, list(container.failures), [])
        for part in container.parts:
            if part.failure:
                found.reasons.append(f"{part.name} was not saved: {part.failure}")
            elif self._root is not None:
                self._survey_part(found, part, self._root)
        if self._root is None and container.parts:
            found.reasons.append(
                f"'{self._asked}' cannot be reached from here; --root names the folder where the manifest's "
                f"backup_root '{self._manifest.root}' is mounted on this machine"
            )
        return found

    def _survey_part(self, found: _Survey, part: Part, root: Path) -> None:
        try:
            files, problems = survey(self._located(part.path, found.container, root), root, from_windows=self._manifest.from_windows)
        except UnicodeEncodeError:
            files, problems = [], [f"no file here can be called '{part.path}'"]
        except (OSError, ValueError) as error:
            files, problems = [], [str(error)]
        if problems:
            hint = f" (--root is to be the folder that the manifest calls '{self._manifest.root}')" if self._given else ""
            found.reasons.extend(f"{part.name}: {problem}{hint if problem.endswith('is missing') else ''}" for problem in problems)
        else:
            found.parts.append((part, files))

    def _located(self, path: str, container: Container, root: Path) -> Path:
        """Where the saved folder that the manifest calls ``path`` is here: in the folder of its container, and by no link elsewhere."""
        named, folder = type(self._manifest.root)(path), self._manifest.root / container.name
        names = named.relative_to(self._manifest.root).parts if named.is_relative_to(folder) else ()
        if not path or not names or ".." in names:
            raise ValueError(f"its backup_path '{path}' does not lie in '{folder}'")
        real = Path(os.path.realpath(root.joinpath(*names)))
        if not real.is_relative_to(root):
            raise ValueError(f"'{root.joinpath(*names)}' is reached through a link that leads out of the backup")
        return real

    def judge(self, survey: _Survey, count: Callable[[int], None]) -> Finding:
        container, reasons = survey.container, survey.reasons
        for part, files in survey.parts:
            reasons.extend(f"{part.name} {reason}" for reason in self._differences(part, files, count))
        every = [file for _, files in survey.parts for file in files]
        folder = str(self._manifest.root / container.name)
        return Finding(container.name, folder, tuple(reasons), len(every), sum(file.size for file in every))

    def _differences(self, part: Part, files: list[SavedFile], count: Callable[[int], None]) -> Iterator[str]:
        if part.count is not None and len(files) != part.count:
            yield f"has {len(files)} files, where the manifest says {part.count}"
        size = sum(file.size for file in files)
        if part.size is not None and size != part.size:
            yield f"has {size} bytes, where the manifest says {part.size}"
        if not part.checksum:
            yield "has no checksum in the manifest"
            return
        digests = {}
        for file in files:
            try:
                digests[file.name] = digest(file, count)
            except OSError as error:
                yield f"cannot be read: '{file.path}' ({error.strerror})"
        if len(digests) == len(files) and not is_checksum(part.checksum, digests, from_5_1=self._manifest.from_5_1):
            yield "has another checksum than the manifest says: a file was changed, renamed, added or removed"
