"""Who is signed in: links that are good once, and sessions that end.

In: whom a link is for, what a browser shows, the time. Out: sessions, or None: what nobody was given, what was used and
what is too old are one and the same. All of it is in memory, and of each secret only its SHA-256: a console that is
started anew knows nobody.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.clock import Elapsed, since_boot
from gateway.identity import Address

T = TypeVar("T")
LINK_SECONDS: Final = 300.0
SESSION_SECONDS: Final = 8 * 3600.0
"""A working day: whoever works on signs in again."""
IDLE_SECONDS: Final = 1800.0
"""Without a page asked for by a person; live updates do not count."""
MOST_SESSIONS: Final = 64
MOST_OF_ONE: Final = 8
"""Sessions of one person; the oldest ends."""
MOST_LINKS: Final = 64

_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of a form, shown once on the page after it."""

    text: str
    failed: bool = False


@dataclass(eq=False, slots=True)
class Session:
    """Somebody who is signed in.

    Args:
        address: who.
        key: by what it is found: the SHA-256 of its cookie.
        until: seconds since boot when it ends, whatever is done in it.
        idle_until: when it ends unless something is done.
        token: what each form of it has to carry.
        notices: what to show on the next page.
    """

    address: Address
    key: bytes
    until: float
    idle_until: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_SECRET_BYTES), repr=False)
    notices: list[Notice] = field(default_factory=list)

    def owns(self, token: str) -> bool:
        """Whether a form is one of this session's."""
        return secrets.compare_digest(self.token.encode(), token.encode())


class SignIn:
    """The links and sessions of one console.

    Args:
        elapsed: seconds by a clock that nobody sets.
    """

    def __init__(self, elapsed: Elapsed = since_boot) -> None:
        self._elapsed = elapsed
        self._links: dict[bytes, tuple[Address, float]] = {}
        self._sessions: dict[bytes, Session] = {}

    def invite(self, address: Address) -> str:
        """Return a new secret that signs somebody in once; one that was made before is good no more."""
        self._links = {key: link for key, link in self._links.items() if link[0] != address}
        _make_room(self._links, MOST_LINKS)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._links[_key(secret)] = (address, self._elapsed() + LINK_SECONDS)
        return secret

    def invited(self, secret: str) -> Address | None:
        """Return whom a link would sign in; it stays good."""
        address, until = self._links.get(_key(secret), (None, 0.0))
        return address if self._elapsed() < until else None

    def redeem(self, secret: str) -> tuple[str, Session] | None:
        """Use up a link; return a session and its cookie."""
        address = self.invited(secret)
        self._links.pop(_key(secret), None)
        return None if address is None else self.open(address)

    def open(self, address: Address) -> tuple[str, Session]:
        """Return a new session and its cookie."""
        now = self._elapsed()
        self._sessions = {key: each for key, each in self._sessions.items() if _lives(each, now)}
        own = [key for key, each in self._sessions.items() if each.address == address]
        # Whoever signs in without end signs out nobody but himself.
        for key in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
            del self._sessions[key]
        _make_room(self._sessions, MOST_SESSIONS)
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        session = Session(address, _key(cookie), now + SESSION_SECONDS, now + IDLE_SECONDS)
        self._sessions[session.key] = session
        return cookie, session

    def find(self, cookie: str, *, idle: bool = False) -> Session | None:
        """Return the session of a cookie.

        Args:
            cookie: as the browser sent it.
            idle: nobody did anything, so this does not prolong it.
        """
        session = self._sessions.get(_key(cookie))
        now = self._elapsed()
        if session is None or not _lives(session, now):
            return None
        if not idle:
            session.idle_until = now + IDLE_SECONDS
        return session

    def holds(self, session: Session) -> bool:
        """Whether a session has not ended."""
        return self._sessions.get(session.key) is session and _lives(session, self._elapsed())

    def close(self, session: Session) -> None:
        """End a session."""
        self._sessions.pop(session.key, None)


def _lives(session: Session, now: float) -> bool:
    return now < min(session.until, session.idle_until)


def _make_room(table: dict[bytes, T], most: int) -> None:
    while len(table) >= most:
        del table[next(iter(table))]


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
