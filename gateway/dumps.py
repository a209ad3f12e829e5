"""No private key in a core dump.

In: nothing. Out: a process whose memory is not written to disk when it crashes, and which no other process of the
same user may read or trace. Not kept out of swap: Python copies what it works with, so that no lock on pages would
hold all of it; encrypt swap.
"""

import ctypes
import logging
import resource
import sys
from typing import Final

diagnostics = logging.getLogger("gateway.dumps")

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid() -> None:
    """Forbid core dumps for this process; to be called before it loads a key.

    The limit alone does not do: Linux looks at no limit where `core_pattern` names a program, e.g. systemd-coredump
    (core(5)). The flag covers that, and keeps ptrace and /proc/PID/mem from others of the same user (prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        # Old sandboxes may refuse it. A node that runs with the limit alone is better than none.
        diagnostics.warning("core dumps are limited, but not forbidden")
