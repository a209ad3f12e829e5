"""What is in `deploy/`: judged by published schemas, run through our own command line, held against its promises."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import kubernetes_validate
import pytest
import yaml

from gateway import cli, config
from gateway.cli import output
from gateway.config import NodeConfig, ParticipantConfig, WitnessConfig
from gateway.node import DRAIN_SECONDS

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
GUIDE: Final = ROOT / "docs/deployment.md"
UNITS: Final = {
    "rogatory": "serve",
    "rogatory-log": "serve-log",
    "rogatory-witness": "witness serve",
    "rogatory-console": "console",
    "rogatory-backup": "backup",
}
TIMED: Final = ("rogatory-backup",)
KUBERNETES: Final = "1.34"
NAME: Final = "app.kubernetes.io/name"

SANDBOX: Final[Mapping[str, str]] = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "LimitCORE": "0",
    "UMask": "0077",
    "KillSignal": "SIGTERM",
    "StateDirectoryMode": "0700",
}


def accepted(line: str | Sequence[str]) -> str:
    """Return which command a line is for; fails if our command line would not take it."""
    name, *words = shlex.split(line) if isinstance(line, str) else line
    assert Path(name).name == "rogatory"
    command: click.Command = cli.commands
    path = []
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        path.append(words[0])
        command, words = found, words[1:]
    with command.make_context("rogatory", list(words)):
        return " ".join(path)


def unit(name: str, sort: str = "service") -> dict[str, list[str]]:
    """Return the directives of a unit, all sections in one; what is said twice is there twice."""
    said: dict[str, list[str]] = {}
    for line in (DEPLOY / f"systemd/{name}.{sort}").read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            said.setdefault(key, []).append(value)
    return said


@pytest.mark.parametrize("name", UNITS)
def test_unit_runs_what_there_is_and_may_do_nothing_else(name: str) -> None:
    said = unit(name)
    (start,) = said["ExecStart"]
    assert accepted(start) == UNITS[name]
    assert {key: said.get(key) for key in SANDBOX} == {key: [value] for key, value in SANDBOX.items()}
    assert said["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert said["ReadWritePaths"] == [f"/var/lib/{said['StateDirectory'][0]}"]
    if name in TIMED:
        # It is started by its timer, and at no other time.
        assert (said["Type"], "Restart" in said, "WantedBy" in said) == (["oneshot"], False, False)
        timer = unit(name, "timer")
        assert (timer["WantedBy"], timer["Persistent"]) == (["timers.target"], ["yes"])
    else:
        # A node that an operator has drained ends well, and is wanted back.
        assert (said["Type"], said["Restart"]) == (["exec"], ["always" if name == "rogatory" else "on-failure"])
        assert said["WantedBy"] == ["multi-user.target"]
        # A wrong passphrase or PIN is tried once; whatever else stops a start may pass.
        opens_keys = start.split()[1] in cli.SERVICES
        assert said.get("RestartPreventExitStatus", []) == [str(output.WRONG_SECRET)] * opens_keys
    assert ("User" in said) != ("DynamicUser" in said)
    assert said.get("User") != ["root"]


def test_node_has_time_for_its_drain() -> None:
    stop = float(unit("rogatory")["TimeoutStopSec"][0])
    compose = stack()["services"]["ee"]["stop_grace_period"]
    pod = template()
    before = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
    for seconds in (stop, float(compose.removesuffix("s")), pod["terminationGracePeriodSeconds"] - before):
        assert seconds >= 3 * DRAIN_SECONDS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units_and_finds_little_exposed(tmp_path: Path) -> None:
    for name in UNITS:
        text = (DEPLOY / f"systemd/{name}.service").read_text()
        # Verification looks for the program, which is not installed here.
        file = tmp_path / f"{name}.service"
        file.write_text(text.replace("/opt/rogatory/bin/rogatory", sys.executable))
        run("systemd-analyze", "verify", "--recursive-errors=no", str(file))
        if name in TIMED:
            timer = shutil.copy(DEPLOY / f"systemd/{name}.timer", tmp_path)
            run("systemd-analyze", "verify", "--recursive-errors=no", str(timer))
            run("systemd-analyze", "calendar", *unit(name, "timer")["OnCalendar"])
        told = run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", str(file))
        assert " OK " in told


def run(*words: str, **environment: str) -> str:
    """Run a program to its end, which must be a good one; return all that it said."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tool(name: str) -> str:
    """Return a program that came with a development dependency."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, f"{name} is not installed beside {sys.executable}"
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Return instructions and what they are given, in order; a continued line is one."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "docker/Dockerfile").read_text())
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_dockerfile_is_well_made() -> None:
    run(tool("hadolint"), "--failure-threshold", "style", str(DEPLOY / "docker/Dockerfile"))


def test_image_is_small_pinned_and_not_roots() -> None:
    said = dockerfile()
    last = max(number for number, (word, _) in enumerate(said) if word == "FROM")
    stages = [value for word, value in said if word == "FROM"]
    assert stages == ["${BASE} AS build", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-[a-z]+", dict(said)["ARG"])
    assert not any(word == "ADD" for word, _ in said)
    assert [value for word, value in said[last:] if word == "USER"] == ["10001:10001"]
    # Whatever is run after that line is not run by root, and whatever is copied from outside is copied before the
    # second stage begins.
    assert all("--from=build" in value for word, value in said[last:] if word == "COPY")
    installed = [value for word, value in said if word == "RUN" and " install " in value and "pip" in value]
    assert ["--require-hashes" in value or "--no-deps" in value for value in installed] == [True, True]
    assert dict(said)["STOPSIGNAL"] == "SIGTERM"


def test_image_runs_commands_that_there_are() -> None:
    said = dict(dockerfile())
    entry, arguments = yaml.safe_load(said["ENTRYPOINT"]), yaml.safe_load(said["CMD"])
    assert accepted([*entry, *arguments]) == "serve"
    probe = said["HEALTHCHECK"].partition("CMD ")[2]
    assert accepted(yaml.safe_load(probe)) == "health"


def test_nothing_is_sent_to_the_builder_but_the_program() -> None:
    copied = {
        word
        for instruction, value in dockerfile()
        if instruction == "COPY" and "--from" not in value
        for word in value.split()[:-1]
    }
    rules = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
    lines = [line for line in rules if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert {"**/*.key", "**/*.pem"} <= set(lines)
    assert all((ROOT / each).exists() for each in copied)


def stack() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    return found


def test_compose_file_is_one() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose/compose.yaml"))


@pytest.mark.parametrize("name", [*stack()["services"]])
def test_container_may_do_little(name: str) -> None:
    made = stack()
    service = made["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & service.keys()
    # Only what shows spans, figures and the console is reached from outside, and from this machine alone.
    assert name in ("jaeger", "grafana", "machine") or "ports" not in service
    assert all(each.startswith("127.0.0.1:") for each in service.get("ports", ()))
    assert service["healthcheck"].get("disable") or service["healthcheck"]["test"][0] == "CMD"
    assert re.fullmatch(
        r"rogatory:\d+\.\d+\.\d+|postgres:\d+\.\d+-[a-z]+|(otel|jaegertracing|prom|grafana)/[a-z-]+:v?\d+\.\d+\.\d+",
        service["image"],
    )
    # No folder of the machine is seen, and no engine's socket.
    assert {each.split(":")[0] for each in service.get("volumes", ())} <= made["volumes"].keys()
    if service["image"].startswith("postgres"):
        assert (service["network_mode"], service["user"]) == ("none", "postgres")
    # A dependency is there, and is asked about its health only if it has any to tell.
    for other, wanted in service.get("depends_on", {}).items():
        assert wanted["condition"] != "service_healthy" or "test" in made["services"][other]["healthcheck"]


def test_containers_run_commands_that_there_are() -> None:
    services = stack()["services"]
    ran = {name: accepted(["rogatory", *services[name]["command"]]) for name in ("ee", "de", "ee-log", "ee-console")}
    assert ran == {"ee": "serve", "de": "serve", "ee-log": "serve-log", "ee-console": "console"}
    for name in ("ee", "de"):
        assert accepted(services[name]["healthcheck"]["test"][1:]) == "health"


def test_browser_of_this_machine_finds_its_way_to_the_console() -> None:
    services = stack()["services"]
    program, option, script = services["machine"]["entrypoint"]
    (way,) = services["machine"]["ports"]
    _, outside, inside = way.split(":")
    # The console knows itself by that name, and refuses others.
    assert f"127.0.0.1:{outside}" == services["ee-console"]["command"][-1]
    with socket.create_server(("127.0.0.1", 0)) as console, socket.create_server(("127.0.0.1", 0)) as free:
        door = free.getsockname()[1]
        free.close()
        ours = {f'"127.0.0.1", {outside}': f'"127.0.0.1", {console.getsockname()[1]}', inside: str(door)}
        for theirs, our in ours.items():
            assert theirs in script
            script = script.replace(theirs, our)
        running = subprocess.Popen([sys.executable, option, script.replace("0.0.0.0", "127.0.0.1")])  # noqa: S104  the other way round
        try:
            browser = connected(door, running)
            with browser, console.accept()[0] as there:
                browser.sendall(b"GET / HTTP/1.1")
                assert there.recv(64) == b"GET / HTTP/1.1"
                there.sendall(b"HTTP/1.1 200")
                assert browser.recv(64) == b"HTTP/1.1 200"
                browser.shutdown(socket.SHUT_WR)
                assert there.recv(64) == b""
        finally:
            running.kill()
            running.wait()
    assert program == "python"


def connected(port: int, running: subprocess.Popen[bytes]) -> socket.socket:
    """Return a connection to a process that is starting; fails if it ends."""
    while running.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            time.sleep(0.02)  # no word says that it listens
    raise AssertionError("it has ended")


def test_compose_file_founds_a_federation_that_it_serves(tmp_path: Path) -> None:
    services = stack()["services"]
    shell, option, script = services["found"]["entrypoint"]
    program = tmp_path / "bin/rogatory"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway.cli "$@"\n')
    program.chmod(0o755)
    sources = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    words = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": sources}
    folder = tmp_path / "volume"
    folder.mkdir()
    script = f"cd '{folder}'\n" + script.replace("$$", "$")
    run(shell, option, script, **words)
    root = (folder / "fed/root.json").read_bytes()
    for code in ("ee", "de"):
        settings = config.load(NodeConfig, folder / "fed" / services[code]["command"][-1])
        sockets = f"/run/{code}-database"
        assert settings.store == f"postgresql:///node?host={sockets}&user=rogatory"
        # A store in a database has no folder beside it.
        assert settings.attachments.folder == folder / "fed" / code / "attachments"
        assert f"{code}-socket:{sockets}" in services[code]["volumes"]
        assert settings.health == services[code]["healthcheck"]["test"][-1]
        assert settings.telemetry.prometheus in scraped(code)
        assert settings.telemetry.otlp_endpoint == collector()["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
        assert services[code]["volumes"][0] == services["found"]["volumes"][0]
    # The second time, nothing is made anew.
    run(shell, option, script, **words)
    assert (folder / "fed/root.json").read_bytes() == root


def scraped(code: str) -> list[str]:
    """Return where the processes of a node are scraped."""
    (job,) = yaml.safe_load((DEPLOY / "telemetry/prometheus.yaml").read_text())["scrape_configs"]
    return [at for each in job["static_configs"] if each["labels"]["node"] == code for at in each["targets"]]


def collector() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "telemetry/collector.yaml").read_text())
    return found


def test_collector_passes_on_what_it_takes_by_parts_that_it_has() -> None:
    made = collector()
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    assert made["service"]["pipelines"].keys() == {"traces", "metrics"}
    for pipeline in made["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for part, names in pipeline.items():
            used[part] |= set(names)
    assert used == {part: set(made[part]) for part in used}
    where, port = made["exporters"]["otlp/jaeger"]["endpoint"].split(":")
    assert (where in stack()["services"], port) == (True, "4317")


def test_files_of_the_stack_are_there_and_all_are_used() -> None:
    made = stack()
    files = {name: (DEPLOY / "compose" / each["file"]).resolve() for name, each in made["configs"].items()}
    # Of backups, systemd or a cluster knows, and the stack has neither.
    assert {*files.values(), DEPLOY / "telemetry/backups.yaml"} == {*(DEPLOY / "telemetry").iterdir()}
    used = {each["source"] for service in made["services"].values() for each in service.get("configs", ())}
    assert used == files.keys()


def objects() -> Iterator[dict[str, Any]]:
    """Return what is made in a cluster, but for the settings."""
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    for name in listed["resources"]:
        yield from yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in objects() if each["kind"] == kind]


def template() -> dict[str, Any]:
    return pods()["rogatory"]


def pods() -> dict[str, dict[str, Any]]:
    """Return what each pod is like, by its label."""
    made = [each["spec"] for kind in ("StatefulSet", "Deployment") for each in of_kind(kind)]
    made += [each["spec"]["jobTemplate"]["spec"] for each in of_kind("CronJob")]
    return {each["template"]["metadata"]["labels"][NAME]: each["template"]["spec"] for each in made}


def test_cluster_takes_every_object() -> None:
    for each in objects():
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_cluster_refuses_what_is_misspelt() -> None:
    made = of_kind("StatefulSet")[0]
    made["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, KUBERNETES, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_puts_it_together() -> None:
    built = [*yaml.safe_load_all(run("kubectl", "kustomize", str(DEPLOY / "kubernetes")))]
    for each in built:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "rogatory"
    settings = {each["metadata"]["name"] for each in built if each["kind"] == "ConfigMap"}
    assert len(settings) == 2
    for processes in (each for each in built if each["kind"] in {"StatefulSet", "Deployment"}):
        pod = processes["spec"]["template"]["spec"]
        (named,) = (each["configMap"] for each in pod["volumes"] if "configMap" in each)
        assert (named["name"] in settings, named["defaultMode"]) == (True, 0o444)
        assert {each["image"] for each in pod["containers"] + pod["initContainers"]} == {"rogatory:0.1.0"}


@pytest.mark.parametrize("name", [*pods()])
def test_pods_may_do_little(name: str) -> None:
    pod = pods()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in pod["containers"] + pod["initContainers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert each["resources"]["limits"]["memory"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all(not {"hostPath"} & each.keys() for each in pod["volumes"])
    (space,) = of_kind("Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", [*pods()])
def test_keys_are_the_processes_own_and_never_on_a_disk(name: str, tmp_path: Path) -> None:
    pod = pods()[name]
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["secret"]["secret"]["defaultMode"] == 0o400
    assert volumes["keys"]["emptyDir"]["medium"] == "Memory"
    assert not any(each["name"] == "secret" for each in pod["containers"][0]["volumeMounts"])
    if name in {"rogatory-log", "rogatory-backup"}:
        # Who only reads the database is given what opens that.
        assert {each["key"] for each in volumes["secret"]["secret"]["items"]} == {"db.key", "db.pem", "db-ca.pem"}
    shell, option, script = pod["initContainers"][0]["command"]
    # As a kubelet mounts them: links to a hidden folder, readable by the group.
    secret, keys = tmp_path / "secret", tmp_path / "keys"
    (secret / "..data").mkdir(parents=True)
    keys.mkdir()
    (secret / "..data/signing.key").write_text("made up")
    (secret / "..data/signing.key").chmod(0o440)
    (secret / "signing.key").symlink_to("..data/signing.key")
    run(shell, option, script.replace("/run/secret", str(secret)).replace("/run/keys", str(keys)))
    assert [(each.name, each.lstat().st_mode & 0o777) for each in keys.iterdir()] == [("signing.key", 0o400)]


def test_processes_are_several_and_asked_how_they_are() -> None:
    (made,) = (each for each in of_kind("StatefulSet") if each["metadata"]["name"] == "node")
    budget = next(each for each in of_kind("PodDisruptionBudget") if each["metadata"]["name"] == "node")
    (container,) = template()["containers"]
    assert made["spec"]["replicas"] >= 3
    assert budget["spec"]["maxUnavailable"] == 1
    settings = config.load(NodeConfig, DEPLOY / "kubernetes/node.toml")
    port = int(str(settings.health).rpartition(":")[2])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": port}
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    figures = int(str(settings.telemetry.prometheus).rpartition(":")[2])
    assert ports == {"grpc": int(settings.listen.rpartition(":")[2]), "health": port, "metrics": figures}
    assert accepted(["rogatory", *container["args"]]) == "serve"
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    named = (settings.certificate, settings.tls_key, settings.directory.root, *settings.signing_keys)
    assert {str(each.parent) for each in named} == {"/run/keys"}
    assert {"/run/keys", "/etc/rogatory", str(settings.directory.cache.parent)} <= mounts
    assert str(settings.store).startswith("postgresql://")
    assert settings.attachments.s3 is not None


def test_pod_may_migrate_a_hundred_million_envelopes_before_it_is_taken_for_dead() -> None:
    # docs/deployment.md, Upgrade. A migration is one transaction: killed in the middle, it begins anew, for ever.
    (container,) = template()["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 100 * 60


def test_pods_are_found_by_every_selector() -> None:
    services = {each["metadata"]["name"]: each["spec"]["selector"][NAME] for each in of_kind("Service")}
    assert services == {
        "node": "rogatory",
        "node-processes": "rogatory",
        "log": "rogatory-log",
        "console": "rogatory-console",
    }
    assert {each["spec"]["serviceName"] for each in of_kind("StatefulSet")} <= services.keys()
    for each in of_kind("StatefulSet") + of_kind("Deployment"):
        assert each["spec"]["selector"] == {"matchLabels": each["spec"]["template"]["metadata"]["labels"]}
    budgets = {each["spec"]["selector"]["matchLabels"][NAME] for each in of_kind("PodDisruptionBudget")}
    assert budgets == {"rogatory", "rogatory-log"}


def test_log_of_a_cluster_is_served_by_processes_that_hold_no_key_of_the_node() -> None:
    (container,) = pods()["rogatory-log"]["containers"]
    assert accepted(["rogatory", *container["args"]]) == "serve-log"
    (port,) = container["ports"]
    assert container["args"][-1] == f"0.0.0.0:{port['containerPort']}"
    assert {container[probe]["tcpSocket"]["port"] for probe in ("readinessProbe", "livenessProbe")} == {port["name"]}


def test_console_of_a_cluster_has_keys_of_an_operator_alone() -> None:
    (container,) = pods()["rogatory-console"]["containers"]
    assert accepted(["rogatory", *container["args"]]) == "console"
    operator = config.load(ParticipantConfig, DEPLOY / "kubernetes/operator.toml")
    assert str(operator.address) == "ee/operator"
    assert operator.signing_keys == operator.sealing_keys == ()
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    for each in (operator.certificate, operator.tls_key, operator.directory.root, operator.home):
        assert str(each.parent) in mounts
    (volume,) = (each for each in pods()["rogatory-console"]["volumes"] if each["name"] == "secret")
    assert volume["secret"]["secretName"] != "node-keys"
    assert container["ports"][0]["containerPort"] == int(container["args"][4].rpartition(":")[2])


def test_nightly_dump_is_of_the_database_of_the_settings_and_fourteen_are_kept(tmp_path: Path) -> None:
    (container,) = pods()["rogatory-backup"]["containers"]
    (told,) = container["env"]
    settings = config.load(NodeConfig, DEPLOY / "kubernetes/node.toml")
    assert (told["name"], told["value"]) == ("DATABASE", settings.store)
    programs, kept = tmp_path / "bin", tmp_path / "backup"
    programs.mkdir()
    kept.mkdir()
    # The dump itself is tried in tests/integration/test_deployment.py.
    for name, script in (("pg_dump", 'for word; do :; done; echo "$word" > "${3#--file=}"'), ("pg_restore", "true")):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    for day in range(1, 17):
        (kept / f"node-202601{day:02}T023000Z.dump").touch()
    (kept / "node-20260117T023000Z.dump.part").touch()
    (kept / "notes").touch()
    shell, option, script = container["command"]
    words = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DATABASE": "made up"}
    run(shell, option, script.replace("/backup", str(kept)), **words)
    dumps = sorted(each.name for each in kept.iterdir())
    assert len(dumps) == 15
    assert dumps[0] == "node-20260104T023000Z.dump"
    assert (kept / dumps[-2]).read_text() == "made up\n"
    assert dumps[-1] == "notes"
    # A dump that fails leaves what there was.
    (programs / "pg_dump").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(AssertionError):
        run(shell, option, script.replace("/backup", str(kept)), **words)
    assert sorted(each.name for each in kept.iterdir()) == dumps


def test_network_is_closed_but_for_what_is_needed() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy")}
    assert policies.pop("nothing") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    entries = {name: each["ingress"] for name, each in policies.items() if "ingress" in each}
    assert entries.keys() == {"callers", "log-readers", "operators", "scrapers"}
    assert entries["callers"] == [{"ports": [{"port": 7440, "protocol": "TCP"}]}]
    for name, port in (("log-readers", 7480), ("operators", 8443), ("scrapers", 9464)):
        (rule,) = entries[name]
        assert (len(rule["from"]), rule["ports"]) == (1, [{"port": port, "protocol": "TCP"}])
    reached: dict[str, set[str]] = {name: set() for name in pods()}
    for name, each in policies.items():
        chosen = each["podSelector"]
        labels = (
            chosen["matchExpressions"][0]["values"]
            if "matchExpressions" in chosen
            else [*chosen["matchLabels"].values()]
        )
        assert {*labels} <= reached.keys()
        assert all(rule["to"] and rule["ports"] for rule in each.get("egress", ()))
        for label in labels:
            reached[label].add(name)
    assert reached == {
        "rogatory": {"callers", "names", "database", "others", "scrapers"},
        "rogatory-log": {"log-readers", "names", "database"},
        "rogatory-console": {"operators", "asking", "names", "others"},
        "rogatory-backup": {"names", "database"},
    }


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_command_of_the_guide_is_one() -> None:
    lines = [line for fence in fences("sh") for line in fence.splitlines()]
    ours = [re.sub(r"^(sudo -u rogatory )?(/opt/rogatory/bin/)?(?=rogatory )", "", line) for line in lines]
    ran = [accepted(line.partition(" #")[0]) for line in ours if line.startswith("rogatory ")]
    assert len(ran) >= 8


def test_program_of_the_guide_is_where_the_units_look_for_it_also_after_an_upgrade(tmp_path: Path) -> None:
    lines = [line for fence in fences("sh") for line in fence.splitlines()]
    (made,) = (line for line in lines if line.startswith("python3 -m venv "))
    linked, typed = (line for line in lines if line.startswith("ln "))
    (tmp_path / "opt").mkdir()
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    for version in ("0.1.0", "0.2.0", "0.1.0"):
        for line in (made, linked, *((typed,) if version == "0.1.0" else ())):
            said = re.sub("/(?=opt/|usr/local/)", f"{tmp_path}/", line).replace("0.1.0", version)
            program, *words = said.replace("-m venv", "-m venv --without-pip").split()
            run(sys.executable if program == "python3" else program, *words)
        # As an installer writes it: with the folder's own path.
        script = tmp_path / f"opt/rogatory-{version}/bin/rogatory"
        script.write_text(f"#!{script.with_name('python3')}\nprint('{version}')\n")
        script.chmod(0o755)
        (start,) = unit("rogatory")["ExecStart"]
        assert run(f"{tmp_path}{start.split()[0]}") == f"{version}\n"
        # Whoever types its name has the same one.
        assert run(str(tmp_path / "usr/local/bin/rogatory")) == f"{version}\n"


def test_a_service_reads_no_folder_that_the_guide_closes_to_its_user() -> None:
    lines = [shlex.split(line) for fence in fences("sh") for line in fence.splitlines() if line.startswith("install -")]
    owners = {
        folder: line[line.index("--owner") + 1]
        for line in lines
        if "--directory" in line and "0700" in line
        for folder in line
        if folder.startswith("/")
    }
    assert owners == {"/etc/rogatory": "rogatory", "/var/lib/rogatory": "rogatory"}
    (witness,) = (tomllib.loads(fence) for fence in fences("toml") if "state =" in fence)
    for name in UNITS:
        said = unit(name)
        # What systemd hands over, root reads.
        read = [word for word in shlex.split(said["ExecStart"][0])[1:] if word.startswith("/")]
        read += [witness["directory"]["root"], witness["state"]] if name == "rogatory-witness" else []
        user = said.get("User", ["somebody"])[0]
        assert {owners.get("/".join(each.split("/")[:depth]), user) for each in read for depth in (3, 4)} == {user}


def test_witness_of_the_guide_is_handed_its_key_and_passphrase() -> None:
    said = unit("rogatory-witness")
    handed = dict(each.split(":") for each in said["LoadCredential"])
    (witness,) = (tomllib.loads(fence) for fence in fences("toml") if "state =" in fence)
    credentials = Path("/run/credentials/rogatory-witness.service")
    assert {witness["key"], witness["passphrase_file"]} == {str(credentials / name) for name in handed}
    (made,) = (line for fence in fences("sh") for line in fence.splitlines() if "witness keygen" in line)
    assert {handed["key"], handed["passphrase"]} <= set(shlex.split(made))


def test_every_setting_of_the_guide_is_one(tmp_path: Path) -> None:
    for number, fence in enumerate(fences("toml")):
        made = tmp_path / f"{number}.toml"
        base = tomllib.loads((DEPLOY / "kubernetes/node.toml").read_text())
        said = tomllib.loads(fence)
        if "state" in said:
            made.write_text(fence)
            config.load(WitnessConfig, made)
        else:
            NodeConfig.model_validate({**base, **said})


def texts() -> list[Path]:
    return [*(each for each in DEPLOY.rglob("*") if each.is_file()), GUIDE]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_no_secret_is_written_down(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"PRIVATE KEY-----|(?i:password|secret_access_key|api_key)\s*[:=]\s*\S", text)
    assert not re.search(
        r"https?://(?!machine:9090|jaeger:16686|directory\.rogatory\.example|s3\.ee\.example|c2sp\.org)", text
    )
