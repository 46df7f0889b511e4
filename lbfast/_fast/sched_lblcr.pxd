"""lblcr: locality-based least connections with replication.  Same rule as ip_vs_lblcr."""
from libc.stdint cimport uint32_t, uint64_t

from lbfast._fast.sched cimport dest_overhead, dest_usable
from lbfast._fast.sched_cache cimport (
    cache_add, cache_clean, cache_find, cache_t, dest_too_busy,
)
from lbfast._fast.sched_hash cimport header_daddr
from lbfast._fast.sched_heap cimport heap_first
from lbfast._fast.sched_set cimport big_follow, entry_add, entry_remove, entry_t
from lbfast._fast.types cimport (
    DEST_AVAILABLE, NO_DEST, TICKS_PER_S, dest_t, engine_t, pkt_t, sched_t, worker_t,
)


cdef inline int set_min(sched_t *s, entry_t *e) noexcept nogil:
    """Return the usable member with the least overhead for its weight; the first on ties."""
    cdef int best = NO_DEST
    cdef const dest_t *least = NULL
    cdef const dest_t *d
    cdef uint32_t i, k
    cdef int place
    if big_follow(s, e, &(<cache_t *>s.priv).log):
        place = heap_first(&e.big.heap)
        return NO_DEST if place == NO_DEST else <int>e.set[place]
    for k in range(e.n):
        i = e.n - 1 - k
        d = &s.dests[e.set[i]]
        if not (dest_usable(d) and d.flags & DEST_AVAILABLE):
            continue
        if least == NULL or dest_overhead(least) * d.weight > dest_overhead(d) * least.weight:
            least = d
            best = <int>e.set[i]
    return best


cdef inline uint32_t set_max(sched_t *s, const entry_t *e) noexcept nogil:
    """Return where in the set the one with the most overhead for its weight is (e.n: nowhere);
    those with weight 0 do not count, the first wins ties."""
    cdef uint32_t i, k, at = e.n
    cdef const dest_t *most = NULL
    cdef const dest_t *d
    for k in range(e.n):
        i = e.n - 1 - k
        d = &s.dests[e.set[i]]
        if d.weight <= 0:
            continue
        if most == NULL or dest_overhead(most) * d.weight < dest_overhead(d) * most.weight:
            most = d
            at = i
    return at


cdef inline void set_shrink(sched_t *s, entry_t *e, uint32_t now, uint64_t idle) noexcept nogil:
    """Take the most loaded server out of a set that has not changed for long."""
    cdef uint32_t at
    if e.n <= 1 or <uint32_t>(now - e.lastmod) <= idle:
        return
    at = set_max(s, e)
    if at < e.n:
        entry_remove(s, e, at, now)


cdef inline int lblcr_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the least loaded of the address's servers; if it is too busy, add what wlc picks."""
    cdef uint64_t expiration = <uint64_t>(<engine_t *>w.engine).settings.lblcr_expiration
    cdef entry_t *e
    cdef int dest
    cache_clean(s, w.now, <int>expiration)
    e = cache_find(<cache_t *>s.priv, header_daddr(p))
    if e != NULL:
        e.lastuse = w.now
        dest = set_min(s, e)
        set_shrink(s, e, w.now, expiration * TICKS_PER_S)
        if dest != NO_DEST and not dest_too_busy(s, &s.dests[dest]):
            return dest
    dest = heap_first(&(<cache_t *>s.priv).order)
    if dest == NO_DEST:
        return NO_DEST
    if e == NULL:
        cache_add(s, header_daddr(p), <uint32_t>dest, w.now)
    else:
        entry_add(s, e, <uint32_t>dest, w.now)
    return dest
