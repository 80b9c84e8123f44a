"""Of whom and of what the quotes say what a sentence says: parties, products, charges, figures.

Checks of grounding.py, by its words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from itertools import combinations, pairwise

from . import figures
from .compared import (
    FREE,
    OF,
    ROW,
    Case,
    Problem,
    Source,
    agent_of,
    modals_of,
    nearest_to,
    products_of,
    sentences_of,
    times_of,
)
from .reading import (
    BORROWER,
    FIGURE,
    FIRST_PRODUCT,
    LENDER,
    Names,
    Part,
    Reading,
    Sign,
    Value,
    known_words,
    read_text,
    tokens_of,
)

MOST_OF_TOPIC = 3
"""Words at the beginning of a quoted sentence that its later parts speak of too."""

MOST_PAIRS = 50
"""Parts of a sentence beside parts of a quote of which each two are compared."""

MOST_BETWEEN = 8
"""Characters between two names that a quote joins, which may tell what of each it is."""

LEAST_LISTED = 2
"""Charges that a sentence names of those that a quote lists, from which none may stand in the place
of another."""

LEAST_FIELDS = 2
"""Names with values from which a quote is a row of a table."""

LEAST_OF_FIELD = 2
"""Characters of a field's name by which a part of a sentence is of that field; a name of a product
counts as many."""

_FIELD_ENDS = re.compile("[;\uff1b]")


def mixed(case: Case) -> Problem | None:
    """A part that says of one thing in the quote what the quote says of another."""
    wording = known_words()
    parts = [p for p in case.quoted_parts if p.words()]
    topics: set[str] = set()
    for reading in case.quoted:
        if ROW.match(reading.folded):
            return None
        for group in sentences_of(reading):
            for part in group[:1]:
                plain = not (part.denies() or modals_of(part) or wording.enough.search(part.raw))
                plain = plain and len(group) > 1
                doer = any(t.meaning in (LENDER, wording.only) for t in part.tokens)
                told = part.words() if plain and not doer else part.words()[:MOST_OF_TOPIC]
                topics |= {t.meaning for t in told}
    for part in case.said.parts:
        own = {t.meaning for t in part.words() if t.kind == "word" and len(t.raw) > 1}
        nearest = nearest_to(part, parts)
        if len(own) < 2 or not nearest or not own <= case.quoted_meanings:
            continue
        if any(own <= other.meanings() for other in parts):
            continue
        conditions = set().union(*(p.meanings() for p in parts if _conditional(p)), topics)
        if all(own - other.meanings() - conditions for other in parts):
            return Problem("figure_role", part.raw)
    return None


def _conditional(part: Part) -> bool:
    wording = known_words()
    return any(
        pattern.search(part.raw)
        for pattern in (wording.condition, wording.condition_start, wording.condition_topic)
    )


def roles(case: Case) -> Problem | None:
    """Who does it to whom: a party in the place that the quotes give to the other one."""
    held: dict[tuple[str, str], set[str]] = {}
    for part in case.quoted_parts:
        for place, party in _places(part):
            held.setdefault(place, set()).add(party)
    for part in case.said.parts:
        for place, party in _places(part):
            if party not in held.get(place, {party}):
                return Problem("subject", part.raw)
    return None


def _places(part: Part) -> Iterator[tuple[tuple[str, str], str]]:
    """Each of the two parties with the word that it stands next to."""
    tokens = part.tokens
    for place, token in enumerate(tokens):
        if token.kind != "party" or token.meaning not in (BORROWER, LENDER):
            continue
        before = tokens[place - 1] if place else None
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        if before is not None and before.kind in ("word", "talk"):
            yield ("before", before.meaning), token.meaning
        if after is not None and after.kind in ("word", "talk"):
            yield ("after", after.meaning), token.meaning


def order(case: Case) -> Problem | None:
    """Things to be done one after the other, in another order; words that belong elsewhere."""
    wording = known_words()
    said = [t.meaning for t in case.said.tokens()]
    for part in case.quoted_parts:
        begin = next((i for i, t in enumerate(part.tokens) if t.raw in wording.in_order), None)
        if begin is None or said.count(part.tokens[begin].meaning) > 1:
            continue
        listed = [t.meaning for t in part.tokens[begin:] if t.raw in wording.charges]
        places = [len(said) - 1 - said[::-1].index(m) for m in listed if m in said]
        if places != sorted(places):
            return Problem("polarity", part.raw)
    told = Counter(t.meaning for t in case.said.tokens() if t.raw in wording.charges)
    held = Counter(t.meaning for r in case.quoted for t in r.tokens() if t.raw in wording.charges)
    for part in case.quoted_parts:
        charges = {t.meaning for t in part.tokens if t.raw in wording.charges}
        if len(charges & told.keys()) < LEAST_LISTED or not charges - told.keys():
            continue
        twice = [charge for charge in charges if told[charge] > held[charge]]
        if twice:
            return Problem("figure_role", twice[0])
    for part in case.said.parts:
        if (
            wording.only in part.meanings()
            and not any(wording.only in other.meanings() for other in case.quoted_parts)
            and not any(
                wording.condition.search(other.raw) or wording.only_so.search(other.raw)
                for other in case.nearest(part)
            )
        ):
            return Problem("condition_dropped", part.raw)
        for anchor in part.meanings() & wording.anchors:
            own = part.meanings() - {anchor}
            beside = [o.meanings() for o in case.quoted_parts if anchor in o.meanings()]
            if beside and own and not any(own & held for held in beside):
                return Problem("figure_role", anchor)
    return None


def fields(case: Case) -> Problem | None:
    """A figure of one field of a row, told of what another field is about."""
    for reading in case.quoted:
        fields = [_named_field(field, case.names) for field in _FIELD_ENDS.split(reading.folded)]
        if sum(bool(name and (values or value)) for name, values, value in fields) < LEAST_FIELDS:
            continue
        for part in case.said.parts:
            for figure in part.figures:
                own = [f for f in fields if (figure.kind, figure.value) in f[1]]
                # The first field tells what the row is of.
                if not own or fields[0] in own or any(not name for name, _, _ in own):
                    continue
                held = set().union(*(name | value for name, _, value in own))
                names = set().union(*(name for name, _, _ in own))
                there = {t.meaning for t in part.words()}
                for name, _, _ in fields:
                    other = name - held
                    telling = sum(2 if m >= BORROWER else len(m) for m in other) >= LEAST_OF_FIELD
                    if telling and other <= there and not names <= there:
                        return Problem("figure_role", figure.text)
    return None


def _named_field(field: str, names: Names) -> tuple[set[str], set[Value], set[str]]:
    """Words of a field's name, figures of its value, and words of its value."""
    name, _, value = field.replace("\uff1a", ":").partition(":")
    told = read_text(value, names)
    values = {(f.kind, f.value) for part in told.parts for f in part.figures}
    words = {t.meaning for p in read_text(name, names).parts for t in p.words()}
    return words, values, {t.meaning for part in told.parts for t in part.words()}


def crossed(case: Case) -> Problem | None:
    """Of two things, each said to be what the quotes say of the other."""
    for reading in case.quoted:
        for group in sentences_of(reading):
            pairs = [
                (part, other)
                for part in case.said.parts
                for other in group
                if len(part.meanings() & other.meanings()) > 1 and _first(part) == _first(other)
            ]
            for (one, first), (two, second) in combinations(pairs[:MOST_PAIRS], 2):
                if first is second or _first(one) == _first(two):
                    continue
                more, less = _exchange(one, first)
                others_more, others_less = _exchange(two, second)
                if more & others_less and others_more & less:
                    return Problem("figure_role", one.raw)
    return None


def _first(part: Part) -> str:
    return part.words()[0].meaning


def in_whose_time(case: Case) -> Problem | None:
    """How long one has for something, told of another."""
    held = [
        (agent, figure.value)
        for part in case.quoted_parts
        for figure in part.figures
        if figure.kind == "term" and (agent := agent_of(part)[0])
    ]
    for part in case.said.parts:
        agent, _ = agent_of(part)
        for figure in part.figures if agent else ():
            whose = {who for who, value in held if value == figure.value}
            if figure.kind == "term" and whose and agent not in whose:
                return Problem("subject", part.raw)
    return None


def _exchange(said: Part, quoted: Part) -> tuple[Set[str], Set[str]]:
    """What a part has more than a quoted one, and what it has less."""
    own, held = said.meanings(), quoted.meanings()
    return own - held, held - own


def subject(case: Case) -> Problem | None:
    """Who and which product: named by the quotes, and in the same place."""
    wording = known_words()
    held = products_of(case.quoted)
    headed = set().union(*(_headed(source, case.names) for source in case.sources))
    said = products_of([case.said])
    if said - (held or headed):
        return Problem("subject", _named(said - (held or headed), case.names))
    if headed and not held and wording.all_products.search(case.quoted_text):
        headed = set()
    if not said and (held or headed):
        of, own = case.setting.products, held or headed
        if not of <= own or (held and not of and not _told_of_all(case)):
            return Problem("subject", _named(own, case.names))
    names = [*case.names.lender, *(n for _, called in case.names.products for n in called)]
    for match in wording.product_like.finditer(case.said.folded):
        if match.group() not in case.quoted_text and not any(n in match.group() for n in names):
            return Problem("subject", match.group())
    parties = {t.meaning for r in case.quoted for t in r.tokens()}
    agents = {agent_of(o)[0] for o in case.quoted_parts} - {""}
    for token in case.said.tokens():
        if token.kind == "party" and token.raw in wording.others and token.meaning not in parties:
            return Problem("subject", token.raw)
    for part in case.said.parts:
        agent, acts = agent_of(part)
        if agent == BORROWER and part.tokens[-1].raw in wording.moments:
            agent = ""
        nearest_parts = case.nearest(part)
        nearest = [other for other in nearest_parts if agent_of(other)[0]]
        if agent and nearest and all(_other_acts(part, agent, acts, o) for o in nearest):
            return Problem("subject", part.raw)
        if _doer(part) in (BORROWER, LENDER) and agents and _doer(part) not in agents:
            return Problem("subject", part.raw)
        if nearest_parts and all(_other_party(part, o) for o in nearest_parts):
            return Problem("subject", part.raw)
        doers = {_doer(o) for o in case.quoted_parts if o.meanings() & part.meanings()} - {""}
        if doers and _doer(part) not in {"", *doers}:
            return Problem("subject", part.raw)
    return None


def _told_of_all(case: Case) -> bool:
    """Whether the quotes tell the same of all products of the lender, wherever they name any."""
    named = [_own_products(part) for part in case.quoted_parts]
    return all(len(own) in (0, len(case.names.products)) for own in named)


def _other_party(part: Part, quoted: Part) -> bool:
    """Whether a third party stands where the quote has the lender."""
    own = {t.meaning for t in part.tokens if t.kind == "party"}
    held = {t.meaning for t in quoted.tokens if t.kind == "party"}
    return LENDER in held - own and bool(own - held - {BORROWER, LENDER})


def _doer(part: Part) -> str:
    """Who is said, by a preposition, to be the one that does it."""
    before = ["", *(t.raw for t in part.tokens)]
    acts = known_words().acts
    return next(
        (
            t.meaning
            for t, b in zip(part.tokens, before, strict=False)
            if t.kind == "party" and b in acts
        ),
        "",
    )


def _other_acts(part: Part, agent: str, acts: bool, quoted: Part) -> bool:
    """Whether someone else acts in the quote; whose thing it is does not make someone act."""
    own, _ = agent_of(quoted)
    if agent == own or (agent not in (BORROWER, LENDER) and not acts):
        return False
    return acts or agent not in quoted.meanings() or own in part.meanings()


def _headed(source: Source, names: Names) -> Set[str]:
    """Products under whose title, or in whose terms, a quote stands."""
    keys = {
        chr(FIRST_PRODUCT + i) for i, (k, _) in enumerate(names.products) if k == source.product
    }
    return keys | products_of([read_text(source.heading, names)])


def _named(chars: Iterable[str], names: Names) -> str:
    return ", ".join(names.products[ord(char) - FIRST_PRODUCT][1][0] for char in sorted(chars))


def figure_roles(case: Case) -> Problem | None:
    """A figure of the quotes that stands beside words that belong to another figure there."""
    around: list[tuple[figures.Figure, set[str]]] = []
    for part in case.quoted_parts:
        around += _around(part)
    shares = [share for part in case.quoted_parts for share in _of_what(part)]
    for part in case.said.parts:
        for figure, words in _of_what(part):
            bases = [w for f, w in shares if f.value == figure.value]
            if bases and not any(words & base for base in bases):
                return Problem("figure_role", figure.text)
        for figure, words in _around(part):
            same = [w for f, w in around if f.kind == figure.kind and f.value == figure.value]
            other = [w for f, w in around if f.kind == figure.kind and f.value != figure.value]
            if not same or not other:
                continue
            mine = set().union(*same)
            theirs = set().union(*other)
            stray = words & (theirs - mine)
            if stray and not words & (mine - theirs):
                return Problem("figure_role", f"{figure.text}: {', '.join(sorted(stray))}")
    return None


def _of_what(part: Part) -> Iterator[tuple[figures.Figure, set[str]]]:
    """Each rate that is a share of something, with the words for what it is a share of."""
    pieces = part.raw.split(FIGURE)
    for place, figure in enumerate(part.figures):
        if figure.kind == "rate" and pieces[place].endswith(OF):
            words = [t for t in tokens_of(pieces[place]) if t.kind == "word"][-2:]
            if words:
                yield figure, {t.meaning for t in words}


def _around(part: Part) -> list[tuple[figures.Figure, set[str]]]:
    """Each figure of a part, with the words between the figure before and itself."""
    found: list[tuple[figures.Figure, set[str]]] = []
    pieces = part.raw.split(FIGURE)
    for place, figure in enumerate(part.figures):
        words = {t.meaning for t in tokens_of(pieces[place]) if t.kind == "word"}
        if place + 1 == len(part.figures):
            words |= {t.meaning for t in tokens_of(pieces[-1]) if t.kind == "word"}
        found.append((figure, words))
    return found


def under_another(case: Case) -> Problem | None:
    """What a quoted sentence says, denies or counts, told of what another sentence begins with,
    which says the contrary, or has another figure or charge."""
    held = [group for reading in case.quoted for group in sentences_of(reading)]
    for topic, *rest in filter(None, sentences_of(case.said)):
        of_it = [group for group in held if any(_same_topic(topic, part) for part in group)]
        own = _signed(part for group in of_it for part in group)
        others = _signed(part for group in held if group not in of_it for part in group)
        for part in rest if of_it else ():
            charges = {t.meaning for t in part.words() if t.raw in known_words().charges}
            told = {m for group in of_it if group[1:] for other in group for m in other.meanings()}
            if told and any(c not in told and (c, "said") in others for c in charges):
                return Problem("figure_role", part.raw)
            for meaning, sign in _signed([part]):
                contrary = meaning, "said" if sign == "denied" else "denied"
                if (meaning, sign) not in own and contrary in own and (meaning, sign) in others:
                    return Problem("polarity", part.raw)
            there = [f for group in of_it for other in group for f in other.figures]
            for figure in part.figures:
                alike = any((f.kind, f.unit) == (figure.kind, figure.unit) for f in there)
                if alike and not figures.states(there, figure):
                    return Problem("figure_role", figure.text)
    return None


def _same_topic(one: Part, other: Part) -> bool:
    alike = one.meanings() == other.meanings() and one.figures == other.figures
    return bool(one.meanings()) and alike and set(times_of(one)) == set(times_of(other))


def _signed(parts: Iterable[Part]) -> Set[tuple[str, Sign]]:
    """Words and modals that are said, or denied."""
    tokens = (t for part in parts for t in part.tokens if t.kind in ("word", "modal"))
    return {(t.meaning, t.sign) for t in tokens if t.sign != "either"}


def beside_another(case: Case) -> Problem | None:
    """What the quotes say of one product only, said of another that they speak of too."""
    held = [
        (products, _told(part))
        for reading, source in zip(case.quoted, case.sources, strict=True)
        for products, part in _of_which(reading, _headed(source, case.names))
    ]
    # A sentence that names none answers of the one that the talk is of.
    asked = case.setting.products
    for own, part in _of_which(case.said, asked if len(asked) == 1 else frozenset()):
        for product in own:
            if not any(product in products for products, _ in held):
                continue
            for told in _told(part):
                beside = [products for products, there in held if told in there]
                if beside and all(p and product not in p for p in beside):
                    return Problem("subject", part.raw)
    return None


def _of_which(reading: Reading, headed: Set[str] = frozenset()) -> Iterator[tuple[Set[str], Part]]:
    """Each part with its products; what follows without one is told of the same, in a row of a
    table up to the end of its field."""
    named = products_of([reading])
    if named:
        headed = named if len(named) == 1 and ROW.match(reading.folded) else frozenset()
    for group in sentences_of(reading):
        before = headed
        for part in group:
            before = _own_products(part) or before
            yield before, part
            before = headed if part.ends_sentence else before


def _told(part: Part) -> Set[object]:
    """Words and figures of a part, the words with and without their denial too."""
    words = [t for t in part.words() if t.kind == "word"]
    signed = {(t.meaning, t.sign) for t in words if t.sign != "either"}
    return {*signed, *(t.meaning for t in words), *((f.kind, f.value) for f in part.figures)}


def _own_products(part: Part) -> set[str]:
    return {token.meaning for token in part.tokens if token.kind == "product"}


def of_the_other(case: Case) -> Problem | None:
    """A figure, or that something is free, told of what the quotes have another one for."""
    held = [(part, _named_in(part)) for part in case.quoted_parts]
    for part in case.said.parts:
        told = _prices(part)
        words = _named_in(part)
        for price in told:
            own = [w for other, w in held if price in _prices(other)]
            others = [w for other, w in held if _prices(other) and price not in _prices(other)]
            if len(own) != 1:
                continue
            if any(words & (w - own[0]) and not words & (own[0] - w) for w in others):
                return Problem("figure_role", part.raw)
    return None


def _named_in(part: Part) -> Set[str]:
    words = (t for t in part.words() if t.kind == "word" and len(t.raw) > 1)
    return {t.meaning for t in words if t.raw[0] != FREE}


def _prices(part: Part) -> Set[object]:
    """The amounts of a part, and whether it says that nothing is charged."""
    free = {FREE for t in part.tokens if t.kind == "negation" and t.raw[0] == FREE}
    return free | {f.value or FREE for f in part.figures if f.kind == "money"}


def told_apart(case: Case) -> Problem | None:
    """Two products or coupons of which the quotes tell the same, told of different things."""
    wording = known_words()
    texts = ["\uff0c".join(part.raw for part in reading.parts) for reading in case.quoted]
    said = "\uff0c".join(part.raw for part in case.said.parts)
    joined, alone = set[tuple[str, str, str]](), Counter[str]()
    for text in texts:
        names = list(wording.named.finditer(text))
        alone.update(name.group() for name in names)
        for one, other in pairwise(names):
            between = text[one.end() : other.start()]
            if wording.listing.search(between) and len(between) <= MOST_BETWEEN:
                joined.add((one.group(), other.group(), between))
    names = list(wording.named.finditer(said))
    for one_name, other_name, between in joined:
        if one_name == other_name or alone[one_name] > 1 or alone[other_name] > 1:
            continue
        ones = [n for n in names if n.group() == one_name]
        others = [n for n in names if n.group() == other_name]
        alike = any(_alike(said, a, b, between) for a in ones for b in others)
        if ones and others and not alike:
            return Problem("subject", said)
    return None


def _alike(said: str, one: re.Match[str], other: re.Match[str], between: str) -> bool:
    """Whether what stands between two names is told of both, or stands so in the quote."""
    wording = known_words()
    first, second = (one, other) if one.start() < other.start() else (other, one)
    apart = set(wording.named.sub("", said[first.end() : second.start()])) - wording.alongside
    known = set(said[: first.start()]), set(said[second.end() :]), set(between)
    return any(apart <= each for each in known)
