"""Makes cases/privacy_messages.jsonl: half from templates with a seed, half written by hand.

    python -m evals.make_privacy

Nothing here shares code with the finder: check digits are made by trial or by another form of the
rule. Written by hand are the lines of cases/privacy_by_hand.txt, data marked as [type:text].
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BY_HAND = FOLDER / "cases" / "privacy_by_hand.txt"
MADE = FOLDER / "cases" / "privacy_messages.jsonl"
SEED = 20261126
EACH = 20
"""Messages of each kind of data."""

_MARK = re.compile(r"\[([a-z]+):([^\]]*)\]")
_COMPANY = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def by_hand() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each line as it is typed, with what stands in it."""
    for line in BY_HAND.read_text(encoding="utf-8").splitlines():
        yield _MARK.sub(lambda m: m[2], line), [(m[1], m[2]) for m in _MARK.finditer(line)]


def generated(dice: random.Random) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Invented data of every kind in every way of writing it, and what only looks like it."""
    words = tomllib.loads((FOLDER / "privacy_templates.toml").read_text(encoding="utf-8"))
    for kind, make in _MAKERS.items():
        for _ in range(EACH):
            value = make(dice, words["words"])
            yield dice.choice(words["frames"][kind]).format(value), [(_type(kind), value)]
    for frame in words["misses"]["frames"]:
        for _ in range(2):
            yield frame.format(dice.randint(2, 9_999)), []


def _type(kind: str) -> str:
    return "phone" if kind == "landline" else kind


def _digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def _spelled(dice: random.Random, number: str, groups: tuple[int, ...], words: Any) -> str:
    """A number as it is, in groups, in full width, or in Chinese digits."""
    way = dice.choice(["plain", "plain", "spaces", "dashes", "wide", "chinese"])
    if way in ("spaces", "dashes"):
        parts, start = [], 0
        for size in groups:
            parts.append(number[start : start + size])
            start += size
        return (" " if way == "spaces" else "-").join(parts)
    if way == "wide":
        return "".join(chr(ord(c) + 0xFEE0) for c in number)
    if way == "chinese" and number.isdigit():
        return "".join(words["chinese"][int(c)] for c in number)
    return number


def _phone(dice: random.Random, words: Any) -> str:
    number = "1" + dice.choice("3456789") + _digits(dice, 9)
    return _spelled(dice, number, (3, 4, 4), words)


def _landline(dice: random.Random, words: Any) -> str:
    area = dice.choice(["010", "021", "0755", "0571", "028", "0317"])
    local = dice.choice("2345678") + _digits(dice, 7)
    return dice.choice([f"{area}-{local}", f"{area} {local}", f"({area}){local}", f"{area}{local}"])


def _id(dice: random.Random, words: Any) -> str:
    region = dice.choice(["110101", "310104", "440305", "510107"])
    born = f"{dice.randint(1955, 2005)}{dice.randint(1, 12):02d}{dice.randint(1, 28):02d}"
    body = region + born + _digits(dice, 3)
    rest = 0
    for digit in body:
        rest = (rest + int(digit)) * 2 % 11
    return _spelled(dice, body + "0123456789X"[(12 - rest) % 11], (6, 8, 4), words)


def _card(dice: random.Random, words: Any) -> str:
    body = dice.choice(["622202", "621483", "411111", "525998"]) + _digits(dice, 9)
    for check in "0123456789":
        doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate((body + check)[::-1])]
        if sum(sum(divmod(d, 10)) for d in doubled) % 10 == 0:
            return _spelled(dice, body + check, (4, 4, 4, 4), words)
    raise AssertionError("one of ten digits fits")


def _email(dice: random.Random, words: Any) -> str:
    user = dice.choice(["li.wei", "zhang_san", "wang-88", "a1b2"]) + _digits(dice, 2)
    return f"{user}@{dice.choice(['example.com', 'mail.example.cn', 'example.org'])}"


def _name(dice: random.Random, words: Any) -> str:
    return str(dice.choice(words["surnames"]) + dice.choice(words["given"]))


def _address(dice: random.Random, words: Any) -> str:
    street: str = dice.choice(words["streets"])
    return street.format(*(dice.randint(1, 899) for _ in range(street.count("{}"))))


def _wechat(dice: random.Random, words: Any) -> str:
    return dice.choice(["wxid_", "zhang_", "Li-", "abc"]) + _digits(dice, dice.randint(5, 8))


def _plate(dice: random.Random, words: Any) -> str:
    head = dice.choice(words["plates"]) + dice.choice("ABCDE")
    return f"{dice.choice([head, head + 'D'])}{_digits(dice, 5)}"


def _passport(dice: random.Random, words: Any) -> str:
    return dice.choice([f"E{_digits(dice, 8)}", f"EA{_digits(dice, 7)}", f"G{_digits(dice, 8)}"])


def _permit(dice: random.Random, words: Any) -> str:
    return dice.choice([f"H{_digits(dice, 8)}", f"C{_digits(dice, 8)}", f"M{_digits(dice, 10)}"])


def _company(dice: random.Random, words: Any) -> str:
    body = "91" + "".join(dice.choices(_COMPANY, k=15))
    for check in _COMPANY:
        # The sum weighted by powers of three, with the check sign, is a multiple of 31.
        total = sum(_COMPANY.index(c) * 3**i for i, c in enumerate(body))
        if (total + _COMPANY.index(check)) % 31 == 0:
            return body + check
    raise AssertionError("one of the signs fits")


def _otp(dice: random.Random, words: Any) -> str:
    return _spelled(dice, _digits(dice, 6), (2, 2, 2), words)


_MAKERS: Mapping[str, Callable[[random.Random, Any], str]] = {
    "phone": _phone,
    "landline": _landline,
    "id": _id,
    "card": _card,
    "email": _email,
    "name": _name,
    "address": _address,
    "wechat": _wechat,
    "plate": _plate,
    "passport": _passport,
    "permit": _permit,
    "company": _company,
    "otp": _otp,
}


def main() -> None:
    rows: list[dict[str, Any]] = []
    made = generated(random.Random(SEED))
    for source, cases in (("authored", by_hand()), ("generated", made)):
        for number, (text, spans) in enumerate(cases, start=1):
            rows.append(
                {
                    "id": f"privacy-{source}-{number:03d}",
                    "text": text,
                    "topic": spans[0][0] if spans else "near-miss",
                    "difficulty": "medium",
                    "source": source,
                    "expect": {"spans": [{"type": kind, "text": value} for kind, value in spans]},
                }
            )
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    MADE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
