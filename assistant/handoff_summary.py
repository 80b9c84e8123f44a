"""What an agent has to know before taking over, made from the record: no model writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from knowledge.lender import Lender, named_product

from .figures import find

MOST = 4
"""Entries of each list; more would not be read."""
MOST_CHARS = 80
TOLD = frozenset({"money", "rate", "term", "date"})
"""Kinds of figures that a borrower may come back to."""
SAYS_SOMETHING = frozenset({"quote", "model", "tool", "approved"})


def summarise(turns: Sequence[Mapping[str, Any]], lender: Lender) -> dict[str, Any]:
    """turns: records of a conversation, oldest first, as journal.read_turns gives them.

    What was erased is left out. Lists are without repeats, the latest last; the figures of
    calculations stand after all others.
    """
    replies = [turn["reply"] or {} for turn in turns]
    cited = [
        f"{citation['document']} {citation['locator'].split(' > ')[-1]}".strip()
        for reply in replies
        for citation in reply.get("citations", ())
    ]
    said = [
        (sentence["kind"] == "tool", figure)
        for reply in replies
        for sentence in reply.get("sentences", ())
        if sentence["kind"] in SAYS_SOMETHING
        for figure in find(sentence["text"])
        if figure.kind in TOLD
    ]
    questions = [turn["question"] for turn in turns if turn["question"]]
    return {
        "turns": len(turns),
        "products": _few(_product(lender, question) for question in questions),
        "classes": _few(each for reply in replies for each in reply.get("classes", ())),
        "topics": _few(cited),
        "not_covered": _few(
            _short(turn["question"]) for turn in turns if turn["status"] == "not_covered"
        ),
        # Amounts of a calculation are kept before its other figures, and these before any other.
        "figures": _few(
            figure.text
            for _, figure in sorted(said, key=lambda each: (each[0], each[1].kind == "money"))
        ),
        "statuses": dict(Counter(turn["status"] for turn in turns)),
        "last_question": _short(questions[-1]) if questions else "",
    }


def _product(lender: Lender, question: str) -> str:
    """The product that a question names, as borrowers call it."""
    return next(iter(lender.products.get(named_product(lender, question), ())), "")


def _few(found: Iterable[str]) -> list[str]:
    """The last ones."""
    last_first = dict.fromkeys(each for each in reversed(list(found)) if each)
    return list(last_first)[:MOST][::-1]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARS else f"{line[:MOST_CHARS]}\u2026"
