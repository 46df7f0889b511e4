"""dh: destination hashing.  Same rule as the kernel's ip_vs_dh."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from lbfast._fast.sched cimport DEST_EDITED, dest_usable
from lbfast._fast.sched_hash cimport fold_h, hash_32, header_daddr
from lbfast._fast.types cimport NO_DEST, pkt_t, sched_t, worker_t

cdef enum:
    DH_BITS = 8


cdef inline void dh_fill(sched_t *s) noexcept nogil:
    """Deal the buckets to the destinations in list order, one each and over again."""
    cdef int *table = <int *>s.priv
    cdef uint32_t i
    for i in range(1 << DH_BITS):
        table[i] = <int>s.list[i % s.ndest] if s.ndest else NO_DEST


cdef inline bint dh_start(sched_t *s) noexcept nogil:
    s.priv = malloc((1 << DH_BITS) * sizeof(int))
    if s.priv == NULL:
        return False
    dh_fill(s)
    return True


cdef inline void dh_stop(sched_t *s) noexcept nogil:
    free(s.priv)
    s.priv = NULL


cdef inline bint dh_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    """Deal again; an edit changes nothing, for weights do not count."""
    if event != DEST_EDITED:
        dh_fill(s)
    return True


cdef inline int dh_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the destination of the address's bucket if it is usable; no other is tried."""
    cdef int dest = (<int *>s.priv)[hash_32(fold_h(header_daddr(p)), DH_BITS)]
    if dest == NO_DEST or not dest_usable(&s.dests[dest]):
        return NO_DEST
    return dest
