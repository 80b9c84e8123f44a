"""A borrower and an agent in two windows: asking for a person, being taken, talking, going back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

import assistant
from tests.knowledge_server import Server, copy_of, serving

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
BLOCKED = "保证给您办下来，绝对不上征信"


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("desk") / "home")
    with serving(home, keep_alive_s=1) as running:
        yield running


@pytest.fixture
def windows(browser: Browser, server: Server) -> Iterator[tuple[Page, Page]]:
    """The borrower's demo page, and the desk of an agent; faults and CSP reports fail the test."""
    faults: list[str] = []

    def watch(message: ConsoleMessage) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            faults.append(message.text)

    with ExitStack() as stack:

        def context() -> BrowserContext:
            opened = browser.new_context(
                viewport={"width": 1366, "height": 768}, locale="zh-CN", base_url=server.url
            )
            stack.callback(opened.close)
            return opened

        pages = []
        for path in ("/", "/desk"):
            opened = context()
            if path == "/desk":
                password = opened.request.get("/v1/staff/demo").json()["password"]
                account = {"login": "demo-agent", "password": password}
                assert opened.request.post("/v1/staff/session", data=account).ok
            page = opened.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", watch)
            page.goto(path)
            pages.append(page)
        yield pages[0], pages[1]
    # A rule that stands against a message is told with a status that the browser logs.
    assert [fault for fault in faults if "422" not in fault] == []


@pytest.mark.browser
def test_a_borrower_escalates_talks_to_an_agent_and_goes_back_to_the_assistant(
    windows: tuple[Page, Page],
) -> None:
    borrower, desk = windows
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
