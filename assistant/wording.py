"""What the wording of a message makes likely, where no pattern names it.

Runs of one to four characters, weighed by a linear classifier that was fitted to labelled messages
(evals/fit_wording.py), tell whether a message breaks some rule, and which. It has seen words, not
meaning: its findings are warnings, and a person decides.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .compliance import RANK, Finding, Given, Review, Verdict, applicable
from .matching import SENTENCE_ENDS, SHIPPED
from .rules import RulePack

DIMENSIONS = 65536
"""Numbers of runs; with an eighth of them, runs that shared one hid each other."""
RULE_DIMENSIONS = 8192
"""Numbers that are told apart where runs speak for one rule or another."""
LONGEST_RUN = 4
LONGEST = 2000
"""Characters of a message that are weighed; a longer one is a document."""

Floats = NDArray[np.float64]

_SENTENCE = re.compile(f"[^{re.escape(''.join(sorted(SENTENCE_ENDS)))}]+")


@dataclass(frozen=True, slots=True)
class Wording:
    """The fitted classifier of a jurisdiction."""

    alike: tuple[tuple[re.Pattern[str], str], ...]
    """What counts as the same before it is weighed: figures, names of lenders."""
    idf: Floats
    weights: Floats
    bias: float
    bar: float
    """Odds from which a message is warned of."""
    rules: tuple[str, ...]
    by_rule: NDArray[np.int8]
    """How much runs of each number, modulo RULE_DIMENSIONS, speak for each rule, one row a rule;
    scales differ by row."""
    scales: Floats


def wording_file(jurisdiction: str, shipped: Path = SHIPPED) -> Path:
    return shipped / f"{jurisdiction}-wording.json"


@lru_cache(maxsize=4)
def load_wording(jurisdiction: str, shipped: Path = SHIPPED) -> Wording | None:
    """None where nothing was fitted for the jurisdiction."""
    file = wording_file(jurisdiction, shipped)
    if not file.exists():
        return None
    held = json.loads(file.read_text(encoding="utf-8"))
    by_rule = np.frombuffer(base64.b64decode(held["by_rule"]), np.int8)
    return Wording(
        tuple((re.compile(pattern), same) for pattern, same in held["alike"]),
        np.frombuffer(base64.b64decode(held["idf"]), np.float16).astype(np.float64),
        np.frombuffer(base64.b64decode(held["weights"]), np.float16).astype(np.float64),
        held["bias"],
        held["bar"],
        tuple(held["rules"]),
        by_rule.reshape(len(held["rules"]), RULE_DIMENSIONS),
        np.array(held["scales"]),
    )


def runs(
    text: str, task: str, asked: str, alike: Sequence[tuple[re.Pattern[str], str]]
) -> set[int]:
    """The runs of characters of a folded message and of the question before it, as numbers."""
    found = {_number(f"task:{task}")}
    for mark, part in (("", text), ("?", asked)):
        for pattern, same in alike:
            part = pattern.sub(same, part)
        part = f"^{part[:LONGEST]}$" if part else ""
        for length in range(1, LONGEST_RUN + 1):
            found.update(
                _number(mark + part[start : start + length])
                for start in range(len(part) - length + 1)
            )
    return found


def _number(run: str) -> int:
    return zlib.crc32(run.encode()) % DIMENSIONS


def review_wording(pack: RulePack, found: Review, given: Given) -> Review:
    """A review with one warning where the wording speaks for a breach and no rule found any."""
    fitted = map(load_wording, pack.jurisdiction.split(","))
    wording = next((one for one in fitted if one is not None), None)
    if wording is None:
        return found
    text, task = given.text, given.task
    asked = str(given.context.get("question") or "")
    applies = {rule.id: rule for rule, _ in applicable(pack, task, given.channel, given.on)}
    named = [place for place, rule in enumerate(wording.rules) if rule in applies]
    if found.findings or not named or not text.strip():
        return found
    places = np.array(
        sorted(
            runs(pack.folding.bare(text).text, task, pack.folding.bare(asked).text, wording.alike)
        )
    )
    idf = wording.idf[places]
    length = float(np.linalg.norm(idf)) or 1.0
    odds = float(wording.weights[places] @ idf) / length + wording.bias
    if odds < wording.bar:
        return found
    speaks = (wording.by_rule[named][:, places % RULE_DIMENSIONS] @ idf) * wording.scales[named]
    rule = applies[wording.rules[named[int(speaks.argmax())]]]
    start, end = _worst_sentence(wording, pack, text, task)
    finding = Finding(rule, "warn", (start, end), text[start:end], rule.bad[0].text)
    verdicts: tuple[Verdict, ...] = (found.verdict, "warn")
    verdict = max(verdicts, key=RANK.__getitem__)
    return replace(found, findings=(finding,), verdict=verdict)


def _worst_sentence(wording: Wording, pack: RulePack, text: str, task: str) -> tuple[int, int]:
    """The sentence whose runs weigh most, each counted by its share of the sentence."""
    spans = [match.span() for match in _SENTENCE.finditer(text) if match.group().strip()]
    if not spans:
        return 0, len(text)

    def weight(span: tuple[int, int]) -> float:
        folded = pack.folding.bare(text[slice(*span)]).text
        places = np.array(sorted(runs(folded, task, "", wording.alike)))
        return float(wording.weights[places] @ wording.idf[places])

    return max(spans, key=weight)
