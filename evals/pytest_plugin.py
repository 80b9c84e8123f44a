"""`pytest --zhunxin-eval SUITE --endpoint URL`: another team's bot under the same checks.

Every pytest of an environment loads this file; what is heavy is imported where the option is given.
"""

from __future__ import annotations

import pytest

OPTION = "--zhunxin-eval"
_DEST = "zhunxin_eval"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("zhunxin", "Zhunxin evaluation")
    group.addoption(
        OPTION,
        action="append",
        dest=_DEST,
        metavar="SUITE",
        help="Ask the cases of a suite of Zhunxin, or of a JSONL file, one test each; "
        "with --endpoint and --model. May be given again.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    # Other names than our own are taken only where ours is given: a project may have its own.
    if getattr(early_config.known_args_namespace, _DEST, None):
        group = parser.getgroup("zhunxin")
        group.addoption(
            "--endpoint",
            default="",
            metavar="URL",
            help="Who is asked: http… a deployment of Zhunxin, openai:http… a bot that speaks "
            "OpenAI's chat protocol. Its token is ZHUNXIN_EVAL_TOKEN.",
        )
        group.addoption("--model", default="", metavar="NAME", help="The bot's model.")


def pytest_configure(config: pytest.Config) -> None:
    names = config.getoption(_DEST, None)
    if names:
        from .pytest_cases import Cases, open_cases

        if not config.pluginmanager.has_plugin("zhunxin-cases"):
            cases: Cases = open_cases(
                names, config.getoption("--endpoint"), config.getoption("--model")
            )
            config.pluginmanager.register(cases, "zhunxin-cases")
