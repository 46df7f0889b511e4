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


cdef inline bint mark_serves(const engine_t *e, const mark_t *m) noexcept nogil:
    """Whether what gets this mark may be ours: it has a service, or had one whose destinations
    may still have connections."""
    cdef addr_t none
    memset(&none, 0, sizeof(none))
    return m.mark and (
        map_get(&e.services, &none, m.mark, KIND_FWMARK | m.is_v6) != NO_INDEX
        or mark_lingers(e, m.mark, m.is_v6)
    )


cdef bint mark_takes_fragment(const engine_t *e, const pkt_t *p) noexcept nogil:
    """Whether a fragment may belong to a packet that gets a mark: the ports are not known yet,
    nor for sure the protocol of an IPv6 fragment."""
    cdef const mark_t *m
    cdef addr_t src, dst
    cdef uint32_t i
    for i in range(e.nmarks):
        m = &e.marks[i]
        if m.is_v6 != p.is_v6 or (m.ifindex and m.ifindex != p.ifindex):
            continue
        if not p.is_v6 and not (
            p.protocol == m.protocol if m.protocol else is_balanced(p.protocol)
        ):
            continue
        src = addr_prefix(&p.saddr, m.src_len)
        dst = addr_prefix(&p.daddr, m.dst_len)
        if addr_eq(&src, &m.src) and addr_eq(&dst, &m.dst) and mark_serves(e, m):
            return True
    return False


cdef bint mark_takes_icmp(const engine_t *e, const pkt_t *p) noexcept nogil:
    """Whether an ICMP error is addressed to what may be the virtual address of a marked
    connection."""
    cdef addr_t dst
    cdef uint32_t i
    for i in range(e.nmarks):
        if e.marks[i].is_v6 == p.is_v6:
            dst = addr_prefix(&p.daddr, e.marks[i].dst_len)
            if addr_eq(&dst, &e.marks[i].dst) and mark_serves(e, &e.marks[i]):
                return True
    return False


cdef void marks_use(engine_t *e, mark_t *marks, uint32_t n) noexcept nogil:
    """Let one of the two sets hold; a kill leaves the old one or the new one."""
    e.marks = marks
    e.nmarks = n
    e.header.marks = (0 if marks == e.mark_sets else 0x10000) | n


cdef void attach_marks(engine_t *e, repair_t *found) noexcept nogil:
    """Find the rules in the region; without those that nobody could have made."""
    cdef mark_t *marks = e.mark_sets + (MAX_MARKS if e.header.marks >> 16 else 0)
    cdef uint32_t i, n = 0, left = e.header.marks & 0xFFFF
    if left > MAX_MARKS:
        found.broken += 1
        left = 0
    for i in range(left):
        marks[i].interface[15] = 0
        if mark_sane(&marks[i]):
            marks[n] = marks[i]
            n += 1
        else:
            found.broken += 1
    marks_use(e, marks, n)


cdef bint mark_sane(const mark_t *m) noexcept nogil:
    cdef uint32_t bits = 128 if m.is_v6 else 32
    cdef addr_t src = addr_prefix(&m.src, m.src_len), dst = addr_prefix(&m.dst, m.dst_len)
    return (
        m.is_v6 <= 1 and m.src_len <= bits and m.dst_len <= bits
        and addr_eq(&src, &m.src) and addr_eq(&dst, &m.dst)
        and m.sport_low <= m.sport_high and m.dport_low <= m.dport_high
    )


cdef tuple mark_tuple(const mark_t *m):
    return (
        m.mark, AF_INET6 if m.is_v6 else AF_INET, m.protocol, m.ifindex,
        addr_bytes(&m.src, m.is_v6) if m.src_len else b"", m.src_len,
        addr_bytes(&m.dst, m.is_v6) if m.dst_len else b"", m.dst_len,
        (m.sport_low, m.sport_high), (m.dport_low, m.dport_high), <bytes>m.interface,
    )


cdef mark_t mark_of(tuple rule) except *:
    """Read a rule of Engine.marks_replace."""
    cdef mark_t m
    cdef addr_t a
    cdef bytes interface = rule[10][:15] if len(rule) > 10 else b""
    mark, af, protocol, ifindex, src, src_len, dst, dst_len, sport, dport = rule[:10]
    memset(&m, 0, sizeof(m))
    strcpy(m.interface, <const char *>interface)
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
    if not mark_sane(&m):
        raise ValueError("prefix length or port range out of range")
    return m
