"""The console's files in a real browser, without a gateway behind them."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page
from starlette.applications import Starlette

from connectors.embedded.ports import choose_port
from streams.gateway.console_files import routes
from tests.console.browsing import Watched, running_browser

STARTED_S = 30


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The console's files, without a gateway behind them."""
    port = choose_port(())
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes()), port=port, log_config=None, lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline_s = time.monotonic() + STARTED_S
        while not server.started:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def page(site: str) -> Iterator[Page]:
    """A page of the console's own origin and policy, without the console's program in it."""
    with running_browser() as browser:
        context = browser.new_context()
        context.route("**/app/main.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
        page = Watched(context).page
        page.goto(site)
        yield page
