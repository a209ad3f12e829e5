"""Envelopes signed in advance, so that a sender's own work is no part of what a node is measured by.

In: who sends to whom, how many. Out: a file of envelopes, each with an id, a case and a signature of its own. What is
sealed is the same 1 KiB in all of them: a node hashes it and cannot tell, and to seal it anew would only take longer.

Half of them ask for a provisional freeze of two wallets, which opens a matter, and starts a time limit where it is
received; half are spontaneous information, which opens a matter that ends at once. All go abroad, bear one signature
and cite nothing, so any number may be sent in any order. Each belongs to a trace of its own.
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from nacl.signing import SigningKey
from nacl.utils import random as random_bytes
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import envelope, material, signature
from gateway.cli import development
from gateway.clock import system_clock
from gateway.envelope import Letter
from gateway.signature import Domain

PAYLOAD_BYTES: Final = 1024
BATCH: Final = 64
"""Envelopes under one signature, where the sender signs many at once: a full frame."""

ID_RANDOM_BYTES: Final = 10

_LENGTH: Final = struct.Struct(">I")


_MARK: Final = b"f" * 12
"""Stands in a form where each copy has its own number: in its id, its case and its trace."""

_TOKENS: Final = (b"\x00" * 32, b"\xff" * 32)
"""Stand in a form where a copy has the tokens of its own targets."""


class Numbers:
    """Numbers that no two pools share, but for a chance of one in a hundred millions."""

    def __init__(self) -> None:
        # As the tail of a UUIDv7 made in one millisecond: what comes later sorts later.
        self._next = int.from_bytes(random_bytes(6), "big") >> 1

    def __call__(self) -> int:
        """Return the next."""
        self._next += 1
        return self._next


def write(path: Path, config: Path, recipient: str, count: int, *, batches: bool = False) -> None:
    """Write a pool of envelopes.

    Args:
        path: the file.
        config: the sender's settings.
        recipient: address of the recipient.
        count: how many; rounded up to full frames.
        batches: sign the envelopes of a frame together.
    """
    loaded = material.load_participant(config, system_clock)
    now, key = system_clock(), loaded.signing_keys[0]
    forms, numbers = forms_of(loaded, recipient, now), Numbers()
    with path.open("wb") as file:
        for start in range(0, count, BATCH):
            made = [copy(forms[place % len(forms)], numbers()) for place in range(start, start + BATCH)]
            _sign(made, str(loaded.address), key, batches=batches)
            for each in made:
                raw = each.SerializeToString()
                file.write(_LENGTH.pack(len(raw)) + raw)


def forms_of(loaded: material.ParticipantMaterial, recipient: str, now: datetime) -> tuple[pb.SignedEnvelope, ...]:
    """Return what all envelopes of a pool are copies of, by turns: with marks where a copy has something of its own."""
    return (
        _form(
            loaded,
            recipient,
            now,
            ids.KIND_PROVISIONAL_FREEZE,
            measures=(ids.MEASURE_BLOCK_WITHDRAWAL,),
            target_tokens=_TOKENS,
        ),
        _form(loaded, recipient, now, ids.KIND_SPONTANEOUS_INFORMATION),
    )


def read(path: Path, start: int, count: int) -> list[bytes]:
    """Return envelopes of a pool as they travel, from `start`; fewer than `count` where it ends."""
    found: list[bytes] = []
    for number, raw in enumerate(_all(path)):
        if number >= start + count:
            break
        if number >= start:
            found.append(raw)
    return found


def _all(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.read(_LENGTH.size):
            yield file.read(_LENGTH.unpack(length)[0])


def copy(form: pb.SignedEnvelope, number: int) -> pb.SignedEnvelope:
    """Return another envelope of that form, in a case of its own; it is not signed."""
    text = f"{number:012x}".encode()
    tokens = sorted(sha256(token + text).digest() for token in _TOKENS)
    header = form.header.replace(_MARK, text)
    for mark, token in zip(_TOKENS, tokens, strict=True):
        header = header.replace(mark, token)
    return pb.SignedEnvelope(header=header, sealed_payload=form.sealed_payload, slots=form.slots)


def _form(
    loaded: material.ParticipantMaterial,
    recipient: str,
    now: datetime,
    kind: ids.Kind.ValueType,
    **fields: Any,  # noqa: ANN401  of a letter
) -> pb.SignedEnvelope:
    mark = _MARK.decode()
    letter = Letter(
        kind,
        str(loaded.address),
        (recipient,),
        f"BENCH-{mark}",
        instrument=development.INSTRUMENT,
        traceparent=f"00-{random_bytes(10).hex()}{mark}-{random_bytes(8).hex()}-01",
        **fields,
    )
    key, readers = loaded.signing_keys[0], loaded.directory.sealing_keys(recipient, now)
    body = b""
    while True:
        made = envelope.compose(letter, body, signing_key=key, reader_keys=readers, now=now, random=_random)
        lacking = PAYLOAD_BYTES - len(made.envelope.sealed_payload)
        if lacking <= 0:
            return made.envelope
        body += bytes(lacking)


def _random(count: int) -> bytes:
    """Return chance whose last six bytes are a mark, where an id is made of it."""
    return random_bytes(count - 6) + b"\xff" * 6 if count == ID_RANDOM_BYTES else random_bytes(count)


def _sign(made: Sequence[pb.SignedEnvelope], sender: str, key: SigningKey, *, batches: bool) -> None:
    headers = [each.header for each in made]
    if batches:
        signatures = signature.sign_batch(Domain.ENVELOPE, headers, sender, key)
    else:
        signatures = [signature.sign(Domain.ENVELOPE, header, sender, key) for header in headers]
    for each, signed in zip(made, signatures, strict=True):
        each.signatures.append(signed)
