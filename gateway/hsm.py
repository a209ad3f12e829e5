"""A node's signing key in a hardware token, through PKCS#11.

In: which library, token and key, and the token's PIN. Out: a signer whose private key never leaves the token. Refuses
at the start what cannot sign, or whose public half is not that of the private one; later, a token that cannot be
reached is a failure: retry. One session, used by one thread at a time (PKCS#11 v3.0 section 5.2: what a session signs
has a beginning and an end).

The library, `python-pkcs11`, is an extra (`rogatory[hsm]`), imported here alone and only when a token is named.

Source: PKCS#11 v3.0, CKM_EDDSA and CKK_EC_EDWARDS (section 2.3), CKF_USER_PIN_FINAL_TRY (section 3.2).
"""

from __future__ import annotations  # types of a library that may be missing

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from gateway.errors import ErrorCode, Failure, Refusal, WrongSecret
from gateway.hidden import Hidden, Passphrase

if TYPE_CHECKING:
    import pkcs11
    from pkcs11.types import SignMixin

RETRY_SECONDS: Final = 5.0
LEAST_PIN_CHARACTERS: Final = 4

_POINT_BYTES: Final = 32
_OCTET_STRING: Final = b"\x04\x20"
"""DER of 32 bytes to come. The standard wants it before the point; some tokens leave it out."""

_PROBE: Final = b"rogatory/v1/key-check"
"""Signed at the start. No signed thing of ours: those begin with a length in 8 bytes (`signature.frame`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key lies.

    Args:
        module: the vendor's PKCS#11 library.
        token: label of the token.
        key: label of both halves of the key; there must be one of each.
    """

    module: Path
    token: str
    key: str


class TokenSigner(Hidden):
    """A signer whose key lies in a token.

    Args:
        place: where.
        pin: of the token's user.

    Raises:
        Refusal: BAD_CONFIG, the extra is not installed; KEY_FILE, there is no such library, token or key, the PIN is
            wrong, or one more wrong one would lock the token, or the two halves of the key do not fit.
    """

    def __init__(self, place: Place, pin: Passphrase) -> None:
        self._place = place
        self._pin = pin
        self._lock = threading.Lock()
        self._barred = False
        try:
            # Not at the top: who has no token need not install it.
            import pkcs11  # noqa: PLC0415
        except ImportError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, "python-pkcs11 is missing: install rogatory[hsm]", "hsm") from error
        self._errors = pkcs11.PKCS11Error
        try:
            self._session, self._key, self._public = self._open()
        except (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired) as error:
            raise self._refusal(type(error).__name__, WrongSecret) from error
        except pkcs11.PKCS11Error as error:
            raise self._refusal(type(error).__name__) from error

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature.

        Raises:
            Failure: UNAVAILABLE, the token cannot be reached now, and could not be at a second attempt.
        """
        with self._lock:
            try:
                return _signature(self._key, message)
            except self._errors:
                # Tokens on a network lose sessions; a new one is all they need.
                return self._sign_anew(message)

    def close(self) -> None:
        """Log out of the token."""
        with self._lock, contextlib.suppress(self._errors):
            self._session.close()

    def _sign_anew(self, message: bytes) -> bytes:
        import pkcs11  # noqa: PLC0415

        try:
            if self._barred:
                raise self._refusal("the PIN was refused")
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._session.close()
            self._session, self._key, public = self._open()
            if public != self._public:
                raise self._refusal("it is another key than before")
            return _signature(self._key, message)
        except (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired) as error:
            # Never tried again: after a few wrong PINs a token locks itself for good.
            self._barred = True
            raise self._failure() from error
        except (pkcs11.PKCS11Error, Refusal) as error:
            raise self._failure() from error

    def _open(self) -> tuple[pkcs11.Session, SignMixin, bytes]:
        """Return a session, the private half, and the public one, which fit."""
        session = self._log_in()
        try:
            return session, *self._find(session)
        except (self._errors, Refusal):
            with contextlib.suppress(self._errors):
                session.close()
            raise

    def _log_in(self) -> pkcs11.Session:
        import pkcs11  # noqa: PLC0415

        token = pkcs11.lib(str(self._place.module)).get_token(token_label=self._place.token)
        if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in token.flags:
            # A service is started again and again; the last try is a person's, who knows whether the PIN is right.
            raise self._refusal("one more wrong PIN locks it: log in once with the token's own tool", WrongSecret)
        try:
            return token.open(user_pin=self._pin.reveal().decode())
        except pkcs11.UserAlreadyLoggedIn:
            # A process logs in once for all its sessions: another signer did, e.g. before a reload.
            return token.open()

    def _find(self, session: pkcs11.Session) -> tuple[SignMixin, bytes]:
        import pkcs11  # noqa: PLC0415
        from pkcs11.types import SignMixin  # noqa: PLC0415

        key = self._only(session, pkcs11.ObjectClass.PRIVATE_KEY)
        if not isinstance(key, SignMixin):
            raise self._refusal("it may not sign")
        point = bytes(self._only(session, pkcs11.ObjectClass.PUBLIC_KEY)[pkcs11.Attribute.EC_POINT])
        public = point.removeprefix(_OCTET_STRING) if len(point) > _POINT_BYTES else point
        try:
            VerifyKey(public).verify(_PROBE, _signature(key, _PROBE))
        except (BadSignatureError, ValueError) as error:
            raise self._refusal("its two halves do not fit") from error
        return key, public

    def _only(self, session: pkcs11.Session, half: pkcs11.ObjectClass) -> pkcs11.Object:
        import pkcs11  # noqa: PLC0415

        wanted = {
            pkcs11.Attribute.CLASS: half,
            pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC_EDWARDS,
            pkcs11.Attribute.LABEL: self._place.key,
        }
        # All of them, because a search that is left half-way is closed later, when its session may be gone.
        found = [*session.get_objects(wanted)]
        if len(found) != 1:
            raise self._refusal(f"{len(found)} objects of that name as {half.name.lower()}, not exactly one")
        return found[0]

    def _refusal(self, reason: str, kind: type[Refusal] = Refusal) -> Refusal:
        place = self._place
        return kind(ErrorCode.KEY_FILE, f"key {place.key} of token {place.token}: {reason}", str(place.module))

    def _failure(self) -> Failure:
        return Failure(
            ErrorCode.UNAVAILABLE, "the token with the signing key cannot be reached", retry_after=RETRY_SECONDS
        )


def _signature(key: SignMixin, message: bytes) -> bytes:
    import pkcs11  # noqa: PLC0415

    return bytes(key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
