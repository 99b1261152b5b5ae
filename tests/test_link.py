"""A link opens with its own secret only, until it expires."""

from datetime import timedelta

import pytest

from autostop.link import Link, Scope, digest_of, is_secret, parse_workstation
from tests.build import ID, NOW, row

SECRET = "A" * 42 + "_"
SECOND = timedelta(seconds=1)


def link(**other: object) -> Link:
    fields: dict[str, object] = {
        "workstation": ID, "digest": digest_of(SECRET), "label": "phone", "scopes": (Scope.STATUS, Scope.START),
        "created_at": NOW,
    }  # fmt: skip
    return Link(**{**fields, **other})  # type: ignore[arg-type]  # each test gives the field's type


@pytest.mark.parametrize(("expires_after", "secret", "opens"), [
    row("never expires", None, SECRET, True),
    row("just before it expires", SECOND, SECRET, True),
    row("the moment it expires", SECOND * 0, SECRET, False),
    row("expired", -SECOND, SECRET, False),
    row("another secret", None, "A" * 43, False),
    row("no secret", None, "", False),
    row("other case", None, SECRET.lower(), False),
    row("the stored digest", None, digest_of(SECRET), False),
    row("not ASCII", None, "Ä" * 43, False),
])  # fmt: skip
def test_it_opens(expires_after: timedelta | None, secret: str, *, opens: bool) -> None:
    expires_at = None if expires_after is None else NOW + expires_after

    assert link(expires_at=expires_at).opens_with(secret, NOW) is opens


def test_the_digest_is_the_sha_256() -> None:
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(("text", "fits"), [
    row("43 letters of base64url", SECRET, True),
    row("all kinds of letters", "A-_9" * 10 + "abc", True),
    row("one short", SECRET[1:], False),
    row("one long", SECRET + "A", False),
    row("a line end", SECRET + "\n", False),
    row("padding", "A" * 42 + "=", False),
    row("plain base64", "A" * 42 + "/", False),
    row("not ASCII", "Ä" * 43, False),
    row("nothing", "", False),
])  # fmt: skip
def test_the_shape_of_a_secret(text: str, *, fits: bool) -> None:
    assert is_secret(text) is fits


@pytest.mark.parametrize(("text", "fits"), [
    ("i-0123456789abcdef0", True), ("i-0123abcd", True), ("i-0123abc", False), ("i-0123456789abcdef01", False),
    ("i-0123456789ABCDEF0", False), ("vol-0123abcd", False), ("i-0123abcd\n", False), ("i-0123abcd/../x", False),
    ("", False),
])  # fmt: skip
def test_the_shape_of_an_instance_id(text: str, *, fits: bool) -> None:
    assert parse_workstation(text) == (text if fits else None)
