"""Cases of suites as items of pytest: each asks the endpoint, and fails with what was wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assistant.config import ConfigError, Settings, load_settings
from assistant.rules import RulePack, RulePackError, load_rules

from .metrics import METRICS, Check
from .schema import BadCases, Case
from .suites import SUITES, Suite, find_suite
from .targets import (
    BOT,
    FAULTS_IN_A_ROW,
    CaseUnanswered,
    EndpointFault,
    Told,
    open_endpoint,
    shipped_texts,
)


class CaseFailed(Exception):
    """A reply is wrong in something; the text shows it beside what was wanted."""


@dataclass(slots=True, eq=False)
class Cases:
    """What is asked and whom; a plugin that adds an item for each case."""

    suites: Sequence[tuple[Suite, Sequence[Case]]]
    endpoint: str
    model: str
    settings: Settings
    rules: RulePack
    texts: Mapping[str, str]
    faults_in_a_row: int = 0

    async def ask(self, suite: Suite, case: Case) -> Told:
        """Raises CaseUnanswered, EndpointFault."""
        target = open_endpoint(self.endpoint, self.model, self.settings, self.rules, self.texts)
        try:
            async with asyncio.timeout(suite.time_limit_s):
                return await target.ask(case, suite, 0)
        except TimeoutError:
            raise CaseUnanswered(f"no reply within {suite.time_limit_s} s") from None
        finally:
            await target.close()

    def pytest_ignore_collect(self, config: pytest.Config) -> bool | None:
        """Of the project's own tests only those are run that the command line names."""
        return None if config.args_source is pytest.Config.ArgsSource.ARGS else True

    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        items += self._items(session)

    def _items(self, session: pytest.Session) -> Iterator[pytest.Item]:
        for suite, cases in self.suites:
            for case in cases:
                item: CaseItem = CaseItem.from_parent(
                    session,
                    name=case.id,
                    nodeid=f"zhunxin-eval::{suite.name}::{case.id}",
                    asked=self,
                    suite=suite,
                    case=case,
                )
                yield item


class CaseItem(pytest.Item):
    """One case, asked once."""

    def __init__(self, *, asked: Cases, suite: Suite, case: Case, **more: Any) -> None:
        super().__init__(**more)
        self.asked, self.suite, self.case = asked, suite, case

    def runtest(self) -> None:
        try:
            told = asyncio.run(self.asked.ask(self.suite, self.case))
        except EndpointFault:
            self.asked.faults_in_a_row += 1
            if self.asked.faults_in_a_row >= FAULTS_IN_A_ROW:
                self.session.shouldfail = f"{self.asked.endpoint} was given up"
            raise
        self.asked.faults_in_a_row = 0
        checks = {
            name: check
            for name in self.suite.bars
            if (check := METRICS[name].check(self.case, told.seen)) is not None
        }
        failed = {name: check for name, check in checks.items() if not check.passed}
        if failed:
            raise CaseFailed(_account(self.case, told, failed))
        if not checks:
            pytest.skip("no metric says anything about this case")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        expected = (CaseFailed, CaseUnanswered, EndpointFault)
        if isinstance(excinfo.value, expected):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.suite.file, None, f"{self.suite.name} {self.case.id}"


def _account(case: Case, told: Told, failed: Mapping[str, Check]) -> str:
    lines = [f"asked:    {case.text}", f"expected: {'; '.join(case.expected.splitlines())}"]
    lines += [f"said:     {told.said}"]
    if told.cited:
        lines.append(f"cited:    {'; '.join(told.cited)}")
    lines += [f"{name}: wanted {c.wanted}; got {c.got or 'nothing'}" for name, c in failed.items()]
    return "\n".join(lines)


def open_cases(names: Sequence[str], endpoint: str, model: str) -> Cases:
    """Raises pytest.UsageError."""
    if not endpoint:
        raise pytest.UsageError("--zhunxin-eval asks an endpoint: give --endpoint URL")
    try:
        suites = [_askable(name) for name in names]
        settings = load_settings()
        rules = load_rules(own=settings.rules)
        asyncio.run(open_endpoint(endpoint, model, settings, rules, {}).close())
    except (BadCases, ConfigError, RulePackError, EndpointFault) as error:
        raise pytest.UsageError(str(error)) from None
    texts = shipped_texts() if endpoint.startswith(BOT) else {}
    return Cases(suites, endpoint, model, settings, rules, texts)


def _askable(name: str) -> tuple[Suite, Sequence[Case]]:
    try:
        suite = find_suite(name)
    except KeyError:
        raise pytest.UsageError(f"no suite {name!r}: there are {', '.join(_names())}") from None
    if not isinstance(suite, Suite) or suite.stage != "reply" or suite.documents:
        raise pytest.UsageError(f"suite {name!r} cannot be asked of an endpoint")
    return suite, suite.cases()


def _names() -> list[str]:
    return [
        name
        for name, suite in SUITES.items()
        if isinstance(suite, Suite) and suite.stage == "reply" and not suite.documents
    ]
