"""A flow cut into parts that each fit one picture.

In: a `Flow`, the addresses that the case is about. Out: `Part`s: the ends and transfers of a picture, and how many ends
no picture shows. What hangs together stays together as far as it fits; what is cut stands in both pictures, as an end
that says where it goes on. Many small payees of one payer are told together. No I/O.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from gateway.formats.flow.graph import Amount, End, Flow, Sort, Transfer

LEAVES: Final = 6
"""Of one payer or payee and one asset, so many who have to do with nobody else are drawn each."""

MOST: Final = 800
"""Transfers that are looked at for pictures, which show about as many ends: what the case names, then what is most."""

REFUSALS: Final = 12
"""So many neighbours that do not fit, and a picture is full."""

MISSES: Final = 20
"""So many pieces that fit no picture any more, and no smaller one is looked for."""

PICTURES: Final = 12
"""In one report. The table has all of it."""


_ByEnd: TypeAlias = dict[End, list[Transfer]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one picture shows."""

    ends: frozenset[End]
    transfers: tuple[Transfer, ...]


def parts_of(flow: Flow, named: Collection[str], fits: Callable[[Part], bool]) -> tuple[list[Part], int]:
    """Return the pictures, those first that show what the case is about, and how many ends are left out.

    Args:
        flow: what moved.
        named: addresses that documents of the case name.
        fits: whether a picture can show it.
    """
    everything = _gathered(_apart(flow.transfers), named, Sort.ADDRESS)
    transfers = _most(everything, named)
    by_end: _ByEnd = defaultdict(list)
    for each in transfers:
        by_end[each.source].append(each)
        by_end[each.target].append(each)
    made: list[frozenset[End]] = []
    misses, left = 0, len(_ends(everything) - _ends(transfers))
    for ends in _components(transfers, named):
        rest = ends
        while rest and misses < MISSES:
            piece = _grown(rest, by_end, fits)
            rest -= piece
            at = next((at for at, each in enumerate(made) if fits(_part(each | piece, by_end))), None)
            if at is not None:
                made[at] |= piece
            elif len(made) < PICTURES:
                made.append(piece)
            else:
                misses += 1
                left += len(piece)
        left += len(rest)
    return [_part(ends, by_end) for ends in made], left


def _grown(ends: frozenset[End], by_end: _ByEnd, fits: Callable[[Part], bool]) -> frozenset[End]:
    """Return as many of these ends as fit a picture, from the first payment on, each with whom he has most to do."""
    order = {end: (at.first_us is None, at.first_us or 0, end.place) for end in ends for at in by_end[end][:1]}
    piece: set[End] = set()
    links: dict[End, int] = defaultdict(int)
    refusals = 0
    best = min(ends, key=order.__getitem__)
    while True:
        if piece and not fits(_part(piece | {best}, by_end)):
            refusals += 1
            del links[best]
        else:
            piece.add(best)
            links.pop(best, None)
            for each in by_end[best]:
                for end in (each.source, each.target):
                    if end in ends and end not in piece:
                        links[end] += 1
        if not links or refusals == REFUSALS:
            return frozenset(piece)
        # Whoever deals with nobody else comes along first: he would be lonely elsewhere.
        best = min(links, key=lambda end: (len(by_end[end]) > links[end], -links[end], order[end]))


def _most(transfers: Sequence[Transfer], named: Collection[str]) -> Sequence[Transfer]:
    if len(transfers) <= MOST:
        return transfers

    def weight(each: Transfer) -> tuple[object, ...]:
        return each.source.name not in named and each.target.name not in named, -each.count, _when(each)

    return sorted(sorted(transfers, key=weight)[:MOST], key=_when)


def _ends(transfers: Iterable[Transfer]) -> set[End]:
    return {end for each in transfers for end in (each.source, each.target)}


def _part(ends: Collection[End], by_end: _ByEnd) -> Part:
    shown = []
    for each in sorted({each: None for end in ends for each in by_end[end]}, key=_when):
        here = each.source in ends, each.target in ends
        source = each.source if here[0] else replace(each.source, sort=Sort.ELSEWHERE)
        target = each.target if here[1] else replace(each.target, sort=Sort.ELSEWHERE)
        shown.append(each if all(here) else replace(each, source=source, target=target))
    # Of one who deals with hundreds that other pictures show, a few are drawn.
    return Part(frozenset(ends), tuple(_gathered(shown, (), Sort.ELSEWHERE)))


def _apart(transfers: Iterable[Transfer]) -> list[Transfer]:
    """Give everybody who is paid from nowhere a nowhere of his own: that two hide nothing links them."""
    made = []
    for each in transfers:
        source, target = each.source, each.target
        if source.sort in {Sort.NEW, Sort.HIDDEN}:
            each = replace(each, source=replace(source, name=f"{source.name}\n{target.name}"))  # noqa: PLW2901
        if target.sort is Sort.HIDDEN:
            each = replace(each, target=replace(target, name=f"{target.name}\n{source.name}"))  # noqa: PLW2901
        made.append(each)
    return made


def _gathered(transfers: Sequence[Transfer], named: Collection[str], sort: Sort) -> list[Transfer]:
    """Tell together the smaller of many ends of one sort who deal with one other end only."""
    degree: dict[End, int] = defaultdict(int)
    for each in transfers:
        degree[each.source] += 1
        degree[each.target] += 1
    fans: dict[tuple[End, bool, str, int | None], list[Transfer]] = defaultdict(list)
    kept = []
    for each in transfers:
        for hub, leaf, paid in ((each.source, each.target, True), (each.target, each.source, False)):
            if degree[leaf] == 1 and leaf.sort is sort and leaf.name not in named and degree[hub] > LEAVES:
                fans[hub, paid, each.amount.asset, each.amount.decimals].append(each)
                break
        else:
            kept.append(each)
    for (hub, paid, asset, decimals), fan in fans.items():
        largest = sorted(fan, key=_size, reverse=True)
        if len(fan) <= LEAVES:
            kept += fan
            continue
        kept += largest[: LEAVES - 1]
        rest = largest[LEAVES - 1 :]
        ends = End(hub.chain, f"{len(rest)}\n{hub.name}\n{asset}\n{paid}", Sort.FURTHER)
        units = [each.amount.units for each in rest]
        total = None if None in units else sum(each for each in units if each is not None)
        firsts = [each.first_us for each in rest if each.first_us is not None]
        lasts = [each.last_us for each in rest if each.last_us is not None]
        kept.append(
            Transfer(
                *((hub, ends) if paid else (ends, hub)),
                Amount(asset, total, decimals),
                sum(each.count for each in rest),
                min(firsts, default=None),
                max(lasts, default=None),
            )
        )
    return sorted(kept, key=_when)


def _size(transfer: Transfer) -> int:
    return -1 if transfer.amount.units is None else transfer.amount.units


def _when(transfer: Transfer) -> tuple[object, ...]:
    at = transfer.first_us
    return at is None, at or 0, transfer.source.place, transfer.target.place, transfer.amount.asset


def _components(transfers: Sequence[Transfer], named: Collection[str]) -> list[frozenset[End]]:
    """Return what hangs together: what the case is about first, then what is largest."""
    groups: dict[End, set[End]] = {}
    for each in transfers:
        one, two = groups.setdefault(each.source, {each.source}), groups.setdefault(each.target, {each.target})
        if one is not two:
            small, large = sorted((one, two), key=len)
            large |= small
            groups.update(dict.fromkeys(small, large))
    found = {id(group): group for group in groups.values()}
    ordered = sorted(found.values(), key=lambda group: min(end.place for end in group))
    ordered.sort(key=lambda group: (not any(end.name in named for end in group), -len(group)))
    return [frozenset(group) for group in ordered]
