"""Colours: finding literals in values, resolving custom properties, contrast by WCAG 2."""

import re
from collections.abc import Mapping
from functools import lru_cache

from coloraide import Color

_LITERAL = re.compile(
    r"#(?:[0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})\b|\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch)\([^()]*\)",
    re.IGNORECASE,
)
_CHANNELS = re.compile(r"(-?[\d.]+)(?:deg)?[\s,]+([\d.]+)%[\s,]+([\d.]+)%(?:\s*/\s*[\d.]+%?)?$")
_RGB_CHANNELS = re.compile(r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})$")
_VAR = re.compile(r"var\(\s*(--[\w-]+)\s*(?:,([^()]*(?:\([^()]*\))?[^()]*))?\)")
_MARK = "\x00"
"""Stands for a token, so that `hsl(var(--a))` is no colour written out."""
_NAMES = frozenset(
    [
        "aqua",
        "black",
        "blue",
        "brown",
        "coral",
        "crimson",
        "cyan",
        "darkblue",
        "darkgray",
        "darkgreen",
        "darkgrey",
        "darkred",
        "dimgray",
        "dimgrey",
        "fuchsia",
        "gold",
        "gray",
        "green",
        "grey",
        "hotpink",
        "indigo",
        "ivory",
        "khaki",
        "lavender",
        "lightblue",
        "lightgray",
        "lightgreen",
        "lightgrey",
        "lime",
        "magenta",
        "maroon",
        "navy",
        "olive",
        "orange",
        "orangered",
        "orchid",
        "pink",
        "plum",
        "purple",
        "red",
        "royalblue",
        "salmon",
        "seagreen",
        "silver",
        "skyblue",
        "slateblue",
        "slategray",
        "slategrey",
        "snow",
        "steelblue",
        "tan",
        "teal",
        "tomato",
        "turquoise",
        "violet",
        "wheat",
        "white",
        "whitesmoke",
        "yellow",
    ]
)
COLOUR_PROPERTIES = frozenset(
    [
        "color",
        "background",
        "background-color",
        "border",
        "border-color",
        "border-top",
        "border-right",
        "border-bottom",
        "border-left",
        "border-top-color",
        "border-right-color",
        "border-bottom-color",
        "border-left-color",
        "outline",
        "outline-color",
        "fill",
        "stroke",
        "caret-color",
        "accent-color",
        "text-decoration-color",
        "column-rule-color",
    ]
)


def literal_in(value: str) -> str | None:
    """The first colour written out in a CSS value, outside of `var()` fallbacks; None when there is none."""
    bare = value
    while _VAR.search(bare):
        bare = _VAR.sub(_MARK, bare)
    bare = re.sub(r"url\([^)]*\)", " ", bare)
    for match in _LITERAL.finditer(bare):
        if not any(mark in match.group() for mark in (_MARK, "var(", "$", "@")):
            return match.group()
    if _LITERAL.search(bare):
        return None
    return next(
        (word for word in re.findall(r"(?<![\w$@.#-])[a-z]+(?![\w(-])", bare.lower()) if word in _NAMES), None
    )


def neutral(literal: str) -> bool:
    """Whether a literal is pure black or white, at whatever opacity, or none at all: they need no token to be consistent."""
    bare = re.sub(r"\s+", "", literal.lower())
    if bare in ("#fff", "#ffffff", "#000", "#000000", "white", "black"):
        return True
    if re.fullmatch(r"(?:rgb|hsl)a?\(.*[,/]0(?:\.0+)?%?\)|#[0-9a-f]{6}00|#[0-9a-f]{3}0", bare):
        return True  # Fully transparent: nobody sees which colour.
    return (
        re.fullmatch(
            r"#(?:f{3}|0{3})[0-9a-f]|#(?:f{6}|0{6})[0-9a-f]{2}|rgba?\((?:000|0,0,0|255255255|255,255,255)[/,]?[\d.%]*\)",
            bare,
        )
        is not None
    )


@lru_cache(maxsize=4_096)
def parse_colour(value: str) -> Color | None:
    """A CSS colour, or the bare channels of `hsl()` or `rgb()` that some token systems store; None otherwise."""
    text = value.strip().removesuffix("!important").strip()
    if not text or len(text) > 100:
        return None
    channels = _CHANNELS.match(text)
    if channels:
        text = f"hsl({channels.group(1)} {channels.group(2)}% {channels.group(3)}%)"
    elif (numbers := _RGB_CHANNELS.match(text)) and all(int(number) <= 255 for number in numbers.groups()):
        text = f"rgb({' '.join(numbers.groups())})"
    try:
        colour = Color(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return colour


def resolve(value: str, tokens: Mapping[str, str], *, depth_max: int = 8) -> str | None:
    """Replace every `var()` by its value; None when one is unknown or refers to itself."""
    text = value
    for _ in range(depth_max):
        match = _VAR.search(text)
        if match is None:
            return text.strip()
        replacement = tokens.get(match.group(1), match.group(2))
        if replacement is None:
            return None
        text = text[: match.start()] + replacement.strip() + text[match.end() :]
        if len(text) > 400:
            return None
    return None


def contrast(foreground: str, background: str) -> float | None:
    """The WCAG 2 contrast ratio (1 to 21) of two opaque colours; None when either is not one."""
    front, back = parse_colour(foreground), parse_colour(background)
    if front is None or back is None or front.alpha() < 1 or back.alpha() < 1:
        return None
    try:
        ratio = float(front.contrast(back, method="wcag21"))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return ratio if 1 <= ratio <= 21.01 else None


def variables_in(value: str) -> tuple[tuple[str, bool], ...]:
    """The custom properties that a value uses, each with whether it has a fallback."""
    return tuple((match.group(1), match.group(2) is not None) for match in _VAR_USE.finditer(value))


_VAR_USE = re.compile(r"var\(\s*(--[\w-]+)\s*(,)?")
