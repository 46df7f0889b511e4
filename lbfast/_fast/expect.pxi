"""Connections made before their first packet: the data connections that FTP announces.

Until that packet comes it is open which worker it will belong to (of passive data connections not
even the client's port is known), so they are shared, as templates are: looked up, changed and
expired under the lock.  The worker that gets the packet takes the entry over.
"""


cdef uint32_t expected_find(
    engine_t *e, const tuple_t *t, bint reply
) noexcept nogil:
    """Return the entry of client (with that port) and virtual or, for a reply, real address."""
    cdef be32 fold = addr_fold(&t.caddr)
    cdef uint32_t i = e.templates[
        conn_hash(e.seed, fold, t.cport, t.protocol) & e.template_mask
    ] - 1
    cdef const conn_t *c
    cdef addr_t vaddr
    while i != NO_INDEX:
        c = &e.conns[i]
        if (
            c.flags & CONN_EXPECTED and c.protocol == t.protocol and c.cport == t.cport
            and conn_client_is(e, c, i, &t.caddr, fold, t.is_v6)
        ):
            vaddr = conn_vaddr(e, i)
            if reply:
                if conn_source_is(e, c, i, t.is_v6, &t.daddr, t.dport):
                    return i
            elif c.vport == t.vport and addr_eq(&vaddr, &t.vaddr):
                return i
        i = c.hnext
    return NO_INDEX


cdef uint32_t expected_request(engine_t *e, const tuple_t *t) noexcept nogil:
    """The kernel's order (spec 4.2): the entry of this client port, then one of any port."""
    cdef tuple_t any = t[0]
    cdef uint32_t i = expected_find(e, t, False)
    if i != NO_INDEX:
        return i
    any.cport = 0
    return expected_find(e, &any, False)


cdef uint32_t expected_new(
    worker_t *w, const tuple_t *t, uint32_t flags, uint32_t control
) noexcept nogil:
    """Make an entry controlled by another, to the same destination.  Call under the lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t i, dest = e.conns[control].dest
    flags |= CONN_EXPECTED | CONN_NFCT
    if dest != NO_INDEX and e.dests[dest].method != FULLNAT:     # edited since: it goes on as NAT
        flags |= e.dests[dest].method
        if e.dests[dest].method != MASQ:
            flags |= CONN_NOOUTPUT
    i = conn_new(w, t, flags, dest)
    if i != NO_INDEX:
        e.conns[i].control = control
        e.conns[control].n_control += 1
    return i


cdef uint32_t expected_take(worker_t *w, const pkt_t *p, bint reply) noexcept nogil:
    """Return the entry whose first packet this is, now this worker's own, or NO_INDEX."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef tuple_t t
    cdef uint32_t i
    memset(&t, 0, sizeof(t))
    t.is_v6 = p.is_v6
    t.protocol = p.protocol
    if reply:
        t.caddr, t.cport, t.daddr, t.dport = p.daddr, p.dport, p.saddr, p.sport
    else:
        t.caddr, t.cport, t.vaddr, t.vport = p.saddr, p.sport, p.daddr, p.dport
    engine_lock(e)
    i = expected_find(e, &t, True) if reply else expected_request(e, &t)
    if i != NO_INDEX:
        expected_adopt(w, i, t.cport)
    engine_unlock(e)
    return i


cdef void expected_adopt(worker_t *w, uint32_t i, be16 cport) noexcept nogil:
    """Move an entry from the shared tables to the worker's, with the client's port filled in."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    conn_unchain(e, i)
    timer_unlink(e, w, i)
    c.flags &= ~<uint32_t>(CONN_EXPECTED | CONN_NO_CPORT)
    c.cport = cport
    e.nexpected -= 1
    conn_chain(e, i)
    timer_link(e, w, i)
