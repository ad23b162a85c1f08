"""Who runs the deployment, what keeps a tool from being called, and what Kafka says of a group's members."""

import pytest

from processors.restraints import Restraints
from schemas.envelope import Envelope
from schemas.events.restraints import RestraintFact, ServerToolsWithheld, ToolRenamed, ToolsStopped
from schemas.ids import derived_id
from streams.client.standing import Member, member_of
from streams.gateway.access import Principal
from streams.gateway.agents_api import health_of
from streams.gateway.problems import Problem
from streams.gateway.system_api import demand_operator

GIVEN = "5ecb5b2e-8a5d-4b0e-9a54-2c9a3a0a1b2c"


def bearer(**fields: object) -> Principal:
    given = {"token_id": "t", "tenant": "default", "user": None, "scopes": frozenset({"administer"})}
    return Principal(**{**given, **fields})  # type: ignore[arg-type]  # tests give what they like


def test_the_deployment_is_for_administrators_of_the_tenant_that_runs_it() -> None:
    demand_operator(bearer())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"scopes": frozenset({"read", "send", "approve"})}, "scope_missing"),
        ({"tenant": "acme"}, "operators_alone"),
        ({"tenant": "*"}, "operators_alone"),
        ({"user": "ann"}, "operators_alone"),
    ],
)
def test_nobody_else_runs_it(fields: dict[str, object], code: str) -> None:
    with pytest.raises(Problem) as refused:
        demand_operator(bearer(**fields))

    assert (refused.value.status, refused.value.code) == (403, code)


def held(*facts: RestraintFact) -> Restraints:
    restraints = Restraints()
    for number, fact in enumerate(facts):
        restraints.apply(Envelope(event_id=derived_id(str(number)), user_id="olga", body=fact))
    return restraints


WITHHELD = ServerToolsWithheld(
    server="files",
    tenant="acme",
    added=("new",),
    changed=("read",),
    removed=("gone",),
    renamed=(ToolRenamed(before="old", after="other"),),
)


@pytest.mark.parametrize(
    ("tool", "restraints", "expected"),
    [
        ("execute_python", held(), "ready"),
        ("execute_python", held(ToolsStopped(name="execute_python")), "stopped"),
        ("execute_python", held(ToolsStopped(name="*")), "stopped"),
        ("files__read", held(ToolsStopped(name="files")), "stopped"),
        ("files__read", held(WITHHELD), "withheld"),
        ("files__gone", held(WITHHELD), "withheld"),
        ("files__old", held(WITHHELD), "withheld"),
        ("files__write", held(WITHHELD), "ready"),
        ("mail__read", held(WITHHELD), "ready"),
        ("read", held(WITHHELD), "ready"),
        (
            "files__write",
            held(ServerToolsWithheld(server="files", tenant="acme", program_changed=True)),
            "withheld",
        ),
    ],
)
def test_what_keeps_a_tool_from_being_called_is_told(
    tool: str, restraints: Restraints, expected: str
) -> None:
    assert health_of(tool, restraints) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            (f"client-1-{GIVEN}", "client-1", "/10.0.0.1", b"", b""),
            Member(client="client-1", host="10.0.0.1"),
        ),
        ((f"worker-1-{GIVEN}", "worker-1", "c", "/::1", b"", b""), Member(client="worker-1", host="::1")),
        ((f"client-1-{GIVEN}", None, "client-1", "host", b"", b""), Member(client="client-1", host="host")),
        (("client-1", "client-1", "host", b"", b""), Member(client="client-1", host="host")),
    ],
)
def test_a_member_is_named_by_its_identity_or_else_by_its_client(
    told: tuple[object, ...], expected: Member
) -> None:
    assert member_of(told) == expected
