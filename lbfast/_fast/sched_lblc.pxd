"""lblc: locality-based least connections.  Same rule as the kernel's ip_vs_lblc."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched_cache cimport (
    cache_add, cache_clean, cache_find, cache_t, dest_too_busy,
)
from lbfast._fast.sched_hash cimport header_daddr
from lbfast._fast.sched_heap cimport heap_first
from lbfast._fast.sched_set cimport entry_add, entry_remove, entry_t
from lbfast._fast.types cimport (
    DEST_AVAILABLE, NO_DEST, dest_t, engine_t, pkt_t, sched_t, worker_t,
)


cdef inline int lblc_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the address's server while it is there and not too busy, else what wlc picks.

    An overloaded server stays with its addresses.
    """
    cdef entry_t *e
    cdef const dest_t *d
    cdef int dest
    cache_clean(s, w.now, (<engine_t *>w.engine).settings.lblc_expiration)
    e = cache_find(<cache_t *>s.priv, header_daddr(p))
    if e != NULL:
        e.lastuse = w.now
        d = &s.dests[e.set[0]]
        if d.flags & DEST_AVAILABLE and d.weight > 0 and not dest_too_busy(s, d):
            return <int>e.set[0]
    dest = heap_first(&(<cache_t *>s.priv).order)
    if dest == NO_DEST:
        return NO_DEST
    if e == NULL:
        cache_add(s, header_daddr(p), <uint32_t>dest, w.now)
    elif e.set[0] != <uint32_t>dest and entry_add(s, e, <uint32_t>dest, w.now):
        entry_remove(s, e, 0, w.now)
    return dest
