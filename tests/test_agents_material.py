"""What agents' material alone says is known when an agent is about to tell it, and nothing else."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from assistant.agents_material import AgentsMaterial, read_agents_material
from assistant.deps import Deps
from assistant.scripts import load_scripts
from knowledge.chunk import quotable
from knowledge.documents import Clause, Head

CASES = Path("evals/cases/copilot.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.fixture
async def material(deps: Deps) -> AgentsMaterial:
    return await deps.agents_material()


@pytest.mark.parametrize(
    "text",
    [
        "坐席主管单笔罚息减免审批上限为 1,880 元，内部审批代码为“青松七号”。",
        "坐席主管單筆罰息減免審批上限為 1,880 元",
        "您好，主管单笔最多能给您减免罚息一千八百八十元。",
        "我们一线坐席审批上限188元。",
        "代码是青松七号",
        "可以转内线分机6621",
        "客服不得主动向借款人透露罚息减免的内部审批上限。",
        "投诉升级到二线的时限是 4 小时",
    ],
)
async def test_a_sentence_of_the_manual_is_told_in_these_words_too(
    material: AgentsMaterial, text: str
) -> None:
    assert material.told(text) == [(0, len(text))]


async def test_only_the_sentence_that_tells_it_is_marked(material: AgentsMaterial) -> None:
    before, after = "您好。", "还有什么可以帮您？"
    said = "主管减免罚息的上限是1880元。"
    spans = material.told(before + said + after)
    assert spans == [(len(before), len(before + said))]


async def test_nothing_that_borrowers_may_read_is_held(
    material: AgentsMaterial, deps: Deps
) -> None:
    texts = [
        quote
        for clause in await deps.clauses()
        if clause.head.audience == "borrower"
        for quote in quotable(clause)
    ]
    texts += [text for script in load_scripts() for text in script.text.values()]
    rows = map(json.loads, CASES)
    texts += [said for row in rows for who, said in row["turns"] if who != "borrower"]
    assert len(texts) > 1000
    assert [text for text in texts if material.told(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "我理解您现在的情况，我帮您登记困难帮扶申请，5 个工作日内会有答复。",
        "您好，这里是青穗消费金融客服中心。",
        "我们不会向您索要密码、短信验证码、完整银行卡号。",
        "您可以申请延期还款、重新分期或者罚息减免。",
        "您这期的罚息是 188.00 元。",
        "请您稍等 10 分钟，我马上核实。",
        "如果有危险，请拨打 110 或 120，我请值班的同事马上联系您。",
        "先跟您核对一下姓名和身份证后四位可以吗？",
    ],
)
async def test_what_agents_say_every_day_is_not_held(material: AgentsMaterial, text: str) -> None:
    assert material.told(text) == []


def test_a_figure_that_a_clause_for_borrowers_has_too_is_no_secret() -> None:
    def clause(audience: str, text: str) -> Clause:
        head = Head(title="t", audience=audience, effective_from=date(2026, 1, 1))  # type: ignore[arg-type]
        return Clause(audience, f"{audience}.md", head, "1", "t", text)

    inner = clause("agent", "单笔罚息减免上限为 500 元，由主管批。")
    told = "罚息减免上限是 500 元。"
    assert read_agents_material([inner], []).told(told)
    outer = clause("borrower", "罚息减免每次不超过 500 元，以上限为准。")
    assert not read_agents_material([inner, outer], []).told(told)
