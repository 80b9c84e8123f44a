"""A borrower and an agent in two windows: asking for a person, being taken, talking, going back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Route,
    expect,
)

import assistant
from tests.knowledge_server import Server, copy_of, serving
from tests.openai_stub import openai_stub, quotes_around

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
BLOCKED = "保证给您办下来，绝对不上征信"


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("desk") / "home")
    with serving(home, keep_alive_s=1) as running:
        yield running


Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Open]:
    with opening(browser, server) as window:
        yield window


@contextmanager
def opening(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens windows of their own, as a role of the demo where one is named; faults and CSP reports
    fail the test."""
    faults: list[str] = []

    def watch(message: ConsoleMessage) -> None:
        # The page to sign in asks who is signed in, and is told that nobody is.
        if message.location["url"].endswith("/v1/staff/me"):
            return
        if message.type == "error" or "Content Security Policy" in message.text:
            faults.append(message.text)

    with ExitStack() as stack:

        def window(path: str, role: str = "") -> Page:
            context: BrowserContext = browser.new_context(
                viewport={"width": 1366, "height": 768}, locale="zh-CN", base_url=server.url
            )
            stack.callback(context.close)
            if role:
                password = context.request.get("/v1/staff/demo").json()["password"]
                account = {"login": f"demo-{role}", "password": password}
                assert context.request.post("/v1/staff/session", data=account).ok
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", watch)
            page.goto(path)
            return page

        yield window
    # A rule that stands against a message is told with a status that the browser logs.
    assert [fault for fault in faults if "422" not in fault] == []


@pytest.mark.browser
def test_a_borrower_escalates_talks_to_an_agent_and_goes_back_to_the_assistant(
    opened: Open,
) -> None:
    borrower, desk = opened("/"), opened("/desk", "agent")
    chat = borrower.locator("zhunxin-chat")
    bar = chat.locator(".desk")
    field = chat.locator("textarea#field")
    expect(bar).to_have_attribute("data-state", "none")
    expect(desk.locator(".nobody")).to_be_visible()

    bar.locator("button").click()
    expect(bar).to_have_attribute("data-state", "waiting")
    expect(bar).to_contain_text("下一位就是您")
    expect(chat).not_to_contain_text("已接入")
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    expect(desk).to_have_title("(1) 人工服务台 · 准信 · 人工服务台")

    desk.keyboard.press("Alt+n")
    reply = desk.locator("#reply")
    expect(reply).to_be_focused()
    expect(bar).to_have_attribute("data-state", "taken")
    expect(bar.locator(".desk-who")).to_have_text("人工客服 演示坐席")
    expect(chat.locator(".step").last).to_have_text("已接入人工客服 演示坐席")

    field.fill("我的电话是 13812345678")
    field.press("Enter")
    expect(desk.locator(".line.borrower .words")).to_have_text("我的电话是 【手机号】")
    expect(chat.locator(".said.own .words")).to_have_text("我的电话是 13812345678")

    reply.fill(BLOCKED)
    expect(desk.locator(".reply-check.block")).to_be_visible()
    reply.press("Control+Enter")
    expect(desk.locator(".found li").first).to_be_visible()
    expect(chat.locator(".said.person")).to_have_count(0)
    reply.fill("您好，我看一下您的情况。")
    expect(desk.locator(".reply-check.pass")).to_be_visible()
    reply.press("Control+Enter")
    expect(chat.locator(".said.person .words")).to_have_text("您好，我看一下您的情况。")
    expect(chat.locator(".said.person .tag")).to_have_text("人工客服 演示坐席")
    expect(reply).to_have_value("")

    # Reloaded, both have all of it, once.
    borrower.reload()
    expect(chat.locator(".said")).to_have_count(2)
    expect(bar).to_have_attribute("data-state", "taken")
    desk.reload()
    desk.locator("[data-group=mine] button").first.click()
    expect(desk.locator(".line")).to_have_count(2)
    field.fill("谢谢")
    field.press("Enter")
    expect(desk.locator(".line.borrower")).to_have_count(2)
    expect(chat.locator(".said")).to_have_count(3)

    desk.get_by_role("button", name="交还助手").click()
    expect(bar).to_have_attribute("data-state", "none")
    expect(chat.locator(".step").last).to_contain_text("现在由 AI 助手回答")
    expect(desk.locator("[data-group=mine]")).to_have_count(0)
    expect(desk.locator(".talk .empty")).to_be_visible()
    field.fill("提前还款要收违约金吗？")
    field.press("Enter")
    expect(chat.locator(".turn .chip").first).to_be_visible(timeout=60_000)


@pytest.mark.browser
def test_an_agent_answers_with_the_copilot_a_supervisor_overrides_and_the_wrap_up_is_accepted(
    opened: Open,
) -> None:
    borrower, desk, supervisor = (
        opened("/"),
        opened("/desk", "agent"),
        opened("/desk", "supervisor"),
    )
    chat = borrower.locator("zhunxin-chat")
    field = chat.locator("textarea#field")
    said = chat.locator(".said.person .words")
    who = borrower.locator("form.who select")
    late = who.locator("option", has_text="逾期 5 天")
    who.select_option(value=late.get_attribute("value"))
    expect(borrower.locator("form.who output")).not_to_be_empty()
    chat.locator(".desk button").first.click()
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    desk.keyboard.press("Alt+n")
    reply = desk.locator("#reply")
    expect(reply).to_be_focused()
    # Masked by role, and the next step is there before a word was said.
    card = desk.locator(".customer > summary")
    expect(card).to_contain_text("逾期 5 天")
    expect(card).to_contain_text("****")

    sent: list[str] = []
    borrower.on("request", lambda request: sent.append(request.method))
    field.fill("这句还没有发出去")
    asked = "提前还款要收违约金吗？"
    field.fill(asked)
    assert "POST" not in sent
    field.press("Enter")
    forms = desk.locator(".suggestion:not([aria-busy]) .bar button")
    expect(forms).to_have_count(3)
    expect(desk.locator(".talk")).not_to_contain_text("没有发出去")
    expect(desk.locator(".suggestion .note")).to_have_attribute("data-code", "no_model")
    expect(desk.locator(".evidence .clause-line").first).to_be_attached()
    expect(desk.locator("[data-action=settle_quote]")).to_be_visible()
    first = desk.locator(".sentences > li").first
    expect(first.locator("[data-verdict=pass]")).to_be_visible()
    first.locator(".chip").first.click()
    expect(first.locator(".clause-text mark")).to_be_visible()
    box = desk.evaluate("[document.documentElement.scrollHeight, document.body.scrollWidth]")
    assert box == [768, 1366]

    reply.press("Alt+2")
    short = reply.input_value()
    assert short
    # Another form takes the place of one that was not touched.
    reply.press("Alt+1")
    expect(reply).not_to_have_value(short)
    suggested = reply.input_value()
    expect(desk.locator(".reply-check")).not_to_have_class(re.compile("block"))
    with desk.expect_request(
        lambda request: (
            request.url.endswith("/v1/copilot/events") and request.post_data_json["kind"] == "sent"
        )
    ) as followed:
        reply.press("Control+Enter")
    expect(said).to_have_text([suggested])
    assert followed.value.post_data_json["variant"] == "reply"
    expect(desk.locator(".suggestion.answered")).to_be_visible()

    reply.press_sequentially("/kc ")
    expect(reply).to_have_value(re.compile("^您好"))
    reply.fill(BLOCKED)
    expect(desk.locator(".marked mark.block").first).to_be_visible()
    desk.get_by_role("button", name="提交主管批准").click()
    expect(desk.locator(".line.held")).to_have_count(1)
    supervisor.locator("[data-group=others] button").first.click()
    expect(supervisor.locator(".customer > summary")).not_to_contain_text("****")
    held = supervisor.locator(".held-actions")
    held.locator("input").fill("已当面说明")
    held.get_by_role("button", name="批准发送").click()
    expect(said).to_have_text([suggested, BLOCKED])

    desk.keyboard.press("Alt+k")
    search = desk.locator(".search [type=search]")
    search.fill("违约金")
    search.press("Enter")
    expect(desk.locator(".hits > li").first).to_be_visible()
    reply.fill("我明天下午给您回电。")
    reply.press("Control+Enter")
    expect(said).to_have_count(3)
    desk.keyboard.press("Alt+w")
    accept = desk.get_by_role("button", name="接受并结束")
    expect(accept).to_be_focused()
    expect(desk.locator(".promises .promise-text")).to_have_value(re.compile("回电"))
    desk.keyboard.press("Enter")
    expect(desk.locator(".score")).to_contain_text("质检")
    expect(desk.locator(".score q").first).to_be_visible()
    expect(chat.locator(".desk")).to_have_attribute("data-state", "none")


@pytest.mark.browser
def test_what_is_said_while_a_conversation_is_being_opened_is_seen(opened: Open) -> None:
    borrower, desk = opened("/"), opened("/desk", "agent")
    chat = borrower.locator("zhunxin-chat")
    chat.locator(".desk button").first.click()
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    waiting: list[Route] = []
    go_on = False
    desk.route("**/v1/desk/queue", lambda r: r.continue_() if go_on else waiting.append(r))
    with desk.expect_response("**/take"):
        desk.keyboard.press("Alt+n")
    expect(chat.locator(".desk")).to_have_attribute("data-state", "taken")
    chat.locator("textarea#field").fill("第一句就在这时候发出")
    chat.locator("textarea#field").press("Enter")
    expect(chat.locator(".said.own").last).to_contain_text("第一句")
    borrower.wait_for_timeout(500)
    go_on = True
    for route in waiting:
        route.continue_()
    expect(desk.locator(".line.borrower .words")).to_have_text(["第一句就在这时候发出"])
    desk.get_by_role("button", name="交还助手").click()
    expect(chat.locator(".desk")).to_have_attribute("data-state", "none")


@pytest.mark.browser
def test_what_else_the_borrower_needs_a_person_for_stands_above_the_open_conversation(
    opened: Open,
) -> None:
    borrower, desk = opened("/"), opened("/desk", "agent")
    chat = borrower.locator("zhunxin-chat")
    chat.locator(".desk button").first.click()
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    desk.keyboard.press("Alt+n")
    head = desk.locator(".talk .head h2")
    expect(head).to_have_text("要求人工")
    expect(chat.locator(".desk")).to_have_attribute("data-state", "taken")
    chat.locator("textarea#field").fill("能不能减免罚息")
    chat.locator("textarea#field").press("Enter")
    expect(desk.locator("[data-group=mine] .title-button")).to_have_text("还款困难")
    expect(head).to_have_text("还款困难")
    expect(desk.locator(".summary .badge").first).to_have_text("还款困难")
    desk.get_by_role("button", name="交还助手").click()
    expect(chat.locator(".desk")).to_have_attribute("data-state", "none")


@pytest.mark.browser
def test_another_language_keeps_the_conversation_and_what_was_written_and_signing_out_does_not(
    opened: Open,
) -> None:
    borrower, desk = opened("/"), opened("/desk", "agent")
    chat = borrower.locator("zhunxin-chat")
    chat.locator(".desk button").first.click()
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    desk.keyboard.press("Alt+n")
    reply = desk.locator("#reply")
    reply.fill("还没有发出的一句")
    desk.get_by_role("combobox", name="语言").select_option("en")
    expect(desk.locator("html")).to_have_attribute("lang", "en")
    expect(reply).to_have_value("还没有发出的一句")
    desk.get_by_role("button", name="Hand back").click()
    expect(chat.locator(".desk")).to_have_attribute("data-state", "none")
    desk.get_by_role("button", name="Sign out").click()
    desk.wait_for_url("**/sign-in*")
    assert desk.evaluate("sessionStorage.length") == 0


@pytest.mark.browser
def test_who_signs_out_leaves_nothing_asked_for_and_nothing_half_changed(opened: Open) -> None:
    borrower, desk = opened("/"), opened("/desk", "agent")
    chat = borrower.locator("zhunxin-chat")
    chat.locator(".desk button").first.click()
    expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
    desk.keyboard.press("Alt+n")
    expect(desk.locator("#reply")).to_be_visible()

    held: dict[str, Route] = {}
    asked: list[str] = []
    desk.on("request", lambda request: asked.append(request.method))
    desk.route("**/v1/desk/queue", lambda route: held.update(read=route))
    desk.route("**/v1/desk/handoffs/*/return", lambda route: held.update(change=route))
    with desk.expect_request("**/v1/desk/queue"):
        opened("/").locator("zhunxin-chat .desk button").first.click()
    with desk.expect_request("**/v1/desk/handoffs/*/return"):
        desk.get_by_role("button", name="交还助手").click()
    desk.get_by_role("button", name="退出登录").click()
    desk.wait_for_timeout(300)
    assert "DELETE" not in asked
    held["change"].continue_()
    desk.wait_for_url("**/sign-in*")
    expect(chat.locator(".desk")).to_have_attribute("data-state", "none")
    # What was being read has been given up: its refusal reaches nobody.
    with suppress(Error):
        held["read"].continue_()
    desk.wait_for_timeout(300)


MADE_UP = "您的贷款已获批20万元，包过。"


@pytest.fixture(scope="module")
def writing(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model writes slowly, and makes something up."""
    home = copy_of(sample_home, tmp_path_factory.mktemp("writing") / "home")
    stub = openai_stub(beyond=quotes_around(MADE_UP, pause_s=1.5))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(stub) as model:
        endpoint = {"ZHUNXIN_LLM": "openai:writer", "ZHUNXIN_LLM_BASE_URL": model.base_url}
        with serving(home, **endpoint) as running:
            yield running


@pytest.mark.browser
def test_a_model_writes_beside_the_agent_and_what_it_makes_up_is_never_seen(
    browser: Browser, writing: Server
) -> None:
    asked = "安心贷提前还款要收违约金吗？"
    with opening(browser, writing) as opened:
        borrower, desk = opened("/"), opened("/desk", "agent")
        chat = borrower.locator("zhunxin-chat")
        chat.locator(".desk button").first.click()
        expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
        desk.keyboard.press("Alt+n")
        expect(chat.locator(".desk")).to_have_attribute("data-state", "taken")
        chat.locator("textarea#field").fill(asked)
        chat.locator("textarea#field").press("Enter")
        # The clauses stand there before the model has said a word.
        clause = desk.locator(".suggestion[aria-busy] .evidence .clause-line")
        expect(clause.first).to_be_attached()
        sentences = desk.locator(".suggestion[aria-busy] .sentences > li")
        expect(sentences.first.locator("[data-verdict=pass]")).to_be_visible()
        forms = desk.locator(".suggestion:not([aria-busy]) .bar button")
        expect(forms).to_have_count(3, timeout=20_000)
        expect(desk.locator(".sentences > li [data-verdict=pass]").nth(1)).to_be_visible()
        expect(desk.locator("body")).not_to_contain_text("20万")
        expect(desk.locator(".line.borrower .words")).to_have_text([asked])
        desk.get_by_role("button", name="交还助手").click()
        expect(chat.locator(".desk")).to_have_attribute("data-state", "none")


@pytest.mark.browser
def test_an_agent_sees_what_the_assistant_still_answers_when_they_take_over(
    browser: Browser, writing: Server
) -> None:
    with opening(browser, writing) as opened:
        borrower, desk = opened("/"), opened("/desk", "agent")
        chat = borrower.locator("zhunxin-chat")
        chat.locator(".desk button").first.click()
        expect(desk.locator("[data-group=waiting] .case")).to_have_count(1)
        with borrower.expect_request("**/v1/chat"):
            chat.locator("textarea#field").fill("安心贷可以借多少钱？")
            chat.locator("textarea#field").press("Enter")
        desk.keyboard.press("Alt+n")
        asked = desk.locator(".line.borrower")
        expect(asked).to_have_count(1, timeout=15_000)
        answer = desk.locator(".line.assistant")
        expect(answer.locator(".words")).to_contain_text("安心贷", timeout=20_000)
        expect(answer).to_have_count(1)
        expect(asked).to_have_count(1)
        expect(answer).not_to_contain_text("回答中")


SHOW_COPILOT = """async (token) => {
  await import("/copilot.js");
  const copilot = document.createElement("zhunxin-copilot");
  copilot.setAttribute("token", token);
  copilot.setAttribute("locale", "en");
  copilot.addEventListener("zhunxin-insert", (event) => (window.inserted = event.detail));
  document.body.replaceChildren(copilot);
  const turns = [{ speaker: "borrower", text: "提前还款要收违约金吗？" }];
  await copilot.show({ id: "other:1", turns });
}"""


def token_of(server: Server) -> str:
    with server.client("agent") as client:
        return client.headers["Authorization"].removeprefix("Bearer ")


@pytest.mark.browser
def test_a_suggestion_that_was_not_kept_cannot_be_inserted(opened: Open, server: Server) -> None:
    def not_kept(route: Route) -> None:
        told = route.fetch().text()
        fault = {"text": "It could not be kept.", "trace_id": "0" * 32}
        cut = told[: told.index("event: done")] + f"event: error\ndata: {json.dumps(fault)}\n\n"
        assert "event: alternatives" in cut
        route.fulfill(content_type="text/event-stream", body=cut)

    page = opened("/")
    page.route("**/v1/copilot/suggest", not_kept)
    page.evaluate(SHOW_COPILOT, token_of(server))
    expect(page.locator(".suggestion .note")).to_contain_text("It could not be kept.")
    expect(page.locator(".sentences > li").first).to_be_visible()
    expect(page.get_by_role("button", name="Insert Reply")).to_have_count(0)
    page.keyboard.press("Alt+1")
    assert page.evaluate("window.inserted") is None


@pytest.mark.browser
def test_the_copilot_stands_inside_another_desk(opened: Open, server: Server) -> None:
    page = opened("/")
    page.evaluate(SHOW_COPILOT, token_of(server))
    expect(page.locator(".customer > summary")).to_contain_text("Not verified")
    page.get_by_role("button", name="Insert Reply").click()
    inserted = page.evaluate("window.inserted")
    assert inserted["variant"] == "reply"
    assert inserted["suggestion_id"]
    assert inserted["text"]
    verdict = page.evaluate(
        "(text) => document.querySelector('zhunxin-copilot').check(text)", BLOCKED
    )
    assert verdict["verdict"] == "block"
    refused = """(text) => document.querySelector('zhunxin-copilot').check(text)
      .catch((problem) => problem.code)"""
    assert page.evaluate(refused, "卡号 6222 0202 0011 2233 449") == "card_refused"
    page.evaluate("document.querySelector('zhunxin-copilot').remove()")


def test_the_wording_of_the_copilot_is_there_in_every_language() -> None:
    words = [json.loads((WEB / f"copilot.{locale}.json").read_text("utf-8")) for locale in LOCALES]
    assert words[0].keys() == words[1].keys() == words[2].keys()
    assert all(text.strip() for each in words for text in each.values())
    for key in words[0]:
        holes = {tuple(sorted(re.findall(r"\{\w+\}", each[key]))) for each in words}
        assert len(holes) == 1, key
    code = "".join(
        path.read_text("utf-8")
        for path in [*sorted(WEB.glob("copilot*.js")), WEB / "desk-copilot.js"]
    )
    # The card that shows a calculation names its own.
    ours = [key for key in words[0] if not key.startswith("calculation.")]
    unused = [
        key for key in ours if f'"{key}"' not in code and f"{key.rpartition('.')[0]}.$" not in code
    ]
    assert unused == []
    named = set(re.findall(r'\bt\("([\w.]+)"', code))
    assert named <= words[0].keys()


def test_the_wording_of_the_desk_is_there_in_every_language() -> None:
    words = [json.loads((WEB / f"desk.{locale}.json").read_text("utf-8")) for locale in LOCALES]
    assert words[0].keys() == words[1].keys() == words[2].keys()
    assert all(text.strip() for each in words for text in each.values())
    code = "".join(path.read_text("utf-8") for path in sorted(WEB.glob("desk*.js")))
    unused = [
        key
        for key in words[0]
        if f'"{key}"' not in code and f"{key.rpartition('.')[0]}.$" not in code and key != "title"
    ]
    assert unused == []
