"""What the commands of a participant share: its settings, what lies in its home, what a header says.

In: a settings file, the beginning of an id. Out: a participant, its envelopes, facts of headers as JSON shows them.
Refuses with NOT_FOUND what is not there, or is there more than once, and with BAD_INPUT what is no beginning of an id.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import click
from google.protobuf.descriptor import EnumDescriptor
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.intake import Received
from clients.maildir import Folder
from clients.participant import Participant
from gateway import material
from gateway.cli import passphrases
from gateway.cli.ranges import Span
from gateway.clock import from_micros
from gateway.errors import ErrorCode, Refusal

WITHIN_SECONDS: Final = 30.0
MAX_WITHIN_SECONDS: Final = 3600.0

# The first 8 digits of a UUIDv7 change once in 65 seconds; whoever sends more often gives more of them.
_BEGINNING: Final = re.compile(r"[0-9a-f-]{8,36}")

config_option = click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The participant's settings.",
)
within_option = click.option(
    "--within",
    type=Span(0, MAX_WITHIN_SECONDS, min_open=True),
    default=WITHIN_SECONDS,
    show_default=True,
    help="Seconds to try for, while the node does not answer.",
)


class Home:
    """A participant and what lies in its home.

    Args:
        path: its settings.

    Raises:
        GatewayError: as `material.load_participant` and `Participant.of`.
    """

    def __init__(self, path: Path) -> None:
        ask = cache(passphrases.ask)  # a person is asked once; new keys of ours may want it again
        self.loaded = material.load_participant(path, ask=ask)
        self.participant = Participant.of(self.loaded, ask)

    def collected(self, beginning: str, field: str = "id") -> Received:
        """Return the collected envelope whose id begins so, dealt with or not.

        Raises:
            Refusal: NOT_FOUND or BAD_INPUT; CANNOT_OPEN, we no longer have the key.
        """
        maildir = self.participant.maildir
        names = [*maildir.names(Folder.NEW), *maildir.names(Folder.DONE)]
        return self.participant.find(_only(names, beginning, field, "was collected here")[0])

    def waiting(self, beginning: str) -> tuple[ids.EnvelopeRef, bytes]:
        """Return name and fingerprint of the collected envelope whose id begins so, not dealt with yet."""
        return _only(self.participant.maildir.names(Folder.NEW), beginning, "id", "waits here")

    def sent(self, beginning: str) -> pb.SignedEnvelope:
        """Return the envelope, handed in from here, whose id begins so.

        Raises:
            Refusal: NOT_FOUND or BAD_INPUT.
        """
        names = [(ref, b"") for ref in self.participant.maildir.names_of_sent()]
        return self.participant.sent(_only(names, beginning, "id", "was handed in from here")[0])


def word(enum: EnumDescriptor, value: int) -> str:
    """Return the word for a value of an enum, e.g. `freeze-request`; empty for UNSPECIFIED."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return enum.values_by_number[value].name.removeprefix(prefix).lower().replace("_", "-") if value else ""


def words(enum: EnumDescriptor) -> dict[str, int]:
    """Return the values of an enum by their words."""
    return {word(enum, value): value for value in enum.values_by_number if value}


def kind_of(header: pb.Header) -> str:
    """Return the word for an envelope's kind."""
    return word(ids.Kind.DESCRIPTOR, header.kind)


def facts(header: pb.Header) -> dict[str, object]:
    """Return what a header says, without its keys and digests."""
    return {
        "id": header.id,
        "kind": kind_of(header),
        "sender": header.sender,
        "recipients": [*header.recipients],
        "case_id": header.case_id,
        "cites": [{"sender": ref.sender, "id": ref.id} for ref in header.cites],
        "instrument": header.instrument,
        "outcome": word(ids.Outcome.DESCRIPTOR, header.outcome),
        "ground": word(ids.Ground.DESCRIPTOR, header.ground),
        "measures": [word(ids.Measure.DESCRIPTOR, each) for each in header.measures],
        "data_classes": [word(ids.DataClass.DESCRIPTOR, each) for each in header.data_classes],
        "urgency": word(ids.Urgency.DESCRIPTOR, header.urgency),
        "made_at": time_of(header.created_at_us),
        "expires_at": time_of(header.expires_at_us) if header.HasField("expires_at_us") else None,
    }


def statement_facts(said: pb.Statement) -> dict[str, object]:
    """Return what a proven statement says."""
    return {
        "envelope": said.envelope.id,
        "milestone": word(pb.Milestone.DESCRIPTOR, said.milestone),
        "issuer": said.issuer,
        "recipient": said.recipient,
        "at": time_of(said.at_us),
        "code": ErrorCode(said.code).name if said.code else "",
        "detail": said.detail,
        "outcome": word(ids.Outcome.DESCRIPTOR, said.outcome),
    }


def time_of(micros: int) -> str:
    """Return a moment as text, in UTC."""
    moment: datetime = from_micros(micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _only(
    names: Sequence[tuple[ids.EnvelopeRef, bytes]], beginning: str, field: str, what: str
) -> tuple[ids.EnvelopeRef, bytes]:
    if not _BEGINNING.fullmatch(beginning):
        raise Refusal(ErrorCode.BAD_INPUT, "an envelope id is wanted, or its first 8 characters or more", field)
    # An envelope that moves from new to done meanwhile may be there twice.
    found = {(ref.sender, ref.id): (ref, print_) for ref, print_ in names if ref.id.startswith(beginning)}
    if len(found) > 1:
        raise Refusal(ErrorCode.NOT_FOUND, f"{len(found)} ids begin so; give more of it", field)
    if not found:
        raise Refusal(ErrorCode.NOT_FOUND, f"no envelope whose id begins so {what}", field)
    return next(iter(found.values()))
