"""SCTP: which packets may start an association, and what they do to its state."""


cdef verdict_t sctp_admit(worker_t *w, pkt_t *p) noexcept nogil:
    """NEXT when a packet without a connection may be scheduled (spec 2.3): an INIT, or with
    sloppy_sctp anything but an ABORT; what has no chunk at all is dropped."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t chunk = sctp_chunk(p)
    if chunk == SCTP_NO_CHUNK:
        return drop(w, R_NO_PORTS)
    if chunk == SCTP_ABORT or (chunk != SCTP_INIT and not e.settings.sloppy_sctp):
        return host_or_leave(w, p)
    return NEXT


cdef void sctp_transition(worker_t *w, const pkt_t *p, conn_t *c, bint reply) noexcept nogil:
    """Let the state table see a packet's chunks; a packet without any changes nothing."""
    cdef uint8_t state
    if sctp_chunk(p) == SCTP_NO_CHUNK:
        return
    state = lb_sctp[conn_direction(c, reply)][sctp_event(p)][c.state]
    if state != c.state:
        c.state = state
        conn_set_active(w, c, state == SCTP_EST)
        if state == SCTP_EST:
            template_assure(w, c)
    c.timeout = lb_sctp_timeout_s[state] * TICKS_PER_S
