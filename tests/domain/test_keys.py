"""The keys of JSON objects that PowerShell can read."""

from __future__ import annotations

import pytest

from pytest_migration_state.domain.keys import clashing_key, in_one_case, is_reserved

#: Characters that PowerShell 7.6 takes for one.
ALIKE = {
    "ASCII": "aA",
    "accents": "éÉ",
    "another block": "ÿŸ",
    "the micro sign": "µμΜ",
    "the final sigma": "ςσΣ",
    "a Greek symbol": "ϐβΒ",
    "a digraph in three cases": "ǆǅǄ",
    "a title case alone": "ᾳᾼ",
    "Roman numerals": "ⅷⅧ",
    "circled letters": "ⓐⒶ",
    "Georgian": "აᲐ",
    "Cherokee": "ꭰᎠ",
    "Deseret, beyond the BMP": "𐐨𐐀",
}
#: Keys that it tells apart, although str.casefold(), str.upper() or str.lower() makes one of them.
APART = {
    "a sharp s": ("ß", "ss"),
    "a capital sharp s": ("ß", "ẞ"),
    "a long s": ("\N{LATIN SMALL LETTER LONG S}", "s"),
    "an i without its dot": ("\N{LATIN SMALL LETTER DOTLESS I}", "i"),
    "a capital I with a dot": ("İ", "i"),
    "the Kelvin sign": ("\N{KELVIN SIGN}", "k"),
    "the Ångström sign": ("\N{ANGSTROM SIGN}", "å"),
    "the ohm sign": ("\N{OHM SIGN}", "ω"),
    "a ligature": ("ﬁ", "fi"),
    "two ligatures": ("ﬅ", "ﬆ"),
    "an iota below": ("ᾳ", "\N{GREEK SMALL LETTER ALPHA}\N{GREEK SMALL LETTER IOTA}"),
    "two accents": ("\u0390", "\u1fd3"),
    "composed and not": ("é", "e\u0301"),
}


@pytest.mark.parametrize("characters", ALIKE.values(), ids=ALIKE)
def test_letters_in_any_case_are_one(characters: str) -> None:
    """Each of them is one key beside the others."""
    keys = [f"data-{character}" for character in characters]
    assert len({in_one_case(key) for key in keys}) == 1
    assert all(clashing_key(keys[:1], key) == keys[0] for key in keys[1:])


@pytest.mark.parametrize("keys", APART.values(), ids=APART)
def test_what_powershell_tells_apart_is_not_refused(keys: tuple[str, str]) -> None:
    """It compares character by character."""
    assert clashing_key(keys[:1], keys[1]) is None


@pytest.mark.parametrize(
    ("keys", "new", "expected"),
    [(["config"], "Config", "config"), (["config"], "config", None), (["a", "b"], "c", None)],
    ids=["case", "the same", "another"],
)
def test_a_key_that_differs_from_another_only_in_case_is_found(
    keys: list[str], new: str, expected: str | None
) -> None:
    """PowerShell ignores case, and cannot read a document with two such keys."""
    assert expected == clashing_key(keys, new)


@pytest.mark.parametrize("key", ["psbase", "PSAdapted", "PSEXTENDED", "psObject", "pstypenames"])
def test_a_member_of_all_objects_is_reserved(key: str) -> None:
    """PowerShell's ConvertFrom-Json refuses an object with such a key."""
    assert is_reserved(key)


@pytest.mark.parametrize(
    "key",
    ["ps", "psbase-data", " psbase", "psvariable", "psba\N{LATIN SMALL LETTER LONG S}e", "Count", "$type"],
)
def test_other_names_are_not_reserved(key: str) -> None:
    """It reads an object with such a key."""
    assert not is_reserved(key)
