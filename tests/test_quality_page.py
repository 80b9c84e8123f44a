"""The quality page in a real browser: runs over time, cases, a comparison, live replies."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, ConsoleMessage, Page, Route, expect
from pydantic import ValidationError

import assistant
from assistant.api.feedback import AnswerRequest
from assistant.models import today
from evals.metrics import METRICS
from evals.production import SCORERS
from evals.records import SuiteInfo, write_run
from evals.report_files import REFUSED
from evals.suites import SUITES
from prompts.render import page_words
from tests.eval_runs import METRICS as METRICS_OF_RUNS
from tests.eval_runs import case, info, two_runs
from tests.knowledge_server import Server, serving
from tests.test_evals_api import AFTER, BEFORE, keep_verdicts

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")

OpenPage = Callable[..., Page]


def words(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"quality.{locale}.json").read_text("utf-8"))
    return loaded


ZH = words("zh-Hans")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Before anything was evaluated; runs come in while it serves."""
    with serving(tmp_path_factory.mktemp("quality-page")) as running:
        yield running


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    two_runs(server.home / "evals")
    # Playwright's own loop runs in this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(keep_verdicts(server.home))).result()
    return server


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens a view, signed in; script faults, CSP reports and dialogs fail the test."""
    faults: list[str] = []
    contexts = []

    def watch(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def open_at(
        view: str, role: str = "supervisor", width: int = 1366, locale: str = "zh-CN", **more: Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, locale=locale, base_url=server.url, **more
        )
        contexts.append(context)
        sign_in(context.request, role)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", watch)
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(f"/quality{view}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert faults == []


def sign_in(request: APIRequestContext, role: str) -> None:
    password = request.get("/v1/staff/demo").json()["password"]
    account = {"login": f"demo-{role}", "password": password}
    assert request.post("/v1/staff/session", data=account).ok


@pytest.mark.browser
def test_before_anything_was_measured_the_page_says_what_to_run(open_page: OpenPage) -> None:
    page = open_page("")
    expect(page.locator(".empty")).to_contain_text("zhunxin eval run")
    page.get_by_role("link", name=ZH["view.live"]).click()
    expect(page.locator(".empty")).to_contain_text("zhunxin eval sample")
    page.get_by_role("link", name=ZH["view.compare"], exact=True).click()
    expect(page.locator(".empty")).to_contain_text(ZH["runs.none"])


@pytest.mark.browser
def test_from_the_runs_over_time_down_to_one_case(filled: Server, open_page: OpenPage) -> None:
    page = open_page("")
    suite = page.locator("[data-suite=answers]")
    expect(suite.locator("svg.over-time")).to_have_count(4)
    expect(suite.locator("figure", has_text=ZH["metric.figures"])).to_contain_text(ZH["missed"])
    suite.locator("summary").click()
    expect(suite.get_by_role("row")).to_have_count(3)
    page.get_by_role("link", name=AFTER, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(AFTER)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_text(ZH["uncalibrated"])).to_be_visible()
    page.get_by_role("row", name=re.compile(ZH["metric.figures"])).get_by_role("link").click()
    case = page.locator(".case")
    expect(case).to_have_count(1)
    expect(case).to_contain_text("<script>alert(1)</script>")
    expect(case).to_contain_text("{{ 7*7 }}")
    for side in ("expected", "said", "cited", "findings"):
        expect(case.get_by_role("heading", name=ZH[f"case.{side}"])).to_be_visible()
    page.get_by_label(ZH["show"]).select_option("faults")
    expect(page.locator(".empty, .case").first).to_be_visible()
    page.get_by_label(ZH["cases.metric"]).select_option("")
    expect(page.locator(".case")).to_contain_text(ZH["case.fault"])


@pytest.mark.browser
def test_two_runs_are_compared_and_a_case_is_seen_in_both(
    filled: Server, open_page: OpenPage
) -> None:
    page = open_page("#/compare")
    page.get_by_role("button", name=ZH["compare"]).click()
    row = page.get_by_role("row", name=re.compile(ZH["metric.status"]))
    expect(row).to_contain_text(ZH["compare.sure"].partition("（")[0])
    row.get_by_role("link", name="case-3", exact=True).click()
    expect(page.locator(".case")).to_have_count(2)
    expect(page.locator(".case").first).to_contain_text(ZH["case.passed"])
    expect(page.locator(".case").last).to_contain_text(ZH["case.wrong"])


@pytest.mark.browser
def test_a_run_is_compared_with_the_last_of_its_suites_and_its_day_is_that_of_the_reader(
    filled: Server, open_page: OpenPage
) -> None:
    other = filled.home / "evals" / "20261119T200000Z"
    suites = (SuiteInfo("retrieval", "hash-of-others", METRICS_OF_RUNS),)
    started = "2026-11-19T20:00:00+00:00"
    written = replace(info("other", started=started), suites=suites)
    write_run(other, written, [case(n, "retrieval") for n in range(5)])
    try:
        page = open_page("", timezone_id="Asia/Shanghai")
        row = page.get_by_role("row", name=re.compile(AFTER)).last
        link = row.get_by_role("link", name=ZH["runs.compare_previous"])
        expect(link).to_have_attribute("href", re.compile(f"before={BEFORE}&after={AFTER}"))
        alone = page.get_by_role("row", name=re.compile(other.name)).last
        expect(alone.get_by_role("link", name=ZH["runs.compare_previous"])).to_have_count(0)
        chart = page.locator("[data-suite=retrieval] svg.over-time").first
        expect(chart).to_contain_text("11-20")
    finally:
        shutil.rmtree(other)


@pytest.mark.browser
def test_drift_is_marked_and_records_are_opened_by_auditors_only(
    filled: Server, open_page: OpenPage
) -> None:
    page = open_page("#/live")
    worse = ZH["live.worse"].replace("{names}", ZH["metric.figures"])
    expect(page.locator(".verdict")).to_have_text(worse)
    card = page.locator("[data-scorer=figures]")
    expect(card.locator(".point.worse")).to_have_count(1)
    card.locator("summary").click()
    expect(card.get_by_role("row").nth(1)).to_contain_text(ZH["drift.worse"])
    expect(page.get_by_role("button", name=ZH["live.replies"])).to_have_count(0)
    auditor = open_page("#/live?by=day&days=28", role="auditor")
    card = auditor.locator("[data-scorer=figures]")
    card.locator("summary").first.click()
    card.get_by_role("button", name=ZH["live.replies"]).first.click()
    expect(card.locator("details details")).to_have_count(6)
    card.locator("details details summary").first.click()
    expect(card.locator(".failure")).to_contain_text("没有找到")


@pytest.mark.browser
def test_what_goes_wrong_is_said_and_tried_again(filled: Server, open_page: OpenPage) -> None:
    page = open_page("#/run/no-such-run")
    expect(page.locator(".failure")).to_be_visible()
    held: list[Route] = []
    page.route("**/v1/evals?*", lambda route: held.append(route))
    page.get_by_role("link", name=ZH["view.runs"], exact=True).click()
    expect(page.locator(".skeleton")).to_be_visible()
    held.pop().abort()
    expect(page.locator(".failure")).to_be_visible()
    page.unroute("**/v1/evals?*")
    page.locator(".failure").get_by_role("button").click()
    expect(page.locator("[data-suite=answers]")).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("view", ["", f"#/run/{AFTER}", f"#/cases?run={AFTER}", "#/live",
                                  f"#/compare?before={BEFORE}&after={AFTER}"])  # fmt: skip
def test_nothing_is_wider_than_the_screen(view: str, filled: Server, open_page: OpenPage) -> None:
    page = open_page(view, width=390, color_scheme="dark", locale="en-GB")
    expect(page.locator("#view .card, #view table").first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    for width in (390, 768, 1366):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, a, select')]
            .filter((n) => n.checkVisibility())
            .filter((n) => !(n.textContent.trim() || n.labels?.length || n.ariaLabel)).length"""
    )
    assert unnamed == 0


def test_the_wording_is_complete_in_every_language() -> None:
    first = words("zh-Hans")
    for locale in LOCALES[1:]:
        other = words(locale)
        assert other.keys() == first.keys()
        for key, text in first.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", other[key])), key
    used = "".join(file.read_text("utf-8") for file in WEB.glob("quality*.js"))
    kit = json.loads((WEB / "knowledge.zh-Hans.json").read_text("utf-8"))
    for key in re.findall(r"""\bt\(["']([\w.]+)["']""", used):
        assert key in first or key in kit, key
    for reason in REFUSED:
        assert f"refused.{reason}" in first
    for scorer in SCORERS:
        assert f"live.scorer.{scorer}" in first, scorer
    for metric in {*METRICS, *SCORERS, *(name for s in SUITES.values() for name in s.bars)}:
        assert f"metric.{metric}" in first, metric
        assert metric in page_words("eval_report", "zh-Hans")["metrics"], metric


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"questions": []}, "请填写"),
        ({"questions": [""]}, "请填写"),
        ({"wording": {}}, "请填写"),
        ({"quote": " "}, "请填写"),
        ({"questions": ["问"] * 11}, "最多 10 条，现有 11 条"),
        ({"questions": ["问" * 201]}, "最多 200 个字"),
        ({"effective_to": "2026-06-30"}, "最后一天早于生效日"),
    ],
)
def test_what_is_wrong_with_a_field_is_worded(body: dict[str, Any], told: str) -> None:
    right = {
        "questions": ["手机丢了怎么办？"],
        "source": "faq-account.md",
        "quote": "请尽快联系客服。",
        "wording": {"zh-Hans": "请尽快联系客服。"},
        "effective_from": "2026-07-01",
    }
    AnswerRequest.model_validate(right)
    with pytest.raises(ValidationError) as wrong:
        AnswerRequest.model_validate(right | body)
    (fault,) = wrong.value.errors()
    found = [
        ZH[key].format(**match.groupdict())
        for key in ZH
        if key.startswith("read.")
        if (match := re.fullmatch(named_groups(key[5:]), fault["msg"]))
    ]
    assert found == [told]


def named_groups(key: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(key))


@pytest.fixture(scope="module")
def scored(server: Server) -> Server:
    """Conversations of two agents over some weeks, good ones and bad ones, and of the assistant."""
    hello = "您好，我是青穗消费金融客服，工号1023，请问有什么可以帮您？"
    with server.client("supervisor") as boss:
        for number in range(12):
            said = [("agent", "说"), ("borrower", "为什么扣了我两次钱？"), ("agent", BAD_REPLY)]
            if number % 3:
                said = [
                    ("agent", hello),
                    ("borrower", "怎么还款？"),
                    ("agent", "App首页点还款。请问还有其他问题吗？再见。"),
                ]
            by = "demo-agent" if number % 2 else "wang"
            turns = [{"speaker": s, "text": t, "by": by if s == "agent" else ""} for s, t in said]
            day = (today() - timedelta(days=3 * number)).isoformat()
            body = {"conversation_id": f"call-{number}", "turns": turns, "keep": True, "on": day}
            assert boss.post("/v1/copilot/score", json=body).status_code == 200
    return server


BAD_REPLY = "听不懂吗？保证您下次百分之百通过。违约金是500元。我们尽快给您回复。"


@pytest.mark.browser
def test_an_agent_appeals_and_a_supervisor_decides_and_scores_a_sample_blind(
    scored: Server, open_page: OpenPage
) -> None:
    agent = open_page("", "agent")
    expect(agent.get_by_text(ZH["scores.about.own"])).to_be_visible()
    expect(agent.locator("nav a[data-view]")).to_have_text([ZH["view.scores"]])
    expect(agent.locator("svg.over-time").first).to_be_visible()
    expect(agent.locator("tbody a.title")).to_have_count(6)
    assert "wang" not in agent.inner_text("main")
    agent.goto("/quality#/runs")
    expect(agent.get_by_role("heading", level=1)).to_have_text(ZH["view.scores"])
    agent.get_by_role("link", name="call-9").click()
    lost = agent.locator("article.case", has_text="CN-PROM-01").first
    expect(lost.locator("mark")).to_be_visible()
    lost.get_by_role("button", name=ZH["scores.appeal"]).click()
    agent.keyboard.type("客户问的是上次的结果")
    lost.get_by_role("button", name=ZH["save"]).click()
    expect(lost.locator(".badge", has_text=ZH["scores.appeal.open"])).to_be_visible()

    boss = open_page("#/scores")
    expect(boss.locator("tbody a.title").first).to_be_visible()
    for group in ("agent", "rule", "part"):
        boss.get_by_label(ZH["scores.group"]).select_option(group)
        expect(boss.locator("figure.chart").first).to_be_visible()
    boss.get_by_role("link", name=ZH["view.appeals"]).click()
    case = boss.locator("article.case")
    case.get_by_label(ZH["scores.reason"]).fill("看过录音，属实")
    case.get_by_role("button", name=ZH["save"]).click()
    expect(case.locator(".badge", has_text=ZH["scores.appeal.upheld"])).to_be_visible()
    case.get_by_role("link", name="call-9").click()
    expect(boss.get_by_text(ZH["scores.waived"])).to_be_visible()
    expect(boss.get_by_role("button", name=ZH["scores.appeal"])).to_have_count(0)

    boss.goto("/quality#/samples")
    boss.get_by_role("button", name=ZH["scores.draw"]).click()
    boss.locator("tbody a.title").first.click()
    expect(boss.get_by_text(ZH["scores.blind"])).to_be_visible()
    expect(boss.locator("article.case")).to_have_count(0)
    boss.get_by_label(ZH["scores.total"]).fill("60")
    boss.get_by_role("button", name=ZH["save"]).click()
    expect(boss.get_by_text(ZH["scores.blind"])).to_have_count(0)
    expect(boss.get_by_role("heading", name=ZH["scores.parts"])).to_have_count(0)
    expect(boss.locator("table").first).to_be_visible()

    narrow = open_page("#/scores", width=390)
    expect(narrow.locator("tbody a.title").first).to_be_visible()
    assert narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
