"""What a process loads from disk before it starts: its settings, the directory, its keys, its certificate, its policy.

In: a configuration, or its file, and the time. Out: material that fits together, with warnings. `serve`,
`check-config` and the clients' libraries all start here, so what one accepts the others accept. Refuses with
BAD_CONFIG and the setting to look at, BAD_DIRECTORY, KEY_FILE for a key file that cannot be used, and REVOKED.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway import config as configuration
from gateway import hsm, keys, mirror, passphrase, target_keys
from gateway.certificate import NODE_PURPOSES, PARTICIPANT_PURPOSES, Certificate, read_cas
from gateway.clock import Clock, system_clock
from gateway.config import DirectorySource, NodeConfig, ParticipantConfig, WitnessConfig
from gateway.directory import MAX_PORT, Directory, KeyEntry, NodeEntry, Status, may_move
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.identity import (
    Address,
    Role,
    host_name,
)
from gateway.policy import Policy
from gateway.signature import key_id
from gateway.signer import KeySigner, Signer
from gateway.target_keys import TargetKey
from gateway.transport import TlsIdentity
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.fetch import GRPCS

WARN_BEFORE: Final = timedelta(days=7)
"""What ends sooner is warned of. Development certificates last 30 days."""

Ask: TypeAlias = Callable[[], Passphrase]
"""Asks a person for the passphrase, where the settings name no file that holds it."""

Find: TypeAlias = Callable[[DirectorySource, datetime], Trusted]
"""Finds the directory."""


@dataclass(frozen=True, slots=True)
class NodeMaterial:
    """All that one gateway process of a node starts with. Made by `check_node` alone.

    Args:
        config: its settings.
        path: the file with the settings; None if they came from nowhere.
        address: the node itself.
        directory: who exists.
        entry: the node's own entry there.
        holdings: what it holds itself; all of its keys.
        trusted: how the directory was come by.
        signing_key: signs receipts: of the keys held, the newest that `entry` says is valid.
        identity: certificate and key for TLS.
        expires: when the certificate ends.
        directory_expires: when the directory does, unless a newer one comes.
        warnings: sentences for the operator.
    """

    config: NodeConfig
    path: Path | None
    address: Address
    directory: Directory
    entry: NodeEntry
    holdings: "Holdings" = field(repr=False)
    trusted: Trusted = field(repr=False)
    signing_key: Signer = field(repr=False)
    identity: TlsIdentity
    expires: datetime
    directory_expires: datetime
    warnings: tuple[str, ...]

    @property
    def policy(self) -> Policy:
        """The stricter law of its country."""
        return self.holdings.policy


@dataclass(frozen=True, slots=True)
class ParticipantMaterial:
    """All that a participant's system starts with. Made by `check_participant` alone.

    Args:
        config: its settings.
        path: the file with the settings; None if they came from nowhere.
        address: the participant.
        roles: what the directory says it is.
        directory: who exists.
        node: the entry of its node: where to connect, and which CA to trust.
        signing_keys: all that it holds; the newest that the directory lists as valid signs. None for operators and
            auditors.
        sealing_keys: those in use and those of the past, which still open old envelopes.
        target_keys: of an authority, what its requests are compared by.
        identity: certificate and key for TLS.
        expires: when the certificate ends.
        directory_expires: when the directory does, unless a newer one comes.
        warnings: sentences for the operator.
    """

    config: ParticipantConfig
    path: Path | None
    address: Address
    roles: frozenset[Role]
    directory: Directory
    node: NodeEntry
    signing_keys: tuple[SigningKey, ...] = field(repr=False)
    sealing_keys: tuple[PrivateKey, ...] = field(repr=False)
    target_keys: tuple[TargetKey, ...] = field(repr=False)
    identity: TlsIdentity
    expires: datetime
    directory_expires: datetime
    warnings: tuple[str, ...]


def load_node(path: Path, clock: Clock = system_clock, *, ended_too: bool = False) -> NodeMaterial:
    """Read a node's configuration file and all that it names; refuses as `config.load` and `check_node` do."""
    return check_node(configuration.load(NodeConfig, path), clock, path, ended_too=ended_too)


def load_participant(
    path: Path, clock: Clock = system_clock, ask: Ask | None = None, find: Find = client.load
) -> ParticipantMaterial:
    """Read a participant's configuration file and all that it names; refuses as `check_participant` does."""
    return check_participant(configuration.load(ParticipantConfig, path), clock, ask, find, path)


def check_node(
    config: NodeConfig, clock: Clock = system_clock, path: Path | None = None, *, ended_too: bool = False
) -> NodeMaterial:
    """Load and check all that a gateway process needs before it opens its store and its doors.

    Args:
        config: its settings.
        clock: time.
        path: the file with the settings.
        ended_too: let a certificate pass that has ended, to be replaced.

    Raises:
        Refusal: BAD_CONFIG, with the setting that does not fit; BAD_DIRECTORY; KEY_FILE, with the path; REVOKED.
        Failure: UNAVAILABLE, no directory can be had.
    """
    if not 0 < int(config.listen.rpartition(":")[2]) <= MAX_PORT:
        raise _bad("listen", f"a port is 1 to {MAX_PORT}")
    if isinstance(config.store, Path) and config.store.is_dir():
        raise _bad("store", f"{config.store} is a folder, not a file")
    now = clock()
    trusted = client.load(config.directory, now)
    return fit_node(config, hold(config), trusted, now, path, ended_too=ended_too)


def hold(config: NodeConfig) -> "Holdings":
    """Load what a node holds itself, whatever the directory says of it; refuses as `check_node` does."""
    policy = _policy(config)
    phrase = passphrase_of(config, None)
    signers: list[Signer] = [KeySigner(keys.load_signing_key(path, phrase)) for path in config.signing_keys]
    if config.hsm is not None:
        pin = passphrase.read(config.hsm.pin_file, hsm.LEAST_PIN_CHARACTERS)
        signers.append(hsm.TokenSigner(hsm.Place(config.hsm.module, config.hsm.token, config.hsm.key), pin))
    if not signers:
        raise _bad("signing_keys", "a key file is wanted, or an hsm")
    certificate = Certificate.load(config.certificate)
    return Holdings(tuple(signers), certificate, certificate.with_key(config.tls_key, phrase), policy)


def fit_node(
    config: NodeConfig,
    holdings: "Holdings",
    trusted: Trusted,
    now: datetime,
    path: Path | None = None,
    published: Directory | None = None,
    *,
    ended_too: bool = False,
) -> NodeMaterial:
    """Check that what a node holds and what the directory says fit together; refuses as `check_node` does.

    Args:
        config: its settings.
        holdings: what it holds.
        trusted: the directory, with the node's own newest list.
        now: the time.
        path: of the settings.
        published: the directory as others know it, if that is not the same.
        ended_too: let a certificate pass that has ended.
    """
    address, directory, certificate = Address.of_node(config.node), trusted.directory, holdings.certificate
    for each in directory.nodes:
        read_cas(each)  # all of them: the door trusts the CA of every node
    entry = _node_entry(directory, config.node, "node")
    founders = next(node for node in trusted.federation.nodes if node.code == config.node)
    if config.endpoint and not may_move(founders.endpoint, config.endpoint):
        raise _bad("endpoint", f"{config.endpoint} is every caller's own machine")
    signer = _newest(holdings.signers, directory, published or directory, address, now)
    listed = _listed(entry.signing_keys, signer.public_key, address, "signing_keys")
    moment = min(now, certificate.leaf.not_valid_after_utc) if ended_too else now
    certificate.check(address, directory.federation, entry, NODE_PURPOSES, moment)
    certificate.check_host(host_name(config.node, directory.federation))
    certificate.check_not_revoked(entry.revoked_certificates)
    return NodeMaterial(
        config=config,
        path=path,
        address=address,
        directory=directory,
        entry=entry,
        holdings=holdings,
        trusted=trusted,
        signing_key=signer,
        identity=holdings.identity,
        expires=certificate.leaf.not_valid_after_utc,
        directory_expires=trusted.expires,
        warnings=(
            *(_folder_warnings(config.store.parent, "store") if isinstance(config.store, Path) else ()),
            *_key_warnings(listed, now, "signing key"),
            *_end_warnings(certificate.leaf.not_valid_after_utc, now, "certificate"),
            *_policy_warnings(holdings.policy, directory),
            *trusted.warnings(now),
        ),
    )


def check_participant(
    config: ParticipantConfig,
    clock: Clock = system_clock,
    ask: Ask | None = None,
    find: Find = client.load,
    path: Path | None = None,
) -> ParticipantMaterial:
    """Load and check all that a participant's system needs before it calls its node.

    Args:
        config: its settings.
        clock: time.
        ask: asks for the passphrase of its keys, if they have one and the settings name no file.
        find: finds the directory; who only looks back may use `trust.client.load_for_verification`.
        path: the file with the settings.

    Raises:
        Refusal: BAD_CONFIG, with the setting that does not fit; BAD_DIRECTORY; KEY_FILE, with the path; REVOKED.
        Failure: UNAVAILABLE, no directory can be had.
    """
    now = clock()
    ask = None if ask is None else cache(ask)
    trusted = _find(config, find, ask, now)
    directory = trusted.directory
    node = _node_entry(directory, config.address.node, "address")
    entry = directory.participant(config.address)
    if entry is None:
        raise _bad("address", f"{config.address} is not in the directory")
    if entry.status is Status.REVOKED:
        problem = trusted.list_problems.get(config.address.node)
        detail = f"{config.address} is revoked in the directory" + (
            f": its node's list is {problem}" if problem else ""
        )
        raise Refusal(ErrorCode.REVOKED, detail, "address")
    phrase = passphrase_of(config, ask)
    signing_keys, warnings = _signing_keys(config, entry.signing_keys, phrase, now)
    sealing_keys, more = _sealing_keys(config, entry.sealing_keys, phrase, now)
    ring = tuple(keys.load_target_key(path, phrase) for path in config.target_keys)
    target_keys.check_ring(ring, entry.roles)
    certificate = Certificate.load(config.certificate)
    certificate.check(config.address, directory.federation, node, PARTICIPANT_PURPOSES, now)
    entry.check_certificate(certificate.fingerprint, certificate.leaf.not_valid_before_utc)
    return ParticipantMaterial(
        config=config,
        path=path,
        address=config.address,
        roles=entry.roles,
        directory=directory,
        node=node,
        signing_keys=signing_keys,
        sealing_keys=sealing_keys,
        target_keys=ring,
        identity=certificate.with_key(config.tls_key, phrase),
        expires=certificate.leaf.not_valid_after_utc,
        directory_expires=trusted.expires,
        warnings=(
            *_folder_warnings(config.home, "home"),
            *warnings,
            *more,
            *_ring_warnings(ring, now),
            *_end_warnings(certificate.leaf.not_valid_after_utc, now, "certificate"),
            *trusted.warnings(now),
        ),
    )


def _find(config: ParticipantConfig, find: Find, ask: Ask | None, now: datetime) -> Trusted:
    if not config.directory.repository.startswith(GRPCS):
        return find(config.directory, now)
    identity = Certificate.load(config.certificate).with_key(config.tls_key, passphrase_of(config, ask))
    try:
        return mirror.find(config.directory, identity, now)
    except GatewayError:
        if find is client.load:
            raise
    return find(config.directory, now)  # by the copy alone


def refresh_participant(
    loaded: ParticipantMaterial, clock: Clock = system_clock, ask: Ask | None = None
) -> ParticipantMaterial:
    """Return what a participant that runs would start with now; refuses as `check_participant` does.

    Its settings are read again, and all that they name if that has changed.
    """
    config = loaded.config if loaded.path is None else configuration.load(ParticipantConfig, loaded.path)
    if config != loaded.config or Certificate.load(config.certificate).chain_pem != loaded.identity.chain_pem:
        return check_participant(config, clock, ask, path=loaded.path)
    now = clock()
    trusted = mirror.find(config.directory, loaded.identity, now)
    entry = trusted.directory.participant(config.address)
    if entry is None or entry.status is Status.REVOKED:
        raise Refusal(ErrorCode.REVOKED, f"{config.address} is no longer in the directory, or revoked", "address")
    target_keys.check_ring(loaded.target_keys, entry.roles)
    return replace(
        loaded,
        roles=entry.roles,
        directory=trusted.directory,
        node=_node_entry(trusted.directory, config.address.node, "address"),
        directory_expires=trusted.expires,
        # As a start would warn: a program runs for years, and what it holds ends meanwhile.
        warnings=(
            *_held_warnings([bytes(key.verify_key) for key in loaded.signing_keys], entry.signing_keys, now, "signing"),
            *_held_warnings([bytes(key.public_key) for key in loaded.sealing_keys], entry.sealing_keys, now, "sealing"),
            *_ring_warnings(loaded.target_keys, now),
            *_end_warnings(loaded.expires, now, "certificate"),
            *trusted.warnings(now),
        ),
    )


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a node holds itself, whatever the directory says of it.

    Args:
        signers: of receipts; one of them is in use.
        certificate: its certificate.
        identity: the same and its key, for TLS.
        policy: the stricter law of its country.
    """

    signers: tuple[Signer, ...] = field(repr=False)
    certificate: Certificate
    identity: TlsIdentity
    policy: Policy = field(default_factory=Policy.none)


def _policy(config: NodeConfig) -> Policy:
    if config.policy is None:
        return Policy.none()
    try:
        content = config.policy.read_bytes()
    except OSError as error:
        raise _bad("policy", f"cannot read {config.policy}: {error.strerror}") from error
    policy = Policy.load(content, str(config.policy))
    if policy.country != config.node:
        raise _bad("policy", f"{config.policy} is the law of {policy.country}, not of {config.node}")
    return policy


def _policy_warnings(policy: Policy, directory: Directory) -> tuple[str, ...]:
    """Warn of addresses that are nobody's: misspelt, they restrict somebody else, or nobody."""
    named = {each.address: Role.EXCHANGE for each in policy.exchange}
    named |= {court: Role.COURT for each in policy.exchange for court in each.courts}
    return tuple(
        f"the policy names {address}, and the directory has no such {role.value}"
        for address, role in sorted(named.items())
        if role not in directory.roles(str(address))
    )


def _node_entry(directory: Directory, code: str, where: str) -> NodeEntry:
    try:
        entry = directory.node(code)
    except Refusal as error:
        raise _bad(where, error.detail) from error
    if entry.status is Status.REVOKED:
        raise Refusal(ErrorCode.REVOKED, f"node {code} is revoked in the directory", where)
    return entry


# Keys for envelopes and receipts


def passphrase_of(config: NodeConfig | ParticipantConfig | WitnessConfig, ask: Ask | None) -> Passphrase | None:
    """Return what opens every key file of a process; None if they are plain by its settings."""
    if config.passphrase_file is not None:
        if not config.encrypted_keys:
            raise _bad("encrypted_keys", "false, and yet there is a passphrase_file")
        return passphrase.read(config.passphrase_file)
    if not config.encrypted_keys:
        return None
    if ask is None:
        raise _bad("passphrase_file", "keys are encrypted, unless encrypted_keys = false says that they are not")
    return ask()


def _newest(
    signers: Sequence[Signer], directory: Directory, published: Directory, address: Address, now: datetime
) -> Signer:
    held = {signer.public_key: signer for signer in signers}
    # What nobody else has heard of yet proves nothing to them: it signs only if there is no other left.
    known = [public for public in held if published.newest_key(str(address), [public], now)]
    newest = directory.newest_key(str(address), known, now) or directory.newest_key(str(address), held, now)
    if newest is None:
        raise _unusable(directory, str(address), held, now)
    return held[newest]


def _signing_keys(
    config: ParticipantConfig, entries: Sequence[KeyEntry], phrase: Passphrase | None, now: datetime
) -> tuple[tuple[SigningKey, ...], tuple[str, ...]]:
    """Load them; at least one is usable now, if the directory knows any."""
    held = tuple(keys.load_signing_key(path, phrase) for path in config.signing_keys)
    in_use = [entry for entry in entries if entry.valid_at(now)]
    if not held:
        if in_use:
            raise _bad("signing_keys", f"the directory holds a signing key of {config.address}, the settings none")
        return (), ()
    public = {bytes(key.verify_key) for key in held}
    listed = [entry for entry in entries if entry.public in public]
    if not listed:
        raise _bad("signing_keys", f"the directory holds no such key for {config.address}")
    usable = [entry for entry in listed if entry.valid_at(now)]
    if not usable:
        raise _bad("signing_keys", "by the directory, none of these keys is valid now")
    return held, _held_warnings([*public], entries, now, "signing")


def _sealing_keys(
    config: ParticipantConfig, entries: Sequence[KeyEntry], phrase: Passphrase | None, now: datetime
) -> tuple[tuple[PrivateKey, ...], tuple[str, ...]]:
    held: list[PrivateKey] = []
    listed: list[KeyEntry] = []
    for path in config.sealing_keys:
        key = keys.load_sealing_key(path, phrase)
        held.append(key)
        # Not asked whether it is valid now: a key of the past still opens what was sealed to it. And a new one is named
        # here before it is listed, so that nothing is ever sealed to a key that nobody will find.
        listed += [entry for entry in entries if entry.public == bytes(key.public_key)]
    if held and not listed:
        raise _bad("sealing_keys[0]", f"the directory holds no such key for {config.address}")
    in_use = [entry for entry in entries if entry.valid_at(now)]
    usable = [entry for entry in listed if entry.valid_at(now)]
    if (in_use or held) and not usable:
        raise _bad("sealing_keys", f"none of them is a sealing key of {config.address} that is valid now")
    missing = len({entry.public for entry in in_use} - {entry.public for entry in usable})
    warnings = (f"{missing} valid sealing key(s) of the directory are not among the settings",) if missing else ()
    return tuple(held), (*warnings, *_held_warnings([bytes(key.public_key) for key in held], entries, now, "sealing"))


def _listed(entries: Sequence[KeyEntry], public: bytes, whose: Address, where: str) -> KeyEntry:
    for entry in entries:
        if entry.public == public:
            return entry
    raise _bad(where, f"the directory holds no such key for {whose}")


def _unusable(directory: Directory, address: str, held: Iterable[bytes], now: datetime) -> Refusal:
    for public in held:
        try:
            directory.signing_key(address, key_id(public), now)
        except Refusal as error:
            if error.code is ErrorCode.KEY_REVOKED:
                return _bad("signing_keys", "by the directory, none of these keys is valid now")
    return _bad("signing_keys", f"the directory holds no such key for {address}")


def _held_warnings(held: Sequence[bytes], entries: Sequence[KeyEntry], now: datetime, what: str) -> tuple[str, ...]:
    """Warn if no key that is held is valid, or will be long: one that is listed and begins in a moment counts, too."""
    mine = [entry for entry in entries if entry.public in held]
    if not any(entry.valid_at(now) for entry in mine):
        return (f"by the directory, none of the {what} keys is valid now",) if held else ()
    return _key_warnings(max(mine, key=_ends), now, f"{what} key")


def _ends(entry: KeyEntry) -> datetime:
    return min(entry.not_after, entry.not_trusted_after or entry.not_after)


def _key_warnings(entry: KeyEntry, now: datetime, what: str) -> tuple[str, ...]:
    return _end_warnings(_ends(entry), now, what)


def _end_warnings(end: datetime, now: datetime, what: str) -> tuple[str, ...]:
    return (f"the {what} ends on {end:%Y-%m-%d %H:%M %Z}",) if end - now < WARN_BEFORE else ()


def _ring_warnings(ring: Sequence[TargetKey], now: datetime) -> tuple[str, ...]:
    """Warn while there is still time for the next epoch to overlap with the last."""
    if not ring:
        return ()
    end = max(key.not_after for key in ring)
    if not target_keys.in_force(ring, now):
        return ("no target key is in force: no request is compared with others",)
    if end - now < target_keys.LEAST_OVERLAP + WARN_BEFORE:
        return (f"the last target key ends on {end:%Y-%m-%d %H:%M %Z}; the next has to begin before",)
    return ()


# Folders


def _folder_warnings(path: Path, where: str) -> tuple[str, ...]:
    if not path.is_dir():
        raise _bad(where, f"no folder {path}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise _bad(where, f"the folder {path} cannot be written")
    # Envelopes name parties and cases even where their payloads are sealed.
    return (f"the folder {path} lets others in, mode 0700 is better",) if path.stat().st_mode & 0o077 else ()


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, detail, where)
