"""The rule packs: each rule on its own examples, and a pack with a mistake refused by name."""

from __future__ import annotations

import json
from functools import cache

import pytest

from assistant.compliance import try_examples
from assistant.rules import RulePack, RulePackError, load_rules, of_text

PACKS = ("cn", "us")


@cache
def pack(jurisdiction: str) -> RulePack:
    return load_rules(jurisdiction)


@cache
def failures() -> dict[tuple[str, str, int], str]:
    return {
        (f.rule.id, f.kind, f.place): f.detail
        for jurisdiction in PACKS
        for f in try_examples(pack(jurisdiction))
    }


EXAMPLES = [
    (rule.id, kind, place)
    for jurisdiction in PACKS
    for rule in pack(jurisdiction).rules
    for kind, examples in (("bad", rule.bad), ("good", rule.good))
    for place in range(1, len(examples) + 1)
]


@pytest.mark.parametrize(("rule_id", "kind", "place"), EXAMPLES)
def test_a_rule_does_on_its_example_what_the_pack_says(rule_id: str, kind: str, place: int) -> None:
    assert failures().get((rule_id, kind, place), "") == ""


def test_a_pack_kept_as_text_is_made_again_and_writes_nowhere_else() -> None:
    loaded = load_rules()
    assert of_text(loaded.text).version == loaded.version
    assert loaded.text is loaded.text, "it is put together once, not for each record"
    for name in ("../out.toml", "/out.toml", "own/../../out.toml", ".."):
        with pytest.raises(RulePackError, match="no name of a rule file"):
            of_text(json.dumps({"jurisdiction": "cn", "files": {name: "x"}}))
