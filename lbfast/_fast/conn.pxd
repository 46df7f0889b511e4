"""The connection table: finding an entry and restarting its timer, once a packet."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lbfast._fast.addr cimport addr_fold
from lbfast._fast.map cimport addr_eq
from lbfast._fast.types cimport (
    CONN_D6, CONN_METHOD, CONN_NO_CPORT, CONN_TEMPLATE, CONN_V6, MASQ, NO_INDEX,
    addr_t, be16, be32, conn_t, engine_t,
)


cdef inline uint32_t conn_hash(
    uint64_t seed, be32 caddr_fold, be16 cport, uint32_t protocol
) noexcept nogil:
    """Hash of the client's side, the only part that both directions know (spec 4.1)."""
    cdef uint64_t[2] mix
    seed_mix(seed, mix)
    return conn_mix(mix, caddr_fold, cport, protocol)


cdef inline void seed_mix(uint64_t seed, uint64_t *mix) noexcept nogil:
    mix[0] = seed ^ <uint64_t>0x9E3779B97F4A7C15
    mix[1] = (seed << 32 | seed >> 32) ^ <uint64_t>0xD6E8FEB86659FD93


cdef inline uint32_t conn_mix(
    const uint64_t *mix, be32 caddr_fold, be16 cport, uint32_t protocol
) noexcept nogil:
    """conn_hash in two steps, the first being seed_mix: the upper half of a sum of products with
    secret factors (multilinear hashing: nobody who does not know them can make it collide)."""
    return <uint32_t>(
        (caddr_fold * mix[0] + <uint64_t>(protocol + cport) * mix[1]) >> 32
    )


cdef inline uint32_t hash_owner(const engine_t *e, uint32_t hash) noexcept nogil:
    """Return the worker that a chain belongs to, and with it the connections in it; the program
    of control/fanout.py computes the same."""
    return (hash & e.bucket_mask) % e.nworkers


cdef inline uint32_t bytes_hash(uint64_t seed, const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint64_t h = seed
    cdef uint32_t i
    for i in range(n):
        h = (h ^ p[i]) * <uint64_t>0x100000001B3
    return <uint32_t>(h >> 32 ^ h)


cdef inline bint conn_client_is(
    const engine_t *e, const conn_t *c, uint32_t i,
    const addr_t *addr, be32 fold, bint is_v6
) noexcept nogil:
    if c.caddr != fold:
        return False
    if not is_v6:
        return not c.flags & CONN_V6
    return (c.flags & CONN_V6) != 0 and addr_eq(&e.conns6[i].caddr, addr)


cdef inline uint32_t conn_find_in(
    const engine_t *e, uint32_t hash, bint is_v6, uint32_t protocol,
    const addr_t *caddr, be16 cport, const addr_t *vaddr, be16 vport
) noexcept nogil:
    """Request direction: the entry of client and virtual address, or NO_INDEX (spec 4.2)."""
    cdef uint32_t i = e.buckets[hash & e.bucket_mask] - 1
    cdef be32 cfold = addr_fold(caddr), vfold = addr_fold(vaddr)
    cdef const conn_t *c
    while i != NO_INDEX:
        c = &e.conns[i]
        if (
            c.cport == cport and c.vport == vport and c.vaddr == vfold
            and c.protocol == protocol
            and not c.flags & (CONN_TEMPLATE | CONN_NO_CPORT)
            and conn_client_is(e, c, i, caddr, cfold, is_v6)
            and (not is_v6 or addr_eq(&e.conns6[i].vaddr, vaddr))
        ):
            return i
        i = c.hnext
    return NO_INDEX


cdef inline bint conn_source_is(
    const engine_t *e, const conn_t *c, uint32_t i, bint is_v6, const addr_t *saddr, be16 sport
) noexcept nogil:
    """Whether a reply of this connection comes from that address: real server's, or virtual."""
    if c.flags & CONN_METHOD == MASQ:
        if c.dport != sport:
            return False
        if c.flags & CONN_D6:
            return is_v6 and addr_eq(&e.conns6[i].daddr, saddr)
        return not is_v6 and c.daddr == saddr.w[0]
    if c.vport != sport:
        return False
    if is_v6:
        return addr_eq(&e.conns6[i].vaddr, saddr)
    return c.vaddr == saddr.w[0]


cdef inline uint32_t conn_find_out(
    const engine_t *e, uint32_t hash, bint is_v6, uint32_t protocol,
    const addr_t *saddr, be16 sport, const addr_t *caddr, be16 cport
) noexcept nogil:
    """Reply direction: the entry of client and real server, or NO_INDEX (spec 4.3)."""
    cdef uint32_t i = e.buckets[hash & e.bucket_mask] - 1
    cdef be32 cfold = addr_fold(caddr)
    cdef const conn_t *c
    while i != NO_INDEX:
        c = &e.conns[i]
        if (
            c.cport == cport and c.protocol == protocol
            and not c.flags & CONN_TEMPLATE
            and conn_client_is(e, c, i, caddr, cfold, is_v6)
            and conn_source_is(e, c, i, is_v6, saddr, sport)
        ):
            return i
        i = c.hnext
    return NO_INDEX
