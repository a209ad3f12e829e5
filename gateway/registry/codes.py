"""One-time codes: what a registrar hands over by another way than the network.

In: randomness. Out: a code of 160 bits in groups of four letters and digits. The node keeps its digest alone: whoever
reads the store cannot apply with what is found there. As the code is random, nobody can search for what was digested,
so a plain digest will do. Source: RFC 4648 section 6 (base32: no 0, 1, 8 or 9 to be misread).
"""

from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from typing import Final

CODE_BYTES: Final = 20
_GROUP: Final = 4


def new_code(random: Callable[[int], bytes]) -> str:
    """Return a new code, e.g. `ABCD-...`, 39 characters."""
    text = b32encode(random(CODE_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def code_digest(code: str) -> bytes:
    """Return what applications and the store hold of a code: the SHA-256 of its very characters."""
    return sha256(code.encode()).digest()
