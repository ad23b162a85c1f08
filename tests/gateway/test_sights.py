"""Whose eyes the gateway reads with."""

from pathlib import Path
from typing import Final

GATEWAY: Final = Path(__file__).parents[2] / "streams" / "gateway"


def test_only_what_the_gateway_does_of_itself_is_done_with_everybodys_eyes() -> None:
    named = {path.name for path in GATEWAY.glob("*.py") if "EVERYBODY" in path.read_text(encoding="utf-8")}

    assert named == {"database.py", "announcing.py"}
