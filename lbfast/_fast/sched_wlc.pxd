"""wlc: weighted least connections.  Same rule as the kernel's ip_vs_wlc."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched_heap cimport (
    RANK_WLC, heap_first, heap_follow, heap_start, heap_t, heap_update,
)
from lbfast._fast.types cimport pkt_t, sched_t, worker_t


cdef inline bint wlc_start(sched_t *s) noexcept nogil:
    return heap_start(s, RANK_WLC)


cdef inline bint wlc_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    return heap_follow(s, <heap_t *>s.priv, event, dest, RANK_WLC)


cdef inline void wlc_load(sched_t *s, uint32_t dest) noexcept nogil:
    heap_update(s, <heap_t *>s.priv, dest, RANK_WLC)


cdef inline int wlc_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the usable destination with the least overhead for its weight; the first in the
    list on ties.  The quotients are compared by their cross products."""
    return heap_first(<heap_t *>s.priv)
