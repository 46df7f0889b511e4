"""Software segmentation of super-frames, and checksums left to the device (spec 11.6)."""


cdef bint vnet_check(pkt_t *p) noexcept nogil:
    """Whether the virtio-net header fits the frame; what does not cannot be forwarded.

    Afterwards a partial checksum is that of the TCP or UDP header at `l4`, in its place, and a
    super-frame always has one.  Others are finished here.
    """
    cdef uint32_t kind = p.vnet.gso_type & ~<uint32_t>GSO_ECN
    if p.vnet.flags & VNET_NEEDS_CSUM and not vnet_csum_check(p):
        return False
    if kind == GSO_NONE:
        return p.vnet.gso_type == GSO_NONE
    if p.vnet.gso_size == 0 or p.is_frag or not p.has_ports or p.is_short:
        return False
    if kind == GSO_TCPV4 or kind == GSO_TCPV6:
        if (
            p.protocol != IPPROTO_TCP_ or (kind == GSO_TCPV6) != (p.is_v6 != 0)
            or not tcp_header_fits(p)
        ):
            return False
    elif kind != GSO_UDP_L4 or p.protocol != IPPROTO_UDP_:
        return False
    if not p.vnet.flags & VNET_NEEDS_CSUM:       # merged by the device, checksums verified
        csum_begin(p, p.ip_len - p.l3_len)
    return True


cdef bint vnet_csum_check(pkt_t *p) noexcept nogil:
    cdef uint32_t start = p.vnet.csum_start
    if start < 34 or start + p.vnet.csum_offset + 2 > 14 + p.ip_len:
        return False
    if p.l4 == NULL or p.is_short:
        return True                    # a fragment, which is refused when it is put together
    if start != <uint32_t>14 + p.l3_len:
        if p.vnet.gso_type != GSO_NONE:
            return False
        csum_complete(NULL, p)         # of a packet within this one
    elif p.protocol == IPPROTO_TCP_:
        return p.vnet.csum_offset == 16
    elif p.protocol == IPPROTO_UDP_:
        return p.vnet.csum_offset == 6
    else:
        csum_complete(NULL, p)         # SCTP: no device is told that it is a CRC32c
    return True


cdef inline bint tcp_header_fits(const pkt_t *p) noexcept nogil:
    cdef uint32_t header = (p.l4[12] >> 4) * 4
    return header >= 20 and p.l3_len + header <= p.ip_len


cdef void csum_begin(pkt_t *p, uint32_t length) noexcept nogil:
    """Leave the TCP or UDP checksum to the device: the field gets the pseudo-header's sum.

    length: of the transport header and what follows.
    """
    p.vnet.flags = VNET_NEEDS_CSUM
    p.vnet.csum_start = 14 + p.l3_len
    p.vnet.csum_offset = 16 if p.protocol == IPPROTO_TCP_ else 6
    put16(
        p.l4 + p.vnet.csum_offset, csum_raw(csum_pseudo(p.l3, p.is_v6, p.protocol, length))
    )


cdef void csum_complete(worker_t *w, pkt_t *p) noexcept nogil:
    """Finish a partial checksum in place.  At offset 8 it can only be SCTP's CRC32c."""
    cdef uint8_t *start
    cdef uint32_t length, crc
    cdef uint16_t c
    if not p.vnet.flags & VNET_NEEDS_CSUM:
        return
    p.vnet.flags = 0
    start = p.l3 - 14 + p.vnet.csum_start
    length = <uint32_t>(p.l3 + p.ip_len - start)
    if p.vnet.csum_offset == 8 and length >= 12:
        memset(start + 8, 0, 4)
        crc = ~lb_crc32c(0xFFFFFFFFU, start, length)
        memcpy(start + 8, &crc, 4)
        return
    c = csum_fold(csum_add(0, start, length))
    if c == 0 and p.vnet.csum_offset == 6:
        c = 0xFFFF
    put16(start + p.vnet.csum_offset, c)


cdef int segment(
    worker_t *w, pkt_t *p, bint partial,
    verdict_t (*each)(worker_t *w, pkt_t *s, void *arg) noexcept nogil, void *arg,
) noexcept nogil:
    """Cut a super-frame into packets of gso_size payload bytes and hand each to `each`.

    partial: leave each one's checksum to the device.  Returns how many of them were not dropped.
    """
    cdef bint is_tcp = p.protocol == IPPROTO_TCP_
    cdef uint32_t headers = p.l3_len + ((p.l4[12] >> 4) * 4 if is_tcp else 8)
    cdef uint32_t size = p.vnet.gso_size
    cdef uint32_t at = 0, n = 0, taken = 0, take
    cdef uint32_t payload = p.ip_len - headers
    cdef pkt_t s
    cdef uint8_t *l3
    while at < payload or n == 0:
        take = min(size, payload - at)
        l3 = scratch_take(w, headers + take + 32)
        if l3 == NULL:
            drop(w, R_OUT_FULL)
            break
        memcpy(l3, p.l3, headers)
        memcpy(l3 + headers, p.l3 + headers + at, take)
        s = p[0]
        s.l3 = l3
        s.l4 = l3 + p.l3_len
        s.data = l3 - 14
        s.ip_len = headers + take
        s.len = 14 + s.ip_len
        s.vnet.gso_type = GSO_NONE
        s.vnet.gso_size = 0
        s.vnet.hdr_len = 0
        segment_headers(p, &s, at, n, at + take == payload)
        if not partial:
            csum_complete(w, &s)
        taken += each(w, &s, arg) != DROP
        at += take
        n += 1
    return <int>taken


cdef void segment_headers(
    const pkt_t *p, pkt_t *s, uint32_t at, uint32_t n, bint last
) noexcept nogil:
    """Lengths, identification, sequence number and flags of one segment; its checksum field gets
    the pseudo-header's sum."""
    cdef uint32_t length = s.ip_len - s.l3_len
    cdef bint is_tcp = p.protocol == IPPROTO_TCP_
    if s.is_v6:
        st16(s.l3 + 4, s.ip_len - 40)
    else:
        st16(s.l3 + 2, s.ip_len)
        st16(s.l3 + 4, ld16(p.l3 + 4) + n)
        ipv4_header_seal(s.l3)
    if is_tcp:
        st32(s.l4 + 4, ld32(p.l4 + 4) + at)
        if not last:
            s.l4[13] &= ~<uint8_t>(TCP_FIN | TCP_PSH)
        if n:
            s.l4[13] &= ~<uint8_t>TCP_CWR
    else:
        st16(s.l4 + 4, length)
    csum_begin(s, length)
