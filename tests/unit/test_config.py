from pathlib import Path

import pytest

from gateway.config import C, Limits, NodeConfig, ParticipantConfig, Quota, load
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address

NODE = {
    "node": '"ee"',
    "listen": '"127.0.0.1:7443"',
    "directory": '{ root = "root.json", repository = "repository", cache = "cache" }',
    "store": '"data/store.db"',
    "signing_keys": '["keys/sign.pem"]',
    "certificate": '"/etc/rogatory/node.pem"',
    "tls_key": '"../tls.pem"',
}
PARTICIPANT = {
    "address": '"ee/prosecutor"',
    "directory": '{ root = "root.json", repository = "repository", cache = "cache" }',
    "certificate": '"cert.pem"',
    "tls_key": '"tls.pem"',
    "home": '"home"',
}


FIGURES = ("[telemetry]", 'prometheus = "127.0.0.1:9464"')


def toml(fields: dict[str, str], *tables: str) -> str:
    return "\n".join([*(f"{name} = {value}" for name, value in fields.items()), *tables])


def written(folder: Path, text: str) -> Path:
    path = folder / "conf" / "node.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def refused(kind: type[C], path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        load(kind, path)
    assert caught.value.code is ErrorCode.BAD_CONFIG
    return caught.value.field


def test_paths_are_taken_from_the_files_own_folder_wherever_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, toml(NODE))
    monkeypatch.chdir(path.parent)
    for given in (path, Path("node.toml"), Path("../conf/node.toml")):
        config = load(NodeConfig, given)
        assert config.store == path.parent / "data" / "store.db"
        assert config.certificate == Path("/etc/rogatory/node.pem")
        assert config.tls_key == path.parent / ".." / "tls.pem"


def test_every_path_of_a_participant_is_absolute_and_a_missing_one_stays_missing(tmp_path: Path) -> None:
    path = written(tmp_path, toml(PARTICIPANT | {"sealing_keys": '["a.pem", "/b.pem"]'}))
    config = load(ParticipantConfig, path)
    assert config.sealing_keys == (path.parent / "a.pem", Path("/b.pem"))
    assert config.home == path.parent / "home"
    assert config.signing_keys == ()
    assert str(config.address) == "ee/prosecutor"


def test_a_policy_is_taken_from_the_files_own_folder_and_a_missing_one_stays_missing(tmp_path: Path) -> None:
    path = written(tmp_path, toml(NODE))
    assert load(NodeConfig, path).policy is None
    path.write_text(toml(NODE | {"policy": '"law/policy.toml"'}))
    assert load(NodeConfig, path).policy == path.parent / "law" / "policy.toml"


def test_limits_have_defaults_and_can_be_set_one_by_one(tmp_path: Path) -> None:
    config = load(NodeConfig, written(tmp_path, toml(NODE, "[limits]", "max_age_days = 3")))
    assert config.limits == Limits(max_age_days=3)
    assert config.limits.max_skew_seconds == Limits().max_skew_seconds


def test_quotas_have_defaults_and_overrides_by_address(tmp_path: Path) -> None:
    tables = (
        "[quota.participant]",
        "envelopes_per_second = 7",
        "[quota.node]",
        "burst_queries = 9",
        '[quota.overrides."ee/exchange-lhv"]',
        "max_streams = 3",
        '[quota.overrides."de/node"]',
        "queries_per_second = 5",
    )
    quota = load(NodeConfig, written(tmp_path, toml(NODE, *tables))).quota
    exchange, other = quota.of(Address("ee", "exchange-lhv")), quota.of(Address("ee", "court"))
    assert (exchange.envelopes_per_second, exchange.max_streams) == (7, 3)
    assert (other.envelopes_per_second, other.max_streams) == (7, None)
    germany, finland = quota.of(Address("de", "node")), quota.of(Address("fi", "node"))
    assert (germany.burst_queries, germany.queries_per_second) == (9, 5)
    assert finland == Quota().node.model_copy(update={"burst_queries": 9})


def test_configuration_of_a_time_before_quotas_still_loads_whatever_its_limits(tmp_path: Path) -> None:
    widest = ("[limits]", f"max_payload_bytes = {1 << 24}", f"max_frame_bytes = {1 << 26}")
    assert load(NodeConfig, written(tmp_path, toml(NODE, *widest))).quota == Quota()


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(('[quota.overrides."de/court"]', "max_streams = 1"), id="participant of another node"),
        pytest.param(('[quota.overrides."ee/node"]', "max_streams = 1"), id="the node itself"),
        pytest.param(("[quota.node]", f"burst_bytes = {(8 << 20) - 1}"), id="frame larger than a node's burst"),
        pytest.param(('[quota.overrides."de/node"]', "burst_bytes = 300000"), id="the same in an override"),
        pytest.param(('[quota.overrides."de/node"]', "burst_envelopes = 64"), id="frame of too many for an override"),
    ],
)
def test_quota_that_holds_for_nobody_or_lets_no_frame_through_is_refused(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    assert refused(NodeConfig, written(tmp_path, toml(NODE, *lines))) == ""


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param(toml(NODE, "[quota]", "rate = 1"), "quota.rate", id="unknown quota"),
        pytest.param(toml(NODE, "[quota.node]", "envelopes = 1"), "quota.node.envelopes", id="misspelt quota"),
        pytest.param(
            toml(NODE, "[quota.participant]", "envelopes_per_second = 0"),
            "quota.participant.envelopes_per_second",
            id="quota of nothing",
        ),
        pytest.param(
            toml(NODE, "[quota.participant]", "burst_envelopes = 63"),
            "quota.participant.burst_envelopes",
            id="burst below a frame",
        ),
        pytest.param(
            toml(NODE, '[quota.overrides."EE/x"]', "max_streams = 1"),
            "quota.overrides.EE/x.[key]",
            id="override of no address",
        ),
        pytest.param(toml(NODE | {"stroe": '"x"'}), "stroe", id="unknown field"),
        pytest.param(toml(NODE, "[limits]", "max_payload = 1"), "limits.max_payload", id="misspelt limit"),
        pytest.param(toml(NODE, "[limts]", "max_age_days = 1"), "limts", id="misspelt table"),
        pytest.param(toml({k: v for k, v in NODE.items() if k != "store"}), "store", id="missing field"),
        pytest.param(toml(NODE | {"store": "7"}), "store", id="number for a path"),
        pytest.param(toml(NODE | {"policy": "7"}), "policy", id="number for a policy"),
        pytest.param(toml(NODE, "[policy]", 'country = "ee"'), "policy", id="policy among the settings"),
        pytest.param(toml(NODE | {"node": '"EE"'}), "node", id="node in capitals"),
        pytest.param(toml(NODE | {"node": '"ee\\n"'}), "node", id="line end after the node"),
        pytest.param(toml(NODE | {"listen": '"localhost"'}), "listen", id="no port"),
        pytest.param(toml(NODE, "[limits]", "max_age_days = 0"), "limits.max_age_days", id="limit of nothing"),
        pytest.param(toml(NODE, "[limits]", 'max_age_days = "x"'), "limits.max_age_days", id="text for a number"),
        pytest.param(toml(NODE, "[limits]", "max_age_days = 1.5"), "limits.max_age_days", id="part of a day"),
        pytest.param(toml(NODE, "[limits]", "max_age_days = -1"), "limits.max_age_days", id="negative limit"),
        pytest.param(toml(NODE, "[delivery]", "lease_seconds = nan"), "delivery.lease_seconds", id="not a number"),
        pytest.param(toml(NODE, "[delivery]", "lease_seconds = inf"), "delivery.lease_seconds", id="for ever"),
        pytest.param(toml(NODE, "[operations]", "approvals = true"), "operations.approvals", id="yes for one"),
        pytest.param(toml(NODE | {"workers": '"2"'}), "workers", id="number in quotes"),
        pytest.param(toml(NODE, "[telemetry]", 'sample = "0.5"'), "telemetry.sample", id="share in quotes"),
        pytest.param(toml(NODE | {"encrypted_keys": '"no"'}), "encrypted_keys", id="boolean in quotes"),
        pytest.param(toml(NODE | {"encrypted_keys": "0"}), "encrypted_keys", id="number for a boolean"),
        pytest.param(toml(NODE | {"certificate": '"tls\\u0000.pem"'}), "certificate", id="NUL in a path"),
        pytest.param(toml(NODE | {"signing_keys": '["a\\u0000.key"]'}), "signing_keys", id="NUL in a list of paths"),
        pytest.param(toml(NODE | {"health": '"127.0.0.1:99999"'}), "health", id="no such port"),
        pytest.param(toml(NODE | {"listen": '"node..ee.example:7440"'}), "listen", id="no such name"),
        pytest.param(
            toml(NODE, "[telemetry]", 'prometheus = "a:65536"'), "telemetry.prometheus", id="no port for figures"
        ),
        pytest.param("node = ", "", id="no TOML"),
        pytest.param("\0", "", id="binary"),
        pytest.param("workers = " + "9" * 5000, "", id="number of thousands of digits"),
        pytest.param("x = " + "[" * 3000 + "]" * 3000, "", id="brackets without end"),
    ],
)
def test_wrong_node_configuration_is_refused_with_its_field(tmp_path: Path, text: str, field: str) -> None:
    assert refused(NodeConfig, written(tmp_path, text)) == field


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(('health = "127.0.0.1:7443"',), id="health at the main door"),
        pytest.param(('health = "0.0.0.0:7443"', "workers = 2"), id="health everywhere"),
        pytest.param(
            ('health = "127.0.0.1:9465"', "workers = 2", *FIGURES), id="health where the second shows figures"
        ),
        pytest.param((*FIGURES[:1], 'prometheus = "[::]:7443"'), id="figures at the main door"),
        pytest.param(("workers = 2", *FIGURES[:1], 'prometheus = "127.0.0.1:65535"'), id="no port for the second"),
    ],
)
def test_two_doors_never_share_a_port(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert refused(NodeConfig, written(tmp_path, toml(NODE, *lines))) == ""


def test_doors_with_places_of_their_own_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, toml(NODE, 'health = "127.0.0.1:7470"', "workers = 2", *FIGURES))
    config = load(NodeConfig, path)
    assert [config.figures(number) for number in range(3)] == [f"127.0.0.1:{port}" for port in (9464, 9465, 9466)]
    # Whoever lets the system choose is given what is free.
    path.write_text(toml(NODE | {"listen": '"127.0.0.1:0"'}, 'health = "127.0.0.1:0"'))
    assert load(NodeConfig, path).figures(0) is None


REGISTRY = ("[registry]", 'ca_certificate = "ca.pem"', 'ca_key = "ca.key"', 'directory_key = "directory.key"')


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:7540", "[::]:7540", "node.ee.example:0"])
def test_registry_whose_invitations_would_name_what_nobody_can_call_is_refused(tmp_path: Path, listen: str) -> None:
    lines = (*REGISTRY, f'listen = "{listen}"')
    path = written(tmp_path, toml(NODE, *lines))
    assert refused(NodeConfig, path) == "registry.endpoint"
    path.write_text(toml(NODE, *lines, 'endpoint = "node.ee.example:7540"'))
    registry = load(NodeConfig, path).registry
    assert registry is not None
    assert (registry.listen, registry.endpoint) == (listen, "node.ee.example:7540")


def test_node_that_has_moved_is_said_by_whoever_signs_its_list(tmp_path: Path) -> None:
    moved = NODE | {"endpoint": '"node.ee.example:7440"'}
    path = written(tmp_path, toml(moved, *REGISTRY))
    assert load(NodeConfig, path).endpoint == "node.ee.example:7440"
    path.write_text(toml(moved))
    assert refused(NodeConfig, path) == ""
    path.write_text(toml(NODE | {"endpoint": '"0.0.0.0:7440"'}, *REGISTRY))
    assert refused(NodeConfig, path) == "endpoint"


@pytest.mark.parametrize("lines", [(), ('listen = "127.0.0.1:7540"',), ('listen = "node.ee.example:7540"',)])
def test_registry_needs_no_endpoint_where_what_it_listens_on_can_be_called(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    assert load(NodeConfig, written(tmp_path, toml(NODE, *REGISTRY, *lines))).registry is not None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param(toml(PARTICIPANT | {"address": '"EE/x"'}), "address", id="address in capitals"),
        pytest.param(toml(PARTICIPANT | {"address": '"ee/node"'}), "address", id="the node itself"),
        pytest.param(toml(PARTICIPANT | {"address": "7"}), "address", id="number for an address"),
        pytest.param(toml(PARTICIPANT | {"sealing_keys": '"a.pem"'}), "sealing_keys", id="one key for a list"),
        pytest.param(toml(PARTICIPANT | {"sealing_keys": "[1]"}), "sealing_keys.0", id="number in a list of keys"),
    ],
)
def test_wrong_participant_configuration_is_refused_with_its_field(tmp_path: Path, text: str, field: str) -> None:
    assert refused(ParticipantConfig, written(tmp_path, text)) == field


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert refused(NodeConfig, tmp_path / "none.toml") == ""
    assert refused(NodeConfig, tmp_path) == ""


def test_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b'node = "\xff"')
    assert refused(NodeConfig, path) == ""
