"""Rules on design tokens and themes."""

import re
from collections.abc import Iterator
from functools import partial

from connectors.ui_analyzer.colours import (
    COLOUR_PROPERTIES,
    contrast,
    literal_in,
    neutral,
    parse_colour,
    resolve,
    variables_in,
)
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, Located, Project, ProjectRule, Tally, describe, mdn, wcag
from connectors.ui_analyzer.stylesheet import StyleRule

_THEME = Category.THEME
_DARK = re.compile(r"\bdark\b|night", re.I)
_LIGHT = re.compile(r"\blight\b", re.I)
_THEMED = re.compile(
    r"""^(?::root|html|body|:host)?(?:\[data-(?:theme|mode|color-scheme|bs-theme)=["']?([\w-]+)["']?\]|\.(?:theme-)?(dark|light|night|high-contrast|[\w-]+-theme))$""",
    re.I,
)
_ROOTS = frozenset({":root", "html", "body", ":host", "*", "@theme", ":root, :host", "html, body"})
_ARBITRARY = re.compile(
    r"(?:^|:)!?(?:bg|text|border|ring|fill|stroke|from|to|via|outline|decoration|shadow|accent|caret|divide)-\[(#[0-9a-fA-F]{3,8}|(?:rgb|hsl)a?\([^\]]*\))\]$"
)
_TAILWIND_NAMESPACES = re.compile(
    r"--(?:tw-|color-|spacing|text-|font-|radius-|breakpoint-|container-|leading-|tracking-|shadow-|ease-|animate-|blur-|default-|inset-shadow|drop-shadow|aspect-)"
)
_TOKENS_MIN = 4
"""From so many colour tokens on, a project counts as having a token system."""


def theme_facts(document: Document) -> Iterator[Fact]:
    """Tokens by theme, their uses, pairs of colours, and colours that are written out."""
    for rule in document.style_rules:
        scope = _scope(rule)
        for declaration in rule.declarations:
            place = partial(Fact, line=declaration.line, column=declaration.column)
            if declaration.name.startswith("--"):
                yield place(
                    kind="token", name=declaration.name, value=declaration.value[:200], scope=scope or "local"
                )
            elif declaration.name in COLOUR_PROPERTIES and scope is None:
                literal = None if rule.in_keyframes() else literal_in(declaration.value)
                if literal is not None and not neutral(literal):
                    yield place(kind="colour-literal", name=literal, value=declaration.name)
                elif "var(--" in declaration.value:
                    yield place(kind="colour-token", name=declaration.name)
            if declaration.name == "color-scheme":
                yield Fact(kind="color-scheme", name="css", line=declaration.line)
            for name, fallback in variables_in(declaration.value):
                yield place(kind="token-use", name=name, value="fallback" if fallback else "")
        if scope is None:
            yield from _pair(rule)
        elif scope not in ("base", "local"):
            yield Fact(kind="theme", name=scope, line=rule.line)
    for sheet in document.sheets:
        for statement in sheet.statements:
            if (
                statement.name in ("import", "tailwind", "plugin", "config")
                and "tailwind" in statement.prelude
            ):
                yield Fact(kind="tailwind", name="4", line=statement.line)
    yield from _script_facts(document)


def _scope(rule: StyleRule) -> str | None:
    """The theme whose tokens a rule sets: `base`, `dark` …; None for an ordinary rule."""
    media = " ".join(rule.context)
    preferred = re.search(r"prefers-color-scheme:\s*(\w+)", media)
    for selector in rule.selectors():
        bare = selector.strip()
        themed = _THEMED.match(bare.replace(":where(", "").rstrip(")") if ":where(" in bare else bare)
        if themed:
            name = (themed.group(1) or themed.group(2)).lower()
            return "dark" if _DARK.search(name) else "light" if _LIGHT.search(name) else name
        if bare in _ROOTS or bare == "@theme" or bare.startswith("@theme"):
            if preferred:
                return "dark" if preferred.group(1) == "dark" else "light"
            if any(around.startswith(("@media", "@supports", "@container")) for around in rule.context):
                return "local"
            return "base" if any(d.name.startswith("--") for d in rule.declarations) else None
        if re.match(r"(?::root|html|body):not\(", bare) and preferred:
            return "dark" if preferred.group(1) == "dark" else "light"
    return None


def _pair(rule: StyleRule) -> Iterator[Fact]:
    front = rule.value("color")
    back = rule.value("background-color", "background")
    if (
        front is None
        or back is None
        or rule.in_keyframes()
        or re.search(r"disabled|placeholder|selection", rule.selector)
    ):
        return
    if "var(--" in front or "var(--" in back:
        at = next(d for d in rule.declarations if d.name == "color")
        theme = next(
            (m for around in rule.context if (m := re.search(r"prefers-color-scheme:\s*(\w+)", around))), None
        )
        own = (
            theme.group(1)
            if theme
            else "dark"
            if re.search(r"\.dark\b|data-theme=[\"']?dark", rule.selector)
            else ""
        )
        yield Fact(kind="pair", name=front, value=back, scope=own, line=at.line, column=at.column)


def _script_facts(document: Document) -> Iterator[Fact]:
    text = document.text
    if "prefers-color-scheme" in text:
        yield Fact(kind="prefers-color-scheme", name="any")
    if re.search(r"\bcolorScheme\b|(?<!prefers-)\bcolor-scheme['\"]?\s*[:=,]", text):
        yield Fact(kind="color-scheme", name="any")
    if re.search(
        r"\bnext-themes\b|usePreferredDark|useColorMode|mode-watcher|@vueuse/core|@nuxtjs/color-mode|useDark\b",
        text,
    ):
        yield Fact(kind="prefers-color-scheme", name="library")
        yield Fact(kind="color-scheme", name="library")
    for script in document.scripts:
        for call in script.calls:
            if call.name == "setProperty" and call.arguments:
                name = script.text(call.arguments[0]).strip("'\"`")
                if name.startswith("--"):
                    yield Fact(kind="token", name=name.split("$")[0], value="", scope="script")
    if "--" in text:
        for match in re.finditer(r"""["'`]?(--[A-Za-z][\w-]*)["'`]?\]?(?:\s+as\s+\w+)?\s*:(?!:)""", text):
            if document.language not in ("css", "scss", "less"):
                yield Fact(kind="token", name=match.group(1), value="", scope="script")
    for element in document.elements:
        if element.tag == "meta" and (element.get("name") or "") == "color-scheme":
            yield Fact(kind="color-scheme", name="meta")
        for utility in element.classes() if element.has("class") else ():
            arbitrary = _ARBITRARY.search(utility)
            if arbitrary:
                yield Fact(
                    kind="colour-literal",
                    name=arbitrary.group(1),
                    value=utility,
                    line=element.line,
                    column=element.column,
                )
        for name in element.attributes:
            if name.startswith("style:--"):
                yield Fact(kind="token", name=name[6:], value="", scope="script")
        style = element.attributes.get("style")
        if style is not None and element.native:
            yield from _style_facts(
                style.expression or style.value or "", style.value is None, style.line, style.column
            )


def _style_facts(source: str, is_object: bool, line: int, column: int) -> Iterator[Fact]:
    if len(source) > 5_000:
        return
    if is_object:
        for match in re.finditer(
            r"\b(color|background|backgroundColor|borderColor|border|fill|stroke)['\"]?\s*:\s*(['\"])([^'\"]*)\2",
            source,
        ):
            literal = literal_in(match.group(3))
            if literal is not None and not neutral(literal):
                yield Fact(
                    kind="colour-literal", name=literal, value=match.group(1), line=line, column=column
                )
        return
    for part in source.split(";"):
        name, _, value = part.partition(":")
        if name.strip().startswith("--"):
            yield Fact(kind="token", name=name.strip(), value=value.strip(), scope="script")
        elif name.strip().lower() in COLOUR_PROPERTIES:
            literal = literal_in(value)
            if literal is not None and not neutral(literal):
                yield Fact(kind="colour-literal", name=literal, value=name.strip(), line=line, column=column)


def _colour_tokens(project: Project) -> dict[str, dict[str, Located]]:
    """Global tokens by theme; every theme starts from the base."""
    base: dict[str, Located] = {}
    themes: dict[str, dict[str, Located]] = {}
    for located in project.of("token"):
        scope = located.fact.scope
        if scope == "base":
            base[located.fact.name] = located
        elif scope not in ("local", "script"):
            themes.setdefault(scope, {})[located.fact.name] = located
    return {"base": base, **{name: {**base, **own} for name, own in themes.items()}}


def _values(tokens: dict[str, Located]) -> dict[str, str]:
    return {name: located.fact.value for name, located in tokens.items()}


def _hardcoded(project: Project, tally: Tally) -> None:
    tokens = _values(_colour_tokens(project)["base"])
    colours = [name for name, value in tokens.items() if _is_colour(value, tokens)]
    if len(colours) < _TOKENS_MIN:
        return
    for _ in project.of("colour-token"):
        tally.passed()
    for located in project.of("colour-literal"):
        tally.failed(
            located,
            f"{located.fact.name} is written out although the project has colour tokens",
            path=located.path,
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
    themes = _colour_tokens(project)
    alternatives = {name for name in themes if name != "base"}
    for theme, tokens in sorted(themes.items()):
        values = _values(tokens)
        for front, back in _named_pairs(values):
            ratio = contrast(_plain(values[front], values), _plain(values[back], values))
            if ratio is not None:
                at = tokens[front] if theme == "base" or tokens[front].fact.scope == theme else tokens[back]
                if theme != "base" and tokens[front].fact.scope != theme and tokens[back].fact.scope != theme:
                    continue
                _judge(tally, ratio, at, f"{front} on {back} in the {theme} theme")
        for located in project.of("pair"):
            if located.fact.scope and located.fact.scope in alternatives and located.fact.scope != theme:
                continue
            if located.fact.scope and theme == "base":
                continue
            ratio = contrast(_plain(located.fact.name, values), _plain(located.fact.value, values))
            if ratio is not None:
                _judge(
                    tally, ratio, located, f"{located.fact.name} on {located.fact.value} in the {theme} theme"
                )


def _judge(tally: Tally, ratio: float, at: Located, what: str) -> None:
    if ratio >= 4.5:
        tally.passed()
    else:
        tally.failed(at, f"{what} has a contrast of {ratio:.2f}, below 4.5", path=at.path)


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
        if tailwind and _TAILWIND_NAMESPACES.match(name):
            continue
        if name in defined or any(name.startswith(prefix) for prefix in prefixes):
            tally.passed()
        else:
            tally.failed(located, f"{name} is defined nowhere and has no fallback", path=located.path)


def _family(name: str) -> str:
    """The first word of a token's name: tokens of a library that is not in the project have another one."""
    return name[2:].split("-")[0]


def _theme_parity(project: Project, tally: Tally) -> None:
    themes = _colour_tokens(project)
    base = themes["base"]
    anywhere = {
        located.fact.name for located in project.of("token") if located.fact.scope in ("script", "local")
    }
    if not base:
        return
    light = themes.get("light", {})
    for theme, tokens in sorted(themes.items()):
        if theme in ("base", "light"):
            continue
        for name, located in sorted(tokens.items()):
            if located.fact.scope == theme:
                if name in base or name in light or name in anywhere:
                    tally.passed()
                else:
                    tally.failed(located, f"{name} exists in the {theme} theme only", path=located.path)


def _color_scheme(project: Project, tally: Tally) -> None:
    dark = [located for located in project.of("theme") if located.fact.name == "dark"]
    if dark:
        if project.of("color-scheme"):
            tally.passed()
        else:
            tally.failed(dark[0], "there is a dark theme, but color-scheme is never set", path=dark[0].path)


def _system_theme(project: Project, tally: Tally) -> None:
    dark = [located for located in project.of("theme") if located.fact.name == "dark"]
    if dark:
        if project.of("prefers-color-scheme"):
            tally.passed()
        else:
            tally.failed(dark[0], "the dark theme ignores prefers-color-scheme", path=dark[0].path)


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
        _hardcoded,
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
        _token_contrast,
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
        _undefined_token,
    ),
    ProjectRule(
        describe(
            "theme-parity",
            _THEME,
            Severity.MODERATE,
            "Themes define the same tokens",
            reason="A token that exists in one theme only is void in the others.",
            fix="Define it in the base theme too.",
            reference=mdn(
                "Using CSS custom properties", "Web/CSS/Guides/Cascading_variables/Using_custom_properties"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _theme_parity,
    ),
    ProjectRule(
        describe(
            "color-scheme",
            _THEME,
            Severity.MINOR,
            "A dark theme sets color-scheme",
            reason="Scroll bars, form controls and the blank page stay white.",
            fix="Set `color-scheme: dark` along with the dark tokens.",
            reference=mdn("color-scheme", "Web/CSS/Reference/Properties/color-scheme"),
        ),
        _color_scheme,
    ),
    ProjectRule(
        describe(
            "system-theme",
            _THEME,
            Severity.MINOR,
            "The theme follows the system until it is chosen",
            reason="Who asked the system for dark is dazzled on the first visit.",
            fix="Start from `prefers-color-scheme`.",
            reference=mdn("prefers-color-scheme", "Web/CSS/Reference/At-rules/@media/prefers-color-scheme"),
        ),
        _system_theme,
    ),
)
