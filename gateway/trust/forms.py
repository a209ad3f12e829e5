"""The one form of what founders sign: nothing in it that they are not shown.

In: metadata that is proposed. Out: nothing, or what is odd about it. A founder is shown key ids, thresholds and what
the federation would say; the folder has been in other hands. So a key id must be that of its very key, or somebody
else's key could lie under the id of one that founders know, or one key under two ids and count twice; and each node's
role must be for its own list alone, or a node could be given the lists of others. Pure.

Sources: TUF specification 1.0.31, sections 4.2 (a key id is that of its key), 4.5 (paths of delegated roles).
"""

from collections.abc import Mapping

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Root, Targets

from gateway.trust.roles import FEDERATION_PATH, TOP_LEVEL, list_path, node_role
from gateway.trust.signing import key_of


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
    return _oddity_of_keys(root.keys)


def _oddity_of_targets(targets: Targets) -> str | None:
    delegations = targets.delegations
    if delegations is None or delegations.roles is None or set(targets.targets) != {FEDERATION_PATH}:
        return f"it says something else than {FEDERATION_PATH} and whose key signs which node's list"
    for name, role in delegations.roles.items():
        code = name.removeprefix(node_role(""))
        if len(role.keyids) != 1 or role != delegation(code, role.keyids[0]):
            return f"role {name} is for something else than the list of its node, or for several keys"
    return _oddity_of_keys(delegations.keys)


def _oddity_of_keys(keys: Mapping[str, Key]) -> str | None:
    for keyid, key in keys.items():
        if key != _ed25519(key) or keyid != key.keyid:
            return f"key id {keyid} is not that of its key"
    return None


def _ed25519(key: Key) -> Key | None:
    try:
        return key_of(bytes.fromhex(key.keyval["public"]))
    except (ValueError, KeyError, TypeError):
        return None
