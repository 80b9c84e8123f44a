"""`zhunxin calc`: the calculations, with an option for each of their arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Annotated, Any, get_args

import typer

from .loan_math import (
    LIMITS,
    TOOLS,
    BadArgument,
    Limits,
    Loan,
    as_json,
    calculate,
    label,
)
from .models import LOCALES, Locale

app = typer.Typer(rich_markup_mode=None)

ABOUT: Mapping[str, str] = {
    "schedule": "What is paid when, and what it costs a year.",
    "rate": "What borrowing costs a year, by the internal rate of return: of a loan (--method), or "
    "of what was received and is paid back.",
    "settle": "What is due to settle early: a loan (--method) on a day, or a balance.",
    "prepay": "What becomes of the instalments when principal is paid ahead.",
    "overdue": "The penalty on overdue principal.",
    "coupon": "What coupons take off a loan, and which go together.",
    "compare": "Two loans side by side: options hold for both, --a-... and --b-... for one.",
}
METAVARS = {"amount": "YUAN", "rate": "RATE", "count": "N", "day": "YYYY-MM-DD"}
LISTS = {
    "repayments": ("--repay", "YYYY-MM-DD=YUAN", "Principal repaid before `until`; repeatable."),
    "payments": ("--payment", "YUAN", "What is paid after each term; repeatable."),
    "coupons": (
        "--coupon",
        "KEY=VALUE,...",
        "Such as kind=rate,discount=0.8 or kind=interest_free,free_days=15 or "
        "kind=voucher,amount_cny=20,term=1; repeatable.",
    ),
}
BARE = ("received_cny", "repaid_cny", "cost_cny", "cost_before_cny", "interest_cny", "fees_cny")
"""Shown first, in this order."""

LOAN_NAMES = tuple(argument.name for argument in fields(Loan))


def _option(name: str, prefix: str = "") -> Any:
    """An option for an argument, as an annotation."""
    if name in LISTS:
        flag, metavar, about = LISTS[name]
        named = f"--{prefix}{flag[2:]}"
        return Annotated[list[str] | None, typer.Option(named, metavar=metavar, help=about)]
    limits = LIMITS[name]
    flag = f"--{prefix}{name.removesuffix('_cny').replace('_', '-')}"
    if limits.kind == "flag":
        return Annotated[bool, typer.Option(flag)]
    metavar = METAVARS.get(limits.kind, "|".join(limits.words))
    return Annotated[str | None, typer.Option(flag, metavar=metavar, help=_about(limits))]


def _about(limits: Limits) -> str | None:
    return f"{limits.low:f} to {limits.high:f}" if limits.high else None


def _names(tool: str) -> Iterator[tuple[str, str]]:
    """(argument, prefix of its option) of every option that a command takes."""
    own = [argument.name for argument in fields(TOOLS[tool].arguments)]
    if tool == "compare":
        yield from ((name, prefix) for prefix in ("", "a-", "b-") for name in LOAN_NAMES)
        return
    own_names = [name for name in own if name != "loan"]
    yield from ((name, "") for name in own_names)
    if "loan" in own:
        yield from ((name, "") for name in LOAN_NAMES if name not in own_names)


def _command(tool: str) -> Callable[..., None]:
    """The command of a tool: its signature names an option for each argument."""

    def run(**given: Any) -> None:
        as_document, locale = given.pop("as_json"), given.pop("locale")
        if locale not in LOCALES:
            _fail(f"--locale: expected one of {', '.join(LOCALES)}; got {locale!r}")
        try:
            result = calculate(tool, _arguments(tool, given))
        except BadArgument as error:
            _fail(f"{error.field}: {error.words(locale)}")
        document = as_json(result, locale)
        if as_document:
            typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        else:
            _show(document, locale)

    options = {f"{prefix}{name}".replace("-", "_"): (name, prefix) for name, prefix in _names(tool)}
    annotations = {key: _option(name, prefix) for key, (name, prefix) in options.items()}
    annotations["locale"] = Annotated[
        str, typer.Option("--locale", metavar="|".join(get_args(Locale)))
    ]
    annotations["as_json"] = Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout.")
    ]
    defaults = {key: False if _is_flag(name) else None for key, (name, _) in options.items()}
    defaults_of = {**defaults, "locale": "zh-Hans", "as_json": False}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=defaults_of[key], annotation=annotation
            )
            for key, annotation in annotations.items()
        ]
    )
    run.__annotations__ = {**annotations, "return": None}
    return run


def _is_flag(name: str) -> bool:
    return name in LIMITS and LIMITS[name].kind == "flag"


def _arguments(tool: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that options stand for: those of a loan go into it where `method` is given."""
    given = {name: value for name, value in options.items() if value not in (None, False, [])}
    for name in [name for name in given if name.endswith(("repayments", "coupons"))]:
        given[name] = [_item(name, text) for text in given[name]]
    own = {argument.name for argument in fields(TOOLS[tool].arguments)}
    if tool == "compare":
        shared = {name: value for name, value in given.items() if name in LOAN_NAMES}
        return {
            side: shared
            | {name[2:]: value for name, value in given.items() if name.startswith(f"{side}_")}
            for side in ("a", "b")
        }
    wants_loan = "loan" in own and ("method" in given or not {"terms", "annual_rate"} & own)
    if not wants_loan:
        return given
    loan = {name: value for name, value in given.items() if name in LOAN_NAMES}
    return {"loan": loan} | {name: value for name, value in given.items() if name not in loan}


def _item(name: str, text: str) -> dict[str, str]:
    """One repayment `2026-08-01=3000`, or one coupon `kind=rate,discount=0.8`."""
    pairs = [part.partition("=") for part in text.split(",")]
    keys = [key.strip() for key, _, _ in pairs]
    is_repayment = name.endswith("repayments")
    if not all(value for _, _, value in pairs) or len(pairs) > (
        1 if is_repayment else len(set(keys))
    ):
        expected = "one YYYY-MM-DD=YUAN" if is_repayment else "KEY=VALUE,... with each KEY once"
        _fail(f"{name}: expected {expected}, got {text!r}")
    values = [value.strip() for _, _, value in pairs]
    return (
        {"day": keys[0], "amount_cny": values[0]}
        if is_repayment
        else dict(zip(keys, values, strict=True))
    )


def _show(document: Mapping[str, Any], locale: str) -> None:
    """A result for people: figures, the table, then how they came about."""
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=None, show_header=False)
    figures.add_column()
    figures.add_column(justify="right")
    for name, value in _figures(document):
        figures.add_row(label(name, locale), _said(value, name, locale))
    console = Console(highlight=False, soft_wrap=True)
    console.print(figures)
    if rows := document.get("instalments"):
        columns = [
            name for name in rows[0] if any(row[name] not in (None, "no", "0.00") for row in rows)
        ]
        table = Table(box=None)
        for name in columns:
            table.add_column(label(name, locale), justify="right")
        for row in rows:
            table.add_row(*(_said(row[name], name, locale) for name in columns))
        console.print(table)
    for use in document.get("uses", ()):
        said = ", ".join(f"{name}={value}" for name, value in use["coupon"].items())
        console.print(f"{label('coupon', locale)} {said}: {use['why'] or use['saved_cny']}")
    for line in (*document["formula"], *document["conventions"]):
        console.print(f"- {line}", markup=False)
    for source in document["sources"]:
        console.print(f"* {source['title']}", markup=False)


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Figures of a result with their names, those of a part in place of it."""
    named = {name: value for name, value in document.items() if isinstance(value, str | int)}
    yield from ((name, named[name]) for name in BARE if name in named)
    yield from ((name, value) for name, value in named.items() if name not in BARE)
    for name, part in (document.get("annual") or {}).items():
        if name != "measured":
            yield name, part
    for side in ("a", "b"):
        if side in document:
            yield side, ""
            yield from _figures(document[side])


def _said(value: Any, name: str, locale: str) -> str:
    if isinstance(value, bool):
        return label("yes" if value else "no", locale)
    if name in ("shifted", "less_cost", "lower_rate"):
        return label(str(value), locale)
    if name.endswith("_rate") or name == "simple_rate_difference":
        return f"{Decimal(value):.4%}"
    if name.endswith("_cny"):
        return f"{Decimal(value):,.2f}"
    return "" if value is None else str(value)


def _fail(message: str) -> Any:
    typer.echo(f"zhunxin: {message}", err=True)
    raise typer.Exit(2)


for _tool in TOOLS:
    app.command(_tool, help=ABOUT[_tool])(_command(_tool))
