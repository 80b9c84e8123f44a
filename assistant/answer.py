"""The borrower pipeline: a question in, a checked and cited reply out, as events.

validate, mask, store, triage, understand what is asked after what went before; then for each
question: call a tool, retrieve, show the evidence, have the model select or draft, gate; store
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence, Set
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import structlog

from knowledge.chunk import quotable
from knowledge.documents import CONTRACT_DATED, Clause
from knowledge.embed import EmbeddingUnavailable, RecordedEmbedder, Vectors
from knowledge.lender import Lender, as_text, named_product, stated_contact
from knowledge.rerank import RecordedRanks
from knowledge.retrieve import (
    Found,
    Index,
    Scope,
    compared,
    covers,
    question_vector,
    retrieve,
    side_by_side,
)
from knowledge.text import bigrams, signed_between
from knowledge.text import clean as seen
from prompts.render import (
    Prompt,
    calculations_used,
    examples,
    notice,
    notices_used,
    render,
    version_of,
    way_to_a_person,
)

from . import approved, calling, compliance, conversation, journal, privacy, tools, triage
from .asked import Asked, ToolBook, asks_not_held, asks_of_others, with_answer
from .deps import Deps, Front
from .evidence import (
    BEST,
    DRAFT,
    EXTRACT,
    SAME_MATTER,
    SELECT,
    Budget,
    Ranked,
    closest,
    evidence_sentences,
    holds_instead,
    likeness,
    ranked_sentences,
    ranked_side_by_side,
    without_repeats,
)
from .gate import IDS, Bar, Draft, Finding, Verdict, plain, release, split_complete
from .grounding import warm_up as warm_up_grounding
from .handoff import is_with_agent
from .known import Known
from .llm import ChatModel, Message, ModelError, ModelGarbled, PlayedOut, RecordedChat, Way
from .models import (
    Calculation,
    Citation,
    Contact,
    Event,
    Played,
    Question,
    Reply,
    Said,
    Sentence,
    Status,
    Timings,
    Triaged,
    Turn,
    Withheld,
)
from .reading import names_of
from .rules import Task, read_context
from .signing import said_contract_period
from .verify import ModelVerifier

MAX_QUESTION_CHARS = 2000
CLAUSES_FOUND = 12
COUNTS: tuple[Status, ...] = ("refused", "handoff", "clarify", "answered", "not_covered")
"""Of several questions, what the reply as a whole is said to be: the first of these."""

BENEATH = 2
"""Sentences of clauses that are quoted beneath a calculation."""

HISTORY_TOKENS = 900
"""How much of a conversation a model is shown at most."""

CONDENSED_TOKENS = 120

MOST_WRITTEN = 4 * DRAFT.answer
"""Sentences of one answer that are looked at: a model that writes more repeats itself."""

MOST_REPAIRED = DRAFT.answer
"""Sentences of one reply that are written once more."""

_MASKED_IN = {
    "quote": privacy.NUMBERS,
    "notice": privacy.NUMBERS,
    "approved": privacy.NUMBERS,
    "tool": privacy.NUMBERS,
}
"""Words that nobody wrote for this borrower hold no name and no address of theirs."""

log = structlog.get_logger()


class BadQuestion(Exception):
    """A question that cannot be taken; `code` and `values` name the notice that says why."""

    def __init__(self, code: str, **values: str) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


class WithAgent(Exception):
    """A person has the conversation, in which the assistant keeps silent."""


@dataclass(slots=True)
class _Work:
    """One question being answered."""

    question: Question
    deps: Deps
    index: Index
    masked: privacy.Masked
    trace_id: str
    started: float
    history: Sequence[Said] = ()
    """Earlier messages of the conversation, oldest first."""
    understood: tuple[str, ...] = ()
    """The questions that are answered, where they are not the message as it stands."""
    asked: str = ""
    """The question that is being answered: complete, with personal data masked."""
    first_sentence: int = 0
    """Where in the reply the answer to it begins."""
    evidence_ids: list[str] = field(default_factory=list)
    scope: Scope | None = None
    signed: tuple[date, date] | None = None
    """First and last day on which the contract may have been signed."""
    found: Found | None = None
    ranked: Ranked | None = None
    """Sentences of what was found, once they were asked for."""
    status: Status = "answered"
    sentences: list[Sentence] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    calculations: list[Calculation] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    """Every call of the language model."""
    way: Way | None = None
    embedder: RecordedEmbedder | None = None
    ranks: RecordedRanks | None = None
    model: str = ""
    model_failed: bool = False
    settled: bool = False
    """Whether there is nothing more to say, before anything was looked up."""
    classes: tuple[str, ...] = ()
    """What triage put the message into."""
    known: Known | None = None
    """What was read of the customer's record."""
    called: str = ""
    """The tool that was run for the question at hand."""
    ran: list[str] = field(default_factory=list)
    """All that were."""
    asked_for: list[str] = field(default_factory=list)
    """For each question so far, the argument that was asked for; empty text where none was."""
    exempt: frozenset[str] = frozenset()
    """Rules that do not bind what the tool tells."""
    brief: bool = False
    """Whether a tool answered, so that the closest clause alone is quoted, and no model asked."""
    told: int = 0
    """Sentences that say why no tool could tell what was asked; they stand, come what may."""
    declined: bool = False
    """Whether the model said that the evidence does not answer the question."""
    unfinished: bool = False
    """Whether the reply lacks something that the rules ask of it, so that a person is offered."""
    rule_findings: list[str] = field(default_factory=list)
    """Rules that something withheld or lacking broke."""
    retrieve_ms: float = 0.0
    first_sentence_ms: float = 0.0
    gate_s: float = 0.0
    repaired: set[str] = field(default_factory=set)
    """Sentences that were written once more, or could not be."""
    front: Front = field(init=False)
    """What it meets first: the same from its beginning to its record."""

    def __post_init__(self) -> None:
        self.front = self.deps.front

    @property
    def played(self) -> Played:
        """What models gave to the reply so far."""
        return Played(
            turns=tuple(self.turns),
            wanted_model=self.deps.wants_model,
            way=self.way,
            vectors=self.embedder.vectors if self.embedder else {},
            order=self.ranks.order if self.ranks else None,
            earlier=[(said.record_id, said.status != "open") for said in self.history],
            customer=self.known.read if self.known else None,
        )

    @property
    def texts(self) -> list[Prompt]:
        """All wording that the reply so far was made with."""
        deps, rules = self.deps, self.deps.rules
        front = {
            "triage": self.front.triage,
            "triage_nearest": self.front.triage_nearest,
            "approved": self.front.approved,
            "approved_nearest": self.front.approved_nearest,
            "follow_ups": self.front.follow_ups,
            "tools": self.front.tools,
            "terms": self.front.terms,
        }
        return [
            *self.prompts,
            notices_used(),
            *([calculations_used()] if self.front.tools else []),
            lender_used(deps.lender),
            Prompt("rules", rules.version, rules.text, ""),
            *(Prompt(name, held.version, held.source, "") for name, held in front.items() if held),
        ]

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def evidence(self, budget: Budget) -> list[Citation]:
        if self.found is None:
            return []
        return evidence_sentences(self.ranked or {}, budget)

    def notice(self, code: str, **values: str) -> Draft:
        return Draft(
            notice(code, self.question.locale, **values),
            "notice",
            facts=(" ".join(values.values()),),
        )

    def said(self) -> list[Sentence]:
        """The answer to the question at hand so far."""
        return self.sentences[self.first_sentence :]

    def said_something(self) -> bool:
        return any(sentence.kind != "notice" for sentence in self.said())


async def answer_question(question: Question, deps: Deps) -> AsyncGenerator[Event, None]:
    """Answer one question; the last event is `done`, which carries the reply, or `error`.

    Raises before the first event: BadQuestion, WithAgent, journal.UnknownConversation,
    knowledge.store.NoRelease, VectorsMissing. Later faults are told by an `error` event with the
    trace id that the log has, after the way to a human.

    The question is in the log, and in its chain, before anything is shown; where that cannot be
    written, only the fault is told. Sentences are shown as they are released, so that a log that
    breaks while one question is answered has the question and lacks what was shown of the reply;
    the reply then ends in an error, and no question is answered until its record could be closed.
    """
    started = time.perf_counter()
    text = clean(question.text)
    known_as = question.conversation_id
    if known_as and await is_with_agent(deps.engine, known_as, question.subject):
        raise WithAgent(known_as)
    index = await deps.index()
    masked = privacy.mask(text)
    trace_id = uuid.uuid4().hex
    work = _Work(question, deps, index, masked, trace_id, started)
    closed = seen = False
    conversation_id = record_id = ""
    try:
        conversation_id, record_id = await journal.open_record(
            deps.trail,
            question,
            masked.text,
            [span.placeholder for span in masked.spans],
            trace_id,
            deps.code_version,
        )
        deps.under_way.opened(record_id)
        if question.conversation_id:
            work.history = await journal.earlier(deps.engine, conversation_id, record_id)
        work.front = await deps.current_front()
        async with aclosing(deps.under_way.until_broken_off(_steps(work))) as events:
            async for event in events:
                if work.classes and not seen:
                    seen = True
                    event = replace(event, triaged=Triaged(conversation_id, work.classes))
                if event.name == "status":
                    # Who goes away before the end can come back to it.
                    event = replace(event, data=event.data | {"conversation_id": conversation_id})
                yield event
        reply = _finished(work, conversation_id, record_id)
        if reply.contact is not None:
            yield _handoff(reply.contact, work.question)
        await journal.close_record(deps.trail, _masked(reply), work.texts, work.played)
        closed = True
        deps.under_way.closed(record_id)
        yield Event("done", _done(reply, work.question), reply)
    except journal.UnknownConversation:
        raise
    except Exception as error:
        log.error("question not answered", trace_id=trace_id, record_id=record_id, exc_info=error)
        contact = _contact(work)
        yield _handoff(contact, work.question)
        yield Event(
            "error",
            {
                "text": _fault(work),
                "trace_id": trace_id,
                "hotline": contact.hotline,
                "hours": contact.hours,
            },
        )
    finally:
        if record_id and not closed:
            await asyncio.shield(_close_unanswered(work, conversation_id, record_id))


async def answer_again(
    question: Question, masked: privacy.Masked, deps: Deps, history: Sequence[Said] = ()
) -> tuple[Reply, tuple[Prompt, ...]]:
    """The reply as it would be recorded, and all wording it was made with; nothing is stored.

    Where the model that `deps` plays has no more to give, as far as it came then.
    """
    index = await deps.index()
    work = _Work(question, deps, index, masked, trace_id="", started=time.perf_counter())
    work.history = history
    with suppress(PlayedOut):
        async with aclosing(_steps(work)) as events:
            async for _ in events:
                pass
    return _masked(_finished(work)), tuple(work.texts)


async def suggest_answer(
    question: Question, deps: Deps, history: Sequence[Said] = (), *, model: bool = True
) -> AsyncGenerator[Event, None]:
    """The same steps for somebody at a desk, who decides what of it is sent: nothing is stored,
    and what has to go to a person is answered too, since a person has it. The last event is `done`
    or `error`.

    model: False: clauses are quoted, whatever the settings say. Raises before the first event:
    BadQuestion, knowledge.store.NoRelease, VectorsMissing.
    """
    started = time.perf_counter()
    masked = privacy.mask(clean(question.text))
    index = await deps.index()
    trace_id = uuid.uuid4().hex
    used = deps if model else deps.without_model()
    work = _Work(question, used, index, masked, trace_id, started)
    work.history = history
    try:
        work.front = replace(await deps.current_front(), triage=None, triage_nearest=None)
        async with aclosing(deps.under_way.until_broken_off(_steps(work))) as events:
            async for event in events:
                yield event
        reply = _masked(_finished(work))
        yield Event("done", _done(reply, work.question), reply)
    except Exception as error:
        log.error("nothing suggested", trace_id=trace_id, exc_info=error)
        yield Event("error", {"text": _fault(work), "trace_id": trace_id})


async def triaged(text: str, deps: Deps) -> triage.Told | None:
    """What a message to a person belongs to, as the same message to the assistant would; by
    patterns alone where likeness cannot be asked."""
    held, near = deps.front.triage, deps.front.triage_nearest
    if held is None:
        return None
    masked = privacy.mask(text).text
    vector = None
    if near is not None and not triage.is_told(held, triage.read(held, masked)):
        try:
            embedder = await deps.embedder()
            if embedder.name == near.embedder:
                vector = await asyncio.to_thread(question_vector, embedder, masked)
        except EmbeddingUnavailable as error:
            log.error("a message to the desk is triaged by patterns alone", error=str(error))
    return triage.classify(held, near, masked, vector)


def lender_used(lender: Lender) -> Prompt:
    """Whose assistant it is, as a text that is kept by its version."""
    text = as_text(lender)
    return Prompt("lender", version_of(text), text, "")


def _finished(work: _Work, conversation_id: str = "", record_id: str = "") -> Reply:
    needs_contact = work.status != "answered" or work.model_failed or work.unfinished
    return Reply(
        status=work.status,
        sentences=tuple(work.sentences),
        citations=tuple(work.citations),
        calculations=tuple(work.calculations),
        withheld=tuple(work.withheld),
        contact=_contact(work) if needs_contact else None,
        model=work.model,
        release=work.index.release.id,
        rules_version=work.deps.rules.version,
        rules_broken=tuple(dict.fromkeys(work.rule_findings)),
        prompt_version="+".join(dict.fromkeys(p.version for p in work.prompts)),
        raw_output=tuple(turn.text for turn in work.turns if turn.text),
        evidence_ids=tuple(dict.fromkeys(work.evidence_ids)),
        classes=work.classes,
        understood=work.understood,
        called="+".join(dict.fromkeys(work.ran)),
        asked_for=tuple(work.asked_for) if any(work.asked_for) else (),
        record_id=record_id,
        conversation_id=conversation_id,
        timings=Timings(
            work.retrieve_ms, work.first_sentence_ms, work.gate_s * 1000, work.elapsed_ms()
        ),
    )


def _masked(reply: Reply) -> Reply:
    """The reply as it is stored: a written sentence may repeat what the borrower typed."""
    return replace(
        reply,
        sentences=tuple(
            replace(s, text=privacy.mask(s.text, _MASKED_IN.get(s.kind, privacy.EVERY)).text)
            for s in reply.sentences
        ),
        withheld=tuple(
            Withheld(privacy.mask(w.text).text, privacy.mask(w.reason).text) for w in reply.withheld
        ),
    )


async def collect(events: AsyncIterator[Event]) -> Reply | Event:
    """The reply that the events end in, or their `error` event."""
    last: Reply | Event | None = None
    async for event in events:
        if event.reply is not None:
            last = event.reply
        elif event.name == "error":
            last = event
    if last is None:
        raise RuntimeError("the events ended without a reply")
    return last


def clean(text: str) -> str:
    """The question without unseen characters and outer white space. Raises BadQuestion."""
    cleaned = seen(text).strip()
    if not cleaned:
        raise BadQuestion("empty_question")
    if len(cleaned) > MAX_QUESTION_CHARS:
        raise BadQuestion(
            "question_too_long", limit=str(MAX_QUESTION_CHARS), length=str(len(cleaned))
        )
    return cleaned


async def _steps(work: _Work) -> AsyncGenerator[Event, None]:
    """Everything between the stored question and the finished reply."""
    if not any(c.isalnum() for c in work.masked.text):
        work.status = "clarify"
        for event in _release(work, Verdict((work.notice("empty_question"),))):
            yield event
        return
    async with aclosing(_triaged(work)) as events:
        async for event in events:
            yield event
    if work.settled:
        return
    told_by_triage = work.status
    statuses: list[Status] = []
    for asked in await _questions(work):
        work.asked, work.status = asked, told_by_triage
        work.asked_for.append("")
        async with aclosing(_answered(work)) as events:
            async for event in events:
                yield event
        statuses.append(work.status)
    work.status = next((each for each in COUNTS if each in statuses), statuses[0])
    if len(statuses) > 1:
        work.unfinished |= "not_covered" in statuses


async def _questions(work: _Work) -> Sequence[str]:
    """What is to be answered: the message as it stands, or what it comes to after what went before
    in its conversation."""
    text, held = work.masked.text, work.front.follow_ups
    if held is None:
        return (text,)
    # In a thread, as tools are read.
    said = await asyncio.to_thread(
        conversation.understand,
        held,
        work.history,
        text,
        work.deps.lender.products,
        partial(_terms_since, work),
        partial(_with_answer, work),
    )
    if work.history and conversation.may_lean(held, text, work.deps.lender.products, said):
        said = await _condensed(work, held, said)
    if not said.completed:
        return (text,)
    question = work.question
    work.question = replace(
        question,
        locale=said.locale or question.locale,
        as_of=question.as_of or said.as_of,
        contract_date=question.contract_date or said.contract_date,
    )
    work.understood = said.parts
    return said.parts


async def _condensed(
    work: _Work, held: conversation.FollowUps, said: conversation.Understood
) -> conversation.Understood:
    """What a capable model makes of a message that may lean on others; as it was understood without
    one where that adds anything, or there is no such model."""
    if not work.deps.wants_model:
        return said
    try:
        model = await _model(work)
        if model.way != "draft":
            return said
        lines = conversation.digest(held, work.history, HISTORY_TOKENS)
        system = render("zh/condense_system")
        ask = render("zh/condense", lines=lines, message=work.masked.text)
        work.prompts += [system, ask]
        messages = [Message("system", system.text), Message("user", ask.text)]
        completion = await model.complete(messages, max_tokens=CONDENSED_TOKENS)
    except ModelError as error:
        log.warning("a message was not condensed", trace_id=work.trace_id, error=str(error))
        return said
    made = completion.text.strip()
    told = [
        each
        for earlier in work.history
        for each in (earlier.text, *earlier.understood, earlier.answer)
    ]
    products = work.deps.lender.products
    if made == work.masked.text or not conversation.adds_nothing(
        held, made, work.masked.text, told, products
    ):
        return said
    newest = work.history[-1]
    return replace(
        said,
        parts=(made,),
        completed=True,
        as_of=said.as_of or newest.as_of,
        contract_date=said.contract_date or newest.contract_date,
    )


def _with_answer(
    work: _Work, earlier: Said, argument: str, question: str, given: str
) -> str | None:
    """An earlier question with what was asked for of it, as far as tools can be told of it."""
    book, today = work.front.tools, work.question.today
    if book is None:
        return None
    return with_answer(book, earlier.called, argument, question, given, today)


def _terms_since(work: _Work, product: str) -> date | None:
    """First day of a product's terms that are in force on the day of the question."""
    days = [
        clause.head.effective_from
        for clause in work.index.clauses
        if clause.head.kind in CONTRACT_DATED
        and clause.head.product == product
        and clause.in_force(work.question.on)
    ]
    return max((day for day in days if day), default=None)


async def _answered(work: _Work) -> AsyncGenerator[Event, None]:
    """One question, looked up and answered."""
    question, deps, text = work.question, work.deps, work.asked
    several = len(work.understood) > 1
    work.first_sentence, work.told = len(work.sentences), 0
    work.found = work.ranked = None
    work.called, work.exempt, work.brief = "", frozenset(), False
    yield Event("status", {"stage": "retrieving"})
    lead = await _lead(work)
    for event in _release(work, Verdict(lead)):
        yield event
    async with aclosing(_signed_off(work)) as events:
        async for event in events:
            yield event
    if work.said_something():
        return
    async with aclosing(_called(work)) as events:
        async for event in events:
            yield event
    if work.settled:
        work.settled = False
        return
    work.scope, work.signed = question_scope(question, text, deps.lender, work.index)
    work.embedder = work.embedder or RecordedEmbedder(await deps.embedder())
    if deps.reranker and not work.ranks:
        work.ranks = RecordedRanks(deps.reranker)
    work.found = await asyncio.to_thread(_look_up, work, work.scope, work.embedder)
    work.evidence_ids += [e.clause.id for e in work.found.evidence]
    work.retrieve_ms = work.retrieve_ms or work.elapsed_ms()
    if covers(work.found) and work.scope.terms_known(work.index.clauses):
        shown = [_clause_json(e.clause) for e in work.found.evidence]
        yield Event("evidence", {"clauses": shown})
        if deps.model_loading:
            yield Event("status", {"stage": "model_loading"})
        else:
            yield Event("status", {"stage": "reading"})
        bar = await _bar(work)
        for drafts, repair in ((_drafts(work), partial(_repair, work)), (_dating(work), None)):
            async with aclosing(drafts), aclosing(release(drafts, repair, bar)) as verdicts:
                async for verdict in verdicts:
                    for event in _release(work, verdict):
                        yield event
        if work.said_something() and _lacks(work):
            work.unfinished = True
            for event in _release(work, Verdict((work.notice("ask_a_person"),))):
                yield event
    if work.said_something():
        return
    if work.status == "answered":
        work.status = "not_covered"
    elif not several:
        return
    kept = max(work.told, work.first_sentence + len(lead))
    del work.sentences[kept:]
    if not work.told:
        for event in _release(work, Verdict((work.notice("not_covered"),))):
            yield event


def _look_up(work: _Work, scope: Scope, embedder: RecordedEmbedder) -> Found:
    """What was found for a question, or of each of the things that it compares. Blocks."""
    texts = compared(work.index, work.asked, scope) or (work.asked,)
    found: list[Found] = []
    ranked: list[Ranked] = []
    for text in texts:
        own, _ = question_scope(work.question, text, work.deps.lender, work.index)
        k = max(CLAUSES_FOUND // len(texts), 1)
        found.append(retrieve(work.index, embedder, text, own, k, work.ranks))
        ranked.append(ranked_sentences(found[-1], own.contract_date, work.deps.lender))
    work.ranked = ranked_side_by_side(ranked)
    return side_by_side(found)


async def _lead(work: _Work) -> tuple[Draft, ...]:
    """What the question was understood as, so that it can be corrected, or which one of several it
    is; nothing where it is the message as it stands."""
    if not work.understood:
        return ()
    several = len(work.understood) > 1
    await _open_rules(work)
    # It is made of the borrower's words, and shown as the assistant's own: none that the rules
    # hold anything against.
    if _review(work, work.asked, whole=False):
        number = str(work.understood.index(work.asked) + 1)
        return (work.notice("part_number", number=number) if several else work.notice("read_on"),)
    shown = conversation.shown(work.asked, work.question.locale)
    return (work.notice("understood_part" if several else "understood", question=shown),)


async def _triaged(work: _Work) -> AsyncGenerator[Event, None]:
    """What is said before anything is looked up: that secrets are not taken, that a person has to
    see the message, or an answer that compliance signed off."""
    front, text = work.front, work.masked.text
    if front.triage is None:
        return
    secret = any(span.type in privacy.SECRETS for span in work.masked.spans)
    by_pattern = triage.read(front.triage, text)
    vector = None
    if not triage.is_told(front.triage, by_pattern):
        vector = await _front_vector(work, text)
    told = triage.classify(front.triage, front.triage_nearest, text, vector)
    drafts: list[Draft] = []
    if secret:
        work.status, work.settled = "refused", True
        drafts.append(work.notice("secret_refused"))
    if told is not None:
        work.classes = tuple(each.id for each in told.classes)
        work.status = work.status if secret else told.status
        work.settled = secret or not told.answers
        # Danger to life is spoken to before anything else, and of no law beside it.
        in_danger = triage.is_told(front.triage, told)
        drafts.insert(0 if in_danger else len(drafts), work.notice(told.first.notice))
        drafts += [
            work.notice(
                "legal_limit",
                regulation=limit.regulation,
                article=limit.article,
                limit=limit.wording[work.question.locale],
            )
            for limit in triage.limits_of(front.triage, told, text, work.question.on)
            if not in_danger
        ]
    for draft in drafts:
        for event in _release(work, Verdict((draft,))):
            yield event


async def _signed_off(work: _Work) -> AsyncGenerator[Event, None]:
    """An answer that compliance signed off for the question, where there is one."""
    front = work.front
    if front.approved is None or work.classes:
        return
    signed_off = _approved(work, await _front_vector(work, work.asked))
    if signed_off is None:
        return
    bar = await _bar(work)
    async with aclosing(release(_all([signed_off]), None, bar)) as verdicts:
        async for verdict in verdicts:
            if verdict.released == (signed_off,):
                for event in _release(work, verdict):
                    yield event


async def _called(work: _Work) -> AsyncGenerator[Event, None]:
    """What tools tell, of the customer's own record or calculated with what the message gives."""
    book = work.front.tools
    if book is None or work.classes:
        return
    if asks_not_held(book, work.asked):
        for event in _not_looked_up(work, "not_held", "not_covered"):
            yield event
        return
    calls = calling.Calling(
        book,
        work.asked,
        work.question.today,
        partial(_model, work) if work.deps.wants_model else None,
        work.prompts,
    )
    before = len(work.sentences)
    while asked := await calls.next():
        for each in asked:
            async with aclosing(_run(work, book, calls, each)) as events:
                async for event in events:
                    yield event
            if work.told and not work.called:
                return
    work.told = len(work.sentences) if len(work.sentences) > before else 0
    if work.called and _lacks(work):
        work.unfinished = True


async def _run(
    work: _Work, book: ToolBook, calls: calling.Calling, asked: Asked
) -> AsyncGenerator[Event, None]:
    """One call of a tool."""
    question, deps, text = work.question, work.deps, work.asked
    row = book.row(asked.tool)
    if row is None:
        return
    if row.own and (why := _not_own(work, book)):
        if calls.by_model:
            return
        status: Status | None = "not_covered" if row.only_record else None
        for event in _not_looked_up(work, why, "refused" if why == "own_only" else status):
            yield event
        return
    yield Event("status", {"stage": "calculating"})
    work.known = work.known or Known(deps.customers, question.customer_id)
    outcome = await tools.call(
        tools.Case(
            asked=asked,
            known=work.known,
            terms=work.front.terms,
            clauses=work.index.clauses,
            lender=deps.lender,
            product=named_product(deps.lender, text),
            signed=contract_period(question, text, deps.lender),
            today=question.today,
            on=question.on,
            locale=question.locale,
        )
    )
    if calls.by_model and outcome.status != "answered":
        # A small model picked it: what it would ask for may be beside the question.
        return
    # No figure of the record goes to a model: whether a call answered is all that it is told.
    calls.results.append((asked.tool, outcome.status))
    work.called, work.exempt = asked.tool, row.exempt
    work.ran.append(asked.tool)
    work.status = outcome.status
    work.settled = outcome.settled and not calls.by_model
    work.brief = outcome.beneath and not calls.by_model
    work.unfinished = work.unfinished or outcome.person
    if book.answering and outcome.asks in book.answering.forms:
        work.asked_for[-1] = outcome.asks
    work.calculations += outcome.calculations
    for calculation in outcome.calculations:
        yield Event("calculation", journal.calculation_as_json(calculation))
    bar = replace(await _bar(work), review=partial(_forbidden, work, exempt=row.exempt))
    held_back, told = len(work.withheld), False
    async with aclosing(release(_all(outcome.drafts), None, bar)) as verdicts:
        async for verdict in verdicts:
            told = told or bool(verdict.released)
            for event in _release(work, verdict):
                yield event
            # What comes after, such as a sum, may lean on what is not shown.
            if len(work.withheld) > held_back:
                break
    # What the gate withholds of a result may be the figure that was asked for.
    work.unfinished = work.unfinished or len(work.withheld) > held_back
    if outcome.drafts and not told:
        work.status = "not_covered"
        for event in _release(work, Verdict((work.notice("not_covered"),))):
            yield event


def _not_looked_up(work: _Work, why: str, status: Status | None) -> Iterator[Event]:
    """Why no record is looked up, by the code of a note; with a status, nothing follows it."""
    yield from _release(work, Verdict((tools.note(why, work.question.locale),)))
    work.told = len(work.sentences)
    if status:
        work.status, work.settled = status, True


def _not_own(work: _Work, book: ToolBook) -> str:
    """Why no record is looked up, as the code of a note; empty where one may be."""
    if not work.question.subject:
        return "sign_in"
    said = work.asked if len(work.understood) > 1 else work.masked.text
    return "own_only" if asks_of_others(book, said) else ""


async def _all(drafts: Sequence[Draft]) -> AsyncGenerator[Draft, None]:
    for draft in drafts:
        yield draft


async def _front_vector(work: _Work, text: str) -> Vectors | None:
    """A message as a vector, where labelled ones of the same embedder are at hand."""
    front = work.front
    names = {held.embedder for held in (front.triage_nearest, front.approved_nearest) if held}
    if work.index.release.embeddings not in names:
        return None
    work.embedder = work.embedder or RecordedEmbedder(await work.deps.embedder())
    if work.embedder.name not in names:
        return None
    return await asyncio.to_thread(question_vector, work.embedder, text)


def _approved(work: _Work, vector: Vectors | None) -> Draft | None:
    """The answer that compliance signed off for this question, if one may be served."""
    deps, question, text = work.deps, work.question, work.asked
    held, near = work.front.approved, work.front.approved_nearest
    if held is None or question.contract_date or work.masked.spans:
        return None
    names = [name for names in deps.lender.products.values() for name in names]
    if said_contract_period(text, question.today, names):
        return None
    found = approved.by_wording(held, text, question.on)
    if found is None and near is not None and vector is not None:
        found = approved.by_likeness(held, near, text, vector, question.on)
    product = named_product(deps.lender, text)
    if found is None or not approved.serves(
        found, on=question.on, locale=question.locale, product=product
    ):
        return None
    citation = approved.citation_of(found, work.index.clauses, question.on)
    if citation is None:
        return None
    wording = found.wording[question.locale]
    return Draft(wording, "approved", (citation,), facts=(wording,))


async def _bar(work: _Work) -> Bar:
    """What each sentence has to pass beside its own quotes."""
    deps = work.deps
    await _open_rules(work)
    model = await deps.verifier()
    verifier = ModelVerifier(RecordedChat(model, work.turns), work.prompts) if model else None
    return Bar(names_of(deps.lender), review=partial(_forbidden, work), verifier=verifier)


async def _open_rules(work: _Work) -> None:
    """The first text takes as long as the patterns take to be put together, off the event loop and
    before the gate's clock runs."""
    await asyncio.to_thread(warm_up_grounding)
    await asyncio.to_thread(compliance.warm_up, work.deps.rules, _task(work))


def _forbidden(work: _Work, text: str, exempt: Set[str] = frozenset()) -> list[str]:
    """What the rules hold against one sentence, in words for who writes it once more."""
    found = [f for f in _review(work, text, whole=False) if f.rule.id not in exempt]
    work.rule_findings += [finding.rule.id for finding in found]
    return [f"{f.rule.id} {f.rule.title_zh} {f.rule.suggestion_zh}" for f in found]


def _lacks(work: _Work) -> bool:
    """Whether the rules hold anything against what was written, now that it is complete."""
    said = work.said()
    if not any(sentence.kind in ("model", "tool") for sentence in said):
        return False
    text = "\n".join(sentence.text for sentence in said)
    found = [f for f in _review(work, text, whole=True) if f.rule.id not in work.exempt]
    if not found:
        return False
    # A person is offered then, which is all that some rules ask for.
    contact = _contact(work)
    offer = way_to_a_person(contact.hotline, contact.hours, work.question.locale)
    offered = f"{text}\n{offer}"
    left = {finding.rule.id for finding in _review(work, offered, whole=True)}
    work.rule_findings += [finding.rule.id for finding in found if finding.rule.id in left]
    return True


def _task(work: _Work) -> Task:
    return work.question.desk or "chat"


def _review(work: _Work, text: str, *, whole: bool) -> list[compliance.Finding]:
    """What must not be shown so, by the rules of the day of the question."""
    reviewed = compliance.review(
        work.deps.rules,
        text,
        task=_task(work),
        channel="chat",
        context=read_context({"question": work.asked or work.masked.text, "own_platform": True}),
        on=work.question.today,
        whole=whole,
    )
    cleared = _cleared(work)
    return [
        finding
        for finding in reviewed.findings
        if finding.severity != "warn" and not _stands(text, finding, cleared)
    ]


def _cleared(work: _Work) -> list[Clause]:
    """The clauses found whose text a person let stand as it is."""
    found = work.found.evidence if work.found else ()
    return [c for item in found for c in (item.clause, *item.versions) if c.cleared]


def _stands(text: str, finding: compliance.Finding, cleared: Sequence[Clause]) -> bool:
    """Whether the sentence in which a rule finds something stands so in a clause that a person let
    break that rule."""
    start, end = finding.span
    sentence = text[text.rfind("\n", 0, start) + 1 :].split("\n", 1)[0]
    return "\n" not in text[start:end] and any(
        finding.rule.id in clause.cleared and sentence in quotable(clause) for clause in cleared
    )


def question_scope(
    question: Question, text: str, lender: Lender, index: Index
) -> tuple[Scope, tuple[date, date] | None]:
    """What may answer a question, and the first and last day on which the contract was signed.

    Of a contract said to be of some month, year or season, the day is known well enough where no
    terms gave way to others in that time; its last day is one on which all of them were in force.
    """
    product = named_product(lender, text)
    signed = contract_period(question, text, lender)
    if signed and not index.same_terms(product, *signed):
        signed = None
    if signed and signed[0] == date.min:
        signed = (signed[1], signed[1])
    scope = Scope(
        question.on,
        contract_date=signed[1] if signed else None,
        product=product,
        products=lender.products,
        audience="agent" if question.desk else "borrower",
    )
    return scope, signed


def contract_period(question: Question, text: str, lender: Lender) -> tuple[date, date] | None:
    """First and last day on which the contract was signed, as it is given or said."""
    given = question.contract_date
    names = [name for names in lender.products.values() for name in names]
    return (given, given) if given else said_contract_period(text, question.today, names)


async def _drafts(work: _Work) -> AsyncGenerator[Draft, None]:
    """Candidate sentences: chosen or written by the model, or quoted where there is none."""
    if not work.evidence(SELECT):
        return
    if work.brief:
        for draft in _quotes(work, work.evidence(BEST)[:BENEATH]):
            yield draft
        return
    why, spoke = "model_unavailable" if work.deps.wants_model else "extractive", False
    if work.deps.wants_model:
        before, work.declined = len(work.withheld), False
        try:
            model = await _model(work)
            way = _selected if model.way == "select" else _written
            async with aclosing(way(work, model)) as drafts:
                async for draft in drafts:
                    yield draft
            reasons = {each.reason for each in work.withheld[before:]}
            if reasons != {"no_citation"} or work.declined or work.said_something():
                return
            # It had an answer, and named none of the sentences that it rests on.
            why, spoke = "uncited", True
        except ModelError as error:
            work.model_failed = True
            log.warning("no answer from the model", trace_id=work.trace_id, error=str(error))
            if work.said_something():
                yield work.notice("cut_short")
                return
    if not spoke:
        work.model = "extractive"
    yield work.notice(why)
    quoted = work.evidence(EXTRACT)
    for draft in _quotes(work, quoted if work.signed else _with_todays(quoted, work.question.on)):
        yield draft


async def _model(work: _Work) -> ChatModel:
    """The model, each call of which is recorded. Raises ModelUnavailable."""
    try:
        model = await work.deps.chat_model()
    except ModelError as error:
        work.turns.append(Turn("open", error=type(error).__name__))
        raise
    work.way = model.way
    return RecordedChat(model, work.turns)


async def _selected(work: _Work, model: ChatModel) -> AsyncGenerator[Draft, None]:
    """The model returns ids of evidence sentences; the reply is those sentences."""
    numbered = work.evidence(SELECT)
    prompts, messages = _select_prefix()
    ask = render("zh/question", groups=_grouped(numbered), question=work.asked)
    work.prompts += [*prompts, ask]
    messages.append(Message("user", ask.text))
    schema = {
        "type": "object",
        "properties": {
            "ids": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": len(numbered)},
                "maxItems": SELECT.answer,
            }
        },
        "required": ["ids"],
        "additionalProperties": False,
    }
    try:
        completion = await model.complete(messages, schema=schema, max_tokens=SELECT.tokens)
    except ModelGarbled:
        retry = render("zh/select_retry", count=len(numbered))
        work.prompts.append(retry)
        messages.append(Message("user", retry.text))
        completion = await model.complete(messages, schema=schema, max_tokens=SELECT.tokens)
    work.model = completion.model
    ids = dict.fromkeys(json.loads(completion.text)["ids"])
    chosen = [numbered[i - 1] for i in ids]
    if chosen:
        # A small model often finds that the question is answered, and points beside the answer:
        # the sentence that ranks first is shown with its choice.
        chosen = list(dict.fromkeys([*chosen, *work.evidence(BEST)]))
    if work.scope and work.scope.contract_date is None:
        chosen = _with_other_periods(chosen)
    for draft in _quotes(work, chosen):
        yield draft


def _select_prefix() -> tuple[list[Prompt], list[Message]]:
    """The part of a `select` prompt that is the same for every question."""
    system = render("zh/select_system", most=SELECT.answer)
    worked, turns = examples("zh/select_examples")
    messages = [Message("system", system.text)]
    for turn in turns:
        messages.append(Message("user", turn["user"].strip()))
        messages.append(Message("assistant", turn["assistant"]))
    return [system, worked], messages


async def warm_up(model: ChatModel, at_once: int) -> None:
    """Have a selecting model read the stable part of its prompt before anyone waits for it.

    at_once: how many questions the model works on at a time, each with a cache of its own.
    """
    if model.way != "select":
        return
    _, messages = _select_prefix()
    messages.append(Message("user", render("zh/question", groups=[], question="?").text))
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(model.complete(messages, max_tokens=8))
    except* ModelError as errors:
        log.warning("the language model was not warmed up", error=str(errors.exceptions[0]))


async def _written(work: _Work, model: ChatModel) -> AsyncGenerator[Draft, None]:
    """The model writes sentences that end in the ids they rest on, checked as they come."""
    numbered = work.evidence(DRAFT)
    stream = model.stream(_draft_messages(work, numbered), max_tokens=DRAFT.tokens)
    buffer, written = "", 0
    async with aclosing(stream):
        async for piece in stream:
            work.model = stream.model
            complete, buffer = split_complete(buffer + piece)
            for sentence in complete:
                for draft in _as_draft(work, sentence, numbered):
                    written += 1
                    yield draft
                if written >= MOST_WRITTEN:
                    return
    for draft in _as_draft(work, buffer, numbered):
        yield draft


async def _repair(work: _Work, draft: Draft, finding: Finding) -> Draft | None:
    """Has the model write a withheld sentence once more; None where it has no better one, or was
    asked often enough."""
    if draft.text in work.repaired or len(work.repaired) >= MOST_REPAIRED:
        return None
    work.repaired.add(draft.text)
    numbered = work.evidence(DRAFT)
    detail = privacy.mask(finding.detail).text
    reason = notice(f"reason_{finding.reason}", "zh-Hans", detail=detail)
    again = render("zh/draft_repair", sentence=privacy.mask(draft.text).text, reason=reason)
    work.prompts.append(again)
    messages = [*_draft_messages(work, numbered), Message("user", again.text)]
    try:
        model = await _model(work)
        completion = await model.complete(messages, max_tokens=200)
    except ModelError as error:
        log.warning("a sentence was not repaired", trace_id=work.trace_id, error=str(error))
        return None
    rewritten = list(_as_draft(work, completion.text, numbered))
    return rewritten[0] if len(rewritten) == 1 else None


def _draft_messages(work: _Work, numbered: Sequence[Citation]) -> list[Message]:
    system = render(
        "zh/draft_system",
        lender=work.deps.lender.short_name,
        most=DRAFT.answer,
        language=notice("language_name", work.question.locale),
    )
    ask = render("zh/question", groups=_grouped(numbered), question=work.asked)
    work.prompts += [system, ask]
    return [Message("system", system.text), Message("user", ask.text)]


def _as_draft(work: _Work, written: str, numbered: Sequence[Citation]) -> list[Draft]:
    """A written sentence with the evidence it names; nothing for an empty one."""
    text = privacy.unmask(plain(written), work.masked)
    if written.strip() == notice("none_mark", "zh-Hans"):
        work.declined = True
        return []
    if not any(c.isalnum() for c in text):
        return []
    ids = [int(n) for group in IDS.findall(written) for n in re.findall(r"\d+", group)]
    known = dict.fromkeys(i for i in ids if 1 <= i <= len(numbered))
    cited = tuple(numbered[i - 1] for i in known)
    return [Draft(text, "model", cited, asked=work.asked, signed=work.signed)]


def _quotes(work: _Work, citations: Sequence[Citation]) -> list[Draft]:
    """Sentences quoted as they stand, with a word before those of a digest or in Chinese."""
    drafts: list[Draft] = []
    introduced = ""
    if citations and work.question.locale == "en":
        drafts.append(work.notice("quoted_in_chinese"))
    for citation in without_repeats(citations):
        clause = citation.clause
        if clause.head.digest and clause.id != introduced:
            drafts.append(
                work.notice("digest_lead", title=clause.head.title, locator=clause.locator)
            )
            introduced = clause.id
        drafts.append(Draft(citation.quote, "quote", (citation,)))
    return drafts


def _with_other_periods(citations: Sequence[Citation]) -> list[Citation]:
    """Each sentence about contracts of some days, followed by its clause's word on other days."""
    completed: list[Citation] = []
    for citation in citations:
        completed.append(citation)
        days = signed_between(citation.quote)
        if days is None:
            continue
        own = set(bigrams(citation.quote))
        for quote in quotable(citation.clause):
            others = signed_between(quote)
            apart = others and (others[1] < days[0] or days[1] < others[0])
            if apart and len(own & set(bigrams(quote))) >= 0.25 * len(own):
                completed.append(Citation(citation.clause, quote))
    return list(dict.fromkeys(completed))


def _with_todays(citations: Sequence[Citation], on: date) -> list[Citation]:
    """Each sentence about contracts that were signed before, after its clause's word on those that
    are signed on a day."""
    completed: list[Citation] = []
    for citation in citations:
        days = signed_between(citation.quote)
        for other in _with_other_periods([citation])[1:] if days and days[1] < on else ():
            others = signed_between(other.quote)
            if others and others[0] <= on <= others[1]:
                completed.append(other)
        completed.append(citation)
    return list(dict.fromkeys(completed))


def _grouped(numbered: Sequence[Citation]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Numbered sentences under the document and heading they stand in."""
    groups: list[tuple[str, list[tuple[int, str]]]] = []
    last = ""
    for number, citation in enumerate(numbered, start=1):
        clause = citation.clause
        if clause.id != last:
            groups.append((clause.title or clause.head.title, []))
            last = clause.id
        groups[-1][1].append((number, citation.quote))
    return groups


async def _dating(work: _Work) -> AsyncGenerator[Draft, None]:
    """Says which versions were used where that matters, and quotes an older one that differs, of
    the sentence shown that bears most on the question."""
    if work.scope is None or work.found is None or not work.said_something():
        return
    question, scope = work.question, work.scope
    used = dict.fromkeys(index for sentence in work.said() for index in sentence.citations)
    cited = [work.citations[index] for index in used]
    by_contract = any(c.clause.head.kind in CONTRACT_DATED for c in cited)
    if work.signed and by_contract:
        first, last = map(_day, work.signed)
        if first == last:
            yield work.notice("contract_version", date=first)
        else:
            yield work.notice("contract_version_period", first=first, last=last)
    if question.as_of and question.as_of != question.today:
        yield work.notice("in_force_on", date=_day(question.as_of))
    if scope.contract_date:
        return
    spoken_of = [days for citation in cited if (days := signed_between(citation.quote))]
    best = {citation: rank for rank, citation in enumerate(work.ranked or ())}
    for citation in sorted(cited, key=lambda one: best.get(one, len(best))):
        for item in work.found.evidence:
            older = next((c for c in item.versions if _before(c, item.clause)), None)
            now = closest(citation.quote, item.clause) if older else None
            if older is None or now is None or likeness(citation.quote, now) < SAME_MATTER:
                continue
            ended = older.head.effective_to or date.max
            if any(first <= ended for first, _ in spoken_of):
                # What is cited speaks of earlier contracts too.
                continue
            before = closest(now, older)
            if before is None or bigrams(before) == bigrams(now):
                continue
            still = closest(before, item.clause)
            told = [still or "", *(sentence.text for sentence in work.said())]
            if any(bigrams(before) == bigrams(text) for text in told):
                # The newer version says it too, of something else than what was asked.
                continue
            said = Citation(older, before)
            if holds_instead(said, work.found.prevailing, work.deps.lender) != said:
                continue
            lead = _older_notice(work, item.clause, older)
            yield replace(lead, citations=(Citation(item.clause, now),))
            yield Draft(before, "quote", (said,))
            return


def _before(clause: Clause, other: Clause) -> bool:
    start = other.head.effective_from
    end = clause.head.effective_to
    return bool(start and end and end < start)


def _older_notice(work: _Work, clause: Clause, older: Clause) -> Draft:
    since = _day(clause.head.effective_from or date.min)
    to = _day(older.head.effective_to or date.max)
    title = clause.head.title
    if older.head.effective_from is None:
        return work.notice("older_version_open", title=title, since=since, to=to)
    start = _day(older.head.effective_from)
    return work.notice("older_version", title=title, since=since, from_=start, to=to)


def _day(day: date) -> str:
    return day.isoformat()


def _release(work: _Work, verdict: Verdict) -> list[Event]:
    """Add what the gate released to the reply; the events that show it."""
    events: list[Event] = []
    work.gate_s += verdict.seconds
    if verdict.withheld is not None and verdict.finding is not None:
        reason = f"{verdict.finding.reason}: {verdict.finding.detail}".rstrip(": ")
        work.withheld.append(Withheld(verdict.withheld.text, reason))
    for draft in verdict.released:
        # A notice that was said of an earlier question is said again: what follows it needs it.
        if any(
            s.text == draft.text and (s.kind == "notice") == (draft.kind == "notice")
            for s in work.said()
        ):
            continue
        indexes: list[int] = []
        for citation in draft.citations:
            if citation not in work.citations:
                work.citations.append(citation)
                events.append(
                    Event(
                        "citation",
                        {
                            "index": len(work.citations) - 1,
                            "quote": citation.quote,
                            **_clause_json(citation.clause),
                        },
                    )
                )
            indexes.append(work.citations.index(citation))
        sentence = Sentence(draft.text, draft.kind, tuple(indexes))
        work.sentences.append(sentence)
        if not work.first_sentence_ms:
            work.first_sentence_ms = work.elapsed_ms()
        events.append(
            Event(
                "sentence",
                {"index": len(work.sentences) - 1, **journal.sentence_as_json(sentence)},
            )
        )
    return events


def _clause_json(clause: Clause) -> dict[str, object]:
    return {**journal.clause_as_json(clause), "text": clause.text}


def _contact(work: _Work) -> Contact:
    question = work.question
    return Contact(*stated_contact(work.deps.lender, work.index.clauses, question.on))


def _handoff(contact: Contact, question: Question) -> Event:
    """The offer of a human, as an event."""
    text = way_to_a_person(contact.hotline, contact.hours, question.locale)
    return Event("handoff", {"text": text, "hotline": contact.hotline, "hours": contact.hours})


def _fault(work: _Work) -> str:
    """What is told of a fault, beneath what was shown before it."""
    return notice("fault_midway" if work.sentences else "fault", work.question.locale)


def _done(reply: Reply, question: Question) -> dict[str, object]:
    return {
        "status": reply.status,
        "label": notice("ai_label", question.locale),
        "record_id": reply.record_id,
        "conversation_id": reply.conversation_id,
        "model": reply.model,
        "release": reply.release,
        "timings": journal.timings_as_json(reply),
    }


async def _close_unanswered(work: _Work, conversation_id: str, record_id: str) -> None:
    """Close a record that got no reply, with what was shown until the borrower left or something
    broke."""
    trail, close = work.deps.trail, None
    try:
        reply = _masked(_finished(work, conversation_id, record_id))
        close = partial(
            journal.close_record, trail, reply, work.texts, work.played, status="unanswered"
        )
        await close()
    except Exception as error:
        if close is not None:
            trail.writer.unclosed[record_id] = close
        log.error("record not closed", trace_id=work.trace_id, record_id=record_id, exc_info=error)
    finally:
        work.deps.under_way.closed(record_id)
