"""What an approval binds to: one call, to the byte, as it was shown, under the policy that asked for it."""

import json
import re
from dataclasses import dataclass
from typing import Final

from schemas.canonical import NotCanonical, digest_of, parsed, text_digest
from schemas.configuration import ToolSpec
from schemas.events.outputs import ApprovalRequested
from schemas.references import RecordReference

ARGUMENTS_BYTES_MAX: Final = 65_536
"""Of a call that a person is asked about, or that a rule reads."""
# What a reader does not see, or what moves what stands beside it. The ranges stand here in full, and are not
# asked of Python, whose tables differ from one version to the next: what is shown is part of the digest.
_UNSEEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
_LINE_END: Final = re.compile("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """All that an approval is an approval of."""

    approval_id: str
    session_id: str
    tenant_id: str
    user_id: str
    call_id: str
    task_id: str
    agent: str
    tool: str
    tool_version: str
    tool_schema_sha256: str
    arguments_json: str
    message: str
    """Where the message stands whose attachments the tool may read."""
    policy: str
    shown_sha256: str


def binding_digest(bound: Bound) -> str:
    """Return the SHA-256 that a decision names.

    The arguments are in it twice: as what they mean, so that nothing ambiguous can be approved, and by the
    digest of their bytes, so that not one may change.

    Raises:
        NotCanonical: the arguments are no JSON object that means one thing only.
    """
    return digest_of(
        {
            "kind": "cartrita.call.v1",
            "approval_id": bound.approval_id,
            "session_id": bound.session_id,
            "tenant_id": bound.tenant_id,
            "user_id": bound.user_id,
            "call_id": bound.call_id,
            "task_id": bound.task_id,
            "agent": bound.agent,
            "tool": bound.tool,
            "tool_version": bound.tool_version,
            "tool_schema_sha256": bound.tool_schema_sha256,
            "arguments": arguments_of(bound.arguments_json),
            "arguments_sha256": text_digest(bound.arguments_json),
            "message": bound.message,
            "policy": bound.policy,
            "shown_sha256": bound.shown_sha256,
        }
    )


def asked_bound(session_id: str, tenant_id: str, user_id: str, asked: ApprovalRequested) -> Bound:
    """Return what a request in a session of a tenant and a user asks to approve.

    Whoever decides makes the digest anew from it, so that nobody signs for something that was not shown.
    """
    return Bound(
        approval_id=asked.approval_id,
        session_id=session_id,
        tenant_id=tenant_id,
        user_id=user_id,
        call_id=asked.call_id,
        task_id=asked.task_id,
        agent=asked.agent,
        tool=asked.tool,
        tool_version=asked.tool_version,
        tool_schema_sha256=asked.tool_schema_sha256,
        arguments_json=asked.arguments_json,
        message=asked.message,
        policy=asked.policy,
        shown_sha256=text_digest(asked.shown),
    )


def arguments_of(arguments_json: str) -> dict[str, object]:
    """Read a call's arguments; nothing at all counts as an empty object, as the tools take it.

    Raises:
        NotCanonical: they are no JSON object that means one thing only, or too large.
    """
    value = parsed(arguments_json, bytes_max=ARGUMENTS_BYTES_MAX) if arguments_json.strip() else {}
    if not isinstance(value, dict):
        raise NotCanonical("they are no JSON object")
    return value


def place_of(reference: RecordReference | None) -> str:
    """Return where a record stands, as requests have it; empty for none."""
    return "" if reference is None else f"{reference.topic}/{reference.partition}/{reference.offset}"


def schema_digest(spec: ToolSpec) -> str:
    """Return the SHA-256 of the schema of a tool's arguments."""
    return text_digest(spec.parameters_json)


def shown_text(arguments_json: str, facts: dict[str, str]) -> str:
    """Return what a person is shown of a call: facts in lines, then the arguments, whole.

    What cannot be seen, or would move what stands beside it, is written as \\u202e, within JSON's strings and
    out of them, so that the text is as long as it looks.

    Raises:
        NotCanonical: the arguments are no JSON object that means one thing only.
    """
    lines = [f"{name}: {_seen(one)}" for name, one in facts.items() if one]
    arguments = json.dumps(arguments_of(arguments_json), ensure_ascii=False, indent=2)
    return "\n".join([*lines, "arguments:", _UNSEEN.sub(_written_out, arguments)])


def _seen(text: str) -> str:
    return _LINE_END.sub("\\\\n", _UNSEEN.sub(_written_out, text))


def _written_out(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
