"""SCTP states: [direction][event][state] -> state, and the time-outs (spec 4.6).

Same rules as the kernel's ip_vs_proto_sctp.c.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from lbfast._fast.types cimport pkt_t
from lbfast._fast.wire cimport ld16

cdef enum:
    SCTP_STATE_INIT1 = 1
    SCTP_STATE_INIT = 2
    SCTP_CLOSED = 13
    SCTP_EST = 8
    # types of chunks (RFC 9260 section 3.2)
    SCTP_INIT = 1
    SCTP_ABORT = 6
    SCTP_COOKIE_ECHO = 10
    SCTP_COOKIE_ACK = 11
    SCTP_CHUNKS = 15             # types from here on are data to the states
    SCTP_NO_CHUNK = 256          # the packet ends before it

cdef extern from *:
    """
    enum { aNO, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL };
    static const uint8_t lb_sctp[3][10][14] = {
        /*                  aNO, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL */
        { /* input */
            /* DATA    */ {aES, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* INIT    */ {aI1, aIN, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aIN, aIN},
            /* I-ACK   */ {aCW, aCW, aCW, aCS, aCR, aCO, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ECHO  */ {aCR, aIN, aIN, aCR, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ACK   */ {aES, aI1, aIN, aCS, aCR, aCW, aCO, aES, aES, aSS, aSR, aSA, aRJ, aCL},
            /* SHUT    */ {aSR, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aSR, aSS, aSR, aSA, aRJ, aCL},
            /* S-ACK   */ {aCL, aIN, aIN, aCS, aCR, aCW, aCO, aCE, aES, aCL, aSR, aCL, aRJ, aCL},
            /* S-COMPL */ {aCL, aCL, aCL, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aCL, aRJ, aCL},
            /* ERROR   */ {aCL, aI1, aIN, aCS, aCR, aCW, aCO, aCL, aES, aSS, aSR, aSA, aRJ, aCL},
            /* ABORT   */ {aCL, aCL, aCL, aCL, aCL, aRJ, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL},
        },
        { /* output */
            /* DATA    */ {aES, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* INIT    */ {aCW, aCW, aCW, aCW, aCW, aCW, aCW, aCW, aES, aCW, aCW, aCW, aCW, aCW},
            /* I-ACK   */ {aCS, aCS, aCS, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ECHO  */ {aCE, aCE, aCE, aCE, aCE, aCE, aCE, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ACK   */ {aES, aES, aES, aES, aES, aES, aES, aES, aES, aSS, aSR, aSA, aRJ, aCL},
            /* SHUT    */ {aSS, aSS, aSS, aSS, aSS, aSS, aSS, aSS, aSS, aSS, aSR, aSA, aRJ, aCL},
            /* S-ACK   */ {aSA, aSA, aSA, aSA, aSA, aCW, aCO, aCE, aES, aSA, aSA, aSA, aRJ, aCL},
            /* S-COMPL */ {aCL, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* ERROR   */ {aCL, aCL, aCL, aCL, aCL, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* ABORT   */ {aCL, aRJ, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL},
        },
        { /* input only */
            /* DATA    */ {aES, aI1, aIN, aCS, aCR, aES, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* INIT    */ {aI1, aIN, aIN, aIN, aIN, aIN, aCO, aCE, aES, aSS, aSR, aSA, aIN, aIN},
            /* I-ACK   */ {aCE, aCE, aCE, aCE, aCE, aCE, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ECHO  */ {aES, aES, aES, aES, aES, aES, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* C-ACK   */ {aES, aI1, aIN, aES, aES, aCW, aES, aES, aES, aSS, aSR, aSA, aRJ, aCL},
            /* SHUT    */ {aSR, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aSR, aSS, aSR, aSA, aRJ, aCL},
            /* S-ACK   */ {aCL, aIN, aIN, aCS, aCR, aCW, aCO, aCE, aCL, aCL, aSR, aCL, aRJ, aCL},
            /* S-COMPL */ {aCL, aCL, aCL, aCL, aCL, aCW, aCO, aCE, aES, aSS, aCL, aCL, aRJ, aCL},
            /* ERROR   */ {aCL, aI1, aIN, aCS, aCR, aCW, aCO, aCE, aES, aSS, aSR, aSA, aRJ, aCL},
            /* ABORT   */ {aCL, aCL, aCL, aCL, aCL, aRJ, aCL, aCL, aCL, aCL, aCL, aCL, aCL, aCL},
        },
    };
    /* by type of the chunk: the row above */
    static const uint8_t lb_sctp_event[15] = {
        /* DATA */ 0, /* INIT */ 1, /* INIT ACK */ 2, /* SACK */ 0,
        /* HEARTBEAT */ 0, /* HEARTBEAT ACK */ 0, /* ABORT */ 9, /* SHUTDOWN */ 5,
        /* SHUTDOWN ACK */ 6, /* ERROR */ 8, /* COOKIE ECHO */ 3, /* COOKIE ACK */ 4,
        /* ECNE */ 0, /* CWR */ 0, /* SHUTDOWN COMPLETE */ 7,
    };
    static const uint16_t lb_sctp_timeout_s[14] = {
        2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61
    };
    """
    const uint8_t lb_sctp[3][10][14]
    const uint8_t lb_sctp_event[15]
    const uint16_t lb_sctp_timeout_s[14]


cdef inline uint32_t sctp_chunk_at(const pkt_t *p, uint32_t at) noexcept nogil:
    """Return the type of the chunk so many bytes behind the SCTP header, or SCTP_NO_CHUNK."""
    if p.l4 == NULL or p.l3_len + 12 + at + 4 > p.ip_len:
        return SCTP_NO_CHUNK
    return p.l4[12 + at]


cdef inline uint32_t sctp_chunk(const pkt_t *p) noexcept nogil:
    """Return the type of the first chunk, or SCTP_NO_CHUNK."""
    return sctp_chunk_at(p, 0)


cdef inline uint32_t sctp_event(const pkt_t *p) noexcept nogil:
    """Return the event that a packet is to the states: its first chunk's type; an ABORT right
    behind a cookie counts for both (it may not come first, RFC 9260 section 3.3.7)."""
    cdef uint32_t chunk = sctp_chunk(p), length
    if chunk == SCTP_COOKIE_ECHO or chunk == SCTP_COOKIE_ACK:
        length = ld16(p.l4 + 14)
        if length >= 4 and sctp_chunk_at(p, (length + 3) & ~<uint32_t>3) == SCTP_ABORT:
            chunk = SCTP_ABORT
    return lb_sctp_event[chunk] if chunk < SCTP_CHUNKS else 0
