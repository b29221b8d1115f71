"""The manifest of the operators' backup script: the containers, and the saved parts of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from pytest_migration_state.errors import InvalidArgumentError
from pytest_migration_state.json_codec import BOM, decode_object
from pytest_migration_state.regular_files import open_to_read
from pytest_migration_state.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.types import JsonObject

#: The largest manifest that is read, in bytes: an archive given by mistake is not read into memory.
_MANIFEST_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """The configuration or a volume of a container, as the manifest describes it.

    :ivar name: what it is, in words.
    :ivar failure: why it was not saved; ``None`` if it was.
    :ivar path: the folder it was saved to.
    :ivar checksum: the checksum that the script computed.
    :ivar size: in bytes, of all files that count; ``None`` if the manifest does not count them, as for a
        configuration.
    :ivar count: the number of files that count; ``None`` as above.
    """

    name: str
    failure: str | None
    path: str
    checksum: str
    size: int | float | None = None
    count: int | float | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """A container, as the manifest describes it.

    :ivar failures: what went wrong with the container as a whole, as the manifest itself says.
    """

    name: str
    failures: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup, as the manifest describes it.

    :ivar root: where it was made, as a path of the machine that made it.
    :ivar from_5_1: whether the manifest was written by Windows PowerShell 5.1.
    """

    root: PurePath
    containers: tuple[Container, ...]
    from_5_1: bool

    @property
    def from_windows(self) -> bool:
        """True if the backup was made on Windows."""
        return isinstance(self.root, PureWindowsPath)


# --- reading ------------------------------------------------------------------------------------------------


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Return the manifest at ``path``.

    :raises InvalidArgumentError: it cannot be read, or is not a manifest.
    """
    try:
        return _manifest(_content(Path(path)))
    except IsADirectoryError:
        reason = "it is not a file"
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error})"
    except ValueError as error:
        reason = f"it is not a backup manifest: {error}"
    raise InvalidArgumentError(
        "manifest", os.fspath(path), f"{reason}; give the backup-manifest.json that the backup script wrote"
    )


def _content(path: Path) -> bytes:
    with open_to_read(path) as file:
        # A file of the kernel has no size, and may never end.
        content = file.read(_MANIFEST_LIMIT + 1) or b""
    if len(content) > _MANIFEST_LIMIT:
        raise ValueError(f"it has more than {_MANIFEST_LIMIT >> 20} MiB")
    return content


def _manifest(content: bytes) -> Manifest:
    try:
        fields = decode_object(content)
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    root = _root(_text(fields, "backup_root", ""))
    items = _objects(fields, "containers", "")
    if not items:
        raise ValueError("it lists no container")
    containers = tuple(_container(item, f"containers[{index}].") for index, item in enumerate(items))
    seen: set[str] = set()
    for container in containers:
        if container.name.casefold() in seen:
            raise ValueError(
                f"it lists the container {_shown(container.name)} twice; names must differ in more than case"
            )
        seen.add(container.name.casefold())
    # 5.1 begins its UTF-8 files with a byte order mark, PowerShell 7 does not.
    return Manifest(root, containers, from_5_1=isinstance(root, PureWindowsPath) and content.startswith(BOM))


def _root(text: str) -> PurePath:
    """Return ``text`` as a path; a drive, a share or a backslash makes it one of Windows."""
    if not text:
        raise ValueError("'backup_root' is missing")
    windows = PureWindowsPath(text)
    return windows if windows.drive or "\\" in text else PurePosixPath(text)


def _container(item: JsonObject, where: str) -> Container:
    name = _text(item, "container_name", where)
    if not _is_name_of_folder(name):
        raise ValueError(f"'{where}container_name' is {_shown(name)}; expected the name of a container")
    parts = [
        *_configuration(item, where),
        *(
            _volume(volume, index, f"{where}volumes[{index}].")
            for index, volume in enumerate(_objects(item, "volumes", where))
        ),
    ]
    return Container(name, tuple(_failures(item, where)), tuple(parts))


def _is_name_of_folder(name: str) -> bool:
    """Return True for a name of one folder, on the machine that made the backup and on this one."""
    return bool(name.strip()) and name not in (".", "..") and not any(part in name for part in "/\\:")


def _failures(item: JsonObject, where: str) -> Iterator[str]:
    """Yield why the manifest does not prove that a container was saved."""
    if failure := _failure(item, where):
        yield f"its backup failed: {failure}"
        return
    if item.get("config") is None:
        yield "the manifest has no configuration of it"
    # A manifest that does not mention volumes proves nothing about them.
    if item.get("volumes") is None:
        yield "the manifest does not say which volumes it has"


def _configuration(item: JsonObject, where: str) -> list[Part]:
    config = item.get("config")
    if config is None:
        return []
    if not isinstance(config, dict):
        raise ValueError(f"'{where}config' is {_shown(config)}; expected an object")
    return [_part("its configuration", config, f"{where}config.")]


def _volume(volume: JsonObject, index: int, where: str) -> Part:
    destination = _text(volume, "destination", where) or f"number {index + 1}"
    size, count = (_number(volume, key, where) for key in ("size_bytes", "file_count"))
    return _part(f"volume '{destination}'", volume, where, size, count)


def _part(
    name: str, item: JsonObject, where: str, size: float | None = None, count: float | None = None
) -> Part:
    return Part(
        name,
        _failure(item, where),
        _text(item, "backup_path", where),
        _text(item, "checksum", where),
        size,
        count,
    )


def _failure(item: JsonObject, where: str) -> str | None:
    """Return the reason why a part was not saved; ``None`` if the manifest says that it was."""
    success, error = item.get("success"), _text(item, "error", where)
    if not isinstance(success, bool):
        raise ValueError(f"'{where}success' is {_shown(success)}; expected true or false")
    return None if success and not error else error or "the manifest does not say why"


def _objects(item: JsonObject, key: str, where: str) -> list[JsonObject]:
    """Return a list of objects.

    PowerShell may write a list of one as the bare object, and 5.1 one as ``{"value": […], "Count": N}``.
    """
    found: Any = item.get(key)
    if isinstance(found, dict):
        found = found["value"] if found.keys() == {"value", "Count"} else [found]
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"'{where}{key}' is {_shown(found)}; expected a list of objects")
    return found


def _text(item: JsonObject, key: str, where: str) -> str:
    found = item.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or "\0" in found:
        raise ValueError(f"'{where}{key}' is {_shown(found)}; expected a string")
    return found


def _number(item: JsonObject, key: str, where: str) -> int | float:
    """Return a count. PowerShell writes the sum of no files as ``null``, and of others as ``12.0``."""
    found = item.get(key)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"'{where}{key}' is {_shown(found)}; expected a number")
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _shown(value: object) -> str:
    return shortened(repr(value), 80)
