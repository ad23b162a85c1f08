"""A model or a database that is away in the middle of the work delays answers and loses none."""

import time
import uuid

import httpx
import psycopg
import pytest

from connectors.embedded.progress import Silent
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.outsider import Outsider, message
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SETTLE_S = 120.0


def wait_for_answer(settings: Settings, input_id: str) -> bool:
    """Wait for the answer's row; tells whether the answer is complete."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            row = connection.execute(
                "SELECT (body ->> 'complete')::boolean FROM event_log "
                "WHERE type = 'AnswerGiven' AND body ->> 'input_id' = %s",
                [input_id],
            ).fetchone()
        if row is not None:
            return bool(row[0])
        time.sleep(0.2)
    pytest.fail("there is no answer")


def wait_for_call(settings: Settings, session_id: str) -> None:
    """Wait until the session waits for a model."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            row = connection.execute(
                "SELECT 1 FROM event_log WHERE type = 'ModelCallRequested' AND session_id = %s",
                [uuid.UUID(session_id)],
            ).fetchone()
        if row is not None:
            return
        time.sleep(0.1)
    pytest.fail("the session never asked a model")


def test_an_answer_waits_for_a_model_that_is_away(
    deployment: Deployment, settings: Settings, outsider: Outsider
) -> None:
    deployment.stop_part("model", hard=True)
    asked = message("Write a short greeting.")
    outsider.post([asked])
    wait_for_call(settings, asked["session_id"])

    deployment.start_services(Silent())

    assert wait_for_answer(settings, asked["event_id"])


def test_rows_wait_for_a_database_that_is_away(
    deployment: Deployment, settings: Settings, outsider: Outsider
) -> None:
    stack = deployment.stack()
    stack.stop_service("postgres", hard=True)
    asked = message("Write a short greeting.")
    outsider.post([asked])
    outsider.wait_for("session.outputs", lambda record: asked["event_id"] in str(record))

    stack.start_service("postgres")

    assert wait_for_answer(settings, asked["event_id"])


def test_whoever_asks_after_a_restart_of_the_database_is_answered(
    deployment: Deployment, http: httpx.Client
) -> None:
    # Another test may have restarted the database just now.
    for _ in tries():
        if http.get("/api/v2/sessions").status_code == 200:
            break
    stack = deployment.stack()
    stack.stop_service("postgres", hard=True)
    # Long enough for whoever connects anew to have failed several times, and to pause.
    assert [http.get("/api/v2/sessions").status_code for _ in range(4)] == [503] * 4
    stack.start_service("postgres")

    # On a busy machine it may be slower than one request waits; pauses that grow would outlast all three.
    answers = [http.get("/api/v2/sessions") for _ in range(3)]

    assert answers[-1].status_code == 200, [answer.text for answer in answers]
