"""What a sentence turns around in its clause's own words is found; what says the same is not."""

from __future__ import annotations

import time

import pytest

from assistant.grounding import Names, Source, find_problem
from assistant.rearranged import find
from knowledge.text import fold

NAMES = Names(("某消金", "某消费金融有限公司"), (("steady", ("稳贷",)), ("loose", ("活借",))))

TURNED = [
    ("经办人应先核对姓名，再登记金额。", "经办人应先登记金额，再核对姓名。"),
    ("在取得书面同意后报送记录。", "在报送记录后取得书面同意。"),
    ("对机器初审有异议的，可以申请专人复核。", "对专人复核有异议的，可以申请机器初审。"),
    ("停用短信提醒不影响账单推送。", "停用账单推送不影响短信提醒。"),
    ("周卡只能用于稳贷。", "稳贷只能使用周卡。"),
    ("资料不向亲友提供。", "资料不向亲友提供，父母除外。"),
    ("以假证或黑客手段领取的，可以追回。", "以假证且以黑客手段领取的，可以追回。"),
    ("满 5,000 元、6 期的可以使用。", "满 5,000 元或者 6 期的可以使用。"),
    ("资费合计不高于 100 元。", "资费各不高于 100 元。"),
    ("全部款项到账后可以开具证明。", "当期款项到账后可以开具证明。"),
    ("时限可以延长至 30 日。", "时限可以延长 30 日。"),
    ("新利率不高于原利率。", "新利率低于原利率。"),
    ("已用款项的利率不变。", "今后用款的利率不变。"),
    ("近 6 个月没有拖欠的可以申请。", "目前没有拖欠的可以申请。"),
    ("渠道只有官网、App 和热线。", "渠道有官网、App、热线等。"),
    ("至少提前 7 日公告。", "改完过七天公告。"),
    ("条件不如本办法的，按本办法执行。", "条件不如本办法的，按条件执行。"),
    (
        "自收到答复之日起 30 日内可以申请。收到答复前可以撤回申请。",
        "自撤回申请之日起 30 日内可以申请。",
    ),
    ("宽限期内足额还款不算拖欠。", "宽限期内不足额还款也不算拖欠。"),
    ("用户变更住址的，应在 5 日内更新。", "用户变更住址的，某消金应在 5 日内更新。"),
    ("个人可以向征信机构查询报告。", "个人可以向某消金查询报告。"),
    ("不得不经同意调整额度。", "不会不调整额度。"),
    ("新方案的成本不高于旧方案的成本。", "旧方案的成本不高于新方案的成本。"),
    ("距上一还款日 10 天时结清。", "距下一还款日 10 天时结清。"),
    ("申请取消的，原计划继续有效。", "申请取消的，原计划失效。"),
    ("不向中介付费。", "只有本公司可以收费。"),
    ("符合条件的借款人可以同时使用两种产品。", "借款人都可以同时使用两种产品。"),
    ("多收的息费在 5 个工作日内退还。", "多收的息费自投诉之日起 5 个工作日内退还。"),
    ("满 6 期的，可以申请恢复额度。", "满 6 期的，额度即恢复。"),
    ("未归还的部分构成逾期。", "未归还的部分可以再适用一次宽限期。"),
]

OTHERWISE = [
    ("借款人可以在手机上申请延期。", "您可以在手机上申请延期，我们会为您办理。"),
    (
        "还款日为放款日的对应日，没有对应日的，以该月最后一日为还款日。",
        "没有对应日的，就以那个月最后一天为还款日。",
    ),
    ("转让债权的，应事先通知借款人，转让不增加负担。", "转让前会通知您，而且转让不会增加负担。"),
    ("满 20 周岁且不超过 55 周岁的可以申请。", "年满 20 周岁并且不超过 55 周岁就可以申请。"),
    ("第 3 期还清后支持提前还款。", "第 3 期还清以后才可以提前还款。"),
    ("借款人失业或者收入下降的，可以申请。", "失业、收入下降，符合其一就可以申请。"),
    ("免收违约金，但逾期的除外。", "除逾期的以外，免收违约金。"),
    ("提前结清和部分提前还款都不收费。", "部分提前还款和提前结清都不收费。"),
    ("在本人同意后查询。", "本人同意之后查询。"),
    ("超过 30 日未办理的，申请失效。", "30 日后还没有办理的，申请失效。"),
]


@pytest.mark.parametrize(("quote", "said"), TURNED)
def test_what_is_turned_around_is_found(quote: str, said: str) -> None:
    assert find(fold(said), [fold(quote)], NAMES.lender)
    assert find_problem(said, [Source(quote)], NAMES)


@pytest.mark.parametrize(("quote", "said"), OTHERWISE)
def test_what_says_the_same_otherwise_is_let_through(quote: str, said: str) -> None:
    assert find(fold(said), [fold(quote)], NAMES.lender) is None


@pytest.mark.parametrize(("quote", "said"), [*TURNED, *OTHERWISE])
def test_a_clause_itself_turns_nothing_around(quote: str, said: str) -> None:
    assert find(fold(quote), [fold(quote)], NAMES.lender) is None


def test_what_is_said_of_one_product_is_not_said_of_the_other() -> None:
    quote = "稳贷提前结清在白天办理，活借提前还款全天可以办理。"
    for said in ("稳贷提前结清全天可以办理。", "稳贷和活借提前结清都在白天办理。"):
        assert find_problem(said, [Source(quote)], NAMES), said
    assert find_problem("活借提前还款全天可以办理。", [Source(quote)], NAMES) is None


def test_a_thing_is_not_moved_from_what_is_denied_to_what_is_allowed() -> None:
    quote = "稳贷可以使用还款券，不能使用折扣券和免息券。"
    assert find_problem("稳贷可以使用还款券和免息券，不能使用折扣券。", [Source(quote)], NAMES)


def test_long_texts_are_compared_in_bounded_time() -> None:
    long = "先还后借，再借先还，" * 4000
    began = time.thread_time()
    find(long, [long], NAMES.lender)
    assert time.thread_time() - began < 5
