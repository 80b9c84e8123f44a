"""What a sentence may turn around though it keeps the words of its clause.

An exception that the clause does not make, two things that have changed places, an order of steps
the other way round, a sum told of each: all of it in words that the clause has too, so that
comparing words finds nothing. Texts are folded, as grounding.py reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import islice, takewhile
from typing import Literal

LEAST_ALIKE = 0.5
"""Of a quote and a sentence, from which their places are compared."""

LEAST_EXCHANGED = 2
"""Characters of what has changed its place, at least."""

MOST_COMPARED = 400
"""Characters of a text up to which places are compared: the time grows with their square."""


Turned = Literal[
    "bound_contradicted", "condition_dropped", "figure_role", "invented", "polarity", "subject"
]

MOST_PLACES = 20
"""Of one kind in a text that are compared with those of another; no sentence has so many."""


def find(said: str, quotes: Sequence[str], lender: Sequence[str] = ()) -> tuple[Turned, str] | None:
    """What the sentence turns around, as a reason and words of it; None where nothing is.

    lender: its names, folded.
    """
    quoted = "\n".join(quotes)
    for check in _CHECKS:
        if (words := check(said, quoted)) is not None:
            return _REASONS[check], words
    names = "|".join(map(re.escape, (*lender, "我们", "我司", "本公司")))
    if words := _acts_instead(said, quoted, names):
        return "subject", words
    for quote in quotes:
        if words := _exchanged(said, quote):
            return "figure_role", words
    return None


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _first(pattern: str, text: str) -> str:
    """The first match; empty where there is none."""
    found = _re(pattern).search(text)
    return found.group() if found else ""


def _few(pattern: str, text: str) -> Iterator[re.Match[str]]:
    return islice(_re(pattern).finditer(text), MOST_PLACES)


# Words that narrow or widen what the clause says -------------------------------------------------

_EXCEPT = (
    r"(?<![免解扣删消清排切废])除(?!此|了?上述|了?以上|非|息).{1,14}?(?:以外|之外|外(?![地币部]))"
    r"|(?<!同意的)除外|不在此限|另当别论"
)


def _excepts(said: str, quoted: str) -> str | None:
    """An exception, where the clause makes none."""
    if _first(_EXCEPT, quoted) or _first("以外|之外|除外|例外|另有|不包括|不含", quoted):
        return None
    return _first(_EXCEPT, said) or None


def _denied_twice(said: str, quoted: str) -> str | None:
    """Two denials in a row, which say that it is so, or must be."""
    twice = _first("不(?:会|得|能|可)不(?![足同良实符当利法])|没有不|并非不|无不", said)
    return twice if twice and twice not in quoted else None


def _only_then(said: str, quoted: str) -> str | None:
    """`Only then`, where the clause waits for nothing."""
    waits = (
        "才|只|仅|方可|方能|须|应|先|前|条件|后|起|满|以上|达到|经|未|不|凭|除非|符合|至少|届|限"
    )
    if _first(waits, quoted):
        return None
    return _first("才(?:可以|可|能|会|有权|说明|需|要|在|予|给)|方(?:可|能|有权)", said) or None


_LATER = "今后|未来|将来|日后|即将|将在|将于"


def _allowed(said: str, quoted: str) -> str | None:
    """A permission that waits for something, where the clause permits and forbids nothing."""
    if _first("可以|可|能|支持|允许|接受|受理|准|不得|无法|须|应|经|凭", quoted):
        return None
    return _first("才(?:可以|可|能)", said) or None


def _later(said: str, quoted: str) -> str | None:
    """Of what is to come, where the clause speaks of what has been."""
    if "已" not in quoted or _first(_LATER, quoted):
        return None
    return _first(_LATER, said) or None


_KINDS: tuple[tuple[str, str], ...] = (
    ("全部|所有|全额", "当期|本期"),
    ("合计|总共|一共|共计|累计|总计", "各自?(?=[不最为有可须应达])|分别|单独"),
    ("近 ?[0-9一两三六]+ ?个?[月年]|最近", "目前|当前|现在|此刻|眼下"),
)
"""How much of a thing is meant: what one of them says, the other does not."""


def _of_another_measure(said: str, quoted: str) -> str | None:
    for pair in _KINDS:
        for own, other in (pair, pair[::-1]):
            told = _first(own, said)
            if (
                told
                and not _first(other, said)
                and _first(other, quoted)
                and not _first(own, quoted)
            ):
                return told
    return None


_CHANGES = "(延长|缩短|提高|降低|调高|调低|增加|减少|上调|下调|上浮|下浮)(至|到|为)? ?[0-9]"


def _by_or_to(said: str, quoted: str) -> str | None:
    """`By 30 days`, where the clause says `to 30 days`, or the other way round."""
    held: dict[str, set[bool]] = {}
    for match in _re(_CHANGES).finditer(quoted):
        held.setdefault(match[1], set()).add(bool(match[2]))
    for match in _re(_CHANGES).finditer(said):
        if bool(match[2]) not in held.get(match[1], {True, False}):
            return match.group()
    return None


_STRICT = {
    "低于": "不高于|不超过",
    "少于": "不多于|不超过",
    "小于": "不大于|不超过",
    "短于": "不长于|不超过",
    "早于": "不晚于|不迟于",
    "高于": "不低于",
    "多于": "不少于",
    "大于": "不小于",
    "长于": "不短于",
    "晚于": "不早于",
}
"""Below, and what is not above and so may be the same."""


def _strictly(said: str, quoted: str) -> str | None:
    for word, at_most in _STRICT.items():
        own = f"(?<![不未无]){word}"
        if _first(own, said) and not _first(own, quoted) and _first(at_most, quoted):
            return word
    return None


def _joined(said: str, quoted: str) -> str | None:
    """Two conditions that both hold, where one of them does; or the other way round."""
    chooses = _first("或", quoted)
    both = _first("(?<![而并况])且(?=[以在有经由])", said)
    if both and chooses and not _first("且|并|同时|和|及|又|既", quoted):
        return both
    if chooses:
        return None
    return _first("[0-9][^,;。、]{0,8}(?:或者?|或是)[^,;。、]{0,6}[0-9]", said) or None


def _one_of(said: str, quoted: str) -> str | None:
    """Any one of several, where the clause leaves no choice."""
    if _first("任一|任何|任意|其一|之一|任选|或|也可以|、", quoted) and not _first(
        "[0-9] ?月?版", quoted
    ):
        return None
    return _first("任一(?=版|产品|渠道|银行|方)|任意一|其一即可|之一即可|二选一", said) or None


def _and_so_on(said: str, quoted: str) -> str | None:
    """A list left open, where the clause says that this is all."""
    if _first("等|例如|如|包括", quoted) or not _first("只|仅", quoted):
        return None
    return _first("[、和与及][^,;。、]{1,14}等(?=$|[,;。])", said) or None


def _after_for_before(said: str, quoted: str) -> str | None:
    """So many days after, where the clause says so many days ahead."""
    if not _first("提前 ?[0-9]+ ?个?(?:工作|自然)?[日天]", quoted) or _first(
        "[天日月] ?(?:以|之)?后", quoted
    ):
        return None
    if _first("提前|事先|预先|之前|以前|前", said):
        return None
    return _first("过[^,;。]{1,4}[天日]|[天日](?:以|之)?后", said) or None


# Places ------------------------------------------------------------------------------------------


def _pairs(text: str) -> set[str]:
    han = re.sub("[^\u3400-\u9fffa-z0-9]", "", text)
    return {han[at : at + 2] for at in range(len(han) - 1)}


def _crossed(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether what stands first in the one stands second in the other, and the other way round."""
    both = zip(one[0], other[0], strict=False)
    same = sum(1 for _ in takewhile(lambda chars: chars[0] == chars[1], both))
    a, b = _pairs(one[0][same:]), _pairs(one[1])
    c, d = _pairs(other[0][same:]), _pairs(other[1])
    return len(a & d) > len(a & c) and len(b & c) > len(b & d)


_STEPS: tuple[str, ...] = (
    r"先([^,;。]{2,16}?)[,，]? ?(?:再|然后|之后再|后)([^,;。]{2,16})",
    r"([^,;。]{2,12})只(?:能|可)(?:用于|使用|用|在|向|为)([^,;。]{2,12})",
    r"([^,;。]{2,12})(?:不?影响|代替|替代|抵扣|转为|变更为)([^,;。]{2,12})",
    r"([^,;。]{2,12})(?<![最今前背])(?:之|以)?后(?!起|的 ?[0-9])([^,;。]{2,12})",
)


def _steps(said: str, quoted: str) -> str | None:
    """Two steps in the other order."""
    for pattern in _STEPS:
        held = [(m[1], m[2]) for m in _few(pattern, quoted)]
        for match in _few(pattern, said):
            if any(_crossed((match[1], match[2]), each) for each in held):
                return match.group()
    return None


_SLOTS = (
    "(?:按照?|依照?|适用)([^,;。按]{2,12}?)(?:执行|为准|办理|处理)",
    "(?:自|从)([^,;。自从]{2,14}?)(?:之日|之时|当日|当天|次日|那天)?起",
)
"""By what it goes, and from when."""


def _by_another(said: str, quoted: str) -> str | None:
    """Something that the clause speaks of too, but does not go by or count from."""
    known = _pairs(quoted)
    for slot in _SLOTS:
        held = [_pairs(m[1]) for m in _few(slot, quoted)]
        for match in _few(slot, said):
            own = _pairs(match[1])
            if held and own & known and not any(own & each for each in held):
                return match.group()
    return None


def _in_part(said: str, quoted: str) -> str | None:
    """In part, where the clause says so of the whole only."""
    if _first("不足额|未足额|没有?足额|部分", quoted) or "足额" not in quoted:
        return None
    return _first("不足额|未足额|没有?足额", said) or None


_TO = "向([^,;。向]{1,8}?)(?:免费|申请|查询|提出|投诉|报告|支付|归还|提供|反馈|咨询|索取)"


def _acts_instead(said: str, quoted: str, names: str) -> str:
    """The lender as the one who acts, or who is asked, where the clause names another or nobody."""
    asked = [m[1] for m in _re(_TO).finditer(quoted)]
    for match in _re(_TO).finditer(said):
        if _re(names).search(match[1]) and asked and not any(map(_re(names).search, asked)):
            return match.group()
    if _re(names + "|公司|贷款人").search(quoted):
        return ""
    # As one who serves, it may well stand there.
    acts = _re(f"(?:{names})(?:应当?|须|有权|可以|代为)(?!为|帮|给|随时|向|提供|协助|受理|接受)")
    found = acts.search(said)
    return found.group() if found else ""


def _exchanged(said: str, quote: str) -> str:
    """What has taken another's place in a sentence that is the quote otherwise."""
    if len(said) > MOST_COMPARED or len(quote) > MOST_COMPARED:
        return ""
    matcher = SequenceMatcher(None, quote, said, autojunk=False)
    if matcher.quick_ratio() < LEAST_ALIKE or matcher.ratio() < LEAST_ALIKE:
        return ""
    edits = [
        (quote[a:b], said[c:d], a, b)
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind == "replace" and min(b - a, d - c) >= LEAST_EXCHANGED
    ]
    for one, other in _two_of(edits):
        between = quote[one[3] : other[2]]
        lists = re.fullmatch("[、和或及与,或者以]*", between) is not None
        if not lists and _is(one[1], other[0]) and _is(other[1], one[0]):
            return f"{one[1]}, {other[1]}"
    return ""


def _two_of(
    edits: Sequence[tuple[str, str, int, int]],
) -> Iterator[Sequence[tuple[str, str, int, int]]]:
    for at, one in enumerate(edits):
        yield from ((one, other) for other in edits[at + 1 :])


def _is(said: str, quoted: str) -> bool:
    """Whether two short texts are the same but for little."""
    own, held = _pairs(said), _pairs(quoted)
    return bool(own) and len(own & held) * 2 > max(len(own), len(held))


_REASONS: dict[Callable[[str, str], str | None], Turned] = {
    _excepts: "invented",
    _denied_twice: "polarity",
    _only_then: "condition_dropped",
    _allowed: "condition_dropped",
    _later: "condition_dropped",
    _of_another_measure: "figure_role",
    _by_or_to: "figure_role",
    _strictly: "bound_contradicted",
    _joined: "condition_dropped",
    _one_of: "condition_dropped",
    _and_so_on: "invented",
    _after_for_before: "figure_role",
    _steps: "figure_role",
    _by_another: "figure_role",
    _in_part: "polarity",
}
_CHECKS = tuple(_REASONS)
