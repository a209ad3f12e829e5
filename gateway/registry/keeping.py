"""Keeps a node's own entries as it is, and from running out: its list, its keys and place in that, its certificate."""

import asyncio
import logging
from pathlib import Path

from gateway import config as configuration
from gateway import settings_file
from gateway.clock import Clock
from gateway.config import NodeConfig, Registry
from gateway.material import NodeMaterial, passphrase_of
from gateway.registry import own_certificate
from gateway.registry.certify import Authority
from gateway.registry.office import Office
from gateway.upkeep import Upkeep, survived

diagnostics = logging.getLogger("gateway.registry")


async def keep(office: Office, settings: Registry, authority: Authority, upkeep: Upkeep, clock: Clock) -> None:
    """List what this node holds and nobody knows yet, keep list and certificate from ending; again and again."""
    said = ""
    while True:
        held = upkeep.material
        with survived("the endpoint"):
            # Once, and not whenever the list says something else: the old machine of a node that moves must not say
            # the opposite of the new one for as long as both run.
            if held.config.endpoint not in {"", said}:
                await office.move_node(held.config.endpoint)
                said = held.config.endpoint
        with survived("the registry"):
            for signer in held.holdings.signers:
                if all(signer.public_key != key.public for key in held.entry.signing_keys):
                    await office.add_node_key(signer.public_key)
            await office.keep_list()
        with survived("the certificate"):
            if held.path is not None and own_certificate.is_due(held, authority, clock()):
                await asyncio.to_thread(renew_certificate, held.path, held, settings, authority, clock)
                await upkeep.apply()
        await asyncio.sleep(held.config.directory.refresh_seconds)


def renew_certificate(path: Path, held: NodeMaterial, settings: Registry, authority: Authority, clock: Clock) -> None:
    """Have the settings name a new certificate, unless somebody else has just done so; called in a thread."""
    with settings_file.alone(path):
        config = configuration.load(NodeConfig, path)
        if config.certificate == held.config.certificate:
            phrase = passphrase_of(config, None)
            own_certificate.renew(path, held, settings, authority, phrase, clock())
            diagnostics.info("certificate.renewed")
