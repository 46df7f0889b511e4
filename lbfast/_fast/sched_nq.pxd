"""nq: never queue.  Same rule as the kernel's ip_vs_nq."""
from libc.stdint cimport uint32_t

from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.sched_sed cimport sed_pick
from lbfast._fast.types cimport pkt_t, sched_t, worker_t


cdef inline int nq_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the first usable destination without active connections, else what sed picks."""
    cdef uint32_t i
    for i in range(s.ndest):
        if dest_usable(dest_of(s, i)) and dest_of(s, i).activeconns == 0:
            return <int>s.list[i]
    return sed_pick(s, p, w)
