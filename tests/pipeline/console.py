"""A browser that is logged in to the console of the deployment."""

import itertools
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from streams.worker.deployment import Deployment
from tests.console.browsing import WAIT_MS, Watched, running_browser

THEMES = ("light", "dark")
WIDTHS = {"wide": (1280, 800), "narrow": (320, 640)}


@pytest.fixture
def browser(deployment: Deployment, token: str) -> Iterator[Browser]:
    """A browser; what it depends on runs loops of its own, which is over before Playwright's begins."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def states() -> dict[str, StorageState]:
    """What browsers keep that were logged in, by the gateway's address."""
    return {}


@pytest.fixture
def state(
    browser: Browser, address: str, command_environment: dict[str, str], states: dict[str, StorageState]
) -> StorageState:
    """What a browser keeps that was logged in by the link that `cartrita login` prints."""
    if address not in states:
        command = [sys.executable, "-m", "streams.main", "login"]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=True)
        states[address] = log_in(browser, ended.stdout.strip())
    return states[address]


def log_in(browser: Browser, link: str) -> StorageState:
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Log this browser in").click()
    expect(page.get_by_role("heading", name="Sessions", exact=True)).to_be_visible()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(browser: Browser, state: StorageState, address: str) -> Iterator[BrowserContext]:
    """A browser that is logged in."""
    context = browser.new_context(
        base_url=address, storage_state=state, viewport={"width": 1280, "height": 800}
    )
    yield context
    context.close()


@pytest.fixture
def watched(context: BrowserContext) -> Watched:
    """A page, and what its console complained of."""
    return Watched(context)


@pytest.fixture
def page(watched: Watched) -> Page:
    """A page of a browser that is logged in."""
    return watched.page


def everywhere(context: BrowserContext) -> Iterator[tuple[Page, str]]:
    """Give a new page for each theme and width, with a name of both."""
    for theme, width in itertools.product(THEMES, WIDTHS):
        page = _as_in(context, theme, width)
        yield page, f"{theme}-{width}"
        page.close()


def _as_in(context: BrowserContext, theme: str, width: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    size = WIDTHS[width]
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.add_init_script(f"localStorage.setItem('cartrita.theme', '{theme}')")
    return page
