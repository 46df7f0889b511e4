"""The tables of services and destinations.  Control only, while no worker is inside a batch.

Functions return 0 or a negative errno, as the kernel's control interface would (spec 1, 9.1).
"""
from libc.errno cimport EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, ERANGE, ESRCH


cdef uint32_t svc_is_v6(const svc_t *s) noexcept nogil:
    return s.af == AF_INET6


cdef bint svc_key_put(engine_t *e, const svc_t *s, uint32_t value) noexcept nogil:
    cdef addr_t none
    memset(&none, 0, sizeof(none))
    if s.fwmark:
        return map_put(&e.services, &none, s.fwmark, KIND_FWMARK | svc_is_v6(s), value)
    return map_put(
        &e.services, &s.addr, proto_port(s.protocol, s.port), KIND_SERVICE | svc_is_v6(s), value
    )


cdef void svc_key_del(engine_t *e, const svc_t *s) noexcept nogil:
    cdef addr_t none
    memset(&none, 0, sizeof(none))
    if s.fwmark:
        map_del(&e.services, &none, s.fwmark, KIND_FWMARK | svc_is_v6(s))
    else:
        map_del(
            &e.services, &s.addr, proto_port(s.protocol, s.port), KIND_SERVICE | svc_is_v6(s)
        )


cdef uint32_t svc_by_key(engine_t *e, const svc_t *like) noexcept nogil:
    """Return the service with that key, or NO_INDEX."""
    cdef addr_t none
    memset(&none, 0, sizeof(none))
    if like.fwmark:
        return map_get(&e.services, &none, like.fwmark, KIND_FWMARK | svc_is_v6(like))
    return map_get(
        &e.services, &like.addr, proto_port(like.protocol, like.port),
        KIND_SERVICE | svc_is_v6(like),
    )


cdef uint32_t service_at(
    const engine_t *e, bint is_v6, uint32_t protocol, const addr_t *addr, be16 port, uint32_t mark
) noexcept nogil:
    """service_find for what happens once a connection or less, so that it stays inlined where
    it is asked for every packet."""
    return service_find(e, is_v6, protocol, addr, port, mark)


cdef bint steer_count(
    engine_t *e, const addr_t *addr, uint32_t a, uint32_t kind, int change
) noexcept nogil:
    """Add to the number of owners of a steering key; the key goes with its last owner."""
    cdef uint32_t n = map_get(&e.steer, addr, a, kind)
    if n == NO_INDEX:
        n = 0
    n += change
    if n == 0:
        map_del(&e.steer, addr, a, kind)
        return True
    return map_put(&e.steer, addr, a, kind, n)


cdef void svc_steer(engine_t *e, const svc_t *s, int change) noexcept nogil:
    """Enter (+1) a service into what is taken from the host, or take it out (-1)."""
    e.nsvcs[svc_is_v6(s)] += change
    if s.fwmark:
        return
    steer_count(e, &s.addr, 0, KIND_VIP | svc_is_v6(s), change)
    if s.port == 0:
        e.nport0 += change
    if s.port == LB_SWAP16(FTP_PORT) and s.protocol == IPPROTO_TCP_:
        e.nftp += change


cdef void dest_steer(engine_t *e, dest_t *d, int change) noexcept nogil:
    """Enter a destination into what is taken from the host, or take it out: its service's
    address and, for NAT, its own, as long as it may have connections."""
    cdef uint32_t v6 = d.vaf == AF_INET6
    cdef addr_t none
    memset(&none, 0, sizeof(none))
    if d.vfwmark:
        steer_count(e, &none, d.vfwmark, KIND_LINGER_MARK | v6, change)
    else:
        steer_count(e, &d.vaddr, 0, KIND_VIP | v6, change)
        steer_count(e, &d.vaddr, proto_port(d.vprotocol, d.vport), KIND_LINGER | v6, change)
    if d.method == MASQ:
        d.flags |= DEST_WAS_MASQ
    elif d.method == FULLNAT:
        d.flags |= DEST_WAS_FULL
    v6 = d.af == AF_INET6
    if d.flags & DEST_WAS_MASQ:
        e.has_masq[v6] += change
        steer_count(e, &d.addr, 0, KIND_MASQ_ADDR | v6, change)
        steer_replies(e, d, KIND_MASQ | v6, change)
    if d.flags & DEST_WAS_FULL:
        e.has_full[v6] += change
        steer_count(e, &d.addr, 0, KIND_FULL_ADDR | v6, change)
        steer_replies(e, d, KIND_FULL | v6, change)


cdef void steer_replies(engine_t *e, const dest_t *d, uint32_t kind, int change) noexcept nogil:
    """Enter where a server's replies come from.  kind: KIND_MASQ or KIND_FULL, and the family."""
    steer_ports(e, d, kind, IPPROTO_TCP_, change)
    steer_ports(e, d, kind, IPPROTO_UDP_, change)
    steer_ports(e, d, kind, IPPROTO_SCTP_, change)


cdef void steer_ports(
    engine_t *e, const dest_t *d, uint32_t kind, uint32_t protocol, int change
) noexcept nogil:
    if d.vfwmark == 0 and d.vprotocol != protocol:
        return
    if d.port:
        steer_count(e, &d.addr, proto_port(protocol, d.port), kind, change)
    if (
        d.port == 0 or d.vport == 0
        or (protocol == IPPROTO_TCP_ and d.vport == LB_SWAP16(FTP_PORT))      # data connections
    ):
        steer_count(e, &d.addr, proto_port(protocol, 0), kind + KIND_ANY, change)


# ---------------------------------------------------------------- schedulers of services

cdef int sched_bind(engine_t *e, uint32_t i, const char *name) noexcept nogil:
    """Give service i the scheduler of that name, started on its present list; if that fails, the
    one it had starts again."""
    cdef sched_t *s = &e.scheds[i]
    cdef sched_ops_t *ops = NULL
    cdef sched_ops_t *old
    if strcmp(name, b"none") != 0:
        ops = sched_find(e, name)
        if ops == NULL:
            return -ENOENT
    old = <sched_ops_t *>s.ops
    sched_unbind(e, i)
    s.flags = e.svcs[i].flags
    s.is_v6 = svc_is_v6(&e.svcs[i])
    s.dests = e.dests
    s.born = e.workers[0].now
    if ops == NULL or sched_start(s, ops):
        return 0
    if old != NULL:
        sched_start(s, old)
    return -ENOMEM


cdef bint sched_start(sched_t *s, sched_ops_t *ops) noexcept nogil:
    s.ops = ops
    if not ops.start(s):
        ops.stop(s)
        s.ops = NULL
        return False
    return True


cdef void sched_unbind(engine_t *e, uint32_t i) noexcept nogil:
    cdef sched_t *s = &e.scheds[i]
    if s.ops != NULL:
        (<sched_ops_t *>s.ops).stop(s)
        s.ops = NULL


cdef bint sched_changed(
    engine_t *e, uint32_t i, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    cdef sched_t *s = &e.scheds[i]
    return s.ops == NULL or (<sched_ops_t *>s.ops).change(s, event, at, dest)


cdef bint list_insert(sched_t *s, uint32_t dest) noexcept nogil:
    """Put a destination at the head of the list (spec 1.6); False when there is no memory."""
    cdef uint32_t *more
    if s.ndest == s.capacity:
        more = <uint32_t *>realloc(s.list, (<size_t>s.capacity * 2 + 8) * sizeof(uint32_t))
        if more == NULL:
            return False
        s.list = more
        s.capacity = s.capacity * 2 + 8
    memmove(s.list + 1, s.list, s.ndest * sizeof(uint32_t))
    s.list[0] = dest
    s.ndest += 1
    return True


# ---------------------------------------------------------------- services

cdef int svc_check(const svc_t *s) noexcept nogil:
    if s.af == AF_INET6 and (s.netmask < 1 or s.netmask > 128):
        return -EINVAL
    if strcmp(s.pe_name, b"") != 0 and strcmp(s.pe_name, b"sip") != 0:
        return -ENOENT
    return 0


cdef int svc_add(engine_t *e, const svc_t *new) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t order
    cdef int error
    if svc_by_key(e, new) != NO_INDEX:
        return -EEXIST
    error = svc_check(new)
    if error:
        return error
    for i in range(e.max_svcs):
        if not e.svcs[i].used:
            break
    else:
        return -ENOSPC
    order = next_order(e)
    e.svcs[i] = new[0]
    e.svcs[i].used = 0
    e.svcs[i].order = order
    memset(&e.svcs[i].est, 0, sizeof(est_t))
    counts_clear(e, e.svc_counts, e.max_svcs, i)
    e.scheds[i].ndest = 0
    error = sched_bind(e, i, new.sched_name)
    if error == 0 and not svc_key_put(e, &e.svcs[i], i):
        sched_unbind(e, i)
        error = -ENOMEM
    if error:
        return error
    svc_steer(e, &e.svcs[i], 1)
    pool_scheduled(e, i)
    e.svcs[i].used = 1
    pe_count(e)
    return 0


cdef int svc_edit(engine_t *e, const svc_t *new) noexcept nogil:
    """Replace all but the key; another scheduler starts anew, the same one keeps its state."""
    cdef uint32_t i = svc_by_key(e, new)
    cdef int error
    cdef svc_t *s
    cdef uint32_t old_flags
    if i == NO_INDEX:
        return -ESRCH
    error = svc_check(new)
    if error:
        return error
    s = &e.svcs[i]
    old_flags = s.flags
    if strcmp(s.sched_name, new.sched_name) != 0:
        s.flags = new.flags
        error = sched_bind(e, i, new.sched_name)
        if error:
            s.flags = old_flags
            return error
        strcpy(s.sched_name, new.sched_name)
        pool_scheduled(e, i)
    s.flags = new.flags
    e.scheds[i].flags = new.flags
    s.timeout_s = new.timeout_s
    s.netmask = new.netmask
    strcpy(s.pe_name, new.pe_name)
    pe_count(e)
    return 0


cdef int svc_del(engine_t *e, uint32_t i) noexcept nogil:
    """Unlink a service; its destinations go to the trash and keep their connections (1.1)."""
    sched_unbind(e, i)
    while e.scheds[i].ndest:
        dest_unlink(e, i, 0)
    pool_empty(e, i)
    svc_steer(e, &e.svcs[i], -1)
    svc_key_del(e, &e.svcs[i])
    e.svcs[i].used = 0
    pe_count(e)
    return 0
