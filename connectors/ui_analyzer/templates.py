"""Masks the tags of languages for templates (Django, Jinja, Twig, Liquid, Handlebars, Go, ERB, EJS, Blade, PHP, RainTPL).

What writes something out becomes as many marks as it has bytes, what only chooses or repeats becomes blanks, and the
parts that are chosen, repeated or handed to a helper are told as blocks.
"""

import re
from dataclasses import dataclass, field

from connectors.ui_analyzer.markup import DYNAMIC
from connectors.ui_analyzer.masking import Masked, tidied

_OPENERS = re.compile(
    r"\{\{|\{!!|<%|\{%|\{#|<\?|"
    r"\{(?=(?:include|if|elseif|loop|foreach|function|block|extends)[\s=(]|/(?:if|loop|foreach|block)\}|else\}|\$\w|['\"][^'\"{}\n]{1,200}['\"]\|)"
)
_CLOSERS = {"{": "}", "{{": "}}", "{!!": "!!}", "<%": "%>", "{%": "%}", "{#": "#}", "<?": "?>"}
_BOUNDARY = re.compile(r"<(?=[A-Za-z/])|>|[\"']")
_BLOCKS_MAX = 5_000
_TEMPLATE_FILE = re.compile(
    r"^[^.]+(?:\.html?)?\.(?:hbs|handlebars|mustache|erb|ejs|liquid|njk|twig)$|^[^.]+\.html?\.(?:j2|jinja2?|tmpl|eex|heex|leex)$|"
    r"^[^.]+\.blade\.php$|^[^.]+\.gohtml$",
    re.IGNORECASE,
)
"""Templates of pages by their names; one whose stem has another suffix makes code or texts (`page.tsx.hbs`, `mail.text.erb`)."""

_IF, _EACH, _HELPER, _OTHER = "if", "each", "snippet", ""
_WORDS = {
    **dict.fromkeys(("if", "unless", "ifequal", "ifnotequal", "ifchanged", "case", "switch", "is", "has", "match", "with"), _IF),
    **dict.fromkeys(("for", "tablerow", "each", "foreach", "forelse", "range", "loop", "while"), _EACH),
    **dict.fromkeys(("define",), _OTHER),
    **dict.fromkeys(("macro",), _HELPER),
}  # fmt: skip
"""Words that begin a part, and how it is drawn."""
_SILENT = re.compile(
    r"(?:else|elif|elsif|elseif|empty|when|default|break|continue|load|set|endwith|endset|csrf_token|extends|import|from|"
    r"(?:end)?spaceless|(?:end)?autoescape|endblock|assign|(?:end)?capture|(?:end)?comment|do|use|increment|"
    r"decrement|endtrans|endblocktrans(?:late)?|(?:end)?filter|(?:end)?localize|(?:end)?cache|layout|endcall|with|"
    r"get_\w+|now\b.*\bas|(?:block)?trans(?:late)?\b.*\bas|url\b.*\bas)\b",
    re.DOTALL,
)
_BLADE = re.compile(
    r"@(?P<word>if|elseif|else|endif|unless|endunless|isset|endisset|empty|endempty|auth|endauth|guest|endguest|switch|case|break|"
    r"default|endswitch|for|endfor|foreach|endforeach|forelse|endforelse|while|endwhile|continue|endphp|section|endsection|show|stop|"
    r"yield|include(?:If|When|Unless|First)?|each|extends|push|endpush|prepend|endprepend|stack|once|endonce|csrf|method|error|"
    r"enderror|can|elsecan|endcan|cannot|endcannot|canany|endcanany|env|endenv|production|endproduction|hasSection|"
    r"sectionMissing|component|endcomponent|slot|endslot|props|aware|inject|lang|choice|json|js|vite|livewire\w*|class|style|checked|"
    r"selected|disabled|readonly|required|verbatim|endverbatim|php)\b[ \t]*(?P<given>\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?"
)
_BLADE_WRITES = re.compile(r"(?:yield|include\w*|each|stack|lang|choice|json|js|livewire\w*|component|slot)$")
_BLADE_OPENS = {
    **dict.fromkeys(("if", "unless", "isset", "auth", "guest", "switch", "can", "cannot", "canany", "env", "production", "error", "hasSection", "sectionMissing"), _IF),
    **dict.fromkeys(("for", "foreach", "forelse", "while"), _EACH),
    **dict.fromkeys(("component", "push", "prepend"), _HELPER),
}  # fmt: skip


def has_tags(text: str, path: str) -> bool:
    """Whether a page has tags of a language for templates: what opens in it may be closed by another file."""
    return is_template(path) or _OPENERS.search(text) is not None


def is_template(path: str) -> bool:
    """Whether a file is a template of a page by its name."""
    return _TEMPLATE_FILE.match(path.rsplit("/", 1)[-1]) is not None


@dataclass(slots=True)
class _Tag:
    """What one tag of a template does: it writes or not, opens a part of some kind, or closes one."""

    writes: bool = False
    opens: str | None = None
    closes: bool = False
    branches: bool = False
    """Whether it ends one branch of a part and begins another: what follows is chosen, and not repeated."""
    brace: bool = False
    """Whether it is a block of Angular or its end, which mean nothing inside of a tag of HTML."""


@dataclass(slots=True)
class _Canvas:
    """What is masked so far, and where in the markup it stands."""

    out: list[str] = field(default_factory=list)
    blocks: list[tuple[str, int, int]] = field(default_factory=list)
    open_parts: list[tuple[str, int]] = field(default_factory=list)
    in_tag: bool = False
    quote: str = ""

    def plain(self, text: str) -> None:
        """Take text that is no tag of a template, and follow whether a tag of HTML or a value is open after it."""
        self.out.append(text)
        for match in _BOUNDARY.finditer(text):
            char = match.group()
            if not self.in_tag:
                self.in_tag = char == "<"
            elif self.quote:
                self.quote = "" if char == self.quote else self.quote
            elif char in "\"'":
                self.quote = char
            elif char == ">":
                self.in_tag = False

    def mask(self, whole: str, start: int, tag: _Tag) -> None:
        """Mask a tag that begins at `start`, and keep the parts that it opens or closes."""
        visible = tag.writes or bool(self.quote)
        self.out.append(re.sub(r"[^\n]", DYNAMIC if visible else " ", whole))
        if (tag.closes or tag.branches) and self.open_parts:
            kind, begun = self.open_parts.pop()
            if kind and len(self.blocks) < _BLOCKS_MAX:
                self.blocks.append((kind, begun, start))
            if tag.branches:
                self.open_parts.append((_IF if kind == _EACH else kind, start + len(whole)))
        if tag.opens is not None:
            # What stands inside of a tag of HTML chooses attributes, and no elements.
            self.open_parts.append(("" if self.in_tag else tag.opens, start + len(whole)))


def mask_templates(text: str, path: str, *, components: bool) -> Masked:
    """Mask all tags of templates in `text`, one character per byte; `components` where capitals tell names apart."""
    canvas = _Canvas()
    blade = path.lower().endswith(".blade.php")
    directives = _BLADE if blade else _ANGULAR if _USES_BLOCKS.search(text) is not None else None
    unclosed: set[str] = set()
    at = 0
    ahead = directives.search(text) if directives is not None else None
    while (found := _next(text, at, ahead, unclosed)) is not None:
        start, end, tag = found
        canvas.plain(text[at:start])
        if tag.brace and (canvas.in_tag or (tag.closes and not canvas.open_parts)):
            canvas.plain(text[start:end])
        else:
            canvas.mask(text[start:end], start, tag)
        at = end
        # Searching from every place for what is far ahead would be quadratic.
        if directives is not None and ahead is not None and ahead.start() < at:
            ahead = directives.search(text, at)
    canvas.plain(text[at:])
    masked = Masked(tidied("".join(canvas.out), components=components))
    masked.blocks = canvas.blocks
    return masked


def _next(
    text: str, at: int, directive: re.Match[str] | None, unclosed: set[str]
) -> tuple[int, int, _Tag] | None:
    """The next tag from `at` on: where it begins and ends, and what it does."""
    for opener in _OPENERS.finditer(text, at, len(text) if directive is None else directive.end()):
        kind = opener.group()
        if directive is not None and directive.start() < opener.start():
            break
        if kind in unclosed:
            continue
        end = text.find(_CLOSERS[kind], opener.end())
        if end < 0:
            unclosed.add(kind)  # Searching again from every further opener would be quadratic.
            continue
        inner = text[opener.end() : end].strip("-~= \n\t") if kind != "<%" else text[opener.end() : end]
        if kind in ("{{", "{!!") and text.startswith("}", end + 2):
            end += 1  # `{{{ … }}}`
        return opener.start(), end + len(_CLOSERS[kind]), _meaning(kind, inner)
    if directive is None:
        return None
    word = directive.group("word")
    if directive.re is _ANGULAR:
        return directive.start(), directive.end(), _block(directive)
    if word == "php" and directive.group("given") is None:
        end = text.find("@endphp", directive.end())
        return directive.start(), len(text) if end < 0 else end + 7, _Tag()
    return directive.start(), directive.end(), _blade(word, directive.group("given"))


_ANGULAR = re.compile(
    r"(?:\}\s*@(?P<branch>else if|else|empty|placeholder|loading|error)|@(?P<word>if|for|switch|case|default|defer))\b\s*"
    r"(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?\s*\{|\}"
)
_USES_BLOCKS = re.compile(r"@(?:if|for|switch|defer)\s*\([^\n]*\)\s*\{")


def _block(directive: re.Match[str]) -> _Tag:
    """A block of Angular: `@if (a) {`, `} @else {`, and the brace that ends it."""
    if directive.group("branch") is not None:
        return _Tag(branches=True, brace=True)
    if directive.group("word") is None:
        return _Tag(closes=True, brace=True)
    return _Tag(opens=_EACH if directive.group("word") == "for" else _IF, brace=True)


def _blade(word: str, given: str | None) -> _Tag:
    if word == "empty" and given is None:
        return _Tag(branches=True)  # The branch of a `@forelse`.
    if word in ("else", "elseif"):
        return _Tag(branches=True)
    if word.startswith("end") and word[3:] in _BLADE_OPENS:
        return _Tag(closes=True)
    return _Tag(writes=_BLADE_WRITES.match(word) is not None, opens=_BLADE_OPENS.get(word))


def _meaning(kind: str, inner: str) -> _Tag:
    if kind in ("{#", "{!!"):
        return _Tag(writes=kind == "{!!")
    if kind == "<%":
        return _ruby(inner)
    if kind == "<?":
        return _php(inner)
    if kind == "{{":
        return _mustache(inner)
    word = re.match(r"/?\w*", inner)
    name = word.group() if word else ""
    if re.match(
        r"(?:end(?:if|unless|for|ifequal|ifnotequal|ifchanged|case|switch|tablerow|macro)$|/(?:if|loop|foreach)$)",
        name,
    ):
        return _Tag(closes=True)
    if re.match(r"(?:else|elif|elsif|elseif|empty)$", name):
        return _Tag(branches=True)
    if name in _WORDS and name != "with":
        return _Tag(opens=_WORDS[name])
    return _Tag(writes=_SILENT.match(inner) is None and not name.startswith("/"))


def _mustache(inner: str) -> _Tag:
    inner = inner.lstrip("{").strip()
    if inner.startswith(("!", "/*")):
        return _Tag()
    if inner.startswith("/"):
        return _Tag(closes=True)
    section = re.match(r"[#^]\s*(>|\*)?\s*([\w-]*)", inner)
    if section is not None:
        named = _WORDS.get(section.group(2))
        component = section.group(1) is not None or "-" in section.group(2)
        return _Tag(opens=_HELPER if component else _IF if named is None else named)
    word = re.match(r"[\w$]*", inner)
    name = word.group() if word else ""
    if name == "end":
        return _Tag(closes=True)
    if name == "else":
        return _Tag(branches=True)
    if name in ("break", "continue") or re.match(r"\$\w+\s*:?=", inner):
        return _Tag()
    if name in ("if", "range", "with", "define") and re.match(r"\w+\s+\S", inner):
        return _Tag(opens=_WORDS[name])
    return _Tag(writes=True, opens=_OTHER if name == "block" and re.match(r"block\s+\"", inner) else None)


_FORM = re.compile(
    r"^\s*(?:simple_)?(?:form_(?:with|for|tag)|fields_for|\w+\.(?:simple_)?fields_for|content_for|cache|turbo_frame_tag|field_set_tag|provide|capture)\b"
)
"""Helpers of Rails around a part of a page that leave what is inside as it is written."""


def _ruby(inner: str) -> _Tag:
    """A tag of ERB or EJS, without its delimiters."""
    if inner.startswith(("#", "--", "!--")):
        return _Tag()
    writes = inner.startswith("=") or (inner.startswith("-") and re.match(r"-\s*\w+\(", inner) is not None)
    code = inner.lstrip("=-").rstrip("-").strip()
    if writes:
        block = re.search(r"(?:\bdo\s*(?:\|[^|]*\|)?|\{\s*\|[^|]*\|)$", code) is not None
        return _Tag(writes=True, opens=(_OTHER if _FORM.match(code) else _HELPER) if block else None)
    return _control(code)


def _php(inner: str) -> _Tag:
    if inner.startswith("=") or re.search(r"\b(?:echo|print|include|require|get_\w+|the_\w+)\b", inner):
        return _Tag(writes=True)
    return _control(re.sub(r"^(?:php)?\s*", "", inner).strip())


def _control(code: str) -> _Tag:
    """Code between the tags of a template that writes nothing itself."""
    if re.match(r"(?:end\w*\b|\}\s*\)?\s*;?\s*$)", code):
        return _Tag(closes=True)
    if re.match(r"(?:else|elsif|elseif|when|in|rescue|ensure)\b|\}\s*else", code):
        return _Tag()
    if re.search(r"\bend\s*$|\}\s*$", code):
        return _Tag()  # A whole of its own.
    repeats = re.search(r"\beach|\bfor\b|\bforeach\b|\bforEach\b|\.map\b|\bwhile\b|\btimes\b|\buntil\b", code)
    if re.match(r"(?:if|unless|case|while|until|for|foreach|switch|begin)\b", code):
        return _Tag(opens=_EACH if repeats else _IF)
    if re.search(r"(?:\bdo\s*(?:\|[^|]*\|)?|\{(?:\s*\|[^|]*\|)?|=>\s*\{)$", code):
        return _Tag(opens=_EACH if repeats else _OTHER)
    return _Tag()


_BLADE_VALUES = frozenset({"json", "js", "lang", "choice", "yield"})


def _number(whole: str, writes: bool) -> str:
    blank = re.sub(r"[^\n]", " ", whole)
    return "0" + blank[1:] if writes else blank


_IN_SCRIPT = re.compile(
    r"\{\{ \{[^{}]*\}[^{}]*\}\}|\{\{[^{}\n]*\}\}|\{%.*?%\}|<%.*?%>|<\?(?:php|=).*?\?>|\{!![^\n]*?!!\}",
    re.DOTALL,
)


def mask_in_script(script: str, path: str) -> str:
    """The script of a template with a number for what a tag writes and blanks for the rest, each byte at its place."""
    if path.lower().endswith(".blade.php"):
        script = _BLADE.sub(
            lambda match: _number(match.group(), match.group("word") in _BLADE_VALUES), script
        )

    def replaced(match: re.Match[str]) -> str:
        whole = match.group()
        opener = next(one for one in ("{{", "{!!", "{%", "<%", "<?") if whole.startswith(one))
        inner = whole[len(opener) : -len(_CLOSERS[opener])]
        writes = _meaning(opener, inner if opener == "<%" else inner.strip("-~= \n\t")).writes
        return _number(whole, writes)

    return _IN_SCRIPT.sub(replaced, script)
