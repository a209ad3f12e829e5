"""The one writer of a process: gathers what waits, commits once, answers all.

In: jobs, each a function of a `Transaction`. Out: each job's result, after the commit that holds its work. What
arrives while one batch is being synced to disk makes the next batch, so batches grow with load by themselves; and a
small one waits a moment for those that came along with the one before.
A job that raises is undone alone; a commit that fails fails every job of its batch, and none of them happened. The
next batch tries again with a new connection: when the disk or the database is back, so is the writer. Where rows are
not taken, the jobs of a batch run again one by one: a job does the same when it runs again.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from rogatory.v1 import envelope_pb2 as pb

from gateway.clock import Clock, to_micros
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.merkle import Frontier
from gateway.metrics import NOBODY, Meters
from gateway.store.driver import NOT_TAKEN, TROUBLE, Connection
from gateway.store.transaction import Transaction

T = TypeVar("T")
Job = Callable[[Transaction], Any]
Issue: TypeAlias = Callable[[Sequence[pb.Statement]], Sequence[pb.Receipt]]
"""Signs statements."""

_Waiting: TypeAlias = tuple[Job, asyncio.Future[Any], int]
MAX_WEIGHT_A_BATCH: Final = 256
"""Envelopes in one transaction, or a job's worth more. Twice as many make a commit no cheaper for each, and wait twice
as long for it."""

LINGER_BELOW: Final = 32
LINGER_SECONDS: Final = 0.002
"""A batch of fewer envelopes waits so long for company, if the one before had more: to sync costs about as much."""

RETRY_SECONDS: Final = 1.0
diagnostics = logging.getLogger("gateway.store")


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        issuing: Callable[[], Issue],
        *,
        issuer: str,
        clock: Clock,
        max_waiting: int,
        on_commit: Callable[[set[str]], None],
        watch: Callable[[str], None],
        meters: Meters = NOBODY,
    ) -> None:
        """Prepare a writer.

        Args:
            connect: makes the writing connection.
            issuing: returns what signs the statements of a batch. Asked before the batch has its time: with a key that
                became valid afterwards it would sign what is older than that key.
            issuer: in whose name, e.g. "ee/node".
            clock: time.
            max_waiting: jobs that may wait.
            on_commit: told, on the event loop, which destinations have something new.
            watch: told, in the writer's thread, that a batch is signed, and that its commit has just returned.
            meters: for figures of each batch.
        """
        self._connect = connect
        self._issuing = issuing
        self._issuer = issuer
        self._clock = clock
        self._max_waiting = max_waiting
        self._on_commit = on_commit
        self._watch = watch
        self._meters = meters
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._company = 0  # the weight of the batch before
        self._tree: Frontier | None = None  # of the log, as of the last commit
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._given_up = False
        self._connection: Connection | None = None

    def start(self) -> None:
        """Open the connection and start the thread; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        # Here, so that a store that cannot be opened is the caller's error, not a thread's.
        self._connection = self._connect()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def write(self, job: Callable[[Transaction], T], weight: int = 1) -> asyncio.Future[T]:
        """Queue `job` for the next transaction; jobs run in the order in which they are queued.

        Args:
            job: what to do.
            weight: how many envelopes it is about.

        Returns:
            A future of the job's result, done once the transaction is on disk. It fails with what the job raised
            (then nothing of it is recorded), or with Failure STORE, if the commit failed.

        Raises:
            Failure: OVERLOADED, too many wait; UNAVAILABLE, the node is stopping.
        """
        if self._closed:
            raise Failure(ErrorCode.UNAVAILABLE, "the node is stopping", retry_after=RETRY_SECONDS)
        if self._jobs.qsize() >= self._max_waiting:
            detail = f"max_waiting_jobs = {self._max_waiting} jobs wait for the store"
            raise Failure(ErrorCode.OVERLOADED, detail, retry_after=RETRY_SECONDS)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future, weight))
        return future

    @property
    def waiting(self) -> int:
        """Jobs that wait; not of one moment with anything else."""
        return self._jobs.qsize()

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closed = True
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def give_up(self) -> None:
        """Let what is in work and what waits fail: a commit may wait without end, for a standby that is away.

        What is being committed may be recorded all the same; nobody is told that it is. Once is enough: a connection to
        a server is cut for good, and on a file no statement of a node is without end.
        """
        self._closed = self._given_up = True
        # Who connects at this moment keeps the connection first, and then looks whether it was given up.
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(*TROUBLE):
                connection.interrupt()

    def _run(self) -> None:
        try:
            while (batch := self._gather()) is not None:
                self._commit(batch)
        finally:
            if self._connection is not None:
                self._connection.close()

    def _gather(self) -> list[_Waiting] | None:
        first = self._jobs.get()
        if first is None:
            return None
        batch, weight = [first], first[2]
        until = monotonic() + LINGER_SECONDS
        while weight < MAX_WEIGHT_A_BATCH:
            try:
                if weight < min(self._company, LINGER_BELOW):
                    more = self._jobs.get(timeout=max(0.0, until - monotonic()))
                else:
                    more = self._jobs.get_nowait()
            except queue.Empty:
                break
            if more is None:
                # Stop after this batch.
                self._jobs.put(None)
                break
            batch.append(more)
            weight += more[2]
        self._company = weight
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        """Do a batch; where that fails, the next one has a new connection."""
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        wake: set[str] = set()
        begun = perf_counter()
        try:
            connection = self._connected()
            connection.begin()
            connection.check()
            issue = self._issuing()
            # Here, not before: it may have waited for other processes, and theirs came first.
            txn = Transaction(connection, to_micros(self._clock()), self._issuer, self._tree)
            for job, future, _ in batch:
                outcomes.append((future, *_run_alone(txn, job)))
            txn.sign(issue)
            self._watch("signed")
            signed = perf_counter()
            connection.end(txn.wake)
        except NOT_TAKEN as error:
            self._disconnect()
            if len(batch) > 1:
                # Rows are written together, so nobody can say whose were not taken: let each job stand alone.
                for each in batch:
                    self._commit([each])
                return
            outcomes = [(batch[0][1], None, _not_taken(error))]
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must hear of it and the thread go on
            detail = error.detail if isinstance(error, GatewayError) else str(error)
            failure = Failure(ErrorCode.STORE, f"the store could not be written: {detail}", retry_after=RETRY_SECONDS)
            outcomes = [(future, None, failure) for _, future, _ in batch]
            self._disconnect()
            self._meters.transaction_failed()
        else:
            ended = perf_counter()
            self._meters.transaction(sum(each[2] for each in batch), ended - begun, ended - signed)
            wake, self._tree = txn.wake, txn.tree
            self._watch("committed")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._answer, outcomes, wake)

    def _connected(self) -> Connection:
        if self._connection is None:
            # Another one may lead to another store.
            self._connection, self._tree = self._connect(), None
        if self._given_up:
            raise Failure(ErrorCode.UNAVAILABLE, "the node is stopping")
        return self._connection

    def _disconnect(self) -> None:
        """Undo what the connection has begun, and close it: it may have a file open that is no longer the store.

        SQLite sees that too, and then leaves the log beside the database alone: it may be another one's.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*TROUBLE):
                connection.abandon()
            with contextlib.suppress(*TROUBLE):
                connection.close()

    def _answer(self, outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]], wake: set[str]) -> None:
        for future, result, error in outcomes:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if wake:
            self._on_commit(wake)


def _not_taken(error: Exception) -> Failure:
    return Failure(ErrorCode.STORE, f"the store did not take it: {error}", retry_after=RETRY_SECONDS)


def _run_alone(txn: Transaction, job: Job) -> tuple[Any, BaseException | None]:
    try:
        with txn.part():
            return job(txn), None
    except NOT_TAKEN as error:
        # This job's rows alone were not taken.
        return None, _not_taken(error)
    except TROUBLE:
        # The database itself is in trouble: let the whole batch fail.
        raise
    except StopIteration as error:
        # No future takes one (PEP 479 tells why): it would be raised where all of the batch are answered.
        failure = RuntimeError("a job raised StopIteration")
        failure.__cause__ = error
        return None, failure
    except Exception as error:  # noqa: BLE001  whatever a job raises is its caller's to see, and must not stop others
        return None, error
