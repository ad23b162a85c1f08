"""What must not be called now, as it follows from the log."""

from itertools import count

from processors.restraints import Restraints, reason_of
from schemas.envelope import Envelope
from schemas.events.restraints import (
    RestraintFact,
    ServerToolsRestored,
    ServerToolsWithheld,
    ToolsStarted,
    ToolsStopped,
)
from schemas.ids import derived_id

_NUMBERS = count()


def told(body: RestraintFact, *, event_id: str | None = None, user: str = "olga") -> Envelope:
    return Envelope(
        event_id=event_id or derived_id("told", str(next(_NUMBERS))),
        user_id=user,
        occurred_at_ms=5,
        body=body,
    )


def after(*facts: RestraintFact) -> Restraints:
    restraints = Restraints()
    for fact in facts:
        restraints.apply(told(fact))
    return restraints


def test_a_stop_holds_a_tool_all_tools_of_a_server_or_every_tool() -> None:
    one = after(ToolsStopped(name="files__write"))
    server = after(ToolsStopped(name="files"))
    every = after(ToolsStopped(name="*"))

    assert [bool(one.stop_of(tool)) for tool in ("files__write", "files__read", "search")] == [1, 0, 0]
    assert [bool(server.stop_of(tool)) for tool in ("files__write", "files__read", "search")] == [1, 1, 0]
    assert all(every.stop_of(tool) for tool in ("files__write", "files__read", "search"))
    assert server.stop_of("filesystem__read") is None
    assert server.stop_of("files") is not None, "a tool of one's own may be named like a server"


def test_a_start_takes_back_the_stop_of_its_own_name_alone() -> None:
    restraints = after(
        ToolsStopped(name="files"), ToolsStopped(name="files__write"), ToolsStarted(name="files")
    )

    assert restraints.stop_of("files__read") is None
    assert restraints.stop_of("files__write") is not None
    assert set(restraints.stops) == {"files__write"}


def test_an_event_that_stands_there_again_changes_nothing() -> None:
    restraints = Restraints()
    stopped, started = told(ToolsStopped(name="search")), told(ToolsStarted(name="search"))

    changes = [restraints.apply(one) for one in (stopped, started, stopped, started)]

    assert changes == [True, True, False, False]
    assert restraints.stop_of("search") is None


def test_whoever_asked_for_the_call_is_told_who_and_why() -> None:
    stop = after(ToolsStopped(name="search", reason="it leaks")).stop_of("search")
    every = after(ToolsStopped(name="*")).stop_of("search")

    assert stop is not None
    assert every is not None
    assert (stop.operator, stop.stopped_at_ms) == ("olga", 5)
    assert reason_of(stop) == "search is stopped by an operator: it leaks"
    assert reason_of(every) == "all tools are stopped by an operator"


def test_a_finding_is_news_once_until_it_changes() -> None:
    changed = ServerToolsWithheld(server="files", tenant="default", changed=("write",), list_digest="1")
    gone = ServerToolsWithheld(server="files", tenant="default", removed=("write",), list_digest="2")
    fine = ServerToolsRestored(server="files", tenant="default", list_digest="0")
    restraints = Restraints()
    ids = []

    assert restraints.news(fine) is None, "nothing was withheld"
    for found in (changed, gone, changed, fine, changed):
        news = restraints.news(found)
        assert news is not None
        ids.append(news[0])
        restraints.apply(told(found, event_id=news[0]))
        assert restraints.news(found) is None

    assert len(set(ids)) == 5, "what is found again after something else is told again"
    assert restraints.withheld["files", "default"].fact == changed


def test_workers_that_find_the_same_at_once_tell_it_under_one_id() -> None:
    found = ServerToolsWithheld(server="files", tenant="default", added=("delete",), list_digest="1")

    assert Restraints().news(found) == Restraints().news(found)


def test_a_tool_that_cannot_be_used_at_all_asks_nobody_to_look() -> None:
    known = after(ServerToolsWithheld(server="a", tenant="default"))
    news = after(ServerToolsWithheld(server="a", tenant="default", program_changed=True))

    assert not known.withheld["a", "default"].is_due
    assert news.withheld["a", "default"].is_due
