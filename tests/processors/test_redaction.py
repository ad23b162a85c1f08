"""Credentials are taken out, whatever kind they are of and however a text is cut; all else stays."""

import base64
import hashlib
import json
import random
import re
import uuid
from typing import Final

import pytest

from processors.redaction.finding import find
from processors.redaction.masking import agree, masked, texts_of
from processors.redaction.redactor import PATTERNS_ALONE, Redactor
from processors.redaction.streaming import LINE_CHARACTERS_MAX, WORD_CHARACTERS_MAX, Pieces
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.models import ToolCallProposed
from tests.credentials import ALNUM, Maker

MADE: Final = [one for seed in range(2) for one in Maker(seed).all()]
TOKEN: Final = "ghp_" + Maker(7).some(ALNUM, 36)
OTHER: Final = "ghp_" + Maker(8).some(ALNUM, 36)
_R: Final = random.Random(11)
LEFT_ALONE: Final = (
    "nothing of that kind",
    str(uuid.UUID(int=_R.getrandbits(128))),
    f"token: {uuid.UUID(int=_R.getrandbits(128))}",
    hashlib.sha256(b"x").hexdigest(),
    f"sha256:{hashlib.sha256(b'y').hexdigest()}",
    f"commit {hashlib.sha1(b'z').hexdigest()}",  # as git has it
    f"sha512-{base64.b64encode(hashlib.sha512(b'x').digest()).decode()}",
    "data:image/png;base64," + base64.b64encode(_R.randbytes(3_000)).decode(),
    base64.urlsafe_b64encode(_R.randbytes(3_000)).decode(),
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    'api_key = "your-api-key-goes-here-1"',
    "password = get_password(user2)",
    "token = tokens[index1]",
    'secret = os.environ["APP_SECRET_2"]',
    "client_secret=${CLIENT_SECRET}",
    "password: str | None = None",
    "clientSecret: oauth2ClientSecret,",
    "postgres://postgres:postgres@localhost/x",
    "https://user:$PASSWORD@example.org/",
    "https://example.org:8080/a@b",
    "Basic authentication and Bearer authentication",
    'if "-----BEGIN PRIVATE KEY-----" in text:',
    '"password": "Enter a password of at least 8 characters"',
    "max_tokens=4096, token_count: 123456789",
    "the key is under the mat, the password is secret",
    "css: sk-loading-spinner-large-primary-variant",
    "2026-11-30T02:37:00Z 10.0.0.1:5432 ::1 +49 30 901820",
)


@pytest.mark.parametrize(("kind", "text", "secret"), MADE)
def test_a_credential_is_replaced_by_its_kind(kind: str, text: str, secret: str) -> None:
    told = PATTERNS_ALONE.text(text)

    assert secret not in told
    assert f"[redacted: {kind}]" in told
    assert PATTERNS_ALONE.text(told) == told


def test_more_than_twenty_kinds_are_known() -> None:
    assert len({kind for kind, _, _ in MADE}) > 35


def test_nearly_every_credential_made_by_chance_is_known() -> None:
    tried = [one for seed in range(100, 106) for one in Maker(seed).all()]
    missed = [text for _, text, secret in tried if secret in PATTERNS_ALONE.text(text)]

    assert len(missed) <= len(tried) / 200, missed


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_resembles_one_stays(text: str) -> None:
    assert PATTERNS_ALONE.text(text) == text


@pytest.mark.parametrize("before", ["\\n", "%3D", "\\u0022", "\x1b[1;32m", "=", "(", "é", "\u200d"])
def test_escapes_right_before_one_do_not_hide_it(before: str) -> None:
    assert PATTERNS_ALONE.text(f"x{before}{TOKEN} y") == f"x{before}[redacted: github token] y"


def _in_pieces(text: str, sizes: random.Random, most: int) -> str:
    """Return what is told of a text that comes in pieces."""
    pieces, told, at = Pieces(), [], 0
    while at < len(text):
        size = sizes.randint(1, most)
        told.append(pieces.push(text[at : at + size]))
        at += size
    return "".join([*told, pieces.finish()])


@pytest.mark.parametrize(("kind", "text", "secret"), MADE)
def test_a_credential_that_is_cut_anywhere_is_replaced_as_in_a_whole_text(
    kind: str, text: str, secret: str
) -> None:
    whole = PATTERNS_ALONE.text(text)

    for cut in range(0, len(text), max(len(text) // 40, 1)):
        pieces = Pieces()
        told = [pieces.push(text[:cut]), pieces.push(text[cut:]), pieces.finish()]
        assert secret not in "".join(told)
        assert "".join(told) == whole
    assert _in_pieces(text, random.Random(1), 3) == whole


@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_text_is_and_however_it_is_cut_it_reads_the_same(seed: int) -> None:
    chance = random.Random(seed)
    parts = [text for _, text, _ in chance.sample(MADE, 6)]
    parts += [
        "\n",
        " ",
        '"',
        "password: ",
        "-----",
        "é",
        "-",
        "\\n",
        "x" * (LINE_CHARACTERS_MAX + 50),
        "a b " * 700,
    ]
    parts += ["-----BEGIN PRIVATE KEY-----", "Bearer ", "=", "-----BEGIN RSA PRIV"]
    text = "".join(chance.choice(parts) for _ in range(10))

    assert _in_pieces(text, chance, 200) == PATTERNS_ALONE.text(text)


def test_words_are_told_as_soon_as_they_are_over() -> None:
    pieces = Pieces()

    assert [pieces.push(one) for one in ("It", " is", " not", " ghp", "_", TOKEN[4:], ".", "\n")] == [
        "",
        "It ",
        "is ",
        "not ",
        "",
        "",
        "",
        "[redacted: github token].\n",
    ]


def test_what_is_held_back_is_bounded() -> None:
    pieces, told = Pieces(), 0
    for number in range(100):
        told += len(pieces.push("a" * 1_000))
        assert (number + 1) * 1_000 - told <= LINE_CHARACTERS_MAX + WORD_CHARACTERS_MAX + 1_000


def test_a_key_without_end_is_held_back_no_longer_than_until_it_shows() -> None:
    key = Maker(3).pem("PRIVATE KEY", 200)
    pieces = Pieces()

    told = pieces.push(key[:-40])

    assert "[redacted: private key]" in told + pieces.push("\n") + pieces.finish()
    assert len(told) < 100


def test_json_keeps_its_form_and_names_are_told_apart() -> None:
    text = (
        f'{{"n": 1e400, "{TOKEN}": [1, "{OTHER}"], '
        f'"{OTHER}": {{"password": "aB3!xYz9$"}}, "plain": "\\u00e9"}}'
    )

    told = PATTERNS_ALONE.json(text)

    assert told == (
        '{"n": 1e400, "[redacted: github token]": [1, "[redacted: github token]"], '
        '"[redacted: github token] 2": {"password": "[redacted: password]"}, "plain": "\\u00e9"}'
    )
    assert PATTERNS_ALONE.json(told) == told


@pytest.mark.parametrize("escape", [True, False])
def test_every_credential_is_taken_out_of_json_too(escape: bool) -> None:
    for _, text, secret in MADE:
        told = PATTERNS_ALONE.json(json.dumps({"a": {"said": [text, 1]}}, ensure_ascii=escape))
        assert secret not in json.loads(told)["a"]["said"][0]


def test_what_is_no_json_is_read_as_a_text() -> None:
    assert PATTERNS_ALONE.json(f'{{"a": "{TOKEN}') == '{"a": "[redacted: github token]'


def test_the_texts_of_an_event_are_looked_at_and_all_else_stays() -> None:
    fact = MessageReceived(
        text=f"use {TOKEN}",
        attachments=(Attachment(name="a", text=TOKEN), Attachment(name="b", text="b")),
        metadata_json=json.dumps({"x": TOKEN}),
        budget_tokens=5,
    )

    told = PATTERNS_ALONE.fact(fact)

    assert TOKEN not in repr(told)
    assert (told.budget_tokens, told.attachments[1]) == (5, fact.attachments[1])
    assert PATTERNS_ALONE.fact(told) is told


def test_what_a_provider_wants_back_is_kept_to_the_byte() -> None:
    call = ToolCallProposed(tool_call_id="1", name="n", arguments_json="{}", provider_state_json=TOKEN)

    assert PATTERNS_ALONE.fact(call) is call


def test_a_secret_of_the_configuration_is_taken_out_wherever_it_is_told() -> None:
    redactor = Redactor()
    redactor.know("correct-horse-battery")
    redactor.know("short")

    assert redactor.text("I was given <correct-horse-battery> and short") == (
        "I was given <[redacted: configured secret]> and short"
    )
    pieces = redactor.pieces()
    told = [pieces.push(one) for one in ("correct-", "horse-bat", "tery", "\n")]
    assert "".join(told) == "[redacted: configured secret]\n"


def test_bytes_are_masked_without_moving_anything() -> None:
    text = f"use {TOKEN}, or {MADE[0][2]}"
    data = b"\x00\x00\x00\x00\x05P" + text.encode() + b"\x02" + TOKEN.encode() + b"P"

    read = masked(data, [text])
    unread = masked(data)

    for one in (read, unread):
        assert len(one) == len(data)
        assert TOKEN.encode() not in one
        assert agree(one, data)
    assert re.sub(rb"\*+", b"", read) == b"\x00\x00\x00\x00\x05Puse , or \x02P"
    assert not agree(b"other", data)
    assert set(texts_of(MessageReceived(text=text, attachments=(Attachment(name="n", text="t"),)))) >= {
        text,
        "n",
        "t",
    }


@pytest.mark.parametrize(
    "part",
    [
        "password:",
        "token = ",
        "eyJaaaaaaaaaa.",
        "a://b:",
        "-----BEGIN PRIVATE KEY-----",
        "a",
        "AKIA",
        "ghp_",
        "=",
    ],
)
def test_what_repeats_what_begins_one_is_read_in_a_number_of_steps_that_grows_with_its_length(
    part: str,
) -> None:
    # Each of these would take minutes if steps grew with the square of the length.
    text = part * (120_000 // len(part))

    assert PATTERNS_ALONE.text(text)
    assert find(text[:1_000]) is not None


FLAG: Final = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
HIDDEN: Final = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")
SEEN: Final = (
    "\U0001f469\u200d\U0001f680 \u2764\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937",
    "\u2067\u05d0\u05d1\u2069 abc\u200f",
    f"{FLAG} and {FLAG}",
)


@pytest.mark.parametrize("seen", SEEN)
def test_hidden_text_is_taken_out_of_pieces_too_and_what_scripts_need_stays(seen: str) -> None:
    text = f"{HIDDEN}{seen} {HIDDEN}x\u202ey{FLAG}{HIDDEN} {TOKEN[:8]}{HIDDEN}{TOKEN[8:]}"
    whole = PATTERNS_ALONE.text(text)

    assert not set(HIDDEN) & set(whole.replace(FLAG, ""))
    assert "\u202e" not in whole
    assert seen in whole
    assert whole.endswith(" [redacted: github token]")
    for size in (1, 2, 5):
        assert _in_pieces(text, random.Random(size), size) == whole
    assert json.loads(PATTERNS_ALONE.json(json.dumps([text, {text: 1}]))) == [whole, {whole: 1}]
