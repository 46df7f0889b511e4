"""ovf: weighted overflow.  Same rule as the kernel's ip_vs_ovf."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched_heap cimport (
    RANK_OVF, heap_first, heap_follow, heap_start, heap_t, heap_update,
)
from lbfast._fast.types cimport pkt_t, sched_t, worker_t


cdef inline bint ovf_start(sched_t *s) noexcept nogil:
    return heap_start(s, RANK_OVF)


cdef inline bint ovf_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    return heap_follow(s, <heap_t *>s.priv, event, dest, RANK_OVF)


cdef inline void ovf_load(sched_t *s, uint32_t dest) noexcept nogil:
    heap_update(s, <heap_t *>s.priv, dest, RANK_OVF)


cdef inline int ovf_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the highest weight among those with no more active connections than their weight;
    the first in the list on ties."""
    return heap_first(<heap_t *>s.priv)
