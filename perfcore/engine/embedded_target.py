"""`base_url: embedded`: the target server as a child process that dies with the supervisor."""

import select
import subprocess
import sys
import time

from perfcore.errors import SetupFailedError

START_TIMEOUT_S = 10.0
_ANNOUNCEMENT = "listening on "


class EmbeddedTarget:
    """Running once made; `url` is where. Raises SetupFailedError when it does not come up."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "perfcore.target", "--port", "0", "--exit-with-parent", "--quiet"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches the whole foreground group; what is under way still needs its server then.
            process_group=0,
        )
        try:
            self.url = self._await_announcement()
        except BaseException:
            self.stop()
            raise

    def _await_announcement(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        if select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            line = self._process.stdout.readline().strip()
            if line.startswith(_ANNOUNCEMENT):
                return line.removeprefix(_ANNOUNCEMENT)
        self._process.kill()
        reason = self._process.stderr.read().strip() or f"it said nothing within {START_TIMEOUT_S:.0f} s"
        raise SetupFailedError(f"the embedded target did not start: {reason}")

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
