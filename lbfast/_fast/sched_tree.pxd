"""A tree over the list of destinations for the schedulers that walk it: rr, wrr and twos.

Leaf k is the k-th oldest destination, so a new one, which is the head of the list, comes last and
moves no other: "next in the list" is the next lower leaf.  A leaf has the weight that counts for
picking (0: not to be picked), an inner node the largest or the sum of what is below it.
`dest_t.slot` is the leaf's number.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from lbfast._fast.sched cimport DEST_ADDED, DEST_REMOVED, dest_usable
from lbfast._fast.types cimport NO_INDEX, dest_t, sched_t

cdef enum tree_kind_t:           # given as a constant
    TREE_ANY                     # leaves 0 and 1, inner nodes: the largest
    TREE_MAX                     # leaves: weight, inner nodes: the largest
    TREE_SUM                     # leaves: weight, inner nodes: the sum

ctypedef struct tree_t:
    uint64_t *node               # 1 is the root, the children of i are 2i and 2i + 1
    uint32_t size                # leaves that fit, a power of 2: node[size + k] is leaf k
    uint32_t n                   # leaves in use


cdef inline uint64_t leaf_value(const dest_t *d, tree_kind_t kind) noexcept nogil:
    if not dest_usable(d):
        return 0
    return 1 if kind == TREE_ANY else <uint64_t>d.weight


cdef inline uint64_t node_value(const tree_t *t, uint32_t i, tree_kind_t kind) noexcept nogil:
    if kind == TREE_SUM:
        return t.node[2 * i] + t.node[2 * i + 1]
    return max(t.node[2 * i], t.node[2 * i + 1])


cdef inline void tree_put(tree_t *t, uint32_t k, uint64_t value, tree_kind_t kind) noexcept nogil:
    """Set a leaf."""
    cdef uint32_t i = t.size + k
    cdef uint64_t v
    if t.node[i] == value:
        return
    t.node[i] = value
    while i > 1:
        i //= 2
        v = node_value(t, i, kind)
        if t.node[i] == v:
            return
        t.node[i] = v


cdef inline void tree_sum_up(tree_t *t, tree_kind_t kind) noexcept nogil:
    """Make all inner nodes fit the leaves."""
    cdef uint32_t i
    for i in range(t.size - 1, 0, -1):
        t.node[i] = node_value(t, i, kind)


cdef inline bint tree_resize(tree_t *t, uint32_t size, tree_kind_t kind) noexcept nogil:
    cdef uint64_t *node = <uint64_t *>calloc(<size_t>size * 2, sizeof(uint64_t))
    if node == NULL:
        return False
    if t.node != NULL:
        memcpy(node + size, t.node + t.size, t.n * sizeof(uint64_t))
    free(t.node)
    t.node = node
    t.size = size
    tree_sum_up(t, kind)
    return True


cdef inline bint tree_start(sched_t *s, tree_t *t, tree_kind_t kind) noexcept nogil:
    """Make the tree of the present list."""
    cdef uint32_t k, size = 16
    cdef dest_t *d
    while size < s.ndest:
        size *= 2
    t.n = 0
    t.node = NULL
    if not tree_resize(t, size, kind):
        return False
    t.n = s.ndest
    for k in range(t.n):
        d = &s.dests[s.list[t.n - 1 - k]]
        d.slot = k
        t.node[size + k] = leaf_value(d, kind)
    tree_sum_up(t, kind)
    return True


cdef inline void tree_remove(sched_t *s, tree_t *t, uint32_t k, tree_kind_t kind) noexcept nogil:
    """Take leaf k out; the younger ones, which are before it in the list, move down."""
    cdef uint64_t *leaf = t.node + t.size
    cdef uint32_t i
    if k + 1 < t.n:
        memmove(leaf + k, leaf + k + 1, (t.n - 1 - k) * sizeof(uint64_t))
        leaf[t.n - 1] = 0
        for i in range(t.n - 1 - k):
            s.dests[s.list[i]].slot -= 1
        tree_sum_up(t, kind)
    else:
        tree_put(t, k, 0, kind)
    t.n -= 1


cdef inline bint tree_follow(
    sched_t *s, tree_t *t, uint32_t event, uint32_t dest, tree_kind_t kind
) noexcept nogil:
    """Follow a change of the list."""
    cdef dest_t *d = &s.dests[dest]
    if event == DEST_REMOVED:
        if d.slot != NO_INDEX:
            tree_remove(s, t, d.slot, kind)
        return True
    if event == DEST_ADDED:
        if t.n == t.size and not tree_resize(t, t.size * 2, kind):
            return False
        d.slot = t.n
        t.n += 1
    tree_put(t, d.slot, leaf_value(d, kind), kind)
    return True


cdef inline uint32_t tree_dest(const sched_t *s, const tree_t *t, uint32_t k) noexcept nogil:
    """Return the destination that leaf k stands for."""
    return s.list[t.n - 1 - k]


cdef inline uint32_t tree_next(const tree_t *t, uint32_t k, uint64_t least) noexcept nogil:
    """Return the first leaf after k in the list (t.n: from the head on) with at least that value,
    which is not 0; NO_INDEX when there is none.  Not for sums."""
    cdef uint32_t i = t.size + k
    if k and t.node[i - 1] >= least:
        return k - 1
    if k == t.size:                          # the head of a full tree: no leaf has that number
        if t.node[1] < least:
            return NO_INDEX
        i = 1
    else:
        while not (i & 1 and t.node[i - 1] >= least):
            i //= 2
            if i <= 1:
                return NO_INDEX
        i -= 1
    while i < t.size:
        i = 2 * i + 1
        if t.node[i] < least:
            i -= 1
    return i - t.size


cdef inline uint32_t tree_reach(const tree_t *t, uint64_t sum) noexcept nogil:
    """Return the first leaf in the list, of those that are not 0, up to which the leaves add up
    to `sum` at least; the root must be that large."""
    cdef uint32_t i = 1
    while i < t.size:
        i = 2 * i + 1
        if t.node[i] == 0 or sum > t.node[i]:
            sum -= t.node[i]
            i -= 1
    return i - t.size
