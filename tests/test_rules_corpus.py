"""What the sample lender's documents and the digests of laws say may be said: no rule stops it."""

from __future__ import annotations

from datetime import date
from functools import cache

import pytest

from assistant.compliance import STOPS, Finding, review
from assistant.rules import RulePack, Task, load_rules, read_context
from knowledge.chunk import chunk, quotable
from knowledge.readers import READERS, read, read_manifest
from tests.conftest import CORPUS

TODAY = date(2026, 11, 20)


@cache
def pack() -> RulePack:
    return load_rules("cn")


@cache
def sentences() -> dict[str, str]:
    """Each quotable sentence of the corpus -> the document that says it first."""
    found: dict[str, str] = {}
    for folder in (CORPUS / "lender", CORPUS / "regulations"):
        manifest = read_manifest(folder)
        for path in sorted(folder.iterdir()):
            if path.suffix in READERS:
                for clause in chunk(read(path, path.name, manifest.get(path.name))):
                    for quote in quotable(clause):
                        found.setdefault(quote, path.name)
    return found


def stopped(task: Task, question: str) -> list[Finding]:
    context = read_context({"question": question, "own_platform": True} if question else {})
    return [
        finding
        for sentence in sentences()
        for finding in review(
            pack(), sentence, task=task, context=context, on=TODAY, whole=False
        ).findings
        if finding.severity in STOPS
    ]


def test_every_kind_of_document_is_read() -> None:
    kinds = {name.rsplit(".", 1)[-1] for name in sentences().values()}
    assert {"md", "html", "pdf", "docx"} <= kinds
    assert len(sentences()) > 1000


@pytest.mark.parametrize("question", ["", "提前还款怎么收费", "逾期会怎样", "你们的利率合法吗"])
@pytest.mark.parametrize("task", ["chat", "agent"])
def test_no_sentence_of_the_corpus_is_stopped(task: Task, question: str) -> None:
    found = [(f.rule.id, f.text) for f in stopped(task, question)]
    assert found == []
