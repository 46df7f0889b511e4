"""mh: Maglev hashing.  Same rule as the kernel's ip_vs_mh."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from lbfast._fast.addr cimport LB_SWAP16
from lbfast._fast.sched cimport dest_of, dest_usable
from lbfast._fast.sched_hash cimport fold_h, hsiphash
from lbfast._fast.types cimport (
    NO_DEST, SVC_SCHED1, SVC_SCHED2, pkt_t, sched_t, worker_t,
)

cdef enum:
    MH_FALLBACK = SVC_SCHED1
    MH_PORT = SVC_SCHED2
    MH_SIZES = 6
    MH_INDEX = 12                # of the smallest size: its bits, as the kernel counts

cdef extern from *:
    """
    static const uint32_t mh_sizes[6] = {4093, 8191, 16381, 32749, 65521, 131071};
    #define MH_KEY1 2654435761ULL
    #define MH_KEY2 2654446892ULL
    """
    const uint32_t mh_sizes[6]
    uint64_t MH_KEY1
    uint64_t MH_KEY2

ctypedef struct mh_turn_t:       # how a destination goes through the slots
    uint32_t next                # slot it asks for next
    uint32_t skip
    uint32_t turns               # slots it takes each round

ctypedef struct mh_t:
    int *table                   # NO_DEST: the table is empty
    uint32_t size
    uint32_t stale               # the list or a weight changed since the table was filled
    mh_turn_t *turns             # memory for filling
    uint32_t nturns


cdef inline uint32_t mh_gcd(sched_t *s, uint32_t *heaviest) noexcept nogil:
    cdef uint32_t g = 0, a, b, t, i
    heaviest[0] = 0
    for i in range(s.ndest):
        b = <uint32_t>dest_of(s, i).last_weight
        heaviest[0] = max(heaviest[0], b)
        a = g
        while b:
            t = a % b
            a = b
            b = t
        g = a
    return g


cdef inline uint32_t mh_shift(uint32_t heaviest, uint32_t index) noexcept nogil:
    """Return by how many bits weights are cut so that no round takes too many slots."""
    cdef uint32_t bits = 0
    while heaviest >> bits:
        bits += 1
    return bits - index // 2 if bits > index // 2 else 0


cdef inline bint mh_prepare(sched_t *s, mh_t *m, uint32_t index) noexcept nogil:
    """Work out each destination's way; False when none has a weight."""
    cdef uint32_t heaviest, g = mh_gcd(s, &heaviest)
    cdef uint32_t shift, i, x
    cdef mh_turn_t *t
    if g == 0:
        return False
    shift = mh_shift(heaviest // g, index)
    for i in range(s.ndest):
        t = &m.turns[i]
        x = LB_SWAP16(dest_of(s, i).port) + fold_h(&dest_of(s, i).addr)
        t.next = hsiphash(x, MH_KEY1) % m.size
        t.skip = hsiphash(x, MH_KEY2) % (m.size - 1) + 1
        t.turns = <uint32_t>dest_of(s, i).last_weight // g >> shift
        if t.turns == 0 and dest_of(s, i).last_weight:
            t.turns = 1
    return True


cdef inline void mh_fill(sched_t *s, mh_t *m, uint32_t index) noexcept nogil:
    """Let the destinations, in list order, claim slots in turn until none is free."""
    cdef uint32_t i, _, slot, filled = 0
    cdef mh_turn_t *t
    memset(m.table, 0xFF, m.size * sizeof(int))
    if not mh_prepare(s, m, index):
        return
    while True:
        for i in range(s.ndest):
            t = &m.turns[i]
            for _ in range(t.turns):
                slot = t.next
                while m.table[slot] != NO_DEST:
                    slot = slot + t.skip
                    if slot >= m.size:
                        slot -= m.size
                m.table[slot] = <int>s.list[i]
                t.next = slot
                filled += 1
                if filled == m.size:
                    return


cdef inline uint32_t mh_fit(sched_t *s) noexcept nogil:
    """Return which size holds all destinations: the kernel's default, or the next that does."""
    cdef uint32_t k = 0
    while k < MH_SIZES and s.ndest > mh_sizes[k]:
        k += 1
    return k


cdef inline bint mh_room(sched_t *s) noexcept nogil:
    """Have memory for a table of the present list, to be filled when it is asked for."""
    cdef mh_t *m = <mh_t *>s.priv
    cdef uint32_t k = mh_fit(s)
    cdef void *more
    m.stale = True
    if k == MH_SIZES:
        return False
    if m.size != mh_sizes[k]:
        more = realloc(m.table, mh_sizes[k] * sizeof(int))
        if more == NULL:
            return False
        m.table = <int *>more
        m.size = mh_sizes[k]
    if m.nturns < s.ndest:
        more = realloc(m.turns, s.capacity * sizeof(mh_turn_t))
        if more == NULL:
            return False
        m.turns = <mh_turn_t *>more
        m.nturns = s.capacity
    return True


cdef inline bint mh_start(sched_t *s) noexcept nogil:
    s.priv = calloc(1, sizeof(mh_t))
    return s.priv != NULL and mh_room(s)


cdef inline void mh_stop(sched_t *s) noexcept nogil:
    cdef mh_t *m = <mh_t *>s.priv
    if m != NULL:
        free(m.table)
        free(m.turns)
    free(m)
    s.priv = NULL


cdef inline bint mh_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    return mh_room(s)


cdef inline int mh_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return the destination of the client's slot; with mh-fallback, if that is unusable, of the
    slots that are probed after it."""
    cdef mh_t *m = <mh_t *>s.priv
    cdef uint32_t x = fold_h(&p.saddr)
    cdef uint32_t i, first
    cdef int dest
    if s.flags & MH_PORT:
        x += LB_SWAP16(p.sport)
    if m.stale:
        mh_fill(s, m, MH_INDEX + mh_fit(s))
        m.stale = False
    first = hsiphash(x, MH_KEY1) % m.size
    dest = m.table[first]
    if dest == NO_DEST or dest_usable(&s.dests[dest]):
        return dest
    if not s.flags & MH_FALLBACK:
        return NO_DEST
    for i in range(m.size):
        dest = m.table[hsiphash(x + (i + first) % m.size, MH_KEY1) % m.size]
        if dest_usable(&s.dests[dest]):
            return dest
    return NO_DEST
