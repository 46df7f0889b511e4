"""The table of schedulers: one line each."""

cdef bint no_start(sched_t *s) noexcept nogil:
    return True


cdef void no_stop(sched_t *s) noexcept nogil:
    pass


cdef bint no_change(sched_t *s, uint32_t event, uint32_t at) noexcept nogil:
    return True


cdef sched_ops_t[32] SCHEDULERS
cdef uint32_t N_SCHEDULERS = 0


cdef void sched_register(
    const char *name,
    bint (*start)(sched_t *s) noexcept nogil,
    void (*stop)(sched_t *s) noexcept nogil,
    bint (*change)(sched_t *s, uint32_t event, uint32_t at) noexcept nogil,
    int (*pick)(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil,
    void (*load)(sched_t *s, uint32_t dest) noexcept nogil,
) noexcept:
    global N_SCHEDULERS
    SCHEDULERS[N_SCHEDULERS] = sched_ops_t(name, start, stop, change, pick, load)
    N_SCHEDULERS += 1


sched_register(b"rr", rr_start, rr_stop, rr_change, rr_pick, NULL)
sched_register(b"wrr", wrr_start, wrr_stop, wrr_change, wrr_pick, NULL)
sched_register(b"lc", no_start, no_stop, no_change, lc_pick, NULL)
sched_register(b"wlc", no_start, no_stop, no_change, wlc_pick, NULL)
sched_register(b"sed", no_start, no_stop, no_change, sed_pick, NULL)
sched_register(b"nq", no_start, no_stop, no_change, nq_pick, NULL)
sched_register(b"fo", no_start, no_stop, no_change, fo_pick, NULL)
sched_register(b"ovf", no_start, no_stop, no_change, ovf_pick, NULL)
sched_register(b"dh", dh_start, dh_stop, dh_change, dh_pick, NULL)
sched_register(b"sh", sh_start, sh_stop, sh_change, sh_pick, NULL)
sched_register(b"mh", mh_start, mh_stop, mh_change, mh_pick, NULL)
sched_register(b"lblc", cache_start, cache_stop, no_change, lblc_pick, NULL)
sched_register(b"lblcr", cache_start, cache_stop, no_change, lblcr_pick, NULL)
sched_register(b"twos", no_start, no_stop, no_change, twos_pick, NULL)


cdef sched_ops_t *sched_find(const char *name) noexcept nogil:
    """Return the scheduler of that name, or NULL."""
    cdef uint32_t i
    for i in range(N_SCHEDULERS):
        if strcmp(SCHEDULERS[i].name, name) == 0:
            return &SCHEDULERS[i]
    return NULL


cdef inline void sched_load(engine_t *e, uint32_t dest) noexcept nogil:
    """Tell the scheduler of the destination's service that its counts changed."""
    cdef uint32_t svc = e.dests[dest].svc
    cdef sched_t *s
    if svc == NO_INDEX:
        return
    s = &e.scheds[svc]
    if s.ops != NULL and (<sched_ops_t *>s.ops).load != NULL:
        (<sched_ops_t *>s.ops).load(s, dest)
