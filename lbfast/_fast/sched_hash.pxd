"""Hashing of addresses as the kernel's schedulers do it (spec 5.9)."""
from libc.stdint cimport uint32_t, uint64_t

from lbfast._fast.addr cimport LB_SWAP32, addr_fold
from lbfast._fast.types cimport addr_t, pkt_t


cdef inline uint32_t fold_h(const addr_t *a) noexcept nogil:
    """Return an address as one number: IPv4 in host order, IPv6 the XOR of its words."""
    return LB_SWAP32(addr_fold(a))


cdef inline uint32_t hash_32(uint32_t x, uint32_t bits) noexcept nogil:
    return x * <uint32_t>0x61C88647U >> (32 - bits)


cdef inline const addr_t *header_daddr(const pkt_t *p) noexcept nogil:
    """Return the destination in the header that is scheduled by: dh and lblc take it as it is,
    and in what an ICMP error quotes that is the client."""
    return &p.saddr if p.from_icmp else &p.daddr


cdef inline void sip_round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0]
    v[0] = v[0] << 32 | v[0] >> 32
    v[2] += v[3]
    v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2]
    v[0] += v[3]
    v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0]
    v[2] += v[1]
    v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2]
    v[2] = v[2] << 32 | v[2] >> 32


cdef inline uint32_t hsiphash(uint32_t x, uint64_t key) noexcept nogil:
    """SipHash-1-3 of the four bytes of `x` in machine order, both words of the key the same."""
    cdef uint64_t[4] v
    cdef uint64_t b = <uint64_t>4 << 56 | x
    v[0] = <uint64_t>0x736f6d6570736575ULL ^ key
    v[1] = <uint64_t>0x646f72616e646f6dULL ^ key
    v[2] = <uint64_t>0x6c7967656e657261ULL ^ key
    v[3] = <uint64_t>0x7465646279746573ULL ^ key ^ b
    sip_round(v)
    v[0] ^= b
    v[2] ^= 0xFF
    sip_round(v)
    sip_round(v)
    sip_round(v)
    return <uint32_t>(v[0] ^ v[1] ^ v[2] ^ v[3])
