"""Scores of conversations: what is lost and where, what is kept, appeals, samples, the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from typer.testing import CliRunner

from assistant import audit, handoff, quality_store
from assistant.cli import app
from assistant.db import audit_entries, quality_appeals
from assistant.deps import Deps, open_deps
from assistant.handoff import HandoffEvent
from assistant.models import today
from assistant.quality import (
    PARTS,
    SHIPPED,
    Book,
    Knowledge,
    QualityError,
    Score,
    load_book,
    score,
    score_as_json,
)
from assistant.quality_store import Declined, kappa
from assistant.rules import RulePack, load_rules
from assistant.staff import create_account
from assistant.transcripts import Speaker, Transcript, Turn
from evals import quality_scores
from evals.arithmetic import calculate_all
from evals.suites import SUITES, ArithmeticSuite
from tests.conftest import settings_for
from tests.knowledge_server import serving
from tests.test_handoff import agent, ask, take

DAY = date(2026, 11, 20)
HELLO = "您好，我是青穗消费金融客服，工号1023，请问有什么可以帮您？"


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return load_rules("cn")


@pytest.fixture(scope="module")
def book() -> Book:
    return load_book()


@pytest.fixture(scope="module")
def knowledge(book: Book) -> Knowledge:
    return Knowledge(quality_scores.knowledge(), book.empty)


def talk(*said: tuple[Speaker, str], name: str = "c", by: str = "li", **more: Any) -> Transcript:
    turns = tuple(
        Turn(speaker, text, None, by if speaker == "agent" else "") for speaker, text in said
    )
    return Transcript(name, turns, **more)


BAD = talk(
    ("agent", "说"),
    ("borrower", "我叫王小明，手机13800138000，为什么扣了我两次钱？"),
    ("agent", "听不懂吗？保证您下次百分之百通过。违约金是500元。我们尽快给您回复。"),
)


def codes(found: Score) -> list[str]:
    return [point.code for point in found.points if not point.met]


def test_the_suite_holds() -> None:
    suite = SUITES["quality-scores"]
    assert isinstance(suite, ArithmeticSuite)
    result = calculate_all(suite)
    assert result.n >= 45
    assert not [r.case for r in result.records if not r.checks["exact"].passed]


def test_parts_and_losses_add_up(pack: RulePack, book: Book, knowledge: Knowledge) -> None:
    found = score(BAD, pack, book, knowledge, on=DAY)
    assert round(sum(found.weights.values()), 2) == 100
    assert found.before_cap == round(sum(found.parts.values()), 2)
    lost = sum(point.lost for point in found.points)
    assert found.before_cap is not None
    assert round(found.before_cap + lost, 2) == 100
    assert {point.part for point in found.points} <= set(PARTS)
    for point in found.points:
        assert point.turn is not None
        start, end = point.span
        assert 0 <= start < end <= len(BAD.turns[point.turn].text)
    assert {"CN-PROM-01", "unsupported", "impatient", "promise_without_date"} <= set(codes(found))
    assert found == score(BAD, pack, book, knowledge, on=DAY)


def test_a_blocking_rule_caps_the_score(pack: RulePack, book: Book, knowledge: Knowledge) -> None:
    said: list[tuple[Speaker, str]] = [("agent", HELLO)]
    said += [("borrower", "提前还款收费吗？"), ("agent", "提前还款不收违约金。")] * 3
    said += [("agent", "保证通过。请问还有其他问题吗？感谢来电，再见。")]
    light = replace(book, rule_lost={**book.rule_lost, "block": 3})
    found = score(talk(*said), pack, light, knowledge, on=DAY)
    assert found.before_cap is not None
    assert found.before_cap > 90
    assert found.total == book.thresholds["cap_with_block"]
    assert not found.passed
    assert "blocking_rule" in found.flags


def test_personal_data_is_masked_in_what_is_told(
    pack: RulePack, book: Book, knowledge: Knowledge
) -> None:
    found = score(BAD, pack, book, knowledge, on=DAY)
    told = json.dumps(score_as_json(found, book, pack), ensure_ascii=False)
    assert "13800138000" not in told
    for locale in ("zh-Hans", "zh-Hant", "en"):
        rows = score_as_json(found, book, pack, locale)["points"]
        assert all(row["why"] for row in rows if not row["met"])


def test_figures_are_not_judged_where_nothing_is_known(pack: RulePack, book: Book) -> None:
    found = score(BAD, pack, book, None, on=DAY)
    assert "figures" not in found.parts
    assert "figures_unchecked" in found.flags


def test_a_clause_holds_on_its_own_days_only(
    pack: RulePack, book: Book, knowledge: Knowledge
) -> None:
    said = talk(("agent", HELLO), ("agent", "延期最长可以申请3个月。"))
    assert "unsupported" not in codes(score(said, pack, book, knowledge, on=DAY))
    without = Knowledge(
        [text for text in quality_scores.knowledge() if "延期" not in text], book.empty
    )
    assert "unsupported" in codes(score(said, pack, book, without, on=DAY))


def test_the_hour_of_a_first_contact_is_judged_once(pack: RulePack, book: Book) -> None:
    late = datetime.fromisoformat("2026-11-20T22:30:00+08:00")
    called = Transcript(
        "c",
        tuple(
            Turn("agent", text, late + timedelta(minutes=i), "li")
            for i, text in enumerate(
                ["您好，我是青穗消费金融贷后专员，工号3102。", "您的账单到期了。"]
            )
        ),
        topic="collections",
    )
    found = score(called, pack, book, None, on=DAY, channel="phone")
    assert [p.turn for p in found.points if p.code == "CN-COL-05"] == [0]
    mistyped = replace(called, facts={"recipient": "third party"})
    assert "CN-COL-05" in codes(score(mistyped, pack, book, None, on=DAY, channel="phone"))
    asked = replace(called, turns=(Turn("borrower", "我想问下还款", late), *called.turns))
    assert "CN-COL-05" not in codes(score(asked, pack, book, None, on=DAY, channel="phone"))


def test_what_a_question_makes_due_may_be_said_later(pack: RulePack, book: Book) -> None:
    question = "我要投诉你们！"
    open_ = talk(("agent", HELLO), ("borrower", question), ("agent", "请稍等。"))
    told = talk(
        *((t.speaker, t.text) for t in open_.turns),
        ("agent", "您可以拨打投诉热线400-800-1234，我们受理后15日内答复您。"),
    )
    assert "CN-COMP-01" in codes(score(open_, pack, book, None, on=DAY))
    assert "CN-COMP-01" not in codes(score(told, pack, book, None, on=DAY))


def test_a_conversation_of_ten_thousand_turns_is_scored(
    pack: RulePack, book: Book, knowledge: Knowledge
) -> None:
    pair: list[tuple[Speaker, str]] = [("borrower", "怎么还款？"), ("agent", "App首页点还款。")]
    found = score(talk(*(pair * 5000)), pack, book, knowledge, on=DAY)
    assert found.turns == 10_000
    assert "unanswered" not in codes(found)


@pytest.mark.parametrize(
    ("old", "new"),
    [("[weights]", "[weigths]"), ("lost = 3", "lost = 'x'"), ("'您好|", "'(您好|"), ("a", "\x00")],
)
def test_broken_data_is_named(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "quality.toml"
    file.write_text(SHIPPED.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(QualityError, match=r"quality\.toml"):
        load_book(file)


def test_kappa_is_that_of_the_book() -> None:
    # Cohen (1960) as worked by hand: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no; 0.4.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    found = kappa(pairs)
    assert found.n == 50
    assert found.agreed == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert kappa([(1, 1)] * 20).kappa is None
    assert kappa(pairs[:3]).kappa is None


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with open_deps(settings_for(tmp_path)) as opened:
        yield opened


async def account(deps: Deps, login: str) -> str:
    made = await create_account(deps.trail, login, login, ["supervisor"], "correct horse battery")
    return made.id


async def test_an_appeal_that_is_upheld_gives_points_back(deps: Deps, book: Book) -> None:
    li, boss = await account(deps, "li"), await account(deps, "boss")
    found = score(BAD, deps.rules, book, None, on=today())
    await quality_store.keep(deps.engine, [(BAD, found)], "import")
    (kept,), total = await quality_store.list_scores(deps.engine)
    assert total == 1
    assert kept.score.total == found.total
    shown = await quality_store.read_score(deps.engine, kept.id)
    assert shown is not None
    assert "13800138000" not in json.dumps([turn.text for turn in shown.turns])
    for point in shown.score.points:
        assert point.turn is not None
        assert shown.turns[point.turn].text[slice(*point.span)] == point.text
    places = [i for i, p in enumerate(found.points) if p.severity == "block"]
    appeals = []
    for place in places:
        made = await quality_store.appeal(
            deps.trail, kept.id, place, staff_id=li, login="li", reason="没有这样说"
        )
        assert isinstance(made, str)
        appeals.append(made)

    async def appealed(place: int, login: str, staff_id: str) -> Any:
        return await quality_store.appeal(
            deps.trail, kept.id, place, staff_id=staff_id, login=login, reason="x"
        )

    assert await appealed(places[0], "li", li) == Declined("appealed_before")
    assert await appealed(places[0], "boss", boss) == Declined("not_yours")
    assert await appealed(999, "li", li) == Declined("unknown_point")

    async def decided(appeal_id: str, login: str, staff_id: str) -> Declined | None:
        return await quality_store.decide(
            deps.trail,
            book,
            appeal_id,
            staff_id=staff_id,
            login=login,
            uphold=True,
            comment="属实",
        )

    assert await decided(appeals[0], "li", li) == Declined("own_conversation")
    for appeal_id in appeals:
        assert await decided(appeal_id, "boss", boss) is None
    assert await decided(appeals[0], "boss", boss) == Declined("decided_before")
    after = await quality_store.read_score(deps.engine, kept.id)
    assert after is not None
    assert after.waived == frozenset(places)
    given = sum(found.points[place].lost for place in places)
    assert found.before_cap is not None
    assert after.score.total == pytest.approx(found.before_cap + given)
    assert "blocking_rule" not in after.score.flags
    # What people had a part in is not scored over.
    assert await quality_store.keep(deps.engine, [(BAD, found)], "import") == 0
    told = await audit.read_entries(deps.engine, subjects=[kept.id])
    assert [json.loads(entry.body)["action"] for entry in told] == [
        *["appealed"] * len(appeals),
        *["upheld"] * len(appeals),
    ]
    assert (await audit.verify(deps.trail)).ok
    appeal = quality_appeals.c.id == appeals[0]
    for comment, holds in (("另有说法", False), ("属实", True)):
        async with deps.engine.begin() as connection:
            await connection.execute(update(quality_appeals).where(appeal).values(comment=comment))
        assert (await audit.verify(deps.trail)).ok is holds
    assert await quality_store.forget(deps.trail, "c", by=boss)
    assert await quality_store.list_scores(deps.engine) == ([], 0)
    assert (await audit.verify(deps.trail)).ok


@pytest.mark.parametrize("which", [{"conversation_id": "c"}, {"older_than_days": 3}], ids=str)
async def test_an_erased_conversation_leaves_its_score_and_no_word(
    deps: Deps, book: Book, which: dict[str, Any]
) -> None:
    li, boss = await account(deps, "li"), await account(deps, "boss")
    held_on = today() - timedelta(days=3)
    found = score(BAD, deps.rules, book, None, on=held_on)
    other = replace(BAD, id="d")
    newer = score(other, deps.rules, book, None, on=held_on + timedelta(days=1))
    await quality_store.keep(deps.engine, [(BAD, found), (other, newer)], "import")
    (_, kept), _ = await quality_store.list_scores(deps.engine)
    place = next(i for i, p in enumerate(found.points) if not p.met)
    reason = "他只问了扣款"
    made = await quality_store.appeal(
        deps.trail, kept.id, place, staff_id=li, login="li", reason=reason
    )
    assert isinstance(made, str)
    await quality_store.draw(
        deps.trail, first=held_on, last=held_on, each=1, staff_id=boss, seed="1"
    )
    await quality_store.review(
        deps.trail,
        kept.id,
        staff_id=boss,
        login="boss",
        total=40,
        verdicts={"rules": "ok"},
        note="她说听不懂",
    )
    assert await audit.erase(deps.trail, older_than_days=4, by="test") == 0
    assert await audit.erase(deps.trail, **which, by="test") == 1
    after = await quality_store.read_score(deps.engine, kept.id)
    assert after is not None
    assert after.turns == ()
    blank = [
        replace(p, text="", right="", span=q.span)
        for p, q in zip(found.points, after.score.points, strict=True)
    ]
    assert after.score == replace(found, points=tuple(blank))
    verdict = await audit.verify(deps.trail)
    assert verdict.ok, verdict.reason
    (review,), _ = await quality_store.list_reviews(deps.engine, done=True)
    (appeal,) = await quality_store.list_appeals(deps.engine)
    assert (review.total, review.note, appeal.state, appeal.reason) == (40, "", "open", "")
    assert await audit.erase(deps.trail, **which, by="test") == 0
    assert (await quality_store.read_score(deps.engine, kept.id)) == after
    assert await audit.erase(deps.trail, conversation_id="d", by="test") == 1
    for file in deps.settings.home.glob("*.db*"):
        data = await asyncio.to_thread(file.read_bytes)
        for word in ("听不懂", "扣了我两次钱", "百分之百", reason):
            assert word.encode() not in data
            assert json.dumps(word)[1:-1].encode() not in data


@pytest.mark.parametrize("told", [{}, {"accounts": True}], ids=["nothing", "accounts"])
async def test_appeals_of_a_version_that_did_not_enter_them_are_taken_in_once(
    tmp_path: Path, book: Book, told: dict[str, bool]
) -> None:
    async with open_deps(settings_for(tmp_path)) as deps:
        li, boss = await account(deps, "li"), await account(deps, "boss")
        found = score(BAD, deps.rules, book, None, on=today())
        await quality_store.keep(deps.engine, [(BAD, found)], "import")
        (kept,), _ = await quality_store.list_scores(deps.engine)
        place = next(i for i, p in enumerate(found.points) if p.severity == "block")
        made = await quality_store.appeal(
            deps.trail, kept.id, place, staff_id=li, login="li", reason="没有这样说"
        )
        assert isinstance(made, str)
        await quality_store.draw(deps.trail, first=None, last=None, each=1, staff_id=boss)
        async with deps.engine.begin() as connection:
            await connection.execute(delete(audit_entries))
            await audit.append_in(connection, deps.trail.keys, "founded", "", told)
            if told:
                for staff_id in (li, boss):
                    await audit.seal_account(
                        connection, deps.trail.keys, staff_id, "made", by="cli"
                    )
    (tmp_path / "audit-heads.jsonl").unlink(missing_ok=True)
    for _ in range(2):
        async with open_deps(settings_for(tmp_path)) as deps:
            assert (await audit.verify(deps.trail)).ok
            entries = await audit.read_entries(deps.engine, subjects=[kept.id])
            assert {entry.kind for entry in entries} == {"review", "appeal"}
            assert len(entries) == 2
    async with open_deps(settings_for(tmp_path)) as deps:
        async with deps.engine.begin() as connection:
            await connection.execute(update(quality_appeals).values(state="upheld"))
        assert not (await audit.verify(deps.trail)).ok


async def test_samples_are_stratified_and_scored_blind(deps: Deps, book: Book) -> None:
    boss, li = await account(deps, "boss"), await account(deps, "a1")
    made = []
    for number in range(24):
        good = talk(
            ("agent", HELLO),
            ("borrower", "怎么还款？"),
            ("agent", "App首页点还款。请问还有其他问题吗？再见。"),
            name=f"g{number}",
            by=f"a{number % 3}",
        )
        bad = replace(BAD, id=f"b{number}")
        each = good if number % 2 else bad
        made.append((each, score(each, deps.rules, book, None, on=today())))
    assert await quality_store.keep(deps.engine, made, "import") == 24
    drawn = await quality_store.draw(
        deps.trail, first=None, last=None, each=4, staff_id=boss, seed="1"
    )
    assert drawn["low"] == 4
    assert drawn["random"] == 4
    reviews, total = await quality_store.list_reviews(deps.engine, done=False)
    assert total == sum(drawn.values())
    assert await quality_store.awaits_review(deps.engine, reviews[0].score_id)

    async def reviewed(score_id: str, login: str, staff_id: str, points: float) -> Declined | None:
        return await quality_store.review(
            deps.trail,
            score_id,
            staff_id=staff_id,
            login=login,
            total=points,
            verdicts={"rules": "ok"},
        )

    own = next((r for r in reviews if "a1" in r.agents), None)
    if own is not None:
        assert await reviewed(own.score_id, "a1", li, 50) == Declined("own_conversation")
    for review in reviews:
        assert await reviewed(review.score_id, "boss", boss, review.machine or 0) is None
    assert await reviewed(reviews[0].score_id, "boss", boss, 1) == Declined("reviewed_before")
    assert (await audit.verify(deps.trail)).ok
    agreed = await quality_store.agreement(deps.engine, book)
    assert agreed.passed.n == total
    assert agreed.passed.agreed == 1
    assert agreed.mean_difference == pytest.approx(0)
    assert sum(sum(row.values()) for row in agreed.confusion.values()) == total
    by_agent = await quality_store.trends(deps.engine, "agent")
    assert sum(trend.n for trend in by_agent) == 24
    (whole,) = await quality_store.trends(deps.engine, "all")
    assert whole.n == 24
    rules = await quality_store.trends(deps.engine, "rule")
    assert {"CN-PROM-01", "impatient"} <= {trend.name for trend in rules}
    assert next(t for t in rules if t.name == "impatient").mean == pytest.approx(50)


def test_the_command_names_what_it_leaves_out_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHUNXIN_HOME", str(tmp_path / "home"))
    file, out = tmp_path / "a.csv", tmp_path / "a.jsonl"
    rows = "".join(f"{i},agent,{HELLO}\n{i},borrower,怎么还款？\n" for i in range(5))
    file.write_text(f"id,speaker,text\n{rows}3,经理,插话\n", "utf-8")
    runner = CliRunner()
    first = runner.invoke(app, ["score", str(file), "--out", str(out), "--json"])
    assert first.exit_code == 0, first.output
    lines = out.read_text("utf-8").splitlines()
    assert [json.loads(line)["conversation_id"] for line in lines] == ["0", "1", "2", "4", "3"]
    assert "unknown_speaker" in first.output
    out.write_text("\n".join(lines[:2]) + '\n{"conv', "utf-8")
    again = runner.invoke(app, ["score", str(file), "--out", str(out), "--json"])
    assert again.exit_code == 0, again.output
    assert out.read_text("utf-8").splitlines() == lines
    assert runner.invoke(app, ["score", str(file), "--strict"]).exit_code == 1
    assert runner.invoke(app, ["score"]).exit_code == 2
    assert runner.invoke(app, ["score", str(file), "--speaker", "x=boss"]).exit_code == 2
    assert runner.invoke(app, ["score", str(tmp_path / "gone.csv")]).exit_code == 1
    file.write_text("id,speaker,text\n1,经理,插话\n", "utf-8")
    assert runner.invoke(app, ["score", str(file)]).exit_code == 1


async def test_a_conversation_with_people_alone_is_scored_and_again_when_it_goes_on(
    deps: Deps, book: Book
) -> None:
    await account(deps, "li")
    li = await agent(deps.trail, "li")
    waits = await ask(deps.trail)
    said = await handoff.write(deps.trail, waits.id, "提前还款要收违约金吗？")
    assert isinstance(said, HandoffEvent)
    await take(deps.trail, waits.id, li)
    await handoff.reply(deps.trail, waits.id, li, HELLO, told={})

    async def held() -> tuple[Transcript, Score]:
        (name,) = await quality_store.conversation_ids(deps.engine)
        found = await quality_store.read_conversation(deps.engine, name)
        assert found is not None
        return found, score(found, deps.rules, book, None, on=today())

    async def scored() -> dict[str, int]:
        version = book.version
        return await quality_store.scored(deps.engine, "own", deps.rules.version, version)

    transcript, first = await held()
    assert [(turn.speaker, turn.by) for turn in transcript.turns] == [
        ("borrower", ""),
        ("agent", "li"),
    ]
    assert "unanswered" in {point.code for point in first.points}
    await quality_store.keep(deps.engine, [(transcript, first)], "own")
    assert await scored() == {waits.conversation_id: 2}

    answer = "提前还款免收违约金，以您的合同为准。"
    await handoff.reply(deps.trail, waits.id, li, answer, told={})
    transcript, second = await held()
    assert await scored() != {transcript.id: len(transcript.turns)}
    assert "unanswered" not in {point.code for point in second.points}
    await quality_store.keep(deps.engine, [(transcript, second)], "own")
    assert await scored() == {transcript.id: 3}


def test_the_routes_keep_to_roles(tmp_path: Path) -> None:
    turns = [
        {"speaker": t.speaker, "text": t.text, "by": "demo-agent" if t.speaker == "agent" else ""}
        for t in BAD.turns
    ]
    with (
        serving(tmp_path) as server,
        server.client("agent") as agent,
        server.client("supervisor") as boss,
        server.client("marketer") as marketer,
    ):
        body = {"conversation_id": "call-1", "turns": turns, "keep": True}
        assert marketer.post("/v1/copilot/score", json=body).status_code == 403
        assert agent.post("/v1/copilot/score", json=body).json()["flags"]
        assert agent.get("/v1/scores").json()["total"] == 0, "agents keep nothing"
        made = boss.post("/v1/copilot/score", json={**body, "locale": "en"}).json()
        assert made["agents"] == ["demo-agent"]
        assert "13800138000" not in json.dumps(made, ensure_ascii=False)
        assert boss.post("/v1/copilot/score", json={"turns": []}).status_code == 422
        gone = boss.post("/v1/copilot/score", json={"conversation_id": "0" * 32})
        assert gone.status_code == 404
        (row,) = agent.get("/v1/scores").json()["scores"]
        whole = agent.get(f"/v1/scores/{row['id']}").json()
        point = next(p for p in whole["score"]["points"] if p["severity"] == "block")
        path = f"/v1/scores/{row['id']}"
        reason = {"place": point["place"], "reason": "没有这样说"}
        assert boss.post(f"{path}/appeals", json=reason).status_code == 403
        appeal = agent.post(f"{path}/appeals", json=reason)
        assert appeal.status_code == 201
        assert agent.post(f"{path}/appeals", json=reason).status_code == 409
        verdict = {"uphold": True, "comment": "属实"}
        decide = f"/v1/scores/appeals/{appeal.json()['id']}/decision"
        assert agent.post(decide, json=verdict).status_code == 403
        assert boss.post(decide, json=verdict).status_code == 204
        assert boss.get("/v1/scores/appeals").json()["appeals"][0]["state"] == "upheld"
        assert boss.post("/v1/scores/samples", json={"each": 1}).json()["low"] == 1
        assert boss.get(path).json()["score"] is None, "a sample is scored blind"
        given = {"total": 40, "verdicts": {"rules": "not_ok"}}
        assert boss.post(f"{path}/review", json=given).status_code == 204
        assert boss.get(path).json()["score"]["points"]
        assert boss.get("/v1/scores/agreement").json()["passed"]["n"] == 1
        for group in ("all", "agent", "topic", "rule", "part"):
            found = boss.get("/v1/scores/trends", params={"group": group}).json()
            assert found["trends"], group
