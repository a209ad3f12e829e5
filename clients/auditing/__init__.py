"""Follows a node's log from outside: with public keys alone, a memory of its own, and its own arithmetic of the tree.

With the program that writes the log it shares the hash of two hashes (`gateway.merkle.node_hash`) and the texts of
notes and checkpoints; what one side counts wrongly, the other side sees.
"""
