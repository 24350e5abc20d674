"""The Python interface: one test case, run from every core, its figures as attributes.

Run it against any server of yours: python examples/basic_test.py https://api.example.com/users/profile
"""

import sys

from perfcore import TestCase, TestRunner


def main(url: str) -> None:
    test_case = TestCase(
        name="Get User Profile",
        endpoint=url,
        method="GET",
        headers={"Authorization": "Bearer token"},
        parallel_users=10,
        iterations=100,
    )

    runner = TestRunner()
    results = runner.run(test_case)

    # The run has been logged to results/<timestamp>/ by now.
    print(f"Average response time: {results.avg_response_time}ms")
    print(f"95th percentile: {results.percentiles['p95']}ms")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/basic_test.py URL")
    main(sys.argv[1])
