"""Coarse networks, for emails that must not contain an address. Pure."""


def coarse_network(network: str) -> str:
    """Return the first half of an IPv4 address, or the first group of an IPv6 network, for an email (PRV-13)."""
    if ":" in network:
        return network.split(":", maxsplit=1)[0] + ":…"
    return ".".join(network.split(".")[:2]) + ".…" if network.count(".") == 3 else "…"
