"""The signed directory: a repository after The Update Framework (TUF) 1.0, made and verified with python-tuf.

    root         k of n founders; names the keys and thresholds of the other roles, and its own successors
    targets      k of n founders; `federation.json`, and who may sign which `participants/CODE.json`
    node-CODE    the node's own key; `participants/CODE.json` and nothing else
    snapshot     the publisher's online key; which versions belong together
    timestamp    the publisher's online key; which snapshot is the newest, for a short time

`client` loads and verifies, `repository` makes and signs, `roles` holds the words of both, `fetch` reads files, `lists`
are what nodes sign, `releases` what the publisher does, `copy` is what a process keeps and a node hands on.
Threshold, expiry, rollback, freeze and mix-and-match are refused by TUF's client workflow (specification section 5),
not by code of ours.
"""
