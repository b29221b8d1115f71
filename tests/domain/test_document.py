"""Documents of other tools: they are read, kept unchanged where possible, or refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.events import apply_effects
from pytest_migration_state.domain.schema import NewerVersionError
from pytest_migration_state.json_codec import decode_object, in_ascii, split_object, to_json_bytes, utf16_of
from state_files import SAMPLES, STATES

CONTAINER = {"name": "n", "id": "i", "removed_at": "2026-11-23T03:13:13.3527655+00:00"}
RESULT = {
    "component": "c",
    "test_name": "t",
    "passed": True,
    "error_message": "",
    "tested_at": "2026-01-15T09:14:00.1234567-03:00",
}
KEYS = [
    "phase",
    "started_at",
    "completed_at",
    "last_updated",
    "docker_containers_removed",
    "data_preserved",
    "native_processes_started",
    "validation_results",
    "rollback_available",
    "error",
    "metadata",
    "outstanding_validations",
]


def document(**changes: Any) -> dict[str, Any]:
    return {"phase": "Validation", **changes}


def load(text: str | bytes) -> dict[str, Any]:
    """Read a document, write it again, and return the values written."""
    data = text if isinstance(text, bytes) else text.encode()
    written = b"".join(Document(decode_object(data)).encoded())
    loaded: dict[str, Any] = json.loads(written)
    return loaded


# --- read for what it means ---------------------------------------------------------------------------------


READ: dict[str, tuple[str | bytes, str, Any]] = {
    "BOM": (b"\xef\xbb\xbf" + json.dumps(document()).encode(), "phase", "Validation"),
    "CRLF": (json.dumps(document(), indent=4).replace("\n", "\r\n"), "phase", "Validation"),
    "a missing list": (json.dumps(document()), "docker_containers_removed", []),
    "null for a list": (
        json.dumps(document(docker_containers_removed=None)),
        "docker_containers_removed",
        [],
    ),
    "a bare object for a list": (
        json.dumps(document(docker_containers_removed=CONTAINER)),
        "docker_containers_removed",
        [CONTAINER],
    ),
    "an empty object for a list": (
        json.dumps(document(docker_containers_removed={})),
        "docker_containers_removed",
        [],
    ),
    "5.1's value and Count": (
        json.dumps(document(validation_results={"value": [RESULT, RESULT], "Count": 2})),
        "validation_results",
        [RESULT, RESULT],
    ),
    "5.1's value and Count, empty": (
        json.dumps(document(validation_results={"value": [], "Count": 0})),
        "validation_results",
        [],
    ),
    "null for the data": (json.dumps(document(data_preserved=None)), "data_preserved", {}),
    "no metadata": (json.dumps(document()), "metadata", {}),
    "null for the metadata": (json.dumps(document(metadata=None)), "metadata", {}),
    "no rollback_available": (json.dumps(document()), "rollback_available", True),
    "an offset and seven digits": (
        json.dumps(document(started_at="2026-02-11T08:36:04.1882694-03:00")),
        "started_at",
        "2026-02-11T08:36:04.1882694-03:00",
    ),
    "no offset": (
        json.dumps(document(started_at="2026-02-11T08:36:04")),
        "started_at",
        "2026-02-11T08:36:04",
    ),
    "a date alone": (json.dumps(document(started_at="2026-02-11")), "started_at", "2026-02-11"),
    "5.1's date": (
        '{"phase":"Validation","started_at":"\\/Date(1700000000000)\\/"}',
        "started_at",
        "/Date(1700000000000)/",
    ),
    "an empty message": (json.dumps(document(validation_results=[RESULT])), "validation_results", [RESULT]),
    "a version that is a number": (
        json.dumps(document(metadata={"version": 1.5})),
        "metadata",
        {"version": 1.5},
    ),
    "a lone surrogate": ('{"phase":"Validation","x":"\\udc80"}', "x", "\udc80"),
}


@pytest.mark.parametrize(("text", "key", "expected"), READ.values(), ids=READ.keys())
def test_notations_of_other_tools_are_normalized(text: str | bytes, key: str, expected: Any) -> None:
    """Values that need no normalizing are written back unchanged."""
    assert expected == load(text)[key]


def test_unknown_keys_are_kept_at_every_level() -> None:
    """Values are equal, numbers keep their notation, and unknown keys follow the known ones."""
    item = {"name": "n", "x": [1, {"y": None}]}
    extra = {
        "ratio": 1.0,
        "big": 12345678901234567890,
        "nested": [[1], [], {"k": []}],
        "due": "2026-02-01T07:00:00-03:00",
    }
    given = document(
        x_other_tool=extra,
        docker_containers_removed=[item],
        native_processes_started=[item],
        validation_results=[{**RESULT, "x": extra}],
        outstanding_validations=[
            {"component": "c", "test_name": "u", "reason": "skipped", "node_id": "n", "x": extra}
        ],
        error={"message": "m", "x": extra},
        metadata={"version": "1.0", "x": extra},
    )
    kept = load(json.dumps(given))
    assert given == {key: kept[key] for key in given}
    assert [*KEYS, "x_other_tool"] == list(kept)


@pytest.mark.parametrize("name", [*STATES, "beside/before", "beside/after"])
def test_every_sample_is_written_back_with_its_values(name: str) -> None:
    """Only the order of keys changes, and missing keys are added with their defaults."""
    content = (SAMPLES / name / "migration-state.json").read_bytes()
    given = decode_object(content)
    kept = load(content)
    lists = {key for key, value in kept.items() if isinstance(value, list)}
    expected = {
        key: [value] if key in lists and isinstance(value, dict) else value for key, value in given.items()
    }
    assert expected == {key: kept[key] for key in given}
    assert list(kept)[: len(KEYS)] == KEYS


def test_a_new_document_has_exactly_these_bytes() -> None:
    """The exact format: keys, their order, an indent of two spaces, a final newline, non-ASCII unescaped."""
    new = new_document("2026-01-15T09:00:00Z", "4b4b", "linux")
    new.fields["data_preserved"]["ção"] = "C:\\b 🐝"
    apply_effects(new, {"validation_results": [{"component": "c", "test_name": "t", "passed": True}]})
    expected = """{
  "phase": "NotStarted",
  "started_at": "2026-01-15T09:00:00Z",
  "completed_at": null,
  "last_updated": "2026-01-15T09:00:00Z",
  "docker_containers_removed": [],
  "data_preserved": {
    "ção": "C:\\\\b 🐝"
  },
  "native_processes_started": [],
  "validation_results": [
    {
      "component": "c",
      "test_name": "t",
      "passed": true
    }
  ],
  "rollback_available": true,
  "error": null,
  "metadata": {
    "version": "1.0",
    "migration_type": "docker_to_native",
    "platform": "linux",
    "migration_id": "4b4b",
    "revision": 0
  },
  "outstanding_validations": []
}
"""
    assert expected == b"".join(new.encoded()).decode()


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
@pytest.mark.parametrize(
    "extra",
    [{}, {"nested": {"a": [1, {}], "b": "},\n      {"}}, {"empty": {}}],
    ids=["flat", "nested", "empty"],
)
def test_a_list_of_any_length_is_written_as_json_writes_it(count: int, extra: dict[str, Any]) -> None:
    """Writing a list in pieces produces the same bytes as the standard library's encoder."""
    results = [{**RESULT, "test_name": f"t{number} }},\n {{", **extra} for number in range(count)]
    loaded = Document(document(validation_results=results))
    expected = json.dumps(loaded.to_object(), ensure_ascii=False, indent=2) + "\n"
    assert expected == b"".join(loaded.encoded()).decode()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "value",
    [
        {"text": 'ç 🐝 "\\ \b\f\n\r\t\x00\x1f\x7f\u0085\u2028'},
        {"numbers": [0, -1, 10**30, 1.0, 0.1, -0.5, True, False, None], "empty": [{}, [], ""]},
        {"a lone surrogate": "\udc80ç", "\ud800": [1, {"a": []}]},
        [[[[1]]]],
    ],
    ids=["text", "numbers", "lone surrogates", "nested"],
)
def test_a_value_is_written_as_the_standard_library_writes_it(value: Any, indent: int | None) -> None:
    """This holds in both layouts, and for values that only the standard library's encoder supports."""
    separators = (",", ":") if indent is None else None
    expected = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    assert expected.encode("utf-8", "backslashreplace") == to_json_bytes(value, indent)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_written_as_null(number: float) -> None:
    """Otherwise the document, or the entry, could not be read again."""
    assert to_json_bytes({"duration_seconds": number}) == b'{"duration_seconds":null}'


def test_values_nested_too_deeply_for_the_fast_encoder_are_written() -> None:
    """Another tool may have written such a value."""
    value: list[Any] = []
    for _ in range(400):
        value = [value]
    assert to_json_bytes(value) == b"[" * 401 + b"]" * 401


# --- several verdicts of one validation ---------------------------------------------------------------------


def _verdict(test_name: str, *, passed: bool) -> dict[str, Any]:
    return {"component": "c", "test_name": test_name, "passed": passed}


T_FAILED, T_PASSED = _verdict("t", passed=False), _verdict("t", passed=True)
U_FAILED, U_PASSED = _verdict("u", passed=False), _verdict("u", passed=True)


def test_of_several_verdicts_the_last_counts_and_all_are_kept() -> None:
    """PowerShell appends and never replaces."""
    loaded = Document(document(validation_results=[T_FAILED, U_PASSED, T_PASSED]))
    assert [(key[1], loaded.verdicts[key]["passed"]) for key in sorted(loaded.verdicts)] == [
        ("t", True),
        ("u", True),
    ]
    assert [
        (result["test_name"], result["passed"]) for result in loaded.to_object()["validation_results"]
    ] == [
        ("t", False),
        ("u", True),
        ("t", True),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda loaded: apply_effects(loaded, {"validation_results": [T_FAILED]}),
            [("u", False), ("u", True), ("t", False)],
        ),
        (
            lambda loaded: apply_effects(
                loaded,
                {"outstanding_validations": [{"component": "c", "test_name": "t", "reason": "pending"}]},
            ),
            [("u", False), ("u", True)],
        ),
        (
            lambda loaded: apply_effects(
                loaded,
                {"outstanding_validations": [{"component": "c", "test_name": "t", "reason": "skipped"}]},
            ),
            [("t", False), ("u", False), ("t", True), ("u", True)],
        ),
        (
            lambda loaded: apply_effects(loaded, {"forgotten": [{"component": "c", "test_name": "t"}]}),
            [("u", False), ("u", True)],
        ),
        (
            lambda loaded: apply_effects(loaded, {"validation_results": [_verdict("v", passed=True)]}),
            [("t", False), ("u", False), ("t", True), ("u", True), ("v", True)],
        ),
    ],
    ids=["a new verdict", "about to run", "skipped", "forgotten", "another validation"],
)
def test_duplicates_are_kept_until_their_validation_changes(
    change: Any, expected: list[tuple[str, bool]]
) -> None:
    """A change removes all verdicts of its validation; those of others keep their places."""
    loaded = Document(document(validation_results=[T_FAILED, U_FAILED, T_PASSED, U_PASSED]))
    change(loaded)
    assert expected == [
        (result["test_name"], result["passed"]) for result in loaded.to_object()["validation_results"]
    ]


# --- refused ------------------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "a list": ("[]", "expected a JSON object, found a list"),
    "a text": ('"x"', "expected a JSON object, found a string"),
    "null": ("null", "expected a JSON object, found null"),
    "a number": ("3", "expected a JSON object, found a number"),
    "nothing": ("", "Expecting value: line 1 column 1 (char 0)"),
    "no JSON": ("phase=Validation", "Expecting value: line 1 column 1 (char 0)"),
    "not UTF-8": (
        b'{"phase":"\xff"}',
        "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte",
    ),
    "NaN": ('{"phase":"Validation","x":NaN}', "NaN is not a JSON number"),
    "Infinity": ('{"phase":"Validation","x":-Infinity}', "-Infinity is not a JSON number"),
    "too large": ('{"phase":"Validation","x":1e999}', "the number 1e999 is too large"),
    "a doubled key": ('{"phase":"Validation","x":{"a":1,"a":2}}', "duplicate key 'a'"),
    "nested too deep": ('{"x":' * 100_000 + "1" + "}" * 100_000, "too deeply nested"),
    "no phase": ("{}", "'phase' is None; expected one of NotStarted, "),
    "an unknown phase": (
        '{"phase":"Done"}',
        "'phase' is 'Done'; expected one of NotStarted, BackupInProgress, ",
    ),
    "a phase in lower case": ('{"phase":"validation"}', "'phase' is 'validation'; expected one of"),
    "a phase that is a list": ('{"phase":["Validation"]}', "'phase' is ['Validation']; expected one of"),
    "a time that is none": (
        json.dumps(document(started_at="yesterday")),
        "'started_at' is 'yesterday'; expected a time",
    ),
    "a time that is a number": (json.dumps(document(last_updated=3)), "'last_updated' is 3; expected a time"),
    "a list that is a text": (
        json.dumps(document(validation_results="x")),
        "'validation_results' is 'x'; expected a list",
    ),
    "an item that is a text": (
        json.dumps(document(validation_results=["x"])),
        "'validation_results[0]' is 'x'; expected an object with component, passed, test_name",
    ),
    "a verdict without its test": (
        json.dumps(document(validation_results=[RESULT, {"component": "c", "passed": True}])),
        "'validation_results[1]' is ",
    ),
    "passed as a text": (
        json.dumps(document(validation_results=[{**RESULT, "passed": "True"}])),
        "'validation_results[0].passed' is 'True'; expected true or false",
    ),
    "passed as a number": (
        json.dumps(document(validation_results=[{**RESULT, "passed": 1}])),
        "'validation_results[0].passed' is 1; expected true or false",
    ),
    "an override with a number for a name": (
        json.dumps(document(validation_results=[{**RESULT, "overridden": {"by": 1}}])),
        "'validation_results[0].overridden' is {'by': 1}; expected an object with 'by', 'at' and 'reason'",
    ),
    "an override that is a list": (
        json.dumps(document(validation_results=[{**RESULT, "overridden": []}])),
        "'validation_results[0].overridden' is []; expected an object with 'by', 'at' and 'reason'",
    ),
    "a detail that is a list": (
        json.dumps(document(validation_results=[{**RESULT, "detail": ["x"]}])),
        "'validation_results[0].detail' is ['x']; expected a string or null",
    ),
    "a component that is null": (
        json.dumps(document(validation_results=[{**RESULT, "component": None}])),
        "'validation_results[0].component' is None; expected a string",
    ),
    "an unknown reason": (
        json.dumps(
            document(outstanding_validations=[{"component": "c", "test_name": "t", "reason": "lazy"}])
        ),
        "'outstanding_validations[0].reason' is 'lazy'; expected one of pending",
    ),
    "data that is a list": (
        json.dumps(document(data_preserved=[1])),
        "'data_preserved' is not an object of strings",
    ),
    "a path that is a number": (
        json.dumps(document(data_preserved={"k": 1})),
        "'data_preserved' is not an object of strings",
    ),
    "rollback as a text": (
        json.dumps(document(rollback_available="yes")),
        "'rollback_available' is 'yes'; expected true or false",
    ),
    "an error that is a text": (
        json.dumps(document(error="boom")),
        "'error' is 'boom'; expected null or an object with",
    ),
    "metadata that is a list": (json.dumps(document(metadata=[])), "'metadata' is []; expected an object"),
    "a version that is none": (
        json.dumps(document(metadata={"version": "one"})),
        "'metadata.version' is 'one'; expected a version",
    ),
    "a place in the log that is none": (
        json.dumps(document(metadata={"audit": {"seq": "3"}})),
        "'metadata.audit' is {'seq': '3'}; expected an object with 'seq' and 'hash'",
    ),
    "a revision that is a text": (
        json.dumps(document(metadata={"revision": "3"})),
        "'metadata.revision' is '3'; expected an integer",
    ),
    "a list in the reason's place": (
        json.dumps(document(outstanding_validations=[{"component": "c", "test_name": "t", "reason": []}])),
        "'outstanding_validations[0].reason' is []; expected one of pending",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_document_is_refused_with_a_sentence(text: str | bytes, sentence: str) -> None:
    """The sentence names the key and its value."""
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        load(text)


@pytest.mark.parametrize("version", ["3.0", "3", "10.1", 3, 3.5])
def test_a_newer_major_version_is_refused(version: str | float) -> None:
    """Its values may have another meaning."""
    with pytest.raises(NewerVersionError, match=str(version)):
        load(json.dumps(document(metadata={"version": version})))


@pytest.mark.parametrize("version", ["1.0", "1.9", "0.3", "1", "2.0", "2.5", None])
def test_the_same_or_an_older_major_version_is_read(version: str | None) -> None:
    """A higher minor version adds keys, which are kept."""
    assert load(json.dumps(document(metadata={"version": version})))["metadata"] == {"version": version}


# --- what two writers leave, and other encodings ------------------------------------------------------------

WHOLE = '{"é": [1, {}]}'.encode()
SPLIT = {
    "the end of a longer one": (WHOLE + b'"}]}\n', b'"}]}\n'),
    "an end that begins within a character": (WHOLE + b'\xa9"}\n', b'\xa9"}\n'),
    "white space around": (b"\r\n" + WHOLE + b"\n", b"\n"),
    "a byte order mark": (b"\xef\xbb\xbf" + WHOLE + b"}", b"}"),
    "nothing behind": (WHOLE, b""),
}


@pytest.mark.parametrize(("content", "rest"), SPLIT.values(), ids=SPLIT)
def test_the_object_in_front_of_the_remains_of_another_one_is_found(content: bytes, rest: bytes) -> None:
    """The remains begin anywhere, in the middle of a character too."""
    assert split_object(content) == (decode_object(WHOLE), rest)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]{}", b"x{}", b'{"a": "\xa9"} }', b'{"a": 1, "a": 2} }', b'{"a": NaN} }', b'{"a": ' * 10**5],
    ids=["empty", "list", "text", "half a character", "doubled key", "no number", "nested too deeply"],
)
def test_an_object_that_could_not_be_used_alone_is_not_found_in_front_of_others(content: bytes) -> None:
    """What stands behind an object makes it no better."""
    with pytest.raises(ValueError, match=r"."):
        split_object(content)


UTF16 = {
    "PowerShell 5.1": ('{"a": "ação, 中文"}'.encode("utf-16"), "Unicode"),
    "without a mark": ('{"a": "ação, 中文"}'.encode("utf-16-le"), "Unicode"),
    "the other order": (b"\xfe\xff" + '{"a": 1}'.encode("utf-16-be"), "BigEndianUnicode"),
    "the other order without a mark": ('{"a": 1}'.encode("utf-16-be"), "BigEndianUnicode"),
    "empty": (b"", None),
    "JSON": (b'{"a": "a\xc3\xa7\xc3\xa3o"}', None),
    "zeros": (bytes(4096), None),
    "zeros behind": (b'{"a": 1}' + bytes(4096), None),
}


@pytest.mark.parametrize(("content", "name"), UTF16.values(), ids=UTF16)
def test_utf16_is_recognized_with_and_without_its_mark(content: bytes, name: str | None) -> None:
    """It is named as PowerShell names it."""
    assert utf16_of(content) == name


PRINTED = {
    "a bidirectional override": "a\u202eb",
    "an astral character": "\N{HONEYBEE}",
    "a control character of ASCII": "a\x7fb",
    "a control character": "a\x9bb",
    "quotes and backslashes": 'a"\\b',
    "a line separator": "a\u2028b",
}


@pytest.mark.parametrize("text", PRINTED.values(), ids=PRINTED)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_for_a_terminal_is_printable_ascii_of_the_same_value(text: str, indent: int | None) -> None:
    """No terminal takes it for an instruction, and no code page garbles it."""
    value = {text: [text, {"key": text}]}
    printed = in_ascii(to_json_bytes(value, indent=indent))
    assert printed.replace(b"\n", b"").decode("ascii").isprintable()
    assert decode_object(printed) == value
