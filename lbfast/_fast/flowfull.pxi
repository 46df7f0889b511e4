"""FULLNAT on the short way: both sides replaced, and the numbers of TCP (flow.pxi, toa.pxi).

A reply is found by the local address and port that it comes to, in the chains of chain.pxi.  What
carries an option of ours, or one that has to be changed, takes the stages.
"""


cdef inline ends_t plain_ends(const uint8_t *l3, bint is_v6) noexcept nogil:
    """The ends that a plain packet of a FULLNAT server shows."""
    cdef const uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef ends_t t
    t.daddr = addr_load(l3 + (8 if is_v6 else 12), is_v6)
    t.laddr = addr_load(l3 + (24 if is_v6 else 16), is_v6)
    t.dport = raw16(l4)
    t.lport = raw16(l4 + 2)
    t.protocol = l3[6] if is_v6 else l3[9]
    t.is_v6 = is_v6
    return t


cdef inline bint local_plain_is(
    const engine_t *e, const conn_t *c, const uint8_t *l3, bint is_v6
) noexcept nogil:
    """local_is in fewer steps, as plain_is."""
    cdef const conn_full_t *f = &e.fulls[c - e.conns]
    cdef const uint8_t *l4 = l3 + (40 if is_v6 else 20)
    if raw16(l4) != c.dport or raw16(l4 + 2) != f.lport:
        return False
    if not is_v6:
        return raw32(l3 + 12) == c.daddr and raw32(l3 + 16) == f.laddr.w[0]
    return (
        memcmp(l3 + 8, &conn6_of(e, c).daddr, 16) == 0 and memcmp(l3 + 24, &f.laddr, 16) == 0
    )


cdef bint flow_full(
    engine_t *e, worker_t *w, uint8_t *l3, const plain_t *q, const path_t *path, out_t *o,
    bint reply,
) noexcept nogil:
    """One hop less; replace both sides' addresses and ports and move the numbers of TCP.
    False, and nothing changed: the stages' to send."""
    cdef bint is_v6 = (q.key & PLAIN_V6) != 0
    cdef bint is_tcp = q.key & PLAIN_TCP == PLAIN_TCP
    cdef uint32_t i = <uint32_t>(q.conn - e.conns)
    cdef uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef uint32_t l4_len = q.ip_len - (40 if is_v6 else 20)
    cdef uint8_t *check = l4 + (16 if is_tcp else 6)
    cdef uint64_t sum = path.sum_l4
    if is_tcp:
        if LB_UNLIKELY(not numbers_alone(e, &e.fulls[i], l4, l4_len, reply)):
            return False
        sum += numbers_move(&e.fulls[i], l4, reply)
    elif LB_UNLIKELY(raw16(check) == 0 and not o.vnet.flags & VNET_NEEDS_CSUM):
        return False
    if LB_UNLIKELY(o.vnet.flags & VNET_NEEDS_CSUM):
        o.vnet.flags = VNET_NEEDS_CSUM
        put16(check, csum_raw(<uint64_t>raw16(check) + path.sum_addr))
    else:
        o.vnet.flags = 0
        csum_move(check, csum_raw(sum))
        if LB_UNLIKELY(raw16(check) == 0 and not is_tcp):
            put16(check, 0xFFFF)
    if is_v6:
        l3[7] -= 1
    else:
        full_head(w, l3, path)
    full_ends(e, i, l3, l4, is_v6, reply)
    return True


cdef inline bint numbers_alone(
    const engine_t *e, const conn_full_t *f, const uint8_t *l4, uint32_t l4_len, bint reply
) noexcept nogil:
    """Whether nothing but its numbers changes in a segment: as full_tcp_request and _reply, which
    name the client in early ones and look at a reply's options."""
    cdef uint32_t words = l4[12] >> 4
    if reply:
        return words == 5
    if words < 5 or words * 4 > l4_len:
        return False
    return not f.has_server_next or ld32(l4 + 8) != f.server_next or e.settings.toa == TOA_OFF


cdef inline uint64_t numbers_move(const conn_full_t *f, uint8_t *l4, bint reply) noexcept nogil:
    """Move what a reply acknowledges back, a request's sequence number on; returns the
    difference, to be added to a checksum."""
    cdef uint8_t *at = l4 + (8 if reply else 4)
    cdef uint32_t old = raw32(at)
    st32(at, ld32(at) - f.seq_delta if reply else ld32(at) + f.seq_delta)
    return <uint64_t>~old + raw32(at)


cdef inline void full_head(worker_t *w, uint8_t *l3, const path_t *path) noexcept nogil:
    """The IPv4 header but for its addresses; an identification of ours as full_rewrite."""
    cdef uint64_t sum = path.sum_l3
    l3[8] -= 1
    if not l3[6] & 0x40:
        sum += <uint16_t>~raw16(l3 + 4)
        w.ip_id += w.ip_step
        st16(l3 + 4, w.ip_id)
        sum += raw16(l3 + 4)
    csum_move(l3 + 10, csum_raw(sum))


cdef inline void full_ends(
    const engine_t *e, uint32_t i, uint8_t *l3, uint8_t *l4, bint is_v6, bint reply
) noexcept nogil:
    """Write what full_pair says."""
    cdef const conn_t *c = &e.conns[i]
    cdef const conn_full_t *f = &e.fulls[i]
    cdef const conn6_t *wide
    if reply:
        put16(l4, c.vport)
        put16(l4 + 2, c.cport)
    else:
        put16(l4, f.lport)
        put16(l4 + 2, c.dport)
    if not is_v6:
        put32(l3 + 12, c.vaddr if reply else f.laddr.w[0])
        put32(l3 + 16, c.caddr if reply else c.daddr)
        return
    wide = conn6_of(e, c)
    memcpy(l3 + 8, &wide.vaddr if reply else &f.laddr, 16)
    memcpy(l3 + 24, &wide.caddr if reply else &wide.daddr, 16)
