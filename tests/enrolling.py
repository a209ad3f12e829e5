"""A federation whose nodes register participants, with real nodes; and what registrars and applicants do there."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rogatory.v1 import enrolment_pb2 as pb

from clients.enrolment import Applicant, Outcome
from clients.invitation import Invitation
from clients.participant import Participant
from clients.registrar import Registrar
from gateway import material
from gateway.cli import check_config
from gateway.cli.development import init_federation
from gateway.clock import system_clock
from gateway.errors import GatewayError
from gateway.identity import Address, Role
from gateway.trust import development
from tests import stores
from tests.federation import DELIVERY, Federation, ports, running

LEI = "529900T8BM49AURSDO55"
REGISTRARS = ("ee/registrar", "ee/registrar-2")
REFRESH_SECONDS = 0.4
REGISTRY: dict[str, object] = {"notice_seconds": 1.0, "overlap_seconds": 86400.0}


@asynccontextmanager
async def registering(
    folder: Path,
    *,
    start: Iterable[str] = ("ee", "de"),
    registry: dict[str, object] | None = None,
) -> AsyncIterator[Federation]:
    """Run a federation of ee and de; ee publishes for both."""
    summary = init_federation(
        folder,
        ["ee", "de"],
        ports(2),
        system_clock(),
        delivery=DELIVERY,
        enrolment_ports=ports(2),
        registry=REGISTRY | (registry or {}),
        refresh_seconds=REFRESH_SECONDS,
    )
    stores.move(summary, ("ee", "de"))
    async with running(Federation(summary, system_clock, {}, {}), start) as made:
        yield made


@asynccontextmanager
async def entered(fed: Federation, address: str) -> AsyncIterator[Participant]:
    """Enter a participant as its settings say."""
    loaded = await asyncio.to_thread(material.load_participant, fed.summary.config(address), fed.clock)
    async with Participant.of(loaded) as participant:
        yield participant


async def invited(fed: Federation, address: str, *roles: Role, by: str = REGISTRARS[0], **changes: Any) -> Invitation:
    """Have a registrar invite somebody."""
    repository = str(fed.summary.folder / development.REPOSITORY)
    fields = {"root": fed.summary.root.read_text(), "repository": repository, **changes}
    async with entered(fed, by) as participant:
        return await Registrar(participant).invite(Address.parse(address), roles, **fields)


async def decided(
    fed: Federation, application_id: bytes, by: Iterable[str] = REGISTRARS, *, approved: bool = True, reason: str = ""
) -> pb.ApplicationState.ValueType:
    """Have registrars decide; return where the application stands then."""
    state = pb.APPLICATION_STATE_PENDING
    for each in by:
        async with entered(fed, each) as participant:
            registrar = Registrar(participant)
            applied = await registrar.find(application_id.hex())
            state = (await registrar.decide(applied, approved=approved, reason=reason)).state
    return state


async def applied(invitation: Invitation, folder: Path, name: str = "AS LHV Pank", lei: str = LEI) -> Applicant:
    """Apply; the keys stay plain."""
    applicant = Applicant(invitation, folder, None)
    applicant.prepare(name, lei)
    await applicant.apply()
    return applicant


async def enrolled(fed: Federation, address: str, *roles: Role, folder: Path) -> Path:
    """Have somebody enrolled from invitation to settings; return these."""
    applicant = await applied(await invited(fed, address, *roles), folder)
    await decided(fed, (await applicant.outcome()).application_id)
    settings = applicant.finish(await approved(applicant))
    await listed(settings)
    return settings


async def approved(applicant: Applicant) -> Outcome:
    outcome = await applicant.wait(20.0)
    assert outcome.state == pb.APPLICATION_STATE_APPROVED, outcome
    return outcome


async def listed(settings: Path) -> check_config.Finding:
    """Return once settings pass `check-config`: the directory that is published has them then."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                return await asyncio.to_thread(check_config.check, settings)
            except GatewayError:
                await asyncio.sleep(REFRESH_SECONDS)
