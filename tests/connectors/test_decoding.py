"""Reading of texts in any encoding that can be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.text.decoding import NotText, decoded

ENGLISH = "The lease was refused.\r\nAsk again later.\n"
GERMAN = "Die Größe der Straße ändert sich nicht für die Übung.\n"
CHINESE = "日志是真相。每个决定都可以追溯。\n"
CHINESE_WITHOUT_ASCII = "日志是真相每个决定都可以追溯"
RUSSIAN = "Журнал есть истина. Каждое решение можно проследить.\n"


@pytest.mark.parametrize("text", [ENGLISH, GERMAN, CHINESE, RUSSIAN, "", "x"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le+", "utf-16-be+", "utf-32", "utf-32-be+"]
)
def test_a_text_is_the_same_with_and_without_a_mark(text: str, encoding: str) -> None:
    data = f"\ufeff{text}".encode(encoding[:-1]) if encoding.endswith("+") else text.encode(encoding)

    read = decoded(data)

    assert (read.text, read.note) == (text, "")


@pytest.mark.parametrize("text", [ENGLISH, GERMAN, CHINESE, CHINESE_WITHOUT_ASCII, RUSSIAN, "hi\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_found_in_either_order(text: str, encoding: str) -> None:
    read = decoded(text.encode(encoding))

    assert read.text == text
    assert "UTF-16" in read.note


@pytest.mark.parametrize("text", [GERMAN, "café", "Élève\n", "“quoted” – 5 €\n", "Use ½ × 3 £ of it"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_european_text_is_read_and_the_guess_is_told(text: str, encoding: str) -> None:
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("Latin-1 has no such characters")

    read = decoded(data)

    assert read.text == text
    assert "Windows-1252" in read.note


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp1251"),
        (CHINESE, "gbk"),
        (CHINESE, "big5"),
        ("これはペンです。それは本です。\n", "shift-jis"),
        ("これはペンです。それは本です。\n", "euc-jp"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_remedy(text: str, encoding: str) -> None:
    with pytest.raises(NotText, match="save it as UTF-8"):
        decoded(text.encode(encoding, errors="ignore"))


def test_damaged_utf_8_loses_its_damaged_characters_alone() -> None:
    data = (GERMAN * 3).encode() + b"cut in the middle: \xc3"

    read = decoded(data)

    assert read.text == GERMAN * 3 + "cut in the middle: \ufffd"
    assert "1 place" in read.note


@pytest.mark.parametrize(
    "data",
    [
        b"a\x00b",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)),
        bytes(range(256)) * 8,
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n\x00\x01stream",
        b"\xff\xfe\x00",
        b"\xff\xfea\x00\x00\x00",
        b"\xfe\xff\xd8\x00",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    ],
)
def test_what_is_binary_is_refused(data: bytes) -> None:
    with pytest.raises(NotText):
        decoded(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_text_that_can_be_stored_or_are_refused(data: bytes) -> None:
    try:
        text = decoded(data).text
    except NotText:
        return

    assert "\x00" not in text
    text.encode()


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\ufeff"), max_size=200))
def test_utf_8_is_always_read_as_it_is(text: str) -> None:
    assert decoded(text.encode()).text == text
