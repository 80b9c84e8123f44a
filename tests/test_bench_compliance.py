"""How long the rules take: `python -m pytest -m bench -s tests/test_bench_compliance.py`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import date

import pytest

from assistant.compliance import Given, Review, review, try_examples
from assistant.rules import RulePack, Task, load_rules, read_context
from assistant.wording import review_wording

pytestmark = pytest.mark.bench

LENGTH = 100
TASKS: tuple[Task, ...] = ("chat", "marketing", "agent", "collections")


def messages(pack: RulePack, seed: int) -> list[tuple[Task, str]]:
    """Texts of 100 characters, cut from the examples of all rules in another order."""
    texts = [example.text for rule in pack.rules for example in (*rule.bad, *rule.good)]
    random.Random(seed).shuffle(texts)
    joined = "。".join(texts)
    starts = range(0, len(joined) - LENGTH, LENGTH)
    return [(TASKS[i % 4], joined[start : start + LENGTH]) for i, start in enumerate(starts)]


def timed(pack: RulePack, sent: list[tuple[Task, str]], clock: Callable[[], float]) -> list[float]:
    context = read_context({})
    taken = []
    for task, text in sent:
        started = clock()
        review(pack, text, task=task, context=context, on=date(2026, 11, 20))
        taken.append(clock() - started)
    return sorted(taken)


def test_a_message_of_100_characters() -> None:
    started = time.perf_counter()
    pack = load_rules("cn")
    print(f"\nloading {len(pack.rules)} rules: {(time.perf_counter() - started) * 1e3:.0f} ms")
    try_examples(pack)
    for name, clock in (("wall", time.perf_counter), ("processor", time.thread_time)):
        for seed in range(3):
            taken = timed(pack, messages(pack, seed), clock)
            median, p95 = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
            mean = sum(taken) / len(taken)
            print(
                f"{name:<9} n={len(taken)} median {median * 1e3:.3f} ms, p95 {p95 * 1e3:.3f} ms, "
                f"{1 / mean:.0f} messages/s"
            )


def test_wording_beside_the_rules() -> None:
    pack = load_rules("cn")
    nothing = Review("pass", (), (), pack.version)
    sent = messages(pack, 0)
    timed(pack, sent, time.thread_time)
    by_rules = timed(pack, sent, time.thread_time)
    weighed = []
    for task, text in sent:
        given = Given(text, task, None, read_context({}), date(2026, 11, 20))
        started = time.thread_time()
        review_wording(pack, nothing, given)
        weighed.append(time.thread_time() - started)
    half = len(sent) // 2
    medians = by_rules[half] * 1e3, sorted(weighed)[half] * 1e3
    print("\nmedian: rules {:.3f} ms, wording {:.3f} ms".format(*medians))


@pytest.mark.parametrize(
    "text",
    [
        "不会百分百下款的" * 44_000,
        "包过" * 175_000,
        "年化36%" * 75_000,
        "zx" * 500_000,
        "您好。" * 116_000,
    ],
    ids=["negated", "matches", "figures", "latin", "clean"],
)
def test_a_megabyte(text: str) -> None:
    pack = load_rules("cn")
    started = time.perf_counter()
    review(pack, text, task="marketing", context=read_context({}), on=date(2026, 11, 20))
    print(f"\n{len(text.encode())} bytes in {time.perf_counter() - started:.2f} s")
