"""The console as an ASGI application: who may see which page, and what a page may do in a browser.

In: requests; desks, one for each operator or auditor it was started for. Out: pages, each made here, with no script but
one and nothing from elsewhere. Answers 421 to a name that is not its own (DNS rebinding), 403 to who is not signed in,
to a form that is not the session's own and to an auditor that would act; what a node refuses is shown as the node says.

Sources: CSP Level 3; Fetch, "Sec-Fetch-Site"; RFC 9110 section 15.5.20.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import starlette.routing
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.authenticate import authenticate
from gateway.cli.console import forms, picture, shown, stages
from gateway.cli.console.desk import Desk
from gateway.cli.console.live import Live, Told
from gateway.cli.console.signin import LINK_SECONDS, SESSION_SECONDS, Notice, Session, SignIn
from gateway.clock import Clock, to_micros
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.rules import KINDS
from gateway.story import MAX_TOLD, tell

PEER: Final = "peer"
"""Where `server` leaves the certificate that the browser showed, as DER."""
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",  # no-referrer would take the origin from our own forms, too
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}

_STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_STATUS: Final = {
    ErrorCode.NOT_PERMITTED: HTTPStatus.FORBIDDEN,
    ErrorCode.UNKNOWN_PEER: HTTPStatus.FORBIDDEN,
    ErrorCode.REVOKED: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.BAD_INPUT: HTTPStatus.BAD_REQUEST,
    ErrorCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
_WHERE: Final = ("/", "/messages", "/trace", "/destinations", "/participants", "/log", "/actions")
"""Pages that a form may lead back to."""

Handler = Callable[[Request, Session, Desk], Awaitable[Response]]


class Console:
    """The pages.

    Args:
        desks: whom it was started for.
        hosts: names and addresses it is reached by.
        by_certificate: whoever shows the certificate of a desk is signed in; else links sign in.
        clock: time.
        sign_in: links and sessions.
        live: streams.
    """

    def __init__(
        self,
        desks: Sequence[Desk],
        hosts: frozenset[str],
        clock: Clock,
        *,
        by_certificate: bool = False,
        sign_in: SignIn | None = None,
        live: Live | None = None,
    ) -> None:
        self.desks = {each.address: each for each in desks}
        self.sign_in = sign_in or SignIn()
        self.live = live or Live()
        self._clock = clock
        self._by_certificate = by_certificate
        self._templates = shown.environment(clock)
        folder = resources.files("gateway.cli.console") / "static"
        self._static = {name: (folder / name).read_bytes() for name in _STATIC}
        route = starlette.routing.Route  # in full: a Route of ours is a proof
        self.app = Starlette(
            routes=[
                route("/static/{name}", self._file),
                route("/sign-in", self._sign_in_page),
                route("/sign-in", self._sign_in, methods=["POST"]),
                route("/sign-out", self._acting(self._sign_out, look_only=True), methods=["POST"]),
                route("/", self._seeing(self._overview)),
                route("/messages", self._seeing(self._messages)),
                route("/trace", self._seeing(self._trace)),
                route("/destinations", self._seeing(self._destinations)),
                route("/participants", self._seeing(self._participants)),
                route("/log", self._seeing(self._log)),
                route("/actions", self._seeing(self._actions)),
                route("/live/{page}", self._seeing(self._stream, idle=True)),
                route("/act", self._acting(self._act), methods=["POST"]),
                route("/test", self._acting(self._test), methods=["POST"]),
                route("/decide/{number}", self._acting(self._decide), methods=["POST"]),
            ],
            middleware=[Middleware(_Guard, hosts=hosts, secure=by_certificate)],
            exception_handlers={HTTPException: self._http_error, GatewayError: self._gateway_error},
        )

    def link(self, base: str, desk: Desk) -> str:
        """Return an address that signs somebody in once."""
        return f"{base}/sign-in?{urlencode({'link': self.sign_in.invite(desk.address)})}"

    # Who is there

    async def _session(
        self, request: Request, *, idle: bool = False, opens: bool = False
    ) -> tuple[Session, Desk, str] | None:
        """Return who asks, and the cookie to set if it is a new session; None if nobody is signed in.

        Args:
            request: whose cookie, and certificate.
            idle: nobody did anything.
            opens: whether a certificate opens a session, if there is none yet.

        Raises:
            Refusal: the certificate shown is nobody's here; or the directory has them no more.
        """
        session = self.sign_in.find(request.cookies.get(_cookie(request), ""), idle=idle)
        cookie = ""
        if self._by_certificate:
            desk = await self._shown(request)
            if session is not None and session.address != desk.address:
                session = None
            if session is None and opens:
                cookie, session = self.sign_in.open(desk.address)
        if session is None:
            return None
        desk = self.desks[session.address]
        await desk.check()
        return session, desk, cookie

    async def _shown(self, request: Request) -> Desk:
        """Return the desk of the certificate that the browser showed; asked anew of each request.

        Each desk believes its own directory: that of another may be older, or of another federation.
        """
        der = getattr(request.state, PEER, None)
        if der is None:
            raise Refusal(ErrorCode.UNKNOWN_PEER, "no certificate was shown")
        pem = ssl.DER_cert_to_PEM_cert(der).encode()
        why = Refusal(ErrorCode.NOT_PERMITTED, "the console was not started for whoever holds this certificate")
        for desk in self.desks.values():
            await desk.renewed()
            try:
                peer = authenticate(pem, desk.directory, self._clock())
            except Refusal as refusal:
                why = refusal
                continue
            if peer.address == desk.address:
                return desk
        raise why

    def _seeing(self, handler: Handler, *, idle: bool = False) -> Callable[[Request], Awaitable[Response]]:
        async def see(request: Request) -> Response:
            # Led here by another site a browser shows no cookie: a session that was opened then would take the place of
            # the one that it has, and the forms of that would count no more.
            led = request.headers.get("sec-fetch-site") == "cross-site"
            found = await self._session(request, idle=idle, opens=not (idle or led))
            if found is None:
                if idle:
                    # The browser would ask for ever, were it led elsewhere.
                    return Response(status_code=HTTPStatus.NO_CONTENT)
                return RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
            session, desk, cookie = found
            response = await handler(request, session, desk)
            if cookie:
                self._set(request, response, cookie)
            return response

        return see

    def _acting(self, handler: Handler, *, look_only: bool = False) -> Callable[[Request], Awaitable[Response]]:
        async def act(request: Request) -> Response:
            given = await forms.read(request)
            found = await self._session(request)
            if found is None or not found[0].owns(given.get("token", "")):
                raise HTTPException(HTTPStatus.FORBIDDEN, "This form is not of your session. Open the page again.")
            session, desk, _ = found
            if not look_only and not desk.may_act:
                raise HTTPException(HTTPStatus.FORBIDDEN, "An auditor looks, and does nothing.")
            request.state.given = given
            return await handler(request, session, desk)

        return act

    async def _sign_in_page(self, request: Request) -> Response:
        secret = request.query_params.get("link", "")
        address = None if self._by_certificate else self.sign_in.invited(secret)
        status = HTTPStatus.OK if address or not secret else HTTPStatus.FORBIDDEN
        return self._page(
            "sign-in.html", status, link=secret if address else "", who=address, minutes=round(LINK_SECONDS / 60)
        )

    async def _sign_in(self, request: Request) -> Response:
        # A second step, because browsers open addresses that nobody has pressed yet.
        given = await forms.read(request)
        found = None if self._by_certificate else self.sign_in.redeem(given.get("link", ""))
        if found is None:
            return self._page("sign-in.html", HTTPStatus.FORBIDDEN, link="", who=None, minutes=round(LINK_SECONDS / 60))
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        self._set(request, response, found[0])
        return response

    async def _sign_out(self, request: Request, session: Session, _: Desk) -> Response:
        self.sign_in.close(session)
        response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
        response.delete_cookie(_cookie(request), secure=self._by_certificate, httponly=True, samesite="strict")
        return response

    def _set(self, request: Request, response: Response, cookie: str) -> None:
        response.set_cookie(
            _cookie(request),
            cookie,
            max_age=round(SESSION_SECONDS),
            secure=self._by_certificate,
            httponly=True,
            samesite="strict",
        )

    # Pages

    async def _overview(self, _: Request, session: Session, desk: Desk) -> Response:
        overview = await desk.overview()
        return self._page("overview.html", **self._common(session, desk), **_pictured(overview))

    async def _messages(self, request: Request, session: Session, desk: Desk) -> Response:
        given = {name: value for name, value in request.query_params.items() if name in {*forms.FILTERS, "after"}}
        found = await desk.find(forms.search(given))
        kept = {name: value for name, value in given.items() if value and name != "after"}
        return self._page(
            "messages.html",
            **self._common(session, desk),
            given=dict.fromkeys(forms.FILTERS, "") | kept,
            found=found,
            is_first="after" not in given,
            newest="/messages?" + urlencode(kept),
            older="/messages?" + urlencode({**kept, "after": found.next}) if found.next else "",
            kinds=[*KINDS],
            codes=[*forms.CODES],
            states=forms.STATES,
        )

    async def _trace(self, request: Request, session: Session, desk: Desk) -> Response:
        key = request.query_params.get("key", "").strip()
        if not key:
            return RedirectResponse("/messages", HTTPStatus.SEE_OTHER)
        if len(key) > _KEY_CHARACTERS:
            raise Refusal(ErrorCode.BAD_INPUT, f"an id has {_KEY_CHARACTERS} characters at most", "key")
        here_only = request.query_params.get("here") == "1"
        told = await desk.trace(key, ask_others=not here_only)
        stories = tell(told.traces, desk.directory)
        return self._page(
            "trace.html",
            **self._common(session, desk),
            key=key,
            here_only=here_only,
            asked_at_us=to_micros(self._clock()),
            stories=stories,
            most=MAX_TOLD,
            silent=told.silent,
            steps=stages.steps,
            waiting=stages.waiting,
            is_queued=stages.is_queued,
            leads_abroad=stages.leads_abroad,
        )

    async def _destinations(self, _: Request, session: Session, desk: Desk) -> Response:
        overview = await desk.overview()
        return self._page(
            "destinations.html", **self._common(session, desk), overview=overview, leads_abroad=stages.leads_abroad
        )

    async def _participants(self, _: Request, session: Session, desk: Desk) -> Response:
        overview = await desk.overview()
        countries: dict[str, list[trace.Member]] = {}
        for member in overview.members:
            countries.setdefault(member.address.partition("/")[0], []).append(member)
        shown_first = sorted(countries.items(), key=lambda pair: (pair[0] != desk.node, pair[0]))
        return self._page("participants.html", **self._common(session, desk), overview=overview, countries=shown_first)

    async def _log(self, _: Request, session: Session, desk: Desk) -> Response:
        overview = await desk.overview()
        return self._page("log.html", **self._common(session, desk), overview=overview)

    async def _actions(self, request: Request, session: Session, desk: Desk) -> Response:
        waiting = request.query_params.get("waiting") == "1"
        before = forms.whole(request.query_params, "before")
        listed = await desk.actions(operations.ListActionsRequest(waiting=waiting, limit=forms.PAGE, before=before))
        older = ""
        if listed.more and listed.actions:
            kept = {"waiting": "1"} if waiting else {}
            older = "/actions?" + urlencode({**kept, "before": listed.actions[-1].number})
        return self._page(
            "actions.html",
            **self._common(session, desk),
            listed=listed.actions,
            only_waiting=waiting,
            older=older,
            is_first=not before,
            WAITING=operations.ACTION_STATE_WAITING,
        )

    async def _stream(self, request: Request, session: Session, desk: Desk) -> Response:
        page = request.path_params["page"]
        if page not in _LIVE:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if not self.live.has_room(session):
            return Response(status_code=HTTPStatus.NO_CONTENT)
        template = self._templates.get_template(f"_{page}.html")

        def render(told: Told) -> str:
            if isinstance(told, GatewayError):
                may_come_back = isinstance(told, Failure)
                return self._templates.get_template("_silent.html").render(error=told, may_come_back=may_come_back)
            more = _pictured(told) if page == "overview" else {"overview": told, "leads_abroad": stages.leads_abroad}
            return template.render(session=session, desk=desk, **more)

        async def ask() -> trace.GetOverviewResponse:
            if not self.sign_in.holds(session):
                raise Refusal(ErrorCode.NOT_PERMITTED, "the session has ended; sign in again")
            return await desk.overview()

        stream = self.live.stream(session, ask, render)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    # What is done

    async def _act(self, request: Request, session: Session, desk: Desk) -> Response:
        given: Mapping[str, str] = request.state.given
        return await _noticed(session, given, lambda: desk.act(forms.action(given)))

    async def _decide(self, request: Request, session: Session, desk: Desk) -> Response:
        given: Mapping[str, str] = request.state.given
        number = request.path_params["number"]  # as text: whoever asks may send any number of digits
        return await _noticed(session, given, lambda: desk.decide(forms.decision(number, given)))

    async def _test(self, request: Request, session: Session, desk: Desk) -> Response:
        node = request.state.given.get("node", "")
        result = await desk.test(node)
        return self._page(
            "test.html",
            **self._common(session, desk),
            other=node,
            back=_back(request.state.given),
            checks=result.checks,
            passed=bool(result.checks) and all(check.passed for check in result.checks),
        )

    # What every page has

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return Response(self._static[name], media_type=_STATIC[name])

    def _common(self, session: Session, desk: Desk) -> dict[str, Any]:
        notices, session.notices = session.notices, []
        return {"session": session, "desk": desk, "notices": notices}

    def _page(self, template: str, status: int = HTTPStatus.OK, **values: object) -> Response:
        values = {"session": None, "desk": None, "notices": (), "by_certificate": self._by_certificate} | values
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    async def _http_error(self, request: Request, error: Exception) -> Response:
        status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        detail = error.detail if isinstance(error, HTTPException) else ""
        return await self._told(request, status, status.phrase, "" if detail == status.phrase else detail)

    async def _gateway_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)  # noqa: S101  Starlette calls it for nothing else
        otherwise = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, Failure) else HTTPStatus.CONFLICT
        status = HTTPStatus(_STATUS.get(error.code, otherwise))
        return await self._told(request, status, status.phrase, str(error))

    async def _told(self, request: Request, status: HTTPStatus, title: str, detail: str) -> Response:
        """Say what is wrong, within the frame of pages if somebody is signed in."""
        try:
            found = await self._session(request, idle=True)
        except Refusal:
            found = None
        common = {} if found is None else self._common(found[0], found[1])
        return self._page(
            "error.html",
            status,
            **common,
            title=title,
            detail=detail,
            is_unavailable=status == HTTPStatus.SERVICE_UNAVAILABLE,
        )


class _Guard:
    """What holds for every request, whatever it is for."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], *, secure: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._scheme = "https" if secure else "http"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {name.encode(): value.encode() for name, value in HEADERS.items()}
                message["headers"] = [*((k, v) for k, v in message["headers"] if k not in headers), *headers.items()]
            await send(message)

        if scope["type"] != "http":
            return
        refusal = self._refusal(Request(scope))
        await (self._app if refusal is None else refusal)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if _name(host) not in self._hosts:
            return Response("not a name of this console\n", HTTPStatus.MISDIRECTED_REQUEST, media_type="text/plain")
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method in {"GET", "HEAD"}:
            # Another site may lead here, and has nothing of ours within its pages: each would ask the node, and with a
            # certificate sign somebody in.
            if site in {"same-origin", "none"} or request.headers.get("sec-fetch-dest") == "document":
                return None
            return Response("asked for by another site\n", HTTPStatus.FORBIDDEN, media_type="text/plain")
        # Beside the token of each form: what a browser says of where a form comes from.
        origin = request.headers.get("origin", f"{self._scheme}://{host}")
        if origin != f"{self._scheme}://{host}" or site != "same-origin":
            return Response("a form of another site\n", HTTPStatus.FORBIDDEN, media_type="text/plain")
        return None


_KEY_CHARACTERS: Final = 64
_LIVE: Final = frozenset({"overview", "destinations"})


async def _noticed(
    session: Session, given: Mapping[str, str], do: Callable[[], Awaitable[operations.RecordedAction]]
) -> Response:
    """Do what a form asks for, and tell what became of it on the page where the form was."""
    try:
        recorded = await do()
    except GatewayError as error:
        session.notices.append(Notice(str(error), failed=True))
    else:
        session.notices.append(_outcome(recorded))
    return RedirectResponse(_back(given), HTTPStatus.SEE_OTHER)


def _pictured(overview: trace.GetOverviewResponse) -> dict[str, Any]:
    return {"overview": overview, "picture": picture.draw(overview), "WIDTH": picture.WIDTH}


def _cookie(request: Request) -> str:
    """Return the name of the cookie: cookies know no ports, and a machine may have several consoles."""
    return "__Host-rogatory" if request.url.scheme == "https" else f"rogatory-{request.url.port or 80}"


def _name(host: str) -> str | None:
    """Return the name in a Host header; None if it is none that a browser sends."""
    try:
        where = urlsplit(f"//{host}")
        _ = where.port
    except ValueError:
        return None
    return where.hostname if where.netloc == host and where.username is None else None


def _back(given: Mapping[str, str]) -> str:
    """Return where a form was, if that is one of our pages."""
    try:
        where = urlsplit(given.get("back", "/"))
    except ValueError:
        return "/"
    if where.scheme or where.netloc or where.path not in _WHERE:
        return "/"
    return where.path + (f"?{where.query}" if where.query else "")


def _outcome(recorded: operations.RecordedAction) -> Notice:
    number = f"Action {recorded.number}"
    copies = "1 copy" if recorded.touched == 1 else f"{recorded.touched} copies"
    touches = recorded.action.WhichOneof("what") in {"resend", "expire"}
    told = {
        operations.ACTION_STATE_WAITING: f"{number} waits for a second operator.",
        operations.ACTION_STATE_DONE: f"{number} is done; {copies} touched." if touches else f"{number} is done.",
        operations.ACTION_STATE_REJECTED: f"{number} is rejected.",
        operations.ACTION_STATE_LAPSED: f"{number} has lapsed.",
    }
    text = told.get(recorded.state)
    return Notice(text or f"{number} could not be done: {recorded.error.detail}", failed=text is None)
