"""Follow-ups: what a message asks, made complete by what went before in its conversation.

A message that is complete by itself is never touched. How borrowers lean on what was said is data:
conversation.toml.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from knowledge.text import content_words, to_simplified, to_traditional
from prompts.render import version_of

from . import figures
from .models import Locale, Said

SHIPPED = Path(__file__).with_suffix(".toml")

LOOKED_BACK = 12
"""How many earlier messages are gone through for what a follow-up leans on."""

MOST_SHOWN = 100
"""Characters of a question that are shown."""

_PART = re.compile("<<([a-z_]+)>>")
_PLACEHOLDER = re.compile(r"<[A-Z]+_\d+>")
_WORD = re.compile(r"[^\W_]")
_LATIN = re.compile(r"[a-z]", re.I)
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_EDGES = " \t\n，。、！？!?,.;；:：~～…"

_LOCALES: Mapping[str, Locale] = {
    "en": "en",
    "en2": "en",
    "hant": "zh-Hant",
    "hans": "zh-Hans",
}

TermsSince = Callable[[str], date | None]
"""Product -> first day of its terms that are in force; None where that is not known."""

WithAnswer = Callable[[Said, str, str, str], str | None]
"""Earlier message, argument that was asked for, question that lacks it, and what is given now ->
the question with it, or as it is where it has to be asked for again; None where the message is no
answer."""


class ConversationError(Exception):
    """The data of follow-ups cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that questions of a loan are about."""

    name: re.Pattern[str]
    ask: str
    """The question where nothing but its name is given; empty where there is none."""
    en: str
    bound: bool
    """Whether the answer may hang on product and contract."""


@dataclass(frozen=True, slots=True)
class FollowUps:
    """How messages lean on what went before."""

    version: str
    source: str
    longest: int
    within: int
    """In how many characters from its beginning a message points to what went before."""
    patterns: Mapping[str, re.Pattern[str]]
    """`group.name` in the file -> what it matches."""
    words: Mapping[str, re.Pattern[str]]
    """Lists of words, as a pattern that matches any of them, the longest first."""
    contrasts: Sequence[Sequence[str]]
    categories: Mapping[str, Sequence[str]]
    matters: Sequence[Matter]
    forms: Mapping[str, Mapping[str, Any]]
    """Wording that pieces are put together with."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a message asks."""

    parts: tuple[str, ...]
    """Questions, each complete; the message itself where it is."""
    completed: bool = False
    """Whether anything of it came from an earlier message, or it asks several things."""
    locale: Locale | None = None
    """The language that was asked for."""
    as_of: date | None = None
    contract_date: date | None = None
    """Given beside the earlier message that this one leans on."""
    answers: bool = False
    """Whether the message gives what was asked for, so that nothing is left to be told by a model.
    """


@dataclass(frozen=True, slots=True)
class _Frame:
    """The question that a follow-up may lean on."""

    question: str
    as_of: date | None = None
    contract_date: date | None = None


def load_follow_ups(file: Path = SHIPPED) -> FollowUps:
    """Raises ConversationError."""
    return of_text(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def of_text(source: str) -> FollowUps:
    """Follow-ups as their text says. Raises ConversationError."""
    try:
        table = tomllib.loads(source)
        parts = {
            **table["parts"],
            "category": _any_of(table["categories"]).pattern,
            "matter": _any_of(w for row in table["matter"] for w in row["words"]).pattern,
        }

        def compiled(pattern: str) -> re.Pattern[str]:
            while _PART.search(pattern):
                pattern = _PART.sub(lambda match: parts[match.group(1)], pattern)
            return re.compile(pattern, re.IGNORECASE)

        return FollowUps(
            version=version_of(source),
            source=source,
            longest=table["longest"],
            within=table["pronoun"]["within"],
            patterns={f"{group}.{name}": compiled(table[group][name]) for group, name in _PATTERNS},
            words={
                name: _any_of(words)
                for name, words in {
                    "glue": table["glue"]["words"],
                    "asking": table["asking"]["words"],
                    "acts": table["asking"]["acts"],
                    "about": table["asking"]["about"],
                }.items()
            },
            contrasts=tuple(tuple(row["words"]) for row in table["contrast"]),
            categories=table["categories"],
            matters=tuple(
                Matter(_any_of(row["words"]), row["ask"], row["en"], row["bound"])
                for row in table["matter"]
            ),
            # Books from before answers were understood have no such table.
            forms={"answer": {"signed": ()}}
            | {name: table[name] for name in _FORMS if name in table or name != "answer"},
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as error:
        raise ConversationError(f"follow-ups: {type(error).__name__}: {error}") from None


_FORMS = ("signed", "joined", "summary", "several", "answer")

_PATTERNS = (
    ("social", "pattern"),
    ("opening", "pattern"),
    ("correction", "pattern"),
    ("correction", "instead"),
    ("correction", "weak"),
    ("lead", "pattern"),
    ("lead", "going_on"),
    ("lead", "also"),
    ("trail", "pattern"),
    ("trail", "sure"),
    ("asking", "pattern"),
    ("asking", "named"),
    ("pronoun", "thing"),
    ("pronoun", "bare"),
    ("pronoun", "pointing"),
    ("pronoun", "never"),
    ("signed", "phrase"),
    ("signed", "bare_time"),
    ("signed", "verb"),
    ("signed", "earlier"),
    ("signed", "now"),
    ("language", "pattern"),
    ("several", "ends"),
    ("several", "begins"),
)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Any of the words, the longest first; Latin ones as whole words."""
    ordered = sorted(words, key=len, reverse=True)
    return re.compile(
        "|".join(
            rf"(?<![a-z]){re.escape(word)}(?![a-z])" if word.isascii() else re.escape(word)
            for word in ordered
        )
        or r"(?!)",
        re.IGNORECASE,
    )


def understand(
    held: FollowUps,
    history: Sequence[Said],
    text: str,
    products: Mapping[str, Sequence[str]],
    terms_since: TermsSince,
    with_answer: WithAnswer,
) -> Understood:
    """What a message asks, after the earlier ones of its conversation, oldest first.

    products: product -> how borrowers name it. terms_since: asked for what is earlier than now.
    """
    reader = _Reader(held, products, terms_since)
    lately = history[-LOOKED_BACK:]
    return reader.answering(lately, text, with_answer) or reader.read(text, reader.frame(lately))


def shown(question: str, locale: Locale) -> str:
    """A question as it is shown to who asked it: short, and without what stands for personal
    data."""
    text = _PLACEHOLDER.sub("…", question)
    text = text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
    return to_traditional(text) if locale == "zh-Hant" else text


def may_lean(
    held: FollowUps, text: str, products: Mapping[str, Sequence[str]], said: Understood
) -> bool:
    """Whether it is worth asking a model what a message leans on: it was completed, or it is short
    and names nothing that is known, so that it could go on from anything."""
    if said.answers or len(said.parts) > 1 or said.locale or len(text) > held.longest:
        return False
    reader = _Reader(held, products, lambda product: None)
    return said.completed or reader.is_vague(_plain(text))


def adds_nothing(
    held: FollowUps,
    made: str,
    message: str,
    told: Sequence[str],
    products: Mapping[str, Sequence[str]],
) -> bool:
    """Whether what a model made of a message asks something, of the product that the message names,
    and has no figure, time, product or word of the matter that stands nowhere in the conversation.

    told: what was said before. It is said back to who asked, as what they asked.
    """
    reader = _Reader(held, products, lambda product: None)
    plain, sources = _plain(made), [message, *told]
    if not 0 < len(plain) <= MOST_SHOWN or "\n" in made or figures.unsupported(made, sources):
        return False
    if not held.patterns["asking.pattern"].search(plain):
        return False
    if not reader.products(_plain(message)) <= reader.products(plain):
        return False
    rest = plain
    for general in ("asking", "acts", "glue"):
        rest = held.words[general].sub(" ", rest)
    told_of = reader.slots(plain) + content_words(rest)
    given = [_plain(source).lower() for source in sources]
    return bool(told_of) and all(any(w.lower() in each for each in given) for w in told_of)


def digest(held: FollowUps, history: Sequence[Said], budget: int) -> list[str]:
    """A conversation in at most so many tokens, oldest first: the newest messages in full, of older
    ones what was asked when and what came of it, and of those that there is no room for, how many.
    """
    forms = held.forms["summary"]
    lines: list[str] = []
    left = budget - tokens(forms["more"])
    full = 0
    for said in reversed(history):
        asked = forms["user"].format(text=said.text)
        told = [forms["assistant"].format(text=said.answer)] if said.answer else []
        cost = sum(map(tokens, [asked, *told]))
        if cost > left - budget // 3:
            break
        lines[:0] = [asked, *told]
        left -= cost
        full += 1
    older = list(history[: len(history) - full])
    while older:
        said = older[-1]
        line = forms["line"].format(
            day=said.asked_on or "",
            question=shown(said.understood[0] if said.understood else said.text, "zh-Hans")[:40],
            status=forms.get(said.status, forms["open"]),
        )
        if tokens(line) > left:
            break
        lines.insert(0, line)
        left -= tokens(line)
        older.pop()
    return [forms["more"].format(count=len(older)), *lines] if older else lines


def tokens(text: str) -> int:
    """About how many tokens a text has for a model, rather too many: one for each character that is
    not Latin, and one for three of the others."""
    wide = sum(ord(char) > 0x2FF for char in text)
    return wide + (len(text) - wide + 2) // 3


def _plain(text: str) -> str:
    """As patterns see it: one width, Simplified; capitals stay."""
    return to_simplified(unicodedata.normalize("NFKC", text)).strip()


@dataclass(frozen=True, slots=True)
class _Piece:
    """One question of a message."""

    text: str
    marked: bool
    """Whether words or a number say that another question begins."""


class _Reader:
    """Reads messages of borrowers of one lender."""

    def __init__(
        self, held: FollowUps, products: Mapping[str, Sequence[str]], terms_since: TermsSince
    ) -> None:
        self._held = held
        self._pattern = held.patterns
        self._terms_since = terms_since
        names = {_plain(name): product for product, all_ in products.items() for name in all_}
        self._product_of = {name.lower(): product for name, product in names.items()}
        self._names = _any_of(names)

    def frame(self, history: Sequence[Said]) -> _Frame | None:
        """What the next message may lean on: the last question that asked something."""
        frame: _Frame | None = None
        for said in history:
            if said.status == "refused":
                continue
            parts = said.understood or self.read(said.text, frame).parts
            for part in parts:
                question = _PLACEHOLDER.sub("", _plain(part)).strip(_EDGES)
                if not self._is_social(question) and self._topic(question):
                    frame = _Frame(question, said.as_of, said.contract_date)
        return frame

    def is_vague(self, said: str) -> bool:
        """Whether a message asks something and names neither product nor time nor matter."""
        return not (
            self._is_social(said)
            or self._names.search(said)
            or self._time(said)
            or self._matter(said)
            or self._pattern["asking.named"].search(said)
        )

    def products(self, text: str) -> set[str]:
        """The products that a text names."""
        return {self._product_of[m.group().lower()] for m in self._names.finditer(text)}

    def slots(self, text: str) -> list[str]:
        """The products and the times that a text names, as it names them."""
        times = self._pattern["signed.bare_time"].finditer(text)
        return [m.group() for m in (*self._names.finditer(text), *times)]

    def read(self, text: str, frame: _Frame | None) -> Understood:
        said = _plain(text)
        if self._is_social(said):
            return Understood((text,))
        if found := self._pattern["language.pattern"].fullmatch(said):
            if frame is None:
                return Understood((text,))
            locale = next(_LOCALES[name] for name, got in found.groupdict().items() if got)
            return Understood((frame.question,), True, locale, frame.as_of, frame.contract_date)
        if parts := self._several(said, frame):
            return Understood(
                parts,
                True,
                as_of=frame.as_of if frame else None,
                contract_date=frame.contract_date if frame else None,
            )
        one = self._one(said, frame)
        if one is None or frame is None or one == said:
            return Understood((text,))
        return Understood((one,), True, None, frame.as_of, frame.contract_date)

    # Answers ------------------------------------------------------------------------------------

    def answering(
        self, history: Sequence[Said], text: str, with_answer: WithAnswer
    ) -> Understood | None:
        """A message that gives what the last reply asked for; None where it is none."""
        said = _plain(text)
        last = next((e for e in reversed(history) if not self._is_social(_plain(e.text))), None)
        if last is None or len(said) > self._held.longest:
            return None
        parts: list[str] = []
        for part, argument in zip(last.understood or (last.text,), last.asked_for, strict=False):
            question = _PLACEHOLDER.sub("", _plain(part)).strip(_EDGES)
            if argument and (made := self._answered(last, argument, question, said, with_answer)):
                parts.append(made)
        if not parts:
            return None
        whole = tuple(dict.fromkeys(parts))
        return Understood(whole, True, None, last.as_of, last.contract_date, answers=True)

    def _answered(
        self, last: Said, argument: str, question: str, said: str, with_answer: WithAnswer
    ) -> str | None:
        """A question with what a message gives: product or time of the contract, or a figure."""
        by_contract = argument in self._held.forms["answer"]["signed"]
        core = self._after("opening.pattern", said)
        if not self._asks(core) and (made := self._slots(core, _Frame(question), by_contract)):
            return made
        if product := self._product(said):
            question = self._with_product(question, product)
        if time := self._said_time(said):
            question = self._with_time(question, time)
        # Not its edges: a point before a figure is part of it.
        rest = self._pattern["signed.phrase"].sub(" ", self._names.sub(" ", said))
        return with_answer(last, argument, question, rest)

    # Several questions --------------------------------------------------------------------------

    def _several(self, said: str, frame: _Frame | None) -> tuple[str, ...] | None:
        """The questions of a message that asks several things; None where it asks one, or where
        it is not sure that they are several."""
        pieces = self._pieces(said)
        if not 2 <= len(pieces) <= self._held.forms["several"]["most"]:
            return None
        parts: list[str] = []
        within: _Frame | None = None
        for piece in pieces:
            made = self._one(piece.text, within or frame)
            if made is None:
                if parts and not (piece.marked or self._is_other(piece.text, parts)):
                    return None
                made = piece.text
                matter = self._matter(made)
                if within and matter and matter.bound:
                    made = self._carried(made, within) or made
            elif parts and self._is_bare(piece.text) and not piece.marked:
                return None
            parts.append(made.strip(_EDGES))
            within = _Frame(parts[-1])
        asked = tuple(dict.fromkeys(parts))
        return asked if len(asked) > 1 else None

    def _pieces(self, said: str) -> list[_Piece]:
        """The questions that a message falls into, each with what is stated before it."""
        ends, begins = self._pattern["several.ends"], self._pattern["several.begins"]
        cuts = [(m.start(), m.end(), False, m.group()) for m in ends.finditer(said)]
        cuts += [(m.start(), m.end(), True, "") for m in begins.finditer(said)]
        rows: list[tuple[str, bool, bool]] = []
        start, marked = 0, False
        for first, last, begun, sign in [*sorted(cuts), (len(said), len(said), False, "")]:
            if first < start:
                start, marked = max(start, last), marked or begun
                continue
            if text := said[start:first].strip(_EDGES):
                asked = "?" in sign or "？" in sign or self._asks(text)
                rows.append((text, marked, asked))
                marked = False
            start, marked = last, marked or begun
        pieces: list[_Piece] = []
        stated = ""
        for text, begun, asked in rows:
            if asked:
                pieces.append(_Piece(f"{stated}，{text}" if stated else text, begun))
                stated = ""
            else:
                stated = f"{stated}，{text}" if stated else text
        if stated and pieces:
            pieces[-1] = replace(pieces[-1], text=f"{pieces[-1].text}，{stated}")
        return pieces

    def _is_other(self, text: str, parts: Sequence[str]) -> bool:
        """Whether a question is about another matter than those before it, all being known."""
        own, others = self._matter(text), [self._matter(part) for part in parts]
        return own is not None and None not in others and own not in others

    # One question -------------------------------------------------------------------------------

    def _one(self, said: str, frame: _Frame | None) -> str | None:
        """The message as a question of its own; None where it is one as it stands."""
        if frame is None or len(said) > self._held.longest:
            return None
        core = self._after("opening.pattern", said)
        corrected, meant = self._corrected(core)
        core = meant.strip(_EDGES + " ")
        led = self._pattern["lead.pattern"].match(core)
        body = core[led.end() :] if led else core
        trailed = self._pattern["trail.pattern"].search(body)
        if trailed and trailed.start() and not self._asks(body[: trailed.start()]):
            body = body[: trailed.start()]
        else:
            trailed = None
        body = body.strip(_EDGES)
        leans = bool(led or trailed or corrected)
        if not self._asks(body):
            made = self._slots(body, frame, leans) or self._named(body, frame, leans)
            if made is None and leans and not (trailed and not led and not self._is_sure(core)):
                made = self._anything(body, frame)
            if made:
                return made
        if corrected:
            return None
        for way_on in (self._same_of, self._resolved, self._bare, self._going_on):
            if made := way_on(core, frame):
                return made
        return None

    def _corrected(self, core: str) -> tuple[bool, str]:
        """Whether a message takes something back, and what it says instead."""
        lead = self._pattern["correction.pattern"].match(core)
        rest = core[lead.end() :] if lead else core
        instead = self._pattern["correction.instead"].fullmatch(rest.strip(_EDGES))
        if instead and not self._asks(rest):
            meant = instead["meant"] or instead["meant2"]
            other = instead["not"] or instead["not2"]
            if self._is_known(other) and self._is_known(meant):
                return True, meant
        if lead is None or not rest.strip(_EDGES):
            return False, core
        if self._pattern["correction.weak"].fullmatch(lead.group()) and self._left(rest):
            return False, core
        return True, rest

    def _is_known(self, text: str) -> bool:
        """Whether a few words name a product, a time, a matter, or one of several things."""
        return bool(
            self._names.search(text)
            or self._pattern["signed.bare_time"].search(text)
            or self._matter(text)
            or any(word in text for words in self._held.contrasts for word in words)
        )

    def _slots(self, body: str, frame: _Frame, leans: bool) -> str | None:
        """Nothing but another product or another time is named."""
        product, time = self._product(body), self._time(body)
        relation, left = ("", body) if time else self._relation(body)
        left = self._left(left)
        if relation:
            left = self._pattern["signed.verb"].sub("", left)
        if _WORD.search(left) or not (product or time or (relation and leans)):
            return None
        if time and not leans and not product and not self._says_signed(body):
            return None
        question = self._with_product(frame.question, product) if product else frame.question
        if relation:
            time = self._related(relation, product or self._product(question))
        return self._with_time(question, time) if time else question

    def _named(self, body: str, frame: _Frame, leans: bool) -> str | None:
        """Another thing is named, of which the same is asked, or what is always asked of it."""
        product, time, left = self._product(body), self._time(body), self._left(body)
        if not left or len(left) > 16:
            return None
        base = self._with_product(frame.question, product) if product else frame.question
        base = self._with_time(base, time) if time else base
        for words in self._held.contrasts:
            mine = max((w for w in words if w in left), key=len, default="")
            theirs = max((w for w in words if w in base and w != mine), key=len, default="")
            if mine and theirs and mine not in base and (leans or left == mine):
                return base.replace(theirs, mine)
        named = self._names.sub(" ", self._pattern["signed.phrase"].sub(" ", body))
        matter = self._matter(named)
        alone = matter and matter.bound and matter.name.fullmatch(named.strip())
        if matter and (leans or alone) and not (product and not leans):
            is_name = not _WORD.search(self._without("glue", matter.name.sub(" ", named)))
            asked = self._asked(matter, body) if is_name else body.strip(_EDGES)
            if asked and matter.bound:
                kept = replace(frame, question=base)
                return self._carried(asked, kept) or asked
            if asked and is_name:
                return asked
        return None

    def _anything(self, body: str, frame: _Frame) -> str | None:
        """A word or two that are not known."""
        left = self._left(body)
        if not left or len(left) > 8 or self._matter(left):
            return None
        return self._joined("topic", topic=left, question=frame.question)

    def _asked(self, matter: Matter, body: str) -> str:
        return matter.en if _LATIN.search(body) and not _CHINESE.search(body) else matter.ask

    def _same_of(self, core: str, frame: _Frame) -> str | None:
        """The same is asked of another product or contract, in words that say no more."""
        product, time = self._product(core), self._said_time(core)
        relation, left = self._relation(core)
        if not (time or relation or (product and self._pattern["lead.also"].search(core))):
            return None
        if not self._asks(core):
            return None
        left = self._names.sub(" ", self._pattern["signed.phrase"].sub(" ", left))
        for name in ("asking", "acts", "glue"):
            left = self._without(name, left)
        if _WORD.search(left) or (product and product == self._product(frame.question)):
            return None
        question = self._with_product(frame.question, product) if product else frame.question
        if relation and not time:
            time = self._related(relation, product or self._product(question))
        return self._with_time(question, time) if time else question

    def _relation(self, text: str) -> tuple[str, str]:
        """Whether a text speaks of contracts of before, or of now, and the text without that."""
        rest = self._pattern["signed.phrase"].sub(" ", text)
        for name in ("earlier", "now"):
            if self._pattern[f"signed.{name}"].search(rest):
                return name, self._pattern[f"signed.{name}"].sub(" ", rest)
        return "", text

    def _resolved(self, core: str, frame: _Frame) -> str | None:
        """What is called it, this product or that fee, by its name."""
        if self._pattern["pronoun.never"].search(core) or self._names.search(core):
            return None
        if not self._asks(core):
            return None
        topic = self._topic(frame.question)
        product = self._product(frame.question)
        pointing = self._pattern["pronoun.pointing"].search(core)
        if pointing and pointing.start() <= self._held.within // 2:
            rest = core[: pointing.start()] + core[pointing.end() :]
            for kind in sorted(self._held.categories, key=len, reverse=True):
                words = self._held.categories[kind]
                if core[pointing.end() :].startswith(kind):
                    named = next((w for w in words if w in frame.question), "")
                    rest = core[: pointing.start()] + core[pointing.end() :].replace(kind, named, 1)
                    return (self._carried(rest, frame) or rest) if named else None
            return self._carried(rest, frame)
        thing = self._pattern["pronoun.thing"].search(core)
        if thing and thing.start() <= self._held.within:
            name = self._product_name(frame.question) if product else topic
            if not name or len(name) > 16:
                return None
            made = core[: thing.start()] + name + core[thing.end() :]
            return self._with_time(made, self._time(frame.question))
        if bare := self._pattern["pronoun.bare"].match(core):
            rest = core[bare.end() :]
            return self._bare(rest, frame) or self._joined("topic", topic=topic, question=rest)
        return None

    def _bare(self, core: str, frame: _Frame) -> str | None:
        """A question that does not say of what."""
        if not self._is_bare(core):
            return None
        topic = self._topic(frame.question)
        asked = self._after("lead.going_on", core)
        return self._joined("topic", topic=topic, question=asked) if topic else None

    def _is_bare(self, core: str) -> bool:
        if not self._asks(core) or self._names.search(core) or self._time(core):
            return False
        if self._pattern["pronoun.never"].search(core) or self._pattern["asking.named"].search(
            core
        ):
            return False
        left = core
        for name in ("asking", "acts", "glue"):
            left = self._without(name, left)
        return not _WORD.search(left)

    def _going_on(self, core: str, frame: _Frame) -> str | None:
        """A complete question that goes on from the one before: product and contract stay."""
        lead = self._pattern["lead.going_on"].match(core)
        if lead is None:
            return None
        body = core[lead.end() :].strip(_EDGES)
        matter = self._matter(body)
        if matter is None or not matter.bound or not self._asks(body):
            return None
        return self._carried(body, frame)

    def _carried(self, question: str, frame: _Frame) -> str | None:
        """A question with product and time of the one before; None where it has none to give."""
        own = self._product(question)
        before = self._product(frame.question)
        if own and own != before:
            return None
        made = question
        if before and not own and not self._names.search(question):
            made = self._joined(
                "product", product=self._product_name(frame.question), question=question
            )
        time = "" if self._time(question) else self._time(frame.question)
        made = self._with_time(made, time) if time else made
        return made if made != question else None

    # Slots --------------------------------------------------------------------------------------

    def _product(self, text: str) -> str:
        """The one product that a text names; empty where it names none or several."""
        named = {self._product_of[m.group().lower()] for m in self._names.finditer(text)}
        return named.pop() if len(named) == 1 else ""

    def _product_name(self, text: str) -> str:
        """How a text names its product."""
        found = self._names.search(text)
        return found.group() if found else ""

    def _with_product(self, question: str, product: str) -> str:
        name = next(name for name, key in self._product_of.items() if key == product)
        name = next((n for n in self._shortest() if self._product_of[n.lower()] == product), name)
        before = self._product(question)
        if before:
            return self._names.sub(name, question)
        if self._names.search(question):
            return self._joined("topic", topic=name, question=question)
        return self._joined("product", product=name, question=question)

    def _shortest(self) -> list[str]:
        """The names of products that are Chinese, the shortest first."""
        return sorted((n for n in self._product_of if _CHINESE.search(n)), key=len)

    def _said_time(self, text: str) -> str:
        """When the contract was signed, as a text says it with the verb."""
        found = self._pattern["signed.phrase"].search(text)
        return str(found["said"] or found["en"] or "") if found else ""

    def _time(self, text: str) -> str:
        """The same; also a time alone, where a text asks nothing."""
        if said := self._said_time(text):
            return said
        bare = self._pattern["signed.bare_time"].search(text)
        if bare is None or self._asks(text):
            return ""
        return bare.group()

    def _says_signed(self, text: str) -> bool:
        return self._pattern["signed.phrase"].search(text) is not None

    def _with_time(self, question: str, time: str) -> str:
        """The question of a contract of that time, in place of any other."""
        if not time:
            return question
        forms = self._held.forms["signed"]
        rest = self._pattern["signed.phrase"].sub("", question, count=1).strip(_EDGES)
        rest = rest.removeprefix(forms["contract"]).strip(_EDGES)
        if not _CHINESE.search(time) and _LATIN.search(time):
            return str(forms["en"].format(time=time, question=rest))
        signed = time if self._pattern["signed.verb"].search(time) else time + forms["sign"]
        of = str(forms["sign"])[-1]
        signed = f"{signed.removesuffix(of)}{of}"
        named = self._names.match(rest)
        if named:
            return signed + rest
        return str(forms["zh"].format(time=signed[:-1], question=rest))

    def _related(self, relation: str, product: str) -> str:
        forms = self._held.forms["signed"]
        if relation == "now":
            return str(forms["today"])
        since = self._terms_since(product) if product else None
        if since is None:
            return str(forms["before_unknown"])
        return str(forms["before"].format(day=(since - timedelta(days=1)).isoformat()))

    def _is_sure(self, text: str) -> bool:
        return self._pattern["trail.sure"].search(text) is not None

    # Words --------------------------------------------------------------------------------------

    def _is_social(self, said: str) -> bool:
        return self._pattern["social.pattern"].fullmatch(said) is not None

    def _asks(self, text: str) -> bool:
        return self._pattern["asking.pattern"].search(text) is not None

    def _after(self, name: str, text: str) -> str:
        """A text without what it begins with; as it is where nothing else would be left."""
        found = self._pattern[name].match(text)
        rest = text[found.end() :].strip(_EDGES) if found else ""
        return rest or text

    def _without(self, name: str, text: str) -> str:
        return self._held.words[name].sub(" ", text)

    def _left(self, text: str) -> str:
        """What a text names beside product, time and words that say nothing."""
        left = self._names.sub(" ", text)
        left = self._pattern["signed.phrase"].sub(" ", left)
        left = self._pattern["signed.bare_time"].sub(" ", left)
        left = self._without("glue", left)
        return re.sub(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])", "", left).strip(_EDGES)

    def _topic(self, question: str) -> str:
        """What a question is about: it without the words that ask."""
        left = self._without("about", question)
        left = re.sub(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])", "", left).strip(_EDGES)
        return left if _WORD.search(left) else ""

    def _matter(self, text: str) -> Matter | None:
        return next((m for m in self._held.matters if m.name.search(text)), None)

    def _joined(self, name: str, **values: str) -> str:
        forms = self._held.forms["joined"]
        latin = all(not _CHINESE.search(value) for key, value in values.items() if key != "product")
        form = forms[f"{name}_en"] if latin else forms[name]
        return str(form.format(**values))
