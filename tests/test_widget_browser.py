"""The borrower's widget and its demo page, in a real browser against the running server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect

import assistant
from tests.knowledge_server import copy_of, serving
from tests.openai_stub import hangs, openai_stub

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
QUESTION = "提前还款要收违约金吗？"

PARTIAL = (
    'event: sentence\ndata: {"index": 0, "text": "已经到达的一句。", "kind": "model",'
    ' "citations": []}\n\n'
)
"""A stream that breaks off after one sentence."""

ACTIVE = """() => {
  let node = document.activeElement;
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  return node?.className || node?.tagName;
}"""
"""The class of the focused element, looked for through shadow roots."""

OpenPage = Callable[..., Page]


def strings(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"strings.{locale}.json").read_text("utf-8"))
    return loaded


ZH = strings("zh-Hans")


@pytest.fixture
def open_page(browser: Browser, quoting_url: str) -> Iterator[OpenPage]:
    yield from opening(browser, quoting_url)


def opening(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens the demo page in a context of its own; script faults and CSP reports fail the test."""
    faults: list[str] = []
    contexts = []

    def watch(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def open_at(
        width: int = 1366,
        height: int = 768,
        scheme: Literal["light", "dark"] = "light",
        clock: bool = False,
        **options: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", watch)
        if clock:
            page.clock.install()
        page.goto(address)
        page.locator("zhunxin-chat .panel").wait_for(state="attached")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert faults == []


def ask(page: Page, question: str) -> None:
    page.locator("zhunxin-chat textarea").fill(question)
    page.keyboard.press("Enter")


def body(request: Request) -> dict[str, str]:
    sent: dict[str, str] = json.loads(request.post_data or "")
    return sent


def leave_unanswered(route: Route) -> None:
    """Takes the request and never replies, as a hung server would."""


def wait_for_end(page: Page) -> None:
    """Waits until an answer is complete, which is when one can ask again."""
    expect(page.locator("zhunxin-chat button[type=button].send")).to_be_hidden(timeout=120_000)


@pytest.mark.browser
def test_the_quote_is_marked_in_its_clause_and_closing_returns_to_the_chip(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.locator("zhunxin-chat .suggestions button", has_text=QUESTION).click()
    chip = page.locator("zhunxin-chat .chip").first
    chip.click(timeout=120_000)
    clause = page.locator("zhunxin-chat .clause")
    expect(clause).to_be_visible()
    quote = clause.locator("mark").inner_text()
    assert quote
    assert quote in clause.locator(".clause-text").inner_text()
    page.keyboard.press("Escape")
    expect(clause).to_be_hidden()
    assert page.evaluate(ACTIVE) == "chip"
    expect(page.locator("zhunxin-chat .panel")).to_be_visible()


@pytest.mark.browser
def test_what_is_copied_out_of_the_chat_carries_the_label(open_page: OpenPage) -> None:
    page = open_page()
    copied = page.evaluate(
        """() => new Promise((resolve) => {
          const root = document.querySelector("zhunxin-chat").shadowRoot;
          const words = root.querySelector(".log p");
          const chosen = root.getSelection?.() ?? getSelection();
          chosen.selectAllChildren(words);
          addEventListener("copy", (event) => {
            resolve([words.textContent, event.clipboardData.getData("text/plain")]);
          });
          if (!document.execCommand("copy")) resolve(["", "not copied"]);
        })"""
    )
    words, taken = copied
    label = json.loads((WEB / "strings.zh-Hans.json").read_text("utf-8"))["label"]
    assert words.strip()
    assert taken == f"{words}\n{label}"


@pytest.mark.browser
def test_a_clause_is_reached_and_left_with_the_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page(800, 900)

    def press_until(key: str, wanted: str) -> None:
        for _ in range(60):
            if page.evaluate(ACTIVE) == wanted:
                return
            page.keyboard.press(key)
        raise AssertionError(f"{key} never reached {wanted!r}")

    press_until("Tab", "launcher")
    page.keyboard.press("Enter")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.locator("zhunxin-chat .chip").first.wait_for(timeout=120_000)
    wait_for_end(page)
    press_until("Shift+Tab", "chip")
    page.keyboard.press("Enter")
    expect(page.locator("zhunxin-chat .clause")).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        # BODY stands for the browser's own controls, which a modal dialog leaves reachable.
        assert page.evaluate(ACTIVE) in {"icon", "clause", "clause-body", "BODY"}
    page.keyboard.press("Escape")
    assert page.evaluate(ACTIVE) == "chip"
    page.keyboard.press("Escape")
    expect(page.locator("zhunxin-chat .panel")).to_be_hidden()
    assert page.evaluate(ACTIVE) == "launcher"


@pytest.mark.browser
def test_the_locale_changes_the_words_and_what_the_server_is_asked_in(open_page: OpenPage) -> None:
    page = open_page()
    field = page.locator("zhunxin-chat textarea")
    expect(field).to_have_attribute("placeholder", ZH["field.hint"])
    page.locator("zhunxin-chat .languages").select_option("en")
    expect(field).to_have_attribute("placeholder", strings("en")["field.hint"])
    with page.expect_request("**/v1/chat") as asked:
        ask(page, "Is there a fee for repaying early?")
    assert body(asked.value)["locale"] == "en"
    page.locator("zhunxin-chat").evaluate("node => node.setAttribute('locale', 'zh-HK')")
    expect(field).to_have_attribute("placeholder", strings("zh-Hant")["field.hint"])


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390])
def test_nothing_scrolls_sideways_on_a_phone(open_page: OpenPage, width: int) -> None:
    page = open_page(width, 844, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("zhunxin-chat .launcher").tap()
    ask(page, QUESTION + "long" * 60)
    wait_for_end(page)
    for part in (".panel", ".log", ".composer"):
        sideways = page.locator(f"zhunxin-chat {part}").evaluate(
            "node => node.scrollWidth - node.clientWidth"
        )
        assert sideways == 0, part
    box = page.locator("zhunxin-chat .panel").bounding_box()
    assert box == {"x": 0, "y": 0, "width": width, "height": 844}


@pytest.mark.browser
def test_what_arrived_before_a_break_stays_and_the_question_can_be_asked_again(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.route(
        "**/v1/chat",
        lambda route: route.fulfill(content_type="text/event-stream", body=PARTIAL),
    )
    ask(page, QUESTION)
    retry = page.get_by_role("button", name=ZH["retry"])
    expect(retry).to_be_visible()
    expect(page.get_by_text(ZH["broken"])).to_be_visible()
    page.unroute("**/v1/chat")
    with page.expect_request("**/v1/chat") as again:
        retry.click()
    assert body(again.value)["message"] == QUESTION
    expect(page.locator("zhunxin-chat .chip").first).to_be_attached(timeout=120_000)
    expect(page.get_by_text("已经到达的一句。")).to_be_attached()
    expect(retry).to_have_count(0)


@pytest.mark.browser
def test_asking_again_leaves_the_focus_at_the_button_that_stops(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/v1/chat", lambda route: route.abort("connectionrefused"))
    ask(page, QUESTION)
    retry = page.get_by_role("button", name=ZH["retry"])
    retry.wait_for()
    page.unroute("**/v1/chat")
    page.route("**/v1/chat", leave_unanswered)
    retry.click()
    expect(page.get_by_role("button", name=ZH["stop"])).to_be_focused()


TOPS = """log => {
  const top = log.getBoundingClientRect().top + log.clientTop;
  const turn = [...log.querySelectorAll(".turn")].at(-1);
  const from = (node) => Math.round(node.getBoundingClientRect().top - top);
  return [from(turn), from(turn.querySelector(".answer"))];
}"""
"""How far below the top of what is in view the last turn and its answer begin, in pixels."""


@pytest.mark.browser
def test_a_new_answer_begins_at_the_top_and_a_long_question_does_not_hide_it(
    open_page: OpenPage,
) -> None:
    page = open_page(390, 700, has_touch=True, is_mobile=True)
    page.locator("zhunxin-chat .launcher").tap()
    log = page.locator("zhunxin-chat .log")
    for _ in range(2):
        ask(page, QUESTION)
        wait_for_end(page)
    assert log.evaluate(TOPS)[0] == 16
    ask(page, QUESTION + "我想先问清楚再决定要不要还。" * 90)
    wait_for_end(page)
    expect(page.locator("zhunxin-chat .turn")).to_have_count(3)
    assert log.evaluate(TOPS)[1] == 16


@pytest.fixture(scope="module")
def thinking_url(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server whose model thinks for a minute."""
    home = copy_of(sample_home, tmp_path_factory.mktemp("thinking") / "home")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(openai_stub(beyond=hangs)) as model,
    ):
        endpoint = {"ZHUNXIN_LLM": "openai:thinker", "ZHUNXIN_LLM_BASE_URL": model.base_url}
        with serving(home, **endpoint) as running:
            yield running.url


@pytest.mark.browser
def test_a_reload_during_the_first_answer_keeps_the_question_and_offers_to_ask_again(
    browser: Browser, thinking_url: str
) -> None:
    for open_page in opening(browser, thinking_url):
        page = open_page()
        chat = page.locator("zhunxin-chat")
        for turns in (1, 2):
            ask(page, QUESTION)
            expect(chat.locator(".evidence").last).to_be_attached()
            page.reload()
            failures = chat.locator(".turn .failure", has_text=ZH["history.unanswered"])
            expect(failures).to_have_count(turns)
            expect(chat.locator(".question .words")).to_have_text([QUESTION] * turns)
            # What the server has closed meanwhile is drawn no otherwise.
            page.reload()
            expect(failures).to_have_count(turns)
        with page.expect_request("**/v1/chat") as again:
            chat.get_by_role("button", name=ZH["retry"]).last.click()
        assert body(again.value)["message"] == QUESTION
        assert body(again.value)["conversation_id"]


@pytest.mark.browser
def test_a_refused_connection_is_told_with_a_way_to_retry(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/v1/chat", lambda route: route.abort("connectionrefused"))
    ask(page, QUESTION)
    expect(page.locator("zhunxin-chat .failure")).to_contain_text(ZH["broken"])
    expect(page.get_by_role("button", name=ZH["retry"])).to_be_visible()


@pytest.mark.browser
def test_a_server_silent_for_45_seconds_is_given_up(open_page: OpenPage) -> None:
    page = open_page(clock=True)
    page.route("**/v1/chat", leave_unanswered)
    with page.expect_request("**/v1/chat"):
        ask(page, QUESTION)
    page.clock.run_for(44_000)
    expect(page.locator("zhunxin-chat .failure")).to_have_count(0)
    page.clock.run_for(2_000)
    expect(page.locator("zhunxin-chat .failure")).to_contain_text(ZH["broken"])


@pytest.mark.browser
def test_an_answer_can_be_stopped_and_ends_with_its_element(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/v1/chat", leave_unanswered)
    for end in (
        lambda: page.get_by_role("button", name=ZH["stop"]).click(),
        lambda: page.locator("zhunxin-chat").evaluate("node => node.remove()"),
    ):
        with page.expect_request("**/v1/chat"):
            ask(page, QUESTION)
        with page.expect_event("requestfailed"):
            end()
        if page.locator("zhunxin-chat").count():
            expect(page.get_by_text(ZH["stopped"])).to_be_visible()


@pytest.mark.browser
def test_a_forgotten_conversation_is_begun_anew_and_said_so(
    open_page: OpenPage, quoting_url: str
) -> None:
    page = open_page()
    key = f"zhunxin:conversation:{quoting_url.rstrip('/')}/v1/chat"
    page.evaluate("key => sessionStorage.setItem(key, 'no-such-conversation')", key)
    page.reload()
    ask(page, QUESTION)
    expect(page.get_by_text(ZH["conversation.new"])).to_be_attached(timeout=30_000)
    wait_for_end(page)
    kept = page.evaluate("key => sessionStorage.getItem(key)", key)
    assert kept not in (None, "no-such-conversation")


@pytest.mark.browser
@pytest.mark.model
def test_the_local_model_answers_in_the_page(browser: Browser, server_url: str) -> None:
    for open_page in opening(browser, server_url):
        page = open_page()
        ask(page, QUESTION)
        wait_for_end(page)
        expect(page.locator("zhunxin-chat .chip").first).to_be_visible()


@pytest.mark.browser
def test_markup_in_a_question_is_shown_as_text(open_page: OpenPage) -> None:
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail(f"script ran: {dialog.message}"))
    question = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    ask(page, question)
    wait_for_end(page)
    expect(page.locator("zhunxin-chat .question .words")).to_have_text(question)
    expect(page.locator("zhunxin-chat .log img, zhunxin-chat .log script")).to_have_count(0)


@pytest.mark.browser
def test_enter_does_not_send_while_an_input_method_composes(open_page: OpenPage) -> None:
    page = open_page()
    field = page.locator("zhunxin-chat textarea")
    field.fill("ti qian")
    field.evaluate(
        """node => node.dispatchEvent(new KeyboardEvent("keydown",
             { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))"""
    )
    expect(field).to_have_value("ti qian")
    expect(page.locator("zhunxin-chat .question")).to_have_count(0)


@pytest.mark.browser
def test_a_question_over_the_limit_is_kept_and_not_sent(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "问" * 2001)
    expect(page.get_by_role("alert")).to_have_text(ZH["field.long"])
    expect(page.locator("zhunxin-chat .question")).to_have_count(0)
    expect(page.locator("zhunxin-chat textarea")).to_have_value("问" * 2001)


@pytest.mark.browser
def test_every_control_has_a_name_and_room_for_a_finger(open_page: OpenPage) -> None:
    page = open_page(390, 844)
    page.locator("zhunxin-chat .launcher").click()
    ask(page, QUESTION)
    page.locator("zhunxin-chat .chip").first.wait_for(timeout=120_000)
    wait_for_end(page)
    panel = page.get_by_role("dialog", name=ZH["title"])
    expect(panel).to_be_visible()
    expect(panel.get_by_role("log", name=ZH["log"])).to_be_visible()
    tree = panel.aria_snapshot()
    for role in ("button", "link", "combobox", "textbox"):
        assert re.search(rf"- {role} \"", tree), role
        assert not re.search(rf"- {role}(?! \")", tree), f"a {role} without a name"
    small = panel.evaluate(
        """node => [...node.querySelectorAll("button, a, select, textarea, summary")]
          .filter((control) => control.checkVisibility())
          .map((control) => {
            const reach = getComputedStyle(control, "::after");
            const box = control.getBoundingClientRect();
            const more = control.className === "chip" ? -2 * parseFloat(reach.top) : 0;
            return [control.className || control.tagName, box.width, box.height + more];
          })
          .filter(([, width, height]) => width < 44 || height < 44)"""
    )
    assert small == []


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1, as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXT_PAIRS = (
    ("ink", "bg"),
    ("ink", "surface"),
    ("ink", "accent-soft"),
    ("ink-muted", "bg"),
    ("ink-muted", "surface"),
    ("ink-muted", "accent-soft"),
    ("ink-muted", "danger-soft"),
    ("accent", "bg"),
    ("accent", "surface"),
    ("accent", "accent-soft"),
    ("on-accent", "accent"),
    ("danger", "bg"),
    ("danger", "danger-soft"),
    ("mark-ink", "mark"),
)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_contrast_enough_to_be_read(open_page: OpenPage, scheme: str) -> None:
    page = open_page(scheme=scheme)
    style = page.locator("zhunxin-chat").evaluate_handle("node => getComputedStyle(node)")

    def contrast(front: str, back: str) -> float:
        values = [
            style.evaluate("(style, name) => style.getPropertyValue(name).trim()", f"--zx-{name}")
            for name in (front, back)
        ]
        dark, light = sorted(luminance(value) for value in values)
        return (light + 0.05) / (dark + 0.05)

    for front, back in TEXT_PAIRS:
        assert contrast(front, back) >= 4.5, (front, back)
    assert contrast("control-line", "bg") >= 3
    bright = luminance(style.evaluate("style => style.getPropertyValue('--zx-bg').trim()")) > 0.5
    assert bright == (scheme == "light")


def test_every_locale_words_the_same_things() -> None:
    for locale in LOCALES:
        words = strings(locale)
        assert words.keys() == ZH.keys(), locale
        for key, text in words.items():
            assert text.strip(), (locale, key)
            holes = set(re.findall(r"\{\w+\}", text))
            assert holes == set(re.findall(r"\{\w+\}", ZH[key])), (locale, key)


def test_every_wording_named_by_the_widget_exists() -> None:
    code = "".join(path.read_text("utf-8") for path in sorted(WEB.glob("widget*.js")))
    named = re.findall(r'"data-(?:say|label|hint)": "([\w.]+)"', code)
    named += re.findall(r'(?:#announce|addOwnNotice)\("([\w.]+)"\)', code)
    assert len(named) > 20
    assert set(named) <= ZH.keys()


def test_the_widget_never_parses_text_as_markup() -> None:
    for path in WEB.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|DOMParser",
            path.read_text("utf-8"),
        ), path.name


def test_the_demo_page_carries_no_inline_script_or_style() -> None:
    page = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_dark_is_the_same_by_wish_and_by_attribute() -> None:
    css = (WEB / "tokens.css").read_text("utf-8")
    blocks = [
        re.sub(r"\s+", " ", block)
        for block in re.findall(r"\{([^{}]*color-scheme: dark;[^{}]*)\}", css)
    ]
    assert len(blocks) == 2
    assert blocks[0] == blocks[1]
