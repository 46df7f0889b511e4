"""An ordered structure of destinations for the schedulers that want the least of something.

A binary heap of those that may be picked.  Each has a load and a weight; the quotient counts, and
on ties the one added last, which is the first in the list.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from lbfast._fast.sched cimport DEST_ADDED, DEST_REMOVED, dest_overhead, dest_usable
from lbfast._fast.types cimport NO_DEST, NO_INDEX, dest_t, sched_t

cdef enum rank_t:                # what is ordered by; given as a constant
    RANK_LC
    RANK_WLC
    RANK_SED
    RANK_NQ
    RANK_FO
    RANK_OVF

ctypedef struct ranked_t:
    int64_t load
    int64_t weight
    uint64_t order               # larger = first in the list
    uint32_t id                  # of a service's heap: index of the destination

ctypedef struct heap_t:
    ranked_t *at
    uint32_t n
    uint32_t room
    char *slots                  # of id 0: where it is in the heap, NO_INDEX = not at all
    size_t stride                # bytes from there to that of the next id


cdef inline bint rank_of(const dest_t *d, rank_t kind, ranked_t *r) noexcept nogil:
    """Say by what a destination is ordered now; False when it may not be picked."""
    if not dest_usable(d):
        return False
    r.weight = d.weight
    if kind == RANK_LC:
        r.load = dest_overhead(d)
        r.weight = 1
    elif kind == RANK_WLC:
        r.load = dest_overhead(d)
    elif kind == RANK_SED:
        r.load = <int64_t>d.activeconns + 1
    elif kind == RANK_NQ:        # an idle one comes before all others, whatever its weight
        r.load = <int64_t>d.activeconns + (d.activeconns != 0)
    else:
        r.load = 1
        if kind == RANK_OVF and d.activeconns > <uint32_t>d.weight:
            return False
    return True


cdef inline bint ranked_before(const ranked_t *x, const ranked_t *y) noexcept nogil:
    cdef int64_t a = x.load * y.weight
    cdef int64_t b = y.load * x.weight
    return a < b or (a == b and x.order > y.order)


cdef inline uint32_t *heap_slot(const heap_t *h, uint32_t id) noexcept nogil:
    return <uint32_t *>(h.slots + id * h.stride)


cdef inline void heap_put(heap_t *h, uint32_t i, const ranked_t *r) noexcept nogil:
    h.at[i] = r[0]
    heap_slot(h, r.id)[0] = i


cdef inline void heap_settle(heap_t *h, uint32_t i, const ranked_t *r) noexcept nogil:
    """Find the place for `r`, from the free place i on."""
    cdef uint32_t up, child
    while i > 0:
        up = (i - 1) // 2
        if not ranked_before(r, &h.at[up]):
            break
        heap_put(h, i, &h.at[up])
        i = up
    while True:
        child = 2 * i + 1
        if child >= h.n:
            break
        if child + 1 < h.n and ranked_before(&h.at[child + 1], &h.at[child]):
            child += 1
        if not ranked_before(&h.at[child], r):
            break
        heap_put(h, i, &h.at[child])
        i = child
    heap_put(h, i, r)


cdef inline void heap_drop(heap_t *h, uint32_t id) noexcept nogil:
    """Take one out, if it is in."""
    cdef uint32_t i = heap_slot(h, id)[0]
    if i == NO_INDEX:
        return
    heap_slot(h, id)[0] = NO_INDEX
    h.n -= 1
    if i < h.n:
        heap_settle(h, i, &h.at[h.n])


cdef inline void heap_rank(heap_t *h, const ranked_t *r) noexcept nogil:
    """Put one where it belongs by its load and weight."""
    cdef uint32_t i = heap_slot(h, r.id)[0]
    if i == NO_INDEX:
        h.n += 1
        heap_settle(h, h.n - 1, r)
    elif h.at[i].load != r.load or h.at[i].weight != r.weight:
        heap_settle(h, i, r)


cdef inline bint heap_reserve(heap_t *h, uint32_t room) noexcept nogil:
    """Have memory for that many."""
    cdef void *more
    if h.room >= room:
        return True
    more = realloc(h.at, <size_t>room * sizeof(ranked_t))
    if more == NULL:
        return False
    h.at = <ranked_t *>more
    h.room = room
    return True


# ---------------------------------------------------------------- the destinations of a service

cdef inline void heap_update(sched_t *s, heap_t *h, uint32_t dest, rank_t kind) noexcept nogil:
    """Put a destination where it belongs by its present counts and weight."""
    cdef ranked_t r
    if rank_of(&s.dests[dest], kind, &r):
        r.order = s.dests[dest].order
        r.id = dest
        heap_rank(h, &r)
    else:
        heap_drop(h, dest)


cdef inline int heap_first(const heap_t *h) noexcept nogil:
    return <int>h.at[0].id if h.n else NO_DEST


cdef inline bint heap_fill(sched_t *s, heap_t *h, rank_t kind) noexcept nogil:
    """Make the heap of the present list."""
    cdef uint32_t i
    if not heap_reserve(h, s.capacity + 1):
        return False
    h.n = 0
    h.slots = <char *>&s.dests[0].slot
    h.stride = sizeof(dest_t)
    for i in range(s.ndest):
        s.dests[s.list[i]].slot = NO_INDEX
        heap_update(s, h, s.list[i], kind)
    return True


cdef inline bint heap_follow(
    sched_t *s, heap_t *h, uint32_t event, uint32_t dest, rank_t kind
) noexcept nogil:
    """Follow a change of the list."""
    if event == DEST_REMOVED:
        heap_drop(h, dest)
        return True
    if event == DEST_ADDED and not heap_reserve(h, s.capacity + 1):
        return False
    heap_update(s, h, dest, kind)
    return True


# ---------------------------------------------------------------- a scheduler that is only that

cdef inline bint heap_start(sched_t *s, rank_t kind) noexcept nogil:
    s.priv = calloc(1, sizeof(heap_t))
    return s.priv != NULL and heap_fill(s, <heap_t *>s.priv, kind)


cdef inline void heap_stop(sched_t *s) noexcept nogil:
    if s.priv != NULL:
        free((<heap_t *>s.priv).at)
    free(s.priv)
    s.priv = NULL
