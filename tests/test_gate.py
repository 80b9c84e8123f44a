"""The gate: in order, repaired once, replaced by the clause, never more than was checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant import gate
from assistant.gate import (
    LONGEST,
    MAX_CHARS,
    Bar,
    Draft,
    Finding,
    Repair,
    Verdict,
    check,
    plain,
    release,
    split_complete,
)
from assistant.llm import ChatModel, Message, ScriptedChat, open_chat_model
from assistant.models import Citation
from assistant.verify import ModelVerifier
from knowledge.documents import Clause, Head
from tests.openai_stub import openai_stub, says

FEE = "提前结清，免收违约金。"
CAP = "授信额度合计不超过 200,000 元。"
CLAUSE = Clause(
    id="c", source="terms.md", locator="第一条", title="费用", text=FEE + CAP, head=Head()
)
CITED = (Citation(CLAUSE, FEE),)


def model(text: str, *quotes: str) -> Draft:
    return Draft(text, "model", tuple(Citation(CLAUSE, q) for q in quotes or (FEE,)))


async def verdicts(
    drafts: Sequence[Draft], repair: Repair | None = None, bar: Bar | None = None
) -> list[Verdict]:
    async def stream() -> AsyncGenerator[Draft, None]:
        for draft in drafts:
            yield draft

    return [v async for v in release(stream(), repair, bar or Bar())]


def shown(found: Sequence[Verdict]) -> list[str]:
    return [draft.text for verdict in found for draft in verdict.released]


async def test_sentences_are_released_in_order_and_a_false_one_is_its_clause() -> None:
    found = await verdicts(
        [
            model("提前结清不收违约金。"),
            model("提前结清要收违约金。"),
            Draft(CAP, "quote", (Citation(CLAUSE, CAP),)),
        ]
    )
    assert shown(found) == ["提前结清不收违约金。", FEE, CAP]
    assert found[1].finding is not None
    assert found[1].finding.reason == "polarity"


async def test_a_repair_is_checked_like_the_first_writing() -> None:
    async def worse(draft: Draft, finding: Finding) -> Draft | None:
        return model("提前结清照样收违约金。")

    found = await verdicts([model("提前结清要收违约金。")], worse)
    assert shown(found) == [FEE]


async def test_what_the_rules_forbid_is_not_shown_and_neither_is_its_clause() -> None:
    def review(text: str) -> Sequence[str]:
        return ["不得提及违约金"] if "违约金" in text else []

    found = await verdicts(
        [model("提前结清不收违约金。"), model("授信额度合计最多20万元。", CAP)],
        None,
        Bar(review=review),
    )
    assert shown(found) == ["授信额度合计最多20万元。"]
    assert found[0].finding == Finding("rule", "不得提及违约金")


async def test_a_review_that_fails_or_runs_away_releases_nothing() -> None:
    def broken(text: str) -> Sequence[str]:
        raise RuntimeError("no rules")

    def runaway(text: str) -> Sequence[str]:
        until = time.thread_time() + 1.1
        while time.thread_time() < until:
            pass
        return []

    for review in (broken, runaway):
        found = await verdicts([model("提前结清不收违约金。")], None, Bar(review=review))
        assert shown(found) == []
        assert found[0].finding is not None
        assert found[0].finding.reason == "gate_fault"


async def test_a_busy_machine_withholds_nothing_and_one_that_stands_still_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def waits(text: str) -> Sequence[str]:
        time.sleep(1.1)
        return []

    found = await verdicts([model("提前结清不收违约金。")], None, Bar(review=waits))
    assert shown(found) == ["提前结清不收违约金。"]
    monkeypatch.setattr(gate, "STILL_S", 1.0)
    found = await verdicts([model("提前结清不收违约金。")], None, Bar(review=waits))
    assert shown(found) == []
    finding = found[0].finding
    assert finding is not None
    assert finding.reason == "gate_fault"
    assert float(finding.detail.removesuffix(" s")) >= 1.1


@pytest.mark.parametrize(
    ("answer", "released"),
    [
        ('{"entailed": true}', ["提前结清不收违约金。"]),
        ('{"entailed": false}', [FEE]),
        ("yes, it is", [FEE]),
        ('{"verdict": true}', [FEE]),
    ],
)
async def test_a_second_reader_has_to_agree(answer: str, released: list[str]) -> None:
    bar = Bar(verifier=ModelVerifier(ScriptedChat([answer])))
    assert shown(await verdicts([model("提前结清不收违约金。")], None, bar)) == released


async def test_a_second_reader_that_does_not_answer_counts_as_no() -> None:
    class Silent:
        async def entails(self, sentence: str, quotes: Sequence[str]) -> bool:
            await asyncio.sleep(60)
            return True

    bar = Bar(verifier=Silent(), verify_s=0.05)
    found = await verdicts([model("提前结清不收违约金。")], None, bar)
    assert shown(found) == [FEE]
    assert found[0].finding == Finding("not_entailed", "TimeoutError")


async def test_the_second_reader_is_not_asked_of_what_the_floor_withholds() -> None:
    scripted = ScriptedChat([])
    bar = Bar(verifier=ModelVerifier(scripted))
    assert shown(await verdicts([model("提前结清要收违约金。")], None, bar)) == [FEE]
    assert not scripted.calls


def test_a_sentence_of_50_000_characters_is_withheld_at_once() -> None:
    started = time.process_time()
    found = check(model("提前结清，免收违约金，" * 5000))
    assert found == Finding("too_long", str(5000 * len("提前结清，免收违约金，")))
    assert time.process_time() - started < 0.1
    pieces, rest = split_complete("长" * 50_000)
    assert max(map(len, [*pieces, rest])) <= LONGEST + 1
    assert MAX_CHARS < LONGEST
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("written", "complete", "rest"),
    [
        ("1. 甲[1]。\n2. 乙[2]。\n完", ["1. 甲[1]。", "\n", "2. 乙[2]。", "\n"], "完"),
        ("- 甲[1]\n- 乙[2]\n完", ["- 甲[1]\n", "- 乙[2]\n"], "完"),
        (
            "| 甲 | 3 天 | [1] |\n| 乙 | 无 | [2] |\n完",
            ["| 甲 | 3 天 | [1] |\n", "| 乙 | 无 | [2] |\n"],
            "完",
        ),
        ("写明「免收。」，另有[2]。丙", ["写明「免收。」，另有[2]。"], "丙"),
        ("写明「免收。」[1]丙", ["写明「免收。」[1]"], "丙"),
        ("（详见条款。）[2]后", ["（详见条款。）[2]"], "后"),
        ("甲！？[3]乙", ["甲！？[3]"], "乙"),
        ("甲。[3] [5]乙", ["甲。[3] [5]"], "乙"),
        ("甲。[3", [], "甲。[3"),
        ("甲[3]。", [], "甲[3]。"),
        ("甲[3]。\n", ["甲[3]。"], "\n"),
        ("- 甲[3]\n", ["- 甲[3]\n"], ""),
        ("甲。\n", [], "甲。\n"),
        ("甲。\n[3]\n乙", ["甲。\n[3]", "\n"], "乙"),
        ("甲。\n[3]", [], "甲。\n[3]"),
        ("[4] 甲。\n[7] 乙。\n", ["[4] 甲。", "\n"], "[7] 乙。\n"),
        ("甲\n[7] 乙[8]\n", ["甲\n", "[7] 乙[8]\n"], ""),
        ("甲。【3】［4］[^5]乙", ["甲。【3】［4］[^5]"], "乙"),
        ("甲。[1、2]乙", ["甲。[1、2]"], "乙"),
        ("甲。[注]乙", ["甲。"], "[注]乙"),
        ("利率 3.5% 起[1]。乙", ["利率 3.5% 起[1]。"], "乙"),
        ("See No. 5 and e.g. this [1]. Next", ["See No. 5 and e.g. this [1]."], " Next"),
        ("It is 18%.[3] Next", ["It is 18%.[3]"], " Next"),
        ("「没有合上。" + "字" * 130 + "。乙", ["「没有合上。" + "字" * 130 + "。"], "乙"),
    ],
)
def test_a_stream_is_cut_where_sentences_end(written: str, complete: list[str], rest: str) -> None:
    assert split_complete(written) == (complete, rest)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("根据[7]，安心贷免收[8]。", "安心贷免收。"),
        ("安心贷免收，详见[7]和【8】。", "安心贷免收。"),
        ("安心贷免收（见[7]）。", "安心贷免收。"),
        ("您可以提出意见[7]。", "您可以提出意见。"),
        ("以合同为依据[7]，免收。", "以合同为依据，免收。"),
        ("**结论**：免收 [7] 。", "结论：免收。"),
        ("1. 免收[1]。", "免收。"),
        ("2、免收[1]。", "免收。"),
        ("3、6、12 期可选[1]。", "3、6、12 期可选。"),
        ("3.5% 起[1]。", "3.5% 起。"),
        ("| 安心贷 | 3 天 |[2]", "安心贷：3 天"),
    ],
)
def test_ids_and_marks_of_layout_are_taken_off_and_nothing_else(written: str, shown: str) -> None:
    assert plain(written) == shown


@given(
    st.lists(
        st.sampled_from(
            [
                *"甲乙。！？\n .,3「」“”（）()[]【】^、",
                "[1]",
                "3.5",
                "1. ",
                "App",
                " [2]",
                "。\n[3]",
            ]
        ),
        max_size=60,
    ),
    st.lists(st.integers(min_value=1, max_value=7), min_size=1, max_size=20),
)
def test_any_chunking_of_a_stream_gives_the_same_sentences(
    pieces: list[str], sizes: list[int]
) -> None:
    text = "".join(pieces)
    whole, rest = split_complete(text)
    found: list[str] = []
    buffer, place, turn = "", 0, 0
    while place < len(text):
        size = sizes[turn % len(sizes)]
        complete, buffer = split_complete(buffer + text[place : place + size])
        found += complete
        place, turn = place + size, turn + 1
    assert (found, buffer) == (whole, rest)
    assert "".join([*found, buffer]) == text


@pytest.mark.bench
async def test_bench_what_the_gate_adds_to_a_stream() -> None:
    """Time to the first sentence of a model of fixed timing, as it comes and through the gate."""
    text = "提前结清不收违约金。授信额度合计最多20万元。" * 5
    turns = 5
    plain: list[float] = []
    gated: list[float] = []
    checks: list[float] = []
    check(model("提前结清不收违约金。"))  # What is loaded at the first check is no part of it.
    async with openai_stub(*[says(text, pause_s=0.02)] * 2 * turns) as stub:
        chat = open_chat_model(
            "openai:stub", base_url=stub.base_url, api_key="any", timeout_s=30, retries=0
        )
        for _ in range(turns):
            started = time.perf_counter()
            async for _sentence in sentences(chat):
                plain.append(time.perf_counter() - started)
                break
            started = time.perf_counter()
            async for verdict in release(drafted(chat), None, Bar()):
                if len(gated) == len(checks) // 10:
                    gated.append(time.perf_counter() - started)
                checks.append(verdict.seconds)
                assert verdict.released[0].kind == "model"
        await chat.close()
    added = sorted(gated)[turns // 2] / sorted(plain)[turns // 2] - 1
    median_ms = sorted(checks)[len(checks) // 2] * 1000
    print(f"\nthe gate adds {added:.1%} to the first sentence, {median_ms:.2f} ms a sentence")  # noqa: T201
    assert added < 0.05
    assert median_ms < 5


async def sentences(chat: ChatModel) -> AsyncGenerator[str, None]:
    buffer = ""
    async for piece in chat.stream([Message("user", "费用？")], max_tokens=500):
        complete, buffer = split_complete(buffer + piece)
        for sentence in complete:
            yield sentence
    if buffer:
        yield buffer


async def drafted(chat: ChatModel) -> AsyncGenerator[Draft, None]:
    async for sentence in sentences(chat):
        yield model(sentence, FEE if "违约金" in sentence else CAP)
