"""Recorded replies, sampled and scored as cases are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from assistant import samples
from assistant.answer import answer_question, collect
from assistant.audit import erase
from assistant.db import records
from assistant.deps import Deps, open_deps
from assistant.models import Channel, Question, Reply, Sentence, today
from assistant.samples import Count
from evals.metrics import Seen
from evals.production import (
    SCORERS,
    VERSIONS,
    check_handoff,
    check_language,
    fisher,
    is_drawn,
    points,
    sample,
)
from evals.schema import Case, Expect
from tests.conftest import settings_for
from tests.knowledge_server import copy_of

ASKED: tuple[tuple[str, Channel], ...] = (
    ("提前还款要违约金吗？", "chat"),
    ("逾期了会怎么样？", "openai"),
    ("今天天气怎么样？", "chat"),
    ("年利率最高是多少？", "eval"),
    ("年利率最高是多少？", "cli"),
)


@pytest.fixture
async def own(sample_home: Path, tmp_path: Path) -> AsyncIterator[Deps]:
    """A journal of its own, in which three borrowers were answered and two were not borrowers."""
    home = copy_of(sample_home, tmp_path / "home")
    async with open_deps(settings_for(home)) as deps:
        async with deps.engine.begin() as connection:
            await connection.execute(update(records).values(status="unanswered"))
        for text, channel in ASKED:
            asked = Question(text=text, today=today(), channel=channel)
            await collect(answer_question(asked, deps))
        yield deps


async def test_what_borrowers_were_told_is_scored_once_by_every_scorer(own: Deps) -> None:
    found = await sample(own, today(), 2, 1.0)
    assert (found.replies, found.drawn, found.scored, found.unreadable) == (3, 3, 3, 0)
    assert not any(found.wrong.values())
    counted = {c.scorer: c for c in await samples.counts(own.engine, today(), VERSIONS)}
    assert counted["verbatim"].n == counted["figures"].n == 2, "what cites nothing has no quotes"
    assert counted["handoff"].n == 1, "only where nothing was answered"
    assert "rules" not in counted, "quotes and notices are no words of its own"
    assert counted["shown"].n == 3
    again = await sample(own, today(), 2, 1.0)
    assert (again.drawn, again.scored) == (3, 0)


async def test_a_reply_that_is_wrong_is_found_and_named_without_its_words(own: Deps) -> None:
    async with own.engine.begin() as connection:
        row = (
            await connection.execute(
                select(records.c.id, records.c.reply).where(records.c.status == "answered").limit(1)
            )
        ).one()
        reply: dict[str, Any] = dict(row.reply)
        for place in reply["citations"]:
            place["quote"] = place["quote"] + "，保证通过。"
        reply["sentences"] = [
            {"text": "年利率只要 3.14%，包过。", "kind": "model", "citations": [0]}
        ]
        await connection.execute(update(records).where(records.c.id == row.id).values(reply=reply))
    found = await sample(own, today(), 1, 1.0)
    wrong = {name for name, count in found.wrong.items() if count}
    assert wrong == {"verbatim", "figures", "rules"}
    first = date(2000, 1, 1)
    named = await samples.failed(own.engine, "verbatim", VERSIONS["verbatim"], first, today(), 9)
    assert named == [(row.id, today())]


async def test_what_was_erased_or_cannot_be_read_is_not_scored(own: Deps) -> None:
    async with own.engine.begin() as connection:
        ids = list((await connection.execute(
            select(records.c.conversation_id).where(records.c.status == "answered")
        )).scalars())  # fmt: skip
        await connection.execute(
            update(records).where(records.c.status == "not_covered").values(reply={"status": "no"})
        )
    await erase(own.trail, conversation_id=ids[0], by="test")
    found = await sample(own, today(), 1, 1.0)
    assert (found.drawn, found.scored, found.unreadable) == (2, 1, 1)


def test_a_sample_is_the_same_whenever_it_is_drawn_and_grows_with_its_share() -> None:
    ids = [f"{number:032x}" for number in range(4000)]
    small, large = ([i for i in ids if is_drawn(i, share)] for share in (0.05, 0.2))
    assert set(small) < set(large)
    assert 150 < len(small) < 250
    assert 700 < len(large) < 900
    assert not any(is_drawn(i, 0.0) for i in ids)
    assert all(is_drawn(i, 1.0) for i in ids)


@pytest.mark.parametrize(
    ("passed", "n", "passed_before", "n_before", "p"),
    [
        (3, 4, 1, 4, 0.4857),  # Fisher 1935, the lady tasting tea, two-sided
        (8, 10, 1, 6, 0.0350),  # the example of scipy.stats.fisher_exact
        (10, 10, 10, 10, 1.0),
    ],
)
def test_two_shares_are_told_apart_by_the_exact_test(
    passed: int, n: int, passed_before: int, n_before: int, p: float
) -> None:
    assert fisher(passed, n, passed_before, n_before) == pytest.approx(p, abs=5e-5)


def test_a_week_is_held_against_the_four_weeks_before_it() -> None:
    monday = date(2026, 11, 2)
    found = [Count("rules", 1, monday - timedelta(days=7 * w), 20, 20) for w in range(6, 0, -1)]
    found.append(Count("rules", 1, monday, 10, 20))
    marked = points(found, "rules", monday - timedelta(days=42), "week")
    assert [point.drift for point in marked] == ["unknown", *["none"] * 5, "worse"]
    assert marked[-1].before is not None
    assert marked[-1].before.n == 80
    few = points([Count("rules", 1, monday - timedelta(days=7), 2, 2), found[-1]], "rules",
                 monday - timedelta(days=7), "week")  # fmt: skip
    assert few[-1].drift == "unknown", "two replies say nothing about what is usual"


def seen(reply: Reply) -> Seen:
    return Seen(date(2026, 11, 23), (), {}, reply)


def case(locale: str) -> Case:
    return Case(
        id="x", text="x", topic="x", difficulty="easy", source="x",
        locale=locale, expect=Expect(status=("answered",)),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("您提前还清贷款不收违约金，请放心办理。", "zh-Hans"),
        ("您提前還清貸款不收違約金，請放心辦理。", "zh-Hant"),
        ("Early repayment is free of charge, see 《安心贷产品说明书及服务条款》.", "en"),
        ("好的。", None),
    ],
)
def test_the_language_of_own_words_is_told_and_quotes_are_left_alone(
    said: str, language: str | None
) -> None:
    quote = Sentence("提前结清免收提前还款违约金，自合同签署之日起适用。", "quote")
    reply = Reply("answered", (Sentence(said, "model"), quote))
    for locale in ("zh-Hans", "zh-Hant", "en"):
        check = check_language(case(locale), seen(reply))
        if language is None:
            assert check is None
        else:
            assert check is not None
            assert check.passed == (locale == language)


def test_who_gets_no_answer_must_be_told_of_a_person() -> None:
    refused = Reply("not_covered", (Sentence("没有找到相关规定。", "notice"),))
    for reply, passed in (
        (refused, False),
        (replace(refused, sentences=(Sentence("请拨打客服热线。", "notice"),)), True),
        (replace(refused, status="answered"), None),
    ):
        check = check_handoff(case("zh-Hans"), seen(reply))
        assert (check and check.passed) is passed
    assert {"rules", "figures", "verbatim", "in_force", "language", "handoff"} <= set(SCORERS)
