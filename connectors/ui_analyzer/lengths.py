"""Lengths in CSS pixels."""

import re

_LENGTH = re.compile(r"(-?\d+(?:\.\d+)?|-?\.\d+)(px|rem|em|pt)?$")
_PX_PER_UNIT = {"px": 1.0, "rem": 16.0, "em": 16.0, "pt": 4 / 3, "": 0.0}


def length_px(value: str) -> float | None:
    """A plain length in px (1rem = 1em = 16 px); None for anything that depends on its surroundings."""
    match = _LENGTH.match(value.strip().removesuffix("!important").strip().lower())
    if match is None:
        return None
    unit = match.group(2) or ""
    number = float(match.group(1))
    if not unit:
        return 0.0 if number == 0 else None
    return number * _PX_PER_UNIT[unit]


def tailwind_size_px(token: str) -> float | None:
    """The size that a Tailwind utility such as `w-4`, `h-[18px]` or `size-6` sets; None when it is not fixed."""
    match = re.match(r"(?:w|h|size|min-w|min-h)-(?:\[(.+)\]|(px|\d+(?:\.\d+)?))$", token)
    if match is None:
        return None
    if match.group(1):
        return length_px(match.group(1))
    return 1.0 if match.group(2) == "px" else float(match.group(2)) * 4
