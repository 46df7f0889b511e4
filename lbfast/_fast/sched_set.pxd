"""The real servers of one destination address, for lblc (one of them) and lblcr.

A small set is looked through.  A large one has a heap of its own, which is brought up to date when
it is asked: by the service's log of servers whose counts changed, or, if more of them changed than
the set has, anew.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memmove, memset

from lbfast._fast.sched_hash cimport hash_32
from lbfast._fast.sched_heap cimport (
    RANK_WLC, heap_drop, heap_rank, heap_reserve, heap_t, rank_of, ranked_t,
)
from lbfast._fast.types cimport DEST_AVAILABLE, NO_INDEX, addr_t, sched_t

cdef enum:
    SET_SMALL = 16
    LOG_SIZE = 4096

ctypedef struct log_t:
    uint32_t dests[4096]             # whose counts, weight or availability changed, in a ring
    uint64_t n                       # so many since the beginning

ctypedef struct big_t:               # what a large set has besides
    heap_t heap                      # of those that may be picked; ids are places in the set
    uint32_t *slots                  # by place in the set: where it is in the heap
    uint32_t *table                  # open addressing by destination: place in the set
    uint32_t bits
    uint64_t seen                    # how much of the log was followed

ctypedef struct entry_t:
    addr_t addr
    entry_t *next
    uint32_t lastuse                 # tick
    uint32_t lastmod                 # tick of the last change of the set
    uint32_t n
    uint32_t room
    uint32_t *set                    # destination indices; the last one is the first of the set
    big_t *big                       # NULL: small, or there was no memory for it


cdef inline void log_add(log_t *log, uint32_t dest) noexcept nogil:
    log.dests[log.n % LOG_SIZE] = dest
    log.n += 1


# ---------------------------------------------------------------- a large set

cdef inline void big_free(entry_t *e) noexcept nogil:
    """Forget what the set has besides; it is made again when it is needed."""
    if e.big != NULL:
        free(e.big.heap.at)
        free(e.big.slots)
        free(e.big.table)
        free(e.big)
        e.big = NULL


cdef inline uint32_t big_probe(const entry_t *e, uint32_t dest) noexcept nogil:
    """Return the slot of the table where the destination is, or would be."""
    cdef big_t *b = e.big
    cdef uint32_t i = hash_32(dest, b.bits)
    while b.table[i] != NO_INDEX and e.set[b.table[i]] != dest:
        i = (i + 1) & ((1 << b.bits) - 1)
    return i


cdef inline void big_rank(sched_t *s, entry_t *e, uint32_t place) noexcept nogil:
    """Put a member where it belongs now."""
    cdef ranked_t r
    if s.dests[e.set[place]].flags & DEST_AVAILABLE and rank_of(
        &s.dests[e.set[place]], RANK_WLC, &r
    ):
        r.order = r.id = place
        heap_rank(&e.big.heap, &r)
    else:
        heap_drop(&e.big.heap, place)


cdef inline void big_enter(sched_t *s, entry_t *e, uint32_t place) noexcept nogil:
    e.big.table[big_probe(e, e.set[place])] = place
    e.big.slots[place] = NO_INDEX
    big_rank(s, e, place)


cdef inline void big_make(sched_t *s, entry_t *e, uint64_t seen) noexcept nogil:
    """Give the set a heap with room for as many as the set has room for."""
    cdef big_t *b = <big_t *>calloc(1, sizeof(big_t))
    cdef uint32_t i
    e.big = b
    if b == NULL:
        return
    b.bits = 6
    while 1 << b.bits < 2 * e.room:
        b.bits += 1
    b.seen = seen
    b.slots = <uint32_t *>malloc(<size_t>e.room * sizeof(uint32_t))
    b.table = <uint32_t *>malloc(sizeof(uint32_t) << b.bits)
    if b.slots == NULL or b.table == NULL or not heap_reserve(&b.heap, e.room):
        big_free(e)
        return
    b.heap.slots = <char *>b.slots
    b.heap.stride = sizeof(uint32_t)
    memset(b.table, 0xFF, sizeof(uint32_t) << b.bits)
    for i in range(e.n):
        big_enter(s, e, i)


cdef inline bint big_follow(sched_t *s, entry_t *e, const log_t *log) noexcept nogil:
    """Bring the heap of a large set up to date; False when it has none."""
    cdef uint64_t missed
    cdef uint32_t i, place
    if e.n <= SET_SMALL:
        return False
    if e.big == NULL:
        big_make(s, e, log.n)
        return e.big != NULL
    missed = log.n - e.big.seen
    if missed > e.n or missed > LOG_SIZE:
        for i in range(e.n):
            big_rank(s, e, i)
    else:
        while e.big.seen != log.n:
            place = e.big.table[big_probe(e, log.dests[e.big.seen % LOG_SIZE])]
            if place != NO_INDEX:
                big_rank(s, e, place)
            e.big.seen += 1
    e.big.seen = log.n
    return True


# ---------------------------------------------------------------- members

cdef inline bint entry_has(const entry_t *e, uint32_t dest) noexcept nogil:
    cdef uint32_t i
    if e.big != NULL:
        return e.big.table[big_probe(e, dest)] != NO_INDEX
    for i in range(e.n):
        if e.set[i] == dest:
            return True
    return False


cdef inline bint entry_add(sched_t *s, entry_t *e, uint32_t dest, uint32_t now) noexcept nogil:
    """Put a server at the front of the entry's set, unless it is a member."""
    cdef void *more
    if entry_has(e, dest):
        return True
    if e.n == e.room:
        more = realloc(e.set, (<size_t>e.room * 2 + 1) * sizeof(uint32_t))
        if more == NULL:
            return False
        e.set = <uint32_t *>more
        e.room = e.room * 2 + 1
        big_free(e)
    e.set[e.n] = dest
    e.n += 1
    e.lastmod = now
    s.dests[dest].refs += 1
    if e.big != NULL:
        big_enter(s, e, e.n - 1)
    return True


cdef inline void entry_remove(sched_t *s, entry_t *e, uint32_t place, uint32_t now) noexcept nogil:
    s.dests[e.set[place]].refs -= 1
    e.n -= 1
    memmove(e.set + place, e.set + place + 1, (e.n - place) * sizeof(uint32_t))
    e.lastmod = now
    big_free(e)


cdef inline void entry_free(sched_t *s, entry_t *e) noexcept nogil:
    cdef uint32_t i
    for i in range(e.n):
        s.dests[e.set[i]].refs -= 1
    big_free(e)
    free(e.set)
    free(e)
