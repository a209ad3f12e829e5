"""How a process has Python look for garbage: seldom, and never through what is there for good."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NEW_OBJECTS: Final = 10_000
"""Some megabytes of them, after which Python looks for what only holds itself."""


@contextmanager
def spared() -> Iterator[None]:
    """Look through what is here once, and not again before the end; look through what is new less often."""
    before = gc.get_threshold()
    # What is here by now stays until the end; to look through it again and again took a tenth of a node's time.
    gc.collect()
    gc.freeze()
    # A frame in work is more than the 700 new objects after which Python would look through them, again and again, and
    # nearly all of them go without its help: 6 microseconds an envelope.
    gc.set_threshold(NEW_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def put_off() -> Iterator[None]:
    """Look for none meanwhile: of what modules make, all stays, and looking through it took a sixth of a start."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
