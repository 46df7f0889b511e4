"""wlc: weighted least connections.  Same rule as the kernel's ip_vs_wlc."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched cimport dest_of, dest_overhead, dest_usable
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline int wlc_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the least overhead for its weight; the first in the
    list on ties.  The quotients are compared by their cross products."""
    cdef int best = NO_DEST
    cdef dest_t *least = NULL
    cdef dest_t *d
    cdef uint32_t i
    for i in range(s.ndest):
        d = dest_of(s, i)
        if not dest_usable(d):
            continue
        if least == NULL or dest_overhead(least) * d.weight > dest_overhead(d) * least.weight:
            least = d
            best = <int>s.list[i]
    return best
