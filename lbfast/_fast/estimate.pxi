"""Counters and what the estimator makes of them (spec 7)."""


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


cdef void counts_fold(engine_t *e, counts_t *of, uint32_t stride, uint32_t i) noexcept nogil:
    """Give the first worker what those that are no more have counted."""
    cdef uint64_t *first = <uint64_t *>&of[i]
    cdef uint64_t *its
    cdef uint32_t w, k
    for w in range(e.nworkers, min(e.header.workers, <uint32_t>MAX_WORKERS)):
        its = <uint64_t *>&of[<size_t>w * stride + i]
        for k in range(5):
            first[k] += its[k]
            its[k] = 0


cdef void attach_counts(engine_t *e) noexcept nogil:
    """Keep what was counted when there are fewer workers than before."""
    cdef uint32_t i
    if e.header.workers > e.nworkers:
        counts_fold(e, e.total_counts, 1, 0)
        for i in range(e.max_svcs):
            if e.svcs[i].used:
                counts_fold(e, e.svc_counts, e.max_svcs, i)
        for i in range(e.max_dests):
            if e.dests[i].flags & DEST_USED:
                counts_fold(e, e.dest_counts, e.max_dests, i)
    e.header.workers = e.nworkers


cdef void estimate(est_t *est, const uint64_t *sums) noexcept nogil:
    """One step of the kernel's estimator, every 2 s (spec 7.3)."""
    cdef uint32_t k
    cdef int64_t r
    for k in range(5):
        r = <int64_t>((sums[k] - est.last[k]) << (4 if k >= 3 else 9))
        est.last[k] = sums[k]
        est.avg[k] += <uint64_t>((r - <int64_t>est.avg[k]) >> 2)


cdef void counts_move(engine_t *e, uint32_t svc, uint32_t dest, bint joins) noexcept nogil:
    """A destination joins a service, or leaves it: the service has counted what it did, all the
    same."""
    cdef uint32_t w, k
    cdef uint64_t *of
    cdef const uint64_t *its
    for w in range(e.nworkers):
        of = <uint64_t *>&e.svc_counts[<size_t>w * e.max_svcs + svc]
        its = <const uint64_t *>&e.dest_counts[<size_t>w * e.max_dests + dest]
        for k in range(5):
            of[k] += <uint64_t>0 - its[k] if joins else its[k]


cdef void estimate_all(engine_t *e) noexcept nogil:
    """Let every estimator take a step."""
    cdef uint64_t[5] sums
    cdef uint32_t i
    counts_sum(e, e.total_counts, 1, 0, sums)
    estimate(&e.header.total, sums)
    for i in range(e.max_svcs):
        if e.svcs[i].used:
            estimate_svc(e, i)


cdef void estimate_svc(engine_t *e, uint32_t i) noexcept nogil:
    """A step for a service and its destinations; packets are counted on these alone."""
    cdef uint64_t[5] sums
    cdef uint64_t[5] all
    cdef const sched_t *sched = &e.scheds[i]
    cdef uint32_t at, k
    counts_sum(e, e.svc_counts, e.max_svcs, i, all)
    for at in range(sched.ndest):
        counts_sum(e, e.dest_counts, e.max_dests, sched.list[at], sums)
        estimate(&e.dests[sched.list[at]].est, sums)
        for k in range(5):
            all[k] += sums[k]
    estimate(&e.svcs[i].est, all)


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
