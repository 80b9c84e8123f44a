"""Releases a reply sentence by sentence; what cannot be proved is replaced by the clause itself.

A sentence is checked once it is complete, and is never taken back afterwards. A check that itself
fails releases nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from knowledge.text import bigrams

from . import compared, figures, grounding
from .compared import Source
from .models import Citation, SentenceKind
from .reading import Names
from .signing import Period

Reason = (
    compared.Reason
    | Literal[
        "no_citation",
        "quote_not_verbatim",
        "unsupported_wording",
        "too_long",
        "not_entailed",
        "rule",
        "gate_fault",
    ]
)

LEAST_SHARED = 0.15
"""Share of a written sentence's character pairs that its quotes must hold. True paraphrases of one
clause hold about half; a promise put behind a citation that does not speak of it holds none."""

MAX_CHARS = 600
"""A written sentence that is longer is not read: no clause needs it, and reading takes time."""

LIMIT_S = 1.0
"""Seconds of this thread's processor time; a check that took more releases nothing. Its work is
bounded by MAX_CHARS, so only a rule that runs away comes near, and a busy machine does not."""

STILL_S = 10.0
"""Seconds by the clock after which a check releases nothing either: a rule that waits for
something, or a machine that stands still."""

MAX_INSIDE = 120
"""Characters up to which a quotation may keep a sentence open."""

LONGEST = 2000
"""Characters at which a sentence that does not end is cut; what is cut is withheld."""

LONGEST_ABBREVIATED = 16
"""Characters before a point that are looked at for an abbreviation or the number of a list."""

_PAIRS = {"\u300c": "\u300d", "\u300e": "\u300f", "\u201c": "\u201d", "\uff08": "\uff09", "(": ")"}
_CLOSING = frozenset("\u300d\u300f\u201d\u2019\uff09)\"'*")
_GOES_ON = frozenset("\uff0c,\u3001\uff1b;\uff1a:\u7684\u548c\u6216")
_ENDS = frozenset("\u3002\uff01\uff1f!?\n")
_ABBREVIATED = re.compile(
    r"^\s*(?:[-*]\s*)?\d{1,3}\.$|(?:^|[\s(])(?:[A-Za-z]|[A-Za-z]\.[A-Za-z]|No|Nos|Art|Arts|approx"
    r"|vs|cf|Mr|Mrs|Ms|Dr|Inc|Ltd|Co|Sec)\.$"
)
_OPENS, _CLOSES = "[\\[\uff3b\u3010]", "[\\]\uff3d\u3011]"
_NUMBERS = "\\^?[\\d,\uff0c\u3001;\uff1b\\s]"
IDS = re.compile(f"{_OPENS}({_NUMBERS}{{1,40}}){_CLOSES}")
"""Numbers of the clauses' sentences that a written one rests on, as models write them."""
_ID = re.compile(f"[ \\t]*{IDS.pattern}")
_IDS_BELOW = re.compile(f"[ \\t]*\n\\s*(?:{IDS.pattern}[ \\t]*)+")
_OPEN_ID = re.compile(f"{_OPENS}{_NUMBERS}{{0,40}}\\^?")
_IDS_LAST = re.compile(f"{IDS.pattern}\\s*\\Z")

_IDS_TOLD = re.compile(
    "(?:^|(?<=[\n,;(\uff0c\u3002\uff1b\uff1a\uff08]))"
    f"(?:\u6839\u636e|\u4f9d\u636e|\u6309\u7167|\u53c2\u89c1|\u8be6\u89c1|\u89c1)\\s*{IDS.pattern}"
    f"(?:\\s*[\u548c\u53ca\u4e0e\u3001,\uff0c]?\\s*{IDS.pattern})*\\s*[,\uff0c]?"
)
"""Ids as the object of `according to`, with it, where a clause begins."""
_LEADS = re.compile(
    r"^\s*(?:#{1,6}\s|>\s?|[-*+\u2022]\s|\(?\d{1,2}(?:[.)](?!\d)|\u3001(?!\s*\d)))\s*"
)
_EMPHASIS = re.compile("\\*\\*|`|^\\*|\\*$|[\uff08(]\\s*[\uff09)]")
_GAPS = re.compile("[\\s,\uff0c]+(?=[\u3002\uff01\uff1f])|\\s+(?=[\uff0c\uff1b\uff1a])")

NOBODY = Names()


@dataclass(frozen=True, slots=True)
class Draft:
    """A sentence that wants to be released."""

    text: str
    kind: SentenceKind
    citations: tuple[Citation, ...] = ()
    facts: tuple[str, ...] = ()
    """Texts beside the quotes in which figures may stand: document names and dates of a notice. Of
    an approved answer: what was signed off, which it must be word for word. Of a tool's sentence:
    the figures of its calculation, beside which it may state none."""
    asked: str = ""
    """The question, whose figures may be restated as the customer's own."""
    before: tuple[str, ...] = ()
    """Sentences that the reply has shown before it: what they say need not be said again."""
    signed: Period | None = None
    """First and last day on which the borrower may have signed the contract."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a sentence is not released."""

    reason: Reason
    detail: str = ""
    """The figures or quotes at fault."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one draft."""

    released: tuple[Draft, ...]
    withheld: Draft | None = None
    finding: Finding | None = None
    seconds: float = 0.0
    """Time spent checking, without the repair."""


Repair = Callable[[Draft, Finding], Awaitable[Draft | None]]
"""Writes a withheld sentence once more; None where the clauses do not support it."""

Review = Callable[[str], Sequence[str]]
"""What the rules hold against showing a text; empty where nothing."""


class Verifier(Protocol):
    """A second reader of what the floor has let through, such as a strong model."""

    async def entails(self, sentence: str, quotes: Sequence[str]) -> bool:
        """Whether the quotes say what the sentence says. Anything raised counts as no."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a sentence has to pass beside its own quotes."""

    names: Names = NOBODY
    review: Review | None = None
    verifier: Verifier | None = None
    verify_s: float = 10.0
    """Longest wait for the verifier."""


async def release(
    drafts: AsyncIterator[Draft], repair: Repair | None, bar: Bar = Bar()
) -> AsyncGenerator[Verdict, None]:
    """Check drafts in order as they come; each is released, repaired once, or replaced.

    A `model` draft that fails is given to `repair`; if that fails too, the sentences it cites
    stand in its place, verbatim, and where it cites none, or the rules forbid them, nothing does.
    """
    shown: list[str] = []
    async for written in drafts:
        draft = replace(written, before=tuple(shown))
        finding, seconds = await _judge(draft, bar)
        if finding is None:
            shown += _told((draft,))
            yield Verdict((draft,), seconds=seconds)
            continue
        if draft.kind == "model" and repair is not None and finding.reason != "gate_fault":
            second = await repair(draft, finding)
            if second is not None:
                second = replace(second, before=draft.before)
                again, more = await _judge(second, bar)
                seconds += more
                if again is None:
                    shown += _told((second,))
                    yield Verdict((second,), draft, finding, seconds)
                    continue
        quotes: list[Draft] = []
        for citation in draft.citations:
            quote = Draft(citation.quote, "quote", (citation,))
            fault, more = await _judge(quote, bar, instead=True)
            seconds += more
            if fault is None:
                quotes.append(quote)
        shown += _told(quotes)
        yield Verdict(tuple(quotes), draft, finding, seconds)


def _told(drafts: Iterable[Draft]) -> list[str]:
    """What is shown of the matter; a notice tells of the answer."""
    return [draft.text for draft in drafts if draft.kind != "notice"]


async def _judge(draft: Draft, bar: Bar, *, instead: bool = False) -> tuple[Finding | None, float]:
    """The first thing against a draft, and the seconds it took to look, the verifier's apart.

    instead: it is a quote that would stand in the place of a sentence. Other quotes are words of
    the lender or the law, whose clauses were reviewed when they went in.
    """
    finding, seconds = _timed_check(
        draft, bar, reviewed=instead or draft.kind in ("model", "approved", "tool")
    )
    if finding is not None or draft.kind != "model" or bar.verifier is None:
        return finding, seconds
    try:
        async with asyncio.timeout(bar.verify_s):
            agreed = await bar.verifier.entails(draft.text, [c.quote for c in draft.citations])
    except Exception as error:
        # A sentence that could not be verified is not shown.
        return Finding("not_entailed", type(error).__name__), seconds
    return (None if agreed else Finding("not_entailed")), seconds


def check(draft: Draft, names: Names = NOBODY) -> Finding | None:
    """What stands against releasing a sentence; None clears it."""
    if draft.kind == "notice":
        sources = [*draft.facts, *(citation.quote for citation in draft.citations)]
        return _figures(draft.text, sources)
    if draft.kind == "tool":
        # Not the quotes: a figure of a clause is no result of a calculation.
        return _figures(draft.text, [*draft.facts])
    if draft.kind == "approved" and draft.text not in draft.facts:
        return Finding("quote_not_verbatim", draft.text)
    if not draft.citations:
        return Finding("no_citation")
    for citation in draft.citations:
        if not citation.quote or citation.quote not in citation.clause.text:
            return Finding("quote_not_verbatim", citation.quote)
    if draft.kind == "approved":
        return None
    quotes = [citation.quote for citation in draft.citations]
    if draft.kind == "quote":
        return None if draft.text in quotes else Finding("quote_not_verbatim", draft.text)
    if len(draft.text) > MAX_CHARS:
        return Finding("too_long", str(len(draft.text)))
    cited = sources_of(draft.citations)
    context = draft.asked, draft.facts, draft.before, draft.signed
    problem = grounding.find_problem(draft.text, cited, names, *context)
    if problem is not None:
        return Finding(problem.reason, problem.detail)
    return _wording(draft.text, quotes)


def sources_of(citations: Sequence[Citation]) -> list[Source]:
    """Citations as what a sentence may rest on."""
    return [Source(c.quote, c.clause.title, c.clause.head.product) for c in citations]


def _wording(text: str, quotes: list[str]) -> Finding | None:
    """A floor for grounding, not proof: it fails closed for a sentence in another language."""
    own = bigrams(text)
    held = set().union(*(bigrams(quote) for quote in quotes))
    shared = sum(pair in held for pair in own) / max(1, len(own))
    return Finding("unsupported_wording", f"{shared:.2f}") if shared < LEAST_SHARED else None


def _figures(text: str, sources: list[str]) -> Finding | None:
    wrong = figures.unsupported(text, sources)
    return Finding("unsupported_figure", ", ".join(f.text for f in wrong)) if wrong else None


def _timed_check(draft: Draft, bar: Bar, *, reviewed: bool) -> tuple[Finding | None, float]:
    started, worked = time.perf_counter(), time.thread_time()
    try:
        finding = check(draft, bar.names)
        if finding is None and reviewed and bar.review is not None:
            messages = bar.review(draft.text)
            finding = Finding("rule", "; ".join(messages)) if messages else None
    except Exception as error:
        # The gate fails closed: a sentence that could not be checked is not shown.
        finding = Finding("gate_fault", type(error).__name__)
    worked, seconds = time.thread_time() - worked, time.perf_counter() - started
    if finding is None and (worked > LIMIT_S or seconds > STILL_S):
        finding = Finding("gate_fault", f"{seconds:.1f} s")
    return finding, seconds


def plain(written: str) -> str:
    """A written sentence without its ids and marks of layout, which would be shown as they are."""
    text = IDS.sub("", _IDS_TOLD.sub("", written)).strip()
    if text.startswith("|"):
        cells = [cell.strip() for cell in text.strip("|").split("|") if cell.strip()]
        text = ("\uff1a" if len(cells) == 2 else "\uff0c").join(cells)
    return _GAPS.sub("", _EMPHASIS.sub("", _LEADS.sub("", text)).strip())


def split_complete(text: str) -> tuple[list[str], str]:
    """Sentences that are complete with their ids, and the rest, which may still grow.

    What is complete is never cut otherwise once more has come, however a stream is chunked.
    """
    found: list[str] = []
    start = place = 0
    inside: tuple[str, int] | None = None
    while place < len(text):
        char = text[place]
        closes = inside is not None and char == inside[0]
        if inside is not None and (closes or char == "\n" or place - inside[1] > MAX_INSIDE):
            inside = None
        elif inside is None and char in _PAIRS:
            inside = (_PAIRS[char], place)
        end: int | None = place
        if closes and text[place - 1] in _ENDS:
            end = _end_of(text, start, place)
            if end is not None and text[end:].lstrip()[0] in _GOES_ON:
                end = place
        elif inside is None and _may_end(text, start, place):
            end = _end_of(text, start, place)
        elif place - start >= LONGEST:
            end = place + 1
        if end is None:
            break
        if end > place:
            found.append(text[start:end])
            start = end
        place = max(end, place + 1)
    return found, text[start:]


def _may_end(text: str, start: int, place: int) -> bool:
    """Whether a sentence may end with the character at `place`, as far as is known by now."""
    char = text[place]
    if char != ".":
        return char in _ENDS
    after = text[place + 1 : place + 2]
    return (not after or after.isspace() or after == "[") and not _ABBREVIATED.search(
        text[max(start, place - LONGEST_ABBREVIATED) : place + 1]
    )


def _end_of(text: str, start: int, place: int) -> int | None:
    """Where a sentence that ends at `place` has its ids behind it; None while that may change."""
    # With ids and the end of its line it is complete: the next piece need not be waited for.
    has_ids = _IDS_LAST.search(text, start, place) is not None
    end = place + 1
    if has_ids and text[place] == "\n":
        return end
    while end < len(text) and (text[end] in _CLOSING or (text[end] in _ENDS and text[end] != "\n")):
        end += 1
    if has_ids and text[end : end + 1] == "\n":
        return end
    if text[place] == "\n":
        end = place
    else:
        while match := _ID.match(text, end):
            end = match.end()
    # What opens a line that goes on is of that line.
    if below := _IDS_BELOW.match(text, end):
        behind = text[below.end() :]
        if not behind or _OPEN_ID.fullmatch(behind):
            return None
        if behind[0] == "\n":
            end = below.end()
    end = max(end, place + 1)
    rest = text[end:].lstrip()
    if not rest or _OPEN_ID.fullmatch(rest):
        return None
    return end
