"""What the knowledge side is made of: documents, their blocks, clauses and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Literal, get_args

Kind = Literal["regulation", "product", "policy", "faq", "campaign", "script"]
KINDS: tuple[Kind, ...] = ("regulation", "product", "policy", "faq", "campaign", "script")

Audience = Literal["borrower", "agent"]

CONTRACT_DATED: frozenset[Kind] = frozenset({"product"})
"""Kinds judged by the date of the contract; every other kind by the date of the question."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known about a document beside its text (TOML head, manifest line or option)."""

    title: str = ""
    kind: Kind = "policy"
    product: str = ""
    """Product key, empty where the document is about the lender or the law in general."""
    audience: Audience = "borrower"
    version: str = ""
    series: str = ""
    """Names all versions of one document; equal titles share a series where it is empty."""
    effective_from: date | None = None
    """First day in force; None is open-ended."""
    effective_to: date | None = None
    """Last day in force, inclusive; None is open-ended."""
    supersedes: str = ""
    """Source, title or official number of the document that this one replaces."""
    jurisdiction: str = "CN"
    """ISO 3166 code of the country whose law applies."""
    document_no: str = ""
    issuer: str = ""
    evidence: str = ""
    """How well a digest's source is known: text, quote, secondary, unsure; empty if no digest."""
    digest: bool = False
    """True for a summary in our own words, which is never shown as the law's wording."""
    reviewed: date | None = None

    def or_else(self, other: Head) -> Head:
        """This head, with the fields that it leaves at their default taken from another."""
        said = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        given = {name: value for name, (value, unsaid) in said.items() if value != unsaid}
        return replace(other, **given)

    def ends_too_early(self) -> bool:
        """Whether it gives an end that lies before the beginning."""
        start, end = self.effective_from, self.effective_to
        return start is not None and end is not None and end < start


DateField = Literal["effective_from", "effective_to", "reviewed"]
DATE_FIELDS: tuple[DateField, ...] = get_args(DateField)


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date read from a document's text, since no head gives it; a person is to confirm it."""

    field: DateField
    value: date
    quote: str
    """The words it was read from."""
    locator: str
    """Where they stand: article, heading, or the name of the line above the text."""
    note: str = ""
    """What makes it doubtful; empty where the text says it outright."""


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document in reading order."""

    kind: Literal["heading", "paragraph", "item", "table"]
    text: str = ""
    """Plain text without markup; empty for tables."""
    level: int = 0
    """Headings: 1 (title) to 6. Items: nesting depth from 0."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Tables: the header row first, merged cells repeated, every row equally long."""
    row_numbers: tuple[int, ...] = ()
    """Tables of sheets: the number each of `rows` has in its sheet, 0 for an added header."""
    page: int | None = None
    """1-based page number where the format has pages."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: its head and its blocks."""

    source: str
    """File name relative to the ingested path, with forward slashes."""
    sha256: str
    """Hash of the file's bytes."""
    head: Head
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()
    """What was noticed and mended while reading, for the person who ingests."""
    found: tuple[FoundDate, ...] = ()
    """Dates of the head that were read from the text."""


@dataclass(frozen=True, slots=True)
class Clause:
    """The smallest part of a document that is retrieved, quoted and cited."""

    id: str
    """ASCII, unique within a release, the same for the same place in the same document."""
    source: str
    head: Head
    locator: str
    """Where a person finds it: article number, or heading path joined by ` > `."""
    title: str
    """Nearest heading or article title, for search and display."""
    text: str
    """Verbatim text; one table row a line, each cell preceded by its column's header."""
    page: int | None = None
    meta: dict[str, str] = field(default_factory=dict, hash=False)
    held: bool = False
    """Whether a rule stands against it that nobody has confirmed; see knowledge.clearance."""
    cleared: tuple[str, ...] = ()
    """Rules that a person let its text break."""

    @property
    def audience(self) -> Audience:
        """Who may read it: what is held back only agents."""
        return "agent" if self.held else self.head.audience

    def in_force(self, day: date) -> bool:
        """Whether the clause's document is in force on `day`, both ends included."""
        head = self.head
        return (head.effective_from is None or head.effective_from <= day) and (
            head.effective_to is None or day <= head.effective_to
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """A clause found for a question."""

    clause: Clause
    score: float
    """Fused relevance, 0 to 1, higher is better; comparable within one search only."""
    dense: float = 0.0
    """Cosine similarity of question and clause."""
    lexical: float = 0.0
    """BM25 score of the clause divided by the best one of this search, 0 to 1."""
    sentences: tuple[float, ...] = ()
    """How near each sentence, as it is quoted, lies to the question, in standard deviations of the
    clauses in scope; empty where nothing is known of them."""
    versions: tuple[Clause, ...] = ()
    """The same place in other versions of the document, where the text differs, newest first."""
    why: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Each part of `score` by its name (dense, words, ...); the parts add up to it."""
    matched: tuple[str, ...] = ()
    """Words of the question, or of what it was read as, that the clause holds; rarest first."""
