"""The one form of what founders sign: nothing in it that they are not shown.

In: metadata that is proposed. Out: nothing, or what is odd about it. A founder is shown key ids, thresholds and what
the federation would say; the folder has been in other hands. So a key id must be that of its very key, or somebody
else's key could lie under the id of one that founders know, or one key under two ids and count twice; and each node's
role must be for its own list alone, or a node could be given the lists of others: a code is two letters, for what
stands in a path of TUF may be a pattern. Fields that nobody knows are shown to nobody. Pure.

Sources: TUF specification 1.0.31, sections 4.2 (a key id is that of its key), 4.5 (paths of delegated roles).
"""

import re
from collections.abc import Mapping
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Root, Targets

from gateway.trust.roles import FEDERATION_PATH, HASH, LIFE_FIELD, TOP_LEVEL, list_path, node_role
from gateway.trust.signing import key_of

_NODE_ROLE: Final = re.compile(re.escape(node_role("")) + r"[a-z]{2}", re.ASCII)
_UNKNOWN: Final = "it has fields that nobody knows"


def delegation(code: str, keyid: str) -> DelegatedRole:
    """Return the role of a node's list, for the key that is to sign it."""
    # Terminating: nobody after it in the list is asked for this path (specification section 4.5).
    return DelegatedRole(node_role(code), [keyid], 1, terminating=True, paths=[list_path(code)])


def oddity(signed: Root | Targets) -> str | None:
    """Return what proposed metadata says beyond what is shown of it; None if it says nothing else."""
    return _oddity_of_root(signed) if isinstance(signed, Root) else _oddity_of_targets(signed)


def _oddity_of_root(root: Root) -> str | None:
    if not root.consistent_snapshot or set(root.roles) != set(TOP_LEVEL):
        return "it is no root of a directory"
    if set(root.unrecognized_fields) - {LIFE_FIELD} or any(role.unrecognized_fields for role in root.roles.values()):
        return _UNKNOWN
    return _oddity_of_keys(root.keys)


def _oddity_of_targets(targets: Targets) -> str | None:
    delegations = targets.delegations
    if delegations is None or delegations.roles is None or set(targets.targets) != {FEDERATION_PATH}:
        return f"it says something else than {FEDERATION_PATH} and whose key signs which node's list"
    file = targets.targets[FEDERATION_PATH]
    if set(file.hashes) != {HASH}:
        return f"{FEDERATION_PATH} is named by other hashes than {HASH}"
    if set(targets.unrecognized_fields) - {LIFE_FIELD} or delegations.unrecognized_fields or file.unrecognized_fields:
        return _UNKNOWN
    for name, role in delegations.roles.items():
        code = name.removeprefix(node_role(""))
        of_a_node = _NODE_ROLE.fullmatch(name) is not None and len(role.keyids) == 1
        if not of_a_node or role != delegation(code, role.keyids[0]):
            return f"role {name} is for something else than the list of its node, or for several keys"
    return _oddity_of_keys(delegations.keys)


def _oddity_of_keys(keys: Mapping[str, Key]) -> str | None:
    for keyid, key in keys.items():
        if key != _ed25519(key):  # as it was read, under the id that stands there
            return f"key id {keyid} is not that of its key"
    return None


def _ed25519(key: Key) -> Key | None:
    try:
        return key_of(bytes.fromhex(key.keyval["public"]))
    except (ValueError, KeyError, TypeError):
        return None
