"""Rules on design tokens and themes."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

from connectors.ui_analyzer.colours import (
    COLOUR_PROPERTIES,
    literal_in,
    neutral,
    variables_in,
)
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.libraries import RUNTIME_TOKENS
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, Located, Project, ProjectRule, Tally, describe, mdn
from connectors.ui_analyzer.scoping import by_page
from connectors.ui_analyzer.stylesheet import Declaration, StyleRule

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


_SHOWS_COLOURS = re.compile(
    r"(?:theme|colou?r)s?[-_]?(?:preview|option|picker|choice|sample|dot|chip)|swatch|palette", re.I
)
"""What shows a colour that one can choose: it is what it is, whatever the theme."""


def theme_facts(document: Document) -> Iterator[Fact]:
    """Tokens by theme, their uses, pairs of colours, and colours that are written out."""
    numbered = _numbered(document.style_rules)
    for rule in document.style_rules:
        scope = _scope(rule)
        for declaration in rule.declarations:
            place = partial(Fact, line=declaration.line, column=declaration.column)
            if declaration.name.startswith("--"):
                yield place(
                    kind="token", name=declaration.name, value=declaration.value[:200], scope=scope or "local"
                )
            elif declaration.name in COLOUR_PROPERTIES and scope is None:
                exempt = rule.in_keyframes() or _number_of(rule) in numbered or _fallback(rule, declaration)
                exempt = exempt or _SHOWS_COLOURS.search(rule.selector) is not None
                literal = None if exempt else literal_in(declaration.value)
                if literal is not None and not neutral(literal):
                    yield place(kind="colour-literal", name=literal, value=declaration.name)
                elif "var(--" in declaration.value:
                    yield place(kind="colour-token", name=declaration.name)
            if declaration.name == "color-scheme":
                yield Fact(kind="color-scheme", name="css", line=declaration.line)
            for name, fallback in variables_in(declaration.value):
                yield place(
                    kind="token-use", name=name, value="fallback" if fallback else "", scope=scope or ""
                )
        if scope is None:
            yield from _pair(rule)
        elif scope not in ("base", "local"):
            yield Fact(
                kind="theme",
                name=scope,
                value="bootstrap" if "data-bs-theme" in rule.selector else "",
                line=rule.line,
            )
    for sheet in document.sheets:
        for statement in sheet.statements:
            if (
                statement.name in ("import", "tailwind", "plugin", "config")
                and "tailwind" in statement.prelude
            ):
                yield Fact(kind="tailwind", name="4", line=statement.line)
    yield from _script_facts(document)


_PALETTE_MIN = 5
"""From so many numbered classes on (`.user-1`, `.user-2` …) they are a palette, which is what tokens would be."""


def _number_of(rule: StyleRule) -> str:
    """What is counted by a numbered class, such as `.user-color-` of `.user-color-7`; "" for other selectors."""
    match = re.search(r"([.][\w-]*?)-?\d+$", rule.selector)
    return match.group(1) if match else ""


def _numbered(rules: list[StyleRule]) -> frozenset[str]:
    counts = Counter(_number_of(rule) for rule in rules)
    return frozenset(stem for stem, count in counts.items() if stem and count >= _PALETTE_MIN)


def _fallback(rule: StyleRule, declaration: Declaration) -> bool:
    """Whether a later declaration of the same property has the token, and this one is for old browsers."""
    later = rule.declarations[rule.declarations.index(declaration) + 1 :]
    return any(other.name == declaration.name and "var(" in other.value for other in later)


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


_THEME_LIBRARIES = (
    "next-themes",
    "usePreferredDark",
    "useColorMode",
    "mode-watcher",
    "@vueuse/core",
    "@nuxtjs/color-mode",
    "useDark",
)


def _script_facts(document: Document) -> Iterator[Fact]:
    text = document.text
    if "prefers-color-scheme" in text:
        yield Fact(kind="prefers-color-scheme", name="any")
    if ("colorScheme" in text or "color-scheme" in text) and re.search(
        r"\bcolorScheme\b|(?<!prefers-)\bcolor-scheme['\"]?\s*[:=,]", text
    ):
        yield Fact(kind="color-scheme", name="any")
    if any(word in text for word in _THEME_LIBRARIES):
        yield Fact(kind="prefers-color-scheme", name="library")
        yield Fact(kind="color-scheme", name="library")
    for script in document.scripts:
        for call in script.calls:
            if call.name == "setProperty" and call.arguments:
                name = script.text(call.arguments[0]).strip("'\"`")
                if name.startswith("--"):
                    yield Fact(kind="token", name=name.split("$")[0], value="", scope="script")
    if "--" in text:
        for match in re.finditer(
            r"""["'`]?(--[A-Za-z][\w-]*)["'`]?(?:\s+as\s+\w+)?\]?(?:\s+as\s+\w+)?\s*:(?!:)""", text
        ):
            if document.language not in ("css", "scss", "less"):
                yield Fact(kind="token", name=match.group(1), value="", scope="script")
        # Fonts of Next.js and the like are told the name that they set.
        for match in re.finditer(r"""\bvariable\s*:\s*['"`](--[A-Za-z][\w-]*)['"`]""", text):
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


def colour_tokens(project: Project) -> dict[str, dict[str, Located]]:
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


def _theme_parity(project: Project, tally: Tally) -> None:
    themes = colour_tokens(project)
    base = themes["base"]
    anywhere = {
        located.fact.name for located in project.of("token") if located.fact.scope in ("script", "local")
    }
    if not base:
        return
    light = themes.get("light", {})
    used = project.names("token-use")
    provided = _provided_for(project)
    for theme, tokens in sorted(themes.items()):
        if theme in ("base", "light", "default"):
            continue  # What holds where no other theme is chosen is the base.
        for name, located in sorted(tokens.items()):
            if located.fact.scope == theme and not name.startswith("--vp-"):  # VitePress has the rest.
                if name in base or name in light or name in anywhere or name in provided:
                    tally.passed()
                elif name in used or _own_family(name, tokens, base):
                    # What is used nowhere does no harm yet.
                    tally.failed(
                        located,
                        f"{name} exists in the {theme} theme only",
                        path=located.path,
                        confidence=None if name in used else Confidence.LOW,
                    )
                # Otherwise it is for a library's sheet, which has the others.


def _provided_for(project: Project) -> frozenset[str]:
    """Tokens that no theme needs to have: every use has a fallback, or stands in the theme that defines the token."""
    homes: dict[str, set[str]] = {}
    for located in project.of("token"):
        homes.setdefault(located.fact.name, set()).add(located.fact.scope)
    needed = {
        located.fact.name
        for located in project.of("token-use")
        if not located.fact.value
        and located.fact.scope not in homes.get(located.fact.name, set()) - {"local"}
    }
    return project.names("token-use") - needed


def _own_family(name: str, tokens: dict[str, Located], base: dict[str, Located]) -> bool:
    """Whether most tokens of this kind of name are the project's own: those of a library are in its sheet."""
    if RUNTIME_TOKENS.match(name):
        return False
    family = re.match(r"--[a-z]+(?:-[a-z](?=-))?", name)
    kin = [other for other in tokens if family is not None and other.startswith(f"{family.group()}-")]
    if not kin:
        return True
    return 2 * sum(1 for other in kin if other in base) >= len(kin)


def _color_scheme(project: Project, tally: Tally) -> None:
    dark = [
        located
        for located in project.of("theme")
        if located.fact.name == "dark"
        and "/.vitepress/" not in f"/{located.path}"  # Which sets it by itself, as Bootstrap does.
        and located.fact.value != "bootstrap"
    ]
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
        elif project.of("sets-theme"):
            tally.failed(dark[0], "the dark theme ignores prefers-color-scheme", path=dark[0].path)


RULES: tuple[ProjectRule, ...] = (
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
        by_page(_theme_parity),
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
        by_page(_color_scheme),
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
        by_page(_system_theme),
    ),
)
