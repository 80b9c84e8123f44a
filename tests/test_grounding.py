"""What a written sentence may say of its clauses, row by row."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from assistant.compared import Source
from assistant.grounding import find_problem
from assistant.reading import Names, names_of
from knowledge.lender import load_lender

NAMES = Names(
    lender=("绿洲消费金融有限公司", "绿洲消金"),
    products=(("green", ("绿洲贷",)), ("blue", ("蓝湖借",))),
)

FEE = "绿洲贷提前结清，免收违约金。"
LATE = "在宽限期内足额还款的，不计收罚息，也不报送征信。"
LIMIT = "绿洲贷单笔金额为 1,000 元至 200,000 元。"
CAP = "全部产品的授信额度合计不超过 200,000 元。"
SPEED = "绿洲贷在签署合同后通常 30 分钟内放款。"
TWO = "首期还款 1,144.00 元，末期还款 1,012.00 元。"
AGAIN = "绿洲贷或蓝湖借申请未通过的，30 日后可以再次申请。"
IN_FORCE = "本办法适用于绿洲贷和蓝湖借的全部在贷合同。"
COUPONS = "优惠券分为折扣券和立减券两种。"
POSTAGE = "纸质证明的邮寄费为 15 元/次，电子证明免费。"
NOTICE = "绿洲消金宣布提前到期前，应当通知借款人。"
ORDER = "绿洲贷的还款，依次归还罚息、利息和本金。"
NIGHT = "绿洲消金在每日 22:00 至次日 8:00 不进行催收，借款人同意的除外。"


CAPPED = "绿洲贷的罚息利率为合同利率上浮 50%，且不超过 24%。"
TOLD = "绿洲消金转让绿洲贷债权的，应事先通知借款人。"
FROM = "绿洲贷的审批结果自通知之日起 30 日内有效，过期须重新申请。"
SHARE = "绿洲贷提前结清的，按剩余本金的 2% 收取违约金，合同金额不变。"
BOTH = "办理绿洲贷应提交授权书和身份证明。"
HARD = "绿洲消金收到投诉后的 1 个工作日内与投诉人联系。"
PAUSE = "审核期间，绿洲消金暂停对该笔借款的电话催收。"
MIXED = "绿洲消金只对逾期本金计收罚息，对逾期利息不计收复利。"
PRIVATE = "绿洲消金不要求借款人向个人账户或收款码还款。"
PART = "绿洲贷借款人还清逾期款项后恢复额度。"
HELP = "审核困难帮扶申请期间，绿洲消金暂停对该笔借款的电话催收。"
REMIND = "绿洲消金在绿洲贷还款日前 3 日和前 1 日各发送一次还款提醒。"
LOST = "借款人失业或者重病的，可以申请困难帮扶。"
ONCE = "每笔绿洲贷可以延期还款 1 次。"
PROOF = "绿洲贷结清证明为 PDF 文件，载有借款人姓名、借款金额、结清日期和绿洲消金电子印章。"
AGAIN = "绿洲贷申请未通过的，30 日后可以再次申请。"
LATER = "绿洲贷自第 4 期起提前结清的，免收违约金。"
MINORS = "绿洲消金不向未成年人发放贷款。"
WAYS = "借款人可以通过下列渠道投诉。"
KEPT = "免息券只免除利息，蓝湖借的本金仍须按期归还。"
FIXED = "绿洲贷放款后，借款期限不能更改，但双方另行达成延期约定的除外。"


@pytest.mark.parametrize(
    ("text", "quote", "reason"),
    [
        ("绿洲贷的罚息利率为合同利率上浮50%。", CAPPED, "condition_dropped"),
        ("借款人转让绿洲贷债权的，应事先通知绿洲消金。", TOLD, "subject"),
        ("绿洲贷的审批结果自申请之日起30日内有效，过期须重新申请。", FROM, "polarity"),
        ("绿洲贷提前结清的，按合同金额的2%收取违约金。", SHARE, "figure_role"),
        ("办理绿洲贷应提交授权书或身份证明。", BOTH, "condition_dropped"),
        ("绿洲消金收到投诉后的1个工作日内可以与投诉人联系。", HARD, "polarity"),
        ("审核期间，我们会对该笔借款进行电话催收。", PAUSE, "polarity"),
        ("绿洲消金只对逾期本金和逾期利息计收罚息。", MIXED, "figure_role"),
        ("绿洲贷借款人还清部分逾期款项后恢复额度。", PART, "promise"),
        ("困难帮扶申请审核期间，我们暂时会就这笔借款打电话催收。", HELP, "polarity"),
        (
            "绿洲消金在绿洲贷还款日前3日、前1日和还款日当日各发送一次还款提醒。",
            REMIND,
            "figure_role",
        ),
        ("借款人失业且重病的，可以申请困难帮扶。", LOST, "condition_dropped"),
        ("借款人失业、重病或者离婚的，可以申请困难帮扶。", LOST, "invented"),
        ("每笔绿洲贷每年可以延期还款1次。", ONCE, "promise"),
        (
            "绿洲贷结清证明为PDF文件，载有借款人姓名、借款金额、职业、结清日期和绿洲消金电子印章。",
            PROOF,
            "invented",
        ),
        ("绿洲贷放款后，借款期限不能更改，除非绿洲消金另行决定。", FIXED, "invented"),
        ("绿洲贷第4期以前提前结清的，免收违约金。", LATER, "condition_dropped"),
        ("Late payments are reported.", "Late payments are not reported.", "invented"),
        ("极速贷不收违约金。", "提前结清，免收违约金。", "subject"),
        (
            "1万元及以下情形须提交收入证明。",
            "1 万元及以上情形须提交收入证明。",
            "bound_contradicted",
        ),
        ("合作银行不向未成年人发放贷款。", MINORS, "subject"),
        ("绿洲贷提前结清要收违约金。", FEE, "polarity"),
        ("绿洲贷提前结清并非免收违约金。", FEE, "polarity"),
        ("绿洲贷提前结清，违约金不是不收。", FEE, "polarity"),
        ("蓝湖借提前结清，免收违约金。", FEE, "subject"),
        ("提前结清，免收违约金。", FEE, "subject"),
        ("红星贷提前结清，免收违约金。", FEE, "subject"),
        ("绿洲贷提前结清，免收违约金，还送您一台电视。", FEE, "invented"),
        ("绿洲贷提前结清，一定免收违约金。", FEE, "promise"),
        ("绿洲贷提前结清，我给您免收违约金。", FEE, "promise"),
        ("系统提示：已解除限制，绿洲贷提前结清，免收违约金。", FEE, "invented"),
        ("\ue011提前结清，免收违约金。", FEE, "subject"),
        ("不计收罚息，也不报送征信。", LATE, "condition_dropped"),
        ("在宽限期后足额还款的，不计收罚息，也不报送征信。", LATE, "condition_dropped"),
        ("绿洲消金不要求借款人还款。", PRIVATE, "condition_dropped"),
        ("在宽限期内足额还款的，计收罚息，也不报送征信。", LATE, "polarity"),
        ("绿洲贷能借30万。", LIMIT, "bound_contradicted"),
        ("绿洲贷能借20万。", LIMIT, "bound_contradicted"),
        ("绿洲贷单笔金额不超过1,000元。", LIMIT, "bound_contradicted"),
        ("全部产品的授信额度合计至少20万元。", CAP, "bound_contradicted"),
        ("全部产品的授信额度合计20万元。", CAP, "bound_contradicted"),
        ("绿洲贷在签署合同后30分钟内放款。", SPEED, "condition_dropped"),
        ("绿洲贷在签署合同后通常30天内放款。", SPEED, "unsupported_figure"),
        ("首期还款1,012元。", TWO, "figure_role"),
        ("借款人宣布提前到期前，应当通知绿洲消金。", NOTICE, "subject"),
        ("绿洲消金宣布提前到期前，无须通知借款人。", NOTICE, "polarity"),
        ("绿洲贷的还款，依次归还本金、利息和罚息。", ORDER, "polarity"),
        ("绿洲消金在每日22:00至次日8:00不进行催收。", NIGHT, "condition_dropped"),
        ("借款人同意的，绿洲消金在每日22:00至次日8:00不进行催收。", NIGHT, "condition_dropped"),
        ("绿洲贷提前结清以前，免收违约金。", FEE + "绿洲贷提前结清后，报送征信。", "polarity"),
        ("不允许，绿洲贷单笔金额为1000元到20万元。", LIMIT, "polarity"),
        ("绿洲贷提前结清，想借多少就能借多少，免收违约金。", FEE, "promise"),
        ("第三方平台宣布提前到期前，应当通知借款人。", NOTICE, "subject"),
        ("绿洲消金在每日22:00至次日8:00不向您的同事进行催收，您同意的除外。", NIGHT, "subject"),
        ("绿洲贷提前结清，免收违约金（您已获批）。", FEE, "invented"),
        ("罚息利率为.5%。", "罚息利率为 5%。", "unsupported_figure"),
        ("宽限期为 3 天（**工作日**）。", "宽限期为 3 天。", "invented"),
        ("节假日（含周末）可以还款。", "节假日（不含周末）可以还款。", "invented"),
        (FEE, FEE.replace("。", "（逾期除外）。"), "condition_dropped"),
        ("绿洲贷提前结清，（不）免收违约金。", FEE, "invented"),
        ("绿洲贷（无需还款）提前结清，免收违约金。", FEE, "invented"),
        ("绿洲贷提前结清，免收违约金（ＱＱ123）。", FEE, "invented"),
        ("绿洲贷（蓝湖借）提前结清，免收违约金。", FEE, "subject"),
        ("绿洲贷未通过的，30 日后可以申请蓝湖借。", AGAIN, "subject"),
        ("绿洲贷的全部合同和蓝湖借的在贷合同适用本办法。", IN_FORCE, "subject"),
        ("折扣券分为立减券和优惠券两种。", COUPONS, "subject"),
        ("绿洲贷在签署合同后由专员协同通常 30 分钟内放款。", SPEED, "invented"),
        ("绿洲贷单笔金额总和为 1,000 元至 200,000 元。", LIMIT, "invented"),
        ("依次进入「还款」「我的」。", "依次进入「我的」「还款」。", "figure_role"),
        ("可以在「还款」App 查询。", "可以在「绿洲」App「还款」查询。", "invented"),
        ("不能下载。", "可以在官网下载合同和明细，下载均免费。", "polarity"),
        ("不会下载。", "可以在官网下载合同和明细，下载均免费。", "polarity"),
        ("仍可在未用完的额度内提款。", "额度到期未续期的，不能再提款。", "polarity"),
        ("电子证明为 15 元/次。", POSTAGE, "figure_role"),
        ("依照条款内容，可以的，绿洲贷不向学生放款。", "绿洲贷不向学生放款。", "polarity"),
    ],
)
def test_what_the_clause_does_not_say_is_found(text: str, quote: str, reason: str) -> None:
    problem = find_problem(text, [Source(quote)], NAMES)
    assert problem is not None
    assert problem.reason == reason, problem.detail


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        (
            "2025 年 12 月 31 日以前签的合同不支持撤销。",
            "3. 2025 年 12 月 31 日以前签署的合同不支持撤销。",
        ),
        ("日利率在 0.03%–0.05% 之间。", "项目：日利率；标准：0.03%–0.05%；说明：以合同为准"),
        ("按 5 键是困难帮扶。", "按键：5；服务内容：困难帮扶；服务时间：全天"),
        ("绿洲贷额度的有效期就是 24 个月。", "绿洲贷额度的有效期为 24 个月。"),
        ("不能申请绿洲贷，也不能申请蓝湖借。", "不能申请绿洲贷和蓝湖借。"),
        ("本办法适用于蓝湖借、绿洲贷的全部在贷合同。", IN_FORCE),
        ("可以的，绿洲贷提前结清，免收违约金。", FEE),
        ("电子证明是免费的，纸质证明的邮寄费为 15 元/次。", POSTAGE),
        ("违约金标准是 0 元，提前结清免收。", "违约金：0 元；提前结清免收"),
        ("绿洲消金不给未成年人放贷。", MINORS),
        ("“Late payments are not reported.”", "Late payments are not reported."),
        ("借款人可以通过以下渠道投诉。", WAYS),
        ("免息券只免除利息，蓝湖借的本金仍需要按期归还。", KEPT),
        ("绿洲贷自第4期起提前结清，违约金一概不收。", LATER),
        ("綠洲貸放款後，藉款期限不能更改，但雙方另行達成延期約定的除外。", FIXED),
        ("绿洲贷提前结清不收违约金。", FEE),
        ("您好，绿洲贷提前还清的话，违约金是不收的。", FEE),
        ("綠洲貸提前結清，不用交違約金。", FEE),
        ("宽限期内足额还上就不收罚息，也不会报送征信。", LATE),
        ("绿洲消金不会要求借款人向个人账户或收款码还钱。", PRIVATE),
        ("绿洲贷单笔最高20万元。", LIMIT),
        ("绿洲贷单笔金额在1000元到二十万元之间。", LIMIT),
        ("全部产品的授信额度合计最多二十万元。", CAP),
        ("绿洲贷签了合同以后，一般30分钟内放款。", SPEED),
        ("首期还1144元，末期还1012元。", TWO),
        ("我们宣布提前到期前，应当通知您。", NOTICE),
        ("绿洲贷的还款，先还罚息，再还利息和本金。", ORDER),
        ("每天22:00到第二天8:00我们不催收，除非您同意。", NIGHT),
        ("绿洲贷30日后可以再次申请，当然得是申请未通过才行。", AGAIN),
        ("绿洲贷30日后可以再次申请，条件就一条：申请未通过。", AGAIN),
        ("绿洲贷30日后可以再次申请，这以申请未通过为前提。", AGAIN),
        ("在满足绿洲贷申请未通过的条件下，30日后可以再次申请。", AGAIN),
        ("绿洲贷放款后，借款期限不能更改，除非双方另行达成延期约定。", FIXED),
        ("除非双方另行达成延期约定，否则绿洲贷放款后借款期限不能更改。", FIXED),
        ("1. 绿洲贷提前结清，免收违约金，见第八条。", FEE),
        ("绿洲贷提前还清，违约金分文不收，感谢您的耐心等待。", FEE),
        ("还有哪里不清楚欢迎随时问，绿洲贷提前还清免收违约金。", FEE),
        ("| 绿洲贷提前结清 | 免收违约金 |", FEE),
        ("绿洲消费金融有限公司（绿洲消金）宣布提前到期前，应当通知您。", NOTICE),
    ],
)
def test_what_the_clause_says_in_other_words_passes(text: str, quote: str) -> None:
    assert find_problem(text, [Source(quote)], NAMES) is None


def test_the_product_may_stand_in_the_heading_or_in_the_question() -> None:
    row = "项目：宽限期；标准：3 个自然日"
    said = "绿洲贷的宽限期是3个自然日。"
    assert find_problem(said, [Source(row, "二、绿洲贷息费标准")], NAMES) is None
    assert find_problem(said, [Source(row, product="green")], NAMES) is None
    assert find_problem(said, [Source(row, "三、蓝湖借息费标准")], NAMES) is not None
    dropped = "提前结清，免收违约金。"
    assert find_problem(dropped, [Source(FEE)], NAMES, asked="绿洲贷提前还要交钱吗") is None


@pytest.mark.parametrize("joined", ["并公开", "和公开", "、公开", "，也会公开", "公开"])
def test_a_word_is_not_told_because_it_was_asked_about(joined: str) -> None:
    quote, asked = "绿洲消金会保存借款人的通话录音。", "你们会公开我的通话录音吗"
    said = f"绿洲消金会保存{joined}借款人的通话录音。"
    assert find_problem(said, [Source(quote)], NAMES, asked=asked)
    assert find_problem("我们会保存您的通话录音。", [Source(quote)], NAMES, asked=asked) is None


@pytest.mark.parametrize("row", ["标准：0 元", "标准：0.00 元", "金额：0元"])
def test_a_charge_of_nothing_in_a_row_is_no_charge(row: str) -> None:
    source = Source(f"项目：提前还款违约金；{row}；说明：随时提前还款，利息按实际用款天数计算")
    for said in ("提前还款照收违约金", "提前还款另外收违约金", "提前还款，收取违约金"):
        problem = find_problem(f"{said}，利息按实际用款天数计算。", [source], NAMES)
        assert problem is not None, said
        assert problem.reason == "polarity"
    for said in (
        "提前还款不收违约金",
        "提前还款免收违约金",
        "随时可以提前还款，提前还款违约金为 0 元",
    ):
        assert find_problem(f"{said}，利息按实际用款天数计算。", [source], NAMES) is None, said


def test_of_two_products_each_keeps_what_is_said_of_it() -> None:
    quotes = ("绿洲贷提前结清，免收违约金。", "蓝湖借提前结清，收取违约金。")
    named = [Source(quote) for quote in quotes]
    for said in ("蓝湖借提前结清，免收违约金。", "绿洲贷提前结清，收取违约金。"):
        assert find_problem(said, named, NAMES), said
    true = "绿洲贷提前结清不收违约金，蓝湖借提前结清收取违约金。"
    assert find_problem(true, named, NAMES) is None
    terms = [Source("宽限期为 5 天。", product="green"), Source("宽限期为 3 天。", product="blue")]
    assert find_problem("绿洲贷的宽限期是3天。", terms, NAMES)
    assert find_problem("绿洲贷的宽限期是5天。", terms, NAMES) is None
    of_green = "绿洲贷宽限期几天"
    assert find_problem("宽限期是3天。", terms, NAMES, asked=of_green)
    assert find_problem("宽限期是5天。", terms, NAMES, asked=of_green) is None
    row = Source("项目：提前结清；绿洲贷：收取 2%；蓝湖借：免收")
    assert find_problem("绿洲贷提前结清免收。", [row], NAMES)


def test_a_figure_of_the_question_is_told_as_the_customers_own_only() -> None:
    asked = "我能借30万元吗"
    restated = "您问的30万元，授信额度合计不超过20万元。"
    asserted = "授信额度合计30万元。"
    assert find_problem(restated, [Source(CAP)], NAMES, asked) is None
    assert find_problem(asserted, [Source(CAP)], NAMES, asked) is not None


def test_what_the_customer_asked_about_is_not_of_the_clause_for_that() -> None:
    told = find_problem("借款人可以通过微信投诉。", [Source(WAYS)], NAMES, "微信能投诉吗")
    assert told is not None
    assert told.reason == "invented"


def test_a_figure_may_come_from_a_calculation() -> None:
    said = "绿洲贷提前结清，免收违约金，罚息为12.48元。"
    assert find_problem(said, [Source(FEE + "罚息为另算。")], NAMES) is not None
    assert find_problem(said, [Source(FEE), Source("罚息另计。")], NAMES) is not None
    facts = ("12.48 元",)
    calculated = find_problem("罚息为12.48元。", [Source("罚息为 12.48 元。")], NAMES, facts=facts)
    assert calculated is None


def test_a_sentence_of_the_longest_kind_is_read_quickly() -> None:
    started = time.process_time()
    find_problem("绿洲贷提前结清，免收违约金，" * 40, [Source(FEE)] * 20, NAMES)
    assert time.process_time() - started < 1


def test_a_name_may_have_a_figure_or_a_space() -> None:
    lender = replace(load_lender(), products={"a": ("三期贷",), "b": ("随心借 plus",)})
    for name in ("三期贷", "随心借 Plus"):
        quote = f"{name}提前结清，免收违约金。"
        assert find_problem("提前结清，免收违约金。", [Source(quote)], names_of(lender)), name
        said = quote.replace("免收", "不收")
        assert find_problem(said, [Source(quote)], names_of(lender)) is None, name
