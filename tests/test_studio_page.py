"""A marketer and a compliance officer in two windows: from a brief to a file that may be sent."""

from __future__ import annotations

import ast
import csv
import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

import assistant
from assistant import campaign_results
from assistant.addressing import bounds_of, reasons
from assistant.api import offers
from assistant.bulk import run_campaign
from assistant.campaign_results import BadResults, read_csv
from assistant.demo_people import COLUMNS, people
from assistant.drafts import ACTIONS, STATES, Declining, Lapse
from assistant.offer_jobs import today_of
from assistant.segments import Op
from assistant.templates import TemplateFault, slots
from tests.knowledge_server import Server, copy_of, serving
from tests.test_knowledge_page import texts_of
from tests.test_offers_api import SPRING, lender_folder

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
PEOPLE = 1000


def words(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"studio.{locale}.json").read_text("utf-8"))
    return loaded


ZH = words("zh-Hans")


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    home = copy_of(sample_home, folder / "home")
    with serving(home, ZHUNXIN_LENDER=str(lender_folder(folder / "lender"))) as running:
        yield running


@pytest.fixture
def windows(browser: Browser, server: Server) -> Iterator[tuple[Page, Page]]:
    """The studio of a marketer, and that of a compliance officer; faults and CSP reports fail the
    test."""
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
        for role in ("marketer", "compliance"):
            opened = context()
            password = opened.request.get("/v1/staff/demo").json()["password"]
            account = {"login": f"demo-{role}", "password": password}
            assert opened.request.post("/v1/staff/session", data=account).ok
            page = opened.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", watch)
            page.goto("/studio")
            pages.append(page)
        yield pages[0], pages[1]
    assert faults == []


def opened(page: Page, draft: str, reach: str = "approve") -> None:
    """Opens a draft from those that are shown."""
    page.locator(f"[data-draft='{draft}'] a.title").click()
    expect(page.locator(f"#{reach}")).to_be_visible()


def run_over_made_up_customers(server: Server, folder: Path) -> list[dict[str, str]]:
    """The messages of a run at ten in the morning."""
    deps = server.deps
    bounds = bounds_of(deps.rules)
    today = today_of(deps)
    customers, out = folder / "customers.csv", folder / "messages.jsonl"
    with customers.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *people(PEOPLE, 1, today)])
    run = partial(
        run_campaign,
        deps.trail,
        deps.campaigns()[SPRING],
        customers,
        out,
        bounds=bounds,
        rules_version=deps.rules.version,
        lock_folder=folder,
        at=datetime.combine(today, time(10), bounds.zone),
        workers=1,
    )
    summary = server.portal.call(run)
    assert summary.tally.customers == PEOPLE
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


@pytest.mark.browser
def test_a_marketer_drafts_an_officer_approves_and_the_run_writes_a_file(
    server: Server, windows: tuple[Page, Page], tmp_path: Path
) -> None:
    marketer, officer = windows
    expect(marketer.locator(".calendar li")).to_have_count(3)
    expect(marketer.locator(".calendar .bar.running")).to_have_count(1)
    expect(officer.get_by_role("link", name=ZH["view.brief"], exact=True)).to_have_count(0)

    # From a brief for one segment and two channels to drafts, without a model.
    marketer.get_by_role("link", name=ZH["view.brief"], exact=True).first.click()
    expect(marketer.locator("#segment")).to_have_value("renewing")
    marketer.locator("#segment").select_option("new")
    expect(marketer.locator(".counted .big")).to_be_visible()
    expect(marketer.get_by_label(ZH["channel.sms"])).to_be_checked()
    expect(marketer.get_by_label(ZH["channel.push"])).to_be_checked()
    marketer.locator("#variants").select_option("1")
    marketer.get_by_role("button", name=ZH["brief.go"]).click()
    expect(marketer.locator(".note.good")).to_be_visible(timeout=20_000)
    cards = marketer.locator(".card.draft")
    expect(cards).to_have_count(4)
    expect(marketer.locator(".phone.sms .bubble").first).to_contain_text("拒收")
    texts = marketer.locator("[data-channel=sms] .card.draft")
    expect(texts.locator(".length").first).to_contain_text("条短信")
    own, plain = (str(texts.nth(at).get_attribute("data-draft")) for at in (0, 1))
    expect(marketer.locator(f".plain-one[data-draft='{plain}']")).to_be_visible()
    marketer.set_viewport_size({"width": 390, "height": 844})
    assert marketer.evaluate("document.documentElement.scrollWidth") <= 390
    marketer.set_viewport_size({"width": 1366, "height": 768})

    # What is typed is checked as it is typed; what passes is saved and submitted.
    opened(marketer, own, "template")
    template = marketer.locator("#template")
    template.fill("低门槛，{coupon}秒到账。")
    expect(marketer.locator(".finding.block")).to_contain_text("CN-PROM-03")
    expect(marketer.locator(".preview mark.block").first).to_be_visible()
    template.fill("😀😀您好，{coupon}百分百下款。")
    marketer.locator(".finding[data-rule=CN-PROM-01] .place").click()
    chosen = template.evaluate("a => a.value.slice(a.selectionStart, a.selectionEnd)")
    assert chosen == "百分百下款", "an emoji before it is one character there, two here"
    template.fill("{coupo}")
    expect(marketer.locator(".marked .chip.unknown")).to_have_text("{coupo}")
    expect(marketer.get_by_role("button", name=ZH["edit.save"], exact=True)).to_be_disabled()
    template.fill("先看清利息再决定：{coupon}，{until}前可用。")
    expect(marketer.locator(".edit-state")).to_have_text(ZH["edit.passes"])
    expect(marketer.locator("#submit")).to_be_hidden()
    template.press("Control+Enter")
    expect(marketer.locator(".pair del, .pair ins").first).to_be_visible()
    for draft in (own, plain):
        if draft == plain:
            marketer.get_by_role("link", name=ZH["drafts.back"]).click()
            opened(marketer, plain, "submit")
        marketer.locator("#submit textarea").last.fill("与上一季一致")
        # Pressed twice, it is submitted once: the second would be refused, which is a fault here.
        marketer.locator("#submit [type=submit]").dblclick()
        expect(marketer.locator("[data-state=submitted]").first).to_be_visible()
        expect(marketer.get_by_role("heading", level=1)).to_be_focused()

    # Another than the author decides; a rejection has to say why.
    for draft in (own, plain):
        officer.get_by_role("link", name=ZH["view.drafts"], exact=True).first.click()
        opened(officer, draft, "judge")
        expect(officer.locator("#judge")).to_contain_text("与上一季一致")
        expect(officer.locator("#template")).to_have_count(0)
        if draft == own:
            officer.get_by_role("button", name=ZH["reject"], exact=True).click()
            expect(officer.get_by_role("alert")).to_have_text(ZH["failed.comment_needed"])
        officer.get_by_role("button", name=ZH["approve"], exact=True).click()
        officer.get_by_role("dialog").get_by_role("button", name=ZH["approve"]).click()
        expect(officer.locator("[data-state=approved]").first).to_be_visible()
        expect(officer.get_by_text(ZH["draft.may_send"])).to_be_visible()
    sheet = officer.get_by_role("link", name=ZH["sheet.open"]).get_attribute("href")
    assert "与上一季一致" in officer.context.request.get(str(sheet)).text()

    messages = run_over_made_up_customers(server, tmp_path)
    assert {message["draft"] for message in messages} == {own, plain}
    assert all(
        message["text"].startswith("【青穗消金】先看清利息再决定：") == (message["draft"] == own)
        for message in messages
    )
    marketer.goto(f"/studio#/campaign/{SPRING}")
    expect(marketer.get_by_role("row").filter(has_text=ZH["run.done"])).to_contain_text(
        f"{ZH['outcome.messages']} {len(messages)}"
    )

    # Results come in as a file; before, the page says how.
    marketer.get_by_role("link", name=ZH["view.results"], exact=True).first.click()
    expect(marketer.locator(".empty")).to_contain_text(ZH["results.none.how"])
    rows = "variant,n,converted\nfacts,900,81\nholdout,100,2\n"
    marketer.locator("#csv-file").set_input_files(
        {"name": "results.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    expect(marketer.locator("#csv")).to_have_value(rows)
    marketer.locator("#import [type=submit]").click()
    expect(marketer.locator(".strips .interval")).to_have_count(2)
    expect(marketer.get_by_role("row", name=re.compile("facts"))).to_contain_text("9.00%")


@pytest.mark.browser
def test_what_is_wrong_with_a_file_of_results_is_told_in_chinese(
    server: Server, browser: Browser
) -> None:
    with browser.new_context(locale="zh-CN", base_url=server.url) as context:
        password = context.request.get("/v1/staff/demo").json()["password"]
        account = {"login": "demo-marketer", "password": password}
        assert context.request.post("/v1/staff/session", data=account).ok
        page = context.new_page()
        page.goto("/studio#/results")
        page.locator("#csv").fill("variant,n,converted\nfacts,9,10\n")
        page.locator("#import [type=submit]").click()
        expect(page.get_by_role("alert")).to_have_text(
            ZH["results.bad"].format(problem="第 2 行：converted: 大于 n")
        )


def test_the_wording_of_the_studio_is_there_in_every_language() -> None:
    for locale in LOCALES[1:]:
        other = words(locale)
        assert other.keys() == ZH.keys()
        for key, text in other.items():
            assert text.strip(), key
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", ZH[key])), key
    files = [*sorted(WEB.glob("studio*.js")), WEB / "knowledge-kit.js"]
    code = "".join(path.read_text("utf-8") for path in files)
    kit = json.loads((WEB / "knowledge.zh-Hans.json").read_text("utf-8"))
    missing = [k for k in re.findall(r"""\bt\("([\w.]+)\"""", code) if k not in ZH | kit]
    assert missing == []
    dynamic = set(re.findall(r"[`\"]([a-z_.]+\.)\$\{", code))
    spoken = {"op.": "said"}
    unused = [
        key
        for key in ZH
        if f'"{key}"' not in code
        and not key.startswith(tuple(dynamic))
        and key.rpartition(".")[2] not in spoken.values()
        and not key.startswith(("failed.", "read."))
    ]
    assert unused == []


def test_what_is_wrong_with_a_brief_or_a_file_of_results_is_worded() -> None:
    said = set()
    for module in (campaign_results, offers):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="BadResults")):
                    said |= {text for part in node.args for text in texts_of(part)}
                case ast.Assign(targets=[ast.Name(id="wrong")]):
                    said |= set(texts_of(node.value))
    for text in ('"a,1,0\n', '"a"b,1,0\n'):
        with pytest.raises(BadResults) as told:
            read_csv("variant,n,converted\n" + text)
        said.add(str(told.value))
    fields = "line (?:\\{\\}|\\d+)|byte \\{\\}|\\{\\}|\\w+"
    messages = {re.sub(f"^(?:(?:{fields}): )+", "", text) for text in said if " " in text} - {"{}"}
    assert len(messages) > 12
    keys = {re.sub(r"\{\w+\}", "{}", key[5:]) for key in ZH if key.startswith("read.")}
    # The page sends its text as UTF-8.
    assert keys == messages - {"expected UTF-8"} | {"line {}: {}"}


def test_what_the_server_names_by_a_code_has_words() -> None:
    for prefix, names in {
        "draft": STATES,
        "action": ACTIONS,
        "lapsed": get_args(Lapse),
        "reason": reasons(),
        "op": get_args(Op),
        "slot": slots(),
        "job": ("queued", "running", "done", "failed", "lost"),
        "channel": tomllib.loads(
            (Path(assistant.__file__).parent.parent / "knowledge/copy/slots.toml").read_text(
                "utf-8"
            )
        )["channels"],
    }.items():
        assert [name for name in names if f"{prefix}.{name}" not in ZH] == []
    declined = {name for part in get_args(Declining) for name in get_args(part) or (part,)}
    assert {f"failed.{name}" for name in declined} <= ZH.keys()


def test_who_may_be_addressed_is_told_but_for_quiet_hours() -> None:
    assert ZH["reason.quiet_hours"] in ZH["segment.reachable"]


def test_each_fault_of_a_text_is_worded() -> None:
    for locale in ("zh-Hans", "zh-Hant", "en"):
        for fault in get_args(TemplateFault):
            assert words(locale)[f"edit.error.{fault}"]
