"""fo: weighted fail-over.  Same rule as the kernel's ip_vs_fo."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline int fo_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the highest weight; the first in the list on ties."""
    cdef int best = NO_DEST
    cdef dest_t *top = NULL
    cdef dest_t *d
    cdef uint32_t i
    for i in range(s.ndest):
        d = dest_of(s, i)
        if dest_usable(d) and (top == NULL or d.weight > top.weight):
            top = d
            best = <int>s.list[i]
    return best
