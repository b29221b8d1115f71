"""The digest of a document's bytes that the document itself holds: computed with zeros in its place.

Where it fits, the document is as this package wrote it, and no other program has changed it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_migration_state.domain.document import Document
    from pytest_migration_state.types import JsonObject

#: The digest in a document while it is computed.
UNKNOWN: Final = b"0" * 64


class Digests:
    """The digests of a document while it is written.

    The document holds one of them itself, computed with zeros in its place.

    :ivar offset: where in the file it stands; ``None`` until that is known.
    """

    def __init__(self, audit: JsonObject) -> None:
        self._before = b'"hash": "%b",\n      "content": "' % audit["hash"].encode()
        self._prefix = hashlib.sha256()
        self._size = 0
        self._rest: list[bytes] = []
        self.offset: int | None = None

    def add(self, piece: bytes) -> None:
        """Add the next bytes of the document."""
        if self.offset is not None:
            self._rest.append(piece)
            return
        found = piece.find(self._before + UNKNOWN)
        if found >= 0:
            start = found + len(self._before)
            self.offset = self._size + start
            self._rest.append(piece[start + len(UNKNOWN) :])
            piece = piece[:start]
        self._prefix.update(piece)
        self._size += len(piece)

    def with_content(self, content: bytes) -> bytes:
        """Return the digest of the document with ``content`` as the digest that it holds."""
        whole = self._prefix.copy()
        if self.offset is not None:
            whole.update(content)
        for piece in self._rest:
            whole.update(piece)
        return whole.digest()


def fits(document: Document, content: bytes) -> bool:
    """Return True if a document is what this package wrote: its bytes have the digest that it holds."""
    digest = document.content_digest
    if digest is None:
        return False
    masked = content.replace(digest.encode("utf-8", "replace"), UNKNOWN)
    return hashlib.sha256(masked).hexdigest() == digest
