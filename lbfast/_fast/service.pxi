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
    if d.vfwmark == 0:
        steer_count(e, &d.vaddr, 0, KIND_VIP | v6, change)
        steer_count(e, &d.vaddr, proto_port(d.vprotocol, d.vport), KIND_LINGER | v6, change)
    if d.method != MASQ:
        return
    v6 = d.af == AF_INET6
    e.has_masq[v6] += change
    steer_count(e, &d.addr, 0, KIND_MASQ_ADDR | v6, change)
    steer_ports(e, d, v6, IPPROTO_TCP_, change)
    steer_ports(e, d, v6, IPPROTO_UDP_, change)
    steer_ports(e, d, v6, IPPROTO_SCTP_, change)


cdef void steer_ports(
    engine_t *e, const dest_t *d, uint32_t v6, uint32_t protocol, int change
) noexcept nogil:
    if d.vfwmark == 0 and d.vprotocol != protocol:
        return
    if d.port:
        steer_count(e, &d.addr, proto_port(protocol, d.port), KIND_MASQ | v6, change)
    if (
        d.port == 0 or d.vport == 0
        or (protocol == IPPROTO_TCP_ and d.vport == LB_SWAP16(FTP_PORT))      # data connections
    ):
        steer_count(e, &d.addr, proto_port(protocol, 0), KIND_MASQ_ANY | v6, change)


# ---------------------------------------------------------------- schedulers of services

cdef int sched_bind(engine_t *e, uint32_t i, const char *name) noexcept nogil:
    """Give service i the scheduler of that name, started on its present list; if that fails, the
    one it had starts again."""
    cdef sched_t *s = &e.scheds[i]
    cdef sched_ops_t *ops = NULL
    cdef sched_ops_t *old
    if strcmp(name, b"none") != 0:
        ops = sched_find(name)
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
    if not ops.start(s):
        ops.stop(s)
        return False
    s.ops = ops
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
    svc_steer(e, &e.svcs[i], -1)
    svc_key_del(e, &e.svcs[i])
    e.svcs[i].used = 0
    pe_count(e)
    return 0


# ---------------------------------------------------------------- destinations

cdef bint dest_same(const dest_t *x, const dest_t *y) noexcept nogil:
    return x.af == y.af and x.port == y.port and addr_eq(&x.addr, &y.addr)


cdef uint32_t dest_by_key(engine_t *e, uint32_t svc, const dest_t *like) noexcept nogil:
    """Return the position in the service's list of the destination with that key."""
    cdef sched_t *s = &e.scheds[svc]
    cdef uint32_t i = map_get(&e.members, &like.addr, proto_port(like.af, like.port), svc + 1)
    cdef uint32_t low = 0, high = s.ndest, at
    if i == NO_INDEX:
        return NO_INDEX
    while True:                          # the list is sorted: newest first
        at = (low + high) // 2
        if e.dests[s.list[at]].order > e.dests[i].order:
            low = at + 1
        elif s.list[at] != i:
            high = at
        else:
            return at


cdef bint dest_enter(engine_t *e, const dest_t *d, uint32_t i) noexcept nogil:
    """Let dest_by_key find a member of a service."""
    return map_put(&e.members, &d.addr, proto_port(d.af, d.port), d.svc + 1, i)


cdef int dest_check(engine_t *e, uint32_t svc, const dest_t *d) noexcept nogil:
    """What the kernel refuses of a destination, new or edited (spec 1.3)."""
    if d.af != e.svcs[svc].af and d.method != TUNNEL:
        return -EINVAL
    if d.weight < 0 or d.l_threshold > d.u_threshold:
        return -ERANGE
    if d.u_threshold > 0x7FFFFFFF:
        return -EINVAL
    if d.method == TUNNEL and d.tun_type == 1 and d.tun_port == 0:
        return -EINVAL
    return 0


cdef bint dest_addr_fits(engine_t *e, const dest_t *d) noexcept nogil:
    """A new destination is a unicast address (or the host's own)."""
    cdef const route_t *r
    if d.af == AF_INET6:
        if addr_multicast(&d.addr, True) or addr_zero(&d.addr):
            return False
        return not addr_linklocal(&d.addr) or addr_is_local(&e.world, &d.addr, True)
    if addr_multicast(&d.addr, False) or d.addr.w[0] == 0 or d.addr.w[0] == 0xFFFFFFFFU:
        return False
    r = table_match(&e.world, TABLE_LOCAL, &d.addr, False)
    return r == NULL or r.type == RTN_LOCAL or r.type == RTN_UNICAST


cdef uint32_t dest_in_trash(engine_t *e, const svc_t *s, const dest_t *like) noexcept nogil:
    """Return the record to revive: same destination of a service with the same key (1.7)."""
    cdef uint32_t i, left = e.ntrash
    cdef const dest_t *d
    for i in range(e.max_dests if left else 0):
        d = &e.dests[i]
        if not d.flags & DEST_USED or d.flags & DEST_AVAILABLE:
            continue
        if (
            dest_same(d, like) and d.vaf == s.af and d.vfwmark == s.fwmark
            and (s.fwmark or (
                d.vprotocol == s.protocol and d.vport == s.port and addr_eq(&d.vaddr, &s.addr)
            ))
        ):
            return i
        left -= 1
        if left == 0:
            break
    return NO_INDEX


cdef void dest_set(dest_t *d, const dest_t *new) noexcept nogil:
    """Take over what an edit may change; the overload flag follows the thresholds (1.8, 2026)."""
    d.method = new.method
    d.tun_type = new.tun_type
    d.tun_port = new.tun_port
    d.tun_flags = new.tun_flags
    d.weight = new.weight
    if new.weight:
        d.last_weight = new.weight
    if d.u_threshold != new.u_threshold or d.l_threshold != new.l_threshold:
        d.u_threshold = new.u_threshold
        d.l_threshold = new.l_threshold
        if d.u_threshold == 0 or dest_total(d) < dest_low(d):
            d.flags &= ~<uint32_t>DEST_OVERLOAD
        elif dest_total(d) >= d.u_threshold:
            d.flags |= DEST_OVERLOAD


cdef int dest_add(engine_t *e, uint32_t svc, const dest_t *new) noexcept nogil:
    cdef svc_t *s = &e.svcs[svc]
    cdef uint32_t i
    cdef int error = dest_check(e, svc, new)
    if error:
        return error
    if dest_by_key(e, svc, new) != NO_INDEX:
        return -EEXIST
    i = dest_in_trash(e, s, new)
    if i != NO_INDEX:                    # steered still, by the method that it had
        dest_steer(e, &e.dests[i], -1)
        e.dests[i].flags &= ~<uint32_t>DEST_STEERED
        e.ntrash -= 1
    if i == NO_INDEX:
        if not dest_addr_fits(e, new):
            return -EINVAL
        i = dest_fresh(e, new)
        if i == NO_INDEX:
            return -ENOSPC
        dest_set_key(&e.dests[i], s)
    elif e.dests[i].vorder != s.order:
        memset(&e.dests[i].est, 0, sizeof(est_t))
        counts_clear(e, e.dest_counts, e.max_dests, i)
        e.dests[i].vorder = s.order
    dest_set(&e.dests[i], new)
    return dest_link(e, svc, i)


cdef uint32_t dest_fresh(engine_t *e, const dest_t *new) noexcept nogil:
    """Prepare a free record for a destination; it is not live yet."""
    cdef uint32_t i, tried
    for tried in range(e.max_dests):
        i = (e.dest_hint + tried) % e.max_dests
        if not e.dests[i].flags & DEST_USED:
            break
    else:
        return NO_INDEX
    e.dest_hint = i + 1
    memset(&e.dests[i], 0, sizeof(dest_t))
    e.dests[i].addr = new.addr
    e.dests[i].port = new.port
    e.dests[i].af = new.af
    e.dests[i].last_weight = new.weight
    counts_clear(e, e.dest_counts, e.max_dests, i)
    return i


cdef void dest_set_key(dest_t *d, const svc_t *s) noexcept nogil:
    d.vaddr = s.addr
    d.vport = s.port
    d.vprotocol = s.protocol
    d.vfwmark = s.fwmark
    d.vaf = s.af
    d.vorder = s.order


cdef int dest_link(engine_t *e, uint32_t svc, uint32_t i) noexcept nogil:
    cdef dest_t *d = &e.dests[i]
    d.svc = svc
    if not dest_enter(e, d, i) or not list_insert(&e.scheds[svc], i):
        return -ENOMEM
    d.slot = NO_INDEX
    d.order = next_order(e)
    d.idle_since_s = 0
    d.flags |= DEST_USED | DEST_AVAILABLE | DEST_STEERED
    dest_steer(e, d, 1)
    if not sched_changed(e, svc, DEST_ADDED, 0, i):
        dest_unlink(e, svc, 0)
        return -EINVAL
    return 0


cdef int dest_edit(engine_t *e, uint32_t svc, const dest_t *new) noexcept nogil:
    cdef uint32_t at = dest_by_key(e, svc, new)
    cdef int error = dest_check(e, svc, new)
    if error:
        return error
    if at == NO_INDEX:
        return -ENOENT
    dest_steer(e, &e.dests[e.scheds[svc].list[at]], -1)
    dest_set(&e.dests[e.scheds[svc].list[at]], new)
    dest_steer(e, &e.dests[e.scheds[svc].list[at]], 1)
    sched_changed(e, svc, DEST_EDITED, at, e.scheds[svc].list[at])
    return 0


cdef int dest_del(engine_t *e, uint32_t svc, const dest_t *like) noexcept nogil:
    cdef uint32_t at = dest_by_key(e, svc, like)
    if at == NO_INDEX:
        return -ENOENT
    dest_unlink(e, svc, at)
    return 0


cdef void dest_unlink(engine_t *e, uint32_t svc, uint32_t at) noexcept nogil:
    """Move the destination at a position of the list to the trash (spec 1.7)."""
    cdef sched_t *s = &e.scheds[svc]
    cdef dest_t *d = &e.dests[s.list[at]]
    d.flags &= ~<uint32_t>DEST_AVAILABLE
    e.ntrash += 1
    s.ndest -= 1
    memmove(s.list + at, s.list + at + 1, (s.ndest - at) * sizeof(uint32_t))
    map_del(&e.members, &d.addr, proto_port(d.af, d.port), svc + 1)
    sched_changed(e, svc, DEST_REMOVED, at, <uint32_t>(d - e.dests))
    d.svc = NO_INDEX
    if e.settings.expire_nodest_conn and d.refs:
        dest_sweep(e, <uint32_t>(d - e.dests))


cdef void dest_sweep(engine_t *e, uint32_t dest) noexcept nogil:
    """Expire the connections of a deleted destination (expire_nodest_conn, spec 2.6)."""
    cdef uint32_t i
    for i in range(e.header.fresh):
        if (
            e.conns[i].flags & CONN_HASHED and e.conns[i].dest == dest
            and not e.conns[i].flags & CONN_TEMPLATE
        ):
            conn_expire_now(&e.workers[conn_owner(e, i)], i)


cdef void trash_run(engine_t *e, uint32_t now_s) noexcept nogil:
    """Visit the trash, once a minute: free what nobody has referenced for 120 s (spec 1.7)."""
    cdef uint32_t i
    cdef dest_t *d
    for i in range(e.max_dests):
        d = &e.dests[i]
        if not d.flags & DEST_USED or d.flags & DEST_AVAILABLE:
            continue
        if d.refs:
            d.idle_since_s = 0
        elif d.idle_since_s == 0:
            d.idle_since_s = now_s
        elif now_s - d.idle_since_s >= 120:
            dest_steer(e, d, -1)
            e.ntrash -= 1
            d.flags = 0


# ---------------------------------------------------------------- counters

cdef uint64_t next_order(engine_t *e) noexcept nogil:
    """Return a number larger than any given out before."""
    e.header.order += 1
    return e.header.order


cdef void counts_clear(engine_t *e, counts_t *of, uint32_t stride, uint32_t i) noexcept nogil:
    cdef uint32_t w
    for w in range(e.nworkers):
        memset(&of[<size_t>w * stride + i], 0, sizeof(counts_t))


cdef void counts_sum(
    engine_t *e, const counts_t *of, uint32_t stride, uint32_t i, uint64_t *sums
) noexcept nogil:
    """Add up conns, inpkts, outpkts, inbytes, outbytes over the workers."""
    cdef uint32_t w, k
    cdef const uint64_t *c
    for k in range(5):
        sums[k] = 0
    for w in range(e.nworkers):
        c = <const uint64_t *>&of[<size_t>w * stride + i]
        for k in range(5):
            sums[k] += c[k]


cdef void estimate(est_t *est, const uint64_t *sums) noexcept nogil:
    """One step of the kernel's estimator, every 2 s (spec 7.3)."""
    cdef uint32_t k
    cdef int64_t r
    for k in range(5):
        r = <int64_t>((sums[k] - est.last[k]) << (4 if k >= 3 else 9))
        est.last[k] = sums[k]
        est.avg[k] += <uint64_t>((r - <int64_t>est.avg[k]) >> 2)


cdef void estimate_all(engine_t *e) noexcept nogil:
    """Let every estimator take a step."""
    cdef uint64_t[5] sums
    cdef uint32_t i
    counts_sum(e, e.total_counts, 1, 0, sums)
    estimate(&e.header.total, sums)
    for i in range(e.max_svcs):
        if e.svcs[i].used:
            counts_sum(e, e.svc_counts, e.max_svcs, i, sums)
            estimate(&e.svcs[i].est, sums)
    for i in range(e.max_dests):
        if e.dests[i].flags & DEST_AVAILABLE:
            counts_sum(e, e.dest_counts, e.max_dests, i, sums)
            estimate(&e.dests[i].est, sums)


cdef void est_zero(est_t *est) noexcept nogil:
    """Show zero from now on: what was last estimated becomes the base (spec 7.4)."""
    cdef uint32_t k
    for k in range(5):
        est.base[k] = est.last[k]
        est.avg[k] = 0


cdef void svc_zero(engine_t *e, uint32_t i) noexcept nogil:
    """Zero a service and each of its destinations."""
    cdef uint32_t at
    est_zero(&e.svcs[i].est)
    for at in range(e.scheds[i].ndest):
        est_zero(&e.dests[e.scheds[i].list[at]].est)
