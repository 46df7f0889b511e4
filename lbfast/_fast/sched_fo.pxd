"""fo: weighted fail-over.  Same rule as the kernel's ip_vs_fo."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched_heap cimport (
    RANK_FO, heap_first, heap_follow, heap_start, heap_t, heap_update,
)
from lbfast._fast.types cimport pkt_t, sched_t, worker_t


cdef inline bint fo_start(sched_t *s) noexcept nogil:
    return heap_start(s, RANK_FO)


cdef inline bint fo_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    return heap_follow(s, <heap_t *>s.priv, event, dest, RANK_FO)


cdef inline void fo_load(sched_t *s, uint32_t dest) noexcept nogil:
    heap_update(s, <heap_t *>s.priv, dest, RANK_FO)


cdef inline int fo_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the highest weight; the first in the list on ties."""
    return heap_first(<heap_t *>s.priv)
