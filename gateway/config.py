"""Configuration: one TOML file a process, every field checked before anything starts.

In: a file. Out: frozen settings whose every path is absolute, taken from the file's own folder. Secrets are paths to
key files, never values. Refuses unknown fields, so that a misspelt limit cannot silently be no limit.
"""

import re
import tomllib
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import ValidationError as PydanticError

from gateway.directory import MAX_PORT, EndpointField, KeyNameField
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.note import Algorithm, Verifier
from gateway.rules import KINDS

# Header, signatures and slots of one envelope, at their largest.
ENVELOPE_ALLOWANCE: Final = 128 << 10

# Envelopes and receipts of one frame between nodes, 64 of each.
MAX_RELAYED_ITEMS: Final = 128


DATABASES: Final = ("postgresql://", "postgres://")
"""How the address of a database begins."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_of_its_type(cls, value: object, info: ValidationInfo) -> object:
        """Take what TOML calls a number or a boolean for nothing else: `approvals = true` is not one approval."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        wanted = {annotation, *get_args(annotation)}
        if bool in wanted and not isinstance(value, bool):
            raise ValueError("true or false is wanted, without quotes")
        if wanted & {int, float} and isinstance(value, bool | str):
            raise ValueError("a number is wanted, without quotes")
        if any("\0" in each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)):
            raise ValueError("a NUL is in no name")
        return value


def _place(listen: str) -> str:
    """Return where to listen, if that can be anywhere; gRPC would take port 99999 for 34463 and say nothing."""
    host, _, port = listen.rpartition(":")
    if int(port) > MAX_PORT:
        raise ValueError(f"a port is {MAX_PORT} at most")
    if not host.startswith("["):
        host.encode("idna")
    return listen


Listen: TypeAlias = Annotated[str, Field(pattern=r"^.+:[0-9]{1,5}$"), AfterValidator(_place)]
"""HOST:PORT."""


class Limits(_Settings):
    """What a node takes at most. Each refusal names the limit and its value."""

    # Of one envelope, sealed.
    max_payload_bytes: int = Field(default=1 << 20, ge=1 << 10, le=1 << 24)
    # Of one frame, whoever sends it.
    max_frame_bytes: int = Field(default=4 << 20, ge=1 << 17, le=1 << 26)
    # Frames of one stream that may be in work at once; more wait in the caller's send buffer.
    frames_in_flight: int = Field(default=4, ge=1, le=64)
    # Calls, streams and others, that one peer may have open; `[quota]` can name another number for some.
    max_streams_per_peer: int = Field(default=16, ge=1, le=1024)
    # Jobs waiting for the writer; beyond it the node answers OVERLOADED.
    max_waiting_jobs: int = Field(default=1024, ge=16, le=65536)
    # Processes that check signatures beside this one, started when there is work for them. One checks more than this
    # one passes on; 0: threads check, and everything takes longer.
    checkers: int = Field(default=1, ge=0, le=64)
    # A sender's clock may be ahead of ours by this much. Five minutes is Kerberos' customary tolerance (RFC 4120 8.2).
    max_skew_seconds: int = Field(default=300, ge=0, le=86400)
    # A request may wait days for its countersignature, and hours for a node that is down.
    max_age_days: int = Field(default=30, ge=1, le=3650)
    # Of one file that goes with an envelope, as ciphertext. `[attachments]` has the rest.
    max_attachment_bytes: int = Field(default=64 << 30, ge=1 << 10, le=1 << 45)
    # Files that go with one envelope.
    max_attachments: int = Field(default=64, ge=0, le=256)

    @model_validator(mode="after")
    def _a_frame_holds_an_envelope(self) -> Self:
        if self.max_frame_bytes < self.max_payload_bytes + ENVELOPE_ALLOWANCE:
            raise ValueError(f"max_frame_bytes must be max_payload_bytes + {ENVELOPE_ALLOWANCE} or more")
        return self


class Allowance(_Settings):
    """What one participant may ask of a node. What is over a rate waits, or is told when to come again."""

    # Envelopes handed in. A frame or a collect request without any counts as one: it makes the store work all the same.
    # One core verifies some 20 000 a second.
    envelopes_per_second: int = Field(default=2_000, ge=1, le=1_000_000)
    # As many may come at once after a pause. A full frame must always fit.
    burst_envelopes: int = Field(default=10_000, ge=64, le=10_000_000)
    # Of envelopes handed in, and of files that come or go with them.
    bytes_per_second: int = Field(default=32 << 20, ge=1 << 10, le=1 << 34)
    # One envelope larger than this is refused for ever: OVER_QUOTA. The frames that our clients cut must always fit.
    burst_bytes: int = Field(default=64 << 20, ge=1 << 18, le=1 << 34)
    # Questions to the trace.
    queries_per_second: int = Field(default=20, ge=1, le=1_000_000)
    # As many may be asked at once after a pause.
    burst_queries: int = Field(default=200, ge=1, le=1_000_000)
    # Envelopes between verification and commit; the next ones wait, and others are served meanwhile. Four full frames.
    envelopes_at_once: int = Field(default=256, ge=64, le=1 << 16)
    # Calls open at once; absent: `limits.max_streams_per_peer`.
    max_streams: int | None = Field(default=None, ge=1, le=1024)


class NodeAllowance(Allowance):
    """What one other node may ask: it carries all that its country sends here."""

    envelopes_per_second: int = Field(default=10_000, ge=1, le=1_000_000)
    burst_envelopes: int = Field(default=50_000, ge=128, le=10_000_000)
    bytes_per_second: int = Field(default=128 << 20, ge=1 << 10, le=1 << 34)
    burst_bytes: int = Field(default=256 << 20, ge=1 << 18, le=1 << 34)
    # A case is asked for one envelope after another.
    queries_per_second: int = Field(default=200, ge=1, le=1_000_000)
    burst_queries: int = Field(default=2_000, ge=1, le=1_000_000)
    envelopes_at_once: int = Field(default=512, ge=128, le=1 << 16)


def _store(value: object) -> object:
    """Return a store's place: the address of a database as a string, a file as a path."""
    if not isinstance(value, str | Path):
        raise ValueError("a file or the address of a database is wanted")  # noqa: TRY004  pydantic's way
    return value if isinstance(value, str) and value.startswith(DATABASES) else Path(value)


def _caller(value: object) -> object:
    try:
        return Address.parse(value, allow_node=True) if isinstance(value, str) else value
    except Refusal as error:
        raise ValueError(error.detail) from error


class Quota(_Settings):
    """Who may ask how much: `[quota.participant]`, `[quota.node]`, `[quota.overrides."ee/exchange-lhv"]`."""

    participant: Allowance = Allowance()
    node: NodeAllowance = NodeAllowance()
    # By address; what one does not name is as for all others of its kind.
    overrides: dict[Annotated[Address, BeforeValidator(_caller)], Allowance] = {}
    # Of everybody together, see `Allowance.envelopes_at_once`: the credit window of the design.
    envelopes_at_once_of_all: int = Field(default=1_024, ge=128, le=1 << 20)

    def of(self, peer: Address) -> Allowance:
        """Return what a peer may ask."""
        usual = self.node if peer.is_node else self.participant
        own = self.overrides.get(peer)
        return usual if own is None else usual.model_copy(update=own.model_dump(exclude_unset=True))


class Delivery(_Settings):
    """How a node passes things on."""

    # What was taken out to be carried or collected is given to nobody else for so long.
    lease_seconds: float = Field(default=30.0, ge=0.2, le=3600)
    # After an attempt that failed; the pauses double, and half of each is left to chance.
    backoff_first_seconds: float = Field(default=0.5, ge=0.01, le=60)
    # The longest pause.
    backoff_max_seconds: float = Field(default=60.0, ge=0.05, le=3600)
    # So long another node may leave all that is in flight unanswered; then it counts as lost.
    attempt_timeout_seconds: float = Field(default=10.0, ge=0.1, le=600)
    # Frames that may be under way to one other node at once.
    frames_in_flight: int = Field(default=4, ge=1, le=64)
    # How often it looks for what has expired, and whose lease has run out.
    sweep_seconds: float = Field(default=1.0, ge=0.05, le=60)


class S3(_Settings):
    """A bucket for attachments, for nodes of several machines: `[attachments.s3]`."""

    # "s3://BUCKET" or "s3://BUCKET/PREFIX".
    url: str = Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-]+)*$")
    # Of the service, e.g. "https://s3.example.org". Over plain HTTP only where it never leaves the machine.
    endpoint: str = Field(pattern=r"^(https://[^/\s]+|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?)$")
    # As the service names it.
    region: str = "us-east-1"
    # Who asks.
    access_key_id: str = Field(min_length=1)
    # The first line is the key.
    secret_key_file: Path


class Attachments(_Settings):
    """What a node keeps of files that go with envelopes, and for how long. It holds ciphertext alone."""

    # Where they lie: a folder, by default beside the store; or a bucket.
    folder: Path | None = None
    s3: S3 | None = None
    # What has been begun counts as if it were whole. One participant, or one other node with all that it brings.
    max_bytes_of_one: int = Field(default=256 << 30, ge=1 << 10, le=1 << 50)
    # Files of one participant, or of one other node.
    max_count_of_one: int = Field(default=10_000, ge=1, le=1_000_000)
    # Files of one that are begun and not whole.
    max_unfinished_of_one: int = Field(default=64, ge=1, le=10_000)
    # Of everybody together.
    max_bytes_in_all: int = Field(default=2 << 40, ge=1 << 10, le=1 << 60)
    # Files that come or go at once; each takes some 8 MiB of memory.
    transfers_of_one: int = Field(default=4, ge=1, le=256)
    # The same, of everybody together.
    transfers_in_all: int = Field(default=32, ge=1, le=1024)
    # A transfer ends if nothing comes, or is taken, for so long; it can go on later from where it was.
    idle_seconds: float = Field(default=30.0, ge=0.1, le=3600)
    # What no envelope names, or only such as ended long ago, goes after this time without a touch.
    unnamed_hours: float = Field(default=72.0, ge=0.01, le=24 * 366)
    # So long after the last copy of an envelope has ended, its recipient can still fetch its attachments.
    keep_days: float = Field(default=90.0, ge=0, le=3660)
    # How often it looks for what may go.
    collect_seconds: float = Field(default=60.0, ge=0.05, le=86400)

    @model_validator(mode="after")
    def _in_one_place(self) -> Self:
        if self.folder is not None and self.s3 is not None:
            raise ValueError("attachments lie in a folder or in a bucket, not in both")
        return self


def _kind(value: object) -> object:
    if isinstance(value, str) and value not in KINDS:
        raise ValueError(f"no kind {value!r}; `rogatory procedure` shows them")
    return KINDS[value] if isinstance(value, str) else value


class PayloadRule(_Settings):
    """When the sealed payload of some envelopes goes: `[[retention.payloads]]`. The first that fits counts."""

    # E.g. "disclosure"; empty: all.
    kinds: frozenset[Annotated[int, BeforeValidator(_kind)]] = frozenset()
    # Empty: all.
    urgencies: frozenset[Literal["ordinary", "urgent", "emergency"]] = frozenset()
    # So long after what: "closed": every copy has ended and no matter of the case, or above it, is open; "opened": its
    # recipient said that it could read it, or not; "ended": every copy was delivered, refused or has expired.
    after: Literal["closed", "opened", "ended"] = "closed"
    # So many days after that.
    days: float = Field(ge=0, le=36500)


class Retention(_Settings):
    """What a node lets go, and when; by default nothing. Headers, signatures, receipts and the log stay for ever."""

    payloads: tuple[PayloadRule, ...] = ()
    # What was handed over on a request whose answers are to be deleted (2023/1543 Art. 4(5), 12(1)) goes so long after
    # that, whatever `payloads` says. Absent: not by itself.
    to_delete_days: float | None = Field(default=None, ge=0, le=36500)
    # Events and deliveries of an envelope go so long after its case has closed, if its payload has gone before.
    history_days: float | None = Field(default=None, ge=0, le=36500)
    # Of what witnesses said of this node's own log so long ago, what they said again of a larger tree within the same
    # ten minutes goes.
    cosignatures_days: float | None = Field(default=None, ge=1, le=36500)
    # From the end of one look through the store to the beginning of the next.
    pause_seconds: float = Field(default=3600.0, ge=0.05, le=7 * 86400)

    @property
    def is_on(self) -> bool:
        """Whether anything is ever let go."""
        days = self.to_delete_days, self.history_days, self.cosignatures_days
        return bool(self.payloads) or any(each is not None for each in days)


class Operations(_Settings):
    """What operators need to act."""

    # Operators who have to want what cannot be undone: expiring a copy, resending all of a destination, draining a
    # process. With 1, a lone operator can end what an authority has sent.
    approvals: int = Field(default=2, ge=1, le=2)
    # For so long a second operator may decide.
    lapse_hours: float = Field(default=24.0, gt=0, le=24 * 30)


class DirectorySource(_Settings):
    """Where the signed directory is published, and by what it is believed."""

    # How often a running process looks for a newer one.
    refresh_seconds: float = Field(default=5.0, ge=0.05, le=3600)

    # Root metadata that came here by hand; everything else is proven by it.
    root: Path
    # A folder, or `https://HOST/PATH`, or a node: `grpcs://HOST:PORT`.
    repository: str = Field(min_length=1)
    # A folder of this process's own: the last good copy, and what may never be rolled back.
    cache: Path
    # PEM certificates that vouch for the HTTPS server, instead of the system's; or the CA of the node.
    ca: Path | None = None

    @model_validator(mode="after")
    def _no_other_scheme(self) -> Self:
        if self.repository.startswith("grpcs://"):
            if not re.fullmatch(r"grpcs://[^/\s]+:[0-9]{1,5}", self.repository):
                raise ValueError("a node is named as grpcs://HOST:PORT")
            if self.ca is None:
                raise ValueError("for a grpcs:// address, ca must name the CA of that node")
        elif "://" in self.repository and not self.repository.startswith("https://"):
            raise ValueError("a folder, an https:// or a grpcs:// address is wanted")
        return self

    def at(self, base: Path) -> Self:
        """Return it with all paths taken from `base`."""
        changes: dict[str, object] = {"root": base / self.root, "cache": base / self.cache}
        if self.ca is not None:
            changes["ca"] = base / self.ca
        if "://" not in self.repository:
            changes["repository"] = str(base / self.repository)
        return self.model_copy(update=changes)


class Webhook(_Settings):
    """Where alerts are posted: `[alerts.webhook]`. See docs/runbook.md for how they are signed."""

    # Over plain HTTP only where it never leaves the machine.
    url: str = Field(pattern=r"^(https://[A-Za-z0-9.:\[\]-]+|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?)(/[!-~]*)?$")
    # The first line is the key, as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes.
    key_file: Path
    # PEM certificates that vouch for the server, instead of the system's.
    ca: Path | None = None


MailAddress: TypeAlias = Annotated[str, Field(pattern=r"^[!-;=?A-~]{1,64}@[A-Za-z0-9.-]{1,190}$")]


class Mail(_Settings):
    """Where alerts go by e-mail: `[alerts.mail]`."""

    # The mail server.
    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,255}$")
    # Where it takes mail from those who have an account.
    port: int = Field(default=587, ge=1, le=65535)
    # "none" only where it never leaves the machine.
    security: Literal["starttls", "tls", "none"] = "starttls"
    # In whose name.
    sender: MailAddress
    # To whom.
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=32)
    # Empty: the server asks nobody who they are.
    user: str = Field(default="", pattern=r"^[ -~]{0,255}$")
    # Holds the password, one line of ASCII as the user is; nobody else may read it.
    password_file: Path | None = None
    # As a webhook's.
    ca: Path | None = None

    @model_validator(mode="after")
    def _nobody_listens(self) -> Self:
        if self.security == "none" and self.host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError('security = "none" is for a server on this machine')
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("a user has a password_file, and nobody else has one")
        return self


class Alerts(_Settings):
    """When a node warns its operators, and where: `[alerts]`. docs/runbook.md has a page for each warning."""

    # How often it looks.
    every_seconds: float = Field(default=15.0, ge=0.05, le=3600)
    # What is not urgent has to last so long before it is told.
    lasting_seconds: float = Field(default=60.0, ge=0, le=86400)
    # Each has to be over for so long before that is told.
    quiet_seconds: float = Field(default=300.0, ge=0, le=86400)
    # What lasts is told again after so long.
    again_hours: float = Field(default=24.0, ge=0.001, le=24 * 30)
    # What could not be told for so long is not told any more; it is in the node's own store and log.
    give_up_hours: float = Field(default=24.0, ge=0.001, le=24 * 30)
    webhook: Webhook | None = None
    mail: Mail | None = None
    # clock.due-soon: so long before a time limit ends, but in its last quarter at the earliest.
    due_soon_hours: float = Field(default=24.0, ge=0, le=24 * 30)
    # destination.dead: what is oldest has waited so long for a node, and the last attempt failed.
    dead_minutes: float = Field(default=15.0, ge=0, le=7 * 24 * 60)
    # The same, of a participant that does not collect.
    uncollected_hours: float = Field(default=72.0, ge=0, le=24 * 366)
    # backlog.growing: so many copies more wait for one destination than `backlog_minutes` ago.
    backlog_copies: int = Field(default=1_000, ge=1, le=1_000_000_000)
    # backlog.growing: than so long ago.
    backlog_minutes: float = Field(default=10.0, ge=1, le=24 * 60)
    # refusals.jump: so many envelopes of one peer refused in five minutes, and `refusals_factor` times the usual.
    refusals: int = Field(default=50, ge=1, le=1_000_000_000)
    # refusals.jump: so many times as many as usual in the hour before.
    refusals_factor: float = Field(default=5.0, ge=1, le=1_000_000)
    # key.expiring: so long before the last one ends; of what lives shortly, less.
    key_days: float = Field(default=30.0, ge=0, le=366)
    # certificate.expiring: the same.
    certificate_days: float = Field(default=7.0, ge=0, le=366)
    # witness.silent: so long a witness has not cosigned what there is to cosign.
    witness_minutes: float = Field(default=15.0, ge=0, le=7 * 24 * 60)
    # log.alarm: so long after an alarm.
    alarm_days: float = Field(default=30.0, ge=0, le=3660)


class Telemetry(_Settings):
    """Where spans, figures and diagnostics go; see docs/telemetry.md."""

    # gRPC address of an OTLP receiver, e.g. "127.0.0.1:4317". Empty: no spans, and no figures over OTLP.
    otlp_endpoint: str = ""
    # Without TLS: for a receiver on this machine.
    otlp_insecure: bool = False
    # Share of the traces that are recorded, of those that their senders want recorded. Nodes that say the same choose
    # the same.
    sample: float = Field(default=1.0, ge=0, le=1)
    # Of these, a process records so many a second at most; of more, a smaller share.
    traces_a_second: int = Field(default=50, ge=1, le=1_000_000)
    # How often figures go to the OTLP receiver.
    metrics_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    # Where figures can be scraped, as Prometheus does, without TLS: an address that only the scraper can reach. Of
    # several `workers`, the second has the port after that, and so on. Absent: nobody can.
    prometheus: Listen | None = None
    # How diagnostics are written to standard error: a JSON object a line, for machines, or a line of text.
    logs: Literal["json", "text"] = "json"


class Hsm(_Settings):
    """Where a node's signing key lies, if not in a file: a hardware token that speaks PKCS#11."""

    module: Path  # the vendor's library, e.g. /usr/lib/softhsm/libsofthsm2.so
    # Its label.
    token: str = Field(min_length=1)
    # Label of the key in it.
    key: str = Field(min_length=1)
    # The first line is the PIN.
    pin_file: Path


class Registry(_Settings):
    """What a node needs to register participants by itself: its CA, and the key that signs its list."""

    # Vouches for the certificates of the node's own participants.
    ca_certificate: Path
    # Signs their certificates.
    ca_key: Path
    # Signs the node's list of participants.
    directory_key: Path
    # Where those apply who have no certificate yet. Absent: nobody can.
    listen: Listen | None = None
    # What an invitation names, if it is not `listen`.
    endpoint: str = Field(default="", validate_default=True)
    # Registrars that have to approve an exchange or a registrar, and anybody else. With 1, a lone registrar can make
    # himself a court and a central authority, and so make, validate and countersign orders alone.
    approvals_of_exchange: int = Field(default=2, ge=2, le=8)
    # Of anybody else.
    approvals: int = Field(default=2, ge=1, le=8)
    # So long an invitation can be used.
    code_hours: float = Field(default=72.0, gt=0, le=24 * 90)
    # So long a certificate is valid; its owner's program renews it in time.
    certificate_days: float = Field(default=30.0, gt=0, le=398)
    # From the listing of a new key to its first use: so long the news may take to reach the last node.
    notice_seconds: float = Field(default=60.0, ge=0, le=7 * 86400)
    # For so long after that the key before is valid too.
    overlap_seconds: float = Field(default=86400.0, ge=0, le=366 * 86400)

    @field_validator("endpoint")
    @classmethod
    def _applicants_can_reach_it(cls, endpoint: str, info: ValidationInfo) -> str:
        listen = info.data.get("listen")
        if not endpoint and listen is not None and not is_reachable(listen):
            raise ValueError(f"nobody can call {listen}; say where applicants reach the node")
        return endpoint


def is_reachable(listen: str) -> bool:
    """Whether what is listened on is also what others can call: one port, and not all addresses of the machine."""
    host, _, port = listen.rpartition(":")
    return int(port) != 0 and not _is_everywhere(host)


def _is_everywhere(host: str) -> bool:
    """Whether a host stands for all addresses of the machine."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False  # a name


def _meet(one: str, other: str) -> bool:
    """Whether two places to listen are one, as far as they tell; a port 0 is any that is free."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if int(port) != int(other_port) or not int(port):
        return False
    return host == other_host or _is_everywhere(host) or _is_everywhere(other_host)


class Publisher(_Settings):
    """What the node that publishes the directory for all needs."""

    # Signs what is published: snapshot and timestamp.
    key: Path
    # The repository's folder.
    repository: Path
    # What is published counts for so long, unless it is renewed: for so long at most news can be held back.
    timestamp_hours: float = Field(default=24.0, gt=0, le=24 * 30)


class NodeConfig(_Settings):
    """One gateway process of a node."""

    # Code of the country (ISO 3166-1 alpha-2, lower case).
    node: str = Field(pattern=r"^[a-z]{2}$")
    # Where participants and other nodes call: HOST:PORT.
    listen: Listen
    # Where others reach that, if it is no longer what the founders were told: the node's own list says so from then on.
    endpoint: EndpointField = ""
    # Where whoever starts this process asks whether it takes calls (grpc.health.v1), without TLS: an address that only
    # this machine, or the probes of its cluster, can reach. Absent: nobody can ask.
    health: Listen | None = None
    # Processes behind `listen`, over one store.
    workers: int = Field(default=1, ge=1, le=64)
    directory: DirectorySource
    # A file of SQLite's; or `postgresql://USER@HOST,HOST/DATABASE?passfile=...`, see docs/postgresql.md.
    store: Annotated[Path | str, PlainValidator(_store)]
    # Of these and the one in the hardware token, the newest that the directory lists as valid signs.
    signing_keys: tuple[Path, ...] = ()
    hsm: Hsm | None = None
    # PEM: what is shown to whoever calls or is called.
    certificate: Path
    # PEM: the key of that certificate.
    tls_key: Path
    # Key files are under the passphrase in this file. False: they are plain, and nobody asks for one.
    encrypted_keys: bool = True
    # The first line is the passphrase; nobody else may read it.
    passphrase_file: Path | None = None
    # What the country's own law is stricter in than the table, see docs/policy.md. Absent: in nothing.
    policy: Path | None = None
    limits: Limits = Limits()
    quota: Quota = Quota()
    attachments: Attachments = Attachments()
    delivery: Delivery = Delivery()
    retention: Retention = Retention()
    operations: Operations = Operations()
    telemetry: Telemetry = Telemetry()
    alerts: Alerts = Alerts()
    registry: Registry | None = None
    publisher: Publisher | None = None

    @property
    def store_file(self) -> Path:
        """The file of the store.

        Raises:
            Refusal: BAD_CONFIG, a database server keeps it, and has tools of its own.
        """
        if not isinstance(self.store, Path):
            detail = "this is for a store in a file; of a database server's, see docs/postgresql.md"
            raise Refusal(ErrorCode.BAD_CONFIG, detail, "store")
        return self.store

    @model_validator(mode="after")
    def _who_has_the_list_says_where_the_node_is(self) -> Self:
        if self.endpoint and self.registry is None:
            raise ValueError("endpoint: the process with [registry] lists it")
        return self

    @model_validator(mode="after")
    def _one_process_has_an_office(self) -> Self:
        """Lists and the directory are signed anew by one process; the others of its node have other settings."""
        if self.workers > 1 and (self.registry is not None or self.publisher is not None):
            raise ValueError("workers: a process with [registry] or [publisher] is one alone; run others beside it")
        return self

    def figures(self, number: int) -> str | None:
        """Return where a process shows its figures, by its number among `workers`: one port after the other.

        One that was started before the settings named fewer has a number above theirs, until all are started anew.
        """
        if self.telemetry.prometheus is None:
            return None
        host, _, first = self.telemetry.prometheus.rpartition(":")
        return f"{host}:{int(first) + number if int(first) else 0}"

    @model_validator(mode="after")
    def _each_door_has_a_place_of_its_own(self) -> Self:
        """With `workers` the system would let two doors share a port: every other caller would get the wrong one."""
        applicants = None if self.registry is None else self.registry.listen
        doors = [("listen", self.listen), ("registry.listen", applicants), ("health", self.health)]
        doors += [("telemetry.prometheus", self.figures(number)) for number in range(self.workers)]
        _, last = doors[-1]
        if last is not None and int(last.rpartition(":")[2]) > MAX_PORT:
            raise ValueError(f"telemetry.prometheus: {self.workers} workers need as many ports, {MAX_PORT} at most")
        for (name, place), (other, same) in combinations(doors, 2):
            if place is not None and same is not None and _meet(place, same):
                raise ValueError(f"{other}: {same} is taken by {name} = {place}")
        return self

    @model_validator(mode="after")
    def _quotas_are_of_callers(self) -> Self:
        """Check the overrides, as far as this file tells: a misspelt one must not silently be none."""
        for address in self.quota.overrides:
            if address.is_node == (address.node == self.node):
                raise ValueError(f"quota.overrides: {address} never calls node {self.node}")
        return self

    @model_validator(mode="after")
    def _a_relayed_frame_fits_into_a_burst(self) -> Self:
        """A courier does not wait as long as a bulk sender; what can never pass at once would never pass."""
        least = 2 * self.limits.max_frame_bytes
        nodes = [(f"overrides.{each}", self.quota.of(each)) for each in self.quota.overrides if each.is_node]
        for name, allowance in [("node", self.quota.node), *nodes]:
            if allowance.burst_bytes < least or allowance.burst_envelopes < MAX_RELAYED_ITEMS:
                raise ValueError(
                    f"quota.{name}: burst_bytes must be {least}, twice max_frame_bytes, or more, "
                    f"and burst_envelopes {MAX_RELAYED_ITEMS} or more"
                )
        return self


class Timestamp(_Settings):
    """Who says, beside its exporter, when a case file was made: a timestamp authority (RFC 3161)."""

    # Where it is asked. What it answers is signed, so that the connection may be plain.
    url: str = Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[!-~]*)?$")
    # PEM certificates that its own must lead to.
    roots: Path
    # PEM certificates that vouch for an HTTPS server, instead of the system's.
    ca: Path | None = None


def _address(value: object) -> object:
    return Address.parse(value) if isinstance(value, str) else value


class ParticipantConfig(_Settings):
    """One participant's system, or an operator's or auditor's."""

    # In the directory: "ee/prosecutor".
    address: Annotated[Address, BeforeValidator(_address)]
    directory: DirectorySource
    # PEM: what is shown to the node.
    certificate: Path
    # PEM: the key of that certificate.
    tls_key: Path
    # Operators and auditors have no keys for envelopes. The newest that the directory lists as valid signs.
    signing_keys: tuple[Path, ...] = ()
    # They open what is sealed to this participant, old ones too.
    sealing_keys: tuple[Path, ...] = ()
    # Of an authority alone: by these its requests say what they are aimed at, see `gateway.targets`. Old ones too.
    target_keys: tuple[Path, ...] = ()
    # As a node's; but without a file, the command line may ask a person for the passphrase.
    encrypted_keys: bool = True
    # As a node's.
    passphrase_file: Path | None = None
    # Where collected envelopes and receipts are kept.
    home: Path
    telemetry: Telemetry = Telemetry()
    # Absent: case files have no timestamp.
    timestamp: Timestamp | None = None


def _log_key(value: object) -> object:
    try:
        found = Verifier.parse(value) if isinstance(value, str) else value
    except Refusal as error:
        raise ValueError(error.detail) from error
    if isinstance(found, Verifier) and found.algorithm is not Algorithm.ED25519:
        raise ValueError("that is the key of a witness, not of a log")
    return found


class WitnessConfig(_Settings):
    """A witness that is no node: `rogatory witness serve`."""

    # Of its key: "witness.example/w1".
    name: KeyNameField
    # Plain HTTP: what speaks TLS stands before it.
    listen: Listen
    # A folder of this process's own: what was cosigned, and evidence. Whoever puts back an old one cosigns twice.
    state: Path
    # Cosigns: `rogatory witness keygen` makes it.
    key: Path
    # As a node's.
    encrypted_keys: bool = True
    # As a node's.
    passphrase_file: Path | None = None
    # Verifier keys (C2SP signed-note) of logs; one that has several keys is named with each.
    logs: tuple[Annotated[Verifier, PlainValidator(_log_key)], ...] = ()
    # The logs of all nodes that it lists.
    directory: DirectorySource | None = None

    @model_validator(mode="after")
    def _of_some_log(self) -> Self:
        if not self.logs and self.directory is None:
            raise ValueError("name logs, or a directory that lists their nodes")
        if self.directory is not None and self.directory.repository.startswith("grpcs://"):
            raise ValueError("directory.repository: nodes serve their directory to those who are in it")
        return self


C = TypeVar("C", NodeConfig, ParticipantConfig, WitnessConfig)
S = TypeVar("S", bound=_Settings)


def read(path: Path) -> dict[str, object]:
    """Return what a TOML file says.

    Raises:
        Refusal: BAD_CONFIG, it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        # Not only the parser's own error: a number of thousands of digits, or brackets within brackets, have others.
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path} is not TOML: {error}") from error


def load(kind: type[C], path: Path) -> C:
    """Read a configuration file.

    Raises:
        Refusal: BAD_CONFIG, with the first field that is wrong.
    """
    return _absolute(checked(kind, read(path), path), path.resolve().parent)


def checked(kind: type[C], raw: dict[str, object], path: Path) -> C:
    """Check what stands in a configuration file, or will; paths in it are as they are written.

    Raises:
        Refusal: BAD_CONFIG, with the first field that is wrong.
    """
    try:
        return kind.model_validate(raw)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path}: {error.detail}", "address") from error
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path}: {first['msg']}", where) from error


def _absolute(settings: S, base: Path) -> S:
    """Return settings with every path in them, and in the settings within, taken from `base`."""
    changes: dict[str, object] = {}
    for name, value in settings:
        if isinstance(value, DirectorySource):
            changes[name] = value.at(base)
        elif isinstance(value, _Settings):
            changes[name] = _absolute(value, base)
        elif isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, tuple):
            changes[name] = tuple(base / each if isinstance(each, Path) else each for each in value)
    return settings.model_copy(update=changes)
