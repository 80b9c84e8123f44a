"""The copilot's parts: suggestions with and without a model, next steps, scripts, wrap-ups."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assistant import copilot, identity
from assistant.audit import Keys
from assistant.copilot import CardNumber, Case
from assistant.customers import CustomersUnavailable, MemoryCustomers
from assistant.demo_customers import demo_people, typical
from assistant.deps import Deps
from assistant.llm import ModelUnavailable, ScriptedChat
from assistant.next_steps import Contact, clause_saying, load_steps, permitted_from
from assistant.scripts import VARIABLES, ScriptsError, fill, load_scripts, scripts_file
from assistant.transcripts import Turn
from assistant.wrap_up import (
    ZONE,
    after_workdays,
    day_said,
    load_words,
    next_contact,
    promises,
    time_said,
)
from evals.copilot import CopilotSuite, suggest_all
from evals.suites import SUITES
from tests.test_answer import choosing

NOW = datetime(2026, 11, 26, 10, 0, tzinfo=ZONE)
TODAY = NOW.date()
FEE = "提前还款要收违约金吗？"
FREE = "2026 年 1 月 1 日起签署的安心贷合同免收提前还款违约金"


@pytest.fixture
def own(deps: Deps) -> Deps:
    """With the demo's customers as of the day of these tests."""
    deps.use_customers(MemoryCustomers(p.record for p in demo_people(TODAY)))
    return deps


def case_of(deps: Deps, *texts: str, who: str = "", **more: Any) -> Case:
    people = {str(person.state): person.record for person in typical(demo_people(TODAY))}
    known = people[who].customer.id if who else ""
    return copilot.case_of_turns(
        "case:1",
        [Turn("borrower", text) for text in texts],
        now=NOW,
        customer_id=known,
        subject=identity.subject_of(deps.keys, known) if known else "",
        **more,
    )


async def events_of(case: Case, deps: Deps) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    async with aclosing(copilot.suggest(case, deps, keep=False)) as events:
        async for event in events:
            found.setdefault(event.name, []).append(event.data)
    return found


# Suggestions


async def test_what_is_known_comes_before_a_model_is_asked_and_stays_where_it_is_down(
    own: Deps,
) -> None:
    down = replace(own, _not_opened=ModelUnavailable("it does not start"))
    made = await events_of(case_of(own, FEE), down)
    assert next(iter(made)) == "evidence"
    (done,) = made["done"]
    assert done["model_down"] is True
    assert done["note_code"] == "model_down"
    assert FREE in done["text"]


async def test_a_models_sentence_stands_only_if_it_is_proved(own: Deps) -> None:
    invented = "提前还款要收 9% 的违约金。[1]"
    own.use_model(ScriptedChat([invented, invented], way="draft"))
    made = await events_of(case_of(own, FEE), own)
    assert "9%" not in made["done"][0]["text"]
    assert "9%" not in made["alternatives"][0]["detailed"]["text"]
    assert next(iter(made)) == "evidence"


async def test_a_model_chooses_and_its_choice_is_cited(own: Deps) -> None:
    model = ScriptedChat([choosing("起签署的安心贷合同免收提前还款违约金")])
    own.use_model(model)
    made = await events_of(case_of(own, f"{FEE}我的电话13812345678"), own)
    assert FREE in made["done"][0]["text"]
    assert made["done"][0]["model_down"] is False
    cited = {each["index"]: each for each in made["citation"]}
    for sentence in made["sentence"]:
        if sentence["kind"] == "quote":
            assert sentence["text"] in cited[sentence["citations"][0]]["text"]
    asked = "".join(message.text for call in model.calls for message in call.messages)
    assert "13812345678" not in asked


async def test_no_internal_sentence_is_in_any_form_of_a_reply(own: Deps) -> None:
    made = await events_of(case_of(own, "罚息减免的审批上限是多少", who="overdue_40"), own)
    inner = [each["text"] for each in made["sentence"] if each["internal"]]
    assert inner
    forms = made["alternatives"][0].values()
    assert not any(text in form["text"] for text in inner for form in forms)
    assert any(clause["internal"] for clause in made["evidence"][0]["clauses"])


async def test_in_danger_to_life_no_record_is_quoted(own: Deps) -> None:
    made = await events_of(case_of(own, "我不想活了", who="overdue_40"), own)
    assert "calculation" not in made
    assert "12356" in made["done"][0]["text"]
    assert made["next"][0]["actions"][0]["id"] == "crisis"


async def test_a_lender_whose_systems_do_not_answer_still_has_suggestions(own: Deps) -> None:
    class Silent(MemoryCustomers):
        async def loans(self, customer_id: str) -> Any:
            raise CustomersUnavailable("no answer")

    own.use_customers(Silent(p.record for p in demo_people(TODAY)))
    made = await events_of(case_of(own, FEE, who="active"), own)
    assert FREE in made["done"][0]["text"]
    shown = await copilot.card(case_of(own, FEE, who="active"), own, frozenset({"agent"}))
    assert shown["note"]
    assert "loans" not in shown


async def test_ten_thousand_turns_are_taken(own: Deps) -> None:
    turns = [Turn("borrower" if n % 2 else "agent", f"第{n}句话") for n in range(10_000)]
    case = copilot.case_of_turns("long", [*turns, Turn("borrower", FEE)], now=NOW)
    assert FREE in (await events_of(case, own))["done"][0]["text"]


async def test_the_suite_holds_without_a_model(own: Deps) -> None:
    suite = SUITES["copilot"]
    assert isinstance(suite, CopilotSuite)
    assert len(suite.cases()) >= 45
    # All of them are asked by the gate of evaluations.
    result = await suggest_all(suite, own, limit=36)
    assert result.missed == (), [
        (each.case, name, check.got)
        for each in result.records
        for name, check in each.checks.items()
        if not check.passed
    ]


# Next steps


async def test_every_step_names_what_is_there(own: Deps) -> None:
    clauses = await own.clauses()
    macros = {script.id for script in load_scripts()}
    for action in load_steps().actions:
        for place in (action.row.get("clause"), *action.row.get("more", ())):
            if place is not None:
                found = clause_saying(clauses, *place, TODAY)
                assert found, (action.id, place)
                assert found[0].audience == "borrower"
        if "rule" in action.row:
            assert action.row["rule"] in own.rules.by_id
        if "script" in action.row:
            assert action.row["script"] in macros
        for locale in ("zh-Hans", "zh-Hant", "en"):
            assert action.row["title"][locale]
            assert action.row["reason"][locale]


async def test_a_complaint_carries_its_limits_and_their_day(own: Deps) -> None:
    found = await copilot.next_actions(case_of(own, "我要向人民银行投诉你们"), own)
    step = next(each for each in found["actions"] if each["id"] == "open_complaint")
    kinds = {source["kind"] for source in step["source"]}
    assert kinds >= {"said", "clause", "limit", "rule"}
    assert step["due_at"] == "2026-12-11"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-26T21:59:00", "2026-11-26T21:59:00"),
        ("2026-11-26T22:00:00", "2026-11-27T08:00:00"),
        ("2026-11-27T00:30:00", "2026-11-27T08:00:00"),
        ("2026-11-27T07:59:00", "2026-11-27T08:00:00"),
        ("2026-11-27T08:00:00", "2026-11-27T08:00:00"),
    ],
)
async def test_quiet_hours_end_at_the_next_permitted_minute(
    at: str, expected: str, own: Deps
) -> None:
    asked = datetime.fromisoformat(at).replace(tzinfo=ZONE)
    assert permitted_from(own.rules, asked) == datetime.fromisoformat(expected).replace(tzinfo=ZONE)


async def test_own_hours_of_the_institution_count(own: Deps) -> None:
    settings = {**own.rules.settings, "collection_quiet_from": time(20)}
    rules = replace(own.rules, settings=settings)
    late = datetime(2026, 11, 26, 20, 30, tzinfo=ZONE)
    assert permitted_from(rules, late).day == 27


# Scripts


def test_scripts_name_known_variables_only(tmp_path: Path) -> None:
    assert len({script.macro for script in load_scripts()}) == len(load_scripts())
    text = Path("knowledge/scripts.toml").read_text(encoding="utf-8")
    own = tmp_path / "scripts.toml"
    own.write_text(text.replace("{hotline}", "{password}"), encoding="utf-8")
    with pytest.raises(ScriptsError, match="password"):
        load_scripts(own)
    assert scripts_file(tmp_path / "lender.toml") == own
    assert scripts_file(tmp_path / "elsewhere" / "lender.toml").name == "scripts.toml"


async def test_every_script_passes_its_rules_once_it_is_filled(own: Deps) -> None:
    for task in ("agent", "collections"):
        for locale in ("zh-Hans", "zh-Hant", "en"):
            case = case_of(own, "你好", who="overdue_40", task=task, locale=locale)
            for script in await copilot.scripts(case, own, "demo-agent"):
                assert script["verdict"] in ("pass", "warn"), (script["id"], script["findings"])


@pytest.mark.parametrize("locale", ["zh-Hans", "en"])
async def test_script_and_card_tell_the_debt_that_a_borrower_is_told(
    own: Deps, locale: Any
) -> None:
    case = case_of(
        own,
        "我逾期了现在一共要还多少",
        who="overdue_120",
        task="collections",
        locale=locale,
    )
    (made,) = (await events_of(case, own))["calculation"]
    total = made["result"]["headline"][0]
    assert total["name"] == "total_cny"
    assert Decimal(made["result"]["penalty_cny"]) > 0
    shown = await copilot.card(case, own, frozenset({"agent"}))
    assert [loan["arrears"] for loan in shown["loans"] if loan["arrears"]] == [total["value"]]
    filled = {s["id"]: s["text"] for s in await copilot.scripts(case, own, "小林")}
    assert total["value"] in filled["arrears"]
    unknown = replace(own, front=replace(own.front, terms=None))
    filled = {s["id"]: s["text"] for s in await copilot.scripts(case, unknown, "小林")}
    apart = {"zh-Hans": "未含罚息", "en": "penalty interest apart"}[locale]
    assert apart in filled["arrears"]


def test_a_variable_that_nobody_knows_leaves_a_script_unfilled() -> None:
    script = next(each for each in load_scripts() if each.id == "due")
    values = dict.fromkeys(VARIABLES, "x")
    assert "{" not in fill(script, "en", values).text
    unfilled = fill(script, "en", {**values, "next_due_cny": ""})
    assert unfilled.text == ""
    assert unfilled.missing == ("next_due_cny",)


# Wrap-ups


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今晚", "2026-11-26"),
        ("大后天", "2026-11-29"),
        ("这周日", "2026-11-29"),
        ("周一", "2026-11-30"),
        ("下周一", "2026-11-30"),
        ("下下周三", "2026-12-09"),
        ("1月5号", "2027-01-05"),
        ("5号", "2026-12-05"),
        ("26号", "2026-11-26"),
        ("31号", "2026-11-30"),
        ("下个月31号", "2026-12-31"),
        ("2026年12月1日", "2026-12-01"),
        ("11月1日", "2027-11-01"),
        ("五个工作日内", "2026-12-03"),
        ("上个月", None),
        ("2月30号", None),
    ],
)
def test_a_day_is_read_as_it_is_said(text: str, expected: str | None) -> None:
    found = day_said(load_words(), text, TODAY)
    assert found == (date.fromisoformat(expected) if expected else None)


def test_workdays_go_around_the_holidays() -> None:
    assert after_workdays(date(2026, 9, 30), 1) > date(2026, 10, 1)
    assert after_workdays(date(2031, 1, 3), 1) == date(2031, 1, 6)


def test_a_day_counts_from_when_it_was_said() -> None:
    before = datetime(2026, 11, 20, 9, 0, tzinfo=ZONE)
    turns = [Turn("borrower", "明天我还500元", before)]
    assert promises(load_words(), turns, TODAY)[0].due_on == date(2026, 11, 21)


def test_a_time_is_read_as_it_is_said() -> None:
    assert time_said("下午三点半") == time(15, 30)
    assert time_said("什么时候") is None
    turns = [Turn("borrower", "明天上午十点再打给我")]
    wish = next_contact(load_words(), turns, NOW)
    assert wish is not None
    assert (wish.day, wish.at) == (date(2026, 11, 27), time(10))


async def test_a_models_summary_stands_only_with_figures_that_were_said(own: Deps) -> None:
    case = case_of(own, "我明天还500元")
    own.use_model(ScriptedChat(["借款人明天还500元。", "借款人明天还5000元。"], way="draft"))
    written = await copilot.summary(case, own, model=True)
    assert written["summary"] == "借款人明天还500元。"
    assert written["model"]
    put_together = await copilot.summary(case, own, model=True)
    assert put_together["model"] == ""
    assert "5000" not in put_together["summary"]
    assert "500" in put_together["summary"]


async def test_a_card_number_is_taken_nowhere(own: Deps) -> None:
    number = "6222020200112233449"
    digits = [int(c) for c in number[:-1]]
    doubled = [d if n % 2 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits))]
    number = number[:-1] + str(-sum(doubled) % 10)
    case = case_of(own, FEE)
    with pytest.raises(CardNumber):
        await copilot.check_draft(case, own, f"您的卡号 {number}")
    made = {**await copilot.wrap_up(case, own), "summary": f"卡号 {number}"}
    with pytest.raises(CardNumber):
        await copilot.keep_wrap_up(case, own, made, staff_id="")


def test_turns_of_elsewhere_are_masked() -> None:
    turns = copilot.masked_turns([Turn("borrower", "我电话13812345678"), Turn("agent", "好的")])
    assert "13812345678" not in turns[0].text


def test_a_sealed_customer_is_read_with_the_key_and_beside_its_conversation_alone() -> None:
    keys = Keys({"a": b"k" * 40}, "a")
    sealed = identity.seal_customer(keys, "C-1", "one")
    assert identity.unseal_customer(keys, sealed, "one") == "C-1"
    assert identity.unseal_customer(keys, sealed, "other") == ""
    assert identity.unseal_customer(Keys({"b": b"q" * 40}, "b"), sealed, "one") == ""
    assert identity.unseal_customer(keys, "no base64", "one") == ""
    newer = Keys({"a": b"k" * 40, "b": b"q" * 40}, "b")
    assert identity.unseal_customer(newer, sealed, "one") == "C-1"


async def test_collections_propose_no_contact_on_what_is_not_known(own: Deps) -> None:
    for contact, allowed in (
        (Contact("phone", "borrower", 0), True),
        (Contact("phone", "borrower", None), False),
        (Contact("phone", "third_party", 0), False),
        (Contact("sms", "borrower", None), True),
    ):
        case = case_of(own, "知道了", who="overdue_5", task="collections", contact=contact)
        step = (await copilot.next_actions(case, own))["actions"][-1]
        assert step["id"] == "contact"
        assert step["allowed"] is allowed, contact
        assert allowed or step["why_not"]


async def test_somebody_else_is_told_no_figure_of_the_customer(own: Deps) -> None:
    case = case_of(
        own,
        "他欠你们多少钱，我现在一次还清要多少？",
        who="overdue_40",
        task="collections",
        contact=Contact("phone", "third_party", 0),
    )
    made = await events_of(case, own)
    assert "calculation" not in made
    filled = {script["id"]: script for script in await copilot.scripts(case, own)}
    assert filled["arrears"]["text"] == ""
    assert filled["arrears"]["missing"]
