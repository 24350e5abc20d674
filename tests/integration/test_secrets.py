"""Secrets are planted wherever one can stand, and every byte that perfcore produced is searched for them."""

import json
import os
import signal
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from integration.hostile_server import hostile_server
from integration.planted_secrets import Planted, plant, put_on_the_wire, remnants, routes
from integration.runs import (
    COMMAND,
    ROOT,
    TIMEOUT_S,
    both_engines,
    children,
    completed,
    is_alive,
    process_of,
    python,
)
from waiting import wait_until

from perfcore.cli.main import main
from perfcore.engine.stop_signals import ECHO_S

SESSION = "Zq8vT1mYw4KcN6bRsJ2e"


@pytest.fixture(scope="module")
def server():
    with hostile_server(SESSION) as running:
        yield running


@pytest.fixture
def planted(tmp_path, server):
    server.forget()
    return plant(tmp_path, server.address, SESSION)


def perfcore(
    planted: Planted, *arguments: str, **env: str
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    return process_of(planted.folder, [*COMMAND, *arguments], {**planted.environ, **env}, text=False)


def run(planted: Planted, *arguments: str, **env: str) -> tuple[int, bytes]:
    """The exit code, and stdout and stderr."""
    with perfcore(planted, *arguments, **env) as process:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, stdout + b"\n" + stderr


def kept(folder: Path) -> bytes:
    """Every byte of every file under results, and their names."""
    files = [path for path in sorted(folder.joinpath("results").rglob("*")) if path.is_file()]
    return b"\n".join(part for path in files for part in (str(path).encode(), path.read_bytes()))


def assert_no_secret(planted: Planted, output: bytes) -> None:
    assert output
    leaks = {where: found for where, value in planted.values.items() if (found := remnants(value, output))}
    assert not leaks


def titles(process: "subprocess.Popen[bytes]") -> dict[int, bytes]:
    """The command lines of a run's own process and of its children, by process."""
    found = {}
    for pid in (process.pid, *children(process.pid)):
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    return found


def test_there_are_forty_secrets_and_the_search_finds_each_of_them(planted):
    assert len(planted.values) >= 40
    assert len(set(planted.values.values())) == len(planted.values)
    for value in planted.values.values():
        assert remnants(value, f"<{value[:-1]}>".encode()) or value.isdigit()
        assert remnants(value, json.dumps(json.dumps(value)).encode())


@both_engines
def test_a_run_that_fails_everywhere_shows_no_secret(planted, engine):
    if engine == "wire":
        put_on_the_wire(planted)
    arguments = (*planted.options, "--procs", "2", "--samples")
    code, said = run(planted, str(planted.suite), *arguments)
    files = kept(planted.folder)
    assert_no_secret(planted, said + files)
    assert code == 99, said.decode()
    document = json.loads((planted.folder / "results" / "latest" / "results.json").read_text())
    engines = {test["engine"] for test in document["results"].values()}
    assert engines == (
        {"transfer"} if engine == "transfer" else {"wire", "transfer"}
    )  # one has a login in its URL
    for key, test in document["results"].items():
        samples = [sample for failure in test["failures"] for sample in failure["samples"]]
        # A test that looks at answers keeps one; all others show every spelling.
        assert len(samples) >= (1 if key.startswith("expected") else 5), key
        # Something was there to be masked, in the body too.
        assert key == "expected_json" or "***" in "".join(sample["body"] for sample in samples), key
    assert document["tags"] == {"session_id": "***", "team": "shop", "api_key": "***", "owner": "***"}
    assert "LISTED=***" in document["command_line"]
    assert "--var=SHOP_PASSWORD=***" in document["command_line"]


def test_proxies_multipart_bodies_and_rounds_of_authentication_show_no_secret(planted, server):
    suite = json.loads(planted.suite.read_text())
    used = [test for test in suite["test_suite"]["tests"] if test["name"] in ("Announced", "Choice")]
    suite["test_suite"]["tests"] = [*used, *routes(planted.secrets, server.address)]
    planted.suite.write_text(json.dumps(suite))
    code, plan = run(planted, str(planted.suite), "--dry-run", *planted.options)
    assert code == 0, plan.decode()
    code, said = run(planted, str(planted.suite), *planted.options, "--procs", "1")
    assert code == 99, said.decode()
    assert_no_secret(planted, plan + said + kept(planted.folder))


def test_the_result_as_json_with_environment_twins_shows_no_secret(planted):
    tag = f"session_token={planted.values['tag of the suite']}"
    twins = {"PERFCORE_JSON": "1", "PERFCORE_PROCS": "1", "PERFCORE_TAG": tag}
    twins["PERFCORE_VAR"] = planted.environ["PERFCORE_VAR"] + "".join(
        f"\n{name}={planted.values[where]}"
        for name, where in (
            ("LISTED", "--var, named in secrets:"),
            ("SHOP_PASSWORD", "--var=, name announces it"),
        )
    )
    code, said = run(planted, str(planted.suite), **twins)
    assert_no_secret(planted, said + kept(planted.folder))
    assert (code, b'"session_token":"***"' in said.replace(b" ", b"")) == (99, True)


def test_the_plan_shows_no_secret(planted):
    code, said = run(planted, str(planted.suite), *planted.options, "--dry-run")
    assert_no_secret(planted, said)
    assert code == 0
    assert b"Every kind of secret" in said


@both_engines
def test_no_process_title_shows_a_secret_and_a_killed_worker_tells_none(planted, server, engine):
    if engine == "wire":
        put_on_the_wire(planted)
    arguments = (str(planted.long_suite), *planted.options, "--procs", "2", "--samples")
    with perfcore(planted, *arguments) as process:
        wait_until(lambda: server.asked("/c") >= 5, "requests under way")
        seen = titles(process)
        workers = [pid for pid in seen if pid != process.pid]
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: not is_alive(workers[0]), "the worker's death")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert sorted(title.rstrip(b"\0") for pid, title in seen.items() if pid != process.pid) == [
        b"perfcore: worker 0 of Every kind of secret",
        b"perfcore: worker 1 of Every kind of secret",
    ]
    assert b"LISTED=***" in seen[process.pid]
    assert str(planted.long_suite).encode() in seen[process.pid]
    assert_no_secret(planted, b"\n".join(seen.values()) + stdout + stderr + kept(planted.folder))
    assert process.returncode == 105


def test_a_run_that_is_left_at_once_tells_no_secret(planted, server):
    suite = json.loads(planted.long_suite.read_text())
    slow = suite["test_suite"]["tests"][0] | {"endpoint": "/slow?token=${LISTED}", "graceful_stop": "20s"}
    suite["test_suite"]["tests"] = [slow]
    planted.long_suite.write_text(json.dumps(suite))
    with perfcore(planted, str(planted.long_suite), *planted.options) as process:
        wait_until(lambda: server.asked("/slow"), "a request under way")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.readline()
        while b"once more" not in said and process.poll() is None:
            said += process.stderr.readline()
        time.sleep(3 * ECHO_S)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 105
    assert b"left at once" in stderr
    assert_no_secret(planted, said + stdout + stderr + kept(planted.folder))


BUG = """\
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path


class Breaker(MetaPathFinder):
    '''Makes one function of perfcore raise with a secret in what it says.'''

    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)

            def broken(*arguments, **keywords):
                raise RuntimeError(Path({message!r}).read_text())

            owner = module
            *owners, function = {function!r}.split(".")
            for each in owners:
                owner = getattr(owner, each)
            setattr(owner, function, broken)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Breaker())
"""


@pytest.mark.parametrize(
    ("module", "function", "code", "told"),
    [
        ("perfcore.engine.wire_client", "WireClient._handle", 97, b"worker 0 met a bug of perfcore"),
        ("perfcore.engine.load_loop", "LoadLoop._start_due", 97, b"worker 0 met a bug of perfcore"),
        ("perfcore.engine.supervisor", "Supervisor.run", 1, b"Traceback (most recent call last)"),
        ("perfcore.suite.test_suite", "TestSuite.loaded", 1, b"Traceback (most recent call last)"),
        ("perfcore.suite.masker", "Masker.text", 1, b"RuntimeError"),
    ],
)
def test_a_bug_keeps_its_traceback_and_tells_no_secret(planted, module, function, code, told):
    lines = [
        f"{where}: {value!r} {value}" for where, value in planted.values.items() if _known_at_load(where)
    ]
    filler = "x" * 17_000
    if "wire" in module:
        put_on_the_wire(planted)
    place = planted.folder / "site"
    place.mkdir()
    message = place / "message"
    message.write_text("\n".join((*lines, filler, *lines)))
    (place / "sitecustomize.py").write_text(
        BUG.format(module=module, function=function, message=str(message))
    )
    path = os.pathsep.join((str(place), str(ROOT)))
    arguments = (str(planted.suite), *planted.options, "--procs", "1")
    ended, said = run(planted, *arguments, PYTHONPATH=path)
    assert ended == code, said.decode()
    assert told in said
    known = {where: value for where, value in planted.values.items() if _known_at_load(where)}
    if function == "TestSuite.loaded":
        # No suite has been made by then; what lies in tests and headers is not known yet.
        early = ("--var", "PERFCORE_VAR", "variable", "environment", "file")
        known = {where: value for where, value in known.items() if where.startswith(early)}
        known = {where: value for where, value in known.items() if not where.startswith("environment, name")}
        known.pop("file", None)
    output = said + kept(planted.folder)
    assert not {where: found for where, value in known.items() if (found := remnants(value, output))}


def _known_at_load(where: str) -> bool:
    """All but the session, which the server gives, and the twin's value, which --var replaces."""
    return where not in ("session that the server gave", "PERFCORE_VAR")


@pytest.mark.parametrize(
    "arguments",
    [
        ("suite.json", "--var", "API_TOKEN {}"),
        ("suite.json", "--var", "={}"),
        ("suite.json", "--var=API_TOKEN=", "{}"),
        ("suite.json", "--var", "API_TOKEN=", "{}"),
        ("suite.json", "--tag", "{}"),
        ("suite.json", "--env", "TOKEN={}"),
        ("suite.json", "--header", "Authorization: Bearer {}"),
        ("suite.json", "-H", "Authorization: Bearer {}"),
        ("suite.json", "--token={}"),
        ("suite.json", "-u{}"),
        ("suite.json", "--user", "ada:{}"),
        ("validate", "suite.json", "--var", "{}"),
    ],
)
def test_a_wrong_command_line_does_not_repeat_a_secret(arguments, capsys):
    code = main([word.format(SESSION) for word in arguments])
    said = capsys.readouterr()
    assert (code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert not remnants(SESSION, said.err.encode())


def test_a_twin_that_cannot_be_read_does_not_repeat_a_secret(monkeypatch, capsys):
    monkeypatch.setenv("PERFCORE_VAR", f"A=1\nTWIN_TOKEN {SESSION}")
    assert main(["suite.json"]) == 2
    said = capsys.readouterr().err
    assert "PERFCORE_VAR" in said
    assert not remnants(SESSION, said.encode())


def test_mistakes_beside_secrets_do_not_show_them(planted):
    suite = json.loads(planted.suite.read_text())
    data = suite["test_suite"]
    data["mode"] = "${LISTED}"
    data["variables"]["DATABASE"]["more"] = "${NO_SUCH}"
    for test in data["tests"]:
        test["timeout"] = "${db_password}"
        test["iterations"] = "${SHOP_PASSWORD}"
    data["tests"][0]["method"] = "${LISTED}"
    data["tests"][1]["expect"] = {"status": "${FROM_ENVIRON}", "body_matches": "(${PLAIN_NAME}"}
    planted.suite.write_text(json.dumps(suite))
    code, said = run(planted, "validate", str(planted.suite), *planted.options[:5])
    assert code == 104
    assert len(said.splitlines()) > len(data["tests"])
    assert_no_secret(planted, said)


def test_the_embedded_target_gets_no_secret(planted):
    suite = json.loads(planted.long_suite.read_text())
    suite["test_suite"]["base_url"] = "embedded"
    planted.long_suite.write_text(json.dumps(suite))
    with perfcore(planted, str(planted.long_suite), *planted.options, "--procs", "1") as process:
        seen = wait_until(lambda: len(found := titles(process)) == 3 and found, "target and worker")
        target = next(pid for pid, title in seen.items() if b"perfcore.target" in title)
        environ = Path(f"/proc/{target}/environ").read_bytes()
        wait_until(
            lambda: any(b"worker 0" in title for title in titles(process).values()), "the worker's title"
        )
        seen = titles(process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert b"PYTHONPATH=" in environ
    assert b"PERFCORE_" not in environ
    assert_no_secret(planted, environ + b"\n".join(seen.values()) + stdout + stderr)


CALLER = """\
import sys
from pathlib import Path
from perfcore import TestRunner

def look(progress):
    from integration.runs import children
    import os
    for pid in (os.getpid(), *children(os.getpid())):
        print(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(bytes(1)).split(bytes(1)), flush=True)
    runner.request_stop("seen enough")

runner = TestRunner(procs=1, results_dir=None, on_progress=look)
runner.run(sys.argv[1], variables=dict(pair.split("=", 1) for pair in sys.argv[2:]))
"""


def test_the_title_of_a_callers_process_is_left_alone_and_its_workers_have_their_own(planted):
    pairs = [word.removeprefix("--var=") for word in planted.options[1:3]] + [planted.environ["PERFCORE_VAR"]]
    done = completed(
        planted.folder,
        python(CALLER, str(planted.long_suite), *pairs),
        {**planted.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
    )
    assert done.code == 0, done.stderr
    own, worker, *_ = done.stdout.splitlines()
    assert pairs[0] in own
    assert worker == "[b'perfcore: worker 0 of Every kind of secret']"
