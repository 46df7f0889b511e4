"""wrr: weighted round robin, interleaved by levels of weight.  Same rule as ip_vs_wrr."""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from lbfast._fast.sched cimport dest_of
from lbfast._fast.types cimport DEST_OVERLOAD, NO_DEST, dest_t, pkt_t, sched_t, worker_t

ctypedef struct wrr_t:
    int64_t at                   # position last picked; -1 = the list's head
    int64_t level                # weight that a destination must have to be picked now
    int64_t top                  # highest level
    int64_t step                 # greatest common divisor of the weights


cdef inline void wrr_levels(sched_t *s, wrr_t *r) noexcept nogil:
    cdef int64_t g = 0, heaviest = 0, a, b, t
    cdef uint32_t i
    for i in range(s.ndest):
        a = dest_of(s, i).weight
        if a <= 0:
            continue
        if a > heaviest:
            heaviest = a
        b = g
        while b:
            t = a % b
            a = b
            b = t
        g = a
    r.step = g if g else 1
    r.top = heaviest - (r.step - 1)


cdef inline bint wrr_start(sched_t *s) noexcept nogil:
    cdef wrr_t *r = <wrr_t *>calloc(1, sizeof(wrr_t))
    s.priv = r
    if r == NULL:
        return False
    r.at = -1
    wrr_levels(s, r)
    r.level = r.top
    return True


cdef inline void wrr_stop(sched_t *s) noexcept nogil:
    free(s.priv)
    s.priv = NULL


cdef inline bint wrr_change(sched_t *s, uint32_t event, uint32_t at) noexcept nogil:
    """Any change starts the walk over, on the present level as far as the weights allow."""
    cdef wrr_t *r = <wrr_t *>s.priv
    r.at = -1
    wrr_levels(s, r)
    if r.level > r.top or r.level == 0:
        r.level = r.top
    elif r.step > 1:
        r.level = r.level // r.step * r.step + 1
    return True


cdef inline int wrr_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the next destination whose weight reaches the level; each pass lowers the level."""
    cdef wrr_t *r = <wrr_t *>s.priv
    cdef int64_t last = r.at, at = r.at, stop = -2
    cdef bint restarted = False, last_pass = False
    cdef dest_t *d
    if r.top <= 0:
        return NO_DEST
    while True:
        while at + 1 < <int64_t>s.ndest:
            at += 1
            d = dest_of(s, <uint32_t>at)
            if not d.flags & DEST_OVERLOAD and d.weight >= r.level:
                r.at = at
                return <int>s.list[at]
            if at == stop:
                r.at = at
                return NO_DEST
        at = -1
        r.level -= r.step
        if r.level <= 0:
            r.level = r.top
            if last_pass or last == -1:
                r.at = -1
                return NO_DEST
            restarted = True
        last_pass = r.level <= r.step
        if last_pass and restarted and last != -1:
            stop = last
