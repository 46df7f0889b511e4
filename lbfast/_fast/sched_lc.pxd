"""lc: least connections.  Same rule as the kernel's ip_vs_lc; weights count as zero or not."""
from libc.stdint cimport int64_t, uint32_t

from lbfast._fast.sched cimport dest_of, dest_overhead, dest_usable
from lbfast._fast.types cimport NO_DEST, pkt_t, sched_t, worker_t


cdef inline int lc_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the smallest overhead; the first in the list on ties."""
    cdef int best = NO_DEST
    cdef int64_t load, least = 0
    cdef uint32_t i
    for i in range(s.ndest):
        if not dest_usable(dest_of(s, i)):
            continue
        load = dest_overhead(dest_of(s, i))
        if best == NO_DEST or load < least:
            best = <int>s.list[i]
            least = load
    return best
