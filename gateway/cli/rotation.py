"""`rogatory keys rotate|certify`: new keys beside the old ones; a new certificate in the place of one that has ended.

In: a settings file. Out: new key files and a certificate, named by the settings; processes that run take them by
themselves. Shows files and times, never a byte of a key. Refuses with BAD_INPUT what somebody does not have.

How a participant's keys are rotated, and what a crash leaves, says `clients.renewal`. A node with `[registry]` lists
its own keys: here a key file is made and then named, and the running node does the rest. Of its certificate, see
`gateway.registry.own_certificate`; of a registrar's that has ended, `gateway.registry.certify`.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding
from nacl.signing import SigningKey
from rogatory.v1.enrolment_pb2_grpc import RegistryStub

from clients import renewal
from clients.participant import Participant
from clients.renewal import Renewed, Wanted
from gateway import config, keys, material, private_files, settings_file
from gateway.certificate import Certificate
from gateway.cli import files, output, passphrases
from gateway.cli.check_config import is_node
from gateway.clock import system_clock
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.registry import own_certificate
from gateway.registry.certify import certify_again
from gateway.registry.keys import load_registry_keys

config_option = click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of a node or participant.",
)
"""Gives a command the option `--config`, as its argument `path`."""


@click.command(epilog="\b\nExample:\n  rogatory keys rotate --config lhv/participant.toml --signing --sealing --tls")
@config_option
@click.option("--signing", is_flag=True, help="A new signing key.")
@click.option("--sealing", is_flag=True, help="A new sealing key, of a participant.")
@click.option("--tls", "certificate", is_flag=True, help="A new TLS key and certificate.")
@output.json_option
def rotate(path: Path, signing: bool, sealing: bool, certificate: bool, as_json: bool) -> None:
    """Make new keys beside the old ones, have the node list them, and name them in the settings.

    The old keys stay: they go on for a while, and then still open what was sealed to them. Processes that run take the
    new ones by themselves.
    """
    wanted = Wanted(signing=signing, sealing=sealing, tls=certificate)
    if not (signing or sealing or certificate):
        raise Refusal(ErrorCode.BAD_INPUT, "say what shall be new: --signing, --sealing, --tls", "signing")
    made = _rotate_node(path, wanted) if is_node(path) else _rotate_participant(path, wanted)
    if as_json:
        output.emit_json(_renewed_object(made))
        return
    files = {"signing key": made.signing, "sealing key": made.sealing, "certificate": made.certificate}
    output.emit_table(("new", "file"), [(name, file) for name, file in files.items() if file is not None])
    if made.keys_valid_from is not None:
        click.echo(
            f"\nThe new keys count from {made.keys_valid_from:%Y-%m-%d %H:%M:%S %Z}; until then, the old ones do."
        )
    if made.expires is not None:
        click.echo(f"\nThe new certificate ends on {made.expires:%Y-%m-%d %H:%M %Z}.")


@click.command(epilog="\b\nExample:\n  rogatory keys certify registrar.pem --config ee-node/node.toml --out new.pem")
@click.argument("ended", metavar="CERTIFICATE", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="New file: the certificate."
)
@output.json_option
def certify(ended: Path, path: Path, out: Path, as_json: bool) -> None:
    """Let a registrar in again whose CERTIFICATE has ended: a new one for his key, by the node's CA.

    For a node where no registrar is left who could take anybody in. Nothing secret leaves his machine or the node's;
    he puts the new file in the place of the old one, and makes a new key with `keys rotate --tls`.
    """
    settings = config.load(NodeConfig, path)
    if settings.registry is None:
        raise Refusal(ErrorCode.BAD_INPUT, "this node has no [registry], so no CA", "registry")
    files.check_new(out)
    # Its own certificate may have ended with the others'.
    held = material.load_node(path, ended_too=True)
    authority = load_registry_keys(settings.registry, held, material.passphrase_of(settings, None)).authority
    lifetime = timedelta(days=settings.registry.certificate_days)
    made = certify_again(Certificate.load(ended).leaf, held, authority, lifetime, system_clock())
    private_files.create(out, made.public_bytes(Encoding.PEM) + authority.pem)
    if as_json:
        output.emit_json({"certificate": str(out), "certificate_ends": made.not_valid_after_utc.isoformat()})
    else:
        click.echo(f"{out}: it ends on {made.not_valid_after_utc:%Y-%m-%d %H:%M %Z}.")


def _rotate_participant(path: Path, wanted: Wanted) -> Renewed:
    ask = cache(passphrases.ask)
    loaded = material.load_participant(path, ask=ask)

    async def work() -> Renewed:
        # Without upkeep: two renewals at a time would be one too many.
        async with Participant(Participant.of(loaded).parts) as participant:
            with participant.channel() as channel:
                return await renewal.renew(
                    RegistryStub(channel),
                    lambda: material.load_participant(path, ask=ask),
                    wanted,
                    material.passphrase_of(loaded.config, ask),
                    path=path,
                )

    return asyncio.run(work())


def _rotate_node(path: Path, wanted: Wanted) -> Renewed:
    settings = config.load(NodeConfig, path)
    if settings.registry is None:
        raise Refusal(ErrorCode.BAD_INPUT, "this node has no [registry]: its keys are the founders' affair", "registry")
    if wanted.sealing:
        raise Refusal(ErrorCode.BAD_INPUT, "a node has no sealing key: nothing is sealed to it", "sealing")
    if wanted.signing and not settings.signing_keys:
        raise Refusal(ErrorCode.BAD_INPUT, "the signing key of this node lies in a token; make a new one there", "hsm")
    phrase = material.passphrase_of(settings, None)
    with settings_file.alone(path):
        # Again: what others have named meanwhile must stay named. A node that was off for long needs a new certificate
        # more than any other.
        loaded = material.load_node(path, ended_too=wanted.tls)
        made = Renewed()
        if wanted.tls:
            authority, now = load_registry_keys(settings.registry, loaded, phrase).authority, system_clock()
            new = own_certificate.renew(path, loaded, settings.registry, authority, phrase, now)
            made = Renewed(certificate=new.file, tls_key=new.key, expires=new.expires)
        return replace(made, signing=_new_node_key(path, loaded.config, phrase)) if wanted.signing else made


def _new_node_key(path: Path, settings: NodeConfig, phrase: Passphrase | None) -> Path:
    file = settings_file.new_file(settings.signing_keys[-1], "signing", ".key", system_clock())
    keys.save_signing_key(file, SigningKey.generate(), phrase)
    names = [settings_file.name_of(path, each) for each in (*settings.signing_keys, file)]
    settings_file.edit(path, lambda _: {"signing_keys": names})
    return file


def _renewed_object(made: Renewed) -> dict[str, object]:
    files = {"signing": made.signing, "sealing": made.sealing, "certificate": made.certificate, "tls_key": made.tls_key}
    times = {"keys_valid_from": made.keys_valid_from, "certificate_ends": made.expires}
    return {
        **{name: None if file is None else str(file) for name, file in files.items()},
        **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
    }
