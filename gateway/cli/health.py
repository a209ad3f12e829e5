"""`rogatory health`: ask a process of a node whether it takes calls, for a container engine or a person.

In: the address that `health` in the node's settings names. Out: exit code 0 if it takes calls, else 1.
"""

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.cli import output
from gateway.cli.ranges import Span
from gateway.errors import ErrorCode, Failure


@click.command(epilog="\b\nExample:\n  rogatory health 127.0.0.1:7470")
@click.argument("address", metavar="HOST:PORT")
@click.option("--within", type=Span(0.1, 60), default=3.0, show_default=True, help="Seconds to wait.")
@output.json_option
def command(address: str, within: float, as_json: bool) -> None:
    """Ask a process of a node whether it takes calls: the address is `health` in its settings."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=within)
        except grpc.RpcError as error:
            raise Failure(ErrorCode.UNAVAILABLE, f"{address} does not answer") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise Failure(ErrorCode.UNAVAILABLE, f"{address} takes no new calls")
    if as_json:
        output.emit_json({"serving": True})
    else:
        click.echo("serving")
