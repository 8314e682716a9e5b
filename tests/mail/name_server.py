"""A name server on loopback that answers from a zone, and a resolver that asks it."""

import asyncio

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone; what is not in it does not exist."""

    def __init__(self, zone: dict, *, rcode: int = dns.rcode.NXDOMAIN) -> None:
        self.zone, self.rcode = zone, rcode

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, address) -> None:
        query = dns.message.from_wire(data)
        (asked,) = query.question
        kind = dns.rdatatype.to_text(asked.rdtype)
        found = self.zone.get((asked.name.to_text(), kind))
        answer = dns.message.make_response(query)
        if found is None:
            answer.set_rcode(self.rcode)
        else:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *found))
        self.transport.sendto(answer.to_wire(), address)


async def listen(zone: dict, **options) -> asyncio.DatagramTransport:
    """Answer from `zone`, which may change meanwhile, until the transport is closed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(zone, **options), ("127.0.0.1", 0))
    return transport


def resolver_of(transport: asyncio.DatagramTransport) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
    return resolver


async def ask(zone: dict, **options) -> tuple[dns.asyncresolver.Resolver, asyncio.DatagramTransport]:
    transport = await listen(zone, **options)
    return resolver_of(transport), transport
