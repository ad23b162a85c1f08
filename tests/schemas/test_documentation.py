"""The events catalogue is as current as the contracts."""

from pathlib import Path

from topics.catalog import TOPICS
from topics.documentation import events_markdown

ROOT = Path(__file__).parents[2]


def test_the_events_catalogue_is_current() -> None:
    written = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert written == events_markdown(), "run `cartrita schemas document`"


def test_every_topic_and_fact_stands_in_it() -> None:
    text = events_markdown()
    for topic in TOPICS:
        assert f"## {topic.name}\n" in text
        for fact in topic.facts:
            assert f"### {fact.__name__}\n" in text
