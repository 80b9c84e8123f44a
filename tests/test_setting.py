"""What the question and the reply have said before a sentence, and so need not be said again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date

import pytest

from assistant.compared import Source
from assistant.figures import find, on_that_side
from assistant.gate import Bar, Draft, release
from assistant.grounding import find_problem
from assistant.models import Citation
from assistant.reading import Names
from assistant.signing import Period
from evals.mutate import try_gate
from evals.replies import main, trials
from knowledge.documents import Clause, Head

NAMES = Names(
    ("绿洲消费金融有限公司", "绿洲消金"),
    (("green", ("绿洲贷",)), ("blue", ("蓝湖借",))),
)
FEE = "绿洲贷提前结清，免收违约金。"
LOST = "手机丢失的，用户应立即拨打 400-000-0000 冻结账户。"
OLD = "2025 年 12 月 31 日以前签署的绿洲贷，宽限期为 1 天。"


def reason(
    text: str, quote: str | Source, asked: str = "", before: tuple[str, ...] = ()
) -> str | None:
    source = Source(quote) if isinstance(quote, str) else quote
    problem = find_problem(text, [source], NAMES, asked, before=before)
    return problem and problem.reason


def test_the_product_is_that_of_the_sentence_before_or_else_of_the_question() -> None:
    said = "提前结清不收违约金。"
    assert reason(said, FEE) == "subject"
    assert reason(said, FEE, "绿洲贷提前还要钱吗") is None
    assert reason(said, FEE, "蓝湖借提前还要钱吗") == "subject"
    assert reason(said, FEE, before=("绿洲贷随时可以还。",)) is None
    assert reason(said, FEE, "蓝湖借呢", ("绿洲贷随时可以还。",)) is None
    assert reason(said, FEE, "绿洲贷呢", ("绿洲贷随时可以还。", "蓝湖借按日计息。")) == "subject"
    # Of two that were told of, the one that was asked about; asked about both, neither.
    assert reason(said, FEE, "绿洲贷呢", ("绿洲贷和蓝湖借都按日计息。",)) is None
    assert reason(said, FEE, "绿洲贷和蓝湖借提前还要钱吗") == "subject"


def test_a_rule_of_another_product_is_withheld_though_no_quote_names_one() -> None:
    row = Source("宽限期为 5 天。", product="green")
    assert reason("宽限期是5天。", row, "绿洲贷宽限几天") is None
    assert reason("宽限期是5天。", row, "蓝湖借宽限几天") == "subject"
    assert reason("宽限期是5天。", row, before=("蓝湖借按日计息。",)) == "subject"


def test_what_holds_for_all_products_need_not_name_them() -> None:
    both = "申请绿洲贷或蓝湖借须由本人办理。"
    assert reason("申请要由您本人办理。", both) is None
    apart = "绿洲贷宽限期为 5 天，蓝湖借没有宽限期。"
    assert reason("宽限期为5天。", apart) == "subject"


def test_a_condition_may_stand_in_the_question_or_in_the_sentence_before() -> None:
    said = "您应立即拨打 400-000-0000 冻结账户。"
    assert reason(said, LOST) == "condition_dropped"
    assert reason(said, LOST, "手机丢了怎么办") is None
    assert reason(said, LOST, before=("手机丢失的，请不要等。",)) is None
    assert reason(said, LOST, "我手机没丢，想冻结账户") == "condition_dropped"
    # What was told of one case is not told of the one before it.
    before = ("手机丢失的，请不要等。", "忘记密码的，可以重置。")
    assert reason(said, LOST, before=before) == "condition_dropped"


def test_that_the_lender_has_decided_is_not_so_because_the_borrower_says_it() -> None:
    quote = "审批通过的，借款人可以在 30 日内提款。"
    said = "您可以在30日内提款。"
    assert reason(said, quote, "我审批通过了，能提款吗") == "condition_dropped"
    assert reason("审批通过的话，您可以在30日内提款。", quote, "我审批通过了，能提款吗") is None


def test_the_opposite_case_is_another_case() -> None:
    before = "绿洲贷放款前，您可以随时取消申请。"
    said = "您可以随时取消申请。"
    assert reason(said, before, "绿洲贷放款前能取消申请吗") is None
    assert reason(said, before, "绿洲贷放款后能取消申请吗") == "condition_dropped"
    within = "在宽限期内足额还款的，绿洲贷当期视为按时还款。"
    late = "绿洲贷宽限期过了两天我足额还款，算逾期吗"
    assert reason("您这样当期视为按时还款。", within, late) == "condition_dropped"


def test_a_contract_that_is_told_of_on_the_other_side_of_a_day_is_another() -> None:
    signed = between("2026-06-01")
    said = "您的绿洲贷属于2025年12月31日以前签署的，宽限期是1天。"
    assert find_problem(said, [Source(OLD)], NAMES, signed=signed) is not None
    supposed = "如果您的绿洲贷是2025年12月31日以前签署的，宽限期是1天。"
    assert find_problem(supposed, [Source(OLD)], NAMES, signed=signed) is None


def test_a_product_that_is_told_apart_is_not_the_one_the_talk_is_of() -> None:
    assert reason("提前结清不收违约金。", FEE, "绿洲贷呢", ("这点和蓝湖借不同。",)) is None


def test_who_asks_of_two_cases_is_in_neither() -> None:
    quote = "在宽限期内还款的，不计收罚息。"
    assert reason("不计收罚息。", quote, "宽限期内还款要罚息吗") is None
    assert reason("不计收罚息。", quote, "宽限期内还款和过了再还款有什么区别") is not None


def between(first: str, last: str = "") -> Period:
    return date.fromisoformat(first), date.fromisoformat(last or first)


@pytest.mark.parametrize(
    ("signed", "holds"),
    [
        (between("2024-05-01", "2024-05-31"), True),
        (between("2025-12-31"), True),
        (between("2025-12-31", "2026-01-01"), False),
        (between("2026-01-01"), False),
        (None, False),
    ],
)
def test_a_contract_is_on_its_own_side_of_a_day(signed: Period | None, holds: bool) -> None:
    problem = find_problem("绿洲贷的宽限期是1天。", [Source(OLD)], NAMES, signed=signed)
    assert (problem is None) == holds


def test_a_day_of_the_borrowers_own_contract_is_told_where_it_belongs() -> None:
    may = between("2024-05-01", "2024-05-31")
    asked = "我去年5月签的绿洲贷，宽限几天"
    for day in ("2024年5月", "2024年", "去年5月", "5月"):
        said = f"您{day}签的绿洲贷，宽限期是1天。"
        assert find_problem(said, [Source(OLD)], NAMES, asked, signed=may) is None, day
    for day in ("2023年5月", "2024年6月", "2024年5月3日"):
        said = f"您{day}签的绿洲贷，宽限期是1天。"
        problem = find_problem(said, [Source(OLD)], NAMES, asked, signed=may)
        assert problem is not None
        assert problem.reason == "unsupported_figure", day
    later = between("2026-05-01", "2026-05-31")
    said = "您2026年5月签的绿洲贷，属于2025年12月31日以前签署的，宽限期是1天。"
    problem = find_problem(said, [Source(OLD)], NAMES, signed=later)
    assert problem is not None
    assert problem.reason == "figure_role"


@pytest.mark.parametrize(
    ("period", "bound", "holds"),
    [
        (between("2025-11-01", "2025-11-30"), "2025年11月15日以前", False),
        (between("2025-11-01", "2025-11-30"), "2025年11月30日以前", True),
        (between("2025-01-01", "2025-12-31"), "2025年1月1日起", True),
        (between("2025-01-01", "2025-12-31"), "2025年1月2日起", False),
        (between("2025-03-01"), "2024年1月1日至2025年12月31日期间", True),
        (between("2026-03-01"), "2024年1月1日至2025年12月31日期间", False),
        (between("2026-07-05"), "2026年7月起", True),
        (between("2026-03-01"), "每月15日以前", False),
    ],
)
def test_all_days_are_on_one_side_or_they_are_not(period: Period, bound: str, holds: bool) -> None:
    assert on_that_side(*period, find(bound)[0]) == holds


def test_what_is_said_of_all_products_is_said_of_the_one_that_was_asked_about() -> None:
    cap = Source("借款人在绿洲消金全部产品的授信额度合计不超过 20 万元。", product="green")
    assert reason("全部产品的授信额度合计不超过20万元。", cap, "蓝湖借能借多少") is None


def test_a_yes_may_repeat_what_was_asked_and_must_be_the_clauses() -> None:
    quote = "绿洲贷放款后 3 日内可以撤销。"
    assert reason("可以撤销，绿洲贷放款后3日内都能办。", quote, "绿洲贷能撤销吗") is None
    assert reason("不能撤销，绿洲贷放款后3日内可以撤销。", quote, "绿洲贷能撤销吗") is not None
    sold = "绿洲贷逾期记录不影响提交申请。"
    assert reason("能批，绿洲贷逾期记录不影响提交申请。", sold, "有逾期记录能批吗") is not None
    refused = "绿洲贷放款后不能撤销，借款人可以提前还款。"
    assert reason("不能，绿洲贷放款后是不能撤销的。", refused, "绿洲贷能撤销吗") is None
    assert reason("可以撤销，绿洲贷放款后可以提前还款。", refused, "绿洲贷能撤销吗") is not None


def test_what_the_question_supposes_is_not_told_for_that() -> None:
    asked = "我是学生，绿洲贷能提前还吗，解冻费是要交的吗"
    for case in ("如果您是学生", "您是学生的话", "解冻费是要交的", "如果您交了解冻费"):
        assert reason(f"{case}，绿洲贷提前结清免收违约金。", FEE, asked) == "invented", case


async def test_the_gate_reads_each_sentence_with_those_that_were_shown() -> None:
    text = FEE + OLD + "蓝湖借没有宽限期。"
    clause = Clause(id="c", source="t.md", locator="第一条", title="", text=text, head=Head())

    def draft(said: str, quote: str) -> Draft:
        return Draft(said, "model", (Citation(clause, quote),))

    async def shown(*drafts: Draft) -> list[str]:
        async def stream() -> AsyncGenerator[Draft, None]:
            for one in drafts:
                yield one

        bar = Bar(names=NAMES)
        return [d.text async for v in release(stream(), None, bar) for d in v.released]

    first, second = "绿洲贷可以提前结清，不收违约金。", "提前结清不收违约金。"
    other = "蓝湖借是没有宽限期的。"
    assert await shown(draft(second, FEE)) == [FEE]
    assert await shown(draft(first, FEE), draft(second, FEE)) == [first, second]
    # A clause that stands in a sentence's place was shown; a notice tells nothing of the matter.
    wrong = "绿洲贷提前结清要收违约金。"
    assert await shown(draft(wrong, FEE), draft(second, FEE)) == [FEE, second]
    assert await shown(draft(other, "蓝湖借没有宽限期。"), draft(second, FEE)) == [other, FEE]
    notice = Draft("绿洲贷的说明如下：", "notice")
    assert await shown(notice, draft(second, FEE)) == [notice.text, FEE]


def test_of_replies_by_a_strong_model_false_sentences_are_withheld_and_true_ones_shown() -> None:
    outcomes = try_gate(list(trials("replies")))
    false = [not o.reason for o in outcomes if not o.trial.true]
    true = [not o.reason for o in outcomes if o.trial.true]
    assert len(false) > 130
    assert sum(false) <= 2
    assert sum(true) > 0.5 * len(true)


def test_what_leans_on_a_question_or_a_sentence_before_is_mostly_withheld() -> None:
    outcomes = try_gate(list(trials("attacked")))
    assert len(outcomes) > 890
    assert not any(outcome.trial.true for outcome in outcomes)
    assert sum(not outcome.reason for outcome in outcomes) <= 77


def test_replies_that_are_kept_back_are_measured_and_not_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["replies_fresh", "--show"])
    assert "measured, not read" in capsys.readouterr().err
    assert main(["replies_fresh"]) == 0
    assert "released" in capsys.readouterr().out
