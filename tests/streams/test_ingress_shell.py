"""What the world may send, and what it is told when it may not."""

from dataclasses import replace
from pathlib import Path

import pytest

from processors.inputs import ACCOUNT_CHARACTERS_MAX, ATTACHMENTS_MAX
from processors.repeats import LET_GO, SEEN_MAX
from processors.state import SessionState
from processors.transition import digest, encode_state
from schemas.configuration import Limits, Policy
from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import (
    ApprovalReceived,
    Attachment,
    FeedbackGiven,
    ForkRequested,
    MessageReceived,
    Rating,
    SessionCancelled,
    SessionClosed,
    SessionForked,
    SessionImported,
    SessionOpened,
)
from schemas.events.outputs import ApprovalRequested
from schemas.events.redrives import RedriveRequested
from schemas.events.restraints import RestraintAct, ToolsStarted, ToolsStopped
from schemas.ids import derived_id, is_uuid
from streams.records.delivery import OwnershipLost
from streams.shells.ingress import IngressShell
from streams.stateful.marks import MARKS_MAX
from tests.approving import APPROVERS, decision, edit
from tests.streams.twin import CODEC, Crash, Kafka, TwinLog, metrics
from topics.catalog import (
    DEAD_LETTERS,
    FORK_REQUESTS,
    OPERATOR_INPUTS,
    RECORD_BYTES_MAX,
    REDRIVES,
    SESSION_INPUTS,
    TOOL_RESTRAINTS,
    USER_INPUTS,
    Topic,
)

SESSION = derived_id("session", "x")
OTHER = derived_id("session", "y")
ID = derived_id("input", "x")
NOW_MS = 77_000
POLICY = Policy(rules=(), approvers=APPROVERS)


def shell_on(log: TwinLog) -> IngressShell:
    return IngressShell(
        codec=CODEC,
        log=log,
        floors=log.floors,
        tokenizer=lambda text: len(text.split()),
        limits=Limits(text_bytes_max=1_000),
        policy=POLICY,
        topic_prefix="p.",
        metrics=metrics("ingress"),
        now_ms=lambda: NOW_MS,
    )


async def taken(*events: Envelope, **replacements: bytes) -> Kafka:
    """Send events through the shell, and return where they went."""
    kafka = Kafka()
    for one in events:
        kafka.send(one, USER_INPUTS, **replacements)  # type: ignore[arg-type]  # value=… alone is given
    shell = shell_on(TwinLog(kafka))
    await shell.own({})
    await shell.process(kafka.waiting())
    assert kafka.waiting() == []
    return kafka


async def refusal(body: Fact, **envelope: str) -> str:
    kafka = await taken(Envelope(**{"session_id": SESSION, **envelope}, body=body))  # type: ignore[arg-type]
    assert kafka.events(SESSION_INPUTS) == []
    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.code == "invalid_input"
    return letter.body.reason


async def test_a_message_alone_opens_a_session_and_gets_all_that_it_lacks() -> None:
    kafka = await taken(Envelope(body=MessageReceived(text="one two three")))

    (event,) = kafka.events(SESSION_INPUTS)

    assert is_uuid(event.event_id)
    assert event.session_id == derived_id(event.event_id, "session")
    assert (event.type, event.producer, event.occurred_at_ms) == ("MessageReceived", "ingress", 1_000)
    assert (event.causation_id, event.correlation_id) == (None, event.event_id)
    assert isinstance(event.body, MessageReceived)
    assert event.body.tokens == 3


@pytest.mark.parametrize("told_ms", [-1, 1, 4_102_444_800_000, 2**63 - 1])
@pytest.mark.parametrize("body", [MessageReceived(text="a"), SessionOpened(), SessionCancelled()])
async def test_the_time_of_an_input_is_kafkas_whatever_its_producer_says(body: Fact, told_ms: int) -> None:
    sent = Envelope(event_id=ID, session_id=SESSION, occurred_at_ms=told_ms, body=body)

    (event,) = (await taken(sent)).events(SESSION_INPUTS)

    assert event.occurred_at_ms == 1_000


@pytest.mark.parametrize("told_ms", [-1, 1, 4_102_444_800_000, 2**63 - 1])
async def test_the_time_of_a_wish_for_a_fork_is_kafkas_whatever_its_producer_says(told_ms: int) -> None:
    sent = Envelope(event_id=ID, session_id=OTHER, occurred_at_ms=told_ms, body=a_wish())

    (event,) = (await taken(sent)).events(FORK_REQUESTS)

    assert event.occurred_at_ms == 1_000


def test_the_documentation_names_the_bounds_that_hold() -> None:
    told = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text(encoding="utf-8")

    for row in (
        f"{Limits().text_bytes_max:,} bytes of UTF-8",
        f"| attachments of a message | {ATTACHMENTS_MAX} |",
        f"{RECORD_BYTES_MAX:,} bytes",
        f"| {Limits().queue_max} (`queue_max`)",
        f"| {ACCOUNT_CHARACTERS_MAX} characters",
        f"its latest {SEEN_MAX - LET_GO} to {SEEN_MAX} inputs",
        f"{MARKS_MAX:,} to\n  a record",
    ):
        assert row in told, row


async def test_what_a_producer_gives_is_kept() -> None:
    sent = Envelope(
        event_id=ID,
        session_id=SESSION,
        tenant_id="acme",
        user_id="ann",
        producer="billing",
        traceparent="00-a-b-01",
        body=MessageReceived(text="hello", budget_tokens=5),
    )

    (event,) = (await taken(sent)).events(SESSION_INPUTS)

    assert (event.event_id, event.session_id, event.tenant_id, event.user_id) == (ID, SESSION, "acme", "ann")
    assert (event.producer, event.traceparent) == ("billing", "00-a-b-01")


async def test_words_that_only_models_see_are_taken_out_of_what_is_said() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    said = MessageReceived(
        text=f"one{hidden} \u202etwo", attachments=(Attachment(name="a.txt", text=hidden),)
    )

    (event,) = (await taken(Envelope(session_id=SESSION, body=said))).events(SESSION_INPUTS)

    assert isinstance(event.body, MessageReceived)
    assert (event.body.text, event.body.tokens) == ("one two", 2)
    # A file is what it is; what a tool tells of it is cleaned.
    assert event.body.attachments[0].text == hidden


async def test_tokens_are_counted_anew_whatever_a_producer_says() -> None:
    body = MessageReceived(
        text="one two", tokens=99, attachments=(Attachment(name="a.txt", text="a b c", tokens=99),)
    )

    (event,) = (await taken(Envelope(session_id=SESSION, body=body))).events(SESSION_INPUTS)

    assert isinstance(event.body, MessageReceived)
    assert (event.body.tokens, event.body.attachments[0].tokens) == (2, 3)


async def test_the_same_record_taken_in_twice_is_the_same_input() -> None:
    kafka = Kafka()
    kafka.send(Envelope(body=MessageReceived(text="hello")), USER_INPUTS)
    for _ in range(2):
        shell = shell_on(TwinLog(kafka))
        await shell.own({})
        await shell.process(kafka.waiting())
        kafka.committed.clear()

    first, second = kafka.events(SESSION_INPUTS)
    assert first == second


async def test_a_crash_before_the_acknowledgement_repeats_the_input_under_the_same_id() -> None:
    kafka = Kafka()
    kafka.send(Envelope(body=MessageReceived(text="hello")), USER_INPUTS)
    shell = shell_on(TwinLog(kafka, crash_at=2))
    await shell.own({})
    with pytest.raises(Crash):
        await shell.process(kafka.waiting())

    shell = shell_on(TwinLog(kafka))
    await shell.own({})
    await shell.process(kafka.waiting())

    assert len({event.event_id for event in kafka.events(SESSION_INPUTS)}) == 1


async def test_records_on_user_inputs_need_no_key_and_may_have_any() -> None:
    kafka = Kafka()
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="a")), USER_INPUTS, keyless=True)
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="b")), USER_INPUTS, key=b"anything")
    shell = shell_on(TwinLog(kafka))
    await shell.own({})

    await shell.process(kafka.waiting())

    assert [record.key for record in kafka.published] == [SESSION.encode()] * 2


def a_wish(**changes: str | int | None) -> ForkRequested:
    plain = {"origin_session_id": SESSION, "origin_event_id": ID, "text": "one two three"}
    return ForkRequested(**{**plain, **changes})  # type: ignore[arg-type]  # each test names a field of its type


async def test_a_wish_for_a_fork_goes_to_the_fork_shell_and_its_text_is_counted() -> None:
    kafka = await taken(Envelope(event_id=ID, session_id=OTHER, body=a_wish(tokens=99)))

    (event,) = kafka.events(FORK_REQUESTS)
    assert (event.session_id, event.correlation_id) == (OTHER, ID)
    assert event.event_id != ID, "the fork itself has the id that the sender knows"
    assert isinstance(event.body, ForkRequested)
    assert event.body.tokens == 3
    assert kafka.events(SESSION_INPUTS) == []


async def test_what_somebody_says_of_another_sessions_past_is_refused() -> None:
    state = encode_state(SessionState(session_id=SESSION))
    told = SessionForked(
        origin_session_id=SESSION,
        origin_event_id=ID,
        origin_sequence=0,
        origin_digest=digest(state),
        state_json=state.decode(),
        text="hello",
    )

    assert "ask for a fork by ForkRequested" in await refusal(told)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"origin_session_id": "x"}, "origin_session_id is not a UUID"),
        ({"origin_event_id": "x"}, "origin_event_id is not a UUID"),
        ({"call_id": "x"}, "call_id is not a UUID"),
        ({"call_id": ID, "text": None}, "call_id needs the result"),
        ({"text": " "}, "text is empty"),
        ({"text": "x" * 1_001}, "1,001 bytes"),
        ({"policy_json": " " * 1_001}, "1,014 bytes"),
        ({"policy_json": "[]"}, "policy_json is not a policy"),
        ({"policy_json": "{"}, "policy_json is not a policy"),
        ({"budget_tokens": 0}, "budget_tokens"),
    ],
)
async def test_a_wish_for_a_fork_that_cannot_be_is_refused(
    changes: dict[str, str | int | None], reason: str
) -> None:
    assert reason in await refusal(a_wish(**changes))


@pytest.mark.parametrize("text", ["\U000e0041\u202e", "", " ", "\n\t  ", "\u00a0\u2003"])
async def test_empty_text_is_refused(text: str) -> None:
    assert "text is empty" in await refusal(MessageReceived(text=text))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer_id": "x"}, "answer_id is not a UUID"),
        ({"answer_id": ID.upper()}, "answer_id is not a UUID"),
        ({"rating": Rating("splendid")}, "rating is one of good, bad"),
        ({"rating": Rating("")}, "rating is one of good, bad"),
        ({"comment": "x" * 2_001}, "comment has 2,001 characters"),
    ],
)
async def test_feedback_that_nobody_can_use_is_refused(changes: dict[str, str], reason: str) -> None:
    plain = {"answer_id": ID, "rating": Rating.GOOD, "comment": "x" * 2_000, **changes}
    told = await refusal(FeedbackGiven(**plain))  # type: ignore[arg-type]  # each case names a field of its type
    assert reason in told


@pytest.mark.parametrize("amount", [0, -1, 2**60])
async def test_budgets_below_one_or_beyond_sense_are_refused(amount: int) -> None:
    assert "budget_tokens" in await refusal(MessageReceived(text="a", budget_tokens=amount))
    assert "budget_nanodollars" in await refusal(SessionOpened(budget_nanodollars=amount))


async def test_text_and_attachments_over_the_limit_are_refused_together() -> None:
    attachment = Attachment(name="a.txt", text="x" * 600)

    reason = await refusal(MessageReceived(text="y" * 401, attachments=(attachment,)))

    assert "1,001 bytes; the most is 1,000" in reason


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "a\\b", "x" * 201, "a\x00b"])
async def test_names_of_attachments_that_are_no_plain_file_names_are_refused(name: str) -> None:
    body = MessageReceived(text="a", attachments=(Attachment(name=name, text="b"),))

    assert "name" in await refusal(body)


async def test_two_attachments_of_one_name_are_refused() -> None:
    body = MessageReceived(
        text="a", attachments=(Attachment(name="n", text="b"), Attachment(name="n", text="c"))
    )

    assert "same name" in await refusal(body)


async def test_ids_that_are_no_uuids_are_refused() -> None:
    body = MessageReceived(text="a")

    assert "session_id" in await refusal(body, session_id="my-session")
    assert "session_id" in await refusal(body, session_id=SESSION.upper())
    assert "event_id" in await refusal(body, event_id="1")


@pytest.mark.parametrize(
    "body",
    [SessionCancelled(), SessionClosed()],
)
async def test_inputs_about_a_session_have_to_name_it(body: Fact) -> None:
    assert "needs the session_id" in await refusal(body, session_id="")


async def operated(event: Envelope) -> Kafka:
    kafka = Kafka()
    kafka.send(event, OPERATOR_INPUTS)
    shell = shell_on(TwinLog(kafka))
    await shell.own({})
    await shell.process(kafka.waiting())
    assert kafka.waiting() == []
    return kafka


def asked() -> ApprovalRequested:
    return ApprovalRequested(
        approval_id=ID,
        call_id=ID,
        task_id=ID,
        agent="worker",
        tool="guarded",
        arguments_json="{}",
        arguments_sha256="",
        reason="ask a person",
        expires_at_ms=60_000,
        digest="a" * 64,
    )


def signed(body: Fact, *, tenant: str = "*", user: str = "olga") -> Envelope:
    return Envelope(event_id=ID, session_id=SESSION, tenant_id=tenant, user_id=user, body=body)


async def put_aside(event: Envelope) -> str:
    """Return why an operator's act was put aside."""
    kafka = await operated(event)
    assert kafka.events(SESSION_INPUTS) == []
    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    return letter.body.reason


async def test_a_signed_decision_enters_by_the_operators_topic_with_the_approvers_name() -> None:
    body = decision(asked())

    (event,) = (await operated(signed(body))).events(SESSION_INPUTS)

    assert (event.event_id, event.tenant_id, event.user_id) == (ID, "*", "olga")
    assert (event.occurred_at_ms, event.body) == (1_000, body)


async def test_what_no_approver_signed_never_becomes_a_fact() -> None:
    body = decision(asked())
    forged = decision(asked(), by="mallory", named="olga")

    assert "not signed" in await put_aside(signed(ApprovalReceived(approval_id=ID, approved=True)))
    assert "not the key of an approver" in await put_aside(signed(forged))
    assert "not the key of paul" in await put_aside(signed(body, user="paul"))
    assert "does not fit" in await put_aside(signed(body, tenant="acme"))
    assert "does not act for" in await put_aside(signed(decision(asked(), by="acme's"), user="acme's"))
    assert "does not fit" in await put_aside(signed(replace(body, approved=False)))
    assert "does not fit" in await put_aside(signed(replace(body, digest="b" * 64)))
    assert "does not fit" in await put_aside(signed(replace(body, approval_id=derived_id("another"))))
    assert "does not fit" in await put_aside(signed(replace(body, expires_at_ms=60_001)))
    assert "does not fit" in await put_aside(signed(replace(body, nonce="another-nonce-0000")))
    assert "nonce" in await put_aside(signed(replace(body, nonce="short")))
    assert "signature" in await put_aside(signed(replace(body, signature="00")))
    assert "digest" in await put_aside(signed(decision(asked(), digest="")))


async def test_an_edit_is_signed_with_its_arguments() -> None:
    body = edit(asked(), '{"n": 1}')

    (event,) = (await operated(signed(body))).events(SESSION_INPUTS)

    assert event.body == body
    assert "does not fit" in await put_aside(signed(replace(body, arguments_json='{"n": 2}')))
    assert "twice" in await put_aside(signed(edit(asked(), '{"n": 1, "n": 2}')))
    assert "no JSON object" in await put_aside(signed(edit(asked(), "[]")))


async def test_an_expired_decision_and_one_that_is_good_for_too_long_are_put_aside() -> None:
    assert "expired" in await put_aside(signed(decision(asked(), expires_at_ms=1_000)))
    assert "week" in await put_aside(signed(decision(asked(), expires_at_ms=1_000_000_000)))


async def test_an_act_of_an_operator_on_the_public_topic_is_put_aside_with_the_topic_that_takes_it() -> None:
    for body in (decision(asked()), edit(asked(), "{}")):
        reason = await refusal(body, tenant_id="*", user_id="olga")

        assert type(body).__name__ in reason
        assert OPERATOR_INPUTS.name in reason


async def test_a_stop_of_tools_goes_to_every_worker_and_to_no_session() -> None:
    sent = Envelope(event_id=ID, tenant_id="*", user_id="olga", body=ToolsStopped(name="files"))

    kafka = await operated(sent)

    (event,) = kafka.events(TOOL_RESTRAINTS)
    assert (event.event_id, event.user_id, event.body) == (ID, "olga", sent.body)
    assert event.occurred_at_ms == 1_000
    assert kafka.events(SESSION_INPUTS) == []


@pytest.mark.parametrize(
    ("body", "tenant", "told"),
    [
        (ToolsStopped(name=""), "*", "1 to 100"),
        (ToolsStopped(name="files/../x"), "*", "letters, digits"),
        (ToolsStopped(name="a\u202eb"), "*", "letters, digits"),
        (ToolsStopped(name="files" * 100), "*", "1 to 100"),
        (ToolsStarted(name="files", reason="r" * 2_001), "*", "reason"),
        (ToolsStopped(name="files"), "acme", "all tenants"),
    ],
)
async def test_a_stop_that_says_nothing_clear_is_put_aside(
    body: RestraintAct, tenant: str, told: str
) -> None:
    kafka = await operated(Envelope(event_id=ID, tenant_id=tenant, user_id="olga", body=body))

    assert kafka.events(TOOL_RESTRAINTS) == []
    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert told in letter.body.reason


@pytest.mark.parametrize(
    "body",
    [ToolsStopped(name="*"), RedriveRequested(letters=(ID,), records_per_s_max=10)],
    ids=lambda body: type(body).__name__,
)
async def test_nobody_operates_by_the_public_topic(body: Fact) -> None:
    kafka = Kafka()
    said = Envelope(event_id=ID, tenant_id="*", body=body)
    kafka.send(said, USER_INPUTS, value=CODEC.encode(OPERATOR_INPUTS, said))
    shell = shell_on(TwinLog(kafka))
    await shell.own({})
    await shell.process(kafka.waiting())

    assert kafka.events(TOOL_RESTRAINTS) == kafka.events(REDRIVES) == []
    assert len(kafka.events(DEAD_LETTERS)) == 1


async def test_a_redrive_goes_to_whoever_carries_it_out_and_to_no_session() -> None:
    body = RedriveRequested(letters=(ID,), tenant="acme", records_per_s_max=10)

    kafka = await operated(Envelope(event_id=ID, tenant_id="acme", user_id="olga", body=body))

    (event,) = kafka.events(REDRIVES)
    assert (event.event_id, event.user_id, event.occurred_at_ms, event.body) == (ID, "olga", 1_000, body)
    assert kafka.events(SESSION_INPUTS) == []


async def test_a_redrive_of_another_tenant_is_put_aside() -> None:
    body = RedriveRequested(letters=(ID,), tenant="other", records_per_s_max=10)

    kafka = await operated(Envelope(event_id=ID, tenant_id="acme", user_id="olga", body=body))

    assert kafka.events(REDRIVES) == []
    assert len(kafka.events(DEAD_LETTERS)) == 1


@pytest.mark.parametrize(
    ("entrance", "written_for", "body"),
    [
        # Only acts of operators enter by their topic.
        (OPERATOR_INPUTS, USER_INPUTS, MessageReceived(text="hello")),
        # Nobody is believed what a session was in V1.
        (USER_INPUTS, SESSION_INPUTS, SessionImported(origin="old", messages=1)),
        (OPERATOR_INPUTS, SESSION_INPUTS, SessionImported(origin="old", messages=1)),
    ],
)
async def test_what_does_not_enter_by_a_topic_is_put_aside_in_another_one_s_schema_too(
    entrance: Topic, written_for: Topic, body: Fact
) -> None:
    kafka = Kafka()
    said = Envelope(event_id=ID, session_id=SESSION, body=body)
    kafka.send(said, entrance, value=CODEC.encode(written_for, said))
    shell = shell_on(TwinLog(kafka))
    await shell.own({})
    await shell.process(kafka.waiting())

    assert kafka.events(SESSION_INPUTS) == []
    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.code == "wrong_topic"


async def test_a_decision_names_its_approval_by_a_uuid() -> None:
    body = ApprovalReceived(approval_id="7", approved=True)

    (letter,) = (await operated(Envelope(event_id=ID, session_id=SESSION, body=body))).events(DEAD_LETTERS)

    assert isinstance(letter.body, RecordRejected)
    assert "approval_id" in letter.body.reason


async def test_bytes_that_are_no_event_are_put_aside_and_their_neighbours_go_on() -> None:
    kafka = Kafka()
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="a")), USER_INPUTS)
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="b")), USER_INPUTS, value=b"garbage")
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="c")), USER_INPUTS, valueless=True)
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="d")), USER_INPUTS)
    shell = shell_on(TwinLog(kafka))
    await shell.own({})

    await shell.process(kafka.waiting())

    texts = [
        event.body.text for event in kafka.events(SESSION_INPUTS) if isinstance(event.body, MessageReceived)
    ]
    codes = [
        event.body.code for event in kafka.events(DEAD_LETTERS) if isinstance(event.body, RecordRejected)
    ]
    assert (texts, codes) == (["a", "d"], ["not_avro", "no_value"])


async def test_text_that_is_not_utf8_is_refused() -> None:
    sound = CODEC.encode(USER_INPUTS, Envelope(session_id=SESSION, body=MessageReceived(text="hello")))
    broken = sound.replace(b"hello", b"hel\xff\xfe")

    kafka = await taken(Envelope(session_id=SESSION, body=MessageReceived(text="hello")), value=broken)

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.code == "not_avro"


async def test_blank_accounts_become_the_defaults() -> None:
    sent = Envelope(session_id=SESSION, tenant_id=" ", user_id="", body=MessageReceived(text="a"))

    (event,) = (await taken(sent)).events(SESSION_INPUTS)

    assert (event.tenant_id, event.user_id) == ("default", "anonymous")


async def test_a_revocation_while_publishing_leaves_the_batch_to_the_next_owner() -> None:
    kafka = Kafka()
    kafka.send(replace(Envelope(body=MessageReceived(text="a")), session_id=SESSION), USER_INPUTS)
    log = TwinLog(kafka)
    shell = shell_on(log)
    await shell.own({})
    log.on_step = shell.disown

    with pytest.raises(OwnershipLost):
        await shell.process(kafka.waiting())

    assert kafka.waiting() != []


async def test_rules_that_raise_put_the_input_aside_and_its_neighbours_go_on() -> None:
    kafka = Kafka()
    shell = IngressShell(
        codec=CODEC,
        log=TwinLog(kafka),
        floors=TwinLog(kafka).floors,
        tokenizer=lambda text: 1 // (text != "zero"),
        limits=Limits(text_bytes_max=1_000),
        policy=POLICY,
        topic_prefix="p.",
        metrics=metrics("ingress"),
        now_ms=lambda: NOW_MS,
    )
    for text in ("zero", "one"):
        kafka.send(Envelope(body=MessageReceived(text=text)), USER_INPUTS)
    await shell.own({})

    await shell.process(kafka.waiting())

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert "ZeroDivisionError" in letter.body.reason
    assert len(kafka.events(SESSION_INPUTS)) == 1
