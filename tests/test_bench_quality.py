"""How fast conversations are scored: `python -m pytest -m bench -s tests/test_bench_quality.py`."""

from __future__ import annotations

import random
import time
from datetime import date, datetime

import pytest

from assistant.quality import Knowledge, load_book, score
from assistant.rules import load_rules
from assistant.transcripts import Transcript, Turn
from evals.quality_scores import knowledge as sample

pytestmark = pytest.mark.bench

LEAST = 200
"""Conversations of 20 turns a second of processor time, without a model."""

OPENINGS = (
    "您好，这里是青穗消费金融客服，工号{n}，请问有什么可以帮您？",
    "您好，青穗消费金融，我是{n}号客服专员小{s}，很高兴为您服务。",
)
ASKED = (
    "我这期要还多少钱啊？",
    "我上个月{d}号扣了两次款，怎么回事？",
    "我想提前还款，要不要违约金？",
    "你们的年利率到底是多少，合同上写的我看不懂",
    "我换了手机号怎么改？原来的号{n}停机了",
    "还款日能不能改到{d}号",
    "我最近失业了，这期可能还不上，能不能延期？",
    "征信上怎么有一条逾期记录，我{d}号已经还了",
    "额度怎么才能提高到{k}元",
    "我申请了{d}天了怎么还没放款",
    "嗯好的",
    "身份证后四位是{n}",
    "那我{d}号之前还{m}可以吗",
    "你们APP里点哪里？",
    "好吧，那{m}元是怎么算出来的",
)
TOLD = (
    "好的，我理解您的心情，您先别着急，我帮您查一下第{n}号账单。",
    "为了保护您的账户安全，请您先核对一下身份信息，请提供身份证后四位。",
    "身份已核实，感谢您的配合。您本期应还{m}元，还款日是12月{d}日。",
    "您这笔贷款的年化利率（单利）是{r}%，以合同约定为准，借款{k}元分12期。",
    "提前还款不收取违约金，您可以在APP首页点击还款，选择提前结清，编号{n}。",
    "我已经为您登记了工单{n}，会在3个工作日内给您回复，请您保持电话畅通。",
    "如果您暂时有困难，可以申请延期还款，我帮您看一下{d}号之前提交的条件。",
    "您看到的是系统自动扣款，{d}号那笔{m}元因为余额不足没有成功，第二天重新扣的。",
    "手机号变更需要您本人在APP里操作，点我的、安全中心、更换手机号，按{d}步提示完成人脸识别。",
    "逾期会按日计收罚息，并按规定报送征信，建议您在{d}号前把{m}元存入还款卡。",
)


def conversations(count: int, seed: int) -> list[Transcript]:
    """Of 20 turns; figures, names and numbers differ, as they do between calls."""
    chance = random.Random(seed)

    def said(wordings: tuple[str, ...]) -> str:
        return chance.choice(wordings).format(
            n=chance.randint(1000, 9999),
            d=chance.randint(2, 28),
            m=f"{chance.randint(20_000, 900_000) / 100:,.2f}",
            k=chance.randint(1, 20) * 1000,
            r=round(chance.uniform(7, 24), 1),
            s=chance.choice("李王张刘陈"),
        )

    made = []
    for number in range(count):
        by = f"a{chance.randint(1, 50)}"
        turns = [Turn("agent", said(OPENINGS), None, by), Turn("borrower", said(ASKED))]
        while len(turns) < 20:
            turns += [Turn("agent", said(TOLD), None, by), Turn("borrower", said(ASKED))]
        facts = {"amount_due_cny": "1234.56", "annual_rate": "0.18"}
        at = datetime.fromisoformat("2026-11-20T10:00:00+08:00")
        made.append(Transcript(f"{seed}-{number}", tuple(turns), at, facts))
    return made


def test_conversations_a_second() -> None:
    pack, book = load_rules("cn"), load_book()
    knowledge = Knowledge(sample(), book.empty)
    for each in conversations(50, 9):
        score(each, pack, book, knowledge, on=date(2026, 11, 20))
    best = 0.0
    for seed in range(3):
        made = conversations(300, seed)
        texts = len({turn.text for each in made for turn in each.turns})
        started, wall = time.thread_time(), time.perf_counter()
        for each in made:
            score(each, pack, book, knowledge, on=date(2026, 11, 20))
        taken = time.thread_time() - started
        best = max(best, len(made) / taken)
        print(
            f"\n{len(made)} conversations of 20 turns, {texts} texts: {len(made) / taken:.0f}/s "
            f"of processor time, {len(made) / (time.perf_counter() - wall):.0f}/s"
        )
    assert best >= LEAST
