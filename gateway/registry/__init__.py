"""A node's registry: who becomes a participant, takes new keys, and is put out.

`proofs` and `codes` are pure and shared with the clients; `roll` says how the node's list may change; `desk`,
`applying`, `deciding`, `renewing` and `revoking` are the rules, each inside one transaction; `office` puts them behind
the doors.
"""
