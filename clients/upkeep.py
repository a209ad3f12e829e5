"""What a participant that runs keeps up to date: the directory, its own keys and certificate.

In: what it started with, and the settings that this came from. Out: the same as it is now; a renewed certificate before
the present one ends; in the diagnostics, word of what else ends soon. Nothing that does not fit takes the place of what
does: it is told there too, and tried again.

Only a participant whose settings lie in a file gets a new certificate by itself, for the file must name it: the next
start begins there. The key that a renewal makes is under the same passphrase as the others; where a person types that,
and it was not handed over as `ask`, nothing is renewed, and that is told.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import RegistryStub

from clients import renewal
from clients.renewal import Wanted
from gateway import material
from gateway.clock import Clock, system_clock
from gateway.directory import not_known_yet
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.material import Ask, ParticipantMaterial
from gateway.transport import TlsIdentity

LEAST_SECONDS_BETWEEN_LOOKS: Final = 1.0
"""For those that an unknown key causes: whoever sends such keys cannot make us do nothing else."""

Refresh: TypeAlias = Callable[[ParticipantMaterial, Clock, Ask | None], ParticipantMaterial]
"""Returns what would be started with now; called in a thread."""

diagnostics = logging.getLogger("clients.upkeep")


def is_due(identity: TlsIdentity, now: datetime) -> bool:
    """Whether a certificate should be renewed."""
    return tls.is_in_last_third(tls.read_leaf(identity.chain_pem), now)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a participant is kept up to date.

    Args:
        started: what it started with.
        ask: returns the passphrase of its keys, where the settings name no file; it must not ask a person again.
        clock: time.
        refresh: returns what it would start with now.
        watch: told each step of a renewal.
    """

    started: ParticipantMaterial
    ask: Ask | None = None
    clock: Clock = system_clock
    refresh: Refresh = material.refresh_participant
    watch: Callable[[str], None] = renewal.unwatched

    @property
    def seconds(self) -> float:
        """From one look to the next."""
        return self.started.config.directory.refresh_seconds


class Keeper:
    """Keeps one participant's material; any thread may look.

    Args:
        upkeep: how.
        changed: told, by one thread at a time, what is now so.
    """

    def __init__(self, upkeep: Upkeep, changed: Callable[[ParticipantMaterial], None]) -> None:
        self.material = upkeep.started
        self.seconds = upkeep.seconds
        self._upkeep = upkeep
        self._changed = changed
        self._looking = threading.Lock()
        self._looked_at = time.monotonic()
        self._warned = frozenset[str]()

    def look(self) -> None:
        """Look now. When this returns, what was found is in force.

        Raises:
            GatewayError: as `material.check_participant`; what was in force is so still.
        """
        with self._looking:
            self._look()

    def look_for(self, signatures: Iterable[pb.Signature]) -> None:
        """Look now if one of these is by a key that we have not heard of: it may be new today.

        Without this, what came right after a key was listed would be refused for good.

        Raises:
            Failure: UNAVAILABLE, no news can be had now, so nobody can say that there is no such key.
        """
        named, asked = [*signatures], self._upkeep.clock()
        if self._knows(named):
            return
        self._look_once(named)
        if not self._knows(named) and self.material.directory.checked < asked:
            raise not_known_yet()

    def _look_once(self, named: Sequence[pb.Signature]) -> None:
        with self._looking:
            if self._knows(named):
                return  # somebody else has looked meanwhile
            if time.monotonic() - self._looked_at >= min(self.seconds, LEAST_SECONDS_BETWEEN_LOOKS):
                try:
                    self._look()
                except Exception as error:  # noqa: BLE001  what came is judged by what is known then
                    tell(error)

    def _knows(self, signatures: Sequence[pb.Signature]) -> bool:
        directory = self.material.directory
        return all(directory.lists((each.signer, each.key_id)) for each in signatures)

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        self.material = self._upkeep.refresh(self.material, self._upkeep.clock, self._upkeep.ask)
        self._warn()
        self._changed(self.material)

    def _warn(self) -> None:
        """Tell what ends soon, and what else a start would warn of; once for as long as it lasts."""
        warnings = frozenset(self.material.warnings)
        for warning in sorted(warnings - self._warned):
            diagnostics.warning("upkeep.warning", extra={"detail": warning})
        self._warned = warnings

    @property
    def is_renewal_due(self) -> bool:
        """Whether the certificate in use should be renewed now, and can be."""
        return self.material.path is not None and is_due(self.material.identity, self._upkeep.clock())

    async def renew(self, stub: RegistryStub) -> None:
        """Get a new certificate, unless another process of ours has just done so; a `look` finds it in the settings.

        Raises:
            GatewayError: as `renewal.renew`.
        """
        path, upkeep = self.material.path, self._upkeep
        if path is None:
            raise Refusal(ErrorCode.BAD_CONFIG, "the settings lie in no file that could name a new certificate")
        await renewal.renew(
            stub,
            partial(material.load_participant, path, upkeep.clock, upkeep.ask),
            Wanted(tls=True),
            material.passphrase_of(self.material.config, upkeep.ask),
            clock=upkeep.clock,
            watch=upkeep.watch,
            still=lambda now: is_due(now.identity, upkeep.clock()),
            path=path,
        )
        diagnostics.info("certificate.renewed")


def tell(error: Exception) -> None:
    """Write down why something could not be brought up to date. Texts of our own errors alone: they hold no secret."""
    if isinstance(error, GatewayError):
        diagnostics.warning("upkeep.failed", extra={"code": error.code.name, "detail": error.detail})
    else:
        diagnostics.warning("upkeep.failed", extra={"code": ErrorCode.INTERNAL.name, "detail": type(error).__name__})
