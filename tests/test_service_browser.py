"""A day at the counter: three customers sign in one after another, ask about their own loans, go
on asking, and one of them ends up talking to a person in another window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.knowledge_server import Server, copy_of, serving


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("service") / "home")
    with serving(home, keep_alive_s=1) as running:
        yield running


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    opened = browser.new_context(
        viewport={"width": 1366, "height": 900}, locale="zh-CN", base_url=server.url
    )
    yield opened
    opened.close()


def sign_in(page: Page, state: str) -> None:
    labels = page.locator("#who option").all_inner_texts()
    page.locator("#who").select_option(label=next(x for x in labels if x.startswith(state)))
    expect(page.locator(".who output")).to_have_text(re.compile(r"^\S\*+$"))


def ask(page: Page, question: str) -> Locator:
    """The turn of the question, with its whole answer."""
    chat = page.locator("zhunxin-chat")
    before = chat.locator(".turn").count()
    chat.locator("textarea#field").fill(question)
    page.keyboard.press("Enter")
    expect(chat.locator(".turn")).to_have_count(before + 1)
    turn = chat.locator(".turn").last
    expect(turn).to_contain_text("记录号", timeout=60_000)
    return turn


@pytest.mark.browser
def test_three_customers_ask_about_their_own_and_one_talks_to_a_person(
    browser: Browser, server: Server, context: BrowserContext
) -> None:
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto("/")
    expect(page.locator("#who option")).to_have_count(13)
    page.locator("zhunxin-chat .panel").wait_for(state="attached")

    sign_in(page, "明天是还款日")
    settling = ask(page, "我今天一次性还清要多少钱")
    expect(settling.locator(".calculation .headline dd").first).to_have_text(
        re.compile(r"[0-9]\.[0-9]{2}")
    )
    schedule = ask(page, "把我的还款计划发我看看")
    expect(schedule.locator(".calculation svg")).to_be_visible()
    rows = schedule.locator(".calculation table tbody tr")
    assert rows.count() >= 3
    general = ask(page, "安心贷提前还款要收违约金吗？")
    expect(general.locator("button.cite, button.chip, .chip").first).to_be_visible()
    follow_up = ask(page, "那随心借呢？")
    expect(follow_up).to_contain_text("您问的是")
    expect(follow_up).to_contain_text("随心借")

    sign_in(page, "逾期")
    expect(page.locator("zhunxin-chat .turn")).to_have_count(0)
    overdue = ask(page, "我逾期了现在一共要还多少")
    expect(overdue.locator(".calculation")).to_be_visible()

    sign_in(page, "已经结清")
    ask(page, "我下个月要还多少")
    expect(page.locator("zhunxin-chat .turn").last).not_to_contain_text(re.compile("应还.*[1-9]"))
    chat = page.locator("zhunxin-chat")
    ask(page, "转人工")
    expect(chat.locator(".desk")).to_have_attribute("data-state", "waiting")

    window = browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="zh-CN", base_url=server.url
    )
    password = window.request.get("/v1/staff/demo").json()["password"]
    account = {"login": "demo-agent", "password": password}
    assert window.request.post("/v1/staff/session", data=account).ok
    desk = window.new_page()
    desk.goto("/desk")
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    desk.keyboard.press("Alt+n")
    desk.locator("#reply").fill("您好，我是人工客服，请问需要什么帮助？")
    desk.keyboard.press("Control+Enter")
    expect(chat.locator(".said.person")).to_have_count(1)
    chat.locator("textarea#field").fill("结清证明怎么开")
    page.keyboard.press("Enter")
    expect(desk.locator(".line.borrower").last).to_contain_text("结清证明怎么开", timeout=20_000)
    window.close()
    assert faults == []


@pytest.mark.browser
def test_a_complaint_is_read_from_its_beginning_whatever_the_desk_does(
    browser: Browser, server: Server
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="zh-CN", base_url=server.url
    )
    page = context.new_page()
    page.goto("/")
    chat = page.locator("zhunxin-chat")
    chat.locator(".launcher").click()

    def top() -> int:
        log = chat.locator(".log").bounding_box()
        turn = chat.locator(".turn").last.bounding_box()
        assert log
        assert turn
        return round(turn["y"] - log["y"])

    for _ in range(2):
        ask(page, "我要投诉你们")
        expect(chat.locator(".desk")).to_have_attribute("data-state", "waiting")
        assert top() == 16
    with server.client("agent") as agent:
        waiting = agent.get("/v1/desk/queue").json()["handoffs"]
        (row,) = [each for each in waiting if each["may_take"]]
        path = f"/v1/desk/handoffs/{row['id']}"
        assert agent.post(f"{path}/take").status_code == 200
        expect(chat.locator(".step")).to_contain_text(["已接入人工客服"])
        assert top() == 16
        said = {"message": "您好，请讲。", "message_id": "0" * 32}
        assert agent.post(f"{path}/messages", json=said).status_code == 201
        expect(chat.locator(".said.person")).to_be_in_viewport()
        assert agent.post(f"{path}/return").status_code == 200
    context.close()


@pytest.mark.browser
def test_the_lists_of_clauses_are_closed_above_what_came_of_them(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#who option")).to_have_count(13)
    page.locator("zhunxin-chat .panel").wait_for(state="attached")
    sign_in(page, "明天是还款日")
    turn = ask(page, "借10000分12期等额本息年利率14.4%每期还多少")
    expect(turn.locator(".calculation")).to_be_visible()
    expect(turn.locator(".evidence[open]")).to_have_count(0)
    expect(turn.locator(".evidence")).to_have_count(1)
    turn = ask(page, "提前还款要收违约金吗？逾期一天会怎么样？")
    expect(turn.locator(".evidence[open]")).to_have_count(0)
    expect(turn.locator(".evidence")).to_contain_text(["查阅了", "查阅了"])
