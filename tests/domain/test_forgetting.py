"""What names and patterns mean when validations and runs are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_migration_state import InvalidArgumentError
from pytest_migration_state.domain import events, run_events
from pytest_migration_state.domain.document import Document, new_document
from pytest_migration_state.domain.forgetting import name_in
from pytest_migration_state.domain.gate import Context
from pytest_migration_state.domain.operations import forget_validation
from pytest_migration_state.domain.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_migration_state.domain.events import Event

NOW: Final = "2026-01-15T09:14:00.000Z"
#: The verdicts of the component ``c``, then what is outstanding of it. ``t[1]`` is both.
VERDICTS: Final = ("t[1]", "t[2]", "t2", "é\n", "a*b", "axb", "*")
OUTSTANDING: Final = ("t[1]", "u?", "uv")
ALL: Final = [*VERDICTS, "u?", "uv"]


def state() -> Document:
    """A document with these validations, with one of another component, and with three unfinished runs."""
    document = new_document(NOW, "id", "linux")
    passed = [Verdict((component, name), passed=True) for component in "cd" for name in VERDICTS]
    happened = [events.verdict_recorded(NOW, verdict) for verdict in passed]
    entries = [run_events.outstanding(NOW, ("c", name), "skipped") for name in OUTSTANDING]
    entries.append(run_events.outstanding(NOW, ("(collection)", "test_x.py"), "collection_error"))
    happened.append(run_events.planned(entries))
    happened += [run_events.run_started(NOW, run, {"host": "h", "process_id": 1}, {}, "4d5e") for run in RUNS]
    for event in happened:
        events.apply(document, event.data, NOW)
    return document


RUNS: Final = ("1a", "1b", "2c")
CONTEXT: Final = Context(liveness={"1a": "alive", "1b": "dead"})


def forgotten(
    document: Document, tests: str | Sequence[str], component: str = "c", context: Context | None = CONTEXT
) -> list[Event]:
    """Return the events, and apply them."""
    decided = forget_validation(document, NOW, component, tests, "why", context=context)
    for event in decided:
        events.apply(document, event.data, NOW)
    return decided


MEANT: dict[str, tuple[str | Sequence[str], list[str]]] = {
    "a name": ("t2", ["t2"]),
    "several names, in their order": (("uv", "t2"), ["uv", "t2"]),
    "the same name twice": (["t2", "t2"], ["t2"]),
    "any text": ("t*", ["t[1]", "t[2]", "t2"]),
    "one character": ("t?", ["t2"]),
    "brackets are literal": ("t[*]", ["t[1]", "t[2]"]),
    "brackets in a name": ("t[1]", ["t[1]"]),
    "a text with a line end": ("é*", ["é\n"]),
    "patterns that overlap": (["t[*", "*2*", "uv"], ["t[1]", "t[2]", "t2", "uv"]),
    "a name that is a pattern too": ("a*b", ["a*b"]),
    "a name with a question mark": ("u?", ["u?"]),
    "a name beside its pattern": (["a*b", "a**b"], ["a*b", "axb"]),
    "a star that is a name": ("*", ["*"]),
    "everything": (["*", "?*"], ["*", *ALL[:6], *ALL[7:]]),
    "every name of one and more characters": ("?*", ALL),
}


@pytest.mark.parametrize(("tests", "names"), MEANT.values(), ids=MEANT)
def test_names_and_patterns_mean_validations(tests: str | Sequence[str], names: list[str]) -> None:
    """Each validation is forgotten once, by an event of its own; everything else stays."""
    document = state()
    decided = forgotten(document, tests)
    assert [name_in(event) for event in decided] == names
    assert {event.details for event in decided} == {f"Test '{name}' for 'c' forgotten: why" for name in names}
    left = {*document.verdicts, *document.outstanding}
    assert {name for component, name in left if component == "c"} == {*ALL} - {*names}
    assert sum(component == "d" for component, _ in left) == len(VERDICTS)
    assert [*document.open_runs] == [*RUNS]


NOTHING = "'c' has neither a verdict nor an outstanding validation"
REFUSED: dict[str, tuple[str, Any, str]] = {
    "an unknown name": ("c", "x", f"test_name 'x' cannot be used: {NOTHING} of this name"),
    "an unknown pattern": ("c", "x*", f"test_name 'x*' cannot be used: {NOTHING} that matches it"),
    "a class of characters": ("c", "t[12]?", f"test_name 't[12]?' cannot be used: {NOTHING} that matches it"),
    "a name in another case": ("c", "T2", f"test_name 'T2' cannot be used: {NOTHING} of this name"),
    "one of several": ("c", ["t2", "x"], f"test_name 'x' cannot be used: {NOTHING} of this name"),
    "an unknown component": (
        "e",
        "*",
        "component 'e' cannot be used: it has neither a verdict nor an outstanding validation",
    ),
    "a component is no pattern": (
        "*",
        "?",
        "component '*' cannot be used: it has neither a verdict nor an outstanding validation",
    ),
    "no name": ("c", [], "test_name '[]' cannot be used: it must name at least one test; '*' means every"),
    "an empty name": ("c", ["t2", ""], "test_name '' cannot be used: it must not be empty"),
    "a number": ("c", 5, "test_name '5' cannot be used: it must be a string or a list of strings"),
    "an object": ("c", {"t2": 1}, "test_name \"{'t2': 1}\" cannot be used: it must be a string or a list of"),
    "bytes": ("c", b"t2", "test_name \"b't2'\" cannot be used: it must be a string or a list of strings"),
    "a number in a list": ("c", ["t2", 5], "test_name '5' cannot be used: it must be a string"),
    "a run that is alive, by a pattern": (
        "(collection)",
        "run 1a*",
        "test_name 'run 1a*' cannot be used: it matches only run 1a, which is running now and is forgotten",
    ),
}


@pytest.mark.parametrize(("component", "tests", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_means_nothing_is_refused(component: str, tests: Any, sentence: str) -> None:
    """One that means nothing refuses all of them, with one sentence."""
    document = state()
    before = document.to_object()
    with pytest.raises(InvalidArgumentError) as caught:
        forgotten(document, tests, component)
    assert str(caught.value).startswith(sentence)
    assert document.to_object() == before


def test_an_empty_reason_is_refused() -> None:
    """The reason is checked although every name is on record."""
    with pytest.raises(InvalidArgumentError) as caught:
        forget_validation(state(), NOW, "c", "t*", " ")
    assert str(caught.value) == "reason ' ' cannot be used: it must not be empty"


LEFT: dict[str, tuple[str | Sequence[str], list[str], list[str]]] = {
    "everything": ("*", ["test_x.py", "run 1b", "run 2c"], ["1a"]),
    "every run": ("run *", ["run 1b", "run 2c"], ["1a"]),
    "a run that is alive, by its name": ("run 1a", ["run 1a"], ["1b", "2c"]),
    "by its name and by a pattern": (["run 1?", "run 1a"], ["run 1b", "run 1a"], ["2c"]),
}


@pytest.mark.parametrize(("tests", "names", "left"), LEFT.values(), ids=LEFT)
def test_a_run_that_is_alive_is_forgotten_only_by_its_name(
    tests: str | Sequence[str], names: list[str], left: list[str]
) -> None:
    """A pattern means the runs that were killed, and those of which nothing is known."""
    document = state()
    assert [name_in(event) for event in forgotten(document, tests, "(collection)")] == names
    assert [*document.open_runs] == left


def test_a_pattern_with_many_stars_does_not_hang() -> None:
    """Matching comes to its end where a matcher that tries every way would not."""
    document = new_document(NOW, "id", "linux")
    long = Verdict(("c", "a" * 4000), passed=True)
    events.apply(document, events.verdict_recorded(NOW, long).data, NOW)
    with pytest.raises(InvalidArgumentError):
        forgotten(document, "*a" * 1000 + "b")
    assert len(forgotten(document, "*a" * 1000 + "*")) == 1
