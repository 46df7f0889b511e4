"""The connection table: making, binding, controlling and expiring entries."""

cdef enum:
    TICKS_PER_SLOT = 8            # a slot of the timer wheel: 80 ms
    WHEEL_SLOTS = 16384           # a turn: 22 minutes; later expiries go round


cdef inline conn_t *conn_at(engine_t *e, uint32_t i) noexcept nogil:
    return &e.conns[i]


cdef inline addr_t conn_caddr(engine_t *e, uint32_t i) noexcept nogil:
    return conn_addr(e.conns[i].flags & CONN_V6, &e.conns6[i].caddr, e.conns[i].caddr)


cdef inline addr_t conn_vaddr(engine_t *e, uint32_t i) noexcept nogil:
    return conn_addr(e.conns[i].flags & CONN_V6, &e.conns6[i].vaddr, e.conns[i].vaddr)


cdef inline addr_t conn_daddr(engine_t *e, uint32_t i) noexcept nogil:
    return conn_addr(e.conns[i].flags & CONN_D6, &e.conns6[i].daddr, e.conns[i].daddr)


cdef inline addr_t conn_addr(uint32_t is_v6, const addr_t *wide, be32 narrow) noexcept nogil:
    cdef addr_t a
    if is_v6:
        return wide[0]
    a.w[0] = narrow
    a.w[1] = a.w[2] = a.w[3] = 0
    return a


# ---------------------------------------------------------------- timers

cdef inline wheel_t *wheel_of(engine_t *e, worker_t *w, const conn_t *c) noexcept nogil:
    """The worker's own timer lists, or for a shared entry those under the lock."""
    if LB_UNLIKELY(c.flags & CONN_SHARED):
        return &e.workers[e.nworkers].wheel
    return &w.wheel


cdef inline void timer_link(engine_t *e, worker_t *w, uint32_t i) noexcept nogil:
    """Put the entry into the list of the slot in which it expires (or where the turn ends)."""
    cdef conn_t *c = &e.conns[i]
    cdef wheel_t *wheel = wheel_of(e, w, c)
    cdef uint32_t slot = c.expires // TICKS_PER_SLOT + 1
    cdef uint32_t *head
    if <int32_t>(slot - wheel.slot) < 0:
        slot = wheel.slot
    elif slot - wheel.slot >= WHEEL_SLOTS:
        slot = wheel.slot + WHEEL_SLOTS - 1
    head = &wheel.heads[slot & (WHEEL_SLOTS - 1)]
    c.tprev = (slot & (WHEEL_SLOTS - 1)) | 0x80000000U
    c.tnext = head[0]
    if head[0] != NO_INDEX:
        e.conns[head[0]].tprev = i
    head[0] = i


cdef inline void timer_unlink(engine_t *e, worker_t *w, uint32_t i) noexcept nogil:
    cdef conn_t *c = &e.conns[i]
    if c.tprev & 0x80000000U:
        wheel_of(e, w, c).heads[c.tprev & 0x7FFFFFFF] = c.tnext
    else:
        e.conns[c.tprev].tnext = c.tnext
    if c.tnext != NO_INDEX:
        e.conns[c.tnext].tprev = c.tprev


cdef inline void conn_touch(worker_t *w, uint32_t i) noexcept nogil:
    """Restart the timer: it expires `timeout` from now.

    The list is left alone as long as the expiry only moves away: whoever comes by at the old time
    puts the entry further on.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    cdef uint32_t expires = w.now + c.timeout
    cdef bint sooner = <int32_t>(expires - c.expires) < 0
    c.expires = expires
    if LB_UNLIKELY(sooner):
        timer_moved(e, w, i)


cdef void timer_moved(engine_t *e, worker_t *w, uint32_t i) noexcept nogil:
    timer_unlink(e, w, i)
    timer_link(e, w, i)


cdef void timers_run(worker_t *w) noexcept nogil:
    """Expire every entry that is due; called at least every 80 ms of a live clock."""
    cdef engine_t *e = <engine_t *>w.engine
    wheel_run(w, e, &w.wheel, False)
    if w.index == 0:
        wheel_run(w, e, &e.workers[e.nworkers].wheel, True)


cdef void wheel_run(worker_t *w, engine_t *e, wheel_t *wheel, bint shared) noexcept nogil:
    """Come to the present; `shared`: others enter into these lists, so that even a step past an
    empty one is taken under the lock."""
    cdef uint32_t last = w.now // TICKS_PER_SLOT
    cdef uint32_t steps = 0
    while <int32_t>(last - wheel.slot) >= 0:
        if shared or wheel.heads[wheel.slot & (WHEEL_SLOTS - 1)] != NO_INDEX:
            engine_lock(e)
            wheel_run_slot(w, e, wheel)
            engine_unlock(e)
        else:
            wheel.slot += 1
        steps += 1
        if steps == WHEEL_SLOTS:      # the clock jumped by more than a turn: all were seen
            engine_lock(e)
            wheel.slot = last + 1
            engine_unlock(e)
            break


cdef void wheel_run_slot(worker_t *w, engine_t *e, wheel_t *wheel) noexcept nogil:
    """Look at the entries of the present slot and leave it behind.  Call under the lock."""
    cdef uint32_t *head = &wheel.heads[wheel.slot & (WHEEL_SLOTS - 1)]
    cdef uint32_t i = head[0]
    cdef uint32_t after
    head[0] = NO_INDEX
    wheel.slot += 1                   # relinked entries go at least one slot on
    while i != NO_INDEX:
        after = e.conns[i].tnext
        if <int32_t>(e.conns[i].expires - w.now) > 0:
            timer_link(e, w, i)
        else:
            conn_expired(w, i)
        i = after


# ---------------------------------------------------------------- making and removing

cdef inline bint sees_replies(uint32_t method) noexcept nogil:
    return method == MASQ or method == FULLNAT


cdef uint32_t conn_alloc(worker_t *w) noexcept nogil:
    """Take a free record: the worker's own, or another's when it has none left.  Call under the
    lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t i = conn_take(e, w), k
    for k in range(e.nworkers):
        if LB_LIKELY(i != NO_INDEX):
            break
        i = conn_take(e, &e.workers[k])
    if i != NO_INDEX:
        w.nconns += 1
        memset(&e.conns[i], 0, sizeof(conn_t))
    return i


cdef inline uint32_t conn_take(engine_t *e, worker_t *w) noexcept nogil:
    cdef uint32_t i = w.free_head
    if i != NO_INDEX:
        w.free_head = e.conns[i].hnext
    elif w.free_fresh < w.fresh_end:
        i = w.free_fresh
        w.free_fresh += 1
        if e.header.fresh < w.free_fresh:
            e.header.fresh = w.free_fresh
    return i


cdef void conn_free(worker_t *w, uint32_t i) noexcept nogil:
    cdef engine_t *e = <engine_t *>w.engine
    e.conns[i].flags = 0
    flow_forget(e, i)
    e.conns[i].hnext = w.free_head
    w.free_head = i
    w.nconns -= 1


cdef inline void flow_forget(engine_t *e, uint32_t i) noexcept nogil:
    """The next packets of this entry take the stages: it is another one, or its state or time-out
    changed."""
    e.flows[i].request.key = 0
    e.flows[i].reply.key = 0


cdef conn_ext_t *ext_take(engine_t *e, uint32_t i) noexcept nogil:
    """Give a connection an empty extension: the record beside it."""
    memset(&e.exts[i], 0, sizeof(conn_ext_t))
    e.conns[i].ext = i
    return &e.exts[i]


ctypedef struct tuple_t:          # the addresses of a connection to be
    addr_t caddr
    addr_t vaddr
    addr_t daddr
    be16 cport
    be16 vport
    be16 dport
    uint8_t protocol
    uint8_t is_v6
    uint8_t d6
    uint32_t pe_len               # of a template: data of the persistence engine, at most 255
    const uint8_t *pe_data
    addr_t laddr                  # FULLNAT: see conn_full_t
    uint32_t pool
    uint32_t seq_delta
    be16 lport


cdef uint32_t conn_new(
    worker_t *w, const tuple_t *t, uint32_t flags, uint32_t dest
) noexcept nogil:
    """Make an entry, bind it to `dest` (may be NO_INDEX) and, unless it is for one packet only,
    enter it into the table.  Its state is 0 and its time-out 3 s (spec 4.8).  Call under the lock.

    Returns NO_INDEX when the table is full.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t i = conn_alloc(w)
    cdef conn_ext_t *x
    cdef conn_t *c
    if i == NO_INDEX:
        return NO_INDEX
    c = &e.conns[i]
    conn_set_tuple(e, i, t)
    flags = ftp_flags(e, t, flags)
    if flags & CONN_NO_CPORT:
        flags |= CONN_EXPECTED
    c.dest = c.control = c.ext = NO_INDEX
    if flags & CONN_FTP:
        ext_take(e, i)
    elif flags & CONN_TEMPLATE and t.pe_len:
        x = ext_take(e, i)
        x.pe_len = t.pe_len
        memcpy(x.pe_data, t.pe_data, t.pe_len)
    c.timeout = 3 * TICKS_PER_S
    c.expires = w.now + c.timeout
    c.flags |= flags | CONN_INACTIVE
    if is_full(flags):
        full_set(e, i, t)
    if flags & CONN_EXPECTED:
        e.nexpected += 1
    if dest != NO_INDEX:
        dest_bind(e, i, dest)
    if not flags & CONN_ONE_PACKET:
        conn_chain(e, i)
        timer_link(e, w, i)
        c.flags |= CONN_HASHED
    return i


cdef void conn_set_tuple(engine_t *e, uint32_t i, const tuple_t *t) noexcept nogil:
    """Write the addresses and ports of a fresh record, and the flags of their families."""
    cdef conn_t *c = &e.conns[i]
    c.caddr = addr_fold(&t.caddr)
    c.vaddr = addr_fold(&t.vaddr)
    c.daddr = addr_fold(&t.daddr)
    c.cport = t.cport
    c.vport = t.vport
    c.dport = t.dport
    c.protocol = t.protocol
    if t.is_v6 or t.d6:
        e.conns6[i].caddr = t.caddr
        e.conns6[i].vaddr = t.vaddr
        e.conns6[i].daddr = t.daddr
        c.flags = (CONN_V6 if t.is_v6 else 0) | (CONN_D6 if t.d6 else 0)


cdef void conn_remove(worker_t *w, uint32_t i) noexcept nogil:
    """Take an entry out of the table and its counts off its destination.  Call under the lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    if c.flags & CONN_HASHED:
        c.flags &= ~<uint32_t>CONN_HASHED
        conn_unchain(e, i)
        timer_unlink(e, w, i)
    conn_forget(w, i)


cdef void conn_forget(worker_t *w, uint32_t i) noexcept nogil:
    """The part of conn_remove after the table: counts, control link, record."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    if c.flags & CONN_EXPECTED:
        e.nexpected -= 1
    if c.dest != NO_INDEX:
        dest_unbind(e, i)
    if c.control != NO_INDEX:
        e.conns[c.control].n_control -= 1
    conn_free(w, i)


cdef void conn_expired(worker_t *w, uint32_t i) noexcept nogil:
    """The timer of an entry (already out of the timer lists) ran out (spec 4.8).  Call under the
    lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    if c.n_control > 0:
        c.timeout = 60 * TICKS_PER_S
        c.expires = w.now + c.timeout
        flow_forget(e, i)
        timer_link(e, w, i)
    else:
        c.flags &= ~<uint32_t>CONN_HASHED
        conn_unchain(e, i)
        conn_forget(w, i)


cdef void conn_expire_now(worker_t *w, uint32_t i) noexcept nogil:
    """Remove an entry at once, and with it a controller it was the last child of when that is no
    template or a template that was never assured (spec 4.8)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t control
    engine_lock(e)
    control = e.conns[i].control
    if e.conns[i].n_control == 0:
        conn_remove(w, i)
        if control != NO_INDEX and e.conns[control].n_control == 0 and (
            not e.conns[control].flags & CONN_TEMPLATE
            or not e.conns[control].flags & CONN_ASSURED
        ) and conn_reachable(e, w, control):
            conn_remove(w, control)
    engine_unlock(e)


cdef bint conn_reachable(engine_t *e, const worker_t *w, uint32_t i) noexcept nogil:
    """Whether this worker may change the timer lists of the entry.  Call under the lock."""
    return (e.conns[i].flags & CONN_SHARED) != 0 or conn_owner(e, i) == w.index


# ---------------------------------------------------------------- destinations

cdef inline uint32_t dest_total(const dest_t *d) noexcept nogil:
    return d.activeconns + d.inactconns


cdef void dest_bind(engine_t *e, uint32_t i, uint32_t dest) noexcept nogil:
    """Count the entry on its destination: templates as persistent, others as inactive."""
    cdef conn_t *c = &e.conns[i]
    cdef dest_t *d = &e.dests[dest]
    c.dest = dest
    d.refs += 1
    if c.flags & CONN_TEMPLATE:
        d.persistconns += 1
        return
    d.inactconns += 1
    if d.u_threshold and dest_total(d) == d.u_threshold:      # reached from below (spec 1.8)
        d.flags |= DEST_OVERLOAD
    sched_load(e, dest)
    sched_conn(e, i, dest, True)


cdef void dest_unbind(engine_t *e, uint32_t i) noexcept nogil:
    cdef conn_t *c = &e.conns[i]
    cdef uint32_t dest = c.dest
    cdef dest_t *d = &e.dests[dest]
    c.dest = NO_INDEX
    d.refs -= 1
    if c.flags & CONN_TEMPLATE:
        d.persistconns -= 1
        return
    if d.u_threshold and dest_total(d) == dest_low(d):        # leaves it downwards
        d.flags &= ~<uint32_t>DEST_OVERLOAD
    if c.flags & CONN_INACTIVE:
        d.inactconns -= 1
    else:
        d.activeconns -= 1
    sched_load(e, dest)
    sched_conn(e, i, dest, False)


cdef inline uint32_t dest_low(const dest_t *d) noexcept nogil:
    """The count below which an overload ends (spec 1.8, 2026)."""
    if d.l_threshold:
        return d.l_threshold
    return d.u_threshold - (d.u_threshold >> 2)


cdef void conn_set_active(worker_t *w, conn_t *c, bint active) noexcept nogil:
    """Move the entry between its destination's active and inactive counts (spec 4.9)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef dest_t *d
    if active == (not c.flags & CONN_INACTIVE):
        return
    engine_lock(e)
    if active:
        c.flags &= ~<uint32_t>CONN_INACTIVE
    else:
        c.flags |= CONN_INACTIVE
    if c.dest != NO_INDEX:
        d = &e.dests[c.dest]
        if active:
            d.activeconns += 1
            d.inactconns -= 1
        else:
            d.activeconns -= 1
            d.inactconns += 1
        sched_load(e, c.dest)
    engine_unlock(e)
