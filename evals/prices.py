"""What tokens cost, as a file of the operator says: none are shipped, since vendors change them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assistant.config import ConfigError

from .schema import first_fault

PER = 1_000_000
"""Tokens that a price is for."""


class BadPrices(ConfigError):
    """A file of prices cannot be used; the message names file and field."""


class Tokens(NamedTuple):
    sent: int
    got: int


class _Price(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field(pattern="^[A-Z]{3}$")
    price: tuple[_Price, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of models, in one currency."""

    currency: str
    """ISO 4217, as CNY."""
    per_million: Mapping[str, tuple[float, float]]
    """Model as settings name it -> price of a million tokens sent, and got."""

    def cost(self, used: Mapping[str, Tokens]) -> float | None:
        """What these tokens cost; None where a model has no price."""
        if not used.keys() <= self.per_million.keys():
            return None
        return sum(
            (tokens.sent * price[0] + tokens.got * price[1]) / PER
            for model, tokens in used.items()
            for price in [self.per_million[model]]
        )


def load_prices(file: Path) -> Prices:
    """Raises BadPrices."""
    try:
        held = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrices(f"{file}: cannot be read as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise BadPrices(f"{file}: not valid TOML ({error})") from None
    except ValidationError as error:
        raise BadPrices(f"{file}: {first_fault(error)}") from None
    by_model = {price.model: (price.input, price.output) for price in held.price}
    if len(by_model) < len(held.price):
        raise BadPrices(f"{file}: price.model: a model stands in it twice")
    return Prices(held.currency, by_model)
