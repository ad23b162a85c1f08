"""Feedback stands on a session's log, and is of no consequence for what the session does."""

from dataclasses import replace

from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import FeedbackGiven, Rating, SessionClosed
from schemas.events.outputs import AnswerGiven
from tests.processors.world import World, obliging, plan_text, task

FEEDBACK = FeedbackGiven(answer_id="00000000-0000-4000-8000-00000000000a", rating=Rating.BAD, comment="No.")


def world() -> World:
    return World(obliging(plan_text(task("a"), task("b", needs=["a"]))))


def test_feedback_changes_nothing_of_a_session_at_whatever_time_it_comes() -> None:
    plain, judged = world(), world()
    for one in (plain, judged):
        one.say()
        if one is judged:
            one.post(FEEDBACK, input_id="00000000-0000-4000-8000-00000000000b")
        one.run()
        one.post(SessionClosed(), input_id="00000000-0000-4000-8000-00000000000c")
    before = len(judged.events)
    judged.post(FEEDBACK)
    assert len(judged.events) == before
    assert plain.facts(AnswerGiven)
    # Ids follow from the places of inputs, and so differ; nothing else does.
    assert [event.type for event in judged.events] == [event.type for event in plain.events]
    assert judged.state.budget == plain.state.budget
    assert (judged.state.status, judged.state.sequence) == (plain.state.status, plain.state.sequence)


def test_nobody_judges_in_anothers_session() -> None:
    judged = world()
    opened = judged.say()
    refused = judged.decider.advance(
        judged.state,
        replace(opened, event_id="00000000-0000-4000-8000-00000000000b", user_id="mallory", body=FEEDBACK),
        judged.inputs[0][1],
    ).refused
    assert refused is not None
    assert refused.code is RejectionCode.NOT_OWNER
