import errno

import pycurl
import pytest

from perfcore.engine.curl_handle import is_out_of_memory


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (pycurl.error(27, ""), True),
        (pycurl.error("initializing curl easy failed"), True),
        (pycurl.error(3, "multi_socket_action failed"), True),
        (pycurl.error(3, "URL using bad/illegal format"), False),
        (pycurl.error(2, "multi_socket_action failed"), False),
        (ValueError("memory"), False),
    ],
)
def test_what_is_raised_when_the_memory_is_at_its_end_is_known(error: BaseException, told: bool) -> None:
    assert is_out_of_memory(error) is told


def test_no_multi_handle_is_the_code_that_libcurl_says_of_one() -> None:
    # The numbers of a CurlMulti are not those of a transfer: 2 is a bad handle there, and 3 is out of memory.
    multi, handle = pycurl.CurlMulti(), pycurl.Curl()
    multi.add_handle(handle)
    with pytest.raises(pycurl.error) as raised:
        multi.add_handle(handle)
    assert is_out_of_memory(raised.value) is False
