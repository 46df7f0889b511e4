"""Fragments become a packet (RFC 791, RFC 8200 section 4.5), by the rules of Linux.

In any order; a fragment that lies within what is already there is ignored; one that overlaps it,
or contradicts the length, spoils the whole packet (RFC 5722).  The frames are kept as they came,
so that the host can have them back unchanged.  A reason is counted once for each packet given up.
"""


# ---------------------------------------------------------------- a fragment arrives

cdef verdict_t frag_defrag(worker_t *w, pkt_t *p) noexcept nogil:
    """Keep a fragment (HELD), or finish the packet with it (NEXT).

    With NEXT `p` is the whole packet in scratch memory: data, len, room, vnet, frag_max, df_seen
    and held are set, the rest is for `parse`.  `frag_release` must follow.
    """
    cdef frags_t *f = <frags_t *>w.frags
    cdef fragment_t g
    cdef uint32_t i, prev, reason = R_FRAG_BAD
    cdef place_t place
    if p.vnet.flags & VNET_NEEDS_CSUM or p.vnet.gso_type or not frag_read(p, &g):
        return drop(w, R_FRAG_BAD)
    i = frag_queue(w, p, &g)
    if i == NO_INDEX:
        return drop(w, R_FRAG_MEMORY)
    place = frag_place(f, &f.queues[i], &g, &prev)
    if place == PLACE_KNOWN:
        return drop(w, R_FRAG_BAD)
    if place == PLACE_FREE:
        reason = frag_keep(w, i, p, &g, prev)
    if reason == R_NONE and f.queues[i].has_last and f.queues[i].have == f.queues[i].total:
        reason = frag_finish(w, i, p)
        if reason == R_NONE:
            return NEXT
    if reason == R_NONE:
        return HELD
    frag_discard(f, i)
    return drop(w, reason)


cdef place_t frag_place(
    const frags_t *f, const fragq_t *q, const fragment_t *g, uint32_t *prev
) noexcept nogil:
    """Find the fragment after which this one belongs (NO_INDEX: it is the first)."""
    cdef uint32_t i = q.first, reach
    if q.has_last and g.end > q.total:
        return PLACE_BAD
    if not g.more and g.end < q.total:
        return PLACE_BAD
    prev[0] = NO_INDEX
    if q.last != NO_INDEX and f.frags[q.last].end <= g.start:
        prev[0] = q.last
        return PLACE_FREE
    while i != NO_INDEX and f.frags[i].end <= g.start:
        prev[0] = i
        i = f.frags[i].next
    if i == NO_INDEX or g.end <= f.frags[i].start:
        return PLACE_FREE
    if g.start < f.frags[i].start:
        return PLACE_BAD
    reach = f.frags[i].end
    i = f.frags[i].next
    while reach < g.end and i != NO_INDEX and f.frags[i].start == reach:
        reach = f.frags[i].end
        i = f.frags[i].next
    return PLACE_KNOWN if g.end <= reach else PLACE_BAD


cdef uint32_t frag_keep(
    worker_t *w, uint32_t i, const pkt_t *p, const fragment_t *g, uint32_t prev
) noexcept nogil:
    """Store a fragment behind `prev`; returns R_NONE, or why the packet must be given up."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef fragq_t *q = &f.queues[i]
    cdef uint32_t one
    if q.count == FRAG_MAX:
        return R_FRAG_BAD
    while f.nfree < frag_blocks(14 + p.ip_len):
        if not frag_evict(w, i):
            return R_FRAG_MEMORY
    one = frag_store(f, p.l3 - 14, 14 + p.ip_len)
    frag_enter(f, q, one, prev)
    f.frags[one].start = g.start
    f.frags[one].end = g.end
    f.frags[one].at = 14 + g.at
    f.frags[one].size = 14 + p.ip_len
    f.frags[one].ifindex = p.ifindex
    f.frags[one].vlan_tci = p.vlan_tci
    f.frags[one].vlan_tpid = p.vlan_tpid
    f.frags[one].vnet = p.vnet
    q.count += 1
    q.have += g.end - g.start
    q.ecn |= <uint8_t>(1 << g.ecn)
    q.has_last |= not g.more
    q.total = max(q.total, g.end)
    q.longest = max(q.longest, p.ip_len)
    if g.df:
        q.longest_df = max(q.longest_df, p.ip_len)
    if g.start == 0:
        q.is_icmp_error = p.is_icmp_error
    return R_NONE


cdef void frag_enter(frags_t *f, fragq_t *q, uint32_t one, uint32_t prev) noexcept nogil:
    """Link a stored fragment by offset, behind `prev`, and as the last to arrive."""
    cdef uint32_t *at = &q.first if prev == NO_INDEX else &f.frags[prev].next
    f.frags[one].next = at[0]
    at[0] = one
    if f.frags[one].next == NO_INDEX:
        q.last = one
    f.frags[one].later = NO_INDEX
    if q.arrived == NO_INDEX:
        q.arrived = one
    else:
        f.frags[q.arrived_last].later = one
    q.arrived_last = one


# ---------------------------------------------------------------- the packet is whole

cdef uint32_t frag_finish(worker_t *w, uint32_t i, pkt_t *p) noexcept nogil:
    """Make the whole packet; returns R_NONE, or why it must be given up."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef fragq_t *q = &f.queues[i]
    cdef frag_t *one = &f.frags[q.first]
    cdef uint32_t head = one.at, size, n
    cdef uint8_t *data
    if q.is_v6:
        head -= 8                      # without the fragment header
    size = head + q.total
    if size - (54 if q.is_v6 else 14) > 65535 or (q.ecn & 1 and q.ecn & 14):
        return R_FRAG_BAD              # RFC 3168 5.3: fragments with and without ECN
    data = scratch_take(w, size + 8)
    if data == NULL:
        return R_FRAG_MEMORY
    frag_copy(f, q.first, 0, one.at, data)
    if q.is_v6:
        frag_header_remove(data + 14, one.at - 14)
    n = q.first
    while n != NO_INDEX:
        one = &f.frags[n]
        frag_copy(f, n, one.at, one.end - one.start, data + head + one.start)
        n = one.next
    frag_unlink(f, i)
    p.data = data
    p.l3 = data + 14
    p.len = p.room = size
    p.frag_max = <uint16_t>q.longest
    p.df_seen = q.longest_df == q.longest
    p.held = i
    memset(&p.vnet, 0, sizeof(vnet_t))
    frag_header_set(p, q.is_v6, q.ecn & 8 and q.ecn & 6)
    return R_NONE


cdef void frag_header_remove(uint8_t *l3, uint32_t size) noexcept nogil:
    """What named the fragment header now names what follows it."""
    cdef uint32_t named_at
    cdef uint32_t at = frag_header_v6(l3, size, &named_at)
    if at:
        l3[named_at] = l3[at]


cdef void frag_header_set(pkt_t *p, bint is_v6, bint congested) noexcept nogil:
    """Length, and IPv4's flags and checksum; CE if any fragment met congestion (RFC 3168 5.3)."""
    if is_v6:
        st16(p.l3 + 4, p.len - 54)
        if congested:
            p.l3[1] |= 0x30
        return
    st16(p.l3 + 2, p.len - 14)
    st16(p.l3 + 6, IP_DF if p.df_seen else 0)
    if congested:
        p.l3[1] |= 3
    ipv4_header_seal(p.l3)


cdef void frag_give_back(worker_t *w, pkt_t *p) noexcept nogil:
    """Give the fragments of which the packet was made to the host, as and in which order they
    came.  The packet itself must not be used any more."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef uint32_t i
    cdef frag_t *one
    cdef pkt_t o
    if p.held == NO_INDEX:
        return
    memset(&o, 0, sizeof(o))
    o.held = NO_INDEX
    i = f.queues[p.held].arrived
    while i != NO_INDEX:
        one = &f.frags[i]
        o.data = scratch_take(w, one.size)
        if o.data == NULL:
            drop(w, R_OUT_FULL)
            return
        frag_copy(f, i, 0, one.size, o.data)
        o.l3 = o.data + 14
        o.len = one.size
        o.ip_len = one.size - 14
        o.ifindex = one.ifindex
        o.vlan_tci = one.vlan_tci
        o.vlan_tpid = one.vlan_tpid
        o.vnet = one.vnet
        to_host(w, &o)
        i = one.later


cdef void frag_release(worker_t *w, pkt_t *p) noexcept nogil:
    """Forget the fragments of which the packet was made."""
    if p.held != NO_INDEX:
        frag_discard(<frags_t *>w.frags, p.held)
        p.held = NO_INDEX


# ---------------------------------------------------------------- time

cdef void frag_run(worker_t *w) noexcept nogil:
    """Give up what was waited for too long.  Call once a batch."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef uint32_t i = f.oldest, newer, limit
    if i == NO_INDEX or w.now - f.checked < FRAG_CHECK:
        return
    f.checked = w.now
    while i != NO_INDEX:
        newer = f.queues[i].newer
        limit = FRAG_TICKS_V6 if f.queues[i].is_v6 else FRAG_TICKS_V4
        if w.now - f.queues[i].since >= limit:
            frag_expired(w, i)
            w.drops[R_FRAG_TIMEOUT] += 1
            frag_discard(f, i)
        i = newer


cdef void frag_expired(worker_t *w, uint32_t i) noexcept nogil:
    """Tell the sender that time is up, if the first fragment is there (RFC 1122 section 3.3.2)."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef fragq_t *q = &f.queues[i]
    cdef uint32_t size
    cdef pkt_t o
    if q.first == NO_INDEX or f.frags[q.first].start != 0:
        return
    size = min(f.frags[q.first].size, <uint32_t>FRAG_QUOTE)
    memset(&o, 0, sizeof(o))
    o.data = scratch_take(w, size)
    if o.data == NULL:
        return
    frag_copy(f, q.first, 0, size, o.data)
    o.l3 = o.data + 14
    o.len = size
    o.ip_len = size - 14
    o.is_v6 = q.is_v6
    o.is_icmp_error = q.is_icmp_error
    o.is_frag = 1
    o.ifindex = f.frags[q.first].ifindex
    o.saddr = q.saddr
    o.daddr = q.daddr
    o.held = o.svc = NO_INDEX
    icmp_error(w, &o, ICMPV6_TIME_EXCEEDED if q.is_v6 else ICMP_TIME_EXCEEDED, 1, 0)
