"""One request after the other by Locust's fast client, without a pause: $BENCH_URL, with the file $BENCH_BODY."""

# mypy: ignore-errors
# Locust has an environment of its own, where mypy does not look.
import os
from pathlib import Path

from locust import FastHttpUser, task

URL = os.environ["BENCH_URL"]
BODY = Path(os.environ["BENCH_BODY"]).read_bytes() if "BENCH_BODY" in os.environ else None
JSON = {"Content-Type": "application/json"}


class PlainUser(FastHttpUser):
    host = URL

    @task
    def one_request(self) -> None:
        if BODY is None:
            self.client.get(URL)
        else:
            self.client.post(URL, data=BODY, headers=JSON)
