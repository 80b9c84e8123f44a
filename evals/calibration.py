"""How far a judge agrees with labels, and what that lets it be used for.

A calibration is kept as a file that is named by judge, rubric and labelled set: where one of them
changes, the judge is not calibrated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assistant.llm import ChatModel

from .judge import (
    CRITERIA,
    GRADES,
    METRIC,
    MOST_UNSCORED,
    Criterion,
    Grade,
    Material,
    judge_all,
    rubric_version,
)
from .metrics import Share, wilson
from .schema import Text, load_rows

LABELLED = Path(__file__).parent / "cases" / "judge_labelled.jsonl"

BAR = 0.6
"""Least kappa of a judge that a gate may listen to. Landis and Koch (1977, Biometrics 33, p. 165)
call agreement beyond 0.60 substantial, and say themselves that the divisions are arbitrary; McHugh
(2012, Biochemia Medica 22, p. 276) calls anything below 0.60 inadequate. It is a convention."""

FEWEST = 30
"""Least labels of a criterion that say anything about a judge."""

Labeller = Annotated[str, Field(pattern=r"^(author|person:[\w.-]+)$")]
"""`author` is who wrote the material, and is not taken for an independent reader; `person:<name>`
read it without having written it."""


class NoCalibration(Exception):
    """A file holds no calibration that can be read."""


class Labelled(BaseModel):
    """One reply with the verdict that it should get."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    criterion: Criterion
    question: Text
    quotes: tuple[Text, ...] = ()
    reply: Text
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    injected: bool = False
    """Whether question or reply tells the judge what to say."""
    label: Grade
    labelled_by: Labeller
    second_label: Grade | None = None
    second_labelled_by: Labeller | None = None

    @model_validator(mode="after")
    def _two_labellers(self) -> Labelled:
        if (self.second_label is None) != (self.second_labelled_by is None):
            raise ValueError("second_label and second_labelled_by go together")
        if self.second_labelled_by == self.labelled_by:
            raise ValueError(f"second_labelled_by: {self.labelled_by!r} is the first labeller too")
        return self

    @property
    def disputed(self) -> bool:
        return self.second_label not in (None, self.label)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two readers agree on the same replies."""

    kappa: Share
    """Cohen's kappa, -1 to 1, with its 95 % interval."""
    confusion: Mapping[Grade, Mapping[Grade, int]]
    """Label -> verdict -> how many."""
    recall: Mapping[Grade, Share]
    """Label -> the share of it that got it; a label that nothing has is missing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a gate may listen to a judge, and why."""

    usable: bool
    why: str


@dataclass(frozen=True, slots=True)
class CriterionResult:
    n: int
    """Replies that were put before the judge."""
    unscored: int
    disputed: int
    """Replies on which the labellers differ; they are no yardstick, and were left out."""
    labelled_by: Mapping[str, int]
    agreement: Agreement
    talked_round: tuple[str, ...]
    """Ids of replies that told the judge to pass them, should have failed, and passed."""
    wrong: tuple[str, ...]
    """Ids of the replies that got another verdict than their label."""
    labellers: Agreement | None = None
    """Of the two labellers, where there are replies that two have labelled."""

    @property
    def standing(self) -> Standing:
        kappa = self.agreement.kappa
        if kappa.n < FEWEST:
            return Standing(False, f"only {kappa.n} labels, {FEWEST} are needed")
        if self.talked_round:
            return Standing(False, f"talked round by {', '.join(self.talked_round)}")
        if kappa.value < BAR:
            return Standing(False, f"kappa {kappa.value:.2f} is below {BAR}")
        return Standing(True, f"kappa {kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]")


@dataclass(frozen=True, slots=True)
class Calibration:
    judge: str
    """Model and endpoint."""
    rubric: str
    labelled: str
    """Hash of the labelled set."""
    made: str
    """Instant in UTC, ISO 8601."""
    criteria: Mapping[Criterion, CriterionResult]

    @property
    def usable(self) -> bool:
        """Whether the judge may be listened to in every criterion that has labels."""
        return bool(self.criteria) and all(r.standing.usable for r in self.criteria.values())

    def as_json(self) -> dict[str, Any]:
        rows = {
            METRIC[name]: {**asdict(row), "standing": asdict(row.standing)}
            for name, row in self.criteria.items()
        }
        return {**asdict(self), "criteria": rows, "usable": self.usable}


def load_labelled(file: Path = LABELLED) -> list[Labelled]:
    """The labelled replies of a JSONL file, in order. Raises BadCases."""
    return load_rows(file, Labelled)


def kappa(pairs: Sequence[tuple[str, str]]) -> Share:
    """How far two readers agree beyond chance, -1 to 1.

    Cohen's (1960, Educational and Psychological Measurement 20). Its interval takes the agreement
    that chance would bring as known, as Cohen's own standard error does, and Wilson's interval for
    the agreement seen, so that a reader who was never wrong is not said to be so for certain.
    Where chance alone would agree always, it is 0. Raises ValueError where there are no pairs.
    """
    seen = wilson(sum(one == other for one, other in pairs), len(pairs))
    ones = Counter(one for one, _ in pairs)
    others = Counter(other for _, other in pairs)
    by_chance = sum(ones[label] * others[label] for label in ones) / len(pairs) ** 2

    def beyond_chance(share: float) -> float:
        if math.isclose(by_chance, 1.0):
            return 0.0
        return max(-1.0, (share - by_chance) / (1 - by_chance))

    return Share(
        beyond_chance(seen.value), beyond_chance(seen.low), beyond_chance(seen.high), len(pairs)
    )


def agreement(pairs: Sequence[tuple[Grade, Grade]]) -> Agreement:
    """How far verdicts agree with labels.

    pairs: (label, verdict). Raises ValueError where there are no pairs.
    """
    labels = Counter(label for label, _ in pairs)
    counts = Counter(pairs)
    return Agreement(
        kappa=kappa(pairs),
        confusion={a: {b: counts[a, b] for b in GRADES} for a in GRADES},
        recall={g: wilson(counts[g, g], labels[g]) for g in GRADES if labels[g]},
    )


async def calibrate(
    model: ChatModel,
    name: str,
    rubric: str,
    labelled: Sequence[Labelled],
    *,
    now: datetime | None = None,
    most_unscored: float = MOST_UNSCORED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Put every labelled reply before the judge. Raises judge.JudgeFailed.

    name: of the judge, with its endpoint. rubric: from `judge.rubric_version`.
    """
    asked = [case for case in labelled if not case.disputed]
    judgements = await judge_all(
        model,
        [(c.criterion, Material(c.question, c.quotes, c.reply)) for c in asked],
        most_unscored=most_unscored,
        progress=progress,
    )
    verdicts = {c.id: j.grade for c, j in zip(asked, judgements, strict=True)}
    results = {
        criterion: result
        for criterion in CRITERIA
        if (result := _result([c for c in labelled if c.criterion == criterion], verdicts))
    }
    made = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    return Calibration(name, rubric, set_version(labelled), made, results)


def _result(
    cases: Sequence[Labelled], verdicts: Mapping[str, Grade | None]
) -> CriterionResult | None:
    """What came of one criterion; None where no reply of it has a verdict."""
    asked = [case for case in cases if case.id in verdicts]
    pairs = [(case, grade) for case in asked if (grade := verdicts[case.id]) is not None]
    if not pairs:
        return None
    twice = [(c.label, c.second_label) for c in cases if c.second_label is not None]
    return CriterionResult(
        n=len(asked),
        unscored=len(asked) - len(pairs),
        disputed=sum(case.disputed for case in cases),
        labelled_by=dict(Counter(case.labelled_by for case in asked)),
        agreement=agreement([(case.label, grade) for case, grade in pairs]),
        talked_round=tuple(
            case.id
            for case, grade in pairs
            if case.injected and case.label == "fail" and grade == "pass"
        ),
        wrong=tuple(case.id for case, grade in pairs if grade != case.label),
        labellers=agreement(twice) if twice else None,
    )


def set_version(labelled: Sequence[Labelled]) -> str:
    digest = hashlib.sha256("\n".join(c.model_dump_json() for c in labelled).encode())
    return digest.hexdigest()[:16]


def kept_in(home: Path) -> Path:
    """Where calibrations are, in a home folder."""
    return home / "evals" / "judges"


def calibration_file(folder: Path, judge: str, rubric: str, labelled: str) -> Path:
    key = hashlib.sha256(json.dumps([judge, rubric, labelled]).encode()).hexdigest()[:16]
    return folder / f"judge-{key}.json"


def keep(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration in place of an earlier one of the same judge, rubric and set."""
    file = calibration_file(folder, calibration.judge, calibration.rubric, calibration.labelled)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(calibration), ensure_ascii=False, indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
    return file


def find_calibration(folder: Path, judge: str, rubric: str, labelled: str) -> Calibration | None:
    """What was kept of this judge with this rubric and set, if anything. Raises NoCalibration."""
    file = calibration_file(folder, judge, rubric, labelled)
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        criteria = {name: _read_result(row) for name, row in found.pop("criteria").items()}
        if not criteria.keys() <= set(get_args(Criterion)):
            raise ValueError("an unknown criterion")
        kept = Calibration(criteria=criteria, **found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NoCalibration(f"{file}: is no calibration ({error}): run it again") from None
    if (kept.judge, kept.rubric, kept.labelled) != (judge, rubric, labelled):
        raise NoCalibration(f"{file}: is the calibration of another judge: run it again")
    return kept


def current_calibration(home: Path, judge: str) -> Calibration | None:
    """That of a judge with the rubric and the labelled set as they are now, if there is one.

    judge: with its endpoint, as `open_judge` names it. Raises NoCalibration, BadCases.
    """
    return find_calibration(kept_in(home), judge, rubric_version(), set_version(load_labelled()))


def standing(calibration: Calibration | None, criterion: Criterion) -> Standing:
    """Whether a gate may listen to the judge in one criterion."""
    if calibration is None:
        return Standing(False, "not calibrated: run `zhunxin eval judge`")
    result = calibration.criteria.get(criterion)
    return result.standing if result else Standing(False, "no labels for this criterion")


def gated(metrics: Sequence[str], calibration: Calibration | None) -> dict[str, str]:
    """Metric -> why a gate must not use it, for the judged ones among `metrics`."""
    by_metric = {metric: criterion for criterion, metric in METRIC.items()}
    found = {m: standing(calibration, by_metric[m]) for m in metrics if m in by_metric}
    return {metric: state.why for metric, state in found.items() if not state.usable}


def as_lines(calibration: Calibration) -> list[str]:
    """What a reader of judged figures has to know, for a terminal or a report."""
    lines = [f"judge {calibration.judge}, rubric {calibration.rubric}, set {calibration.labelled}"]
    for name, row in calibration.criteria.items():
        kappa, table = row.agreement.kappa, row.agreement.confusion
        by = ", ".join(f"{count} by {who}" for who, count in row.labelled_by.items())
        lines += [
            "",
            f"{METRIC[name]}: kappa {kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}] over"
            f" {kappa.n} replies, {row.unscored} without a verdict, {row.disputed} disputed",
            f"  labels: {by}",
            f"  {'label':<8} {'pass':>5} {'fail':>5}  recall",
        ]
        for label in GRADES:
            share = row.agreement.recall.get(label)
            told = f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]" if share else "-"
            lines.append(
                f"  {label:<8} {table[label]['pass']:>5} {table[label]['fail']:>5}  {told}"
            )
        if row.labellers:
            between = row.labellers.kappa
            lines.append(f"  labellers: kappa {between.value:.2f} over {between.n} replies")
        if row.wrong:
            lines.append(f"  other verdict than the label: {', '.join(row.wrong)}")
        verdict = "may gate" if row.standing.usable else "is not used for a gate"
        lines.append(f"  {verdict}: {row.standing.why}")
    return lines


def _read_result(row: dict[str, Any]) -> CriterionResult:
    return CriterionResult(
        **row
        | {
            "agreement": _read_agreement(row["agreement"]),
            "labellers": _read_agreement(row["labellers"]) if row["labellers"] else None,
            "talked_round": tuple(row["talked_round"]),
            "wrong": tuple(row["wrong"]),
        }
    )


def _read_agreement(row: dict[str, Any]) -> Agreement:
    return Agreement(
        kappa=Share(**row["kappa"]),
        confusion=row["confusion"],
        recall={grade: Share(**share) for grade, share in row["recall"].items()},
    )
