"""What a piece of a request asks for, by its words: which kind of work, and which analysis."""

import re
from typing import Final

RESEARCH: Final = "researcher"
ANALYSIS: Final = "analyst"
WRITING: Final = "writer"
CODING: Final = "coder"
REVIEWING: Final = "reviewer"
AUDITING: Final = "auditor"
RECALLING: Final = "archivist"
DOCUMENTS: Final = "document_analyst"
SUMMARIZING: Final = "summarizer"
TRANSLATING: Final = "translator"
FACT_CHECKING: Final = "fact_checker"
CODE_REVIEWING: Final = "code_reviewer"
KNOWN: Final = frozenset(
    {
        *(RESEARCH, ANALYSIS, WRITING, CODING, REVIEWING, AUDITING, RECALLING),
        *(DOCUMENTS, SUMMARIZING, TRANSLATING, FACT_CHECKING, CODE_REVIEWING, "coordinator"),
    }
)
"""Agents that there are rules for."""

_RECALLING = re.compile(
    r"\b(?:earlier in (?:this|our) conversation|(?:did|have) I (?:say|said|tell|told|mention(?:ed)?)|"
    r"I (?:have )?(?:told|said|mentioned) (?:to )?(?:you|earlier|before)|"
    r"remind me (?:what|of|how|when|where|who))\b",
    re.IGNORECASE,
)
_CODING = re.compile(
    r"\b(?:code|script|python|program|compute|calculate|execute|algorithm|implement|plot|simulate|regex)\b",
    re.IGNORECASE,
)
_REVIEWING = re.compile(
    r"\b(?:review|proofread|critique|audit|verify|double-check|fact-check)\b", re.IGNORECASE
)
_INTERFACE = re.compile(r"\b(?:user interfaces?|front-?ends?|web interfaces?|UIs?)\b", re.IGNORECASE)
_MEASURING = re.compile(
    r"\b(?:audit|measure|score|rate|assess|inspect|check|evaluate|analy[sz]e|review)\b", re.IGNORECASE
)
_WRITING = re.compile(
    r"\b(?:write|draft|compose|report|letter|e-?mail|essay|memo|article|blog|outline|rewrite|rephrase|"
    r"refine|improve|polish|shorten|paragraph|conclusion|recommend|recommendations?|announcement|"
    r"put together|combine|compare|contrast|merge)\b",
    re.IGNORECASE,
)
_ANALYSIS = re.compile(
    r"\b(?:analy[sz]e|analysis|summar(?:y|i[sz]e|ies)|sentiment|tone|mood|topics?|themes?|keywords?|"
    r"extract|key facts|facts|figures|dates|names)\b",
    re.IGNORECASE,
)
_RESEARCH = re.compile(
    r"\b(?:find|search|look up|look for|research|explain|describe|investigate|learn|list|documentation|docs|"
    r"what|which|who|when|where|why|how|does|is there|tell)\b",
    re.IGNORECASE,
)
_ANALYSIS_TYPES: Final = (
    ("sentiment", re.compile(r"\b(?:sentiment|tone|mood|attitude|feelings?|emotions?)\b", re.IGNORECASE)),
    ("topics", re.compile(r"\b(?:topics?|themes?|keywords?|subjects?)\b", re.IGNORECASE)),
    (
        "extract_facts",
        re.compile(
            r"\b(?:facts?|figures|dates|names|numbers|grievances|claims|data points|extract)\b", re.IGNORECASE
        ),
    ),
    ("summary", re.compile(r"\b(?:summar(?:y|i[sz]e|ies)|overview|gist|abstract)\b", re.IGNORECASE)),
)
_TRANSLATING = re.compile(
    r"\Atranslat(?:e|ion)\b|\btranslate (?:it|this|that|them|the)\b|"
    r"\binto (?:English|French|German|Italian|Spanish)\b",
    re.IGNORECASE,
)
_FACT_CHECKING = re.compile(
    r"\bfact-?check|\b(?:check|verify) (?:whether|that|if|the (?:claims?|facts?|statements?))\b|"
    r"\bis it true\b",
    re.IGNORECASE,
)
_OF_CODE = re.compile(r"\b(?:code|scripts?|functions?|programs?|pull request|diff)\b|```", re.IGNORECASE)
_SUMMARIZING = re.compile(r"\A(?:please )?(?:sum(?: up|mari[sz]e)\b|.{0,20}\bsummary of)", re.IGNORECASE)
_OF_TALK = re.compile(
    r"\b(?:conversation|discussion|so far|all of (?:it|this|that)|(?:the )?(?:results|findings)|both|them)\b",
    re.IGNORECASE,
)
_NAMED_DOCUMENT = re.compile(r"attachment:|(?<![\w:/.])[\w/-]+\.(?:md|txt|rst)\b")
_GROUND = re.compile(r"\A(?:based on|using|from|with|given)\b[^,]{0,80},\s*", re.IGNORECASE)
"""What a task rests on says nothing about what it does."""
_IMPERATIVES_LISTED = """
analyse analyze answer ask audit build calculate check choose cite classify code collect combine compare
compile compose compute contrast count create critique decide define describe design determine discuss
draft edit estimate evaluate examine execute explain extract find gather generate identify implement
improve inspect investigate learn list look make measure merge name note outline plan plot polish
prepare present produce propose prove quote rank read recommend refine rephrase report research review
revise rewrite run search shorten show simulate sketch sort state study suggest summarise summarize tell
test translate turn use verify write
"""
IMPERATIVES: Final = frozenset(_IMPERATIVES_LISTED.split())


def kind_of(intent: str, *, attached: bool) -> str:
    """Return the kind of work that `intent` asks for, by its first telling verb.

    Args:
        attached: True when the request came with an attachment, which only analysts read.
    """
    if _RECALLING.search(intent):
        return RECALLING
    intent = _GROUND.sub("", intent)
    first = intent.split(None, 1)[0].lower().strip(",:;") if intent.split() else ""
    leading = {
        **dict.fromkeys(
            ("write", "draft", "compose", "refine", "improve", "polish", "rewrite", "outline"), WRITING
        ),
        **dict.fromkeys(("shorten", "rephrase", "compare", "contrast", "combine", "merge"), WRITING),
        **dict.fromkeys(("analyse", "analyze", "summarise", "summarize", "extract"), ANALYSIS),
        **dict.fromkeys(("find", "search", "explain", "describe", "research", "look"), RESEARCH),
        **dict.fromkeys(("what", "which", "who", "when", "where", "why", "how"), RESEARCH),
        **dict.fromkeys(("review", "proofread", "critique", "audit", "verify"), REVIEWING),
        **dict.fromkeys(("compute", "calculate", "code", "implement", "execute"), CODING),
    }
    if leading.get(first) != WRITING and _INTERFACE.search(intent) and _MEASURING.search(intent):
        return AUDITING
    if attached and "attachment:" in intent and not (first in leading and leading[first] == WRITING):
        return ANALYSIS
    if first in leading:
        return leading[first]
    for kind, pattern in (
        (CODING, _CODING),
        (REVIEWING, _REVIEWING),
        (ANALYSIS, _ANALYSIS),
        (WRITING, _WRITING),
        (RESEARCH, _RESEARCH),
    ):
        if pattern.search(intent):
            return kind
    return ANALYSIS if attached else RESEARCH


def specialist_of(intent: str, kind: str) -> str | None:
    """Return who is made for just this work of a kind; None: whoever does all of the kind.

    Args:
        intent: of a task.
        kind: of its work, as `kind_of` tells.
    """
    if _TRANSLATING.search(intent):
        return TRANSLATING
    if _FACT_CHECKING.search(intent):
        return FACT_CHECKING
    if kind in (REVIEWING, CODING) and _REVIEWING.search(intent) and _OF_CODE.search(intent):
        return CODE_REVIEWING
    if kind == ANALYSIS and _NAMED_DOCUMENT.search(intent):
        return DOCUMENTS
    if kind in (ANALYSIS, RESEARCH) and _SUMMARIZING.search(intent) and _OF_TALK.search(intent):
        return SUMMARIZING
    return None


def analysis_types(intent: str) -> list[str]:
    """Return the analyses that `intent` asks for, in the order of their first words; none may be named."""
    found = [(match.start(), name) for name, pattern in _ANALYSIS_TYPES if (match := pattern.search(intent))]
    return [name for _, name in sorted(found)]


def is_imperative(word: str) -> bool:
    """Tell whether a clause that begins with `word` asks for something."""
    return word.lower().strip(",:;") in IMPERATIVES
