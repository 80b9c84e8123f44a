"""The door of the Model Context Protocol: the copilot's functions as tools of other programs.

Tools call what the routes of the HTTP API call, and are open to whom those are open. Over stdio the
caller is whoever started the program, who may read the home folder anyway; over HTTP a member of
staff, whom the guard of the API has let in. Nobody's record is read: no tool takes a customer, and
nothing that is written in a text is one.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import mcp_types as types
import structlog
from mcp.server import ServerRequestContext
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema

from knowledge.embed import EmbeddingUnavailable
from knowledge.lender import LenderFileError
from knowledge.store import NoRelease
from knowledge.vectors import VectorsMissing
from prompts.render import notice

from . import __version__, copilot, journal
from .answer import BadQuestion
from .api.access import ACCESS, ANY_STAFF
from .api.calculations import REQUESTS, CalculatedBody, calculated
from .api.compliance import CannotCheck, check_text
from .api.copilot_schemas import MOST_TURN_CHARS, MOST_TURNS, SuggestionBody, TurnRequest
from .api.knowledge import find_clauses
from .api.knowledge_schemas import SearchBody, SearchRequest
from .api.problems import FIELDS_NAMED
from .api.schemas import CheckedBody, CheckRequest, LocaleName
from .approved import ApprovedError
from .asked import ToolsError
from .audit import KeyUnusable
from .compliance import rule_as_json
from .config import ConfigError, Settings
from .conversation import ConversationError
from .copilot import Case
from .db import DatabaseUnavailable
from .deps import Deps, ReleaseMismatch, open_deps
from .desk_plan import DeskPlanError
from .elements import ChannelsError
from .loan_math import BadArgument
from .rules import Channel, RulePackError
from .staff import Role, Signed
from .transcripts import BadTranscript, Problem, Transcript, Turn, read_transcripts
from .triage import TriageError

MAX_ARGUMENTS_BYTES = 256 * 1024
"""Of one call: as much as the HTTP API takes."""
MAX_TRANSCRIPT_CHARS = 60_000
SCHEME = "zhunxin://"

NOT_OPENED = (
    ApprovedError,
    ChannelsError,
    ConfigError,
    ConversationError,
    DatabaseUnavailable,
    DeskPlanError,
    KeyUnusable,
    LenderFileError,
    RulePackError,
    ToolsError,
    TriageError,
)
"""What open_deps raises where a setting or a file is wrong; each says what to do."""
NOT_READY = (EmbeddingUnavailable, NoRelease, ReleaseMismatch, VectorsMissing)

log = structlog.get_logger()

Context = ServerRequestContext[Any, Any]
Opened = Callable[[], Awaitable[Deps]]
"""Gives what tools work with; the first call that needs it opens it."""


class Refused(Exception):
    """A call cannot be done; the message is for the caller."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf something is called."""

    roles: frozenset[Role]
    staff_id: str = ""
    """Empty: whoever started the program."""


OPERATOR = Caller(ANY_STAFF)


# Arguments ------------------------------------------------------------------------------------


class _AnyRequest:
    """Describes arguments as those of one of the calculations."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        requests = [handler(request.__pydantic_core_schema__) for request in REQUESTS.values()]
        return {"anyOf": requests}


class CalculateArguments(BaseModel):
    """One exact calculation."""

    model_config = ConfigDict(extra="forbid")

    tool: str = Field(
        description="`schedule`: what is paid when. `rate`: what borrowing costs a year. `settle`: "
        "what is due to settle early. `prepay`: what becomes of the instalments when principal is "
        "paid ahead. `overdue`: the penalty. `coupon`: what coupons take off. `compare`: two loans "
        "side by side.",
        json_schema_extra={"enum": [*REQUESTS]},
    )
    arguments: Annotated[dict[str, Any], _AnyRequest()] = Field(
        description="Those of the calculation: ScheduleRequest, RateRequest and so on."
    )


class _Conversation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    conversation: str = Field(
        default="",
        max_length=64,
        pattern="^[0-9A-Za-z._:-]*$",
        description="Your own id of the conversation: what is suggested is kept, and erased, by "
        "it.",
    )
    task: Literal["agent", "collections"] = Field(
        default="agent", description="Whose rules hold: service, or collecting what is overdue."
    )
    channel: Channel = Field(default="chat", description="Where the conversation is held.")
    locale: LocaleName = Field(default="zh-Hans", description="Language of replies and notes.")


class SuggestArguments(_Conversation):
    """A borrower's message that somebody at a desk has to answer."""

    message: str = Field(
        min_length=1, max_length=MOST_TURN_CHARS, description="What the borrower wrote last."
    )
    earlier: list[TurnRequest] = Field(
        default=[], max_length=MOST_TURNS, description="What was said before it, oldest first."
    )
    as_of: date | None = Field(default=None, description="Answer as of this day.")
    contract_date: date | None = Field(
        default=None, description="When the contract in question was signed, if known."
    )


class SummariseArguments(_Conversation):
    """A conversation: its turns, or its text."""

    turns: list[TurnRequest] = Field(
        default=[], max_length=MOST_TURNS, description="The conversation, oldest first."
    )
    text: str = Field(
        default="",
        max_length=MAX_TRANSCRIPT_CHARS,
        description="In place of turns: a line each, who speaks before what is said, such as "
        "`borrower: ...`.",
    )
    wrap_up: bool = Field(
        default=False,
        description="Also how it could be closed: reason, promises with their days, flags, next "
        "contact.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> SummariseArguments:
        if bool(self.turns) == bool(self.text.strip()):
            raise ValueError("expected turns or text")
        return self


# Tools ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function as callers know it."""

    title: str
    description: str
    route: tuple[str, str]
    """Of the HTTP API: whoever may call it may call the tool."""
    arguments: type[BaseModel]
    run: Callable[[Any, Deps, Caller], Awaitable[dict[str, Any]]]
    result: type[BaseModel] | None = None
    """What `run` gives; None: described in docs/mcp.md alone."""

    @property
    def roles(self) -> frozenset[Role]:
        access = ACCESS[self.route]
        return access if isinstance(access, frozenset) else ANY_STAFF


async def _search(body: SearchRequest, deps: Deps, caller: Caller) -> dict[str, Any]:
    return (await find_clauses(body, deps)).model_dump(mode="json")


async def _check(body: CheckRequest, deps: Deps, caller: Caller) -> dict[str, Any]:
    try:
        return await check_text(body, deps)
    except CannotCheck as error:
        raise Refused(str(error)) from None


async def _calculate(body: CalculateArguments, deps: Deps, caller: Caller) -> dict[str, Any]:
    kind = REQUESTS.get(body.tool)
    if kind is None:
        raise Refused(f"tool: expected one of {', '.join(REQUESTS)}")
    try:
        request = kind.model_validate(body.arguments)
        return await calculated(body.tool, request)
    except ValidationError as error:
        raise Refused(_wrong(error, "arguments")) from None
    except BadArgument as error:
        raise Refused(f"arguments.{error.field}: {error.words(request.locale)}") from None


async def _suggest(body: SuggestArguments, deps: Deps, caller: Caller) -> dict[str, Any]:
    said = [Turn(each.speaker, each.text, each.at) for each in body.earlier]
    said.append(Turn("borrower", body.message))
    case = _case(body, said, as_of=body.as_of, contract_date=body.contract_date)
    try:
        return await copilot.whole(copilot.suggest(case, deps, caller.staff_id))
    except copilot.NotSuggested as error:
        raise Refused(str(error)) from None


async def _summarise(body: SummariseArguments, deps: Deps, caller: Caller) -> dict[str, Any]:
    turns = [Turn(each.speaker, each.text, each.at) for each in body.turns]
    problems: tuple[Problem, ...] = ()
    if not turns:
        read = await asyncio.to_thread(_read_text, body.text)
        turns, problems = list(read.turns), read.problems
    case = _case(body, turns)
    made = await (copilot.wrap_up if body.wrap_up else copilot.summary)(case, deps)
    return {**made, "left_out": [asdict(each) for each in problems]}


def _case(body: _Conversation, turns: Sequence[Turn], **more: Any) -> Case:
    """A conversation that is held elsewhere, of nobody who is known."""
    return copilot.case_of_turns(
        body.conversation or f"mcp:{uuid.uuid4().hex}",
        turns,
        now=datetime.now(UTC),
        task=body.task,
        channel=body.channel,
        locale=body.locale,
        **more,
    )


def _read_text(text: str) -> Transcript:
    """The conversation of a text. Raises Refused."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "text.txt")
        file.write_text(text, encoding="utf-8", errors="replace")
        read = list(read_transcripts(file))
    if len(read) != 1:
        raise Refused(f"text: expected one conversation, found {len(read)}")
    only = read[0]
    if isinstance(only, BadTranscript):
        named = [f"line {each.line}: {each.code} {each.detail}" for each in only.problems]
        raise Refused("; ".join(["text: nobody's words were found", *named[:FIELDS_NAMED]]))
    return only


TOOLS: Mapping[str, Tool] = {
    "search": Tool(
        "Search the clauses in force",
        "Finds clauses of laws, product terms, policies and answers that are in force on a day, "
        "best first, each with its document, place and text to cite. `audience` `agent` also finds "
        "what is for staff only: never pass that on to a borrower.",
        ("POST", "/v1/search"),
        SearchRequest,
        _search,
        SearchBody,
    ),
    "check": Tool(
        "Check a text by the compliance rules",
        "Says what the rules forbid or ask of a text before it is sent: each finding with its "
        "place, rule, article and better wording. A text with the verdict `block` must not go out.",
        ("POST", "/v1/check"),
        CheckRequest,
        _check,
        CheckedBody,
    ),
    "calculate": Tool(
        "Calculate exactly",
        "Instalments, yearly rates, early settlement, prepayment, penalties, coupons and "
        "comparisons of loans, in exact decimals, with formulas, conventions and sources. Use it "
        "for every figure that is not quoted from a clause.",
        ("POST", "/v1/calculations/schedule"),
        CalculateArguments,
        _calculate,
        CalculatedBody,
    ),
    "suggest": Tool(
        "Suggest a reply",
        "What somebody at a desk could answer to a borrower's message: a reply of which each "
        "sentence rests on a clause in force and passed the rules, in short and in detail, and "
        "next steps with their reasons. Of no customer: account figures need the desk.",
        ("POST", "/v1/copilot/suggest"),
        SuggestArguments,
        _suggest,
        SuggestionBody,
    ),
    "summarise": Tool(
        "Summarise a conversation",
        "What was asked, answered and left open, without a language model; with `wrap_up` also "
        "reason, promises, flags and next contact.",
        ("POST", "/v1/copilot/summary"),
        SummariseArguments,
        _summarise,
    ),
}


async def call(
    name: str, arguments: Mapping[str, Any], opened: Opened, caller: Caller
) -> dict[str, Any]:
    """What a tool gives, JSON-ready. Raises Refused, and KeyError for an unknown tool."""
    tool = TOOLS[name]
    if not tool.roles & caller.roles:
        raise Refused(f"{name} needs a role that you do not have: {', '.join(sorted(tool.roles))}")
    size = len(json.dumps(arguments, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MAX_ARGUMENTS_BYTES:
        raise Refused(f"too large: {size} bytes of arguments; at most {MAX_ARGUMENTS_BYTES}")
    try:
        body = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        raise Refused(_wrong(error)) from None
    try:
        found = await tool.run(body, await opened(), caller)
    except BadQuestion as error:
        locale = getattr(body, "locale", "zh-Hans")
        raise Refused(notice(error.code, locale, **error.values)) from None
    if tool.result is None:
        return found
    return tool.result.model_validate(found).model_dump(mode="json", exclude_unset=True)


def _wrong(error: ValidationError, within: str = "") -> str:
    """Which arguments are wrong, without what was given: it may be somebody's data."""
    lines = []
    for each in error.errors(include_input=False, include_url=False)[:FIELDS_NAMED]:
        place = ".".join([within, *map(str, each["loc"])] if within else map(str, each["loc"]))
        problem = each["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {problem}" if place else problem)
    return "; ".join(lines)


# Resources ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Readable:
    """Something that any member of staff may read, under an address or under each of a kind."""

    title: str
    description: str
    read: Callable[[str, Deps], Awaitable[Any]]
    """From its id to what is told, JSON-ready; None where there is no such thing."""


async def _rules(name: str, deps: Deps) -> Any:
    rules = [rule_as_json(rule) for rule in deps.rules.rules]
    return {"rules": rules, "rules_version": deps.rules.version}


async def _rule(name: str, deps: Deps) -> Any:
    rule = deps.rules.by_id.get(name)
    return rule and rule_as_json(rule, full=True)


async def _clause(name: str, deps: Deps) -> Any:
    clause = (await deps.index()).by_id.get(name)
    return clause and {
        **journal.clause_as_json(clause),
        "text": clause.text,
        "audience": clause.audience,
    }


RESOURCES: Mapping[str, Readable] = {
    "rules": Readable("Compliance rules", "All rules, in the order of their files.", _rules),
}
TEMPLATES: Mapping[str, Readable] = {
    "rules/{id}": Readable(
        "A compliance rule",
        "One rule with its sources, examples and wording.",
        _rule,
    ),
    "clauses/{id}": Readable(
        "A clause",
        "One clause of the live release with its text; `audience` says whether it is for staff "
        "only.",
        _clause,
    ),
}


async def read(uri: str, opened: Opened) -> Any:
    """What stands under an address. Raises Refused."""
    place, _, name = uri.removeprefix(SCHEME).partition("/")
    known = TEMPLATES.get(f"{place}/{{id}}") if name else RESOURCES.get(place)
    if known is None or not uri.startswith(SCHEME):
        raise Refused(f"nothing to read here; there are {', '.join(_addresses())}")
    found = await known.read(unquote(name), await opened())
    if found is None:
        raise Refused("there is no such thing in the live release")
    return found


def _addresses() -> list[str]:
    return [f"{SCHEME}{place}" for place in (*RESOURCES, *TEMPLATES)]


# The protocol ---------------------------------------------------------------------------------


def build_server(opened: Opened, caller_of: Callable[[Context], Caller]) -> Server[Any]:
    """The tools and resources as the protocol has them. Tools are listed to those who may call
    them. What goes wrong in a tool is told in its result, in a sentence."""

    async def list_tools(
        context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        roles = caller_of(context).roles
        return types.ListToolsResult(
            tools=[_described(name, tool) for name, tool in TOOLS.items() if tool.roles & roles]
        )

    async def call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if params.name not in TOOLS:
            there_are = ", ".join(TOOLS)
            raise MCPError(types.INVALID_PARAMS, f"unknown tool; there are {there_are}")
        caller = caller_of(context)

        async def called() -> dict[str, Any]:
            return await call(params.name, params.arguments or {}, opened, caller)

        found = await _guarded(called, params.name)
        if isinstance(found, Refused):
            return types.CallToolResult(
                content=[types.TextContent(type="text", text=_clean(str(found)))], is_error=True
            )
        text = json.dumps(found, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=found
        )

    async def list_resources(
        context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    name=place,
                    uri=SCHEME + place,
                    title=each.title,
                    description=each.description,
                    mime_type="application/json",
                )
                for place, each in RESOURCES.items()
            ]
        )

    async def list_templates(
        context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    name=place.partition("/")[0],
                    uri_template=SCHEME + place,
                    title=each.title,
                    description=each.description,
                    mime_type="application/json",
                )
                for place, each in TEMPLATES.items()
            ]
        )

    async def read_resource(
        context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        async def readable() -> Any:
            return await read(params.uri, opened)

        found = await _guarded(readable, "read")
        if isinstance(found, Refused):
            raise MCPError(types.INVALID_PARAMS, _clean(str(found)))
        text = json.dumps(found, ensure_ascii=False)
        told = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[told])

    return Server(
        "zhunxin",
        title="Zhunxin",
        version=__version__,
        instructions="Search and suggest give text with the clause it rests on: cite it. Calculate "
        "every figure, and check every text before it is sent.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


async def _guarded(work: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What the work gives, or why it gives nothing."""
    try:
        return await work()
    except Refused as refusal:
        log.info("refused over MCP", what=what)
        return refusal
    except NOT_READY as error:
        return Refused(f"not ready: {error}")
    except NOT_OPENED as error:
        return Refused(f"the server cannot open what it works with: {error}")
    except Exception as error:
        trace_id = uuid.uuid4().hex
        log.error("call over MCP failed", what=what, trace_id=trace_id, exc_info=error)
        return Refused(f"a fault of the server; its log tells more under {trace_id}")


def _described(name: str, tool: Tool) -> types.Tool:
    return types.Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(schema_generator=_Untitled),
        output_schema=tool.result.model_json_schema(schema_generator=_Untitled)
        if tool.result
        else None,
        annotations=types.ToolAnnotations(
            title=tool.title, read_only_hint=True, idempotent_hint=True, open_world_hint=False
        ),
    )


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which says its name once more: models read schemas whole."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _clean(text: str) -> str:
    """Half of a surrogate pair, which JSON may name, cannot be sent back."""
    return text.encode("utf-8", "replace").decode()


@asynccontextmanager
async def lazily(settings: Settings) -> AsyncIterator[Opened]:
    """What the settings ask for, opened by the first call that needs it and closed at the end."""
    async with AsyncExitStack() as stack:
        lock = asyncio.Lock()
        held: list[Deps] = []

        async def opened() -> Deps:
            async with lock:
                if not held:
                    held.append(await stack.enter_async_context(open_deps(settings)))
            return held[0]

        yield opened


async def serve_stdio(settings: Settings) -> None:
    """Serve whoever started the program, until they close its input. Nothing else is written to
    stdout: while the protocol has it, what others print goes to stderr."""
    async with lazily(settings) as opened, stdio_server() as (reading, writing):
        server = build_server(opened, lambda context: OPERATOR)
        await server.run(reading, writing, server.create_initialization_options())


class Endpoint:
    """An ASGI application that speaks the protocol over HTTP; whoever mounts it says who calls,
    as `staff` of a request's state, and judges Host and Origin."""

    def __init__(self, opened: Opened) -> None:
        server = build_server(opened, _signed_in)
        self._sessions = StreamableHTTPSessionManager(
            server, max_request_body_size=MAX_ARGUMENTS_BYTES * 2
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Once, around everything that is asked."""
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        signed: Signed = scope["state"]["staff"]
        # A session of the protocol belongs to who opened it.
        token = AccessToken(token="", client_id=signed.staff_id, scopes=[])
        scope = {**scope, "user": AuthenticatedUser(token)}
        await self._sessions.handle_request(scope, receive, send)


def _signed_in(context: Context) -> Caller:
    request: Any = context.request
    signed: Signed = request.state.staff
    return Caller(signed.roles, signed.staff_id)
