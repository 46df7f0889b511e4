"""ICMP errors about our connections, in both directions (spec 2.7, 2.8, 3.7)."""

cdef enum:
    MIN_PMTU = 552                # as the kernel's route/min_pmtu: nobody can make us cut smaller
    TUN_IPIP = 0                  # dest_t.tun_type
    TUN_GUE = 1
    TUN_GRE = 2

ctypedef struct inner_t:          # the packet that an ICMP error quotes
    uint8_t *l3
    uint8_t *l4
    uint32_t protocol
    addr_t saddr
    addr_t daddr
    be16 sport
    be16 dport


cdef bint icmp_inner(pkt_t *p, inner_t *q) noexcept nogil:
    """Read the quoted packet; False when it is cut short, a later fragment, or of no use."""
    cdef uint32_t left = p.ip_len - p.l3_len - 8
    cdef uint32_t header
    q.l3 = p.l4 + 8
    if p.is_v6:
        if not icmp_inner_v6(q, left, &header):
            return False
    else:
        if left < 20 or q.l3[0] >> 4 != 4:
            return False
        header = (q.l3[0] & 15) * 4
        if header < 20 or left < header or ld16(q.l3 + 6) & IP_OFFSET:
            return False
        q.protocol = q.l3[9]
        q.saddr = addr_load(q.l3 + 12, False)
        q.daddr = addr_load(q.l3 + 16, False)
    q.l4 = q.l3 + header
    q.sport = q.dport = 0
    if left < header + 4:
        return False
    q.sport = raw16(q.l4)
    q.dport = raw16(q.l4 + 2)
    return True


cdef bint icmp_inner_v6(inner_t *q, uint32_t left, uint32_t *header) noexcept nogil:
    cdef uint32_t at = 40
    if left < 40 or q.l3[0] >> 4 != 6:
        return False
    q.saddr = addr_load(q.l3 + 8, True)
    q.daddr = addr_load(q.l3 + 24, True)
    q.protocol = q.l3[6]
    while is_extension(q.protocol):
        if left < at + 8:
            return False
        if q.protocol == IPPROTO_FRAGMENT_:
            if ld16(q.l3 + at + 2) & 0xFFF8:
                return False
            q.protocol = q.l3[at]
            at += 8
        elif q.protocol == IPPROTO_AH_:
            q.protocol = q.l3[at]
            at += (q.l3[at + 1] + 2) * 4
        else:
            q.protocol = q.l3[at]
            at += (q.l3[at + 1] + 1) * 8
    header[0] = at
    return at <= left


cdef inline bint is_balanced(uint32_t protocol) noexcept nogil:
    return (
        protocol == IPPROTO_TCP_ or protocol == IPPROTO_UDP_ or protocol == IPPROTO_SCTP_
    )


cdef verdict_t icmp_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """Relay an ICMP error about one of our connections; any other is the host's."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef inner_t q
    cdef uint32_t i
    cdef verdict_t v
    if not icmp_inner(p, &q):
        return to_host(w, p)
    if not is_balanced(q.protocol):
        v = icmp_tunnel(w, p, &q)
        return v if v != NEXT else to_host(w, p)
    i = quoted_reply(e, w, p, &q)
    if i != NO_INDEX:
        return icmp_request(w, p, &q, i)
    i = local_quoted(e, w, p, &q)
    if i != NO_INDEX:
        return full_icmp(w, p, &q, i, False)
    i = quoted_request(e, w, p, &q)
    if i != NO_INDEX:
        return icmp_reply(w, p, &q, i)
    if e.settings.schedule_icmp:
        return icmp_schedule(w, p, &q)
    return to_host(w, p)


cdef uint32_t quoted_reply(
    engine_t *e, const worker_t *w, const pkt_t *p, const inner_t *q
) noexcept nogil:
    """Return the connection of which an error quotes a packet to the client."""
    cdef uint32_t hash = conn_hash(e.seed, addr_fold(&q.daddr), q.dport, q.protocol)
    if not is_mine(e, w, hash):
        return NO_INDEX
    return conn_find_in(
        e, hash, p.is_v6, q.protocol, &q.daddr, q.dport, &q.saddr, q.sport
    )


cdef uint32_t quoted_request(
    engine_t *e, const worker_t *w, const pkt_t *p, const inner_t *q
) noexcept nogil:
    """Return the connection of which an error quotes a packet of the client."""
    cdef uint32_t hash = conn_hash(e.seed, addr_fold(&q.saddr), q.sport, q.protocol)
    if not is_mine(e, w, hash):
        return NO_INDEX
    return conn_find_out(
        e, hash, p.is_v6, q.protocol, &q.daddr, q.dport, &q.saddr, q.sport
    )


cdef verdict_t icmp_schedule(worker_t *w, pkt_t *p, inner_t *q) noexcept nogil:
    """schedule_icmp: make the connection that the quoted packet belonged to (spec 2.7)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef pkt_t c
    cdef uint32_t i
    cdef verdict_t v
    memset(&c, 0, sizeof(c))
    c.svc = service_at(e, p.is_v6, q.protocol, &q.saddr, q.sport, p.fwmark)
    if c.svc == NO_INDEX or (
        e.nworkers > 1 and client_owner(e, &q.daddr, q.dport, q.protocol) != w.index
    ):
        return to_host(w, p)
    c.is_v6 = p.is_v6
    c.protocol = q.protocol
    c.saddr = q.daddr
    c.sport = q.dport
    c.daddr = q.saddr
    c.dport = q.sport
    c.from_icmp = 1
    v = schedule_stage(w, &c, &i)
    if v != NEXT:
        return to_host(w, p) if v == HOST else v
    v = icmp_request(w, p, q, i)
    conn_touch(w, i)
    return v


cdef bint icmp_sum_ok(const pkt_t *p) noexcept nogil:
    cdef uint32_t length = p.ip_len - p.l3_len
    cdef uint64_t sum = 0
    if p.vnet.flags & VNET_NEEDS_CSUM:
        return True
    if p.is_v6:
        sum = csum_pseudo(p.l3, True, IPPROTO_ICMPV6_, length)
    return csum_raw(csum_add(sum, p.l4, length)) == 0xFFFF


cdef void icmp_seal(pkt_t *p) noexcept nogil:
    """Compute the ICMP checksum in full; ICMPv6's is left to the device, as the kernel does."""
    cdef uint32_t length = p.ip_len - p.l3_len
    put16(p.l4 + 2, 0)
    if p.is_v6:
        put16(p.l4 + 2, csum_raw(csum_pseudo(p.l3, True, IPPROTO_ICMPV6_, length)))
        p.vnet.flags = VNET_NEEDS_CSUM
        p.vnet.csum_start = 14 + p.l3_len
        p.vnet.csum_offset = 2
    else:
        put16(p.l4 + 2, csum_fold(csum_add(0, p.l4, length)))
        p.vnet.flags = 0


cdef void icmp_rewrite(
    pkt_t *p, inner_t *q, uint32_t outer_side, const addr_t *addr, be16 port
) noexcept nogil:
    """Replace the address in the outer header and, on the other side, in the quoted one with its
    port (spec 3.7); the quoted transport checksum stays as it is."""
    cdef uint32_t inner_side = 1 - outer_side
    addr_store(addr_field(p.l3, p.is_v6, outer_side), addr, p.is_v6)
    addr_store(addr_field(q.l3, p.is_v6, inner_side), addr, p.is_v6)
    put16(q.l4 + 2 * inner_side, port)
    if not p.is_v6:
        ipv4_header_seal(p.l3)
        ipv4_header_seal(q.l3)
    icmp_seal(p)


cdef verdict_t icmp_request(worker_t *w, pkt_t *p, inner_t *q, uint32_t i) noexcept nogil:
    """An error from the clients' side: on to the real server by the connection's method."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef addr_t daddr = conn_daddr(e, i)
    cdef uint32_t method = e.conns[i].flags & CONN_METHOD
    if method == FULLNAT:
        return full_icmp(w, p, q, i, True)
    if method != BYPASS and not (
        is_vip(e, &p.daddr, p.is_v6) or addr_is_local(&e.world, &p.daddr, p.is_v6)
    ):
        if ttl_of(p) <= 1:                # on its way through: the host forwards it first
            return to_host(w, p)
        ttl_decrement(p)
    if method == MASQ and not icmp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    count_in(w, p, i)
    if method == MASQ and ttl_of(p) > 1:
        icmp_rewrite(p, q, SIDE_DST, &daddr, e.conns[i].dport)
    return transmit(w, p, i)


cdef verdict_t icmp_reply(worker_t *w, pkt_t *p, inner_t *q, uint32_t i) noexcept nogil:
    """An error from the real servers' side: on to the client as if from the virtual address."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const nexthop_t *nh
    cdef addr_t vaddr
    if e.conns[i].flags & CONN_METHOD != MASQ:
        count_out(w, p, i)
        return to_host(w, p)
    if not icmp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    if ttl_of(p) <= 1:
        return drop(w, R_TTL)
    vaddr = conn_vaddr(e, i)
    nh = nexthop_for(w, &vaddr, &p.daddr, p.is_v6)
    if nh.type != RTN_UNICAST:
        return to_host(w, p)
    ttl_decrement(p)
    icmp_rewrite(p, q, SIDE_SRC, &vaddr, e.conns[i].vport)
    count_out(w, p, i)
    return xmit_l3(w, p, nh)


# ---------------------------------------------------------------- about our tunnels

cdef verdict_t icmp_tunnel(worker_t *w, pkt_t *p, inner_t *q) noexcept nogil:
    """An error about a packet that we encapsulated: tell the client (spec 2.7); IPv4 only.

    NEXT when it is about nothing of ours.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef pkt_t c                  # the client's packet inside
    cdef uint32_t i, hash, header, length
    if p.is_v6 or not tunnel_payload(p, q, &c, &header):
        return NEXT
    hash = conn_hash(e.seed, addr_fold(&c.saddr), c.sport, c.protocol)
    if not is_mine(e, w, hash):
        return NEXT
    i = conn_find_in(
        e, hash, False, c.protocol, &c.saddr, c.sport, &c.daddr, c.dport
    )
    if i == NO_INDEX or e.conns[i].dest == NO_INDEX:
        return NEXT
    if not is_tunnel_end(&e.dests[e.conns[i].dest], q):
        return NEXT
    if not icmp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    count_out(w, p, i)
    if p.l4[0] == ICMP_UNREACH and p.l4[1] == ICMP_FRAG_NEEDED:
        return icmp_tunnel_mtu(w, p, &c, i, header)
    length = ld16(c.l3 + 2)
    if length < c.ip_len:
        c.ip_len = length
    icmp_error(w, &c, p.l4[0], p.l4[1], ld32(p.l4 + 4))
    return drop(w, R_RELAYED)


cdef bint is_tunnel_end(const dest_t *d, const inner_t *q) noexcept nogil:
    """Whether the quoted packet went through a tunnel of that real server's kind."""
    cdef uint32_t kind = TUN_IPIP
    if q.protocol == IPPROTO_UDP_:
        kind = TUN_GUE
        if q.dport != d.tun_port:
            return False
    elif q.protocol == IPPROTO_GRE_:
        kind = TUN_GRE
    return (
        d.method == TUNNEL and d.tun_type == kind and d.flags & DEST_AVAILABLE
        and addr_eq(&d.addr, &q.daddr)
    )


cdef verdict_t icmp_tunnel_mtu(
    worker_t *w, pkt_t *p, pkt_t *c, uint32_t i, uint32_t header
) noexcept nogil:
    """Learn the path's MTU and tell a client whose packet must not be fragmented.

    As in the kernel the first such error tells it the route's MTU still: the new one is known to
    the path from its next packet on.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef dest_t *d = &e.dests[e.conns[i].dest]
    cdef uint32_t mtu = ld16(p.l4 + 6)
    cdef addr_t daddr = conn_daddr(e, i)
    cdef uint32_t told = nexthop_for(w, NULL, &daddr, False).mtu
    cdef bint known = d.pmtu and <int32_t>(d.pmtu_until - w.now) > 0
    if mtu < MIN_PMTU:
        mtu = MIN_PMTU
    if not known or mtu < d.pmtu:
        d.pmtu = mtu
        d.pmtu_until = w.now + 600 * TICKS_PER_S
        e.outers[e.conns[i].dest].pmtu_known = 1
    if known and d.pmtu < told:
        told = d.pmtu
    if has_df(c) and told > header + 68:
        icmp_error(w, c, ICMP_UNREACH, ICMP_FRAG_NEEDED, told - header)
    return drop(w, R_RELAYED)


cdef bint tunnel_payload(pkt_t *p, inner_t *q, pkt_t *c, uint32_t *header) noexcept nogil:
    """Find the client's IPv4 packet behind the quoted outer header of a tunnel of ours.

    `header`: length of all that we put in front of it.
    """
    cdef uint32_t left = p.ip_len - p.l3_len - 8
    cdef uint32_t at = (q.l3[0] & 15) * 4
    cdef uint32_t protocol = q.protocol
    if protocol == IPPROTO_GRE_ and left >= at + 8:
        if ld16(q.l3 + at + 2) != ETH_P_IP:
            return False
        at += 8 if q.l3[at] & 0x80 else 4
    elif protocol == IPPROTO_UDP_ and left >= at + 12:
        if q.l3[at + 8] & 0xE0 or q.l3[at + 9] != IPPROTO_IPIP_:   # GUE version 0, data
            return False
        at += 12 + (q.l3[at + 8] & 0x1F) * 4
    elif protocol != IPPROTO_IPIP_:
        return False
    header[0] = at
    if left < at + 20:
        return False
    memset(c, 0, sizeof(pkt_t))
    c.l3 = q.l3 + at
    c.l3_len = (c.l3[0] & 15) * 4
    if c.l3[0] >> 4 != 4 or c.l3_len < 20 or left < at + c.l3_len + 4:
        return False
    if ld16(c.l3 + 6) & IP_OFFSET:
        return False
    c.ip_len = left - at
    c.protocol = c.l3[9]
    c.saddr = addr_load(c.l3 + 12, False)
    c.daddr = addr_load(c.l3 + 16, False)
    c.l4 = c.l3 + c.l3_len
    c.sport = raw16(c.l4)
    c.dport = raw16(c.l4 + 2)
    return is_balanced(c.protocol)
