"""What has to go to a person or is refused, told before a model is asked, by patterns and by
likeness.

The classes, their wording, examples and the legal time limits are data: triage.toml. Nothing here
says that anybody was transferred: a notice and the way to a person are all there is.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from knowledge.embed import Vectors
from knowledge.text import fold
from prompts.render import version_of

from .matching import BadPattern, Pattern, compile_pattern

SHIPPED = Path(__file__).with_name("triage.toml")
NEAREST = Path(__file__).with_name("triage_nearest.json")
"""Labelled examples as vectors of one embedder, and from when two texts are alike."""

SHOWN = "text"
"""Evidence from which a limit is told to people: its article was read."""

NEIGHBOURS = 3

ClassStatus = Literal["handoff", "refused"]

_BETWEEN = re.compile(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])")
_PART = re.compile("<<([a-z_]+)>>")


class TriageError(Exception):
    """The data of triage cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Class:
    """One kind of message that a person has to see."""

    id: str
    about: str
    notice: str
    """Code of the notice that is said."""
    answers: bool
    """Whether what the documents say is answered beneath the notice."""
    status: ClassStatus
    """Of a reply to it: a person is to see the message, or what it asks for is not done."""
    patterns: tuple[Pattern, ...]
    always: tuple[Pattern, ...]
    unless: tuple[Pattern, ...]
    hits: tuple[str, ...]
    misses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """A time limit of a law, with its source."""

    id: str
    classes: frozenset[str]
    regulation: str
    number: str
    article: str
    effective_from: date
    evidence: str
    when: Pattern | None
    """Said only of messages that match; None: of every one of its classes."""
    wording: Mapping[str, str]
    """Locale -> what it says, in our own words."""


@dataclass(frozen=True, slots=True)
class Triage:
    """Classes in the order in which they count, and the limits of the law."""

    version: str
    source: str
    """The text that all of this was read from."""
    classes: tuple[Class, ...]
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """Labelled texts as vectors, among which the nearest to a message is looked for."""

    version: str
    source: str
    embedder: str
    """Name of the embedder whose vectors these are; those of another are never compared."""
    least: float
    """Cosine below which the nearest example tells nothing."""
    margin: float
    """How much nearer a message has to be to what is told than to what is not."""
    labels: tuple[str, ...]
    """Class of each row; empty for an example of none."""
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Told:
    """What a message belongs to, and how that was told."""

    classes: tuple[Class, ...]
    """In the order in which they count; never empty."""
    by: str
    """`pattern` or `likeness`."""

    @property
    def first(self) -> Class:
        return self.classes[0]

    @property
    def answers(self) -> bool:
        return all(each.answers for each in self.classes)

    @property
    def status(self) -> ClassStatus:
        """What a person has to see is never only refused."""
        return "handoff" if any(each.status == "handoff" for each in self.classes) else "refused"


def load_triage(file: Path = SHIPPED) -> Triage:
    """Raises TriageError."""
    return of_text(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def of_text(source: str) -> Triage:
    """Triage as its text says. Raises TriageError."""
    try:
        table = tomllib.loads(source)
        parts: Mapping[str, str] = table["parts"]
        classes = tuple(
            Class(
                id=row["id"],
                about=row["about"],
                notice=row["notice"],
                answers=row["answers"],
                status=_status(row),
                patterns=tuple(_pattern(p, parts) for p in row["patterns"]),
                always=tuple(_pattern(p, parts) for p in row.get("always", ())),
                unless=tuple(_pattern(p, parts) for p in row["unless"]),
                hits=tuple(row["hits"]),
                misses=tuple(row["misses"]),
            )
            for row in table["class"]
        )
        known = {each.id for each in classes}
        limits = tuple(_limit(row, parts, known) for row in table["limit"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, BadPattern) as error:
        raise TriageError(f"triage: {type(error).__name__}: {error}") from None
    return Triage(version_of(source), source, classes, limits)


def _pattern(pattern: str, parts: Mapping[str, str]) -> Pattern:
    return compile_pattern(_PART.sub(lambda match: parts[match.group(1)], pattern))


def _status(row: Mapping[str, Any]) -> ClassStatus:
    status: ClassStatus = row.get("status", "handoff")
    if status not in get_args(ClassStatus):
        expected = " or ".join(get_args(ClassStatus))
        raise TriageError(f"class {row['id']!r}: status: expected {expected}, not {status!r}")
    return status


def _limit(row: Mapping[str, Any], parts: Mapping[str, str], known: set[str]) -> Limit:
    if strangers := set(row["classes"]) - known:
        raise TriageError(f"limit {row['id']!r}: no such class: {sorted(strangers)}")
    return Limit(
        id=row["id"],
        classes=frozenset(row["classes"]),
        regulation=row["regulation"],
        number=row["number"],
        article=row["article"],
        effective_from=row["effective_from"],
        evidence=row["evidence"],
        when=_pattern(row["when"], parts) if "when" in row else None,
        wording={locale: row[locale] for locale in ("zh-Hans", "zh-Hant", "en")},
    )


def load_nearest(file: Path = NEAREST) -> Nearest | None:
    """None where there is no such file. Raises TriageError."""
    if not file.is_file():
        return None
    return nearest_of_text(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def nearest_of_text(source: str) -> Nearest:
    """Raises TriageError."""
    try:
        table = json.loads(source)
        rows = [np.frombuffer(base64.b64decode(row["vector"]), np.int8) for row in table["rows"]]
        vectors = np.array(rows, np.float32)
        return Nearest(
            version=version_of(source),
            source=source,
            embedder=table["embedder"],
            least=table["least"],
            margin=table["margin"],
            labels=tuple(row["class"] for row in table["rows"]),
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TriageError(f"triage: {type(error).__name__}: {error}") from None


def comparable(text: str) -> str:
    """A message as patterns see it."""
    return _BETWEEN.sub("", fold(text)).strip()


def read(triage: Triage, text: str) -> Told | None:
    """What the patterns tell of a message; None where they tell nothing."""
    seen = comparable(text)
    classes = tuple(each for each in triage.classes if _belongs(each, seen))
    return Told(classes, "pattern") if classes else None


def classify(
    triage: Triage, nearest: Nearest | None, text: str, vector: Vectors | None
) -> Told | None:
    """What a message belongs to, by patterns, and by likeness where they tell nothing. What counts
    most is never hidden by less: where likeness tells it, it stands before what patterns tell.

    vector: of the message; None: likeness is not asked.
    """
    told = read(triage, text)
    if nearest is None or vector is None or is_told(triage, told):
        return told
    near = read_likeness(triage, nearest, vector)
    if told is None or near is None:
        return told or near
    first = triage.classes[0]
    return Told((first, *told.classes), near.by) if near.first is first else told


def is_told(triage: Triage, told: Told | None) -> bool:
    """Whether likeness has nothing to add: what counts most is told."""
    return told is not None and told.first is triage.classes[0]


def _belongs(each: Class, seen: str) -> bool:
    if any(pattern.within(seen) for pattern in each.always):
        return True
    if not any(pattern.within(seen) for pattern in each.patterns):
        return False
    return not any(pattern.within(seen) for pattern in each.unless)


def read_likeness(triage: Triage, nearest: Nearest, vector: Vectors) -> Told | None:
    """What a message's nearest labelled example tells; None where none is near enough.

    vector: of unit length, by the embedder that `nearest` names.
    """
    near = nearest.vectors @ np.asarray(vector, np.float32).ravel()
    labelled = np.array([bool(label) for label in nearest.labels])
    best = int(np.where(labelled, near, -2.0).argmax())
    if near[best] < nearest.least or leaning(near, labelled) < nearest.margin:
        return None
    label = nearest.labels[best]
    return Told(tuple(each for each in triage.classes if each.id == label), "likeness")


def leaning(near: NDArray[np.float32], labelled: NDArray[np.bool_]) -> float:
    """How much nearer a message is to labelled examples than to those of no class, by the mean of
    the NEIGHBOURS nearest of each: one alone is too often near by its wording."""
    own, others = np.sort(near[labelled]), np.sort(near[~labelled])
    return float(own[-NEIGHBOURS:].mean() - others[-NEIGHBOURS:].mean())


def limits_of(triage: Triage, told: Told, text: str, on: date) -> Sequence[Limit]:
    """The limits of the law that bear on a message, and that may be shown."""
    seen = comparable(text)
    ids = {each.id for each in told.classes}
    return [
        limit
        for limit in triage.limits
        if limit.evidence == SHOWN
        and ids & limit.classes
        and limit.effective_from <= on
        and (limit.when is None or limit.when.within(seen))
    ]


def quantised(vectors: Vectors) -> Iterable[str]:
    """Vectors of unit length in one byte a number, in base64."""
    most = np.abs(vectors).max(axis=1, keepdims=True)
    whole = np.rint(vectors / most * 127).astype(np.int8)
    return (base64.b64encode(row.tobytes()).decode() for row in whole)
