"""sed: shortest expected delay.  Same rule as the kernel's ip_vs_sed."""
from libc.stdint cimport int64_t, uint32_t

from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline int sed_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the least (active + 1) for its weight."""
    cdef int best = NO_DEST
    cdef dest_t *least = NULL
    cdef dest_t *d
    cdef uint32_t i
    for i in range(s.ndest):
        d = dest_of(s, i)
        if not dest_usable(d):
            continue
        if least == NULL or (
            (<int64_t>least.activeconns + 1) * d.weight
            > (<int64_t>d.activeconns + 1) * least.weight
        ):
            least = d
            best = <int>s.list[i]
    return best
