"""The arena: one memory region of records behind a header, and what is derived from it.

Records are written so that a kill at any instruction leaves the region readable: the word that
says "live" (conn_t.flags HASHED, dest_t.flags USED, svc_t.used) is written last and cleared first.
Chains, lists, counts and scheduler state are rebuilt when a process attaches.
"""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strcmp, strcpy, memmove

cdef enum:
    LAYOUT_VERSION = 5
    HEADER_SIZE = 4096            # and behind it the rules that mark packets
    SCRATCH_SIZE = 8 << 20
    MAX_OUTS = 4096
    MAX_NEIGHS = 65536

cdef uint64_t ARENA_MAGIC = 0x6C62666173743031          # "lbfast01"


cdef uint64_t arena_lay(engine_t *e, void *region) noexcept nogil:
    """Point the engine's arrays into a region of its numbers of records; returns the region's
    size.  Large arrays begin with a huge page of their own, so that what is never used of them
    (IPv6 addresses, FULLNAT, extensions) takes no memory."""
    cdef uint64_t at = HEADER_SIZE, conns = e.max_conns, dests = e.max_dests, svcs = e.max_svcs
    LB_STATIC_ASSERT(sizeof(header_t) <= HEADER_SIZE)
    LB_STATIC_ASSERT(sizeof(mark_t) == 80)       # a set takes whole pages: records stay aligned
    LB_STATIC_ASSERT(sizeof(conn_t) == 64 and sizeof(conn6_t) == 64)
    e.region = region
    e.header = <header_t *>region
    e.max_laddrs = <uint32_t>laddrs_for(e.max_svcs)
    e.mark_sets = <mark_t *>arena_part(region, &at, 2 * MAX_MARKS * sizeof(mark_t))
    e.total_counts = <counts_t *>arena_part(region, &at, MAX_WORKERS * sizeof(counts_t))
    e.svcs = <svc_t *>arena_part(region, &at, svcs * sizeof(svc_t))
    e.dests = <dest_t *>arena_part(region, &at, dests * sizeof(dest_t))
    e.svc_counts = <counts_t *>arena_part(region, &at, MAX_WORKERS * svcs * sizeof(counts_t))
    e.dest_counts = <counts_t *>arena_part(region, &at, MAX_WORKERS * dests * sizeof(counts_t))
    e.laddrs = <laddr_t *>arena_part(region, &at, e.max_laddrs * sizeof(laddr_t))
    e.conns = <conn_t *>arena_part(region, &at, conns * sizeof(conn_t))
    e.conns6 = <conn6_t *>arena_part(region, &at, conns * sizeof(conn6_t))
    e.to_conn6 = <uint64_t>(<uint8_t *>e.conns6 - <uint8_t *>e.conns)
    e.fulls = <conn_full_t *>arena_part(region, &at, conns * sizeof(conn_full_t))
    e.exts = <conn_ext_t *>arena_part(region, &at, conns * sizeof(conn_ext_t))
    return huge_up(at)


cdef void *arena_part(void *region, uint64_t *at, uint64_t size) noexcept nogil:
    """Return where an array begins; `at` (bytes) moves behind it."""
    if size >= HUGE_PAGE:
        at[0] = huge_up(at[0] if at[0] > HUGE_PAGE else HUGE_PAGE)
    at[0] = (at[0] + 63) & ~<uint64_t>63
    at[0] += size
    return <uint8_t *>region + (at[0] - size)


cdef void arena_format(engine_t *e, uint64_t seed, const char *boot_id) noexcept nogil:
    """Write the header of a fresh (zeroed) region; the magic last."""
    cdef header_t *h = e.header
    h.version = LAYOUT_VERSION
    h.conn_size = sizeof(conn_t)
    h.dest_size = sizeof(dest_t)
    h.svc_size = sizeof(svc_t)
    h.max_conns = e.max_conns
    h.max_dests = e.max_dests
    h.max_svcs = e.max_svcs
    h.seed = seed
    strcpy(h.boot_id, boot_id)
    settings_default(&h.settings)
    h.magic = ARENA_MAGIC


cdef void settings_default(settings_t *s) noexcept nogil:
    """The kernel's defaults (spec 2.11, 4.5)."""
    memset(s, 0, sizeof(settings_t))
    s.amemthresh = 1024
    s.am_droprate = 10
    s.snat_reroute = 1
    s.conn_reuse_mode = 1
    s.pmtu_disc = 1
    s.run_estimation = 1
    s.lblc_expiration = 86400
    s.lblcr_expiration = 86400
    s.tcp_timeout_s = 900
    s.tcpfin_timeout_s = 120
    s.udp_timeout_s = 300
    s.ftp_helper = 1
    s.toa = 1
    s.sync_version = 1
    s.sync_threshold = 3
    s.sync_period = 50
    s.sync_ports = 1


# ---------------------------------------------------------------- what is derived

cdef bint engine_derive(engine_t *e, uint32_t nworkers) noexcept nogil:
    """Allocate what lies outside of the region; False when there is no memory."""
    cdef uint32_t i, nbuckets = 256
    while nbuckets < 2 * <uint64_t>e.max_conns and nbuckets < 0x80000000U:     # short chains
        nbuckets *= 2
    e.nworkers = nworkers
    e.seed = e.header.seed
    seed_mix(e.seed, e.mix)
    e.settings = e.header.settings
    e.bucket_mask = nbuckets - 1
    e.buckets = <uint32_t *>memory_take(<uint64_t>nbuckets * sizeof(uint32_t))
    e.scheds = <sched_t *>calloc(e.max_svcs, sizeof(sched_t))
    e.workers = <worker_t *>calloc(nworkers + 1, sizeof(worker_t))
    e.template_mask = 65535
    e.templates = <uint32_t *>calloc(65536, sizeof(uint32_t))
    e.flows = flows_take(e.max_conns)
    e.outers = <outer_t *>calloc(e.max_dests, sizeof(outer_t))
    e.generation = GENERATION
    if (
        e.templates == NULL or e.buckets == NULL or e.scheds == NULL or e.workers == NULL
        or e.flows == NULL or e.outers == NULL or not locals_init(e)
    ):
        return False
    e.workers[nworkers].wheel.heads = <uint32_t *>malloc(WHEEL_SLOTS * sizeof(uint32_t))
    if e.workers[nworkers].wheel.heads == NULL:
        return False
    memset(e.workers[nworkers].wheel.heads, 0xFF, WHEEL_SLOTS * sizeof(uint32_t))
    if nworkers > 1:
        e.handovers = calloc(nworkers * nworkers, sizeof(handover_t))
        if e.handovers == NULL:
            return False
    if not (map_init(&e.services, 64) and map_init(&e.steer, 64) and map_init(&e.members, 64)):
        return False
    if not world_init(&e.world, MAX_NEIGHS):
        return False
    for i in range(nworkers):
        if not worker_init(e, &e.workers[i], i):
            return False
    return True


cdef known_t *flows_take(uint32_t n) noexcept nogil:
    """Return n records, and in front of them one whose keys no packet has; NULL: no room."""
    cdef known_t *at = <known_t *>memory_take((<uint64_t>n + 1) * sizeof(known_t))
    if at == NULL:
        return NULL
    at.request.key = at.reply.key = NO_KEY
    return at + 1


cdef void flows_give(known_t *flows, uint32_t n) noexcept nogil:
    if flows != NULL:
        memory_give(flows - 1, (<uint64_t>n + 1) * sizeof(known_t))


cdef bint worker_init(engine_t *e, worker_t *w, uint32_t index) noexcept nogil:
    w.engine = e
    w.index = index
    w.max_outs = MAX_OUTS
    w.scratch_size = SCRATCH_SIZE
    w.rng = <uint32_t>(e.seed >> 7) * 2 + 2 * index + 1
    w.ip_id = <uint16_t>(e.seed + index)
    w.ip_step = <uint16_t>e.nworkers
    w.total = &e.total_counts[index]
    w.dests = &e.dest_counts[<size_t>index * e.max_dests]
    w.outs = <out_t *>malloc(MAX_OUTS * sizeof(out_t))
    w.scratch = <uint8_t *>memory_take(SCRATCH_SIZE)
    w.wheel.heads = <uint32_t *>malloc(WHEEL_SLOTS * sizeof(uint32_t))
    w.routes = calloc(ROUTE_CACHE, sizeof(cached_t))
    w.pending = calloc(1, sizeof(pending_t))
    if (
        w.outs == NULL or w.scratch == NULL or w.wheel.heads == NULL or w.routes == NULL
        or w.pending == NULL or not frag_init(w)
    ):
        return False
    memset(w.wheel.heads, 0xFF, WHEEL_SLOTS * sizeof(uint32_t))
    w.free_head = NO_INDEX
    w.free_fresh = <uint32_t>(<uint64_t>e.max_conns * index // e.nworkers)
    w.fresh_end = <uint32_t>(<uint64_t>e.max_conns * (index + 1) // e.nworkers)
    return True


cdef void worker_free(worker_t *w) noexcept nogil:
    cdef pending_t *waiting = <pending_t *>w.pending
    cdef uint32_t i
    if waiting != NULL:
        for i in range(waiting.n):
            free(waiting.waiting[i].memory)
    free(w.outs)
    memory_give(w.scratch, SCRATCH_SIZE)
    free(w.wheel.heads)
    free(w.routes)
    free(w.pending)
    frag_free(w)


cdef void engine_free(engine_t *e) noexcept nogil:
    """Release all that lies outside of the region."""
    cdef uint32_t i
    if e.scheds != NULL:
        for i in range(e.max_svcs):
            sched_unbind(e, i)
            free(e.scheds[i].list)
    if e.workers != NULL:
        for i in range(e.nworkers):
            worker_free(&e.workers[i])
        free(e.workers[e.nworkers].wheel.heads)
    handover_free(e)
    memory_give(e.buckets, (<uint64_t>e.bucket_mask + 1) * sizeof(uint32_t))
    locals_free(e)
    flows_give(e.flows, e.max_conns)
    free(e.outers)
    free(e.templates)
    free(e.scheds)
    free(e.workers)
    map_free(&e.services)
    map_free(&e.steer)
    map_free(&e.members)
    outside_free(e)
    if e.world.request_fd >= 0:
        close(e.world.request_fd)
    world_free(&e.world)


# ---------------------------------------------------------------- attaching

ctypedef struct repair_t:         # what attaching found
    uint32_t services
    uint32_t dests                # those that were deleted and still have connections apart
    uint32_t conns
    uint32_t broken               # records that made no sense and were given up


cdef void engine_attach(engine_t *e, uint32_t now, bint fresh, repair_t *found) noexcept nogil:
    """Rebuild lists, chains, timers and counts from the records; in a fresh region there are
    none, and it is not read, as that would take its memory."""
    cdef uint32_t i
    memset(found, 0, sizeof(repair_t))
    for i in range(e.nworkers + 1):
        e.workers[i].now = now
        e.workers[i].wheel.slot = now // TICKS_PER_SLOT
    if fresh:
        e.header.workers = e.nworkers
        return
    attach_marks(e, found)
    attach_services(e, found)
    attach_laddrs(e, found)
    attach_dests(e, found)
    attach_conns(e, found)
    laddrs_trash_run(e)
    attach_scheds(e, found)
    attach_counts(e)


cdef void attach_dests(engine_t *e, repair_t *found) noexcept nogil:
    cdef uint32_t i
    cdef dest_t *d
    for i in range(e.max_dests):
        d = &e.dests[i]
        if not d.flags & DEST_USED:
            if d.flags:
                d.flags = 0
            continue
        if not dest_sane(e, d) or (d.flags & DEST_AVAILABLE and not attach_member(e, d, i)):
            d.flags = 0
            found.broken += 1
            continue
        if e.header.order < d.order:
            e.header.order = d.order
        d.activeconns = d.inactconns = d.persistconns = d.refs = 0
        d.flags |= DEST_STEERED
        dest_steer(e, d, 1)
        if d.flags & DEST_AVAILABLE:
            found.dests += 1
        else:
            e.ntrash += 1


cdef void attach_services(engine_t *e, repair_t *found) noexcept nogil:
    cdef uint32_t i
    cdef svc_t *s
    if e.header.order >= ORDER_LIMIT:
        e.header.order = 0
    for i in range(e.max_svcs):
        s = &e.svcs[i]
        if not s.used:
            continue
        if not svc_sane(e, s) or not svc_key_put(e, s, i):
            s.used = 0
            found.broken += 1
            continue
        found.services += 1
        svc_steer(e, s, 1)
        pool_scheduled(e, i)
        if e.header.order < s.order:
            e.header.order = s.order


cdef void attach_scheds(engine_t *e, repair_t *found) noexcept nogil:
    """Start the schedulers on the counts that the connections left; wlc stands in for one from
    outside until that is registered."""
    cdef uint32_t i
    cdef int error
    for i in range(e.max_svcs):
        if e.svcs[i].used:
            error = sched_bind(e, i, e.svcs[i].sched_name)
            if error == -ENOENT:
                error = sched_bind(e, i, b"wlc")
            if error:
                found.broken += 1
    pe_count(e)


cdef bint attach_member(engine_t *e, const dest_t *d, uint32_t i) noexcept nogil:
    """Enter a destination into its service's list, newest first; False when it is there already
    or there is no memory."""
    cdef sched_t *s = &e.scheds[d.svc]
    cdef uint32_t at = 0
    if dest_by_key(e, d.svc, d) != NO_INDEX or not list_insert(s, i):
        return False
    while at + 1 < s.ndest and e.dests[s.list[at + 1]].order > d.order:
        s.list[at] = s.list[at + 1]
        at += 1
    s.list[at] = i
    if at + 1 < s.ndest and e.dests[s.list[at + 1]].order == d.order or not dest_enter(e, d, i):
        s.ndest -= 1
        memmove(s.list + at, s.list + at + 1, (s.ndest - at) * sizeof(uint32_t))
        return False
    return True


cdef void attach_conns(engine_t *e, repair_t *found) noexcept nogil:
    cdef uint32_t i, high = e.header.fresh
    cdef worker_t *w
    if high > e.max_conns:
        e.header.fresh = high = e.max_conns
    for i in range(high):
        w = &e.workers[<uint64_t>i * e.nworkers // e.max_conns]
        if w.free_fresh <= i:
            w.free_fresh = i + 1
        if e.conns[i].flags & CONN_HASHED and attach_conn(e, i):
            found.conns += 1
            continue
        if e.conns[i].flags:
            found.broken += 1
        e.conns[i].flags = 0
        e.conns[i].hnext = w.free_head
        w.free_head = i
    for i in range(high):
        if e.conns[i].flags & CONN_HASHED and e.conns[i].control != NO_INDEX:
            attach_control(e, i, high)


cdef uint32_t conn_owner(engine_t *e, uint32_t i) noexcept nogil:
    """Return which worker handles the packets of a connection."""
    cdef conn_t *c = &e.conns[i]
    return hash_owner(e, conn_hash(e.seed, c.caddr, c.cport, c.protocol))


cdef bint attach_conn(engine_t *e, uint32_t i) noexcept nogil:
    """Chain one record, start its timer, count it; False when it makes no sense."""
    cdef conn_t *c = &e.conns[i]
    cdef worker_t *w = &e.workers[conn_owner(e, i)]
    cdef dest_t *d
    if not conn_sane(e, i):
        return False
    if c.dest != NO_INDEX:
        d = &e.dests[c.dest]
        d.refs += 1
        if c.flags & CONN_TEMPLATE:
            d.persistconns += 1
        elif c.flags & CONN_INACTIVE:
            d.inactconns += 1
        else:
            d.activeconns += 1
    c.n_control = 0
    if c.flags & CONN_EXPECTED:
        e.nexpected += 1
    if <int32_t>(c.expires - w.now) < 0:
        c.expires = w.now
    w.nconns += 1
    conn_chain(e, i)
    timer_link(e, w, i)
    return True


cdef void attach_control(engine_t *e, uint32_t i, uint32_t high) noexcept nogil:
    cdef uint32_t control = e.conns[i].control
    if control < high and e.conns[control].flags & CONN_HASHED and control_sane(
        &e.conns[i], &e.conns[control]
    ):
        e.conns[control].n_control += 1
    else:
        e.conns[i].control = NO_INDEX
