"""Amounts, rates, terms, dates and other figures in Chinese and English text, made comparable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from itertools import pairwise
from typing import Literal

Kind = Literal[
    "money", "rate", "discount", "term", "position", "date", "time", "count", "phone", "ordinal"
]
Bound = Literal["", "min", "max", "range"]
Value = Decimal | str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a text; two figures that state the same fact are equal wherever they stand."""

    kind: Kind
    """`position` is the third instalment, not three; `ordinal` numbers an article, step or list."""
    value: Value
    """Yuan, a fraction (0.18 = 18 %), a number of units; dates as `2026-01-01`, `2026-07`, `2026`,
    `--06-30`, `--06`, `---15`; times as `09:00`; phone numbers as digits. Of a range: its start."""
    unit: str
    """Money: currency, `$` where no more is said than dollars. Rates: year, month, day, point or
    empty. Terms: month, period, day, workday, minute, second. Else the measure word."""
    bound: Bound
    """`min`: at least, from, after. `max`: at most, within, before."""
    span: tuple[int, int] = field(compare=False)
    text: str = field(compare=False)
    """Verbatim, without the words that make the bound."""
    upper: Value | None = None
    """End of a range."""


@dataclass(slots=True)
class _Found:
    """A figure under construction: `raw * scale * factor` is its value."""

    kind: Kind
    start: int
    end: int
    unit: str = ""
    raw: Decimal | None = None
    scale: int = 1
    factor: Decimal = Decimal(1)
    words: str = ""
    """The value of what is no number: dates, times, phones."""
    bound: Bound = ""
    upper: Value | None = None
    bare: bool = False
    """No unit was written."""
    article: bool = False
    """A Chinese `one` that means `a`: counts in a source, is no claim."""

    @property
    def value(self) -> Value:
        if self.raw is None:
            return self.words
        return self.raw * self.scale * self.factor


@cache
def _re(pattern: str) -> re.Pattern[str]:
    """Patterns are compiled when first used: together they take longer than importing the rest."""
    return re.compile(pattern)


# One character for one, so that spans hold in the original.
_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94) if chr(0x21 + i) not in ",;!?()"}
_TRADITIONAL = str.maketrans(
    "萬億兩個貸簽辦請號還點條項時鐘張筆過內後週歲幣圓塊錢釐幾數戶種級類間滿於達長遲會從單統開結檔頁獲後則餘"
    "賬應遞歸內約為從準備劃賀舊壹貳叁肆伍陸柒捌玖拾佰仟參圆贰叄陆",
    "万亿两个贷签办请号还点条项时钟张笔过内后周岁币元块钱厘几数户种级类间满于达长迟会从单统开结档页获后则余"
    "账应递归内约为从准备划贺旧一二三四五六七八九十百千三元二三六",
)
_LOWER = {ord(c): ord(c.lower()) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_SPACES = dict.fromkeys([0x00A0, 0x3000, 0x2002, 0x2003, 0x2009, 0x202F, 0x09], 0x20)
_FOLD = {
    **_TRADITIONAL,
    **{wide: _LOWER.get(plain, plain) for wide, plain in _FULL_WIDTH.items()},
    **_LOWER,
    **_SPACES,
    **{ord(c): ord("-") for c in "‐‑‒–—―−﹣"},
    **{ord(c): ord("~") for c in "〜∼"},
    ord("￥"): ord("¥"),
    ord("﹪"): ord("%"),
}
_WIDE_GROUP = "(?<=[0-9０-９])，(?=[0-9０-９]{3}(?![0-9０-９]))"

_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_TENS = {"廿": 20, "卅": 30, "卌": 40}
_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8, "w": 10**4, "k": 1000}
_SCALE_WORDS = {"thousand": 1000, "million": 10**6, "billion": 10**9}
_MAX_DIGITS = 24

_ARABIC = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_SCALED = (
    rf"{_ARABIC}(?:(?: ?[多余来]?(?:[百千]?[万亿]|[百千])(?!分之)|[wk](?![a-z]))"
    rf"(?:[0-9]{{1,4}}[百千万])?| (?:{'|'.join(_SCALE_WORDS)})(?![a-z]))?"
)
_NUMERALS = "零〇一二三四五六七八九十百千万亿两廿卅卌"
_ONE_OF = "天|年|个月|会|次|下|直|般|样|些|共|起|定|边|旦|期|笔"
"""Behind a one that begins a word of its own and ends no number."""
_CHINESE = (
    rf"[{_NUMERALS}]{{1,24}}(?:(?<=[十百千])[多余来][万亿])?"
    rf"(?:点(?:[零二三四五六七八九]|一(?!{_ONE_OF})){{1,9}})?"
)
_NUMBER = rf"(?:{_SCALED}|{_CHINESE})"
# 万分之五一天: five, a day.
_SHARE = rf"(?:[{_NUMERALS}]{{1,24}}?(?=一(?:天|日|个月|年))|{_CHINESE})"
_TENTHS = rf"(?:{_ARABIC}|[一二三四五六七八九](?:点[零一二三四五六七八九]{{1,4}})?)"
_DAY_NUMBER = r"(?:[0-9]{1,2}|[一二三四五六七八九十]{1,3})"
_HOUR = r"(?:[0-9]{1,2}|[零一二三四五六七八九十两]{1,3})"
_PART_OF_DAY = (
    r"(?:上午|早上|早晨|清早|清晨|早间|早|凌晨|中午|下午|午后"
    r"|傍晚|晚上|晚间|夜里|夜间|深夜|半夜|当晚|晚)"
)
_PAST_HOUR = r"(?:半|整|钟|一刻|三刻|[0-5]?[0-9]分)"
_MONTHS = {
    name: i
    for i, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        1,
    )
}
_MONTH_NAME = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)

_D = Decimal
_UNITS: dict[str, tuple[Kind, str, Decimal]] = {
    **dict.fromkeys(
        ["元人民币", "元", "块钱", "块", "人民币", "yuan", "rmb", "cny"], ("money", "CNY", _D(1))
    ),
    **dict.fromkeys(["角钱", "角", "毛钱"], ("money", "CNY", _D("0.1"))),
    "分钱": ("money", "CNY", _D("0.01")),
    **dict.fromkeys(["美元", "美金", "us dollars", "usd"], ("money", "USD", _D(1))),
    **dict.fromkeys(
        ["港元", "港币", "港纸", "港紙", "hong kong dollars", "hk dollars", "hkd"],
        ("money", "HKD", _D(1)),
    ),
    **dict.fromkeys(["dollars", "dollar", "蚊"], ("money", "$", _D(1))),
    **dict.fromkeys(["%", "percent", "per cent"], ("rate", "", _D("0.01"))),
    **dict.fromkeys(
        ["个百分点", "百分点", "percentage points", "percentage point"],
        ("rate", "point", _D("0.01")),
    ),
    **dict.fromkeys(
        ["个基点", "基点", "basis points", "bps", "bp"], ("rate", "point", _D("0.0001"))
    ),
    "‰": ("rate", "", _D("0.001")),
    "‱": ("rate", "", _D("0.0001")),
    "成": ("rate", "", _D("0.1")),
    "折": ("discount", "折", _D("0.1")),
    **dict.fromkeys(["个自然日", "自然日", "日历日", "个日历日"], ("term", "day", _D(1))),
    **dict.fromkeys(["天", "日", "calendar days", "days", "day"], ("term", "day", _D(1))),
    **dict.fromkeys(
        ["个工作日", "工作日", "个交易日", "working days", "working day"],
        ("term", "workday", _D(1)),
    ),
    **dict.fromkeys(["business days", "business day"], ("term", "workday", _D(1))),
    **dict.fromkeys(
        ["个星期", "星期", "个礼拜", "礼拜", "周", "weeks", "week"], ("term", "day", _D(7))
    ),
    **dict.fromkeys(["个月", "months", "month"], ("term", "month", _D(1))),
    **dict.fromkeys(["年", "个年头", "years", "year"], ("term", "month", _D(12))),
    **dict.fromkeys(["个季度"], ("term", "month", _D(3))),
    **dict.fromkeys(
        ["期", "instalments", "instalment", "installments", "installment"],
        ("term", "period", _D(1)),
    ),
    **dict.fromkeys(
        ["小时", "个小时", "个钟头", "钟头", "hours", "hour"], ("term", "minute", _D(60))
    ),
    **dict.fromkeys(["分钟", "minutes", "minute", "mins", "min"], ("term", "minute", _D(1))),
    **dict.fromkeys(["秒钟", "秒", "seconds", "second"], ("term", "second", _D(1))),
    **dict.fromkeys(["周岁", "岁", "years old", "years of age"], ("count", "岁", _D(1))),
    "个点": ("rate", "", _D("0.01")),
    **dict.fromkeys(["times", "次", "回", "遍", "趟"], ("count", "次", _D(1))),
    **{
        c: ("count", c, _D(1))
        for c in "个笔张份种人名位家项倍户键封条款件页字台部套级档类步门枚组题句段轮分点"
    },
}
# What a unit must not run into: 元旦, 期间, 一次性, 成立, 周年, 分之, 日元.
_NOT_BEFORE = {
    "元": "旦月素件",
    "期": "间限货望末初待数权",
    "次": "性日要",
    "成": "立为年人功员本交长都果品不分熟绩",
    "年": "化",
    "周": "年一二三四五六日末转边期",
    "分": "之期析别行类布配销摊",
    "日": "元常益渐均息",
    "个": "人别体税性",
    "位": "置于",
    "家": "庭人电装属具",
    "项": "目",
    "类": "似别型",
    "条": "件款例",
    "款": "项",
    "点": "击",
    "部": "分门",
    "步": "骤",
    "人": "民工行",
    "名": "下单义称",
    "回": "款收复访拨",
    "种": "种",
    "天": "然",
    "字": "段",
    "件": "号",
    "页": "面",
    "折": "合算成腾返磨旧",
}
_UNIT = (
    "(?:"
    + "|".join(
        (re.escape(u) + (f"(?![{_NOT_BEFORE[u]}])" if u in _NOT_BEFORE else ""))
        if not u.isascii() or not u.isalpha()
        else re.escape(u) + "(?![a-z])"
        for u in sorted(_UNITS, key=len, reverse=True)
    )
    + ")"
)
_COMPOUND = (
    r"(?:年(?:零|又)?(?:[0-9]{1,2}|[一二三四五六七八九十]{1,2})个月|年半|个半(?:月|小时|钟头))"
)

_ALLOWED_ONE_BEFORE = (
    r"(?:只能|仅|限|只|共|各|有|每(?:年|月|日|天|期|人|笔|张|位))[^，。；,;]{0,2}$"
)
_INDEFINITE_BEFORE = r"(?:[每上下同某这那任另的当首末逐较前后]|最后|最近|其中)$"

_PERIODS = {
    "年": "year", "月": "month", "日": "day", "天": "day", "year": "year", "annum": "year",
    "annual": "year", "yearly": "year", "apr": "year", "percentage rate": "year",
    "p.a": "year", "month": "month", "monthly": "month", "day": "day", "daily": "day",
}  # fmt: skip
_PERIOD_NAME = (
    r"(年|月|日|天)(?:化|度)?(?:综合|名义|实际|贷款|借款|罚息|违约|单利|复利|融资|资金|费用|手续)*"
    r"(?:利率|利息|息率|费率|息|成本|率|利(?![润滚益]))|(年)化"
)
_PERIOD_BEFORE = (
    rf"{_PERIOD_NAME}|(annual|yearly|monthly|daily|apr"
    r"|(?<!monthly )(?<!daily )percentage rate)(?![a-z])"
)
_PERIOD_RIGHT_BEFORE = (
    rf"(?:{_PERIOD_NAME})(?:[（(]单利[）)])?(?:[为是达按约]|只有|仅为?)?[:：]? ?$"
    r"|(?:每|(?<![后第剩余仅限])一)(天|日)(?:[按收付只才就仅]|只[要收])? ?$"
)
"""Said of the figure itself: what is paid or asked each month behind it is something else."""
_PERIOD_AFTER = (
    r" ?[（(]?(?:(?:/|每|per |a )(年|月|日|天|year|annum|month|day)(?![还付交供缴要得应需])"
    r"|一(天|日)(?![还付交供缴要得应需内之后常])"
    r"|(年)化(?![利率综融成贷单约为是0-9])|的(年)化利?率?(?![利率综融成贷单约为是0-9])|的?(年|月|日)[利息](?![0-9])|(p\.a)|(yearly|annual|monthly|daily))"
)
_PERIOD_BREAK = r"[，。；、,;！？!?\n0-9%的]|[上下]浮"
_PERIOD_LINK = r"(?:[为即是至到~-]|按|=|最[高低])\s*$"

_BOUND_BEFORE = (
    # With what it may begin, so that one look passes over all other places.
    r"(?=[最高至顶封上起下不未没别勿莫超达过多大满逾低少小早abcefl-osuw])(?:"
    r"(?P<maxfar>最高|高达|高至|最多|至多|顶多|封顶|最长|最久|最大|最晚|最迟|上限|maximum|max)"
    r"|(?P<minfar>最低|最少|至少|起码|最短|最小|最早|起步|下限|minimum|min(?![a-z]))"
    r"|(?P<max>(?:不|未|没有?|别|勿|莫)(?:得|会|应|能|可以|可|能够|许|要)?(?:超过|超出|高于|多于|多过|大于|大过|晚于|迟于|长于)"
    r"|up to|at most|(?:no|not) more than|not (?:to )?exceed(?:ing)?|cannot exceed|within"
    r"|(?<!no )(?<!not )less than|under|below|before|until|no later than)"
    r"|(?P<min>(?:不|未)(?:得|会|应|能|可)?(?:低于|少于|小于|短于|早于|下于)|不[止只]|超过?|(?<![不高未])达到?|(?<![不超未难能得可会许通经])过了?(?![去期度程])|超出|高于|多于|大于"
    r"|(?<![不未没])满(?![足意])|逾(?!期)|低至|at least|(?:no|not) less than|no fewer than"
    r"|more than|over|above"
    r"|exceed(?:s|ing)?|starting (?:at|from)|from|as low as|after)"
    r"|(?P<less>低于|少于|小于|不足|[不未没]满|[不没]到|早于))"
)
_ASIDE = r"[（(]单利[)）]"
_BOUND_BREAK = r"[，。；：、,;:！？!?\n0-9]|人民|日起"
_BOUND_AFTER = (
    r" ?(?:[（(]含[）)]|及)?(?:"
    r"(?P<max>(?:的?(?:时间|期限))?(?:以内|之内|内(?![容部])|里(?![程边]))|以下|之下"
    r"|封顶|到顶|为限|[为是]上限|为最[长高多]|或(?:者)?更[短少低]|或以下)"
    r"|(?P<min>以上|之上|往上|或以上|打底|或(?:者)?更[长多高]|起(?![诉草因点])|开外"
    r"|or more|or above)"
    r"|(?P<before>以前|之前|前|止)|(?P<after>以后|之后|后))"
)
_JOIN = r" ?(?:-|~|至|到|to|through) ?(?:次日|当日|翌日)? ?"
_LIST = r" ?(?:、|或者|或|和|及|与|,|or|and|, or|, and) ?"


def find(text: str) -> list[Figure]:
    """All figures of `text` in order, never overlapping; spans index the text as given."""
    return [*(_kept(text) if len(text) <= _SHORT else _read_all(text))]


_SHORT = 1000
"""Characters of a text whose figures are kept a while: one sentence is asked of several times."""


@lru_cache(maxsize=512)
def _kept(text: str) -> tuple[Figure, ...]:
    return _read_all(text)


def _read_all(text: str) -> tuple[Figure, ...]:
    return tuple(_figure(found, text) for found in _scan(text) if not found.article)


_APART = r"[ ·•・*_]"
_NUMBERED = "第案品款条项档级类周期章节步"
"""What a number may stand behind that another figure follows."""
_SPACED_NUMERALS = rf"(?<![{_NUMBERED}{_NUMERALS}])[{_NUMERALS}]+(?:{_APART}+[{_NUMERALS}]+)+"
# Behind a space, 3 6% may be of a table: three instalments, and six per cent.
_SPACED_DIGITS = (
    rf"(?<=[:\u3400-\u9fff])(?<![{_NUMBERED}])(?:[0-9](?:{_APART}[0-9])+(?={_APART}?[%‰])"
    rf"|{_APART}?[0-9](?:{_APART}[0-9])+(?={_APART}?[百千万元]))"
)
_BELOW_10000 = "(?:D千)?零?(?:D百)?零?(?:D?十)?D?".replace("D", "[一二两三四五六七八九]")
_WELL_FORMED = rf"[0-9]+|(?:{_BELOW_10000}亿)?(?:{_BELOW_10000}万)?{_BELOW_10000}"


def apart(text: str) -> Iterator[tuple[int, int]]:
    """Spaces and points of a text that only keep the characters of one number apart."""
    folded = _fold(text)
    for spaced in (_SPACED_NUMERALS, _SPACED_DIGITS):
        for match in _re(spaced).finditer(folded):
            start, written = match.start(), match.group()
            if _re(_WELL_FORMED).fullmatch(_re(_APART).sub("", written)):
                for sign in _re(_APART).finditer(written):
                    yield start + sign.start(), start + sign.end()


def stated(text: str) -> frozenset[str]:
    """The figures of `text` as words, kind and unit first, by which clauses are compared.

    Bounds are left out, since one clause says `within` where another names the day; so are numbers
    of articles, and dates other than a day of the month, which place a statement in time.
    """
    return frozenset(
        f"{figure.kind} {figure.unit or '-'} {value}"
        for figure in find(text)
        if figure.kind != "ordinal"
        and (figure.kind != "date" or str(figure.value).startswith("---"))
        for value in (figure.value, figure.upper)
        if value is not None
    )


def unsupported(claim: str, sources: Iterable[str]) -> list[Figure]:
    """Figures of `claim` that no source states."""
    claimed = [f for f in find(claim) if f.kind != "ordinal"]
    if not claimed:
        return []
    stated = [[_figure(f, text) for f in _scan(text)] for text in sources]
    return [c for c in claimed if not any(_supports(figures, c) for figures in stated)]


def states(stated: Iterable[Figure], claim: Figure) -> bool:
    """Whether figures of one source say at least what a figure of another text says."""
    return _supports([*stated], claim)


_ANYTHING = frozenset(["", *"个种项位名家份点类条步句块"])
"""Measure words that fit whatever is counted."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A figure that the sources do not bear out."""

    figure: Figure
    bound: bool
    """They have the value, or a bound on it, and the claim goes beyond that bound."""


def doubts(claim: str, sources: Iterable[str]) -> list[Doubt]:
    """Figures of `claim` that no source states, or states only as the bound of something.

    Stricter than `unsupported`: 200,000 does not follow from `at most 200,000`.
    """
    scanned = [f for f in _scan(claim) if f.kind != "ordinal"]
    claimed = [_figure(f, claim) for f in scanned if not f.article]
    ones = [_figure(f, claim) for f in scanned if f.article and f.unit not in _ANYTHING]
    if not claimed and not ones:
        return []
    stated = [[_figure(f, text) for f in _scan(text)] for text in sources]
    found = [Doubt(one, False) for one in ones if _in_another_unit(one, stated)]
    for figure in claimed:
        if not any(_supports(held, figure) for held in stated):
            found.append(Doubt(figure, _beyond(figure, stated)))
        elif not figure.bound and _only_a_bound(figure, stated):
            found.append(Doubt(figure, True))
    for rate, same in pairwise(claimed):
        said = claim[rate.span[1] : same.span[0]]
        equated = _re(_EQUATED).search(said) is not None and len(said) <= _MOST_BETWEEN
        if equated and _unlike(rate, same) and not any(_both(rate, same, held) for held in stated):
            found.append(Doubt(same, False))
    return found


_EQUATED = r"[（(即=合＝]|相当|等于|折|约"
_MOST_BETWEEN = 16
_PER_YEAR = {"year": (_D(1),), "month": (_D(12),), "day": (_D(360), _D(365))}


def _unlike(rate: Figure, other: Figure) -> bool:
    """Whether two rates for different periods come to different rates a year."""
    rates = [f for f in (rate, other) if f.kind == "rate" and f.unit in _PER_YEAR]
    if len(rates) < 2 or rate.unit == other.unit or rate.bound or other.bound:
        return False
    yearly = [{_D(str(f.value)) * times for times in _PER_YEAR[f.unit]} for f in rates]
    return not yearly[0] & yearly[1]


def _both(rate: Figure, other: Figure, held: list[Figure]) -> bool:
    """Whether one source has the two rates side by side."""
    return any(_states(a, rate) and _states(b, other) for a, b in pairwise(held))


def _in_another_unit(one: Figure, stated: list[list[Figure]]) -> bool:
    """Whether the sources speak of one working day, or of three days, where the claim has one."""
    ones = {
        figure.unit
        for held in stated
        for figure in held
        if (figure.kind, figure.value) == (one.kind, one.value)
    }
    others = {
        figure.unit
        for held in stated
        for figure in held
        if figure.kind == one.kind and figure.value != one.value
    }
    return one.unit not in ones and (bool(ones) or one.unit in others)


def _only_a_bound(claim: Figure, stated: list[list[Figure]]) -> bool:
    """Whether the sources state an amount, rate or term as a bound only."""
    if claim.kind not in ("money", "rate", "term", "count"):
        return False
    ends = [end for held in stated for figure in held for end in _ends(figure)]
    same = [end for end in ends if _states(end, claim)]
    return bool(same) and all(end.bound for end in same)


def _beyond(claim: Figure, stated: list[list[Figure]]) -> bool:
    """Whether a source bounds figures of the claim's kind and unit, and the claim lies outside."""
    for held in stated:
        for end in (e for figure in held for e in _ends(figure)):
            bare = claim.kind == "count" and not claim.unit and end.kind == "money"
            same = (end.kind, end.unit) == (claim.kind, claim.unit)
            if not end.bound or not (same or bare):
                continue
            if not isinstance(end.value, Decimal) or not isinstance(claim.value, Decimal):
                continue
            if end.value == claim.value:
                return claim.bound not in ("", end.bound)
            if end.bound == "max" and claim.value > end.value:
                return True
            if end.bound == "min" and claim.value < end.value:
                return True
    return False


def _supports(stated: list[Figure], claim: Figure) -> bool:
    ends = [end for figure in stated for end in _ends(figure)]
    if claim.bound != "range":
        return any(_states(end, claim) for end in ends)
    return claim in stated or all(
        any(_states(end, wanted) for end in ends) for wanted in _ends(claim)
    )


def _ends(figure: Figure) -> Iterator[Figure]:
    if figure.bound != "range" or figure.upper is None:
        yield figure
        return
    yield replace(figure, bound="min", upper=None)
    yield replace(figure, bound="max", value=figure.upper, upper=None)


def _states(source: Figure, claim: Figure) -> bool:
    """Whether `source` says at least what `claim` says; neither is a range."""
    if claim.bound and source.bound and claim.bound != source.bound:
        return False
    if claim.kind == "date" or source.kind == "date":
        return _dated(source, claim)
    if source.value != claim.value:
        return False
    if source.kind == claim.kind:
        if claim.kind == "rate" and not claim.unit:
            return source.unit != "point"
        return source.unit == claim.unit or (claim.kind == "count" and not claim.unit)
    if claim.kind == "count" and not claim.unit:
        return source.kind in ("money", "term")
    # A table may name the unit in its header only; 365 or 12 alone is too common to be money.
    grouped = any(c in source.text for c in ",，万萬千") or _round(source.value)
    in_yuan = (claim.kind, claim.unit) == ("money", "CNY")
    return in_yuan and source.kind == "count" and not source.unit and grouped


def _round(value: Value) -> bool:
    """Whether a bare number is of the size and shape of a principal."""
    return isinstance(value, Decimal) and value >= 1000 and value % 100 == 0


def _dated(source: Figure, claim: Figure) -> bool:
    """A date is stated by the same or a fuller one; 15日 may be a day of the month or a term."""
    if source.kind == claim.kind:
        given, wanted = str(source.value), str(claim.value)
        if wanted.startswith("---"):
            return given == wanted
        if wanted.startswith("--"):
            return given[given.find("-") :].startswith(wanted[1:]) or given.startswith(wanted)
        return given == wanted or given.startswith(wanted + "-")
    day, term = (source, claim) if source.kind == "date" else (claim, source)
    return (
        str(day.value).startswith("---")
        and (term.kind, term.unit) == ("term", "day")
        and "日" in term.text
        and term.value == Decimal(str(day.value)[3:])
    )


def on_that_side(first: date, last: date, bound: Figure) -> bool:
    """Whether all days of a period are before, after or within what bounds them."""
    low, high = (str(each) for each in (bound.value, bound.upper or bound.value))
    if bound.kind != "date" or "-" in (low[0], high[0]):
        return False
    after = bound.bound == "max" or f"{first}" >= low
    return after and (bound.bound == "min" or f"{last}"[: len(high)] <= high)


def tells_of(figure: Figure, first: date, last: date) -> bool:
    """Whether a date names a year, month or day that all of a period is in."""
    told = str(figure.value)
    if figure.kind != "date" or figure.bound or told.startswith("---"):
        return False
    start = len("2026") if told.startswith("--") else 0
    wanted = told[1:] if start else told
    return all(f"{day}"[start:].startswith(wanted) for day in (first, last))


def _figure(found: _Found, text: str) -> Figure:
    span = (found.start, found.end)
    return Figure(
        found.kind,
        found.value,
        found.unit,
        found.bound,
        span,
        text[found.start : found.end],
        found.upper,
    )


def _fold(text: str) -> str:
    """`text` in one width, case and script, character for character."""
    return _re(_WIDE_GROUP).sub(",", text).translate(_FOLD)


def _scan(text: str) -> list[_Found]:
    folded = _fold(text)
    found: list[_Found] = []
    previous = 0
    for match in _re(_FIGURE).finditer(folded):
        name = match.lastgroup
        if name is None:
            continue
        figure = _READERS[name](folded, match.start(), match.end())
        if figure is None:
            continue
        if figure.kind not in ("ordinal", "phone"):
            figure.bound = figure.bound or _bound(folded, figure, previous)
        if figure.kind == "rate":
            _set_period(folded, figure, found)
        previous = figure.end
        found.append(figure)
    return _join(folded, found)


def _last(pattern: str, window: str) -> re.Match[str] | None:
    matches = list(_re(pattern).finditer(window))
    return matches[-1] if matches else None


def _bound(folded: str, figure: _Found, previous: int) -> Bound:
    window = folded[max(previous, figure.start - 24) : figure.start]
    last = _last(_BOUND_BEFORE, window)
    if last is not None:
        gap = _re(_ASIDE).sub("", _re(_PERIOD_BEFORE).sub("", window[last.end() :]))
        name = last.lastgroup or ""
        reach = 7 if name.endswith("far") else 3
        if len(gap.strip()) <= reach and not _re(_BOUND_BREAK).search(gap):
            return "min" if name.startswith("min") else "max"
    after = _re(_BOUND_AFTER).match(folded, figure.end)
    if after is None:
        return ""
    name = after.lastgroup or ""
    dated = figure.kind in ("date", "time")
    if name == "before":
        return "max" if dated else ""
    if name == "after":
        return "min" if dated or figure.kind in ("term", "position") else ""
    return "min" if name == "min" else "max"


def _set_period(folded: str, figure: _Found, earlier: list[_Found]) -> None:
    """What the rate is per: the words beside it, else the rate it continues."""
    if figure.unit:
        return
    window = folded[max(0, figure.start - 26) : figure.start]
    stuck = _re(_PERIOD_RIGHT_BEFORE).search(window)
    if stuck is not None:
        figure.unit = _PERIODS[next(g for g in stuck.groups() if g)]
        return
    after = _re(_PERIOD_AFTER).match(folded, figure.end)
    if after is not None:
        figure.unit = _PERIODS[next(g for g in after.groups() if g)]
        return
    last = _last(_PERIOD_BEFORE, window)
    if last is not None and not _re(_PERIOD_BREAK).search(window, last.end()):
        figure.unit = _PERIODS[next(g for g in last.groups() if g)]
        return
    if not earlier or not _re(_PERIOD_LINK).search(window):
        return
    for before in reversed(earlier):
        gap = folded[before.end : figure.start]
        if len(gap) > 40 or any(c in gap for c in "。；;\n"):
            return
        if before.kind == "rate" and before.unit in ("year", "month", "day"):
            figure.unit = before.unit
            return


def _join(folded: str, found: list[_Found]) -> list[_Found]:
    """Bare numbers of a list or range take the unit that follows; ranges become one figure."""
    for left, right in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        if not left.bare or right.raw is None or left.raw is None:
            continue
        ranged = _re(_JOIN).fullmatch(folded, left.end, right.start)
        if ranged or _re(_LIST).fullmatch(folded, left.end, right.start):
            left.kind, left.unit, left.factor = right.kind, right.unit, right.factor
            left.bare = right.bare
            left.article = left.article and right.bare and right.scale == 1
            if ranged and left.scale == 1 and left.raw < right.raw:
                left.scale = right.scale
    for left, right in pairwise(found):
        _continue_date(folded, left, right)
    joined: list[_Found] = []
    for figure in found:
        left_most = joined[-1] if joined else None
        if (
            left_most is not None
            and left_most.upper is None
            and left_most.kind == figure.kind
            and figure.kind not in ("phone", "ordinal")
            and _re(_JOIN).fullmatch(folded, left_most.end, figure.start)
            and _same_measure(left_most, figure)
        ):
            left_most.upper, left_most.end, left_most.bound = figure.value, figure.end, "range"
            left_most.article = False
        else:
            joined.append(figure)
    return joined


def _continue_date(folded: str, left: _Found, right: _Found) -> None:
    """After 每月5日 or 6月15日, a mere 25日 is a day of the month too."""
    if left.kind != "date" or (right.kind, right.unit) != ("term", "day"):
        return
    gap = (folded, left.end, right.start)
    if not (_re(_JOIN).fullmatch(*gap) or _re(_LIST).fullmatch(*gap)):
        return
    if folded[right.end - 1] == "日" and right.raw is not None and 1 <= right.raw <= 31:
        if left.words.count("-") < 2:
            return
        right.kind, right.unit = "date", ""
        right.words, right.raw = f"{left.words[:-2]}{int(right.raw):02d}", None


def _same_measure(left: _Found, right: _Found) -> bool:
    if right.kind == "rate" and not right.unit:
        right.unit = left.unit
    if right.kind == "rate" and not left.unit:
        left.unit = right.unit
    if right.kind == "date" and left.words[:1] != "-" and right.words.startswith("--"):
        right.words = f"{left.words[:4]}{right.words[1:]}"
    return left.unit == right.unit


def _number(written: str) -> tuple[Decimal, int] | None:
    """Coefficient and scale of a numeral in digits or Chinese; None if it is no number."""
    written = _re("[多余来]").sub("", written)
    if not written[0].isascii():
        value = _chinese(written)
        return None if value is None else (value, 1)
    digits = re.match(_ARABIC, written)
    if digits is None or len(digits.group()) > _MAX_DIGITS:
        return None
    raw = Decimal(digits.group().replace(",", ""))
    rest = written[digits.end() :].strip()
    if rest in _SCALE_WORDS:
        return raw, _SCALE_WORDS[rest]
    scale, i = 1, 0
    while i < len(rest) and rest[i] in _SCALES:
        scale *= _SCALES[rest[i]]
        i += 1
    if i < len(rest):
        tail = Decimal(rest[i:-1]) * _SCALES[rest[-1]]
        return raw * scale + tail, 1
    return raw, scale


def _chinese(written: str) -> Decimal | None:
    whole, _, decimals = written.partition("点")
    if whole[0] in "百千万亿" or len(whole) > _MAX_DIGITS:
        return None
    if all(c in _DIGITS for c in whole):
        value = int("".join(str(_DIGITS[c]) for c in whole))
    else:
        value = _scaled(whole)
    if decimals:
        return Decimal(f"{value}.{''.join(str(_DIGITS[c]) for c in decimals)}")
    return Decimal(value)


def _scaled(whole: str) -> int:
    """十五 15, 二十万 200000, 一万二 12000."""
    total = section = digit = 0
    last_scale = 1
    for c in whole:
        if c in _DIGITS:
            digit = _DIGITS[c]
            if c in "零〇":
                last_scale = 1
        elif c in _TENS:
            section += _TENS[c]
        elif c in "万亿":
            total = (total + section + digit) * _SCALES[c]
            section = digit = 0
            last_scale = _SCALES[c]
        else:
            section += (digit or 1) * _SCALES[c]
            digit = 0
            last_scale = _SCALES[c]
    if digit and whole[-2:-1] in ("百", "千", "万", "亿"):
        digit *= last_scale // 10
    return total + section + digit


def _int(written: str) -> int:
    return int(written) if written.isascii() else int(_chinese(written) or 0)


def _year(written: str) -> int:
    if not written.isascii():
        return int("".join(str(_DIGITS[c]) for c in written))
    return int(written) if len(written) == 4 else 2000 + int(written)


_PHONE_DIGITS = r"[0-9]+"


def _read_phone(folded: str, start: int, end: int) -> _Found | None:
    return _Found("phone", start, end, words="".join(_re(_PHONE_DIGITS).findall(folded[start:end])))


def _read_ordinal(folded: str, start: int, end: int) -> _Found | None:
    return _Found("ordinal", start, end, words=folded[start:end].replace(" ", ""))


_NTH = rf"第 ?({_NUMBER}) ?(个月|期|年|天|日|次|笔)?"


def _read_nth(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_NTH).fullmatch(folded, start, end)
    number = _number(match.group(1)) if match else None
    if match is None or number is None or match.group(2) is None:
        return _read_ordinal(folded, start, end)
    return _Found("position", start, end, match.group(2), number[0], number[1])


_ISO = r"([0-9]{4})[-/.]([0-9]{1,2})(?:[-/.]([0-9]{1,2}))?"
_CJK_DATE = (
    rf"(?:([0-9]{{4}}|[0-9]{{2}}|[{_NUMERALS}]{{4}}) ?年 ?)?({_DAY_NUMBER}) ?月份?"
    rf"(?: ?({_DAY_NUMBER}) ?[日号])?"
)
_YEAR = rf"([0-9]{{4}}|[{_NUMERALS}]{{4}})"


def _read_date(folded: str, start: int, end: int) -> _Found | None:
    written = folded[start:end]
    match = _re(_ISO).fullmatch(written) or _re(_CJK_DATE).fullmatch(written)
    if match is None:
        words = _re(_YEAR).match(written)
        return words and _Found("date", start, end, words=f"{_year(words.group(1)):04d}")
    year, month, day = match.groups()
    return _date_found(
        start, end, _year(year) if year else None, _int(month), _int(day) if day else None
    ) or _count(start, end, _int(month))


def _count(start: int, end: int, number: int) -> _Found:
    """What looked like a date or time but cannot be one: still a number to check."""
    return _Found("count", start, end, raw=Decimal(number))


def _date_found(
    start: int, end: int, year: int | None, month: int, day: int | None
) -> _Found | None:
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
        return None
    head = "-" if year is None else f"{year:04d}"
    tail = "" if day is None else f"-{day:02d}"
    return _Found("date", start, end, words=f"{head}-{month:02d}{tail}")


_EN_DATE = (
    rf"(?:([0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?)?({_MONTH_NAME})\.?"
    r"(?: ([0-9]{1,2})(?:st|nd|rd|th)?(?![0-9]))?(?:,? ([0-9]{4}))?"
)


def _read_english_date(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_EN_DATE).fullmatch(folded, start, end)
    if match is None:
        return None
    before, month, after, year = match.groups()
    if not (before or after or year):
        return None
    day = before or after
    return _date_found(
        start, end, int(year) if year else None, _MONTHS[month[:3]], int(day) if day else None
    )


_CLOCK = (
    rf"({_PART_OF_DAY})? ?({_HOUR}) ?(?:(?::([0-5][0-9]))|[点时])"
    rf"(?::[0-9]{{2}})?({_PAST_HOUR})? ?(am|pm|a\.m\.|p\.m\.)?"
)
_EVENING = ("下", "午", "傍", "晚", "当", "p")
_NIGHT = ("夜", "深", "半")
_LATE = ("晚", "当")
_MINUTES = {"半": 30, "一刻": 15, "三刻": 45}
_EN_CLOCK = r"([0-9]{1,2}) ?(am|pm|a\.m\.|p\.m\.)"


def _read_time(folded: str, start: int, end: int) -> _Found | None:
    written = folded[start:end]
    english = _re(_EN_CLOCK).fullmatch(written)
    if english:
        hour, minute, half_day = int(english.group(1)), 0, english.group(2)
    else:
        match = _re(_CLOCK).fullmatch(written)
        if match is None:
            return None
        part, hours, minutes, extra, suffix = match.groups()
        hour, half_day = _int(hours), suffix or part or ""
        minute = int(minutes or 0)
        if extra in _MINUTES:
            minute = _MINUTES[extra]
        elif extra and extra.endswith("分"):
            minute = int(extra[:-1])
    evening, night = half_day.startswith(_EVENING), half_day.startswith(_NIGHT)
    if hour < 12 and (evening or (night and hour >= 6)):
        hour += 12
    elif hour == 12 and (night or half_day.startswith(_LATE)):
        hour = 24
    if hour > 24:
        return _count(start, end, hour)
    return _Found("time", start, end, words=f"{hour:02d}:{minute:02d}")


_FRACTION = rf"(百|千|万|{_CHINESE})分之({_SHARE}|{_ARABIC})"


def _read_fraction(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_FRACTION).fullmatch(folded, start, end)
    if match is None:
        return None
    below, above = match.groups()
    number = _number(above)
    denominator = _D(_SCALES[below]) if below in "百千万" else _chinese(below)
    if number is None or not denominator:
        return None
    return _Found("rate", start, end, raw=number[0], scale=number[1], factor=_D(1) / denominator)


_PER_TEN_THOUSAND = rf"万({_TENTHS})"


def _read_per_ten_thousand(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_PER_TEN_THOUSAND).fullmatch(folded, start, end)
    number = _number(match.group(1)) if match else None
    return number and _Found("rate", start, end, raw=number[0], factor=_D("0.0001"))


_LI = rf"({_ARABIC}|{_CHINESE}) ?(分|厘)(?:({_ARABIC}|{_CHINESE}) ?厘?)?(?:利息?)?"
_LI_CONTEXT = r"(?:(年|月|日)利?息?|利率?)[息率]?(?:是|为|要|按|:|算)?[^，。0-9]{0,2}$"
_LI_AFTER = r"的?(?:年|月|日)?[利息]"
_LI_FACTORS = {"year": _D("0.1"), "month": _D("0.01"), "day": _D("0.001")}


def _read_li(folded: str, start: int, end: int) -> _Found | None:
    """Colloquial 分 and 厘: of the principal per month unless the words say year or day."""
    match = _re(_LI).fullmatch(folded, start, end)
    number = _number(match.group(1)) if match else None
    if match is None or number is None:
        return None
    context = _re(_LI_CONTEXT).search(folded[max(0, start - 8) : start])
    spoken_of = context or "利" in match.group() or _re(_LI_AFTER).match(folded, end)
    if match.group(2) == "分" and not spoken_of:
        if not match.group(1)[0].isascii():
            return None
        return _Found("count", start, end, "分", number[0])
    one = Decimal(1) if match.group(2) == "分" else _D("0.1")
    raw = number[0] * one
    rest = _number(match.group(3)) if match.group(3) else None
    if rest is not None:
        raw += rest[0] * one / 10
    period = _PERIODS[context.group(1)] if context and context.group(1) else "month"
    return _Found("rate", start, end, period, raw, factor=_LI_FACTORS[period])


_ENGLISH_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "eighteen": 18,
    "twenty-four": 24, "twenty": 20, "thirty-six": 36, "thirty": 30, "sixty": 60, "ninety": 90,
}  # fmt: skip
_CURRENCIES = {
    "¥": "CNY", "rmb": "CNY", "cny": "CNY", "人民币": "CNY", "us$": "USD", "hk$": "HKD",
    "$": "$", "usd": "USD", "hkd": "HKD", "港币": "HKD", "港元": "HKD", "美元": "USD",
}  # fmt: skip
_CURRENCY = "(?:" + "|".join(re.escape(c) for c in _CURRENCIES) + ")"
_PRICE = rf"({_CURRENCY}) ?({_NUMBER}) ?(?:元|yuan)?"


def _read_price(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_PRICE).fullmatch(folded, start, end)
    number = _number(match.group(2)) if match else None
    if match is None or number is None:
        return None
    return _Found("money", start, end, _CURRENCIES[match.group(1)], number[0], number[1])


_HALF = r"半(?:个)?(年|月|小时|钟头|天|日)"
_HALVES: dict[str, tuple[str, Decimal]] = {
    "年": ("month", _D(6)), "月": ("month", _D("0.5")), "小时": ("minute", _D(30)),
    "钟头": ("minute", _D(30)), "天": ("day", _D("0.5")), "日": ("day", _D("0.5")),
}  # fmt: skip


def _read_half(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_HALF).fullmatch(folded, start, end)
    if match is None:
        return None
    unit, value = _HALVES[match.group(1)]
    return _Found("term", start, end, unit, value)


_MIXED = rf"({_NUMBER}) ?(?:年(?:零|又)?({_DAY_NUMBER})个月|(年半|个半(?:月|小时|钟头)))"


def _read_mixed(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_MIXED).fullmatch(folded, start, end)
    number = _number(match.group(1)) if match else None
    if match is None or number is None:
        return None
    if match.group(2):
        return _Found("term", start, end, "month", number[0] * 12 + _int(match.group(2)))
    if match.group(3) == "年半":
        return _Found("term", start, end, "month", number[0] * 12 + 6)
    if match.group(3) == "个半月":
        return _Found("term", start, end, "month", number[0] + _D("0.5"))
    return _Found("term", start, end, "minute", number[0] * 60 + 30)


def _read_day_of_month(folded: str, start: int, end: int) -> _Found | None:
    match = re.search(rf"{_DAY_NUMBER}", folded[start:end])
    day = _int(match.group()) if match else 0
    if 1 <= day <= 31:
        return _Found("date", start, end, words=f"---{day:02d}")
    return _count(start, end, day)


_QUANTITY = rf"({_NUMBER}) ?([多余]?) ?({_UNIT})?"


_ABOUT = r"([一二三四五六七八九两]{2})[十百千万亿]{0,2}"
_AND_MORE = "[多余](?![少于久长次大谢项])"
_SPOKEN_AMOUNT = r"[^百千万亿]+[百千万亿]"
_GOES_ON = rf" ?[至到、或和~-] ?[0-9{_NUMERALS}]"
"""A Chinese numeral without a unit is a figure only where a list or range gives it one."""


def _read_quantity(folded: str, start: int, end: int) -> _Found | None:
    match = _re(_QUANTITY).fullmatch(folded, start, end)
    if match is None:
        return None
    written, more, unit = match.groups()
    chinese = not written[0].isascii()
    going_on = False
    if chinese:
        if folded[start - 1 : start] in tuple("统唯单专之数几第"):
            return None
        going_on = not unit and not _re(_SPOKEN_AMOUNT).match(written)
        if going_on and (not _re(_GOES_ON).match(folded, end) or written[0] in "百千万亿"):
            return None
        if unit and written[0] in "百千万亿" and _UNITS[unit][0] == "money":
            written = "一" + written
    number = _number(written)
    if number is None:
        return None if chinese else _Found("count", start, end, words=written)
    raw, scale = number
    about = _re(_ABOUT).fullmatch(written)
    low, high = (_DIGITS[c] for c in about.group(1)) if about else (0, 0)
    if not unit:
        if start and _re("[a-z_]").match(folded, start - 1) and scale == 1:
            return _read_ordinal(folded, start, end)
        found = _Found("count", start, end, "", raw, scale, bare=True, article=going_on)
        more = _re("[多余来]").search(written) or _re(_AND_MORE).match(folded, end)
        found.bound = "min" if more else ""
        return _ranged(found, written, low, high)
    more = more or _re("[多余来]").search(written)
    kind, name, factor = _UNITS[unit]
    if kind == "discount" and raw >= 10:
        factor = _D("0.01")
    found = _Found(kind, start, end, name, raw, scale, factor, bound="min" if more else "")
    if written == "一":
        found.article = _is_article(folded, start, kind, unit)
    return found if kind == "discount" else _ranged(found, written, low, high)


def _ranged(found: _Found, written: str, low: int, high: int) -> _Found:
    """两三万 and 七八天: from the one to the other; as it is where they are no neighbours."""
    if 0 < low < high:
        scale = 1
        for c in written[2:]:
            scale *= _SCALES[c]
        found.raw, found.scale = _D(low), scale
        found.upper, found.bound = high * scale * found.factor, "range"
    return found


def _read_english_number(folded: str, start: int, end: int) -> _Found | None:
    word, _, unit = folded[start:end].partition(" ")
    kind, name, factor = _UNITS[unit]
    article = word == "one" and kind == "count"
    return _Found(
        kind, start, end, name, Decimal(_ENGLISH_NUMBERS[word]), 1, factor, article=article
    )


def _is_article(folded: str, start: int, kind: Kind, unit: str) -> bool:
    before = folded[max(0, start - 10) : start]
    if unit == "块":
        return True
    if kind == "count" and unit != "倍":
        last = _last(_BOUND_BEFORE, before)
        bounded = last is not None and not _re(_BOUND_BREAK).search(before, last.end())
        return not bounded and not _re(_ALLOWED_ONE_BEFORE).search(before)
    return kind == "term" and _re(_INDEFINITE_BEFORE).search(before) is not None


_LEAD = rf"(?=[0-9{_NUMERALS}第半¥$港美〔\[（(【a-z上下早晚凌中人每清午傍夜深当])"
_FORMS: tuple[tuple[str, str, Callable[[str, int, int], _Found | None]], ...] = (
    (
        "phone",
        r"(?<![0-9])(?:[48]00[- ]?[0-9]{3,4}[- ]?[0-9]{3,4}|1[3-9][0-9]{9}|0[0-9]{2,3}-[0-9]{7,8}"
        r"|(?:95[0-9]{3,6}|12[0-9]{3})(?! ?(?:元|块|万|人(?!工)|张|笔|%|yuan|rmb|cny)))"
        r"(?![0-9]|[.,][0-9])",
        _read_phone,
    ),
    (
        "document",
        r"[〔\[（(【] ?[0-9]{4} ?[〕\]）)】] ?第? ?[0-9]+ ?号|(?<![0-9])[0-9]{4} ?年第 ?[0-9]+ ?号",
        _read_ordinal,
    ),
    (
        "date",
        r"(?<![0-9])(?:19|20)[0-9]{2}(?:[-/][0-9]{1,2}(?:[-/][0-9]{1,2})?"
        r"|\.[0-9]{1,2}\.[0-9]{1,2})(?![0-9])"
        rf"|(?<![0-9])(?:(?:[0-9]{{4}}|[0-9]{{2}}|二[〇零]?[{_NUMERALS}]{{2}}) ?年 ?)?"
        rf"(?:{_DAY_NUMBER}) ?月份?(?: ?{_DAY_NUMBER} ?[日号])?"
        rf"|(?<![0-9])(?:(?:19|20)[0-9]{{2}}|二[〇零][{_NUMERALS}]{{2}}) ?年(?:度)?",
        _read_date,
    ),
    (
        "list",
        rf"(?<![^\n])[ ]{{0,8}}(?:[-*] )?[0-9]{{1,3}}[.、)）](?![0-9])|\[[0-9]{{1,3}}\]"
        rf"|[（(](?:[0-9]{{1,2}}|[{_NUMERALS}]{{1,3}})[）)]"
        r"|(?:step|article|section|clause|no\.|annex|version|v\.?) ?"
        r"[0-9]+(?:\.[0-9]+)*(?![0-9a-z%])"
        r"|(?<![0-9])[0-9]+\.[0-9]+\.[0-9]+(?:\.[0-9]+)*(?![0-9])",
        _read_ordinal,
    ),
    ("nth", rf"第 ?{_NUMBER}(?: ?(?:个月|期(?!间)|年|天|日|次|笔))?", _read_nth),
    (
        "monthday",
        rf"每个?月(?:的)? ?{_DAY_NUMBER} ?[日号]"
        rf"|(?<![0-9路街道巷弄院]){_DAY_NUMBER} ?号(?![线楼文码店])",
        _read_day_of_month,
    ),
    (
        "english_date",
        rf"(?<![0-9a-z])(?:[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?)?{_MONTH_NAME}(?![a-z])\.?"
        r"(?: [0-9]{1,2}(?:st|nd|rd|th)?(?![0-9]| ?%|\.[0-9]))?(?:,? [0-9]{4})?",
        _read_english_date,
    ),
    (
        "time",
        rf"(?<![0-9])(?:{_PART_OF_DAY} ?)?[0-9]{{1,2}}:[0-5][0-9](?::[0-5][0-9])?"
        r"(?: ?(?:am|pm|a\.m\.|p\.m\.))?(?![0-9])"
        rf"|{_PART_OF_DAY} ?{_HOUR} ?[点时]{_PAST_HOUR}?"
        rf"|(?<![0-9])[0-9]{{1,2}} ?(?:时(?![间候长效常刻期])|点(?![击])){_PAST_HOUR}?"
        rf"|{_HOUR}点(?:半|整|钟)|[一二]?十[一二三四五六七八九]?点(?=[前后以之])"
        rf"|{_HOUR}点(?=[到至~-](?:次日|翌日|第二天)?{_PART_OF_DAY}?{_HOUR}[点:])"
        rf"|(?<=[点半整钟][到至~-]){_HOUR}点"
        r"|(?<![0-9])[0-9]{1,2} ?(?:am|pm|a\.m\.|p\.m\.)(?![a-z])",
        _read_time,
    ),
    (
        "fraction",
        rf"(?:百|千|万|{_CHINESE})分之(?:{_SHARE}|{_ARABIC})",
        _read_fraction,
    ),
    (
        "per_ten_thousand",
        rf"(?:(?<=[率息])|(?<=[每一][天日]))万{_TENTHS}(?![元点0-9{_NUMERALS}])"
        rf"|(?<![0-9{_NUMERALS}])万{_TENTHS}(?=的?日?[利息]|一天|每[天日]|/[天日])",
        _read_per_ten_thousand,
    ),
    ("price", rf"{_CURRENCY} ?{_NUMBER}(?: ?(?:元|yuan(?![a-z])))?", _read_price),
    ("mixed", rf"{_NUMBER} ?{_COMPOUND}", _read_mixed),
    (
        "li",
        rf"(?<![0-9])(?:{_ARABIC}|{_CHINESE}) ?(?:分(?![钟钱之期析别行类布配销摊])|厘(?!米))"
        rf"(?:(?:{_ARABIC}|{_CHINESE}) ?厘"
        r"|[0-9一二三四五六七八九](?![0-9%年月日期天个十百千万元块]))?(?:利息?)?",
        _read_li,
    ),
    ("half", r"(?<![上下大多过年])半个?(?:年|月(?!月)|小时|钟头|天|日)", _read_half),
    (
        "english_number",
        rf"(?<![a-z-])(?:{'|'.join(_ENGLISH_NUMBERS)}) {_UNIT}",
        _read_english_number,
    ),
    (
        "quantity",
        rf"(?<![0-9])(?<![0-9]\.){_SCALED}(?: ?[多余]? ?{_UNIT})?"
        rf"|{_CHINESE}(?: ?[多余]? ?{_UNIT})?",
        _read_quantity,
    ),
)
_FIGURE = _LEAD + "(?:" + "|".join(f"(?P<{n}>{p})" for n, p, _ in _FORMS) + ")"
_READERS = {name: read for name, _, read in _FORMS}
