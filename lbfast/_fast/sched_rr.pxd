"""rr: round robin.  Same rule as the kernel's ip_vs_rr."""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from lbfast._fast.sched cimport DEST_ADDED, DEST_REMOVED, dest_of, dest_usable
from lbfast._fast.types cimport NO_DEST, pkt_t, sched_t, worker_t

ctypedef struct rr_t:
    int64_t at                   # position last picked; -1 = the list's head


cdef inline bint rr_start(sched_t *s) noexcept nogil:
    s.priv = calloc(1, sizeof(rr_t))
    if s.priv == NULL:
        return False
    (<rr_t *>s.priv).at = -1
    return True


cdef inline void rr_stop(sched_t *s) noexcept nogil:
    free(s.priv)
    s.priv = NULL


cdef inline bint rr_change(sched_t *s, uint32_t event, uint32_t at) noexcept nogil:
    """Keep the place across additions; a removal of the place moves it to the one before."""
    cdef rr_t *r = <rr_t *>s.priv
    if event == DEST_ADDED and r.at >= <int64_t>at:
        r.at += 1
    elif event == DEST_REMOVED and r.at >= <int64_t>at:
        r.at -= 1
    return True


cdef inline int rr_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the next usable destination after the last one; that one itself is tried last."""
    cdef rr_t *r = <rr_t *>s.priv
    cdef uint32_t i, at
    for i in range(s.ndest):
        at = <uint32_t>(r.at + 1 + i)
        if at >= s.ndest:
            at -= s.ndest
        if dest_usable(dest_of(s, at)):
            r.at = at
            return <int>s.list[at]
    return NO_DEST
