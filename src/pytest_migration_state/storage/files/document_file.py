"""The document as a file: decoded, compared with the version that was read before, and replaced atomically.

Other programs write it without the state lock, in pieces. So a document that cannot be decoded is read again
until no other program has it open, and a writer checks, under a lock on the document itself, that it replaces
the version that it read.

Whether another program has it open is known from locks: PowerShell has a shared one as long as it has it
open (flock(2); on Windows its open excludes others instead). Out-File keeps it open from before it empties it
until the last piece. Set-Content closes it when it has emptied it, and opens it again to write. So an empty
document may be one that is just being written although nobody has it open. It is not locked: the second open
would fail, and the document stay empty. A program without locks is noticed only while the content changes.

Two PowerShells share the lock. They write over each other, and leave one whole document in front of the
remains of a longer one, or one whole document behind the other.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from contextlib import contextmanager, suppress
from time import monotonic, sleep  # bound here: a test may replace time.monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_migration_state.domain.document import Document
from pytest_migration_state.domain.schema import NEWEST_VERSION, NewerVersionError
from pytest_migration_state.errors import StateDamagedError, StateVersionError, StateWriteError
from pytest_migration_state.json_codec import decode_object, split_object
from pytest_migration_state.regular_files import (
    SHARING_PATIENCE,
    despite_sharing,
    is_empty,
    open_regular,
    read_regular,
)
from pytest_migration_state.storage.base import DEFAULT_TIMEOUT
from pytest_migration_state.storage.files import content_digest
from pytest_migration_state.storage.files.atomic import (
    appearance,
    identity,
    remove,
    replace,
    set_aside,
    write_temporary,
)
from pytest_migration_state.storage.files.paths import StatePaths, document_in_utf16, unreadable
from pytest_migration_state.storage.files.waiting import is_let_go, shut_out_others

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from pytest_migration_state.storage.files.atomic import Identity
    from pytest_migration_state.types import JsonObject

#: How long to wait before a document that cannot be decoded is read again, in seconds.
READ_PAUSE: Final = 0.02
#: How long a document must have been empty before it is looked at whether another program has it open, in
#: seconds.
EMPTY_PATIENCE: Final = 2.0


class LoadedDocument(NamedTuple):
    """A document as it was read.

    :ivar digest: SHA-256 of its bytes, by which a changed document is noticed.
    :ivar fits: whether it is, byte for byte, what this package wrote.
    :ivar damaged: all the bytes if there is more than this document; else ``None``.
    """

    document: Document
    digest: bytes
    fits: bool = False
    damaged: bytes | None = None


class DocumentFile:
    """The document of one state on disk.

    :param patience: how long another program may have the document open when it cannot be read, in seconds.
    :ivar absence: why :meth:`read` found no document: ``missing``, or ``empty`` because of our lock.
    """

    def __init__(self, paths: StatePaths, patience: float = DEFAULT_TIMEOUT) -> None:
        self.path = paths.document
        self._paths = paths
        self._patience = patience
        self._shown = paths.shown
        # The file that :meth:`kept_from_others` has locked.
        self._kept: Identity | None = None
        # It was empty when it was locked here: whoever emptied it, to open it again, was refused.
        self._is_locked_empty = False
        self.absence = "missing"
        # What the file looked like when it was last read or written.
        self._seen = appearance(self.path)

    def is_changed(self) -> bool:
        """Return True if the file is certainly another one than when it was last read or written."""
        now = appearance(self.path)
        return now is not None and now != self._seen

    def read(self) -> LoadedDocument | None:
        """Return the document on disk; ``None`` if there is none, or if it is empty because of our lock.

        :raises StateDamagedError: it cannot be used.
        :raises StateVersionError: it was written by a newer version of the format.
        """
        self.absence = "missing"
        self._seen = appearance(self.path)
        content = self._content()
        if content is None:
            return None
        try:
            return self._loaded(content, decode_object(content))
        except ValueError as error:
            return self._read_settled(content, error)

    def _read_settled(self, before: bytes, error: ValueError) -> LoadedDocument | None:
        """Return the document when no other program is writing it any more.

        :param before: what it held when it was read before.
        :param error: why that is not a state.
        """
        since = monotonic()
        deadline = since + self._patience
        while True:
            sleep(READ_PAUSE)
            if (content := self._content()) is None:
                return None
            now = monotonic()
            if content != before:
                try:
                    return self._loaded(content, decode_object(content))
                except ValueError as caught:
                    before, since, error = content, now, caught
            elif (content or now >= min(deadline, since + EMPTY_PATIENCE)) and self._is_settled(content):
                if self._is_locked_empty and not content:
                    self.absence = "empty"
                    return None
                return self._despite_remains(content, error)
            if now >= deadline:
                raise self._unsettled(error)

    def _is_settled(self, content: bytes) -> bool:
        """Return True if no other program has the document open, and it holds ``content``."""
        with suppress(OSError), self._opened(patience=0.0) as file:
            is_free = self._is_kept(file) or is_let_go(file.fileno(), patience=0.0)
            return is_free and file.read() == content
        return False

    def _content(self) -> bytes | None:
        try:
            return read_regular(self.path, max(self._patience, SHARING_PATIENCE))
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise self._paths.is_folder() from None
        except OSError as error:
            raise unreadable(self._shown, error) from error

    def _despite_remains(self, content: bytes, error: ValueError) -> LoadedDocument:
        """Return a document behind which the remains of another one stand, or the last of several.

        :param error: why all of the content cannot be decoded.
        :raises StateDamagedError: it is damaged in another way.
        """
        try:
            decoded, rest = split_object(content)
            # The second of two PowerShells may have begun to write where the first one had ended.
            while later := _state_in_front(rest):
                decoded, rest = later
            return self._loaded(content, decoded)._replace(damaged=content)
        except ValueError:
            raise self._damaged(content, error) from None

    def _loaded(self, content: bytes, decoded: JsonObject) -> LoadedDocument:
        """Return a document.

        :raises ValueError: it is not a state.
        :raises StateVersionError: it was written by a newer version of the format.
        """
        try:
            document = Document(decoded)
            return LoadedDocument(
                document, hashlib.sha256(content).digest(), content_digest.fits(document, content)
            )
        except NewerVersionError as error:
            reason = (
                f"it was written in version {error} of the format, and this program knows versions up to "
                f"{NEWEST_VERSION}; install a newer one"
            )
            raise StateVersionError(str(self._shown), reason) from None

    def _damaged(self, content: bytes, error: ValueError) -> StateDamagedError:
        if in_utf16 := document_in_utf16(self.path, content):
            return StateDamagedError(str(self._shown), in_utf16)
        what = f"it is not a migration state ({error})" if content.strip() else "it is empty"
        fix = (
            "Restore it from a copy, or move it away: "
            "the next command that writes then rebuilds it from the audit log if that is whole"
        )
        return StateDamagedError(str(self._shown), f"{what}. {fix}")

    def _unsettled(self, error: ValueError) -> StateDamagedError:
        busy = f"another program has not finished with it in {self._patience:g} s"
        fix = "Nothing was changed; let that program finish, or stop it, and try again"
        what = f"it is not a migration state ({error}), and {busy}"
        return StateDamagedError(str(self._shown), f"{what}. {fix}")

    def replace(self, document: Document, known: bytes | None, patience: float) -> bytes | None:
        """Replace the document on disk by ``document``, if it is still the known one.

        :param known: the digest of the document to be replaced; ``None`` if there is none.
        :param patience: how long another program may keep the document locked, in seconds.
        :returns: the digest of the new one; ``None`` if another program changed the document, and nothing was
            done.
        :raises OSError: the operating system refused.
        """
        audit = document.metadata["audit"]
        audit["content"] = content_digest.UNKNOWN.decode()
        digests = content_digest.Digests(audit)

        def pieces() -> Iterator[bytes]:
            for piece in document.encoded():
                digests.add(piece)
                yield piece

        def own_digest() -> tuple[int, bytes]:
            audit["content"] = digests.with_content(content_digest.UNKNOWN).hex()
            assert digests.offset is not None
            return digests.offset, audit["content"].encode()

        temporary = write_temporary(self.path, pieces(), own_digest)
        try:
            with self.locked(patience) as digest:
                if digest == known:
                    seen = appearance(temporary)
                    replace(temporary, self.path)
                    self._seen = seen
                    return digests.with_content(audit["content"].encode())
            return None
        finally:
            # It no longer exists if it has replaced the document.
            remove(temporary)

    @contextmanager
    def locked(self, patience: float) -> Iterator[bytes | None]:
        """Lock the document against PowerShell. Yield its digest, or ``None`` if there is no document.

        An empty document is not locked: PowerShell may be about to open it again.

        :raises OSError: another program keeps it locked, or it cannot be opened.
        """
        try:
            opened = self._opened()
        except FileNotFoundError:
            yield None
            return
        with opened as file:
            if not (self._is_kept(file) or is_empty(file) or self._shut_out(file, patience)):
                raise OSError(errno.EAGAIN, "another program keeps it locked")
            is_gone = self.absence == "empty" and is_empty(file)
            digest = None if is_gone else hashlib.file_digest(file, "sha256").digest()
            if sys.platform != "win32":
                yield digest
                return
        # Windows cannot replace an open file.
        yield digest

    @contextmanager
    def kept_from_others(self, patience: float) -> Iterator[None]:
        """Keep other programs from writing the document: their calls fail meanwhile, and say so.

        Nothing is kept where another program keeps it locked; where one has just emptied it, to open it again
        and write it; and on Windows, which cannot replace an open file.

        :param patience: how long another program may keep it locked, in seconds.
        """
        file = None
        if self._kept is None and sys.platform != "win32":
            with suppress(OSError):
                file = self._opened()
        if file is None:
            yield
            return
        with file:
            try:
                with suppress(OSError):
                    is_locked = not is_empty(file) and self._shut_out(file, patience)
                    if is_locked and not self._is_locked_empty:
                        self._kept = identity(os.fstat(file.fileno()))
                if self._kept is None:
                    file.close()
                yield
            finally:
                self._kept = None

    def _shut_out(self, file: BufferedReader, patience: float) -> bool:
        """Lock the document against other programs. Return False if another one keeps it locked.

        If one has just emptied it, and now opens it again to write it, it is refused and leaves it empty.
        """
        is_locked = shut_out_others(file.fileno(), patience)
        self._is_locked_empty = is_locked and is_empty(file)
        return is_locked

    def _is_kept(self, file: BufferedReader) -> bool:
        return self._kept is not None and identity(os.fstat(file.fileno())) == self._kept

    def _opened(self, patience: float = SHARING_PATIENCE) -> BufferedReader:
        """Open the document to lock and read it.

        It is opened for writing if that is allowed: NFS grants an exclusive lock only then, and on Windows
        that is refused while another program writes it.

        :param patience: how long another program may keep it to itself, in seconds.
        """
        is_writable = os.access(self.path, os.W_OK)
        descriptor = despite_sharing(lambda: open_regular(self.path, writable=is_writable), patience)
        return os.fdopen(descriptor, "rb")

    def set_aside(self) -> tuple[str, bytes] | None:
        """Keep a copy of the document, whatever it holds, under another name.

        :returns: that name and the document's digest; ``None`` if there is no document.
        :raises StateWriteError: the copy cannot be written.
        """
        try:
            content = read_regular(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._not_set_aside(error) from error
        return self.keep(content, "replaced"), hashlib.sha256(content).digest()

    def keep(self, content: bytes, kind: str) -> str:
        """Keep ``content`` in a file beside the document, and return its name.

        :param kind: a part of that name.
        :raises StateWriteError: it cannot be written.
        """
        try:
            return set_aside(self.path, kind, content)
        except OSError as error:
            raise self._not_set_aside(error) from error

    def _not_set_aside(self, error: OSError) -> StateWriteError:
        reason = f"the earlier document cannot be set aside ({error.strerror})"
        return StateWriteError(str(self._shown), reason)


def _state_in_front(rest: bytes) -> tuple[JsonObject, bytes] | None:
    """Return the state that ``rest`` begins with, and what stands behind it; ``None`` if there is none."""
    with suppress(ValueError):
        decoded, behind = split_object(rest)
        if "phase" in decoded:
            return decoded, behind
    return None
