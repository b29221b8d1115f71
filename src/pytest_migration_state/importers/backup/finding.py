"""The result of checking the backup of one container."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackupResult:
    """The result of checking the backup of one container.

    :ivar container: its name.
    :ivar folder: where it was saved, as a path of the machine that made the backup.
    :ivar reasons: the reasons why it is not safe. None means that every checksum was computed from the files
        and is right.
    :ivar files: how many files were read.
    :ivar size: their total size in bytes.
    """

    container: str
    folder: str
    reasons: tuple[str, ...]
    files: int
    size: int

    @property
    def passed(self) -> bool:
        """True if the backup is safe."""
        return not self.reasons
