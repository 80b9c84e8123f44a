"""Evaluation: cases are refused by line and field, checks judge rightly, runs go through it all."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from assistant.deps import Deps, open_deps
from assistant.llm import Message, ModelUnavailable, ScriptedChat
from assistant.models import Citation, Reply, Sentence
from evals.baseline import verdicts_of
from evals.metrics import METRICS, Seen, mean, ndcg, recall, says, wilson
from evals.plain_recipe import open_plain, split, written_out
from evals.records import Stopped, read_info
from evals.results import Outcome
from evals.run import JudgeFailed, UnknownSuite, evaluate, run_suites, sizes
from evals.schema import BadCases, Case, load_cases
from evals.statutes import load_collection
from evals.suites import PARTS, SUITES, AnySuite, RankedSuite, Suite
from knowledge.chunk import chunk
from knowledge.documents import Clause, Head
from knowledge.readers import MANIFEST, read, read_manifest

from .conftest import CORPUS, settings_for
from .openai_stub import openai_stub
from .openai_stub import says as answers_with

TODAY = date(2026, 11, 23)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "fee-01",
        "text": "提前还款收违约金吗",
        "topic": "fees",
        "difficulty": "easy",
        "source": "authored",
        "expect": {"status": "answered"},
    } | changes


def write(folder: Path, *lines: str) -> Path:
    file = folder / "cases.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


# Cases -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (row(difficulty="brutal"), "difficulty"),
        (row(text=""), "text"),
        (row(expect={"status": "maybe"}), "expect.status.0"),
        (row(expect={"status": "answered", "facts": ["免收"]}), "expect.facts.0"),
        (row(expect={"status": "answered", "facts": [[]]}), "expect.facts.0"),
        (row(expect={"status": "answered", "fact": [["免收"]]}), "expect.fact"),
        (row(as_of="next week"), "as_of"),
        (row(locale="fr"), "locale"),
        (row(answer="x"), "answer"),
        ({"id": "fee-02"}, "text"),
    ],
)
def test_a_bad_case_is_named_by_file_line_and_field(
    tmp_path: Path, bad: dict[str, Any], field: str
) -> None:
    file = write(tmp_path, json.dumps(row(id="good")), "", json.dumps(bad))
    with pytest.raises(BadCases) as raised:
        load_cases(file)
    assert str(raised.value).startswith(f"cases.jsonl:3: {field}: ")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([json.dumps(row()), json.dumps(row())], "cases.jsonl:2: id: 'fee-01' is taken by line 1"),
        (["{"], "cases.jsonl:1: line: Invalid JSON"),
        ([""], "cases.jsonl: holds no case"),
    ],
)
def test_a_file_that_is_no_set_of_cases_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(BadCases) as raised:
        load_cases(write(tmp_path, *lines))
    assert str(raised.value).startswith(message)


def test_a_missing_file_of_cases_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCases, match=r"nowhere\.jsonl"):
        load_cases(tmp_path / "nowhere.jsonl")


CASE_SUITES = {name: suite for name, suite in SUITES.items() if isinstance(suite, Suite)}


@pytest.mark.parametrize("suite", CASE_SUITES.values(), ids=CASE_SUITES)
def test_the_shipped_cases_name_documents_that_exist(suite: Suite) -> None:
    documents = {file.name for file in CORPUS.rglob("*")}
    if suite.documents is not None:
        documents |= {file.name for file in suite.documents.iterdir()}
    cases = suite.cases()
    assert len(cases) >= 20 or suite.may_be_empty
    assert {source for case in cases for source in case.expect.sources} <= documents
    assert suite.bars.keys() <= METRICS.keys()


@cache
def corpus_texts() -> Mapping[str, tuple[str, ...]]:
    """Document -> the texts of its clauses, as the readers make them."""
    texts: dict[str, tuple[str, ...]] = {}
    own = {suite.documents for suite in CASE_SUITES.values() if suite.documents is not None}
    for folder in (CORPUS / "lender", CORPUS / "regulations", *own):
        heads = read_manifest(folder)
        for file in sorted(folder.iterdir()):
            if file.name != MANIFEST:
                document = read(file, file.name, heads.get(file.name))
                texts[file.name] = tuple(clause.text for clause in chunk(document))
    return texts


@pytest.mark.parametrize("file", sorted({suite.file for suite in CASE_SUITES.values()}), ids=str)
def test_every_required_fact_stands_in_a_document_it_may_come_from(file: Path) -> None:
    texts = corpus_texts()
    lost = [
        f"{case.id}: {fact}"
        for case in load_cases(file)
        for fact in case.expect.facts
        if not any(
            says(text, wording)
            for source in case.expect.sources
            for text in texts[source]
            for wording in fact
        )
    ]
    assert lost == []


def test_there_are_as_many_cases_as_are_told_of() -> None:
    counts = {name: len(suite.cases()) for name, suite in SUITES.items() if name != "statutes"}
    files = {suite.file: len(suite.cases()) for suite in SUITES.values() if name_of(suite)}
    assert sum(files.values()) >= 600
    new = [suite for suite in CASE_SUITES.values() if suite.file.stem not in OLDER]
    assert len(new) >= 15
    assert sum(counts[suite.name] for suite in new) >= 350


def name_of(suite: AnySuite) -> str:
    return "" if isinstance(suite, RankedSuite) else suite.name


OLDER = ("sample_lender", "sample_lender_fresh")


@pytest.mark.parametrize("suite", CASE_SUITES.values(), ids=CASE_SUITES)
def test_a_bar_of_one_is_set_for_all_that_must_never_fail(suite: Suite) -> None:
    critical = {name for name in suite.bars if METRICS[name].critical and suite.stage == "reply"}
    assert {suite.bars[name] for name in critical} <= {1.0}


def test_the_fresh_questions_are_none_of_those_that_are_tuned_on() -> None:
    tuned = {case.text for case in CASE_SUITES["answers"].cases()}
    fresh = CASE_SUITES["answers-fresh"].cases()
    assert len(fresh) >= 150
    assert not tuned & {case.text for case in fresh}


# Checks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wording", "found"),
    [
        ("宽限期为 3 个自然日", "三个自然日", True),
        ("寬限期為３個自然日", "3 个自然日", True),
        ("不超过 20万元", "200,000 元", True),
        ("在 13 日内", "3 日", False),
        ("日利率 0.2%", "2%", False),
        ("违约金 2%", "2%", True),
        ("违约金 2%。", "2", True),
        ("共 2.5 元", "2", False),
        ("任何话", " ", False),
    ],
)
def test_a_wording_is_found_whatever_its_script_and_a_number_only_as_a_whole(
    text: str, wording: str, found: bool
) -> None:
    assert says(text, wording) is found


@pytest.mark.parametrize(
    # Newcombe 1998, Statistics in Medicine 17: 857-872, table I, method 3.
    ("passed", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_published(passed: int, n: int, low: float, high: float) -> None:
    share = wilson(passed, n)
    assert share.value == passed / n
    assert (round(share.low, 4), round(share.high, 4)) == (low, high)


def test_a_share_of_no_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="no case"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="no query"):
        mean([])


@pytest.mark.parametrize(
    ("ranked", "grades", "k", "gain"),
    [
        # By hand: found at ranks 1 and 3 of two right ones, (1 + 1/2) / (1 + 1/log2 3).
        (("a", "x", "b"), {"a": 1.0, "b": 1.0}, 10, 0.9197),
        # Graded: (1/1 + 3/log2 3 + 2/2) / (3/1 + 2/log2 3 + 1/2).
        (("one", "three", "two"), {"one": 1.0, "two": 2.0, "three": 3.0}, 3, 0.8175),
        (("x", "y", "a"), {"a": 1.0}, 10, 0.5),
        (("x", "y", "a"), {"a": 1.0}, 2, 0.0),
        (("b", "a"), {"a": 1.0, "b": 1.0}, 10, 1.0),
        # More right ones than places: the ideal fills the places.
        (("a", "b"), {"a": 1.0, "b": 1.0, "c": 1.0}, 2, 1.0),
        ((), {"a": 1.0}, 10, 0.0),
    ],
)
def test_gain_is_that_worked_out_by_hand(
    ranked: Sequence[str], grades: Mapping[str, float], k: int, gain: float
) -> None:
    assert ndcg(ranked, grades, k) == pytest.approx(gain, abs=5e-5)


def test_recall_counts_the_right_ones_among_the_first() -> None:
    grades = {"a": 1.0, "b": 1.0, "c": 1.0, "no": 0.0}
    assert recall(("a", "x", "b"), grades, 3) == pytest.approx(2 / 3)
    assert recall(("x", "no"), grades, 10) == 0.0


def test_a_mean_has_the_interval_of_its_spread_and_the_same_one_each_time() -> None:
    values = [0.0, 1.0] * 100
    share = mean(values)
    assert share == mean(values)
    assert (share.value, share.n) == (0.5, 200)
    # Of 200 values with a deviation of 0.5: 1.96 * 0.5 / sqrt(200).
    assert share.high - share.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(200), rel=0.1)
    assert mean([0.25] * 8) == replace(mean([0.25]), n=8)


def clause(source: str, text: str, *, start: date, end: date | None = None) -> Clause:
    head = Head(title="条款", kind="product", effective_from=start, effective_to=end)
    return Clause(f"{source}#8", source, head, "第八条", "提前还款", text)


NEW = clause("terms-new.md", "提前结清免收违约金。", start=date(2026, 1, 1))
OLD = clause(
    "terms-old.md",
    "提前结清按剩余本金的 2% 收取违约金。",
    start=date(2024, 1, 1),
    end=date(2025, 12, 31),
)
NOTICE = Sentence("如果您的合同在 2024-01-01 至 2025-12-31 之间签订，适用的旧版条款是：", "notice")


def quote(index: int, cited: Clause) -> Sentence:
    return Sentence(cited.text, "quote", (index,))


GOOD = Reply("answered", (quote(0, NEW),), (Citation(NEW, NEW.text),))
DATED = Reply(
    "answered",
    (quote(0, NEW), NOTICE, quote(1, OLD)),
    (Citation(NEW, NEW.text), Citation(OLD, OLD.text)),
)
STALE = Reply("answered", (quote(0, OLD),), (Citation(OLD, OLD.text),))
SILENT = Reply("not_covered", (Sentence("没有找到。", "notice"),))
INVENTED = Reply(
    "answered",
    (Sentence("提前结清收 3% 违约金。", "model", (0,)),),
    (Citation(NEW, NEW.text),),
)
PARAPHRASED = Reply(
    "answered",
    (Sentence("提前结清不要违约金。", "quote", (0,)),),
    (Citation(NEW, "提前结清不要违约金。"),),
)

FEE = Case.model_validate(
    row(
        expect={
            "status": "answered",
            "sources": ["terms-new.md"],
            "facts": [["免收", "不收"]],
            "forbidden": ["2%"],
        }
    )
)
SIGNED_OLD = Case.model_validate(
    row(
        contract_date="2025-03-01",
        expect={"status": "answered", "sources": ["terms-old.md"], "facts": [["2%"]]},
    )
)
UNKNOWN = Case.model_validate(row(expect={"status": "not_covered"}))
EITHER = Case.model_validate(
    row(expect={"status": ["answered", "not_covered"], "facts": [["免收"]], "forbidden": ["2%"]})
)
VERSIONED = Case.model_validate(
    row(expect={"status": ["answered", "clarify"], "sources": ["terms-new.md"]})
)


@pytest.mark.parametrize(
    ("metric", "case", "reply", "passed"),
    [
        ("status", FEE, GOOD, True),
        ("status", FEE, SILENT, False),
        ("status", UNKNOWN, SILENT, True),
        ("status", UNKNOWN, GOOD, False),
        ("source", FEE, GOOD, True),
        ("source", FEE, STALE, False),
        ("source", FEE, SILENT, False),
        ("source", UNKNOWN, SILENT, None),
        ("facts", FEE, GOOD, True),
        ("facts", FEE, STALE, False),
        ("facts", EITHER, SILENT, None),
        ("facts", EITHER, STALE, False),
        ("forbidden", FEE, GOOD, True),
        ("forbidden", FEE, DATED, True),
        ("forbidden", FEE, STALE, False),
        ("forbidden", UNKNOWN, GOOD, None),
        ("verbatim", FEE, GOOD, True),
        ("verbatim", FEE, PARAPHRASED, False),
        ("verbatim", UNKNOWN, SILENT, None),
        ("figures", FEE, GOOD, True),
        ("figures", FEE, DATED, True),
        ("figures", FEE, INVENTED, False),
        ("in_force", FEE, GOOD, True),
        ("in_force", FEE, DATED, True),
        ("in_force", FEE, STALE, False),
        ("in_force", SIGNED_OLD, STALE, True),
        ("in_force", SIGNED_OLD, GOOD, False),
        ("right", FEE, DATED, True),
        ("right", FEE, STALE, False),
        ("right", SIGNED_OLD, STALE, True),
        ("right", EITHER, SILENT, True),
    ],
)
def test_a_reply_is_judged(metric: str, case: Case, reply: Reply, passed: bool | None) -> None:
    seen = Seen(TODAY, (), {c.id: c.text for c in (NEW, OLD)}, reply)
    check = METRICS[metric].check(case, seen)
    assert (check and check.passed) is passed


def test_a_quote_of_a_clause_that_is_not_in_the_release_is_not_verbatim() -> None:
    check = METRICS["verbatim"].check(FEE, Seen(TODAY, (), {}, GOOD))
    assert check is not None
    assert not check.passed


@pytest.mark.parametrize(
    ("metric", "case", "sources", "passed"),
    [
        ("first", FEE, ("terms-new.md", "a.md"), True),
        ("first", FEE, ("a.md", "terms-new.md"), False),
        ("within_five", FEE, ("a.md", "b.md", "c.md", "d.md", "terms-new.md"), True),
        ("within_five", FEE, ("a.md", "b.md", "c.md", "d.md", "e.md", "terms-new.md"), False),
        ("within_five", FEE, (), False),
        ("first", UNKNOWN, (), None),
        ("known", UNKNOWN, (), True),
        ("known", UNKNOWN, ("a.md",), False),
        ("known", FEE, (), False),
        ("known", EITHER, (), None),
        ("first", VERSIONED, ("terms-old.md",), False),
        ("known", VERSIONED, (), False),
    ],
)
def test_a_search_is_judged(
    metric: str, case: Case, sources: tuple[str, ...], passed: bool | None
) -> None:
    check = METRICS[metric].check(case, Seen(TODAY, sources, {}))
    assert (check and check.passed) is passed


# Runs --------------------------------------------------------------------------------------------

ASKED = [
    row(
        id="early",
        text="安心贷提前还款要违约金吗？",
        expect={
            "status": "answered",
            "sources": ["anxin-terms-2026-01.md", "early-settlement.md", "faq-repayment.md"],
            "facts": [["免收"]],
        },
    ),
    row(
        id="old",
        text="安心贷提前还款要违约金吗？",
        contract_date="2025-03-01",
        expect={"status": "answered", "sources": ["anxin-terms-2024-01.md"], "facts": [["2%"]]},
    ),
    row(id="poem", text="帮我写一首关于春天的诗", expect={"status": "not_covered"}),
    row(id="symbols", text="？？？", expect={"status": "clarify"}),
]


def suite_of(folder: Path, rows: Sequence[dict[str, Any]], like: str) -> Suite:
    return replace(SUITES[like], file=write(folder, *map(json.dumps, rows)))


async def run(
    suite: Suite | RankedSuite, deps: Deps, folder: Path, limit: int | None = None, **more: Any
) -> Outcome:
    """`evaluate`, with the streams that inspect-ai leaves open collected here and now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return await evaluate([suite], deps, limit=limit, folder=folder, **more)
        finally:
            gc.collect()


def pick(messages: Sequence[Message]) -> str:
    """Chooses, as a reader would, the numbered sentences on the fee of early repayment."""
    lines = [line for line in messages[-1].text.splitlines() if line[:1] in "[0123456789"]
    fee = [line for line in lines if "违约金" in line and ("免收" in line or "2%" in line)]
    numbers = [int("".join(c for c in line[:4] if c.isdigit())) for line in fee]
    asked = "违约金吗" in messages[-1].text
    return json.dumps({"ids": numbers[:3] if asked else []})


async def test_cases_run_through_the_pipeline_with_a_scripted_model(
    deps: Deps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deps.use_model(ScriptedChat([pick] * 8))
    folder = tmp_path / "report"
    suite = suite_of(tmp_path, ASKED, "answers")
    outcome = await run(suite, deps, folder)
    result = outcome.suites[0]
    assert (result.n, result.scored) == (4, 4)
    assert result.failures == ()
    assert outcome.passed
    assert result.metrics["right"] == wilson(4, 4)
    assert result.metrics["source"].n == 2
    assert "forbidden" not in result.metrics
    assert result.models == ("scripted:test",)
    assert json.loads((folder / "results.json").read_text())["passed"] is True
    assert len(list(folder.glob("*.eval"))) == 1
    assert capsys.readouterr().out == ""


async def test_a_wrong_reply_is_listed_with_what_was_wanted(deps: Deps, tmp_path: Path) -> None:
    deps.use_model(ScriptedChat(['{"ids":[]}'] * 8))
    suite = suite_of(tmp_path, ASKED[:1], "answers")
    outcome = await run(suite, deps, tmp_path / "report")
    assert not outcome.passed
    failure = outcome.suites[0].failures[0]
    assert failure.case == "early"
    assert failure.findings["status"].wanted == "answered"
    assert failure.findings["status"].got == "not_covered"
    assert failure.said.startswith("[not_covered] ")
    table = (tmp_path / "report" / "failures.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in table if line.startswith("| early |")]
    assert len(rows) == 1
    assert "answered<br>from anxin-terms-2026-01.md, early-settlement.md" in rows[0]
    assert rows[0].count(" | ") == 5
    text = outcome.as_text()
    assert "FAILED" in text
    assert "early: 安心贷提前还款要违约金吗？" in text


async def test_a_run_in_which_nothing_was_scored_is_not_a_success(
    deps: Deps, tmp_path: Path
) -> None:
    deps.use_model(ScriptedChat([ModelUnavailable("down")] * 8))
    suite = suite_of(tmp_path, ASKED[:2], "answers")
    outcome = await run(suite, deps, tmp_path / "report")
    result = outcome.suites[0]
    assert (result.scored, dict(result.metrics), result.missed) == (0, {}, ("scored",))
    assert [failure.case for failure in result.failures] == ["early", "old"]
    assert "the language model gave no answer" in result.failures[0].findings["scored"].got
    assert not outcome.passed
    assert "NaN" not in json.dumps(outcome.as_json())


async def test_the_search_is_measured_without_asking_a_model(deps: Deps, tmp_path: Path) -> None:
    deps.use_model(ScriptedChat([]))
    suite = suite_of(tmp_path, ASKED, "retrieval")
    outcome = await run(suite, deps, tmp_path / "report", limit=2)
    result = outcome.suites[0]
    assert (result.n, result.scored) == (2, 2)
    assert result.metrics["within_five"] == wilson(2, 2)
    assert result.models == ()


def test_no_suite_at_all_is_not_a_success(tmp_path: Path) -> None:
    assert not Outcome((), tmp_path).passed


def test_the_compliance_messages_are_listed_by_their_task_too() -> None:
    counts = sizes(None)
    assert sum(counts[name] or 0 for name in PARTS) == counts["compliance"]
    assert counts["statutes"] is None


def test_an_unknown_suite_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "home")
    with pytest.raises(UnknownSuite, match="there are retrieval, answers, retrieval-fresh"):
        run_suites(["nosuch"], settings, limit=None, folder=None)
    assert not settings.home.exists()


async def test_a_run_that_was_stopped_goes_on_where_it_was(deps: Deps, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    suite = suite_of(tmp_path, ASKED, "answers")
    deps.use_model(ScriptedChat([pick] * 8))
    asked: list[int] = []

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2 and not task.done():
            task.cancel()

    task = asyncio.create_task(run(suite, deps, folder, progress=stop))
    with pytest.raises((asyncio.CancelledError, Stopped)):
        await task
    assert not (folder / "results.json").exists()

    outcome = await run(suite, deps, folder, progress=lambda stage, done, total: asked.append(done))
    assert min(asked) >= 1
    result = outcome.suites[0]
    assert (result.n, result.scored, result.failures) == (4, 4, ())
    assert result.metrics["right"] == wilson(4, 4)
    assert result.models == ("scripted:test",)


async def test_a_run_that_ended_is_run_anew_and_so_is_one_of_another_model(
    deps: Deps, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    suite = suite_of(tmp_path, ASKED[:1], "retrieval")
    asked: list[int] = []
    for _ in range(2):
        asked.clear()
        await run(suite, deps, folder, progress=lambda stage, done, total: asked.append(done))
        assert asked == [0, 1]
    (folder / "results.json").unlink()
    deps.model_specs = ("openai:other",)
    asked.clear()
    await run(suite, deps, folder, progress=lambda stage, done, total: asked.append(done))
    assert asked == [0, 1]


# Beside the usual recipe -------------------------------------------------------------------------

ARTICLES = [
    (
        "a1",
        "公司法第十条",
        "公司的法定代表人按照公司章程的规定，由代表公司执行公司事务的董事或者经理担任。",
    ),
    (
        "a2",
        "民法典第六百七十条",
        "借款的利息不得预先在本金中扣除。利息预先在本金中扣除的，应当按照实际借款数额返还借款并计算利息。",
    ),
    (
        "a3",
        "民法典第一千零七十九条",
        "夫妻一方要求离婚的，可以由有关组织进行调解或者直接向人民法院提起离婚诉讼。",
    ),
    (
        "a4",
        "道路交通安全法第三十八条",
        "车辆、行人应当按照交通信号通行；遇有交通警察现场指挥时，应当按照交通警察的指挥通行。",
    ),
]
QUERIES = [("q1", "放款时先把利息扣掉合法吗"), ("q2", "想离婚去哪里起诉"), ("q3", "无人评判的问题")]


def collection(folder: Path, grades: str = "q1\ta2\t1\nq2\ta3\t1\n") -> Path:
    articles = [{"_id": i, "title": title, "text": text} for i, title, text in ARTICLES]
    queries = [{"_id": i, "text": text} for i, text in QUERIES]
    folder.mkdir(exist_ok=True)
    for name, rows in (("corpus", articles), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{grades}", encoding="utf-8")
    return folder


async def test_a_collection_is_ranked_by_our_search_with_the_usual_recipe_beside_it(
    tmp_path: Path,
) -> None:
    suite = SUITES["statutes"]
    assert isinstance(suite, RankedSuite)
    folder = collection(tmp_path / "statutes")
    settings = settings_for(tmp_path / "home", ZHUNXIN_STATUTES=str(folder))
    async with open_deps(settings) as deps:
        outcome = await run(suite, deps, tmp_path / "report")
    result = outcome.suites[0]
    assert (result.n, result.scored, result.missed) == (2, 2, ())
    assert result.metrics.keys() == result.plain.keys() == {"ndcg_10", "recall_10"}
    assert result.metrics["ndcg_10"].value == result.plain["ndcg_10"].value == 1.0
    assert "plain recipe" in outcome.as_text()


async def test_a_suite_without_its_folder_is_not_run_and_fails_nothing(tmp_path: Path) -> None:
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        outcome = await run(SUITES["statutes"], deps, tmp_path / "report")
    assert outcome.passed
    assert outcome.as_json()["suites"][0]["passed"] is None
    assert "statutes: not run" in outcome.as_text()


@pytest.mark.parametrize(
    ("grades", "message"),
    [
        ("q1\ta9\t1\n", "qrels.tsv:2: no passage 'a9'"),
        ("q1\ta2\n", "qrels.tsv:2: not query"),
        ("q1\ta2\tmuch\n", "qrels.tsv:2: not query"),
        ("q9\ta2\t1\n", "qrels.tsv: judges no query"),
    ],
)
def test_judgements_that_fit_nothing_are_named(tmp_path: Path, grades: str, message: str) -> None:
    with pytest.raises(BadCases) as raised:
        load_collection(collection(tmp_path, grades))
    assert str(raised.value).startswith(message)


def test_a_collection_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCases, match=r"corpus\.jsonl: cannot be read"):
        load_collection(tmp_path)


async def test_the_usual_recipe_finds_chunks_by_their_vectors(deps: Deps) -> None:
    texts = {name: f"{title}\n{text}" for name, title, text in ARTICLES}
    embedder = await deps.embedder()
    async with open_plain(texts, deps, embedder, lambda stage, done, total: None) as plain:
        assert plain.nearest(embedder.query("想离婚去哪里起诉"), 10)[0] == "a3"
        assert sorted(plain.nearest(embedder.query("交通信号"), 10)) == sorted(texts)


def test_the_usual_recipe_cuts_long_texts_and_sees_nothing_of_agents() -> None:
    head = Head(title="条款", kind="product")
    internal = replace(head, audience="agent")
    clauses = [
        Clause("a#1", "a.md", head, "第一条", "利率", "年化利率为 9%。" * 60),
        Clause("a#2", "a.md", head, "第一条", "利率", "以合同为准。"),
        Clause("b#1", "b.md", internal, "第一条", "权限", "内部权限。"),
    ]
    texts = written_out(clauses)
    assert texts == {"a.md": f"条款\n\n利率\n\n{clauses[0].text}\n\n{clauses[1].text}"}
    chunks = split(texts)
    assert len(chunks) > 1
    assert all(name == "a.md" and len(text) <= 500 for name, text in chunks)


async def test_a_judge_is_told_beside_the_metrics_with_what_it_is_worth(
    sample_home: Path, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, ASKED[:1], "answers")
    async with openai_stub(*[answers_with("有依据。\nVERDICT: PASS")] * 3) as stub:
        more = {"ZHUNXIN_JUDGE": "openai:strong", "ZHUNXIN_LLM_BASE_URL": stub.base_url}
        async with open_deps(settings_for(sample_home, **more)) as deps:
            outcome = await run(suite, deps, tmp_path / "run")
    (result,) = outcome.suites
    assert {name: share.value for name, share in result.metrics.items() if "judge" in name} == {
        "judge_entailed": 1.0,
        "judge_helpful": 1.0,
        "judge_tone": 1.0,
    }
    worth = json.loads((tmp_path / "run" / "calibration.json").read_text("utf-8"))
    assert "not to be relied on (not calibrated" in worth["judge_entailed"]
    assert "judge" not in str(verdicts_of(read_info(tmp_path / "run"), result.records))


async def test_a_judge_that_answers_nonsense_fails_the_run(
    sample_home: Path, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, ASKED[:1], "answers")
    async with openai_stub(*[answers_with("挺好的")] * 3) as stub:
        more = {"ZHUNXIN_JUDGE": "openai:strong", "ZHUNXIN_LLM_BASE_URL": stub.base_url}
        async with open_deps(settings_for(sample_home, **more)) as deps:
            with pytest.raises(JudgeFailed, match="give no verdict"):
                await run(suite, deps, tmp_path / "run")


def test_a_text_may_hold_a_line_separator_as_it_is(tmp_path: Path) -> None:
    separated = row(id="apart", text="第一行\u2028第二行")
    file = write(tmp_path, json.dumps(separated, ensure_ascii=False))
    (case,) = load_cases(file)
    assert case.text == "第一行\u2028第二行"


async def test_what_a_judge_left_out_is_counted_over_all_suites(
    sample_home: Path, tmp_path: Path
) -> None:
    searched = suite_of(tmp_path, ASKED[:1], "retrieval")
    asked = suite_of(tmp_path, ASKED[:1], "answers")
    unread = [answers_with("看不清"), *[answers_with("VERDICT: PASS")] * 59]
    more = {"ZHUNXIN_JUDGE": "openai:strong"}
    async with openai_stub(*unread) as stub:
        more["ZHUNXIN_LLM_BASE_URL"] = stub.base_url
        async with open_deps(settings_for(sample_home, **more)) as deps:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                await evaluate([asked, searched], deps, folder=tmp_path / "run", seeds=20)
                gc.collect()
    worth = json.loads((tmp_path / "run" / "calibration.json").read_text("utf-8"))
    assert sum("; 1 without a verdict" in said for said in worth.values()) == 1
