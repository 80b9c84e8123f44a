"""The knowledge API: documents, versions, differences, uploads, roll-back, unanswered questions."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from assistant import uploads
from assistant.unanswered import group_questions
from knowledge.documents import Head
from knowledge.shelf import Shelved, shelve, stale_since, state_on, versions
from tests.knowledge_server import Server, copy_of, serving

RULES = """# 延期办理规则

## 第一条 手续费

延期办理手续费为 {fee} 元。
"""
DAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("knowledge") / "home")
    with serving(home, ZHUNXIN_UPLOAD_MB="1") as running:
        yield running


@pytest.fixture(scope="module")
def officer(server: Server) -> Iterator[httpx.Client]:
    """Signed in as compliance."""
    with server.client("compliance") as client:
        yield client


def get(client: httpx.Client, address: str, **params: str) -> Any:
    answer = client.get(f"/v1/knowledge/{address}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(client: httpx.Client, *files: tuple[str, str | bytes], **fields: str) -> httpx.Response:
    return client.post(
        "/v1/knowledge/uploads",
        files=[("files", (name, content)) for name, content in files],
        data=fields,
    )


def finished(client: httpx.Client, upload: dict[str, Any]) -> dict[str, Any]:
    """The upload once it is over."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = get(client, f"uploads/{upload['id']}")
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the upload does not end: {found}")


def ingested(
    client: httpx.Client, *files: tuple[str, str | bytes], **fields: str
) -> dict[str, dict[str, Any]]:
    """Files by name, with what became of each."""
    sent = send(client, *files, **fields)
    assert sent.status_code == 202, sent.text
    upload = finished(client, sent.json())
    assert upload["state"] == "done", upload
    return {file["name"]: file for file in upload["files"]}


def documents(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {document["source"]: document for document in get(client, "documents")["documents"]}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


# Documents and differences


def test_documents_say_when_they_are_in_force_and_why_they_are_stale(officer: httpx.Client) -> None:
    listed = documents(officer)
    old, new = listed["anxin-terms-2024-01.md"], listed["anxin-terms-2026-01.md"]
    assert (old["state"], new["state"]) == ("past", "current")
    assert old["stale"] == {"reason": "replaced", "since": "2025-12-31"}
    assert new["stale"] is None
    assert (new["kind"], new["product"], new["versions"]) == ("product", "anxin", 2)
    assert listed["campaign-summer-2026.md"]["stale"]["reason"] == "ended"
    assert re.fullmatch("[0-9a-f]{64}", new["sha256"])


def test_versions_are_told_oldest_first(officer: httpx.Client) -> None:
    found = get(officer, "documents/fees-2026-07.pdf/versions")["versions"]
    sources = [version["source"] for version in found]
    assert sources == ["fees-2024-03.md", "fees-2026-01.pdf", "fees-2026-07.pdf"]


def test_clauses_are_told_in_order_with_their_place(officer: httpx.Client) -> None:
    page = get(officer, "documents/fees-2026-07.pdf/clauses")
    assert [clause["number"] for clause in page["clauses"]] == list(range(1, page["total"] + 1))
    assert all(clause["locator"] and clause["text"] for clause in page["clauses"])
    assert {clause["page"] for clause in page["clauses"]} == {1, 2}


def test_a_link_to_a_clause_opens_the_page_that_holds_it(officer: httpx.Client) -> None:
    whole = get(officer, "documents/faq-account.md/clauses")["clauses"]
    wanted = whole[12]["clause_id"]
    page = get(officer, "documents/faq-account.md/clauses", clause_id=wanted, limit="5")
    assert page["offset"] == 10
    assert wanted in [clause["clause_id"] for clause in page["clauses"]]


def test_a_difference_marks_the_words_that_changed(officer: httpx.Client) -> None:
    found = get(officer, "diff", before="fees-2026-01.pdf", after="fees-2026-07.pdf")
    changed = [row for row in found["rows"] if row["change"] == "changed"]
    assert len(changed) == found["counts"]["changed"] > 0
    for row in changed:
        marked = [piece["text"] for side in ("before", "after") for piece in row[side]["pieces"]
                  if piece["changed"]]  # fmt: skip
        assert marked
    assert {"effective_from", "version"} <= {change["name"] for change in found["head"]}


@pytest.mark.parametrize(
    "address",
    ["documents/none.md/versions", "documents/none.md/clauses", "uploads/none",
     "diff?before=none.md&after=fees-2026-07.pdf", "releases/diff?before=a&after=b"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(officer: httpx.Client, address: str) -> None:
    assert officer.get(f"/v1/knowledge/{address}").status_code == 404


def test_an_empty_home_has_no_documents_and_nothing_to_check(tmp_path: Path) -> None:
    with serving(tmp_path / "new") as empty, empty.client("agent") as client:
        listed = get(client, "documents")
        assert (listed["release"], listed["documents"]) == ("", [])
        assert get(client, "releases") == {"releases": []}
        assert get(client, "findings")["reviewed"] is False


# Stale


def shelved(source: str, **head: Any) -> Shelved:
    return Shelved(source, Head(title="t", **head), 1, 0)


def test_a_document_is_stale_for_one_reason() -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"reviewed": DAY - timedelta(days=364)}, None),
        ({"reviewed": date(2025, 11, 24)}, "unreviewed"),
        ({"effective_from": date(2024, 1, 1)}, "unreviewed"),
        ({}, None),
        ({"effective_from": date(2027, 1, 1)}, None),
        ({"effective_to": DAY - timedelta(days=1)}, "ended"),
        ({"effective_to": DAY, "reviewed": DAY}, None),
    ]
    for head, reason in cases:
        document = shelved("a", **head)
        stale = stale_since(document, [document], DAY, ingested=DAY)
        assert (stale and stale.reason) == reason, head


def test_an_ended_version_with_a_later_one_is_replaced() -> None:
    old = shelved("old", effective_to=date(2025, 12, 31))
    new = shelved("new", effective_from=date(2026, 1, 1))
    both = versions([new, old])["old"]
    assert [one.source for one in both] == ["old", "new"]
    stale = stale_since(old, both, DAY, DAY)
    assert stale is not None
    assert stale.reason == "replaced"
    assert state_on(new.head, date(2025, 12, 31)) == "future"
    assert shelve([]) == []


# A query tried


def test_a_search_tells_what_was_found_and_that_it_would_be_answered(server: Server) -> None:
    with server.client() as anybody:
        found = anybody.post("/v1/search", json={"query": "提前还款要违约金吗", "k": 3}).json()
        off = anybody.post("/v1/search", json={"query": "帮我写一首关于春天的诗"}).json()
    assert len(found["hits"]) == 3
    assert found["covered"] is True
    assert off["covered"] is False
    assert found["hits"][0]["score"] >= found["hits"][1]["score"] > 0
    assert found["timings"]["total_ms"] > 0


def test_a_search_takes_terms_as_of_the_contract(server: Server) -> None:
    with server.client() as anybody:
        asked = {"query": "提前还款违约金", "kind": "product", "product": "anxin", "k": 20}
        then = anybody.post("/v1/search", json=asked | {"contract_date": "2024-06-01"}).json()
        now = anybody.post("/v1/search", json=asked).json()
    assert "anxin-terms-2024-01.md" in {hit["source"] for hit in then["hits"]}
    assert "anxin-terms-2024-01.md" not in {hit["source"] for hit in now["hits"]}


def test_agents_material_is_found_by_staff_only(server: Server) -> None:
    asked = {"query": "协商减免审批上限 客服话术", "k": 20}
    with server.client() as anybody, server.client("agent") as agent:
        refused = anybody.post("/v1/search", json=asked | {"audience": "agent"})
        plain = anybody.post("/v1/search", json=asked).json()
        staff = agent.post("/v1/search", json=asked | {"audience": "agent"}).json()
    assert refused.status_code == 401
    assert "agent-script.md" not in {hit["source"] for hit in plain["hits"]}
    assert "agent-script.md" in {hit["source"] for hit in staff["hits"]}


@pytest.mark.parametrize("wrong", [{"query": " "}, {"query": "a", "k": 0}, {"query": "a", "x": 1}])
def test_a_wrong_search_is_refused(server: Server, wrong: dict[str, Any]) -> None:
    with server.client() as anybody:
        assert anybody.post("/v1/search", json=wrong).status_code == 422


# Uploads


def test_a_file_is_added_then_changed_then_unchanged(server: Server, officer: httpx.Client) -> None:
    first = RULES.format(fee=30).encode()
    assert ingested(officer, ("defer.md", first), kind="policy")["defer.md"]["result"] == "added"
    again = ingested(officer, ("defer.md", RULES.format(fee=35)), kind="policy")
    assert again["defer.md"]["result"] == "changed"
    assert (
        ingested(officer, ("defer.md", RULES.format(fee=35)), kind="policy")["defer.md"]["result"]
        == "unchanged"
    )
    hits = officer.post("/v1/search", json={"query": "延期办理手续费多少"}).json()["hits"]
    assert "35 元" in hits[0]["text"]
    kept = server.home / "uploads" / hashlib.sha256(first).hexdigest()
    assert kept.read_bytes() == first
    assert [*(server.home / "uploads" / "incoming").iterdir()] == []


def test_files_that_cannot_be_taken_are_named_and_the_rest_goes_in(officer: httpx.Client) -> None:
    found = ingested(
        officer,
        ("good.md", RULES.format(fee=1).replace("延期", "展期")),
        ("tool.exe", "MZ"),
        ("empty.md", ""),
        ("large.md", b"x" * (2**20 + 1)),
        ("broken.pdf", "%PDF-1.7 nothing"),
        ("good.md", "# other"),
    )
    assert found.pop("broken.pdf")["result"] == "skipped"
    assert {name: (f["result"], f["reason"]) for name, f in found.items() if name != "good.md"} == {
        "tool.exe": ("skipped", "format_unknown"),
        "empty.md": ("skipped", "empty"),
        "large.md": ("skipped", "too_large"),
    }
    last = get(officer, "uploads")["uploads"][0]["files"]
    same_name = [(f["result"], f["reason"]) for f in last if f["name"] == "good.md"]
    assert same_name == [("added", ""), ("skipped", "name_twice")]


@pytest.mark.parametrize(
    ("sent", "name", "reason"),
    [
        ("../../etc/passwd.md", "passwd.md", ""),
        ("C:\\secret\\terms.md", "terms.md", ""),
        ("a/../b.md", "b.md", ""),
        ("..", "..", "name_missing"),
        ("folder/", "", "name_missing"),
        ("line\nbreak.md", "line\nbreak.md", "name_unprintable"),
        ("turned\u202etxt.md", "turned\u202etxt.md", "name_unprintable"),
        ("nul\x00.md", "nul\x00.md", "name_unprintable"),
        ("CON.md", "CON.md", "name_reserved"),
        ("what?.md", "what?.md", "name_reserved"),
        (".hidden.md", ".hidden.md", "name_hidden"),
        ("~$open.docx", "~$open.docx", "name_hidden"),
        ("长" * 80 + ".md", "长" * 80 + ".md", "name_too_long"),
        ("TERMS.MD", "TERMS.MD", ""),
        ("Known.md", "Known.md", "name_twice"),
        ("tool.sh", "tool.sh", "format_unknown"),
        ("manifest.jsonl", "manifest.jsonl", ""),
    ],
)
def test_a_name_is_taken_without_its_folders_or_refused(sent: str, name: str, reason: str) -> None:
    assert uploads.file_name(sent) == name
    assert uploads.refuse_name(name, ["known.MD"]) == reason


def test_a_path_in_a_name_leads_nowhere(server: Server, officer: httpx.Client) -> None:
    boundary = "zx"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; '
        'filename="../../../outside.md"\r\n\r\n# 越界\n\n## 一\n\n内容。\r\n'
        f"--{boundary}--\r\n"
    ).encode()
    sent = officer.post(
        "/v1/knowledge/uploads",
        content=body,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    assert sent.status_code == 202
    assert [file["name"] for file in sent.json()["files"]] == ["outside.md"]
    finished(officer, sent.json())
    assert [*server.home.rglob("outside.md"), *server.home.parent.glob("outside.md")] == []


def test_a_new_file_of_a_known_name_stays_with_its_audience(officer: httpx.Client) -> None:
    page = "<html><head><title>放款</title></head><body><h1>放款与到账</h1><p>当天到账。</p></body>"
    ingested(officer, ("inside.html", page), audience="agent", kind="script")
    found = ingested(officer, ("inside.html", page.replace("当天", "次日")))
    assert found["inside.html"]["result"] == "changed"
    listed = documents(officer)["inside.html"]
    assert (listed["audience"], listed["kind"]) == ("agent", "script")


RULE = "# 口径\n\n## 一、减免\n\n坐席可以减免逾期罚息百分之{}。\n"


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("other.md", {"manifest.jsonl": json.dumps({"file": "x.md", "title": "别的文件"})}),
        ("titled.md", {"manifest.jsonl": json.dumps({"file": "titled.md", "title": "新标题"})}),
        ("headed.md", {"headed.md": '+++\ntitle = "新标题"\n+++\n' + RULE.format(31)}),
        ("marked.txt", {"marked.txt": "+++ 重要 +++\n" + RULE.format(31)}),
    ],
)
def test_agents_material_stays_theirs_where_nothing_sent_says_otherwise(
    officer: httpx.Client, name: str, again: dict[str, str]
) -> None:
    ingested(officer, (name, RULE.format(30)), audience="agent")
    found = ingested(officer, *({name: RULE.format(31)} | again).items())
    assert found[name]["result"] == "changed"
    assert documents(officer)[name]["audience"] == "agent"


def test_a_name_in_other_capitals_keeps_its_audience(officer: httpx.Client) -> None:
    ingested(officer, ("Capitals.md", RULE.format(30)), audience="agent")
    ingested(officer, ("capitals.md", RULE.format(31)))
    assert documents(officer)["capitals.md"]["audience"] == "agent"


def test_an_upload_that_the_disk_does_not_take_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("no folder", encoding="utf-8")
    with serving(tmp_path) as running, running.client("compliance") as client:
        refused = send(client, ("a.md", RULE.format(30)))
    assert (refused.status_code, refused.json()["code"]) == (503, "not_kept")


def test_a_head_or_manifest_that_names_the_readers_is_believed(officer: httpx.Client) -> None:
    for name in ("opened-1.md", "opened-2.md"):
        ingested(officer, (name, RULE.format(30)), audience="agent")
    head = '+++\naudience = "borrower"\n+++\n'
    line = {"file": "opened-2.md", "audience": "borrower"}
    ingested(
        officer,
        ("opened-1.md", head + RULE.format(31)),
        ("opened-2.md", RULE.format(32)),
        ("manifest.jsonl", json.dumps(line)),
    )
    listed = documents(officer)
    assert [listed[f"opened-{n}.md"]["audience"] for n in (1, 2)] == ["borrower", "borrower"]


def test_what_the_form_says_holds_beside_a_manifest(officer: httpx.Client) -> None:
    found = ingested(
        officer,
        ("beside.md", RULE.format(30)),
        ("manifest.jsonl", json.dumps({"file": "beside.md", "title": "标题", "audiance": "agent"})),
        audience="agent",
    )
    assert "'audiance' is not known" in found["manifest.jsonl"]["warnings"][0]
    listed = documents(officer)["beside.md"]
    assert (listed["title"], listed["audience"]) == ("标题", "agent")


def test_files_beside_a_broken_manifest_are_not_taken(officer: httpx.Client) -> None:
    line = '{"file": "unsaid.md", "audience": "agent"'
    sent = send(officer, ("unsaid.md", RULE.format(30)), ("manifest.jsonl", line)).json()
    ended = finished(officer, sent)
    assert (ended["state"], ended["error"]) == ("failed", "nothing_readable")
    reasons = {file["name"]: file["reason"] for file in ended["files"]}
    assert "line 1" in reasons["manifest.jsonl"]
    assert "mend that first" in reasons["unsaid.md"]
    assert "unsaid.md" not in documents(officer)


def test_a_manifest_sent_along_describes_the_files(officer: httpx.Client) -> None:
    line = {
        "file": "m.md",
        "title": "清单\u2028标题",
        "kind": "faq",
        "effective_from": "2026-02-01",
    }
    manifest = json.dumps(line, ensure_ascii=False)
    found = ingested(officer, ("m.md", "# 一\n\n## 问\n\n答。"), ("manifest.jsonl", manifest))
    assert found["manifest.jsonl"]["result"] == "head"
    listed = documents(officer)["m.md"]
    assert (listed["title"], listed["kind"], listed["effective_from"]) == (
        "清单 标题", "faq", "2026-02-01",
    )  # fmt: skip


def test_an_upload_of_nothing_readable_leaves_what_is_live(officer: httpx.Client) -> None:
    live = get(officer, "documents")["release"]
    refused = send(officer, ("a.exe", "x")).json()
    assert (refused["state"], refused["error"]) == ("failed", "nothing_readable")
    assert get(officer, f"uploads/{refused['id']}") == refused
    broken = finished(officer, send(officer, ("b.pdf", "%PDF-1.7")).json())
    assert (broken["state"], broken["error"]) == ("failed", "nothing_readable")
    assert broken["files"][0]["reason"]
    assert get(officer, "documents")["release"] == live


def test_an_upload_cut_off_leaves_nothing(server: Server, officer: httpx.Client) -> None:
    before = get(officer, "uploads")["uploads"]
    held = server.home / "uploads" / "incoming"
    seen = {path.name for path in held.iterdir()}
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80)) as cut:
        head = (
            "POST /v1/knowledge/uploads HTTP/1.1\r\n"
            f"Host: {address.host}:{address.port}\r\n"
            f"Authorization: {officer.headers['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=zx\r\n"
            "Content-Length: 900000\r\n\r\n"
            '--zx\r\nContent-Disposition: form-data; name="files"; filename="half.md"\r\n\r\n'
        )
        cut.sendall(head.encode() + b"half " * 20_000)
        until(lambda: any(held.glob("*/half.md")))
    until(lambda: {path.name for path in held.iterdir()} == seen)
    assert get(officer, "uploads")["uploads"] == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"no boundary", "multipart/form-data", 400),
        (b"--zx\r\nContent-Dis", "multipart/form-data; boundary=zx", 400),
        (b"--zx--\r\n", "multipart/form-data; boundary=zx", 422),
        (b"x" * (300 * 1024), "application/json", 413),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    officer: httpx.Client, body: bytes, kind: str, status: int
) -> None:
    answer = officer.post("/v1/knowledge/uploads", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_wrong_fields_and_too_many_files_are_refused(server: Server, officer: httpx.Client) -> None:
    file = ("a.md", "# a\n\nb")
    backwards = send(officer, file, effective_from="2026-02-01", effective_to="2026-01-01")
    assert (backwards.status_code, backwards.json()["code"]) == (422, "bad_field")
    assert send(officer, file, kind="rumour").status_code == 422
    many = send(officer, *[(f"{n}.md", "# a\n\nb") for n in range(uploads.MAX_FILES + 1)])
    assert (many.status_code, many.json()["code"]) == (413, "too_many_files")
    assert [*(server.home / "uploads" / "incoming").iterdir()] == []


def test_only_compliance_and_admin_change_what_is_live(
    server: Server, officer: httpx.Client
) -> None:
    live = get(officer, "documents")["release"]
    for role, status in (("agent", 403), ("auditor", 403), ("", 401)):
        with server.client(role) as client:
            assert send(client, ("a.md", "# a\n\nb")).status_code == status
            assert client.post(f"/v1/knowledge/releases/{live}/activate").status_code == status
            assert client.post("/v1/knowledge/uploads/x/cancel").status_code == status
            read = client.get("/v1/knowledge/documents").status_code
            assert read == (200 if role else 401)


def test_uploads_queue_and_can_be_cancelled(server: Server, officer: httpx.Client) -> None:
    live = get(officer, "documents")["release"]
    with another_ingestion(server.home):
        first = send(officer, ("q1.md", RULES.format(fee=7))).json()
        second = send(officer, ("q2.md", RULES.format(fee=8))).json()
        until(lambda: get(officer, f"uploads/{first['id']}")["stage"] == "wait")
        assert get(officer, f"uploads/{second['id']}")["ahead"] == 1
        assert officer.get("/healthz").status_code == 200
        for one, state in ((second, "cancelled"), (first, "cancelling")):
            answer = officer.post(f"/v1/knowledge/uploads/{one['id']}/cancel").json()
            assert answer["state"] == state
        assert finished(officer, first)["state"] == "cancelled"
    assert get(officer, "documents")["release"] == live
    until(lambda: not any((server.home / "uploads" / "incoming").iterdir()))


def test_an_upload_interrupted_by_the_end_of_its_server_is_taken_up_again(
    sample_home: Path, tmp_path: Path
) -> None:
    home = copy_of(sample_home, tmp_path / "home")
    with ExitStack() as stack:
        stack.enter_context(another_ingestion(home))
        first = stack.enter_context(serving(home))
        client = stack.enter_context(first.client("admin"))
        sent = send(client, ("late.md", RULES.format(fee=9))).json()
        until(lambda: get(client, f"uploads/{sent['id']}")["state"] == "running")
    with serving(home) as second, second.client("admin") as client:
        upload = finished(client, sent)
        assert (upload["state"], upload["files"][0]["result"]) == ("done", "added")


@contextmanager
def another_ingestion(home: Path) -> Iterator[None]:
    """As if another process read documents meanwhile."""
    with FileLock(home / "ingest.lock"):
        yield


# Releases and confirmations


def test_a_release_is_compared_and_rolled_back(officer: httpx.Client) -> None:
    before = get(officer, "documents")["release"]
    ingested(officer, ("roll.md", RULES.format(fee=99).replace("延期", "换卡")))
    after = get(officer, "documents")["release"]
    change = get(officer, "releases/diff", before=before, after=after)
    assert (change["added"], change["removed"]) == (["roll.md"], [])
    answer = officer.post(f"/v1/knowledge/releases/{before}/activate")
    assert answer.json() == {"release": before}
    assert "roll.md" not in documents(officer)
    listed = {r["id"]: r for r in get(officer, "releases")["releases"]}
    assert listed[before]["active"]
    assert not listed[after]["active"]
    assert listed[after]["documents"] == listed[before]["documents"] + 1


def test_a_release_is_not_switched_while_documents_are_read(
    server: Server, officer: httpx.Client
) -> None:
    live = get(officer, "documents")["release"]
    with another_ingestion(server.home):
        answer = officer.post(f"/v1/knowledge/releases/{live}/activate")
    assert (answer.status_code, answer.json()["code"]) == (409, "busy")
    assert officer.post("/v1/knowledge/releases/none/activate").status_code == 404


def test_dates_found_in_the_text_are_confirmed_or_corrected(officer: httpx.Client) -> None:
    text = "# 换卡管理办法\n\n本办法自2026年3月1日起施行。\n\n## 第一条 换卡\n\n换卡免费。\n"
    ingested(officer, ("card.md", text), kind="policy")

    def waiting() -> dict[str, Any]:
        return {one["document"]["source"]: one for one in get(officer, "findings")["dates"]}

    found = waiting()["card.md"]
    assert [(d["field"], d["value"]) for d in found["found"]] == [("effective_from", "2026-03-01")]
    assert "2026年3月1日" in found["found"][0]["quote"]
    said = {"source": "card.md", "sha256": found["document"]["sha256"]}
    stale = officer.post("/v1/knowledge/confirmations", json=said | {"sha256": "0" * 64})
    assert (stale.status_code, stale.json()["code"]) == (409, "changed_meanwhile")
    backwards = said | {"effective_to": "2026-01-01"}
    assert officer.post("/v1/knowledge/confirmations", json=backwards).status_code == 422
    later = said | {"effective_from": "2026-03-05"}
    right = officer.post("/v1/knowledge/confirmations", json=later)
    assert right.status_code == 200, right.text
    assert "card.md" not in waiting()
    assert documents(officer)["card.md"]["effective_from"] == "2026-03-05"
    reviewed = officer.post("/v1/knowledge/confirmations", json=said | {"reviewed": str(DAY)})
    assert reviewed.status_code == 200, reviewed.text
    assert documents(officer)["card.md"]["reviewed"] == str(DAY)


def test_duplicates_are_told_with_both_texts(officer: httpx.Client) -> None:
    same = "## 办理时限\n\n客户提交换卡资料之后，青穗消金在五个工作日内完成审核并且寄出新卡。\n"
    ingested(officer, ("one.md", f"# 换卡甲\n\n{same}"), ("two.md", f"# 换卡乙\n\n{same}"))
    found = get(officer, "findings")
    sides = [{pair["a"]["source"], pair["b"]["source"]} for pair in found["duplicates"]]
    assert {"one.md", "two.md"} in sides
    assert found["duplicate_count"] >= len(found["duplicates"]) > 0
    assert all(pair["a"]["text"] and pair["b"]["text"] for pair in found["duplicates"])


def test_a_clause_that_rules_block_waits_for_somebody_to_confirm_it(
    server: Server, officer: httpx.Client
) -> None:
    text = "青穗消金的福利金产品承诺百分百下款，人人可得。"
    ingested(officer, ("bonus.md", f"# 福利金\n\n## 第一条 福利金\n\n{text}\n"), kind="faq")

    def waiting() -> dict[str, Any]:
        rules: list[dict[str, Any]] = get(officer, "findings")["rules"]
        return {one["source"]: one for one in rules}

    until(lambda: "bonus.md" in waiting())
    found = waiting()["bonus.md"]
    assert (found["held"], found["confirmable"]) == (True, True)
    (flaw, *_) = found["flaws"]
    assert flaw["severity"] == "block"
    assert flaw["title"]
    assert flaw["title_en"]
    assert "百分百下款" in found["text"][flaw["start"] : flaw["end"]]
    held = get(officer, "documents/bonus.md/clauses")["clauses"]
    assert [one["held"] for one in held if text in one["text"]] == [True]

    def search(audience: str) -> dict[str, bool]:
        query = {"query": "福利金百分百下款", "audience": audience}
        answer = officer.post("/v1/search", json=query)
        assert answer.status_code == 200, answer.text
        return {hit["clause_id"]: hit["held"] for hit in answer.json()["hits"]}

    clause_id = found["clause_id"]
    assert clause_id not in search("borrower")
    assert search("agent")[clause_id]
    assert officer.get(f"/v1/clauses/{clause_id}").status_code == 404

    said = {"clause_id": clause_id, "sha256": found["sha256"]}
    with server.client("agent") as agent:
        assert agent.post("/v1/knowledge/clearances", json=said).status_code == 403
    assert officer.post("/v1/knowledge/clearances", json=said | {"x": 1}).status_code == 422
    missing = officer.post("/v1/knowledge/clearances", json=said | {"clause_id": "none"})
    assert missing.status_code == 404
    stale = officer.post("/v1/knowledge/clearances", json=said | {"sha256": "0" * 64})
    assert (stale.status_code, stale.json()["code"]) == (409, "changed_meanwhile")
    with another_ingestion(server.home):
        busy = officer.post("/v1/knowledge/clearances", json=said)
    assert (busy.status_code, busy.json()["code"]) == (409, "busy")

    right = officer.post("/v1/knowledge/clearances", json=said)
    assert right.status_code == 200, right.text
    until(lambda: "bonus.md" not in waiting())
    until(lambda: clause_id in search("borrower"))
    assert search("borrower")[clause_id] is False
    assert officer.get(f"/v1/clauses/{clause_id}").status_code == 200

    withdrawals = "/v1/knowledge/clearances/withdrawals"
    with server.client("agent") as agent:
        assert agent.post(withdrawals, json=said).status_code == 403
    stale = officer.post(withdrawals, json=said | {"sha256": "0" * 64})
    assert (stale.status_code, stale.json()["code"]) == (409, "changed_meanwhile")
    assert officer.post(withdrawals, json=said).status_code == 200
    until(lambda: clause_id not in search("borrower"))
    again = officer.post(withdrawals, json=said)
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_confirm")


# Questions


def test_alike_questions_are_one_group_with_the_latest_wording() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    asked = [
        ("今天天气怎么样？", now),
        ("今天天气怎么样", now - timedelta(hours=1)),
        ("今天的天气怎么样啊", now - timedelta(hours=2)),
        ("推荐一只股票", now - timedelta(hours=3)),
    ]
    first, second = group_questions(asked)
    assert (first.example, first.count, first.last_asked) == ("今天天气怎么样？", 3, now)
    assert first.others == ("今天天气怎么样", "今天的天气怎么样啊")
    assert (second.example, second.count) == ("推荐一只股票", 1)
    assert group_questions([]) == []


def test_questions_without_an_answer_are_told_with_personal_data_masked(
    server: Server, officer: httpx.Client
) -> None:
    with server.client() as borrower:
        for text in ("帮我的手机 13912345678 写一首关于春天的诗", "帮我写一首关于春天的诗"):
            asked = borrower.post("/v1/chat", params={"stream": "false"}, json={"message": text})
            assert asked.json()["status"] == "not_covered"
    found = get(officer, "questions", days="30")
    told = json.dumps(found, ensure_ascii=False)
    assert "春天的诗" in told
    assert "13912345678" not in told
    assert found["total"] >= 2
    assert officer.get("/v1/knowledge/questions", params={"days": "0"}).status_code == 422
