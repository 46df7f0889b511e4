"""A hash map from (address, two words) to an index, for all that is looked up by address."""
from libc.stdint cimport uint32_t, uint64_t

from lbfast._fast.types cimport NO_INDEX, addr_t, map_t, slot_t


cdef inline uint32_t map_hash(const addr_t *addr, uint32_t a, uint32_t b) noexcept nogil:
    cdef uint64_t h = (<uint64_t>addr.w[0] << 32 | a) * <uint64_t>0x9E3779B97F4A7C15
    h ^= (<uint64_t>addr.w[1] << 32 | b) + (h >> 29)
    h *= <uint64_t>0xBF58476D1CE4E5B9
    h ^= (<uint64_t>addr.w[2] << 32 | addr.w[3]) + (h >> 32)
    h *= <uint64_t>0x94D049BB133111EB
    return <uint32_t>(h >> 32)


cdef inline bint addr_eq(const addr_t *x, const addr_t *y) noexcept nogil:
    return (
        (x.w[0] ^ y.w[0]) | (x.w[1] ^ y.w[1]) | (x.w[2] ^ y.w[2]) | (x.w[3] ^ y.w[3])
    ) == 0


cdef inline bint addr_zero(const addr_t *x) noexcept nogil:
    return (x.w[0] | x.w[1] | x.w[2] | x.w[3]) == 0


cdef inline uint32_t map_get(
    const map_t *m, const addr_t *addr, uint32_t a, uint32_t b
) noexcept nogil:
    """Return the value of the key (b is never 0), or NO_INDEX."""
    cdef uint32_t i = map_hash(addr, a, b) & m.mask
    cdef slot_t *s
    while True:
        s = &m.slots[i]
        if s.b == 0:
            return NO_INDEX
        if s.b == b and s.a == a and addr_eq(&s.addr, addr):
            return s.value
        i = (i + 1) & m.mask
