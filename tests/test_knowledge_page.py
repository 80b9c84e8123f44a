"""The knowledge page in a real browser: documents, versions, a query, uploads, roll-back."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

import assistant
import knowledge
from knowledge.readers import MANIFEST
from tests.knowledge_server import Server, copy_of, serving

WEB = Path(assistant.__file__).parent / "web"
LOCALES = ("zh-Hans", "zh-Hant", "en")
VIEWS = (
    "documents",
    "documents/fees-2026-07.pdf",
    "diff",
    "diff?before=fees-2026-01.pdf&after=fees-2026-07.pdf",
    "query",
    "upload",
    "questions",
    "findings",
    "releases",
)
RULES = "# 卡片补办规则\n\n## 第一条 补办\n\n卡片遗失后，三个工作日内补办，工本费为 15 元。\n"
XSS = '<img src=x onerror="alert(1)"><script>alert(2)</script>'

OpenPage = Callable[..., Page]


def words(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"knowledge.{locale}.json").read_text("utf-8"))
    return loaded


ZH = words("zh-Hans")


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("page") / "home")
    with serving(home) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens a view, signed in; script faults, CSP reports and dialogs fail the test."""
    faults: list[str] = []
    contexts = []

    def watch(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def open_at(
        view: str = "",
        role: str = "compliance",
        width: int = 1366,
        locale: str = "zh-CN",
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, base_url=server.url, **more
        )
        contexts.append(context)
        if role:
            password = context.request.get("/v1/staff/demo").json()["password"]
            account = {"login": f"demo-{role}", "password": password}
            assert context.request.post("/v1/staff/session", data=account).ok
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", watch)
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(f"/knowledge#/{view}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert faults == []


def upload(page: Page, *files: tuple[str, str | bytes]) -> None:
    """Send files and wait until each has its result."""
    cards = page.locator(".upload")
    expect(page.locator("#files")).to_be_attached()
    expect(cards.or_(page.locator("#uploads .empty")).first).to_be_visible()
    before = cards.count()
    page.locator("#files").set_input_files(
        [
            {
                "name": name,
                "mimeType": "text/plain",
                "buffer": held.encode() if isinstance(held, str) else held,
            }
            for name, held in files
        ]
    )
    page.get_by_role("button", name=re.compile(r"^上传 \d+ 个文件")).click()
    expect(cards).to_have_count(before + 1)
    expect(cards.first).to_be_focused()
    expect(cards.first.locator("table")).to_be_visible(timeout=60_000)


@pytest.mark.browser
def test_who_is_not_signed_in_is_sent_to_sign_in(open_page: OpenPage) -> None:
    page = open_page(role="")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/knowledge"))


@pytest.mark.browser
def test_documents_are_searched_as_one_types_and_filtered(open_page: OpenPage) -> None:
    page = open_page()
    rows = page.locator("#documents tbody tr")
    expect(rows).not_to_have_count(0)
    all_of_them = rows.count()
    page.get_by_label(ZH["documents.search"]).fill("安心贷贷款条款")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("2024-01-01 至 2025-12-31")
    expect(rows.first).to_contain_text(ZH["state.past"])
    page.get_by_label(ZH["documents.search"]).fill("没有这样的文档")
    page.get_by_role("button", name=ZH["documents.reset"]).click()
    expect(rows).to_have_count(all_of_them)
    page.get_by_role("checkbox").check()
    expect(rows.filter(has_text="campaign-summer-2026.md")).to_contain_text(ZH["stale.badge.ended"])
    assert rows.count() < all_of_them


@pytest.mark.browser
def test_versions_stand_on_a_timeline_and_in_a_table(open_page: OpenPage) -> None:
    page = open_page("documents/fees-2026-07.pdf")
    timeline = page.get_by_role("img", name=re.compile("2024-03.*2026-01.*2026-07"))
    expect(timeline.locator("rect.past")).to_have_count(2)
    expect(timeline.locator("rect.current.chosen")).to_have_count(1)
    expect(timeline.locator("text.today")).to_have_text(ZH["today"])
    table = page.get_by_role("table", name=ZH["versions.title"])
    expect(table.locator("tbody tr")).to_have_count(3)
    past, now = (timeline.locator("rect").nth(n).bounding_box() for n in (1, 2))
    assert past
    assert now
    assert past["x"] < now["x"]
    table.get_by_role("link", name="2026-01", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("2026 年 1 月版")


@pytest.mark.browser
def test_a_link_to_a_clause_shows_it(open_page: OpenPage) -> None:
    page = open_page("documents/anxin-terms-2026-01.md")
    clauses = page.locator(".clause")
    expect(clauses).not_to_have_count(0)
    expect(clauses.first).to_contain_text("第一条")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    clauses.nth(20).get_by_role("button").click()
    expect(clauses.nth(20).get_by_role("button")).to_have_text(ZH["link.copied"])
    address = page.evaluate("navigator.clipboard.readText()")
    wanted = clauses.nth(20).locator(".text").inner_text()
    page.goto("about:blank")
    page.goto(address)
    chosen = page.locator(".clause.chosen")
    expect(chosen.locator(".text")).to_have_text(wanted)
    expect(chosen).to_be_in_viewport()


@pytest.mark.browser
def test_a_difference_is_walked_with_the_keyboard(open_page: OpenPage) -> None:
    page = open_page("documents/fees-2026-07.pdf")
    page.get_by_role("link", name="与 2026-01 对比").click()
    expect(page.locator("#diff del").first).to_be_visible()
    expect(page.locator("#diff ins").first).to_be_visible()
    same = page.locator("#diff .row-same").first
    expect(same).to_be_hidden()
    page.get_by_label(ZH["diff.only"]).uncheck()
    expect(same).to_be_visible()
    rows = page.locator("#diff .row-changed")
    page.locator("body").click(position={"x": 5, "y": 400})
    page.keyboard.press("n")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("n")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(rows.last).to_be_focused()
    expect(page.locator(".bar")).to_contain_text(f"第 {rows.count()} 处，共 {rows.count()} 处")


@pytest.mark.browser
def test_a_query_shows_its_hits_with_scores_and_verdict(open_page: OpenPage) -> None:
    page = open_page("query")
    page.get_by_label(ZH["query.question"]).fill("提前还款要收违约金吗")
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.locator(".verdict")).to_contain_text(ZH["query.covered"])
    first = page.locator(".hit").first
    expect(first.locator(".scores")).to_contain_text(ZH["score.total"])
    width = first.locator(".meter.total .fill").bounding_box()
    assert width
    assert width["width"] > 10
    assert "query=" in page.url
    page.reload()
    expect(page.locator(".hit")).to_have_count(10)
    first.get_by_role("link").click()
    expect(page.locator(".clause.chosen")).to_be_visible()


@pytest.mark.browser
def test_files_are_uploaded_and_each_has_its_result_after_a_reload_too(
    open_page: OpenPage,
) -> None:
    page = open_page("upload")
    upload(page, ("card-rules.md", RULES), ("broken.pdf", "%PDF-1.7"))
    told = ZH["read.the file is damaged or is not a PDF; save it anew and try again"]
    expect(page.locator(".upload").first).to_contain_text(told)
    page.reload()
    expect(page.locator(".upload").first.locator("table")).to_be_visible()
    rows = page.locator(".upload").first.locator("tbody tr")
    expect(rows.filter(has_text="card-rules.md")).to_contain_text(ZH["result.added"])
    expect(rows.filter(has_text="broken.pdf")).to_contain_text(ZH["result.skipped"])
    rows.get_by_role("link", name="card-rules.md").click()
    expect(page.locator(".clause .text").last).to_contain_text("15 元")


READERS_SAY = {"Unreadable", "Refused", "Skipped", "append", "FoundDate", "replace"}
NOT_OF_UPLOADS = {
    "unknown format: {}",
    "the file name holds characters that cannot be shown; rename the file",
    "another file of this name was given too: {}",
    "holds no readable clause",
    "not UTF-8; the rest was not read",
    "more than the {} MB that are read; split it",
    "the id {} is also that of a clause of {}",
}
"""What is said of files on the command line alone, such as ready-made clauses."""


def texts_of(node: ast.AST) -> Iterator[str]:
    """Each string in a piece of Python, with {} for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        known = {"MANIFEST": MANIFEST}
        yield "".join(
            part.value
            if isinstance(part, ast.Constant)
            else known.get(ast.unparse(part.value), "{}")
            for part in node.values
        )
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts_of(child)


def worded_messages() -> set[str]:
    """The keys `read.` of the page, with {} for each name."""
    return {re.sub(r"\{\w+\}", "{}", key[5:]) for key in ZH if key.startswith("read.")}


def without_names(message: str) -> str:
    """A message without the files and pages that stand before it."""
    return re.sub(r"^(\{\}: )+", "", message)


def test_each_wording_of_what_a_reader_says_is_of_a_message_that_one_has() -> None:
    source = Path(knowledge.__file__).parent
    texts = [
        t for file in source.glob("*.py") for t in texts_of(ast.parse(file.read_text("utf-8")))
    ]
    keys = worded_messages()
    assert len(keys) > 90
    assert [key for key in keys if not any(key in text for text in texts)] == []


def test_each_message_of_a_reader_is_worded() -> None:
    folder = Path(knowledge.__file__).parent
    files = [*folder.glob("read*.py"), *folder.glob("ocr*.py")]
    files += [
        folder / f"{name}.py" for name in ("dating", "package", "parsed", "release", "sheet_tables")
    ]
    said = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    held: list[ast.AST] = (
                        [*node.args, *node.keywords] if name in READERS_SAY else []
                    )
                case ast.Assign(targets=[ast.Name(id="note" | "reason")]):
                    held = [node.value]
                case ast.Return(value=ast.List()):
                    held = [node]
                case _:
                    held = []
            said |= {text for part in held for text in texts_of(part)}
    messages = {without_names(text) for text in said if len(re.findall(r"[a-z]{2,}", text)) > 2}
    assert len(messages) > 80
    assert messages - NOT_OF_UPLOADS - set(map(without_names, worded_messages())) == set()


@pytest.mark.browser
def test_what_is_said_of_files_is_in_the_language_of_the_reader(open_page: OpenPage) -> None:
    page = open_page("upload")
    noticed = {"file": "seals.md", "kind": "leaflet"}
    text = "# 印章管理办法\n\n更新日期：2026年4月1日\n\n## 第一条 印章\n\n印章由专人保管。\n"
    sheet = "项目,金额\n印章,1\n公章,2,3\n私章,4\n"
    upload(page, ("manifest.jsonl", json.dumps(noticed)), ("seals.md", text), ("seals.csv", sheet))
    table = page.locator(".upload").first.locator("table")
    expect(table).to_contain_text(
        "manifest.jsonl 第 1 行: seals.md: 不认识类型 'leaflet'，按制度收录"
    )
    expect(table).to_contain_text("这些行的项数与表头不一致：3；请核对每个值是否在对应的表头下")
    page.goto("/knowledge#/findings")
    expect(page.locator("article", has_text="seals.md")).to_contain_text(
        "正文没有写明何时生效，取版本日期"
    )


@pytest.mark.browser
def test_names_of_sheets_that_read_like_a_message_stay_as_they_are(open_page: OpenPage) -> None:
    book = Workbook()
    book.active.title = "Q1 and Q2 and 3 more"
    for row in (("印章", "金额"), ("公章", "1"), ("私章", "2")):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    for number in range(1, 8):
        book.create_sheet(f"page {number}").sheet_state = "hidden"
    written = BytesIO()
    book.save(written)
    page = open_page("upload")
    upload(page, ("seals.xlsx", written.getvalue()))
    table = page.locator(".upload").first.locator("table")
    expect(table).to_contain_text(
        "未读取隐藏的工作表：page 1, page 2, page 3, page 4, page 5，另有 2 处"
    )
    expect(table).to_contain_text("工作表 'Q1 and Q2 and 3 more'：未读取隐藏的行：3")


@pytest.mark.browser
def test_what_cannot_be_read_is_told_before_it_is_sent(open_page: OpenPage) -> None:
    page = open_page("upload")
    page.locator("#files").set_input_files(
        [{"name": "tool.exe", "mimeType": "text/plain", "buffer": b"MZ"}]
    )
    expect(page.locator(".files")).to_contain_text(ZH["reason.format_unknown"])
    expect(page.get_by_role("button", name="上传 0 个文件")).to_be_disabled()


@pytest.mark.browser
def test_markup_in_a_document_is_shown_as_text(open_page: OpenPage) -> None:
    page = open_page("upload")
    title = XSS.replace('"', "'")
    head = f'+++\ntitle = "{title}"\nkind = "policy"\n+++\n\n'
    upload(page, ("markup.md", f"{head}## 第一条 标签\n\n`{XSS}` 是文字。\n"))
    page.locator(".upload").first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.goto("/knowledge#/documents")
    expect(page.locator("#documents")).to_contain_text("onerror")
    expect(page.locator("#app img[src=x], #app script")).to_have_count(0)


@pytest.mark.browser
def test_a_release_is_rolled_back_after_a_question(open_page: OpenPage) -> None:
    page = open_page("upload")
    upload(page, ("temporary.md", RULES.replace("15", "16")))
    page.goto("/knowledge#/releases")
    rows = page.locator("main table tbody tr")
    expect(rows.first).to_contain_text(ZH["releases.live"])
    rows.nth(1).get_by_role("button", name=ZH["releases.activate"]).click()
    page.get_by_role("dialog").get_by_role("button", name=ZH["cancel"]).click()
    expect(rows.first).to_contain_text(ZH["releases.live"])
    rows.nth(1).get_by_role("button", name=ZH["releases.activate"]).click()
    page.get_by_role("dialog").get_by_role("button", name=ZH["releases.activate"]).click()
    expect(rows.nth(1)).to_contain_text(ZH["releases.live"], timeout=30_000)
    page.get_by_role("button", name=ZH["releases.compare"], exact=True).click()
    expect(page.locator("#release-diff")).to_contain_text("temporary.md")
    page.goto("/knowledge#/documents")
    expect(page.locator("#documents")).not_to_contain_text("temporary.md")


@pytest.mark.browser
def test_a_date_found_in_the_text_is_confirmed(open_page: OpenPage) -> None:
    page = open_page("upload")
    text = "# 转账管理办法\n\n本办法自2026年4月1日起施行。\n\n## 第一条 转账\n\n转账免费。\n"
    upload(page, ("transfer.md", text))
    page.goto("/knowledge#/findings")
    card = page.locator("article", has_text="transfer.md")
    expect(card).to_contain_text("自2026年4月1日起施行")
    expect(card.get_by_label(ZH["upload.from"])).to_have_value("2026-04-01")
    card.get_by_role("button", name=ZH["findings.confirm"]).click()
    expect(page.get_by_text("已记录「转账管理办法」的日期。").first).to_be_visible(timeout=30_000)
    page.reload()
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    expect(page.locator("article", has_text="transfer.md")).to_have_count(0)


@pytest.mark.browser
def test_an_agent_reads_and_changes_nothing(open_page: OpenPage) -> None:
    page = open_page("upload", role="agent")
    expect(page.get_by_text(ZH["upload.forbidden"])).to_be_visible()
    expect(page.locator("#files")).to_have_count(0)
    page.goto("/knowledge#/releases")
    expect(page.locator("main table tbody tr").first).to_be_visible()
    expect(page.get_by_role("button", name=ZH["releases.activate"])).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("width", "locale"), [(360, "zh-CN"), (1366, "en")])
def test_every_view_fits_and_names_its_controls(
    open_page: OpenPage, view: str, width: int, locale: str
) -> None:
    page = open_page(view, width=width, locale=locale)
    expect(page.locator("main h1")).not_to_be_empty()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tree = page.locator("body").aria_snapshot()
    for role in ("button", "link", "combobox", "textbox", "searchbox", "checkbox"):
        assert not re.search(rf"- {role}(?! \")(?::|$)", tree, re.M), f"a {role} without a name"


@pytest.mark.browser
def test_the_language_changes_the_words(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label(ZH["language"]).select_option("en")
    expect(page.get_by_role("heading", level=1)).to_have_text(words("en")["view.documents"])
    assert page.evaluate("document.documentElement.lang") == "en"


def test_every_locale_words_the_same_things() -> None:
    for locale in LOCALES:
        found = words(locale)
        assert found.keys() == ZH.keys(), locale
        for key, text in found.items():
            assert text.strip(), (locale, key)
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", ZH[key])), key


def test_every_wording_named_by_the_page_exists() -> None:
    code = "".join(path.read_text("utf-8") for path in sorted(WEB.glob("knowledge*.js")))
    named = set(re.findall(r'\bt\("([\w.]+)"', code))
    assert len(named) > 80
    assert named <= ZH.keys()
    families = set(re.findall(r"\bt\(`([\w.]+)\.\$\{", code))
    assert {family for family in families if not any(k.startswith(family) for k in ZH)} == set()


def test_the_page_carries_no_inline_script_or_style() -> None:
    page = (WEB / "knowledge.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
