"""Reading the directory from a folder and over HTTPS, from servers that may do wrong."""

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError
from tuf.api.exceptions import DownloadError, DownloadHTTPError

from gateway import keys
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.trust import client, fetch
from gateway.trust.fetch import FolderFetcher, HttpsFetcher, MemoryFetcher, fetcher_for
from tests import registry
from tests.registry import LATER, Registry


class Server(SimpleHTTPRequestHandler):
    """Serves a folder; `/moved/...` leads elsewhere, `/endless/...` never ends.

    `/dripping/...` does, much later, and so do the headers of `/headers/...`.
    """

    gone = threading.Event()

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        elif self.path.startswith("/endless/"):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(10_000):
                    self.wfile.write(b" " * 65536)
            except OSError:
                pass
        elif self.path.startswith(("/dripping/", "/headers/")):
            self.send_response(200)
            if self.path.startswith("/dripping/"):
                self.end_headers()
            else:
                self.send_header("Late", "")
                self.flush_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b" ")
                    if self.gone.wait(0.02):
                        break
            except OSError:
                pass
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        pass


def certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "publisher")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(Encoding.PEM))
    keys.save_tls_key(folder / "server.key", key)
    return folder / "server.pem"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return registry.make(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def ca(made: Registry) -> Path:
    return certificate(made.folder)


@pytest.fixture(scope="module")
def url(made: Registry, ca: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(made.folder / "repository")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, ca.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    Server.gone.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_directory_is_the_same_over_https_as_from_the_folder(
    made: Registry, url: str, ca: Path, tmp_path: Path
) -> None:
    source = made.source(repository=url, ca=ca, cache=str(tmp_path / "cache"))
    trusted = client.load(source, LATER)
    assert trusted.problem is None
    assert trusted.directory == made.load_as_newcomer().directory


@pytest.mark.parametrize("path", ["/moved", "/nothing"])
def test_server_that_leads_elsewhere_or_has_nothing_is_unreachable(
    made: Registry, url: str, ca: Path, tmp_path: Path, path: str
) -> None:
    with pytest.raises(Failure) as caught:
        client.load(made.source(repository=url + path, ca=ca, cache=str(tmp_path / "cache")), LATER)
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_server_that_never_ends_is_stopped_at_the_limit(made: Registry, url: str, ca: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        client.load(made.source(repository=f"{url}/endless", ca=ca, cache=str(tmp_path / "cache")), LATER)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


@pytest.mark.parametrize("path", ["dripping", "headers"])
@pytest.mark.parametrize("limit", ["FILE_SECONDS", "ALL_SECONDS"])
def test_server_that_drips_is_given_up_after_the_time_for_one_file_or_for_all(
    made: Registry, url: str, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, limit: str
) -> None:
    """Each byte comes in time for the next one; all together they would take hours."""
    monkeypatch.setattr(fetch, limit, 0.2)
    with pytest.raises(Failure) as caught:
        client.load(made.source(repository=f"{url}/{path}", ca=ca, cache=str(tmp_path / "cache")), LATER)
    assert (caught.value.code, "more than 0." in caught.value.detail) == (ErrorCode.UNAVAILABLE, True)


def test_all_files_together_have_a_time_too(
    made: Registry, url: str, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ALL_SECONDS", 0.0)
    with pytest.raises(Failure) as caught:
        client.load(made.source(repository=url, ca=ca, cache=str(tmp_path / "cache")), LATER)
    assert (caught.value.code, "all files" in caught.value.detail) == (ErrorCode.UNAVAILABLE, True)


def test_what_was_fetched_first_is_loaded_without_the_server_as_it_would_have_been_with_it(
    made: Registry, url: str, ca: Path, tmp_path: Path
) -> None:
    source = made.source(repository=url, ca=ca, cache=str(tmp_path / "cache"))
    for _ in range(2):  # from nothing, and from a copy
        fetched = client.fetch(source, LATER)
        assert isinstance(fetched, MemoryFetcher)
        found = client.load_from(fetched, source, LATER)
        assert (found.problem, found.list_problems) == (None, {})
        assert found.directory == made.load_as_newcomer().directory


@pytest.mark.parametrize("path", ["/moved", "/endless", "/dripping", "/headers"])
def test_what_could_not_be_fetched_rightly_leaves_the_last_good_copy_when_it_is_loaded(
    made: Registry, url: str, ca: Path, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = made.source(repository=url, ca=ca, cache=str(tmp_path / "cache"))
    before = client.load(right, LATER)
    monkeypatch.setattr(fetch, "FILE_SECONDS", 0.1)
    wrong = right.model_copy(update={"repository": url + path})
    after = client.load_from(client.fetch(wrong, LATER), wrong, LATER)
    assert after.problem is not None
    assert after.directory.participants == before.directory.participants


def test_server_that_no_authority_vouches_for_is_not_read(made: Registry, url: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        client.load(made.source(repository=url, cache=str(tmp_path / "cache")), LATER)
    assert caught.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize("repository", ["http://127.0.0.1/x", "ftp://x", "file:///x", "HTTPS://x"])
def test_other_schemes_are_refused_in_the_settings(made: Registry, repository: str) -> None:
    with pytest.raises(ValidationError):
        made.source(repository=repository)


def test_https_fetcher_itself_refuses_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "ask", lambda *_, **__: pytest.fail("it has asked"))
    with pytest.raises(DownloadError):
        HttpsFetcher("http://127.0.0.1:1").download_bytes("metadata/timestamp.json", 10)


@pytest.mark.parametrize("name", ["../secret", "metadata/../../secret", "/etc/passwd"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "repository").mkdir()
    with pytest.raises(DownloadError) as caught:
        FolderFetcher(tmp_path / "repository").download_bytes(name, 100)
    assert not isinstance(caught.value, DownloadHTTPError)


def test_no_whole_path_leaves_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "repository").mkdir()
    with pytest.raises(DownloadError):
        FolderFetcher(tmp_path / "repository").download_bytes(str(secret), 100)


def test_missing_file_is_404_and_missing_folder_is_not(tmp_path: Path) -> None:
    """A missing newer root ends the search for one; a missing disk must not look like that."""
    with pytest.raises(DownloadHTTPError):
        FolderFetcher(tmp_path).download_bytes("metadata/2.root.json", 100)
    with pytest.raises(DownloadHTTPError):
        MemoryFetcher({}).download_bytes("metadata/2.root.json", 100)
    with pytest.raises(DownloadError) as caught:
        FolderFetcher(tmp_path / "none").download_bytes("metadata/2.root.json", 100)
    assert not isinstance(caught.value, DownloadHTTPError)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DownloadError) as caught:
        FolderFetcher(tmp_path).download_bytes("folder", 100)
    assert not isinstance(caught.value, DownloadHTTPError)


def test_fetcher_is_chosen_by_the_setting(tmp_path: Path) -> None:
    assert isinstance(fetcher_for(str(tmp_path), None), FolderFetcher)
    assert isinstance(fetcher_for("https://example.test/x", None), HttpsFetcher)
