"""The document as a file: read for what it means, compared with what was read before, replaced whole.

Other programs write it without the state lock, PowerShell above all: it empties the document and writes it
again in pieces. So a reader that finds no whole document looks again, and a writer makes sure, under a lock
on the document itself, that it replaces the one that it read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.document import Document
from pytest_migration_state.domain.schema import FORMAT_VERSION, NewerVersionError
from pytest_migration_state.errors import StateDamagedError, StateVersionError, StateWriteError
from pytest_migration_state.json_codec import decode_object, is_cut_short
from pytest_migration_state.storage.files.atomic import replace, set_aside, write_temporary
from pytest_migration_state.storage.files.lock import acquire_descriptor
from pytest_migration_state.storage.files.paths import StatePaths, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_migration_state.types import JsonObject

#: How long a document that is empty or cut is read again before it is called damaged, in seconds.
_REREAD_PATIENCE: Final = 2.0
#: How long to wait before it is read again, in seconds.
READ_PAUSE: Final = 0.02


class LoadedDocument(NamedTuple):
    """A document as it was read.

    :ivar digest: SHA-256 of its bytes, by which a changed document is noticed.
    """

    document: Document
    digest: bytes


class DocumentFile:
    """The document of one state on disk."""

    def __init__(self, paths: StatePaths) -> None:
        self.path = paths.document
        self._paths = paths
        self._shown = paths.shown

    def read(self) -> LoadedDocument | None:
        """Return the document on disk; ``None`` if there is none.

        :raises StateDamagedError: it cannot be used.
        :raises StateVersionError: it was written by a newer version of the format.
        """
        deadline = time.monotonic() + _REREAD_PATIENCE
        before: bytes | None = None
        while True:
            content = self._content()
            if content is None:
                return None
            try:
                decoded = decode_object(content)
            except ValueError as error:
                # Damage stays as it is. What a reader finds while another program writes is cut, or the
                # beginning of the new and the end of the old, and is different a moment later.
                is_final = content == before and not is_cut_short(content, error)
                if is_final or time.monotonic() > deadline:
                    raise self._damaged(content, error) from None
                before = content
                time.sleep(READ_PAUSE)
                continue
            return self._loaded(content, decoded)

    def _content(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise self._paths.is_folder() from None
        except OSError as error:
            raise unreadable(self._shown, error) from error

    def _loaded(self, content: bytes, decoded: JsonObject) -> LoadedDocument:
        try:
            return LoadedDocument(Document(decoded), hashlib.sha256(content).digest())
        except NewerVersionError as error:
            reason = (
                f"it was written in version {error} of the format, and this program knows {FORMAT_VERSION}; "
                "install a newer one"
            )
            raise StateVersionError(str(self._shown), reason) from None
        except ValueError as error:
            raise self._damaged(content, error) from None

    def _damaged(self, content: bytes, error: ValueError) -> StateDamagedError:
        what = f"it is not a migration state ({error})" if content.strip() else "it is empty"
        fix = "Restore it from a copy, or move it away: the next command then rebuilds it from the audit log if that is whole"
        return StateDamagedError(str(self._shown), f"{what}. {fix}")

    def replace(self, document: Document, known: bytes | None, patience: float) -> bytes | None:
        """Put ``document`` in the place of the one on disk, if that is still the known one.

        :param known: the digest of the document to be replaced; ``None`` if there is none.
        :param patience: how long another program may keep the document locked, in seconds.
        :returns: the digest of the new one; ``None`` if another program changed the document, and nothing was
            done.
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
            # It is gone already if it has taken its place.
            temporary.unlink(missing_ok=True)

    @contextmanager
    def locked(self, patience: float) -> Iterator[bytes | None]:
        """Lock the document against PowerShell; yields its digest, or ``None`` if there is none.

        :raises OSError: another program keeps it locked, or it cannot be opened.
        """
        try:
            # Open it for writing if that is allowed: NFS grants an exclusive lock on nothing else.
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
        """Keep a copy of the document, whatever it holds, under another name.

        :returns: that name and the document's digest; ``None`` if there is no document.
        :raises StateWriteError: the copy cannot be written.
        """
        try:
            content = self.path.read_bytes()
            aside = set_aside(self.path, "replaced", content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateWriteError(
                str(self._shown), f"the earlier document cannot be set aside ({error.strerror})"
            ) from error
        return aside, hashlib.sha256(content).digest()
