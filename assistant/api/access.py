"""Who may call what: one table, held for every request before its body is read."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Mount, compile_path

from assistant import staff
from assistant.config import Settings
from assistant.deps import Deps
from assistant.identity import Borrower, KeysUnavailable, Refused, looks_signed
from assistant.staff import ROLES, TOKEN_PREFIX, Role, SessionRules, Signed
from prompts.render import notice

from .problems import accepted_locale, problem

Access = Literal["public", "borrower"] | frozenset[Role]
"""`public`: anybody, and nobody's identity is read. `borrower`: anybody, and a borrower's token is
read where there is one, and refused if it proves nothing; a staff session never counts as one.
Roles: staff who have one of them."""

ANY_STAFF: frozenset[Role] = frozenset(ROLES)
ADMINS: frozenset[Role] = frozenset({"admin"})
CURATORS: frozenset[Role] = frozenset({"compliance", "admin"})
"""May change what is answered from."""
DESK: frozenset[Role] = frozenset({"agent", "supervisor"})
"""May take borrowers over, and write to them."""
SUPERVISORS: frozenset[Role] = frozenset({"supervisor"})
AUDITORS: frozenset[Role] = frozenset({"auditor"})
"""May read what borrowers were told; whoever keeps the accounts sees the chain alone."""
QUALITY: frozenset[Role] = frozenset({"supervisor", "compliance", "admin", "auditor"})
"""May see how good the assistant is."""

LISTENERS: frozenset[Role] = frozenset({"supervisor", "compliance", "auditor"})
"""May read questions whose replies did not help, masked."""
EDITORS: frozenset[Role] = frozenset({"supervisor", "compliance"})
"""May make cases and answers of them."""
SIGNERS: frozenset[Role] = frozenset({"compliance"})
"""May sign answers off that others wrote."""
STUDIO: frozenset[Role] = frozenset({"marketer", "compliance", "admin", "auditor"})
"""May see what is offered, and how far it is."""

MARKETERS: frozenset[Role] = frozenset({"marketer", "admin"})
"""May have offers drafted, edit and submit them, and bring in what came of a campaign."""
APPROVERS: frozenset[Role] = frozenset({"compliance", "admin"})
"""May approve and reject what others wrote."""
MAKERS: frozenset[Role] = MARKETERS | APPROVERS
"""May see whom an offer reaches, and try a text."""
SUPPRESSORS: frozenset[Role] = frozenset({"compliance", "admin", "supervisor"})
"""May say that nobody writes to a customer, and take it back."""

ACCESS: dict[tuple[str, str], Access] = {
    ("GET", "/"): "public",
    ("GET", "/widget.js"): "public",
    ("GET", "/copilot.js"): "public",
    ("GET", "/web"): "public",
    ("GET", "/sign-in"): "public",
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/metrics"): "public",
    ("GET", "/openapi.json"): "public",
    ("GET", "/v1/models"): "public",
    ("GET", "/v1/models/{model}"): "public",
    ("GET", "/v1/lender"): "public",
    ("GET", "/v1/clauses/{clause_id:path}"): "public",
    ("POST", "/v1/chat"): "borrower",
    ("POST", "/v1/chat/completions"): "borrower",
    ("POST", "/v1/handoffs"): "borrower",
    ("POST", "/v1/handoffs/{handoff_id}/contact"): "borrower",
    ("POST", "/v1/handoffs/{handoff_id}/leave"): "borrower",
    ("POST", "/v1/conversations/{conversation_id}/messages"): "borrower",
    ("GET", "/v1/conversations/{conversation_id}/events"): "borrower",
    ("GET", "/v1/me"): "borrower",
    ("GET", "/v1/conversations"): "borrower",
    ("GET", "/v1/conversations/{conversation_id}"): "borrower",
    ("GET", "/v1/conversations/{conversation_id}/export"): "borrower",
    ("DELETE", "/v1/conversations/{conversation_id}"): "borrower",
    ("POST", "/v1/feedback"): "borrower",
    ("GET", "/v1/feedback"): LISTENERS,
    ("GET", "/v1/feedback/summary"): QUALITY,
    ("GET", "/v1/feedback/cases"): LISTENERS,
    ("POST", "/v1/feedback/cases"): EDITORS,
    ("POST", "/v1/feedback/cases/{draft_id}/labels"): EDITORS,
    ("GET", "/v1/feedback/answers"): LISTENERS,
    ("POST", "/v1/feedback/answers"): EDITORS,
    ("POST", "/v1/feedback/answers/{answer_id}/signature"): SIGNERS,
    ("POST", "/v1/feedback/answers/{answer_id}/withdrawal"): EDITORS,
    ("POST", "/v1/staff/session"): "public",
    ("GET", "/v1/staff/demo"): "public",
    ("DELETE", "/v1/staff/session"): ANY_STAFF,
    ("GET", "/v1/staff/me"): ANY_STAFF,
    ("GET", "/v1/staff/accounts"): ADMINS,
    ("POST", "/v1/staff/accounts"): ADMINS,
    ("PATCH", "/v1/staff/accounts/{staff_id}"): ADMINS,
    ("POST", "/v1/search"): "public",
    ("POST", "/v1/calculations/schedule"): "public",
    ("POST", "/v1/calculations/rate"): "public",
    ("POST", "/v1/calculations/settle"): "public",
    ("POST", "/v1/calculations/prepay"): "public",
    ("POST", "/v1/calculations/overdue"): "public",
    ("POST", "/v1/calculations/coupon"): "public",
    ("POST", "/v1/calculations/compare"): "public",
    ("POST", "/v1/check"): ANY_STAFF,
    ("GET", "/v1/rules"): ANY_STAFF,
    ("GET", "/v1/rules/{rule_id}"): ANY_STAFF,
    ("GET", "/knowledge"): ANY_STAFF,
    ("GET", "/check"): ANY_STAFF,
    ("GET", "/v1/knowledge/documents"): ANY_STAFF,
    ("GET", "/v1/knowledge/documents/{source:path}/versions"): ANY_STAFF,
    ("GET", "/v1/knowledge/documents/{source:path}/clauses"): ANY_STAFF,
    ("GET", "/v1/knowledge/diff"): ANY_STAFF,
    ("GET", "/v1/knowledge/releases"): ANY_STAFF,
    ("GET", "/v1/knowledge/releases/diff"): ANY_STAFF,
    ("POST", "/v1/knowledge/releases/{release_id}/activate"): CURATORS,
    ("GET", "/v1/knowledge/uploads"): ANY_STAFF,
    ("POST", "/v1/knowledge/uploads"): CURATORS,
    ("GET", "/v1/knowledge/uploads/{upload_id}"): ANY_STAFF,
    ("POST", "/v1/knowledge/uploads/{upload_id}/cancel"): CURATORS,
    ("GET", "/v1/knowledge/questions"): ANY_STAFF,
    ("GET", "/v1/knowledge/findings"): ANY_STAFF,
    ("POST", "/v1/knowledge/confirmations"): CURATORS,
    ("POST", "/v1/knowledge/clearances"): CURATORS,
    ("GET", "/desk"): DESK | AUDITORS,
    ("GET", "/v1/desk/queue"): DESK | AUDITORS,
    ("GET", "/v1/desk/events"): DESK | AUDITORS,
    ("GET", "/v1/desk/handoffs/{handoff_id}"): DESK | AUDITORS,
    ("POST", "/v1/desk/handoffs/{handoff_id}/take"): DESK,
    ("POST", "/v1/desk/handoffs/{handoff_id}/messages"): DESK,
    ("POST", "/v1/desk/handoffs/{handoff_id}/return"): DESK,
    ("POST", "/v1/desk/handoffs/{handoff_id}/close"): DESK,
    ("POST", "/v1/desk/handoffs/{handoff_id}/requeue"): DESK,
    ("POST", "/v1/desk/held/{event_id}"): SUPERVISORS,
    ("POST", "/v1/copilot/suggest"): DESK,
    ("POST", "/v1/copilot/summary"): DESK,
    ("POST", "/v1/copilot/next"): DESK,
    ("POST", "/v1/copilot/card"): DESK,
    ("POST", "/v1/copilot/check"): DESK,
    ("POST", "/v1/copilot/scripts"): DESK,
    ("POST", "/v1/copilot/wrap-up"): DESK,
    ("POST", "/v1/copilot/wrap-up/kept"): DESK,
    ("POST", "/v1/copilot/events"): DESK,
    ("GET", "/v1/copilot/tasks"): DESK,
    ("POST", "/v1/copilot/tasks/{task_id}"): DESK,
    ("GET", "/v1/copilot/clauses/{clause_id:path}"): DESK | AUDITORS,
    ("GET", "/quality"): DESK | QUALITY,
    ("GET", "/studio"): STUDIO,
    ("GET", "/v1/evals"): QUALITY,
    ("GET", "/v1/evals/{run}"): QUALITY,
    ("GET", "/v1/evals/{run}/cases"): QUALITY,
    ("GET", "/v1/evals/{run}/changes"): QUALITY,
    ("GET", "/v1/quality/drift"): QUALITY,
    ("GET", "/v1/quality/replies"): AUDITORS,
    ("POST", "/v1/knowledge/clearances/withdrawals"): CURATORS,
    ("GET", "/v1/campaigns"): STUDIO,
    ("GET", "/v1/campaigns/{campaign_id}"): STUDIO,
    ("GET", "/v1/campaigns/{campaign_id}/results"): STUDIO,
    ("POST", "/v1/campaigns/{campaign_id}/results"): MARKETERS,
    ("GET", "/v1/segments"): STUDIO,
    ("POST", "/v1/segments"): MARKETERS,
    ("POST", "/v1/segments/count"): MAKERS,
    ("POST", "/v1/suppressions"): SUPPRESSORS,
    ("DELETE", "/v1/suppressions"): SUPPRESSORS,
    ("POST", "/v1/offers"): MARKETERS,
    ("GET", "/v1/offers/jobs/{job_id}"): STUDIO,
    ("GET", "/v1/drafts"): STUDIO,
    ("GET", "/v1/drafts/{draft_id}"): STUDIO,
    ("PATCH", "/v1/drafts/{draft_id}"): MARKETERS,
    ("POST", "/v1/drafts/{draft_id}/check"): MAKERS,
    ("POST", "/v1/drafts/{draft_id}/submit"): MARKETERS,
    ("POST", "/v1/drafts/{draft_id}/approve"): APPROVERS,
    ("POST", "/v1/drafts/{draft_id}/reject"): APPROVERS,
    ("POST", "/v1/drafts/{draft_id}/withdraw"): MAKERS,
    ("GET", "/v1/drafts/{draft_id}/sheet"): STUDIO,
    ("POST", "/v1/copilot/score"): DESK | QUALITY,
    ("GET", "/v1/scores"): DESK | QUALITY,
    ("GET", "/v1/scores/trends"): DESK | QUALITY,
    ("GET", "/v1/scores/agreement"): QUALITY,
    ("GET", "/v1/scores/samples"): QUALITY,
    ("POST", "/v1/scores/samples"): EDITORS,
    ("GET", "/v1/scores/appeals"): DESK | QUALITY,
    ("POST", "/v1/scores/appeals/{appeal_id}/decision"): SUPERVISORS,
    ("GET", "/v1/scores/{score_id}"): DESK | QUALITY,
    ("POST", "/v1/scores/{score_id}/appeals"): DESK,
    ("POST", "/v1/scores/{score_id}/review"): EDITORS,
    ("GET", "/v1/audit"): AUDITORS | ADMINS,
    ("GET", "/v1/audit/{record_id}"): AUDITORS,
    ("POST", "/v1/audit/{record_id}/replay"): AUDITORS,
}
"""(method, path as the route declares it) -> who may call it. A route without a row here keeps the
application from starting. HEAD goes with GET; a mounted folder has one row, for GET."""

DEMO_ACCESS: dict[tuple[str, str], Access] = {
    ("GET", "/v1/demo/customers"): "public",
    ("POST", "/v1/demo/tokens"): "public",
}
"""Routes that are there in the demo only."""

MCP_ACCESS: dict[tuple[str, str], Access] = {
    ("GET", "/mcp"): ANY_STAFF,
    ("POST", "/mcp"): ANY_STAFF,
    ("DELETE", "/mcp"): ANY_STAFF,
}
"""The route of `zhunxin mcp --http`; each tool then asks for the roles of its own route."""

OPENAI_DOOR = "/v1/chat/completions"
"""Its clients send a key whether they have one or not."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "zhunxin_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
CSRF_HEADER = "X-CSRF-Token"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?")
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

log = structlog.get_logger()


class RouteWithoutAccess(Exception):
    """A route has no row in ACCESS, so nobody has said who may call it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A route as it is recognised, and who may call it."""

    path: str
    pattern: re.Pattern[str]
    methods: Mapping[str, Access]

    @property
    def is_page(self) -> bool:
        return not self.path.startswith(("/v1/", "/mcp"))


def signed_in(request: Request) -> Signed:
    """The member of staff who calls; only on routes whose row names roles. A dependency."""
    signed: Signed | None = getattr(request.state, "staff", None)
    if signed is None:
        raise HTTPException(401)
    return signed


def borrower_of(request: Request) -> Borrower | None:
    """The customer who asks, where they proved who they are. A dependency."""
    borrower: Borrower | None = getattr(request.state, "borrower", None)
    return borrower


def pages_for(signed: Signed) -> list[str]:
    """The staff pages that one may open."""
    return [
        path
        for (method, path), access in ACCESS.items()
        if method == "GET"
        and not path.startswith("/v1/")
        and isinstance(access, frozenset)
        and access & signed.roles
    ]


async def is_staff(request: Request) -> bool:
    """Whether staff call a route that others may call too."""
    token, _ = presented_token(request)
    deps: Deps = request.app.state.deps
    rules = session_rules(deps.settings, request.app.state.demo is not None)
    return bool(token and await staff.session_of(deps.trail, token, rules))


def session_rules(settings: Settings, demo: bool) -> SessionRules:
    return SessionRules(
        idle=timedelta(minutes=settings.staff_idle_minutes),
        longest=timedelta(hours=settings.staff_session_hours),
        demo=demo,
    )


def cookie_name(request: Request) -> str:
    """Over https the browser itself holds the cookie to this host and to https."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def presented_token(request: Request) -> tuple[str, bool]:
    """(session token, whether it came in a cookie). A Bearer token wins, whatever it is: a
    borrower's token beside a staff cookie is not a member of staff."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip(), False
    return request.cookies.get(cookie_name(request), ""), True


def borrower_token(request: Request, path: str) -> str:
    """The borrower's token of a request; empty where it has none. It never comes in a cookie, so
    that no other page can have a browser send it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    token = value.strip() if scheme.lower() == "bearer" else ""
    is_key = path == OPENAI_DOOR and not looks_signed(token)
    return "" if is_key or token.startswith(TOKEN_PREFIX) else token


def from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sends this request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host", "")


def rules_of(app: FastAPI) -> list[Rule]:
    """The routes of the application with their rows. Raises RouteWithoutAccess."""
    table = ACCESS | DEMO_ACCESS | MCP_ACCESS
    rules = []
    for path, methods in _routes(app):
        missing = [method for method in methods if (method, path) not in table]
        if missing:
            named = ", ".join(f"{method} {path}" for method in missing)
            raise RouteWithoutAccess(f"{named}: name who may call it in ACCESS")
        mounted = path in {route.path for route in app.routes if isinstance(route, Mount)}
        pattern = compile_path(f"{path}/{{path:path}}" if mounted else path)[0]
        rules.append(Rule(path, pattern, {method: table[method, path] for method in methods}))
    return rules


def _routes(app: FastAPI) -> Iterator[tuple[str, list[str]]]:
    """(path, methods) of every route, in the order they are tried."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield route.path, ["GET"]
            continue
        for found in iter_route_contexts([route]):
            yield str(found.path), sorted(set(found.methods or ()) - {"HEAD"})


def allowed_hosts(settings: Settings, bound_to: str) -> frozenset[str] | None:
    """Names that a request may be addressed to; None: any."""
    named = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
    return None if "*" in named else LOCAL_NAMES | {bound_to.lower()} | named


class Guard:
    """Turns away requests for another host, and callers whom the table does not let in."""

    def __init__(
        self, app: Any, *, rules: list[Rule], settings: Settings, bound_to: str, demo: bool
    ) -> None:
        self._app = app
        self._rules = rules
        self._hosts = allowed_hosts(settings, bound_to)
        self._any_address = _is_address(bound_to) and ipaddress.ip_address(bound_to).is_unspecified
        self._sessions = session_rules(settings, demo)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = await self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_unkept(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        # What one member of staff, or one borrower, is told must not be in a cache for the next.
        known = scope["state"]["staff"] or scope["state"]["borrower"]
        await self._app(scope, receive, send_unkept if known else send)

    async def _refusal(self, request: Request) -> Response | None:
        if not self._is_for_us(request):
            return _problem(request, 421, "wrong_host")
        rule, access = self._find(request)
        request.scope.setdefault("state", {})["rule"] = rule
        request.scope["state"] |= {"staff": None, "borrower": None}
        if rule is not None and access == "borrower":
            return await self._refuse_borrower(request, rule)
        if rule is None or not isinstance(access, frozenset):
            return None
        token, by_cookie = presented_token(request)
        deps: Deps = request.app.state.deps
        signed = token and await staff.session_of(deps.trail, token, self._sessions)
        if not signed:
            return self._to_sign_in(request, rule) or _not_signed_in(request)
        if not access & signed.roles:
            log.warning("role missing", staff=signed.staff_id, path=rule.path)
            return self._to_sign_in(request, rule) or _problem(request, 403, "role_missing")
        if by_cookie and request.method not in SAFE_METHODS:
            sent = request.headers.get(CSRF_HEADER, "").encode()
            if from_elsewhere(request) or not secrets.compare_digest(
                sent, signed.csrf_token.encode()
            ):
                log.warning("request forged or stale", staff=signed.staff_id, path=rule.path)
                return _problem(request, 403, "not_from_here")
        request.scope["state"]["staff"] = signed
        return None

    async def _refuse_borrower(self, request: Request, rule: Rule) -> Response | None:
        """Read who asks; the refusal of a token that does not prove it."""
        token = borrower_token(request, rule.path)
        if not token:
            return None
        deps: Deps = request.app.state.deps
        try:
            outcome = await deps.tokens.judge(token) if deps.tokens else Refused("unknown_key")
        except KeysUnavailable:
            late = _problem(request, 503, "identity_unavailable")
            late.headers["Retry-After"] = "15"
            return late
        if isinstance(outcome, Refused):
            # The reason is for whoever keeps the server: it would tell an attacker how near it was.
            log.warning("borrower token refused", reason=outcome.reason, path=rule.path)
            refused = _problem(request, 401, "token_refused", "Token not accepted")
            refused.headers["WWW-Authenticate"] = 'Bearer realm="zhunxin", error="invalid_token"'
            return refused
        request.scope["state"]["borrower"] = outcome
        return None

    def _find(self, request: Request) -> tuple[Rule | None, Access | None]:
        """As the router does: the first route whose path and method fit. None: it will answer
        404 or 405."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        method = "GET" if request.method == "HEAD" else request.method
        for rule in self._rules:
            if method in rule.methods and rule.pattern.match(path):
                return rule, rule.methods[method]
        return None, None

    def _is_for_us(self, request: Request) -> bool:
        if self._hosts is None:
            return True
        named = HOST.fullmatch(request.headers.get("host", ""))
        if named is None:
            return False
        host = named[1].strip("[]").lower().removesuffix(".")
        # A page cannot be led to us under a number: only names are bound anew by their owners.
        return host in self._hosts or (self._any_address and _is_address(host))

    def _to_sign_in(self, request: Request, rule: Rule) -> Response | None:
        """Who opens a page is sent to that of signing in, which also tells of a missing role; None
        for what is not a page."""
        if not rule.is_page or request.method not in SAFE_METHODS:
            return None
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(wanted, safe='/')}", 303)


async def held_to_the_table(request: Request) -> None:
    """A dependency of every route: the guard has judged this very route, and not another one."""
    rule: Rule | None = getattr(request.state, "rule", None)
    route = request.scope.get("route")
    if rule is None or rule.path != getattr(route, "path", None):
        log.error("route not judged", path=request.url.path)
        raise HTTPException(403)


def _not_signed_in(request: Request) -> JSONResponse:
    response = _problem(request, 401, "not_signed_in")
    response.headers["WWW-Authenticate"] = 'Bearer realm="zhunxin staff"'
    return response


def _problem(request: Request, status: int, code: str, title: str = "") -> JSONResponse:
    locale = accepted_locale(request.headers.get("accept-language", ""))
    return problem(status, notice(code, locale), title=title)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
