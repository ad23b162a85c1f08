"""A person decides in the console about calls that wait, with at most three keys each."""

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.console import everywhere
from tests.pipeline.test_approvals import cartrita, gated, made, waiting  # noqa: F401  # fixtures
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.browser, needs_browser, pytest.mark.timeout(600)]


def test_a_call_is_edited_then_approved_by_the_keyboard(
    page: Page,
    watched: Watched,
    context: BrowserContext,
    http: httpx.Client,
    gated: str,  # noqa: F811  # the fixture
) -> None:
    first = waiting(http, gated)
    page.goto("/approvals")
    card = page.locator(f'[data-card="{first["approvalId"]}"]')
    expect(card.get_by_label("Arguments", exact=True)).to_contain_text("17")
    for other, name in everywhere(context):
        other.goto("/approvals")
        expect(other.locator(f'[data-card="{first["approvalId"]}"]')).to_be_visible()
        photograph(other, f"approvals-{name}")
        assert violations(other) == []
        assert not overflows(other)

    card.focus()
    page.keyboard.press("e")
    edited = card.get_by_label("Arguments in their place")
    expect(edited).to_be_focused()
    edited.fill('{"code": "print(2)"}')
    card.get_by_role("button", name="Ask with these arguments").click()
    expect(page.locator(".tally")).to_contain_text("execute_python: edited.")
    second = first
    for _ in tries():
        second = waiting(http, gated)
        if second["approvalId"] != first["approvalId"]:
            break
    assert made(http, gated) == []
    again = page.locator(f'[data-card="{second["approvalId"]}"]')
    expect(again.get_by_label("Arguments", exact=True)).to_contain_text("print(2)")
    expect(
        again.get_by_text("decision about calls of execute_python")
        .or_(again.get_by_text("decisions about calls of execute_python"))
        .first
    ).to_be_visible()
    again.focus()
    page.keyboard.press("a")
    expect(again.get_by_role("button", name="Approve this call, once")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".tally")).to_contain_text("execute_python: approved.")

    calls = made(http, gated)
    for _ in tries():
        calls = made(http, gated)
        if calls:
            break
    assert [call["arguments_json"] for call in calls] == ['{"code": "print(2)"}']
    assert watched.complaints == []
