"""Makes the reports of a worker fit to be serialised by execnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

#: Types of which execnet can send every value.
_SENDABLE: Final = frozenset({float, bool, bytes, type(None)})
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
#: execnet's limits for integers. Integers beyond them are sent as strings.
_SMALLEST, _LARGEST = -(2**31), 2**63
#: How deeply a report may be nested. Those of pytest itself need a third of this.
_DEPTH: Final = 30


def sanitize_unsendable_reports(plugins: pytest.PytestPluginManager) -> None:
    """Wrap xdist's ``sendevent``: if execnet cannot serialise a report, send a sanitised copy.

    Otherwise the verdict of its test, or the worker, would be lost. Nearly every report can be sent, and
    checking all of them would cost more than recording them. So a report is sanitised only after sending it
    failed. This happens inside xdist's own plugin, so the hooks around that plugin do not notice. The plugin
    has no public name; if no plugin has the method, every report is sanitised.
    """
    xdist: Any = next((found for found in plugins.get_plugins() if hasattr(found, "sendevent")), None)
    if xdist is None:
        plugins.register(ReportSanitizer())
        return
    send = xdist.sendevent

    def sendevent(name: str, **content: Any) -> None:
        try:
            send(name, **content)
        except Exception:
            if name not in {"testreport", "collectreport"}:
                raise
            # A closed channel raises again.
            send(name, **sanitize(content))

    xdist.sendevent = sendevent


class ReportSanitizer:
    """Sanitises every report."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        data = yield
        return None if data is None else sanitize(data)


def sanitize(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return ``value`` in a form that can be sent: lone surrogates escaped, unknown objects as ``repr``.

    :param above: the identities of the containers around ``value``, since a container may contain itself.
    """
    kind = type(value)
    if kind in _SENDABLE or (kind is str and value.isascii()):
        return value
    if kind is int and _SMALLEST <= value <= _LARGEST:
        return value
    if isinstance(value, _CONTAINERS):
        return _sanitize_container(value, above)
    return _to_text(value)


def _sanitize_container(container: Any, above: tuple[int, ...]) -> Any:
    if id(container) in above or len(above) >= _DEPTH:
        return _to_text(container)
    inside = (*above, id(container))
    if isinstance(container, dict):
        return {_sanitize_key(key): sanitize(item, inside) for key, item in container.items()}
    items = [sanitize(item, inside) for item in container]
    return tuple(items) if isinstance(container, tuple) else items


def _sanitize_key(key: Any) -> Any:
    """Return a dict key that can be sent. A container becomes text, because its copy may not be hashable."""
    return _to_text(key) if isinstance(key, _CONTAINERS) else sanitize(key)


def _to_text(value: object) -> str:
    """Return a string, or the ``repr`` of another object, with lone surrogates escaped."""
    return _label(value).encode("utf-8", "backslashreplace").decode()


def _label(value: object) -> str:
    """Return the ``repr`` of ``value``, or ``value`` itself as a plain ``str`` if it is a string."""
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(repr(value))
    except Exception:  # noqa: BLE001  # an object whose repr fails must not cost the report
        return f"<{type(value).__name__}>"
