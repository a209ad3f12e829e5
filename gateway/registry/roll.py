"""How a node's list of its participants may change.

In: a list, a change, the time. Out: the next list. Whatever is listed stays listed: what was signed while a key was
valid has to be verifiable for ever, so keys get an end and participants are revoked, nothing is taken out. Pure.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from certs.profiles import BACKDATED
from gateway.directory import FOREVER, Fingerprints, KeyEntry, NodeEntry, ParticipantEntry, ParticipantList, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.signature import key_id

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who comes into the list.

    Args:
        address: who.
        roles: what it is.
        legal_name: its name.
        lei: ISO 17442 code; empty for none.
        signing_key: Ed25519 public key; empty for none.
        sealing_key: X25519 public key; empty for none.
    """

    address: Address
    roles: frozenset[Role]
    legal_name: str
    lei: str
    signing_key: bytes
    sealing_key: bytes


@dataclass(frozen=True, slots=True)
class NewKeys:
    """Keys that take the place of others.

    Args:
        signing_key: Ed25519 public key; empty for none.
        sealing_key: X25519 public key; empty for none.
        not_before: valid from then on: by then everybody has heard of them.
        overlap: for so long after that the ones before stay valid.
    """

    signing_key: bytes
    sealing_key: bytes
    not_before: datetime
    overlap: timedelta


def find(listed: ParticipantList, address: Address) -> ParticipantEntry | None:
    """Return the entry of a participant, if it has one."""
    return next((entry for entry in listed.participants if entry.address == address), None)


def find_key(keys: Iterable[KeyEntry], wanted: bytes) -> KeyEntry | None:
    """Return the key of an id, if it is among them."""
    return next((key for key in keys if key_id(key.public) == wanted), None)


def entry_of(listed: ParticipantList, address: Address) -> ParticipantEntry:
    """Return the entry of a participant.

    Raises:
        Refusal: NOT_FOUND.
    """
    entry = find(listed, address)
    if entry is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"{address} is not listed", "address")
    return entry


def publics(listed: ParticipantList) -> Iterator[tuple[str, bytes]]:
    """Yield whose every public key of a list is."""
    for entry in listed.participants:
        for key in (*entry.signing_keys, *entry.sealing_keys):
            yield str(entry.address), key.public
    for key in listed.signing_keys:
        yield f"{listed.node}/node", key.public


def admit(
    listed: ParticipantList, newcomer: Newcomer, now: datetime, live_certificates: Fingerprints
) -> ParticipantList:
    """Take somebody in, anew if it was put out.

    Args:
        listed: the list.
        newcomer: who.
        now: the time.
        live_certificates: what it held before and has not expired, as far as is known here: none of it may be used
            again. Nor may what is not known, e.g. of after the backup of which the store is: see
            `ParticipantEntry.certificates_not_before`.
    """
    before = find(listed, newcomer.address)
    signing, sealing = _fresh(newcomer.signing_key, now), _fresh(newcomer.sealing_key, now)
    out, not_before = live_certificates, None
    if before is not None:
        out |= before.revoked_certificates
        not_before = _certified_from(before, now)
        # Its keys were put out with it. As it is in again, a thief's signatures must not come in as old ones.
        signing = (*map(_distrusted(now), before.signing_keys), *signing)
        sealing = (*map(_distrusted(now), before.sealing_keys), *sealing)
    entry = ParticipantEntry(
        address=newcomer.address,
        roles=newcomer.roles,
        signing_keys=signing,
        sealing_keys=sealing,
        legal_name=newcomer.legal_name,
        lei=newcomer.lei,
        revoked_certificates=out,
        certificates_not_before=not_before,
    )
    return _with(listed, entry)


def readmitted_at(entry: ParticipantEntry) -> datetime:
    """Return when somebody was taken in again, to the second; the beginning of time if it never was put out."""
    return BEGINNING if entry.certificates_not_before is None else entry.certificates_not_before + BACKDATED


def renew(listed: ParticipantList, address: Address, new: NewKeys) -> ParticipantList:
    """List new keys of a participant, and give those before an end."""
    entry = entry_of(listed, address)
    update = {
        "signing_keys": _succeeded(entry.signing_keys, new.signing_key, new),
        "sealing_keys": _succeeded(entry.sealing_keys, new.sealing_key, new),
    }
    return _with(listed, entry.model_copy(update=update))


def put_out(listed: ParticipantList, address: Address, now: datetime) -> ParticipantList:
    """Revoke a participant: nobody lets it in, or seals to it."""
    entry = entry_of(listed, address)
    update = {
        "status": Status.REVOKED,
        "signing_keys": _ended(entry.signing_keys, now),
        "sealing_keys": _ended(entry.sealing_keys, now),
    }
    return _with(listed, entry.model_copy(update=update))


def distrust_key(listed: ParticipantList, address: Address, wanted: bytes, moment: datetime) -> ParticipantList:
    """Let nothing count that one key of a participant made from a moment on.

    Raises:
        Refusal: NOT_FOUND, it has no such key.
    """
    entry = entry_of(listed, address)
    if wanted not in {key_id(key.public) for key in (*entry.signing_keys, *entry.sealing_keys)}:
        raise Refusal(ErrorCode.NOT_FOUND, f"{address} has no key {wanted.hex()}", "key_id")
    update = {
        "signing_keys": _distrust(entry.signing_keys, wanted, moment),
        "sealing_keys": _distrust(entry.sealing_keys, wanted, moment),
    }
    return _with(listed, entry.model_copy(update=update))


def distrust_certificates(listed: ParticipantList, address: Address, fingerprints: Iterable[bytes]) -> ParticipantList:
    """Let nobody in who shows one of these certificates of a participant."""
    entry = entry_of(listed, address)
    update = {"revoked_certificates": entry.revoked_certificates | {each.hex() for each in fingerprints}}
    return _with(listed, entry.model_copy(update=update))


# The node's own


def node_keys(listed: ParticipantList, founders: NodeEntry) -> tuple[KeyEntry, ...]:
    """Return the node's signing keys, as founders and node say it together."""
    return listed.applied_to(founders).signing_keys


def renew_node(listed: ParticipantList, founders: NodeEntry, new: NewKeys) -> ParticipantList:
    """List a further signing key of the node itself, and give those before an end, the founders' too."""
    keys = _succeeded(node_keys(listed, founders), new.signing_key, new)
    return listed.model_copy(update={"signing_keys": keys})


def distrust_node_key(listed: ParticipantList, founders: NodeEntry, wanted: bytes, moment: datetime) -> ParticipantList:
    """Let nothing count that one key of the node made from a moment on.

    Raises:
        Refusal: NOT_FOUND, it has no such key.
    """
    keys = node_keys(listed, founders)
    if wanted not in {key_id(key.public) for key in keys}:
        raise Refusal(ErrorCode.NOT_FOUND, f"the node has no key {wanted.hex()}", "key_id")
    return listed.model_copy(update={"signing_keys": _distrust(keys, wanted, moment)})


def distrust_node_certificate(listed: ParticipantList, fingerprint: bytes) -> ParticipantList:
    """Let nobody speak to who shows that certificate of the node."""
    return listed.model_copy(update={"revoked_certificates": listed.revoked_certificates | {fingerprint.hex()}})


def moved(listed: ParticipantList, founders: NodeEntry, endpoint: str) -> ParticipantList:
    """List where the node is reached from now on."""
    if listed.applied_to(founders).endpoint == endpoint:
        return listed
    return listed.model_copy(update={"endpoint": endpoint})


# Two lists


def brought_together(published: ParticipantList, own: ParticipantList) -> ParticipantList:
    """Return what is published, and of an own list that was never published what must not get lost.

    That happens if somebody signs a list by hand while the node's own waits for the publisher. Whoever is listed in
    either is; what is distrusted in either is; and a participant that the own list puts out is out, unless the other
    gives it a key that was not known then, or has taken it in again since: so it is with a store of an old backup.
    """
    other = {entry.address: entry for entry in own.participants}
    merged = [_both(entry, other.pop(entry.address, None)) for entry in published.participants]
    return published.model_copy(
        update={
            "participants": (*merged, *other.values()),
            "signing_keys": _both_keys(published.signing_keys, own.signing_keys),
            "endpoint": published.endpoint or own.endpoint,
            "revoked_certificates": published.revoked_certificates | own.revoked_certificates,
        }
    )


def _both(published: ParticipantEntry, own: ParticipantEntry | None) -> ParticipantEntry:
    if own is None:
        return published
    known = {key.public for key in (*own.signing_keys, *own.sealing_keys)}
    anew = {key.public for key in (*published.signing_keys, *published.sealing_keys)} - known
    # An operator or auditor has no key by which to tell.
    since = readmitted_at(published) > readmitted_at(own)
    out = own.status is Status.REVOKED and not anew and not since
    return published.model_copy(
        update={
            "signing_keys": _both_keys(published.signing_keys, own.signing_keys),
            "sealing_keys": _both_keys(published.sealing_keys, own.sealing_keys),
            "status": Status.REVOKED if out else published.status,
            "revoked_certificates": published.revoked_certificates | own.revoked_certificates,
            "certificates_not_before": max(
                filter(None, (published.certificates_not_before, own.certificates_not_before)), default=None
            ),
        }
    )


def _certified_from(before: ParticipantEntry, now: datetime) -> datetime:
    """Return from when on the certificate begins that is issued now: to the second (RFC 5280 section 4.1.2.5.2)."""
    start = (now - BACKDATED).replace(microsecond=0)
    # Never earlier than before, though the clock may have been put back.
    return max(start, before.certificates_not_before or start)


def _both_keys(published: Iterable[KeyEntry], own: Iterable[KeyEntry]) -> tuple[KeyEntry, ...]:
    other = {key.public: key for key in own}
    # When a key begins was said once and stays (`check_continues`).
    merged = [key.ended_as(other.pop(key.public, None)) for key in published]
    return (*merged, *other.values())


# Keys


def _fresh(public: bytes, now: datetime) -> tuple[KeyEntry, ...]:
    # Backdated like the certificate: clocks of others may be behind.
    return (KeyEntry(public=public, not_before=now - BACKDATED),) if public else ()


def _succeeded(keys: tuple[KeyEntry, ...], public: bytes, new: NewKeys) -> tuple[KeyEntry, ...]:
    if not public:
        return keys
    return (*_ended(keys, new.not_before + new.overlap), KeyEntry(public=public, not_before=new.not_before))


def _ended(keys: Iterable[KeyEntry], end: datetime) -> tuple[KeyEntry, ...]:
    return tuple(key.model_copy(update={"not_after": min(key.not_after, end)}) for key in keys)


def _distrust(keys: Iterable[KeyEntry], wanted: bytes, moment: datetime) -> tuple[KeyEntry, ...]:
    return tuple(_distrusted(moment)(key) if key_id(key.public) == wanted else key for key in keys)


def _distrusted(moment: datetime) -> Callable[[KeyEntry], KeyEntry]:
    def apply(key: KeyEntry) -> KeyEntry:
        # Never later than before: nothing is trusted again.
        earliest = min(key.not_trusted_after or FOREVER, moment)
        return key.model_copy(update={"not_trusted_after": earliest})

    return apply


def _with(listed: ParticipantList, entry: ParticipantEntry) -> ParticipantList:
    others = listed.participants
    if find(listed, entry.address) is None:
        return listed.model_copy(update={"participants": (*others, entry)})
    kept = tuple(entry if each.address == entry.address else each for each in others)
    return listed.model_copy(update={"participants": kept})
