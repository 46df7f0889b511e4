"""Loads and stores of big-endian fields at any alignment, and the numbers on the wire."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lbfast._fast.types cimport LB_LITTLE_ENDIAN, be16, be32

cdef extern from *:
    """
    typedef uint64_t lb_pair_t __attribute__((vector_size(16), aligned(1), may_alias));
    static inline void lb_copy16(void *to, const void *from)
    { *(lb_pair_t *)to = *(const lb_pair_t *)from; }

    #if defined(__SSE2__)
    #include <emmintrin.h>
    static inline int lb_same32(const void *at, const void *aligned) {
        const __m128i *a = at, *b = aligned;
        __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128(a), _mm_load_si128(b));
        __m128i high = _mm_cmpeq_epi8(_mm_loadu_si128(a + 1), _mm_load_si128(b + 1));
        return _mm_movemask_epi8(_mm_and_si128(low, high)) == 0xFFFF;
    }
    #else
    #define lb_same32(at, aligned) (__builtin_memcmp(at, aligned, 32) == 0)
    #endif
    """
    bint lb_same32(const void *at, const void *aligned) noexcept nogil    # the second by 16 bytes
    void lb_copy16(void *to, const void *frm) noexcept nogil      # in one piece
    uint16_t __builtin_bswap16(uint16_t) noexcept nogil
    uint32_t __builtin_bswap32(uint32_t) noexcept nogil

cdef enum:
    ETH_P_IP = 0x0800
    ETH_P_IPV6 = 0x86DD
    ETH_P_8021Q = 0x8100
    ETH_P_8021AD = 0x88A8
    IPPROTO_HOPOPTS_ = 0
    IPPROTO_ICMP_ = 1
    IPPROTO_IPIP_ = 4
    IPPROTO_TCP_ = 6
    IPPROTO_UDP_ = 17
    IPPROTO_IPV6_ = 41
    IPPROTO_ROUTING_ = 43
    IPPROTO_FRAGMENT_ = 44
    IPPROTO_GRE_ = 47
    IPPROTO_ESP_ = 50
    IPPROTO_AH_ = 51
    IPPROTO_ICMPV6_ = 58
    IPPROTO_DSTOPTS_ = 60
    IPPROTO_SCTP_ = 132
    IP_DF = 0x4000
    IP_MF = 0x2000
    IP_OFFSET = 0x1FFF
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_PSH = 0x08
    TCP_ACK = 0x10
    TCP_CWR = 0x80


cdef inline be16 raw16(const uint8_t *at) noexcept nogil:
    """Load 16 bits as they are on the wire."""
    cdef be16 v
    memcpy(&v, at, 2)
    return v


cdef inline be32 raw32(const uint8_t *at) noexcept nogil:
    cdef be32 v
    memcpy(&v, at, 4)
    return v


cdef inline uint64_t raw64(const uint8_t *at) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, at, 8)
    return v


cdef inline void put16(uint8_t *at, be16 v) noexcept nogil:
    """Store 16 bits that are in network order already."""
    memcpy(at, &v, 2)


cdef inline void put32(uint8_t *at, be32 v) noexcept nogil:
    memcpy(at, &v, 4)


cdef inline uint32_t be_pair(uint32_t first, uint32_t second) noexcept nogil:
    """The be16 whose bytes on the wire are these."""
    return first | second << 8 if LB_LITTLE_ENDIAN else first << 8 | second


cdef inline uint32_t ld16(const uint8_t *at) noexcept nogil:
    """Load a big-endian field as a host-order number."""
    return __builtin_bswap16(raw16(at))


cdef inline uint32_t ld32(const uint8_t *at) noexcept nogil:
    return __builtin_bswap32(raw32(at))


cdef inline void st16(uint8_t *at, uint32_t v) noexcept nogil:
    """Store a host-order number as a big-endian field."""
    put16(at, __builtin_bswap16(<uint16_t>v))


cdef inline void st32(uint8_t *at, uint32_t v) noexcept nogil:
    put32(at, __builtin_bswap32(v))
