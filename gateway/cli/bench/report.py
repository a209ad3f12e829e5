"""The figures of a run as tables on a terminal.

In: the figures as they are written down. Out: text. What was not measured is shown as such, with its reason.
"""

from collections.abc import Mapping
from typing import Any, Final

import click

from gateway.cli import output
from gateway.cli.bench import targets, wallets
from gateway.cli.bench.figures import IN_FLIGHT, named
from gateway.cli.bench.growth import name_of
from gateway.cli.bench.stages import STAGES

NOT_MEASURED: Final = "not measured"
PROCEDURE_TARGET_RATIO: Final = 1.0
"""What authorisation and procedure may cost together, as a ratio to one Ed25519 verification."""

RATES: Final = {
    "verify_rate": "Ed25519 verification, bare, one core",
    "stream_echo_rate": "gRPC echo, bare, frames of 64",
    "accept_stream_rate": "accepted, stream, one process",
    "accept_batch_signed_rate": "accepted, batch-signed frames",
    "accept_telemetry_rate": "accepted, stream, spans exported",
    "accept_two_process_rate": "accepted, two processes, one store",
    "accept_postgresql_rate": "accepted, stream, PostgreSQL",
    "end_to_end_rate": "two nodes, collected and acknowledged",
    "end_to_end_postgresql_rate": "two nodes, PostgreSQL",
    "jetstream_rate": "NATS JetStream, synced, verifies nothing",
    "rabbitmq_rate": "RabbitMQ quorum queue, verifies nothing",
    "as2_rate": "AS2, no disk, no network, one core",
}

COSTS: Final = {
    "stream": "accept_stream",
    "batch-signed": "accept_batch_signed",
    "two processes": "accept_two_process",
    "PostgreSQL, without its server": "accept_postgresql",
    "telemetry": "accept_telemetry",
    "two nodes": "end_to_end",
}


def show(figures: Mapping[str, Any]) -> None:
    """Print everything."""
    _show_machine(figures)
    _show_rates(figures)
    _show_unary(figures)
    _show_costs(figures)
    _show_growth(figures)
    _show_wallets(figures["wallets"])
    _show_log(figures["log"])
    _show_finding(figures["finding"])
    _show_procedure(figures["procedure"])
    _show_targets(figures)


def _show_machine(figures: Mapping[str, Any]) -> None:
    about = figures["machine"]
    click.echo(
        f"{about['cores']} cores of {about['processor']}, {about['memory_bytes'] / (1 << 30):.0f} GiB,"
        f" {about['file_system']}, fsync {about['fsync_ms']:.2f} ms; {about['system']}, Python {about['python']};"
        f" load {about['load_before']:.1f} before, {about['load_after']:.1f} after"
    )
    click.echo(f"{figures['mix']}; {figures['beside']}")
    click.echo(f"medians of {figures['rounds']} interleaved rounds, {figures['took_seconds']:.0f} s in all\n")


def _show_rates(figures: Mapping[str, Any]) -> None:
    rows = [(what, _number(figures.get(name)), _ratio(figures, name, "verify_rate")) for name, what in RATES.items()]
    output.emit_table(("what", "a second", "to verification"), rows)
    click.echo()


def _show_unary(figures: Mapping[str, Any]) -> None:
    rows = []
    for many in IN_FLIGHT:
        echo, accepted = named("unary_echo_rate", many), named("accept_unary_rate", many)
        rows.append(
            (
                many,
                _number(figures.get(echo)),
                _number(figures.get(accepted)),
                _ratio(figures, accepted, echo),
                _number(figures.get(f"accept_unary_p50_ms_at_{many}"), 1),
                _number(figures.get(f"accept_unary_p99_ms_at_{many}"), 1),
                _number(figures.get(f"accept_unary_cpu_us_at_{many}")),
            )
        )
    output.emit_table(("in flight", "echo", "accepted", "ratio", "p50 ms", "p99 ms", "cpu us"), rows)
    click.echo()


def _show_costs(figures: Mapping[str, Any]) -> None:
    by_stage, spent = figures["stages"], figures.get("accept_stream_cpu_us")
    rows = [(stage, f"{by_stage[stage]:.1f}") for stage in STAGES]
    rows.append(("all stages, alone", f"{by_stage['sum']:.1f}"))
    rows.append(("the node on a stream, all of it", _number(spent, 1)))
    rows.append(("one bare verification", _number(figures.get("verify_cpu_us"), 1)))
    output.emit_table(("stage of the path", "cpu us an envelope"), rows)
    for title, names in (
        ("ms at half load, stream", ("half_load_p50_ms", "half_load_p99_ms")),
        ("ms at half load, end to end", ("end_to_end_half_load_p50_ms", "end_to_end_half_load_p99_ms")),
    ):
        p50, p99 = (_number(figures.get(name), 1) for name in names)
        click.echo(f"{title}: p50 {p50}, p99 {p99}")
    idle, loaded = (_number(figures.get(name)) for name in ("node_idle_mib", "node_loaded_mib"))
    for what, name in COSTS.items():
        cpu, lock, load = (_number(figures.get(f"{name}_{part}_us")) for part in ("cpu", "lock", "load"))
        click.echo(f"us an envelope, {what}: {cpu} of the processors, {lock} of threads under one lock, load {load}")
    click.echo(f"MiB of a node: {idle} idle, {loaded} loaded; bytes on disk an envelope:", nl=False)
    click.echo(f" {_number(figures.get('bytes_per_envelope'))}\n")


def _show_growth(figures: Mapping[str, Any]) -> None:
    names = {stored: name_of(stored) for stored in figures["growth"]}
    rows = [
        (
            stored,
            _number(figures.get(name)),
            _number(figures.get(f"{name}_p99_ms"), 1),
            _number(figures.get(f"{name}_cpu_us")),
            _number(figures.get(f"{name}_mib")),
            _number(figures.get(f"{name}_bytes_per_envelope")),
        )
        for stored, name in names.items()
    ]
    output.emit_table(("stored before", "accepted", "p99 ms", "cpu us", "MiB", "bytes an envelope"), rows)
    click.echo()


def _show_wallets(figures: Mapping[str, Any]) -> None:
    output.emit_table(
        ("check of a wallet", "us", "to one Ed25519 verification"),
        [
            (name, f"{figures[f'{name}_us']:.1f}", f"{figures[f'{name}_ratio']:.2f}")
            for name in (*wallets.WALLETS, "mean")
        ],
    )
    verify = figures["ed25519_verify_us"]
    click.echo(f"one Ed25519 verification: {verify:.1f} us; target: below {wallets.TARGET_RATIO}\n")


def _show_log(figures: Mapping[str, Any]) -> None:
    titles = {
        "entry_us": "an entry more",
        "inclusion_us": "inclusion proof",
        "consistency_us": "consistency proof",
        "checkpoint_us": "checkpoint",
    }
    rows = [
        (size, *(f"{each[name]:,.1f}" for name in titles), f"{each['bytes_per_entry']:.0f}")
        for size, each in figures["of_size"].items()
    ]
    output.emit_table(("entries of the log", *(f"{title}, us" for title in titles.values()), "bytes an entry"), rows)
    click.echo()


def _show_finding(figures: Mapping[str, Any]) -> None:
    output.emit_table(
        (f"looked for among {figures['envelopes']} envelopes", f"ms to a page of {figures['page']}"),
        [(name, f"{ms:.1f}") for name, ms in figures["ms"].items()],
    )
    click.echo()


def _show_procedure(figures: Mapping[str, Any]) -> None:
    columns = ("authorise_us", "check_us", "us", "again_us", "record_us")
    verify = figures["verify_us"]
    output.emit_table(
        ("step", "authorise", "procedure", "both, us", "again", "record", "both to one verification"),
        [
            (name, *(f"{each[column]:.1f}" for column in columns), f"{each['us'] / verify:.2f}")
            for name, each in figures["per_kind"].items()
        ],
    )
    click.echo(
        f"mean with {figures['cases']} open cases: {figures['mean_us']:.1f} us, again {figures['again_us']:.1f};"
        f" one Ed25519 verification: {verify:.1f} us;"
        f" ratio {figures['ratio']:.2f}, again {figures['again_ratio']:.2f}; target: below {PROCEDURE_TARGET_RATIO}\n"
    )


def _show_targets(figures: Mapping[str, Any]) -> None:
    rows = []
    for target in figures["targets"]:
        measured = target["measured"]
        outcome = target.get("not_measured") or ("met" if target["met"] else "NOT MET")
        told = NOT_MEASURED if measured is None else targets.shown(target)
        rows.append((target["name"], target["wanted"], told, outcome))
    output.emit_table(("target", "wanted", "measured", "outcome"), rows)
    missed = [(target["name"], target["reason"]) for target in figures["targets"] if "reason" in target]
    if missed:
        click.echo("\nnot met, and what stands in the way:")
    for name, reason in missed:
        click.echo(f"  {name}: {reason}")


def _number(value: float | None, digits: int = 0) -> str:
    return NOT_MEASURED if value is None else f"{value:,.{digits}f}"


def _ratio(figures: Mapping[str, Any], name: str, to: str) -> str:
    above, below = figures.get(name), figures.get(to)
    return "" if above is None or not below else f"{above / below:.2f}"
