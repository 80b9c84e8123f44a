"""How likely a sentence says something else than its quotes, where no check knows what.

What it has that they have not, what they have that it has not, and what it puts side by side are
weighed by a linear classifier that was fitted to labelled rewordings of clauses
(evals/fit_rewording.py). It has seen words, not meaning: it comes last, and it only withholds.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from .compared import Case, Problem, sentences_of
from .reading import FIRST_PRODUCT, Part, Token, read_text

DIMENSIONS = 1 << 17
"""Numbers of traits."""
LONGEST_ADDED, LONGEST_LEFT_OUT = 3, 2
"""Characters of the runs that are looked at."""
FILE = Path(__file__).with_name("rewording.json")

_PRODUCTS = re.compile(f"[{chr(FIRST_PRODUCT)}-\uf8ff]")
_EDGE = "^", "$"


@dataclass(frozen=True, slots=True)
class Weights:
    """The fitted classifier."""

    by_number: memoryview
    """One signed byte each."""
    scale: float
    bias: float
    bar: float
    """Odds from which a sentence is withheld."""


def traits(case: Case) -> dict[str, float]:
    """In what a sentence departs from its quotes, each with how much of it there is.

    `+` a word it adds, `-` a word it leaves out of the parts of the quotes that it follows, `~` one
    of the other parts, `|` two words that stand together in it and in no quote, `>` and `<` runs of
    characters it adds and leaves out, `#` how much of each. What a calculation says is not added,
    and what the question or the reply said before need not be said again.
    """
    said, quoted = case.said.parts, case.quoted_parts
    followed = _followed(case)
    granted = _read(case.facts, case)
    needless = granted + _read((case.asked, *case.before), case)
    own = [[_meant(token) for token in part.tokens] for part in said]
    theirs = [[_meant(token) for token in part.tokens] for part in quoted]
    again = {_meant(t) for part in quoted for t in part.tokens if _plain(t.raw) in needless}
    theirs_followed = {_meant(t) for part in followed for t in part.tokens}
    known = {_meant(t) for part in said for t in part.tokens if _plain(t.raw) in granted}
    ours, held = again.union(*own), known.union(*theirs)
    beside = {pair for words in theirs for pair in pairwise(words)}
    # How much of each is on a scale on which no kind outweighs another: the penalty is one for all.
    found: dict[str, float] = {}

    def count(trait: str, much: float) -> None:
        found[trait] = found.get(trait, 0.0) + much

    for word in ours - held:
        found[f"+{word}"] = 1.0
    for word in held - ours:
        found[f"-{word}" if word in theirs_followed else f"~{word}"] = 1.0
    for words in own:
        for one, other in pairwise((_EDGE[0], *words, _EDGE[1])):
            if (one, other) not in beside:
                found[f"{'' if one in held else one}|{'' if other in held else other}"] = 1.0
    runs, quoted_runs = _runs(said, LONGEST_ADDED), _runs(quoted, LONGEST_ADDED)
    for run in runs - quoted_runs:
        if run not in granted:
            found[f">{run}"] = 0.7 / len(run)
    for run in _runs(followed, LONGEST_LEFT_OUT) - runs:
        if run not in needless:
            found[f"<{run}"] = 0.3
    for part in said:
        for token in part.tokens:
            if _meant(token) not in held:
                count(f"#+{token.kind}", 1.0)
    for part in followed:
        for token in part.tokens:
            if _meant(token) not in ours:
                count(f"#-{token.kind}", 0.3)
    length = sum(len(part.raw) for part in said)
    found["#long"] = length / 100
    found["#longer"] = length / max(1, sum(len(part.raw) for part in followed))
    found["#parts"] = len(said) / 5
    found["#kept"] = len(theirs_followed & ours) / max(1, len(theirs_followed))
    found["#new"] = len(ours - held) / max(1, len(ours))
    return found


def _followed(case: Case) -> Sequence[Part]:
    """Parts of the quotes that share most with a part of the sentence, or half of whose words it
    has; all where it shares nothing."""
    nearest = {id(near) for part in case.said.parts for near in case.nearest(part)}
    said = case.said.meanings()
    return [
        part
        for part in case.quoted_parts
        if id(part) in nearest or len(said & part.meanings()) * 2 > len(part.meanings())
    ] or case.quoted_parts


def _read(texts: Iterable[str], case: Case) -> str:
    return "".join(
        f"\n{_plain(part.raw)}" for text in texts for part in read_text(text, case.names).parts
    )


def _plain(raw: str) -> str:
    """With one sign for all products: other checks tell them apart."""
    return _PRODUCTS.sub(chr(FIRST_PRODUCT), raw)


def _meant(token: Token) -> str:
    return ("!" if token.sign == "denied" else "") + _plain(token.meaning)


def _runs(parts: Iterable[Part], longest: int) -> set[str]:
    texts = [_plain(part.raw) for part in parts]
    return {
        text[at : at + length]
        for text in texts
        for length in range(1, longest + 1)
        for at in range(len(text) - length + 1)
    }


def numbered(found: Mapping[str, float]) -> Iterator[tuple[int, float]]:
    """Traits as places among the weights."""
    for trait, much in found.items():
        yield zlib.crc32(trait.encode()) % DIMENSIONS, much


def odds(found: Mapping[str, float], weights: Weights) -> float:
    """Logarithm of the odds that a sentence with these traits says something else."""
    # Exact, whatever the order of the traits: the same in each process.
    whole = math.fsum(much * weights.by_number[at] for at, much in numbered(found))
    return weights.bias + weights.scale * whole


@lru_cache(maxsize=1)
def load_weights() -> Weights:
    held = json.loads(FILE.read_text(encoding="utf-8"))
    by_number = memoryview(base64.b64decode(held["weights"])).cast("b")
    return Weights(by_number, held["scale"], held["bias"], held["bar"])


def unlike(case: Case) -> Problem | None:
    """Whether the sentence departs from its quotes as those do that say something else; a sentence
    of theirs as it stands does not."""
    said = _told(case.said.parts)
    if any(said == _told(group) for quote in case.quoted for group in sentences_of(quote)):
        return None
    weights = load_weights()
    if odds(traits(case), weights) < weights.bar:
        return None
    return Problem("unlike", case.said.folded)


def _told(parts: Iterable[Part]) -> list[str]:
    """What is said beside yes and no."""
    return [part.raw for part in parts if part.words()]
