"""What is shown of a lender's documents where clauses are quoted without a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from assistant.answer import answer_question, collect
from assistant.deps import open_deps
from assistant.models import Question, Reply
from knowledge.embed import LocalEmbedder
from knowledge.release import build
from knowledge.text import sides

from .conftest import settings_for

TODAY = date(2026, 11, 28)

OLD = """# 禾贷产品条款

自2025年4月1日起施行。

## 三、提前结清

1. 借款人可以提前结清，提前结清的，按提前归还本金的3%收取违约金。
2. 不支持提前归还部分本金。

## 四、逾期

1. 逾期本金按借据利率上浮40%计收罚息。
"""
NEW = """# 禾贷产品条款（2026年修订）

第一条 本条款自2026年6月1日起施行，原《禾贷产品条款》同时废止。

第二条 禾贷单户最高额度为150,000元。

第三条 还满3期以后提前结清的，不收取违约金；未满3期提前结清的，按剩余本金的2%收取违约金。

第四条 逾期本金按借据利率上浮25%计收罚息。
"""
OTHER = """# 苗分期产品说明

## 额度

苗分期单笔金额为3,000元至80,000元。

## 提前结清

苗分期提前结清不收违约金，须提前2个工作日申请。

## 还款

苗分期还款日为每月20日，设2日宽限期。
"""
LIMITS = """# 代扣限额

| 银行 | 单笔限额（元） | 单日限额（元） |
|---|---|---|
| 工商银行 | 50,000 | 100,000 |
| 农业银行 | 20,000 | 60,000 |
| 邮储银行 | 8,000 | 16,000 |

# 收费

| 序号 | 收费项目 | 收费标准 |
|---|---|---|
| 1 | 电子结清证明 | 免费 |
| 2 | 纸质结清证明 | 每份18元 |
| 3 | 还款日变更 | 每次30元 |
"""
COUPONS = """# 优惠券规则

1. 每笔借款限用一张，不同种类的券不能叠加。
2. 券过期自动作废，不补发。
3. 优惠券在借款时选择使用，放款以后不能补用。
"""


async def replies(
    home: Path, documents: Mapping[str, str], *questions: str
) -> list[tuple[Reply, str]]:
    """What is replied, and the text of it."""
    folder = home / "documents"
    folder.mkdir(parents=True)
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")
    answered = []
    async with open_deps(settings_for(home, ZHUNXIN_LLM="extractive")) as deps:
        lock = home / "lock"
        await build(deps.engine, deps.vector_store, LocalEmbedder(1), [folder], lock_file=lock)
        for text in questions:
            reply = await collect(answer_question(Question(text=text, today=TODAY), deps))
            assert isinstance(reply, Reply)
            answered.append((reply, "\n".join(s.text for s in reply.sentences)))
    return answered


async def test_terms_that_gave_way_are_told_of_the_contracts_of_their_days(tmp_path: Path) -> None:
    (_, unknown), (_, older), (_, newer) = await replies(
        tmp_path,
        {"old.md": OLD, "new.md": NEW, "other.md": OTHER, "coupons.md": COUPONS},
        "禾贷提前结清违约金多少",
        "我2025年8月借的禾贷，提前结清违约金多少",
        "我今年7月借的禾贷，提前结清违约金多少",
    )
    assert "剩余本金的2%" in unknown
    lead = "如果您的合同在 2025-04-01 至 2026-05-31 之间签订，适用的旧版条款是："
    assert lead in unknown.partition("归还本金的3%")[0]
    assert "归还本金的3%" in older
    assert "剩余本金的2%" not in older
    assert "剩余本金的2%" in newer
    assert "归还本金的3%" not in newer


async def test_who_puts_documents_in_is_told_which_end_since_others_begin(tmp_path: Path) -> None:
    for name, text in {"old.md": OLD, "new.md": NEW}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        built = await build(
            deps.engine,
            deps.vector_store,
            LocalEmbedder(1),
            [tmp_path / "old.md", tmp_path / "new.md"],
            lock_file=tmp_path / "lock",
        )
    told = [warning.reason for warning in built.warnings if warning.path == "old.md"]
    assert told == ["ends on 2026-05-31, since new.md is a later version of it"]


async def test_of_a_table_the_row_that_is_asked_for_is_shown_and_not_its_neighbours(
    tmp_path: Path,
) -> None:
    shown = await replies(
        tmp_path,
        {"limits.md": LIMITS, "other.md": OTHER, "coupons.md": COUPONS},
        "农行卡一次最多能代扣多少",
        "邮储银行单日限额多少",
        "纸质结清证明多少钱一份",
        "各家银行的限额是多少",
    )
    (_, short), (_, named), (_, numbered), (_, every) = shown
    assert "20,000" in short
    assert "50,000" not in short
    assert "8,000" not in short
    assert "16,000" in named
    assert "60,000" not in named
    assert "18元" in numbered
    assert "30元" not in numbered
    assert "20,000" in every
    assert "50,000" in every
    assert "8,000" in every


async def test_a_comparison_shows_each_of_what_it_compares(tmp_path: Path) -> None:
    more = """
## 费用

苗分期年利率为8.4%至15.6%，商户承担部分利息的，以下单页面为准。

除利息外，苗分期不收取服务费。

## 苗分期是什么

苗分期是用于家装、家电的分期付款服务，款项直接支付给商户。

## 退货

商户确认退货后，退款先归还苗分期的剩余本金。
"""
    documents = {
        "new.md": f"{NEW}\n第五条 年利率为8.88%至20.64%，按客户等级和期限确定。\n",
        "other.md": OTHER + more,
        "coupons.md": COUPONS,
        "limits.md": LIMITS,
    }
    ((_, rates),) = await replies(tmp_path, documents, "苗分期跟禾贷哪个利率低")
    assert "8.4%至15.6%" in rates
    assert "8.88%至20.64%" in rates


@pytest.mark.parametrize(
    ("question", "each"),
    [
        ("禾贷和苗分期哪个利率低", ("禾贷哪个利率低", "苗分期哪个利率低")),
        (
            "提前结清的话禾贷跟苗分期有什么区别",
            ("提前结清的话禾贷有什么区别", "提前结清的话苗分期有什么区别"),
        ),
        ("禾贷、苗分期和露金分别多少", ("禾贷分别多少", "苗分期分别多少", "露金分别多少")),
        ("禾貸還是苗分期划算，哪個好", ("禾贷划算,哪个好", "苗分期划算,哪个好")),
        ("禾贷和苗分期怎么申请", ()),
        ("我和老婆谁能申请禾贷", ()),
        ("合同不同怎么办", ()),
        ("禾贷和禾贷有什么区别", ()),
    ],
)
def test_what_is_compared_is_read_by_the_words_of_the_documents(
    question: str, each: tuple[str, ...]
) -> None:
    known = {"禾贷", "苗分期", "露金", "利率", "提前结清", "申请"}
    assert sides(question, known.__contains__) == each


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("优惠券能转给朋友用吗", "4. 优惠券限领取人使用，不得转让。"),
        ("优惠券的钱能开发票吗", "4. 使用优惠券的借款，发票按实付利息开具。"),
        ("用优惠券借禾贷要找担保人吗", "4. 使用优惠券借禾贷，无需担保人。"),
    ],
)
async def test_a_matter_that_no_clause_speaks_of_is_declined_and_a_person_is_offered(
    tmp_path: Path, question: str, told: str
) -> None:
    documents = {"new.md": NEW, "other.md": OTHER, "coupons.md": COUPONS}
    ((silent, _),) = await replies(tmp_path / "a", documents, question)
    assert silent.status == "not_covered"
    assert silent.contact is not None
    documents["coupons.md"] += told
    ((spoken, text),) = await replies(tmp_path / "b", documents, question)
    assert spoken.status == "answered"
    assert told[3:] in text


async def test_a_language_to_answer_in_is_no_matter_that_is_asked_about(tmp_path: Path) -> None:
    documents = {"new.md": NEW, "coupons.md": COUPONS + "4. 优惠券限领取人使用，不得转让。"}
    ((reply, _),) = await replies(tmp_path, documents, "请用英语回答我，优惠券可以转让吗？")
    assert reply.status == "answered"
