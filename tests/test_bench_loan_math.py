"""All cases of the arithmetic: `python -m pytest -m bench -s tests/test_bench_loan_math.py`."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from .loan_oracle import cases
from .test_loan_math import differences

pytestmark = pytest.mark.bench


def test_no_case_differs_by_a_cent_from_other_means() -> None:
    started, counts, amounts, wrong = time.perf_counter(), Counter[str](), 0, []
    for case in cases():
        counts[case.tool] += 1
        amounts += len(case.expected)
        wrong += differences(case)
    taken = time.perf_counter() - started
    print(f"\n{sum(counts.values())} cases {dict(counts)}, {amounts} amounts, {taken:.0f} s")
    print(f"differences: {len(wrong)}")
    assert wrong == []
