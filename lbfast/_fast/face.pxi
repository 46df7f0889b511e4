"""Records as Python values, and frames between Python and the data path."""

REASONS = (
    "none", "truncated", "bad-header", "no-ports", "table-full", "no-server", "server-gone",
    "no-route", "no-neighbour", "ttl", "mtu", "mtu-tiny", "bad-checksum", "martian",
    "fragment-timeout", "fragment-bad", "fragment-memory", "icmp-related", "defence",
    "no-pe-data", "reply-unreachable", "ip-option", "gso", "no-local-address", "out-full",
    "backpressure", "scheduler", "relayed", "handover-full",
)
VERDICTS = ("drop", "next", "sent", "host", "ignore", "held")


cdef route_t route_of(
    uint32_t table, bytes dst, uint32_t prefixlen, uint32_t type, uint32_t oif, bytes gateway,
    uint32_t metric,
) except *:
    cdef route_t r
    memset(&r, 0, sizeof(r))
    if table >= 16 or prefixlen > 8 * <uint32_t>len(dst):
        raise ValueError("route table or prefix length out of range")
    r.table = table
    r.dst = addr_of(dst)
    r.prefixlen = prefixlen
    r.is_v6 = len(dst) == 16
    r.type = type
    r.ifindex = oif
    r.has_via = len(gateway) > 0
    r.via_v6 = len(gateway) == 16
    r.via = addr_of(gateway)
    r.metric = metric
    return r


cdef tuple svc_tuple(engine_t *e, uint32_t i):
    cdef svc_t *s = &e.svcs[i]
    cdef sched_t *sched = &e.scheds[i]
    cdef uint32_t at
    is_v6 = svc_is_v6(s)
    if s.fwmark:
        key = (s.af, 0, b"", 0, s.fwmark)
    else:
        key = (s.af, s.protocol, addr_bytes(&s.addr, is_v6), LB_SWAP16(s.port), 0)
    servers = [server_tuple(&e.dests[sched.list[at]]) for at in range(sched.ndest)]
    netmask = s.netmask if is_v6 else LB_SWAP32(s.netmask)
    est = est_tuple(&s.est)
    laddrs = tuple(laddr_list(e, i))
    return (key, s.sched_name, s.flags, s.timeout_s, netmask, s.pe_name, est, servers, laddrs)


cdef tuple dest_service_key(const dest_t *d):
    """The key of the service that a destination belongs, or belonged, to."""
    if d.vfwmark:
        return (d.vaf, 0, b"", 0, d.vfwmark)
    return (
        d.vaf, d.vprotocol, addr_bytes(&d.vaddr, d.vaf == AF_INET6), LB_SWAP16(d.vport), 0
    )


cdef list laddr_list(engine_t *e, uint32_t svc):
    """The local addresses of a service, oldest first."""
    cdef pool_t *pool = &e.pools[svc]
    is_v6 = svc_is_v6(&e.svcs[svc])
    return [addr_bytes(&e.laddrs[pool.list[at]].addr, is_v6) for at in range(pool.n)]


cdef list linger_rows(const dest_t *d):
    """See Engine.lingering: what is to be told of one destination."""
    methods = []
    if d.flags & DEST_WAS_MASQ and d.method != MASQ:
        methods.append(MASQ)
    if d.flags & DEST_WAS_FULL and d.method != FULLNAT:
        methods.append(FULLNAT)
    if not d.flags & DEST_AVAILABLE:
        methods.append(d.method)
    row = server_tuple(d)
    return [(dest_service_key(d), (row[0], method, *row[2:])) for method in methods]


cdef tuple server_tuple(const dest_t *d):
    """((af, addr, port), method, weight, u, l, tun_type, tun_port, tun_flags, active, inactive,
    persistent, stats)."""
    return (
        (d.af, addr_bytes(&d.addr, d.af == AF_INET6), LB_SWAP16(d.port)), d.method, d.weight,
        d.u_threshold, d.l_threshold, d.tun_type, LB_SWAP16(d.tun_port), d.tun_flags,
        d.activeconns, d.inactconns, d.persistconns, est_tuple(&d.est),
    )


cdef object conn_tuple(engine_t *e, uint32_t i, uint32_t now):
    """(af, protocol, caddr, cport, vaddr, vport, daddr, dport, state, ms left, flags, pe_data,
    laddr, lport); the last two only of FULLNAT.

    None when the record became another connection's meanwhile: workers do not wait for readers.
    """
    cdef conn_t c = e.conns[i]
    cdef addr_t caddr = conn_caddr(e, i), vaddr = conn_vaddr(e, i), daddr = conn_daddr(e, i)
    cdef bint is_v6 = (c.flags & CONN_V6) != 0
    cdef int32_t left = <int32_t>(c.expires - now)
    row = (
        AF_INET6 if is_v6 else AF_INET, c.protocol,
        addr_bytes(&caddr, is_v6), LB_SWAP16(c.cport),
        addr_bytes(&vaddr, is_v6), LB_SWAP16(c.vport),
        addr_bytes(&daddr, (c.flags & CONN_D6) != 0), LB_SWAP16(c.dport),
        c.state, max(left, 0) * (1000 // TICKS_PER_S), c.flags, pe_data_of(e, i),
        addr_bytes(&e.fulls[i].laddr, is_v6) if is_full(c.flags) else b"",
        LB_SWAP16(e.fulls[i].lport) if is_full(c.flags) else 0,
    )
    return row if conn_is_still(&c, &e.conns[i]) else None


cdef bytes pe_data_of(engine_t *e, uint32_t i):
    """What the persistence engine found, of a template; else b""."""
    cdef conn_ext_t *x = &e.exts[i]
    if e.conns[i].ext == NO_INDEX or not e.conns[i].flags & CONN_TEMPLATE:
        return b""
    return (<const char *>x.pe_data)[:min(x.pe_len, <uint32_t>255)]


cdef int32_t *setting_at(settings_t *s, str name) except NULL:
    """Return where a setting is kept; all are 32-bit, in the order of SETTINGS."""
    if name not in SETTINGS:
        raise KeyError(name)
    return &(<int32_t *>s)[SETTINGS.index(name)]


SETTINGS = (
    "amemthresh", "am_droprate", "drop_entry", "drop_packet", "secure_tcp", "conntrack",
    "snat_reroute", "cache_bypass", "expire_nodest_conn", "expire_quiescent_template",
    "sloppy_tcp", "sloppy_sctp", "conn_reuse_mode", "nat_icmp_send", "pmtu_disc",
    "schedule_icmp", "ignore_tunneled", "backup_only", "run_estimation", "lblc_expiration",
    "lblcr_expiration", "tcp_timeout_s", "tcpfin_timeout_s", "udp_timeout_s", "ftp_helper",
    "toa",
    "sync_version", "sync_threshold", "sync_period", "sync_refresh_period", "sync_retries",
    "sync_qlen_max", "sync_sock_size", "sync_ports", "sync_persist_mode",
)


# ---------------------------------------------------------------- addresses of the host

cdef bint ifaddr_insert(
    world_t *wd, uint32_t ifindex, const addr_t *addr, bint is_v6, uint32_t prefixlen
) noexcept nogil:
    cdef ifaddr_t *more
    cdef ifaddr_t *a
    if wd.naddrs == wd.max_addrs:
        more = <ifaddr_t *>realloc(wd.addrs, (<size_t>wd.max_addrs * 2 + 16) * sizeof(ifaddr_t))
        if more == NULL:
            return False
        wd.addrs = more
        wd.max_addrs = wd.max_addrs * 2 + 16
    a = &wd.addrs[wd.naddrs]
    a.ifindex = ifindex
    a.is_v6 = is_v6
    a.prefixlen = prefixlen
    a.addr = addr[0]
    wd.naddrs += 1
    wd.generation += 1
    return True


cdef void ifaddr_remove(
    world_t *wd, uint32_t ifindex, const addr_t *addr, bint is_v6
) noexcept nogil:
    cdef uint32_t i
    for i in range(wd.naddrs):
        if (
            wd.addrs[i].ifindex == ifindex and wd.addrs[i].is_v6 == <uint32_t>is_v6
            and addr_eq(&wd.addrs[i].addr, addr)
        ):
            wd.naddrs -= 1
            memmove(&wd.addrs[i], &wd.addrs[i + 1], (wd.naddrs - i) * sizeof(ifaddr_t))
            wd.generation += 1
            return


# ---------------------------------------------------------------- frames

cdef void batch_time(worker_t *w, uint64_t now_ns) noexcept nogil:
    """Start of a batch: take the time, run what is due."""
    w.now_ns = now_ns
    w.now = <uint32_t>(now_ns // NS_PER_TICK)
    timers_run(w)
    frag_run(w)
    if (<pending_t *>w.pending).n:
        pending_run(w)


cdef void process_begin(engine_t *e, void *sink, uint64_t now_ns) noexcept:
    """Let every worker's outs be collected, and tell it the time."""
    cdef worker_t *w
    cdef uint32_t k
    for k in range(e.nworkers):
        w = &e.workers[k]
        w.sink = sink
        w.flush = collect
        batch_time(w, now_ns)
    process_flush(e)


cdef void process_end(engine_t *e) noexcept:
    cdef uint32_t k
    for k in range(e.nworkers):
        e.workers[k].sink = NULL


cdef void process_flush(engine_t *e) noexcept:
    """Settle what the workers handed to one another, and collect all outs."""
    cdef worker_t *w
    cdef came_t came
    cdef uint32_t k, handed = 1
    memset(&came, 0, sizeof(came_t))
    while handed:
        handed = 0
        for k in range(e.nworkers):
            w = &e.workers[k]
            if e.nworkers > 1:
                handed += handover_run(e, w, &came)
            w.flush(w)
            w.scratch_used = w.to_wake = 0


cdef int frame_take(engine_t *e, frame_t *f, uint8_t *memory, tuple row) except -1:
    """Copy a frame to where the data path may write, as the rings would."""
    cdef uint32_t ifindex = row[0]
    cdef bytes vnet = row[1], frame = row[2]
    if len(frame) > MAX_FRAME:
        raise ValueError(f"frame of {len(frame)} bytes, at most {MAX_FRAME}")
    if link_find(&e.world, ifindex) == NO_INDEX:
        raise ValueError(f"no link with index {ifindex}")
    memset(f, 0, sizeof(frame_t))
    f.data = memory + HEADROOM
    memcpy(f.data, <const char *>frame, len(frame))
    f.len = f.wire_len = len(frame)
    if len(vnet) >= sizeof(vnet_t):
        memcpy(&f.vnet, <const char *>vnet, sizeof(vnet_t))
    return 0


cdef int process_some(engine_t *e, uint8_t *memory, list frames) except -1:
    """Run up to BATCH frames of one interface together and collect what leaves."""
    cdef frame_t[BATCH] taken
    cdef uint32_t i, n = <uint32_t>len(frames)
    for i in range(n):
        frame_take(e, &taken[i], memory + <size_t>i * FRAME_ROOM, frames[i])
        if frames[i][0] != frames[0][0]:
            raise ValueError("a batch is of one interface")
    frames_run(e, &e.workers[0], taken, n, frames[0][0])
    process_flush(e)
    return 0

cdef enum:
    FRAME_ROOM = MAX_FRAME + 2 * HEADROOM


cdef void collect(worker_t *w) noexcept with gil:
    """The sink of process(): outs become Python values."""
    cdef uint32_t i
    cdef out_t *o
    outs = (<Engine>w.sink).outs
    for i in range(w.nouts):
        o = &w.outs[i]
        outs.append((
            o.kind, o.ifindex, (<const char *>&o.vnet)[:sizeof(vnet_t)],
            (<const char *>o.data)[:o.len],
        ))
    w.nouts = 0
