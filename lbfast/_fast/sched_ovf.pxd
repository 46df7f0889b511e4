"""ovf: weighted overflow.  Same rule as the kernel's ip_vs_ovf."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline int ovf_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the highest weight among those with no more active connections than their weight."""
    cdef int best = NO_DEST
    cdef dest_t *top = NULL
    cdef dest_t *d
    cdef uint32_t i
    for i in range(s.ndest):
        d = dest_of(s, i)
        if not dest_usable(d) or d.activeconns > <uint32_t>d.weight:
            continue
        if top == NULL or d.weight > top.weight:
            top = d
            best = <int>s.list[i]
    return best
