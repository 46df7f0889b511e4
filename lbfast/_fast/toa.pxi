"""FULLNAT's part in TCP: sequence numbers, options, and the client's address in one (spec 3.8).

Many clients share a local address and port over time, so the real server gets sequence numbers of
our choosing and no time stamps.  What it sends is changed back in its acknowledgements only.
"""

cdef enum:
    TCPOPT_MSS = 2
    TCPOPT_TIMESTAMP = 8
    TCPOPT_TOA = 254             # an experimental number (RFC 4727), as in DPVS
    TOA_V4 = 8                   # kind, length, port, address
    TOA_V6 = 20
    TOA_OFF = 0
    TOA_SYN = 2                  # in the client's SYN too
    NOP_WORD = 0x0101


cdef inline uint32_t toa_size(bint is_v6) noexcept nogil:
    return TOA_V6 if is_v6 else TOA_V4


cdef uint32_t full_seq_delta(worker_t *w, const pkt_t *p, const ends_t *t) noexcept nogil:
    """What is added to the client's sequence numbers: the server sees one that rises from one
    connection of the same ends to the next (RFC 9293 section 3.4.1, RFC 6528)."""
    cdef engine_t *e = <engine_t *>w.engine
    if t.protocol != IPPROTO_TCP_ or p.from_icmp or not p.tcp_flags & TCP_SYN:
        return 0
    return local_hash(e, t) + <uint32_t>(w.now_ns >> 6) - ld32(p.l4 + 4)


cdef void tcp_patch(pkt_t *p, uint8_t *at, const uint8_t *new, uint32_t n) noexcept nogil:
    """Replace bytes (an even number) of a TCP header and bring the checksum up to date."""
    cdef uint16_t change = csum_raw(csum_swap(0, at, new, n))
    if (at - p.l4) & 1:                  # an option may begin anywhere
        change = LB_SWAP16(change)
    if not p.vnet.flags & VNET_NEEDS_CSUM:
        put16(p.l4 + 16, csum_fold(<uint64_t><uint16_t>~raw16(p.l4 + 16) + change))
    memcpy(at, new, n)


cdef void mss_lower(pkt_t *p, uint8_t *at, uint32_t by) noexcept nogil:
    cdef uint32_t mss = ld16(at)
    cdef uint8_t[2] new
    if mss > by:
        st16(new, mss - by)
        tcp_patch(p, at, new, 2)


cdef void stamp_blank(pkt_t *p, uint8_t *at) noexcept nogil:
    cdef uint8_t[10] nops
    memset(nops, 1, 10)
    tcp_patch(p, at, nops, 10)


cdef void sack_move(pkt_t *p, uint8_t *at, uint32_t delta) noexcept nogil:
    """Move the edges of a selective acknowledgement back to the client's numbers."""
    cdef uint32_t k
    for k in range(2, at[1], 4):
        tcp_store32(p, at + k, ld32(at + k) - delta)


cdef void full_options(pkt_t *p, const conn_full_t *f, uint32_t mss, bint request) noexcept nogil:
    """Walk the options of a packet and change what has to be; ends where one is cut off.

    mss: by how much one is lowered.
    """
    cdef uint8_t *at = p.l4 + 20
    cdef uint8_t *end = p.l4 + (p.l4[12] >> 4) * 4
    cdef uint32_t size
    while at < end and at[0] != TCPOPT_EOL:
        if at[0] == TCPOPT_NOP:
            at += 1
            continue
        if at + 1 == end or at[1] < 2 or at + at[1] > end:
            return
        size = at[1]
        if at[0] == TCPOPT_MSS and size == 4:
            mss_lower(p, at + 2, mss)
        elif at[0] == TCPOPT_TIMESTAMP and size == 10:
            if request and p.tcp_flags & TCP_SYN:
                stamp_blank(p, at)
        elif at[0] == TCPOPT_SACK and size >= 10 and (size - 2) % 8 == 0 and not request:
            sack_move(p, at, f.seq_delta)
        at += size


cdef bint full_tcp_request(worker_t *w, pkt_t *p, uint32_t i, uint32_t mtu) noexcept nogil:
    """Make a client's segment one of the local address; False when it has no whole header."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_full_t *f = &e.fulls[i]
    cdef uint32_t toa = <uint32_t>e.settings.toa
    if not tcp_header_fits(p):
        return False
    tcp_store32(p, p.l4 + 4, ld32(p.l4 + 4) + f.seq_delta)
    if LB_UNLIKELY(p.tcp_flags & TCP_SYN):
        full_options(p, f, toa_size(p.is_v6) if toa != TOA_OFF else 0, True)
        if toa == TOA_SYN:
            toa_insert(e, p, i, mtu)
    elif (
        f.has_server_next and ld32(p.l4 + 8) == f.server_next and toa != TOA_OFF
        and p.tcp_flags & (TCP_RST | TCP_ACK) == TCP_ACK
    ):
        toa_insert(e, p, i, mtu)
    return True


cdef bint full_tcp_reply(engine_t *e, pkt_t *p, uint32_t i) noexcept nogil:
    """Make a real server's segment one for the client; False when it has no whole header."""
    cdef conn_full_t *f = &e.fulls[i]
    if not tcp_header_fits(p):
        return False
    if p.tcp_flags & TCP_ACK:
        tcp_store32(p, p.l4 + 8, ld32(p.l4 + 8) - f.seq_delta)
    if LB_UNLIKELY(p.tcp_flags & TCP_SYN):
        f.server_next = ld32(p.l4 + 4) + 1
        f.has_server_next = 1
        full_options(p, f, toa_size(p.is_v6) if e.settings.toa != TOA_OFF else 0, False)
    elif p.l4[12] >> 4 > 5:
        full_options(p, f, 0, False)
    return True


cdef void toa_write(engine_t *e, uint32_t i, uint8_t *at) noexcept nogil:
    """Write the option: kind, length, the client's port and address."""
    cdef addr_t caddr = conn_caddr(e, i)
    cdef bint is_v6 = (e.conns[i].flags & CONN_V6) != 0
    at[0] = TCPOPT_TOA
    at[1] = toa_size(is_v6)
    put16(at + 2, e.conns[i].cport)
    addr_store(at + 4, &caddr, is_v6)


cdef void toa_insert(engine_t *e, pkt_t *p, uint32_t i, uint32_t mtu) noexcept nogil:
    """Put the option behind the fixed header, unless the options or the MTU leave no room.

    The headers in front move into the headroom; the payload stays where it is.
    """
    cdef uint8_t[24] new
    cdef uint32_t size = toa_size(p.is_v6)
    cdef uint32_t words = p.l4[12] >> 4
    if words * 4 + size > 60 or longest_packet(p) + size > mtu or p.ip_len + size > 65535:
        return
    if p.frag_max:
        return
    new[0] = p.l4[12] + <uint8_t>(size // 4 << 4)
    new[1] = p.l4[13]
    tcp_patch(p, p.l4 + 12, new, 2)
    toa_write(e, i, new)
    memmove(p.l3 - size, p.l3, p.l3_len + 20)
    p.l3 -= size
    p.l4 -= size
    memcpy(p.l4 + 20, new, size)
    toa_lengthen(p, new, size)


cdef void toa_lengthen(pkt_t *p, const uint8_t *option, uint32_t size) noexcept nogil:
    """Let lengths and checksum know of the option."""
    cdef uint8_t[2] old
    cdef uint8_t[2] new
    cdef uint64_t sum
    st16(old, p.ip_len - p.l3_len)
    p.ip_len += size
    st16(new, p.ip_len - p.l3_len)
    if p.vnet.flags & VNET_NEEDS_CSUM:
        put16(p.l4 + 16, csum_raw(csum_swap(raw16(p.l4 + 16), old, new, 2)))
    else:
        sum = csum_swap(<uint16_t>~raw16(p.l4 + 16), old, new, 2)
        put16(p.l4 + 16, csum_fold(csum_add(sum, option, size)))
    if p.vnet.hdr_len:
        p.vnet.hdr_len += size
    p.data -= size
    p.len += size
    if p.is_v6:
        st16(p.l3 + 4, p.ip_len - 40)
    else:
        st16(p.l3 + 2, p.ip_len)             # the header is sealed when it is rewritten
