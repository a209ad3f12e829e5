"""Alert rules and dashboards in `deploy/telemetry`: they speak of figures that there are, and lead to pages that do."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics, telemetry
from gateway.clock import from_micros
from gateway.metrics import Meters
from tests.unit.test_metrics import NOW_US, count_all

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy/telemetry"
OF_PROMETHEUS: Final = {"up"}

# No wheel has it, and most machines do not: a run without it says in red what it could not ask.
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")


def rules(name: str = "rules") -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return found


def shown() -> Iterator[str]:
    """Yield the expressions of the dashboard, as they are once somebody has chosen."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$node", ".*")


def figures() -> dict[str, set[str]]:
    """Return every figure that a process has, as it is scraped, with its labels."""
    reader, write = telemetry.scraped()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meters = Meters(provider.get_meter("test"), lambda: from_micros(NOW_US))
    count_all(meters)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(write().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    provider.shutdown()
    return found


def spoken_of(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each figure that an expression names, with the labels that it selects by."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    plain = re.sub(r"\b(by|without|unless|on|ignoring)\s*\([^)]*\)", "", plain)
    plain = re.sub(r"\[[^]]*\]", "", plain)
    for found in re.finditer(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?(?!\s*[\w(])", plain):
        name, selected = found.groups()
        if name not in ("by", "unless", "and", "or"):
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected or ""))


EXPRESSIONS: Final = [*((rule["alert"], rule["expr"]) for rule in rules()), *(("shown", each) for each in shown())]


def test_figures_and_labels_that_are_spoken_of_exist() -> None:
    there, seen = figures(), set()
    for name, expression in EXPRESSIONS:
        named = [*spoken_of(expression)]
        assert named, expression
        for figure, labels in named:
            assert figure in there.keys() | OF_PROMETHEUS, (name, figure, expression)
            # Prometheus adds these itself, see prometheus.yaml.
            assert labels - {"node", "job", "instance"} <= there.get(figure, set()), (name, figure, expression)
            seen.add(figure)
    assert len(seen) >= 25


def test_every_figure_is_shown_somewhere() -> None:
    said = " ".join(expression for _, expression in EXPRESSIONS)
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in figures()} - {"target_info", "target"}
    assert not [name for name in sorted(families) if name not in said]


def test_each_warning_has_one_rule_with_a_page() -> None:
    by_name = {rule["labels"]["warning"]: rule for rule in rules() if "warning" in rule["labels"]}
    assert by_name.keys() == {*metrics.WARNINGS}
    for name, rule in by_name.items():
        assert f'rogatory_warning="{name}"' in rule["expr"]
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.replace('.', '-')}"


def anchors(page: Path) -> set[str]:
    """Return what headings of a page can be linked to."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower().replace(".", "-")).strip().replace(" ", "-") for head in heads}


def test_pages_that_rules_lead_to_are_there() -> None:
    for rule in (*rules(), *rules("backups")):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor in anchors(ROOT / page), rule["alert"]


def test_dashboard_is_laid_out_and_can_be_imported() -> None:
    board = json.loads((FOLDER / "dashboard.json").read_text())
    assert board["uid"]
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "node"]
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


WELL: Final = {
    'up{job="rogatory"}': "1+0x80",
    "rogatory_store_transaction_duration_seconds_count": "0+1x80",
    "rogatory_store_queue": "3+0x80",
    "rogatory_store_queue_limit": "16+0x80",
    **{f'rogatory_warnings{{rogatory_warning="{name}"}}': "0+0x80" for name in metrics.WARNINGS},
}
"""What is scraped of a process that has little to do, every 15 seconds for 20 minutes."""

WARNED: Final = {
    rule["alert"]: {f'rogatory_warnings{{rogatory_warning="{rule["labels"]["warning"]}"}}': "1+0x80"}
    for rule in rules()
    if "warning" in rule["labels"]
}
ILL: Final[Mapping[str, Mapping[str, str | None]]] = {
    **WARNED,
    "RogatoryProcessDown": {'up{job="rogatory"}': "0+0x80"},
    "RogatoryNobodyScraped": dict.fromkeys(WELL),
    "RogatoryStoreFailing": {"rogatory_store_failures_total": "0+1x80"},
    "RogatoryStoreStill": {"rogatory_store_transaction_duration_seconds_count": "0+1x20 20+0x60"},
    "RogatoryQueueFull": {"rogatory_store_queue": "9+0x80"},
    "RogatoryBlind": dict.fromkeys(name for name in WELL if name.startswith("rogatory_warnings")),
}
"""What is scraped instead when one thing is wrong; None: nothing."""


def scraped(ill: Mapping[str, str | None], instance: str) -> list[dict[str, str]]:
    """Return what is scraped of a process."""
    whose = f'node="ee",instance="{instance}"'
    said = {**WELL, **ill}
    names = {name: f"{name[:-1]},{whose}}}" if name.endswith("}") else f"{name}{{{whose}}}" for name in said}
    return [{"series": names[name], "values": values} for name, values in said.items() if values is not None]


@needs_promtool
def test_each_alert_fires_when_one_process_of_two_is_ill_and_no_other_does(tmp_path: Path) -> None:
    told = {rule["alert"]: rule for rule in rules()}
    assert ILL.keys() == told.keys()
    cases = []
    for name, ill in {"": {}, **ILL}.items():
        # Of all, or of one beside one that is well.
        other = ill if name == "RogatoryNobodyScraped" else {}
        now = {alert: alert == name for alert in told}
        cases.append((scraped(ill, "one") + scraped(other, "two"), now))
    made = tmp_path / "test.yaml"
    tests = [
        {
            "interval": "15s",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": "19m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
                for alert, fires in now.items()
            ],
        }
        for series, now in cases
    ]
    made.write_text(
        json.dumps({"rule_files": [str(FOLDER / "rules.yaml")], "evaluation_interval": "15s", "tests": tests})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(made)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_configuration_rules_and_every_expression(tmp_path: Path) -> None:
    made = tmp_path / "shown.yaml"
    records = [{"record": f"shown:{number}", "expr": each} for number, each in enumerate(shown())]
    made.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": records}]}))
    for words in (("config", FOLDER / "prometheus.yaml"), ("rules", FOLDER / "rules.yaml"), ("rules", made)):
        kind, path = words
        done = subprocess.run(
            ["promtool", "check", kind, str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


STATE: Final = 'node_systemd_unit_state{{instance="ee",name="rogatory-backup.{}",state="{}"}}'
FAILED, TIMER = STATE.format("service", "failed"), STATE.format("timer", "active")
JOB: Final = '{namespace="rogatory",cronjob="backup"}'
MADE, LAST = f"kube_cronjob_created{JOB}", f"kube_cronjob_status_last_successful_time{JOB}"
# Three days, each hour; the clock of the test begins at 0.
BACKED_UP: Final = {FAILED: "0+0x72", TIMER: "1+0x72", MADE: "0+0x72", LAST: "0+3600x72"}
NOT_BACKED_UP: Final[Mapping[str, Mapping[str, str | None]]] = {
    "RogatoryBackupFailed": {FAILED: "1+0x72"},
    "RogatoryBackupOff": {TIMER: "0+0x72"},
    "RogatoryBackupOld": {LAST: "0+3600x24 86400+0x48"},
    "RogatoryBackupOld ": {LAST: None},
}


@needs_promtool
def test_backup_that_failed_is_switched_off_or_is_old_is_told_and_no_other(tmp_path: Path) -> None:
    names = {rule["alert"] for rule in rules("backups")}
    assert {name.strip() for name in NOT_BACKED_UP} == names
    cases = []
    for name, ill in {"": {}, **NOT_BACKED_UP}.items():
        series = [{"series": key, "values": each} for key, each in {**BACKED_UP, **ill}.items() if each is not None]
        firing = [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "70h",
                "exp_samples": [{"labels": "{}", "value": 1}] if alert == name.strip() else [],
            }
            for alert in sorted(names)
        ]
        cases.append({"interval": "1h", "input_series": series, "promql_expr_test": firing})
    made = tmp_path / "test.yaml"
    rule_files = [str(FOLDER / "backups.yaml")]
    made.write_text(json.dumps({"rule_files": rule_files, "evaluation_interval": "1h", "tests": cases}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(made)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_of_backups_name_what_makes_them() -> None:
    said = " ".join(rule["expr"] for rule in rules("backups"))
    for name in re.findall(r'name="(rogatory-[^"]+)"', said):
        assert (ROOT / "deploy/systemd" / name).is_file()
    (job, *_) = yaml.safe_load_all((ROOT / "deploy/kubernetes/backup.yaml").read_text())
    space = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())["namespace"]
    assert (job["kind"], set(re.findall(r'cronjob="([^"]+)"', said))) == ("CronJob", {job["metadata"]["name"]})
    assert set(re.findall(r'namespace="([^"]+)"', said)) == {space}
