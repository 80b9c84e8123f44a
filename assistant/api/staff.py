"""Staff: signing in and out, who one is, and the accounts, which admins keep."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from assistant import staff
from assistant.staff import Account, BadAccount, Denied, Signed, SignedIn
from prompts.render import notice

from .access import (
    cookie_name,
    from_elsewhere,
    pages_for,
    presented_token,
    session_rules,
    signed_in,
)
from .chat import FromDeps
from .problems import documented, locale_of, problem
from .schemas import (
    AccountBody,
    AccountChanges,
    AccountsBody,
    DemoBody,
    MeBody,
    NewAccount,
    SessionBody,
    SignInRequest,
)

router = APIRouter(prefix="/v1/staff", tags=["staff"])

By = Annotated[Signed, Depends(signed_in)]
NOT_KEPT = {"Cache-Control": "no-store"}


@router.post(
    "/session",
    response_model=SessionBody,
    responses=documented(400, 401, 403, 413, 422, 429, 500),
)
async def open_session(body: SignInRequest, request: Request, deps: FromDeps) -> Response:
    """Sign in. The session comes as a cookie for pages, or, with `token`, in the reply for other
    programs, which send it as `Authorization: Bearer`."""
    locale = await locale_of(request)
    if from_elsewhere(request):
        return problem(403, notice("not_from_here", locale))
    demo = request.app.state.demo is not None and is_local(request)
    outcome = await staff.sign_in(
        deps.trail,
        body.login,
        body.password.get_secret_value(),
        session_rules(deps.settings, demo),
        address=request.client.host if request.client else "unknown",
    )
    match outcome:
        case Denied(wait_s=0):
            refused = problem(401, notice("sign_in_failed", locale))
            refused.headers["WWW-Authenticate"] = 'Bearer realm="zhunxin staff"'
            return refused
        case Denied(wait_s=wait_s):
            paused = problem(429, notice("sign_in_paused", locale, wait=str(wait_s)))
            paused.headers["Retry-After"] = str(wait_s)
            return paused
        case SignedIn(signed=signed, token=token):
            earlier, by_cookie = presented_token(request)
            if earlier and by_cookie:
                await staff.sign_out(deps.trail, earlier)
            me = _me(signed).model_dump(mode="json")
            answer = JSONResponse({**me, "token": token if body.token else None}, headers=NOT_KEPT)
            if not body.token:
                _set_cookie(request, answer, token, signed)
            return answer


@router.delete(
    "/session", status_code=204, responses=documented(401, 403, 500), response_class=Response
)
async def close_session(request: Request, deps: FromDeps) -> Response:
    """Sign out: the session ends everywhere."""
    token, _ = presented_token(request)
    await staff.sign_out(deps.trail, token)
    request.app.state.bell.tidy()
    answer = Response(status_code=204)
    answer.delete_cookie(
        cookie_name(request),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.get("/me", response_model=MeBody, responses=documented(401, 500))
async def me(signed: By) -> MeBody:
    """Who is signed in, the pages open to them, and what their page sends as `X-CSRF-Token`."""
    return _me(signed)


@router.get("/demo", response_model=DemoBody)
async def demo_accounts(request: Request) -> DemoBody:
    """The accounts of the demo with their password; none where this is no demo."""
    demo = request.app.state.demo
    if demo is None or not is_local(request):
        return DemoBody(accounts=[], password="")
    return DemoBody(accounts=[_body(a) for a in demo.accounts], password=demo.password)


@router.get("/accounts", response_model=AccountsBody, responses=documented(401, 403, 500))
async def accounts(deps: FromDeps) -> AccountsBody:
    """All staff accounts."""
    return AccountsBody(accounts=[_body(a) for a in await staff.list_accounts(deps.engine)])


@router.post(
    "/accounts",
    status_code=201,
    response_model=AccountBody,
    responses=documented(400, 401, 403, 413, 422, 500),
)
async def add_account(
    body: NewAccount, request: Request, deps: FromDeps, by: By
) -> AccountBody | JSONResponse:
    """Make an account; one made with a demo account, whose password everybody knows, is one too."""
    try:
        account = await staff.create_account(
            deps.trail,
            body.login,
            body.name,
            body.roles,
            body.password.get_secret_value(),
            demo=by.demo,
            by=by.staff_id,
        )
    except BadAccount as error:
        return await _bad_account(request, error)
    return _body(account)


@router.patch(
    "/accounts/{staff_id}",
    response_model=AccountBody,
    responses=documented(400, 401, 403, 404, 413, 422, 500),
)
async def change_account(
    staff_id: str, body: AccountChanges, request: Request, deps: FromDeps, by: By
) -> AccountBody | JSONResponse:
    """Change roles or password of an account, close it or open it again; its sessions end."""
    gives_up = body.disabled or (body.roles is not None and "admin" not in body.roles)
    if staff_id == by.staff_id and gives_up:
        return problem(422, notice("staff_own_account", await locale_of(request)))
    try:
        if by.demo and not (await staff.read_account(deps.engine, staff_id)).demo:
            return problem(403, notice("role_missing", await locale_of(request)))
        if body.password is not None:
            await staff.reset_password(
                deps.trail, staff_id, body.password.get_secret_value(), by=by.staff_id
            )
        if body.roles is not None:
            await staff.set_roles(deps.trail, staff_id, body.roles, by=by.staff_id)
        if body.disabled is not None:
            await staff.set_disabled(deps.trail, staff_id, body.disabled, by=by.staff_id)
        return _body(await staff.read_account(deps.engine, staff_id))
    except BadAccount as error:
        return await _bad_account(request, error)


async def _bad_account(request: Request, error: BadAccount) -> JSONResponse:
    status = 404 if error.code == "staff_unknown_login" else 422
    return problem(status, notice(error.code, await locale_of(request), **error.values))


def _set_cookie(request: Request, answer: Response, token: str, signed: Signed) -> None:
    answer.set_cookie(
        cookie_name(request),
        token,
        max_age=max(0, int((signed.expires_at - datetime.now(UTC)).total_seconds())),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def is_local(request: Request) -> bool:
    """Whether the client is on this machine; a proxy on it passes on who is not."""
    try:
        return bool(request.client and ipaddress.ip_address(request.client.host).is_loopback)
    except ValueError:
        return False


def _me(signed: Signed) -> MeBody:
    return MeBody(
        id=signed.staff_id,
        login=signed.login,
        name=signed.name,
        roles=[role for role in staff.ROLES if role in signed.roles],
        pages=pages_for(signed),
        csrf_token=signed.csrf_token,
        expires_at=signed.expires_at,
    )


def _body(account: Account) -> AccountBody:
    return AccountBody(
        id=account.id,
        login=account.login,
        name=account.name,
        roles=list(account.roles),
        demo=account.demo,
        disabled=account.disabled,
        created_at=account.created_at,
    )
