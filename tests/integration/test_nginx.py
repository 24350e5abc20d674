"""Against a server of somebody else's: nginx counts for itself."""

import pytest
from integration.runs import assert_numbers_add_up, both_engines, one_test, run
from nginx_process import running_nginx

SERVER = """
server {
  listen 127.0.0.1:{port} backlog=1024;
  keepalive_requests 100;
  location / { default_type application/json; return 200 '{"id":1,"name":"Ada","ok":true}'; }
}
"""


@pytest.fixture
def nginx(tmp_path):
    with running_nginx(tmp_path / "nginx", SERVER) as running:
        yield running


@pytest.mark.debian("nginx")
@both_engines
def test_attempts_equal_the_lines_in_nginxs_log_though_it_closes_connections(tmp_path, nginx, engine):
    suite = one_test(f"http://127.0.0.1:{nginx.port}", endpoint="/run", parallel_users=20, iterations=400)
    done = run(tmp_path, suite, "--procs", "2", "--engine", engine)
    test = done.test("test")
    assert test["successful_requests"] == 8000
    targets = [line[1] for line in nginx.wait_for_log(test["attempts"])]
    assert targets.count("/run") == len(targets) == test["attempts"]
    assert test["connections_opened"] == 20 * 4  # keepalive_requests 100
    assert_numbers_add_up(test)
