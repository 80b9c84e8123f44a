"""Model outputs to try the gate with: false ones made from true answers, and true rewordings.

`python -m evals.mutate development` prints what the gate makes of them. The wording stands in
parts, evals/cases/mutations_*.toml, each with clauses of its own; `heldout` is measured, and never
looked at while the gate is worked on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import statistics
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from assistant.gate import Draft, check
from assistant.models import Citation
from assistant.reading import Names, names_of
from knowledge.chunk import chunk, numeral_of, quotable
from knowledge.documents import Clause
from knowledge.lender import load_lender
from knowledge.readers import MANIFEST, read, read_manifest
from knowledge.text import fold

Part = Literal[
    "development",
    "opened",
    "heldout",
    "wide",
    "check",
    "more",
    "apart",
    "latest",
    "next",
    "turned",
    "close",
]
PARTS: tuple[Part, ...] = get_args(Part)
KEPT_BACK: frozenset[Part] = frozenset(["heldout", "check", "apart"])
"""Measured, and never read."""
_BY_HASH: tuple[Part, ...] = ("development", "opened", "heldout")
"""Parts that share the clauses no part rewords by hand; the others have only those they reword."""

_CASES = Path(__file__).parent / "cases"
_CORPUS = Path(__file__).parent.parent / "knowledge" / "corpus" / "lender"

_NUMBER = re.compile(r"(?<![\dA-Za-z])\d[\d,]*(?:\.\d+)?(?![\dA-Za-z]|\. )")
_CONDITION = re.compile(r"^(?!\w+：)(.{4,}?(?:的|时|后|前|内|期间))，(.+)$")
_CONDITION_CLAUSE = re.compile(r"^(?!\w+：)([^，。；]{4,}?)(?:的|时)，([^；]+)。$")
_SMALL = re.compile(
    r"(?<![\d,.:：第-])(?<!第 )([1-9]\d?)(?= ?(?:个|日(?!元)|天|期|次|张|年(?! ?\d)))"
)
_THOUSANDS = re.compile(r"(?<![\d,.])(\d{1,3}),000(?= ?元)")


@dataclass(frozen=True, slots=True)
class Trial:
    """One sentence as a model may write it, with the clauses it rests on."""

    kind: str
    text: str
    citations: tuple[Citation, ...]
    true: bool
    """Whether the clauses say so."""
    asked: str = ""
    before: tuple[str, ...] = ()
    """What the reply has shown before it."""

    signed: tuple[date, date] | None = None
    """First and last day on which whoever asked may have signed."""

    def draft(self) -> Draft:
        return Draft(
            self.text,
            "model",
            self.citations,
            asked=self.asked,
            before=self.before,
            signed=self.signed,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate made of one trial."""

    trial: Trial
    reason: str
    """Empty where it was released as it stands."""
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Stock:
    """What the sentences of one part are made from."""

    words: Mapping[str, Any]
    quotes: tuple[Citation, ...]
    """Sentences of clauses that stand in no table."""
    rows: tuple[Citation, ...]
    """Rows of tables."""
    truths: tuple[tuple[Mapping[str, Any], Citation], ...]


def make_trials(part: Part, seed: int = 7, of_each: int = 1000) -> list[Trial]:
    """`of_each` true sentences and as many false ones, the same for the same arguments."""
    stock = _stock(part)
    trials: dict[tuple[str, tuple[str, ...]], Trial] = {}
    for makers, true in ((_TRUE, True), (_FALSE, False)):
        chance = random.Random(f"{seed} {part} {true}")
        streams = {name: make(stock, chance) for name, make in makers.items()}
        made = 0
        while made < of_each and streams:
            for name in list(streams):
                drawn = next(streams[name], None)
                if drawn is None:
                    del streams[name]
                    continue
                text, citations = drawn
                key = (text, tuple(c.quote for c in citations))
                if made < of_each and key not in trials:
                    trials[key] = Trial(name, text, tuple(citations), true)
                    made += 1
    return list(trials.values())


def by_hand(part: Part) -> Iterator[Trial]:
    """The true and the false sentences that were written for a part's clauses."""
    for truth, citation in _stock(part).truths:
        for kind in ("says", "beyond"):
            for text in truth[kind]:
                yield Trial(kind, text, (citation,), kind == "says")


def _of_terms(lender: Mapping[str, Any]) -> Iterator[Trial]:
    """The same of the terms of one lender in evals/cases/other_lenders.toml."""
    clause = citations()[0].clause
    for truth in lender["truths"]:
        quote = truth["quote"]
        rests_on = (Citation(replace(clause, text=quote, title=""), quote),)
        for kind in ("says", "beyond"):
            for text in truth[kind]:
                yield Trial(kind, text, rests_on, kind == "says")


def other_lenders() -> list[tuple[Names, list[Trial]]]:
    """Lenders that the gate was first tried on when it was done, each with its sentences."""
    with (_CASES / "other_lenders.toml").open("rb") as file:
        lenders = tomllib.load(file)["lenders"]
    return [
        (
            Names(
                (fold(lender["name"]), fold(lender["short_name"])),
                tuple((str(n), (fold(name),)) for n, name in enumerate(lender["products"])),
            ),
            list(_of_terms(lender)),
        )
        for lender in lenders
    ]


def try_gate(trials: Sequence[Trial]) -> list[Outcome]:
    """What the gate makes of each, as a written sentence without a repair."""
    names = names_of(load_lender())
    outcomes: list[Outcome] = []
    for trial in trials:
        draft = trial.draft()
        started = time.perf_counter()
        finding = check(draft, names)
        seconds = time.perf_counter() - started
        reason, detail = (finding.reason, finding.detail) if finding else ("", "")
        outcomes.append(Outcome(trial, reason, detail, seconds))
    return outcomes


@cache
def citations() -> tuple[Citation, ...]:
    """Every sentence of the sample lender that borrowers may be quoted, once each."""
    heads = read_manifest(_CORPUS)
    found: dict[str, Citation] = {}
    for path in sorted(_CORPUS.iterdir()):
        if path.name == MANIFEST:
            continue
        document = read(path, path.name, heads.get(path.name))
        if document.head.audience != "borrower":
            continue
        for clause in chunk(document):
            for quote in quotable(clause):
                found.setdefault(quote, Citation(clause, quote))
    return tuple(found.values())


@cache
def _stock(part: Part) -> _Stock:
    words = _words(part)
    told = {truth["quote"]: name for name in _BY_HASH for truth in _words(name)["truths"]}
    if part not in _BY_HASH:
        told |= {truth["quote"]: part for truth in words["truths"]}
    own = [c for c in citations() if told.get(c.quote, _part_of(c.quote)) == part]
    rows = tuple(c for c in own if _is_row(c.clause))
    by_quote = {(c.quote): c for c in citations()}
    truths = tuple(
        (truth, by_quote[truth["quote"]]) for truth in words["truths"] if truth["quote"] in by_quote
    )
    if len(truths) < len(words["truths"]):
        lost = [t["quote"] for t in words["truths"] if t["quote"] not in by_quote]
        raise ValueError(f"these stand in no document: {lost}")
    return _Stock(words, tuple(c for c in own if not _is_row(c.clause)), rows, truths)


def _words(part: Part) -> dict[str, Any]:
    """Wording of a part; what it does not bring itself is that of the development part."""
    with (_CASES / f"mutations_{part}.toml").open("rb") as file:
        own = tomllib.load(file)
    return own if "false" in own else _words("development") | own


def _is_row(clause: Clause) -> bool:
    return clause.meta.get("form") == "table"


def _part_of(quote: str) -> Part:
    return _BY_HASH[hashlib.sha256(quote.encode()).digest()[0] % len(_BY_HASH)]


_Made = Iterator[tuple[str, Sequence[Citation]]]
_Maker = Callable[[_Stock, random.Random], _Made]


def _end(text: str) -> str:
    return text.rstrip("。；，！？.;,") + "。"


def _bare(text: str) -> str:
    return text.rstrip("。；，！？.;,")


def _endless(chance: random.Random, rows: Sequence[Any]) -> Iterator[Any]:
    """The rows over and over in changing order, a fixed number of times."""
    for _ in range(40):
        yield from chance.sample(rows, len(rows))


def _true_bases(stock: _Stock, chance: random.Random) -> Iterator[tuple[str, Citation]]:
    """Sentences that are true of one clause: its own, reworded, and those written by hand."""
    own = [(c.quote, c) for c in stock.quotes]
    by_hand = [(said, c) for truth, c in stock.truths for said in truth["says"]]
    yield from _endless(chance, own + by_hand * 3)


def _dressed(stock: _Stock, chance: random.Random, text: str) -> str:
    """The same sentence in other numerals, in Traditional characters, or after a greeting."""
    if chance.random() < 0.25:
        text = _in_numerals(text)
    if chance.random() < 0.25:
        text = chance.choice(stock.words["frames"]["before"]) + text
    return _traditional(text) if chance.random() < 0.12 else text


def _in_numerals(text: str) -> str:
    def shorter(match: re.Match[str]) -> str:
        thousands = int(match.group(1))
        return f"{thousands // 10}\u4e07" if thousands % 10 == 0 else f"{thousands}000"

    def spelt(match: re.Match[str]) -> str:
        number = int(match.group(1))
        counts = text[match.end() : match.end() + 2].strip()[:1] not in ("\u65e5", "\u671f", "")
        return "\u4e24" if number == 2 and counts else numeral_of(number)

    return _SMALL.sub(spelt, _THOUSANDS.sub(shorter, text))


@cache
def _to_traditional() -> Any:
    import opencc

    return opencc.OpenCC("s2t")


def _traditional(text: str) -> str:
    return str(_to_traditional().convert(text))


def _reworded(stock: _Stock, chance: random.Random, text: str) -> str:
    """With up to three words said otherwise."""
    pairs = [(said, other) for said, others in stock.words["rewords"].items() for other in others]
    for said, other in chance.sample(pairs, len(pairs)):
        if said in text and other not in text and chance.random() < 0.6:
            guard = "(?<![\u65e0\u5fc5])" if len(said) == 1 else ""
            text = re.sub(guard + said, other, text)
    return text


def _as_written(stock: _Stock, chance: random.Random) -> _Made:
    for truth, citation in _endless(chance, stock.truths):
        for said in truth["says"]:
            yield said, [citation]


def _dressed_truths(stock: _Stock, chance: random.Random) -> _Made:
    for truth, citation in _endless(chance, stock.truths):
        for said in truth["says"]:
            yield _dressed(stock, chance, said), [citation]


def _reworded_clauses(stock: _Stock, chance: random.Random) -> _Made:
    for citation in _endless(chance, stock.quotes):
        text = _reworded(stock, chance, citation.quote)
        if text != citation.quote:
            yield _dressed(stock, chance, _end(text)), [citation]


def _condition_last(stock: _Stock, chance: random.Random) -> _Made:
    forms = stock.words["frames"]["condition_last"]
    for citation in _endless(chance, stock.quotes):
        match = _CONDITION_CLAUSE.match(citation.quote)
        if match:
            text = chance.choice(forms).format(condition=match.group(1), rest=match.group(2))
            yield _dressed(stock, chance, _reworded(stock, chance, text)), [citation]


def _merged(stock: _Stock, chance: random.Random) -> _Made:
    for citation in _endless(chance, stock.quotes):
        others = [c for c in stock.quotes if c.clause.id == citation.clause.id and c != citation]
        if others:
            other = chance.choice(others)
            text = f"{_bare(citation.quote)}；{_bare(other.quote)}。"
            yield _reworded(stock, chance, text), [citation, other]


def _closed(stock: _Stock, chance: random.Random) -> _Made:
    for truth, citation in _endless(chance, stock.truths):
        said = chance.choice(truth["says"] or [citation.quote])
        yield f"{_bare(said)}，{chance.choice(stock.words['frames']['after'])}", [citation]


_TRUE: dict[str, _Maker] = {
    "as_written": _as_written,
    "dressed": _dressed_truths,
    "reworded": _reworded_clauses,
    "reworded_too": _reworded_clauses,
    "condition_last": _condition_last,
    "merged": _merged,
    "with_a_closing": _closed,
}


def _wrong_figure(stock: _Stock, chance: random.Random) -> _Made:
    rows = [(c.quote, c) for c in stock.rows]
    bases = _true_bases(stock, chance)
    for text, citation in bases:
        if rows and chance.random() < 0.15:
            text, citation = chance.choice(rows)
        held = {n.replace(",", "") for n in _NUMBER.findall(citation.quote)}
        spots = list(_NUMBER.finditer(text))
        if not spots:
            continue
        spot = chance.choice(spots)
        other = _other_number(chance, spot.group(), held)
        if other is None:
            continue
        changed = f"{text[: spot.start()]}{other}{text[spot.end() :]}"
        yield _dressed(stock, chance, _end(changed)), [citation]


def _other_number(chance: random.Random, number: str, held: set[str]) -> str | None:
    free = _other_numbers(number, held)
    return chance.choice(free) if free else None


def _other_numbers(number: str, held: set[str]) -> list[str]:
    plain = number.replace(",", "")
    if "." in plain:
        changes = [f"{float(plain) * f:.2f}".rstrip("0").rstrip(".") for f in (0.5, 1.5, 2, 10)]
    elif len(plain) == 4 and plain.startswith("20"):
        changes = [str(int(plain) + d) for d in (-2, -1, 1, 2)]
    else:
        value = int(plain)
        changes = [str(v) for v in (value + 1, value * 2, value * 3, value * 10) if v != value]
    free = [c for c in changes if c not in held]
    return [f"{int(c):,}" if "," in number and c.isdecimal() else c for c in free]


def _wrong_unit(stock: _Stock, chance: random.Random) -> _Made:
    for text, citation in _true_bases(stock, chance):
        changed = _in_other_units(stock, text)
        if changed:
            yield _dressed(stock, chance, _end(chance.choice(changed))), [citation]


def _in_other_units(stock: _Stock, text: str) -> list[str]:
    changed = []
    for unit, other in stock.words["units"].items():
        named = unit.endswith("\u7387")
        pattern = unit if named else rf"(?<=\d) ?{unit}"
        if re.search(pattern, text):
            changed.append(re.sub(pattern, other, text, count=1))
    return changed


def _replaced(stock: _Stock, chance: random.Random, pairs: Sequence[tuple[str, str]]) -> _Made:
    for text, citation in _true_bases(stock, chance):
        changed = _with_others(pairs, text)
        if changed:
            yield _dressed(stock, chance, _end(chance.choice(changed))), [citation]


def _with_others(pairs: Sequence[tuple[str, str]], text: str) -> list[str]:
    return [re.sub(s, o, text, count=1) for s, o in pairs if re.search(s, text)]


def _pairs(rows: Sequence[Mapping[str, Sequence[str]]]) -> list[tuple[str, str]]:
    return [(said, other) for row in rows for said in row["from"] for other in row["to"]]


def _wrong_polarity(stock: _Stock, chance: random.Random) -> _Made:
    yield from _replaced(stock, chance, _pairs(stock.words["flips"]))


def _bound_contradicted(stock: _Stock, chance: random.Random) -> _Made:
    yield from _replaced(stock, chance, _bounds(stock))


def _bounds(stock: _Stock) -> list[tuple[str, str]]:
    """Bounds that stand near a figure, each with one that contradicts it."""
    near = []
    for said, other in _pairs(stock.words["bounds"]):
        inside = said.startswith("\u65e5")
        place = rf"(?<=\d) ?{said}" if inside else rf"{said}(?=[^，。；]{{0,9}}\d)"
        near.append((place, other))
    return near


def _swapped(stock: _Stock, chance: random.Random) -> _Made:
    for text, citation in _true_bases(stock, chance):
        changed = _of_others(stock, text, citation)
        if changed:
            yield _dressed(stock, chance, _end(chance.choice(changed))), [citation]


def _of_others(stock: _Stock, text: str, citation: Citation) -> list[str]:
    return [
        text.replace(said, other)
        for said, others in stock.words["swaps"].items()
        for other in others
        if said in text and other not in citation.quote
    ]


def _dropped_condition(stock: _Stock, chance: random.Random) -> _Made:
    for citation in _endless(chance, stock.quotes):
        match = _CONDITION.match(citation.quote)
        if match:
            text = _reworded(stock, chance, match.group(2))
            yield _dressed(stock, chance, _end(text)), [citation]


def _beyond(stock: _Stock, chance: random.Random) -> _Made:
    for truth, citation in _endless(chance, stock.truths):
        for text in truth["beyond"]:
            yield _dressed(stock, chance, text), [citation]


def _with_false(stock: _Stock, chance: random.Random, pieces: Sequence[str]) -> _Made:
    """The piece alone, or before or after a true sentence."""
    joiners, openers = stock.words["false"]["joiners"], stock.words["false"]["openers"]
    for text, citation in _true_bases(stock, chance):
        piece = _bare(chance.choice(pieces))
        forms = (
            f"{chance.choice(openers)}{piece}",
            f"{piece}，{_bare(text)}",
            f"{_bare(text)}{chance.choice(joiners)}{piece}",
        )
        form = chance.choice(forms)
        yield (_traditional(form) if chance.random() < 0.1 else form) + "。", [citation]


def _invented(stock: _Stock, chance: random.Random) -> _Made:
    yield from _with_false(stock, chance, stock.words["false"]["invented"])


def _promise(stock: _Stock, chance: random.Random) -> _Made:
    yield from _with_false(stock, chance, stock.words["false"]["promises"])


def _injected(stock: _Stock, chance: random.Random) -> _Made:
    yield from _with_false(stock, chance, stock.words["false"]["injected"])


def _mixed(stock: _Stock, chance: random.Random) -> _Made:
    """A true sentence, and in the same breath another that is false of the same clause."""
    joiners = stock.words["false"]["joiners"]
    kinds = (_wrong_figure, _wrong_polarity, _swapped, _wrong_unit, _bound_contradicted)
    for false, citations in _interleaved([make(stock, chance) for make in kinds]):
        own = citations[0]
        said = [s for truth, c in stock.truths if c == own for s in truth["says"]] or [own.quote]
        yield f"{_bare(chance.choice(said))}{chance.choice(joiners)}{_end(false)}", citations


def make_every(part: Part, seed: int = 7) -> Iterator[Trial]:
    """Each true sentence of a part with each change that makes it false, by the words of all parts
    that may be read: alone, dressed, and after a true sentence."""
    stock = replace(_stock(part), words=_words_that_may_be_read())
    chance = random.Random(f"{seed} {part}")
    joiners = stock.words["false"]["joiners"]
    for truth, citation in stock.truths:
        for base in dict.fromkeys((*truth["says"], citation.quote)):
            for kind, changed in dict.fromkeys(_every_change(stock, base, citation)):
                false = _end(changed)
                true = _bare(chance.choice(truth["says"] or [citation.quote]))
                dressed = _dressed(stock, chance, false)
                behind = f"{true}{chance.choice(joiners)}{false}"
                for text in dict.fromkeys((false, dressed, behind)):
                    yield Trial(kind, text, (citation,), False)


def _every_change(stock: _Stock, text: str, citation: Citation) -> Iterator[tuple[str, str]]:
    held = {n.replace(",", "") for n in _NUMBER.findall(citation.quote)}
    for spot in _NUMBER.finditer(text):
        for other in _other_numbers(spot.group(), held):
            yield "wrong_figure", f"{text[: spot.start()]}{other}{text[spot.end() :]}"
    changes = {
        "wrong_unit": _in_other_units(stock, text),
        "wrong_polarity": _with_others(_pairs(stock.words["flips"]), text),
        "bound_contradicted": _with_others(_bounds(stock), text),
        "swapped": _of_others(stock, text, citation),
    }
    for kind, changed in changes.items():
        yield from ((kind, each) for each in changed if each != text)


@cache
def _words_that_may_be_read() -> dict[str, Any]:
    words = dict(_words("development"))
    for part in PARTS:
        if part in KEPT_BACK:
            continue
        own = _words(part)
        words["flips"] = [*words["flips"], *own["flips"]]
        words["bounds"] = [*words["bounds"], *own["bounds"]]
        words["units"] = words["units"] | own["units"]
        words["swaps"] = {
            said: list(dict.fromkeys((*words["swaps"].get(said, ()), *own["swaps"].get(said, ()))))
            for said in words["swaps"] | own["swaps"]
        }
    return words


def _interleaved(streams: Sequence[_Made]) -> _Made:
    while True:
        for stream in streams:
            drawn = next(stream, None)
            if drawn is None:
                return
            yield drawn


_FALSE: dict[str, _Maker] = {
    "wrong_figure": _wrong_figure,
    "wrong_unit": _wrong_unit,
    "wrong_polarity": _wrong_polarity,
    "bound_contradicted": _bound_contradicted,
    "swapped": _swapped,
    "dropped_condition": _dropped_condition,
    "beyond": _beyond,
    "invented": _invented,
    "promise": _promise,
    "injected": _injected,
    "mixed": _mixed,
}


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines that say, kind by kind, how many were released."""
    lines: list[str] = []
    for true in (False, True):
        own = [o for o in outcomes if o.trial.true is true]
        if not own:
            continue
        counts = Counter(o.trial.kind for o in own)
        released = Counter(o.trial.kind for o in own if not o.reason)
        for kind, count in counts.items():
            lines.append(f"{'true ' if true else 'false'} {kind:20} {released[kind]:5} of {count}")
        total = sum(released.values())
        lines.append(
            f"{'true ' if true else 'false'} {'released':20} {total:5} of {len(own)}"
            f" ({total / len(own):.1%})"
        )
    times = sorted(o.seconds * 1000 for o in outcomes)
    lines.append(
        f"a check takes {statistics.median(times):.2f} ms,"
        f" in 95 of 100 at most {times[int(len(times) * 0.95)]:.2f} ms"
    )
    return lines


def wrong(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines that show what the gate was wrong about, with the clauses and what was asked."""
    lines: list[str] = []
    for outcome in outcomes:
        trial = outcome.trial
        if bool(outcome.reason) == trial.true:
            quotes = " | ".join(citation.quote for citation in trial.citations)
            lines += [f"{trial.kind}: {trial.text}", f"    < {quotes}"]
            lines += [f"    ? {trial.asked}"] if trial.asked else []
            lines.append(f"    {outcome.reason} {outcome.detail}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", action="store_true", help="those the gate was wrong about")
    parser.add_argument(
        "--every", action="store_true", help="each change of each true sentence: minutes"
    )
    given = parser.parse_args(argv)
    if (given.show or given.every) and given.part in KEPT_BACK:
        parser.error("the part that is kept back is measured, not read")
    make = make_every if given.every else make_trials
    outcomes = try_gate(list(make(given.part, given.seed)))
    shown = wrong(outcomes) if given.show else []
    sys.stdout.write("\n".join([*shown, *table(outcomes)]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
