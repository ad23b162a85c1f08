"""Answers put together from quotes: of passages found, of analyses, and of earlier results."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.local_model.auditing import audited
from connectors.local_model.prompts import Source, StepPrompt, SynthesisPrompt
from connectors.local_model.ranking import best, central
from connectors.text.words import citations, content_words, sentences, stem, stems, without_citations

SENTENCES_PER_ANSWER: Final = 6
SENTENCES_PER_RESULT: Final = 4
WHOLE_RESULT_WORDS_MAX: Final = 180
"""A result up to this length is quoted whole when the answer has few of them."""
ERROR_CHARACTERS_MAX: Final = 200
BUILT_ON_SHARE_MIN: Final = 0.5
"""A result is made from others when so many of its sentences are theirs."""
SENTENCE_WORDS_MIN: Final = 3

_COMPARES = re.compile(r"\b(?:compare|contrast|differences?|versus|in common)\b", re.IGNORECASE)
_LIST_ITEM = re.compile(r"^\s*[-*] ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage that a search found."""

    citation: str
    """Name of the document, `#`, number of the passage."""
    text: str


def answer(role: str, prompt: StepPrompt, outcomes: Sequence[str]) -> str:
    """Return an agent's answer to its task from the results of its tools and of the tasks before it."""
    parts: list[str] = []
    failed = [outcome for outcome in outcomes if is_error(outcome)]
    found = _unique([passage for outcome in outcomes for passage in passages(outcome)])
    if found:
        parts.append(_from_passages(prompt.intent, found))
    parts += [part for outcome in outcomes if (part := _from_tool(outcome))]
    if prompt.results and not parts:
        parts.append(_from_results(prompt))
    if parts:
        return "\n\n".join(parts)
    if failed:
        return f"The tool failed, so that this task has no material: {failed[-1][:ERROR_CHARACTERS_MAX]}"
    if outcomes:
        return f"Nothing was found on: {prompt.intent}"
    return _from_request(role, prompt)


def synthesis(prompt: SynthesisPrompt) -> str:
    """Return the final answer: what each task found, in order, with its number as citation.

    A last result that is put together from the others is the answer, citing those it took from; of the
    others only what it left out is added.
    """
    if not prompt.results:
        missing = f" Not answered: {prompt.missing}" if prompt.missing else ""
        return f"No task has a result, so that there is nothing to answer from.{missing}"
    parts: list[str] = []
    results = list(prompt.results)
    taken = _taken_from(results)
    if taken:
        final = results.pop()
        results = [result for result in results if result.key not in taken]
        parts += [_cite(block, _sources(block, prompt.results)) for block in blocks(final.text)]
    few = len(prompt.results) <= 2
    for result in results:
        text = result.text
        if not (few and len(text.split()) <= WHOLE_RESULT_WORDS_MAX):
            text = shortened(text, f"{prompt.request} {result.intent}")
        cited = "\n\n".join(_cite(block, [result.key]) for block in blocks(text))
        parts.append(cited if len(prompt.results) == 1 else f"**{title(result.intent)}**\n{cited}")
    if prompt.missing:
        parts.append(f"Not answered: {prompt.missing}")
    return "\n\n".join(parts)


def _taken_from(results: Sequence[Source]) -> set[str]:
    """Return the keys of the results that the last one is made from; none when it is mostly its own."""
    if len(results) < 2:
        return set()
    last = _bags(results[-1].text)
    taken = {result.key for result in results[:-1] if last & _bags(result.text)}
    others = set().union(*(_bags(result.text) for result in results[:-1]))
    return taken if last and len(last & others) >= BUILT_ON_SHARE_MIN * len(last) else set()


def _sources(block: str, results: Sequence[Source]) -> list[str]:
    """Return the keys of the results that a block of the last one quotes, and its own."""
    left = _bags(block)
    keys: list[str] = []
    for result in results[:-1]:
        if found := left & _bags(result.text):
            keys.append(result.key)
            left -= found
    return [*keys, results[-1].key]


def _bags(text: str) -> set[frozenset[str]]:
    """Return the sentences of a text as sets of words, short ones left out: headings are in many texts."""
    bags = (frozenset(stems(without_citations(sentence))) for sentence in sentences(text))
    return {bag for bag in bags if len(bag) >= SENTENCE_WORDS_MIN}


def plain_answer(text: str) -> str:
    """Answer a prompt of an unknown kind: with the core of its own text, and a word on who answers."""
    core = " ".join(ranked.text for ranked in central(sentences(text), 3))
    return f"(local deterministic model: no language model, it quotes what it is given) {core}".strip()


def passages(outcome: str) -> list[Passage]:
    """Return the passages that a search's result holds; none for any other result."""
    listed = _object(outcome).get("passages")
    if not isinstance(listed, list):
        return []
    return [
        Passage(citation=str(entry["citation"]), text=str(entry["text"]))
        for entry in listed
        if isinstance(entry, dict) and "citation" in entry and "text" in entry
    ]


def is_error(outcome: str) -> bool:
    """Tell whether a tool's outcome is an error: results are JSON objects, errors are sentences."""
    return not _object(outcome)


def _from_passages(intent: str, found: Sequence[Passage]) -> str:
    """Quote the sentences that fit the intent best, each run of them with the passage they come from."""
    listed: list[tuple[str, str]] = []
    for passage in found:
        listed += [(sentence, passage.citation) for sentence in sentences(passage.text)]
    chosen = best([sentence for sentence, _ in listed], intent, SENTENCES_PER_ANSWER)
    lines: list[str] = []
    for place, ranked in enumerate(chosen):
        citation = listed[ranked.index][1]
        lines.append(_ended(ranked.text))
        following = chosen[place + 1 : place + 2]
        if not following or listed[following[0].index][1] != citation:
            lines.append(f"[{citation}]" if not following else f"[{citation}]\n")
    return " ".join(lines).replace("\n ", "\n")


def _from_tool(outcome: str) -> str:
    """Say what any other tool gave: an analysis with its confidence, an output, or the fields that it has."""
    value = _object(outcome)
    if not value or "passages" in value:
        return ""
    analysis = value.get("analysis")
    if isinstance(analysis, str):
        metadata = value.get("metadata")
        kind = metadata.get("analysis_type", "analysis") if isinstance(metadata, dict) else "analysis"
        confidence = value.get("confidence")
        shown = f" (confidence {confidence:.2f})" if isinstance(confidence, (int, float)) else ""
        label = str(kind).replace("_", " ").capitalize()
        return f"{label}{shown}:\n{analysis.removeprefix(f'{label}: ')}"
    if "overall_effectiveness" in value:
        return audited(value)
    said = value.get("said")
    if isinstance(said, list):
        lines = [
            f"- {_when(one)} the {one.get('speaker')} said: {one.get('text')} [{one.get('citation')}]"
            for one in said
        ]
        return "\n".join(lines) or "Nothing of it was said in earlier turns."
    stdout, embeddings = value.get("stdout"), value.get("embeddings")
    if isinstance(stdout, str):
        error = value.get("stderr")
        problem = f"\nErrors: {error}" if isinstance(error, str) and error.strip() else ""
        return f"The code printed: {stdout.strip() or 'nothing'}{problem}"
    if isinstance(embeddings, list):
        return f"{len(embeddings)} embeddings were made with {value.get('model_used', 'the model')}."
    return "\n".join(f"- {name}: {_short(entry)}" for name, entry in value.items())


def _when(said: dict[str, object]) -> str:
    return f"In turn {said.get('turn')}" if said.get("turn") else "In another system, before turn 1,"


def _from_results(prompt: StepPrompt) -> str:
    if len(prompt.results) >= 2 and _COMPARES.search(prompt.intent):
        return _comparison(prompt.results)
    if len(prompt.results) == 1:
        return _tidied(prompt.results[0].text, prompt.intent)
    parts = [f"**{_written(prompt.intent)}**"]
    for result in prompt.results:
        found = blocks(result.text)
        heading = f"**{title(result.intent)}**"
        parts += [f"{heading}\n{found[0]}"] if len(found) == 1 else [heading, *found]
    return _tidied("\n\n".join(parts), prompt.intent)


def _tidied(text: str, intent: str) -> str:
    """Keep the order and the headings of a text, of each block the best sentences, and nothing twice."""
    count = (
        2 if re.search(r"\b(?:short|shorten|brief|concise)", intent, re.IGNORECASE) else SENTENCES_PER_RESULT
    )
    seen: set[frozenset[str]] = set()
    kept: list[str] = []
    for block in blocks(text):
        head, body = _headed(block)
        listed = [
            line
            for line in shortened(body, intent, count).splitlines()
            if not _bags(line) or _bags(line) - seen
        ]
        seen |= _bags(body)
        if listed or (head and not body):
            kept.append("\n".join(([head] if head else []) + listed))
    return "\n\n".join(kept)


def _comparison(results: Sequence[Source]) -> str:
    """Put what each result says beside the others, and count the words that they share and do not share."""
    parts = [f"**{title(result.intent)}**\n{shortened(result.text, result.intent, 3)}" for result in results]
    counted = [Counter(stems(without_citations(result.text))) for result in results]
    shown = {stem(word): word for result in results for word in content_words(without_citations(result.text))}
    common = set(counted[0]).intersection(*counted[1:])
    ordered = sorted(common, key=lambda root: (-sum(bag[root] for bag in counted), root))[:8]
    parts.append("**In common**\n" + (", ".join(shown[root] for root in ordered) or "no words") + ".")
    for result, bag in zip(results, counted, strict=True):
        others = set().union(*(other for other in counted if other is not bag))
        own = sorted((root for root in bag if root not in others), key=lambda root: (-bag[root], root))[:6]
        if own:
            parts.append(f"**Only in “{title(result.intent)}”**\n{', '.join(shown[root] for root in own)}.")
    return "\n\n".join(parts)


def _from_request(role: str, prompt: StepPrompt) -> str:
    """Work with the request's own words when there is neither a tool nor an earlier result."""
    asked = set(stems(prompt.intent))
    listed = [text for text in sentences(prompt.request) if len(set(stems(text)) - asked) >= 4]
    if not listed:
        return (
            "The local deterministic model has no material for this task: it is no language model, and "
            f"neither a tool nor an earlier task gave it anything to quote. Task: {prompt.intent}"
        )
    chosen = best(listed, prompt.intent, SENTENCES_PER_RESULT)
    quoted = " ".join(_ended(ranked.text) for ranked in chosen)
    return f"From the request alone ({role}): {quoted}"


def shortened(text: str, query: str, count: int = SENTENCES_PER_RESULT) -> str:
    """Keep the sentences that fit `query` best, with their citations; headings and lines of lists stay."""
    head, body = _headed(text)
    listed = sentences(body)
    if len(listed) > count:
        is_list = len(_LIST_ITEM.findall(body)) >= len(listed) / 2
        places = {ranked.index for ranked in best(listed, query, count)}
        if head.endswith(":"):  # what a heading announces comes first
            places.add(0)
        lines = [_with_citation(listed, place) for place in sorted(places)]
        body = "\n".join(f"- {line}" for line in lines) if is_list else " ".join(lines)
    return "\n".join(part for part in (head, body.strip()) if part)


def blocks(text: str) -> list[str]:
    """Return the blocks of a text, which blank lines part."""
    return [block.strip() for block in text.split("\n\n") if block.strip()]


def _headed(text: str) -> tuple[str, str]:
    """Return the heading of a text, if its first line is one, and the rest."""
    first, _, rest = text.strip().partition("\n")
    is_heading = (first.endswith(":") and bool(rest)) or (first.startswith("**") and first.endswith("**"))
    return (first, rest) if is_heading else ("", text)


def _with_citation(listed: Sequence[str], index: int) -> str:
    """Return a sentence with its citation: that of a run of quotes stands behind its last one."""
    line = _ended(listed[index])
    if citations(line):
        return line
    following = next((cited for other in listed[index:] if (cited := citations(other))), [])
    return f"{line} {following[0]}" if following else line


def _cite(block: str, numbers: Sequence[str]) -> str:
    cited = "".join(f"[{number}]" for number in numbers)
    head, body = _headed(block)
    return f"{block.rstrip()} {cited}" if body or not head else block


def _written(intent: str) -> str:
    """Return what a text is called that was asked for: a short briefing for an engineer → Briefing for …"""
    bare = re.sub(
        r"\A(?:write|draft|compose|prepare|put together)\s+(?:(?:a|an|the|one)\s+)?"
        r"(?:(?:short|brief|one-page)\s+)*",
        "",
        title(intent),
        flags=re.IGNORECASE,
    )
    return bare[:1].upper() + bare[1:]


def title(intent: str) -> str:
    """Return a heading for what a task did: Find out how budgets work → How budgets work."""
    bare = re.sub(r"\s*\(?attachment:[^)]*\)?", "", intent).strip().rstrip(".?!:")
    bare = re.sub(
        r"\A(?:find out|find|look up|explain|describe)\s+(?:about\s+)?", "", bare, flags=re.IGNORECASE
    )
    bare = bare[:1].upper() + bare[1:]
    return bare if len(bare) <= 90 else bare[:89].rstrip() + "…"


def _ended(sentence: str) -> str:
    return sentence if sentence[-1:] in '.!?:”"]…' else f"{sentence}."


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:299] + "…"


def _unique(found: Sequence[Passage]) -> list[Passage]:
    return list({passage.citation: passage for passage in found}.values())


def _object(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
