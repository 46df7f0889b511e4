"""The path of a packet: the stages in their order."""


cdef inline verdict_t forward(worker_t *w, pkt_t *p, const uint8_t *mac) noexcept nogil:
    """Run the stages until one says something other than NEXT; count and return it."""
    return settle(w, p, classify(w, p, mac))


cdef verdict_t classify(worker_t *w, pkt_t *p, const uint8_t *mac) noexcept nogil:
    """The first half, which a batch does for all its packets before the second: what the packet
    is, whether it is ours, and where its connection would be (fetched ahead)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef verdict_t v
    v = parse(w, p, mac)
    if v == NEXT:
        v = steer(w, p)
    if LB_LIKELY(v == NEXT):
        if p.role == ROLE_REPLY or p.role == ROLE_PASSING:
            p.hash = conn_hash(e.seed, addr_fold(&p.daddr), p.dport, p.protocol)
        elif LB_UNLIKELY(p.role == ROLE_LOCAL):
            return local_classify(e, p)
        else:
            p.hash = conn_hash(e.seed, addr_fold(&p.saddr), p.sport, p.protocol)
        LB_PREFETCH(&e.buckets[p.hash & e.bucket_mask])
    return v


cdef verdict_t local_classify(engine_t *e, pkt_t *p) noexcept nogil:
    """The same for a reply that comes to a local address."""
    cdef ends_t ends = reply_ends(p)
    p.hash = local_hash(e, &ends)
    LB_PREFETCH(&e.locals[p.hash & e.bucket_mask])
    return NEXT


cdef inline void fetch_ahead(worker_t *w, const pkt_t *p) noexcept nogil:
    """Between the halves: the bucket is there now, so fetch the entry it begins with."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const uint32_t *heads = e.buckets
    cdef uint32_t i
    if LB_UNLIKELY(p.role == ROLE_LOCAL):
        heads = e.locals
    i = heads[p.hash & e.bucket_mask] - 1
    if i != NO_INDEX:
        LB_PREFETCH(&e.conns[i])


cdef inline verdict_t settle(worker_t *w, pkt_t *p, verdict_t v) noexcept nogil:
    """The second half: what becomes of the packet."""
    if LB_LIKELY(v == NEXT):
        v = accept_taken(w, p)
    w.verdicts[<int>v] += 1
    return v


cdef verdict_t accept_taken(worker_t *w, pkt_t *p) noexcept nogil:
    """A frame that the host does not get: what the data path makes of it."""
    cdef verdict_t v
    if LB_UNLIKELY(p.role == ROLE_PASSING):
        return passing_stage(w, p)
    if LB_UNLIKELY(p.vnet.flags & VNET_NEEDS_CSUM or p.vnet.gso_type):
        if not vnet_check(p):
            return drop(w, R_GSO)
    if LB_UNLIKELY(not p.is_v6 and p.l3_len > 20 and not p.later_frag):
        v = ip_options(w, p)
        if v != NEXT:
            return v
    if LB_UNLIKELY(p.is_frag):
        return fragment_stage(w, p)
    if p.role == ROLE_REQUEST:
        return request_stage(w, p)
    if p.role == ROLE_REPLY:
        return reply_stage(w, p)
    if p.role == ROLE_LOCAL:
        return local_stage(w, p)
    return icmp_stage(w, p)


cdef verdict_t fragment_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """Put the packet together, run it, and give back the fragments as they came if it is the
    host's after all."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef verdict_t v = frag_defrag(w, p)
    if v != NEXT:
        return v
    v = classify(w, p, p.data)
    if v == NEXT and e.nworkers > 1 and packet_owner(e, w, p) != w.index:
        v = hand_over(w, p, packet_owner(e, w, p))
    elif v == NEXT:
        v = reassembled_stage(w, p)
    if v == IGNORE:
        v = HOST
    if v == HOST and p.held != NO_INDEX:
        frag_give_back(w, p)
    frag_release(w, p)
    return v


cdef verdict_t reassembled_stage(worker_t *w, pkt_t *p) noexcept nogil:
    if p.is_frag:
        return drop(w, R_FRAG_BAD)
    if p.role == ROLE_PASSING:
        return passing_stage(w, p)
    if p.role == ROLE_REQUEST:
        return request_stage(w, p)
    if p.role == ROLE_REPLY:
        return reply_stage(w, p)
    if p.role == ROLE_LOCAL:
        return local_stage(w, p)
    return icmp_stage(w, p)


# ---------------------------------------------------------------- requests

cdef inline bint starts_connection(const pkt_t *p) noexcept nogil:
    if LB_UNLIKELY(p.protocol == IPPROTO_SCTP_):
        return sctp_chunk(p) == SCTP_INIT
    return p.protocol == IPPROTO_TCP_ and p.tcp_flags & TCP_SYN


cdef verdict_t request_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """From the client: find or make the connection, account, send (spec 2.2)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t i, old = NO_INDEX
    cdef verdict_t v
    i = conn_find_in(e, p.hash, p.is_v6, p.protocol, &p.saddr, p.sport, &p.daddr, p.dport)
    if i == NO_INDEX and LB_UNLIKELY(e.nexpected):
        i = expected_take(w, p, False)
    if LB_LIKELY(i != NO_INDEX):
        if LB_UNLIKELY(starts_connection(p)) and conn_is_old(w, p, i):
            old = i
            i = NO_INDEX
        elif e.conns[i].dest != NO_INDEX and LB_UNLIKELY(
            not e.dests[e.conns[i].dest].flags & DEST_AVAILABLE
        ):
            if not e.settings.expire_nodest_conn:
                return drop(w, R_DEST_GONE)
            old = i
            i = NO_INDEX
    if LB_UNLIKELY(i == NO_INDEX):
        v = schedule_stage(w, p, &i)
        if old != NO_INDEX:               # it counts on its server until the new one has its own
            conn_expire_now(w, old)
        if v != NEXT:
            return v
    count_in(w, p, i)
    conn_transition(w, p, i, False)
    v = transmit(w, p, i)
    e.conns[i].in_pkts += 1
    if LB_UNLIKELY(e.conns[i].flags & CONN_ONE_PACKET):
        conn_one_packet_done(w, i)
        return v
    conn_touch(w, i)
    if v == SENT and not path_holds(e, &e.flows[i].request):
        learn_request(w, i)
    return v


cdef bint conn_is_old(worker_t *w, const pkt_t *p, uint32_t i) noexcept nogil:
    """Whether a SYN that meets this entry starts anew (spec 2.2 step 8)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    if e.settings.expire_nodest_conn and c.dest != NO_INDEX and e.dests[c.dest].weight == 0:
        return True
    if e.settings.conn_reuse_mode == 0 or c.control != NO_INDEX:
        return False
    if p.protocol == IPPROTO_SCTP_:
        return c.state == SCTP_CLOSED
    if c.state == TCP_TIMEW or c.state == TCP_CLOSED:
        return True
    return (
        (e.settings.conn_reuse_mode & 2) != 0 and c.state == TCP_FINW
        and (c.flags & CONN_NOOUTPUT) != 0
    )


cdef void conn_one_packet_done(worker_t *w, uint32_t i) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    engine_lock(e)
    conn_remove(w, i)
    engine_unlock(e)


cdef inline uint32_t conn_direction(conn_t *c, bint reply) noexcept nogil:
    """Return the column of the state tables; the first reply ends NOOUTPUT (spec 4.5)."""
    if reply:
        c.flags &= ~<uint32_t>CONN_NOOUTPUT
        return DIR_OUTPUT
    return DIR_INPUT_ONLY if c.flags & CONN_NOOUTPUT else DIR_INPUT


cdef inline void conn_transition(
    worker_t *w, const pkt_t *p, uint32_t i, bint reply
) noexcept nogil:
    """Let the protocol's state table see the packet; sets the time-out."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    cdef uint32_t direction
    cdef uint8_t state
    if LB_UNLIKELY(p.is_short):
        return
    if p.protocol == IPPROTO_TCP_:
        direction = conn_direction(c, reply)
        state = tcp_next(c.state, direction, p.tcp_flags, e.secure)
        if LB_UNLIKELY(state != c.state):
            c.state = state
            flow_forget(e, i)
            conn_set_active(w, c, lb_tcp_active[state])
            if state == TCP_EST:
                template_assure(w, c)
        c.timeout = tcp_timeout_s(&e.settings, state) * TICKS_PER_S
    elif p.protocol == IPPROTO_UDP_:
        c.timeout = <uint32_t>e.settings.udp_timeout_s * TICKS_PER_S
        if reply:
            template_assure(w, c)
    elif p.protocol == IPPROTO_SCTP_:
        sctp_transition(w, p, c, reply)


cdef inline void count_in(worker_t *w, const pkt_t *p, uint32_t i) noexcept nogil:
    """Count a request on destination and total, and so on the service (spec 7.1)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t dest = e.conns[i].dest
    cdef counts_t *c
    if dest == NO_INDEX or not e.dests[dest].flags & DEST_AVAILABLE:
        return
    c = &e.dest_counts[<size_t>w.index * e.max_dests + dest]
    c.inpkts += 1
    c.inbytes += p.ip_len
    c = &e.total_counts[w.index]
    c.inpkts += 1
    c.inbytes += p.ip_len


cdef void count_out(worker_t *w, const pkt_t *p, uint32_t i) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t dest = e.conns[i].dest
    cdef counts_t *c
    if dest == NO_INDEX or not e.dests[dest].flags & DEST_AVAILABLE:
        return
    c = &e.dest_counts[<size_t>w.index * e.max_dests + dest]
    c.outpkts += 1
    c.outbytes += p.ip_len
    c = &e.total_counts[w.index]
    c.outpkts += 1
    c.outbytes += p.ip_len


# ---------------------------------------------------------------- replies

cdef verdict_t reply_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """From a NAT server: back to the client, or the host's when no connection is known."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t i
    cdef verdict_t v
    i = conn_find_out(e, p.hash, p.is_v6, p.protocol, &p.saddr, p.sport, &p.daddr, p.dport)
    if i == NO_INDEX and LB_UNLIKELY(e.nexpected):
        i = expected_take(w, p, True)
    if i == NO_INDEX and LB_UNLIKELY(e.npe) and p.protocol == IPPROTO_UDP_:
        i = pe_reply_first(w, p)
    if LB_UNLIKELY(i == NO_INDEX):
        return reply_orphan(w, p)
    if LB_UNLIKELY(ttl_of(p) <= 1):
        return answer_ttl(w, p)
    v = transmit_reply(w, p, i)
    if v != DROP:
        account_reply(w, p, i)
    if LB_UNLIKELY(e.conns[i].flags & CONN_ONE_PACKET):
        conn_one_packet_done(w, i)
    elif v == SENT and not path_holds(e, &e.flows[i].reply):
        learn_reply(w, i)
    return v


cdef inline void account_reply(worker_t *w, const pkt_t *p, uint32_t i) noexcept nogil:
    count_out(w, p, i)
    conn_transition(w, p, i, True)
    conn_touch(w, i)


cdef verdict_t reply_orphan(worker_t *w, pkt_t *p) noexcept nogil:
    """No connection: the host's, unless real servers are to be told (spec 2.4 step 6)."""
    cdef engine_t *e = <engine_t *>w.engine
    if e.settings.nat_icmp_send and ttl_of(p) > 1 and is_real_server(
        e, p.protocol, &p.saddr, p.sport, p.is_v6
    ) and not (
        p.protocol == IPPROTO_TCP_ and p.tcp_flags & TCP_RST
        or p.protocol == IPPROTO_SCTP_ and sctp_chunk(p) == SCTP_ABORT
    ):
        ttl_decrement(p)
        if p.is_v6:
            icmp_error(w, p, ICMPV6_UNREACH, ICMPV6_PORT_UNREACH, 0)
        else:
            icmp_error(w, p, ICMP_UNREACH, ICMP_PORT_UNREACH, 0)
        return drop(w, R_REPLY_UNREACH)
    return to_host(w, p)
