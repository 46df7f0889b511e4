"""Sequence numbers of a control connection whose replies were made longer or shorter.

Same rule as the kernel's nf_conntrack_seqadj.c.  Only what real servers send is ever changed: its
sequence numbers move, and with them the client's acknowledgements, selective ones included.
"""

cdef enum:
    TCPOPT_EOL = 0
    TCPOPT_NOP = 1
    TCPOPT_SACK = 5


cdef inline bint seq_after(uint32_t x, uint32_t y) noexcept nogil:
    return <int32_t>(y - x) < 0


cdef void seq_moved(conn_ext_t *x, uint32_t seq, int32_t by) noexcept nogil:
    """The reply that begins at `seq` became that many bytes longer."""
    if by == 0:
        return
    x.seq_adjusts = 1
    if x.seq_before == x.seq_after or seq_after(seq, x.seq_at):
        x.seq_at = seq
        x.seq_before = x.seq_after
        x.seq_after += by


cdef inline uint32_t seq_offset(const conn_ext_t *x, uint32_t seq) noexcept nogil:
    """Return by how much a sequence number of the real server moves."""
    return <uint32_t>(x.seq_after if seq_after(seq, x.seq_at) else x.seq_before)


cdef inline uint32_t seq_back(const conn_ext_t *x, uint32_t seq) noexcept nogil:
    """Return the real server's number for one that the client acknowledges."""
    return seq - seq_offset(x, seq - <uint32_t>x.seq_before)


cdef void tcp_store32(pkt_t *p, uint8_t *at, uint32_t value) noexcept nogil:
    """Store a number in the TCP header and bring the checksum up to date."""
    cdef be32 new = LB_SWAP32(value)
    cdef uint16_t change = csum_raw(csum_swap(0, at, <const uint8_t *>&new, 4))
    if (at - p.l4) & 1:               # an option may begin anywhere
        change = LB_SWAP16(change)
    if not p.vnet.flags & VNET_NEEDS_CSUM:
        put16(p.l4 + 16, csum_fold(<uint64_t><uint16_t>~raw16(p.l4 + 16) + change))
    put32(at, new)


cdef bint seq_reply(const conn_ext_t *x, pkt_t *p) noexcept nogil:
    """Move the sequence number of a reply; False when its options are broken."""
    cdef uint32_t seq = ld32(p.l4 + 4)
    tcp_store32(p, p.l4 + 4, seq + seq_offset(x, seq))
    return not p.tcp_flags & TCP_ACK or seq_options(NULL, p)


cdef bint seq_request(const conn_ext_t *x, pkt_t *p) noexcept nogil:
    """Move what a request acknowledges; False when its options are broken."""
    if not p.tcp_flags & TCP_ACK:
        return True
    tcp_store32(p, p.l4 + 8, seq_back(x, ld32(p.l4 + 8)))
    return seq_options(x, p)


cdef bint seq_options(const conn_ext_t *x, pkt_t *p) noexcept nogil:
    """Walk the TCP options and move the blocks of a SACK (x NULL: none are to be moved); False
    when an option is cut off."""
    cdef uint8_t *at = p.l4 + 20
    cdef uint8_t *end = p.l4 + (p.l4[12] >> 4) * 4
    cdef uint32_t k
    if end > p.l3 + p.ip_len:
        return False
    while at < end:
        if at[0] == TCPOPT_EOL:
            return True
        if at[0] == TCPOPT_NOP:
            at += 1
            continue
        if at + 1 == end or at + at[1] > end or at[1] < 2:
            return False
        if x != NULL and at[0] == TCPOPT_SACK and at[1] >= 10 and (at[1] - 2) % 8 == 0:
            for k in range(2, at[1], 4):
                tcp_store32(p, at + k, seq_back(x, ld32(at + k)))
        at += at[1]
    return True
