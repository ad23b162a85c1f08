"""Answers put together from quotes: of passages found, of analyses, and of earlier results."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.local_model.prompts import Source, StepPrompt, SynthesisPrompt
from connectors.local_model.ranking import best, central
from connectors.words import citations, content_words, sentences, stem, stems, without_citations

SENTENCES_PER_ANSWER: Final = 6
SENTENCES_PER_RESULT: Final = 4
WHOLE_RESULT_WORDS_MAX: Final = 180
"""A result up to this length is quoted whole when the answer has few of them."""
ERROR_CHARACTERS_MAX: Final = 200

_COMPARES = re.compile(r"\b(?:compare|contrast|differences?|versus|in common)\b", re.IGNORECASE)
_HEADING = re.compile(r"^#+\s|^- ", re.MULTILINE)


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
    """Return the final answer: what each task found, in order, with its number as citation."""
    if not prompt.results:
        missing = f" Not answered: {prompt.missing}" if prompt.missing else ""
        return f"No task has a result, so that there is nothing to answer from.{missing}"
    parts: list[str] = []
    few = len(prompt.results) <= 2
    for result in prompt.results:
        text = result.text
        if not (few and len(text.split()) <= WHOLE_RESULT_WORDS_MAX):
            text = _shortened(text, f"{prompt.request} {result.intent}")
        cited = _cite(text, result.key)
        parts.append(cited if len(prompt.results) == 1 else f"**{_title(result.intent)}**\n{cited}")
    if prompt.missing:
        parts.append(f"Not answered: {prompt.missing}")
    return "\n\n".join(parts)


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
    if isinstance(value.get("analysis"), str):
        metadata = value.get("metadata")
        kind = metadata.get("analysis_type", "analysis") if isinstance(metadata, dict) else "analysis"
        confidence = value.get("confidence")
        shown = f" (confidence {confidence:.2f})" if isinstance(confidence, (int, float)) else ""
        return f"{str(kind).replace('_', ' ').capitalize()}{shown}:\n{value['analysis']}"
    stdout, embeddings = value.get("stdout"), value.get("embeddings")
    if isinstance(stdout, str):
        error = value.get("stderr")
        problem = f"\nErrors: {error}" if isinstance(error, str) and error.strip() else ""
        return f"The code printed: {stdout.strip() or 'nothing'}{problem}"
    if isinstance(embeddings, list):
        return f"{len(embeddings)} embeddings were made with {value.get('model_used', 'the model')}."
    return "\n".join(f"- {name}: {_short(entry)}" for name, entry in value.items())


def _from_results(prompt: StepPrompt) -> str:
    if len(prompt.results) >= 2 and _COMPARES.search(prompt.intent):
        return _comparison(prompt.results)
    if len(prompt.results) == 1:
        return _shortened(prompt.results[0].text, prompt.intent, SENTENCES_PER_ANSWER)
    parts = [
        f"**{_title(result.intent)}**\n{_shortened(result.text, result.intent)}" for result in prompt.results
    ]
    return "\n\n".join(parts)


def _comparison(results: Sequence[Source]) -> str:
    """Put what each result says beside the others, and count the words that they share and do not share."""
    parts = [
        f"**{_title(result.intent)}**\n{_shortened(result.text, result.intent, 3)}" for result in results
    ]
    counted = [Counter(stems(without_citations(result.text))) for result in results]
    shown = {stem(word): word for result in results for word in content_words(without_citations(result.text))}
    common = set(counted[0]).intersection(*counted[1:])
    ordered = sorted(common, key=lambda root: (-sum(bag[root] for bag in counted), root))[:8]
    parts.append("**In common**\n" + (", ".join(shown[root] for root in ordered) or "no words") + ".")
    for result, bag in zip(results, counted, strict=True):
        others = set().union(*(other for other in counted if other is not bag))
        own = sorted((root for root in bag if root not in others), key=lambda root: (-bag[root], root))[:6]
        if own:
            parts.append(f"**Only in “{_title(result.intent)}”**\n{', '.join(shown[root] for root in own)}.")
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


def _shortened(text: str, query: str, count: int = SENTENCES_PER_RESULT) -> str:
    """Keep the sentences that fit `query` best; lists keep their lines, and quotes their citations."""
    listed = sentences(text)
    if len(listed) <= count:
        return text.strip()
    chosen = best(listed, query, count)
    joint = "\n- " if len(_HEADING.findall(text)) >= len(listed) / 2 else " "
    lines: list[str] = []
    for ranked in chosen:
        line = _ended(ranked.text)
        # The citation of a run of quotes stands behind its last one: each that is kept takes it along.
        if not citations(line):
            following = next((cited for other in listed[ranked.index :] if (cited := citations(other))), [])
            line = f"{line} {following[0]}" if following else line
        lines.append(line)
    return joint.join(lines) if joint == " " else "- " + joint.join(lines)


def _cite(text: str, number: str) -> str:
    return "\n\n".join(
        f"{paragraph.rstrip()} [{number}]" for paragraph in text.split("\n\n") if paragraph.strip()
    )


def _title(intent: str) -> str:
    bare = re.sub(r"\s*\(?attachment:[^)]*\)?", "", intent).strip().rstrip(".?!:")
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
