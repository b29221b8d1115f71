"""The document on disk: read for what it means, compared with what was read before, replaced whole.

Other programs write it without our lock, PowerShell above all: it cuts the document to nothing and writes it anew in
pieces. So a reader that finds no whole document looks again, and a writer makes sure, under a lock on the document itself,
that it replaces the one that it read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.core.document import FORMAT_VERSION, Document, NewerVersionError, decode_object, is_cut_short
from pytest_migration_state.core.errors import StateDamagedError, StateVersionError, StateWriteError
from pytest_migration_state.core.files import replace, write_temporary
from pytest_migration_state.core.lock import acquire_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: How long a document that is empty or cut is read again before it is called damaged, in seconds.
_REREAD_PATIENCE: Final = 2.0
#: How long to wait before it is looked at again, in seconds.
READ_PAUSE: Final = 0.02


class Found(NamedTuple):
    """A document as it was read.

    :ivar digest: SHA-256 of its bytes, by which it is known again.
    """

    document: Document
    digest: bytes


class Checkpoint:
    """One document on disk.

    :param path: the file itself, symbolic links followed.
    :param shown: its path as the user gave it, for messages.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self.path, self._shown = path, shown

    def is_folder(self) -> StateDamagedError:
        """The error that a folder stands in its place."""
        return StateDamagedError(str(self._shown), "this is a folder; name the state file in it, such as migration-state.json")

    def read(self) -> Found | None:
        """The document as it stands; ``None`` where there is none.

        :raises StateDamagedError: what stands there cannot be used.
        :raises StateVersionError: it was written by a newer version of the format.
        """
        deadline = time.monotonic() + _REREAD_PATIENCE
        before: bytes | None = None
        while True:
            try:
                content = self.path.read_bytes()
            except FileNotFoundError:
                return None
            except IsADirectoryError:
                raise self.is_folder() from None
            except OSError as error:
                raise unreadable(self._shown, error) from error
            try:
                decoded = decode_object(content)
            except ValueError as error:
                # Damage stays as it is. What a reader finds while another program writes is cut, or the beginning of the old
                # and the end of the new, and is another thing a moment later.
                if (content == before and not is_cut_short(content, error)) or time.monotonic() > deadline:
                    raise self._damaged(content, error) from None
                before = content
                time.sleep(READ_PAUSE)
                continue
            try:
                return Found(Document(decoded), hashlib.sha256(content).digest())
            except NewerVersionError as error:
                reason = f"it was written in version {error} of the format, and this program knows {FORMAT_VERSION}; install a newer one"
                raise StateVersionError(str(self._shown), reason) from None
            except ValueError as error:
                raise self._damaged(content, error) from None

    def _damaged(self, content: bytes, error: ValueError) -> StateDamagedError:
        what = "it is empty" if not content.strip() else f"it is no migration state ({error})"
        way_out = "Restore it from a copy, or move it away: the next command then rebuilds it from the audit log if that is whole"
        return StateDamagedError(str(self._shown), f"{what}. {way_out}")

    def replace(self, document: Document, known: bytes | None, patience: float) -> bytes | None:
        """Put ``document`` in the place of the one on disk, if that still is the one that is ``known``.

        :param known: the digest of what is to be replaced; ``None`` where nothing is.
        :param patience: how long another program may keep the document locked, in seconds.
        :returns: the digest of the new one; ``None`` where another program changed the document, and nothing was done.
        :raises OSError: the operating system refused.
        """
        written = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            for piece in document.encoded():
                written.update(piece)
                yield piece

        temporary = write_temporary(self.path, pieces())
        try:
            with self.locked(patience) as digest:
                if digest == known:
                    replace(temporary, self.path)
                    return written.digest()
            return None
        finally:
            # It is there no more where it has taken its place.
            temporary.unlink(missing_ok=True)

    @contextmanager
    def locked(self, patience: float) -> Iterator[bytes | None]:
        """The document locked against PowerShell, and its digest; ``None`` where there is none.

        :raises OSError: another program keeps it locked, or it cannot be opened.
        """
        try:
            # For writing where that is allowed: NFS gives an exclusive lock on nothing else.
            is_writable = os.access(self.path, os.W_OK)
            file = self.path.open("r+b") if is_writable else self.path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            if not acquire_descriptor(file.fileno(), patience):
                raise OSError(errno.EAGAIN, "another program keeps it locked")
            digest = hashlib.file_digest(file, "sha256").digest()
            if sys.platform != "win32":
                yield digest
                return
        # Windows replaces no file that is open.
        yield digest

    def set_aside(self) -> tuple[str, bytes] | None:
        """Keep a copy of the document, whatever it holds, under another name; gives that name and the document's digest.

        :raises StateWriteError: the copy cannot be written.
        """
        aside = self.path.with_name(f"{self.path.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        try:
            content = self.path.read_bytes()
            replace(write_temporary(self.path, [content]), aside)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateWriteError(str(self._shown), f"the earlier document cannot be set aside ({error.strerror})") from error
        return aside.name, hashlib.sha256(content).digest()


def unreadable(path: Path, error: OSError) -> StateDamagedError:
    """The error that the operating system does not let ``path`` be read."""
    return StateDamagedError(str(path), f"it cannot be read ({error.strerror or error}). Nothing was changed; try again when it can be")
