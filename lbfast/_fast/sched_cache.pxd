"""What lblc and lblcr keep: for each destination address (of packets) its real servers (spec 5.7),
and the order in which wlc would pick.

The buckets, the limits and the collection of what is unused are the kernel's.  An entry counts as
a reference to each of its servers, so that a deleted one can be revived as what it was.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from lbfast._fast.map cimport addr_eq
from lbfast._fast.sched cimport DEST_ADDED, DEST_REMOVED
from lbfast._fast.sched_hash cimport fold_h, hash_32
from lbfast._fast.sched_heap cimport RANK_WLC, heap_fill, heap_follow, heap_t, heap_update
from lbfast._fast.sched_set cimport entry_add, entry_free, entry_t, log_add, log_t
from lbfast._fast.types cimport TICKS_PER_S, addr_t, dest_t, sched_t

cdef enum:
    CACHE_BITS = 10
    CACHE_BUCKETS = 1024
    CACHE_MAX = 16384                # above that, unused entries are collected
    CACHE_FULL = 24576               # no more than these
    CACHE_RUN_TICKS = 6000           # a collection each minute
    CACHE_RUNS = 30                  # each 30th looks at everything
    CACHE_IDLE_TICKS = 36000         # what other collections may take

ctypedef struct cache_t:
    heap_t order                     # as wlc wants them
    log_t log                        # for the sets
    uint32_t nlazy                   # servers at less than half their weight: `dest_t.mark`
    entry_t *buckets[1024]
    uint32_t count
    uint32_t rover                   # bucket where the last collection ended
    uint32_t runs
    uint32_t due                     # tick of the next collection


cdef inline bint cache_start(sched_t *s) noexcept nogil:
    cdef cache_t *c
    cdef uint32_t i
    s.priv = calloc(1, sizeof(cache_t))
    if s.priv == NULL:
        return False
    c = <cache_t *>s.priv
    c.runs = 1
    c.due = s.born + CACHE_RUN_TICKS
    for i in range(s.ndest):
        s.dests[s.list[i]].mark = 0
        cache_mark(s, s.list[i], dest_lazy(&s.dests[s.list[i]]))
    return heap_fill(s, &c.order, RANK_WLC)


cdef inline bint dest_lazy(const dest_t *d) noexcept nogil:
    return <uint64_t>d.activeconns * 2 < <uint64_t>d.weight


cdef inline void cache_mark(sched_t *s, uint32_t dest, bint lazy) noexcept nogil:
    """Note whether a server has less than half the active connections that its weight says."""
    if s.dests[dest].mark != <uint32_t>lazy:
        s.dests[dest].mark = lazy
        (<cache_t *>s.priv).nlazy += 1 if lazy else -1


cdef inline void cache_load(sched_t *s, uint32_t dest) noexcept nogil:
    cdef cache_t *c = <cache_t *>s.priv
    heap_update(s, &c.order, dest, RANK_WLC)
    log_add(&c.log, dest)
    cache_mark(s, dest, dest_lazy(&s.dests[dest]))


cdef inline bint cache_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    """Follow a change of the list; entries keep what they have, even a deleted server."""
    if event == DEST_ADDED:
        s.dests[dest].mark = 0
    log_add(&(<cache_t *>s.priv).log, dest)
    cache_mark(s, dest, event != DEST_REMOVED and dest_lazy(&s.dests[dest]))
    return heap_follow(s, &(<cache_t *>s.priv).order, event, dest, RANK_WLC)


cdef inline void cache_stop(sched_t *s) noexcept nogil:
    cdef cache_t *c = <cache_t *>s.priv
    cdef entry_t *e
    cdef uint32_t b
    if c != NULL:
        for b in range(CACHE_BUCKETS):
            while c.buckets[b] != NULL:
                e = c.buckets[b]
                c.buckets[b] = e.next
                entry_free(s, e)
        free(c.order.at)
    free(c)
    s.priv = NULL


cdef inline entry_t *cache_find(cache_t *c, const addr_t *a) noexcept nogil:
    cdef entry_t *e = c.buckets[hash_32(fold_h(a), CACHE_BITS)]
    while e != NULL and not addr_eq(&e.addr, a):
        e = e.next
    return e


cdef inline void cache_add(
    sched_t *s, const addr_t *a, uint32_t dest, uint32_t now
) noexcept nogil:
    """Make an entry with that one server, if there is room for it."""
    cdef cache_t *c = <cache_t *>s.priv
    cdef entry_t **head = &c.buckets[hash_32(fold_h(a), CACHE_BITS)]
    cdef entry_t *e
    if c.count >= CACHE_FULL:
        return
    e = <entry_t *>calloc(1, sizeof(entry_t))
    if e == NULL:
        return
    e.addr = a[0]
    e.lastuse = now
    if not entry_add(s, e, dest, now):
        free(e)
        return
    e.next = head[0]
    head[0] = e
    c.count += 1


# ---------------------------------------------------------------- collection

cdef inline uint32_t cache_sweep(
    sched_t *s, entry_t **at, uint32_t now, uint64_t idle
) noexcept nogil:
    """Remove what was not used for `idle` ticks from one bucket; return how many."""
    cdef uint32_t n = 0
    cdef entry_t *e
    while at[0] != NULL:
        e = at[0]
        if <uint32_t>(now - e.lastuse) < idle:
            at = &e.next
            continue
        at[0] = e.next
        entry_free(s, e)
        n += 1
    (<cache_t *>s.priv).count -= n
    return n


cdef inline void cache_run(sched_t *s, uint32_t now, uint64_t expiration) noexcept nogil:
    """One collection, as it is due each minute."""
    cdef cache_t *c = <cache_t *>s.priv
    cdef uint32_t i, _
    cdef int goal
    if c.runs % CACHE_RUNS == 0:
        for i in range(CACHE_BUCKETS):
            cache_sweep(s, &c.buckets[i], now, expiration)
        c.runs = 1
        return
    if c.count <= CACHE_MAX:
        c.runs += 1
        return
    goal = min(<int>(c.count - CACHE_MAX) * 4 // 3, <int>CACHE_MAX // 2)
    for _ in range(CACHE_BUCKETS):
        c.rover = (c.rover + 1) % CACHE_BUCKETS
        goal -= <int>cache_sweep(s, &c.buckets[c.rover], now, CACHE_IDLE_TICKS)
        if goal <= 0:
            return


cdef inline void cache_clean(sched_t *s, uint32_t now, int expiration_s) noexcept nogil:
    """Make up for the collections that were due since the last packet."""
    cdef cache_t *c = <cache_t *>s.priv
    while <int>(now - c.due) >= 0:
        cache_run(s, c.due, <uint64_t>expiration_s * TICKS_PER_S)
        c.due += CACHE_RUN_TICKS


cdef inline bint dest_too_busy(const sched_t *s, const dest_t *d) noexcept nogil:
    """Whether it has more active connections than its weight says, while another of the service
    (usable or not) has less than half of its own."""
    return d.activeconns > <uint32_t>d.weight and (<const cache_t *>s.priv).nlazy != 0
