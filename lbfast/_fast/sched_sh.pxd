"""sh: source hashing.  Same rule as the kernel's ip_vs_sh."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from lbfast._fast.addr cimport LB_SWAP16
from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.sched_hash cimport fold_h, hash_32
from lbfast._fast.types cimport (
    NO_DEST, SVC_SCHED1, SVC_SCHED2, pkt_t, sched_t, worker_t,
)

cdef enum:
    SH_BITS = 8
    SH_SIZE = 256
    SH_FALLBACK = SVC_SCHED1
    SH_PORT = SVC_SCHED2


cdef inline void sh_fill(sched_t *s) noexcept nogil:
    """Deal the buckets in list order, `weight` (at least one) in a row to each, over again."""
    cdef int *table = <int *>s.priv
    cdef uint32_t i, at = 0
    cdef int turns = 0
    for i in range(SH_SIZE):
        if s.ndest == 0:
            table[i] = NO_DEST
            continue
        table[i] = <int>s.list[at]
        turns += 1
        if turns >= dest_of(s, at).weight:
            turns = 0
            at = at + 1 if at + 1 < s.ndest else 0


cdef inline bint sh_start(sched_t *s) noexcept nogil:
    s.priv = malloc(SH_SIZE * sizeof(int))
    if s.priv == NULL:
        return False
    sh_fill(s)
    return True


cdef inline void sh_stop(sched_t *s) noexcept nogil:
    free(s.priv)
    s.priv = NULL


cdef inline bint sh_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    sh_fill(s)
    return True


cdef inline int sh_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the destination of the client's bucket; with sh-fallback, if that is unusable, of
    the buckets that are probed from there on."""
    cdef int *table = <int *>s.priv
    cdef uint32_t port = LB_SWAP16(p.sport) if s.flags & SH_PORT else 0
    cdef uint32_t h = hash_32(port + fold_h(&p.saddr), SH_BITS)
    cdef uint32_t i
    cdef int dest = table[h]
    if dest == NO_DEST or dest_usable(&s.dests[dest]):
        return dest
    if not s.flags & SH_FALLBACK:
        return NO_DEST
    for i in range(SH_SIZE):
        dest = table[((i + h) % SH_SIZE + h) % SH_SIZE]
        if dest_usable(&s.dests[dest]):
            return dest
    return NO_DEST
