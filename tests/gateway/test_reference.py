"""The reference of /api/v2 says what the gateway serves."""

from pathlib import Path

from streams.gateway.reference import http_markdown, openapi_document

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def test_the_page_is_the_one_that_the_program_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == http_markdown(), "run `cartrita schemas document`"


def test_every_request_body_and_answer_is_on_the_page() -> None:
    page = http_markdown()
    document = openapi_document("2")
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"\n## {method.upper()} {path}\n" in page
    linked = {line.split("](#")[1].partition(")")[0] for line in page.splitlines() if "](#" in line}
    headings = {
        "".join(one for one in line.lstrip("# ").lower() if one.isalnum() or one in " -_").replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    assert linked <= headings
