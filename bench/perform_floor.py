"""The least that libcurl transfers cost from Python: perform() in a loop, no recording, no limits, nothing checked.

python perform_floor.py URL CONNECTIONS SECONDS - the floor that `perfcore --engine transfer` is compared with.
"""

import os
import sys
import time

import pycurl


def main(url: str, connections: int, seconds: float) -> None:
    multi = pycurl.CurlMulti()
    handles = [pycurl.Curl() for _ in range(connections)]
    for handle in handles:
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PROXY, "")
        multi.add_handle(handle)
    end = time.monotonic() + seconds
    running = connections
    while running:
        running = multi.perform()[1]
        finished, failed = multi.info_read()[1:]
        starts = time.monotonic() < end
        for handle in (*finished, *(row[0] for row in failed)):
            multi.remove_handle(handle)
            if starts:
                multi.add_handle(handle)
                running += 1
        if not finished:
            multi.select(1.0)


if __name__ == "__main__":
    # libcurl writes bodies to C's stdout; there they cost nothing.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
