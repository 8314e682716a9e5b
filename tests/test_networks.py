"""The network of a caller: one for each customer, however a proxy writes the address."""

import pytest

from identity_service.web.networks import read_network

ONE_IPV4 = [
    "203.0.113.7", " 203.0.113.7 ", "203.0.113.7:4711", "203.0.113.7:", '"203.0.113.7"', '"203.0.113.7:80"',
    "::ffff:203.0.113.7", "::FFFF:CB00:7107", "0:0:0:0:0:ffff:cb00:7107", "[::ffff:203.0.113.7]",
    "[::ffff:203.0.113.7]:443", "::ffff:0:203.0.113.7", "64:ff9b::203.0.113.7", "64:ff9b::cb00:7107",
    "[64:ff9b::cb00:7107]:65535", "64:ff9b:1::cb00:7107", "64:ff9b:1:7:0:0:203.0.113.7",
    "2001:0:4136:e378:8000:63bf:34ff:8ef8",
]  # fmt: skip
ONE_IPV6 = [
    "2001:db8:1:2::", "2001:db8:1:2:3:4:5:6", "2001:DB8:0001:0002:ffff::1", "[2001:db8:1:2::9]",
    "[2001:db8:1:2::9]:443", '"[2001:db8:1:2::9]:443"', "2001:db8:1:2::9%eth0", "[2001:db8:1:2::9%25eth0]:80",
]  # fmt: skip
NONE = ["", " ", "unknown", "_hidden", "evil", "203.0.113", "203.0.113.256", "203.0.113.7:x", "[203.0.113.7", "::1::2",
        "203.0.113.7:123456", "2001:db8::1]:443", "[]:80", '"', "203.0.113.007"]  # fmt: skip


@pytest.mark.parametrize("address", ONE_IPV4)
def test_an_ipv4_address_is_one_network_in_every_way_of_writing_it(address):
    """PWD-08; RFC 4291, 6052, 8215 and 7239, 6."""
    assert read_network(address) == "203.0.113.7"


@pytest.mark.parametrize("address", ONE_IPV6)
def test_the_addresses_of_one_ipv6_customer_are_one_network(address):
    """PWD-08."""
    assert read_network(address) == "2001:db8:1:2::/64"


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_address_is_no_network(address):
    assert read_network(address) is None


def test_two_customers_behind_one_translator_are_two_networks():
    addresses = ["::ffff:203.0.113.8", "64:ff9b::203.0.113.9", "64:ff9b:1::203.0.113.10", "203.0.113.11:1"]
    assert len({read_network(address) for address in addresses}) == 4
