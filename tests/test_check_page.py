"""The page on which a text is checked while it is typed, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, ConsoleMessage, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError

import assistant
from assistant.rules import CONTEXT_KEYS
from tests.knowledge_server import Server, serving

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
PROMISE = "放心吧😀，百分百下款。"
OWN_RULE = """
[[rules]]
id = "OWN-01"
title_zh = "不送小熊"
title_en = "No bears"
tasks = ["marketing"]
severity = "warn"
anchor = "policy"
sources = [{ source = "AD", article = "第九十九条", evidence = "memory" }]
suggestion_zh = "不提小熊。"
bad = ["送小熊", "送您小熊", "有小熊送"]
good = ["小能", "大熊", "送花"]

[[rules.triggers]]
patterns = ['小熊']
"""
BAD_ASKING = """bad = [
  { text = "送小熊", context = { segment = "new" } },
  { text = "送您小熊", context = { segment = "new" } },
  { text = "有小熊送", context = { segment = "new" } },
]"""
XSS = '<img src=x onerror="alert(1)">包过'

OpenPage = Callable[..., Page]


def words(locale: str, page: str = "check") -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"{page}.{locale}.json").read_text("utf-8"))
    return loaded


ZH = words("zh-Hans")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without any knowledge: the rules need none."""
    with serving(tmp_path_factory.mktemp("check")) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens the page, signed in; script faults, CSP reports and dialogs fail the test."""
    faults: list[str] = []
    contexts = []

    def watch(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def open_at(
        role: str = "agent",
        width: int = 1366,
        locale: str = "zh-CN",
        url: str = server.url,
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, base_url=url, **more
        )
        contexts.append(context)
        if role:
            sign_in(context.request, role)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", watch)
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto("/check")
        if role:
            expect(page.locator(".empty")).to_be_visible()
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert faults == []


def sign_in(request: APIRequestContext, role: str) -> None:
    password = request.get("/v1/staff/demo").json()["password"]
    account = {"login": f"demo-{role}", "password": password}
    assert request.post("/v1/staff/session", data=account).ok


def selected(page: Page) -> str:
    """What is selected in the text area."""
    return str(
        page.locator("#text").evaluate("a => a.value.slice(a.selectionStart, a.selectionEnd)")
    )


@pytest.mark.browser
def test_typing_shows_what_is_wrong_where_by_which_article_and_what_to_write_instead(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.locator("#text").press_sequentially(PROMISE)
    found = page.locator(".finding[data-rule=CN-PROM-01]")
    expect(found).to_contain_text("禁止保证审批通过")
    expect(found).to_contain_text(ZH["severity.block"])
    expect(found).to_contain_text("中华人民共和国广告法（2021修正） 第四条、第二十八条")
    expect(found.locator(".suggestion")).to_contain_text("以审批结果为准")
    expect(page.locator(".marked mark.block")).to_have_text("百分百下款")
    expect(page.locator("#verdict")).to_contain_text(ZH["verdict.block"])
    told = page.get_by_role("status").filter(has_text=ZH["verdict.block"])
    expect(told).to_have_count(1)
    expect(page.get_by_text(re.compile("规则版本 [0-9a-f]{12}"))).to_be_visible()
    found.get_by_role("button").click()
    assert selected(page) == "百分百下款", "an emoji before it is one character there, two here"
    page.locator("#text").fill("请按时还款。")
    expect(page.locator(".finding")).to_have_count(0)
    expect(page.locator(".marked mark")).to_have_count(0)
    expect(page.locator("#verdict")).to_contain_text(ZH["verdict.pass"])
    page.locator("#text").fill("")
    expect(page.locator(".empty")).to_contain_text(ZH["text.none"])


@pytest.mark.browser
def test_where_only_the_first_places_are_marked_it_is_said(open_page: OpenPage) -> None:
    page = open_page()
    found = page.locator(".finding[data-rule=CN-PROM-01]")
    page.locator("#text").fill("本产品百分百下款。请先看完合同再作决定。" * 50)
    expect(found).to_be_visible()
    expect(found).not_to_contain_text("只标出")
    page.locator("#text").fill("本产品百分百下款。请先看完合同再作决定。" * 60)
    expect(found).to_contain_text("只标出前 50 处")


@pytest.mark.browser
def test_a_source_that_was_not_read_is_called_unverified(
    open_page: OpenPage, tmp_path: Path
) -> None:
    own = tmp_path / "rules"
    own.mkdir()
    (own / "cn-own.toml").write_text(OWN_RULE, encoding="utf-8")
    with serving(tmp_path / "home", ZHUNXIN_RULES=str(own)) as running:
        page = open_page(url=running.url)
        page.locator("#text").fill("送您一只青穗小熊。")
        found = page.locator(".finding[data-rule=OWN-01]")
        expect(found).to_contain_text(ZH["source.unverified"])
        expect(found).to_contain_text("中华人民共和国广告法")
        expect(found).not_to_contain_text("第九十九条")
        page.context.close()


@pytest.mark.browser
def test_the_marks_stand_exactly_under_their_words(open_page: OpenPage) -> None:
    page = open_page(width=390)
    page.locator("#text").fill(f"{'请您按时还款。' * 40}\n\n{PROMISE}" * 30 + "\n\n")
    expect(page.locator(".marked mark.block")).to_have_count(30)
    layers = "['.marked', '#text'].map(s => document.querySelector(s))"
    one, other = page.evaluate(f"{layers}.map(n => [n.clientWidth, n.offsetHeight])")
    assert one == other
    written = page.locator("#text").evaluate("a => [a.scrollHeight, a.clientHeight]")
    assert written[0] <= written[1], "the layers scroll together, neither by itself"
    expect(page.locator(".place")).to_have_count(8)
    page.locator(".finding").get_by_role("button", name=re.compile("还有 22")).click()
    expect(page.locator(".place")).to_have_count(30)
    page.locator(".place").last.click()
    expect(page.locator(".marked mark").last).to_be_in_viewport()
    assert selected(page) == "百分百下款"


@pytest.mark.browser
def test_a_mark_moves_with_its_words_before_the_next_answer(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#text").fill(PROMISE)
    expect(page.locator(".marked mark")).to_have_text("百分百下款")
    page.context.set_offline(True)
    page.locator("#text").press("Home")
    page.locator("#text").evaluate(
        "a => { a.setRangeText('您好，'); a.dispatchEvent(new Event('input')); }"
    )
    assert page.locator(".marked mark").inner_text() == "百分百下款"


@pytest.mark.browser
def test_everything_is_reached_with_the_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["task", "channel", "complete", "text"]
    page.keyboard.type("百分百下款")
    expect(page.locator(".finding")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(".place")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()
    assert selected(page) == "百分百下款"
    page.keyboard.type("审批看结果")
    expect(page.locator("#verdict")).not_to_contain_text(ZH["verdict.block"])


@pytest.mark.browser
def test_what_is_not_checked_says_what_it_needs_and_leads_there(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#text").fill("本期应还 500 元，请在今天还款。")
    page.get_by_label(ZH["task"], exact=True).select_option("collections")
    unchecked = page.locator("#result details")
    expect(unchecked).to_be_visible()
    unchecked.locator("summary").click()
    item = unchecked.locator("li").filter(has_text="CN-COL-05")
    item.get_by_role("button", name=ZH["context.calls_today"]).click()
    field = page.get_by_label(ZH["context.calls_today"])
    expect(field).to_be_focused()
    field.fill("20")
    expect(page.locator(".finding[data-rule=CN-COL-05]")).to_be_visible()
    expect(unchecked).to_have_attribute("open", "")


@pytest.mark.browser
def test_without_a_channel_a_finding_says_on_which_it_is_one(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#text").fill("【准信消费金融】您的借款已逾期3天，应还1,256.30元，请尽快还款。")
    page.get_by_label(ZH["task"], exact=True).select_option("collections")
    found = page.locator(".finding[data-rule=CN-COL-04]")
    told = ZH["finding.channels"].replace("{channels}", ZH["channel.push"])
    expect(found).to_contain_text(told)
    page.locator("#channel").select_option("push")
    expect(found).not_to_contain_text(told)
    expect(found).to_be_visible()


@pytest.mark.browser
def test_the_newest_answer_wins(open_page: OpenPage) -> None:
    page = open_page()
    held: list[Route] = []
    page.route("**/v1/check", lambda route: held.append(route))
    page.locator("#text").fill("百分百下款")
    expect(page.locator("#result .skeleton")).to_be_attached()
    page.wait_for_timeout(300)
    page.unroute("**/v1/check")
    page.locator("#text").fill("请按时还款。")
    expect(page.locator("#verdict")).to_contain_text(ZH["verdict.pass"])
    assert len(held) == 1
    with suppress(PlaywrightError):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#verdict")).to_contain_text(ZH["verdict.pass"])


@pytest.mark.browser
def test_the_text_stays_when_the_language_changes_and_is_gone_after_signing_out(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.locator("#text").fill(PROMISE)
    page.get_by_label(words("zh-Hans", "knowledge")["language"]).select_option("en")
    expect(page.get_by_role("heading", level=1)).to_have_text(words("en")["heading"])
    assert page.evaluate("document.documentElement.lang") == "en"
    advice = page.locator(".finding[data-rule=CN-PROM-01] .suggestion")
    expect(advice).to_contain_text("approval")
    expect(advice).to_have_attribute("lang", "en")
    expect(page.locator("#text")).to_have_value(PROMISE)
    expect(page.locator("#verdict")).to_contain_text(words("en")["verdict.block"])
    expect(page.locator(".finding")).to_contain_text("No guaranteed approval")
    page.get_by_role("button", name=words("en", "knowledge")["sign_out"]).click()
    page.wait_for_url("**/sign-in")
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.browser
def test_who_is_not_signed_in_is_sent_to_sign_in(open_page: OpenPage) -> None:
    page = open_page(role="")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/check"))


@pytest.mark.browser
def test_a_session_that_ends_meanwhile_leads_to_sign_in_and_back_to_the_text(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.context.clear_cookies()
    page.locator("#text").fill(PROMISE)
    page.wait_for_url(re.compile(r"/sign-in\?next="))
    page.locator("#demo button", has_text="demo-agent").click()
    page.wait_for_url("**/check")
    expect(page.locator("#text")).to_have_value(PROMISE)
    expect(page.locator(".finding")).to_have_count(1)


@pytest.mark.browser
def test_who_may_not_check_any_more_is_told_so(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#text").fill(PROMISE)
    expect(page.locator(".finding")).to_have_count(1)
    sign_in(page.request, "marketer")
    page.locator("#text").press("End")
    page.keyboard.type("好")
    expect(page.get_by_role("alert")).to_contain_text(ZH["failed.403"])
    expect(page.locator(".finding, .marked mark")).to_have_count(0)


@pytest.mark.browser
def test_a_server_that_is_down_is_told_and_no_older_verdict_stays(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with serving(tmp_path / "home") as short_lived:
        page = open_page(url=short_lived.url)
        page.locator("#text").fill("请按时还款。")
        expect(page.locator("#verdict")).to_contain_text(ZH["verdict.pass"])
    page.locator("#text").fill(PROMISE)
    shared = words("zh-Hans", "knowledge")
    expect(page.get_by_role("alert")).to_contain_text(shared["failed.offline"])
    expect(page.locator("#result")).to_contain_text(ZH["failed.kept"])
    expect(page.locator("#verdict")).to_have_count(0)
    expect(page.locator("#text")).to_have_value(PROMISE)
    expect(page.get_by_role("button", name=shared["retry"])).to_be_visible()


@pytest.mark.browser
def test_a_connection_that_returns_is_used_at_once(open_page: OpenPage) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.locator("#text").fill(PROMISE)
    expect(page.get_by_role("alert")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".finding")).to_have_count(1)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "locale"), [(320, "en"), (390, "zh-CN"), (768, "zh-TW")])
def test_the_page_fits_and_names_its_controls(
    open_page: OpenPage, width: int, locale: str, scheme: str
) -> None:
    page = open_page(width=width, locale=locale, color_scheme=scheme)
    page.locator("#text").fill(f"{XSS} {PROMISE}{'x' * 300} https://example.com/{'y' * 200}")
    expect(page.locator(".finding").first).to_be_visible()
    page.locator("#complete").check()
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#app img[src=x]").count() == 0
    tree = page.locator("body").aria_snapshot()
    for role in ("button", "link", "combobox", "textbox", "spinbutton", "checkbox"):
        assert not re.search(rf"- {role}(?! \")(?::|$)", tree, re.M), f"a {role} without a name"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1366])
def test_what_a_message_must_carry_is_put_in_and_marked(open_page: OpenPage, width: int) -> None:
    page = open_page(width=width)
    page.locator("#text").fill("安心贷😀，申请方便，以审批结果为准")
    fill = page.get_by_role("button", name=ZH["complete"])
    fill.click()
    expect(page.locator(".completion")).to_have_text(ZH["complete.channel"])
    page.locator("#channel").select_option("wechat")
    expect(page.locator(".completion")).to_be_empty()
    fill.click()
    put_in = page.locator(".completed ins")
    expect(put_in.first).to_have_text("【广告】")
    expect(page.locator(".completed")).to_contain_text("【广告】安心贷😀，申请方便")
    expect(put_in.filter(has_text="青穗消费金融有限公司")).to_have_attribute(
        "title", ZH["element.lender_name"]
    )
    # No clause of this lender is in force here: its hotline is not told.
    told = ZH["complete.lacking"].replace("{names}", ZH["element.human"])
    expect(page.locator(".completion")).to_contain_text(told)
    expect(page.locator(".completion .verdict")).to_contain_text(ZH["verdict.pass"])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name=ZH["complete.use"]).click()
    expect(page.locator("#text")).to_have_value(re.compile("^【广告】安心贷.*退订", re.DOTALL))
    expect(page.locator("#complete")).to_be_checked()
    expect(page.locator("#verdict")).to_contain_text(ZH["verdict.pass"])


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a pack of its own, which asks for what no other does."""
    folder = tmp_path_factory.mktemp("own")
    more = '[context]\nprescreened = "bool"\nsegment = ["new", "renewing"]\n[sources.AD]\n'
    asking = OWN_RULE.replace(
        "patterns = ['小熊']", "patterns = ['小熊']\ncontext = { segment = 'new' }"
    )
    (folder / "hk-own.toml").write_text(
        f'{more}title = "x"\nheld = "memory"\n{asking}'.replace(
            'bad = ["送小熊", "送您小熊", "有小熊送"]', BAD_ASKING
        ),
        encoding="utf-8",
    )
    settings = {"ZHUNXIN_RULES": str(folder), "ZHUNXIN_PACK": "cn,hk"}
    with serving(tmp_path_factory.mktemp("joined"), **settings) as running:
        yield running


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1366])
def test_the_page_asks_what_the_rules_of_a_pack_ask_and_takes_another(
    open_page: OpenPage, joined: Server, width: int
) -> None:
    page = open_page(url=joined.url, width=width)
    packs = page.locator("#pack option")
    expect(packs).to_have_text(["cn,hk（本系统）", "cn", "hk", "us"])
    page.locator("#text").fill("送小熊")
    page.get_by_text(ZH["unchecked"].partition("：")[0]).click()
    page.get_by_role("button", name="segment").click()
    page.get_by_label("segment").select_option("new")
    expect(page.locator(".findings code", has_text="OWN-01")).to_be_visible()
    page.reload()
    expect(page.locator(".findings code", has_text="OWN-01")).to_be_visible()
    page.locator("#pack").select_option("us")
    expect(page.locator(".findings code", has_text="OWN-01")).to_have_count(0)
    expect(page.locator("#fill")).to_have_count(0)
    expect(page.get_by_label("segment")).to_have_count(0)
    page.locator("#text").fill("Guaranteed approval!")
    expect(page.locator(".findings code", has_text="US-UDAAP-01")).to_be_visible()


@pytest.mark.browser
def test_a_text_is_checked_by_the_rules_of_a_day(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#text").fill(PROMISE)
    expect(page.locator(".findings code", has_text="CN-PROM-01")).to_be_visible()
    with page.expect_request("**/v1/check") as sent:
        page.locator("#on").fill("2020-01-02")
    assert sent.value.post_data_json["on"] == "2020-01-02"


@pytest.mark.browser
def test_the_pages_lead_to_one_another(open_page: OpenPage) -> None:
    page = open_page()
    shared = words("zh-Hans", "knowledge")
    page.get_by_role("link", name=shared["page.knowledge"]).click()
    page.wait_for_url("**/knowledge")
    page.get_by_role("link", name=shared["page.check"]).click()
    page.wait_for_url("**/check")
    page.goto("/sign-in")
    page.get_by_role("link", name=words("zh-Hans", "sign-in")["page.check"]).click()
    page.wait_for_url("**/check")


def test_the_page_has_a_field_for_everything_that_may_be_said_about_a_text() -> None:
    code = (WEB / "check-context.js").read_text("utf-8")
    tables = re.findall(r"^const (?:USUAL|MORE) = \{\n(.*?)^\};", code, re.M | re.S)
    keys = re.findall(r'^  "?([\w.]+)"?: "', "".join(tables), re.M)
    assert {*keys, "complete"} == set(CONTEXT_KEYS)
    assert len(keys) == len(set(keys))
    assert {key.removeprefix("context.") for key in ZH if key.startswith("context.")} - {
        "about",
        "more",
    } == set(CONTEXT_KEYS)


def test_every_locale_words_the_same_things() -> None:
    for locale in LOCALES:
        found = words(locale)
        assert found.keys() == ZH.keys(), locale
        for key, text in found.items():
            assert text.strip(), (locale, key)
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", ZH[key])), key


def test_every_wording_named_by_the_page_exists() -> None:
    known = ZH | words("zh-Hans", "knowledge")
    code = "".join(path.read_text("utf-8") for path in sorted(WEB.glob("check*.js")))
    named = set(re.findall(r'\bt\("([\w.]+)"', code))
    assert len(named) > 25
    assert named <= known.keys()
    families = set(re.findall(r"\bt\(`([\w.]+)\.\$\{", code))
    assert {family for family in families if not any(k.startswith(family) for k in known)} == set()


def test_the_page_carries_no_inline_script_or_style() -> None:
    page = (WEB / "check.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
