"""How many connections a worker may open: what its users need, and how many users there is room for."""

import resource

from perfcore.engine.transfer_users import USERS_PER_SHARD
from perfcore.errors import SetupFailedError

# What a worker has open besides its users' connections: streams, epoll, budgets, its channel, what it inherited.
_OWN = 32
_A_SHARD = 2
# Of the other workers it inherits channels and, with samples, files.
_A_WORKER = 2


def check_descriptors(users: int, workers: int, *, follow_redirects: bool) -> None:
    """Raise SetupFailedError when one of so many workers could not open a connection for each of these users."""
    shards = -(-users // USERS_PER_SHARD)
    needed = users * _per_user(follow_redirects) + _A_SHARD * shards + _A_WORKER * workers + _OWN
    limit = _limit()
    if limit is not None and needed > limit:
        raise SetupFailedError(
            f"a worker with {users:,} users needs {needed:,} file descriptors and the hard limit is {limit:,}: "
            f"raise it (ulimit -n {needed}), or ask for fewer users (of a rate: max_users)"
        )


def users_that_fit(workers: int, *, follow_redirects: bool) -> int | None:
    """Users for whom each of so many workers can open a connection; None without a limit."""
    limit = _limit()
    if limit is None:
        return None
    room = max(0, limit - _A_WORKER * workers - _OWN - _A_SHARD)  # the last shard may be part full
    return room * USERS_PER_SHARD // (_per_user(follow_redirects) * USERS_PER_SHARD + _A_SHARD)


def _per_user(follow_redirects: bool) -> int:
    # A redirect to another origin (http to https, usually) takes a second connection.
    return 2 if follow_redirects else 1


def _limit() -> int | None:
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else limit
