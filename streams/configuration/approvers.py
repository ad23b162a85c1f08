"""Who may decide about tool calls: the file with approvers' public keys, and the keys that they sign with."""

import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from processors.approvals.statements import (
    Act,
    Statement,
    is_public_key,
    key_id,
    public_key_of,
    signature_of,
)
from processors.inputs import ACCOUNT_CHARACTERS_MAX
from schemas.canonical import text_digest
from schemas.configuration import Approver
from schemas.events.inputs import ApprovalEdited, ApprovalReceived
from schemas.events.outputs import ApprovalRequested
from schemas.frozen import replace
from streams.configuration.files import ConfigurationInvalid, Strict, checked, toml

DECISION_MS: Final = 600_000
"""How long a decision is good, where whoever decides does not say."""
_NONCE_BYTES: Final = 18
_KEY_FILE_BYTES_MAX: Final = 4_096
_PRIVATE: Final = re.compile(r"[0-9a-f]{64}")


class _ApproverFile(Strict):
    name: Annotated[str, Field(min_length=1, max_length=ACCOUNT_CHARACTERS_MAX)]
    public_key: str
    tenants: Annotated[tuple[str, ...], Field(min_length=1)]
    scopes: tuple[str, ...] = ()
    speaks_for_tokens: bool = False


class _ApproversFile(Strict):
    approvers: list[_ApproverFile] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproverKey:
    """A key that decisions are signed with."""

    name: str
    private_key: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Return how decisions name it."""
        return key_id(public_key_of(self.private_key))

    def sign(self, statement: Statement) -> str:
        """Sign a statement."""
        return signature_of(statement, self.private_key)


def load_approvers(path: Path | None) -> tuple[Approver, ...]:
    """Read the file of approvers; None: there are none, and nobody can approve anything.

    Raises:
        ConfigurationInvalid: others may write it, or it says what cannot be.
    """
    if path is None:
        return ()
    _demand_ours(
        path, stat.S_IWGRP | stat.S_IWOTH, "others may write it, and could approve all; chmod go-w it"
    )
    file = checked(_ApproversFile, toml(path, str(path)), str(path))
    faults = [f"{path}: {one.name}: {fault}" for one in file.approvers for fault in _faults(one, file)]
    if faults:
        raise ConfigurationInvalid("\n".join(faults))
    return tuple(
        Approver(
            name=one.name,
            public_key=one.public_key,
            tenants=one.tenants,
            scopes=one.scopes,
            speaks_for_tokens=one.speaks_for_tokens,
        )
        for one in file.approvers
    )


def approver_table(key: ApproverKey, tenants: tuple[str, ...], *, speaks_for_tokens: bool = False) -> str:
    """Return what the file of approvers has to say for a key to count."""
    lines = [
        "[[approvers]]",
        f"name = {json.dumps(key.name)}",
        f'public_key = "{public_key_of(key.private_key)}"',
        f"tenants = {json.dumps(list(tenants))}",
        *(["speaks_for_tokens = true"] if speaks_for_tokens else []),
    ]
    return "\n".join(lines) + "\n"


def make_key(path: Path, name: str) -> ApproverKey:
    """Make a key, in a new file that its owner alone may read.

    Raises:
        FileExistsError: there is such a file; or OSError.
    """
    private_key = secrets.token_bytes(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"name": name, "private_key": private_key.hex()}, file)
        file.write("\n")
    return ApproverKey(name=name, private_key=private_key)


def load_key(path: Path) -> ApproverKey:
    """Read a key file.

    Raises:
        ConfigurationInvalid: others may read it, or it holds no key.
    """
    _demand_ours(path, stat.S_IRWXG | stat.S_IRWXO, "others may read it, and sign with it; chmod 600 it")
    try:
        plain = json.loads(path.read_bytes()[:_KEY_FILE_BYTES_MAX])
        name, private_key = plain["name"], plain["private_key"]
    except (ValueError, KeyError, TypeError):
        name, private_key = None, None
    if not (isinstance(name, str) and isinstance(private_key, str) and _PRIVATE.fullmatch(private_key)):
        raise ConfigurationInvalid(f"{path}: it is no key of an approver; `cartrita approvals key` makes one")
    return ApproverKey(name=name, private_key=bytes.fromhex(private_key))


def signed_decision(
    key: ApproverKey,
    asked: ApprovalRequested,
    *,
    approved: bool,
    approver: str,
    tenant: str,
    reason: str | None = None,
) -> ApprovalReceived:
    """Decide a request, good for ten minutes and no longer than the request.

    Args:
        key: that signs.
        asked: what is decided; its digest was made anew from what it says.
        approved: or refused.
        approver: who decides; the envelope has to name the same.
        tenant: for which the approver acts; likewise.
        reason: for the record.
    """
    act = Act.APPROVE if approved else Act.REFUSE
    statement = _statement(asked, act, approver, tenant)
    return ApprovalReceived(
        approval_id=asked.approval_id,
        approved=approved,
        reason=reason,
        digest=statement.digest,
        expires_at_ms=statement.expires_at_ms,
        nonce=statement.nonce,
        key=key.key_id,
        signature=key.sign(statement),
    )


def signed_edit(
    key: ApproverKey,
    asked: ApprovalRequested,
    *,
    arguments_json: str,
    approver: str,
    tenant: str,
    reason: str | None = None,
) -> ApprovalEdited:
    """Write other arguments for what is asked; otherwise as `signed_decision`."""
    statement = replace(
        _statement(asked, Act.EDIT, approver, tenant), arguments_sha256=text_digest(arguments_json)
    )
    return ApprovalEdited(
        approval_id=asked.approval_id,
        arguments_json=arguments_json,
        reason=reason,
        digest=statement.digest,
        expires_at_ms=statement.expires_at_ms,
        nonce=statement.nonce,
        key=key.key_id,
        signature=key.sign(statement),
    )


def _statement(asked: ApprovalRequested, act: Act, approver: str, tenant: str) -> Statement:
    return Statement(
        act=act,
        approval_id=asked.approval_id,
        digest=asked.digest,
        approver=approver,
        tenant=tenant,
        expires_at_ms=min(time.time_ns() // 1_000_000 + DECISION_MS, asked.expires_at_ms),
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
    )


def _faults(one: _ApproverFile, file: _ApproversFile) -> list[str]:
    faults = []
    if not is_public_key(one.public_key):
        faults.append("public_key: it is no Ed25519 key in 64 hexadecimal digits")
    if [other.public_key for other in file.approvers].count(one.public_key) > 1:
        faults.append("public_key: it stands there twice; each approver has a key of their own")
    if any(ord(character) < ord(" ") for character in one.name):
        faults.append("name: it has control characters")
    if not all(tenant.strip() for tenant in one.tenants):
        faults.append('tenants: one is empty; write names, or "*" for all')
    return faults


def _demand_ours(path: Path, forbidden: int, otherwise: str) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: it cannot be read: {error.strerror}") from error
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationInvalid(f"{path}: it belongs to somebody else (user {status.st_uid}); chown it")
    if status.st_mode & forbidden:
        raise ConfigurationInvalid(f"{path}: {otherwise}")
