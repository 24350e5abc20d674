"""Suite files for the tests of this room."""

SEED = """\
test_suite:
  name: "API Performance Test Suite"
  base_url: "https://api.example.com"
  tests:
    - name: "Get User Profile"
      endpoint: "/users/profile"
      method: "GET"
      headers:
        Authorization: "Bearer ${TOKEN}"
      parallel_users: 10
      iterations: 100
      timeout: 30
"""


def suite(tests="- {name: A, endpoint: /a}", head="base_url: http://h"):
    """A suite file with these keys and tests."""
    indented = "\n".join("    " + line for line in tests.splitlines())
    heads = "\n".join("  " + line for line in head.splitlines())
    return f"test_suite:\n  name: S\n{heads}\n  tests:\n{indented}\n"


RICH = suite(
    head="""\
base_url: http://h
description: d
tags: {a: b}
mode: parallel
variables: {A: "${B:-x}", C: [1, {d: "${user()}"}]}
secrets: [A]
environments: {st: {variables: {A: y}}}
defaults: {timeout: 10s, headers: {X: "${A}"}}""",
    tests="""\
- name: A
  endpoint: "/${A}/${randint(1, 5)}"
  method: post
  params: {a: [1, "${A}"]}
  json: {a: "${C}", b: ["$$", null, 1.5]}
  auth: {type: basic, username: u, password: "${A}"}
  percentiles: [75, 99.99]
  expect: {status: [200, 2xx], header: {A: b}, body_matches: 'x+', max_time: 1s,
           json: {"$.a[*]": {min: 1, exists: true}}}
  parallel_users: 1k
  total_iterations: 5k
  duration: 1m30s
  ramp_up: 0s
  think_time: {min: 1, max: 2}
  pacing: 1s
- {name: B, endpoint: http://other/, form: {a: b}, tls: {verify: false}, keepalive: false}""",
)
