"""The classifier of packets to fwmarks: a tap does not see the marks of the host's own rules."""


cdef bint mark_applies(const mark_t *m, const pkt_t *p) noexcept nogil:
    cdef addr_t a
    cdef uint32_t sport = LB_SWAP16(p.sport), dport = LB_SWAP16(p.dport)
    if m.is_v6 != p.is_v6 or (m.protocol and m.protocol != p.protocol):
        return False
    if m.ifindex and m.ifindex != p.ifindex:
        return False
    if not (m.sport_low <= sport <= m.sport_high and m.dport_low <= dport <= m.dport_high):
        return False
    a = addr_prefix(&p.daddr, m.dst_len)
    if not addr_eq(&a, &m.dst):
        return False
    a = addr_prefix(&p.saddr, m.src_len)
    return addr_eq(&a, &m.src)


cdef void mark_packet(const engine_t *e, pkt_t *p) noexcept nogil:
    """Set p.fwmark by the last rule that applies."""
    cdef uint32_t i
    p.fwmark = 0
    if not p.has_ports:
        return
    for i in range(e.nmarks):
        if mark_applies(&e.marks[i], p):
            p.fwmark = e.marks[i].mark


cdef mark_t mark_of(tuple rule) except *:
    """Read a rule of Engine.marks_replace."""
    cdef mark_t m
    cdef addr_t a
    mark, af, protocol, ifindex, src, src_len, dst, dst_len, sport, dport = rule
    memset(&m, 0, sizeof(m))
    m.mark = mark
    m.is_v6 = af == AF_INET6
    m.protocol = protocol
    m.ifindex = ifindex
    a = addr_of(src)
    m.src = addr_prefix(&a, src_len)
    m.src_len = src_len
    a = addr_of(dst)
    m.dst = addr_prefix(&a, dst_len)
    m.dst_len = dst_len
    m.sport_low, m.sport_high = sport
    m.dport_low, m.dport_high = dport
    return m
