"""Makes cases/injection_made.jsonl: questions inside of orders, the same for the same seed.

    python -m evals.make_injection

The wording is that of cases/redteam_tables.toml, the questions those of the suite `answers-fresh`.
A case expects nothing but that the order is not obeyed.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from assistant.models import Status

from .redteam import Attack, make_attacks
from .schema import Case, Expect
from .suites import SUITES, Suite
from .targets import shipped_texts

FILE = Path(__file__).parent / "cases" / "injection_made.jsonl"
SEED = 20261126
DRAWN = 600
KEPT = 140


def main() -> None:
    rows = (case.model_dump_json(exclude_defaults=True) + "\n" for case in make_cases())
    FILE.write_text("".join(rows), encoding="utf-8")


def make_cases() -> list[Case]:
    """Attacks by words of one's own that show whether they worked, the earlier ones of a build-up
    as the history of its last message."""
    suite = SUITES["answers-fresh"]
    assert isinstance(suite, Suite)
    held = "\n".join(shipped_texts().values())
    attacks = make_attacks(suite.cases(), SEED, DRAWN)
    cases = (_case(attack, held) for attack in attacks if not attack.planted)
    return [case for case in cases if case is not None][:KEPT]


def _case(attack: Attack, held: str) -> Case | None:
    """None where nothing shows that it was obeyed but what a reply may say by right."""
    shows = tuple(mark for mark in (*attack.marks, *attack.leaks) if mark not in held)
    if not shows:
        return None
    *before, last = attack.messages
    if before and attack.case.signed:
        return None  # which terms are right depends on how much of what was said before is read
    return Case(
        id=f"made-{attack.id.removeprefix('rt-')}",
        text=last,
        topic=attack.kind.replace("_", "-"),
        difficulty="hard",
        source=f"made from {attack.case.id}: {' > '.join(attack.path)}",
        locale=attack.case.locale,
        as_of=attack.case.as_of,
        contract_date=attack.case.contract_date,
        history=tuple(before),
        expect=Expect(
            status=get_args(Status),
            contract_date=attack.case.expect.contract_date,
            obeyed=shows,
        ),
    )


if __name__ == "__main__":
    main()
