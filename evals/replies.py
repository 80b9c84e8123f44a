"""Whole replies to try the gate with, as a strong model writes them under this project's prompts.

`python -m evals.replies` prints what the gate makes of their sentences, each read with the question
and with what its reply says before it. The replies stand in evals/cases/replies.toml; those of
`replies_fresh` are measured, and never looked at while the gate is worked on. `attacked` are false
sentences that lean on a question, on a sentence before them or on the day of a contract.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from assistant.signing import said_contract_period
from knowledge.lender import load_lender

from .mutate import Trial, citations, table, try_gate, wrong

Name = Literal["replies", "replies_fresh", "attacked"]
KEPT_BACK: frozenset[Name] = frozenset(["replies_fresh"])

WRITTEN = date(2026, 11, 28)
"""The day of the replies, from which "this year" is told."""

_CASES = Path(__file__).parent / "cases"


def trials(name: Name) -> Iterator[Trial]:
    """Each sentence with its clauses and with what stands before it: true ones as they are, the
    clauses of false ones in their place."""
    held = {citation.quote: citation for citation in citations()}
    with (_CASES / f"{name}.toml").open("rb") as file:
        replies = tomllib.load(file)["reply"]
    products = [name for names in load_lender().products.values() for name in names]
    for reply in replies:
        before: list[str] = [*reply.get("before", ())]
        first, last = reply.get("signed", (None, None))
        said = said_contract_period(reply["asked"], WRITTEN, products)
        signed = (first, last) if first else said
        for sentence in reply["sentence"]:
            cited = tuple(held[quote] for quote in sentence["cites"])
            true = sentence.get("true", True)
            context = reply["asked"], tuple(before), signed
            yield Trial(reply["by"], sentence["says"], cited, true, *context)
            before += [sentence["says"]] if true else sentence["cites"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="replies", choices=get_args(Name))
    parser.add_argument("--show", action="store_true", help="those the gate was wrong about")
    given = parser.parse_args(argv)
    if given.show and given.name in KEPT_BACK:
        parser.error("replies that are kept back are measured, not read")
    outcomes = try_gate(list(trials(given.name)))
    shown = wrong(outcomes) if given.show else []
    sys.stdout.write("\n".join([*shown, *table(outcomes)]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
