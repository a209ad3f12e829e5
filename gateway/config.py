"""Configuration: one TOML file a process, every field checked before anything starts.

In: a file. Out: frozen settings whose every path is absolute, taken from the file's own folder. Secrets are paths to
key files, never values. Refuses unknown fields, so that a misspelt limit cannot silently be no limit.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic import ValidationError as PydanticError

from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address

# Header, signatures and slots of one envelope, at their largest.
ENVELOPE_ALLOWANCE: Final = 128 << 10


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Limits(_Settings):
    """What a node takes at most. Each refusal names the limit and its value."""

    max_payload_bytes: int = Field(default=1 << 20, ge=1 << 10, le=1 << 24)
    max_frame_bytes: int = Field(default=4 << 20, ge=1 << 17, le=1 << 26)
    # Frames of one stream that may be in work at once; more wait in the caller's send buffer.
    frames_in_flight: int = Field(default=4, ge=1, le=64)
    max_streams_per_peer: int = Field(default=16, ge=1, le=1024)
    # Jobs waiting for the writer; beyond it the node answers OVERLOADED.
    max_waiting_jobs: int = Field(default=1024, ge=16, le=65536)
    # A sender's clock may be ahead of ours by this much. Five minutes is Kerberos' customary tolerance (RFC 4120 8.2).
    max_skew_seconds: int = Field(default=300, ge=0, le=86400)
    # A request may wait days for its countersignature, and hours for a node that is down.
    max_age_days: int = Field(default=30, ge=1, le=3650)

    @model_validator(mode="after")
    def _a_frame_holds_an_envelope(self) -> Self:
        if self.max_frame_bytes < self.max_payload_bytes + ENVELOPE_ALLOWANCE:
            raise ValueError(f"max_frame_bytes must be max_payload_bytes + {ENVELOPE_ALLOWANCE} or more")
        return self


class Delivery(_Settings):
    """How a node passes things on."""

    lease_seconds: float = Field(default=30.0, ge=0.2, le=3600)
    backoff_first_seconds: float = Field(default=0.5, ge=0.01, le=60)
    backoff_max_seconds: float = Field(default=60.0, ge=0.05, le=3600)
    attempt_timeout_seconds: float = Field(default=10.0, ge=0.1, le=600)
    sweep_seconds: float = Field(default=1.0, ge=0.05, le=60)


class Telemetry(_Settings):
    """Where spans go."""

    # gRPC address of an OTLP receiver, e.g. "127.0.0.1:4317". Empty: spans go nowhere.
    otlp_endpoint: str = ""
    otlp_insecure: bool = False


class NodeConfig(_Settings):
    """One gateway process of a node."""

    node: str = Field(pattern=r"^[a-z]{2}$")
    listen: str = Field(pattern=r"^.+:[0-9]{1,5}$")
    directory: Path
    store: Path
    signing_key: Path
    certificate: Path
    tls_key: Path
    limits: Limits = Limits()
    delivery: Delivery = Delivery()
    telemetry: Telemetry = Telemetry()


def _address(value: object) -> object:
    return Address.parse(value) if isinstance(value, str) else value


class ParticipantConfig(_Settings):
    """One participant's system, or an operator's or auditor's."""

    address: Annotated[Address, BeforeValidator(_address)]
    directory: Path
    certificate: Path
    tls_key: Path
    # Operators and auditors have no keys for envelopes.
    signing_key: Path | None = None
    sealing_keys: tuple[Path, ...] = ()
    # Where collected envelopes and receipts are kept.
    home: Path
    telemetry: Telemetry = Telemetry()


C = TypeVar("C", NodeConfig, ParticipantConfig)


def load(kind: type[C], path: Path) -> C:
    """Read a configuration file.

    Raises:
        Refusal: BAD_CONFIG, with the first field that is wrong.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path} is not TOML: {error}") from error
    try:
        settings = kind.model_validate(raw)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path}: {error.detail}", "address") from error
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refusal(ErrorCode.BAD_CONFIG, f"{path}: {first['msg']}", where) from error
    base = path.resolve().parent
    paths: dict[str, object] = {}
    for name, value in settings:
        if isinstance(value, Path):
            paths[name] = base / value
        elif name == "sealing_keys":
            paths[name] = tuple(base / key for key in value)
    return settings.model_copy(update=paths)
