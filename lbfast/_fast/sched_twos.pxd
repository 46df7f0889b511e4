"""twos: weighted random, twice, and the less loaded of both.  Same rule as ip_vs_twos."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from lbfast._fast.sched cimport dest_of, dest_overhead, dest_usable
from lbfast._fast.types cimport NO_DEST, dest_t, pkt_t, sched_t, worker_t


cdef inline uint32_t twos_random(worker_t *w) noexcept nogil:
    """Return the next number of the worker's xorshift."""
    cdef uint32_t x = w.rng
    x ^= x << 13
    x ^= x >> 17
    x ^= x << 5
    w.rng = x
    return x


cdef inline uint64_t twos_below(worker_t *w, uint64_t n) noexcept nogil:
    """Return a number of 0 .. n - 1."""
    cdef uint64_t x = <uint64_t>twos_random(w) << 32
    return (x | twos_random(w)) % n


cdef inline uint32_t twos_at(sched_t *s, int64_t r) noexcept nogil:
    """Return the position where the weights, added up in list order, reach r."""
    cdef uint32_t i, at = 0
    for i in range(s.ndest):
        if dest_usable(dest_of(s, i)):
            at = i
            r -= dest_of(s, i).weight
            if r <= 0:
                break
    return at


cdef inline int twos_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the one with less overhead for its weight of two random usable destinations."""
    cdef uint64_t total = 0
    cdef uint32_t i, one, two
    cdef dest_t *x
    cdef dest_t *y
    for i in range(s.ndest):
        if dest_usable(dest_of(s, i)):
            total += <uint64_t>dest_of(s, i).weight
    if total == 0:
        return NO_DEST
    one = twos_at(s, <int64_t>twos_below(w, total + 1))
    two = twos_at(s, <int64_t>twos_below(w, total + 1))
    x = dest_of(s, one)
    y = dest_of(s, two)
    if y.weight * dest_overhead(x) > x.weight * dest_overhead(y):
        one = two
    return <int>s.list[one]
