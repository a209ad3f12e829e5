"""The log over HTTP: the newest checkpoint and its tiles (C2SP tlog-tiles), for everybody.

In: GET requests for `checkpoint` and `tile/...`. Out: what the store holds, computed from its rows; nothing is written,
and no key is held here. Only what the newest checkpoint covers is handed out. There are no entry bundles: see
`gateway.tiles`. Answers 404 to what is not there, 503 while the store cannot be read.

Source: https://c2sp.org/tlog-tiles, "APIs".
"""

from collections.abc import Callable
from typing import Final, TypeVar

import starlette.routing
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Failure, Refusal
from gateway.store import Reader
from gateway.store.log import LogView
from gateway.tiles import HEIGHT, WIDTH, Tile

T = TypeVar("T")
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"
# Not even tiles are for ever: after a restoration from a backup another log goes on under the same address.
NOT_KEPT: Final = {"cache-control": "no-store"}
RETRY: Final = {"retry-after": "1"}


def app(reader: Reader) -> Starlette:
    """Return what serves a log, as an ASGI application."""

    async def checkpoint(_: Request) -> Response:
        note = await _asked(reader, _newest)
        if note is None:
            raise HTTPException(404)
        return Response(note, headers=NOT_KEPT, media_type=TEXT)

    async def tile(request: Request) -> Response:
        try:
            wanted = Tile.parse(request.url.path.removeprefix("/"))
        except Refusal as error:
            raise HTTPException(404) from error
        content = await _asked(reader, lambda view: _content(view, wanted))
        if content is None:
            raise HTTPException(404)
        return Response(content, headers=NOT_KEPT, media_type=BYTES)

    route = starlette.routing.Route  # in full: a Route of ours is a proof
    return Starlette(routes=[route("/checkpoint", checkpoint), route("/tile/{rest:path}", tile)])


async def _asked(reader: Reader, ask: Callable[[LogView], T]) -> T:
    try:
        return await reader.log(ask)
    except Failure as error:
        raise HTTPException(503, headers=RETRY) from error


def _newest(view: LogView) -> bytes | None:
    """Return the newest checkpoint, with the cosignatures that it has."""
    found = view.newest()
    return None if found is None else view.cosigned(found)


def _content(view: LogView, tile: Tile) -> bytes | None:
    """Return the hashes of a tile, if the newest checkpoint covers all of them."""
    newest, first = view.newest(), tile.number * WIDTH
    if newest is None or first + tile.width > newest.checkpoint.size >> HEIGHT * tile.level:
        return None
    return b"".join(view.hashes(tile.level, first, first + tile.width))
