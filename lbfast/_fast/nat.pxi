"""Rewriting addresses and ports, with the checksums that cover them (spec 3.2)."""

cdef enum:
    SIDE_SRC = 0
    SIDE_DST = 1


cdef inline uint8_t *addr_field(uint8_t *l3, bint is_v6, uint32_t side) noexcept nogil:
    return l3 + (8 + 16 * side if is_v6 else 12 + 4 * side)


cdef void nat_rewrite(
    worker_t *w, pkt_t *p, uint32_t side, const addr_t *addr, be16 port
) noexcept nogil:
    """Replace one side's address and port and bring all checksums up to date.

    A partial checksum holds the pseudo-header's sum alone, so only the address counts there.
    """
    cdef uint32_t size = 16 if p.is_v6 else 4
    cdef uint8_t *at = addr_field(p.l3, p.is_v6, side)
    cdef uint8_t *at_port = p.l4 + 2 * side
    cdef uint8_t *check = NULL
    cdef be16 old_port = raw16(at_port)
    cdef uint64_t sum
    cdef uint16_t c
    if p.protocol == IPPROTO_TCP_:
        check = p.l4 + 16
    elif p.protocol == IPPROTO_UDP_:
        check = p.l4 + 6
    if check != NULL:
        c = raw16(check)
        if p.vnet.flags & VNET_NEEDS_CSUM:
            put16(check, csum_raw(csum_swap(c, at, <const uint8_t *>addr, size)))
        elif LB_LIKELY(c != 0 or p.protocol == IPPROTO_TCP_):
            sum = csum_swap(<uint16_t>~c, at, <const uint8_t *>addr, size)
            c = csum_fold(csum_swap(sum, at_port, <const uint8_t *>&port, 2))
            put16(check, c if c or p.protocol == IPPROTO_TCP_ else 0xFFFF)
            check = NULL
        p.vnet.flags &= VNET_NEEDS_CSUM
    addr_store(at, addr, p.is_v6)
    put16(at_port, port)
    if check != NULL and not p.vnet.flags & VNET_NEEDS_CSUM:      # UDP without a checksum
        put16(check, csum_l4(p.l3, p.is_v6, p.protocol, p.l4, p.ip_len - p.l3_len))
    if p.protocol == IPPROTO_SCTP_ and (port != old_port or p.vnet.flags & VNET_NEEDS_CSUM):
        sctp_seal(p)
    if not p.is_v6:
        ipv4_header_seal(p.l3)


cdef void sctp_seal(pkt_t *p) noexcept nogil:
    """Compute SCTP's CRC32c over the whole packet (RFC 9260 section 6.8)."""
    cdef uint32_t crc
    memset(p.l4 + 8, 0, 4)
    crc = ~lb_crc32c(0xFFFFFFFFU, p.l4, p.ip_len - p.l3_len)
    memcpy(p.l4 + 8, &crc, 4)
    p.vnet.flags = 0
    p.vnet.gso_type = 0


cdef inline void ttl_decrement(pkt_t *p) noexcept nogil:
    """Lower TTL or hop limit by one; the IPv4 header checksum is made anew."""
    if p.is_v6:
        p.l3[7] -= 1
    else:
        p.l3[8] -= 1
        ipv4_header_seal(p.l3)


cdef inline uint32_t ttl_of(const pkt_t *p) noexcept nogil:
    return p.l3[7] if p.is_v6 else p.l3[8]


cdef inline uint32_t tos_of(const pkt_t *p) noexcept nogil:
    if p.is_v6:
        return (ld16(p.l3) >> 4) & 0xFF
    return p.l3[1]


cdef inline bint has_df(const pkt_t *p) noexcept nogil:
    return not p.is_v6 and (p.l3[6] & 0x40) != 0
