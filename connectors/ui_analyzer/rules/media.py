"""Rules on zoom, sound and moving content."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden, labelled_directly
from connectors.ui_analyzer.rule import FileRule, ProjectRule, Tally, describe, wcag

_A11Y = Category.ACCESSIBILITY


def _moving(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.tag in ("marquee", "blink"):
            tally.failed(element, f"<{element.tag}> moves without end and cannot be stopped")


def _viewport_zoom(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "meta" or (element.get("name") or "").lower() != "viewport":
            continue
        content = element.attributes.get("content")
        if content is None or content.value is None:
            continue
        settings = dict(
            ([*part.split("=", 1), ""])[:2]
            for part in re.split(r"[,;\s]+", content.value.replace(" =", "=").replace("= ", "=").lower())
            if part
        )
        scalable = settings.get("user-scalable", "yes") not in ("no", "0")
        try:
            most = float(settings.get("maximum-scale", "10"))
        except ValueError:
            most = 10.0
        tally.check(
            scalable and (most < 0 or most >= 2),
            element,
            f'content="{content.value}" keeps people from zooming',
        )


def _media_captions(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "video" or element.spread:
            continue
        muted = element.attributes.get("muted")
        if muted is not None or element.get("role") == "presentation" or hidden(element):
            continue
        if element.unknown_content() or element.has("on:timeupdate"):
            continue
        if not element.has("controls") and (element.has("autoplay", "loop") or not _written(element)):
            continue  # It moves for ornament, or something else decides whether it is played.
        if not _has_source(element):
            continue  # There is no video yet.
        tracks = [inner for inner in element.descendants() if inner.tag == "track"]
        ok = any(
            track.spread
            or track.get("kind") in ("captions", "subtitles")
            or (track.has("kind") and track.get("kind") is None)
            for track in tracks
        )
        sources = [found.attributes["src"] for found in (element, *element.descendants()) if found.has("src")]
        # What visitors bring along is shown without captions for want of any.
        foreign = bool(sources) and all(source.dynamic for source in sources)
        tally.check(ok, element, "<video> has no captions", confidence=Confidence.LOW if foreign else None)


def _written(element: Element) -> bool:
    """Whether the file says what is played."""
    return any(found.get("src") for found in (element, *element.descendants()))


def _media_autoplay(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.tag in ("video", "audio") and not element.spread:
            autoplay = element.attributes.get("autoplay")
            if autoplay is None:
                tally.passed()
            elif autoplay.value not in (None, "false") and _has_source(element):
                # What appears on request may play at once.
                asked = element.conditional
                tally.check(
                    element.has("muted"),
                    autoplay,
                    f"<{element.tag}> starts with sound",
                    confidence=Confidence.LOW if asked else None,
                )


def _has_source(element: Element) -> bool:
    """Whether it can play from the start: what a script fills later, such as a picture of the screen, may be silent."""
    return element.has("src") or element.unknown_content() or any(True for _ in element.descendants())


def _object_alt(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "object" or element.spread or hidden(element):
            continue
        named = (
            labelled_directly(element)
            or element.get("role") in ("presentation", "none")
            or bool(element.static_text())
            or element.unknown_content()
            or any(inner.filled("alt") for inner in element.descendants())
        )
        tally.check(named, element, "<object> has no text alternative")


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "object-alt",
            _A11Y,
            Severity.SERIOUS,
            "Embedded objects have a text alternative",
            reason='Screen readers say "embedded object", or nothing.',
            fix="Put a text inside, or give it an `aria-label`; draw pictures with `<img alt>`.",
            reference=wcag("1.1.1 Non-text Content", "non-text-content"),
            shared=("axe:object-alt",),
        ),
        _object_alt,
    ),
    FileRule(
        describe(
            "moving-elements",
            _A11Y,
            Severity.SERIOUS,
            "Nothing blinks or scrolls by itself",
            reason="Who is easily distracted, or reads slowly, cannot read anything beside it.",
            fix="Show the text at rest.",
            negative=True,
            reference=wcag("2.2.2 Pause, Stop, Hide", "pause-stop-hide"),
            shared=("axe:marquee", "axe:blink", "jsx-a11y:no-distracting-elements"),
        ),
        _moving,
    ),
    FileRule(
        describe(
            "viewport-zoom",
            _A11Y,
            Severity.CRITICAL,
            "The page can be zoomed",
            reason="Who sees poorly cannot enlarge the text.",
            fix="Drop `user-scalable=no` and any `maximum-scale` below 2.",
            reference=wcag("1.4.4 Resize Text", "resize-text"),
            shared=("axe:meta-viewport",),
        ),
        _viewport_zoom,
    ),
    FileRule(
        describe(
            "media-captions",
            _A11Y,
            Severity.SERIOUS,
            "Videos have captions",
            reason="Who cannot hear misses what is said.",
            fix='Add `<track kind="captions">`, or `muted` when the video has no sound.',
            reference=wcag("1.2.2 Captions (Prerecorded)", "captions-prerecorded"),
            confidence=Confidence.MEDIUM,
            shared=("axe:video-caption", "jsx-a11y:media-has-caption"),
        ),
        _media_captions,
    ),
    FileRule(
        describe(
            "media-autoplay",
            _A11Y,
            Severity.MODERATE,
            "Nothing starts with sound",
            reason="Sound drowns out the screen reader.",
            fix="Start muted, or only on request.",
            reference=wcag("1.4.2 Audio Control", "audio-control"),
            shared=("axe:no-autoplay-audio",),
        ),
        _media_autoplay,
    ),
)
