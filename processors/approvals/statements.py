"""What an approver signs, and whether a signature counts.

The same check stands at three places: where a decision enters, before it is a fact; where the session decides
by it; and where the call is run, so that nothing rests on what was written in between.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from processors.objections import EVERY_TENANT
from schemas.canonical import INTEGER_MAX, NotCanonical, canonical, text_digest
from schemas.configuration import Approver, Policy
from schemas.envelope import Envelope
from schemas.events.inputs import ApprovalEdited, ApprovalReceived
from schemas.events.tools import CallApproval

LIFETIME_MS_MAX: Final = 7 * 86_400_000
"""A decision is good for a week at the most."""
_KIND: Final = "cartrita.approval.v1"
"""What tells these statements from anything else that a key may sign."""
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_HEX: Final = re.compile(r"[0-9a-f]+")
_DIGEST_DIGITS: Final = 64
_SIGNATURE_DIGITS: Final = 128


class Act(StrEnum):
    """What an approver does about a request."""

    APPROVE = "approve"
    REFUSE = "refuse"
    EDIT = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What an approver signs."""

    act: Act
    approval_id: str
    digest: str
    """Of the request."""
    approver: str
    tenant: str
    """For which the approver acts; `*`: every one."""
    expires_at_ms: int
    nonce: str
    arguments_sha256: str = ""
    """Of an edit: SHA-256 of the new arguments."""


def statement_bytes(statement: Statement) -> bytes:
    """Return the bytes that are signed.

    Raises:
        NotCanonical: a part has half a character, or a number is too large.
    """
    return canonical(
        {
            "kind": _KIND,
            "decision": statement.act.value,
            "approval_id": statement.approval_id,
            "digest": statement.digest,
            "approver": statement.approver,
            "tenant": statement.tenant,
            "expires_at_ms": statement.expires_at_ms,
            "nonce": statement.nonce,
            "arguments_sha256": statement.arguments_sha256,
        }
    )


def signature_of(statement: Statement, private_key: bytes) -> str:
    """Sign a statement with the 32 bytes of an Ed25519 key; the same always gives the same."""
    return Ed25519PrivateKey.from_private_bytes(private_key).sign(statement_bytes(statement)).hex()


def public_key_of(private_key: bytes) -> str:
    """Return the public key of a private one, as an approver's record has it."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw().hex()


def key_id(public_key: str) -> str:
    """Return how decisions name a public key."""
    return sha256(bytes.fromhex(public_key)).hexdigest()


def is_public_key(text: str) -> bool:
    """Tell whether a text is an Ed25519 public key in hexadecimal digits."""
    return len(text) == _DIGEST_DIGITS and _HEX.fullmatch(text) is not None


def statement_of(event: Envelope) -> Statement:
    """Return what the sender of a decision or an edit says to have signed.

    Raises:
        NotCanonical: the arguments of an edit have half a character.
    """
    body = event.body
    assert isinstance(body, ApprovalReceived | ApprovalEdited)
    if isinstance(body, ApprovalEdited):
        act, arguments_sha256 = Act.EDIT, text_digest(body.arguments_json)
    else:
        act, arguments_sha256 = (Act.APPROVE if body.approved else Act.REFUSE), ""
    return Statement(
        act=act,
        approval_id=body.approval_id,
        digest=body.digest,
        approver=event.user_id,
        tenant=event.tenant_id,
        expires_at_ms=body.expires_at_ms,
        nonce=body.nonce,
        arguments_sha256=arguments_sha256,
    )


def statement_given(approval: CallApproval) -> Statement:
    """Return what the approver of a call has signed."""
    return Statement(
        act=Act.APPROVE,
        approval_id=approval.approval_id,
        digest=approval.digest,
        approver=approval.approver,
        tenant=approval.tenant,
        expires_at_ms=approval.expires_at_ms,
        nonce=approval.nonce,
    )


def approver_of(policy: Policy, key: str) -> Approver | None:
    """Return whose key it is; None: no approver's."""
    return next((one for one in policy.approvers if key_id(one.public_key) == key), None)


def fault_of(policy: Policy, statement: Statement, key: str, signature: str) -> str | None:
    """Tell why a statement is not one of an approver; None: it is, whatever it decides and whenever."""
    if not signature:
        return "it is not signed: `cartrita approvals` and the gateway sign decisions with an approver's key"
    approver = approver_of(policy, key)
    if approver is None:
        return "its key is not the key of an approver"
    if not approver.speaks_for_tokens and approver.name != statement.approver:
        return f"its key is not the key of {statement.approver}"
    if not acts_for(approver, statement.tenant):
        return f"its approver does not act for the tenant {statement.tenant}"
    if not (len(statement.digest) == _DIGEST_DIGITS and _HEX.fullmatch(statement.digest)):
        return "digest is not that of a request: 64 hexadecimal digits"
    if not _NONCE.fullmatch(statement.nonce):
        return "nonce has 16 to 64 letters, digits, - and _"
    if not 0 < statement.expires_at_ms <= INTEGER_MAX:
        return "expires_at_ms is no time"
    if not (len(signature) == _SIGNATURE_DIGITS and _HEX.fullmatch(signature)):
        return "signature is no signature: 128 hexadecimal digits"
    try:
        public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(approver.public_key))
        public_key.verify(bytes.fromhex(signature), statement_bytes(statement))
    except (InvalidSignature, NotCanonical):
        return "its signature does not fit what it says"
    return None


def expiry_fault(statement: Statement, now_ms: int) -> str | None:
    """Tell why a statement is not good at a time; None: it is."""
    if statement.expires_at_ms <= now_ms:
        return "it has expired"
    if statement.expires_at_ms > now_ms + LIFETIME_MS_MAX:
        return "it would be good for longer than a week"
    return None


def acts_for(approver: Approver, tenant: str) -> bool:
    """Tell whether an approver may act for a tenant, or with `*` for all of them."""
    return EVERY_TENANT in approver.tenants or tenant in approver.tenants
