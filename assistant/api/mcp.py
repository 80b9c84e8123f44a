"""The application of `zhunxin mcp --http`: tools for other programs, with a staff token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.routing import Route

from assistant import __version__
from assistant.config import Settings
from assistant.deps import Deps, open_deps
from assistant.mcp_server import Endpoint
from prompts.render import notice

from . import access, problems
from .app import MAX_BODY_BYTES, Harden, LimitBody
from .problems import accepted_locale, problem

PATH = "/mcp"


def create_mcp_app(settings: Settings, *, host: str = "127.0.0.1") -> FastAPI:
    """The application. Tokens come from `POST /v1/staff/session` of `zhunxin serve` over the same
    database.

    host: the address served on; requests for another one are turned away.
    """

    async def opened() -> Deps:
        held: Deps = app.state.deps
        return held

    endpoint = Endpoint(opened)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_deps(settings) as deps, endpoint.run():
            app.state.deps = deps
            yield

    app = FastAPI(title="Zhunxin", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.demo = None
    problems.install(app)
    methods = ["GET", "POST", "DELETE"]
    app.router.routes.append(Route(PATH, SameOrigin(endpoint), methods=methods))
    app.add_middleware(LimitBody, max_bytes=2 * MAX_BODY_BYTES)
    app.add_middleware(
        access.Guard,
        rules=access.rules_of(app),
        settings=settings,
        bound_to=host,
        demo=False,
    )
    app.add_middleware(Harden)
    return app


class SameOrigin:
    """Turns away what a browser sends for a page of another site: such a page may have led the
    browser here under a name of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        if access.from_elsewhere(request):
            locale = accepted_locale(request.headers.get("accept-language", ""))
            await problem(403, notice("not_from_here", locale))(scope, receive, send)
            return
        await self._app(scope, receive, send)
