"""Rules on design tokens: their use, their definition, their contrast."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from connectors.ui_analyzer.colours import (
    contrast,
    parse_colour,
    resolve,
)
from connectors.ui_analyzer.libraries import RUNTIME_TOKENS
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Located, Project, ProjectRule, Tally, describe, mdn, wcag
from connectors.ui_analyzer.rules.theme import colour_tokens
from connectors.ui_analyzer.scoping import by_page

_THEME = Category.THEME

_TAILWIND_NAMESPACES = re.compile(
    r"--(?:tw-|color-|spacing|text-|font-|radius-|breakpoint-|container-|leading-|tracking-|shadow-|ease-|animate-|blur-|default-|inset-shadow|drop-shadow|aspect-)"
)


_TOKENS_MIN = 4
"""From so many colour tokens on, a project counts as having a token system."""


def _values(tokens: dict[str, Located]) -> dict[str, str]:
    return {name: located.fact.value for name, located in tokens.items()}


_SCHEME_MIN = 8
"""Different colours from which on a file has a scheme of its own."""


def _hardcoded(project: Project, tally: Tally) -> None:
    tokens = _values(colour_tokens(project)["base"])
    colours = [name for name, value in tokens.items() if _is_colour(value, tokens)]
    if len(colours) < _TOKENS_MIN:
        return
    for _ in project.of("colour-token"):
        tally.passed()
    repeated: dict[tuple[str, str], list[Located]] = {}
    for located in project.of("colour-literal"):
        repeated.setdefault((located.path, located.fact.name.lower()), []).append(located)
    written = Counter(path for path, _ in repeated)
    taken = Counter(located.path for located in project.of("colour-token"))
    for (path, _), places in repeated.items():
        first = places[0]
        # A sheet that writes most of its colours out follows another scheme: a theme by itself, or an older part.
        own_scheme = written[path] >= _SCHEME_MIN and written[path] > taken[path]
        often = f", {len(places)} times in this file" if len(places) > 1 else ""
        tally.failed(
            first,
            f"{first.fact.name} is written out{often}, although the project has colour tokens",
            path=path,
            confidence=Confidence.LOW if own_scheme else None,
        )


def _is_colour(value: str, tokens: dict[str, str]) -> bool:
    resolved = resolve(value, tokens)
    if resolved is None:
        return False
    inner = re.fullmatch(r"(?:hsl|rgb|oklch)a?\((.*)\)", resolved.strip())
    return parse_colour(resolved) is not None or (
        inner is not None and parse_colour(inner.group(1)) is not None
    )


def _token_contrast(project: Project, tally: Tally) -> None:
    themes = colour_tokens(project)
    alternatives = {name for name in themes if name != "base"}
    places = _Places()
    for theme, tokens in sorted(themes.items()):
        values = _values(tokens)
        judged: set[tuple[str, str]] = set()
        for front, back in _named_pairs(values):
            judged.add((f"var({front})", f"var({back})"))
            if _ALIAS.fullmatch(values[front].strip()) and _ALIAS.fullmatch(values[back].strip()):
                continue  # Other names of a pair that is judged under its own.
            ratio = contrast(_plain(values[front], values), _plain(values[back], values))
            if ratio is not None:
                at = tokens[front] if theme == "base" or tokens[front].fact.scope == theme else tokens[back]
                if theme != "base" and tokens[front].fact.scope != theme and tokens[back].fact.scope != theme:
                    continue
                places.add(tally, ratio, at, f"{front} on {back}", theme)
        for located in project.of("pair"):
            if located.fact.scope and located.fact.scope in alternatives and located.fact.scope != theme:
                continue
            if located.fact.scope and theme == "base":
                continue
            if located.fact.name == located.fact.value:
                continue  # A line, or text that is not meant to be seen.
            if (located.fact.name, located.fact.value) in judged:
                continue  # The tokens were compared where they are defined; each use would only repeat it.
            if theme != "base" and _same_as_base(located, tokens, themes["base"]):
                continue
            ratio = contrast(_plain(located.fact.name, values), _plain(located.fact.value, values))
            if ratio is not None:
                places.add(tally, ratio, located, f"{located.fact.name} on {located.fact.value}", theme)
    places.report(tally)


_ALIAS = re.compile(r"(?:(?:hsl|rgb|oklch|color)a?\(\s*)?var\(\s*--[\w-]+\s*\)\s*\)?")


def _same_as_base(pair: Located, tokens: dict[str, Located], base: dict[str, Located]) -> bool:
    """Whether a theme changes nothing of a pair, so that it is judged in the base already."""
    return (resolve(pair.fact.name, _values(tokens)), resolve(pair.fact.value, _values(tokens))) == (
        resolve(pair.fact.name, _values(base)),
        resolve(pair.fact.value, _values(base)),
    )


def _by_sheet(check: Callable[[Project, Tally], None]) -> Callable[[Project, Tally], None]:
    """Decide for each sheet that defines tokens by itself: packages of one repository have a set each."""

    def checked(project: Project, tally: Tally) -> None:
        bases = {at.path for at in project.of("token") if at.fact.scope == "base" and at.fact.name in _BASIC}
        if len(bases) < 2:
            check(project, tally)
            return
        own = project.divided(lambda path: path if path in bases else "")
        for part in own:
            if part.of("token") or part.of("pair"):
                check(part, tally)

    return checked


_BASIC = frozenset(
    {"--background", "--foreground", "--color-background", "--primary", "--bg", "--text", "--color-text"}
)
"""Tokens that a set has once: where several sheets define them, each is a set of its own."""


_ROUNDING = 0.02
"""Browsers round colours to 8 bits before they draw them, and axe after."""


@dataclass(slots=True)
class _Places:
    """Pairs that are too faint, by the place that has to change: one finding each, in however many themes."""

    faint: dict[tuple[str, int, int, str], list[tuple[float, str, Located]]] = field(default_factory=dict)

    def add(self, tally: Tally, ratio: float, at: Located, pair: str, theme: str) -> None:
        """Count a pair in a theme."""
        if ratio >= 4.5 - _ROUNDING:
            tally.passed()
        else:
            self.faint.setdefault((at.path, at.line, at.column, pair), []).append((ratio, theme, at))

    def report(self, tally: Tally) -> None:
        """Tell each place once, with the theme in which it is worst."""
        for (path, _, _, pair), found in self.faint.items():
            ratio, theme, at = min(found, key=lambda one: one[:2])
            others = f", and in {len(found) - 1} more," if len(found) > 1 else ""
            tally.failed(
                at,
                f"{pair} in the {theme} theme{others} has a contrast of {ratio:.2f}, below 4.5",
                path=path,
            )


def _plain(value: str, tokens: dict[str, str]) -> str:
    resolved = resolve(value, tokens) or ""
    inner = re.fullmatch(r"(?:hsl|rgb)\(\s*(-?[\d.]+\s+[\d.]+%\s+[\d.]+%)\s*\)", resolved)
    return inner.group(1) if inner else resolved


def _named_pairs(values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Tokens that are paired by a convention of names: `x-foreground` on `x`, `on-x` on `x`, text on background."""
    for name in sorted(values):
        if name.endswith("-foreground") and name not in ("--foreground", "--color-foreground"):
            base = name.removesuffix("-foreground")
            if base in values:
                yield name, base
        elif name in ("--foreground", "--color-foreground"):
            back = name.replace("foreground", "background")
            if back in values:
                yield name, back
        elif re.search(r"(?:^--|-)on-[\w-]+$", name):
            back = re.sub(r"(^--|-)on-", r"\1", name, count=1)
            if back in values:
                yield name, back
        elif re.fullmatch(r"--(?:color-|c-|clr-)?text(?:-primary|-color)?", name):
            prefix = re.match(r"--(?:color-|c-|clr-)?", name)
            for back in (
                "bg",
                "background",
                "surface",
                "bg-primary",
                "background-primary",
                "background-color",
                "bg-color",
            ):
                candidate = (prefix.group() if prefix else "--") + back
                if candidate in values:
                    yield name, candidate
                    break


def _undefined_token(project: Project, tally: Tally) -> None:
    defined = project.names("token")
    families = {_family(name) for name in defined}
    tailwind = bool(project.of("tailwind"))
    prefixes = {name for name in defined if name.endswith("-")}
    used: dict[str, set[str]] = {}
    for located in project.of("token-use"):
        used.setdefault(_family(located.fact.name), set()).add(located.fact.name)
    # Of a family that is mostly defined elsewhere (a library's), single definitions here are overrides.
    families = {
        name for name in families if 2 * len(used.get(name, set()) & defined) >= len(used.get(name, set()))
    }

    for located in project.of("token-use"):
        name = located.fact.name
        if located.fact.value or _family(name) not in families:
            continue
        if RUNTIME_TOKENS.match(name):
            continue
        if tailwind and _TAILWIND_NAMESPACES.match(name):
            continue
        if name in defined or any(name.startswith(prefix) for prefix in prefixes):
            tally.passed()
        else:
            tally.failed(located, f"{name} is defined nowhere and has no fallback", path=located.path)


def _family(name: str) -> str:
    """The first word of a token's name: tokens of a library that is not in the project have another one."""
    return name[2:].split("-")[0]


RULES: tuple[ProjectRule, ...] = (
    ProjectRule(
        describe(
            "hard-coded-colour",
            _THEME,
            Severity.MINOR,
            "Colours come from tokens",
            reason="A colour that is written out stays as it is when the theme changes.",
            fix="Use the token for this purpose, or add one.",
            reference=mdn(
                "Using CSS custom properties", "Web/CSS/Guides/Cascading_variables/Using_custom_properties"
            ),
            confidence=Confidence.MEDIUM,
        ),
        by_page(_hardcoded),
    ),
    ProjectRule(
        describe(
            "token-contrast",
            _THEME,
            Severity.SERIOUS,
            "Pairs of tokens have enough contrast in every theme",
            reason="A pair that reads well in one theme may be unreadable in another.",
            fix="Change one of the two tokens in this theme until the ratio is 4.5.",
            reference=wcag("1.4.3 Contrast (Minimum)", "contrast-minimum"),
            confidence=Confidence.MEDIUM,
            shared=("axe:color-contrast",),
        ),
        by_page(_by_sheet(_token_contrast)),
    ),
    ProjectRule(
        describe(
            "undefined-token",
            _THEME,
            Severity.MODERATE,
            "Tokens that are used are defined",
            reason="The declaration is void and the element falls back to whatever it inherits.",
            fix="Define the token, correct its name, or give `var()` a fallback.",
            reference=mdn("var()", "Web/CSS/Reference/Values/var"),
            confidence=Confidence.MEDIUM,
        ),
        by_page(_undefined_token),
    ),
)
