"""The errors: their hierarchy, their data and their messages."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from pytest_migration_state import Blocker, errors
from pytest_migration_state.errors import MigrationStateError

BLOCKERS = (
    Blocker("failed", "c", "t", "'t' of 'c' failed", "run it again"),
    Blocker("no_verdicts", None, None, "no verdict", "run the tests"),
)
EXAMPLES: dict[str, tuple[MigrationStateError, dict[str, object], str]] = {
    "InvalidTransitionError": (
        errors.InvalidTransitionError("Validation", "NotStarted", ["Completed", "RolledBack"]),
        {"current": "Validation", "requested": "NotStarted", "allowed": ("Completed", "RolledBack")},
        (
            "Invalid phase transition from 'Validation' to 'NotStarted'. Valid transitions: "
            "Completed, RolledBack"
        ),
    ),
    "GateBlockedError": (
        errors.GateBlockedError(BLOCKERS),
        {"blockers": BLOCKERS},
        (
            "The gate to Completed is shut: 't' of 'c' failed; run it again (and 1 more: see "
            "'migration-state gate')"
        ),
    ),
    "RollbackUnavailableError": (
        errors.RollbackUnavailableError("Completed"),
        {"current": "Completed"},
        (
            "Rollback from 'Completed' is marked as unavailable. If it is possible after all, mark it "
            "as available first (command 'rollback available')"
        ),
    ),
    "InvalidArgumentError": (
        errors.InvalidArgumentError("level", 3, "it must be one of INFO"),
        {"argument": "level", "value": "3", "reason": "it must be one of INFO"},
        "level '3' cannot be used: it must be one of INFO",
    ),
    **{
        kind.__name__: (
            kind("/p/s.json", "the reason"),
            {"path": "/p/s.json", "reason": "the reason"},
            "/p/s.json: the reason",
        )
        for kind in (
            errors.StateExistsError,
            errors.StateNotFoundError,
            errors.StateDamagedError,
            errors.StateVersionError,
            errors.StateWriteError,
        )
    },
    "NothingToAcceptError": (errors.NothingToAcceptError(), {}, "There is nothing to accept: "),
    "StateLockedError": (
        errors.StateLockedError("/p/s.json.lock", 60.0, "process 3 on h (x)"),
        {"path": "/p/s.json.lock", "timeout": 60.0, "holder": "process 3 on h (x)"},
        (
            "/p/s.json.lock: still locked after 60 s; process 3 on h (x) holds it. "
            "Let it finish or stop it, then try again"
        ),
    ),
}
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, (Exception, Warning))
}


def test_all_is_complete() -> None:
    """Every public exception and warning is exported, and nothing else."""
    assert sorted(errors.__all__) == sorted(name for name in CLASSES if not name.startswith("_"))


def test_the_docstring_draws_every_error() -> None:
    """The tree in the module's docstring contains each error."""
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(
        name for name in errors.__all__ if name not in {"MigrationStateError", "MigrationStateWarning"}
    )
    assert all(issubclass(CLASSES[name], MigrationStateError) for name in drawn)


def test_every_error_has_an_example_here() -> None:
    """The tests below therefore cover all of them."""
    assert sorted(EXAMPLES) == sorted(
        name for name in errors.__all__ if name not in {"MigrationStateError", "MigrationStateWarning"}
    )


@pytest.mark.parametrize(("error", "data", "sentence"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_error_is_a_sentence_and_survives_pickling_with_its_data(
    error: MigrationStateError, data: dict[str, object], sentence: str
) -> None:
    """Workers of pytest-xdist and process pools send errors to each other."""
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(error) is type(each)
        assert data == {name: getattr(each, name) for name in data}
        assert str(each).startswith(sentence)
        assert "\n" not in str(each)


def test_an_argument_error_is_a_value_error_too() -> None:
    """``except ValueError`` catches it."""
    assert issubclass(errors.InvalidArgumentError, ValueError)


def test_a_huge_argument_is_shortened_in_the_message() -> None:
    """The attribute keeps the whole value."""
    error = errors.InvalidArgumentError("name", "x" * 10_000, "it is too long")
    assert (len(error.value), len(str(error)) < 500, str(error).endswith("it is too long")) == (
        10_000,
        True,
        True,
    )
