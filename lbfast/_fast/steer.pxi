"""Steering: which frames are ours, by the predicate that keeps them from the host."""


cdef inline verdict_t steer(worker_t *w, pkt_t *p) noexcept nogil:
    """Decide whether the frame is ours: the same predicate as the rules that keep it from the
    host (control/steering.py).  IGNORE: the host has it and we have no say."""
    cdef engine_t *e = <engine_t *>w.engine
    p.svc = NO_INDEX
    if e.nsvcs[p.is_v6] == 0:
        return IGNORE
    if LB_UNLIKELY(e.nstandby) and is_standby(e, &p.daddr, p.is_v6):
        return IGNORE
    if LB_UNLIKELY(p.is_frag):
        return steer_fragment(w, p)
    if LB_UNLIKELY(e.nmarks):
        mark_packet(e, p)
    if LB_LIKELY(p.has_ports):
        p.svc = service_find(e, p.is_v6, p.protocol, &p.daddr, p.dport, p.fwmark)
        if p.svc != NO_INDEX:
            p.role = ROLE_REQUEST
            return NEXT
        if e.ntrash and (
            is_lingering(e, p.is_v6, p.protocol, &p.daddr, p.dport)
            or p.fwmark and mark_lingers(e, p.fwmark, p.is_v6)
        ):
            p.role = ROLE_REQUEST
            return NEXT
        if e.has_full[p.is_v6] and is_local_reply(
            e, p.protocol, &p.saddr, p.sport, &p.daddr, p.dport, p.is_v6
        ):
            p.role = ROLE_LOCAL
            return NEXT
        if e.has_masq[p.is_v6] and is_masq_server(e, p.protocol, &p.saddr, p.sport, p.is_v6):
            p.role = ROLE_REPLY
            return NEXT if not addr_is_local(&e.world, &p.daddr, p.is_v6) else IGNORE
        return passing_reply(e, p)
    if p.is_icmp_error:
        return steer_icmp(w, p)
    return IGNORE


cdef verdict_t steer_fragment(worker_t *w, pkt_t *p) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    p.role = ROLE_FRAGMENT
    if is_vip(e, &p.daddr, p.is_v6):
        return NEXT
    if e.has_full[p.is_v6] and is_local_fragment(e, &p.saddr, &p.daddr, p.is_v6):
        return NEXT
    if e.nmarks and mark_takes_fragment(e, p):
        return NEXT
    if p.protocol == IPPROTO_ICMP_ or (
        e.has_masq[p.is_v6] and is_masq_addr(e, &p.saddr, p.is_v6)
    ):
        return NEXT if not addr_is_local(&e.world, &p.daddr, p.is_v6) else IGNORE
    return IGNORE


cdef verdict_t steer_icmp(worker_t *w, pkt_t *p) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    p.role = ROLE_ICMP
    if is_vip(e, &p.daddr, p.is_v6) or is_laddr(e, &p.daddr, p.is_v6):
        return NEXT
    if e.nmarks and mark_takes_icmp(e, p):
        return NEXT
    if addr_is_local(&e.world, &p.daddr, p.is_v6):
        p.role = ROLE_PASSING
        return NEXT
    return NEXT if e.has_masq[p.is_v6] else IGNORE


cdef verdict_t passing_reply(engine_t *e, pkt_t *p) noexcept nogil:
    """Look for a reply that the host forwards for a real server that is not NATed (spec 2.4)."""
    if service_at(e, p.is_v6, p.protocol, &p.saddr, p.sport, 0) == NO_INDEX:
        return IGNORE
    p.role = ROLE_PASSING
    return NEXT


cdef verdict_t passing_stage(worker_t *w, pkt_t *p) noexcept nogil:
    """What the host has as well: account a reply; an error is ours too when it is about a packet
    that we encapsulated."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef inner_t q
    cdef uint32_t i
    if p.is_icmp_error:
        if icmp_inner(p, &q) and (q.protocol == IPPROTO_UDP_ or not is_balanced(q.protocol)):
            icmp_tunnel(w, p, &q)
        return IGNORE
    i = conn_find_out(e, p.hash, p.is_v6, p.protocol, &p.saddr, p.sport, &p.daddr, p.dport)
    if i != NO_INDEX:
        account_reply(w, p, i)
    return IGNORE
