"""What the registry keeps: invitations, applications, decisions, certificates, renewals, revocations, the node's list.

In: a connection: the writer's inside a transaction, or a reader's. Out: rows. It decides nothing; the rules are
`gateway.registry`'s. What was signed is kept as the bytes that came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from gateway.errors import ErrorCode, Failure

NEW_LIST: Final = "list"
"""What rings when the node has signed another one of its participants."""

_APPLICATIONS: Final = "SELECT id, address, application, proof, state, received_at_us, certificate FROM applications"
_CERTIFICATES: Final = (
    "SELECT fingerprint, address, key_digest, issued_at_us, not_after_us, certificate FROM certificates"
)
_REVOCATIONS: Final = "SELECT digest, address, revocation, signature, list_version FROM revocations"


# Those that are whole are the newest: found from the end, however many there are below.
_WHOLE: Final = """
    SELECT version, content FROM node_lists WHERE version > coalesce(
      (SELECT version FROM node_lists WHERE same_before IS NOT NULL ORDER BY version DESC LIMIT 1), 0
    ) ORDER BY version LIMIT ?
"""
_CUT: Final = "UPDATE node_lists SET content = ?, same_before = ?, same_after = ? WHERE version = ?"

WHOLE_AT_ONCE: Final = 4
"""Versions that are read to be kept by what changed, up to 4 MiB each."""


class ApplicationState(Enum):
    """How far an application has come."""

    PENDING = "pending"  # the registrars act next
    APPROVED = "approved"  # final (so is REJECTED)
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class StoredInvitation:
    """A one-time code, by its digest, and what it is for."""

    code_digest: bytes
    address: str
    roles: frozenset[str]
    made_by: str
    made_at_us: int
    expires_at_us: int
    # What used it up.
    application_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredApplication:
    """An application as it came, and where it stands."""

    id: bytes
    address: str
    application: bytes
    proof: bytes
    state: ApplicationState
    received_at_us: int
    # Fingerprint of the certificate that it led to.
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A registrar's word as it came."""

    registrar: str
    key_id: bytes
    decision: bytes
    signature: bytes
    received_at_us: int


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate that was issued here."""

    fingerprint: bytes
    address: str
    key_digest: bytes
    issued_at_us: int
    not_after_us: int
    certificate: bytes


@dataclass(frozen=True, slots=True)
class StoredRenewal:
    """A renewal as it came, and what it led to."""

    digest: bytes
    address: str
    renewal: bytes
    proof: bytes
    certificate: bytes | None
    # 0: no key was listed.
    keys_valid_from_us: int


@dataclass(frozen=True, slots=True)
class StoredRevocation:
    """A revocation as it came, and which version of the list says so."""

    digest: bytes
    address: str
    revocation: bytes
    signature: bytes
    list_version: int


@dataclass(frozen=True, slots=True)
class StoredList:
    """A version of the node's own signed list, all of it."""

    version: int
    metadata: bytes
    content: bytes
    made_at_us: int


class RegistryView:
    """What may be asked."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection

    def newest_list(self) -> StoredList | None:
        """Return the node's own list as it was signed here last."""
        row = self._one("SELECT version, metadata, content, made_at_us FROM node_lists ORDER BY version DESC LIMIT 1")
        return None if row is None else StoredList(*row)

    def newest_metadata(self) -> bytes | None:
        """Return the metadata of it alone."""
        row = self._one("SELECT metadata FROM node_lists ORDER BY version DESC LIMIT 1")
        return None if row is None else row[0]

    def invitation(self, code_digest: bytes) -> StoredInvitation | None:
        """Return what a code is for."""
        row = self._one(
            "SELECT code_digest, address, roles, made_by, made_at_us, expires_at_us, application_id FROM invitations"
            " WHERE code_digest = ?",
            code_digest,
        )
        if row is None:
            return None
        digest, address, roles, *rest = row
        return StoredInvitation(digest, address, frozenset(roles.split()), *rest)

    def open_invitations(self, made_by: str, since_us: int, now_us: int) -> int:
        """Count the codes that a registrar has made since then and that can still be used."""
        row = self._one(
            "SELECT count(*) FROM invitations"
            " WHERE application_id IS NULL AND expires_at_us > ? AND made_by = ? AND made_at_us >= ?",
            now_us,
            made_by,
            since_us,
        )
        return int(row[0])

    def application(self, application_id: bytes) -> StoredApplication | None:
        """Return one application."""
        row = self._one(_APPLICATIONS + " WHERE id = ?", application_id)
        return None if row is None else _application(row)

    def applications(self, limit: int, *, pending_only: bool) -> list[StoredApplication]:
        """Return applications, the newest first."""
        which = " WHERE state = 'pending'" if pending_only else ""
        rows = self._sql.execute(_APPLICATIONS + which + " ORDER BY seq DESC LIMIT ?", (limit,))
        return [_application(row) for row in rows]

    def pending_applications(self) -> int:
        """Count the applications that wait."""
        return int(self._one("SELECT count(*) FROM applications WHERE state = 'pending'")[0])

    def was_enrolled(self, address: str) -> bool:
        """Whether an application of that address was ever approved here."""
        row = self._one("SELECT 1 FROM applications WHERE address = ? AND state = 'approved' LIMIT 1", address)
        return row is not None

    def decisions(self, application_id: bytes) -> list[StoredDecision]:
        """Return what registrars said of an application, oldest first."""
        rows = self._sql.execute(
            "SELECT registrar, key_id, decision, signature, received_at_us FROM decisions WHERE application_id = ?"
            " ORDER BY received_at_us, registrar, key_id",
            (application_id,),
        )
        return [StoredDecision(*row) for row in rows]

    def certificate(self, fingerprint: bytes) -> StoredCertificate | None:
        """Return a certificate that was issued here."""
        row = self._one(_CERTIFICATES + " WHERE fingerprint = ?", fingerprint)
        return None if row is None else StoredCertificate(*row)

    def certificates_of(self, address: str, valid_after_us: int) -> list[StoredCertificate]:
        """Return a participant's certificates that end later than that."""
        rows = self._sql.execute(_CERTIFICATES + " WHERE address = ? AND not_after_us > ?", (address, valid_after_us))
        return [StoredCertificate(*row) for row in rows]

    def certified(self, key_digest: bytes) -> list[tuple[str, bytes]]:
        """Return whose certificates bear that public key, and their fingerprints."""
        rows = self._sql.execute("SELECT address, fingerprint FROM certificates WHERE key_digest = ?", (key_digest,))
        return [(row[0], row[1]) for row in rows]

    def renewal(self, digest: bytes) -> StoredRenewal | None:
        """Return a renewal."""
        row = self._one(
            "SELECT digest, address, renewal, proof, certificate, keys_valid_from_us FROM renewals WHERE digest = ?",
            digest,
        )
        return None if row is None else StoredRenewal(*row)

    def revocation(self, digest: bytes) -> StoredRevocation | None:
        """Return a revocation."""
        row = self._one(_REVOCATIONS + " WHERE digest = ?", digest)
        return None if row is None else StoredRevocation(*row)

    def revocations_of(self, address: str, since_us: int) -> list[StoredRevocation]:
        """Return what came since then about what is of one participant."""
        rows = self._sql.execute(_REVOCATIONS + " WHERE address = ? AND received_at_us >= ?", (address, since_us))
        return [StoredRevocation(*row) for row in rows]

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401  pysqlite3 has no types
        return self._sql.execute(sql, values).fetchone()


class RegistryRecord(RegistryView):
    """What may be asked and added, inside one transaction of the writer.

    Args:
        connection: the writer's.
        now_us: the time of the transaction.
    """

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  pysqlite3 has no types
        super().__init__(connection)
        self.now_us = now_us

    def add_list(self, made: StoredList) -> None:
        """Keep a new version of the node's list; of those before, what it and they have changed."""
        self._sql.execute(
            "INSERT INTO node_lists (version, metadata, content, made_at_us) VALUES (?, ?, ?, ?)",
            (made.version, made.metadata, made.content, made.made_at_us),
        )
        # More than one are whole if a program of before has written them.
        whole = self._sql.execute(_WHOLE, (WHOLE_AT_ONCE,)).fetchall()
        for (version, content), (_, following) in pairwise(whole):
            self._change(_CUT, *_cut(bytes(content), bytes(following)), version)

    def add_invitation(self, made: StoredInvitation) -> None:
        """Keep the digest of a code."""
        roles = " ".join(sorted(made.roles))
        self._sql.execute(
            "INSERT INTO invitations (code_digest, address, roles, made_by, made_at_us, expires_at_us)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (made.code_digest, made.address, roles, made.made_by, made.made_at_us, made.expires_at_us),
        )

    def use_invitation(self, code_digest: bytes, application_id: bytes) -> None:
        """Let a code have been used.

        Raises:
            Failure: STORE, it had been; nobody who looked first sees this.
        """
        self._change(
            "UPDATE invitations SET application_id = ? WHERE code_digest = ? AND application_id IS NULL",
            application_id,
            code_digest,
        )

    def add_application(self, application_id: bytes, address: str, application: bytes, proof: bytes) -> None:
        """Keep an application; it waits for registrars."""
        self._sql.execute(
            "INSERT INTO applications (id, address, application, proof, state, received_at_us)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (application_id, address, application, proof, ApplicationState.PENDING.value, self.now_us),
        )

    def add_decision(self, application_id: bytes, made: StoredDecision) -> None:
        """Keep a registrar's word."""
        self._sql.execute(
            "INSERT INTO decisions (application_id, registrar, key_id, decision, signature, received_at_us)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (application_id, made.registrar, made.key_id, made.decision, made.signature, made.received_at_us),
        )

    def settle(self, application_id: bytes, state: ApplicationState, certificate: bytes | None = None) -> None:
        """Let an application that waits be decided."""
        self._change(
            "UPDATE applications SET state = ?, decided_at_us = ?, certificate = ? WHERE id = ? AND state = 'pending'",
            state.value,
            self.now_us,
            certificate,
            application_id,
        )

    def add_certificate(self, made: StoredCertificate) -> None:
        """Keep a certificate."""
        self._sql.execute(
            "INSERT INTO certificates (fingerprint, address, key_digest, issued_at_us, not_after_us, certificate)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (made.fingerprint, made.address, made.key_digest, made.issued_at_us, made.not_after_us, made.certificate),
        )

    def add_renewal(self, made: StoredRenewal) -> None:
        """Keep a renewal."""
        self._sql.execute(
            "INSERT INTO renewals (digest, address, renewal, proof, received_at_us, certificate, keys_valid_from_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                made.digest,
                made.address,
                made.renewal,
                made.proof,
                self.now_us,
                made.certificate,
                made.keys_valid_from_us,
            ),
        )

    def add_revocation(self, made: StoredRevocation) -> None:
        """Keep a revocation."""
        self._sql.execute(
            "INSERT INTO revocations (digest, address, revocation, signature, received_at_us, list_version)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (made.digest, made.address, made.revocation, made.signature, self.now_us, made.list_version),
        )

    def _change(self, sql: str, *values: object) -> None:
        if self._sql.execute(sql, values).rowcount != 1:
            raise Failure(ErrorCode.STORE, "a row of the registry is no longer as it was")


def _cut(content: bytes, following: bytes) -> tuple[bytes, int, int]:
    """Return what of a list the next version does not say, and how many bytes both have before and after that."""
    before = _alike(content, following)
    after = _alike(content[before:][::-1], following[before:][::-1])
    return content[before : len(content) - after], before, after


def _alike(one: bytes, other: bytes) -> int:
    """Return with how many bytes both begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _application(row: Sequence[Any]) -> StoredApplication:
    found, address, application, proof, state, received_at_us, certificate = row
    return StoredApplication(found, address, application, proof, ApplicationState(state), received_at_us, certificate)
