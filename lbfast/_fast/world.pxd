"""Where a packet goes next: links, routes and neighbours, as the kernel has them."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from lbfast._fast.addr cimport addr_multicast, addr_prefix
from lbfast._fast.map cimport map_get
from lbfast._fast.types cimport (
    NO_INDEX, RTN_LOCAL, RTN_THROW, RTN_UNICAST, addr_t, nexthop_t, route_t, rule_t, world_t,
)

cdef extern from *:
    int __builtin_clz(uint32_t) noexcept nogil

cdef enum:
    KIND_ROUTE = 0x100
    KIND_NEIGH = 0x200
    ROUTE_CACHE = 1024          # entries of a worker's cache of next hops; a power of two
    TABLE_LOCAL = 0             # index of the kernel's table 255

ctypedef struct cached_t:
    addr_t addr
    addr_t saddr
    uint32_t is_v6
    uint32_t generation         # 0 = empty
    nexthop_t nh


cdef inline uint32_t link_find(const world_t *wd, uint32_t ifindex) noexcept nogil:
    """Return the index of the link with that ifindex, or NO_INDEX."""
    cdef uint32_t i
    for i in range(wd.nlinks):
        if wd.links[i].ifindex == ifindex:
            return i
    return NO_INDEX


cdef inline uint32_t vlan_link_find(
    const world_t *wd, uint32_t parent, uint32_t vlan_id
) noexcept nogil:
    """Return the link that carries that 802.1Q tag on top of `parent`, or NO_INDEX."""
    cdef uint32_t i
    for i in range(wd.nlinks):
        if wd.links[i].vlan_parent == parent and wd.links[i].vlan_id == vlan_id:
            return i
    return NO_INDEX


cdef inline const route_t *table_match(
    const world_t *wd, uint32_t table, const addr_t *addr, bint is_v6
) noexcept nogil:
    """Return the longest match in one table, or NULL."""
    cdef uint32_t word, bits, length, found
    cdef int i
    cdef addr_t prefix
    for i in range(4, -1, -1):
        bits = wd.lengths[is_v6][table][i]
        while bits:
            length = 31 - <uint32_t>__builtin_clz(bits)
            bits &= ~(<uint32_t>1 << length)
            word = <uint32_t>i * 32 + length
            prefix = addr_prefix(addr, word)
            found = map_get(&wd.fib, &prefix, word, KIND_ROUTE | table << 1 | <uint32_t>is_v6)
            if found != NO_INDEX:
                return &wd.routes[found]
    return NULL

cdef inline bint rule_applies(
    const rule_t *r, const addr_t *src, const addr_t *dst, bint is_v6
) noexcept nogil:
    cdef addr_t a
    if r.is_v6 != <uint32_t>is_v6:
        return False
    if r.src_len:
        a = addr_prefix(src, r.src_len)
        if memcmp(&a, &r.src, sizeof(addr_t)):
            return False
    if r.dst_len:
        a = addr_prefix(dst, r.dst_len)
        if memcmp(&a, &r.dst, sizeof(addr_t)):
            return False
    return True


cdef inline const route_t *route_match(
    const world_t *wd, const addr_t *src, const addr_t *dst, bint is_v6
) noexcept nogil:
    """Ask the tables in the order of the rules; NULL when none has a route."""
    cdef uint32_t i
    cdef const route_t *r
    for i in range(wd.nrules):
        if rule_applies(&wd.rules[i], src, dst, is_v6):
            if wd.rules[i].type != RTN_UNICAST:
                return NULL
            r = table_match(wd, wd.rules[i].table, dst, is_v6)
            if r != NULL and r.type != RTN_THROW:
                return r
    return NULL


cdef inline bint addr_is_local(const world_t *wd, const addr_t *addr, bint is_v6) noexcept nogil:
    cdef const route_t *r = table_match(wd, TABLE_LOCAL, addr, is_v6)
    return r != NULL and r.type == RTN_LOCAL


cdef inline bint addr_elsewhere(const world_t *wd, const addr_t *addr, bint is_v6) noexcept nogil:
    """Whether it is one host's address and not this host's."""
    cdef const route_t *r = table_match(wd, TABLE_LOCAL, addr, is_v6)
    return not addr_multicast(addr, is_v6) and (r == NULL or r.type == RTN_UNICAST)
