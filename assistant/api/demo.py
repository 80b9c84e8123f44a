"""The demo's customers, and tokens in their name. These routes are there in the demo only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from assistant.customers import masked_name
from assistant.demo_customers import Person, labels, typical
from assistant.identity import Secrets, TokenRules, Tokens, sign

from .access import from_elsewhere
from .problems import documented
from .schemas import DemoCustomerBody, DemoCustomersBody, DemoTokenBody, DemoTokenRequest
from .staff import NOT_KEPT, is_local

LIFETIME = timedelta(minutes=10)

router = APIRouter(prefix="/v1/demo", tags=["demo"])


@dataclass(frozen=True, slots=True)
class Host:
    """What the demo has in place of a lender's own app: its customers, and a secret."""

    people: tuple[Person, ...]
    rules: TokenRules
    secret: str


def open_host(people: list[Person], rules: TokenRules, secret: str) -> tuple[Host, Tokens | None]:
    """The demo's host app; and what judges its tokens, where no secret is set: one for as long as
    the server runs."""
    if secret:
        return Host(tuple(people), rules, secret), None
    made = secrets.token_hex(32)
    own = replace(rules, algorithm="HS256", issuer="zhunxin-demo", once=False)
    return Host(tuple(people), own, made), Tokens(own, Secrets([made]))


def _host(request: Request) -> Host:
    host: Host | None = request.app.state.demo_host
    if host is None or not is_local(request):
        raise HTTPException(404)
    return host


FromHost = Annotated[Host, Depends(_host)]


@router.get("/customers", response_model=DemoCustomersBody, responses=documented(404))
async def customers(host: FromHost) -> DemoCustomersBody:
    """One customer for each state that a customer can be in."""
    return DemoCustomersBody(
        customers=[
            DemoCustomerBody(
                id=person.record.customer.id,
                name=masked_name(person.record.customer.name),
                label=dict(labels(person.state)),
            )
            for person in typical(list(host.people))
        ]
    )


@router.post("/tokens", response_model=DemoTokenBody, responses=documented(403, 404, 422))
async def token(body: DemoTokenRequest, request: Request, host: FromHost) -> Response:
    """A token in the name of a customer of the demo, as a host app would sign it."""
    if from_elsewhere(request):
        raise HTTPException(403)
    if body.customer_id not in {person.record.customer.id for person in host.people}:
        raise HTTPException(404)
    made = sign(host.secret, host.rules, body.customer_id, LIFETIME)
    answer = DemoTokenBody(token=made, expires_at=datetime.now(UTC) + LIFETIME)
    return JSONResponse(answer.model_dump(mode="json"), headers=NOT_KEPT)
