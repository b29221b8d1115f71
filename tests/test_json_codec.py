"""JSON as the files hold it: two encoders, of which pydantic's is loaded for large documents only."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_core import to_json

from pytest_migration_state import json_codec
from pytest_migration_state.json_codec import to_json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES: dict[str, Any] = {
    "a verdict": {"component": "ä", "passed": True, "error_message": None, "duration_seconds": 0.000123},
    "nested": {"a": [1, (2, 3), {"b": {}}], "c": []},
    "text": ['\u2028 \x7f \x00 " \\ / \U0001f600', ""],
    "numbers": [0, -1, 10**30, 1.5, 1e300, 5e-324],
    "nothing": {},
}


@pytest.fixture(params=["small", "large"])
def encode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """The encoder, as it is for small documents, and as it is for large ones."""
    monkeypatch.setattr(json_codec, "_fast", to_json if request.param == "large" else None)
    return to_json_bytes


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_both_encoders_write_the_same(
    encode: Callable[..., bytes], value: object, indent: int | None
) -> None:
    encoded = encode(value, indent)
    assert json.loads(encoded) == json.loads(json.dumps(value))
    assert b"\n" not in encoded if indent is None else encoded.splitlines()[0] in {b"{", b"[", b"{}"}
    if value is not VALUES["numbers"]:  # 1e300 and 1e+300 are one number
        separators = (",", ":") if indent is None else None
        text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
        assert encoded == text.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null(encode: Callable[..., bytes], number: float) -> None:
    assert json.loads(encode({"a": [number, {"b": number}], "c": 1.5})) == {
        "a": [None, {"b": None}],
        "c": 1.5,
    }


def test_a_lone_surrogate_stays_as_its_escape(encode: Callable[..., bytes]) -> None:
    assert encode({"a": "\ud800"}) == b'{"a":"\\ud800"}'


def test_what_is_nested_too_deeply_is_an_error(encode: Callable[..., bytes]) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        encode(value)


def test_the_other_encoder_is_loaded_for_many_items_only() -> None:
    code = """
import sys
from pytest_migration_state import json_codec
json_codec.expect(999)
assert "pydantic_core" not in sys.modules
json_codec.expect(1000)
assert "pydantic_core" in sys.modules
assert json_codec.to_json_bytes({"a": 1.5}) == b'{"a":1.5}'
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_encoder_that_cannot_be_loaded_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may have changed how modules are imported."""
    monkeypatch.setattr(json_codec, "_fast", None)
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    json_codec.expect(1_000_000)
    assert to_json_bytes({"a": 1}) == b'{"a":1}'
