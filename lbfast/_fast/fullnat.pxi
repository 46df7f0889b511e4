"""FULLNAT: client:cport -> vip:vport becomes lip:lport -> rip:rport, and back (spec 3.8).

Real servers need no route to the client: their replies come to the local address, which is the
director's own.
"""

ctypedef struct pair_t:           # what a packet is to come from and go to
    addr_t src
    addr_t dst
    be16 sport
    be16 dport


cdef inline pair_t full_pair(engine_t *e, uint32_t i, bint request) noexcept nogil:
    """The four-tuple that a packet of the connection leaves with."""
    cdef pair_t t
    if request:
        t.src, t.sport = e.fulls[i].laddr, e.fulls[i].lport
        t.dst, t.dport = conn_daddr(e, i), e.conns[i].dport
    else:
        t.src, t.sport = conn_vaddr(e, i), e.conns[i].vport
        t.dst, t.dport = conn_caddr(e, i), e.conns[i].cport
    return t


cdef void full_rewrite(worker_t *w, pkt_t *p, const pair_t *t) noexcept nogil:
    """Replace both sides.  An IPv4 packet that may be cut gets an identification of ours: those of
    two clients could be the same."""
    if not p.is_v6 and (p.frag_max or not has_df(p)):
        w.ip_id += w.ip_step
        st16(p.l3 + 4, w.ip_id)
    nat_rewrite(w, p, SIDE_SRC, &t.src, t.sport)
    nat_rewrite(w, p, SIDE_DST, &t.dst, t.dport)


# ---------------------------------------------------------------- requests

cdef verdict_t full_request(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """Send a request packet to the real server, from the local address."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef pair_t t = full_pair(e, i, True)
    cdef const nexthop_t *nh = nexthop_for(w, &t.src, &t.dst, p.is_v6)
    cdef verdict_t v
    if LB_UNLIKELY(nh.type != RTN_UNICAST):
        return answer_no_route(w, p)
    if LB_UNLIKELY(ttl_of(p) <= 1):
        return answer_ttl(w, p)
    if LB_UNLIKELY(p.is_short):
        return drop(w, R_NO_PORTS)
    ttl_decrement(p)
    v = mtu_check(w, p, nh.mtu)
    if LB_UNLIKELY(v != NEXT):
        return v
    if p.protocol == IPPROTO_TCP_ and LB_UNLIKELY(not full_tcp_request(w, p, i, nh.mtu)):
        return drop(w, R_BAD_HEADER)
    full_rewrite(w, p, &t)
    return xmit_l3(w, p, nh)


# ---------------------------------------------------------------- replies

cdef verdict_t local_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """From a FULLNAT server to a local address: on to the client, or the host's when no
    connection is known."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef ends_t ends = reply_ends(p)
    cdef uint32_t i = local_find(e, &ends, p.hash)
    cdef verdict_t v
    if LB_UNLIKELY(i == NO_INDEX):
        return to_host(w, p)
    if LB_UNLIKELY(p.is_short):
        return drop(w, R_NO_PORTS)
    if LB_UNLIKELY(ttl_of(p) <= 1):
        return answer_ttl(w, p)
    v = full_reply(w, p, i)
    if v != DROP:
        account_reply(w, p, i)
    if v == SENT and not path_holds(e, &e.flows[i].reply):
        learn_full(w, i, False)
    return v


cdef verdict_t full_reply(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    cdef pair_t t = full_pair(e, i, False)
    cdef const nexthop_t *nh = nexthop_for(w, &t.src, &t.dst, p.is_v6)
    cdef verdict_t v
    if LB_UNLIKELY(nh.type != RTN_UNICAST):
        return answer_no_route(w, p)
    v = mtu_check(w, p, nh.mtu)
    if LB_UNLIKELY(v != NEXT):
        return v
    ttl_decrement(p)
    if p.protocol == IPPROTO_TCP_ and LB_UNLIKELY(not full_tcp_reply(e, p, i)):
        return drop(w, R_BAD_HEADER)
    full_rewrite(w, p, &t)
    return xmit_l3(w, p, nh)


cdef uint32_t local_owner(engine_t *e, const pkt_t *p) noexcept nogil:
    """Return which worker settles a FULLNAT server's packet."""
    cdef ends_t ends = reply_ends(p)
    return ends_owner(e, &ends, p.hash)


cdef uint32_t ends_owner(engine_t *e, const ends_t *ends, uint32_t hash) noexcept nogil:
    cdef uint32_t i = NO_INDEX
    if LB_UNLIKELY(e.nstrays):
        i = stray_find(e, ends, hash)
    return conn_owner(e, i) if i != NO_INDEX else hash_owner(e, hash)


# ---------------------------------------------------------------- ICMP errors

cdef void icmp_requote(pkt_t *p, inner_t *q, const pair_t *t) noexcept nogil:
    """Make an error one between these two, about a packet that went the other way; the quoted
    transport checksum stays as it is."""
    addr_store(addr_field(p.l3, p.is_v6, SIDE_SRC), &t.src, p.is_v6)
    addr_store(addr_field(p.l3, p.is_v6, SIDE_DST), &t.dst, p.is_v6)
    addr_store(addr_field(q.l3, p.is_v6, SIDE_SRC), &t.dst, p.is_v6)
    addr_store(addr_field(q.l3, p.is_v6, SIDE_DST), &t.src, p.is_v6)
    put16(q.l4, t.dport)
    put16(q.l4 + 2, t.sport)
    if not p.is_v6:
        ipv4_header_seal(p.l3)
        ipv4_header_seal(q.l3)
    icmp_seal(p)


cdef verdict_t full_icmp(
    worker_t *w, pkt_t *p, inner_t *q, uint32_t i, bint request
) noexcept nogil:
    """Relay an error about a FULLNAT connection.  request: it came from the clients' side."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef pair_t t = full_pair(e, i, request)
    cdef const nexthop_t *nh = nexthop_for(w, &t.src, &t.dst, p.is_v6)
    if not icmp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    if request:
        count_in(w, p, i)
    else:
        count_out(w, p, i)
    if ttl_of(p) <= 1:
        return drop(w, R_TTL)
    if nh.type != RTN_UNICAST:
        return drop(w, R_NO_ROUTE)
    ttl_decrement(p)
    if not request and q.protocol == IPPROTO_TCP_ and q.l4 + 8 <= p.l3 + p.ip_len:
        st32(q.l4 + 4, ld32(q.l4 + 4) - e.fulls[i].seq_delta)
    icmp_requote(p, q, &t)
    return xmit_l3(w, p, nh)


cdef inline ends_t quoted_ends(const pkt_t *p, const inner_t *q) noexcept nogil:
    """The ends of a packet to a FULLNAT server that an error quotes."""
    cdef ends_t t
    t.laddr, t.lport, t.daddr, t.dport = q.saddr, q.sport, q.daddr, q.dport
    t.protocol = q.protocol
    t.is_v6 = p.is_v6
    return t


cdef uint32_t local_quoted(
    engine_t *e, const worker_t *w, const pkt_t *p, const inner_t *q
) noexcept nogil:
    """Return the connection of which an error quotes a packet to the real server."""
    cdef ends_t t = quoted_ends(p, q)
    cdef uint32_t hash = local_hash(e, &t)
    if e.nworkers > 1 and ends_owner(e, &t, hash) != w.index:
        return NO_INDEX
    return local_find(e, &t, hash)
