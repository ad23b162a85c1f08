"""Themes: the same tokens in each, and every text readable on every surface."""

import itertools
import re
from pathlib import Path

import pytest
from coloraide import Color

from tests.console.sources import FOLDER, SCRIPTS

THEMES = sorted((FOLDER / "themes").glob("*.css"))
TEXT_RATIO_MIN = 4.5
CONTRAST_RATIO_MIN = 7.0
EDGE_RATIO_MIN = 3.0
"""Of what shows where a control ends, or has the focus (WCAG 2.2, 1.4.11)."""


def tokens(path: Path) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*([^;]+);", path.read_text(encoding="utf-8")))


def named(path: Path, prefix: str) -> dict[str, Color]:
    return {name: Color(value) for name, value in tokens(path).items() if name.startswith(prefix)}


def ratio(one: Color, other: Color) -> float:
    return one.contrast(other, method="wcag21")


@pytest.mark.parametrize("theme", THEMES, ids=lambda path: path.stem)
def test_a_theme_has_every_token_of_the_others(theme: Path) -> None:
    assert tokens(theme).keys() == tokens(THEMES[0]).keys()
    assert len(named(theme, "surface-")) >= 5
    assert len(named(theme, "text-")) >= 7


@pytest.mark.parametrize("theme", THEMES, ids=lambda path: path.stem)
def test_every_text_is_readable_on_every_surface(theme: Path) -> None:
    least = CONTRAST_RATIO_MIN if theme.stem == "high-contrast" else TEXT_RATIO_MIN
    pairs = itertools.product(named(theme, "text-").items(), named(theme, "surface-").items())

    poor = [(text, surface) for (text, one), (surface, other) in pairs if ratio(one, other) < least]

    assert poor == []


@pytest.mark.parametrize("theme", THEMES, ids=lambda path: path.stem)
def test_controls_and_the_focus_show_on_every_surface(theme: Path) -> None:
    edges = named(theme, "edge-") | named(theme, "fill-")
    pairs = itertools.product(edges.items(), named(theme, "surface-").items())

    poor = [(edge, surface) for (edge, one), (surface, other) in pairs if ratio(one, other) < EDGE_RATIO_MIN]

    assert poor == []


@pytest.mark.parametrize("theme", THEMES, ids=lambda path: path.stem)
def test_what_stands_on_a_filled_control_is_readable(theme: Path) -> None:
    fills = named(theme, "fill-")

    for name, color in named(theme, "on-").items():
        assert ratio(color, fills[name.replace("on-", "fill-")]) >= TEXT_RATIO_MIN


@pytest.mark.parametrize("path", [*FOLDER.glob("*.css"), *SCRIPTS], ids=lambda path: path.name)
def test_colours_stand_in_themes_alone(path: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    literal = (
        re.findall(r":[^;{}]*(#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch)\()", text)
        if path.suffix == ".css"
        else []
    )

    assert literal == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.css")), ids=lambda path: path.name)
def test_every_token_that_is_used_is_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = set(re.findall(r"var\(--([a-z-]+)", text))
    own = set(re.findall(r"--([a-z-]+):", text))

    assert used - own <= tokens(THEMES[0]).keys()
