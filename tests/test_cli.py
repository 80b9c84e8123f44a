"""The command line: exit codes, messages without traceback, and JSON that other programs read."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assistant.api.server import _try_to_open
from assistant.cli import app
from assistant.logs import log_to_stderr
from tests.conftest import settings_for

DOCUMENT = "# 条款\n\n第一条 借款人可以提前还款，免收违约金。\n\n第二条 逾期应当支付罚息。\n"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs commands in an empty folder with a home of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environ = {
            "ZHUNXIN_HOME": str(home),
            "ZHUNXIN_LLM": "extractive",
            "ZHUNXIN_THREADS": "1",
        }

    def run(self, *args: object, given: str | bytes = "", **environ: str) -> Ran:
        result = CliRunner().invoke(
            app, list(map(str, args)), input=given, env=self.environ | environ
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def refused(self, code: int, *args: object, given: str | bytes = "", **environ: str) -> str:
        ran = self.run(*args, given=given, **environ)
        assert ran.code == code, ran
        assert ran.out == ""
        assert "Traceback" not in ran.err
        return ran.err

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Shell(folder, tmp_path / "home")


@pytest.fixture
def sample(shell: Shell, sample_home: Path) -> Shell:
    return Shell(shell.folder, sample_home)


def python(code: str, *args: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()[-1]


# What a wrong call says


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ingest"], "name at least one PATH"),
        (["ingest", "none"], "no such file or folder: none"),
        (["ingest", "--jsonl", "none.jsonl"], "no such file or folder: none.jsonl"),
        (["ingest", ""], "expected a path"),
        (["ingest", "a.md", ""], "expected a path"),
        (["ingest", "--jsonl", ""], "expected a path"),
        (["search", "--queries", ""], "expected a path"),
        (["audit", "export", "--out", ""], "expected a path"),
        (["campaign", "run", "x", "--customers", "", "--out", "m.jsonl"], "expected a path"),
        (["ingest", ".", "--effective-from", "2026-13-01"], "2026-13-01"),
        (
            ["ingest", ".", "--effective-from", "2026-02-01", "--effective-to", "2026-01-01"],
            "--effective-to",
        ),
        (["search"], "QUERY"),
        (["search", " "], "QUERY"),
        (["search", "x", "--as-of", "yesterday"], "'yesterday' is not a date"),
        (["search", "x", "--contract-date", "2026/01/01"], "2026/01/01"),
        (["search", "x", "--kind", "leaflet"], "--kind must be one of regulation"),
        (["search", "x", "-k", "0"], "-k"),
        (["search", "x", "-k", "101"], "-k"),
        (["search", "--queries", "none.jsonl"], "none.jsonl"),
        (["ask"], "QUESTION"),
        (["ask", "x", "--questions", "q.jsonl"], "give a QUESTION, or --questions FILE"),
        (["ask", "x", "--as-of", "2026-02-30"], "2026-02-30"),
        (["ask", "x", "--locale", "fr"], "--locale must be one of zh-Hans"),
        (["ask", "--questions", "none.jsonl"], "none.jsonl"),
        (["mask", "none.txt"], "none.txt"),
        (["mask", "--jsonl", "none.jsonl"], "none.jsonl"),
        (["release", "activate", "none"], "no release 'none'"),
        (["audit", "show", "none"], "no record 'none'"),
        (["audit", "replay", "none"], "no record 'none'"),
        (["audit", "replay"], "--all"),
        (["audit", "replay", "x", "--all"], "--all"),
        (["audit", "erase"], "--older-than"),
        (["audit", "erase", "--conversation", "x", "--older-than", "1"], "--older-than"),
        (["audit", "export", "--out", "x", "--from", "2026-02-01", "--to", "2026-01-01"], "--to"),
        (["audit", "export", "--out", ".", "--from", "yesterday"], "'yesterday' is not a date"),
        (["eval", "run", "none"], "none"),
        (["serve", "--port", "70000"], "--port"),
        (["fly"], "fly"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_named_and_exits_2(shell: Shell, args: list[str], said: str) -> None:
    # A terminal's width breaks long lines into a box.
    assert said in re.sub(r"[\s│]+", " ", shell.refused(2, *args, COLUMNS="200"))


@pytest.mark.parametrize(
    "line", ["not json", '{"text": "x"}', '{"id": 1}', '{"id": 1, "text": 2}', "[" * 100_000]
)
@pytest.mark.parametrize("args", [["mask", "--jsonl"], ["search", "--queries"]], ids=" ".join)
def test_a_wrong_line_is_named(sample: Shell, args: list[str], line: str) -> None:
    file = sample.write("rows.jsonl", line)
    assert f"{file}:1" in sample.refused(2, *args, file)


def test_text_in_another_encoding_is_refused(shell: Shell) -> None:
    file = shell.write("gbk.txt", "电话13800138000".encode("gbk"))
    assert "not UTF-8" in shell.refused(2, "mask", file)
    assert "not UTF-8" in shell.refused(2, "mask", given="电话".encode("gbk"))


def test_masking_refuses_what_is_too_large_without_reading_it_all(shell: Shell) -> None:
    assert "larger than 16 MB" in shell.refused(2, "mask", "/dev/zero")
    assert "larger than 256 MB" in shell.refused(2, "mask", "--jsonl", "/dev/zero")


@pytest.mark.parametrize(
    "args", [["search", "提前还款"], ["ask", "提前还款"]], ids=lambda args: args[0]
)
def test_without_a_release_the_command_to_run_is_named(shell: Shell, args: list[str]) -> None:
    assert "zhunxin ingest" in shell.refused(1, *args)
    assert "zhunxin ingest" in shell.refused(1, *args, "--json")


def test_nothing_readable_exits_1_with_reasons(shell: Shell) -> None:
    shell.write("empty.md", "")
    said = shell.refused(1, "ingest", shell.folder, "--json")
    assert "empty.md" in said
    assert "nothing could be read" in said


def test_an_unknown_kind_is_taken_as_policy_with_a_warning(shell: Shell) -> None:
    file = shell.write("a.md", DOCUMENT)
    ran = shell.run("ingest", file, "--kind", "leaflet", "--json")
    assert ran.code == 0
    assert "'leaflet'" in ran.err
    found = shell.run("search", "提前还款", "--kind", "policy", "--json").json()
    assert len(found["hits"]) == 2


# Settings and state that cannot be used


@pytest.mark.parametrize("content", [b"llm = ", b"lllm = 1", b"\xff\xfe", b"threads = 'x'"])
def test_a_broken_settings_file_is_named(shell: Shell, content: bytes) -> None:
    shell.write("zhunxin.toml", content)
    del shell.environ["ZHUNXIN_THREADS"]
    assert "zhunxin.toml" in shell.refused(2, "search", "x")


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("ZHUNXIN_LLM", "gpt-9", 2, "'gpt-9'"),
        ("ZHUNXIN_THREADS", "many", 2, "ZHUNXIN_THREADS"),
        ("ZHUNXIN_LENDER", "none.toml", 2, "none.toml"),
        ("ZHUNXIN_EMBEDDINGS", "word2vec", 2, "ZHUNXIN_EMBEDDINGS: 'word2vec'"),
        ("ZHUNXIN_DATABASE_URL", "foo", 2, "ZHUNXIN_DATABASE_URL"),
        ("ZHUNXIN_DATABASE_URL", "mysql://u:secret@h/x", 2, "ZHUNXIN_DATABASE_URL"),
        ("ZHUNXIN_DATABASE_URL", "sqlite+aiosqlite:////proc/x/z.db", 1, "DATABASE_URL"),
        ("ZHUNXIN_DATABASE_URL", "sqlite+aiosqlite:////proc/z.db", 1, "writable"),
        ("ZHUNXIN_CHROMA_URL", "http://localhost:1", 1, "ZHUNXIN_CHROMA_URL"),
        ("ZHUNXIN_HOME", "/dev/null/home", 1, "/dev/null/home"),
        ("ZHUNXIN_HOME", "/proc/x", 2, "ZHUNXIN_HOME: the folder /proc/x cannot be made"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    shell: Shell, name: str, value: str, code: int, said: str
) -> None:
    file = shell.write("a.md", DOCUMENT)
    message = shell.refused(code, "ingest", file, **{name: value})
    assert said in message
    assert "secret" not in message


def test_a_redis_that_nothing_is_kept_in_is_told(shell: Shell) -> None:
    ran = shell.run("release", "list", "--json", ZHUNXIN_REDIS_URL="redis://:secret@h:6379/0")
    assert ran.code == 0
    assert ran.err.startswith("warning: ZHUNXIN_REDIS_URL is set and nothing is kept in Redis")
    assert "secret" not in ran.out + ran.err


def test_a_database_that_is_another_programs_file_is_refused(shell: Shell) -> None:
    file = shell.write("notes.db", "not a database " * 500)
    url = f"sqlite+aiosqlite:///{file}"
    said = shell.refused(1, "release", "list", ZHUNXIN_DATABASE_URL=url)
    assert "notes.db" in said


def test_a_home_that_is_a_file_is_refused(shell: Shell) -> None:
    file = shell.write("home", "")
    assert str(file) in shell.refused(1, "release", "list", ZHUNXIN_HOME=str(file))


def test_a_home_with_spaces_and_chinese_characters_works(shell: Shell, tmp_path: Path) -> None:
    shell.environ["ZHUNXIN_HOME"] = str(tmp_path / "我的 资料 100%")
    assert shell.run("ingest", shell.write("a.md", DOCUMENT)).code == 0
    assert shell.run("search", "提前还款", "--json").json()["hits"]


def test_a_run_into_a_file_of_another_kind_is_a_wrong_call(sample: Shell) -> None:
    file = sample.write("c.csv", "id\n")
    args = ("campaign", "run", "spring-2027", "--customers", file, "--out")
    assert ".jsonl or .parquet" in sample.refused(2, *args, "m.txt")
    assert "no folder" in sample.refused(2, *args, "none/m.jsonl")


# JSON


INGEST_KEYS = {"release", "documents", "clauses", "added", "changed", "removed", "unchanged"}
INGEST_KEYS |= {"skipped", "seconds"}
HIT_KEYS = {"clause_id", "document", "source", "title", "locator", "text", "score"}
HIT_KEYS |= {"effective_from", "effective_to"}
ASK_KEYS = {"status", "answer", "sentences", "citations", "calculations", "withheld", "model"}
ASK_KEYS |= {"release", "record_id", "timings"}


def test_ingest_prints_one_json_document_and_says_the_rest_on_stderr(shell: Shell) -> None:
    shell.write("a.md", DOCUMENT)
    shell.write("b.jpg", "x")
    ran = shell.run("ingest", shell.folder, "--json")
    report = ran.json()
    assert ran.code == 0
    assert set(report) >= INGEST_KEYS
    assert (report["documents"], report["clauses"], report["added"]) == (1, 2, 1)
    assert [set(skipped) for skipped in report["skipped"]] == [{"path", "reason"}]
    assert isinstance(report["seconds"], float)
    for said in ("reading documents", "embedding clauses", "b.jpg"):
        assert said in ran.err
    releases = shell.run("release", "list", "--json").json()
    assert [(r["id"], r["active"], r["clauses"]) for r in releases] == [
        (report["release"], True, 2)
    ]
    again = shell.run("ingest", shell.folder)
    assert "1 unchanged, 1 skipped" in again.out


def test_releases_are_listed_and_rolled_back(shell: Shell) -> None:
    assert "zhunxin ingest" in shell.run("release", "list").err
    assert shell.run("release", "list", "--json").json() == []
    first = shell.run("ingest", shell.write("a.md", DOCUMENT), "--json").json()["release"]
    second = shell.run("ingest", shell.write("b.md", DOCUMENT), "--json").json()["release"]
    assert shell.run("release", "list").out.splitlines()[0].startswith(f"* {second}")
    assert shell.run("release", "activate", first).out == f"release {first} is live\n"
    assert shell.run("search", "提前还款", "--json").json()["release"] == first


def test_search_prints_the_documented_json(sample: Shell) -> None:
    ran = sample.run("search", "提前还款要违约金吗", "-k", "3", "--json")
    found = ran.json()
    assert ran.code == 0
    assert {"query", "release", "hits", "timings"} <= set(found)
    assert found["query"] == "提前还款要违约金吗"
    assert len(found["hits"]) == 3
    for hit in found["hits"]:
        assert set(hit) >= HIT_KEYS
        assert 0 <= hit["score"] <= 1
    assert set(found["timings"]) == {"embed_ms", "dense_ms", "lexical_ms", "total_ms"}


def test_search_is_as_of_the_day_asked_for(sample: Shell) -> None:
    query = ["search", "安心贷提前还款违约金", "-k", "50", "--json"]
    old = sample.run(*query, "--contract-date", "2024-06-01").json()
    now = sample.run(*query).json()
    assert "anxin-terms-2024-01.md" in {hit["source"] for hit in old["hits"]}
    assert "anxin-terms-2024-01.md" not in {hit["source"] for hit in now["hits"]}


def test_a_search_is_readable_without_json(sample: Shell) -> None:
    ran = sample.run("search", "提前还款", "-k", "1")
    assert ran.code == 0
    assert ran.out.startswith("1. ")


def test_half_of_a_character_in_an_id_does_not_end_a_batch(sample: Shell) -> None:
    file = sample.write("q.jsonl", '{"id":"\\ud800","text":"逾期"}\n{"id":"b","text":"逾期"}\n')
    ran = sample.run("search", "--queries", file, "-k", 1)
    assert (ran.code, [row["id"] for row in ran.rows()]) == (0, ["\ud800", "b"])


def test_batch_search_prints_a_row_an_input_in_order(sample: Shell) -> None:
    queries = [("b", "怎么投诉"), ("a", "提前\u2028还款"), (7, "")]
    lines = [json.dumps({"id": i, "text": t}, ensure_ascii=False) for i, t in queries]
    file = sample.write("queries.jsonl", "\ufeff" + "\n\n".join(lines) + "\r\n")
    for extra in ([], ["--json"]):
        rows = sample.run("search", "--queries", file, "-k", "2", *extra).rows()
        assert [row["id"] for row in rows] == ["b", "a", 7]
        assert all(set(row) == {"id", "hits"} and len(row["hits"]) <= 2 for row in rows)
        assert rows[0]["hits"][0]["source"] == "complaints.md"


def test_ask_prints_the_documented_json(sample: Shell) -> None:
    ran = sample.run("ask", "提前还款要违约金吗", "--json")
    reply = ran.json()
    assert ran.code == 0
    assert set(reply) >= ASK_KEYS
    assert reply["status"] in ("answered", "not_covered", "clarify", "handoff", "refused")
    for sentence in reply["sentences"]:
        assert {"text", "kind", "citations"} <= set(sentence)
        assert all(0 <= n < len(reply["citations"]) for n in sentence["citations"])
    for citation in reply["citations"]:
        assert {"clause_id", "document", "source", "locator", "quote"} <= set(citation)
    assert {"retrieve_ms", "first_sentence_ms", "gate_ms", "total_ms"} <= set(reply["timings"])
    record = sample.run("audit", "show", reply["record_id"]).json()
    assert record["reply"]["answer"] == reply["answer"]
    assert datetime.fromisoformat(record["asked_at"]).utcoffset() == timedelta(0)


def test_the_chain_of_a_few_replies_is_verified_replayed_exported_and_erased(
    shell: Shell, sample_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "audited"
    shutil.copytree(sample_home, home, ignore=shutil.ignore_patterns("*.lock"))
    own = Shell(shell.folder, home)
    reply = own.run("ask", "提前还款要收违约金吗？", "--json").json()
    verdict = own.run("audit", "verify", "--json")
    assert verdict.code == 0
    assert verdict.json()["ok"] is True
    again = own.run("audit", "replay", reply["record_id"], "--json")
    assert (again.code, again.json()["identical"]) == (0, True)
    assert own.run("audit", "replay", reply["record_id"]).out == "identical\n"
    out = shell.folder / "out"
    one = ("--conversation", reply["conversation_id"])
    assert own.run("audit", "export", "--out", out, *one, "--json").json()["records"] == 1
    assert (out / "conversations" / f"{reply['conversation_id']}.html").is_file()
    assert "expected a new or empty folder" in own.refused(2, "audit", "export", "--out", out, *one)
    assert own.run("audit", "erase", *one, "--json").json() == {"erased": 1}
    assert own.run("audit", "replay", reply["record_id"]).out == "erased\n"
    assert own.run("audit", "verify").code == 0
    with sqlite3.connect(home / "zhunxin.db") as connection:
        connection.execute("UPDATE records SET model = 'other' WHERE id = ?", [reply["record_id"]])
        connection.execute("INSERT INTO templates (version, name, text) VALUES ('x', 'x', 'x')")
    connection.close()
    broken = own.run("audit", "verify", "--json")
    assert broken.code == 1
    assert (broken.json()["ok"], "'model'" in broken.json()["reason"]) == (False, True)
    first, *others = own.refused(1, "audit", "verify").splitlines()
    assert first.startswith("the chain is broken at ")
    assert others[0] == "also at x: text x is in no row of the chain"
    assert [each["at"] for each in broken.json()["further"]] == ["x"]
    told = own.run("audit", "replay", reply["record_id"], "--json")
    assert (told.code, told.json()["outcome"]) == (1, "broken")


def test_nothing_goes_live_where_the_end_of_the_chain_was_cut_off(
    shell: Shell, sample_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "cut"
    shutil.copytree(sample_home, home, ignore=shutil.ignore_patterns("*.lock"))
    own = Shell(shell.folder, home)
    live = own.run("release", "list", "--json").json()
    with sqlite3.connect(home / "zhunxin.db") as connection:
        last = "SELECT max(seq) FROM audit_entries"
        connection.execute(f"DELETE FROM audit_entries WHERE seq = ({last})")
    connection.close()
    rules = own.write("rules.md", "# 规则\n\n## 第一条 宽限期\n\n还款日后有 3 天宽限期。\n")
    for command in (
        ("ingest", rules),
        ("release", "activate", live[0]["id"]),
        ("release", "confirm", "complaints.md"),
        ("audit", "erase", "--older-than", "9"),
    ):
        told = own.refused(1, *command)
        assert "of the audit chain, which was written last, is gone" in told
    assert own.run("release", "list", "--json").json() == live


OTHERS = "others on this machine may read it"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_for_its_owner_and_one_that_others_may_read_is_named(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "deep" / "home"
    own = Shell(shell.folder, home)
    assert OTHERS not in own.run("audit", "verify").err
    assert mode(home) == 0o700
    key = home / "audit.key"
    home.chmod(0o755)
    key.chmod(0o640)
    open_to_all = own.run("audit", "verify")
    assert open_to_all.code == 0
    for path in (home, key):
        assert f"warning: {path}: {OTHERS}" in open_to_all.err
    assert (mode(home), mode(key)) == (0o755, 0o640)
    log_to_stderr()
    asyncio.run(_try_to_open(settings_for(home)))
    assert capsys.readouterr().err.count(OTHERS) == 2


def test_an_export_is_for_its_owner_and_a_folder_that_others_may_read_is_named(
    shell: Shell, sample_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "exported"
    shutil.copytree(sample_home, home, ignore=shutil.ignore_patterns("*.lock"))
    own = Shell(shell.folder, home)
    reply = own.run("ask", "提前还款要收违约金吗？", "--json").json()
    new, given = tmp_path / "new", tmp_path / "given"
    given.mkdir()
    given.chmod(0o755)
    one = ("--conversation", reply["conversation_id"], "--json")
    assert OTHERS not in own.run("audit", "export", "--out", new, *one).err
    assert OTHERS in own.run("audit", "export", "--out", given, *one).err
    assert (mode(new), mode(given)) == (0o700, 0o755)


def test_an_erasure_beside_a_reader_says_what_is_left_and_the_next_completes_it(
    shell: Shell, sample_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "read"
    shutil.copytree(sample_home, home, ignore=shutil.ignore_patterns("*.lock"))
    own, file = Shell(shell.folder, home), home / "zhunxin.db"
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        reply = own.run("ask", "我住在青石巷，提前还款要收违约金吗？", "--json").json()
        erase = ("audit", "erase", "--conversation", reply["conversation_id"])
        beside = own.run(*erase)
        assert (beside.code, beside.out) == (1, "1 records erased\n")
        assert f"{file}-wal" in beside.err
    assert own.run(*erase, "--json").json() == {"erased": 0}
    for each in home.glob("*.db*"):
        for word in ("青石巷".encode(), json.dumps("青石巷")[1:-1].encode()):
            assert word not in each.read_bytes(), each


def test_batch_questions_keep_their_order_and_a_bad_one_does_not_end_the_run(
    sample: Shell,
) -> None:
    rows = [{"id": "x", "text": "怎么投诉"}, {"id": 2, "text": " "}, {"id": "z", "text": "罚息"}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    ran = sample.run("ask", "--questions", sample.write("q.jsonl", lines))
    assert [row["id"] for row in ran.rows()] == ["x", 2, "z"]
    assert ["error" in row for row in ran.rows()] == [False, True, False]
    assert ran.code == 1


def test_mask_prints_the_documented_json(shell: Shell) -> None:
    text = "我的手机13800138000，谢谢"
    for args in (["mask", "--json"], ["mask", "-", "--json"]):
        masked = shell.run(*args, given=text).json()
        assert set(masked) == {"masked", "spans"}
        (span,) = masked["spans"]
        assert set(span) == {"start", "end", "type", "text"}
        assert text[span["start"] : span["end"]] == span["text"] == "13800138000"
        assert "13800138000" not in masked["masked"]
    assert shell.run("mask", shell.write("a.txt", text)).out == masked["masked"]


def test_batch_masking_keeps_order_and_ids(shell: Shell) -> None:
    lines = '{"id": 2, "text": "a"}\n{"id": 1, "text": "电话13800138000"}\n'
    rows = shell.run("mask", "--jsonl", shell.write("a.jsonl", lines)).rows()
    assert [(row["id"], len(row["spans"])) for row in rows] == [(2, 0), (1, 1)]


def test_suites_are_listed_with_their_number_of_cases(shell: Shell) -> None:
    rows = shell.run("eval", "list", "--json").json()
    assert rows
    listed = shell.run("eval", "list").out
    for row in rows:
        assert set(row) >= {"name", "n"}
        # How many questions a collection has is known when its folder is named.
        assert row["n"] is None if row["name"] == "statutes" else row["n"] > 0
        assert row["name"] in listed


# The program as it is started


def started(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assistant", *args],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={"PATH": os.environ["PATH"]} | environ,
        check=False,
    )


HEAVY = ("chromadb", "langchain", "fastapi", "sqlalchemy", "numpy", "pydantic")
LOADED = f"""
import sys
from assistant.cli import app
app(sys.argv[1:], standalone_mode=False)
print(sorted(m for m in {HEAVY!r} if m in sys.modules))
"""


@pytest.mark.parametrize("args", [["--help"], ["ingest", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    assert python(LOADED, *args) == "[]"


def test_masking_loads_nothing_heavy(shell: Shell) -> None:
    file = shell.write("a.txt", "电话13800138000")
    assert python(LOADED, "mask", str(file)).endswith("[]")


def test_a_port_in_use_is_told(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = started("serve", "--port", port, ZHUNXIN_HOME=str(shell.folder))
    assert (run.returncode, run.stdout) == (1, "")
    assert port in run.stderr
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "准信..cn"])
def test_a_host_that_is_not_of_this_machine_is_told(shell: Shell, host: str) -> None:
    run = started("serve", "--host", host, "--port", "0", ZHUNXIN_HOME=str(shell.folder))
    assert (run.returncode, run.stdout) == (2, "")
    assert f"cannot serve on {host}: " in run.stderr
    assert "another program" not in run.stderr


def test_a_server_that_cannot_open_its_database_says_so(shell: Shell) -> None:
    shell.write("zhunxin.db", "no database")
    run = started("serve", "--port", "0", ZHUNXIN_HOME=str(shell.folder))
    assert (run.returncode, run.stdout) == (1, "")
    assert "cannot be opened" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_closed_pipe_ends_the_program_quietly(shell: Shell) -> None:
    rows = '{"id": 1, "text": "%s"}\n' % ("电话13800138000" * 50)
    file = shell.write("a.jsonl", rows * 300)
    run = subprocess.run(
        f'"{sys.executable}" -m assistant mask --jsonl "{file}" | head -c 10',
        shell=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={"PATH": os.environ["PATH"]},
        check=True,
    )
    assert len(run.stdout) == 10
    assert run.stderr == ""
