"""Releases over the years: dates confirmed, clauses compared, runs killed, disks full."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete

from assistant.audit import Writer, append, confirmed_dates, note_release, read_entries, verify
from assistant.clause_review import clause_rules
from assistant.db import audit_entries
from assistant.deps import open_deps
from assistant.figures import stated
from assistant.models import today
from knowledge import findings, store
from knowledge.chunk import chunk
from knowledge.dating import as_released
from knowledge.documents import Clause, Head
from knowledge.readers import read, read_manifest
from knowledge.release import (
    Confirmed,
    Report,
    UnknownDocument,
    WrongDates,
    confirm,
    diff,
)
from knowledge.store import ReleaseReport, UnknownRelease, find_release, release_report

from .conftest import CORPUS, settings_for
from .test_cli import Shell
from .test_ingest import MUCH_CLAUSES, MUCH_FILES, Home, counts, much, read_until, start

LAW = "# 还款规则\n\n第一条 可以提前还款。\n\n第二条 本规则自2026年7月1日起施行。\n"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    (tmp_path / "docs").mkdir()
    async with open_deps(settings_for(tmp_path / "home", ZHUNXIN_THREADS="1")) as deps:
        yield Home(deps, tmp_path / "docs")


async def report_of(home: Home) -> ReleaseReport:
    async with home.deps.engine.connect() as connection:
        report = await release_report(connection, await home.live())
    assert report is not None
    return report


async def say(home: Home, source: str, **dates: store.Answer) -> Confirmed:
    return await confirm(
        home.deps.engine,
        home.deps.vector_store,
        home.embedder,
        source,
        lock_file=home.deps.settings.home / "ingest.lock",
        by="someone",
        **dates,
    )


async def starts(home: Home) -> dict[str, date | None]:
    return {clause.source: clause.head.effective_from for clause in await home.clauses()}


# Dates to confirm


async def test_a_found_date_holds_at_once_and_waits_for_confirmation(home: Home) -> None:
    (home.docs / "law.md").write_text(LAW, encoding="utf-8")
    home.write("b.md", "额度有效期为一年。")
    ingested = await home.ingest()
    assert await starts(home) == {"law.md": date(2026, 7, 1), "b.md": None}
    (found,) = (await report_of(home)).found_dates
    assert ingested.found_dates == (found,)
    assert (found.source, found.field, found.value) == (
        "law.md",
        "effective_from",
        date(2026, 7, 1),
    )
    assert (found.locator, found.quote) == ("第二条", "第二条 本规则自2026年7月1日起施行")
    assert not found.confirmed
    done = await say(home, "law.md")
    assert (done.release, done.corrected) == (ingested.release, False)
    assert [f.confirmed for f in (await report_of(home)).found_dates] == [True]
    again = await home.ingest()
    assert (again.release, [f.confirmed for f in again.found_dates]) == (ingested.release, [True])


async def test_a_correction_makes_a_release_and_holds_until_the_file_changes(home: Home) -> None:
    (home.docs / "law.md").write_text(LAW, encoding="utf-8")
    first = await home.ingest()
    done = await say(home, "law", effective_from=date(2026, 8, 1), effective_to=date(2027, 7, 31))
    assert (done.source, done.corrected) == ("law.md", True)
    assert done.release == await home.live() != first.release
    assert await starts(home) == {"law.md": date(2026, 8, 1)}
    (found,) = (await report_of(home)).found_dates
    assert (found.value, found.applied) == (date(2026, 7, 1), date(2026, 8, 1))
    assert found.confirmed
    # Reading the same bytes again changes nothing; with other bytes the text counts again.
    assert counts(await home.ingest()) == (0, 0, 0, 1)
    assert await starts(home) == {"law.md": date(2026, 8, 1)}
    (home.docs / "law.md").write_text(LAW + "\n第三条 另行通知。\n", encoding="utf-8")
    changed = await home.ingest()
    assert await starts(home) == {"law.md": date(2026, 7, 1)}
    assert [f.confirmed for f in changed.found_dates] == [False]
    # The first release is as it was.
    await home.activate(first.release)
    assert await starts(home) == {"law.md": date(2026, 7, 1)}


async def test_a_confirmation_can_be_corrected_and_wins_over_the_head(home: Home) -> None:
    home.write("a.md", "可以提前还款。", head="+++\neffective_from = 2026-01-01\n+++\n")
    await home.ingest()
    await say(home, "a.md", effective_from=date(2026, 2, 1))
    await say(home, "a.md", effective_from=date(2026, 3, 1))
    assert await starts(home) == {"a.md": date(2026, 3, 1)}
    await say(home, "a.md", effective_from="open")
    assert await starts(home) == {"a.md": None}
    assert counts(await home.ingest()) == (0, 0, 0, 1)


async def read_again(home: Home) -> Report:
    """As `zhunxin ingest` does."""
    report = await home.ingest(confirmed=partial(confirmed_dates, keys=home.deps.keys))
    await note_release(home.deps.trail, report.release, "ingested", by="test")
    return report


async def test_only_dates_that_the_chain_tells_of_are_taken(home: Home) -> None:
    (home.docs / "law.md").write_text(LAW, encoding="utf-8")
    home.write("b.md", "额度有效期为一年。")
    await read_again(home)
    code, _, err = await run(home, "release", "confirm", "law.md", "--effective-from", "2026-08-01")
    assert code == 0, err
    assert not (await read_again(home)).warnings
    held = {"law.md": date(2026, 8, 1), "b.md": None}
    assert await starts(home) == held
    assert (await verify(home.deps.trail)).ok
    # Somebody who can write to the database, and has no key, says something of both.
    async with home.deps.engine.begin() as connection:
        keys = [*(await store.release_sources(connection, await home.live())).values()]
        for document in await store.stored_documents(connection, keys):
            planted = store.Confirmation(
                document.source, document.sha256, effective_from=date(2030, 1, 1), by="officer"
            )
            await store.confirm(connection, planted)
    verdict = await verify(home.deps.trail)
    reasons = [verdict.reason, *(each.reason for each in verdict.further)]
    assert len(reasons) == 2, reasons
    assert "the dates of law.md are not confirmed as row" in reasons[0]
    assert "the dates of b.md are confirmed is in no row" in reasons[1]
    again = await read_again(home)
    assert {warning.path for warning in again.warnings} == {"law.md", "b.md"}
    assert await starts(home) == {"law.md": date(2026, 7, 1), "b.md": None}
    # A person confirms them again.
    for name, day in (("law.md", "2026-08-01"), ("b.md", "open")):
        await run(home, "release", "confirm", name, "--effective-from", day)
    assert (await verify(home.deps.trail)).ok
    assert not (await read_again(home)).warnings
    assert await starts(home) == held
    async with home.deps.engine.begin() as connection:
        await connection.execute(delete(store.confirmations))
    assert not (await verify(home.deps.trail)).ok


async def test_what_was_confirmed_before_the_chain_told_of_it_is_taken_in(home: Home) -> None:
    (home.docs / "law.md").write_text(LAW, encoding="utf-8")
    await home.ingest()
    await say(home, "law.md", effective_from=date(2026, 8, 1))
    async with home.deps.engine.begin() as connection:
        # As a version left it that did not enter what was confirmed.
        await connection.execute(delete(audit_entries))
    await append(
        replace(home.deps, _writer=Writer()).trail,
        "founded",
        "",
        {"accounts": True, "scores": True},
    )
    for _ in range(2):
        async with open_deps(home.deps.settings) as opened:
            kinds = [entry.kind for entry in await read_entries(opened.engine)]
            assert kinds == ["founded", "founded", "confirmation"]
    assert not (await read_again(home)).warnings
    assert await starts(home) == {"law.md": date(2026, 8, 1)}


async def test_a_wrong_confirmation_is_refused_and_changes_nothing(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    home.write("b.md", "额度有效期为一年。")
    first = await home.ingest(defaults=Head(effective_from=date(2026, 1, 1)))
    with pytest.raises(WrongDates, match=r"a\.md: effective_to 2025-12-31 lies before"):
        await say(home, "a.md", effective_to=date(2025, 12, 31))
    with pytest.raises(UnknownDocument, match=r"no document 'c'.*a\.md, b\.md"):
        await say(home, "c")
    with pytest.raises(UnknownDocument, match="2 documents are like"):
        await say(home, ".md")
    assert await home.live() == first.release
    assert counts(await home.ingest(defaults=Head(effective_from=date(2026, 1, 1)))) == (0, 0, 0, 2)


async def test_a_document_that_names_another_ends_it_and_a_wrong_name_is_told(home: Home) -> None:
    home.write("old.md", "可以提前还款。")
    new = '+++\nsupersedes = "old.md"\neffective_from = 2026-07-01\n+++\n'
    home.write("new.md", "可以随时提前还款。", head=new)
    home.write("x.md", "投诉由客服受理。", head='+++\nsupersedes = "无"\n+++\n')
    report = await home.ingest()
    ends = {c.source: c.head.effective_to for c in as_released(await home.clauses())}
    assert ends == {"old.md": date(2026, 6, 30), "new.md": None, "x.md": None}
    assert [w.path for w in report.warnings] == ["x.md"]
    assert await home.found("可以提前还款吗") == ["可以随时提前还款。", "投诉由客服受理。"]


# Releases compared and found


async def test_releases_are_compared_as_they_are_in_force(home: Home) -> None:
    home.write("a.md", "逾期应当支付罚息。", "可以提前还款。")
    first = await home.ingest()
    home.write("a.md", "逾期应当支付罚息。", "提前还款免收违约金。")
    late = '+++\nsupersedes = "a.md"\neffective_from = 2027-01-01\n+++\n'
    home.write("b.md", "额度有效期为一年。", head=late)
    second = await home.ingest()
    change = await diff(home.deps.engine, first.release, second.release)
    assert (change.added, change.removed) == (("b.md",), ())
    (document,) = change.changed
    assert [(h.name, h.after) for h in document.head] == [("effective_to", "2026-12-31")]
    assert [row.change for row in document.clauses] == ["changed"]
    nothing = await diff(home.deps.engine, second.release, second.release)
    assert nothing.clauses == ()


async def test_a_release_is_found_by_id_beginning_live_and_previous(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    async with home.deps.engine.connect() as connection:
        with pytest.raises(UnknownRelease, match="none yet"):
            await find_release(connection, "live")
    first = (await home.ingest()).release
    home.write("a.md", "投诉由客服受理。")
    second = (await home.ingest()).release
    async with home.deps.engine.connect() as connection:
        for name, expected in {first: first, second[:-1]: second, "live": second}.items():
            assert (await find_release(connection, name)).id == expected
        assert (await find_release(connection, "previous")).id == first
        with pytest.raises(UnknownRelease, match=f"2 releases begin.*{first}"):
            await find_release(connection, "2")
        with pytest.raises(UnknownRelease, match=f"no release 'x'.*{second} .live."):
            await find_release(connection, "x")
    await home.activate(first)
    async with home.deps.engine.connect() as connection:
        with pytest.raises(UnknownRelease, match="no release 'previous'"):
            await find_release(connection, "previous")


async def test_only_what_changed_is_embedded_and_counted(home: Home) -> None:
    home.write("a.md", "逾期应当支付罚息。", "可以提前还款。", "投诉由客服受理。")
    assert (await home.ingest()).embedded == len(home.embedder.embedded) == 3
    home.write("a.md", "逾期应当支付罚息。", "提前还款免收违约金。", "投诉由客服受理。")
    second = await home.ingest()
    assert second.embedded == len(home.embedder.embedded) == 1
    assert (await report_of(home)).embedded == 1
    assert (await home.ingest()).embedded == 0
    home.deps.vector_store.prune([])
    assert (await home.ingest()).embedded == 0


# Duplicates and contradictions


def clause(source: str, text: str, **head: object) -> Clause:
    filled = Head(title=source, **head)  # type: ignore[arg-type]
    return Clause(f"{source}#{text[:4]}", source, filled, "第一条", "", text)


GRACE = "安心贷的宽限期为还款日后的 {} 个自然日。"
TWO = [clause("a.md", GRACE.format(3)), clause("b.md", GRACE.format(5))]


def found(parts: list[Clause]) -> tuple[int, int]:
    result = findings.review(parts, stated)
    return result.duplicate_count, result.contradiction_count


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GRACE.format(3), "安心贷合同的宽限期为还款日后的三天。" + GRACE.format(5)),
        ("提前还款违约金为剩余本金的 2%。", "提前还款违约金为剩余本金的 3%。"),
        ("借款人可以撤销借款，期限为 3 日。", "撤销借款的期限为七日，借款人可以在 App 办理。"),
        ("2026年1月1日起签署的合同，罚息利率上浮 30%。", "罚息利率上浮 50%。"),
        ("项目：逾期罚息；标准：上浮 30%", "项目：逾期罚息；标准：上浮 50%"),
        ("青穗消金的客服热线为 400-000-0000。", "青穗消金的客服热线为 400-111-1111。"),
    ],
)
def test_the_same_with_another_figure_is_a_contradiction(one: str, other: str) -> None:
    result = findings.review([clause("a.md", one), clause("b.md", other)], stated)
    assert result.contradiction_count == 1
    (finding,) = result.contradictions
    assert {finding.a.source, finding.b.source} == {"a.md", "b.md"}
    assert finding.a.figures
    assert finding.b.figures


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"effective_from": date(2026, 7, 1), "source": "a.md"}, id="one document"),
        pytest.param(
            {"effective_to": date(2026, 6, 30)}, {"effective_from": date(2026, 7, 1)}, id="dates"
        ),
        pytest.param({"product": "anxin"}, {"product": "suixin"}, id="products"),
        pytest.param({"jurisdiction": "CN"}, {"jurisdiction": "US"}, id="jurisdictions"),
        pytest.param({"kind": "regulation"}, {"kind": "regulation"}, id="two laws"),
    ],
)
def test_clauses_that_never_stand_side_by_side_are_not_reported(
    one: dict[str, object], other: dict[str, object]
) -> None:
    source = str(other.pop("source", "b.md"))
    for first, second in ((3, 5), (3, 3)):
        parts = [
            clause("a.md", GRACE.format(first), **one),
            clause(source, GRACE.format(second), **other),
        ]
        assert found(parts) == (0, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("宽限期为 3 日。", "罚息利率上浮 30%。"),
        (
            "2025年12月31日以前签署的安心贷合同宽限期为 1 个自然日。",
            "2026年1月1日起签署的安心贷合同宽限期为 3 个自然日。",
        ),
        ("例如借款 10000 元，利息为 200 元。", "例如借款 20000 元，利息为 400 元。"),
        (
            "期数：3 期；月费率：1%\n期数：6 期；月费率：2%",
            "期数：6 期；月费率：2%\n期数：12 期；月费率：3%",
        ),
        ("本规则第三条规定的期限为宽限期。", "本规则第五条规定的期限为宽限期。"),
        ("宽限期为三天，自还款日起算。", "宽限期为 3 天，自还款日起算。"),
    ],
)
def test_other_subjects_contracts_rows_and_examples_are_no_contradiction(
    one: str, other: str
) -> None:
    assert found([clause("a.md", one), clause("b.md", other)])[1] == 0


def test_rows_of_two_tables_contradict_each_other_under_one_key() -> None:
    parts = [
        clause("a.md", "期数：3 期；月费率：1%\n期数：6 期；月费率：2%"),
        clause("b.md", "期数：3 期；月费率：1%\n期数：6 期；月费率：2.5%"),
    ]
    (finding,) = findings.review(parts, stated).contradictions
    assert {finding.a.text, finding.b.text} == {
        "期数：6 期；月费率：2%",
        "期数：6 期；月费率：2.5%",
    }


def test_the_same_words_in_two_documents_are_a_duplicate() -> None:
    text = "借款人多还的款项，青穗消金在核实后的 3 个工作日内原路退回{}。"
    assert found([clause("a.md", text.format("")), clause("b.md", text.format("，不收费用"))]) == (
        1,
        0,
    )
    assert found(
        [clause("a.md", text.format("")), clause("b.md", "投诉由客服受理并答复，逾期不计。")]
    ) == (0, 0)


def corpus() -> list[Clause]:
    parts: list[Clause] = []
    for folder in (CORPUS / "lender", CORPUS / "regulations"):
        heads = read_manifest(folder)
        for path in sorted(folder.iterdir()):
            if path.suffix != ".jsonl":
                parts += chunk(read(path, path.name, heads.get(path.name)))
    return as_released(parts)


def test_the_sample_lender_does_not_contradict_itself_until_a_figure_is_changed() -> None:
    parts = corpus()
    clean = findings.review(parts, stated)
    assert clean.contradictions == ()
    assert {(f.a.source, f.b.source) for f in clean.duplicates} == {
        ("faq-repayment.md", "repayment-guide.md"),
        ("early-settlement.md", "faq-account.md"),
    }
    # Each of these stands in another document of the lender as well.
    planted = {
        "每 12 个月可以撤销": "每 24 个月可以撤销",
        "自收到投诉之日起 15 日内答复处理": "自收到投诉之日起 30 日内答复处理",
        "通常 30 分钟内放款": "通常 60 分钟内放款",
        "7.2%–19.8%": "8.2%–21.8%",
        "通常在 1 个工作日内给出审批结果": "通常在 2 个工作日内给出审批结果",
        "收到完整材料后的 5 个工作日": "收到完整材料后的 9 个工作日",
    }
    for right, wrong in planted.items():
        place = next(i for i, part in enumerate(parts) if right in part.text)
        changed = list(parts)
        changed[place] = replace(parts[place], text=parts[place].text.replace(right, wrong))
        told = findings.review(changed, stated).contradictions
        assert told, wrong
        assert all(parts[place].source in (f.a.source, f.b.source) for f in told), wrong


async def test_what_contradicts_is_kept_with_the_release(home: Home) -> None:
    home.write("a.md", GRACE.format(3))
    home.write("b.md", GRACE.format(5))
    report = await home.ingest(figures=stated)
    assert (report.duplicates, report.contradictions) == (0, 1)
    kept = await report_of(home)
    (finding,) = kept.findings.contradictions
    assert (finding.a.figures, finding.b.figures) == (("term day 3",), ("term day 5",))
    async with home.deps.engine.connect() as connection:
        (release,) = await store.list_releases(connection)
    assert release.findings == 1
    assert (await home.ingest()).contradictions == 1


# Commands


async def run(home: Home, *args: object) -> tuple[int, str, str]:
    """A command as it is given to the program, in this process: starting one takes two seconds."""
    shell = Shell(home.docs, home.deps.settings.home)
    ran = await asyncio.to_thread(shell.run, *args)
    return ran.code, ran.out, ran.err


async def test_a_title_that_looks_like_markup_is_shown_as_it_is(home: Home) -> None:
    for title in ("费用[/旧]", "费用[/新]"):
        text = f'+++\ntitle = "{title}"\n+++\n\n可以提前还款。'
        (home.docs / "fees.md").write_text(text, encoding="utf-8")
        assert (await run(home, "ingest", home.docs))[0] == 0
    code, out, _ = await run(home, "release", "diff", "previous", "live")
    assert (code, "费用[/旧] -> 费用[/新]" in out) == (0, True)


async def test_the_commands_list_show_compare_confirm_and_roll_back(home: Home) -> None:
    (home.docs / "law.md").write_text(LAW, encoding="utf-8")
    code, out, _ = await run(home, "ingest", home.docs)
    assert code == 0
    assert re.search(r"1 dates were read.*\n +law\.md +effective_from 2026-07-01", out)
    first = await home.live()
    code, out, _ = await run(
        home, "release", "confirm", "law.md", "--effective-from", "2026-08-01", "--json"
    )
    second = json.loads(out)["release"]
    assert second != first
    listed = json.loads((await run(home, "release", "list", "--json"))[1])
    assert [(r["id"], r["state"], r["documents"], r["clauses"], r["findings"]) for r in listed] == [
        (second, "live", 1, 2, 0),
        (first, "kept", 1, 2, 0),
    ]
    shown = json.loads((await run(home, "release", "show", "previous", "--json"))[1])
    assert shown["report"]["found_dates"][0]["value"] == "2026-07-01"
    change = json.loads((await run(home, "release", "diff", first[:-1], "live", "--json"))[1])
    assert (change["a"], change["b"], change["clauses"]) == (first, second, [])
    assert change["documents"]["changed"][0]["head"] == [
        {"name": "effective_from", "before": "2026-07-01", "after": "2026-08-01"}
    ]
    code, _, errors = await run(home, "release", "diff", "live", "nothing")
    assert (code, first in errors, second in errors) == (2, True, True)
    code, out, _ = await run(home, "release", "activate", "previous")
    assert (code, await home.live()) == (0, first)


async def test_a_search_takes_the_reader_and_the_contract_s_day(home: Home) -> None:
    head = '+++\nkind = "{}"\naudience = "{}"\n{}+++\n'
    for year, days in ((2025, 1), (2026, 3)):
        dates = f"effective_from = {year}-01-01\neffective_to = {year}-12-31\n"
        number_of = f'document_no = "青穗〔{year}〕1号"\njurisdiction = "CN"\n'
        terms = head.format("product", "borrower", dates + number_of)
        home.write(f"{year}.md", f"宽限期为 {days} 个自然日。", head=terms)
    home.write("script.md", "宽限期以内不致电。", head=head.format("script", "agent", ""))
    await home.ingest()
    question = ("search", "宽限期几天", "--as-of", "2026-06-01", "--json")
    for more, expected in (
        ((), {"2026.md"}),
        (("--contract-date", "2025-06-01"), {"2025.md"}),
        (("--audience", "agent"), {"2026.md", "script.md"}),
    ):
        hits = json.loads((await run(home, *question, *more))[1])["hits"]
        assert {hit["source"] for hit in hits} == expected
    assert (hits[0]["jurisdiction"], hits[0]["document_no"]) == ("CN", "青穗〔2026〕1号")
    code, _, errors = await run(home, *question, "--audience", "all")
    assert (code, "borrower, agent" in errors) == (2, True)


async def test_a_second_ingestion_says_that_it_waits(home: Home) -> None:
    much(home)
    home.write("b/b.md", "逾期应当支付罚息。")
    first = start(home, "ingest", home.docs / "much")
    await asyncio.to_thread(read_until, first, "embedding clauses")
    second = start(home, "ingest", home.docs / "b")
    await asyncio.to_thread(read_until, second, "waiting for another ingestion")
    for process in (first, second):
        _, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, errors
    assert len({clause.source for clause in await home.clauses()}) == MUCH_FILES + 1


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.bench)])
async def test_runs_killed_at_any_moment_leave_a_release_that_serves(
    home: Home, kills: int
) -> None:
    home.write("a.md", "可以提前还款。")
    rules = clause_rules(home.deps.rules, today())
    first = await home.ingest(rules=rules)
    much(home)
    began = asyncio.get_running_loop().time()
    whole = start(home, "ingest", home.docs / "a.md")
    await asyncio.to_thread(whole.communicate)
    started_s = asyncio.get_running_loop().time() - began
    delays = random.Random(20261124)
    vectors = home.deps.settings.home / "vectors"
    for kill in range(kills):
        # From before the first file is read until after the switch: embedding takes seconds once.
        delay_s = delays.uniform(0.3, 2.5) * started_s
        process = start(home, "ingest", home.docs)
        await asyncio.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        live = await home.live()
        assert live, (kill, delay_s)
        assert await home.found("提前还款") != [], (kill, delay_s)
        if live == first.release:
            assert await home.found("提前还款") == ["可以提前还款。"]
    second = await home.ingest(rules=rules)
    assert second.documents == MUCH_FILES + 1
    names = {path.name for path in vectors.iterdir()}
    assert names == {first.release, second.release}
    assert len(await home.clauses()) == MUCH_FILES * MUCH_CLAUSES + 1


async def test_the_switch_is_told_as_writing_which_nobody_may_cancel(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    told: list[str] = []
    await home.ingest(progress=lambda stage, done, total: told.append(stage))
    stages = [stage for stage, _ in itertools.groupby(told)]
    assert stages == ["read", "embed", "write", "review", "write"]


async def test_a_rerun_clears_what_a_kill_after_the_switch_left(home: Home) -> None:
    home.write("a.md", "可以提前还款。")
    report = await home.ingest()
    vectors = home.deps.settings.home / "vectors"
    (vectors / "20260101000000-abcdef.building").mkdir()
    (vectors / "20260101000000-abcdef").mkdir()
    assert (await home.ingest()).release == report.release
    assert [path.name for path in vectors.iterdir()] == [report.release]


@pytest.mark.parametrize("room", [100_000, 500_000])
async def test_a_full_disk_is_one_line_and_the_old_release_serves(home: Home, room: int) -> None:
    """room: the largest file that may be written, in bytes."""
    home.write("a.md", "可以提前还款。")
    first = await home.ingest()
    much(home)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    code = f"{limit}; from assistant.cli import main; main()"
    settings = home.deps.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "ingest", str(home.docs),
        env={
            "PATH": "", "HOME": str(settings.home), "ZHUNXIN_HOME": str(settings.home),
            "ZHUNXIN_LLM": "extractive", "ZHUNXIN_THREADS": "1", "OMP_NUM_THREADS": "1",
        },
        cwd=CORPUS.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    said = errors.decode()
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert re.search(r"^zhunxin: .*(written|too large|opened)", said, re.M), said
    assert await home.live() == first.release
    assert await home.found("提前还款") == ["可以提前还款。"]


async def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        elsewhere = Home(deps, tmp_path / "docs")
        elsewhere.write("a.md", "可以提前还款。")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "assistant", "ingest", str(elsewhere.docs),
            env={"PATH": "", "ZHUNXIN_HOME": str(tmp_path / "file" / "home"),
                 "ZHUNXIN_LLM": "extractive"},
            cwd=CORPUS.parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("zhunxin: ")
    assert errors.decode().count("\n") == 1
