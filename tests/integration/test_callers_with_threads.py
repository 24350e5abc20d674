"""`TestRunner().run()` where the caller has threads: a notebook, pytest-xdist, a web server, asyncio.

Each caller is a real process, and says itself that it has several threads: otherwise the test would show nothing.
"""

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from integration.runs import ROOT, completed, environment, is_alive, process_of, python
from jupyter_client.manager import KernelManager
from waiting import wait_until

from perfcore.engine.stop_signals import ECHO_S

TIMEOUT_S = 60

# Of every caller: how many requests a run of so many counted, and that it was a run beside threads.
PRELUDE = f"""
import json, os, pathlib, sys, threading
sys.path[:0] = [{str(ROOT / "tests")!r}]
from integration.runs import children
from perfcore import PerfcoreError, TestCase, TestRunner, UsageError
def case(url, iterations, endpoint="/delay/2", **keys):
    return TestCase(name="x", endpoint=url + endpoint, iterations=iterations, **keys)
def has_threads():
    return len(os.listdir("/proc/self/task")) > 1
def family():
    mine = [pid for pid in children(os.getpid())]
    return mine + [pid for child in mine for pid in children(child)]
def in_two_threads(go):
    threads = [threading.Thread(target=go, args=(number,)) for number in (1, 2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def caller(folder, program, *arguments):
    """A process that runs the prelude and this; gone after the block."""
    return process_of(folder, python(PRELUDE + program, *arguments))


def output_of(folder, program, *arguments):
    done = completed(folder, python(PRELUDE + program, *arguments))
    assert (done.code, done.stderr) == (0, "")
    return done.stdout


def results_in(folder):
    """Every result that lies there, by its directory's name; `latest` is one of them."""
    found = {
        path.parent.name: json.loads(path.read_text()) for path in (folder / "results").glob("*/results.json")
    }
    assert found.pop("latest") in found.values()
    return found


# -- a notebook -----------------------------------------------------------------------------------------------------


class Notebook:
    """A kernel of Jupyter's, and what its cells say."""

    def __init__(self, manager):
        self._manager = manager
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT_S)

    @property
    def pid(self):
        return self._manager.provisioner.pid

    def begin(self, code):
        return self._client.execute(code)

    def said(self, cell):
        """(kind, content) of what the cell says, as it comes, to its end."""
        while True:
            message = self._client.get_iopub_msg(timeout=TIMEOUT_S)
            if message["parent_header"].get("msg_id") == cell:
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return
                yield message["msg_type"], message["content"]

    def run(self, code):
        """What a cell prints, as JSON; an error in it fails the test."""
        text = ""
        for kind, content in self.said(self.begin(code)):
            assert kind != "error", "\n".join(content["traceback"])
            text += content["text"] if kind == "stream" else ""
        return json.loads(text or "null")

    def interrupt(self):
        self._manager.interrupt_kernel()

    def close(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory) -> Iterator[Notebook]:
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / name))
        manager = KernelManager()
        manager.start_kernel(cwd=str(folder), env=environment())
        running = Notebook(manager)
        try:
            running.run(PRELUDE)
            yield running
        finally:
            running.close()


@pytest.fixture
def notebook(kernel, tmp_path) -> Notebook:
    """The one kernel of all tests, in this test's directory."""
    kernel.run(f"os.chdir({str(tmp_path)!r})")
    return kernel


def test_in_a_notebook_it_runs_twice_in_a_row_and_in_two_threads_at_once(notebook, tmp_path, target):
    said = notebook.run(f"""
url, found = {target.url!r}, {{}}
runner = TestRunner(procs=1)
totals = [runner.run(case(url, iterations)).total_requests for iterations in (20, 21)]
both_run = threading.Barrier(2)
def go(number):
    met = []
    def meet(progress):
        if not met: met.append(both_run.wait(20))
    result = TestRunner(procs=1, on_progress=meet).run(case(url, 21 + number, "/delay/20"))
    found[number] = result.total_requests, str(result.results_dir)
in_two_threads(go)
print(json.dumps([has_threads(), totals, found, family()]))
""")
    has_threads, totals, found, left = said
    assert has_threads
    assert totals == [20, 21]
    assert {total for total, _ in found.values()} == {22, 23}
    assert left == []
    saved = results_in(tmp_path)
    assert sorted(each["results"]["x"]["total_requests"] for each in saved.values()) == [20, 21, 22, 23]
    for total, directory in found.values():
        assert saved[directory.rpartition("/")[2]]["results"]["x"]["total_requests"] == total
    assert target.stats()["requests"] == 20 + 21 + 22 + 23


def test_a_notebooks_interrupt_saves_the_result_and_is_raised_then(notebook, tmp_path, target):
    cell = notebook.begin(f"""
def tell(progress):
    if progress.tests[0].requests: print("under load", flush=True)
TestRunner(procs=1, on_progress=tell).run(case({target.url!r}, None, duration="60s"))
""")
    errors = []
    interrupted = False
    for kind, content in notebook.said(cell):
        if kind == "stream" and not interrupted:
            notebook.interrupt()
            interrupted = True
        elif kind == "error":
            errors.append(content["ename"])
    assert errors == ["KeyboardInterrupt"]
    (document,) = results_in(tmp_path).values()
    assert document["verdict"] == "interrupted"
    assert document["incidents"] == ["interrupted by SIGINT"]
    assert document["results"]["x"]["total_requests"] == target.stats()["requests"] > 0
    assert notebook.run("print(json.dumps(family()))") == []


# -- pytest-xdist ---------------------------------------------------------------------------------------------------

XDIST = """
import os, pytest
from perfcore import TestCase, TestRunner
@pytest.mark.parametrize("number", range(2))
def test_it_is_fast_enough(number):
    assert os.environ["PYTEST_XDIST_WORKER"] in ("gw0", "gw1")
    assert len(os.listdir("/proc/self/task")) > 1
    case = TestCase(name="x", endpoint="{url}/health", iterations=10 + number)
    result = TestRunner(procs=1).run(case)
    assert result.total_requests == 10 + number and result.passed
"""


def test_under_pytest_xdist_every_test_may_run_it(tmp_path, target):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_speed.py").write_text(XDIST.replace("{url}", target.url))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "2", "-p", "no:cacheprovider"]
    # No other plugin of whoever runs this: each is imported three times.
    done = completed(tmp_path, words, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert done.code == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert len(results_in(tmp_path)) == 2
    assert target.stats()["requests"] == 10 + 11


# -- a web server ---------------------------------------------------------------------------------------------------

SERVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
both_run = threading.Barrier(2)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        met = []
        def meet(progress):
            if not met: met.append(both_run.wait(20))
        iterations = int(self.path.strip("/"))
        result = TestRunner(procs=1, results_dir=None, on_progress=meet).run(
            case(sys.argv[1], iterations, "/delay/20"))
        body = json.dumps([has_threads(), result.total_requests]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""


def test_a_web_server_runs_it_for_two_requests_at_once_twice(tmp_path, target):
    answers = []

    def ask(port, iterations):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{iterations}", timeout=TIMEOUT_S) as answer:
            answers.append(json.loads(answer.read()))

    with caller(tmp_path, SERVER, target.url) as process:
        port = int(process.stdout.readline())
        for pair in ((20, 21), (22, 23)):
            threads = [threading.Thread(target=ask, args=(port, iterations)) for iterations in pair]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(TIMEOUT_S)
    assert sorted(answers) == [[True, 20], [True, 21], [True, 22], [True, 23]]
    assert target.stats()["requests"] == 20 + 21 + 22 + 23


# -- a program of one's own -----------------------------------------------------------------------------------------


def test_asyncio_awaits_it_in_a_thread(tmp_path, target):
    program = """
import asyncio
async def main():
    runs = [asyncio.to_thread(TestRunner(procs=1).run, case(sys.argv[1], iterations)) for iterations in (10, 11)]
    return [result.total_requests for result in await asyncio.gather(*runs)]
assert asyncio.run(main()) == [10, 11]
assert family() == []
"""
    assert output_of(tmp_path, program, target.url) == ""
    assert len(results_in(tmp_path)) == 2


def test_one_runner_in_two_threads_at_once_is_a_usage_error(tmp_path, target):
    program = """
refused = []
def meanwhile(progress):
    def go():
        try:
            runner.run(case(sys.argv[1], 1))
        except UsageError as error:
            refused.append(str(error))
    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
runner = TestRunner(procs=1, results_dir=None, on_progress=meanwhile)
def go(number):
    if number == 1:
        assert runner.run(case(sys.argv[1], 50)).total_requests == 50
in_two_threads(go)
assert refused and "a TestRunner of its own" in refused[0], refused
"""
    output_of(tmp_path, program, target.url)


def test_from_the_callback_of_a_run_another_one_can_be_started(tmp_path, target):
    program = """
inner = []
def meanwhile(progress):
    if not inner:
        def go():
            inner.append(TestRunner(procs=1).run(case(sys.argv[1], 11)).total_requests)
        thread = threading.Thread(target=go)
        thread.start()
        thread.join()
outer = TestRunner(procs=1, on_progress=meanwhile).run(case(sys.argv[1], 100))
assert (outer.total_requests, inner) == (100, [11])
"""
    output_of(tmp_path, program, target.url)


def test_a_caller_with_one_thread_needs_no_further_process(tmp_path, target):
    program = """
seen = []
TestRunner(procs=2, results_dir=None, on_progress=lambda _: seen.append(family())).run(case(sys.argv[1], 60))
assert [len(each) for each in seen[:1]] == [2], seen
"""
    output_of(tmp_path, program, target.url)


def test_everything_that_is_saved_is_saved_beside_threads_as_well(tmp_path, target):
    program = """
result = []
def go(number):
    if number == 1:
        runner = TestRunner(procs=2, samples=True, seed=7, command_line=["a", "b"])
        result.append(runner.run(case(sys.argv[1], 50, parallel_users=2)))
        assert runner.warnings == []
in_two_threads(go)
(result,) = result
assert (result.seed, result.command_line, result.environment.workers) == (7, ["a", "b"], 2)
print(sorted(path.name for path in result.results_dir.iterdir()))
import numpy
print(len(numpy.load(result.results_dir / "samples.npy")))
"""
    names, rows = output_of(tmp_path, program, target.url).splitlines()
    assert names == "['results.json', 'samples.npy', 'suite.yaml']"
    assert int(rows) == 100


def test_ctrl_c_once_saves_the_result_and_twice_leaves_at_once(tmp_path, target):
    program = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started with
threading.Thread(target=threading.Event().wait, daemon=True).start()
def tell(progress):
    if progress.tests[0].users:
        print(progress.tests[0].state, *family(), flush=True)
try:
    TestRunner(procs=1, on_progress=tell).run(case(sys.argv[1], None, sys.argv[2], duration="60s"))
except KeyboardInterrupt:
    print("left", *family(), flush=True)
"""
    with caller(tmp_path, program, target.url, "/health") as process:
        assert len(process.stdout.readline().split()) == 3
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (stdout.splitlines()[-1], stderr) == ("left", "")
    (document,) = results_in(tmp_path).values()
    assert document["verdict"] == "interrupted"

    with caller(tmp_path, program, target.url, "/delay/60000") as process:
        family = [int(word) for word in process.stdout.readline().split()[1:]]
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.stdout.readline().startswith("draining"), "the first one is heeded")
        time.sleep(2 * ECHO_S)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (stdout.splitlines()[-1], stderr) == ("left", "")
    assert not [pid for pid in family if is_alive(pid)]
    assert len(results_in(tmp_path)) == 1


@pytest.mark.parametrize("url", ["embedded", None])
def test_nothing_survives_a_killed_caller_with_threads(tmp_path, target, url):
    before = set(os.listdir("/dev/shm"))
    program = """
from perfcore import TestSuite
def tell(progress):
    if progress.tests[0].requests:
        os.write(1, (" ".join(map(str, family())) + "\\n").encode())  # whole, whatever the other thread writes
suite = TestSuite(name="s", base_url=sys.argv[1], tests=[TestCase(name="x", endpoint="/health", duration="60s")])
in_two_threads(lambda number: TestRunner(procs=1, on_progress=tell).run(suite))
"""
    with caller(tmp_path, program, url or target.url) as process:
        whole = 4 if url is None else 6
        family = wait_until(
            lambda: len(words := process.stdout.readline().split()) == whole and list(map(int, words)),
            "two supervisors with their workers",
        )
        process.kill()
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "nothing survives", 1.0)
    assert set(os.listdir("/dev/shm")) <= before
    assert not (tmp_path / "results" / "latest").exists()
