from datetime import datetime, timedelta

import pytest
from rogatory.v1 import envelope_pb2 as pb

from gateway.authorise import authorise
from gateway.config import Limits
from gateway.errors import ErrorCode, Refusal
from gateway.receive import receive
from gateway.verify import verify
from tests import world
from tests.world import DIRECTORY, INVESTIGATOR, NOW

MOMENT = timedelta(microseconds=1)
LIMITS = Limits(max_skew_seconds=300, max_age_days=30, max_payload_bytes=1024)
REQUEST = world.freeze_request(expires_at=NOW + timedelta(days=60))


def copy_of(envelope: pb.SignedEnvelope) -> pb.SignedEnvelope:
    copy = pb.SignedEnvelope()
    copy.CopyFrom(envelope)
    return copy


@pytest.mark.parametrize(
    ("now", "code"),
    [
        pytest.param(NOW, None, id="at once"),
        pytest.param(NOW - timedelta(seconds=300), None, id="ahead by all the skew"),
        pytest.param(NOW - timedelta(seconds=300) - MOMENT, ErrorCode.STALE, id="from the future"),
        pytest.param(NOW + timedelta(days=30), None, id="as old as it may be"),
        pytest.param(NOW + timedelta(days=30) + MOMENT, ErrorCode.STALE, id="too old"),
    ],
)
def test_envelope_must_be_fresh(now: datetime, code: ErrorCode | None) -> None:
    permit = world.permit(REQUEST, "ee")
    if code is None:
        assert verify(permit, DIRECTORY, LIMITS, now).fingerprint == REQUEST.fingerprint
        return
    with pytest.raises(Refusal) as caught:
        verify(permit, DIRECTORY, LIMITS, now)
    assert (caught.value.code, caught.value.field) == (code, "created_at_us")


@pytest.mark.parametrize(("before", "expired"), [(MOMENT, False), (timedelta(), True), (-MOMENT, True)])
def test_expired_envelope_is_refused_as_expired(before: timedelta, expired: bool) -> None:
    permit = world.permit(world.freeze_request(expires_at=NOW + before), "ee")
    if not expired:
        verify(permit, DIRECTORY, LIMITS, NOW)
        return
    with pytest.raises(Refusal) as caught:
        verify(permit, DIRECTORY, LIMITS, NOW)
    assert caught.value.code is ErrorCode.EXPIRED


@pytest.mark.parametrize("signer", [INVESTIGATOR, world.CENTRAL])
def test_key_that_was_revoked_signs_nothing_more_whatever_date_the_sender_gives_it(signer: str) -> None:
    """A stolen key that countersigns is no better than one that signs: of the two, the sender sets the date."""
    revoked = NOW + timedelta(hours=1)
    entries = tuple(
        entry.model_copy(update={"signing_keys": (world.signing_entry(signer, not_trusted_after=revoked),)})
        if str(entry.address) == signer
        else entry
        for entry in DIRECTORY.participants
    )
    directory = world.make_directory(participants=entries)
    permit = world.permit(REQUEST, "ee", directory)
    verify(permit, directory, LIMITS, revoked - MOMENT)
    with pytest.raises(Refusal) as caught:
        verify(permit, directory, LIMITS, revoked)
    assert caught.value.code is ErrorCode.KEY_REVOKED
    # What was handed in before that may still be under way to another node.
    verify(world.permit(REQUEST, "de", directory), directory, LIMITS, revoked)


def test_what_was_permitted_is_what_is_verified() -> None:
    permit = world.permit(REQUEST, "de")
    proven = verify(permit, DIRECTORY, LIMITS, NOW)
    assert proven.header is permit.claimed.header
    assert proven.envelope is permit.claimed.envelope
    assert (proven.rules, proven.peer) == (permit.rules, permit.peer)


def test_forged_signature_is_refused_by_the_stage() -> None:
    forged = copy_of(REQUEST.envelope)
    forged.signatures[0].signature = bytes(64)
    permit = authorise(world.peer(INVESTIGATOR), receive(forged, LIMITS), DIRECTORY, "ee")
    with pytest.raises(Refusal) as caught:
        verify(permit, DIRECTORY, LIMITS, NOW)
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_payload_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    overhead = len(world.freeze_request(body=b"x" * 200).envelope.sealed_payload) - 200
    fits = world.freeze_request(body=b"x" * (1024 - overhead)).envelope
    over = world.freeze_request(body=b"x" * (1025 - overhead)).envelope
    assert len(fits.sealed_payload) == 1024
    receive(copy_of(fits), LIMITS)
    with pytest.raises(Refusal) as caught:
        receive(copy_of(over), LIMITS)
    assert (caught.value.code, caught.value.field) == (ErrorCode.TOO_LARGE, "sealed_payload")


@pytest.mark.parametrize(
    ("field", "value"),
    [("header", b""), ("sealed_payload", bytes(39)), ("header", REQUEST.envelope.header + b"\xf0\x07\x01")],
)
def test_envelope_that_breaks_its_contract_is_malformed(field: str, value: bytes) -> None:
    broken = copy_of(REQUEST.envelope)
    setattr(broken, field, value)
    with pytest.raises(Refusal) as caught:
        receive(broken, LIMITS)
    assert caught.value.code is ErrorCode.MALFORMED


def test_unknown_fields_around_the_header_are_dropped_before_anything_is_recorded() -> None:
    marked = pb.SignedEnvelope.FromString(REQUEST.envelope.SerializeToString() + b"\xf0\x07\x01")
    claimed = receive(marked, LIMITS)
    assert claimed.envelope.SerializeToString() == REQUEST.envelope.SerializeToString()
    assert claimed.fingerprint == REQUEST.fingerprint
