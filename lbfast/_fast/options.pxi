"""IPv4 options of a packet that the host does not see: what its input path would have done
(RFC 791; record route and timestamp are filled in, source routes are refused)."""

cdef enum:
    IPOPT_END = 0
    IPOPT_NOOP = 1
    IPOPT_RR = 7
    IPOPT_TIMESTAMP = 68
    IPOPT_LSRR = 131
    IPOPT_SSRR = 137


cdef verdict_t ip_options(worker_t *w, pkt_t *p) noexcept nogil:
    """NEXT after filling in what is to be recorded; malformed options are answered."""
    cdef uint32_t at = 20, size
    cdef uint8_t *o
    cdef int bad_at = -1
    while at < p.l3_len:
        o = p.l3 + at
        if o[0] == IPOPT_END:
            break
        if o[0] == IPOPT_NOOP:
            at += 1
            continue
        if at + 1 >= p.l3_len or o[1] < 2 or at + o[1] > p.l3_len:
            return option_answer(w, p, at)
        size = o[1]
        if o[0] == IPOPT_LSRR or o[0] == IPOPT_SSRR:
            return drop(w, R_OPTION)
        if o[0] == IPOPT_RR:
            bad_at = option_record(o, size, &p.daddr)
        elif o[0] == IPOPT_TIMESTAMP:
            bad_at = option_timestamp(w, o, size, p)
        if bad_at >= 0:
            return option_answer(w, p, at + <uint32_t>bad_at)
        at += size
    ipv4_header_seal(p.l3)
    return NEXT


cdef verdict_t option_answer(worker_t *w, const pkt_t *p, uint32_t at) noexcept nogil:
    icmp_error(w, p, ICMP_PARAM_PROBLEM, 0, at << 24)
    return drop(w, R_OPTION)


cdef int option_record(uint8_t *o, uint32_t size, const addr_t *addr) noexcept nogil:
    """Record route: enter the address; returns the offset of what is wrong, or -1."""
    cdef uint32_t pointer = o[2] if size >= 3 else 0
    if size < 3:
        return 1
    if pointer < 4:
        return 2
    if pointer <= size:
        if pointer + 3 > size:
            return 2
        memcpy(o + pointer - 1, &addr.w[0], 4)
        o[2] += 4
    return -1


cdef int option_timestamp(
    worker_t *w, uint8_t *o, uint32_t size, const pkt_t *p
) noexcept nogil:
    """Timestamp: milliseconds since midnight UT, with or without the address."""
    cdef uint32_t pointer = o[2] if size >= 4 else 0
    cdef uint32_t kind
    if size < 4:
        return 1
    if pointer < 5:
        return 2
    kind = o[3] & 15
    if pointer > size:
        if o[3] >> 4 == 15:
            return 3
        o[3] += 16
        return -1
    if kind == 0:
        if pointer + 3 > size:
            return 2
        st32(o + pointer - 1, midnight_ms())
        o[2] += 4
    elif kind == 1 or kind == 3:
        if pointer + 7 > size:
            return 2
        if kind == 3 and raw32(o + pointer - 1) != p.daddr.w[0]:
            return -1
        memcpy(o + pointer - 1, &p.daddr.w[0], 4)
        st32(o + pointer + 3, midnight_ms())
        o[2] += 8
    return -1


cdef uint32_t midnight_ms() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_REALTIME, &t)
    return <uint32_t>(t.tv_sec % 86400) * 1000 + <uint32_t>(t.tv_nsec // 1000000)
