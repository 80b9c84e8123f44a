"""What borrowers say of replies: who may, what is kept, and what staff make of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete, insert, select, update

import assistant
from assistant import approved, audit, case_drafts, signed_answers
from assistant.api.app import create_app
from assistant.case_drafts import CaseDraft, Label
from assistant.db import answer_drafts, audit_entries, feedback, open_engine, staff
from assistant.deps import Deps, open_deps
from assistant.feedback import MAX_COMMENT, reasons
from assistant.models import today
from assistant.replay import Player
from assistant.signed_answers import AlreadyDrafted, Content, QuestionTaken
from assistant.staff import ROLES, create_account
from evals.from_feedback import agreement_of, case_of, line_of
from evals.schema import load_cases
from tests.conftest import settings_for
from tests.knowledge_server import Server, copy_of, serving
from tests.test_api import listening

WEB = Path(assistant.__file__).parent / "web"
UNANSWERED = "你们公司食堂今天中午吃什么？"


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("feedback") / "home")
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def borrower(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def staff_clients(server: Server) -> Iterator[Callable[[str], httpx.Client]]:
    """A client for each role, signed in once."""
    with ExitStack() as stack:
        yield cache(lambda role: stack.enter_context(server.client(role)))


SignedIn = Callable[[str], httpx.Client]


def ask(client: httpx.Client, question: str, token: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = client.post("/v1/chat?stream=false", json={"message": question}, headers=headers)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def give(
    client: httpx.Client, reply: dict[str, Any], useful: bool, token: str = "", **more: str
) -> httpx.Response:
    named = {name: reply[name] for name in ("record_id", "conversation_id")}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {**named, "useful": useful, **more}
    return client.post("/v1/feedback", json=body, headers=headers)


def token_of(client: httpx.Client, number: int) -> str:
    people = client.get("/v1/demo/customers").json()["customers"]
    made = client.post("/v1/demo/tokens", json={"customer_id": people[number]["id"]})
    token: str = made.json()["token"]
    return token


async def opened(home: Path, work: Any) -> Any:
    async with open_deps(settings_for(home)) as deps:
        return await work(deps)


def test_the_reasons_are_worded_wherever_they_are_shown() -> None:
    for page in ("strings", "quality"):
        for locale in ("zh-Hans", "zh-Hant", "en"):
            held = json.loads((WEB / f"{page}.{locale}.json").read_text("utf-8"))
            worded = [k.removeprefix("feedback.reason.") for k in held if "feedback.reason." in k]
            assert worded == list(reasons()), f"{page}.{locale}"


def test_a_thumb_can_be_taken_back_and_its_words_are_masked(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    reply = ask(borrower, "提前还款要收违约金吗？")
    assert give(borrower, reply, True).status_code == 200
    said = "不对，请打 13800138000 找张伟"
    assert give(borrower, reply, False, reason="wrong", comment=said).status_code == 200

    async def kept(deps: Deps) -> list[Any]:
        async with deps.engine.connect() as connection:
            rows = select(feedback).where(feedback.c.record_id == reply["record_id"])
            return list((await connection.execute(rows)).all())

    rows = asyncio.run(opened(server.home, kept))
    assert [(row.useful, row.reason) for row in rows] == [(False, "wrong")]
    assert "13800138000" not in rows[0].comment
    assert rows[0].comment.startswith("不对，请打 <PHONE_1>")


def test_only_who_got_a_reply_may_say_what_it_is_worth(borrower: httpx.Client) -> None:
    mine, theirs = token_of(borrower, 0), token_of(borrower, 1)
    reply = ask(borrower, "逾期一天会怎么样？", mine)
    assert give(borrower, reply, True, theirs).status_code == 404
    assert give(borrower, reply, True).status_code == 404
    assert give(borrower, {**reply, "conversation_id": "0" * 32}, True, mine).status_code == 404
    assert give(borrower, {**reply, "record_id": "0" * 32}, True, mine).status_code == 404
    assert give(borrower, reply, True, mine).status_code == 200
    anonymous = ask(borrower, "逾期一天会怎么样？")
    assert give(borrower, anonymous, True, mine).status_code == 404, "it was asked by nobody"
    assert give(borrower, anonymous, True, "no.such.token").status_code == 401


@pytest.mark.parametrize(
    ("useful", "more"),
    [
        (False, {"reason": "because"}),
        (True, {"reason": "wrong"}),
        (False, {"comment": "长" * (MAX_COMMENT + 1)}),
        (False, {"subject": "C0001"}),
        (False, {"record_id": "../../etc/passwd"}),
    ],
)
def test_what_is_not_in_the_form_is_refused(
    borrower: httpx.Client, useful: bool, more: dict[str, str]
) -> None:
    reply = {"record_id": "0" * 32, "conversation_id": "0" * 32}
    assert give(borrower, reply, useful, **more).status_code == 422


def test_questions_without_help_are_listed_by_reason(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    nothing = ask(borrower, UNANSWERED)
    assert nothing["status"] == "not_covered"
    down = ask(borrower, "我的手机号 13900139000，提前还款要收违约金吗？")
    give(borrower, down, False, reason="unclear")
    client = staff_clients("supervisor")
    found = client.get("/v1/feedback", params={"show": "unanswered"}).json()
    assert found["items"][0]["question"] == UNANSWERED
    assert found["items"][0]["useful"] is None
    unclear = client.get("/v1/feedback", params={"reason": "unclear"}).json()
    assert [item["record_id"] for item in unclear["items"]] == [down["record_id"]]
    item = unclear["items"][0]
    assert "13900139000" not in item["question"]
    assert item["citations"][0]["quote"] in item["answer"]
    assert client.get("/v1/feedback", params={"limit": 1}).json()["next"] == 1
    shown = client.get("/v1/feedback/summary").json()
    week = shown["points"][-1]
    assert week["n"] >= 1
    assert 0 <= week["low"] <= week["value"] <= week["high"] <= 1
    assert shown["reasons"]["unclear"] == 1
    assert shown["may"] == ["read", "label", "write"]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says(staff_clients: SignedIn, role: str) -> None:
    reads = {"supervisor", "compliance", "auditor"}
    edits, signs = {"supervisor", "compliance"}, {"compliance"}
    doors = [
        ("GET", "", reads),
        ("GET", "/summary", reads | {"admin"}),
        ("GET", "/cases", reads),
        ("GET", "/answers", reads),
        ("POST", "/cases", edits),
        ("POST", "/cases/x/labels", edits),
        ("POST", "/answers", edits),
        ("POST", "/answers/x/withdrawal", edits),
        ("POST", "/answers/x/signature", signs),
    ]
    for method, path, may in doors:
        answer = staff_clients(role).request(method, f"/v1/feedback{path}", json={})
        assert (answer.status_code == 403) == (role not in may), f"{method} {path}"


def test_two_people_make_a_case_and_do_not_see_each_others_label_first(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    reply = ask(borrower, "提前还款要收违约金吗？")
    right = {"status": "answered", "facts": [["不收违约金", "不收取违约金"]]}
    one = staff_clients("supervisor")
    other = staff_clients("compliance")
    made = one.post("/v1/feedback/cases", json={"record_id": reply["record_id"]}).json()["id"]
    again = other.post("/v1/feedback/cases", json={"record_id": reply["record_id"]})
    assert again.json()["id"] == made
    first = one.post(f"/v1/feedback/cases/{made}/labels", json=right).json()
    assert first["kappa"] is None
    blind = draft_in(other.get("/v1/feedback/cases").json(), made)
    assert (blind["labelled_by"], blind["labels"]) == (1, [])
    wrong = {"status": "not_covered"}
    after = other.post(f"/v1/feedback/cases/{made}/labels", json=wrong).json()
    assert draft_in(after, made)["state"] == "disputed"
    file = server.home / "cases" / "feedback.jsonl"
    assert not file.exists()
    agreed = other.post(f"/v1/feedback/cases/{made}/labels", json=right).json()
    assert draft_in(agreed, made)["state"] == "agreed"
    assert (agreed["kappa"]["value"], agreed["kappa"]["n"]) == (0, 1), "by what was said first"
    case = next(c for c in load_cases(file) if c.id == f"feedback-{made[:12]}")
    assert case.expect.status == ("answered",)
    assert case.expect.facts == (("不收违约金", "不收取违约金"),)
    assert case.as_of == today()


def draft_in(body: dict[str, Any], draft_id: str) -> dict[str, Any]:
    return next(draft for draft in body["drafts"] if draft["id"] == draft_id)


def test_a_third_label_and_facts_of_no_answer_are_refused(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    reply = ask(borrower, UNANSWERED)

    async def label(deps: Deps) -> None:
        async with deps.engine.connect() as connection:
            query = select(staff.c.id).limit(3)
            people = list(await connection.scalars(query))
        made = await case_drafts.make_draft(deps.engine, reply["record_id"], people[0])
        for staff_id in people[:2]:
            await case_drafts.label(deps.engine, made, staff_id, "not_covered", [])
        with pytest.raises(case_drafts.LabelledTwice):
            await case_drafts.label(deps.engine, made, people[2], "answered", [])
        with pytest.raises(case_drafts.UnknownDraft):
            await case_drafts.label(deps.engine, "0" * 32, people[0], "answered", [])

    asyncio.run(opened(server.home, label))
    client = staff_clients("compliance")
    bad = {"status": "not_covered", "facts": [["三天"]]}
    assert client.post(f"/v1/feedback/cases/{'0' * 32}/labels", json=bad).status_code == 422
    missing = client.post("/v1/feedback/cases", json={"record_id": "0" * 32})
    assert missing.status_code == 404


def test_agreement_is_cohens_kappa_of_what_was_said_first() -> None:
    # Cohen (1960): of 50, 20 yes by both, 15 no by both, 5 yes/no, 10 no/yes; kappa 0.4.
    said = [("answered", "answered")] * 20 + [("clarify", "clarify")] * 15
    said += [("answered", "clarify")] * 5 + [("clarify", "answered")] * 10
    now = datetime.now(UTC)

    def draft(number: int, pair: tuple[str, str]) -> CaseDraft:
        labels = tuple(
            Label(f"s{at}", "answered", [], first, [], now) for at, first in enumerate(pair)
        )
        return CaseDraft(f"{number:032x}", "r", "问", {}, "s0", now, labels)

    drafts = [draft(number, pair) for number, pair in enumerate(said)]
    found = agreement_of([(draft.labels[0], draft.labels[1]) for draft in drafts])
    assert found is not None
    assert found.status.value == pytest.approx(0.4)
    assert found.facts.value == 1
    assert all(case_of(one) for one in drafts), "they came to agree"
    assert agreement_of([]) is None


def test_an_answer_is_served_once_another_person_signed_it(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    question = "我想问一下绑卡能不能用信用卡呀"
    quote = "信用卡不能用于青穗消金的绑定、放款和还款。"
    wording = {"zh-Hans": f"不能。{quote}"}
    answer = {
        "questions": [question],
        "source": "faq-account.md",
        "quote": quote,
        "wording": wording,
        "effective_from": today().isoformat(),
    }
    before = ask(borrower, question)
    assert not any(s["kind"] == "approved" for s in before["sentences"])
    author = staff_clients("supervisor")
    signer = staff_clients("compliance")
    for wrong, code in WRONG_ANSWERS:
        refused = author.post("/v1/feedback/answers", json={**answer, **wrong})
        assert (refused.status_code, refused.json().get("code")) in code, refused.text
    over = {"questions": ["春节期间有人工吗"]}  # the lender's file has an answer that has ended
    assert author.post("/v1/feedback/answers", json={**answer, **over}).status_code == 200
    record = {"record_id": before["record_id"]}
    made = author.post("/v1/feedback/answers", json={**answer, **record}).json()["id"]
    held = {a["id"]: a for a in signer.get("/v1/feedback/answers").json()["answers"]}[made]
    assert (held["state"], held["mine"]) == ("draft", False)
    assert ask(borrower, question)["sentences"][0]["kind"] != "approved"
    path = f"/v1/feedback/answers/{made}/signature"
    assert author.post(path, json={"sha256": held["sha256"]}).status_code == 403
    other = signer.post(path, json={"sha256": "0" * 64})
    assert other.json()["code"] == "changed_meanwhile"
    own = signer.post("/v1/feedback/answers", json={**answer, "questions": ["绑信用卡的事"]})
    own_path = f"/v1/feedback/answers/{own.json()['id']}/signature"
    mine = {a["id"]: a for a in signer.get("/v1/feedback/answers").json()["answers"]}
    own_sha = mine[own.json()["id"]]["sha256"]
    refused = signer.post(own_path, json={"sha256": own_sha})
    assert (refused.status_code, refused.json()["code"]) == (403, "own_draft")
    assert signer.post(path, json={"sha256": held["sha256"]}).status_code == 200
    served = ask(borrower, question)
    assert [s["kind"] for s in served["sentences"]] == ["approved"]
    assert served["answer"] == wording["zh-Hans"]
    again = author.post("/v1/feedback/answers", json=answer)
    assert again.json()["code"] == "question_taken"
    asyncio.run(opened(server.home, lambda deps: signed_holds(deps, made, served)))
    assert author.post(f"/v1/feedback/answers/{made}/withdrawal").status_code == 404
    assert signer.post(f"/v1/feedback/answers/{made}/withdrawal").status_code == 200
    assert ask(borrower, question)["sentences"][0]["kind"] != "approved"


WRONG_ANSWERS: list[tuple[dict[str, Any], list[tuple[int, str | None]]]] = [
    ({"quote": "信用卡可以用。"}, [(422, "quote_not_found")]),
    ({"source": "no-such.md"}, [(422, "quote_not_found")]),
    ({"product": "no-such"}, [(422, "unknown_product")]),
    ({"wording": {"zh-Hans": "我们百分之百下款，人人都能通过。"}}, [(422, "breaks_rules")]),
    ({"wording": {}}, [(422, None)]),
    ({"questions": ["？！"]}, [(422, "answer_unusable")]),
    ({"questions": ["能绑信用卡吗"]}, [(409, "question_taken")]),
    ({"effective_to": "2020-01-01"}, [(422, None)]),
    (
        {"effective_from": "2019-01-01", "effective_to": "2020-01-01"},
        [(422, "answer_unusable")],
    ),
    ({"record_id": "0" * 32}, [(404, None)]),
]


async def signed_holds(deps: Deps, answer_id: str, served: dict[str, Any]) -> None:
    """The signature is a decision in the chain; what is changed behind it is not served; a reply
    made with it is made again byte for byte."""
    rows = await audit.read_entries(deps.engine, subjects=[answer_id])
    told = [(row.kind, json.loads(row.body)["action"]) for row in rows]
    assert told == [("answer", "drafted"), ("answer", "signed")]
    assert (await audit.verify(deps.trail)).ok
    made_again = await Player(deps).replay(served["record_id"])
    assert made_again.outcome == "identical"
    front = await deps.current_front()
    assert front.approved is not None
    assert answer_id in {a.id for a in front.approved.answers}
    row = answer_drafts.c.id == answer_id
    async with deps.engine.begin() as connection:
        text = await connection.scalar(select(answer_drafts.c.signed_text).where(row))
        forged = update(answer_drafts).where(row).values(signed_text=text.replace("不能", "能"))
        await connection.execute(forged)
    deps._signed = None
    front = await deps.current_front()
    assert front.approved is not None
    assert answer_id not in {a.id for a in front.approved.answers}
    assert answer_id in (await audit.verify(deps.trail)).reason
    async with deps.engine.begin() as connection:
        await connection.execute(update(answer_drafts).where(row).values(signed_text=text))
    # A row that is missing since it was signed may have taken it back.
    last = await audit.append(deps.trail, "approval", "x", {})
    gone = audit_entries.c.seq == last.seq
    await audit.append(deps.trail, "approval", "x", {})
    texts = await signed_answers.read_signed(deps.trail, [answer_id])
    assert texts == {answer_id: text}
    async with deps.engine.begin() as connection:
        held = (await connection.execute(select(audit_entries).where(gone))).one()._asdict()
        await connection.execute(delete(audit_entries).where(gone))
    assert not await signed_answers.read_signed(deps.trail, [answer_id])
    async with deps.engine.begin() as connection:
        await connection.execute(insert(audit_entries).values(held))


def test_erasing_takes_the_words_and_leaves_the_thumb(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    reply = ask(borrower, "会员费是多少？")
    give(borrower, reply, False, reason="other", comment="没说清楚")
    one = staff_clients("supervisor")
    other = staff_clients("compliance")
    made = one.post("/v1/feedback/cases", json={"record_id": reply["record_id"]}).json()["id"]
    for client in (one, other):
        client.post(f"/v1/feedback/cases/{made}/labels", json={"status": "clarify"})
    file = server.home / "cases" / "feedback.jsonl"
    assert made[:12] in file.read_text("utf-8")

    async def erase(deps: Deps) -> None:
        await audit.erase(deps.trail, conversation_id=reply["conversation_id"], by="test")
        async with deps.engine.connect() as connection:
            row = (
                await connection.execute(
                    select(feedback).where(feedback.c.record_id == reply["record_id"])
                )
            ).one()
        assert (row.useful, row.reason, row.comment) == (False, "other", "")
        assert (await audit.verify(deps.trail)).ok

    asyncio.run(opened(server.home, erase))
    assert not file.exists() or made[:12] not in file.read_text("utf-8")
    assert give(borrower, reply, True).status_code == 404
    client = staff_clients("auditor")
    listed = client.get("/v1/feedback", params={"limit": 50}).json()["items"]
    assert reply["record_id"] not in {item["record_id"] for item in listed}


QUOTE = "信用卡不能用于青穗消金的绑定、放款和还款。"


def content(question: str, starts: date, ends: date | None = None) -> Content:
    wording = {"zh-Hans": f"不能。{QUOTE}"}
    return Content([question], "", "faq-account.md", QUOTE, wording, starts, ends)


async def two_people(deps: Deps) -> tuple[str, str]:
    async with deps.engine.connect() as connection:
        one, other = await connection.scalars(select(staff.c.id).order_by(staff.c.id).limit(2))
    return one, other


async def signed(deps: Deps, written: Content, on: date, record_id: str = "") -> str:
    """Id of an answer that one person wrote and another signed on a day."""
    author, signer = await two_people(deps)
    made = await signed_answers.draft(deps.trail, written, author, record_id)
    await sign(deps, made, signer, on)
    return made


async def sign(deps: Deps, made: str, signer: str, on: date) -> None:
    held = await signed_answers.read_answer(deps.engine, made)
    assert held is not None
    await signed_answers.sign(
        deps.trail, made, by=signer, name="签发人", seen=held.sha256, today=on
    )


def test_a_conversation_that_its_borrower_deletes_leaves_the_file_of_cases(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    gone, kept = ask(borrower, "会员费每个月多少钱呀？"), ask(borrower, "会员费每年要多少钱呀？")
    made = [agreed_case(staff_clients, reply) for reply in (gone, kept)]
    file = server.home / "cases" / "feedback.jsonl"
    assert {made_id[:12] in file.read_text("utf-8") for made_id in made} == {True}
    left = file.with_name(".feedback.jsonl.0123.new")
    left.write_bytes(file.read_bytes())  # a writer was ended halfway
    path = f"/v1/conversations/{gone['conversation_id']}"
    assert borrower.delete(path).status_code == 200
    ids = {case.id for case in load_cases(file)}
    assert [f"feedback-{made_id[:12]}" in ids for made_id in made] == [False, True]
    assert "会员费每个月" not in file.read_text("utf-8")
    assert not left.exists()


def agreed_case(staff_clients: SignedIn, reply: dict[str, Any]) -> str:
    one, other = staff_clients("supervisor"), staff_clients("compliance")
    made: str = one.post("/v1/feedback/cases", json={"record_id": reply["record_id"]}).json()["id"]
    for client in (one, other):
        said = client.post(f"/v1/feedback/cases/{made}/labels", json={"status": "clarify"})
        assert said.status_code == 200, said.text
    return made


def test_a_file_of_cases_that_cannot_be_written_is_removed_or_named(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "cases" / "feedback.jsonl"
    file.parent.mkdir()
    file.write_text('{"id":"feedback-gone","text":"会员费"}\n', encoding="utf-8")
    file.with_name(".feedback.jsonl.in-the-way.new").mkdir()

    async def drop(deps: Deps) -> None:
        await case_drafts.drop_erased(deps.engine, file)
        assert not file.exists(), "nothing of it is left"
        file.mkdir()
        with pytest.raises(case_drafts.StillInFile, match=file.name):
            await case_drafts.drop_erased(deps.engine, file)

    asyncio.run(opened(server.home, drop))


def test_writers_and_erasures_at_once_leave_one_whole_file(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn, tmp_path: Path
) -> None:
    made = agreed_case(staff_clients, ask(borrower, "会员费能不能退呀？"))
    file = tmp_path / "cases" / "feedback.jsonl"

    async def write(deps: Deps) -> None:
        writers = [case_drafts.write_cases(deps.engine, file, line_of) for _ in range(6)]
        erasers = [case_drafts.drop_erased(deps.engine, file) for _ in range(6)]
        await asyncio.gather(
            *(task for pair in zip(writers, erasers, strict=True) for task in pair)
        )

    asyncio.run(opened(server.home, write))
    assert f"feedback-{made[:12]}" in {case.id for case in load_cases(file)}
    assert {path.name for path in file.parent.iterdir()} <= {file.name, f".{file.name}.lock"}


def test_what_was_written_for_an_erased_question_goes_with_it(
    server: Server, borrower: httpx.Client
) -> None:
    replies = [ask(borrower, text) for text in ("信用卡绑不上怎么办呀", "信用卡绑定失败了呀")]

    async def check(deps: Deps) -> None:
        author, signer = await two_people(deps)
        back, kept = [
            await signed_answers.draft(
                deps.trail, content(reply["answer"][:20], today()), author, reply["record_id"]
            )
            for reply in replies
        ]
        await signed_answers.withdraw(deps.trail, back, by=author, own_drafts_only=True)
        await sign(deps, kept, signer, today())
        for reply in replies:
            await audit.erase(deps.trail, conversation_id=reply["conversation_id"], by="test")
        assert await signed_answers.read_answer(deps.engine, back) is None
        served = await signed_answers.read_answer(deps.engine, kept)
        assert served is not None, "the lender's own while it is served"
        await signed_answers.withdraw(deps.trail, kept, by=signer, own_drafts_only=False)
        assert await signed_answers.read_answer(deps.engine, kept) is None
        assert (await audit.verify(deps.trail)).ok
        with pytest.raises(signed_answers.UnknownRecord):
            await signed_answers.draft(
                deps.trail, content("再写一次", today()), author, replies[0]["record_id"]
            )

    asyncio.run(opened(server.home, check))


def test_nobody_signs_their_own_answer_under_another_name_and_one_that_is_gone_is_missed(
    server: Server,
) -> None:
    async def check(deps: Deps) -> None:
        author, signer = await two_people(deps)
        made = await signed_answers.draft(deps.trail, content("年卡怎么退", today()), author)
        row = answer_drafts.c.id == made

        async def change(**values: str) -> None:
            async with deps.engine.begin() as connection:
                await connection.execute(update(answer_drafts).where(row).values(**values))

        with pytest.raises(signed_answers.OwnDraft):
            await sign(deps, made, author, today())
        await change(author=signer)
        with pytest.raises(signed_answers.ChangedMeanwhile):
            await sign(deps, made, author, today())
        found = await audit.verify(deps.trail)
        assert found.reason.startswith(f"answer {made} is not what row ")
        await change(author=author)
        await sign(deps, made, signer, today())
        async with deps.engine.begin() as connection:
            held = (await connection.execute(select(answer_drafts).where(row))).one()._asdict()
            await connection.execute(delete(answer_drafts).where(row))
        assert made in (await audit.verify(deps.trail)).reason
        async with deps.engine.begin() as connection:
            await connection.execute(insert(answer_drafts).values(held))
            await connection.execute(insert(answer_drafts).values(held | {"id": "planted"}))
        found = await audit.verify(deps.trail)
        assert found.reason == "answer planted is in no row of the chain"
        async with deps.engine.begin() as connection:
            await connection.execute(delete(answer_drafts).where(answer_drafts.c.id == "planted"))
        assert (await audit.verify(deps.trail)).ok

    asyncio.run(opened(server.home, check))


def test_answers_of_a_version_that_entered_their_signatures_alone_are_taken_in(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_deps(settings_for(tmp_path)) as deps:
            author, signer = [
                (
                    await create_account(
                        deps.trail, login, login, ["compliance"], "a quiet morning 7"
                    )
                ).id
                for login in ("li", "chen")
            ]
            made = [
                await signed_answers.draft(deps.trail, content(f"旧问题{n}", today()), author)
                for n in range(4)
            ]
            for answer_id in made[:3]:
                await sign(deps, answer_id, signer, today())
            entries = await audit.read_entries(deps.engine)
            signed = {e.subject: json.loads(e.body) for e in entries if "text" in e.body}
            async with deps.engine.begin() as connection:
                await connection.execute(delete(audit_entries))
                before = dict.fromkeys(("accounts", "scores", "dates", "clearances"), True)
                await audit.append_in(connection, deps.trail.keys, "founded", "", before)
                for staff_id in (author, signer):
                    await audit.seal_account(
                        connection, deps.trail.keys, staff_id, "made", by="cli"
                    )
                for answer_id in made[:3]:
                    body = {k: v for k, v in signed[answer_id].items() if k != "held"}
                    await audit.append_in(connection, deps.trail.keys, "approval", answer_id, body)
                # One that was signed is gone, another was changed.
                await connection.execute(delete(answer_drafts).where(answer_drafts.c.id == made[1]))
                changed = update(answer_drafts).where(answer_drafts.c.id == made[2])
                await connection.execute(changed.values(signed_text="[[answer]]"))
        (tmp_path / "audit-heads.jsonl").unlink(missing_ok=True)
        for _ in range(2):
            async with open_deps(settings_for(tmp_path)) as deps:
                assert set(await signed_answers.read_signed(deps.trail, made)) == {made[0]}
                found = await audit.verify(deps.trail)
                told = " ".join([found.reason, *(each.reason for each in found.further)])
                assert [answer_id in told for answer_id in made] == [False, True, True, False]
        async with open_deps(settings_for(tmp_path)) as deps:
            await sign(deps, made[3], signer, today())

    asyncio.run(check())


def test_of_those_who_draft_at_once_for_one_question_one_does(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    record_id = ask(borrower, "信用卡绑定了怎么解绑呀")["record_id"]

    async def race(deps: Deps) -> None:
        people = await two_people(deps)
        engines = [open_engine(deps.settings.database) for _ in range(4)]
        cases = await asyncio.gather(
            *(case_drafts.make_draft(e, record_id, p) for e in engines for p in people)
        )
        assert len(set(cases)) == 1
        written = content("信用卡怎么解绑呀", today())
        answers = await asyncio.gather(
            *(
                signed_answers.draft(
                    replace(deps.trail, engine=e, writer=audit.Writer()), written, p, record_id
                )
                for e in engines
                for p in people
            ),
            return_exceptions=True,
        )
        (made,) = [answer for answer in answers if isinstance(answer, str)]
        others = [answer for answer in answers if not isinstance(answer, str)]
        assert [(type(e), str(e)) for e in others] == [(AlreadyDrafted, made)] * 7
        for engine in engines:
            await engine.dispose()

    asyncio.run(opened(server.home, race))
    body = {
        "record_id": record_id,
        "questions": ["信用卡怎样解绑呀"],
        "source": "faq-account.md",
        "quote": QUOTE,
        "wording": {"zh-Hans": QUOTE},
        "effective_from": today().isoformat(),
    }
    late = staff_clients("supervisor").post("/v1/feedback/answers", json=body)
    assert (late.status_code, late.json()["code"]) == (409, "already_drafted")


def test_one_question_has_one_answer_at_a_time(server: Server) -> None:
    day, week = today(), timedelta(days=7)

    async def check(deps: Deps) -> None:
        author, signer = await two_people(deps)
        first, beside, after = [
            await signed_answers.draft(deps.trail, content(*written), author)
            for written in (
                ("绑卡送礼吗", day, day + week),
                ("绑卡送礼吗？", day + week, None),
                ("绑卡送礼吗！", day + week + timedelta(days=1), None),
            )
        ]
        again = await signed_answers.draft(deps.trail, content("绑卡送礼吗", day), author)
        outcomes = await asyncio.gather(
            sign(deps, first, signer, day), sign(deps, again, signer, day), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert [type(outcome) for outcome in refused] == [QuestionTaken], "two at once"
        if isinstance(outcomes[0], QuestionTaken):
            await signed_answers.withdraw(deps.trail, again, by=signer, own_drafts_only=False)
            await sign(deps, first, signer, day)
        with pytest.raises(QuestionTaken, match=first):
            await sign(deps, beside, signer, day)
        await sign(deps, after, signer, day)
        front = await deps.current_front()
        assert front.approved is not None
        served = [
            approved.by_wording(front.approved, "绑卡送礼吗", on)
            for on in (day, day + week, day + 2 * week)
        ]
        assert [one and one.id for one in served] == [first, first, after]
        # What is over stands in nobody's way.
        late = day + 3 * week
        ended = await signed_answers.draft(
            deps.trail, content("绑卡抽奖吗", day, day + week), author
        )
        await sign(deps, ended, signer, day)
        await signed(deps, content("绑卡抽奖吗", day), late)

    asyncio.run(opened(server.home, check))


def test_answers_that_clash_are_left_out_alone_and_staff_see_which(
    server: Server, staff_clients: SignedIn
) -> None:
    def own(question: str) -> str:
        return signed_answers.as_toml("file-answer", content(question, today()), "签发人", today())

    async def check(deps: Deps) -> tuple[str, str, str]:
        good = await signed(deps, content("绑卡要年费吗", today()), today())
        clash = await signed(deps, content("绑卡要月费吗", today()), today())
        broken = await signed(deps, content("绑卡要日费吗", today()), today())
        garbled = "[[answer]]\nid ="
        async with deps.engine.begin() as connection:
            # Signed as it is, by a version that wrote answers in another way.
            row = update(answer_drafts).where(answer_drafts.c.id == broken)
            await connection.execute(row.values(signed_text=garbled))
            body = {"action": "signed", "text": signed_answers._sha256(garbled)}
            await audit.seal_held(connection, deps.trail.keys, "answer", broken, body)
        held = deps.front.approved
        assert held is not None
        file = approved.of_text(f"{held.source}\n{own('绑卡要月费吗')}")
        deps.front = replace(deps.front, approved=file)
        front = await deps.current_front()
        assert front.approved is not None
        served = {answer.id for answer in front.approved.answers}
        assert {good, *(answer.id for answer in held.answers)} <= served
        assert not served & {clash, broken, "file-answer"}
        assert approved.by_wording(front.approved, "绑卡要月费吗", today()) is None
        told = {one.id: (one.reason, one.others) for one in await deps.not_served()}
        assert told["file-answer"] == ("clash", (clash,))
        assert told[clash] == ("clash", ("file-answer",))
        return good, clash, broken

    good, _, broken = asyncio.run(opened(server.home, check))
    shown = staff_clients("compliance").get("/v1/feedback/answers").json()["not_served"]
    reasons = {one["id"]: one["reason"] for one in shown}
    assert reasons.get(broken) == "unreadable"
    assert good not in reasons


def test_lists_come_in_pages_the_newest_first(
    server: Server, borrower: httpx.Client, staff_clients: SignedIn
) -> None:
    texts = ("食堂今天吃什么？", "推荐一只股票", "明天会下雨吗")
    replies = [ask(borrower, text) for text in texts]

    async def fill(deps: Deps) -> None:
        author, _ = await two_people(deps)
        for number, reply in enumerate(replies):
            await case_drafts.make_draft(deps.engine, reply["record_id"], author)
            await signed_answers.draft(deps.trail, content(f"问法{number}", today()), author)

    asyncio.run(opened(server.home, fill))
    client = staff_clients("compliance")
    described = client.get("/openapi.json").json()["paths"]
    for path, key, text in (
        ("/v1/feedback/cases", "drafts", lambda one: one["question"]),
        ("/v1/feedback/answers", "answers", lambda one: one["questions"][0]),
        ("/v1/feedback", "items", lambda one: one["question"]),
        ("/v1/knowledge/questions", "groups", lambda one: one["example"]),
    ):
        whole = client.get(path, params={"limit": 50}).json()
        pages, offset = [], 0
        while offset is not None:
            page = client.get(path, params={"limit": 2, "offset": offset}).json()
            assert len(page[key]) <= 2
            pages += page[key]
            offset = page["next"]
        assert [text(one) for one in pages] == [text(one) for one in whole[key]], path
        assert len(pages) == whole.get("grouped", whole["total"]) >= 3, path
        assert client.get(path, params={"limit": 1000}).status_code == 422
        shown = described[path]["get"]["parameters"]
        assert {"limit", "offset"} <= {parameter["name"] for parameter in shown}
    newest = client.get("/v1/feedback/answers", params={"limit": 3}).json()["answers"]
    assert [one["questions"][0] for one in newest] == ["问法2", "问法1", "问法0"]


def test_too_many_thumbs_a_minute_are_turned_away(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, ZHUNXIN_REQUESTS_PER_MINUTE="3")
    body = {"record_id": "0" * 32, "conversation_id": "0" * 32, "useful": True}

    async def statuses() -> list[int]:
        async with open_deps(settings) as deps:
            app = create_app(settings, deps)
            async with listening(app) as url, httpx.AsyncClient(base_url=url) as client:
                return [(await client.post("/v1/feedback", json=body)).status_code for _ in "1234"]

    assert asyncio.run(statuses()) == [404, 404, 404, 429]


@pytest.mark.browser
def test_from_a_thumb_in_the_chat_to_a_case_and_a_signed_answer(
    server: Server, browser: Browser
) -> None:
    strings, words = (
        json.loads((WEB / f"{page}.zh-Hans.json").read_text("utf-8"))
        for page in ("strings", "quality")
    )
    faults: list[str] = []

    def open_page(path: str, role: str = "") -> Page:
        context = browser.new_context(locale="zh-CN", base_url=server.url)
        if role:
            password = context.request.get("/v1/staff/demo").json()["password"]
            account = {"login": f"demo-{role}", "password": password}
            assert context.request.post("/v1/staff/session", data=account).ok
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if "Security Policy" in m.text else None)
        page.goto(path)
        return page

    question = "手机丢了，信用卡绑定怎么办理呀"
    page = open_page("/")
    page.locator("zhunxin-chat").evaluate("(chat, text) => chat.ask(text)", question)
    bar = page.locator("zhunxin-chat .feedback")
    down = bar.get_by_role("button", name=strings["feedback.down"], exact=True)
    down.focus()
    page.keyboard.press("Enter")
    expect(bar.get_by_role("status")).to_have_text(strings["feedback.thanks"])
    expect(down).to_have_attribute("aria-pressed", "true")
    bar.get_by_text(strings["feedback.reason.off_topic"]).click()
    bar.get_by_role("textbox").fill("请打 13700137000")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(bar.get_by_role("status")).to_have_text(strings["feedback.sent"])
    expect(down).to_be_focused()

    page = open_page("/quality#/feedback?reason=off_topic", "supervisor")
    expect(page.locator("svg.over-time")).to_have_count(1)
    card = page.locator("article", has_text=question)
    expect(card).to_contain_text("<PHONE_1>")
    expect(card).not_to_contain_text("13700137000")
    card.get_by_role("button", name=words["make.case"]).click()
    card.get_by_label(words["label.facts"]).fill("不能绑定 | 不能用于")
    card.get_by_role("button", name=words["save"]).click()
    expect(card.get_by_role("link", name=words["made.case"])).to_be_focused()
    card.get_by_role("button", name=words["make.answer"]).click()
    quote = "信用卡不能用于青穗消金的绑定、放款和还款。"
    card.get_by_label(words["answer.wording"].replace("{language}", "简体")).fill("不能。" + quote)
    card.get_by_label(words["answer.quote"]).fill("没有这句话" * 201)
    card.get_by_label(words["answer.source"]).fill("faq-account.md")
    card.get_by_role("button", name=words["save"]).click()
    expect(card).to_contain_text(f"{words['answer.quote']}：最多 1000 个字")
    card.get_by_label(words["answer.quote"]).fill("没有这句话")
    card.get_by_role("button", name=words["save"]).click()
    expect(card.get_by_role("alert")).to_contain_text(words["failed.quote_not_found"])
    card.get_by_label(words["answer.quote"]).fill(quote)
    card.get_by_role("button", name=words["save"]).click()
    card.get_by_role("link", name=words["made.answer"]).click()
    own = page.locator("article", has_text=question)
    expect(own).to_contain_text(words["answers.state.draft"])
    expect(own.get_by_role("button", name=words["answers.sign"])).to_have_count(0)

    page = open_page("/quality#/answers", "compliance")
    card = page.locator("article", has_text=question)
    card.get_by_role("button", name=words["answers.sign"]).click()
    page.get_by_role("dialog").get_by_role("button", name=words["answers.sign"]).click()
    expect(card).to_contain_text(words["answers.state.signed"])
    page.goto("/quality#/labels")
    card = page.locator("article", has_text=question)
    expect(card).not_to_contain_text("不能绑定")
    card.get_by_role("button", name=words["labels.give"]).click()
    card.get_by_label(words["label.facts"]).fill("不能绑定 | 不能用于")
    card.get_by_role("button", name=words["save"]).click()
    expect(card).to_contain_text(words["labels.state.agreed"])
    for opened_in in browser.contexts:
        opened_in.close()
    assert faults == []
