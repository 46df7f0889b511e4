"""twos: weighted random, twice, and the less loaded of both.  Same rule as ip_vs_twos."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from lbfast._fast.sched cimport dest_overhead
from lbfast._fast.sched_tree cimport (
    TREE_SUM, leaf_value, tree_dest, tree_follow, tree_put, tree_reach, tree_start, tree_t,
)
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline bint twos_start(sched_t *s) noexcept nogil:
    s.priv = calloc(1, sizeof(tree_t))
    return s.priv != NULL and tree_start(s, <tree_t *>s.priv, TREE_SUM)


cdef inline void twos_stop(sched_t *s) noexcept nogil:
    if s.priv != NULL:
        free((<tree_t *>s.priv).node)
    free(s.priv)
    s.priv = NULL


cdef inline bint twos_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    return tree_follow(s, <tree_t *>s.priv, event, dest, TREE_SUM)


cdef inline void twos_load(sched_t *s, uint32_t dest) noexcept nogil:
    tree_put(
        <tree_t *>s.priv, s.dests[dest].slot, leaf_value(&s.dests[dest], TREE_SUM), TREE_SUM
    )


cdef inline uint64_t twos_random(worker_t *w) noexcept nogil:
    """Return 64 random bits: the worker's xorshift, mixed."""
    cdef uint64_t x
    w.rng ^= w.rng << 13
    w.rng ^= w.rng >> 17
    w.rng ^= w.rng << 5
    x = w.rng * <uint64_t>0x9E3779B97F4A7C15ULL
    x = (x ^ x >> 30) * <uint64_t>0xBF58476D1CE4E5B9ULL
    x = (x ^ x >> 27) * <uint64_t>0x94D049BB133111EBULL
    return x ^ x >> 31


cdef inline int twos_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the one with less overhead for its weight of two random usable destinations."""
    cdef tree_t *t = <tree_t *>s.priv
    cdef uint64_t total = t.node[1]
    cdef uint32_t one, two
    cdef dest_t *x
    cdef dest_t *y
    if total == 0:
        return NO_DEST
    one = tree_dest(s, t, tree_reach(t, twos_random(w) % (total + 1)))
    two = tree_dest(s, t, tree_reach(t, twos_random(w) % (total + 1)))
    x = &s.dests[one]
    y = &s.dests[two]
    if y.weight * dest_overhead(x) > x.weight * dest_overhead(y):
        one = two
    return <int>one
