"""A browser's login: a link that is good once becomes a cookie, for pages of the gateway's own origin."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from streams.gateway.access import LIFETIME_S, Purpose
from streams.gateway.front import Front
from streams.gateway.guard import COOKIE
from streams.gateway.problems import Problem, response_of

_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in to Cartrita</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="/console/themes/light.css"><link rel="stylesheet" href="/console/base.css">'
    '<main class="login"><h1>Cartrita</h1>{said}</main></html>'
)
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


async def login(request: Request) -> Response:
    """Offer a button for a link that is good, and answer it with the cookie and the console.

    What merely looks at links, such as a mail program, presses no buttons, and so uses none up.
    """
    front: Front = request.app.state.front
    code = request.path_params["code"]
    bearer = front.book.pass_holder(Purpose.LOGIN, code)
    if bearer is None:
        said = "<p>This link was used, or is too old. <code>cartrita login</code> prints another.</p>"
        return _page(said, 401)
    if request.method == "GET":
        hours = LIFETIME_S[Purpose.BROWSER] // 3_600
        offered = f"<p>It may then do what the token of this link may, for {hours} hours.</p>"
        return _page(f'<form method="post"><button>Log this browser in</button></form>{offered}')
    if not request.state.from_page or not front.book.spend(code):
        return response_of(Problem(403, "the login has to come from its page"), request)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        front.book.issue(Purpose.BROWSER, bearer.token_id),
        max_age=LIFETIME_S[Purpose.BROWSER],
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer


async def logout(request: Request) -> Response:
    """Make the browser's cookie useless at this gateway, and have it forgotten."""
    front: Front = request.app.state.front
    given = request.cookies.get(COOKIE)
    if given is not None and front.book.pass_holder(Purpose.BROWSER, given) is not None:
        front.book.spend(given)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


def _page(said: str, status: int = 200) -> HTMLResponse:
    # Without a referrer a browser says of the form that it comes from nowhere, and it would be refused.
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}
    return HTMLResponse(_PAGE.format(said=said), status, headers)
