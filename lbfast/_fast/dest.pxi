"""Destinations: the real servers of a service, their list and their trash (spec 1.3-1.8)."""


cdef bint dest_same(const dest_t *x, const dest_t *y) noexcept nogil:
    return x.af == y.af and x.port == y.port and addr_eq(&x.addr, &y.addr)


cdef uint32_t dest_by_key(engine_t *e, uint32_t svc, const dest_t *like) noexcept nogil:
    """Return the position in the service's list of the destination with that key."""
    cdef sched_t *s = &e.scheds[svc]
    cdef uint32_t i = map_get(&e.members, &like.addr, proto_port(like.af, like.port), svc + 1)
    cdef uint32_t low = 0, high = s.ndest, at
    if i == NO_INDEX:
        return NO_INDEX
    while True:                          # the list is sorted: newest first
        at = (low + high) // 2
        if e.dests[s.list[at]].order > e.dests[i].order:
            low = at + 1
        elif s.list[at] != i:
            high = at
        else:
            return at


cdef bint dest_enter(engine_t *e, const dest_t *d, uint32_t i) noexcept nogil:
    """Let dest_by_key find a member of a service."""
    return map_put(&e.members, &d.addr, proto_port(d.af, d.port), d.svc + 1, i)


cdef int dest_check(engine_t *e, uint32_t svc, const dest_t *d) noexcept nogil:
    """What the kernel refuses of a destination, new or edited (spec 1.3)."""
    if d.af != e.svcs[svc].af and d.method != TUNNEL:
        return -EINVAL
    if d.weight < 0 or d.l_threshold > d.u_threshold:
        return -ERANGE
    if d.u_threshold > 0x7FFFFFFF:
        return -EINVAL
    if d.method == TUNNEL and d.tun_type == 1 and d.tun_port == 0:
        return -EINVAL
    return 0


cdef bint dest_addr_fits(engine_t *e, const dest_t *d) noexcept nogil:
    """A new destination is a unicast address (or the host's own)."""
    cdef const route_t *r
    if d.af == AF_INET6:
        if addr_multicast(&d.addr, True) or addr_zero(&d.addr):
            return False
        return not addr_linklocal(&d.addr) or addr_is_local(&e.world, &d.addr, True)
    if addr_multicast(&d.addr, False) or d.addr.w[0] == 0 or d.addr.w[0] == 0xFFFFFFFFU:
        return False
    r = table_match(&e.world, TABLE_LOCAL, &d.addr, False)
    return r == NULL or r.type == RTN_LOCAL or r.type == RTN_UNICAST


cdef uint32_t dest_in_trash(engine_t *e, const svc_t *s, const dest_t *like) noexcept nogil:
    """Return the record to revive: same destination of a service with the same key (1.7)."""
    cdef uint32_t i, left = e.ntrash
    cdef const dest_t *d
    for i in range(e.max_dests if left else 0):
        d = &e.dests[i]
        if not d.flags & DEST_USED or d.flags & DEST_AVAILABLE:
            continue
        if (
            dest_same(d, like) and d.vaf == s.af and d.vfwmark == s.fwmark
            and (s.fwmark or (
                d.vprotocol == s.protocol and d.vport == s.port and addr_eq(&d.vaddr, &s.addr)
            ))
        ):
            return i
        left -= 1
        if left == 0:
            break
    return NO_INDEX


cdef void dest_set(dest_t *d, const dest_t *new) noexcept nogil:
    """Take over what an edit may change; the overload flag follows the thresholds (1.8, 2026)."""
    d.method = new.method
    d.tun_type = new.tun_type
    d.tun_port = new.tun_port
    d.tun_flags = new.tun_flags
    d.weight = new.weight
    if new.weight:
        d.last_weight = new.weight
    if d.u_threshold != new.u_threshold or d.l_threshold != new.l_threshold:
        d.u_threshold = new.u_threshold
        d.l_threshold = new.l_threshold
        if d.u_threshold == 0 or dest_total(d) < dest_low(d):
            d.flags &= ~<uint32_t>DEST_OVERLOAD
        elif dest_total(d) >= d.u_threshold:
            d.flags |= DEST_OVERLOAD


cdef int dest_add(engine_t *e, uint32_t svc, const dest_t *new) noexcept nogil:
    cdef svc_t *s = &e.svcs[svc]
    cdef uint32_t i
    cdef int error = dest_check(e, svc, new)
    if error:
        return error
    if dest_by_key(e, svc, new) != NO_INDEX:
        return -EEXIST
    i = dest_in_trash(e, s, new)
    if i != NO_INDEX:                    # steered still, by the method that it had
        dest_steer(e, &e.dests[i], -1)
        e.dests[i].flags &= ~<uint32_t>DEST_STEERED
        e.ntrash -= 1
    if i == NO_INDEX:
        if not dest_addr_fits(e, new):
            return -EINVAL
        i = dest_fresh(e, new)
        if i == NO_INDEX:
            return -ENOSPC
        dest_set_key(&e.dests[i], s)
    elif e.dests[i].vorder != s.order:
        memset(&e.dests[i].est, 0, sizeof(est_t))
        counts_clear(e, e.dest_counts, e.max_dests, i)
        e.dests[i].vorder = s.order
    dest_set(&e.dests[i], new)
    e.dests[i].last_weight = new.weight  # a revived one forgets that of its former life, too
    return dest_link(e, svc, i)


cdef uint32_t dest_fresh(engine_t *e, const dest_t *new) noexcept nogil:
    """Prepare a free record for a destination; it is not live yet."""
    cdef uint32_t i, tried
    for tried in range(e.max_dests):
        i = (e.dest_hint + tried) % e.max_dests
        if not e.dests[i].flags & DEST_USED:
            break
    else:
        return NO_INDEX
    e.dest_hint = i + 1
    memset(&e.dests[i], 0, sizeof(dest_t))
    e.dests[i].addr = new.addr
    e.dests[i].port = new.port
    e.dests[i].af = new.af
    counts_clear(e, e.dest_counts, e.max_dests, i)
    return i


cdef void dest_set_key(dest_t *d, const svc_t *s) noexcept nogil:
    d.vaddr = s.addr
    d.vport = s.port
    d.vprotocol = s.protocol
    d.vfwmark = s.fwmark
    d.vaf = s.af
    d.vorder = s.order


cdef int dest_link(engine_t *e, uint32_t svc, uint32_t i) noexcept nogil:
    cdef dest_t *d = &e.dests[i]
    d.svc = svc
    if not dest_enter(e, d, i) or not list_insert(&e.scheds[svc], i):
        return -ENOMEM
    d.slot = NO_INDEX
    d.order = next_order(e)
    d.idle_since_s = 0
    counts_move(e, svc, i, True)
    d.flags |= DEST_USED | DEST_AVAILABLE | DEST_STEERED
    dest_steer(e, d, 1)
    if not sched_changed(e, svc, DEST_ADDED, 0, i):
        dest_unlink(e, svc, 0)
        return -EINVAL
    return 0


cdef int dest_edit(engine_t *e, uint32_t svc, const dest_t *new) noexcept nogil:
    cdef uint32_t at = dest_by_key(e, svc, new)
    cdef int error = dest_check(e, svc, new)
    if error:
        return error
    if at == NO_INDEX:
        return -ENOENT
    dest_steer(e, &e.dests[e.scheds[svc].list[at]], -1)
    dest_set(&e.dests[e.scheds[svc].list[at]], new)
    dest_steer(e, &e.dests[e.scheds[svc].list[at]], 1)
    sched_changed(e, svc, DEST_EDITED, at, e.scheds[svc].list[at])
    return 0


cdef int dest_del(engine_t *e, uint32_t svc, const dest_t *like) noexcept nogil:
    cdef uint32_t at = dest_by_key(e, svc, like)
    if at == NO_INDEX:
        return -ENOENT
    dest_unlink(e, svc, at)
    return 0


cdef void dest_unlink(engine_t *e, uint32_t svc, uint32_t at) noexcept nogil:
    """Move the destination at a position of the list to the trash (spec 1.7)."""
    cdef sched_t *s = &e.scheds[svc]
    cdef dest_t *d = &e.dests[s.list[at]]
    d.flags &= ~<uint32_t>DEST_AVAILABLE
    counts_move(e, svc, s.list[at], False)
    e.ntrash += 1
    s.ndest -= 1
    memmove(s.list + at, s.list + at + 1, (s.ndest - at) * sizeof(uint32_t))
    map_del(&e.members, &d.addr, proto_port(d.af, d.port), svc + 1)
    sched_changed(e, svc, DEST_REMOVED, at, <uint32_t>(d - e.dests))
    d.svc = NO_INDEX
    if e.settings.expire_nodest_conn:
        dest_sweep(e)


cdef void dest_sweep(engine_t *e) noexcept nogil:
    """Expire the entries of every deleted destination, and controllers that this leaves without
    a child (expire_nodest_conn, spec 2.6)."""
    cdef uint32_t i, control
    for i in range(e.header.fresh):
        if not entry_is_orphan(e, i):
            continue
        control = e.conns[i].control
        conn_expire_now(&e.workers[conn_owner(e, i)], i)
        if (
            control != NO_INDEX and e.conns[control].flags & CONN_HASHED
            and e.conns[control].n_control == 0
        ):
            conn_expire_now(&e.workers[conn_owner(e, control)], control)


cdef inline bint entry_is_orphan(engine_t *e, uint32_t i) noexcept nogil:
    """Whether the entry's destination was deleted, and the entry controls no other."""
    cdef const conn_t *c = &e.conns[i]
    return (
        c.flags & CONN_HASHED and c.n_control == 0 and c.dest != NO_INDEX
        and not e.dests[c.dest].flags & DEST_AVAILABLE
    )


cdef void trash_run(engine_t *e, uint32_t now_s) noexcept nogil:
    """Visit the trash, once a minute: free what nobody has referenced for 120 s (spec 1.7)."""
    cdef uint32_t i
    cdef dest_t *d
    laddrs_trash_run(e)
    for i in range(e.max_dests):
        d = &e.dests[i]
        if not d.flags & DEST_USED or d.flags & DEST_AVAILABLE:
            continue
        if d.refs:
            d.idle_since_s = 0
        elif d.idle_since_s == 0:
            d.idle_since_s = now_s
        elif now_s - d.idle_since_s >= 120:
            dest_steer(e, d, -1)
            e.ntrash -= 1
            d.flags = 0
