"""The persistence engine `sip`: clients are kept on their real server call by call (spec 6.5).

Same rules as the kernel's ip_vs_pe_sip.c.
"""


cdef inline bint svc_has_pe(const svc_t *s) noexcept nogil:
    return s.pe_name[0] != 0


cdef bint pe_read(const pkt_t *p, tuple_t *t) noexcept nogil:
    """Let the service's engine find its data in a packet, to be part of the template's key.
    False: there is none, and no connection is to be made."""
    cdef uint32_t at = 0
    if p.protocol != IPPROTO_UDP_ or p.from_icmp or p.ip_len <= p.l3_len + 8:
        return False
    t.pe_len = sip_call_id(p.l4 + 8, p.ip_len - p.l3_len - 8, &at)
    t.pe_data = p.l4 + 8 + at
    return t.pe_len != 0


cdef void pe_count(engine_t *e) noexcept nogil:
    """After an edit: count the services that have an engine."""
    cdef uint32_t i
    e.npe = 0
    for i in range(e.max_svcs):
        if e.svcs[i].used and svc_has_pe(&e.svcs[i]):
            e.npe += 1


# ---------------------------------------------------------------- calls that a real server starts

cdef uint32_t pe_dest(engine_t *e, const pkt_t *p) noexcept nogil:
    """Return the NAT server of a service with an engine that a packet comes from, or NO_INDEX."""
    cdef uint32_t i, at
    cdef const dest_t *d
    for i in range(e.max_svcs):
        if not e.svcs[i].used or not svc_has_pe(&e.svcs[i]):
            continue
        for at in range(e.scheds[i].ndest):
            d = &e.dests[e.scheds[i].list[at]]
            if (
                d.method == MASQ and d.port == p.sport and addr_eq(&d.addr, &p.saddr)
                and (d.af == AF_INET6) == p.is_v6
                and (e.svcs[i].fwmark or e.svcs[i].protocol == p.protocol)
            ):
                return e.scheds[i].list[at]
    return NO_INDEX


cdef uint32_t pe_reply_first(worker_t *w, pkt_t *p) noexcept nogil:
    """Make the connection of a datagram that a real server sends first (spec 2.4 step 5), as if
    the client had; NO_INDEX: it is none of these."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t dest, i = NO_INDEX
    if not is_real_server(e, p.protocol, &p.saddr, p.sport, p.is_v6):
        return NO_INDEX
    engine_lock(e)
    dest = pe_dest(e, p)
    if dest != NO_INDEX:
        p.svc = e.dests[dest].svc
        i = pe_conn(w, p, dest)
    engine_unlock(e)
    return i


cdef uint32_t pe_conn(worker_t *w, pkt_t *p, uint32_t dest) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    cdef svc_t *s = &e.svcs[p.svc]
    cdef pkt_t c = p[0]               # the packet as its answer will be seen
    cdef uint32_t template = NO_INDEX, i
    cdef tuple_t t
    c.saddr, c.sport, c.daddr, c.dport = p.daddr, p.dport, s.addr, s.port
    if s.flags & SVC_PERSISTENT:
        template_key(e, &c, s, &t)
        t.protocol = p.protocol
        t.vaddr = s.addr
        if not pe_read(p, &t):
            return NO_INDEX
        template = template_find(e, p.is_v6, &t)
        if template != NO_INDEX and (
            not template_usable(e, template) or e.conns[template].dest != dest
        ):
            template_invalidate(e, template)
            template = NO_INDEX
        if template == NO_INDEX:
            template = template_new(w, &c, &t, dest)
        if template == NO_INDEX:
            return NO_INDEX
    if conn_for(w, &c, dest, &i) != NEXT:
        return NO_INDEX
    if template != NO_INDEX:
        e.conns[i].control = template
        e.conns[template].n_control += 1
        conn_touch(w, template)
    return i
