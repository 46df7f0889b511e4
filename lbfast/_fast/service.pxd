"""Finding the virtual service of a packet, and whether a frame is ours at all (steering)."""
from libc.stdint cimport uint32_t

from lbfast._fast.addr cimport LB_SWAP16
from lbfast._fast.map cimport map_get
from lbfast._fast.types cimport (
    NO_INDEX, addr_t, be16, engine_t, pkt_t,
)

cdef enum:                       # kinds of keys, `b` of map_t; the lowest bit is the family
    KIND_SERVICE = 0x10
    KIND_FWMARK = 0x20
    KIND_VIP = 0x30              # value: number of services there
    KIND_MASQ = 0x40             # a NAT server's address, protocol and port
    KIND_MASQ_ADDR = 0x50        # a NAT server's address
    KIND_MASQ_ANY = 0x60         # a NAT server that keeps the client's port
    KIND_FULL = 0x80             # the same three of a FULLNAT server
    KIND_FULL_ADDR = 0x90
    KIND_FULL_ANY = 0xA0
    KIND_LADDR = 0xB0            # a local address; value: number of services that have it
    KIND_STANDBY = 0xC0          # an address that another director serves
    KIND_ANY = KIND_MASQ_ANY - KIND_MASQ
    KIND_LINGER = 0x70           # a service that has, or had, destinations with connections
    KIND_LINGER_MARK = 0xF0      # the same of a fwmark service

cdef enum:
    IPPROTO_TCP_ = 6
    FTP_PORT = 21
    FTP_DATA_PORT = 20
    UNPRIVILEGED_PORT = 1024
    LOCAL_PORT_MIN = 1025        # of the ports of local addresses


cdef inline uint32_t proto_port(uint32_t protocol, be16 port) noexcept nogil:
    return protocol << 16 | port


cdef inline uint32_t service_find(
    const engine_t *e, bint is_v6, uint32_t protocol, const addr_t *addr, be16 port, uint32_t mark
) noexcept nogil:
    """Return the service of a packet, or NO_INDEX; the order is the kernel's (spec 1.5)."""
    cdef uint32_t found
    cdef uint32_t port_h
    cdef addr_t none
    if mark:
        none.w[0] = none.w[1] = none.w[2] = none.w[3] = 0
        found = map_get(&e.services, &none, mark, KIND_FWMARK | <uint32_t>is_v6)
        if found != NO_INDEX:
            return found
    found = map_get(
        &e.services, addr, proto_port(protocol, port), KIND_SERVICE | <uint32_t>is_v6
    )
    if found != NO_INDEX:
        return found
    if e.nftp and protocol == IPPROTO_TCP_:
        port_h = LB_SWAP16(port)
        if port_h == FTP_DATA_PORT or port_h >= UNPRIVILEGED_PORT:
            found = map_get(
                &e.services, addr, proto_port(protocol, LB_SWAP16(FTP_PORT)),
                KIND_SERVICE | <uint32_t>is_v6,
            )
            if found != NO_INDEX:
                return found
    if e.nport0:
        return map_get(&e.services, addr, proto_port(protocol, 0), KIND_SERVICE | <uint32_t>is_v6)
    return NO_INDEX


cdef inline bint is_lingering(
    const engine_t *e, bint is_v6, uint32_t protocol, const addr_t *addr, be16 port
) noexcept nogil:
    """Whether a service was there whose deleted destinations may still have connections."""
    return (
        map_get(&e.steer, addr, proto_port(protocol, port), KIND_LINGER | <uint32_t>is_v6)
        != NO_INDEX
        or map_get(&e.steer, addr, proto_port(protocol, 0), KIND_LINGER | <uint32_t>is_v6)
        != NO_INDEX
    )


cdef inline bint mark_lingers(const engine_t *e, uint32_t mark, uint32_t is_v6) noexcept nogil:
    """Whether a service of that mark has, or had, destinations that may have connections."""
    cdef addr_t none
    none.w[0] = none.w[1] = none.w[2] = none.w[3] = 0
    return map_get(&e.steer, &none, mark, KIND_LINGER_MARK | is_v6) != NO_INDEX


cdef inline bint is_vip(const engine_t *e, const addr_t *addr, bint is_v6) noexcept nogil:
    return map_get(&e.steer, addr, 0, KIND_VIP | <uint32_t>is_v6) != NO_INDEX


cdef inline bint is_standby(const engine_t *e, const addr_t *addr, bint is_v6) noexcept nogil:
    return map_get(&e.steer, addr, 0, KIND_STANDBY | <uint32_t>is_v6) != NO_INDEX


cdef inline bint is_masq_addr(const engine_t *e, const addr_t *addr, bint is_v6) noexcept nogil:
    return map_get(&e.steer, addr, 0, KIND_MASQ_ADDR | <uint32_t>is_v6) != NO_INDEX


cdef inline bint is_real_server(
    const engine_t *e, uint32_t protocol, const addr_t *addr, be16 port, bint is_v6
) noexcept nogil:
    """Whether a NAT server has that port as its own."""
    return (
        map_get(&e.steer, addr, proto_port(protocol, port), KIND_MASQ | <uint32_t>is_v6)
        != NO_INDEX
    )


cdef inline bint is_masq_server(
    const engine_t *e, uint32_t protocol, const addr_t *addr, be16 port, bint is_v6
) noexcept nogil:
    """Whether a packet from there may be a NAT server's reply."""
    return (
        is_real_server(e, protocol, addr, port, is_v6)
        or map_get(&e.steer, addr, proto_port(protocol, 0), KIND_MASQ_ANY | <uint32_t>is_v6)
        != NO_INDEX
    )


cdef inline bint is_laddr(const engine_t *e, const addr_t *addr, bint is_v6) noexcept nogil:
    return map_get(&e.steer, addr, 0, KIND_LADDR | <uint32_t>is_v6) != NO_INDEX


cdef inline bint is_local_port(const engine_t *e, uint32_t port_h) noexcept nogil:
    """Whether FULLNAT may use a port of a local address: not reserved, not the host's own."""
    return port_h >= LOCAL_PORT_MIN and not e.port_low <= port_h <= e.port_high


cdef inline bint is_local_reply(
    const engine_t *e, uint32_t protocol, const addr_t *saddr, be16 sport,
    const addr_t *daddr, be16 dport, bint is_v6
) noexcept nogil:
    """Whether a packet may be a FULLNAT server's reply."""
    if not is_laddr(e, daddr, is_v6) or not is_local_port(e, LB_SWAP16(dport)):
        return False
    return (
        map_get(&e.steer, saddr, proto_port(protocol, sport), KIND_FULL | <uint32_t>is_v6)
        != NO_INDEX
        or map_get(&e.steer, saddr, proto_port(protocol, 0), KIND_FULL_ANY | <uint32_t>is_v6)
        != NO_INDEX
    )


cdef inline bint is_local_fragment(
    const engine_t *e, const addr_t *saddr, const addr_t *daddr, bint is_v6
) noexcept nogil:
    """Whether a fragment may be one of a FULLNAT server's reply."""
    return is_laddr(e, daddr, is_v6) and (
        map_get(&e.steer, saddr, 0, KIND_FULL_ADDR | <uint32_t>is_v6) != NO_INDEX
    )
