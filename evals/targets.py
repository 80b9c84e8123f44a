"""Who is asked: the pipeline of this process, a deployment over HTTP, or a bot of others.

All three give a `Told` for a case. A deployment says what its words rest on; a bot that speaks
OpenAI's chat protocol has text alone, so that metrics of citations say nothing about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from assistant import triage
from assistant.answer import BadQuestion, answer_question, collect
from assistant.api.schemas import ReplyBody
from assistant.asked import load_tools
from assistant.compliance import review
from assistant.config import Settings
from assistant.customers import Guarded, MemoryCustomers
from assistant.demo_customers import demo_people
from assistant.deps import Deps
from assistant.identity import subject_of
from assistant.journal import reply_as_json
from assistant.llm import ChatModel, Completion, Message, Piece, TextStream, ToolSpec, Way
from assistant.models import Calculation, Citation, Contact, Question, Reply, Sentence, Withheld
from assistant.privacy import mask
from assistant.rules import RulePack, read_context
from knowledge.chunk import chunk
from knowledge.documents import Clause, Head
from knowledge.readers import MANIFEST, read, read_manifest
from knowledge.retrieve import question_vector
from prompts.render import way_to_a_person

from .metrics import Seen
from .prices import Prices, Tokens, load_prices
from .schema import Case
from .suites import Suite
from .wording import offers_contact, read_status, told_beside

CORPUS = Path(__file__).parent.parent / "knowledge" / "corpus"

BOT = "openai:"
"""Before the address of a bot of others."""

FAULTS_IN_A_ROW = 3
"""After so many an endpoint is given up, and the run with it."""

LONGEST_PAUSE_S = 60.0
"""An endpoint that asks for a longer pause is not waited for."""

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413, 422})


class EndpointFault(Exception):
    """An endpoint cannot be asked or answers with something else; the message names it."""


class CaseUnanswered(Exception):
    """A case came to no reply of the assistant that is being measured."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a case that was asked."""

    seen: Seen
    model: str = ""
    latency_ms: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    """Calls of a model whose tokens are not known, and so in neither of these."""
    cost: float | None = None
    """In the currency of the prices; None where there are none, or not all is known."""

    @property
    def said(self) -> str:
        """Status and reply; empty where only the search was run."""
        if self.seen.rejected:
            return f"[rejected] {self.seen.rejected}"
        reply = self.seen.reply
        return f"[{reply.status}] {reply.answer}" if reply else ""

    @property
    def cited(self) -> tuple[str, ...]:
        """Documents and places cited, or found where only the search was run."""
        reply = self.seen.reply
        places = (
            self.seen.sources
            if reply is None
            else [f"{c.clause.source} {c.clause.locator}" for c in reply.citations]
        )
        return tuple(dict.fromkeys(places))

    def as_json(self) -> dict[str, Any]:
        """The reply as `zhunxin ask` has it; empty where there was none."""
        return reply_as_json(self.seen.reply) if self.seen.reply else {}


class Target(Protocol):
    """Something that can be asked."""

    @property
    def endpoint(self) -> str:
        """Its address; empty for the pipeline of this process."""

    @property
    def searches(self) -> bool:
        """Whether it can be run up to its search only, and over documents of a suite's own."""

    async def ask(self, case: Case, suite: Suite, seed: int) -> Told:
        """Raises CaseUnanswered, EndpointFault."""

    async def close(self) -> None: ...


# In this process ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Usage:
    by_model: dict[str, Tokens] = field(default_factory=dict)
    uncounted: int = 0
    """Calls whose tokens the endpoint did not tell, or that were broken off before it did."""

    def add(self, model: str, sent: int, got: int) -> None:
        before = self.by_model.get(model, Tokens(0, 0))
        self.by_model[model] = Tokens(before.sent + sent, before.got + got)


_USAGE: ContextVar[_Usage | None] = ContextVar("usage", default=None)


class Counted:
    """A model whose tokens are counted for the case that is being asked."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def way(self) -> Way:
        return self._model.way

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
    ) -> Completion:
        done = await self._model.complete(
            messages, schema=schema, tools=tools, max_tokens=max_tokens
        )
        if usage := _USAGE.get():
            if done.input_tokens or done.output_tokens:
                usage.add(done.model, done.input_tokens, done.output_tokens)
            else:
                usage.uncounted += 1
        return done

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return TextStream(self._pieces(messages, max_tokens))

    async def _pieces(
        self, messages: Sequence[Message], max_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        stream = self._model.stream(messages, max_tokens=max_tokens)
        usage = _USAGE.get()
        try:
            async with aclosing(stream):
                async for text in stream:
                    yield Piece(text, stream.model)
        finally:
            if usage is not None and stream.usage is None:
                usage.uncounted += 1
            elif usage is not None and stream.usage is not None:
                told = stream.usage
                usage.add(stream.model, told.input_tokens, told.output_tokens)

    async def close(self) -> None:
        await self._model.close()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The borrower pipeline that `deps` makes up."""

    deps: Deps
    texts: Mapping[str, str]
    """Clause id -> its text in the live release."""
    prices: Prices | None = None
    endpoint: str = ""
    searches: bool = True

    async def ask(self, case: Case, suite: Suite, seed: int) -> Told:
        """What the pipeline makes of a case, on the suite's day.

        Raises CaseUnanswered where it broke off, or fell back to quoting since its model was
        down: the score of a fallback says nothing about the model.
        """
        deps = self.deps
        if suite.stage == "mask":
            spans = tuple((s.type, s.text) for s in mask(case.text).spans)
            seen = Seen(suite.today, (), {}, spans=spans)
            return Told(seen)
        if suite.stage == "triage":
            found = await classes_of(mask(case.text).text, deps)
            return Told(Seen(suite.today, (), {}, triage=found))
        question = Question(
            text=case.text,
            today=suite.today,
            locale=case.locale,
            as_of=case.as_of,
            contract_date=case.contract_date,
            channel="eval",
            subject=subject_of(deps.keys, case.customer) if case.customer else "",
            customer_id=case.customer,
        )
        if case.customer:
            deps.use_customers(demo_source(suite.today))
        for earlier in case.history:
            before = await collect(answer_question(replace(question, text=earlier), deps))
            if not isinstance(before, Reply):
                raise CaseUnanswered(f"trace {before.data['trace_id']}")
            question = replace(question, conversation_id=before.conversation_id)
        sources: tuple[str, ...] = ()
        reply: Reply | None = None
        usage = _Usage()
        counting = _USAGE.set(usage)
        started = time.perf_counter()
        try:
            async with aclosing(answer_question(question, deps)) as events:
                async for event in events:
                    if event.name == "evidence":
                        sources = tuple(clause["source"] for clause in event.data["clauses"])
                        if suite.stage == "search":
                            break
                    elif event.name == "error":
                        raise CaseUnanswered(f"trace {event.data['trace_id']}")
                    elif event.reply is not None and suite.stage == "reply":
                        reply = event.reply
        except BadQuestion as error:
            seen = Seen(suite.today, (), self.texts, rejected=error.code)
            return Told(seen, latency_ms=_since(started))
        finally:
            _USAGE.reset(counting)
        if reply is not None and reply.model == "extractive" and deps.wants_model:
            raise CaseUnanswered("the language model gave no answer")
        latency_ms = _since(started)
        broken = broken_rules(deps.rules, case, reply, suite.today) if reply else ()
        signed: tuple[date, ...] = ()
        if case.customer and reply is not None and reply.called:
            loans = await demo_source(suite.today).loans(case.customer)
            signed = tuple(loan.contract_date for loan in loans)
        seen = Seen(suite.today, sources, self.texts, reply, broken, signed=signed)
        model = reply.model if reply else ""
        return Told(
            seen,
            model,
            latency_ms,
            tokens_in=sum(tokens.sent for tokens in usage.by_model.values()),
            tokens_out=sum(tokens.got for tokens in usage.by_model.values()),
            uncounted=usage.uncounted,
            cost=self._cost(usage),
        )

    def _cost(self, usage: _Usage) -> float | None:
        if self.prices is None or usage.uncounted:
            return None
        return self.prices.cost(usage.by_model)

    async def close(self) -> None:
        return None


@cache
def demo_source(today: date) -> Guarded:
    """The customers of the demo as they are on a day."""
    return Guarded(MemoryCustomers(person.record for person in demo_people(today)), 10.0)


async def classes_of(text: str, deps: Deps) -> tuple[str, ...]:
    """The classes that triage puts a masked text into, as the pipeline would."""
    held, nearest = deps.front.triage, deps.front.triage_nearest
    if held is None:
        return ()
    vector = None
    if nearest is not None:
        embedder = await deps.embedder()
        if embedder.name == nearest.embedder:
            vector = await asyncio.to_thread(question_vector, embedder, text)
    told = triage.classify(held, nearest, text, vector)
    return tuple(each.id for each in told.classes) if told else ()


async def open_pipeline(deps: Deps) -> Pipeline:
    """Raises BadPrices, and what opening the live release raises."""
    index = await deps.index()
    prices = load_prices(deps.settings.prices) if deps.settings.prices else None
    return Pipeline(deps, {clause.id: clause.text for clause in index.clauses}, prices)


def shipped_texts() -> dict[str, str]:
    """Clause id -> text of the sample lender's documents, as the readers make them."""
    texts: dict[str, str] = {}
    for folder in (CORPUS / "lender", CORPUS / "regulations"):
        heads = read_manifest(folder)
        for file in sorted(folder.iterdir()):
            if file.name != MANIFEST:
                for clause in chunk(read(file, file.name, heads.get(file.name))):
                    texts[clause.id] = clause.text
    return texts


def broken_rules(pack: RulePack, case: Case, reply: Reply, today: date) -> tuple[str, ...]:
    """The rules that stop what was written for a reply.

    Quotes are words of the lender or the law, reviewed when they went in; notices are fixed. Of
    what stands beside the words one thing counts, which some rules ask for: a person is offered.
    """
    row = load_tools().row(reply.called)
    exempt = row.exempt if row else frozenset()

    def stopping(words: str) -> set[str]:
        found = review(
            pack,
            words,
            task="chat",
            channel="chat",
            context=read_context({"question": case.text, "own_platform": True}),
            on=today,
        )
        return {f.rule.id for f in found.findings if f.severity != "warn"} - exempt

    own = "\n".join(s.text for s in reply.sentences if s.kind not in ("quote", "notice"))
    broken = stopping(own) if own else set()
    if broken and reply.contact:
        offer = way_to_a_person(reply.contact.hotline, reply.contact.hours, case.locale)
        broken &= stopping(f"{own}\n{offer}")
    return tuple(sorted(broken))


# Over HTTP ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wire:
    """Requests to one endpoint, each with a time limit and a bounded number of tries."""

    client: httpx.AsyncClient
    name: str
    """The address, without anything secret in it."""
    retries: int
    backoff_s: float

    async def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The first answer that is not a passing fault. Raises EndpointFault."""
        attempt = 0
        while True:
            pause_s = self.backoff_s * 2**attempt
            try:
                answer = await self.client.request(method, path, json=body)
            except httpx.TransportError as error:
                fault = _why(error)
            else:
                if answer.status_code not in _PASSING:
                    return answer
                fault = f"status {answer.status_code}"
                pause_s = _asked_pause(answer) or pause_s
            if attempt == self.retries or pause_s > LONGEST_PAUSE_S:
                raise EndpointFault(f"{self.name}: {fault}, asked {attempt + 1} times")
            await asyncio.sleep(pause_s)
            attempt += 1


def _why(error: httpx.TransportError) -> str:
    kind = "no answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return f"{kind} ({type(error).__name__})"


def _asked_pause(answer: httpx.Response) -> float:
    try:
        return float(answer.headers.get("retry-after", ""))
    except ValueError:
        return 0.0


def _wire(address: str, settings: Settings, backoff_s: float) -> _Wire:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointFault(f"{address!r} is no address: expected http://… or https://…")
    token = settings.eval_token.get_secret_value()
    client = httpx.AsyncClient(
        base_url=address.rstrip("/"),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=settings.llm_timeout_s,
        follow_redirects=False,
        trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),
    )
    port = f":{parts.port}" if parts.port else ""
    name = f"{parts.scheme}://{parts.hostname}{port}{parts.path}".rstrip("/")
    return _Wire(client, name, settings.llm_retries, backoff_s)


@dataclass(slots=True)
class Deployment:
    """A deployment of this program, asked over HTTP as its widget asks it."""

    wire: _Wire
    rules: RulePack
    texts: dict[str, str] = field(default_factory=dict)
    """Clause id -> its text as the deployment shows it; empty where it does not."""
    searches: bool = False

    @property
    def endpoint(self) -> str:
        return self.wire.name

    async def ask(self, case: Case, suite: Suite, seed: int) -> Told:
        if case.customer:
            raise CaseUnanswered("a deployment is not asked as one of its customers")
        # The day is said, since a deployment would answer as of its own.
        body = {
            "message": case.text,
            "locale": case.locale,
            "as_of": (case.as_of or suite.today).isoformat(),
            "contract_date": case.contract_date and case.contract_date.isoformat(),
        }
        for earlier in case.history:
            before = await self.wire.send(
                "POST", "/v1/chat?stream=false", {**body, "message": earlier}
            )
            body["conversation_id"] = self._read(before).conversation_id
        started = time.perf_counter()
        answer = await self.wire.send("POST", "/v1/chat?stream=false", body)
        latency_ms = _since(started)
        if answer.status_code in _REFUSED and (problem := _problem(answer)):
            if fields := problem.get("fields"):
                raise EndpointFault(f"{self.endpoint}: does not understand the request: {fields}")
            seen = Seen(suite.today, (), self.texts, rejected=str(problem.get("detail")))
            return Told(seen, latency_ms=latency_ms)
        said = self._read(answer)
        for citation in said.citations:
            if citation.clause_id not in self.texts:
                self.texts[citation.clause_id] = await self._clause(citation.clause_id)
        reply = reply_of(said, self.texts)
        broken = broken_rules(self.rules, case, reply, suite.today)
        return Told(Seen(suite.today, (), self.texts, reply, broken), reply.model, latency_ms)

    def _read(self, answer: httpx.Response) -> ReplyBody:
        if answer.status_code in (401, 403):
            raise EndpointFault(
                f"{self.endpoint}: status {answer.status_code}; a token is given as "
                "ZHUNXIN_EVAL_TOKEN"
            )
        if answer.status_code != 200:
            raise EndpointFault(f"{self.endpoint}: status {answer.status_code} for /v1/chat")
        try:
            return ReplyBody.model_validate_json(answer.content)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "its answer"
            raise EndpointFault(
                f"{self.endpoint}: does not answer as a deployment of this program does "
                f"({place}: {fault['msg']}); a bot that speaks OpenAI's protocol is given as "
                f"{BOT}{self.endpoint}"
            ) from None

    async def _clause(self, clause_id: str) -> str:
        answer = await self.wire.send("GET", f"/v1/clauses/{quote(clause_id, safe='')}")
        if answer.status_code != 200:
            return ""
        try:
            return str(answer.json()["text"])
        except (ValueError, KeyError, TypeError):
            return ""

    async def close(self) -> None:
        await self.wire.client.aclose()


def _problem(answer: httpx.Response) -> dict[str, Any]:
    """What a problem document says; empty for anything else."""
    if not str(answer.headers.get("content-type")).startswith("application/problem+json"):
        return {}
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def reply_of(said: ReplyBody, texts: Mapping[str, str]) -> Reply:
    citations = []
    for place in said.citations:
        head = Head(
            title=place.document,
            kind=place.kind,  # type: ignore[arg-type]
            version=place.version,
            effective_from=place.effective_from,
            effective_to=place.effective_to,
            digest=place.digest,
        )
        text = texts.get(place.clause_id, "")
        clause = Clause(place.clause_id, place.source, head, place.locator, place.title, text)
        citations.append(Citation(clause, place.quote))
    return Reply(
        status=said.status,
        sentences=tuple(Sentence(s.text, s.kind, tuple(s.citations)) for s in said.sentences),
        citations=tuple(citations),
        calculations=tuple(
            Calculation(c.tool, c.inputs, c.result.model_dump()) for c in said.calculations
        ),
        withheld=tuple(Withheld("", item["reason"]) for item in said.withheld),
        called=said.called,
        contact=Contact(said.contact.hotline, said.contact.hours) if said.contact else None,
        model=said.model,
        release=said.release,
        understood=tuple(said.understood),
    )


class _BotMessage(BaseModel):
    content: str


class _BotChoice(BaseModel):
    message: _BotMessage


class _BotUsage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _BotAnswer(BaseModel):
    """What is read of an answer in OpenAI's chat protocol."""

    choices: list[_BotChoice]
    model: str = ""
    usage: _BotUsage | None = None


@dataclass(slots=True)
class Bot:
    """Any bot that speaks OpenAI's chat protocol."""

    wire: _Wire
    model: str
    rules: RulePack
    texts: Mapping[str, str]
    """Clause id -> text of what the bot may say figures of."""
    takes_seed: bool = True
    searches: bool = False

    @property
    def endpoint(self) -> str:
        return f"{BOT}{self.wire.name}"

    async def ask(self, case: Case, suite: Suite, seed: int) -> Told:
        beside = told_beside(case, suite.today)
        messages = [{"role": "system", "content": beside}]
        for text in (*case.history, case.text):
            messages.append({"role": "user", "content": text})
            if text is not case.text:
                before = self._read(
                    await self._post(
                        {"model": self.model, "messages": messages, "stream": False}, seed
                    )
                )
                messages.append({"role": "assistant", "content": before.choices[0].message.content})
        body: dict[str, Any] = {"model": self.model, "messages": messages, "stream": False}
        started = time.perf_counter()
        answer = await self._post(body, seed)
        latency_ms = _since(started)
        said = self._read(answer)
        text = said.choices[0].message.content.strip()
        reply = Reply(
            status=read_status(text),
            sentences=(Sentence(text, "model"),),
            contact=Contact() if offers_contact(text) else None,
            model=said.model or self.model,
        )
        broken = broken_rules(self.rules, case, reply, suite.today)
        seen = Seen(suite.today, (), self.texts, reply, broken, cites=False)
        usage = said.usage or _BotUsage()
        return Told(seen, reply.model, latency_ms, usage.prompt_tokens, usage.completion_tokens)

    async def _post(self, body: Mapping[str, Any], seed: int) -> httpx.Response:
        if self.takes_seed:
            answer = await self.wire.send("POST", "/chat/completions", {**body, "seed": seed})
            if answer.status_code not in _REFUSED or "seed" not in answer.text:
                return answer
            self.takes_seed = False
        return await self.wire.send("POST", "/chat/completions", body)

    def _read(self, answer: httpx.Response) -> _BotAnswer:
        if answer.status_code in (401, 403):
            raise EndpointFault(
                f"{self.endpoint}: status {answer.status_code}; its key is given as "
                "ZHUNXIN_EVAL_TOKEN"
            )
        if answer.status_code == 404:
            raise EndpointFault(
                f"{self.endpoint}: has no /chat/completions, or no model {self.model!r}"
            )
        if answer.status_code != 200:
            raise EndpointFault(f"{self.endpoint}: status {answer.status_code}")
        try:
            said = _BotAnswer.model_validate_json(answer.content)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "its answer"
            raise EndpointFault(
                f"{self.endpoint}: does not speak OpenAI's chat protocol ({place}: {fault['msg']})"
            ) from None
        if not said.choices or not said.choices[0].message.content.strip():
            raise CaseUnanswered("the bot said nothing")
        return said

    async def close(self) -> None:
        await self.wire.client.aclose()


def open_endpoint(
    address: str,
    model: str,
    settings: Settings,
    rules: RulePack,
    texts: Mapping[str, str],
    *,
    backoff_s: float = 0.5,
) -> Deployment | Bot:
    """What an address stands for: `http…` a deployment, `openai:http…` a bot of others.

    texts: clause id -> text of what a bot of others may say figures of.
    Raises EndpointFault for what is no address, or a bot without a model's name.
    """
    if not address.startswith(BOT):
        return Deployment(_wire(address, settings, backoff_s), rules)
    if not model:
        raise EndpointFault(f"{address}: a bot is asked by its model's name: give --model")
    return Bot(_wire(address.removeprefix(BOT), settings, backoff_s), model, rules, texts)


def counted(deps: Deps, model: ChatModel) -> None:
    """Have the tokens of a model counted."""
    if not isinstance(model, Counted):
        deps.use_model(Counted(model))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
