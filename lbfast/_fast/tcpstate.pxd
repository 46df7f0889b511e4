"""TCP states: [direction][event][state] -> state, and the time-outs (spec 4.5).

Same rules as the kernel's ip_vs_proto_tcp.c.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from lbfast._fast.types cimport settings_t

cdef enum:
    TCP_NONE = 0
    TCP_EST = 1
    TCP_SSENT = 2
    TCP_SRECV = 3
    TCP_FINW = 4
    TCP_TIMEW = 5
    TCP_CLOSED = 6
    TCP_CLOSEW = 7
    TCP_LASTA = 8
    TCP_LISTENING = 9
    TCP_SYNACK = 10

cdef enum:                       # direction of a packet; INPUT_ONLY while no reply was seen
    DIR_INPUT = 0
    DIR_OUTPUT = 1
    DIR_INPUT_ONLY = 2

cdef extern from *:
    """
    enum { sNO, sES, sSS, sSR, sFW, sTW, sCL, sCW, sLA, sLI, sSA };
    static const uint8_t lb_tcp_normal[3][4][11] = {
        /*             sNO, sES, sSS, sSR, sFW, sTW, sCL, sCW, sLA, sLI, sSA */
        { /* input */
            /* SYN */ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSR},
            /* FIN */ {sCL, sCW, sSS, sTW, sTW, sTW, sCL, sCW, sLA, sLI, sTW},
            /* ACK */ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
            /* RST */ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sSR},
        },
        { /* output */
            /* SYN */ {sSS, sES, sSS, sSR, sSS, sSS, sSS, sSS, sSS, sLI, sSR},
            /* FIN */ {sTW, sFW, sSS, sTW, sFW, sTW, sCL, sTW, sLA, sLI, sTW},
            /* ACK */ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sLA, sES, sES},
            /* RST */ {sCL, sCL, sSS, sCL, sCL, sTW, sCL, sCL, sCL, sCL, sCL},
        },
        { /* input only */
            /* SYN */ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSR},
            /* FIN */ {sCL, sFW, sSS, sTW, sFW, sTW, sCL, sCW, sLA, sLI, sTW},
            /* ACK */ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
            /* RST */ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
        },
    };
    /* while secure_tcp is active */
    static const uint8_t lb_tcp_secure[3][4][11] = {
        /*             sNO, sES, sSS, sSR, sFW, sTW, sCL, sCW, sLA, sLI, sSA */
        { /* input */
            /* SYN */ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSA},
            /* FIN */ {sCL, sCW, sSS, sTW, sTW, sTW, sCL, sCW, sLA, sLI, sSA},
            /* ACK */ {sES, sES, sSS, sSR, sFW, sTW, sCL, sCW, sCL, sLI, sSA},
            /* RST */ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
        },
        { /* output */
            /* SYN */ {sSS, sES, sSS, sSA, sSS, sSS, sSS, sSS, sSS, sLI, sSA},
            /* FIN */ {sTW, sFW, sSS, sTW, sFW, sTW, sCL, sTW, sLA, sLI, sTW},
            /* ACK */ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sLA, sES, sES},
            /* RST */ {sCL, sCL, sSS, sCL, sCL, sTW, sCL, sCL, sCL, sCL, sCL},
        },
        { /* input only */
            /* SYN */ {sSA, sES, sES, sSR, sSA, sSA, sSA, sSA, sSA, sSA, sSA},
            /* FIN */ {sCL, sFW, sSS, sTW, sFW, sTW, sCL, sCW, sLA, sLI, sTW},
            /* ACK */ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
            /* RST */ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
        },
    };
    static const uint16_t lb_tcp_timeout_s[11] = {2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120};
    static const uint8_t lb_tcp_active[11] = {0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1};
    """
    const uint8_t lb_tcp_normal[3][4][11]
    const uint8_t lb_tcp_secure[3][4][11]
    const uint16_t lb_tcp_timeout_s[11]
    const uint8_t lb_tcp_active[11]


cdef inline uint8_t tcp_next(
    uint8_t state, uint32_t direction, uint8_t flags, bint secure
) noexcept nogil:
    """Return the state after a segment with these flag bits; one without any of
    RST, SYN, FIN and ACK ends the connection."""
    cdef uint32_t event
    if flags & 0x04:
        event = 3
    elif flags & 0x02:
        event = 0
    elif flags & 0x01:
        event = 1
    elif flags & 0x10:
        event = 2
    else:
        return TCP_CLOSED
    if secure:
        return lb_tcp_secure[direction][event][state]
    return lb_tcp_normal[direction][event][state]


cdef inline uint32_t tcp_timeout_s(const settings_t *s, uint8_t state) noexcept nogil:
    if state == TCP_EST:
        return <uint32_t>s.tcp_timeout_s
    if state == TCP_FINW:
        return <uint32_t>s.tcpfin_timeout_s
    return lb_tcp_timeout_s[state]
