"""Whether a record found in a region makes sense; attaching goes on without those that do not."""

cdef enum:
    CONN_KNOWN = (
        CONN_METHOD | CONN_SYNC | CONN_HASHED | CONN_NOOUTPUT | CONN_INACTIVE | CONN_OUT_SEQ
        | CONN_IN_SEQ | CONN_NO_CPORT | CONN_TEMPLATE | CONN_NFCT | CONN_V6 | CONN_D6
        | CONN_FWMARK | CONN_ASSURED | CONN_FTP | CONN_EXPECTED
    )
    TCP_STATES = 11
    SCTP_STATES = 14

cdef uint64_t ORDER_LIMIT = <uint64_t>1 << 62        # numbers that nobody was given


cdef inline bint addr_sane(uint32_t af, const addr_t *addr) noexcept nogil:
    return af == AF_INET6 or (
        af == AF_INET and not addr.w[1] and not addr.w[2] and not addr.w[3]
    )


cdef bint name_sane(const char *name) noexcept nogil:
    """Whether a scheduler could be called so: printable, nothing that ends a word."""
    cdef uint32_t i = 0
    while 33 <= <uint8_t>name[i] < 127:
        i += 1
    return 0 < i < 16 and name[i] == 0


cdef bint svc_sane(engine_t *e, svc_t *s) noexcept nogil:
    """A service that could have been added; one whose scheduler has no name has none.  A name
    that is not known may be that of an outside scheduler: attach_scheds."""
    s.sched_name[15] = s.pe_name[15] = 0
    if not addr_sane(s.af, &s.addr) or s.order >= ORDER_LIMIT or svc_check(s):
        return False
    if svc_by_key(e, s) != NO_INDEX:
        return False
    s.flags &= SVC_PERSISTENT | SVC_ONEPACKET | SVC_SCHED1 | SVC_SCHED2 | SVC_SCHED3
    if sched_find(e, s.sched_name) == NULL and not name_sane(s.sched_name):
        strcpy(s.sched_name, b"none")
    return True


cdef bint dest_sane(engine_t *e, dest_t *d) noexcept nogil:
    """A destination that could have been added to the service whose key it has."""
    cdef const svc_t *s
    d.flags &= DEST_USED | DEST_AVAILABLE | DEST_OVERLOAD | DEST_WAS_MASQ | DEST_WAS_FULL
    if not addr_sane(d.af, &d.addr) or not addr_sane(d.vaf, &d.vaddr):
        return False
    if d.order >= ORDER_LIMIT or d.tun_type > 2 or d.weight < 0:
        return False
    if d.method > DROUTE and d.method != FULLNAT:
        return False
    if d.l_threshold > d.u_threshold or d.u_threshold > 0x7FFFFFFF:
        return False
    if d.af != d.vaf and d.method != TUNNEL:
        return False
    if not d.flags & DEST_AVAILABLE:
        d.svc = NO_INDEX
        return True
    if d.svc >= e.max_svcs or not e.svcs[d.svc].used:
        return False
    s = &e.svcs[d.svc]
    if s.af != d.vaf or s.fwmark != d.vfwmark:
        return False
    return d.vfwmark or (
        s.protocol == d.vprotocol and s.port == d.vport and addr_eq(&s.addr, &d.vaddr)
    )


cdef bint conn_sane(engine_t *e, uint32_t i) noexcept nogil:
    """A connection that the data path could have made."""
    cdef conn_t *c = &e.conns[i]
    cdef bint d6 = (c.flags & CONN_D6) != 0
    if c.flags & ~<uint32_t>CONN_KNOWN or c.flags & CONN_METHOD > FULLNAT:
        return False
    if d6 != ((c.flags & CONN_V6) != 0) and c.flags & CONN_METHOD != TUNNEL:
        return False
    if c.dest != NO_INDEX and (
        c.dest >= e.max_dests or not e.dests[c.dest].flags & DEST_USED
        or d6 != (e.dests[c.dest].af == AF_INET6)
    ):
        return False
    if c.ext != NO_INDEX and (c.ext != i or e.exts[i].pe_len > 255):
        return False
    if c.flags & CONN_FTP and c.ext == NO_INDEX:
        return False
    if is_full(c.flags) and not full_sane(e, i):
        return False
    if c.flags & CONN_TEMPLATE:
        c.control = NO_INDEX
        return True
    if c.protocol == IPPROTO_TCP_:
        return c.state < TCP_STATES
    if c.protocol == IPPROTO_SCTP_:
        return c.state < SCTP_STATES
    return c.protocol == IPPROTO_UDP_


cdef inline bint control_sane(const conn_t *c, const conn_t *controller) noexcept nogil:
    """Templates control connections, FTP control connections those of their data: no circles."""
    if controller.flags & CONN_TEMPLATE:
        return True
    return (controller.flags & CONN_FTP) != 0 and not c.flags & CONN_FTP
