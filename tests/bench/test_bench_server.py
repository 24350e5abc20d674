"""What the bench reads from a server, and which cores it runs on."""

from io import BytesIO
from pathlib import Path

import pycurl
import pytest

from bench.cores import share_out
from bench.flat_server import running_flat_server
from bench.nginx import counted_requests, running_nginx
from bench.servers import running_embedded

STATUS = """Active connections: 291
server accepts handled requests
 16630948 16630947 31070465
Reading: 6 Writing: 179 Waiting: 106
"""


def get(url: str, *, head: bool = False, http_2: bool = False) -> bytes:
    """The body as it came, chunks and all; with `head` what stands before it, too."""
    kept = BytesIO()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.TIMEOUT, 20)
    curl.setopt(pycurl.SSL_VERIFYPEER, 0)
    curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    curl.setopt(pycurl.HTTP_TRANSFER_DECODING, 0)
    curl.setopt(pycurl.WRITEDATA, kept)
    if head:
        curl.setopt(pycurl.HEADERFUNCTION, kept.write)
    if http_2:
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
    curl.perform()
    curl.close()
    return kept.getvalue()


def test_the_count_of_a_status_page_is_its_third_figure() -> None:
    assert counted_requests(STATUS) == 31_070_465


def test_another_page_is_no_status_page() -> None:
    with pytest.raises(ValueError, match="no stub_status page"):
        counted_requests("<h1>404</h1>")


@pytest.mark.debian("nginx")
def test_the_server_counts_what_it_was_sent_and_not_the_counting() -> None:
    cores = share_out({0})
    with running_nginx(cores.server) as nginx:
        assert nginx.requests() == 0
        for scheme in ("http", "https", "h2c"):
            assert b"thirty-one bytes" in get(nginx.url(scheme, "/plain"), http_2=scheme == "h2c")
        assert nginx.requests() == 3
        assert nginx.requests() == 3


@pytest.mark.debian("nginx")
def test_answers_are_of_the_kind_that_their_scenario_needs() -> None:
    with running_nginx(share_out({0}).server) as nginx:
        varied = {get(nginx.url("http", "/varied"), head=True) for _ in range(30)}
        chunked = get(nginx.url("http", "/chunked"), head=True)
        assert len(get(nginx.url("http", "/10k"))) == 10_240
    assert len({len(answer) for answer in varied}) > 5
    ids = {answer.split(b"X-Request-Id: ")[1].split(b"\r\n")[0] for answer in varied}
    assert len(ids) == 30
    assert {len(value) for value in ids} <= set(range(8, 41))
    assert all(answer.count(b"Set-Cookie: ") == 1 for answer in varied)
    assert b"Transfer-Encoding: chunked" in chunked
    assert chunked.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.debian("nginx")
def test_the_log_of_times_holds_each_request_once() -> None:
    with running_nginx(share_out({0}).server) as nginx:
        for _ in range(3):
            get(nginx.url("http", "/timed"))
        get(nginx.url("http", "/plain"))
        times = nginx.times()
        nginx.forget_times()
        assert nginx.times() == []
    assert len(times) == 3
    assert all(start <= end for start, end in times)


@pytest.mark.debian("gcc")
def test_the_flat_server_answers_and_counts() -> None:
    with running_flat_server(share_out({0}).server) as server:
        assert get(server.url("http", "/x")) == b"thirty-one bytes of an answer.\n"
        assert server.requests() == 1
        assert server.requests() == 1
        with pytest.raises(ValueError, match="without TLS"):
            server.url("https", "/x")


def test_two_cores_are_shared_out_and_one_is_shared() -> None:
    assert share_out({2, 5}) == type(share_out({0}))(frozenset({2}), frozenset({5}))
    assert share_out({0, 1, 2, 3}, 2).clients == {2, 3}
    assert not share_out({3}).apart
    assert share_out({3}).server == share_out({3}).clients == {3}


def test_no_scenario_needs_a_file_that_is_not_there() -> None:
    bench = Path(__file__).resolve().parents[2] / "bench"
    for name in ("perform_floor.py", "flat_server.c", "peers/wrk_post.lua", "peers/wrk_post_variables.lua"):
        assert (bench / name).is_file()


def test_without_nginx_the_embedded_target_answers_what_it_can() -> None:
    with running_embedded(share_out({0}).server) as server:
        assert server.requests() == 0
        assert len(get(server.url("http", "/10k"))) == 10 * 1024
        assert b"\r\n0\r\n\r\n" in get(server.url("http", "/chunked"))
        assert server.requests() == 2
        for scheme, path in (("https", "/plain"), ("http", "/varied")):
            with pytest.raises(RuntimeError, match="needs nginx"):
                server.url(scheme, path)
