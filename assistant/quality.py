"""The score of a conversation by data and rules alone: what was done well, what not, and where.

No model is asked: the same conversation gets the same score, and each point that it loses says by
which turn, which words, which rule or step. What counts how much, and all wording, is data:
quality.toml. What a borrower says is never judged.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from knowledge.documents import Clause
from knowledge.shelf import state_on
from knowledge.text import to_traditional
from prompts.render import version_of

from . import figures, privacy
from .compliance import Finding, review
from .figures import Figure
from .matching import (
    CLAUSE_ENDS,
    SENTENCE_ENDS,
    BadPattern,
    Folded,
    Folding,
    Pattern,
    Prefilter,
    clause_end,
    clause_start,
    compile_pattern,
)
from .models import Locale
from .rules import (
    CHECKS,
    CONTEXT_SETTINGS,
    Channel,
    ContextError,
    Rule,
    RulePack,
    Task,
    Trigger,
    read_context,
)
from .transcripts import Speaker, Transcript, Turn

Part = Literal["rules", "figures", "steps", "politeness", "answered", "promises"]
PARTS: tuple[Part, ...] = get_args(Part)
LOCALES: tuple[Locale, ...] = get_args(Locale)

SHIPPED = Path(__file__).with_name("quality.toml")

MOST_KEPT = 20_000
"""Texts whose reading is kept, and texts whose findings are: turns repeat each other."""
LATER_TURNS = 20
"""Turns of staff in which something that a question makes due may still be said."""
MOST_BEFORE = 8
"""Turns before one of staff in which the borrower's question is looked for."""
MOST_QUESTION = 2000
"""Characters of what the borrower said before a turn that the rules are told of."""
BESIDE = 60
"""Characters to either side of a figure of the knowledge that say what it is of."""
WHOLE = 10_000
"""A score in hundredths of a point, so that its parts add up."""

Span = tuple[int, int]


class QualityError(Exception):
    """The data of the scores cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a conversation loses points for, or a step that was met, and where to read it."""

    part: Part
    code: str
    """A rule of the pack, else a row of quality.toml."""
    lost: float
    """Points of 100; 0 where the part had none left to lose, or nothing is lost at all."""
    turn: int | None
    """Counted from 0; None: nothing was said where something had to be."""
    span: Span
    """In the text of the turn as it was given."""
    text: str
    """Verbatim, with personal data masked."""
    severity: str = ""
    """Of a rule's finding."""
    by: str = ""
    """Whose turn it was; empty: the assistant's, or not known."""
    right: str = ""
    """What the customer's record has, where that was contradicted."""
    met: bool = False
    """Whether this is a step that was made, which costs nothing."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a conversation is worth, 0 to 100."""

    transcript_id: str
    total: float | None
    """None: nobody of the lender said anything."""
    before_cap: float | None
    """What it would be if no rule of severity `block` had been broken."""
    parts: Mapping[Part, float]
    """Points of each part that there was something to judge of."""
    weights: Mapping[Part, float]
    """The most that each of them can reach; together 100."""
    points: tuple[Point, ...]
    """By part, then by turn."""
    flags: tuple[str, ...]
    """blocking_rule, incomplete, no_staff_turn, figures_unchecked."""
    passed: bool
    band: str
    """A key of `bands`; empty without a total."""
    task: Task
    """By whose rules people were judged: agent or collections; chat where only the assistant
    spoke."""
    topic: str
    on: date
    agents: tuple[str, ...]
    """People who spoke for the lender, by login or number."""
    assistant_spoke: bool
    turns: int
    rules_version: str
    scoring_version: str


# What scores are made by ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wording:
    """Something that is said, and what around it takes its meaning away."""

    patterns: tuple[Pattern, ...]
    unless: tuple[Pattern, ...] = ()

    def sought(self) -> Iterator[Pattern]:
        yield from self.patterns
        yield from self.unless


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has to be said at its time."""

    id: str
    when: Literal["first", "last", "before"]
    turns: int
    speakers: frozenset[Speaker]
    lost: float
    fact: str
    wording: Wording
    trigger: Wording


@dataclass(frozen=True, slots=True)
class Manner:
    """A way of speaking that costs points."""

    id: str
    lost: float
    tasks: frozenset[Task]
    wording: Wording


@dataclass(frozen=True, slots=True)
class FactWords:
    """The words that speak of a fact of the customer's record."""

    key: str
    kind: figures.Kind
    words: Pattern
    unless: Pattern | None


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """How a kind of question is answered where the answer shares no word with it."""

    asks: Pattern
    kinds: frozenset[str]
    says: Pattern


@dataclass(frozen=True)
class Book:
    """quality.toml, read and compiled."""

    version: str
    thresholds: Mapping[str, float]
    bands: Mapping[str, float]
    weights: Mapping[Part, float]
    titles: Mapping[Part, Mapping[Locale, str]]
    rule_lost: Mapping[str, float]
    collections_topics: frozenset[str]
    collections: Wording
    collections_turns: int
    figure: Mapping[str, Any]
    harmless: tuple[Pattern, ...]
    not_claimed: tuple[Pattern, ...]
    restated: Pattern
    dated: Pattern
    own: Pattern
    facts: tuple[FactWords, ...]
    steps: tuple[Step, ...]
    manners: tuple[Manner, ...]
    question_lost: float
    question: Wording
    empty: re.Pattern[str]
    puts_off: Wording
    handed: Wording
    question_kinds: tuple[QuestionKind, ...]
    promise_lost: float
    promise: Wording
    promise_dated: Pattern
    topics: tuple[tuple[str, Pattern], ...]
    topic_titles: Mapping[str, Mapping[Locale, str]]
    """Of those that are told here; a file may name others."""
    why: Mapping[str, Mapping[Locale, str]]
    """Code of a point -> words."""
    prefilter: Prefilter
    memo: dict[str, _Said] = field(default_factory=dict, compare=False, repr=False)


def load_book(file: Path = SHIPPED) -> Book:
    """Raises QualityError."""
    try:
        text = file.read_text(encoding="utf-8")
        table = tomllib.loads(text)
        return _book(table, version_of(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise QualityError(f"{file}: cannot be read ({error})") from error
    except BadPattern as error:
        raise QualityError(f"{file}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QualityError(f"{file}: not in the form of quality.toml ({error!r})") from error


def book_of(lender: Path | None) -> Book:
    """The lender's own quality.toml beside its lender file, else the shipped one; read again when
    it has changed. Raises QualityError."""
    own = lender.parent / SHIPPED.name if lender else SHIPPED
    file = own if own.is_file() else SHIPPED
    return _read_book(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_book(file: Path, changed: int) -> Book:
    return load_book(file)


def _book(table: Mapping[str, Any], version: str) -> Book:
    weights: dict[Part, float] = {part: float(table["weights"][part]) for part in PARTS}
    if any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
        raise ValueError("weights")
    told, asked, promised = table["figures"], table["questions"], table["promises"]
    steps = tuple(
        Step(
            row["id"],
            row["when"],
            int(row.get("turns", 0)),
            frozenset(row["speakers"]),
            float(row["lost"]),
            row.get("fact", ""),
            _wording(row),
            _wording(row, "trigger", "trigger_unless"),
        )
        for row in table["steps"]
    )
    if bad := [step.id for step in steps if step.when not in ("first", "last", "before")]:
        raise ValueError(f"steps: when of {bad}")
    manners = tuple(
        Manner(row["id"], float(row["lost"]), frozenset(row.get("tasks", ())), _wording(row))
        for row in table["politeness"]
    )
    why = {f"{code}": words for code, words in told["why"].items()}
    why |= {row["id"]: row["why"] for row in (*table["steps"], *table["politeness"])}
    why |= {"unanswered": asked["why"], "promise_without_date": promised["why"]}
    if short := [code for code, words in why.items() if set(words) != set(LOCALES)]:
        raise ValueError(f"why of {short}")
    book = Book(
        version=version,
        thresholds={k: float(v) for k, v in table["thresholds"].items() if k != "bands"},
        bands=dict(sorted(table["thresholds"]["bands"].items(), key=lambda row: -row[1])),
        weights=weights,
        titles={part: table["parts"][part] for part in PARTS},
        rule_lost={k: float(v) for k, v in table["rules"]["lost"].items()},
        collections_topics=frozenset(table["collections"]["topics"]),
        collections=_wording(table["collections"]),
        collections_turns=int(table["collections"]["first_turns"]),
        figure=told,
        harmless=tuple(map(compile_pattern, told["harmless"])),
        not_claimed=tuple(map(compile_pattern, told["not_claimed"])),
        restated=compile_pattern(told["restated"]),
        dated=compile_pattern(told["dated"]),
        own=compile_pattern(told["own"]),
        facts=tuple(
            FactWords(
                row["key"],
                row["kind"],
                compile_pattern(row["words"]),
                compile_pattern(row["unless"]) if "unless" in row else None,
            )
            for row in told["facts"]
        ),
        steps=steps,
        manners=manners,
        question_lost=float(asked["lost"]),
        question=_wording(asked),
        empty=re.compile(asked["empty"]),
        puts_off=_wording(asked, "puts_off", "puts_off_unless"),
        handed=_wording(asked["handed"]),
        question_kinds=tuple(
            QuestionKind(
                compile_pattern(row["asks"]), frozenset(row["kinds"]), compile_pattern(row["says"])
            )
            for row in asked["kinds"]
        ),
        promise_lost=float(promised["lost"]),
        promise=_wording(promised),
        promise_dated=compile_pattern(promised["dated"]),
        topics=tuple((row["id"], compile_pattern(row["patterns"])) for row in table["topics"]),
        topic_titles=table["topic_titles"],
        why=why,
        prefilter=Prefilter(()),
    )
    sought = [
        pattern
        for wording in (
            book.collections,
            *(s.wording for s in steps),
            *(s.trigger for s in steps),
            *(m.wording for m in manners),
            book.puts_off,
            book.handed,
            book.promise,
        )
        for pattern in wording.sought()
    ]
    sought += [pattern for _, pattern in book.topics]
    return replace(book, prefilter=Prefilter(sought), memo={})


def _wording(table: Mapping[str, Any], name: str = "patterns", unless: str = "unless") -> Wording:
    return Wording(
        tuple(map(compile_pattern, table.get(name, ()))),
        tuple(map(compile_pattern, table.get(unless, ()))),
    )


class Knowledge:
    """The figures of the clauses in force on a day, found by their values."""

    def __init__(self, texts: Iterable[str], empty: re.Pattern[str]) -> None:
        self._by_value: dict[object, list[tuple[Figure, frozenset[str]]]] = {}
        self._dates: list[Figure] = []
        self._known: dict[Figure, tuple[bool, frozenset[str]]] = {}
        for text in texts:
            for found in figures.find(text):
                if found.kind == "date":
                    self._dates.append(found)
                low, high = max(0, found.span[0] - BESIDE), found.span[1] + BESIDE
                words = _pairs(text[low:high], empty)
                for value in {found.value, found.upper} - {None}:
                    self._by_value.setdefault(value, []).append((found, words))

    def states(self, claim: Figure) -> tuple[bool, frozenset[str]]:
        """Whether a clause states a figure, and the words that stand around it where one does."""
        known = self._known.get(claim)
        if known is None:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[claim] = known = self._look_up(claim)
        return known

    def _look_up(self, claim: Figure) -> tuple[bool, frozenset[str]]:
        if claim.kind == "date":
            return figures.states(self._dates, claim), frozenset()
        near = [*self._by_value.get(claim.value, ())]
        if claim.upper is not None:
            near += self._by_value.get(claim.upper, ())
        if claim.kind == "term" and isinstance(claim.value, Decimal):
            near += self._by_value.get(f"---{int(claim.value):02}", ())
        whole = [found for found, _ in near]
        if not figures.states(whole, claim):
            return False, frozenset()
        stating = [w for f, w in near if claim.bound == "range" or figures.states([f], claim)]
        return True, frozenset().union(*stating)


class Shelf:
    """The clauses of a release, and what they say on each day."""

    def __init__(self, release_id: str, clauses: Sequence[Clause], book: Book) -> None:
        self.release_id = release_id
        self.book = book
        self._by_source: dict[str, list[Clause]] = {}
        for clause in clauses:
            self._by_source.setdefault(clause.source, []).append(clause)
        self._said: dict[frozenset[str], Knowledge] = {}

    def on(self, day: date) -> Knowledge:
        """Made once for all days on which the same documents are in force."""
        held = frozenset(
            f"{source}\n{place}"
            for source, clauses in self._by_source.items()
            for place, clause in enumerate(clauses)
            if state_on(clause.head, day) == "current"
        )
        known = self._said.get(held)
        if known is None:
            texts = (
                f"{clause.title}\n{clause.text}"
                for clauses in self._by_source.values()
                for clause in clauses
                if state_on(clause.head, day) == "current"
            )
            self._said[held] = known = Knowledge(texts, self.book.empty)
        return known


# Reading turns --------------------------------------------------------------------------------


class _Said:
    """A text, with what can be read of it without its conversation; kept with the book."""

    def __init__(self, text: str, folding: Folding, book: Book) -> None:
        self.text = text
        self.folded: Folded = folding.plain(text)
        self._book = book

    @cached_property
    def _met(self) -> frozenset[Pattern]:
        return self._book.prefilter.met(self.folded.text)

    def may(self, pattern: Pattern) -> bool:
        return pattern in self._met

    @cached_property
    def figures(self) -> list[Figure]:
        return figures.find(self.text)

    @cached_property
    def sentences(self) -> list[tuple[int, str]]:
        """(place in the folded text, sentence with its mark)."""
        return [(m.start(), m.group()) for m in _SENTENCE.finditer(self.folded.text)]

    @cached_property
    def pairs(self) -> frozenset[str]:
        return _pairs(self.folded.text, self._book.empty)

    def spans(self, wording: Wording) -> Iterator[Span]:
        """Where it is said, in the folded text."""
        text = self.folded.text
        for pattern in wording.patterns:
            if not self.may(pattern):
                continue
            for start, end in pattern.spans(text):
                if not self._excused(wording, start, end):
                    yield start, end

    def first(self, wording: Wording) -> Span | None:
        return next(self.spans(wording), None)

    def _excused(self, wording: Wording, start: int, end: int) -> bool:
        unless = [pattern for pattern in wording.unless if self.may(pattern)]
        if not unless:
            return False
        clause = self.clause(start, end)
        return any(pattern.within(clause) for pattern in unless)

    def clause(self, start: int, end: int, ends: frozenset[str] = CLAUSE_ENDS) -> str:
        text = self.folded.text
        return text[clause_start(text, start, BESIDE, ends) : clause_end(text, end, BESIDE, ends)]

    def origin(self, start: int, end: int) -> Span:
        return self.folded.origin(start, max(end, start + 1)) if self.folded.text else (0, 0)

    def place(self, span: Span) -> Span:
        """Where original[span] stands in the folded text."""
        if len(self.folded.text) == len(self.text):
            return span
        starts = self.folded.starts
        inside = [i for i, start in enumerate(starts) if span[0] <= start < span[1]]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    @cached_property
    def manners(self) -> list[tuple[Manner, Span]]:
        return [
            (manner, self.origin(*found))
            for manner in self._book.manners
            if (found := self.first(manner.wording)) is not None
        ]

    @cached_property
    def questions(self) -> list[tuple[Span, str]]:
        """(original span, sentence) of each question."""
        asked = self._book.question
        found = []
        for start, sentence in self.sentences:
            bare = sentence.strip(" 。!,;\n")
            if not bare or not any(p.within(bare) for p in asked.patterns):
                continue
            if not any(p.within(bare) for p in asked.unless):
                found.append((self.origin(start, start + len(sentence)), sentence))
        return found

    @cached_property
    def puts_off(self) -> bool:
        """Whether nothing in it is an answer."""
        wording = self._book.puts_off
        return any(self.may(p) and p.within(self.folded.text) for p in wording.patterns) and not (
            any(p.within(self.folded.text) for p in wording.unless)
        )

    @cached_property
    def promises(self) -> list[Span]:
        found = []
        for start, end in self.spans(self._book.promise):
            sentence = self.clause(start, end, SENTENCE_ENDS)
            if not self._book.promise_dated.within(sentence):
                found.append(self.origin(start, end))
        return found[:1]

    @cached_property
    def names_time(self) -> bool:
        return self._book.promise_dated.within(self.folded.text)


_SENTENCE = re.compile(r"[^。!?;\n]+[。!?;\n]*")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]{2,}|[a-z]{3,}|[0-9]{3,}")


def _pairs(text: str, empty: re.Pattern[str]) -> frozenset[str]:
    """Neighbouring characters of what a text is about, and words of other scripts."""
    found: set[str] = set()
    for run in _HAN_RUN.findall(empty.sub(" ", text.lower())):
        if run.isascii():
            found.add(run)
        else:
            found.update(a + b for a, b in pairwise(run))
    return frozenset(found)


# The rules ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TaskRules:
    """The rules of a task, parted by what a trigger must be told, so that a turn meets few."""

    pack: RulePack
    parted: Mapping[_Kind, Sequence[tuple[Rule, Trigger]]]
    questions: Prefilter
    """Of all patterns for what the borrower said before."""
    said_before: frozenset[Pattern]
    made_due: frozenset[Pattern]
    needed: frozenset[str]
    """Context that a trigger asks for."""
    packs: dict[Any, RulePack] = field(default_factory=dict)
    found: dict[Any, tuple[Finding, ...]] = field(default_factory=dict)
    bears: dict[str, tuple[bool, bool]] = field(default_factory=dict)

    def of(self, kinds: tuple[_Kind, ...], keys: frozenset[str]) -> RulePack:
        """The triggers of some kinds, of `known` those for which enough is known."""
        pack = self.packs.get((kinds, keys))
        if pack is None:
            rules: dict[str, tuple[Rule, list[Trigger]]] = {}
            for kind in kinds:
                for rule, trigger in self.parted.get(kind, ()):
                    if kind != "known" or keys.issuperset(_needs(trigger)):
                        rules.setdefault(rule.id, (rule, []))[1].append(trigger)
            pack = replace(
                self.pack,
                rules=tuple(replace(rule, triggers=tuple(own)) for rule, own in rules.values()),
                memo={},
            )
            self.packs[kinds, keys] = pack
        return pack

    def heard(self, question: _Said) -> tuple[bool, bool]:
        """Whether what the borrower said bears on a rule, and whether it makes something due."""
        known = self.bears.get(question.text)
        if known is None:
            bare = self.pack.folding.bared(question.folded).text
            met = self.questions.met(bare)

            def matches(patterns: frozenset[Pattern]) -> bool:
                return any(p.within(bare) for p in patterns & met)

            known = matches(self.said_before), matches(self.made_due)
            if len(self.bears) >= MOST_KEPT:
                self.bears.clear()
            self.bears[question.text] = known
        return known


_Kind = Literal["every", "first", "known", "asked", "due"]
"""every: can be seen of a turn alone. first: what a message must hold, of which the first turn of
staff counts as one. known: asks for customer or contact. asked: what is said to a question. due:
what a question makes due, and may be said in a later turn."""


def _task_rules(pack: RulePack, task: Task) -> _TaskRules:
    known: dict[Task, _TaskRules] = pack.memo.setdefault("quality", {})
    if task not in known:
        parted: dict[_Kind, list[tuple[Rule, Trigger]]] = {}
        before: list[Pattern] = []
        due: list[Pattern] = []
        needed: set[str] = set()
        for rule in pack.rules:
            for trigger in rule.triggers:
                if any(each.tasks and task not in each.tasks for each in (rule, trigger)):
                    continue
                kind = _kind(trigger, pack.settings_of(rule))
                parted.setdefault(kind, []).append((rule, trigger))
                needed.update(_needs(trigger))
                needed.update(condition.key for condition in trigger.unless_context)
                if kind == "due":
                    due += trigger.question
                else:
                    before += trigger.question + trigger.unless_question
        known[task] = _TaskRules(
            pack,
            parted,
            Prefilter([*before, *due]),
            frozenset(before),
            frozenset(due),
            frozenset(needed),
        )
    return known[task]


def _needs(trigger: Trigger) -> Iterator[str]:
    yield from (condition.key for condition in trigger.context)
    yield from CHECKS.get(trigger.check, ())


def _kind(trigger: Trigger, settings: Mapping[str, object]) -> _Kind:
    seen = trigger.patterns or trigger.figures or trigger.check
    required = trigger.requires_any or trigger.requires_all
    if any(not settings.get(CONTEXT_SETTINGS.get(key, "")) for key in _needs(trigger)):
        return "known"
    if trigger.question:
        return "due" if required and not seen else "asked"
    return "first" if required and not seen else "every"


class _Rules:
    """The findings of one conversation."""

    def __init__(
        self, pack: RulePack, on: date, channel: Channel | None, context: Mapping[str, Any]
    ) -> None:
        self._pack = pack
        self._on = on
        self._channel = channel
        self._context = context

    def of_turn(
        self, task: Task, said: _Said, question: _Said | None, first: bool
    ) -> tuple[Finding, ...]:
        rules = _task_rules(self._pack, task)
        # The hour of a contact is that of its first message.
        context = {
            key: value
            for key, value in self._context.items()
            if key in rules.needed and (first or key != "at")
        }
        asked = question is not None and rules.heard(question)[0]
        kinds: tuple[_Kind, ...] = ("every",)
        if first:
            kinds += ("first",)
        if context:
            kinds += ("known",)
        if asked:
            kinds += ("asked",)
        # A rate may answer a question that states the price in another way.
        priced = question is not None and any(f.kind == "rate" for f in said.figures)
        heard = question.text if question is not None and (asked or priced) else ""
        return self._review(rules, kinds, task, said.text, heard, context)

    def left_out(self, task: Task, turns: Sequence[str], question: _Said) -> tuple[Finding, ...]:
        """What a question made due and no turn since then has said."""
        rules = _task_rules(self._pack, task)
        if not rules.heard(question)[1]:
            return ()
        # Turns end sentences, and no line of one message: those are judged once more in one line.
        return self._review(rules, ("due",), task, "。".join(turns), question.text, {})

    def _review(
        self,
        rules: _TaskRules,
        kinds: tuple[_Kind, ...],
        task: Task,
        text: str,
        question: str,
        context: Mapping[str, Any],
    ) -> tuple[Finding, ...]:
        told = tuple((key, str(value)) for key, value in context.items())
        key = (kinds, self._channel, self._on, told, question, text)
        found = rules.found.get(key)
        if found is None:
            pack = rules.of(kinds, frozenset(context))
            reviewed = review(
                pack,
                text,
                task=task,
                channel=self._channel,
                context={**context, "question": question} if question else context,
                on=self._on,
            )
            if len(rules.found) >= MOST_KEPT:
                rules.found.clear()
            rules.found[key] = found = reviewed.findings
        return found


# The score ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Loss:
    part: Part
    code: str
    lost: float
    turn: int | None
    span: Span = (0, 0)
    severity: str = ""
    right: str = ""
    met: bool = False


class _Talk:
    """A conversation while it is scored."""

    def __init__(
        self,
        transcript: Transcript,
        pack: RulePack,
        book: Book,
        facts: Mapping[str, Any],
        on: date,
    ) -> None:
        self.turns = transcript.turns
        self.book = book
        self.facts = facts
        self.on = on
        self.pack = pack
        self.said = [_read(turn.text, pack.folding, book) for turn in self.turns]
        self.staff = [i for i, t in enumerate(self.turns) if t.speaker in ("agent", "assistant")]
        self.topic = transcript.topic
        self.collections = self._collections()

    def _collections(self) -> bool:
        if self.topic:
            return self.topic.lower() in self.book.collections_topics
        first = self.staff[: self.book.collections_turns]
        # Whoever answers a borrower does not collect from them.
        opened = bool(first) and not any(
            turn.speaker == "borrower" and len(turn.text) > 6 for turn in self.turns[: first[0]]
        )
        return opened and any(self.said[i].first(self.book.collections) for i in first)

    def task(self, turn: Turn) -> Task:
        if self.collections:
            return "collections"
        return "chat" if turn.speaker == "assistant" else "agent"

    def question_before(self, index: int) -> _Said | None:
        """What the borrower said since staff spoke last."""
        said: list[str] = []
        for turn in reversed(self.turns[max(0, index - MOST_BEFORE) : index]):
            if turn.speaker in ("agent", "assistant"):
                break
            if turn.speaker == "borrower":
                said.append(turn.text)
        if not said:
            return None
        return _read("\n".join(reversed(said))[:MOST_QUESTION], self.pack.folding, self.book)


def _read(text: str, folding: Folding, book: Book) -> _Said:
    known = book.memo.get(text)
    if known is None:
        if len(book.memo) >= MOST_KEPT:
            book.memo.clear()
        book.memo[text] = known = _Said(text, folding, book)
    return known


def score(
    transcript: Transcript,
    pack: RulePack,
    book: Book,
    knowledge: Knowledge | None = None,
    *,
    on: date,
    facts: Mapping[str, Any] | None = None,
    channel: Channel | None = "chat",
) -> Score:
    """Judge a conversation.

    knowledge: of the clauses in force on its day; without it and without facts, figures are not
    judged. facts: what the lender's systems know of the customer, in place of the transcript's own:
    the keys of `figures.facts` in quality.toml, whatever else has a unit in its name, and the
    context of the rules.
    """
    told = dict(transcript.facts if facts is None else facts)
    talk = _Talk(transcript, pack, book, told, on)
    losses: list[_Loss] = []
    applies: set[Part] = set()
    if talk.staff:
        applies |= {"rules", "politeness"}
        losses += _rules(talk, channel)
        losses += _politeness(talk)
        for part, judge in _JUDGES.items():
            found = judge(talk, knowledge)
            if found is not None:
                applies.add(part)
                losses += found
    flags = []
    if any(loss.severity == "block" for loss in losses):
        flags.append("blocking_rule")
    if transcript.problems:
        flags.append("incomplete")
    if not talk.staff:
        flags.append("no_staff_turn")
    if knowledge is None and not _fact_figures(told):
        flags.append("figures_unchecked")
    return _scored(transcript, talk, losses, applies, tuple(flags))


def _scored(
    transcript: Transcript,
    talk: _Talk,
    losses: list[_Loss],
    applies: set[Part],
    flags: tuple[str, ...],
) -> Score:
    book = talk.book
    weights = _shared({part: book.weights[part] for part in PARTS if part in applies})
    left = dict(weights)
    points = []
    losses.sort(key=lambda loss: (PARTS.index(loss.part), -1 if loss.turn is None else loss.turn))
    for loss in losses:
        share = weights[loss.part] / (book.weights[loss.part] or 1)
        taken = min(left[loss.part], round(loss.lost * share))
        left[loss.part] -= taken
        turn = transcript.turns[loss.turn] if loss.turn is not None else None
        points.append(
            Point(
                loss.part,
                loss.code,
                taken / 100,
                loss.turn,
                loss.span,
                _shown(loss, turn.text) if turn else "",
                loss.severity,
                turn.by if turn else "",
                loss.right,
                loss.met,
            )
        )
    total = before = sum(left.values()) / 100 if weights else None
    if total is not None and "blocking_rule" in flags:
        total = min(total, book.thresholds["cap_with_block"])
    people = dict.fromkeys(t.by for t in transcript.turns if t.speaker == "agent" and t.by)
    spoke = {transcript.turns[i].speaker for i in talk.staff}
    return Score(
        transcript_id=transcript.id,
        total=total,
        before_cap=before,
        parts={part: points_ / 100 for part, points_ in left.items()},
        weights={part: points_ / 100 for part, points_ in weights.items()},
        points=tuple(points),
        flags=flags,
        passed=total is not None and total >= book.thresholds["pass"],
        band=band(total, book),
        task="collections" if talk.collections else "agent" if "agent" in spoke else "chat",
        topic=_topic(talk),
        on=talk.on,
        agents=tuple(people),
        assistant_spoke="assistant" in spoke,
        turns=len(transcript.turns),
        rules_version=talk.pack.version,
        scoring_version=book.version,
    )


def band(total: float | None, book: Book) -> str:
    if total is None:
        return ""
    return next((name for name, least in book.bands.items() if total >= least), "")


def _shared(weights: Mapping[Part, float]) -> dict[Part, int]:
    """The weights of what applies, in hundredths of a point that come to 100 points."""
    whole = sum(weights.values())
    if not whole:
        return {}
    shares = {part: int(weight * WHOLE / whole) for part, weight in weights.items()}
    for part in sorted(shares, key=lambda p: -weights[p])[:1]:
        shares[part] += WHOLE - sum(shares.values())
    return shares


def _shown(loss: _Loss, text: str) -> str:
    words = text[slice(*loss.span)]
    # An amount or a rate is nobody's number.
    return words if loss.part == "figures" else masked(words)


@lru_cache(maxsize=MOST_KEPT)
def masked(text: str) -> str:
    """A text as it may be kept and shown."""
    return privacy.mask(text).text


def _rules(talk: _Talk, channel: Channel | None) -> Iterator[_Loss]:
    judge = _Rules(talk.pack, talk.on, channel, _context(talk))
    lost = talk.book.rule_lost
    for place, index in enumerate(talk.staff):
        turn = talk.turns[index]
        task = talk.task(turn)
        question = talk.question_before(index)
        for found in judge.of_turn(task, talk.said[index], question, place == 0):
            points = lost.get(found.severity, 0.0)
            yield _Loss("rules", found.rule.id, points, index, found.span, found.severity)
        if question is not None:
            said = [talk.turns[i].text for i in talk.staff[place : place + LATER_TURNS]]
            for found in judge.left_out(task, said, question):
                span = (0, len(turn.text))
                points = lost.get(found.severity, 0.0)
                yield _Loss("rules", found.rule.id, points, index, span, found.severity)


def _context(talk: _Talk) -> Mapping[str, Any]:
    """What the rules can be told of customer and contact."""
    keys = talk.pack.context_keys
    said = {key: value for key, value in talk.facts.items() if key in keys}
    # That nobody was asked who they are is judged as a step: it may have been done elsewhere.
    if said.get("identity_verified") is not True:
        said.pop("identity_verified", None)
    if "amount_due_cny" in said:
        said["amount_due_cny"] = str(said["amount_due_cny"])
    first = talk.turns[talk.staff[0]]
    called = talk.collections and (talk.staff[0] == 0 or talk.turns[0].speaker != "borrower")
    if called and first.at is not None and "at" not in said:
        said["at"] = _zoned(first.at, talk.pack).isoformat()
    context: dict[str, Any] = {}
    for key, value in said.items():
        # What is not understood is not said, and takes nothing else with it.
        with suppress(ContextError):
            context |= read_context({key: value}, keys)
    context.pop("complete", None)
    return context


def _zoned(at: datetime, pack: RulePack) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(str(pack.settings["timezone"])))


def _politeness(talk: _Talk) -> Iterator[_Loss]:
    for index in talk.staff:
        found = talk.said[index].manners
        task = talk.task(talk.turns[index]) if found else "agent"
        for manner, span in found:
            if not manner.tasks or task in manner.tasks:
                yield _Loss("politeness", manner.id, manner.lost, index, span)


def _steps(talk: _Talk, knowledge: Knowledge | None) -> list[_Loss] | None:
    found: list[_Loss] = []
    for step in talk.book.steps:
        own = [i for i in talk.staff if talk.turns[i].speaker in step.speakers]
        if not own:
            continue
        if step.when == "before":
            found += _before(step, talk, own)
            continue
        looked = own[: step.turns] if step.when == "first" else own[-step.turns :]
        if step.fact and talk.facts.get(step.fact) is True:
            continue
        for index in looked:
            place = talk.said[index].first(step.wording)
            if place is not None:
                span = talk.said[index].origin(*place)
                found.append(_Loss("steps", step.id, 0, index, span, met=True))
                break
        else:
            index = looked[0] if step.when == "first" else looked[-1]
            found.append(
                _Loss("steps", step.id, step.lost, index, (0, len(talk.turns[index].text)))
            )
    return found


def _before(step: Step, talk: _Talk, own: Sequence[int]) -> Iterator[_Loss]:
    """A step that has to come in a turn before something is told."""
    if step.fact and talk.facts.get(step.fact) is True:
        return
    for index in own:
        said = talk.said[index]
        told, made = said.first(step.trigger), said.first(step.wording)
        if made is not None and told is None:
            yield _Loss("steps", step.id, 0, index, said.origin(*made), met=True)
            return
        # Asked and told in one breath: nobody has answered yet.
        if told is not None:
            yield _Loss("steps", step.id, step.lost, index, said.origin(*told))
            return


def _figures(talk: _Talk, knowledge: Knowledge | None) -> list[_Loss] | None:
    """None where no figure was told, or nothing is there to hold it to."""
    of_record = _fact_figures(talk.facts)
    if knowledge is None and not of_record:
        return None
    rows = talk.book.figure
    found: list[_Loss] = []
    claims = 0
    borrowers: list[_Said] = []
    for index, turn in enumerate(talk.turns):
        said = talk.said[index]
        if turn.speaker == "borrower":
            borrowers.append(said)
            continue
        if turn.speaker == "system" or not said.figures:
            continue
        for figure in said.figures:
            clause = _claimed(figure, said, talk.book)
            if clause is None:
                continue
            claims += 1
            right = _contradicts(figure, clause, said, talk)
            if right:
                found.append(
                    _Loss(
                        "figures",
                        "contradicts_record",
                        rows["lost_record"],
                        index,
                        figure.span,
                        right=right,
                    )
                )
                continue
            if figures.states(of_record, figure):
                continue
            restated = figure.kind != "rate" and talk.book.restated.within(clause)
            if restated and figures.states([f for b in borrowers for f in b.figures], figure):
                continue
            stated, words = (False, frozenset[str]())
            if knowledge is not None:
                stated, words = knowledge.states(figure)
            if not stated:
                found.append(_Loss("figures", "unsupported", rows["lost"], index, figure.span))
            elif figure.kind in ("money", "rate") and words:
                question = talk.question_before(index)
                near = said.pairs | (question.pairs if question else frozenset())
                if near and not near & words:
                    found.append(
                        _Loss("figures", "elsewhere", rows["lost_elsewhere"], index, figure.span)
                    )
    return found if claims else None


def _claimed(figure: Figure, said: _Said, book: Book) -> str | None:
    """The clause of a figure that has to be right; None where it is harmless."""
    rows = book.figure
    if figure.kind not in rows["checked"] or figure.unit in rows["harmless_units"]:
        return None
    start, end = said.place(figure.span)
    clause = said.clause(start, end)
    if any(pattern.within(clause) for pattern in book.harmless):
        return None
    if figure.kind == "date" and not book.dated.within(said.clause(start, end, SENTENCE_ENDS)):
        return None
    text = said.folded.text
    before = text[clause_start(text, start, BESIDE, CLAUSE_ENDS) : start]
    after = text[end : clause_end(text, end, BESIDE, CLAUSE_ENDS) + 1]
    if any(pattern.within(before) or pattern.within(after) for pattern in book.not_claimed):
        return None
    return clause


def _contradicts(figure: Figure, clause: str, said: _Said, talk: _Talk) -> str:
    """What the customer's record has in place of a figure of it; empty where nothing speaks
    against it."""
    start, end = said.place(figure.span)
    sentence = ""
    for row in talk.book.facts:
        right = talk.facts.get(row.key)
        if right is None or row.kind != figure.kind:
            continue
        if not row.words.within(clause) or (row.unless and row.unless.within(clause)):
            continue
        sentence = sentence or said.clause(start, end, SENTENCE_ENDS)
        if not talk.book.own.within(sentence):
            continue
        held = _of_fact(row.key, right)
        if held and not figures.states(held, replace(figure, bound="", upper=None)):
            return str(right)
    return ""


_FACT_FORMS: Sequence[tuple[str, Callable[[str], str]]] = (
    ("_cny", lambda value: f"{value}元"),
    ("annual_rate", lambda value: f"年利率{_percent(value)}%"),
    ("daily_rate", lambda value: f"日利率{_percent(value)}%"),
    ("monthly_rate", lambda value: f"月利率{_percent(value)}%"),
    ("_rate", lambda value: f"{_percent(value)}%"),
    ("_on", lambda value: value),
    ("terms", lambda value: f"{value}期、{value}个月"),
    ("months", lambda value: f"{value}个月"),
    ("days_overdue", lambda value: f"{value}天"),
    ("_days", lambda value: f"{value}天"),
)
"""How the name of a fact ends -> its value with the unit that this tells."""


def _percent(value: str) -> str:
    try:
        return f"{(Decimal(value) * 100).normalize():f}"
    except InvalidOperation:
        return value


def _of_fact(key: str, value: object) -> list[Figure]:
    form = next((form for end, form in _FACT_FORMS if key.endswith(end)), None)
    if (
        form is None
        or isinstance(value, bool)
        or not isinstance(value, str | int | float | Decimal)
    ):
        return []
    return figures.find(form(str(value)))


def _fact_figures(facts: Mapping[str, Any]) -> list[Figure]:
    found: list[Figure] = []
    rest: list[tuple[str, object]] = [*facts.items()]
    while rest and len(found) < 2000:
        key, value = rest.pop()
        if isinstance(value, Mapping):
            rest += value.items()
        elif isinstance(value, list | tuple):
            rest += [(key, item) for item in value]
        elif value is not None:
            found += _of_fact(key, value)
    return found


def _answered(talk: _Talk, knowledge: Knowledge | None) -> list[_Loss] | None:
    """Questions on which no later turn bears; None where nothing was asked."""
    asked = [
        (index, span, sentence)
        for index, turn in enumerate(talk.turns)
        if turn.speaker == "borrower"
        for span, sentence in talk.said[index].questions
    ]
    if not asked:
        return None
    last: dict[str, int] = {}
    for index in talk.staff:
        if not talk.said[index].puts_off:
            last.update(dict.fromkeys(talk.said[index].pairs, index))
    found = []
    for index, span, sentence in asked:
        about = _pairs(sentence, talk.book.empty)
        if any(last.get(pair, -1) > index for pair in about):
            continue
        if not _is_answered(talk, index, sentence):
            found.append(_Loss("answered", "unanswered", talk.book.question_lost, index, span))
    return found


def _is_answered(talk: _Talk, index: int, sentence: str) -> bool:
    """Whether the reply to a question, up to the next one, is of the kind that it asks for."""
    kinds = [kind for kind in talk.book.question_kinds if kind.asks.within(sentence)]
    for later in range(index + 1, len(talk.turns)):
        turn, said = talk.turns[later], talk.said[later]
        if turn.speaker == "borrower" and said.questions:
            replied = any(t.speaker != "borrower" for t in talk.turns[index + 1 : later])
            if replied:
                return False
            continue
        if turn.speaker not in ("agent", "assistant"):
            continue
        if said.first(talk.book.handed) is not None:
            return True
        if said.puts_off:
            continue
        for kind in kinds:
            if any(figure.kind in kind.kinds for figure in said.figures):
                return True
            if any(kind.says.within(each.strip()) for _, each in said.sentences):
                return True
    return False


def _promises(talk: _Talk, knowledge: Knowledge | None) -> list[_Loss] | None:
    """Promises without a time, in the same turn or the next of staff; None where none was made."""
    made = 0
    found = []
    for place, index in enumerate(talk.staff):
        said = talk.said[index]
        if said.first(talk.book.promise) is None:
            continue
        made += 1
        after = talk.staff[place + 1 : place + 2]
        if said.names_time or any(
            talk.said[i].names_time and talk.said[i].first(talk.book.promise) for i in after
        ):
            continue
        for span in said.promises:
            found.append(
                _Loss("promises", "promise_without_date", talk.book.promise_lost, index, span)
            )
    return found if made else None


_JUDGES: Mapping[Part, Callable[[_Talk, Knowledge | None], list[_Loss] | None]] = {
    "steps": _steps,
    "figures": _figures,
    "answered": _answered,
    "promises": _promises,
}


def _topic(talk: _Talk) -> str:
    if talk.topic:
        return talk.topic
    if talk.collections:
        return "collections"
    counts = {
        name: sum(said.may(pattern) and pattern.within(said.folded.text) for said in talk.said)
        for name, pattern in talk.book.topics
    }
    best = max(counts.values(), default=0)
    return next((name for name, count in counts.items() if count == best), "") if best else "other"


# As JSON --------------------------------------------------------------------------------------


def why(point: Point, book: Book, pack: RulePack, locale: Locale = "zh-Hans") -> str:
    """What a point is lost for, in words."""
    if point.part == "rules":
        rule = pack.by_id.get(point.code)
        if rule is None:
            return point.code
        if locale == "en":
            return rule.title_en
        return rule.title_zh if locale == "zh-Hans" else to_traditional(rule.title_zh)
    words = book.why.get(point.code)
    if words is None:
        return point.code
    return words[locale].replace("{text}", point.text).replace("{right}", point.right)


def point_as_json(
    point: Point, book: Book, pack: RulePack, locale: Locale = "zh-Hans"
) -> dict[str, Any]:
    rule = pack.by_id.get(point.code) if point.part == "rules" else None
    return {
        "part": point.part,
        "code": point.code,
        "lost": point.lost,
        "turn": point.turn,
        "span": list(point.span),
        "text": point.text,
        "severity": point.severity,
        "by": point.by,
        "met": point.met,
        "why": why(point, book, pack, locale) if not point.met else "",
        "right": point.right,
        "suggestion": "" if rule is None else rule.suggestion_zh,
        "source": None if rule is None else rule.basis.regulation,
    }


def score_as_json(
    found: Score, book: Book, pack: RulePack, locale: Locale = "zh-Hans"
) -> dict[str, Any]:
    """A score as commands and HTTP give it."""
    return {
        "conversation_id": found.transcript_id,
        "total": found.total,
        "before_cap": found.before_cap,
        "passed": found.passed,
        "band": found.band,
        "parts": [
            {
                "part": part,
                "title": book.titles[part][locale],
                "points": found.parts[part],
                "of": found.weights[part],
            }
            for part in found.parts
        ],
        "points": [point_as_json(point, book, pack, locale) for point in found.points],
        "flags": list(found.flags),
        "task": found.task,
        "topic": found.topic,
        "on": found.on.isoformat(),
        "agents": list(found.agents),
        "assistant": found.assistant_spoke,
        "turns": found.turns,
        "rules_version": found.rules_version,
        "scoring_version": found.scoring_version,
    }
