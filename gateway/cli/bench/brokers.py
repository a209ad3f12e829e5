"""The other side: message brokers, each with mutual TLS and its disk synced before it confirms, on this machine.

In: a `Plan`. Out: messages confirmed a second. What is not installed is not measured, and said to be so. A broker takes
the same bytes as a node, and neither checks nor proves anything about them.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL, SIGTERM
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final

from gateway.cli.bench.figures import Measure, NotMeasured, Values
from gateway.cli.bench.nodes import HOME, SENDER, STOP_SECONDS, helper
from gateway.cli.bench.plan import PROVING_SECONDS, Plan
from gateway.cli.bench.publish import Job
from gateway.cli.children import last_words, starting
from gateway.cli.development import free_ports, is_free
from gateway.errors import ErrorCode, Failure

IN_FLIGHT: Final = 256
START_SECONDS: Final = 90.0
RABBITMQ: Final = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/usr/sbin/rabbitmq-server"))
"""The first is Debian's without the wrapper, which would run it as another user, on the one store of the machine."""

_POLL_SECONDS: Final = 0.1

Run = Callable[[Plan, Path, int], AbstractContextManager[None]]
"""Runs a broker in a folder, on a port."""


def measures(plan: Plan) -> list[Measure]:
    """Return what is measured of brokers."""
    return [
        Measure(("jetstream_rate",), lambda _: _measure(plan, "jetstream", "nats", _jetstream)),
        Measure(("rabbitmq_rate",), lambda _: _measure(plan, "rabbitmq", "aiormq", _rabbitmq)),
    ]


def _measure(plan: Plan, broker: str, library: str, run: Run) -> Values:
    if find_spec(library) is None:
        raise NotMeasured(f"not installed: {library}, of the extra `bench`")
    (port,) = free_ports(1)
    sender = plan.nodes.config(SENDER).parent
    job = Job(
        broker=broker,
        port=port,
        ca=str(_ca(plan)),
        chain=str(sender / "tls.pem"),
        key=str(sender / "tls.key"),
        pool=str(plan.direct),
        count=plan.sizes.pool,
        seconds=plan.sizes.seconds,
        in_flight=IN_FLIGHT,
    )
    with (
        TemporaryDirectory(dir=plan.folder) as folder,
        run(plan, Path(folder), port),
        helper("gateway.cli.bench.publish", json.dumps(asdict(job)), plan.nodes.log) as publishing,
    ):
        publishing.say("go")
        published = json.loads(publishing.hear(job.seconds + PROVING_SECONDS))
    return {f"{broker}_{name}": value for name, value in published.items()}


def _ca(plan: Plan) -> Path:
    return plan.nodes.summary.folder / "pki" / HOME / "ca.pem"


@contextmanager
def _jetstream(plan: Plan, folder: Path, port: int) -> Iterator[None]:
    """Run NATS with a store that is synced before each acknowledgement."""
    program = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        raise NotMeasured("not installed: nats-server")
    node = plan.nodes.config(f"{HOME}/node").parent
    settings = folder / "nats.conf"
    settings.write_text(
        f"listen: 127.0.0.1:{port}\n"
        f'jetstream {{ store_dir: "{folder}", sync_interval: always }}\n'
        f'tls {{ cert_file: "{node / "tls.pem"}", key_file: "{node / "tls.key"}", ca_file: "{_ca(plan)}",'
        " verify: true }\n"
    )
    with _program([program, "--config", str(settings)], plan.nodes.log, port):
        yield


@contextmanager
def _rabbitmq(plan: Plan, folder: Path, port: int) -> Iterator[None]:
    """Run RabbitMQ as one node, with a home, a port mapper and everything else of its own."""
    program = next((each for each in RABBITMQ if each.exists()), None)
    if program is None:
        raise NotMeasured("not installed: rabbitmq-server")
    node, (mapper, between) = plan.nodes.config(f"{HOME}/node").parent, free_ports(2)
    settings = folder / "rabbitmq.conf"
    settings.write_text(
        "listeners.tcp = none\n"
        f"listeners.ssl.default = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {folder / 'ca.pem'}\n"
        f"ssl_options.certfile = {node / 'tls.pem'}\n"
        f"ssl_options.keyfile = {node / 'tls.key'}\n"
        "ssl_options.versions.1 = tlsv1.3\n"
        "ssl_options.verify = verify_peer\n"
        "ssl_options.fail_if_no_peer_cert = true\n"
    )
    # Erlang takes no CA as an anchor that is not its own issuer.
    (folder / "ca.pem").write_bytes(_ca(plan).read_bytes() + (plan.nodes.summary.folder / "pki/root.pem").read_bytes())
    (folder / "enabled_plugins").write_text("[].\n")
    environment = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
    }
    try:
        with _program([str(program)], plan.nodes.log, port, environment):
            yield
    finally:
        # It starts a port mapper of its own, which outlives it.
        if (epmd := shutil.which("epmd")) is not None and not is_free(mapper):
            subprocess.run(  # noqa: S603  of the port that is ours alone
                [epmd, "-port", str(mapper), "-kill"], check=False, capture_output=True, env=environment
            )


@contextmanager
def _program(
    arguments: list[str], diagnostics: Path, port: int, environment: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a program until it listens; it, and all that it started in its session, end with the block.

    Raises:
        Failure: UNAVAILABLE, it ended, or does not listen in time.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with diagnostics.open("ab") as file, starting():
            process = subprocess.Popen(  # noqa: S603  our own words
                arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )
        until = monotonic() + START_SECONDS
        while is_free(port):
            if process.poll() is not None or monotonic() > until:
                detail = f"{arguments[0]} does not listen; its last words: {last_words(diagnostics)}"
                raise Failure(ErrorCode.UNAVAILABLE, detail)
            sleep(_POLL_SECONDS)
        yield
    finally:
        if process is not None:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it, and all of its session, to end, then insist."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, SIGKILL)
        process.wait()
