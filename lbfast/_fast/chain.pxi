"""Chains of the connection table: by the client's side, and FULLNAT's by the local one too."""


cdef inline uint32_t *conn_bucket(engine_t *e, uint32_t i) noexcept nogil:
    """Return the head of the chain that the entry belongs to."""
    cdef conn_t *c = &e.conns[i]
    cdef uint32_t h = conn_hash(e.seed, c.caddr, c.cport, c.protocol)
    if LB_UNLIKELY(c.flags & CONN_SHARED):
        if c.flags & CONN_TEMPLATE and c.ext != NO_INDEX:
            h = bytes_hash(e.seed, e.exts[i].pe_data, e.exts[i].pe_len)
        return &e.templates[h & e.template_mask]
    return &e.buckets[h & e.bucket_mask]


cdef void conn_chain(engine_t *e, uint32_t i) noexcept nogil:
    """Insert at the bucket's front: a younger duplicate shadows an older one (spec 4.1)."""
    cdef uint32_t *head = conn_bucket(e, i)
    e.conns[i].hnext = head[0] - 1
    head[0] = i + 1
    if LB_UNLIKELY(is_full(e.conns[i].flags)):
        local_chain(e, i)


cdef void conn_unchain(engine_t *e, uint32_t i) noexcept nogil:
    cdef uint32_t *head = conn_bucket(e, i)
    cdef uint32_t at = head[0] - 1
    if LB_UNLIKELY(is_full(e.conns[i].flags)):
        local_unchain(e, i)
    if at == i:
        head[0] = e.conns[i].hnext + 1
        return
    while at != NO_INDEX:
        if e.conns[at].hnext == i:
            e.conns[at].hnext = e.conns[i].hnext
            return
        at = e.conns[at].hnext


# ---------------------------------------------------------------- the local side (spec 3.8)

ctypedef struct ends_t:           # a flow between a local address and a real server
    addr_t laddr
    addr_t daddr
    be16 lport
    be16 dport
    uint8_t protocol
    uint8_t is_v6


cdef inline bint is_full(uint32_t flags) noexcept nogil:
    """Whether the entry has a local address and port of its own."""
    return flags & (CONN_METHOD | CONN_TEMPLATE) == FULLNAT


cdef inline uint32_t local_hash(const engine_t *e, const ends_t *t) noexcept nogil:
    """Hash of what a FULLNAT server's reply has in its header."""
    cdef uint64_t server = <uint64_t>addr_fold(&t.daddr) << 16 | t.dport
    return conn_hash(
        e.seed ^ server * <uint64_t>0xBF58476D1CE4E5B9, addr_fold(&t.laddr), t.lport, t.protocol
    )


cdef inline ends_t local_ends(engine_t *e, uint32_t i) noexcept nogil:
    cdef ends_t t
    t.laddr = e.fulls[i].laddr
    t.lport = e.fulls[i].lport
    t.daddr = conn_daddr(e, i)
    t.dport = e.conns[i].dport
    t.protocol = e.conns[i].protocol
    t.is_v6 = (e.conns[i].flags & CONN_V6) != 0
    return t


cdef inline bint local_is(engine_t *e, uint32_t i, const ends_t *t) noexcept nogil:
    cdef const conn_t *c = &e.conns[i]
    cdef const conn_full_t *f = &e.fulls[i]
    if f.lport != t.lport or c.dport != t.dport or c.protocol != t.protocol:
        return False
    if not addr_eq(&f.laddr, &t.laddr) or ((c.flags & CONN_V6) != 0) != t.is_v6:
        return False
    return addr_eq(&e.conns6[i].daddr, &t.daddr) if t.is_v6 else c.daddr == t.daddr.w[0]


cdef bint is_stray(engine_t *e, uint32_t i, uint32_t hash) noexcept nogil:
    """Whether replies, spread by that hash, belong to another worker than the connection: it was
    made by another number of workers."""
    return hash_owner(e, hash) != conn_owner(e, i)


cdef void local_chain(engine_t *e, uint32_t i) noexcept nogil:
    cdef ends_t t = local_ends(e, i)
    cdef uint32_t hash = local_hash(e, &t)
    cdef uint32_t *head = &e.locals[hash & e.bucket_mask]
    if is_stray(e, i, hash):
        head = &e.strays[hash & 255]
        e.nstrays += 1
    e.fulls[i].next = head[0] - 1
    head[0] = i + 1
    e.laddrs[e.fulls[i].pool].conns += 1


cdef void local_unchain(engine_t *e, uint32_t i) noexcept nogil:
    """Free the port.  Call under the lock."""
    cdef ends_t t = local_ends(e, i)
    cdef uint32_t hash = local_hash(e, &t)
    cdef laddr_t *la = &e.laddrs[e.fulls[i].pool]
    cdef uint32_t *head = &e.locals[hash & e.bucket_mask]
    cdef uint32_t at
    if is_stray(e, i, hash):
        head = &e.strays[hash & 255]
        e.nstrays -= 1
    la.conns -= 1
    if la.svc != NO_INDEX:
        e.pools[la.svc].failed_dest = NO_INDEX
    at = head[0] - 1
    if at == i:
        head[0] = e.fulls[i].next + 1
        return
    while at != NO_INDEX:
        if e.fulls[at].next == i:
            e.fulls[at].next = e.fulls[i].next
            return
        at = e.fulls[at].next


cdef inline uint32_t local_walk(engine_t *e, uint32_t i, const ends_t *t) noexcept nogil:
    """Return the entry with these ends in the chain that begins with i, or NO_INDEX."""
    while i != NO_INDEX and not local_is(e, i, t):
        i = e.fulls[i].next
    return i


cdef uint32_t local_held(engine_t *e, const ends_t *t, uint32_t hash) noexcept nogil:
    """Return the connection that has these ends, or NO_INDEX.  Call under the lock."""
    cdef uint32_t i = local_walk(e, e.locals[hash & e.bucket_mask] - 1, t)
    if i == NO_INDEX and e.nstrays:
        i = local_walk(e, e.strays[hash & 255] - 1, t)
    return i


cdef uint32_t local_find(engine_t *e, const ends_t *t, uint32_t hash) noexcept nogil:
    """Return the connection of a real server's packet, or NO_INDEX."""
    cdef uint32_t i
    if e.locals == NULL:
        return NO_INDEX
    i = local_walk(e, e.locals[hash & e.bucket_mask] - 1, t)
    if i == NO_INDEX and LB_UNLIKELY(e.nstrays):
        i = stray_find(e, t, hash)
    return i


cdef uint32_t stray_find(engine_t *e, const ends_t *t, uint32_t hash) noexcept nogil:
    cdef uint32_t i
    engine_lock(e)
    i = local_walk(e, e.strays[hash & 255] - 1, t)
    engine_unlock(e)
    return i
