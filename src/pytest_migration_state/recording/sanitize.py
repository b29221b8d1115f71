"""Reports of a worker, made fit to be serialised by execnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_SCALARS: Final = frozenset({int, float, bool, bytes, type(None)})
#: Integers beyond these are sent as strings: execnet's limits.
_SMALLEST, _LARGEST = -(2**31), 2**63
#: How deeply a report may be nested. Those of pytest itself need a third of this.
_DEPTH: Final = 30


def sanitize_unsendable_reports(plugins: pytest.PytestPluginManager) -> None:
    """Wrap xdist's ``sendevent``: if execnet cannot serialise a report, send a sanitised copy.

    Otherwise the verdict of its test, or the worker, would be lost. Nearly every report can be sent, and to
    check each of them would cost more than to record it, so it is done only after sending failed, inside
    xdist's own plugin: the hooks around it do not notice. That plugin has no public name; if it is not found
    by its method, every report is sanitised.
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
    """Return ``value`` with nothing in it that cannot be sent: lone surrogates escaped, unknown objects as ``repr``.

    :param above: the containers around it, by identity: one may contain itself.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value if kind is not int or _SMALLEST <= value <= _LARGEST else _label(value)
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if id(value) not in above and len(above) < _DEPTH:
        inside = (*above, id(value))
        if isinstance(value, dict):
            return {
                sanitize(key if type(key) in _SCALARS else _label(key)): sanitize(item, inside)
                for key, item in value.items()
            }
        if isinstance(value, (list, set, frozenset)):
            return [sanitize(item, inside) for item in value]
        if isinstance(value, tuple):
            return tuple([sanitize(item, inside) for item in value])
    return sanitize(_label(value))


def _label(value: object) -> str:
    """Return a string for any other object, or for an instance of a subclass of ``str``."""
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(repr(value))
    except Exception:  # noqa: BLE001  # an object whose repr fails must not cost the report
        return f"<{type(value).__name__}>"
