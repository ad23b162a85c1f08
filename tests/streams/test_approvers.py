"""Approvers: their file, their key files, and what is signed with these."""

import json
import stat
from pathlib import Path

import pytest

from processors.approvals.statements import fault_of, statement_of
from schemas.configuration import Policy
from schemas.envelope import Envelope
from schemas.events.outputs import ApprovalRequested
from streams.configuration.approvers import (
    approver_table,
    load_approvers,
    load_key,
    make_key,
    signed_decision,
    signed_edit,
)
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.loading import configuration_facts, load_configuration
from streams.worker.deployment import Deployment

ASKED = ApprovalRequested(
    approval_id="00000000-0000-4000-8000-000000000009",
    call_id="c",
    task_id="t",
    agent="worker",
    tool="pay",
    arguments_json="{}",
    arguments_sha256="",
    reason="money",
    expires_at_ms=9_999_999_999_999,
    digest="a" * 64,
)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_what_a_key_signs_counts_for_whoever_knows_its_public_one(tmp_path: Path) -> None:
    made = make_key(tmp_path / "ann.key", 'ann "the" boss')
    key = load_key(tmp_path / "ann.key")
    known = load_approvers(written(tmp_path / "approvers.toml", approver_table(key, ("acme",))))
    policy = Policy(rules=(), approvers=known)

    for body in (
        signed_decision(key, ASKED, approved=True, approver=key.name, tenant="acme"),
        signed_decision(key, ASKED, approved=False, approver=key.name, tenant="acme"),
        signed_edit(key, ASKED, arguments_json='{"n": 1}', approver=key.name, tenant="acme"),
    ):
        event = Envelope(tenant_id="acme", user_id=key.name, body=body)
        assert fault_of(policy, statement_of(event), body.key, body.signature) is None
        elsewhere = Envelope(tenant_id="*", user_id=key.name, body=body)
        assert fault_of(policy, statement_of(elsewhere), body.key, body.signature) is not None
    assert made == key
    assert stat.S_IMODE((tmp_path / "ann.key").stat().st_mode) == 0o600
    assert made.private_key.hex() not in repr(made)


def test_a_decision_is_good_for_ten_minutes_and_no_longer_than_its_request(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ann")

    long = signed_decision(key, ASKED, approved=True, approver="ann", tenant="*")
    again = signed_decision(key, ASKED, approved=True, approver="ann", tenant="*")

    assert long.expires_at_ms < ASKED.expires_at_ms
    assert long.nonce != again.nonce


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    make_key(tmp_path / "key", "ann")
    before = (tmp_path / "key").read_bytes()

    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key", "bob")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "link", "bob")

    assert (tmp_path / "key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_signs_nothing(tmp_path: Path, mode: int) -> None:
    make_key(tmp_path / "key", "ann")
    (tmp_path / "key").chmod(mode)

    with pytest.raises(ConfigurationInvalid, match="others may read it"):
        load_key(tmp_path / "key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '"x"',
        '{"name": "a"}',
        '{"name": "a", "private_key": "00"}',
        '{"name": 1, "private_key": "%s"}' % ("0" * 64),
    ],
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="no key"):
        load_key(written(tmp_path / "key", text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[approvers]]\nname = "a"\npublic_key = "x"\ntenants = ["*"]', "no Ed25519 key"),
        ('[[approvers]]\nname = "a"\npublic_key = "%s"\ntenants = []' % ("a" * 64), "tenants"),
        ('[[approvers]]\nname = "a"\npublic_key = "%s"\ntenants = [" "]' % ("a" * 64), "empty"),
        ('[[approvers]]\nname = ""\npublic_key = "%s"\ntenants = ["*"]' % ("a" * 64), "name"),
        ('[[approvers]]\nname = "a\\u0007"\npublic_key = "%s"\ntenants = ["*"]' % ("a" * 64), "control"),
        (('[[approvers]]\nname = "a"\npublic_key = "%s"\ntenants = ["*"]\n' % ("a" * 64)) * 2, "twice"),
        ('[[approvers]]\nname = "a"\nkey = "x"', "key"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_file_of_approvers_that_says_what_cannot_be_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigurationInvalid, match=says):
        load_approvers(written(tmp_path / "approvers.toml", text))


def test_a_file_of_approvers_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "approvers.toml", "")
    path.chmod(0o666)

    with pytest.raises(ConfigurationInvalid, match="others may write it"):
        load_approvers(path)


def test_approvers_are_a_part_of_the_policy_and_of_its_hash(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ann")
    path = written(tmp_path / "approvers.toml", approver_table(key, ("*",), speaks_for_tokens=True))

    known, unknown = load_configuration((), None, path), load_configuration(())

    assert [one.name for one in known.policy.approvers] == ["ann"]
    assert known.policy.approvers[0].speaks_for_tokens
    assert known.versions.policy != unknown.versions.policy
    (part,) = [fact for fact in configuration_facts(known) if fact.kind == "policy"]
    assert json.loads(part.content_json)["approvers"][0]["public_key"] == known.policy.approvers[0].public_key
    assert key.private_key.hex() not in "".join(fact.content_json for fact in configuration_facts(known))


def test_a_deployment_has_two_approvers_whose_keys_its_settings_name(tmp_path: Path) -> None:
    here = Deployment(tmp_path, {})
    assert "CARTRITA_APPROVERS" not in here.settings()

    here._make_approvers()
    here._make_approvers()

    given = here.settings()
    known = load_approvers(Path(given["CARTRITA_APPROVERS"]))
    assert [(one.name, one.tenants, one.speaks_for_tokens) for one in known] == [
        ("operator", ("*",), False),
        ("gateway", ("*",), True),
    ]
    for name in ("CARTRITA_APPROVER_KEY", "CARTRITA_GATEWAY_APPROVER_KEY"):
        assert stat.S_IMODE(Path(given[name]).stat().st_mode) == 0o600
    (tmp_path / "approvers.toml").unlink()
    here._make_approvers()
    assert load_approvers(Path(given["CARTRITA_APPROVERS"])) == known
