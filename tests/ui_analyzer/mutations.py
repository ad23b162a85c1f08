"""Realistic mistakes, as edits to the clean applications in `corpus/`.

An edit is what a developer would do in a hurry: forget an attribute, use a div, drop the cleanup. It knows nothing of
how a rule looks for it. `expected` names the rules of which at least one must report it; `allowed` what else follows
from it truthfully.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
APPS = ("react", "vue", "svelte", "html")
_SITES_PER_FILE_MAX = 4


@dataclass(frozen=True, slots=True)
class Mutation:
    """One kind of mistake."""

    name: str
    files: str
    """Regular expression on `app/path`."""
    pattern: str
    replacement: str
    expected: frozenset[str]
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One application with one mistake."""

    mutation: Mutation
    app: str
    path: str
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.mutation.name}@{self.app}/{self.path}:{self.line}"


def mutants() -> Iterator[Mutant]:
    """Every mistake at every place that it fits, at most four per file."""
    for app in APPS:
        for path in sorted((CORPUS / app).rglob("*")):
            if not path.is_file():
                continue
            source = path.read_text(encoding="utf-8")
            relative = path.relative_to(CORPUS / app).as_posix()
            for mutation in MUTATIONS:
                if re.search(mutation.files, f"{app}/{relative}"):
                    yield from _applied(mutation, app, relative, source)


def _applied(mutation: Mutation, app: str, path: str, source: str) -> Iterator[Mutant]:
    sites = list(re.finditer(mutation.pattern, source, re.DOTALL))[:_SITES_PER_FILE_MAX]
    for site in sites:
        changed = source[: site.start()] + site.expand(mutation.replacement) + source[site.end() :]
        yield Mutant(mutation, app, path, source.count("\n", 0, site.start()) + 1, changed)


def _m(name: str, files: str, pattern: str, replacement: str, expected: str, allowed: str = "") -> Mutation:
    return Mutation(
        name, files, pattern, replacement, frozenset(expected.split()), frozenset(allowed.split())
    )


_JSX = r"react/.*\.tsx$"
_MARKUP = r"\.(?:tsx|vue|svelte|html)$"
_PAGES = r"\.html$"

MUTATIONS = (
    _m("alt forgotten", _MARKUP, r'(<img[^>]*?) alt=(?:"[^"]*"|\{[^}]*\})', r"\1", "image-alt"),
    _m("alt is the file", _MARKUP, r'(<img[^>]*?) alt=(?:"[^"]*"|\{[^}]*\})', r'\1 alt="DSC_0042.jpg"', "alt-text-quality"),
    _m("size of image forgotten", _MARKUP, r'(<img[^>]*?) width=(?:"\d+"|\{\d+\}) height=(?:"\d+"|\{\d+\})', r"\1", "image-size"),
    _m("icon button without label", _MARKUP, r'(<button[^>]*?)\s:?aria-label=(?:"[^"]*"|\{`[^`]*`\})', r"\1", "button-name"),
    _m("button emptied", r"html/.*\.html$", r"(<button[^>]*>)[^<]+(</button>)", r"\1\2", "button-name"),
    _m("div as button", _JSX, r'<button type="button" onClick=(\{[^\n]*?\})>(.*?)</button>', r"<div onClick=\1>\2</div>", "click-without-keyboard"),
    _m("span as button", r"svelte/.*\.svelte$", r'<button type="button" on:click=(\{[^\n]*?\})>(.*?)</button>', r"<span on:click=\1>\2</span>", "click-without-keyboard"),
    _m("div as button in vue", r"vue/.*\.vue$", r'<button type="button" (:aria-label="[^"]*") @click="finish">(.*?)</button>', r'<div \1 @click="finish">\2</div>', "click-without-keyboard"),
    _m("link as button", _JSX, r'<button type="button" onClick=(\{[^\n]*?\})>(.*?)</button>', r'<a href="#" onClick=\1>\2</a>', "link-href"),
    _m("link without text", _MARKUP, r'(<a href="[^"]*">)[^<]+(</a>)', r"\1\2", "link-name"),
    _m("link says here", _MARKUP, r'(<a href="[^"]*">)[^<]+(</a>)', r"\1click here\2", "link-text"),
    _m("label dropped", _MARKUP, r"<label (?:for|htmlFor)=\"\w+\">[^<]+</label>\n", "", "control-label placeholder-as-label"),
    _m("label mistyped", _MARKUP, r'<label (for|htmlFor)="(\w+)">', r'<label \1="\2x">', "control-label label-target placeholder-as-label", "control-label label-target"),
    _m("wrapping label to div", _MARKUP, r"<label>(\s*)([\w-]+)(.*?)</label>", r"<div>\1\2\3</div>", "control-label"),
    _m("placeholder instead of label", _MARKUP, r'<label (?:for|htmlFor)="\w+">([^<]+)</label>\s*<input ', r'<input placeholder="\1" ', "placeholder-as-label"),
    _m("frame untitled", _MARKUP, r'<iframe title="[^"]*" ', "<iframe ", "frame-title"),
    _m("dialog unnamed", _MARKUP, r'(<(?:dialog|div role="dialog")[^>]*?) aria-labelledby="[^"]*"', r"\1", "dialog-name"),
    _m("captions dropped", _MARKUP, r"\s*<track [^>]*>", "", "media-captions"),
    _m("video plays by itself", _MARKUP, r"<video controls", "<video controls autoplay", "media-autoplay"),
    _m("heading skipped", _MARKUP, r"<h2([^>]*)>(.*?)</h2>", r"<h4\1>\2</h4>", "heading-order"),
    _m("heading emptied", _MARKUP, r"<h2([^>]*)>[^<]*</h2>", r"<h2\1></h2>", "heading-content"),
    _m("language forgotten", _PAGES, r'<html lang="\w+">', "<html>", "html-lang"),
    _m("title forgotten", r"(?:html|react|vue)/.*\.html$", r"\s*<title>[^<]*</title>", "", "document-title"),
    _m("main to div", _MARKUP, r"<main([^>]*)>(.*)</main>", r"<div\1>\2</div>", "landmark-main"),
    _m("viewport forgotten", _PAGES, r'\s*<meta name="viewport"[^>]*>', "", "viewport-meta"),
    _m("zoom forbidden", _PAGES, r"initial-scale=1", "initial-scale=1, user-scalable=no", "viewport-zoom"),
    _m("aria misspelt", _MARKUP, r"aria-labelledby=", "aria-labeledby=", "aria-attribute", "dialog-name"),
    _m("aria value wrong", _MARKUP, r'aria-hidden="true"', 'aria-hidden="yes"', "aria-value"),
    _m("role misspelt", _MARKUP, r'role="(?:status|alert|log|search|switch|dialog)"', 'role="popup"', "aria-role", "agent-announced click-without-keyboard dialog-name"),
    _m("state of the control forgotten", _MARKUP, r' aria-checked=(?:"false"|\{[\w.]+\})', "", "aria-required"),
    _m("control not focusable", _MARKUP, r'( role="(?:checkbox|switch)"\s+)tab[iI]ndex=(?:"0"|\{0\})', r"\1", "role-focusable"),
    _m("key handler forgotten", _MARKUP, r"\s(?:onKeyDown=\{[\w.]+\}|@keydown\.space=\"\w+\")", "", "click-without-keyboard"),
    _m("order of focus forced", _MARKUP, r'<button type="(submit|button)"', r'<button tabindex="5" type="\1"', "positive-tabindex"),
    _m("access key", _MARKUP, r'<button type="submit"', '<button accesskey="s" type="submit"', "access-key"),
    _m("focus taken", _MARKUP, r"<(input|textarea) id=", r"<\1 autofocus id=", "autofocus"),
    _m("hidden from screen readers only", _MARKUP, r'<button type="submit"', '<button aria-hidden="true" type="submit"', "hidden-focusable"),
    _m("autocomplete guessed", _MARKUP, r'auto[cC]omplete="(?:name|email)"', 'autocomplete="e-mail"', "autocomplete-token"),
    _m("list item to div", _MARKUP, r"<li>([^<]*)</li>", r"<div>\1</div>", "list-structure"),
    _m("headers to cells", _MARKUP, r'<th scope="col">([^<]*)</th>', r'<td scope="col">\1</td>', "scope-on-header"),
    _m("table without headers", r"html/.*\.html$", r"<tr><th[^\n]*</tr>\n", "", "table-headers"),
    _m("button in link", _MARKUP, r'(<a href="[^"]*">)([^<]+)(</a>)', r"\1<button>\2</button>\3", "nested-interactive"),
    _m("moving text", _MARKUP, r"<p[^>]*>([^<{]+)</p>", r"<marquee>\1</marquee>", "moving-elements"),
    _m("id twice", _PAGES, r'id="list"', 'id="more"', "duplicate-id"),
    _m("id in a loop", r"\.(?:tsx|vue|svelte)$", r"<li( key=| v-for|>(?=\s*<img|\{item))", r'<li id="row"\1', "id-in-loop"),
    _m("focus ring removed", r"\.(?:css|vue|svelte)$", r"outline: [23]px solid[^;]*;", "outline: none;", "focus-outline"),
    _m("focus twin removed", r"\.css$", r",\n\.card:focus-within \.actions", "", "hover-only"),
    _m("tiny target", r"\.(?:css|vue|svelte)$", r"min-width: (?:44px|2.75rem);\s*min-height: (?:44px|2.75rem);", "width: 18px; height: 18px;", "target-size"),
    _m("faint text", r"\.css$", r"--(?:text|foreground|card-foreground): #(?:1b1f24|222222)", r"--foreground: #b8bec5", "token-contrast", "undefined-token theme-parity"),
    _m("faint literal", r"\.css$", r"(button \{)", r".hint { color: #aaaaaa; background: #ffffff; }\n\1", "literal-contrast", "hard-coded-colour"),
    _m("colour written out", r"\.(?:css|vue)$", r"(border(?:-bottom)?: 1px solid) var\(--(?:line|edge)\)", r"\1 #ff3355", "hard-coded-colour"),
    _m("token misspelt", r"\.(?:css|vue)$", r"var\(--line\)|var\(--foreground\)|var\(--text\)", "var(--card-forground)", "undefined-token"),
    _m("motion not reduced", r"\.css$", r"@media \(prefers-reduced-motion: reduce\) \{.*?\n\}\n", "", "reduced-motion"),
    _m("dark token only", r"react/.*\.css$", r"(--line: #66707c;)", r"\1 --glow: #ffffff;", "theme-parity"),
    _m("color-scheme dropped", r"react/.*\.css$", r"\s*color-scheme: light dark;", "", "", "color-scheme"),
    _m("fixed layout", r"\.(?:css|vue|svelte)$", r"max-width: (?:75|70|60)rem;", "width: 1200px;", "fixed-width"),
    _m("full height", r"\.css$", r"50dvh", "100vh", "viewport-height"),
    _m("small print", r"\.css$", r"font-size: 0.875rem", "font-size: 8px", "tiny-text"),
    _m("overflow hidden", r"\.css$", r"(body \{)", r"\1 overflow-x: hidden;", "hidden-overflow"),
    _m("height animated", r"\.css$", r"transition: opacity", "transition: height", "layout-animation"),
    _m("font invisible", r"\.css$", r"\s*font-display: swap;", "", "font-display"),
    _m("font from a host", r"\.css$", r"\A", '@import url("https://fonts.example.org/css2?family=Inter");\n', "css-import"),
    _m("script blocks", r"html/.*\.html$", r'<script src="site.js" defer>', '<script src="site.js">', "blocking-script"),
    _m("library from a host", _PAGES, r"</head>", '<script defer src="https://cdn.example.org/chart.js"></script></head>', "third-party-integrity"),
    _m("whole lodash", r"\.(?:tsx|ts|vue)$", r"(import [^\n]*\n)", r'\1import _ from "lodash";\n', "whole-library"),
    _m("key forgotten", _JSX, r"<li key=\{[\w.]+\}", "<li", "list-key"),
    _m("key forgotten in vue", r"\.vue$", r' :key="task.id"', "", "list-key"),
    _m("index as key", _JSX, r"\.map\(\((\w+)\) => \(\s*<li key=\{[\w.]+\}([^>]*)>", r'.map((\1, index) => (<li key={index}\2><input aria-label="Note" defaultValue={\1.id} /><button type="button" onClick={() => removeAt(index)}>Remove</button>', "index-key"),
    _m("index as key in vue", r"\.vue$", r'<li v-for="task in tasks" :key="task.id">', '<li v-for="(task, i) in tasks" :key="i"><input v-model="task.note" aria-label="Note" @keyup.delete="tasks.splice(i, 1)">', "index-key"),
    _m("component inside component", _JSX, r"(export default function (?:Orders|Assistant)\(\) \{)(.*?)<section", r"\1\n  const Badge = () => <b>new</b>;\2<section data-badge={<Badge />}", "nested-component"),
    _m("any props", _JSX, r"\}: ConfirmDialogProps\)", "}: any)", "untyped-props"),
    _m("html unsanitised", r"svelte/.*\.svelte$", r"DOMPurify\.sanitize\(body\)", "body", "raw-html"),
    _m("html from the server", _JSX, r"<p role=\"alert\">\{error\}</p>", "<p dangerouslySetInnerHTML={{ __html: error }} />", "raw-html"),
    _m("html in vue", r"\.vue$", r'<p v-if="failure" role="alert">\{\{ failure \}\}</p>', '<p v-html="failure" />', "raw-html"),
    _m("markdown by hand", r"Assistant\.tsx$", r"<Markdown>\{message.text\}</Markdown>", "<p dangerouslySetInnerHTML={{ __html: marked.parse(message.text) }} />", "unsafe-markdown"),
    _m("dom by hand", _JSX, r"setMessage\(\"Saved\"\);", 'document.getElementById("message").textContent = "Saved";', "direct-dom-write"),
    _m("legacy lifecycle", _JSX, r"componentDidCatch", "componentWillMount", "legacy-lifecycle"),
    _m("state pushed", _JSX, r"setOrders\(\[\.\.\.orders, order\]\);", "orders.push(order); setOrders(orders);", "state-mutation"),
    _m("hook after return", _JSX, r"(  if \(isPending\)[^\n]*\n)", r"\1  const [open, setOpen] = useState(false);\n", "conditional-hook"),
    _m("hook under condition", r"ConnectionStatus\.tsx$", r"  const connected = ([^;]*);", r"  let connected = false;\n  if (live) { connected = \1; }", "conditional-hook"),
    _m("cleanup forgotten", _JSX, r'\s*return \(\) => window\.removeEventListener\("resize", measure\);', "", "effect-cleanup"),
    _m("cleanup forgotten in svelte", r"\.svelte$", r'\s*return \(\) => window\.removeEventListener\("resize", measure\);', "", "effect-cleanup"),
    _m("cleanup forgotten in vue", r"\.vue$", r"onUnmounted\(\(\) => \{.*?\}\);\n", "", "effect-cleanup"),
    _m("interval left running", _JSX, r'window\.addEventListener\("resize", measure\);\s*return [^\n]*', "setInterval(measure, 5000);", "effect-cleanup"),
    _m("dependencies forgotten", _JSX, r"(useEffect\(\(\) => \{\s*const controller[^\n]*\n[^\n]*setLoading\(true\);.*?)\}, \[query\]\);", r"\1});", "effect-loop"),
    _m("derived state", r"Profile\.tsx$", r"const fullName = [^;]*;", 'const [fullName, setFullName] = useState("");\n  useEffect(() => { setFullName(name + data.title); }, [name, data.title]);', "derived-state"),
    _m("prop changed", r"TaskRow\.vue$", r'emit\("finish"\)', "props.task.done = true", "prop-mutation"),
    _m("reactivity lost", r"SignIn\.vue$", r"const \{ mail \} = toRefs\(form\);", 'const { mail } = reactive({ mail: "" });', "lost-reactivity"),
    _m("assignment forgotten", r"Notes\.svelte$", r"\s*items = items;", "", "unassigned-mutation"),
    _m("token stored", r"profile\.ts$", r'localStorage\.setItem\("last-section", "profile"\)', 'localStorage.setItem("auth_token", response.headers.get("x-token") ?? "")', "secret-in-storage"),
    _m("boundary removed", r"main\.tsx$", r"\s*</?ErrorBoundary>|import \{ ErrorBoundary[^\n]*\n", "", "", "error-boundary"),
    _m("error handler removed", r"vue/src/main\.ts$", r"app\.config\.errorHandler[^\n]*\n", "", "error-boundary"),
    _m("try removed", r"\.(?:tsx|vue|svelte)$", r"try \{(\s*(?:const response = )?await fetch\(.*?)\} catch \(\w+\) \{.*?\n\s*\}(?: finally \{.*?\n\s*\})?", r"\1", "request-failure", "http-status"),
    _m("try removed with check", r"\.(?:vue|svelte)$", r"try \{(\s*const response = await fetch\(.*?)\} catch \(\w+\) \{.*?\n  \s*\}(?: finally \{.*?\n\s*\})?\n", r"\1\n", "request-failure"),
    _m("status unchecked", r"\.(?:ts|svelte)$", r"if \(!response\.ok(?: \|\| !response\.body)?\) (?:\{.*?\n  \}|throw [^\n]*)\n(?=.*?response\.(?:json|body))", "\n", "http-status"),
    _m("error swallowed", r"\.(?:tsx|vue|svelte)$", r"catch \((\w+)\) \{[^}]*\}", r"catch (\1) {}", "empty-catch"),
    _m("query error ignored", r"Profile\.tsx$", r"const \{ data, isPending, error \}", "const { data, isPending }", "query-error"),
    _m("alert for message", r"\.(?:tsx|svelte)$", r'setMessage\("Saved"\)|report\(error\);', 'alert("Done");', "blocking-alert"),
    _m("made-up data", r"\.(?:tsx|vue)$", r"(import [^\n]*from \"\.\./lib/[^\n]*\n)", r'\1import { samples } from "../lib/mockData";\n', "mock-data"),
    _m("closing forgotten", r"live\.ts$", r"  close\(\): void \{.*?\n  \}\n", "", "live-source-closed"),
    _m("reconnect removed", r"live\.ts$", r"\s*this\.scheduleReconnect\(\);", "", "websocket-reconnect"),
    _m("fixed delay", r"live\.ts$", r"const delay = [^;]*;", "const delay = 3000;", "websocket-backoff", "websocket-jitter"),
    _m("no jitter", r"live\.ts$", r" \* \(0\.5 \+ Math\.random\(\) / 2\)", "", "websocket-jitter"),
    _m("no heartbeat", r"live\.ts$", r"\s*this\.timer = [^\n]*\n", "\n", "websocket-heartbeat"),
    _m("no resume", r"live\.ts$", r"\?since=\$\{this\.lastSequence\}", "", "websocket-resume"),
    _m("close unhandled", r"live\.ts$", r"this\.socket\.onclose = \(\) => \{.*?\n    \};", "", "websocket-close-handler", "websocket-reconnect"),
    _m("error unhandled", r"live\.ts$", r"\s*this\.socket\.onerror[^\n]*", "", "websocket-error-handler"),
    _m("message unguarded", r"live\.ts$", r"try \{(\s*const message.*?)\} catch \(error\) \{.*?\n      \}", r"\1", "message-parse"),
    _m("unencrypted", r"live\.ts$", r"`\$\{scheme\}://\$\{location\.host\}/live", "`ws://live.example.org/live", "websocket-encrypted"),
    _m("scheme fixed", r"live\.ts$", r"location\.protocol === \"https:\" \? \"wss\" : \"ws\"", '"wss"', ""),
    _m("connection hidden", r"(?:ConnectionStatus)\.tsx$", r"const connected = [^;]*;(.*?)\{connected \? \"Connected\" : \"Reconnecting…\"\}", r"const label = useSyncExternalStore(live.subscribe, live.label);\1{label}", "connection-shown", ""),
    _m("list grows", r"Assistant\.tsx$", r"const send = async", 'useEffect(() => {\n    const source = new EventSource("/api/feed");\n    source.onerror = () => setError("lost");\n    source.onmessage = (event) => setMessages((old) => [...old, event.data]);\n    return () => source.close();\n  }, []);\n\n  const send = async', "unbounded-buffer"),
    _m("stream errors ignored", r"Assistant\.tsx$", r"const send = async", 'useEffect(() => {\n    const source = new EventSource("/api/feed");\n    source.onmessage = () => setPending(false);\n    return () => source.close();\n  }, []);\n\n  const send = async', "event-source-error"),
    _m("stop removed", r"agent\.ts$", r"\bsignal: AbortSignal|,?\s*\bsignal,", "", ""),
    _m("answer unannounced", r"Assistant\.tsx$", r' role="log"', "", "", "agent-announced"),
    _m("key in the client", r"agent\.ts$", r"(export async function ask)", r"const key = import.meta.env.VITE_OPENAI_API_KEY;\n\n\1", "model-key-in-client"),
    _m("deletes at once", r"Orders\.tsx$", r"<ConfirmDialog.*?/>", '<button type="button" onClick={() => fetch(`/api/orders/${doomed.id}`, { method: "DELETE" }).catch(setError)}>Delete</button>', "", "destructive-action"),
    _m("polls quickly", r"Assistant\.tsx$", r"const send = async", 'useEffect(() => {\n    const timer = setInterval(() => fetch("/api/status").catch(setError), 250);\n    return () => clearInterval(timer);\n  }, []);\n\n  const send = async', "polling-interval"),
)  # fmt: skip
