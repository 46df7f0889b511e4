"""Persistence: templates that keep a client on its real server (spec 6).

Templates are shared by all workers: they are looked up, made and expired under the lock, in
buckets and timer lists of their own.
"""


cdef inline bint template_pe_is(engine_t *e, uint32_t i, const tuple_t *t) noexcept nogil:
    """Whether the template has the same data of a persistence engine, or none as well."""
    cdef const conn_ext_t *x = &e.exts[i]
    if e.conns[i].ext == NO_INDEX:
        return t.pe_len == 0
    return x.pe_len == t.pe_len and memcmp(x.pe_data, t.pe_data, t.pe_len) == 0


cdef uint32_t template_find(engine_t *e, bint is_v6, const tuple_t *t) noexcept nogil:
    """Return the template with that key (client port 0), or NO_INDEX."""
    cdef uint32_t h = conn_hash(e.seed, addr_fold(&t.caddr), 0, t.protocol)
    cdef bint fwmark = t.protocol == 0
    cdef const conn_t *c
    cdef addr_t vaddr
    cdef uint32_t i
    if t.pe_len:
        h = bytes_hash(e.seed, t.pe_data, t.pe_len)
    i = e.templates[h & e.template_mask] - 1
    while i != NO_INDEX:
        c = &e.conns[i]
        if (
            c.protocol == t.protocol and c.vport == t.vport and c.cport == 0
            and (c.flags & CONN_TEMPLATE) and ((c.flags & CONN_FWMARK) != 0) == fwmark
            and conn_client_is(e, c, i, &t.caddr, addr_fold(&t.caddr), is_v6)
            and template_pe_is(e, i, t)
        ):
            vaddr = conn_vaddr(e, i)
            if addr_eq(&vaddr, &t.vaddr):
                return i
        i = c.hnext
    return NO_INDEX


cdef bint template_usable(engine_t *e, uint32_t i) noexcept nogil:
    """Whether its real server is still there (and, where that is asked for, not quiesced)."""
    cdef uint32_t dest = e.conns[i].dest
    if dest == NO_INDEX or not e.dests[dest].flags & DEST_AVAILABLE:
        return False
    return not (e.settings.expire_quiescent_template and e.dests[dest].weight == 0)


cdef void template_invalidate(engine_t *e, uint32_t i) noexcept nogil:
    """Rename it so that it never matches again; its timer runs on."""
    e.conns[i].vport = 0xFFFF
    e.conns[i].dport = 0xFFFF


cdef void template_key(engine_t *e, const pkt_t *p, const svc_t *s, tuple_t *t) noexcept nogil:
    """The template's key for a packet (spec 6.1): client network, and what of the service."""
    memset(t, 0, sizeof(tuple_t))
    t.is_v6 = p.is_v6
    t.protocol = p.protocol
    t.vaddr = p.daddr
    if p.is_v6:
        t.caddr = addr_prefix(&p.saddr, s.netmask)
    else:
        t.caddr.w[0] = p.saddr.w[0] & s.netmask
    if p.dport == s.port:
        if s.port != LB_SWAP16(FTP_PORT):
            t.vport = p.dport
    elif s.fwmark:
        t.protocol = 0
        memset(&t.vaddr, 0, sizeof(addr_t))
        t.vaddr.w[0] = LB_SWAP32(s.fwmark)


cdef verdict_t schedule_persistent(worker_t *w, pkt_t *p, uint32_t *made) noexcept nogil:
    """Make a connection to the real server of the client's template.  Call under the lock.

    HOST stands for "leave": no real server for a new client.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef svc_t *s = &e.svcs[p.svc]
    cdef tuple_t t
    cdef uint32_t i
    cdef int dest
    cdef verdict_t v
    cdef bint fresh = False
    template_key(e, p, s, &t)
    if svc_has_pe(s) and not pe_read(p, &t):
        return drop(w, R_PE)
    i = template_find(e, p.is_v6, &t)
    if i != NO_INDEX and not template_usable(e, i):
        template_invalidate(e, i)
        i = NO_INDEX
    if i == NO_INDEX:
        dest = sched_pick(e, p, w)
        if dest == NO_DEST:
            return HOST
        i = template_new(w, p, &t, <uint32_t>dest)
        if i == NO_INDEX:
            return drop(w, R_NO_MEMORY)
        fresh = True
    v = conn_for(w, p, e.conns[i].dest, made)
    if v != NEXT and fresh:
        conn_remove(w, i)                # of nobody
        return v
    if v == NEXT:
        e.conns[made[0]].control = i
        e.conns[i].n_control += 1
    conn_touch(w, i)
    return v


cdef uint32_t template_new(
    worker_t *w, const pkt_t *p, tuple_t *t, uint32_t dest
) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    cdef svc_t *s = &e.svcs[p.svc]
    cdef dest_t *d = &e.dests[dest]
    cdef uint32_t flags = CONN_TEMPLATE | d.method
    cdef uint32_t i
    t.daddr = d.addr
    t.d6 = d.af == AF_INET6
    t.dport = 0
    if p.dport == s.port and s.port != LB_SWAP16(FTP_PORT):
        t.dport = d.port
    if t.protocol == 0:
        flags |= CONN_FWMARK
    if not sees_replies(d.method):
        flags |= CONN_NOOUTPUT
    i = conn_new(w, t, flags, dest)
    if i != NO_INDEX:
        e.conns[i].timeout = s.timeout_s * TICKS_PER_S
    return i


cdef void template_assure(worker_t *w, const conn_t *c) noexcept nogil:
    """A connection was established: its template is worth keeping (spec 4.7)."""
    cdef engine_t *e = <engine_t *>w.engine
    if c.control != NO_INDEX and e.conns[c.control].flags & CONN_TEMPLATE:
        engine_lock(e)
        e.conns[c.control].flags |= CONN_ASSURED
        engine_unlock(e)
