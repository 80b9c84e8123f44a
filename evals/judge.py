"""A model as judge of what code cannot see: do the quotes say it, does it help, is the tone right.

Each criterion has its rubric, prompts/zh/judge_<criterion>.j2; what is judged stands between
delimiters, as material. The verdict is the last line and nothing else: an earlier mention never
counts, so that a reply quoted in the judge's reasons cannot decide about itself. What cannot be
read is not scored, and is counted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from assistant.llm import ChatModel, Message, ModelError, ModelRefused
from assistant.models import Reply
from prompts.render import render, version_of

from .metrics import Check
from .records import CaseRecord

Criterion = Literal["entailed", "helpful", "tone"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

Grade = Literal["pass", "fail"]
GRADES: tuple[Grade, ...] = get_args(Grade)

METRIC: Mapping[Criterion, str] = {
    "entailed": "judge_entailed",
    "helpful": "judge_helpful",
    "tone": "judge_tone",
}
"""Criterion -> the name its verdicts have among a suite's metrics."""

MOST_UNSCORED = 0.05
"""Share of what was asked that may come back without a verdict, 0 to 1. Past it the run fails:
what is left is no sample of what was asked, since hard replies are the ones that go unread."""

AT_ONCE = 4
MAX_TOKENS = 700

_VERDICT = re.compile(r"\**VERDICT[:\uff1a] ?\**(PASS|FAIL)\**")
_LAST_CHARS = 160
"""What is kept of an answer that cannot be read."""

Progress = Callable[[int, int], None]


class JudgeFailed(Exception):
    """The judge gave too few verdicts to say anything, or refuses the request."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is judged: a reply, the question it answers and the quotes it rests on."""

    question: str
    quotes: tuple[str, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the judge's reason, or why there is none."""

    grade: Grade | None
    reason: str


def rubric_version() -> str:
    """A hash of all wording that a judge is asked with."""
    empty = {"quotes": (), "question": "", "reply": ""}
    asked = [render(f"zh/judge_{name}") for name in CRITERIA] + [
        render("zh/judge_material", **empty)
    ]
    return version_of("\n".join(prompt.version for prompt in asked))


def read_verdict(answer: str) -> Grade | None:
    """The verdict of the last line that holds anything; None where that is no verdict."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    match = _VERDICT.fullmatch(lines[-1]) if lines else None
    if match is None:
        return None
    return "pass" if match[1] == "PASS" else "fail"


async def judge(model: ChatModel, criterion: Criterion, material: Material) -> Judgement:
    """One verdict. Raises JudgeFailed where the request itself is refused, as it would be again."""
    messages = [
        Message("system", render(f"zh/judge_{criterion}").text),
        Message(
            "user",
            render(
                "zh/judge_material",
                quotes=[_inert(quote) for quote in material.quotes],
                question=_inert(material.question),
                reply=_inert(material.reply),
            ).text,
        ),
    ]
    try:
        completion = await model.complete(messages, max_tokens=MAX_TOKENS)
    except ModelRefused as error:
        raise JudgeFailed(f"the judge refuses the request: {error}") from None
    except ModelError as error:
        return Judgement(None, str(error))
    grade = read_verdict(completion.text)
    if grade is None:
        return Judgement(None, f"no verdict in the last line: {completion.text[-_LAST_CHARS:]!r}")
    reason = completion.text.strip().rpartition("\n")[0].strip()
    return Judgement(grade, reason)


async def judge_all(
    model: ChatModel,
    asked: Sequence[tuple[Criterion, Material]],
    *,
    most_unscored: float = MOST_UNSCORED,
    at_once: int = AT_ONCE,
    progress: Progress = lambda done, total: None,
) -> list[Judgement]:
    """A judgement for each, in order.

    Raises JudgeFailed as soon as more are without a verdict than `most_unscored` of all allows: an
    endpoint that is down is not asked to the end.
    """
    judgements: list[Judgement | None] = [None] * len(asked)
    places = iter(range(len(asked)))
    done = unscored = 0

    async def work() -> None:
        nonlocal done, unscored
        for place in places:
            criterion, material = asked[place]
            judgement = await judge(model, criterion, material)
            judgements[place] = judgement
            done += 1
            unscored += judgement.grade is None
            if unscored > most_unscored * len(asked):
                raise JudgeFailed(
                    f"{model.name}: {unscored} of the first {done} answers give no verdict, and"
                    f" {most_unscored:.0%} of {len(asked)} may; the last: {judgement.reason}"
                )
            progress(done, len(asked))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(at_once, len(asked))):
                tasks.create_task(work())
    except* JudgeFailed as group:
        raise JudgeFailed(str(group.exceptions[0])) from None
    return [judgement for judgement in judgements if judgement is not None]


def material_of(question: str, reply: Reply) -> dict[Criterion, Material]:
    """What of a reply is judged, by criterion.

    Only an answer is judged for what its quotes say; a notice, which code wrote, is no part of it.
    """
    said = [sentence for sentence in reply.sentences if sentence.kind != "notice"]
    quotes = tuple(dict.fromkeys(citation.quote for citation in reply.citations))
    whole = Material(question, quotes, reply.answer)
    if not said:
        return {"helpful": whole, "tone": whole}
    answer = Material(question, quotes, "\n".join(sentence.text for sentence in said))
    return {"entailed": answer, "helpful": whole, "tone": whole}


async def judge_records(
    model: ChatModel,
    records: Sequence[CaseRecord],
    materials: Mapping[tuple[str, str, int], Mapping[Criterion, Material]],
    *,
    criteria: Sequence[Criterion] = CRITERIA,
    most_unscored: float = MOST_UNSCORED,
    progress: Progress = lambda done, total: None,
) -> tuple[list[CaseRecord], dict[Criterion, int]]:
    """The records with the judge's verdicts among their checks, and how many have none.

    materials: (suite, case, seed) -> what is judged of it. A reply without a verdict lacks the
    metric, as one does that the metric says nothing about. Raises JudgeFailed.
    """
    asked = [
        (place, criterion, own[criterion])
        for place, record in enumerate(records)
        for own in (materials.get((record.suite, record.case, record.seed), {}),)
        for criterion in criteria
        if criterion in own
    ]
    judgements = await judge_all(
        model,
        [(criterion, material) for _, criterion, material in asked],
        most_unscored=most_unscored,
        progress=progress,
    )
    checks: dict[int, dict[str, Check]] = {}
    unscored: dict[Criterion, int] = dict.fromkeys(criteria, 0)
    for (place, criterion, _), judgement in zip(asked, judgements, strict=True):
        if judgement.grade is None:
            unscored[criterion] += 1
            continue
        check = Check(judgement.grade == "pass", "pass", judgement.reason)
        checks.setdefault(place, {})[METRIC[criterion]] = check
    judged = [
        replace(record, checks={**record.checks, **checks.get(place, {})})
        for place, record in enumerate(records)
    ]
    return judged, unscored


def _inert(text: str) -> str:
    """The text with no sign in it that could end the place it stands in."""
    return text.replace("<", "\uff1c").replace(">", "\uff1e")
