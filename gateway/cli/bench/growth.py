"""What a node that holds much can do: the same stream on stores of a thousand envelopes, and of ten times more.

In: a `Plan`. Out: envelopes a second by number of stored envelopes, and bytes on disk. A store is filled by the node's
own writing code, without the stages before it and with few commits, and then given to a real node, which is measured
once it has worked for as long as a measurement takes. What is filled in has its receipt, its log entries, its event,
and its delivery, which is over.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb

from gateway import deliver, envelope, material, statement
from gateway.cli.bench import pool
from gateway.cli.bench.figures import MEBI, Measure, Values
from gateway.cli.bench.nodes import ABROAD, HOME, RECIPIENT, SENDER, bytes_on_disk
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.stages import STAGES_TEXT, Stages
from gateway.clock import system_clock, to_micros
from gateway.effects import Effects, Moved
from gateway.identity import Address
from gateway.lifecycle import Event
from gateway.record import apply
from gateway.store import Transaction, open_store

A_COMMIT: Final = 19_968
"""Envelopes in one commit while a store is made: 312 times what a commit of a node holds under one signature."""
CACHE_KIBIBYTES: Final = 512 << 10


class Growth:
    """Stores of many sizes, each kept from round to round."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        """Make them, and a pool of envelopes that none of them holds.

        Args:
            plan: the run.
            tell: told how far it has come.
        """
        self._plan = plan
        sizes = plan.sizes
        self._pool = plan.folder / "growth.pool"
        pool.write(self._pool, plan.nodes.config(SENDER), RECIPIENT, sizes.rounds * sizes.grown)
        filler, smaller = Filler(plan), 0
        for stored in sizes.growth:
            tell(f"fills a store with {stored} envelopes")
            if smaller:
                copytree(self._store(smaller), self._store(stored))
            else:
                self._store(stored).mkdir()
            filler.fill(self._store(stored), stored - smaller)
            smaller = stored

    def measures(self) -> list[Measure]:
        """Return what is measured: a stream on each."""
        return [Measure((name_of(stored),), partial(self._take, stored)) for stored in self._plan.sizes.growth]

    def _store(self, stored: int) -> Path:
        return self._plan.folder / f"store-{stored}"

    def _take(self, stored: int, number: int) -> Values:
        plan, store = self._plan, self._store(stored)
        start, half = number * plan.sizes.grown, plan.sizes.grown // 2
        warming, job = (
            plan.job("stream", pool=str(self._pool), start=first, count=half) for first in (start, start + half)
        )
        before = bytes_on_disk(store)
        with plan.nodes.running(HOME, store) as node:
            # A process that has just started maps each page of a large store for the first time: that passes.
            warmed, _, _ = plan.load(warming, node)
            taken, after, costs = plan.load(job, node)
        name = name_of(stored)
        return {
            name: taken.rate,
            f"{name}_p99_ms": taken.p99_ms,
            **costs.named(name),
            f"{name}_mib": after.own_bytes / MEBI,
            f"{name}_bytes_per_envelope": (bytes_on_disk(store) - before) / (warmed.answered + taken.answered),
        }


def name_of(stored: int) -> str:
    """Return the name of a figure: `rate_at_1e3`."""
    digits = str(stored)
    if digits.rstrip("0") != "1":
        return f"rate_at_{stored}"
    return f"rate_at_1e{len(digits) - 1}"


class Filler:
    """Fills a store of the sender's node."""

    def __init__(self, plan: Plan) -> None:
        node, sender = plan.nodes.config(f"{HOME}/node"), plan.nodes.config(SENDER)
        self._numbers = pool.Numbers()
        self._me, self._key = Address.of_node(HOME), material.load_node(node, system_clock).signing_key
        loaded = material.load_participant(sender, system_clock)
        forms = pool.forms_of(loaded, RECIPIENT, system_clock())
        scratch = plan.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        stages = Stages(scratch, node, sender)
        try:
            self._forms = [(form, form.signatures[0], stages.effects_of(form)) for form in forms]
        finally:
            stages.close()

    def fill(self, folder: Path, more: int) -> None:
        """Add so many envelopes to the store in a folder; make it, if there is none."""
        connect, engine = open_store(folder / "node.db")
        engine.dispose()
        connection = connect()
        # Of many commits in one, no page is to be written twice; and what a power cut would lose can be made anew. Only
        # checkpoints are synced: what is measured next must not wait for gigabytes on their way to the disk.
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            for start in range(0, more, A_COMMIT):
                connection.begin()
                for first in range(start, min(start + A_COMMIT, more), pool.BATCH):
                    self._add(connection, range(first, min(first + pool.BATCH, more)))
                connection.end(())
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    def _add(self, connection: Any, numbers: range) -> None:  # noqa: ANN401  pysqlite3 has no types
        """Add what one commit of a node holds: under one signature."""
        now = system_clock()
        txn = Transaction(connection, to_micros(now), str(self._me))
        for number in numbers:
            form, signed_by, effects = self._forms[number % len(self._forms)]
            signed = pool.copy(form, self._numbers())
            signed.signatures.append(signed_by)  # nobody will ask again whether it fits
            header = pb.Header.FromString(signed.header)
            ref, fingerprint = envelope.ref_of(header), sha256(signed.header).digest()
            seq = txn.add_envelope(signed, header, fingerprint)
            apply(Effects(tuple(Moved(ref, moved.state) for moved in effects.moves)), ref, txn)
            # One that is over at once: it expired.
            txn.deliveries.add(f"{ABROAD}/node", envelope_seq=seq, expires_at_us=txn.now_us)
            txn.add_event(ref, "envelope.accepted", actor=header.sender, stages=STAGES_TEXT)
            txn.state(
                pb.Statement(
                    envelope=ref,
                    fingerprint=fingerprint,
                    milestone=pb.MILESTONE_ACCEPTED,
                    issuer=str(self._me),
                    at_us=txn.now_us,
                )
            )
        for seq in txn.deliveries.expired(len(numbers)):
            deliver.settle(txn, seq, Event.EXPIRE)
        txn.sign(lambda statements: statement.issue(statements, self._me, self._key))
