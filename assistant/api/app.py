"""The web application: routes, pages, limits and headers around the pipelines."""

from __future__ import annotations

import asyncio
import gc
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from assistant import __version__, journal, metrics, privacy
from assistant.answer import warm_up
from assistant.audit import can_write
from assistant.case_drafts import StillInFile
from assistant.compliance import try_examples
from assistant.config import Settings
from assistant.demo_customers import demo_file, seed
from assistant.deps import Deps, ReleaseMismatch, open_customers, open_deps, token_rules
from assistant.grounding import warm_up as warm_up_grounding
from assistant.llm import ModelError
from assistant.loan_math import TOOLS
from assistant.models import today
from assistant.offer_jobs import Worker as OfferWorker
from assistant.staff import open_demo_accounts
from assistant.uploads import Worker
from assistant.webhooks import Worker as WebhookWorker
from knowledge.embed import EmbeddingUnavailable
from knowledge.retrieve import Scope, retrieve
from knowledge.store import NoRelease
from knowledge.vectors import VectorsMissing
from prompts.render import notice

from . import (
    access,
    audit,
    calculations,
    chat,
    compliance,
    conversations,
    copilot,
    desk,
    evals,
    feedback,
    handoffs,
    knowledge,
    offers,
    openai,
    problems,
    scores,
    staff,
)
from . import demo as demo_routes
from .chat import KEEP_ALIVE_S
from .live import Bell
from .problems import accepted_locale, documented, locale_of, problem

WEB = Path(__file__).parent.parent / "web"
MAX_BODY_BYTES = 256 * 1024
MAX_RESULTS_BYTES = 16 * 1024 * 1024
"""Of a file with a row for each customer of a campaign, some hundred thousand of them."""
RESULTS_PATH = re.compile("/v1/campaigns/[a-z0-9-]{1,64}/results")
LIMITED = {
    "/v1/chat": "chat",
    "/v1/chat/completions": "chat",
    "/v1/search": "search",
    "/v1/feedback": "feedback",
    "/v1/staff/session": "sign-in",
    "/v1/handoffs": "chat",
    "/v1/handoffs/{handoff_id}/contact": "chat",
    "/v1/handoffs/{handoff_id}/leave": "chat",
    "/v1/conversations/{conversation_id}/messages": "chat",
    **{f"/v1/calculations/{tool}": "calculate" for tool in TOOLS},
}
"""Path as the route declares it -> which count of requests a minute it goes into."""

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

operations = APIRouter(tags=["operations"])
pages = APIRouter(include_in_schema=False)

log = structlog.get_logger()


def create_app(
    settings: Settings,
    deps: Deps | None = None,
    *,
    host: str = "127.0.0.1",
    demo: bool = False,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> FastAPI:
    """The application.

    deps: used instead of opening what the settings ask for.
    host: the address served on; requests for another one are turned away.
    demo: whether the demo accounts can sign in; `host` is then on loopback.
    keep_alive_s: longest silence on a stream.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            held = await stack.enter_async_context(open_deps(settings)) if deps is None else deps
            app.state.deps = held
            app.state.uploads = Worker(
                held.settings,
                held.engine,
                held.vector_store,
                held.embedder,
                held.trail,
                held.rules,
                held.named_lender,
                held.forget_release,
            )
            if demo:
                app.state.demo = await open_demo_accounts(held.trail)
                await _open_demo_host(app, held)
                if held.customers is not None:
                    stack.push_async_callback(held.customers.close)
                held.desk = held.desk and held.desk.for_demo()
            app.state.bell = Bell(held, access.session_rules(held.settings, demo))
            app.state.offers = OfferWorker(held)
            async with asyncio.TaskGroup() as tasks:
                works = [
                    app.state.uploads.run,
                    app.state.bell.run,
                    app.state.offers.run,
                    partial(_close_left_open, held),
                    WebhookWorker(held.webhook, held.engine, held.settings.home).run,
                    *([partial(_warm, held)] if deps is None else []),
                ]
                background = [tasks.create_task(keep_running(work)) for work in works]
                yield
                # Answers that were cut off a moment ago are about to be recorded.
                await held.under_way.all_closed(CLOSED_WITHIN_S)
                for task in background:
                    task.cancel()

    app = FastAPI(
        title="Zhunxin",
        version=__version__,
        summary="Answers for borrowers that quote the clause they rest on.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(access.held_to_the_table)],  # of a route that is added to it later
    )
    app.state.keep_alive_s = keep_alive_s
    app.state.demo = None
    app.state.demo_host = None
    problems.install(app)
    app.router.routes.extend(_routes(demo))
    _limit_requests(app, settings.requests_per_minute)
    app.mount("/web", StaticFiles(directory=WEB), name="web")

    # The last one added is met first: headers, other origins, who may call, how much is sent.
    app.add_middleware(LimitBody, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(
        access.Guard, rules=access.rules_of(app), settings=settings, bound_to=host, demo=demo
    )
    origins = [origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Accept", "Last-Event-ID"],
        )
    app.add_middleware(Harden)
    return app


@cache
def _routes(demo: bool) -> list[BaseRoute]:
    """The routes of every application of this process: what they take and give is worked out once,
    which takes a fifth of a second."""
    router = APIRouter(dependencies=[Depends(access.held_to_the_table)])
    router.include_router(openai.router)
    router.include_router(chat.router)
    router.include_router(conversations.router)
    router.include_router(handoffs.router)
    router.include_router(desk.router)
    router.include_router(copilot.router)
    router.include_router(staff.router)
    router.include_router(knowledge.router)
    router.include_router(audit.router)
    router.include_router(compliance.router)
    router.include_router(calculations.router)
    router.include_router(evals.router)
    router.include_router(feedback.router)
    router.include_router(offers.router)
    router.include_router(scores.router)
    if demo:
        router.include_router(demo_routes.router)
    router.include_router(operations)
    router.include_router(pages)
    return router.routes


async def _open_demo_host(app: FastAPI, held: Deps) -> None:
    """Customers to be one of, and what signs their tokens. Not where the settings name customers,
    or public keys of a host app, of which only that app has the private ones."""
    settings = held.settings
    if settings.customers_url or settings.token_jwks:
        return
    people = await asyncio.to_thread(seed, settings.home, today())
    address = f"sqlite+aiosqlite:///{demo_file(settings.home)}"
    held.customers = open_customers(address, settings)
    secret = settings.token_secret.get_secret_value().split(",")[-1].strip()
    app.state.demo_host, tokens = demo_routes.open_host(people, token_rules(settings), secret)
    held.tokens = tokens or held.tokens


def _limit_requests(app: FastAPI, a_minute: int) -> None:
    """Refuse what one borrower, or one address, sends beyond so many requests a minute, by the
    counts of LIMITED. Many borrowers may share an address, and one may have many."""
    limiter = MovingWindowRateLimiter(MemoryStorage())
    allowance = RateLimitItemPerMinute(a_minute)

    @app.middleware("http")
    async def limit(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        borrower = access.borrower_of(request)
        address = request.client.host if request.client else "unknown"
        sender = f"borrower {borrower.customer_id}" if borrower else address
        rule: access.Rule | None = request.state.rule
        counted = LIMITED.get(rule.path) if rule and request.method == "POST" else None
        if counted and not await limiter.hit(allowance, counted, sender):
            response: Response = problem(429, notice("too_many_requests", await locale_of(request)))
            window = await limiter.get_window_stats(allowance, counted, sender)
            wait_s = math.ceil(window.reset_time - time.time())
            response.headers["Retry-After"] = str(max(1, wait_s))
        else:
            response = await call_next(request)
        return response


@operations.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@operations.get("/readyz", response_model=dict[str, str], responses=documented(503))
async def readyz(request: Request) -> dict[str, str] | JSONResponse:
    """Knowledge is loaded and questions can be taken; the model may still be starting."""
    held: Deps = request.app.state.deps
    try:
        index = await held.index()
    except (NoRelease, VectorsMissing, ReleaseMismatch, EmbeddingUnavailable) as error:
        return problem(503, str(error))
    except SQLAlchemyError as error:
        log.error("the database does not answer", exc_info=error)
        return problem(503, "the database does not answer")
    if not await can_write(held.trail):
        return problem(503, "the audit chain cannot be written")
    model = "loading" if held.model_loading else "ready"
    return {
        "status": "ready",
        "release": index.release.id,
        "model": model if held.wants_model else "extractive",
        "pack": held.rules.jurisdiction,
    }


@operations.get("/metrics", response_class=PlainTextResponse)
async def prometheus() -> Response:
    """Counters and timings in the Prometheus text format."""
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


@pages.get("/")
async def host_page() -> FileResponse:
    return FileResponse(WEB / "index.html")


@pages.get("/widget.js")
async def widget() -> FileResponse:
    return FileResponse(WEB / "widget.js", media_type="text/javascript")


@pages.get("/copilot.js")
async def copilot_element() -> FileResponse:
    return FileResponse(WEB / "copilot.js", media_type="text/javascript")


@pages.get("/sign-in")
async def sign_in_page() -> FileResponse:
    return FileResponse(WEB / "sign-in.html")


@pages.get("/knowledge")
async def knowledge_page() -> FileResponse:
    return FileResponse(WEB / "knowledge.html")


@pages.get("/check")
async def check_page() -> FileResponse:
    return FileResponse(WEB / "check.html")


@pages.get("/desk")
async def desk_page() -> FileResponse:
    return FileResponse(WEB / "desk.html")


@pages.get("/quality")
async def quality_page() -> FileResponse:
    return FileResponse(WEB / "quality.html")


@pages.get("/studio")
async def studio_page() -> FileResponse:
    return FileResponse(WEB / "studio.html")


CLOSED_WITHIN_S = 10.0
"""How long the end of the server waits for records of answers that were cut off."""
LEFT_OPEN_EVERY_S = 3600.0
"""How often records are looked for that a killed process left open."""


RESTART_S = 5.0
"""How long it is waited before work in the background that failed is begun again."""


async def keep_running(work: Callable[[], Awaitable[None]], wait_s: float = RESTART_S) -> None:
    """Do work in the background until it is done; what fails is told in the log and begun again,
    and never ends what runs beside it."""
    while True:
        try:
            return await work()
        except Exception as error:
            log.error("work in the background failed and is begun again", exc_info=error)
            await asyncio.sleep(wait_s)


async def _close_left_open(deps: Deps) -> None:
    while True:
        try:
            if closed := await journal.close_left_open(deps.trail):
                log.warning("records were closed that a process had left open", records=closed)
        except (SQLAlchemyError, StillInFile) as error:
            log.warning("records that were left open stay so", error=type(error).__name__)
        await asyncio.sleep(LEFT_OPEN_EVERY_S)


COLLECT_AFTER = (2_000, 10, 100)
"""Objects more than before, and such collections before each larger collection of garbage: full
ones come in minutes of load."""


async def _warm(deps: Deps) -> None:
    """Load knowledge and model before the first question asks for them."""
    try:
        index = await deps.index()
        embedder = await deps.embedder()
        await asyncio.to_thread(retrieve, index, embedder, index.release.id, Scope(today()), 1)
    except (NoRelease, VectorsMissing, ReleaseMismatch, EmbeddingUnavailable) as error:
        log.error("no knowledge to answer from", error=str(error))
    # The patterns of the rules make most of their states when they are first used.
    await asyncio.to_thread(try_examples, deps.rules)
    await asyncio.to_thread(privacy.mask, "1")
    await asyncio.to_thread(warm_up_grounding)
    if deps.wants_model:
        try:
            model = await deps.chat_model()
            await warm_up(model, at_once=2)
            log.info("language model ready", model=model.name)
        except ModelError as error:
            log.error("no language model; clauses will be quoted", error=str(error))
    # What is loaded by now stays: looking through it for garbage, and often through all that open
    # streams hold, stopped every stream for half a second each few seconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class Harden:
    """Puts PAGE_HEADERS on every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_hardened(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PAGE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_hardened if scope["type"] == "http" else send)


class LimitBody:
    """Refuses a request whose body is larger than `max_bytes`, declared or sent."""

    def __init__(self, app: Any, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        form = headers.get("content-type", "").startswith("multipart/form-data")
        if form and scope["method"] == "POST" and scope["path"] == knowledge.UPLOADS_PATH:
            await self._app(scope, receive, send)  # written to disk as it comes, within bounds
            return
        most = self._max_bytes
        table = headers.get("content-type", "").partition(";")[0].strip() == "text/csv"
        if table and scope["method"] == "POST" and RESULTS_PATH.fullmatch(scope["path"]):
            most = MAX_RESULTS_BYTES
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdecimal()) or int(declared) > most:
            await _too_large(headers)(scope, receive, send)
            return
        # Read ahead, within the bound, so that a body without a length cannot pass it either.
        messages: list[Any] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client left before it had sent everything
            messages.append(message)
            size += len(message.get("body", b""))
            if size > most:
                await _too_large(headers)(scope, receive, send)
                return
            if not message.get("more_body"):
                break

        async def replay() -> Any:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)


def _too_large(headers: Headers) -> JSONResponse:
    return problem(413, notice("too_large", accepted_locale(headers.get("accept-language", ""))))
