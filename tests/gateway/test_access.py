"""Tokens and tickets: who is let in, and for how long."""

import base64
import time

import pytest

from schemas.envelope import Envelope
from schemas.events.access import Scope, TokenCreated, TokenRevoked
from streams.gateway.access import LIFETIME_S, Purpose, TokenBook, mint

SESSION = "9f2a1c34-0000-4000-8000-000000000001"
OTHER = "9f2a1c34-0000-4000-8000-000000000002"


def made(book: TokenBook, user: str | None = None, lifetime_s: int | None = None) -> tuple[str, TokenCreated]:
    token, created = mint(name="test", scopes=(Scope.READ,), tenant="acme", user=user, lifetime_s=lifetime_s)
    book.apply(Envelope(body=created))
    return token, created


def test_a_token_stands_for_whom_it_was_made() -> None:
    book = TokenBook()
    token, created = made(book, user="ann")
    bearer = book.bearer(token)
    assert bearer is not None
    assert (bearer.tenant, bearer.user, bearer.scopes) == ("acme", "ann", frozenset({"read"}))
    assert token not in repr(created)
    assert len(base64.urlsafe_b64decode(token.removeprefix("ck_") + "=")) == 32


@pytest.mark.parametrize(
    "change", [str.upper, lambda token: token[:-1], lambda token: token + "A", lambda _: ""]
)
def test_anything_but_the_token_is_nobody(change: object) -> None:
    book = TokenBook()
    token, created = made(book)
    assert book.bearer(change(token)) is None  # type: ignore[operator]  # each is a function of a text
    assert book.bearer(created.secret_sha256) is None
    assert book.bearer("\ud83d") is None
    assert book.bearer("x" * 1_000_000) is None


def test_a_revoked_token_is_nobody_in_whatever_order_it_is_read() -> None:
    book = TokenBook()
    token, created = made(book)
    ticket = book.issue(Purpose.TICKET, created.token_id, SESSION)
    book.apply(Envelope(body=TokenRevoked(token_id=created.token_id)))
    book.apply(Envelope(body=created))
    assert book.bearer(token) is None
    assert book.holder(created.token_id) is None
    assert book.pass_holder(Purpose.TICKET, ticket, SESSION) is None
    with pytest.raises(KeyError):
        book.issue(Purpose.TICKET, created.token_id, SESSION)


def test_an_id_that_was_taken_is_not_taken_over_by_another_token() -> None:
    book = TokenBook()
    token, created = made(book)
    stolen = mint(name="x", scopes=tuple(Scope), tenant="other", user=None, lifetime_s=None)[1]
    forged = TokenCreated(
        token_id=created.token_id,
        secret_sha256=stolen.secret_sha256,
        name="x",
        scopes=tuple(Scope),
        tenant="other",
    )
    book.apply(Envelope(body=forged))
    bearer = book.bearer(token)
    assert bearer is not None
    assert bearer.tenant == "acme"
    assert book.tokens() == (created,)


def test_an_expired_token_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    book = TokenBook()
    token, created = made(book, lifetime_s=10)
    assert book.bearer(token) is not None
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 11)
    assert book.bearer(token) is None
    assert book.holder(created.token_id) is None


def test_a_ticket_opens_its_session_alone_and_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    book = TokenBook()
    _, created = made(book, user="ann")
    ticket = book.issue(Purpose.TICKET, created.token_id, SESSION)
    holder = book.pass_holder(Purpose.TICKET, ticket, SESSION)
    assert holder is not None
    assert holder.user == "ann"
    assert book.pass_holder(Purpose.TICKET, ticket, OTHER) is None
    token_id, until, nonce, signature = ticket.split(".")
    for forged in (
        f"{token_id}.{int(until) + 1}.{nonce}.{signature}",
        f"{token_id}.{until}.x{nonce[1:]}.{signature}",
        f"{token_id}.{until}.{nonce}.",
        f"{OTHER}.{until}.{nonce}.{signature}",
        f"{token_id}.{until}.{nonce}.\ud83d",
        f"{token_id}.{until}.{nonce}.{signature}." + "x" * 300,
        "",
        "...",
        "a.b.c.d",
    ):
        assert book.pass_holder(Purpose.TICKET, forged, SESSION) is None
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + LIFETIME_S[Purpose.TICKET] + 2)
    assert book.pass_holder(Purpose.TICKET, ticket, SESSION) is None


def test_a_ticket_is_good_at_every_gateway_that_has_read_the_log() -> None:
    first, second = TokenBook(), TokenBook()
    _, created = made(first)
    ticket = first.issue(Purpose.TICKET, created.token_id, SESSION)
    assert second.pass_holder(Purpose.TICKET, ticket, SESSION) is None
    second.apply(Envelope(body=created))
    assert second.pass_holder(Purpose.TICKET, ticket, SESSION) is not None


def test_a_pass_is_spent_once_and_good_for_its_purpose_alone() -> None:
    book = TokenBook()
    _, created = made(book)
    for purpose in Purpose:
        given = book.issue(purpose, created.token_id, SESSION)
        assert [book.pass_holder(other, given, SESSION) is not None for other in Purpose] == [
            other is purpose for other in Purpose
        ]
        assert book.spend(given)
        assert not book.spend(given)
        assert book.pass_holder(purpose, given, SESSION) is None
    first, second = (book.issue(Purpose.TICKET, created.token_id, SESSION) for _ in range(2))
    assert book.spend(first)
    assert book.pass_holder(Purpose.TICKET, second, SESSION) is not None
