"""What changes while somebody looks: fragments of pages, as server-sent events.

In: a desk, and how a fragment is made of an overview. Out: a stream that says the fragment anew whenever it is another,
and ends by itself; the browser asks again. That a node cannot tell now is an event of its own, `silent`: what it told
before stays there. What it refuses to tell is not shown any more. However many streams a session has, its node is asked
by one poller, and by none once nobody looks.

Source: WHATWG HTML section 9.2, "Server-sent events".
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from rogatory.v1 import trace_pb2 as trace

from gateway.cli.console.signin import Session
from gateway.errors import Failure, GatewayError

POLL_SECONDS: Final = 2.0
STREAM_SECONDS: Final = 20.0
"""Below the time that a connection has: a stream ends between two events, not within one."""
AGAIN_MILLISECONDS: Final = 500
MOST_STREAMS: Final = 24
MOST_OF_A_SESSION: Final = 6
"""Browsers open no more to one place."""

Told = trace.GetOverviewResponse | GatewayError
Ask = Callable[[], Awaitable[trace.GetOverviewResponse]]


class Live:
    """All streams of a console.

    Args:
        poll_seconds: from one question to the next.
        stream_seconds: for which a stream stands.
    """

    def __init__(self, poll_seconds: float = POLL_SECONDS, stream_seconds: float = STREAM_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._stream_seconds = stream_seconds
        self._pollers: dict[bytes, _Poller] = {}
        self._closed = asyncio.Event()

    @property
    def pollers(self) -> int:
        """How many sessions' nodes are asked."""
        return len(self._pollers)

    def has_room(self, session: Session) -> bool:
        """Whether one more stream may be opened."""
        own = self._pollers.get(session.key)
        return (
            not self._closed.is_set()
            and sum(each.streams for each in self._pollers.values()) < MOST_STREAMS
            and (own is None or own.streams < MOST_OF_A_SESSION)
        )

    async def stream(self, session: Session, ask: Ask, render: Callable[[Told], str]) -> AsyncIterator[bytes]:
        """Yield events until the stream has stood long enough, the console ends, or nobody is there any more.

        Args:
            session: whose.
            ask: asks the node.
            render: makes the fragment of what it said.
        """
        # Others may have come between the question whether there is room and now; from here to `_joined` nobody does.
        if not self.has_room(session):
            return
        end = asyncio.get_running_loop().time() + self._stream_seconds
        shown = b""
        async with self._joined(session, ask) as poller:
            yield f"retry: {AGAIN_MILLISECONDS}\n\n".encode()
            heard = 0
            while (left := end - asyncio.get_running_loop().time()) > 0 and not self._closed.is_set():
                try:
                    async with asyncio.timeout(left):
                        heard = await poller.next(heard)
                except TimeoutError:
                    return
                if poller.told is None:
                    return
                event = _event(render(poller.told), "silent" if isinstance(poller.told, Failure) else "")
                if event != shown:
                    shown = event
                    yield event

    async def close(self) -> None:
        """End all streams."""
        self._closed.set()
        for poller in [*self._pollers.values()]:
            await poller.end()

    @asynccontextmanager
    async def _joined(self, session: Session, ask: Ask) -> AsyncIterator["_Poller"]:
        poller = self._pollers.get(session.key)
        if poller is None:
            poller = self._pollers[session.key] = _Poller(ask, self._poll_seconds)
        poller.streams += 1
        try:
            yield poller
        finally:
            poller.streams -= 1
            if not poller.streams:
                self._pollers.pop(session.key, None)
                await poller.end()


class _Poller:
    """Asks one session's node, for all its streams."""

    def __init__(self, ask: Ask, seconds: float) -> None:
        self.streams = 0
        self.told: Told | None = None
        self._number = 0
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._poll(ask, seconds))

    async def next(self, heard: int) -> int:
        """Wait for an answer after the one with that number; return its number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number != heard)
            return self._number

    async def end(self) -> None:
        """Ask no more, and tell who waits."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._tell(None)

    async def _poll(self, ask: Ask, seconds: float) -> None:
        while True:
            try:
                told: Told = await ask()
            except GatewayError as error:
                told = error
            await self._tell(told)
            await asyncio.sleep(seconds)

    async def _tell(self, told: Told | None) -> None:
        async with self._changed:
            self.told = told
            self._number += 1
            self._changed.notify_all()


def _event(fragment: str, name: str = "") -> bytes:
    # A line feed would end a line of the event; carriage returns are no line feeds there, and none is in a template.
    named = f"event: {name}\n" if name else ""
    return (named + "".join(f"data: {line}\n" for line in fragment.split("\n")) + "\n").encode()
