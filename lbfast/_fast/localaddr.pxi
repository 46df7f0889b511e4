"""Local addresses: the pools that FULLNAT takes a source address and port from (spec 3.8).

A pool belongs to a service.  A port is taken when no connection has it towards the same real
server's address and port; the connections themselves say so, in the chains of chain.pxi, so there
is nothing to be given back and nothing to be repaired after a kill.  With several workers only
ports are taken whose replies reach the worker of the connection.
"""

cdef enum:
    POOL_TRIES = 16              # local addresses tried for a connection
    PORT_TRIES = 4096            # ports of each
    TURN_EVERY = 20              # picks after which the rotation moves on by one more


cdef inline ends_t reply_ends(const pkt_t *p) noexcept nogil:
    """The ends that a packet of a FULLNAT server shows."""
    cdef ends_t t
    t.laddr, t.lport, t.daddr, t.dport = p.daddr, p.dport, p.saddr, p.sport
    t.protocol = p.protocol
    t.is_v6 = p.is_v6
    return t


cdef inline uint64_t laddrs_for(uint32_t svcs) noexcept nogil:
    """How many local addresses a region with that many services holds."""
    return 64 + 4 * <uint64_t>svcs


# ---------------------------------------------------------------- control

cdef bint locals_init(engine_t *e) noexcept nogil:
    """Make the empty pools; False when there is no memory."""
    e.pools = <pool_t *>calloc(e.max_svcs, sizeof(pool_t))
    e.port_low, e.port_high = 32768, 60999       # the kernel's default
    return e.pools != NULL


cdef void locals_free(engine_t *e) noexcept nogil:
    cdef uint32_t i
    for i in range(e.max_svcs if e.pools != NULL else 0):
        free(e.pools[i].list)
    free(e.pools)
    memory_give(e.locals, (<uint64_t>e.bucket_mask + 1) * sizeof(uint32_t))


cdef bint locals_ready(engine_t *e) noexcept nogil:
    """Make the heads of the chains with the first local address; False without memory."""
    cdef size_t size = (<size_t>e.bucket_mask + 1) * sizeof(uint32_t)
    if e.locals == NULL:
        e.locals = <uint32_t *>memory_take(size)
    return e.locals != NULL


cdef bint laddr_fits(const addr_t *addr, bint is_v6) noexcept nogil:
    """Whether it can be the source of packets."""
    if addr_zero(addr) or addr_multicast(addr, is_v6) or addr_loopback(addr, is_v6):
        return False
    return is_v6 or addr.w[0] != 0xFFFFFFFFU


cdef uint32_t pool_place(const engine_t *e, uint32_t svc, const addr_t *addr) noexcept nogil:
    """Return the place of an address in the service's list, or NO_INDEX."""
    cdef const pool_t *pool = &e.pools[svc]
    cdef uint32_t at
    for at in range(pool.n):
        if addr_eq(&e.laddrs[pool.list[at]].addr, addr):
            return at
    return NO_INDEX


cdef bint pool_append(engine_t *e, uint32_t svc, uint32_t i) noexcept nogil:
    cdef pool_t *pool = &e.pools[svc]
    cdef uint32_t *more
    if pool.n == pool.capacity:
        more = <uint32_t *>realloc(pool.list, (<size_t>pool.n * 2 + 8) * sizeof(uint32_t))
        if more == NULL:
            return False
        pool.list = more
        pool.capacity = pool.n * 2 + 8
    pool.list[pool.n] = i
    pool.n += 1
    pool.failed_dest = NO_INDEX
    return True


cdef void laddr_steer(engine_t *e, const laddr_t *la, int change) noexcept nogil:
    """Enter a local address into what is taken from the host, or take it out."""
    cdef uint32_t v6 = la.af == AF_INET6
    e.has_laddr[v6] += change
    steer_count(e, &la.addr, 0, KIND_LADDR | v6, change)


cdef int laddr_add(engine_t *e, uint32_t svc, uint32_t af, const addr_t *addr) noexcept nogil:
    cdef laddr_t *la
    cdef uint32_t i
    if af != e.svcs[svc].af or not laddr_fits(addr, af == AF_INET6):
        return -EINVAL
    if pool_place(e, svc, addr) != NO_INDEX:
        return -EEXIST
    for i in range(e.max_laddrs):
        if not e.laddrs[i].used:
            break
    else:
        return -ENOSPC
    if not locals_ready(e) or not pool_append(e, svc, i):
        return -ENOMEM
    la = &e.laddrs[i]
    memset(la, 0, sizeof(laddr_t))
    la.af = af
    la.addr = addr[0]
    la.svc = svc
    la.cursor = LOCAL_PORT_MIN + random_word(&e.workers[0]) % (65536 - LOCAL_PORT_MIN)
    la.order = next_order(e)
    laddr_steer(e, la, 1)
    la.used = 1
    return 0


cdef uint32_t random_word(worker_t *w) noexcept nogil:
    w.rng ^= w.rng << 13
    w.rng ^= w.rng >> 17
    w.rng ^= w.rng << 5
    return w.rng


cdef int laddr_del(engine_t *e, uint32_t svc, uint32_t af, const addr_t *addr) noexcept nogil:
    """Take an address out of a pool; its connections go on, and what they need is taken."""
    cdef pool_t *pool = &e.pools[svc]
    cdef uint32_t at = pool_place(e, svc, addr)
    cdef laddr_t *la
    if af != e.svcs[svc].af or at == NO_INDEX:
        return -ENOENT
    la = &e.laddrs[pool.list[at]]
    pool.n -= 1
    memmove(pool.list + at, pool.list + at + 1, (pool.n - at) * sizeof(uint32_t))
    la.svc = NO_INDEX
    laddr_release(e, la)
    return 0


cdef void laddr_release(engine_t *e, laddr_t *la) noexcept nogil:
    """Free the record of a deleted address that no connection needs."""
    if la.svc == NO_INDEX and la.conns == 0:
        la.used = 0
        laddr_steer(e, la, -1)


cdef void pool_empty(engine_t *e, uint32_t svc) noexcept nogil:
    """The service is deleted."""
    while e.pools[svc].n:
        laddr_del(e, svc, e.svcs[svc].af, &e.laddrs[e.pools[svc].list[0]].addr)


cdef void pool_scheduled(engine_t *e, uint32_t svc) noexcept nogil:
    """Note whether the service's scheduler goes round its servers (see pool_turn)."""
    cdef const char *name = e.svcs[svc].sched_name
    e.pools[svc].turns = strcmp(name, b"rr") == 0 or strcmp(name, b"wrr") == 0


cdef void laddrs_trash_run(engine_t *e) noexcept nogil:
    """Free deleted addresses whose last connection is gone; with trash_run."""
    cdef uint32_t i
    for i in range(e.max_laddrs):
        if e.laddrs[i].used:
            laddr_release(e, &e.laddrs[i])


# ---------------------------------------------------------------- attaching

cdef bint laddr_sane(engine_t *e, laddr_t *la) noexcept nogil:
    """A record that could have been added; of a service that is gone, one that was deleted."""
    if not addr_sane(la.af, &la.addr) or not laddr_fits(&la.addr, la.af == AF_INET6):
        return False
    if la.order >= ORDER_LIMIT or la.cursor > 65535:
        return False
    if la.svc >= e.max_svcs or not e.svcs[la.svc].used:
        la.svc = NO_INDEX
        return True
    return la.af == e.svcs[la.svc].af and pool_place(e, la.svc, &la.addr) == NO_INDEX


cdef void attach_laddrs(engine_t *e, repair_t *found) noexcept nogil:
    """Enter the local addresses into their pools, oldest first; after attach_services."""
    cdef uint32_t i
    cdef laddr_t *la
    for i in range(e.max_laddrs):
        la = &e.laddrs[i]
        if not la.used:
            continue
        la.conns = 0
        if not (
            laddr_sane(e, la) and locals_ready(e)
            and (la.svc == NO_INDEX or pool_append(e, la.svc, i))
        ):
            la.used = 0
            found.broken += 1
            continue
        la.used = 1
        if la.svc != NO_INDEX:
            pool_order(e, &e.pools[la.svc])
        if e.header.order < la.order:
            e.header.order = la.order
        laddr_steer(e, la, 1)


cdef void pool_order(const engine_t *e, pool_t *pool) noexcept nogil:
    """Move the last of the list to its place: oldest first."""
    cdef uint32_t at = pool.n - 1
    cdef uint32_t i = pool.list[at]
    while at and e.laddrs[pool.list[at - 1]].order > e.laddrs[i].order:
        pool.list[at] = pool.list[at - 1]
        at -= 1
    pool.list[at] = i


cdef bint full_sane(engine_t *e, uint32_t i) noexcept nogil:
    """Whether a FULLNAT connection has a local address and port that could be its own."""
    cdef const conn_full_t *f = &e.fulls[i]
    cdef ends_t t
    if f.pool >= e.max_laddrs or not e.laddrs[f.pool].used:
        return False
    t = local_ends(e, i)
    if (e.laddrs[f.pool].af == AF_INET6) != t.is_v6 or f.lport == 0:
        return False
    if not addr_eq(&e.laddrs[f.pool].addr, &f.laddr):
        return False
    return local_held(e, &t, local_hash(e, &t)) == NO_INDEX


# ---------------------------------------------------------------- a connection to be

cdef inline uint32_t port_after(const engine_t *e, uint32_t port_h) noexcept nogil:
    port_h += 1
    if e.port_low <= port_h <= e.port_high:
        port_h = e.port_high + 1
    return LOCAL_PORT_MIN if port_h > 65535 or port_h < LOCAL_PORT_MIN else port_h


cdef bint laddr_port(engine_t *e, laddr_t *la, ends_t *t, uint32_t owner) noexcept nogil:
    """Find a free port of an address towards the server in `t`: the next one after the last."""
    cdef uint32_t tried, hash
    t.laddr = la.addr
    for tried in range(PORT_TRIES):
        la.cursor = port_after(e, la.cursor)
        if not is_local_port(e, la.cursor):
            return False                     # the host's range leaves none
        t.lport = LB_SWAP16(<be16>la.cursor)
        hash = local_hash(e, t)
        if (
            hash_owner(e, hash) == owner
            and service_at(e, t.is_v6, t.protocol, &t.laddr, t.lport, 0) == NO_INDEX
            and local_held(e, t, hash) == NO_INDEX
        ):
            return True
    return False


cdef inline void pool_turn(pool_t *pool) noexcept nogil:
    """Move the rotation on.  Where the servers rotate too, it skips one now and then: otherwise
    each server would always meet the same address."""
    pool.next += 1
    pool.picks += 1
    if pool.turns and pool.picks % TURN_EVERY == 0:
        pool.next += 1


cdef bint local_pick(worker_t *w, const pkt_t *p, uint32_t dest, tuple_t *t) noexcept nogil:
    """Choose the local address and port of a connection to be; False when there is none.

    `t` has all but these.  Call under the lock.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef pool_t *pool = &e.pools[p.svc]
    cdef uint32_t tried, i
    cdef uint32_t owner = client_owner(e, &t.caddr, t.cport, t.protocol)
    cdef ends_t ends
    ends.daddr, ends.dport = t.daddr, t.dport
    ends.protocol, ends.is_v6 = t.protocol, t.is_v6
    if pool.n == 0 or (pool.failed_dest == dest and pool.failed_at == w.now):
        return False
    for tried in range(min(pool.n, POOL_TRIES)):
        i = pool.list[pool.next % pool.n]
        pool_turn(pool)
        if laddr_port(e, &e.laddrs[i], &ends, owner):
            t.laddr, t.lport, t.pool = ends.laddr, ends.lport, i
            t.seq_delta = full_seq_delta(w, p, &ends)
            return True
    pool.failed_dest = dest              # what a flood of requests would search for again
    pool.failed_at = w.now
    return False


cdef void full_set(engine_t *e, uint32_t i, const tuple_t *t) noexcept nogil:
    """Write the FULLNAT part of a fresh record."""
    cdef conn_full_t *f = &e.fulls[i]
    memset(f, 0, sizeof(conn_full_t))
    f.laddr = t.laddr
    f.lport = t.lport
    f.pool = t.pool
    f.seq_delta = t.seq_delta
