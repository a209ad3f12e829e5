"""A country's own law, where it is stricter than the table in steps.py; laxer it cannot be.

In: the TOML file that a node's settings name. Out: a `Policy`, which can say no to what the table allows, ask for one
more countersignature and shorten a time limit, and nothing else: no key of the file could loosen a row. Refuses with
BAD_CONFIG and the field, naming the rule of the table that would be loosened or left without a way on. Only what begins
a matter can be shut out: answers, withdrawals, releases and objections must reach what is open already.

Pure, no I/O. How to write one: docs/policy.md.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import ValidationError as PydanticError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from gateway.deadlines import LIMITS, Length, Unit
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.printable import is_visible
from gateway.rules import KINDS, ClockRule, Kind, Rule, Where, word
from gateway.steps import RULES, STEPS

MAX_LAW_CHARACTERS: Final = 200
"""It is quoted in refusals, whose sentence has 500 at most."""

COUNTERSIGNERS: Final = frozenset(
    {Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Role.COURT, Role.FIU, Role.CONTACT_POINT},
)
"""Authorities: nobody else has a say in what an authority does."""

_OPENING: Final = frozenset(step.rule for step in STEPS if step.opens is not None)
_DECIDING: Final = frozenset(
    rule for rule in RULES if rule.kind == ids.KIND_REVIEW_DECISION and rule.sender is Role.COURT
)
_GIVERS: Final = frozenset(rule.sender for rule in RULES if rule.kind == ids.KIND_PROVISIONAL_ORDER)
_COUNTERSIGNED: Final[Mapping[Rule, Role]] = MappingProxyType(
    {
        step.rule: step.countersigned_by
        for step in STEPS
        # What the table has countersigned only unless it is urgent, a policy can have countersigned always.
        if step.countersigned_by is not None and step.countersigned_unless is None
    }
)
# What asks for something, goes abroad unasked, or the table has countersigned. Not what answers or ends a matter, and
# no complaint: those must not wait for the leave of somebody else.
_COUNTERSIGNABLE: Final = frozenset(
    step.rule
    for step in STEPS
    if step.countersigned_by is not None or (step.opens is not None and (step.asks or step.rule.where is Where.ABROAD))
)
_NOT_TESTED: Final = frozenset({ids.DUAL_CRIMINALITY_NOT_REQUIRED, ids.DUAL_CRIMINALITY_WAIVED})
_NOBODY: Final[Mapping[Role, str]] = MappingProxyType({})
_HOURS: Final = MappingProxyType({Unit.HOURS: 1, Unit.DAYS: 24})


@dataclass(frozen=True, slots=True)
class Restriction:
    """Why a country's own law says no to what the table allows.

    Args:
        law: its article or reason, in the country's own words.
        detail: one sentence: what is not accepted.
        field: of the header.
    """

    law: str
    detail: str
    field: str


class _Table(BaseModel):
    """One table of the file: no unknown keys, no text for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


def _law(text: str) -> str:
    if not is_visible(text):
        raise ValueError("the article or the reason is wanted, on one line")
    return text


def _kind(value: object) -> object:
    if not isinstance(value, str) or value not in KINDS:
        raise ValueError(f"no such kind, as there is {word(ids.KIND_FREEZE_REQUEST)}")
    return KINDS[value]


def _role(value: object) -> object:
    try:
        return Role(value)
    except ValueError as error:
        raise ValueError(f"no such role, as there is {Role.CENTRAL_AUTHORITY.value}") from error


def _address(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("an address is wanted")  # noqa: TRY004  pydantic takes no TypeError
    try:
        return Address.parse(value)
    except Refusal as error:
        raise ValueError(error.detail) from error


def _giver(role: Role) -> Role:
    if role not in _GIVERS:
        rule = Rule(ids.KIND_PROVISIONAL_ORDER, role, Role.EXCHANGE, Where.HOME)
        raise ValueError(f"the table has no {rule}; a policy can add none")
    return role


def _longest(rule: ClockRule, unit: Unit) -> int:
    length = LIMITS[rule].length
    if length is None:
        raise ValueError("an order alone sets it")
    return length.count * _HOURS[length.unit] // _HOURS[unit]


def _no_longer(rule: ClockRule, unit: Unit) -> AfterValidator:
    """Make what refuses a longer time limit than the table's."""
    most, law = _longest(rule, unit), LIMITS[rule].law

    def check(count: int) -> int:
        if not 1 <= count <= most:
            name = clocks.ClockRule.Name(rule)
            raise ValueError(f"{name} is {most} {unit.value} ({law}); a policy sets from 1 to {most}")
        return count

    return AfterValidator(check)


_Law = Annotated[str, Field(max_length=MAX_LAW_CHARACTERS), AfterValidator(_law)]
_Kind = Annotated[int, BeforeValidator(_kind)]
_Role = Annotated[Role, BeforeValidator(_role)]
_Address = Annotated[Address, BeforeValidator(_address)]
_LapseHours = Annotated[int, _no_longer(clocks.CLOCK_RULE_PROVISIONAL, Unit.HOURS)]
_DecisionDays = Annotated[int, _no_longer(clocks.CLOCK_RULE_ORDINARY_DECISION, Unit.DAYS)]
_ReleaseDays = Annotated[int, _no_longer(clocks.CLOCK_RULE_RELEASE, Unit.DAYS)]
_RequestDays = Annotated[int, _no_longer(clocks.CLOCK_RULE_SUBSEQUENT_REQUEST, Unit.DAYS)]


class Refuse(_Table):
    """A kind that is not accepted from abroad, not sent there, or neither."""

    kind: _Kind
    direction: Literal["in", "out", "both"]
    # From senders of that role alone.
    sender: _Role | None = Field(default=None, alias="from")
    law: _Law

    @field_validator("kind")
    @classmethod
    def _begins_a_matter_abroad(cls, kind: Kind) -> Kind:
        abroad = [rule for rule in RULES if rule.kind == kind and rule.where is Where.ABROAD]
        if not abroad:
            raise ValueError(f"the table has no {word(kind)} abroad")
        if not _OPENING.issuperset(abroad):
            raise ValueError(f"{abroad[0]} is about what is open already, which could not go on without it")
        return kind

    @field_validator("sender")
    @classmethod
    def _is_a_sender(cls, sender: Role | None, info: ValidationInfo) -> Role | None:
        kind = info.data.get("kind")
        senders = {rule.sender for rule in RULES if rule.kind == kind and rule.where is Where.ABROAD}
        if kind is not None and sender is not None and sender not in senders:
            raise ValueError(f"the table has no {word(kind)} from {sender.value} abroad")
        return sender

    def holds(self, header: pb.Header, rule: Rule, here: str) -> bool:
        """Whether it shuts this out."""
        way = "out" if Address.parse(header.sender).node == here else "in"
        return (
            rule.kind == self.kind
            and rule.where is Where.ABROAD
            and self.sender in (None, rule.sender)
            and self.direction in (way, "both")
        )


class Countersign(_Table):
    """One more countersignature, by somebody of our country, under what our own participants send."""

    kind: _Kind
    by: _Role
    law: _Law

    @field_validator("kind")
    @classmethod
    def _can_wait_for_it(cls, kind: Kind) -> Kind:
        rules = [rule for rule in RULES if rule.kind == kind]
        if _COUNTERSIGNABLE.isdisjoint(rules):
            named = rules[0] if rules else word(kind)
            raise ValueError(f"{named} must not wait for a countersignature: it asks for nothing, or ends something")
        return kind

    @field_validator("by")
    @classmethod
    def _adds_one(cls, by: Role, info: ValidationInfo) -> Role:
        if by not in COUNTERSIGNERS:
            raise ValueError(f"{by.value} is no authority")
        kind = info.data.get("kind")
        if kind is not None and not any(_adds(by, rule) for rule in RULES if rule.kind == kind):
            rule = next(rule for rule in RULES if rule.kind == kind and rule in _COUNTERSIGNABLE)
            own = "sent" if by is rule.sender else "countersigned"
            raise ValueError(f"{rule} is {own} by {by.value} in the table already; name another role")
        return by


def _adds(by: Role, rule: Rule) -> bool:
    """Whether one by that role is more than the table asks for, and by somebody else than the sender."""
    return rule in _COUNTERSIGNABLE and by is not rule.sender and _COUNTERSIGNED.get(rule) is not by


class Provisional(_Table):
    """What may be done before a court has decided."""

    # Of the roles that the table lets order something provisional, these; none: nobody. Absent: all of them.
    orders_by: Annotated[tuple[Annotated[_Role, AfterValidator(_giver)], ...], Field(strict=False)] | None = None
    lapse_hours: _LapseHours | None = None
    law: _Law

    @model_validator(mode="after")
    def _restricts(self) -> Self:
        if self.orders_by is None and self.lapse_hours is None:
            raise ValueError("orders_by or lapse_hours is wanted")
        return self


class OrdinaryDecision(_Table):
    """How long a decision that is not urgent may take."""

    days: _DecisionDays
    law: _Law


class Release(_Table):
    """How long it may take to let go what nobody may hold any more, or to delete what nobody may keep."""

    days: _ReleaseDays
    law: _Law


class SubsequentRequest(_Table):
    """After how long both sides are reminded that data are kept for a request that follows."""

    days: _RequestDays
    law: _Law


class Exchange(_Table):
    """Which courts may order something of an exchange."""

    address: _Address
    courts: Annotated[tuple[_Address, ...], Field(strict=False, min_length=1)]
    law: _Law


class DualCriminality(_Table):
    """Whether a court of ours may leave it untested (2018/1805 Art. 3). A listed offence is not left untested."""

    waiver: Literal[False]
    law: _Law


class Policy(_Table):
    """The stricter law of one country. `Policy.none()` restricts nothing."""

    country: str = Field(default="", pattern=r"^[a-z]{2}$")
    refuse: Annotated[tuple[Refuse, ...], Field(strict=False)] = ()
    countersign: Annotated[tuple[Countersign, ...], Field(strict=False)] = ()
    provisional: Provisional | None = None
    ordinary_decision: OrdinaryDecision | None = None
    release: Release | None = None
    subsequent_request: SubsequentRequest | None = None
    exchange: Annotated[tuple[Exchange, ...], Field(strict=False)] = ()
    dual_criminality: DualCriminality | None = None

    @field_validator("exchange")
    @classmethod
    def _exchanges_are_ours_and_named_once(cls, entries: tuple[Exchange, ...], info: ValidationInfo) -> object:
        country = info.data.get("country")
        named = [address for each in entries for address in (each.address, *each.courts)]
        strangers = [str(address) for address in named if country and address.node != country]
        if strangers:
            raise ValueError(f"{strangers[0]} is not of {country}: no court orders anything of an exchange abroad")
        addresses = [each.address for each in entries]
        twice = [str(address) for address in addresses if addresses.count(address) > 1]
        if twice:
            raise ValueError(f"{twice[0]} stands there twice")
        return entries

    @classmethod
    def none(cls) -> Self:
        """Return that of a country whose law is the table's."""
        return cls()

    @classmethod
    def load(cls, content: bytes, name: str) -> Self:
        """Read one.

        Args:
            content: of the file.
            name: of the file, for messages.

        Raises:
            Refusal: BAD_CONFIG, with the first field that is wrong, e.g. `countersign[0].by`.
        """
        try:
            raw = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:
            # As `config.read`.
            raise Refusal(ErrorCode.BAD_CONFIG, f"{name} is not TOML: {error}") from error
        try:
            policy = cls.model_validate(raw)
        except PydanticError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            detail = f"{name}: {first['msg'].removeprefix('Value error, ')}"
            raise Refusal(ErrorCode.BAD_CONFIG, detail, _path(first["loc"])) from error
        if not policy.country:
            raise Refusal(ErrorCode.BAD_CONFIG, f"{name}: it does not say whose law it is", "country")
        return policy

    def refusal(self, header: pb.Header, rule: Rule, here: str) -> Restriction | None:
        """Return why this is not accepted here, or not sent from here; None if it is.

        Args:
            header: of the envelope.
            rule: by which the table allows it.
            here: code of this node.
        """
        if rule not in self._restricted:
            return None
        return next(self._restrictions(header, rule, here), None)

    def countersigners(self, rule: Rule) -> Mapping[Role, str]:
        """Return whose countersignatures our country wants besides the table's, under what its participants send.

        Each with the law that wants it, in the country's own words.
        """
        return self._countersigners.get(rule, _NOBODY)

    def length(self, rule: ClockRule) -> Length | None:
        """Return a shorter length of a time limit; None: the table's."""
        if rule == clocks.CLOCK_RULE_PROVISIONAL and self.provisional is not None and self.provisional.lapse_hours:
            return Length(self.provisional.lapse_hours, Unit.HOURS)
        return self._in_days.get(rule)

    @cached_property
    def _in_days(self) -> Mapping[ClockRule, Length]:
        shorter = {
            clocks.CLOCK_RULE_ORDINARY_DECISION: self.ordinary_decision,
            clocks.CLOCK_RULE_RELEASE: self.release,
            clocks.CLOCK_RULE_DELETION: self.release,
            clocks.CLOCK_RULE_SUBSEQUENT_REQUEST: self.subsequent_request,
        }
        return {rule: Length(each.days, Unit.DAYS) for rule, each in shorter.items() if each is not None}

    # Nearly all that comes is nothing that a country restricts.

    @cached_property
    def _restricted(self) -> frozenset[Rule]:
        opens = _OPENING if self.refuse or self.provisional is not None or self.exchange else frozenset()
        return opens | (_DECIDING if self.dual_criminality is not None else frozenset())

    @cached_property
    def _countersigners(self) -> Mapping[Rule, Mapping[Role, str]]:
        more: dict[Rule, dict[Role, str]] = {}
        for each in self.countersign:
            for rule in RULES:
                if each.kind == rule.kind and _adds(each.by, rule):
                    more.setdefault(rule, {})[each.by] = each.law
        return more

    def _restrictions(self, header: pb.Header, rule: Rule, here: str) -> Iterator[Restriction]:
        if rule in _OPENING:
            yield from self._shut_out(header, rule, here)
        dual = self.dual_criminality
        # The court's own decision alone: the notice of one that it took before must still go abroad.
        if dual is not None and rule in _DECIDING and header.dual_criminality in _NOT_TESTED:
            detail = "no court here may leave dual criminality untested"
            yield Restriction(dual.law, detail, "dual_criminality")

    def _shut_out(self, header: pb.Header, rule: Rule, here: str) -> Iterator[Restriction]:
        for each in self.refuse:
            if each.holds(header, rule, here):
                yield Restriction(each.law, f"{here} takes no part in a {rule}", "kind")
        provisional = self.provisional
        if (
            provisional is not None
            and provisional.orders_by is not None
            and rule.kind == ids.KIND_PROVISIONAL_ORDER
            and rule.sender not in provisional.orders_by
        ):
            yield Restriction(provisional.law, f"no {rule.sender.value} here gives provisional orders", "sender")
        if rule.sender is Role.COURT and rule.recipient is Role.EXCHANGE:
            sender, recipient = Address.parse(header.sender), Address.parse(header.recipients[0])
            for exchange in self.exchange:
                if exchange.address == recipient and sender not in exchange.courts:
                    detail = f"{recipient} takes no orders from {sender}"
                    yield Restriction(exchange.law, detail, "recipients[0]")


def _path(places: tuple[int | str, ...]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in places).removeprefix(".")
