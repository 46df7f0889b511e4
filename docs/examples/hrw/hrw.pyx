"""hrw: rendezvous hashing. A client keeps its server for as long as that may be used."""
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint32_t, uint64_t

from lbfast._fast.sched cimport dest_of, dest_usable, sched_capsule_t, sched_export
from lbfast._fast.types cimport NO_DEST, addr_t, dest_t, pkt_t, sched_t, worker_t


cdef bint start(sched_t *s) noexcept nogil:          # nothing is kept: s.priv stays unused
    return True


cdef void stop(sched_t *s) noexcept nogil:
    pass


cdef bint change(sched_t *s, uint32_t event, uint32_t at, uint32_t dest) noexcept nogil:
    return True


cdef inline uint64_t mixed(uint64_t x, const addr_t *a) noexcept nogil:
    cdef int i
    for i in range(4):
        x = (x ^ a.w[i]) * <uint64_t>0x9E3779B97F4A7C15ULL
        x ^= x >> 29
    return x


cdef int pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    cdef uint64_t score, best = 0
    cdef int found = NO_DEST
    cdef dest_t *d
    cdef uint32_t i
    for i in range(s.ndest):
        d = dest_of(s, i)
        score = mixed(mixed(d.port, &p.saddr), &d.addr)
        if dest_usable(d) and score >= best:
            best = score
            found = <int>s.list[i]
    return found


cdef sched_capsule_t EXPORT
sched_export(&EXPORT, b"hrw")
EXPORT.ops.start, EXPORT.ops.stop, EXPORT.ops.change, EXPORT.ops.pick = start, stop, change, pick
scheduler = PyCapsule_New(&EXPORT, b"lbfast.scheduler", NULL)
