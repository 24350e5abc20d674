"""Which of several addresses a user's next connection goes to."""

from collections import Counter

from perfcore.engine.address_choice import AddressChoice, NameTable, resolve

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def table(asked=None, addresses=ADDRESSES):
    def look_up(host, port):
        if asked is not None:
            asked.append((host, port))
        return addresses

    return NameTable(look_up)


def test_round_robin_goes_through_the_addresses_from_connection_to_connection():
    choice = AddressChoice("round_robin", table(), user=2)
    assert [choice.pick("h", 80) for _ in range(4)] == ["10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"]


def test_round_robin_spreads_the_users_evenly():
    names = table()
    first = Counter(AddressChoice("round_robin", names, user).pick("h", 80) for user in range(1, 31))
    assert first == dict.fromkeys(ADDRESSES, 10)


def test_random_uses_every_address_and_repeats_itself_for_the_same_user():
    names = table()
    picks = [AddressChoice("random", names, user).pick("h", 80) for user in range(300)]
    assert set(picks) == set(ADDRESSES)
    assert picks == [AddressChoice("random", names, user).pick("h", 80) for user in range(300)]


def test_a_name_is_looked_up_once_by_a_worker():
    asked = []
    names = table(asked)
    for user in range(5):
        AddressChoice("random", names, user).pick("h", 80)
    assert asked == [("h", 80)]


def test_a_name_without_addresses_is_left_to_libcurl():
    assert AddressChoice("random", table(addresses=()), 1).pick("h", 80) is None
    assert resolve("nowhere.invalid", 80) == ()


def test_an_address_resolves_to_itself():
    assert resolve("127.0.0.1", 80) == ("127.0.0.1",)
