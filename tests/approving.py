"""Approvers of tests, and what they decide: signed, as the command line and the gateway do."""

from hashlib import sha256

from processors.approvals.statements import (
    Act,
    Statement,
    key_id,
    public_key_of,
    signature_of,
)
from schemas.canonical import text_digest
from schemas.configuration import Approver
from schemas.events.inputs import ApprovalEdited, ApprovalReceived
from schemas.events.outputs import ApprovalRequested


def private_key(name: str) -> bytes:
    """Return the key of an approver; the same name always has the same."""
    return sha256(f"key of {name}".encode()).digest()


def approver(
    name: str, *tenants: str, scopes: tuple[str, ...] = (), speaks_for_tokens: bool = False
) -> Approver:
    """Describe an approver of some tenants; of all where none is named."""
    return Approver(
        name=name,
        public_key=public_key_of(private_key(name)),
        tenants=tenants or ("*",),
        scopes=scopes,
        speaks_for_tokens=speaks_for_tokens,
    )


APPROVERS = (
    approver("olga"),
    approver("acme's", "acme"),
    approver("paula", scopes=("payments",)),
    approver("gateway", speaks_for_tokens=True),
)


def decision(
    asked: ApprovalRequested,
    *,
    approved: bool = True,
    by: str = "olga",
    named: str | None = None,
    tenant: str = "*",
    digest: str | None = None,
    expires_at_ms: int | None = None,
    reason: str | None = None,
    key: bytes | None = None,
) -> ApprovalReceived:
    """Decide a request.

    Args:
        asked: the request.
        approved: or refused.
        by: whose key signs.
        named: who is said to decide, if not whose key it is.
        tenant: for which the approver acts.
        digest: of what is decided, if not of the request.
        expires_at_ms: until when it is good; by default as long as the request.
        reason: for the record.
        key: that signs, if it is not the one that tests have for `by`.
    """
    key = private_key(by) if key is None else key
    statement = Statement(
        act=Act.APPROVE if approved else Act.REFUSE,
        approval_id=asked.approval_id,
        digest=asked.digest if digest is None else digest,
        approver=named or by,
        tenant=tenant,
        expires_at_ms=asked.expires_at_ms if expires_at_ms is None else expires_at_ms,
        nonce="nonce-of-a-test-0000",
    )
    return ApprovalReceived(
        approval_id=asked.approval_id,
        approved=approved,
        reason=reason,
        digest=statement.digest,
        expires_at_ms=statement.expires_at_ms,
        nonce=statement.nonce,
        key=key_id(public_key_of(key)),
        signature=signature_of(statement, key),
    )


def edit(
    asked: ApprovalRequested, arguments_json: str, *, by: str = "olga", tenant: str = "*"
) -> ApprovalEdited:
    """Write other arguments for a call that is asked about."""
    statement = Statement(
        act=Act.EDIT,
        approval_id=asked.approval_id,
        digest=asked.digest,
        approver=by,
        tenant=tenant,
        expires_at_ms=asked.expires_at_ms,
        nonce="nonce-of-a-test-0001",
        arguments_sha256=text_digest(arguments_json),
    )
    return ApprovalEdited(
        approval_id=asked.approval_id,
        arguments_json=arguments_json,
        digest=asked.digest,
        expires_at_ms=asked.expires_at_ms,
        nonce=statement.nonce,
        key=key_id(public_key_of(private_key(by))),
        signature=signature_of(statement, private_key(by)),
    )
