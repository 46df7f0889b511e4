"""ICMP errors that the data path itself sends (RFC 792, RFC 4443)."""

cdef enum:
    ICMP_UNREACH = 3
    ICMP_TIME_EXCEEDED = 11
    ICMP_PARAM_PROBLEM = 12
    ICMP_HOST_UNREACH = 1
    ICMP_PORT_UNREACH = 3
    ICMP_FRAG_NEEDED = 4
    ICMPV6_UNREACH = 1
    ICMPV6_TOO_BIG = 2
    ICMPV6_TIME_EXCEEDED = 3
    ICMPV6_ADDR_UNREACH = 3
    ICMPV6_PORT_UNREACH = 4


cdef bint icmp_allowed(worker_t *w, const pkt_t *p) noexcept nogil:
    """No error about an ICMP error, a later fragment, or a packet for or from many."""
    cdef uint32_t v6 = p.is_v6
    if p.is_icmp_error or p.later_frag:
        return False
    if addr_multicast(&p.daddr, v6) or addr_multicast(&p.saddr, v6) or addr_zero(&p.saddr):
        return False
    return v6 or (p.daddr.w[0] != 0xFFFFFFFFU and p.saddr.w[0] != 0xFFFFFFFFU)


cdef bint answers_as(engine_t *e, const addr_t *addr, bint is_v6) noexcept nogil:
    """Whether an error about a packet for that address has it as its source: IPv4 any address
    that is routed to the host, IPv6 only one that an interface has."""
    cdef uint32_t i
    if not is_v6:
        return addr_is_local(&e.world, addr, False)
    for i in range(e.world.naddrs):
        if e.world.addrs[i].is_v6 and addr_eq(&e.world.addrs[i].addr, addr):
            return True
    return False


cdef void icmp_error(
    worker_t *w, const pkt_t *p, uint32_t kind, uint32_t code, uint32_t info
) noexcept nogil:
    """Send an error about the packet to its source.  `info`: the word after the checksum."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const nexthop_t *nh
    cdef addr_t source
    cdef uint8_t *l3
    cdef uint32_t header = 40 if p.is_v6 else 20
    cdef uint32_t quoted = p.ip_len
    cdef vnet_t vnet
    if not icmp_allowed(w, p):
        return
    nh = nexthop_for(w, NULL, &p.saddr, p.is_v6)
    if nh.type != RTN_UNICAST:
        return
    if answers_as(e, &p.daddr, p.is_v6):
        source = p.daddr
    elif not source_for(w, nh, &p.saddr, p.is_v6, &source):
        return
    if quoted > (1280 if p.is_v6 else 576) - header - 8:
        quoted = (1280 if p.is_v6 else 576) - header - 8
    l3 = scratch_take(w, header + 8 + quoted + 32)
    if l3 == NULL:
        return
    memset(&vnet, 0, sizeof(vnet))
    memcpy(l3 + header + 8, p.l3, quoted)
    l3[header] = kind
    l3[header + 1] = code
    put16(l3 + header + 2, 0)
    st32(l3 + header + 4, info)
    if p.is_v6:
        ipv6_header(l3, 0, IPPROTO_ICMPV6_, 8 + quoted, 64, &source, &p.saddr)
        put16(l3 + 42, csum_l4(l3, True, IPPROTO_ICMPV6_, l3 + 40, 8 + quoted))
    else:
        ipv4_header(
            w, l3, (p.l3[1] & 0x1E) | 0xC0, IPPROTO_ICMP_, 8 + quoted, 64, 0, &source, &p.saddr
        )
        put16(l3 + 22, csum_fold(csum_add(0, l3 + 20, 8 + quoted)))
    emit_l3(w, l3, header + 8 + quoted, nh, &vnet)


cdef inline void ipv4_header(
    worker_t *w, uint8_t *l3, uint32_t tos, uint32_t protocol, uint32_t payload, uint32_t ttl,
    uint32_t df, const addr_t *source, const addr_t *target,
) noexcept nogil:
    """Write a 20-byte header; the identification is fresh, or 0 when DF is set."""
    l3[0] = 0x45
    l3[1] = tos
    st16(l3 + 2, 20 + payload)
    if df:
        put16(l3 + 4, 0)
    else:
        w.ip_id += w.ip_step
        st16(l3 + 4, w.ip_id)
    st16(l3 + 6, IP_DF if df else 0)
    l3[8] = ttl
    l3[9] = protocol
    addr_store(l3 + 12, source, False)
    addr_store(l3 + 16, target, False)
    ipv4_header_seal(l3)


cdef inline void ipv6_header(
    uint8_t *l3, uint32_t tclass, uint32_t protocol, uint32_t payload, uint32_t hops,
    const addr_t *source, const addr_t *target,
) noexcept nogil:
    st32(l3, 0x60000000U | tclass << 20)
    st16(l3 + 4, payload)
    l3[6] = protocol
    l3[7] = hops
    addr_store(l3 + 8, source, True)
    addr_store(l3 + 24, target, True)


cdef verdict_t answer_ttl(worker_t *w, const pkt_t *p) noexcept nogil:
    icmp_error(w, p, ICMPV6_TIME_EXCEEDED if p.is_v6 else ICMP_TIME_EXCEEDED, 0, 0)
    return drop(w, R_TTL)


cdef verdict_t answer_no_route(worker_t *w, const pkt_t *p) noexcept nogil:
    if p.is_v6:
        icmp_error(w, p, ICMPV6_UNREACH, ICMPV6_ADDR_UNREACH, 0)
    else:
        icmp_error(w, p, ICMP_UNREACH, ICMP_HOST_UNREACH, 0)
    return drop(w, R_NO_ROUTE)


cdef verdict_t answer_too_big(worker_t *w, const pkt_t *p, uint32_t mtu) noexcept nogil:
    if p.is_v6:
        icmp_error(w, p, ICMPV6_TOO_BIG, 0, mtu)
    else:
        icmp_error(w, p, ICMP_UNREACH, ICMP_FRAG_NEEDED, mtu)
    return drop(w, R_MTU)


cdef verdict_t answer_no_dest(worker_t *w, const pkt_t *p) noexcept nogil:
    """A service took the packet and has no real server for it: port unreachable (spec 2.5)."""
    if p.is_v6:
        icmp_error(w, p, ICMPV6_UNREACH, ICMPV6_PORT_UNREACH, 0)
    else:
        icmp_error(w, p, ICMP_UNREACH, ICMP_PORT_UNREACH, 0)
    return drop(w, R_NO_DEST)
