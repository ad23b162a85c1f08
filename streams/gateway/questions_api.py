"""/api/v2: the questions that are ready for analysts, answered of what the token may see."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query

from schemas.events.access import Scope
from sinks import questions
from sinks.questions import Explained, Question
from streams.gateway.bodies import Body, Moment
from streams.gateway.door import require
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router

DAYS: Final = 30
"""Without `since`, so many days are told."""
ANSWER_MS_MAX: Final = 20_000
"""Questions of a large log hold one of few connections meanwhile."""

router: Final = make_router()


class AnswerColumn(Body):
    """A column of an answer."""

    name: str
    """With its unit, as the view in Postgres has it."""
    type: str
    """As Postgres names it."""
    meaning: str


class ReadyQuestion(Body):
    """A question, and what its answer counts."""

    name: Question
    question: str
    columns: list[AnswerColumn]


class QuestionList(Body):
    """The questions that can be asked."""

    questions: list[ReadyQuestion]


class Answer(Body):
    """The answer to a question, what needs a look first."""

    question: ReadyQuestion
    since: datetime
    until: datetime | None
    rows: list[list[int | float | str | None]]
    """In the order of the columns."""
    truncated: bool
    """true: there are more than were asked for."""


@router.get("/questions")
async def list_questions(front: Doors, bearer: Bearer) -> QuestionList:
    """List the questions that can be asked, and what the columns of their answers mean."""
    require(bearer, Scope.READ)
    async with front.door.database(bearer) as connection:
        found = [await questions.explained(connection, one) for one in Question]
    return QuestionList(questions=[_question(one) for one in found])


@router.get("/questions/{name}")
async def answer_question(
    name: Question,
    front: Doors,
    bearer: Bearer,
    *,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    limit: Limit = 100,
) -> Answer:
    """Answer a question of the token's sessions and calls, of the last 30 days if no time is given."""
    require(bearer, Scope.READ)
    begin = since or datetime.now(UTC) - timedelta(days=DAYS)
    async with front.door.database(bearer) as connection:
        asked = await questions.explained(connection, name)
        # Of which user they are, no row tells: the policies of the role count that user's events alone.
        try:
            rows = await questions.answer(
                connection,
                name,
                since=begin,
                until=until,
                tenant=bearer.tenant,
                limit=limit + 1,
                within_ms=ANSWER_MS_MAX,
            )
        except questions.TakesTooLong as error:
            raise Problem(503, f"{error}: ask of a shorter period", code="question_takes_too_long") from error
    return Answer(
        question=_question(asked),
        since=begin,
        until=until,
        rows=[[questions.plain(value) for value in row] for row in rows[:limit]],
        truncated=len(rows) > limit,
    )


def _question(asked: Explained) -> ReadyQuestion:
    return ReadyQuestion(
        name=asked.name,
        question=asked.text,
        columns=[AnswerColumn(name=one.name, type=one.type, meaning=one.meaning) for one in asked.columns],
    )
