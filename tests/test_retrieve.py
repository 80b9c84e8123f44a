"""Search over the sample corpus: what is in force, for whom, and in which words it is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import opencc
import pytest

from assistant.deps import open_deps
from knowledge.dating import as_released
from knowledge.documents import CONTRACT_DATED, Clause, Evidence, Head
from knowledge.embed import LocalEmbedder
from knowledge.lender import load_lender, named_product
from knowledge.ranking import WEIGHTS, section
from knowledge.release import build
from knowledge.retrieve import Found, Index, Scope, covers, open_index, retrieve
from knowledge.store import embedding_text
from knowledge.text import normalise

from .conftest import settings_for

TODAY = date(2026, 11, 23)
CASES = Path(__file__).parent.parent / "evals" / "cases" / "coverage_dev.jsonl"

Search = Callable[..., Found]
to_traditional = opencc.OpenCC("s2t").convert


@pytest.fixture(scope="module")
def index(sample_home: Path) -> Index:
    async def load() -> Index:
        async with open_deps(settings_for(sample_home)) as deps:
            return await open_index(deps.engine, deps.vector_store)

    return asyncio.run(load())


@pytest.fixture(scope="module")
def search(index: Index) -> Search:
    embedder = LocalEmbedder(1)

    def run(text: str, k: int = 10, on: date = TODAY, **scope: Any) -> Found:
        return retrieve(index, embedder, text, Scope(on, **scope), k)

    return run


def clauses(found: Found) -> list[Clause]:
    return [item.clause for item in found.evidence]


QUESTIONS = ["提前还款要收违约金吗", "逾期的罚息怎么算", "贷款年化利率上限是多少", "怎么投诉"]


# Dates


@pytest.mark.parametrize("on", [date(2020, 1, 1), date(2024, 6, 1), date(2026, 3, 1), TODAY])
@pytest.mark.parametrize("question", QUESTIONS)
def test_only_clauses_in_force_are_found(search: Search, question: str, on: date) -> None:
    for clause in clauses(search(question, 100, on)):
        assert clause.in_force(on), f"{clause.source} {clause.locator}"


def test_a_law_is_found_from_its_first_day_to_its_last_and_not_beyond(
    search: Search, index: Index
) -> None:
    laws = [c for c in index.clauses if c.head.kind == "regulation"]
    dated = {c.source: c for c in laws if c.head.effective_from or c.head.effective_to}
    ending = [c for c in dated.values() if c.head.effective_to]
    coming = [c for c in dated.values() if c.head.effective_from and c.head.effective_from > TODAY]
    for clause in [*list(dated.values())[:6], *ending, *coming]:
        first, last = clause.head.effective_from, clause.head.effective_to

        def held(on: date, clause: Clause = clause) -> bool:
            found = search(clause.text, 100, on, kinds=frozenset({"regulation"}))
            return clause.id in {c.id for c in clauses(found)}

        if first:
            assert held(first)
            assert not held(first - timedelta(days=1))
        if last:
            assert held(last)
            assert not held(last + timedelta(days=1))


def test_the_date_of_the_contract_chooses_the_version_of_the_terms(search: Search) -> None:
    for signed, source in {
        date(2024, 6, 1): "anxin-terms-2024-01.md",
        date(2025, 12, 31): "anxin-terms-2024-01.md",
        date(2026, 1, 1): "anxin-terms-2026-01.md",
    }.items():
        found = search("安心贷提前还款要付违约金吗", contract_date=signed, product="anxin")
        terms = {c.source for c in clauses(found) if c.source.startswith("anxin-terms")}
        assert terms == {source}, signed


def test_the_date_of_the_contract_does_not_choose_the_law(search: Search) -> None:
    found = search("消费者权益保护", 50, contract_date=date(2015, 1, 1))
    others = [c for c in clauses(found) if c.head.kind not in CONTRACT_DATED]
    assert any(c.head.effective_from and c.head.effective_from.year > 2015 for c in others)
    assert all(c.in_force(TODAY) for c in others)


def test_what_other_versions_say_comes_with_the_clause(search: Search) -> None:
    found = search("安心贷提前还款违约金", product="anxin")
    terms = [e for e in found.evidence if e.clause.source == "anxin-terms-2026-01.md"]
    dated = next(e for e in terms if e.versions)
    assert [v.source for v in dated.versions] == ["anxin-terms-2024-01.md"]
    assert dated.versions[0].text != dated.clause.text


# Product, kind and audience


@pytest.mark.parametrize(
    ("question", "product"),
    [
        ("安心贷能提前还款吗", "anxin"),
        ("随心借按天计息吗", "suixin"),
        ("隨心借能提前還款嗎", "suixin"),
    ],
)
def test_the_product_that_is_named_leaves_out_the_other(
    search: Search, question: str, product: str
) -> None:
    named = named_product(load_lender(), question)
    assert named == product
    found = {c.head.product for c in clauses(search(question, 100, product=named))}
    assert found == {"", product}


@pytest.mark.parametrize("question", ["安心贷和随心借哪个利率低", "能提前还款吗"])
def test_two_products_or_none_leave_nothing_out(search: Search, question: str) -> None:
    named = named_product(load_lender(), question)
    assert named == ""
    found = {c.head.product for c in clauses(search(question, 100, product=named))}
    assert {"anxin", "suixin"} <= found


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Ten clauses for borrowers and one for agents, which alone speaks of waiving."""
    folder = tmp_path_factory.mktemp("handbook")
    rows = [{"id": f"b{n}", "text": f"第{n}项服务由人工客服办理。"} for n in range(10)]
    secret = {"id": "a0", "text": "客服主管可以减免罚息，上限为五百元。"}
    for name, lines in {"public.jsonl": rows, "agents.jsonl": [secret]}.items():
        text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        (folder / name).write_text(text, encoding="utf-8")

    async def load() -> Index:
        async with open_deps(settings_for(folder / "home")) as deps:
            for name, audience in (("public.jsonl", "borrower"), ("agents.jsonl", "agent")):
                await build(
                    deps.engine,
                    deps.vector_store,
                    LocalEmbedder(1),
                    [],
                    lock_file=folder / "lock",
                    jsonl=folder / name,
                    defaults=Head(audience=audience),  # type: ignore[arg-type]
                )
            return await deps.index()

    return asyncio.run(load())


def test_what_is_for_agents_is_not_among_what_a_borrowers_search_reads(handbook: Index) -> None:
    """Held by the store: there is no filter in Python that could be forgotten."""
    borrower = handbook.sections["borrower"]
    read = [handbook.clauses[ordinal] for ordinal in borrower.ordinals]
    assert {clause.id for clause in read} == {f"b{n}" for n in range(10)}
    assert len(borrower.vectors) == borrower.lexical.count == 10
    assert not borrower.lexical.holding("减免")
    everything = borrower.admitted(Scope(TODAY))
    assert everything.all(), "nothing is held back by a condition"
    question = "客服主管可以减免罚息，上限为五百元。"
    embedder = LocalEmbedder(1)
    for_borrower = retrieve(handbook, embedder, question, Scope(TODAY), 20)
    for_agent = retrieve(handbook, embedder, question, Scope(TODAY, audience="agent"), 20)
    assert {c.id for c in clauses(for_borrower)} == {f"b{n}" for n in range(10)}
    assert clauses(for_agent)[0].id == "a0"
    assert len(clauses(for_agent)) == 11


@pytest.mark.parametrize("on", [date(2020, 1, 1), date(2024, 6, 1), TODAY])
@pytest.mark.parametrize("contract_date", [None, date(2025, 3, 1)])
@pytest.mark.parametrize("product", ["", "anxin"])
@pytest.mark.parametrize("kinds", [frozenset(), frozenset({"regulation", "faq"})])
def test_exactly_the_clauses_of_the_scope_are_ranked(
    index: Index,
    on: date,
    contract_date: date | None,
    product: str,
    kinds: frozenset[Any],
) -> None:
    scope = Scope(on, contract_date, kinds, "borrower", product)
    borrower = index.sections["borrower"]
    ranked = {index.clauses[n].id for n in borrower.ordinals[borrower.admitted(scope)]}
    wanted = set()
    for clause in index.clauses:
        head = clause.head
        day = (contract_date or on) if head.kind in CONTRACT_DATED else on
        if (
            clause.in_force(day)
            and head.audience == "borrower"
            and (not kinds or head.kind in kinds)
            and head.product in ("", product or head.product)
        ):
            wanted.add(clause.id)
    assert ranked == wanted


def test_a_title_that_names_one_product_tells_of_which_a_document_is() -> None:
    documents = {
        "“随心借”循环额度服务条款": "",
        "青穗安心贷借款合同": "",
        "安心贷与随心借对照": "",
        "个人信息保护政策": "",
        "随心借客户也可申请的贷款": "anxin",
    }
    parts = [
        (n, Clause(str(n), f"{n}.md", Head(title=title, product=product), "第一条", "", "条文。"))
        for n, (title, product) in enumerate(documents.items())
    ]
    searched = section(parts, np.zeros((len(parts), 2), np.float32))
    names = load_lender().products

    def left(product: str) -> list[int]:
        scope = Scope(TODAY, product=product, products=names)
        return [int(n) for n in np.flatnonzero(searched.admitted(scope))]

    assert left("anxin") == [1, 2, 3, 4]
    assert left("suixin") == [0, 2, 3]
    assert left("") == [0, 1, 2, 3, 4]


def test_scripts_are_for_agents_only(search: Search, index: Index) -> None:
    script = next(c for c in index.clauses if c.head.audience == "agent")
    borrower = clauses(search(script.text, 100))
    agent = clauses(search(script.text, 10, audience="agent"))
    assert borrower
    assert all(c.head.audience == "borrower" for c in borrower)
    assert agent[0].id == script.id
    assert any(c.head.audience == "borrower" for c in agent)


def test_only_the_kinds_asked_for_are_found(search: Search) -> None:
    found = clauses(search("逾期", 50, kinds=frozenset({"faq", "regulation"})))
    assert {c.head.kind for c in found} == {"faq", "regulation"}


# Wording


@pytest.mark.parametrize(
    ("simplified", "variant"),
    [
        *((q, to_traditional(q)) for q in QUESTIONS),
        ("贷款20万元的上限", "贷款２０万元的上限"),
        ("贷款20万元的上限", "贷款二十万元的上限"),
        ("贷款20万元的上限", "贷款200,000元的上限"),
        ("民法典第680条", "民法典第六百八十条"),
    ],
)
def test_another_script_width_or_numeral_finds_the_same(
    search: Search, simplified: str, variant: str
) -> None:
    one, other = clauses(search(simplified)), clauses(search(variant))
    assert one[0].id == other[0].id
    assert len({c.id for c in one} & {c.id for c in other}) >= 7


@pytest.mark.parametrize(
    "text",
    ["", " ", "😀", "？！，。", "a" * 5000, "借款人提前还款" * 714, "\0", "\ud800", "'\"(:*"],
)
def test_no_query_makes_the_search_fail(search: Search, text: str) -> None:
    found = search(text)
    assert len(found.evidence) <= 10
    assert found.total_ms < 60_000


def test_words_of_no_clause_are_not_covered(search: Search) -> None:
    for text in ("", "😀", "？！，。"):
        assert not covers(search(text))


@pytest.mark.parametrize(
    ("typed", "meant"), [("提前还宽要违约金吗", "提前还款要违约金吗"), ("愈期怎么办", "逾期怎么办")]
)
def test_a_misspelt_question_is_searched_as_it_was_meant(
    search: Search, typed: str, meant: str
) -> None:
    assert search(typed).read_as == search(meant).read_as
    assert clauses(search(typed)) == clauses(search(meant))


@pytest.mark.parametrize(
    ("english", "source"),
    [
        ("Is there a penalty for early repayment?", "early-settlement.md"),
        ("How do I file a complaint?", "complaints.md"),
        ("What happens if my payment is overdue?", "overdue-and-grace.md"),
    ],
)
def test_an_english_question_finds_the_chinese_document(
    search: Search, english: str, source: str
) -> None:
    assert source in {c.source for c in clauses(search(english, 5))}


# Why each was found


def test_the_parts_of_a_score_add_up_to_it(search: Search) -> None:
    for item in search("安心贷提前还款要付违约金吗", 20).evidence:
        assert sum(item.why.values()) == pytest.approx(item.score, abs=1e-5)
        assert item.why.keys() <= {*WEIGHTS, "crowding"}


def test_a_hit_names_the_words_that_it_shares_with_the_question(search: Search) -> None:
    best = search("安心贷提前还款要付违约金吗").evidence[0]
    assert "违约金" in best.matched
    for word in best.matched:
        assert word in normalise(embedding_text(best.clause))


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_document_does_not_crowd_out_the_rest(search: Search, question: str) -> None:
    evidence = search(question, 8).evidence
    sources = [item.clause.source for item in evidence]
    assert len(set(sources)) >= 4, sources
    for place, item in enumerate(evidence):
        put_back = item.why.get("crowding", 0.0) < 0
        assert put_back == (sources[place] in sources[:place])


# Figures


@pytest.mark.parametrize("k", [0, 1, 10, 200])
def test_at_most_k_clauses_are_found_best_first(search: Search, k: int) -> None:
    evidence = search("提前还款违约金", k).evidence
    assert len(evidence) == k if k <= 10 else len(evidence) > 10
    assert evidence == tuple(sorted(evidence, key=lambda e: -e.score))
    assert len({e.clause.id for e in evidence}) == len(evidence)


def test_scores_lie_between_0_and_1(search: Search) -> None:
    def in_range(item: Evidence) -> bool:
        return all(-1e-6 <= value <= 1 + 1e-6 for value in (item.score, item.dense, item.lexical))

    evidence = search("提前还款违约金", 100).evidence
    assert evidence
    assert all(map(in_range, evidence))


def test_fewer_clauses_than_asked_for_are_no_fault(search: Search) -> None:
    long_ago = date(1900, 1, 1)
    assert 0 < len(search("提前还款", 10, on=long_ago).evidence) < 10
    nothing = search("提前还款", 10, on=long_ago, kinds=frozenset({"product"}))
    assert nothing.evidence == ()
    assert not covers(nothing)


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.bench)], ids=["half", "all"])
def test_covered_questions_are_kept_and_others_turned_away(search: Search, step: int) -> None:
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()[::step]]
    judged = [(case["covered"], covers(search(case["text"]))) for case in cases]
    kept = [judgement for covered, judgement in judged if covered]
    turned_away = [not judgement for covered, judgement in judged if not covered]
    shares = sum(kept) / len(kept), sum(turned_away) / len(turned_away)
    assert shares[0] >= 0.97, shares
    assert shares[1] >= 0.90, shares


def test_terms_are_known_where_no_document_is_said_to_be_of_a_product() -> None:
    def terms(product: str, begins: date) -> Clause:
        head = Head(title="借款合同", kind="product", product=product, effective_from=begins)
        return Clause(product, f"{product}.md", head, "第一条", "", "条文。")

    scope = Scope(TODAY, contract_date=date(2023, 5, 1), product="anxin")
    assert scope.terms_known([terms("", date(2024, 1, 1))])
    assert not scope.terms_known([terms("suixin", date(2023, 1, 1))])
    assert not scope.terms_known([terms("anxin", date(2024, 1, 1))])
    assert scope.terms_known([terms("anxin", date(2023, 1, 1))])


def law(title: str, begins: date | None, ends: date | None = None) -> Clause:
    head = Head(title=title, kind="regulation", effective_from=begins, effective_to=ends)
    return Clause(f"{title}{begins}", f"{title}{begins}.md", head, "第一条", "", "条文。")


def test_a_law_ends_where_a_newer_one_of_its_title_begins() -> None:
    parts = [law("反洗钱法", date(2007, 1, 1)), law("反洗钱法", date(2025, 1, 1))]
    old, new = as_released(parts)
    assert old.head.effective_to == date(2024, 12, 31)
    assert new.head.effective_to is None


def test_a_stated_end_stays_and_other_laws_do_not_end() -> None:
    stated = law("甲法", date(2007, 1, 1), date(2010, 6, 30))
    parts = [stated, law("甲法", date(2025, 1, 1)), law("乙法", date(2000, 1, 1))]
    ends = {part.id: part.head.effective_to for part in as_released(parts)}
    assert list(ends.values()) == [None, date(2010, 6, 30), None]
