"""Timestamps of case files: who made them, of what, and when; and what an authority may not do to us."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from clients.casefile import archive, checks, timestamp
from clients.casefile.checks import Check, Status
from clients.casefile.contents import MANIFEST, TIMESTAMP
from clients.casefile.timestamp import Roots, Stamp
from clients.timestamping import authority
from gateway import config
from gateway.cli.case import export as command
from gateway.clock import system_clock
from gateway.config import ParticipantConfig
from gateway.errors import ErrorCode, GatewayError, Refusal
from tests import casefiles
from tests.casefiles import CASE, PROSECUTOR, Made, printed_once, run
from tests.tsa import Authority, served, tls_certificate

CONTENT = b"the manifest of a case file"
DATA = Path(__file__).parents[1] / "data" / "timestamp"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with printed_once():
        yield casefiles.freeze(tmp_path_factory.mktemp("fed"), system_clock() - timedelta(minutes=5))


@pytest.fixture(scope="module")
def tsa() -> Authority:
    return Authority()


def stamp_of(tsa: Authority) -> Stamp:
    def stamp(content: bytes) -> bytes:
        asked = timestamp.question(content)
        return timestamp.accept(tsa.answer(asked.as_bytes()), asked, content, [tsa.root])

    return stamp


def lenient(tsa: Authority) -> Stamp:
    """Return what puts an answer in, whatever it says: nobody has to make files with our program."""

    def stamp(content: bytes) -> bytes:
        asked = timestamp.question(content)
        return timestamp._one_form(timestamp._token(timestamp._decoded(tsa.answer(asked.as_bytes()))))

    return stamp


@pytest.fixture(scope="module")
def raw(made: Made, tsa: Authority) -> bytes:
    return made.export(stamp=stamp_of(at(tsa, made)))


def at(tsa: Authority, made: Made, by: timedelta = timedelta()) -> Authority:
    """Return an authority whose clock is by so much ahead of the exporter's."""
    ours = Authority(clock=lambda: made.now + by, _root_key=tsa._root_key, _key=tsa._key)
    ours.__dict__ |= {"root": tsa.root, "certificate": tsa.certificate}
    return ours


def judged(raw: bytes, made: Made, roots: Roots | None) -> Check:
    found = checks.check(raw, made.prove, roots)
    assert [each.name for each in found if each.status is Status.FAILED and each.name != "timestamp"] == []
    return found[-1]


def refused(raw: bytes, content: bytes, roots: Roots) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        timestamp.verify(raw, content, roots)
    return caught.value.code


# Tokens.


def test_token_of_openssl_is_read_with_its_intermediate_certificate() -> None:
    """Made by `openssl ts -reply`, over `CONTENT`; its certificates ended two days later."""
    raw, roots = (DATA / "openssl.tsr").read_bytes(), timestamp.read_roots((DATA / "root.crt").read_bytes())
    assert timestamp.verify(raw, CONTENT, roots) == datetime(2026, 11, 21, 22, 50, 35, tzinfo=UTC)


def test_token_is_over_these_bytes_and_no_others(tsa: Authority) -> None:
    raw = stamp_of(tsa)(CONTENT)
    assert abs(timestamp.verify(raw, CONTENT, [tsa.root]) - system_clock()) < timedelta(minutes=1)
    assert refused(raw, CONTENT + b".", [tsa.root]) is ErrorCode.CONTENT_MISMATCH


WRONG: dict[str, Callable[[], Authority]] = {
    "of a root that nobody gave": Authority,
    "not for timestamps": lambda: Authority(purpose=ExtendedKeyUsageOID.CLIENT_AUTH),
    "from before its certificate": lambda: Authority(clock=lambda: system_clock() - timedelta(days=2)),
    "from after its certificate": lambda: Authority(clock=lambda: system_clock() + timedelta(days=2)),
}


@pytest.mark.parametrize("what", WRONG)
def test_token_that_nobody_may_have_signed_is_refused(what: str, tsa: Authority) -> None:
    forger = WRONG[what]()
    raw = lenient(forger)(CONTENT)
    roots = [tsa.root] if what == "of a root that nobody gave" else [forger.root]
    assert refused(raw, CONTENT, roots) is ErrorCode.BAD_SIGNATURE
    assert timestamp.stated(raw, CONTENT) < system_clock() + timedelta(days=3)  # and yet it states a time


def test_namesake_of_a_trusted_root_is_none(tsa: Authority) -> None:
    forger = Authority()
    assert forger.root.subject == tsa.root.subject
    assert refused(lenient(forger)(CONTENT), CONTENT, [tsa.root]) is ErrorCode.BAD_SIGNATURE
    # Nor is one that signs with another key than its certificate holds.
    forger.__dict__ |= {"certificate": tsa.certificate}
    assert refused(lenient(forger)(CONTENT), CONTENT, [tsa.root]) is ErrorCode.BAD_SIGNATURE


def test_no_root_vouches_for_anything(tsa: Authority) -> None:
    with pytest.raises(ValueError, match="root"):
        timestamp.verify(stamp_of(tsa)(CONTENT), CONTENT, [])


def test_certificate_of_the_authority_itself_is_no_root(tsa: Authority) -> None:
    assert refused(stamp_of(tsa)(CONTENT), CONTENT, [tsa.certificate]) is ErrorCode.BAD_SIGNATURE


def test_whatever_is_changed_in_a_token_it_is_refused_or_says_the_same(tsa: Authority) -> None:
    raw, chance = stamp_of(tsa)(CONTENT), Random(7)
    when = timestamp.verify(raw, CONTENT, [tsa.root])
    other, codes = [], set()
    forged = [raw[:size] for size in range(0, len(raw), 7)]
    forged += [raw[:spot] + bytes([raw[spot] ^ 1 << chance.randrange(8)]) + raw[spot + 1 :] for spot in range(len(raw))]
    forged += [raw + b"\0", b"", b"\x30\x00", b"\x30\x80" + raw[2:], b"\x30\x84" + b"\xff" * 4]
    for each in forged:
        try:
            found = timestamp.verify(each, CONTENT, [tsa.root])
        except Refusal as error:
            codes.add(error.code)
        else:
            other += [found] if found != when else []
    assert other == []
    assert codes == {ErrorCode.MALFORMED, ErrorCode.CONTENT_MISMATCH, ErrorCode.BAD_SIGNATURE}


def test_words_beside_a_token_are_not_kept(tsa: Authority) -> None:
    answer = tsa.answer(timestamp.question(CONTENT).as_bytes())
    assert b"with our compliments" in answer
    assert b"with our compliments" not in stamp_of(tsa)(CONTENT)
    assert refused(answer, CONTENT, [tsa.root]) is ErrorCode.MALFORMED


def test_answer_to_another_question_is_refused(tsa: Authority) -> None:
    earlier = tsa.answer(timestamp.question(CONTENT).as_bytes())
    with pytest.raises(Refusal) as caught:
        timestamp.accept(earlier, timestamp.question(CONTENT), CONTENT, [tsa.root])
    assert caught.value.code is ErrorCode.CONTENT_MISMATCH


# Files.


def test_file_with_a_timestamp_holds_and_says_when_it_was_seen(made: Made, tsa: Authority, raw: bytes) -> None:
    found = judged(raw, made, [tsa.root])
    assert (found.name, found.status) == ("timestamp", Status.PASSED)
    assert f"{made.now:%Y-%m-%d %H:%M:%S} UTC" in found.detail
    assert b"--tsa-root" in archive.unpack(raw)["report.html"]


def test_timestamp_is_not_believed_without_roots_and_its_claim_is_told(made: Made, raw: bytes) -> None:
    found = judged(raw, made, None)
    assert found.status is Status.NOT_THERE
    assert f"{made.now:%Y-%m-%d %H:%M:%S} UTC" in found.detail
    assert "not checked" in found.detail


def test_file_without_a_timestamp_says_so_whatever_roots_are_given(made: Made, tsa: Authority) -> None:
    raw = made.export()
    for roots in (None, [tsa.root]):
        found = judged(raw, made, roots)
        assert (found.status, "no RFC 3161 timestamp" in found.detail) == (Status.NOT_THERE, True)


@pytest.mark.parametrize("roots", [False, True], ids=["without roots", "with roots"])
def test_timestamp_taken_out_put_in_or_of_another_file_is_told(
    made: Made, tsa: Authority, raw: bytes, roots: bool
) -> None:
    members, bare = archive.unpack(raw), archive.unpack(made.export())
    trusted = [tsa.root] if roots else None
    out = {name: content for name, content in members.items() if name != TIMESTAMP}
    put_in = bare | {TIMESTAMP: stamp_of(at(tsa, made))(bare[MANIFEST])}
    of_another = members | {TIMESTAMP: put_in[TIMESTAMP]}
    for forged in (out, put_in, of_another, members | {TIMESTAMP: b"\x30\x00"}):
        assert judged(archive.pack(forged), made, trusted).status is Status.FAILED


def test_file_that_was_seen_at_another_time_than_its_exporter_says_is_refused(made: Made, tsa: Authority) -> None:
    """Its clock was set back, or forward: as far as clocks may differ, and a second more."""
    skew = timedelta(microseconds=checks.MAX_SKEW_US)
    for by, status in (
        (skew - timedelta(seconds=1), Status.PASSED),
        (skew + timedelta(seconds=1), Status.FAILED),
        (timedelta(seconds=1) - skew, Status.PASSED),
        (-skew - timedelta(seconds=1), Status.FAILED),
    ):
        raw = made.export(stamp=lenient(at(tsa, made, by)))
        assert judged(raw, made, [tsa.root]).status is status, by


def test_file_that_was_seen_before_what_it_holds_is_refused(tmp_path: Path, tsa: Authority) -> None:
    """The exporter's clock is late by four minutes, the authority's by one more: what it holds is from six later."""
    made = casefiles.freeze(tmp_path, system_clock() - timedelta(minutes=5))
    made.now -= timedelta(minutes=4)
    raw = made.export(stamp=lenient(at(tsa, made, timedelta(minutes=-2, seconds=-1))))
    assert "before something was made" in judged(raw, made, [tsa.root]).detail
    raw = made.export(stamp=lenient(at(tsa, made)))
    assert judged(raw, made, [tsa.root]).status is Status.PASSED


# Asking.


def failing(stamp: Stamp) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        stamp(CONTENT)
    return caught.value


def test_authority_is_asked_over_http(tsa: Authority) -> None:
    seen: list[bytes] = []

    def answer(raw: bytes) -> bytes:
        seen.append(raw)
        return tsa.answer(raw)

    with served(answer) as url:
        raw = authority(url, [tsa.root])(CONTENT)
    assert timestamp.verify(raw, CONTENT, [tsa.root]) <= system_clock()
    (asked,) = seen
    assert sha256(CONTENT).digest() in asked
    assert CONTENT not in asked  # it learns a digest, and nothing else


@pytest.mark.parametrize(
    ("what", "code", "field"),
    [
        ({"status": 503}, ErrorCode.UNAVAILABLE, "timestamp.url"),
        ({"status": 302}, ErrorCode.UNAVAILABLE, "timestamp.url"),
        ({"kind": "text/html"}, ErrorCode.MALFORMED, "timestamp"),
        ({"answer": lambda _: b"<html>"}, ErrorCode.MALFORMED, "timestamp"),
        ({"answer": lambda _: b"\x30" * (timestamp.MAX_BYTES + 1)}, ErrorCode.TOO_LARGE, "timestamp"),
        ({"answer": Authority(status="rejection").answer}, ErrorCode.UNAVAILABLE, "timestamp"),
        ({"answer": Authority(status="waiting").answer}, ErrorCode.UNAVAILABLE, "timestamp"),
        ({"answer": Authority().answer}, ErrorCode.BAD_SIGNATURE, "timestamp"),
    ],
    ids=["busy", "elsewhere", "a page", "no answer", "endless", "rejection", "waiting", "another authority"],
)
def test_wrong_answer_is_told_by_its_code(what: dict[str, Any], code: ErrorCode, field: str, tsa: Authority) -> None:
    with served(**{"answer": tsa.answer} | what) as url:
        error = failing(authority(url, [tsa.root]))
    assert (error.code, error.field) == (code, field)


def test_authority_is_asked_over_https_if_its_server_is_vouched_for(tsa: Authority, tmp_path: Path) -> None:
    tls = tls_certificate(tmp_path)
    with served(tsa.answer, tls=tls) as url:
        assert timestamp.verify(authority(url, [tsa.root], tls)(CONTENT), CONTENT, [tsa.root]) <= system_clock()
        assert failing(authority(url, [tsa.root])).code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize("over_tls", [False, True], ids=["http", "https"])
def test_answer_without_an_end_is_none_however_it_begins(tsa: Authority, tmp_path: Path, over_tls: bool) -> None:
    tls = tls_certificate(tmp_path) if over_tls else None
    with served(tsa.answer, tls=tls, drips=True) as url:
        failure = failing(authority(url, [tsa.root], tls, seconds=1))
    assert (failure.code, failure.field) == (ErrorCode.UNAVAILABLE, "timestamp.url")


def test_nobody_there_is_a_failure(tsa: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failing(authority(f"http://127.0.0.1:{port}/", [tsa.root])).code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize("sends", [b"", b"H", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n0"])
def test_answer_that_trickles_is_cut_when_its_time_is_over(sends: bytes, tsa: Authority) -> None:
    """A byte before every read times out, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(0.05)
                peer.sendall(sends)
                while True:
                    try:
                        if not peer.recv(4096):
                            return
                    except TimeoutError:
                        try:
                            peer.sendall(sends[-1:])
                        except OSError:
                            return
                    except OSError:
                        return

        thread = Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        before = datetime.now(UTC)
        assert failing(authority(url, [tsa.root], seconds=0.4)).code is ErrorCode.UNAVAILABLE
        assert datetime.now(UTC) - before < timedelta(seconds=10)
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("url", ["ftp://tsa.example/", "file:///etc/passwd", "tsa.example", "http://user@tsa.example/"])
def test_settings_name_an_authority_by_http_alone(url: str, made: Made, tmp_path: Path) -> None:
    text = made.fed.config(PROSECUTOR).read_text()
    path = tmp_path / "participant.toml"
    path.write_text(f'{text}\n[timestamp]\nurl = "{url}"\nroots = "tsa.pem"\n')
    with pytest.raises(Refusal) as caught:
        config.load(ParticipantConfig, path)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "timestamp.url")


# The commands.


def last(told: Any) -> tuple[str, str]:
    return told["checks"][-1]["name"], told["checks"][-1]["status"]


def test_commands_ask_for_a_timestamp_and_check_it(
    tmp_path: Path, tsa: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = casefiles.freeze(tmp_path / "fed", system_clock() - timedelta(minutes=30))
    settings, out, pem = made.fed.config(PROSECUTOR), tmp_path / "case.rogatory.zip", tmp_path / "tsa.pem"
    pem.write_bytes(tsa.pem)
    # No node runs here.
    monkeypatch.setattr(command, "_ask_node", lambda _, entries: made.log_of("ee")(entries))
    verify = ("verify", out, "--root", made.fed.root)
    export = ("case", "export", CASE, "--out", out, "--config", settings)
    with served(tsa.answer) as url:
        settings.write_text(f'{settings.read_text()}\n[timestamp]\nurl = "{url}"\nroots = "{pem}"\n')
        status, told = run(*export)
    assert (status, told["holds"], "timestamp" in told["not_there"]) == (0, True, False)
    status, told = run(*verify, "--tsa-root", pem)
    assert (status, last(told)) == (0, ("timestamp", "passed"))
    status, told = run(*verify)
    assert (status, last(told)) == (0, ("timestamp", "not-there"))
    pem.write_bytes(Authority().pem)
    status, told = run(*verify, "--tsa-root", pem)
    assert (status, last(told)) == (1, ("timestamp", "failed"))
    # Nobody answers any more: no file is written, unless it is to be without.
    out.unlink()
    status, told = run(*export)
    assert (status, told["error"]["code"], out.exists()) == (1, "UNAVAILABLE", False)
    status, told = run(*export, "--no-timestamp")
    assert (status, set(told["not_there"])) == (0, {"timestamp"})
    status, told = run(*export, "--offline")
    assert (status, set(told["not_there"])) == (0, {"log", "timestamp"})


def test_what_is_no_root_is_told_as_such(made: Made, raw: bytes, tmp_path: Path) -> None:
    out, pem = tmp_path / "case.rogatory.zip", tmp_path / "tsa.pem"
    out.write_bytes(raw)
    for content in (b"", b"no certificate", Authority().root.public_bytes(Encoding.DER)):
        pem.write_bytes(content)
        status, told = run("verify", out, "--root", made.fed.root, "--tsa-root", pem)
        assert (status, told["error"]["code"]) == (2, "BAD_INPUT")
