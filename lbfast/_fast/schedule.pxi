"""Making a connection for a packet that has none: service, scheduler, destination (spec 2.3)."""


cdef verdict_t schedule_stage(worker_t *w, pkt_t *p, uint32_t *made) noexcept nogil:
    """Make a connection for a packet that has none (spec 2.3)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef svc_t *s
    cdef int dest
    cdef verdict_t v
    if p.svc == NO_INDEX:
        return host_or_leave(w, p)
    s = &e.svcs[p.svc]
    if p.is_short:
        return drop(w, R_NO_PORTS)
    if p.protocol == IPPROTO_TCP_:
        if not p.from_icmp and (p.tcp_flags & TCP_RST or (
            not p.tcp_flags & TCP_SYN and not e.settings.sloppy_tcp
        )):
            return host_or_leave(w, p)
    elif p.protocol == IPPROTO_SCTP_ and not p.from_icmp:
        v = sctp_admit(w, p)
        if v != NEXT:
            return v
    if p.sport == LB_SWAP16(FTP_DATA_PORT):
        return host_or_leave(w, p)
    if LB_UNLIKELY(defence_drops(e)):
        return drop(w, R_DEFENCE)
    engine_lock(e)
    if s.flags & SVC_PERSISTENT:
        v = schedule_persistent(w, p, made)
        engine_unlock(e)
        return v if v != HOST else leave(w, p, made)
    if s.fwmark == 0 and p.dport != s.port:
        engine_unlock(e)
        return leave(w, p, made)
    dest = sched_pick(e, p, w)
    if dest == NO_DEST:
        engine_unlock(e)
        return leave(w, p, made)
    v = conn_for(w, p, <uint32_t>dest, made)
    engine_unlock(e)
    return v


cdef inline int sched_pick(engine_t *e, const pkt_t *p, worker_t *w) noexcept nogil:
    cdef sched_t *s = &e.scheds[p.svc]
    cdef sched_ops_t *ops = <sched_ops_t *>s.ops
    cdef int dest
    if ops == NULL:
        return NO_DEST
    dest = ops.pick(s, p, w)
    if LB_UNLIKELY(ops.kind != NULL):
        return outside_picked(e, ops, p.svc, dest)
    return dest


cdef inline be16 conn_dport(const svc_t *s, const dest_t *d, be16 dport) noexcept nogil:
    """The port at the real server (spec 1.4): its own if it has one, but for a persistent service
    of all ports the packet's."""
    if d.port == 0 or (s.flags & SVC_PERSISTENT and dport != s.port):
        return dport
    return d.port


cdef verdict_t conn_for(worker_t *w, pkt_t *p, uint32_t dest, uint32_t *made) noexcept nogil:
    """Make the connection of this packet to a destination and count it.  Call under the lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef dest_t *d = &e.dests[dest]
    cdef tuple_t t
    cdef uint32_t flags = d.method
    t.caddr = p.saddr
    t.vaddr = p.daddr
    t.daddr = d.addr
    t.cport = p.sport
    t.vport = p.dport
    t.dport = conn_dport(&e.svcs[p.svc], d, p.dport)
    t.protocol = p.protocol
    t.is_v6 = p.is_v6
    t.d6 = d.af == AF_INET6
    if d.method == FULLNAT and not local_pick(w, p, dest, &t):
        return drop(w, R_NO_LADDR)
    if not sees_replies(d.method):
        flags |= CONN_NOOUTPUT
    if e.svcs[p.svc].fwmark:
        flags |= CONN_FWMARK
    if e.svcs[p.svc].flags & SVC_ONEPACKET and p.protocol == IPPROTO_UDP_:
        flags |= CONN_ONE_PACKET
    made[0] = conn_new(w, &t, flags, dest)
    if made[0] == NO_INDEX:
        return drop(w, R_NO_MEMORY)
    e.dest_counts[<size_t>w.index * e.max_dests + dest].conns += 1
    e.total_counts[w.index].conns += 1
    p.new_conn = 1
    return NEXT


cdef verdict_t bypass_for(worker_t *w, pkt_t *p, uint32_t *made) noexcept nogil:
    """Make a connection of this packet that goes on to where the client sent it (spec 2.5); it
    has no destination and counts as nobody's."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef tuple_t t
    cdef uint32_t flags = BYPASS | CONN_FWMARK
    memset(&t, 0, sizeof(t))
    t.caddr = p.saddr
    t.vaddr = p.daddr
    t.cport = p.sport
    t.vport = p.dport
    t.protocol = p.protocol
    t.is_v6 = t.d6 = p.is_v6
    if e.svcs[p.svc].flags & SVC_ONEPACKET and p.protocol == IPPROTO_UDP_:
        flags |= CONN_ONE_PACKET
    engine_lock(e)
    made[0] = conn_new(w, &t, flags, NO_INDEX)
    engine_unlock(e)
    if made[0] == NO_INDEX:
        return drop(w, R_NO_MEMORY)
    p.new_conn = 1
    return NEXT


cdef inline verdict_t host_or_leave(worker_t *w, pkt_t *p) noexcept nogil:
    """Not to be scheduled: the host's (an ICMP error: its caller gives the error back)."""
    return HOST if p.from_icmp else to_host(w, p)


cdef verdict_t leave(worker_t *w, pkt_t *p, uint32_t *made) noexcept nogil:
    """The service took the packet and has nowhere to send it (spec 2.5)."""
    cdef engine_t *e = <engine_t *>w.engine
    if e.settings.cache_bypass and e.svcs[p.svc].fwmark and not p.from_icmp:
        if addr_elsewhere(&e.world, &p.daddr, p.is_v6):
            return bypass_for(w, p, made)
    if e.svcs[p.svc].port == LB_SWAP16(FTP_PORT) and p.dport != LB_SWAP16(FTP_PORT):
        return host_or_leave(w, p)
    if p.from_icmp:
        return drop(w, R_ICMP_RELATED)
    return answer_no_dest(w, p)
