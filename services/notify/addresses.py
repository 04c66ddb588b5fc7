"""Which addresses a webhook may reach: global unicast only, judged by our own table so that every Python version judges alike."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

# IANA special-purpose registries for IPv4 and IPv6, plus what reaches inside a cloud from a global address.
_REFUSED_V4: Final = tuple(
    (IPv4Network(net), name)
    for net, name in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-grade NAT"),
        ("127.0.0.0/8", "a loopback"),
        ("168.63.129.16/32", "a cloud metadata"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a protocol assignment"),
        ("192.0.2.0/24", "a documentation"),
        ("192.31.196.0/24", "an AS112"),
        ("192.52.193.0/24", "a multicast tunnel"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private"),
        ("192.175.48.0/24", "an AS112"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
    )
)

# Most specific first. What no row names and does not lie in 2000::/3 is refused as reserved.
_REFUSED_V6: Final = tuple(
    (IPv6Network(net), name)
    for net, name in (
        ("::1/128", "a loopback"),
        ("::/128", "an unspecified"),
        ("::ffff:0:0/96", "an IPv4-mapped"),
        ("::/96", "an IPv4-compatible"),
        ("64:ff9b::/96", "a NAT64"),
        ("64:ff9b:1::/48", "a NAT64"),
        ("100::/64", "a discard-only"),
        ("2001::/32", "a Teredo"),
        ("2001:2::/48", "a benchmarking"),
        ("2001:db8::/32", "a documentation"),
        ("2001::/23", "a protocol assignment"),
        ("2002::/16", "a 6to4"),
        ("2620:4f:8000::/48", "an AS112"),
        ("3fff::/20", "a documentation"),
        ("5f00::/16", "a segment routing"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a site-local"),
        ("ff00::/8", "a multicast"),
    )
)
_GLOBAL_V6: Final = ip_network("2000::/3")
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is in 127.0.0.0/8 or is ::1; nothing that merely leads there (an IPv4-mapped form) counts."""
    return any(address.version == net.version and address in net for net in _LOOPBACK)


def refusal(text: str, allow_loopback: bool) -> str | None:
    """Why a webhook may not reach this address, as in "a link-local address", or None when it may.

    `text` is an address in its usual form; anything else, and any address with a zone (`fe80::1%eth0`), is refused. The answer never
    holds the address itself: a subscriber must not learn what a name resolves to inside our network.

    >>> refusal("169.254.169.254", False), refusal("::1", True), refusal("::ffff:127.0.0.1", True), refusal("9.9.9.9", False)
    ('a link-local address', None, 'an IPv4-mapped address', None)
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "something that is no plain address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "an address with a zone"
    if allow_loopback and is_loopback(address):
        return None
    if isinstance(address, IPv4Address):
        name = next((name for net, name in _REFUSED_V4 if address in net), None)
    else:
        name = next((name for net, name in _REFUSED_V6 if address in net), None)
        if name is None and address not in _GLOBAL_V6:
            name = "a reserved"
    return None if name is None else f"{name} address"
