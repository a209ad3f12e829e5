"""Folders that processes start from: settings, keys, certificate, and a place for their data.

In: who it is, what was made for it. Out: a folder that `serve`, `check-config` and the clients take. All paths in the
settings are relative, so that a folder may be moved; but for that of a passphrase file, which lies somewhere else on
purpose. Refuses with KEY_FILE to overwrite a key.
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from certs.pki import CERTIFICATE_SUFFIX, KEY_SUFFIX, DevelopmentPki, Holder
from gateway import keys, locked, passphrase, private_files, settings_file
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address, Role
from gateway.locked import Cost
from gateway.target_keys import TargetKey
from gateway.trust import development

COST: Final = locked.DEFAULT
TARGET_KEY: Final = "target.key"
NODE_SETTINGS: Final = "node.toml"
PARTICIPANT_SETTINGS: Final = "participant.toml"


@dataclass(frozen=True, slots=True)
class Member:
    """A node or participant that was made, and where.

    Args:
        address: who.
        role: what.
        config: its configuration file.
        endpoint: where a participant's node, or the node itself, listens.
        enrolment: where a node listens to those who are not in the federation yet; empty if nowhere.
        listen: where a node listens, if not at its endpoint.
    """

    address: Address
    role: Role
    config: Path
    endpoint: str
    enrolment: str = ""
    listen: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """A participant's keys for envelopes; of an authority, the target key too."""

    signing: SigningKey = field(repr=False)
    sealing: PrivateKey = field(repr=False)
    target: TargetKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AtRest:
    """How key files are written.

    Args:
        file: with the passphrase, for the settings; None: they are plain, and the settings say so.
        passphrase: what it holds.
        cost: of opening a file.
        asked: a person is asked for the passphrase; the settings name no file.
    """

    file: Path | None = None
    passphrase: Passphrase | None = field(default=None, repr=False)
    cost: Cost = COST
    asked: bool = False

    @classmethod
    def under(cls, file: Path | None) -> Self:
        """Return how keys are written under the passphrase in a file, or plain.

        Raises:
            Refusal: KEY_FILE, it holds none.
        """
        return cls() if file is None else cls(file, passphrase.read(file), COST)

    def settings(self) -> dict[str, object]:
        """Return what settings say of it."""
        if self.file is None:
            return {"encrypted_keys": False}
        return {} if self.asked else {"passphrase_file": str(self.file.resolve())}

    def save_signing_key(self, path: Path, key: SigningKey) -> None:
        """Write a signing key."""
        keys.save_signing_key(path, key, self.passphrase, self.cost)

    def save_sealing_key(self, path: Path, key: PrivateKey) -> None:
        """Write a sealing key."""
        keys.save_sealing_key(path, key, self.passphrase, self.cost)

    def save_target_key(self, path: Path, key: TargetKey) -> None:
        """Write a target key."""
        keys.save_target_key(path, key, self.passphrase, self.cost)

    def save_holder(self, holder: Holder, folder: Path, name: str) -> None:
        """Write a certificate and its key, as `Holder.write` does."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.save_tls_key(folder / (name + KEY_SUFFIX), holder.key, self.passphrase, self.cost)
        (folder / (name + CERTIFICATE_SUFFIX)).write_bytes(holder.chain_pem)


PLAIN: Final = AtRest()


@dataclass(frozen=True, slots=True)
class Extras:
    """What settings say beside what all have.

    Args:
        directory: more of `[directory]`.
        tables: tables of a node, by title.
    """

    directory: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Give the draft of a new folder. It gets its name once all is in it, on disk; what fails leaves nothing behind.

    Half a node under its name would keep the same command from being given again, and nobody could tell its keys from
    those of a whole one. An empty folder of that name gives way to it, but for the one that the command is given in.

    Raises:
        Refusal: BAD_INPUT, there is such a folder already, with something in it, or it cannot be made.
    """
    place = folder.resolve()
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        if place == Path.cwd() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
            raise Refusal(ErrorCode.BAD_INPUT, f"{folder} is there already, and not empty", "folder")
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        yield draft
        for each in (draft, *draft.rglob("*")):
            private_files.sync_folder(each) if each.is_dir() else private_files.sync_file(each)
        draft.rename(place)
        private_files.sync_folder(place.parent)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot make {folder}: {error.strerror}", "folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_node(
    node: Member, pki: DevelopmentPki, signing_key: SigningKey, extras: Extras, at_rest: AtRest = PLAIN
) -> None:
    """Write a node's folder, which may be there already: settings, keys, certificate."""
    folder = node.config.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "store").mkdir(mode=0o700)
    at_rest.save_holder(pki.leaf(node.address), folder, "tls")
    at_rest.save_signing_key(folder / "signing.key", signing_key)
    node.config.write_text(toml(node_settings(node, extras, at_rest), extras.tables), encoding="utf-8")


def node_settings(node: Member, extras: Extras, at_rest: AtRest) -> dict[str, object]:
    """Return what a node's settings say at their top level."""
    return {
        "node": node.address.node,
        "listen": node.listen or node.endpoint,
        "directory": _directory("..") | dict(extras.directory),
        "store": "store/node.db",
        "signing_keys": ["signing.key"],
        "certificate": "tls.pem",
        "tls_key": "tls.key",
        **at_rest.settings(),
    }


def write_participant(
    participant: Member, pki: DevelopmentPki, owned: Keys | None, extras: Extras, at_rest: AtRest = PLAIN
) -> None:
    """Write a participant's folder: settings, keys, certificate."""
    folder = participant.config.parent
    for each in (folder, folder / "home"):
        each.mkdir(mode=0o700)
    at_rest.save_holder(pki.leaf(participant.address), folder, "tls")
    settings: dict[str, object] = {
        "address": str(participant.address),
        "directory": _directory("../..") | dict(extras.directory),
        "certificate": "tls.pem",
        "tls_key": "tls.key",
        **at_rest.settings(),
        "home": "home",
    }
    if owned is not None:
        at_rest.save_signing_key(folder / "signing.key", owned.signing)
        at_rest.save_sealing_key(folder / "sealing.key", owned.sealing)
        settings |= {"signing_keys": ["signing.key"], "sealing_keys": ["sealing.key"]}
        if owned.target is not None:
            at_rest.save_target_key(folder / TARGET_KEY, owned.target)
            settings |= {"target_keys": [TARGET_KEY]}
    participant.config.write_text(toml(settings, {}), encoding="utf-8")


def _directory(up: str) -> dict[str, object]:
    return {
        "root": f"{up}/{development.ROOT_FILE}",
        "repository": f"{up}/{development.REPOSITORY}",
        "cache": "directory",
    }


def toml(settings: Mapping[str, object], tables: Mapping[str, Mapping[str, object]]) -> str:
    """Return a settings file."""
    lines = ["# Made by `rogatory federation`. Paths start at this file's folder."]
    lines += [f"{name} = {_value(value)}" for name, value in settings.items()]
    for title, table in tables.items():
        lines += ["", f"[{title}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, Mapping):  # an inline table
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    return settings_file.value(value)
