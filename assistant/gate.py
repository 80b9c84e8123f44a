"""Releases a reply sentence by sentence; what cannot be proved is replaced by the clause itself.

A sentence is checked once it is complete, and is never taken back afterwards. A check that itself
fails releases nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from knowledge.text import bigrams

from . import figures
from .models import Citation, SentenceKind

Reason = Literal[
    "no_citation", "quote_not_verbatim", "unsupported_figure", "unsupported_wording", "gate_fault"
]

LEAST_SHARED = 0.35
"""Share of a written sentence's character pairs that its quotes must hold. True paraphrases of one
clause hold about half; a promise put behind a citation that does not speak of it holds none."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A sentence that wants to be released."""

    text: str
    kind: SentenceKind
    citations: tuple[Citation, ...] = ()
    facts: tuple[str, ...] = ()
    """Texts beside the quotes in which figures may stand: document names and dates of a notice."""


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


async def release(
    drafts: AsyncIterator[Draft], repair: Repair | None
) -> AsyncGenerator[Verdict, None]:
    """Check drafts in order as they come; each is released, repaired once, or replaced.

    A `model` draft that fails is given to `repair`; if that fails too, the sentences it cites
    stand in its place, verbatim, and where it cites none, nothing does.
    """
    async for draft in drafts:
        finding, seconds = _timed_check(draft)
        if finding is None:
            yield Verdict((draft,), seconds=seconds)
            continue
        if draft.kind == "model" and repair is not None and finding.reason != "gate_fault":
            second = await repair(draft, finding)
            if second is not None:
                again, more = _timed_check(second)
                seconds += more
                if again is None:
                    yield Verdict((second,), draft, finding, seconds)
                    continue
        quotes: list[Draft] = []
        for citation in draft.citations:
            quote = Draft(citation.quote, "quote", (citation,))
            fault, more = _timed_check(quote)
            seconds += more
            if fault is None:
                quotes.append(quote)
        yield Verdict(tuple(quotes), draft, finding, seconds)


def check(draft: Draft) -> Finding | None:
    """What stands against releasing a sentence; None clears it."""
    if draft.kind == "notice":
        sources = [*draft.facts, *(citation.quote for citation in draft.citations)]
        return _figures(draft.text, sources)
    if not draft.citations:
        return Finding("no_citation")
    for citation in draft.citations:
        if not citation.quote or citation.quote not in citation.clause.text:
            return Finding("quote_not_verbatim", citation.quote)
    quotes = [citation.quote for citation in draft.citations]
    if draft.kind == "quote":
        return None if draft.text in quotes else Finding("quote_not_verbatim", draft.text)
    return _figures(draft.text, quotes) or _wording(draft.text, quotes)


def _wording(text: str, quotes: list[str]) -> Finding | None:
    """A floor for grounding, not proof: it fails closed for a sentence in another language."""
    own = bigrams(text)
    held = set().union(*(bigrams(quote) for quote in quotes))
    shared = sum(pair in held for pair in own) / max(1, len(own))
    return Finding("unsupported_wording", f"{shared:.2f}") if shared < LEAST_SHARED else None


def _figures(text: str, sources: list[str]) -> Finding | None:
    wrong = figures.unsupported(text, sources)
    return Finding("unsupported_figure", ", ".join(f.text for f in wrong)) if wrong else None


def _timed_check(draft: Draft) -> tuple[Finding | None, float]:
    started = time.perf_counter()
    try:
        finding = check(draft)
    except Exception as error:
        # The gate fails closed: a sentence that could not be checked is not shown.
        finding = Finding("gate_fault", type(error).__name__)
    return finding, time.perf_counter() - started
