"""What a scheduler is: the structs and helpers that every `sched_*.pxd` works with.

A scheduler sees a service as `sched_t`: `list[0 .. ndest-1]` are the indices of its destinations
in `dests`, newest first.  It keeps what it needs behind `priv`.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t

from lbfast._fast.types cimport (
    DEST_AVAILABLE, DEST_OVERLOAD, NO_DEST, dest_t, pkt_t, sched_t, worker_t,
)

cdef enum sched_event_t:         # why `change` is called
    DEST_ADDED = 0
    DEST_REMOVED = 1
    DEST_EDITED = 2

# `at` is the position in the list: of the new or the edited one, or where the removed one was;
# `dest` is its index.  The list is already changed.
ctypedef struct sched_ops_t:
    const char *name
    bint (*start)(sched_t *s) noexcept nogil                     # False: no memory
    void (*stop)(sched_t *s) noexcept nogil
    bint (*change)(sched_t *s, uint32_t event, uint32_t at, uint32_t dest) noexcept nogil
    int (*pick)(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil   # dest index, NO_DEST
    void (*load)(sched_t *s, uint32_t dest) noexcept nogil       # its counts changed; may be NULL


cdef inline bint dest_usable(const dest_t *d) noexcept nogil:
    """Whether it may get new connections: neither quiesced nor overloaded."""
    return d.weight > 0 and not d.flags & DEST_OVERLOAD


cdef inline int64_t dest_overhead(const dest_t *d) noexcept nogil:
    """The load that lc and wlc compare: 256 * active + total (spec 5, 2026)."""
    return <int64_t>257 * d.activeconns + d.inactconns


cdef inline dest_t *dest_of(sched_t *s, uint32_t at) noexcept nogil:
    """Return the destination at a position of the list."""
    return &s.dests[s.list[at]]
