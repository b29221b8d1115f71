"""What is replaced as a secret, and what is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_migration_state.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {
    "DEPLOY_TOKEN": "d3ploy-t0ken",
    "deploy_token_long": "d3ploy-t0ken-and-more",
    "CLIENT_SECRETS": " with spaces ",
    "Db_Password": "s3cret(+.*)",
    "MY_API_KEY": "k3y 🔑 k3y",
    "SHORT_TOKEN": "1234567",
    "EMPTY_TOKEN": "",
    "BLANK_TOKEN": " " * 12,
    "API": "no-secret-by-name",
}

REDACTED: dict[str, tuple[str, str]] = {
    "a value of the environment": ("it is 'd3ploy-t0ken'", "it is '***'"),
    "several": ("d3ploy-t0ken, d3ploy-t0ken", "***, ***"),
    "a value that contains another": ("d3ploy-t0ken-and-more", "***"),
    "a value without its surrounding spaces": ("[with spaces]", "[***]"),
    "a value with characters of patterns": ("s3cret(+.*)", "***"),
    "a value that is not ASCII": ("k3y 🔑 k3y", "***"),
    "a password in a URL": ("postgres://app:hunter2@db/app", "postgres://app:***@db/app"),
    "a password without a user": ("redis://:hunter2@db:6379/0", "redis://:***@db:6379/0"),
    "a password with reserved characters": ("mysql://u:p@ss/w?r#d@db", "mysql://u:***@db"),
    "two URLs": ("a://u:p@h b://v:q@i", "a://u:***@h b://v:***@i"),
    "a bearer": ("got Bearer eyJhbGciOi.e30._-~+/=", "got Bearer ***"),
    "a bearer in another case": ("BEARER abc", "BEARER ***"),
    "a header": ("Authorization: Bearer abc", "Authorization: Bearer ***"),
    "a header of another scheme": ("authorization: Token abc123", "authorization: Token ***"),
    "a header without a scheme": ("Authorization: abc123 was refused", "Authorization: *** was refused"),
    "a dict": ("{'Authorization': 'Basic dTpw', 'A': 1}", "{'Authorization': 'Basic ***', 'A': 1}"),
    "headers in bytes": ("{b'Authorization': b'Basic dTpw'}", "{b'Authorization': b'Basic ***'}"),
    "a pair": ("('Authorization', 'token abc123')", "('Authorization', 'token ***')"),
    "escaped JSON": (r"{\"Authorization\": \"Bearer a+/=\"}", r"{\"Authorization\": \"Bearer ***\"}"),
    "a signature": ("Authorization: AWS4-HMAC-SHA256 Credential=AK/1", "Authorization: AWS4-HMAC-SHA256 ***"),
    "basic credentials alone": ("sent Basic dXNlcjpwYXNz", "sent Basic ***"),
    "basic credentials that were shortened": ("Basic dXNlcjpwYX", "Basic ***"),
}  # fmt: skip

KEPT = [
    "",
    "AssertionError: assert 1 == 2\n  line 2\r\n",
    "1234567 is too short, and no-secret-by-name has another name",
    "http://localhost:8080/path/user@example.com",
    "http://localhost:8080, mail to jane@example.com",
    "file:///a:b@c and git@github.com:a/b.git",
    "the basic functionality, a Basic Authentication, basic",
    "unauthorized: no; the bearer",
    "\x1b[1m\udc80 is not changed",
]


@pytest.mark.parametrize(("text", "expected"), REDACTED.values(), ids=REDACTED.keys())
def test_secret_is_replaced(text: str, expected: str) -> None:
    """A secret becomes three asterisks, and the text around it stays."""
    assert expected == redact(text, ENVIRONMENT)


@pytest.mark.parametrize("text", KEPT)
def test_other_text_is_kept(text: str) -> None:
    """Text without a secret is returned as it is."""
    assert text == redact(text, ENVIRONMENT)


@pytest.mark.parametrize("text", [text for text, _ in REDACTED.values()], ids=REDACTED.keys())
def test_redacted_text_stays(text: str) -> None:
    """Redacting a text again changes nothing: a worker may have redacted it before."""
    redacted = redact(text, ENVIRONMENT)
    assert redacted == redact(redacted, ENVIRONMENT)


def test_environment_is_that_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set after the import counts."""
    monkeypatch.setenv("NEW_SECRET", "set-just-now")
    assert redact("set-just-now and") == "*** and"
    monkeypatch.delenv("NEW_SECRET")
    assert redact("set-just-now") == "set-just-now"


@pytest.mark.parametrize("secret", ["pa'ss\\wo\"rd1", "line\nend12345", "pässwörd-1"])
@pytest.mark.parametrize("shown", [repr, json.dumps, "it is '{}'".format, "{}".format])
def test_secret_is_found_as_python_and_json_show_it(secret: str, shown: Callable[[str], str]) -> None:
    """pytest's own message about an assertion shows a text as Python does."""
    text = redact(f"assert {shown(secret)} == 'x'", {"DB_PASSWORD": secret})
    assert "***" in text
    assert secret[:4] not in text


def test_secret_within_a_text_with_other_quotes_is_found() -> None:
    """Python escapes the quotes by what else is in the text."""
    secret = "pa'ssword1"
    text = repr(f'say "{secret}" to me')
    assert secret[:3] not in redact(text, {"DB_PASSWORD": secret})
