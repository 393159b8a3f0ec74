"""Signed requests with retries."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_server import Fault, FileServer, serving
from floodseg.catalog.remote.client import Client, RemoteFile
from floodseg.catalog.remote.tokens import TokenSigner
from floodseg.catalog.retries import RetryPolicy
from floodseg.errors import DataError

QUICK = RetryPolicy(attempts=4, first_wait_s=0.01, timeout_s=5)
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "a.tif").write_bytes(CONTENT)
    with serving(tmp_path, needs_token=True) as state:
        yield state


def signed_file(server: FileServer, client: Client) -> RemoteFile:
    return RemoteFile(server.href("a.tif"), "item A, asset vv", TokenSigner(server.token_address, client.body))


def test_part_of_a_file_is_read_with_a_token(server: FileServer) -> None:
    client = Client(QUICK)
    part = client.part(signed_file(server, client), 100, 50)
    assert (part.content, part.file_size, part.version) == (CONTENT[100:150], len(CONTENT), '"1"')
    assert server.requests == [("a.tif", 100, 150)]


def test_part_at_the_end_of_a_file_is_shorter(server: FileServer) -> None:
    client = Client(QUICK)
    assert client.part(signed_file(server, client), len(CONTENT) - 10, 50).content == CONTENT[-10:]


@pytest.mark.parametrize(
    "fault",
    [Fault(429, retry_after=0), Fault(500), Fault(503), Fault(403), Fault(cut=0), Fault(cut=20)],
    ids=["429", "500", "503", "403", "cut-before", "cut-within"],
)
def test_fault_that_passes_is_repeated(server: FileServer, fault: Fault) -> None:
    client = Client(QUICK)
    server.faults["a.tif"] = [fault, fault]
    assert client.part(signed_file(server, client), 0, 50).content == CONTENT[:50]
    assert len(server.attempts) == 3


@pytest.mark.parametrize("fault", [Fault(500), Fault(429, retry_after=0), Fault(403), Fault(cut=20)])
def test_attempts_are_bounded_and_the_error_names_item_and_asset(server: FileServer, fault: Fault) -> None:
    client = Client(QUICK)
    server.always["a.tif"] = fault
    with pytest.raises(DataError, match=r"^item A, asset vv: cannot be read from 127\.0\.0\.1 \(.*4 attempts\)"):
        client.part(signed_file(server, client), 0, 50)
    assert len(server.attempts) == 4


def test_missing_file_is_not_repeated(server: FileServer) -> None:
    client = Client(QUICK)
    remote = signed_file(server, client)
    with pytest.raises(DataError, match=r"item B, asset vv: 127\.0\.0\.1 answers with status 404; search again"):
        client.part(RemoteFile(server.href("b.tif"), "item B, asset vv", remote.signer), 0, 50)
    assert len(server.attempts) == 1


def test_server_without_ranges_is_refused_before_the_file_is_read(server: FileServer) -> None:
    client = Client(QUICK)
    server.always["a.tif"] = Fault(complete=True)
    with pytest.raises(DataError, match="sends complete files only, but parts are needed"):
        client.part(signed_file(server, client), 0, 50)
    assert len(server.attempts) == 1


def test_no_connection_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"item A: cannot be read from 127\.0\.0\.1 \(no connection, 2 attempts\)"):
        Client(RetryPolicy(attempts=2, first_wait_s=0.01)).part(RemoteFile("http://127.0.0.1:9/a", "item A"), 0, 5)


def test_address_that_is_not_http_is_refused() -> None:
    with pytest.raises(DataError, match="item A: its address begins with s3:, but only http and https are read"):
        Client(QUICK).part(RemoteFile("s3://bucket/a.tif", "item A"), 0, 5)


def test_token_is_requested_once_and_again_after_it_was_refused(server: FileServer) -> None:
    client = Client(QUICK)
    remote = signed_file(server, client)
    for start in range(3):
        client.part(remote, start, 5)
    assert server.tokens == {"secret-0": 3}
    server.token_uses = 3  # the server refuses the token before the time of expiry that it has announced
    client.part(remote, 3, 5)
    assert list(server.tokens) == ["secret-0", "secret-1"]


def test_token_that_expires_soon_is_replaced_before_each_attempt(server: FileServer) -> None:
    server.token_seconds = 30.0
    client = Client(QUICK)
    remote = signed_file(server, client)
    server.faults["a.tif"] = [Fault(500)]
    client.part(remote, 0, 5)
    assert server.tokens == {"secret-0": 1, "secret-1": 1}


def test_token_service_that_fails_is_repeated_and_then_named(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = Client(QUICK)
        signer = TokenSigner(server.href("no-service"), client.body)
        with pytest.raises(
            DataError, match=r"/container/no-service/127/container: 127\.0\.0\.1 answers with status 404"
        ):
            client.part(RemoteFile(server.href("a.tif"), "item A", signer), 0, 5)


def test_answer_without_token_is_refused(server: FileServer) -> None:
    client = Client(QUICK)
    signer = TokenSigner("http://example/token", lambda address: b'{"message": "no"}')
    with pytest.raises(DataError, match="holds no token with a time of expiry; check the address"):
        client.part(RemoteFile(server.href("a.tif"), "item A", signer), 0, 5)


def test_signed_addresses_are_in_no_error_and_no_log(server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)  # also for urllib3, which logs addresses
    client = Client(QUICK)
    remote = signed_file(server, client)
    texts = []
    for fault in (Fault(500), Fault(403), Fault(cut=3), Fault(404)):
        server.always["a.tif"] = fault
        with pytest.raises(DataError) as caught:
            client.part(remote, 0, 50)
        texts.append("".join(traceback.format_exception(caught.value)))
    records = [record.getMessage() for record in caplog.records]
    assert any("/container/a.tif" in record for record in records)
    text = "\n".join([*texts, *records])
    assert "sig=" not in text
    assert "secret-" not in text


def test_jobs_return_in_order_and_the_first_error_ends_all(server: FileServer) -> None:
    client = Client(QUICK, transfers=2)
    assert client.run_all([lambda number=number: number for number in range(9)]) == list(range(9))
    done: list[int] = []

    def fail() -> int:
        raise DataError("no")

    jobs = [fail, *([lambda: done.append(1) or 1] * 50)]
    with pytest.raises(DataError, match="no"):
        client.run_all(jobs)
    assert len(done) < 50


def test_redirect_to_a_host_that_was_not_named_is_refused(server: FileServer, tmp_path: Path) -> None:
    with serving(tmp_path) as other:
        location = other.href("a.tif").replace("127.0.0.1", "localhost")
        server.always["a.tif"] = Fault(302, location=f"{location}?sig=secret-9")
        client = Client(QUICK)
        with pytest.raises(DataError) as caught:
            client.part(signed_file(server, client), 0, 50)
        assert str(caught.value) == (
            "item A, asset vv: is on localhost, a host that the source does not name; set `source` to a "
            'TOML file with data_hosts = ["localhost", ...], or use another source'
        )
        assert other.attempts == []
        named = Client(QUICK, hosts=("127.0.0.1", "localhost"))
        assert named.part(signed_file(server, named), 0, 50).content == CONTENT[:50]


def test_redirect_on_the_same_host_is_followed(server: FileServer, tmp_path: Path) -> None:
    with serving(tmp_path) as other:
        server.always["a.tif"] = Fault(307, location=other.href("a.tif"))
        client = Client(QUICK)
        assert client.part(signed_file(server, client), 0, 50).content == CONTENT[:50]


def test_file_on_a_host_that_was_not_named_is_not_asked_for(server: FileServer) -> None:
    client = Client(QUICK, hosts=("data.example",))
    with pytest.raises(DataError, match=r"^item A, asset vv: is on 127\.0\.0\.1, a host that the source"):
        client.part(RemoteFile(server.href("a.tif"), "item A, asset vv"), 0, 50)
    assert server.attempts == []
