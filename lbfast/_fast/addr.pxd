"""Addresses: loading, masking, comparing, classifying.  Network byte order throughout."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lbfast._fast.types cimport addr_t, be16, be32

cdef extern from *:
    """
    #define LB_SWAP32(x) __builtin_bswap32(x)
    #define LB_SWAP16(x) __builtin_bswap16(x)
    """
    uint32_t LB_SWAP32(uint32_t) noexcept nogil
    be16 LB_SWAP16(be16) noexcept nogil


cdef inline addr_t addr_load(const uint8_t *at, bint is_v6) noexcept nogil:
    """Read an address from a packet."""
    cdef addr_t a
    if is_v6:
        memcpy(&a, at, 16)
        return a
    a.w[1] = a.w[2] = a.w[3] = 0
    memcpy(&a.w[0], at, 4)
    return a


cdef inline void addr_store(uint8_t *at, const addr_t *a, bint is_v6) noexcept nogil:
    memcpy(at, a, 16 if is_v6 else 4)


cdef inline be32 addr_fold(const addr_t *a) noexcept nogil:
    """Return IPv4 as it is, IPv6 as the XOR of its words (spec 5.9; still network order)."""
    return a.w[0] ^ a.w[1] ^ a.w[2] ^ a.w[3]


cdef inline be32 mask_word(uint32_t bits) noexcept nogil:
    if bits == 0:
        return 0
    if bits >= 32:
        return 0xFFFFFFFFU
    return LB_SWAP32(0xFFFFFFFFU << (32 - bits))


cdef inline addr_t addr_prefix(const addr_t *a, uint32_t prefixlen) noexcept nogil:
    """Return the address with all but its first `prefixlen` bits cleared."""
    cdef addr_t r
    cdef uint32_t i, bits = prefixlen
    for i in range(4):
        r.w[i] = a.w[i] & mask_word(bits)
        bits = bits - 32 if bits > 32 else 0
    return r


cdef inline bint addr_loopback(const addr_t *a, bint is_v6) noexcept nogil:
    if is_v6:
        return (a.w[0] | a.w[1] | a.w[2]) == 0 and a.w[3] == LB_SWAP32(1)
    return (LB_SWAP32(a.w[0]) >> 24) == 127


cdef inline bint addr_multicast(const addr_t *a, bint is_v6) noexcept nogil:
    if is_v6:
        return (LB_SWAP32(a.w[0]) >> 24) == 0xFF
    return (LB_SWAP32(a.w[0]) >> 28) == 0xE
