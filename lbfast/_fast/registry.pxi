"""The table of schedulers: one line each."""

cdef sched_ops_t[32] SCHEDULERS
cdef uint32_t N_SCHEDULERS = 0


cdef void sched_register(
    const char *name,
    bint (*start)(sched_t *s) noexcept nogil,
    void (*stop)(sched_t *s) noexcept nogil,
    bint (*change)(sched_t *s, uint32_t event, uint32_t at, uint32_t dest) noexcept nogil,
    int (*pick)(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil,
    void (*load)(sched_t *s, uint32_t dest) noexcept nogil,
) noexcept:
    global N_SCHEDULERS
    SCHEDULERS[N_SCHEDULERS] = sched_ops_t(name, start, stop, change, pick, load, NULL, NULL)
    N_SCHEDULERS += 1


sched_register(b"rr", rr_start, rr_stop, rr_change, rr_pick, rr_load)
sched_register(b"wrr", wrr_start, wrr_stop, wrr_change, wrr_pick, wrr_load)
sched_register(b"lc", lc_start, heap_stop, lc_change, lc_pick, lc_load)
sched_register(b"wlc", wlc_start, heap_stop, wlc_change, wlc_pick, wlc_load)
sched_register(b"sed", sed_start, heap_stop, sed_change, sed_pick, sed_load)
sched_register(b"nq", nq_start, heap_stop, nq_change, nq_pick, nq_load)
sched_register(b"fo", fo_start, heap_stop, fo_change, fo_pick, fo_load)
sched_register(b"ovf", ovf_start, heap_stop, ovf_change, ovf_pick, ovf_load)
sched_register(b"dh", dh_start, dh_stop, dh_change, dh_pick, NULL)
sched_register(b"sh", sh_start, sh_stop, sh_change, sh_pick, NULL)
sched_register(b"mh", mh_start, mh_stop, mh_change, mh_pick, NULL)
sched_register(b"lblc", cache_start, cache_stop, cache_change, lblc_pick, cache_load)
sched_register(b"lblcr", cache_start, cache_stop, cache_change, lblcr_pick, cache_load)
sched_register(b"twos", twos_start, twos_stop, twos_change, twos_pick, twos_load)


cdef sched_ops_t *sched_find(engine_t *e, const char *name) noexcept nogil:
    """Return the scheduler of that name, built in or registered with the engine, or NULL."""
    cdef uint32_t i
    for i in range(N_SCHEDULERS):
        if strcmp(SCHEDULERS[i].name, name) == 0:
            return &SCHEDULERS[i]
    return outside_find(e, name)


cdef inline void sched_load(engine_t *e, uint32_t dest) noexcept nogil:
    """Tell the scheduler of the destination's service that its counts changed."""
    cdef uint32_t svc = e.dests[dest].svc
    cdef sched_t *s
    if svc == NO_INDEX:
        return
    s = &e.scheds[svc]
    if s.ops != NULL and (<sched_ops_t *>s.ops).load != NULL:
        (<sched_ops_t *>s.ops).load(s, dest)


cdef inline void sched_conn(engine_t *e, uint32_t conn, uint32_t dest, bint made) noexcept nogil:
    """Tell a scheduler that follows single connections of one that was made, or ended."""
    cdef uint32_t svc = e.dests[dest].svc
    cdef flow_t f
    cdef sched_t *s
    if svc == NO_INDEX:
        return
    s = &e.scheds[svc]
    if s.ops != NULL and LB_UNLIKELY((<sched_ops_t *>s.ops).conn != NULL):
        flow_of_conn(e, conn, svc, &f)
        (<sched_ops_t *>s.ops).conn(s, dest, &f, made)
