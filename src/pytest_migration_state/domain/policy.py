"""The policy of the gate: its requirements beyond the fixed rules, and the reasons that it lets pass.

Each setting is one parameter of :class:`Policy` and one entry of :data:`SETTINGS`, from which the options of
pytest and of the command line, and the JSON form, are derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

# Every run of pytest loads this module, with or without the plugin's option: it must be cheap.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from pytest_migration_state.types import JsonObject

#: The reasons that ``allow`` may name.
ALLOWABLE: Final = ("skipped", "deselected", "xfailed", "stale")
#: The component under which a file that could not be collected, or was skipped as a whole, is outstanding.
COLLECTION: Final = "(collection)"
#: The component of a crashed worker's test whose real component is unknown.
UNKNOWN: Final = "(unknown)"
#: Names that no component may have.
RESERVED: Final = frozenset({COLLECTION, UNKNOWN})


class Setting:
    """The description of one setting for front ends. Every setting is a list of names.

    :ivar name: the parameter of :class:`Policy`.
    :ivar metavar: the placeholder of a value in a usage message.
    :ivar help: what the setting does, for the help of an option that may be repeated.
    :ivar choices: the values that it may have; empty: any name.
    :ivar reserved: the values that it must not have.
    """

    def __init__(
        self,
        name: str,
        metavar: str,
        help: str,  # noqa: A002  # the word that argparse and pytest use
        choices: tuple[str, ...] = (),
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.choices = choices
        self.reserved = reserved

    @property
    def option(self) -> str:
        """The name in an option, ``--<option>``, in pytest ``--migration-<option>``: with hyphens."""
        return self.name.replace("_", "-")

    @property
    def full_help(self) -> str:
        """The help with the possible values."""
        return ": ".join(filter(None, [self.help, ", ".join(self.choices)]))

    def check(self, value: object) -> str:
        """Return one value as it is stored.

        :raises InvalidArgumentError: the setting cannot have this value.
        """
        from pytest_migration_state.domain.arguments import require_name
        from pytest_migration_state.errors import InvalidArgumentError

        name = require_name(self.name, value)
        if self.choices and name not in self.choices:
            raise InvalidArgumentError(self.name, value, f"it must be one of {', '.join(self.choices)}")
        if name.strip() in self.reserved:
            raise InvalidArgumentError(self.name, value, "this name is reserved; name a component")
        return name

    def check_all(self, values: object) -> tuple[str, ...]:
        """Return the values as they are stored, each once.

        :raises InvalidArgumentError: they are not a list of strings, or the setting cannot have one of them.
        """
        from pytest_migration_state.errors import InvalidArgumentError

        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise InvalidArgumentError(self.name, values, "it must be a list of strings")
        return tuple(dict.fromkeys(self.check(value) for value in values))

    def known(self, values: object) -> list[str]:
        """Return those values that the setting can have; the list may be edited, or of a newer version."""
        from pytest_migration_state.errors import InvalidArgumentError

        found = []
        for value in values if isinstance(values, list) else ():
            with suppress(InvalidArgumentError):
                found.append(self.check(value))
        return found


#: Every setting, in the order of the parameters of :class:`Policy`.
SETTINGS: Final = (
    Setting("require", "NAME", "the gate stays shut until this component has a verdict", reserved=RESERVED),
    Setting("allow", "REASON", "do not let this keep the gate shut", choices=ALLOWABLE),
)


class Policy:
    """The gate's requirements beyond its fixed rules, and the reasons that it lets pass. It is immutable.

    A data class would cost every run of pytest half a millisecond, with or without the plugin's option.

    :ivar require: components that must have a verdict.
    :ivar allow: reasons that do not keep the gate shut, of :data:`ALLOWABLE`.
    :raises InvalidArgumentError: a setting has a value that it cannot have.
    """

    require: tuple[str, ...]
    allow: frozenset[str]

    def __init__(self, require: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        checked = {}
        for setting, values in zip(SETTINGS, (require, allow), strict=True):
            checked[setting.name] = setting.check_all(values)
        vars(self).update(require=checked["require"], allow=frozenset(checked["allow"]))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Policy:
        """Return the policy that ``values``, a list for each setting, describe. A missing list is empty.

        :raises InvalidArgumentError: a value is not a list of strings, or a setting cannot have it.
        """
        return cls(**{setting.name: values.get(setting.name, ()) for setting in SETTINGS})

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Policy:
        """Return the policy that is on record, without what no setting can have."""
        return cls(**{setting.name: setting.known(values.get(setting.name)) for setting in SETTINGS})

    def to_object(self) -> JsonObject:
        """Return the policy as a JSON object: a list for each setting."""
        found: JsonObject = {name: list(values) for name, values in vars(self).items()}
        found["allow"].sort()
        return found

    def __setattr__(self, name: str, value: object) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"Policy(require={self.require!r}, allow={self.allow!r})"
