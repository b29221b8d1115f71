"""The rules for what other programs did, judged by the model that they were checked with.

The model (``beside_model``) plays histories: commands and runs of this package, PowerShell functions, edits
by hand, killed writers. In each world that it reaches it asks the rules of the package for the state, and
compares that with what really happened. See the head of that file for the properties.
"""

from __future__ import annotations

import random
from typing import Any

import beside_model as model
import pytest
from beside_code import use_the_code

use_the_code()

#: A document of an old program that this package never wrote.
OLD = model.Doc(  # a tuple of the model
    None, "I-22", ("Validation", None), (((False, -21),), ()), bool(1), None, frozenset(), frozenset(), None
)
PASSED_0, FAILED_0, PASSED_1 = ("v", 0, True), ("v", 0, False), ("v", 1, True)
TO_VALIDATION = ("phase", "Validation", "force")


def programs(**of: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Programs of the model: P a PowerShell, U a command, R a run, H a hand, X a move, Q another state's."""
    return tuple(model.proc(kind, *operations) for kind, operations in of.items())


#: Histories that broke the obvious rules: what is there before, the clocks, and the programs.
TRACES: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = {
    "late line of a pass that is on record": (
        (("v", (1, True)),),
        {},
        programs(P=[PASSED_0], U=[FAILED_0]),
    ),
    "their clock is behind": ((("v", (0, True)),), {"skew": -50}, programs(P=[FAILED_0], U=[("touch",)])),
    "their clock is ahead": (
        (("v", (1, True)),),
        {"skew": 50},
        programs(P=[PASSED_0], R=[FAILED_0, ("ckpt",)]),
    ),
    "planned after their pass": (
        (("v", (1, True)),),
        {},
        programs(P=[PASSED_0], R=[("plan", 0), ("ckpt",)]),
    ),
    "a run merges, and the document is moved away": (
        (("v", (0, True)),),
        {},
        programs(P=[FAILED_0], R=[PASSED_1, ("ckpt",)], X=[("x",)]),
    ),
    "Completed decided on what was read before": (
        (("v", (0, True)),),
        {},
        programs(P=[FAILED_0], U=[("complete",)]),
    ),
    "late line of Initialize": ((), {}, programs(P=[("init",)], U=[FAILED_0, PASSED_1, TO_VALIDATION])),
    "adopted, and moved away": ((), {"adopt": OLD}, programs(U=[PASSED_1], X=[("x",)])),
    "adopted, and a verdict removed by hand": ((), {"adopt": OLD}, programs(U=[PASSED_1], H=[("drop",)])),
    "killed between the first entry and the first checkpoint": (
        (),
        {"adopt": OLD._replace(v=(((True, -21),), ())), "faults": 1},
        programs(U=[FAILED_0]),
    ),
    "a container is not doubled": ((), {}, programs(P=[("cont", "c")], U=[("touch",)])),
}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(("before", "terms", "acting"), TRACES.values(), ids=TRACES)
def test_no_order_of_the_steps_breaks_a_property(
    before: tuple[Any, ...], terms: dict[str, Any], acting: tuple[Any, ...]
) -> None:
    """Every world that the programs can reach is judged."""
    conf = model.Conf("K", **{"faults": 0, **terms})
    worlds, broken = model.search(conf, acting, before)
    assert {kind: (why, trace) for kind, (trace, why, _) in broken.items()} == {}
    assert worlds > len(acting)


@pytest.mark.parametrize("line", [PASSED_0, ("init",)], ids=["a pass", "a beginning"])
def test_lines_about_another_state_of_the_folder_tell_nothing(
    line: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other programs write the lines of all states of a folder to one log."""
    monkeypatch.setitem(model.OPT, "shared", bool(line))
    acting = programs(U=[FAILED_0, PASSED_1, TO_VALIDATION], Q=[line])
    _, broken = model.search(model.Conf("K", faults=0), acting)
    assert broken == {}


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_break_no_property(seed: int) -> None:
    """Longer programs, one random order of their steps each."""
    chance = random.Random(seed)
    for _ in range(12):
        bad, trace, *told = model.one(chance, chance.choice([0, 1, 2, 3]), "K")
        assert not bad, (bad, trace, told)
