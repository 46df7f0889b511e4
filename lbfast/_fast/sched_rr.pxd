"""rr: round robin.  Same rule as the kernel's ip_vs_rr."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from lbfast._fast.sched cimport DEST_REMOVED
from lbfast._fast.sched_tree cimport (
    TREE_ANY, leaf_value, tree_dest, tree_follow, tree_next, tree_put, tree_start, tree_t,
)
from lbfast._fast.types cimport NO_DEST, NO_INDEX, pkt_t, sched_t, worker_t

ctypedef struct rr_t:
    tree_t tree
    uint32_t at                  # leaf last picked; NO_INDEX: the list's head


cdef inline bint rr_start(sched_t *s) noexcept nogil:
    s.priv = calloc(1, sizeof(rr_t))
    if s.priv == NULL:
        return False
    (<rr_t *>s.priv).at = NO_INDEX
    return tree_start(s, &(<rr_t *>s.priv).tree, TREE_ANY)


cdef inline void rr_stop(sched_t *s) noexcept nogil:
    if s.priv != NULL:
        free((<rr_t *>s.priv).tree.node)
    free(s.priv)
    s.priv = NULL


cdef inline bint rr_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    """Keep the place; a removal of the place moves it to the one before in the list."""
    cdef rr_t *r = <rr_t *>s.priv
    cdef uint32_t leaf = s.dests[dest].slot
    if not tree_follow(s, &r.tree, event, dest, TREE_ANY):
        return False
    if event == DEST_REMOVED and r.at != NO_INDEX:
        if r.at > leaf:
            r.at -= 1
        elif r.at == leaf and leaf == r.tree.n:
            r.at = NO_INDEX
    return True


cdef inline void rr_load(sched_t *s, uint32_t dest) noexcept nogil:
    tree_put(
        &(<rr_t *>s.priv).tree, s.dests[dest].slot, leaf_value(&s.dests[dest], TREE_ANY), TREE_ANY
    )


cdef inline int rr_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the next usable destination after the last one; that one itself is tried last."""
    cdef rr_t *r = <rr_t *>s.priv
    cdef tree_t *t = &r.tree
    cdef uint32_t found = NO_INDEX
    if r.at != NO_INDEX:
        found = tree_next(t, r.at, 1)
    if found == NO_INDEX:
        found = tree_next(t, t.n, 1)
        if found == NO_INDEX:
            return NO_DEST
    r.at = found
    return <int>tree_dest(s, t, found)
