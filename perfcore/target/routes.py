"""The table of routes, by first path segment, and how a request finds its own.

A route function is called when a request is complete. It reads the request once and returns a Plan: bytes if the
answer is always the same, a Stream, or a function that answers each time. The server remembers the plan for
requests of the same bytes, so parsing a query there costs nothing under load; what differs from one request to the
next of the same bytes (a clock, a counter, a nonce) must be looked at in the function. A RefusalError, or a
ValueError from a parser of perfcore.units, becomes a JSON error and leaves the connection open.
"""

from collections.abc import Callable
from dataclasses import dataclass

from perfcore.target import (
    auth_routes,
    basic_routes,
    body_routes,
    cookie_routes,
    fault_routes,
    redirect_routes,
    truth_routes,
)
from perfcore.target.messages import Plan, RefusalError, Request, json_response
from perfcore.target.state import TargetState


@dataclass(frozen=True, slots=True)
class Route:
    plan: Callable[[Request, TargetState], Plan]
    takes_rest: bool = False
    """Whether anything may follow the first segment of the path."""
    keeps_body: bool = False
    """Whether the request's body is collected (up to a limit of the server) or thrown away as it arrives."""
    hashes_body: bool = False
    """Whether a body that is thrown away is counted and hashed (SHA-256) before."""


def find_route(request: Request) -> Route | None:
    route = ROUTES.get(request.segment) if request.path.startswith("/") else None
    return None if route is None or (request.rest and not route.takes_rest) else route


def make_plan(request: Request, state: TargetState) -> Plan:
    """How to answer this complete request; mistakes in it are answered too, never raised."""
    route = find_route(request)
    if route is None:
        return request.encode(json_response(404, {"error": f"no route for {request.path}"}))
    try:
        return route.plan(request, state)
    except RefusalError as refusal:
        return request.encode(json_response(refusal.status, {"error": str(refusal)}))
    except ValueError as error:
        return request.encode(json_response(400, {"error": str(error)}))


ROUTES: dict[str, Route] = {
    "health": Route(basic_routes.health),
    "users": Route(basic_routes.users, takes_rest=True, keeps_body=True),
    "echo": Route(basic_routes.echo, takes_rest=True, keeps_body=True),
    "delay": Route(basic_routes.delay, takes_rest=True),
    "truth": Route(truth_routes.truth, takes_rest=True),
    "status": Route(basic_routes.status, takes_rest=True),
    "bytes": Route(body_routes.sized, takes_rest=True),
    "chunked": Route(body_routes.chunked, takes_rest=True),
    "gzip": Route(body_routes.gzip),
    "deflate": Route(body_routes.deflate),
    "upload": Route(body_routes.upload, hashes_body=True),
    "multipart": Route(body_routes.multipart, keeps_body=True),
    "flaky": Route(basic_routes.flaky),
    "stall": Route(truth_routes.stall),
    "redirect": Route(redirect_routes.redirect, takes_rest=True),
    "cookies": Route(cookie_routes.cookies, takes_rest=True),
    "basic": Route(auth_routes.basic, takes_rest=True),
    "digest": Route(auth_routes.digest, takes_rest=True),
    "login": Route(auth_routes.login, keeps_body=True),
    "protected": Route(auth_routes.protected),
    "reset": Route(fault_routes.reset),
    "hang": Route(fault_routes.hang),
    "truncate": Route(fault_routes.truncate),
    "garbage": Route(fault_routes.garbage),
    "slow-headers": Route(fault_routes.slow_headers),
    "endless-headers": Route(fault_routes.endless_headers),
    "close": Route(fault_routes.close),
    "stats": Route(basic_routes.stats, takes_rest=True),
}
