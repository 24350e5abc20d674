"""`base_url: embedded`: the target server as a child process that dies with the supervisor."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from perfcore.engine.core_split import keep_to
from perfcore.errors import SetupFailedError

START_TIMEOUT_S = 10.0
_ANNOUNCEMENT = "listening on "
_LONGEST_LINE = 4096
# To find Python and its libraries, to write a certificate, to speak the user's language.
_NEEDED_VARIABLES = (
    "PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE",
    "PYTHONUTF8", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
)  # fmt: skip


class EmbeddedTarget:
    """Running once made, on these cores if they are given; `url` is where.

    Raises SetupFailedError when it does not come up.
    """

    def __init__(self, cores: frozenset[int] | None = None) -> None:
        # -P: what lies in the user's directory (an asyncio.py beside the suite) is none of the server's modules.
        module = ["-P", "-m", "perfcore.target", "--port", "0", "--exit-with-parent", "--quiet"]
        package_parent = str(Path(__file__).parent.parent.parent)
        inherited = os.environ.get("PYTHONPATH")
        # In memory and not a pipe: nobody reads it while the server runs, and a full pipe would stop it.
        self._stderr = os.memfd_create("perfcore-target-stderr", os.MFD_CLOEXEC)
        self._process = subprocess.Popen(
            [sys.executable, *module],
            env={
                # Its environment can be read in /proc: PERFCORE_VAR and tokens of the user's are not for it.
                **{name: os.environ[name] for name in _NEEDED_VARIABLES if name in os.environ},
                "PYTHONPATH": os.pathsep.join(filter(None, [package_parent, inherited])),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C reaches the whole foreground group; what is under way still needs its server then.
            process_group=0,
        )
        try:
            self.url = self._await_announcement()
        except BaseException:
            self.stop()
            raise
        keep_to(cores, self._process.pid)

    def _await_announcement(self) -> str:
        line = self._first_line()
        if line.startswith(_ANNOUNCEMENT):
            return line.removeprefix(_ANNOUNCEMENT)
        self._process.kill()
        self._process.wait()
        said = os.pread(self._stderr, _LONGEST_LINE, 0).decode("utf-8", "replace").strip()
        reason = said or f"it said nothing within {START_TIMEOUT_S:.0f} s"
        raise SetupFailedError(f"the embedded target did not start: {reason}")

    def _first_line(self) -> str:
        """What it says first; cut short when it says no whole line in time, ends, or does not end its line."""
        assert self._process.stdout is not None
        poller, fd, said = select.poll(), self._process.stdout.fileno(), b""
        poller.register(fd, select.POLLIN)
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"\n" not in said and len(said) < _LONGEST_LINE:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return ""
            more = os.read(fd, _LONGEST_LINE)
            if not more:
                return ""
            said += more
        return said.partition(b"\n")[0].decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._stderr)
