"""One customer's record as one reply sees it: without whose it is, and kept to be played again.

Who a customer is never gets here: neither id, nor name, nor phone. Loans are known by their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .customers import (
    COLUMNS,
    Application,
    Coupon,
    Customer,
    CustomerDataBroken,
    CustomerFault,
    CustomerSource,
    CustomersUnavailable,
    Instalment,
    Loan,
    Repayment,
)

Item = TypeVar("Item", Loan, Coupon, Application)

_FAULTS: Mapping[str, CustomerFault] = {
    "unavailable": CustomersUnavailable("as the first time"),
    "broken": CustomerDataBroken("record", "as the first time"),
}


class Known:
    """What is read of the verified customer's record, each part once.

    read: what was read so far, JSON-ready: part -> rows, or the name of a fault.
    """

    def __init__(self, source: CustomerSource | None, customer_id: str) -> None:
        self._source = source
        self._customer_id = customer_id
        self._parts: dict[str, Any] = {}
        self.read: dict[str, Any] | None = None

    async def loans(self) -> tuple[Loan, ...]:
        """The oldest first. Raises CustomerFault."""
        found: tuple[Loan, ...] = await self._part("loans")
        return found

    async def coupons(self) -> tuple[Coupon, ...]:
        """What ends first, first. Raises CustomerFault."""
        found: tuple[Coupon, ...] = await self._part("coupons")
        return found

    async def applications(self) -> tuple[Application, ...]:
        """The newest first. Raises CustomerFault."""
        found: tuple[Application, ...] = await self._part("applications")
        return found

    async def _part(self, name: str) -> Any:
        if name not in self._parts:
            self.read = self.read or {}
            try:
                if self._source is None:
                    raise CustomersUnavailable("no customers are known")
                asked = getattr(self._source, name)
                found = tuple(
                    _nobody(item, place) for place, item in _counted(await asked(self._customer_id))
                )
            except CustomerFault as fault:
                broken = isinstance(fault, CustomerDataBroken)
                self.read[name] = "broken" if broken else "unavailable"
                raise
            self._parts[name] = found
            self.read[name] = [_row(name, item) for item in found]
        return self._parts[name]


class PlayedRecord:
    """A source that gives again what was read for a reply."""

    def __init__(self, read: Mapping[str, Any]) -> None:
        self._read = read

    async def profile(self, customer_id: str) -> Customer | None:
        return None

    async def loans(self, customer_id: str) -> tuple[Loan, ...]:
        return tuple(
            Loan(
                **_values("loans", row),
                schedule=tuple(Instalment(**_values("instalments", r)) for r in row["schedule"]),
                repayments=tuple(Repayment(**_values("repayments", r)) for r in row["repayments"]),
            )
            for row in self._rows("loans")
        )

    async def coupons(self, customer_id: str) -> tuple[Coupon, ...]:
        return tuple(Coupon(**_values("coupons", row)) for row in self._rows("coupons"))

    async def applications(self, customer_id: str) -> tuple[Application, ...]:
        return tuple(
            Application(**_values("applications", row)) for row in self._rows("applications")
        )

    async def consents(self, customer_id: str) -> tuple[Any, ...]:
        return ()

    async def close(self) -> None:
        """Nothing is held."""

    def _rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        rows = self._read.get(name, "unavailable")
        if isinstance(rows, str):
            raise _FAULTS.get(rows, _FAULTS["broken"])
        found: Sequence[Mapping[str, Any]] = rows
        return found


_WHO = ("id", "customer_id", "loan_id")


def _counted(items: Sequence[Item]) -> list[tuple[str, Item]]:
    return [(str(place), item) for place, item in enumerate(items, start=1)]


def _nobody(item: Item, place: str) -> Item:
    return replace(item, id=place, customer_id="")


def _row(name: str, item: Any) -> dict[str, Any]:
    row = {
        column: None if (value := getattr(item, column)) is None else str(value)
        for column in COLUMNS[name]
        if column not in _WHO
    }
    if isinstance(item, Loan):
        parts = {"schedule": "instalments", "repayments": "repayments"}
        return {**row, **{k: [_row(v, i) for i in getattr(item, k)] for k, v in parts.items()}}
    return row


def _values(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {c: kind for c, kind in COLUMNS[name].items() if c not in _WHO}
    read = {c: None if row[c] is None else kind.parse(row[c]) for c, kind in columns.items()}
    return read | ({"id": "", "customer_id": ""} if "customer_id" in COLUMNS[name] else {})
