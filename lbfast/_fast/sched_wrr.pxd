"""wrr: weighted round robin, interleaved by levels of weight.  Same rule as ip_vs_wrr."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from lbfast._fast.sched cimport DEST_ADDED, dest_of
from lbfast._fast.sched_tree cimport (
    TREE_MAX, leaf_value, tree_dest, tree_follow, tree_next, tree_put, tree_start, tree_t,
)
from lbfast._fast.types cimport NO_DEST, NO_INDEX, pkt_t, sched_t, worker_t

ctypedef struct wrr_t:
    tree_t tree
    uint32_t at                  # leaf last picked; NO_INDEX: the list's head
    int64_t level                # weight that a destination must have to be picked now
    int64_t top                  # highest level
    int64_t step                 # greatest common divisor of the weights
    int64_t heaviest


cdef inline int64_t gcd(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t t
    while b:
        t = a % b
        a = b
        b = t
    return a


cdef inline void wrr_count(wrr_t *r, int64_t weight) noexcept nogil:
    """Let one more weight count for the levels; a divisor of 0 says that there was none yet."""
    if weight > 0:
        r.step = gcd(weight, r.step) if r.step != 1 else 1
        r.heaviest = max(r.heaviest, weight)


cdef inline void wrr_levels(sched_t *s, wrr_t *r) noexcept nogil:
    """Work out the levels of all weights."""
    cdef uint32_t i
    r.step = r.heaviest = 0
    for i in range(s.ndest):
        wrr_count(r, dest_of(s, i).weight)


cdef inline void wrr_again(wrr_t *r) noexcept nogil:
    """Start the walk over, on the present level as far as the weights allow."""
    cdef int64_t step = r.step if r.step else 1
    r.at = NO_INDEX
    r.top = r.heaviest - (step - 1)
    if r.level > r.top or r.level == 0:
        r.level = r.top
    elif step > 1:
        r.level = r.level // step * step + 1


cdef inline bint wrr_start(sched_t *s) noexcept nogil:
    cdef wrr_t *r = <wrr_t *>calloc(1, sizeof(wrr_t))
    s.priv = r
    if r == NULL or not tree_start(s, &r.tree, TREE_MAX):
        return False
    wrr_levels(s, r)
    wrr_again(r)
    return True


cdef inline void wrr_stop(sched_t *s) noexcept nogil:
    if s.priv != NULL:
        free((<wrr_t *>s.priv).tree.node)
    free(s.priv)
    s.priv = NULL


cdef inline bint wrr_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    cdef wrr_t *r = <wrr_t *>s.priv
    if not tree_follow(s, &r.tree, event, dest, TREE_MAX):
        return False
    if event == DEST_ADDED:
        wrr_count(r, s.dests[dest].weight)
    else:
        wrr_levels(s, r)
    wrr_again(r)
    return True


cdef inline void wrr_load(sched_t *s, uint32_t dest) noexcept nogil:
    tree_put(
        &(<wrr_t *>s.priv).tree, s.dests[dest].slot, leaf_value(&s.dests[dest], TREE_MAX), TREE_MAX
    )


cdef inline void wrr_skip(wrr_t *r, int64_t step) noexcept nogil:
    """Leave out the levels, but for the last one, that nothing usable reaches."""
    cdef int64_t low = max(<int64_t>r.tree.node[1], step)
    if r.level > low:
        r.level -= (r.level - low - 1) // step * step


cdef inline int wrr_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the next destination whose weight reaches the level; each pass lowers the level."""
    cdef wrr_t *r = <wrr_t *>s.priv
    cdef tree_t *t = &r.tree
    cdef int64_t step = r.step if r.step else 1
    cdef uint32_t last = r.at, stop = NO_INDEX
    cdef uint32_t found = NO_INDEX
    cdef bint restarted = False, last_pass = False
    if r.top <= 0:
        return NO_DEST
    found = tree_next(t, t.n if last == NO_INDEX else last, <uint64_t>r.level)
    while True:
        if stop != NO_INDEX and (found == NO_INDEX or found < stop):
            r.at = stop
            return NO_DEST
        if found != NO_INDEX:
            r.at = found
            return <int>tree_dest(s, t, found)
        wrr_skip(r, step)
        r.level -= step
        if r.level <= 0:
            r.level = r.top
            if last_pass or last == NO_INDEX:
                r.at = NO_INDEX
                return NO_DEST
            restarted = True
        last_pass = r.level <= step
        if last_pass and restarted and last != NO_INDEX:
            stop = last
        found = tree_next(t, t.n, <uint64_t>r.level)
