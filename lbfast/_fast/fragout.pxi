"""Packets that are too long leave in fragments (RFC 791, RFC 8200 section 4.5)."""

ctypedef struct pieces_t:      # how a packet is cut
    uint32_t head              # bytes of the packet that every piece repeats
    uint32_t size              # bytes of payload in each piece but the last
    uint32_t offset            # IPv4: of the payload in the packet of which this is a part
    uint32_t more              # IPv4: and whether that goes on
    uint32_t named_at          # IPv6: which byte of the head names what follows it
    uint32_t id                # IPv6


cdef verdict_t frag_output(
    worker_t *w, pkt_t *p, const nexthop_t *nh, uint32_t mtu
) noexcept nogil:
    """Send a packet in fragments of at most `mtu` bytes, as Linux cuts them."""
    cdef pieces_t c
    cdef uint32_t payload, at = 0, n, length
    cdef uint8_t *l3
    cdef vnet_t none
    cdef verdict_t result = DROP
    csum_complete(w, p)
    memset(&none, 0, sizeof(none))
    if not frag_plan(w, p, mtu, &c):
        return drop(w, R_MTU_TINY)
    payload = p.ip_len - c.head
    while at < payload:
        n = min(c.size, payload - at)
        l3 = scratch_take(w, c.head + 8 + n)
        if l3 == NULL:
            drop(w, R_OUT_FULL)
            break
        memcpy(l3, p.l3, c.head)
        length = frag_piece_v6(p, &c, l3, at, n) if p.is_v6 else frag_piece_v4(p, &c, l3, at, n)
        if emit_l3(w, l3, length, nh, &none) != DROP:
            result = SENT
        at += n
    return result


cdef bint frag_plan(worker_t *w, const pkt_t *p, uint32_t mtu, pieces_t *c) noexcept nogil:
    """Decide how the packet is cut; False if the pieces would have no room for payload."""
    cdef uint32_t field, head
    memset(c, 0, sizeof(pieces_t))
    if p.is_v6:
        c.head = frag_head_v6(p, &c.named_at)
        w.rng ^= w.rng << 13
        w.rng ^= w.rng >> 17
        w.rng ^= w.rng << 5
        c.id = w.rng
        head = c.head + 8
    else:
        field = ld16(p.l3 + 6)
        head = c.head = (p.l3[0] & 15) * 4
        c.offset = (field & IP_OFFSET) * 8
        c.more = field & IP_MF
    if mtu < head + 8 or p.ip_len < c.head:
        return False
    c.size = (mtu - head) & ~<uint32_t>7
    return True


cdef uint32_t frag_head_v6(const pkt_t *p, uint32_t *named_at) noexcept nogil:
    """Return how much of an IPv6 packet every fragment repeats: up to the last header that a node
    on the way may want to see.  `named_at`: the byte that names the next one."""
    cdef uint32_t at = 40, protocol = p.l3[6], size
    cdef bint routed = False
    named_at[0] = 6
    while at + 8 <= p.ip_len:
        if protocol == IPPROTO_ROUTING_:
            routed = True
        elif protocol != IPPROTO_HOPOPTS_ and (protocol != IPPROTO_DSTOPTS_ or routed):
            break
        size = (p.l3[at + 1] + 1) * 8
        if at + size > p.ip_len:
            break
        protocol = p.l3[at]
        named_at[0] = at
        at += size
    return at


cdef uint32_t frag_piece_v4(
    const pkt_t *p, const pieces_t *c, uint8_t *l3, uint32_t at, uint32_t n
) noexcept nogil:
    """Finish one IPv4 fragment, whose header is a copy of the packet's; returns its length."""
    cdef uint32_t field = (c.offset + at) // 8
    memcpy(l3 + c.head, p.l3 + c.head + at, n)
    if c.head + at + n < p.ip_len:
        field |= IP_MF
    else:
        field |= c.more
    if p.frag_max and p.df_seen:
        field |= IP_DF             # the fragments had it, so these have it
    if at:
        frag_options(l3, c.head)
    st16(l3 + 2, c.head + n)
    st16(l3 + 6, field)
    ipv4_header_seal(l3)
    return c.head + n


cdef void frag_options(uint8_t *l3, uint32_t head) noexcept nogil:
    """Blank the options that only the first fragment has: those without the copy bit (RFC 791)."""
    cdef uint32_t at = 20, size
    while at < head and l3[at] != 0:
        size = 1
        if l3[at] != 1:
            if at + 1 >= head or l3[at + 1] < 2 or at + l3[at + 1] > head:
                return
            size = l3[at + 1]
        if not l3[at] & 0x80:
            memset(l3 + at, 1, size)
        at += size


cdef uint32_t frag_piece_v6(
    const pkt_t *p, const pieces_t *c, uint8_t *l3, uint32_t at, uint32_t n
) noexcept nogil:
    """Finish one IPv6 fragment: its header goes behind the copied head; returns its length."""
    cdef uint8_t *header = l3 + c.head
    header[0] = l3[c.named_at]
    header[1] = 0
    st16(header + 2, at | (1 if c.head + at + n < p.ip_len else 0))
    st32(header + 4, c.id)
    memcpy(header + 8, p.l3 + c.head + at, n)
    l3[c.named_at] = IPPROTO_FRAGMENT_
    st16(l3 + 4, c.head - 40 + 8 + n)
    return c.head + 8 + n
