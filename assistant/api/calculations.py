"""`POST /v1/calculations/{tool}`: exact arithmetic of loans, nobody's data."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from assistant.loan_math import (
    BadArgument,
    CouponKind,
    DayCount,
    Method,
    Mode,
    Shift,
    as_json,
    calculate,
)
from prompts.render import notice

from .problems import documented, locale_of, problem
from .schemas import LocaleName

router = APIRouter(prefix="/v1/calculations", tags=["calculations"])

# What a number may be is told by the calculation itself, in the borrower's language.
_Written = Annotated[str, Field(max_length=64)]
Amount = Annotated[
    _Written | StrictInt | StrictFloat,
    Field(description="Yuan, at most two decimals.", examples=["10000.00"]),
]
Rate = Annotated[
    _Written | StrictInt | StrictFloat,
    Field(description="A fraction (0.144) or a text with a sign (14.4%).", examples=["14.4%"]),
]
Count = Annotated[_Written | StrictInt, Field(examples=[12])]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Arguments):
    locale: LocaleName = Field(default="zh-Hans", description="Language of formulas and faults.")


class RepaymentBody(_Arguments):
    """Principal repaid on a day."""

    day: date
    amount_cny: Amount


class LoanBody(_Arguments):
    """A loan as it is agreed."""

    principal_cny: Amount
    method: Method
    annual_rate: Rate | None = Field(
        default=None, description="Simple, a year; this or `daily_rate`."
    )
    daily_rate: Rate | None = Field(default=None, description="Of actual days.")
    terms: Count | None = Field(default=None, description="Instalments; not with `daily`.")
    months_per_term: Count = 1
    interest_only_terms: Count | None = Field(
        default=None, description="Of `interest_first`; left out, all terms but the last."
    )
    then: Literal["equal_instalment", "equal_principal"] = Field(
        default="equal_instalment", description="Of `interest_first`: what follows."
    )
    day_count: DayCount | None = Field(
        default=None, description="Left out: 30/360, by a daily rate actual/365."
    )
    start: date | None = Field(default=None, description="Disbursement; needed for actual days.")
    first_due: date | None = None
    until: date | None = Field(default=None, description="Of `daily`: the rest is repaid.")
    repayments: list[RepaymentBody] = Field(default=[], max_length=400)
    least_days: Count = Field(
        default=0, description="Of `daily`: days charged when repaid on the day itself."
    )
    shift: Shift = Field(default="none", description="Of due days that are no workdays.")
    interest_to: Literal["nominal", "shifted"] = "nominal"
    unknown_years: Literal["refuse", "unshifted"] = Field(
        default="refuse", description="Years that the calendar of workdays does not know."
    )
    upfront_fee_cny: Amount = "0"
    term_fee_cny: Amount = "0"
    term_fee_rate: Rate = Field(
        default="0", description="Of the original principal, with each instalment."
    )


class ScheduleRequest(LoanBody, _Request):
    """A loan."""


class RateRequest(_Request):
    """A loan, or what was received and what is paid each term."""

    loan: LoanBody | None = None
    received_cny: Amount | None = None
    instalment_cny: Amount | None = None
    terms: Count | None = None
    payments: list[Amount] = Field(default=[], max_length=400)
    months_per_term: Count = 1


class SettleRequest(_Request):
    """A loan and a day, or a balance and days since its last due day."""

    loan: LoanBody | None = None
    on: date | None = None
    balance_cny: Amount | None = None
    annual_rate: Rate | None = None
    daily_rate: Rate | None = None
    days: Count | None = None
    accrual: Literal["actual/365", "actual/360"] | None = None
    penalty_rate: Rate = "0"
    overdue_penalty_cny: Amount = "0"
    remaining_fees: Literal["due", "waived"] = "waived"


class PrepayRequest(_Request):
    """A loan, and principal paid ahead on a day or after a term."""

    loan: LoanBody
    prepaid_cny: Amount
    mode: Mode
    on: date | None = None
    after_term: Count | None = None
    penalty_rate: Rate = "0"


class OverdueRequest(_Request):
    """Overdue principal, and what the contract says about it."""

    overdue_principal_cny: Amount
    uplift: Rate = Field(description="0.3: the penalty rate is 1.3 times the contract's.")
    annual_rate: Rate | None = None
    daily_rate: Rate | None = None
    due: date | None = None
    paid: date | None = None
    days_overdue: Count | None = None
    grace_days: Count = 0
    grace_charged: bool = False
    cap_annual_rate: Rate | None = None
    cap_cny: Amount | None = None
    day_count: Literal["actual/365", "actual/360"] = "actual/365"


class CouponBody(_Arguments):
    """A coupon as it is printed."""

    kind: CouponKind
    discount: Rate | None = Field(default=None, description="Of `rate`: 0.8 is 20 % off.")
    floor_annual_rate: Rate = "0"
    first_terms: Count | None = None
    free_days: Count | None = None
    principal_cap_cny: Amount | None = None
    amount_cny: Amount | None = None
    threshold_cny: Amount = "0"
    term: Count | None = Field(default=None, description="Of `voucher`: the instalment.")


class CouponRequest(_Request):
    """A loan and the coupons to be used on it."""

    loan: LoanBody
    coupons: list[CouponBody] = Field(max_length=400)
    overdue: bool = False


class CompareRequest(_Request):
    """Two loans."""

    a: LoanBody
    b: LoanBody


class InstalmentBody(BaseModel):
    """One row of the table; amounts in yuan with two decimals."""

    term: int
    due: date | None
    days: int | None
    principal_cny: str
    interest_cny: str
    fee_cny: str
    total_cny: str
    balance_cny: str
    shifted: Literal["no", "yes", "unknown_year"]
    saved_cny: str


class AnnualRateBody(BaseModel):
    """Fractions as text."""

    simple_annual_rate: str
    compound_annual_rate: str
    measured: Literal["terms", "days"]


class FigureSourceBody(BaseModel):
    """Where a figure comes from; `secondary`: the text is known from what others write of it."""

    id: str
    title: str
    series: str
    evidence: Literal["argument", "secondary", "quote", "text"]


class CalculatedBody(BaseModel):
    """A result: its arguments, formulas in words, conventions, sources, and the figures of the
    tool beside them. Amounts are texts with two decimals, rates texts of fractions."""

    model_config = ConfigDict(extra="allow")

    inputs: dict[str, Any]
    formula: list[str]
    conventions: list[str]
    sources: list[FigureSourceBody]
    annual: AnnualRateBody | None = None
    instalments: list[InstalmentBody] | None = None


ANSWERS: dict[str, Any] = {
    "response_model": CalculatedBody,
    "response_model_exclude_unset": True,
    "responses": documented(413, 422, 429, 500),
}


@router.post("/schedule", **ANSWERS)
async def schedule(body: ScheduleRequest, request: Request) -> dict[str, Any] | Response:
    """What is paid when, and what it costs a year."""
    return await _calculated("schedule", body, request)


@router.post("/rate", **ANSWERS)
async def rate(body: RateRequest, request: Request) -> dict[str, Any] | Response:
    """What borrowing costs a year, by the internal rate of return, simple and compound."""
    return await _calculated("rate", body, request)


@router.post("/settle", **ANSWERS)
async def settle(body: SettleRequest, request: Request) -> dict[str, Any] | Response:
    """What is due to settle early, and what that saves."""
    return await _calculated("settle", body, request)


@router.post("/prepay", **ANSWERS)
async def prepay(body: PrepayRequest, request: Request) -> dict[str, Any] | Response:
    """What becomes of the instalments when principal is paid ahead."""
    return await _calculated("prepay", body, request)


@router.post("/overdue", **ANSWERS)
async def overdue(body: OverdueRequest, request: Request) -> dict[str, Any] | Response:
    """The penalty on overdue principal."""
    return await _calculated("overdue", body, request)


@router.post("/coupon", **ANSWERS)
async def coupon(body: CouponRequest, request: Request) -> dict[str, Any] | Response:
    """What coupons take off a loan, and which of them go together."""
    return await _calculated("coupon", body, request)


@router.post("/compare", **ANSWERS)
async def compare(body: CompareRequest, request: Request) -> dict[str, Any] | Response:
    """Two loans side by side."""
    return await _calculated("compare", body, request)


REQUESTS: Mapping[str, type[_Request]] = {
    "schedule": ScheduleRequest,
    "rate": RateRequest,
    "settle": SettleRequest,
    "prepay": PrepayRequest,
    "overdue": OverdueRequest,
    "coupon": CouponRequest,
    "compare": CompareRequest,
}
"""Tool -> its arguments."""


async def _calculated(tool: str, body: _Request, request: Request) -> dict[str, Any] | Response:
    try:
        return await calculated(tool, body)
    except BadArgument as error:
        fields = [{"field": error.field, "problem": error.words(body.locale)}]
        return problem(422, notice("bad_request", await locale_of(request)), fields=fields)


async def calculated(tool: str, body: _Request) -> dict[str, Any]:
    """A result, as CalculatedBody. Raises BadArgument."""
    arguments = body.model_dump(exclude={"locale"}, exclude_unset=True)
    result = await asyncio.to_thread(calculate, tool, arguments)
    return as_json(result, body.locale)
