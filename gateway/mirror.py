"""Reads the signed directory from a node over mutual TLS: what another node holds, or one's own.

In: a node and how to reach it, which directory is there already. Out: the files of its copy, if that is newer. Nothing
in them is believed because of who sent them: `trust.client` verifies them as if they came from a folder. Called in
threads. Refuses with MALFORMED an answer that is no directory and with TOO_LARGE one that has no end; what the node
itself refuses is passed on whole. Failure UNAVAILABLE: it does not answer, or not in time.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from typing import Final

import grpc
from cryptography import x509
from rogatory.v1 import directory_pb2 as pb
from tuf.api.exceptions import RepositoryError

from gateway import codec, transport
from gateway.config import DirectorySource
from gateway.directory import FederationList, NodeEntry, ParticipantList
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, Address, parse_spiffe, uri_names
from gateway.transport import ChannelOptions, TlsIdentity
from gateway.trust import client
from gateway.trust.client import Trusted
from gateway.trust.copy import NOTHING, GoodCopy, Held
from gateway.trust.fetch import GRPCS, MemoryFetcher, SilentFetcher
from gateway.trust.roles import FEDERATION_PATH

SECONDS: Final = 10.0
"""For all of it. A directory of a thousand participants takes a tenth of a second."""

MAX_BYTES: Final = 64 << 20
"""Four times the largest list; some 60 000 participants."""

MAX_FILES: Final = 4_096
"""Two for each node, and every root since the first."""

METHOD: Final = "/rogatory.v1.Directory/GetDirectory"

_OPTIONS: Final[ChannelOptions] = (
    ("grpc.max_receive_message_length", (1 << 20) + (1 << 10)),  # a piece and its name
    ("grpc.enable_retries", 0),
)
_PATH: Final = re.compile(r"(metadata|targets)(/[A-Za-z0-9][A-Za-z0-9._-]*){1,2}")
_SPIFFE: Final = re.compile(r"spiffe://[a-z]{2}\.([a-z0-9.-]+)/[^/]+")


def fetch(
    node: NodeEntry, federation: str, identity: TlsIdentity, held: Held, seconds: float = SECONDS
) -> dict[str, bytes] | None:
    """Return a node's copy of the directory, by the names under which a repository serves it.

    Args:
        node: which node, where, and by which CA it is known.
        federation: its domain.
        identity: of the caller.
        held: what the caller has.
        seconds: for all of it.

    Returns:
        None if the node has nothing newer.

    Raises:
        Refusal: what the node refuses; MALFORMED, TOO_LARGE; BAD_CONFIG, there is no CA.
        Failure: UNAVAILABLE, or what the node says.
    """
    credentials = transport.channel_credentials(identity, node.ca_pem)
    with closing(transport.sync_channel(node.endpoint, node.code, federation, credentials, _OPTIONS)) as channel:
        call = channel.unary_stream(
            METHOD,
            request_serializer=pb.GetDirectoryRequest.SerializeToString,
            response_deserializer=pb.GetDirectoryResponse.FromString,
        )
        try:
            request = pb.GetDirectoryRequest(known_version=held.timestamp, known_root=held.root)
            return _gather(call(request, timeout=seconds)) or None
        except grpc.RpcError as error:
            raise transport.error_of(error) from error


def find(source: DirectorySource, identity: TlsIdentity, now: datetime) -> Trusted:
    """Return the newest directory as `trust.client.load` does, also where a node is to be asked for it.

    Args:
        source: where it is to be had. Of a `grpcs://` address, `ca` is what the node's certificate must be issued by,
            or a CA that the last good copy lists for that node; which node it is, and of which federation, the caller's
            own certificate says.
        identity: the caller's certificate and key.
        now: the time.

    Raises:
        Refusal: as `load`; BAD_CONFIG, the certificate names nobody of a federation, or `ca` cannot be read.
        Failure: UNAVAILABLE, the node does not answer and there is no copy.
    """
    if not source.repository.startswith(GRPCS):
        return client.load(source, now)
    copy = GoodCopy.read(source.cache)
    node, federation = _own_node(source, identity)
    node = node.model_copy(update={"ca": node.ca + _listed_ca(node.code, copy)})
    try:
        files = _fetch_from(_places(node, copy), federation, identity, _held(copy))
    except GatewayError as error:
        return client.load_from(SilentFetcher(str(error)), source, now)
    if files is None and copy is not None:
        files = copy.served()  # there is nothing newer: what is here is checked anew, at the time that it is now
    return client.load_from(MemoryFetcher(files or {}), source, now)


def _places(node: NodeEntry, copy: GoodCopy | None) -> Iterator[NodeEntry]:
    """Yield where a node may be: where the settings say, and where its own list said last that it has moved."""
    yield node
    kept = copy.lists.get(node.code) if copy is not None else None
    if kept is not None:
        with suppress(Refusal):  # somebody was at it
            moved = ParticipantList.parse(kept.content, node.code).endpoint
            if moved not in {"", node.endpoint}:
                yield node.model_copy(update={"endpoint": moved})


def _fetch_from(
    places: Iterable[NodeEntry], federation: str, identity: TlsIdentity, held: Held
) -> dict[str, bytes] | None:
    """Return what the first place says that answers; raises what the last one says, as `fetch`."""
    error: Failure = Failure(ErrorCode.UNAVAILABLE, "nowhere to ask")
    for place in places:
        try:
            return fetch(place, federation, identity, held)
        except Failure as failure:
            error = failure
    raise error


def _held(copy: GoodCopy | None) -> Held:
    with suppress(KeyError, RepositoryError):  # somebody was at it: then all of it is asked for
        return copy.held if copy is not None else NOTHING
    return NOTHING


def _listed_ca(code: str, copy: GoodCopy | None) -> str:
    """Return the CA of a node as it was proven last: founders may have replaced the one that the settings name."""
    for name, content in copy.files.items() if copy is not None else ():
        if name.endswith(f".{FEDERATION_PATH}"):
            with suppress(Refusal):  # somebody was at it
                return "".join(
                    f"\n{node.ca}" for node in FederationList.parse(content, name).nodes if node.code == code
                )
    return ""


def _gather(pieces: Iterable[pb.GetDirectoryResponse]) -> dict[str, bytes]:
    files: dict[str, bytearray] = {}
    last, size = "", 0
    for piece in pieces:
        codec.check(piece)
        if piece.path != last:
            if not _PATH.fullmatch(piece.path) or piece.path in files:
                raise Refusal(ErrorCode.MALFORMED, "the node names no file of a directory, or one twice", "path")
            last, files[piece.path] = piece.path, bytearray()
        size += len(piece.piece)
        if size > MAX_BYTES or len(files) > MAX_FILES:
            raise Refusal(ErrorCode.TOO_LARGE, f"above {MAX_BYTES} bytes or {MAX_FILES} files", "piece")
        files[last] += piece.piece
    return {path: bytes(content) for path, content in files.items()}


def _own_node(source: DirectorySource, identity: TlsIdentity) -> tuple[NodeEntry, str]:
    """Return the node that the settings name and its federation, as far as they are known before the directory is."""
    address, federation = _certified(identity)
    try:
        # Nothing less than a CA file would do; the validator of the settings demands one.
        ca = source.ca.read_text() if source.ca is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot read {source.ca}", "directory.ca") from error
    endpoint = source.repository.removeprefix(GRPCS)
    return NodeEntry(code=address.node, endpoint=endpoint, ca=ca or " ", signing_keys=()), federation


def _certified(identity: TlsIdentity) -> tuple[Address, str]:
    """Return whose certificate it is, and of which federation."""
    try:
        (uri,) = uri_names(x509.load_pem_x509_certificates(identity.chain_pem)[0])
        found = _SPIFFE.fullmatch(uri)
        if found is not None:
            return parse_spiffe(uri, found[1]), found[1]
    except (*UNREADABLE_CERTIFICATE, Refusal) as error:
        raise Refusal(ErrorCode.BAD_CONFIG, "the certificate names nobody of a federation", "certificate") from error
    raise Refusal(ErrorCode.BAD_CONFIG, "the certificate names nobody of a federation", "certificate")
