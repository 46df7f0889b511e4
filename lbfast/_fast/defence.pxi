"""Defence strategies: drop_packet, drop_entry, secure_tcp (spec 2.10).  Once a second."""

cdef uint32_t TODROP_LEFT[9]      # candidates until the next drop, by number of packets seen


cdef bint defence_drops(engine_t *e) noexcept nogil:
    """drop_packet: whether this packet, about to be scheduled, is one in `drop_rate`."""
    cdef bint drops
    if e.drop_rate == 0:
        return False
    engine_lock(e)
    e.drop_counter -= 1
    drops = e.drop_counter <= 0
    if drops:
        e.drop_counter = <int32_t>e.drop_rate
    engine_unlock(e)
    return drops


cdef int32_t defence_mode(int32_t mode, bint no_memory) noexcept nogil:
    """1 and 2 are automatic, off and on: they change into one another with the memory."""
    if mode == 1 and no_memory:
        return 2
    if mode == 2 and not no_memory:
        return 1
    return mode


cdef void defend(engine_t *e, int64_t available) noexcept nogil:
    """Adjust the strategies to the memory (in pages) and drop entries.  Between batches."""
    cdef settings_t *s = &e.settings
    cdef int64_t threshold = s.amemthresh if s.amemthresh > 0 else 0
    cdef bint no_memory = available < threshold
    s.drop_entry = defence_mode(s.drop_entry, no_memory)
    s.drop_packet = defence_mode(s.drop_packet, no_memory)
    s.secure_tcp = defence_mode(s.secure_tcp, no_memory)
    e.secure = s.secure_tcp >= 2
    if s.drop_packet == 3:
        e.drop_rate = <uint32_t>s.am_droprate if s.am_droprate > 0 else 0
    elif s.drop_packet == 2:
        e.drop_rate = <uint32_t>(threshold // (threshold - available))
        e.drop_counter = <int32_t>e.drop_rate
    else:
        e.drop_rate = 0
    e.header.settings = s[0]
    if s.drop_entry >= 2:
        drop_entries(e)


cdef void drop_entries(engine_t *e) noexcept nogil:
    """Look at a 32nd of the buckets, picked at random with repetition."""
    cdef worker_t *w = &e.workers[0]
    cdef uint32_t n, i, after, b
    for n in range((e.bucket_mask + 1) // 32):
        w.rng ^= w.rng << 13
        w.rng ^= w.rng >> 17
        w.rng ^= w.rng << 5
        b = w.rng & e.bucket_mask
        i = e.buckets[b] - 1
        while i != NO_INDEX:
            after = e.conns[i].hnext
            if entry_is_droppable(e, w, i):
                conn_expire_now(&e.workers[b % e.nworkers], i)
            i = after
    for n in range((e.template_mask + 1) // 32):
        w.rng ^= w.rng << 13
        w.rng ^= w.rng >> 17
        w.rng ^= w.rng << 5
        i = e.templates[w.rng & e.template_mask] - 1
        while i != NO_INDEX:
            after = e.conns[i].hnext
            if (
                e.conns[i].flags & CONN_TEMPLATE and e.conns[i].n_control == 0
                and not e.conns[i].flags & CONN_ASSURED
            ):
                conn_expire_now(w, i)
            i = after


cdef bint entry_is_droppable(engine_t *e, worker_t *w, uint32_t i) noexcept nogil:
    cdef conn_t *c = &e.conns[i]
    if c.n_control:
        return False
    if c.protocol == IPPROTO_TCP_:
        if c.state == TCP_SRECV or c.state == TCP_SYNACK:
            return True
        return c.state == TCP_EST and entry_is_idle(w, c)
    if c.protocol == IPPROTO_SCTP_:
        if c.state == SCTP_STATE_INIT1 or c.state == SCTP_STATE_INIT:
            return True
        return c.state == SCTP_EST and entry_is_idle(w, c)
    return entry_is_idle(w, c)


cdef bint entry_is_idle(worker_t *w, const conn_t *c) noexcept nogil:
    """Not refreshed for a minute, and every n-th of those that saw n packets, up to 8."""
    cdef uint32_t n = c.in_pkts
    if <int32_t>(c.expires + 60 * TICKS_PER_S - (w.now + c.timeout)) > 0:
        return False
    if n == 0 or n > 8:
        return False
    if TODROP_LEFT[n] > 1:
        TODROP_LEFT[n] -= 1
        return False
    TODROP_LEFT[n] = n
    return True
