"""The suites: which questions are asked, what is measured, and how good it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from .messages import MessageSuite
from .schema import BadCases, Case, load_cases

__all__ = ["SUITES", "AnySuite", "BadCases", "MessageSuite", "RankedSuite", "Suite", "load_cases"]

_CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases asked through the borrower pipeline as of a fixed day."""

    name: str
    file: Path
    about: str
    today: date
    """The day on which the cases are asked; fixed, so that results do not age."""
    stage: Literal["search", "reply"]
    """How far the pipeline is run: `search` stops before the model."""
    bars: Mapping[str, float]
    """Metric -> least value."""
    also: tuple[str, ...] = ()
    """Metrics that are measured without a bar."""
    least_scored: float = 0.98
    """Share of the cases that must have been scored at all, 0 to 1."""
    time_limit_s: int = 600
    """Longest wait for one case; each call of a model has its own, shorter one."""

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*self.bars, *self.also)

    def cases(self) -> list[Case]:
        """Raises BadCases."""
        return load_cases(self.file)


@dataclass(frozen=True, slots=True)
class RankedSuite:
    """A published collection of passages, queries and judgements, kept outside the project."""

    name: str
    about: str
    today: date
    """The day as of which the passages are searched."""
    bars: Mapping[str, float]
    """Metric -> least mean over the queries; others are measured too."""


_ANSWERS = Suite(
    name="answers",
    file=_CASES / "sample_lender.jsonl",
    about="replies to borrowers of the sample lender: right, cited, verbatim, exact",
    today=date(2026, 11, 23),
    stage="reply",
    bars={
        "right": 0.6,
        "status": 0.75,
        "source": 0.7,
        "facts": 0.6,
        "forbidden": 1.0,
        "verbatim": 1.0,
        "figures": 1.0,
        "in_force": 1.0,
    },
    also=("rules", "shown"),
)

_RETRIEVAL = replace(
    _ANSWERS,
    name="retrieval",
    about="the clauses found for the same questions, before a model reads them",
    stage="search",
    bars={"known": 0.75, "first": 0.6, "within_five": 0.8},
    also=(),
)

# The fresh questions were written before anything was measured on them. Nothing is tuned on them:
# what fails here is looked for, and mended, among the others.
_FRESH = _CASES / "sample_lender_fresh.jsonl"

_RETRIEVAL_FRESH = replace(
    _RETRIEVAL,
    name="retrieval-fresh",
    file=_FRESH,
    about="the clauses found for questions that nothing was tuned on",
    bars={"known": 0.75, "first": 0.85, "within_five": 0.98},
)

_ANSWERS_FRESH = replace(
    _ANSWERS,
    name="answers-fresh",
    file=_FRESH,
    about="replies to questions that nothing was tuned on",
    bars={**_ANSWERS.bars, "status": 0.9, "facts": 0.9},
)

_STATUTES = RankedSuite(
    name="statutes",
    about="laypeople's questions to statute articles, ranked (folder: --statutes)",
    today=date(2026, 11, 23),
    bars={"ndcg_10": 0.58},
)

_COMPLIANCE_DEV = MessageSuite(
    name="compliance-dev",
    file=_CASES / "compliance_dev.jsonl",
    about="messages by the compliance rules: those that patterns are written with",
    today=date(2026, 11, 20),
    bars={"recall": 0.95, "precision": 0.95},
)

# Written before any pattern and by nobody who writes them; what fails here is not looked at to
# mend a pattern.
_COMPLIANCE = replace(
    _COMPLIANCE_DEV,
    name="compliance",
    file=_CASES / "compliance_test.jsonl",
    about="messages by the compliance rules: those that no pattern was written with",
)

AnySuite = Suite | RankedSuite | MessageSuite

SUITES: Mapping[str, AnySuite] = {
    suite.name: suite
    for suite in (
        _RETRIEVAL,
        _ANSWERS,
        _RETRIEVAL_FRESH,
        _ANSWERS_FRESH,
        _STATUTES,
        _COMPLIANCE_DEV,
        _COMPLIANCE,
    )
}
