"""Puts a run into the documentation: `python -m evals.document RUN [BASELINE]`.

The page goes to docs/eval-report.html, the summary between the marks of docs/evaluation.md.

`python -m evals.document --parts RUN...` is for a model with which a whole run takes a night: the
suites of each run take the place of what docs/eval-parts.json holds of them, and the table of all,
each suite with its day and version, goes between the other marks.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .report import as_json, read_run
from .report_files import PAGE, SUMMARY, write_reports
from .suites import SUITES, Suite

DOCS = Path(__file__).parent.parent / "docs"
REPORT, TEXT = DOCS / "eval-report.html", DOCS / "evaluation.md"
PARTS = DOCS / "eval-parts.json"
TOTALS_ONLY = tuple(
    name
    for name in SUITES
    if name.endswith("-fresh")
    or (name.startswith("compliance") and not name.startswith("compliance-dev"))
)
"""Suites that nobody tunes on: whoever reads the documents would."""


def document(run: Path, baseline: Path | None, into: Path) -> None:
    """into: a folder for the other formats. Raises BadRun, BadBaseline."""
    write_reports(run, into, baseline=baseline, totals_only=TOTALS_ONLY)
    REPORT.write_text((into / PAGE).read_text(encoding="utf-8"), encoding="utf-8")
    _put("summary", (into / SUMMARY).read_text(encoding="utf-8"))


def document_parts(runs: Iterable[Path]) -> None:
    """Raises BadRun."""
    held = json.loads(PARTS.read_text(encoding="utf-8")) if PARTS.exists() else {}
    parts = with_parts(held, (as_json(read_run(run), hidden=TOTALS_ONLY) for run in runs))
    for name, part in parts.items():
        if isinstance(suite := SUITES[name], Suite):
            parts[name] = {**part, "of": len(suite.cases())}
    PARTS.write_text(json.dumps(parts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _put("parts", "\n".join(parts_as_table(parts)) + "\n")


def with_parts(
    held: Mapping[str, Mapping[str, Any]], runs: Iterable[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Suite -> how it came out when it was last run, in the order of the suites.

    runs: as their reports tell them in JSON.
    """
    parts = dict(held)
    for run in runs:
        for suite in run["suites"]:
            told = {name: suite[name] for name in ("n", "critical", "faults", "metrics", "bars")}
            versions = {name: run["versions"][name] for name in ("code", "model")}
            parts[suite["name"]] = {"day": run["started"][:10], **versions, **told}
    return {name: parts[name] for name in SUITES if name in parts}


def parts_as_table(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Markdown."""
    total = {name: sum(part[name] for part in parts.values()) for name in ("n", "critical")}
    wrong = f"{total['critical']} are wrong in what must never fail"
    yield f"{total['n']} cases in {len(parts)} suites; {wrong}."
    yield ""
    yield "| suite | cases | run on | version | metric | n | share | 95 % interval | bar |"
    yield "|---|--:|---|---|---|--:|--:|---|--:|"
    for name, part in parts.items():
        version = part["code"].partition("+")[2][:7] or part["code"]
        for metric, share in part["metrics"].items():
            bar = part["bars"].get(metric)
            met = bar is None or share["value"] >= bar
            cells = (
                name,
                part["n"]
                if part.get("of", part["n"]) == part["n"]
                else f"{part['n']} of {part['of']}",
                part["day"],
                version,
                metric,
                share["n"],
                f"{share['value']:.3f}",
                f"{share['low']:.3f}–{share['high']:.3f}",
                "–" if bar is None else f"{bar:.2f}" if met else f"**{bar:.2f} missed**",
            )
            yield f"| {' | '.join(map(str, cells))} |"


def _put(name: str, told: str) -> None:
    begin, end = f"<!-- begin of the {name} -->", f"<!-- end of the {name} -->"
    held = TEXT.read_text(encoding="utf-8")
    between = re.compile(f"(?<={begin}\n).*(?={end})", re.S)
    text, places = between.subn(lambda _: f"\n{told}\n", held)
    if places != 1:
        raise SystemExit(f"{TEXT.name}: expected {begin} and {end} once")
    TEXT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--parts"]:
        document_parts(map(Path, given[1:]))
    else:
        folders = [Path(word) for word in given]
        document(folders[0], folders[1] if len(folders) > 1 else None, folders[0] / "report")
