"""The target of events: what their effects are applied to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from pytest_migration_state.types import JsonObject, Key


class Target(Protocol):
    """The target of events: a document, or the state that a document should have according to the log."""

    @property
    def phase(self) -> str:
        """The current phase."""

    @property
    def open_runs(self) -> Container[str]:
        """The ids of the runs that began and whose end is not recorded."""

    def begin(self, migration: JsonObject) -> None:
        """Begin another migration."""

    def adopt(self, content: JsonObject) -> None:
        """Become a document that was taken over as it was."""

    def set_field(self, name: str, value: Any) -> None:
        """Set a top-level key of the document."""

    def set_data(self, key: str, path: str | None) -> None:
        """Record where data was saved; ``None`` removes the key."""

    def append_item(self, name: str, item: JsonObject) -> None:
        """Append to a list of the document."""

    def change_item(self, name: str, before: JsonObject, after: JsonObject) -> None:
        """Replace an item of a list."""

    def set_verdict(self, key: Key, verdict: JsonObject | None) -> None:
        """Record a verdict in place of every other one of its validation; ``None`` removes them."""

    def mark_stale(self, component: str, since: str | None, but: Collection[str] = ()) -> None:
        """Mark the verdicts of a component that exist as stale: a newer process of it was recorded.

        :param but: the names of tests whose verdicts stay as they are.
        """

    def outstanding_entry(self, key: Key) -> JsonObject | None:
        """Return the outstanding entry of a validation."""

    def set_outstanding(self, key: Key, entry: JsonObject | None) -> None:
        """Set the outstanding entry of a validation; ``None`` removes it."""

    def merge_metadata(self, patch: JsonObject) -> None:
        """Apply a JSON Merge Patch (RFC 7396) to the metadata."""
