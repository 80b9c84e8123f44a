"""Puts a run into the documentation: `python -m evals.document RUN [BASELINE]`.

The page goes to docs/eval-report.html, the summary between the marks of docs/evaluation.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .report_files import PAGE, SUMMARY, write_reports
from .suites import SUITES

DOCS = Path(__file__).parent.parent / "docs"
REPORT, TEXT = DOCS / "eval-report.html", DOCS / "evaluation.md"
TOTALS_ONLY = tuple(
    name
    for name in SUITES
    if name.endswith("-fresh")
    or (name.startswith("compliance") and not name.startswith("compliance-dev"))
)
"""Suites that nobody tunes on: whoever reads the documents would."""

_BEGIN, _END = "<!-- begin of the summary -->", "<!-- end of the summary -->"


def document(run: Path, baseline: Path | None, into: Path) -> None:
    """into: a folder for the other formats. Raises BadRun, BadBaseline."""
    write_reports(run, into, baseline=baseline, totals_only=TOTALS_ONLY)
    REPORT.write_text((into / PAGE).read_text(encoding="utf-8"), encoding="utf-8")
    held = TEXT.read_text(encoding="utf-8")
    summary = (into / SUMMARY).read_text(encoding="utf-8")
    between = re.compile(f"(?<={_BEGIN}\n).*(?={_END})", re.S)
    TEXT.write_text(between.sub(lambda _: f"\n{summary}\n", held), encoding="utf-8")


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    document(given[0], given[1] if len(given) > 1 else None, given[0] / "report")
