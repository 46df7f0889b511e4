"""From a connection to a frame: next hop, TTL, MTU, the forwarding method (spec 3)."""


cdef verdict_t transmit(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """Send a request packet to the real server of its connection."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t method = e.conns[i].flags & CONN_METHOD
    cdef bint d6 = (e.conns[i].flags & CONN_D6) != 0
    cdef addr_t daddr
    cdef const nexthop_t *nh
    cdef verdict_t v
    if LB_UNLIKELY(method == LOCALNODE or method == FULLNAT):
        return full_request(w, p, i) if method == FULLNAT else to_host(w, p)
    daddr = p.daddr if method == BYPASS else conn_daddr(e, i)
    nh = nexthop_for(w, NULL, &daddr, p.is_v6 if method == BYPASS else d6)
    if LB_UNLIKELY(nh.type != RTN_UNICAST):
        if nh.type == RTN_LOCAL and method != BYPASS:
            return deliver_local(w, p, i, &daddr)
        return answer_no_route(w, p)
    if LB_UNLIKELY(ttl_of(p) <= 1):
        return answer_ttl(w, p)
    ttl_decrement(p)
    if method == TUNNEL:
        return xmit_tunnel(w, p, i, nh, &daddr)
    v = mtu_check(w, p, nh.mtu)
    if LB_UNLIKELY(v != NEXT):
        return v
    if method == MASQ and not p.is_icmp_error:
        v = nat_request(w, p, i, &daddr)
        if LB_UNLIKELY(v != NEXT):
            return v
    return xmit_l3(w, p, nh)


cdef inline verdict_t nat_request(
    worker_t *w, pkt_t *p, uint32_t i, const addr_t *daddr
) noexcept nogil:
    """Rewrite a request for its real server, the helper of its protocol first."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef verdict_t v
    if LB_UNLIKELY(p.is_short):
        return drop(w, R_NO_PORTS)
    if LB_UNLIKELY(e.conns[i].flags & CONN_FTP):
        v = ftp_request(w, p, i)
        if v != NEXT:
            return v
    nat_rewrite(w, p, SIDE_DST, daddr, e.conns[i].dport)
    return NEXT


cdef verdict_t deliver_local(
    worker_t *w, pkt_t *p, uint32_t i, const addr_t *daddr
) noexcept nogil:
    """The real server is this host: the packet goes into the host's stack (spec 3.5)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef verdict_t v
    if e.conns[i].flags & CONN_METHOD != MASQ:
        if not addr_is_local(&e.world, &p.daddr, p.is_v6):
            return drop(w, R_NO_ROUTE)       # the host would not take it for its own (spec 3.1)
    else:
        if addr_loopback(daddr, p.is_v6):
            return drop(w, R_MARTIAN)
        if not p.is_icmp_error:
            v = nat_request(w, p, i, daddr)
            if v != NEXT:
                return v
        if p.held != NO_INDEX:               # put together and rewritten: not what came in
            p.held = NO_INDEX
            return emit_host(w, p) if p.len <= 1514 else drop(w, R_MTU)
    return to_host(w, p)


cdef inline uint32_t longest_packet(const pkt_t *p) noexcept nogil:
    """Length of the packet, or of the longest segment that a super-frame will be cut into."""
    cdef uint32_t headers
    if LB_LIKELY(p.vnet.gso_type == GSO_NONE):
        return p.ip_len
    headers = p.l3_len + (8 if p.protocol == IPPROTO_UDP_ else (p.l4[12] >> 4) * 4)
    return headers + p.vnet.gso_size


cdef inline verdict_t mtu_check(worker_t *w, pkt_t *p, uint32_t limit) noexcept nogil:
    """NEXT when the packet may go on (perhaps in fragments); else it is answered (spec 3.6)."""
    if LB_LIKELY(longest_packet(p) <= limit) or p.is_icmp_error:
        return NEXT
    return mtu_exceeded(w, p, limit)


cdef verdict_t mtu_exceeded(worker_t *w, pkt_t *p, uint32_t limit) noexcept nogil:
    if p.is_v6:
        if p.frag_max and p.frag_max <= limit:
            return NEXT
        return answer_too_big(w, p, limit)
    if has_df(p):
        return answer_too_big(w, p, limit)
    return NEXT


cdef verdict_t xmit_l3(worker_t *w, pkt_t *p, const nexthop_t *nh) noexcept nogil:
    """Send a finished packet: whole, or cut to what the link and the original fragments allow."""
    cdef uint32_t limit = nh.mtu
    if LB_UNLIKELY(p.frag_max and p.frag_max < limit):
        limit = p.frag_max
    if LB_UNLIKELY(longest_packet(p) > limit):
        if p.vnet.gso_type != GSO_NONE:
            return verdict_of(segment(w, p, True, xmit_each, <void *>nh))
        return frag_output(w, p, nh, limit)
    return emit_l3(w, p.l3, p.ip_len, nh, &p.vnet)


cdef verdict_t xmit_each(worker_t *w, pkt_t *p, void *nh) noexcept nogil:
    return xmit_l3(w, p, <const nexthop_t *>nh)


cdef inline verdict_t verdict_of(int sent) noexcept nogil:
    """What became of a super-frame of which so many segments were sent."""
    return SENT if sent > 0 else DROP


# ---------------------------------------------------------------- tunnels (spec 3.4)

ctypedef struct tunnel_t:         # how the packets of one super-frame are wrapped
    nexthop_t nh
    addr_t source
    addr_t target
    uint32_t d6
    uint32_t kind                 # 0 ipip, 1 gue, 2 gre
    uint32_t flags                # 1 csum, 2 remcsum
    be16 port
    be16 sport
    uint32_t extra                # bytes between the outer IP header and the packet


cdef verdict_t xmit_tunnel(
    worker_t *w, pkt_t *p, uint32_t i, const nexthop_t *nh, const addr_t *daddr
) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    cdef dest_t *d
    cdef tunnel_t t
    cdef uint32_t mtu
    cdef int32_t limit
    cdef verdict_t v
    if e.conns[i].dest == NO_INDEX:
        return drop(w, R_NO_DEST)
    d = &e.dests[e.conns[i].dest]
    mtu = path_mtu(w, d, nh)
    t.d6 = (e.conns[i].flags & CONN_D6) != 0
    t.kind = d.tun_type
    t.flags = d.tun_flags
    t.port = d.tun_port
    t.sport = tunnel_sport(e, p)
    t.nh = nh[0]
    t.target = daddr[0]
    t.extra = tunnel_extra(&t, p)
    if not source_for(w, nh, daddr, t.d6, &t.source):
        return drop(w, R_NO_ROUTE)
    limit = <int32_t>mtu - <int32_t>(40 if t.d6 else 20) - <int32_t>t.extra
    if limit < (1280 if t.d6 else 68):
        return drop(w, R_MTU_TINY)
    t.nh.mtu = mtu
    if p.is_v6 or e.settings.pmtu_disc:
        v = mtu_check(w, p, <uint32_t>limit)
        if LB_UNLIKELY(v != NEXT):
            return v
    if LB_UNLIKELY(p.vnet.gso_type != GSO_NONE) and not tunnel_is_whole(e, p, &t):
        return verdict_of(segment(w, p, True, tunnel_each, &t))
    return tunnel_each(w, p, &t)


cdef bint tunnel_is_whole(const engine_t *e, const pkt_t *p, const tunnel_t *t) noexcept nogil:
    """Whether a super-frame can leave as one: TCP by IP in IP of one family, on a link at whose
    egress the kernel is told of the tunnel, and short enough for the outer header's length."""
    cdef const link_t *link = &e.world.links[t.nh.link]
    cdef uint32_t kind = p.vnet.gso_type & ~<uint32_t>GSO_ECN
    if not link.wraps or link.vlan_id or t.kind != 0 or p.is_v6 != t.d6:
        return False
    if t.nh.neigh == NO_INDEX or not e.world.neighs[t.nh.neigh].valid:
        return False
    if (kind != GSO_TCPV4 and kind != GSO_TCPV6) or p.ip_len + 40 > 0xFFFF:
        return False
    return longest_packet(p) + (40 if t.d6 else 20) <= t.nh.mtu


cdef inline uint32_t path_mtu(worker_t *w, const dest_t *d, const nexthop_t *nh) noexcept nogil:
    """The MTU towards a tunnel's end: the route's, or what an ICMP error said of the path."""
    if d.pmtu and d.pmtu < nh.mtu and <int32_t>(d.pmtu_until - w.now) > 0:
        return d.pmtu
    return nh.mtu


cdef inline be16 tunnel_sport(const engine_t *e, const pkt_t *p) noexcept nogil:
    """Source port of GUE: a hash of the flow, in the default range of local ports."""
    cdef uint32_t h = conn_hash(
        e.seed ^ addr_fold(&p.daddr), addr_fold(&p.saddr), p.sport ^ p.dport, p.protocol
    )
    return LB_SWAP16(<be16>(32768 + h % 28232))


cdef inline uint32_t tunnel_extra(const tunnel_t *t, const pkt_t *p) noexcept nogil:
    if t.kind == 1:
        return 8 + 4 + (8 if tunnel_remcsum(t, p) else 0)
    if t.kind == 2:
        return 8 if t.flags & 1 else 4
    return 0


cdef inline bint tunnel_remcsum(const tunnel_t *t, const pkt_t *p) noexcept nogil:
    return (t.flags & 2) != 0 and (p.vnet.flags & VNET_NEEDS_CSUM) != 0


cdef verdict_t tunnel_each(worker_t *w, pkt_t *p, void *arg) noexcept nogil:
    """Put the outer headers in front of one packet and send it."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef tunnel_t *t = <tunnel_t *>arg
    cdef uint32_t inner = IPPROTO_IPV6_ if p.is_v6 else IPPROTO_IPIP_
    cdef uint32_t protocol = inner
    cdef uint32_t tos = tos_of(p), ttl = ttl_of(p)
    cdef uint32_t df = has_df(p) and e.settings.pmtu_disc
    cdef uint32_t outer = 40 if t.d6 else 20
    t.extra = tunnel_extra(t, p)
    if t.kind and p.vnet.flags & VNET_NEEDS_CSUM and t.flags and not tunnel_remcsum(t, p):
        csum_complete(w, p)          # an outer checksum covers the finished packet
    p.l3 -= t.extra
    p.ip_len += t.extra
    if t.kind == 1:
        protocol = IPPROTO_UDP_
        tunnel_gue(t, p, inner)
    elif t.kind == 2:
        protocol = IPPROTO_GRE_
        tunnel_gre(t, p, inner)
    if tos & 3 == 3:
        tos = (tos & 0xFC) | 2
    p.l3 -= outer
    if t.d6:
        ipv6_header(p.l3, tos, protocol, p.ip_len, ttl, &t.source, &t.target)
    else:
        ipv4_header(w, p.l3, tos, protocol, p.ip_len, ttl, df, &t.source, &t.target)
    p.ip_len += outer
    return tunnel_send(w, p, t, outer)


cdef verdict_t tunnel_send(
    worker_t *w, pkt_t *p, tunnel_t *t, uint32_t outer
) noexcept nogil:
    if p.is_v6 != t.d6:
        p.frag_max = 0                   # fragments of one family do not bound the other's
    p.is_v6 = t.d6
    p.protocol = p.l3[6] if t.d6 else p.l3[9]
    p.l3_len = outer
    p.l4 = p.l3 + outer
    if p.vnet.flags & VNET_NEEDS_CSUM:
        p.vnet.csum_start += outer + t.extra
    elif t.kind and t.flags:
        tunnel_checksum(t, p)
    if p.vnet.hdr_len:
        p.vnet.hdr_len += outer + t.extra
    if LB_UNLIKELY(p.vnet.gso_type != GSO_NONE):
        emit_l3(w, p.l3, p.ip_len, &t.nh, &p.vnet)       # the neighbour is known
        w.outs[w.nouts - 1].kind = OUT_WRAP
        return SENT
    return xmit_l3(w, p, &t.nh)


cdef void tunnel_gue(const tunnel_t *t, pkt_t *p, uint32_t inner) noexcept nogil:
    """UDP and GUE headers, version 0; private flags and a remote checksum where asked for."""
    cdef uint8_t *at = p.l3
    cdef bint remote = tunnel_remcsum(t, p)
    put16(at, t.sport)
    put16(at + 2, t.port)
    st16(at + 4, p.ip_len)
    put16(at + 6, 0)
    at[8] = 2 if remote else 0
    at[9] = inner
    st16(at + 10, 1 if remote else 0)
    if remote:
        st32(at + 12, 0x80000000U)
        st16(at + 16, p.vnet.csum_start - 14)
        st16(at + 18, p.vnet.csum_start - 14 + p.vnet.csum_offset)
        p.vnet.flags &= ~VNET_NEEDS_CSUM


cdef void tunnel_checksum(const tunnel_t *t, pkt_t *p) noexcept nogil:
    """Leave the outer checksum, GUE's over UDP or GRE's own, to the device, as the kernel does."""
    if t.kind == 1:
        put16(p.l4 + 6, csum_raw(csum_pseudo(p.l3, t.d6, IPPROTO_UDP_, p.ip_len - p.l3_len)))
    elif t.flags & 1 == 0:
        return
    p.vnet.flags = VNET_NEEDS_CSUM
    p.vnet.csum_start = 14 + p.l3_len
    p.vnet.csum_offset = 6 if t.kind == 1 else 4


cdef void tunnel_gre(const tunnel_t *t, pkt_t *p, uint32_t inner) noexcept nogil:
    cdef uint8_t *at = p.l3
    st16(at, 0x8000 if t.flags & 1 else 0)
    st16(at + 2, ETH_P_IPV6 if inner == IPPROTO_IPV6_ else ETH_P_IP)
    if t.flags & 1:
        put32(at + 4, 0)


# ---------------------------------------------------------------- replies of NAT servers

cdef verdict_t transmit_reply(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """Send a reply on to the client from the virtual address (spec 3.2): what forwarding checks
    comes first, on the packet as it arrived."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const nexthop_t *nh = nexthop_for(w, &p.saddr, &p.daddr, p.is_v6)
    cdef addr_t vaddr
    cdef verdict_t v
    if LB_UNLIKELY(p.is_short):
        return drop(w, R_NO_PORTS)
    if LB_UNLIKELY(ttl_of(p) <= 1):
        return answer_ttl(w, p)
    if LB_UNLIKELY(nh.type != RTN_UNICAST):
        return answer_no_route(w, p)
    v = mtu_check(w, p, nh.mtu)
    if LB_UNLIKELY(v != NEXT):
        return v
    ttl_decrement(p)
    vaddr = conn_vaddr(e, i)
    if e.settings.snat_reroute:
        nh = nexthop_for(w, &vaddr, &p.daddr, p.is_v6)
        if LB_UNLIKELY(nh.type != RTN_UNICAST):
            return answer_no_route(w, p)
    if LB_UNLIKELY(e.conns[i].flags & CONN_FTP):
        v = ftp_reply(w, p, i)
        if v != NEXT:
            return v
    nat_rewrite(w, p, SIDE_SRC, &vaddr, e.conns[i].vport)
    return xmit_l3(w, p, nh)
