"""The FTP helper for NAT services: data connections are announced in the control connection.

Same rules as the kernel's ip_vs_ftp.c.  A control connection is one to port 21 of a virtual
address.  Replies 227 and 229 to a PASV or EPSV name the real server's address, which is replaced
by the virtual one; commands PORT and EPRT name the client's, which stays.  Either makes the data
connection, state LISTEN, controlled by the control connection (spec 6.4).
"""
from libc.stdio cimport snprintf

cdef enum:
    FTP_TEXT = 24                # room for what a 227 or 229 names


cdef inline uint32_t ftp_flags(engine_t *e, const tuple_t *t, uint32_t flags) noexcept nogil:
    """Return the flags of a new connection, those of a control connection added if it is one."""
    if (
        t.vport == LB_SWAP16(FTP_PORT) and t.protocol == IPPROTO_TCP_ and e.settings.ftp_helper
        and flags & CONN_METHOD == MASQ and not flags & CONN_TEMPLATE
    ):
        flags |= CONN_FTP | CONN_NFCT
    return flags


cdef bint tcp_sum_ok(const pkt_t *p) noexcept nogil:
    """Whether the checksum is right, or somebody said so, or it is yet to be made."""
    cdef uint32_t length = p.ip_len - p.l3_len
    if p.vnet.flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID):
        return True
    return csum_l4(p.l3, p.is_v6, IPPROTO_TCP_, p.l4, length) == 0


cdef inline const uint8_t *ftp_text(const pkt_t *p, uint32_t *n) noexcept nogil:
    """Return the payload of a segment and its length, 0 when there is none."""
    cdef uint32_t header = (p.l4[12] >> 4) * 4
    cdef uint32_t length = p.ip_len - p.l3_len
    n[0] = length - header if 20 <= header < length else 0
    return p.l4 + header


cdef void ftp_listen(worker_t *w, uint32_t i) noexcept nogil:
    """Let a data connection wait for its packets.  Call under the lock."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_t *c = &e.conns[i]
    c.state = TCP_LISTENING
    c.timeout = lb_tcp_timeout_s[TCP_LISTENING] * TICKS_PER_S
    flow_forget(e, i)
    if conn_reachable(e, w, i):
        conn_touch(w, i)
    elif <int32_t>(w.now + c.timeout - c.expires) > 0:
        c.expires = w.now + c.timeout         # another worker's lists: only ever later


cdef tuple_t ftp_tuple(engine_t *e, uint32_t control) noexcept nogil:
    """Return the addresses of a control connection, without ports."""
    cdef tuple_t t
    memset(&t, 0, sizeof(t))
    t.caddr = conn_caddr(e, control)
    t.vaddr = conn_vaddr(e, control)
    t.daddr = conn_daddr(e, control)
    t.protocol = IPPROTO_TCP_
    t.is_v6 = (e.conns[control].flags & CONN_V6) != 0
    t.d6 = (e.conns[control].flags & CONN_D6) != 0
    return t


# ---------------------------------------------------------------- from the client

cdef verdict_t ftp_request(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """A packet of a control connection on its way to the real server; NEXT when it may go on."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_ext_t *x = &e.exts[i]
    if not tcp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    if e.conns[i].state == TCP_EST and not ftp_command(w, p, i):
        return drop(w, R_NO_MEMORY)
    if x.seq_adjusts and not seq_request(x, p):
        return drop(w, R_OPTION)
    return NEXT


cdef bint ftp_command(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """Remember a PASV or EPSV; make the data connection of a PORT or EPRT.  False: no memory."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t n, asked
    cdef const uint8_t *text = ftp_text(p, &n)
    cdef ftp_addr_t r
    if n == 0:
        return True
    asked = ftp_asked(text, n, p.is_v6)
    if asked != FTP_ACTIVE:
        if asked != FTP_NEITHER:
            e.exts[i].ftp_asked = asked
        return True
    memset(&r, 0, sizeof(r))
    if not (
        not p.is_v6 and ftp_says(text, n, b"PORT", 4)
        and ftp_read_plain(text, n, ftp_skip(text, n, 4, 32, False), &r)
        or ftp_says(text, n, b"EPRT", 4)
        and ftp_read_extended(text, n, ftp_skip(text, n, 4, 32, True), False, p.is_v6, &r)
    ):
        return True
    e.exts[i].ftp_asked = FTP_ACTIVE
    return ftp_expect_active(w, i, &r)


cdef bint ftp_expect_active(worker_t *w, uint32_t control, const ftp_addr_t *r) noexcept nogil:
    """The real server will connect from the port below its own to the client's address."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef tuple_t t = ftp_tuple(e, control)
    cdef uint32_t i
    t.caddr = r.addr
    t.cport = r.port
    t.vport = LB_SWAP16(LB_SWAP16(e.conns[control].vport) - 1)
    t.dport = LB_SWAP16(LB_SWAP16(e.conns[control].dport) - 1)
    engine_lock(e)
    i = conn_find_in(
        e, conn_hash(e.seed, addr_fold(&t.caddr), t.cport, t.protocol),
        t.is_v6, t.protocol, &t.caddr, t.cport, &t.vaddr, t.vport,
    )
    if i == NO_INDEX:
        i = expected_request(e, &t)
    if i == NO_INDEX:
        i = expected_new(w, &t, 0, control)
    if i != NO_INDEX:
        ftp_listen(w, i)
    engine_unlock(e)
    return i != NO_INDEX


# ---------------------------------------------------------------- from the real server

cdef verdict_t ftp_reply(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """A packet of a control connection on its way to the client; NEXT when it may go on."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_ext_t *x = &e.exts[i]
    if not tcp_sum_ok(p):
        return drop(w, R_BAD_CHECKSUM)
    if (
        e.conns[i].state == TCP_EST and x.ftp_asked != FTP_ACTIVE and not ftp_answer(w, p, i)
    ):
        return drop(w, R_NO_MEMORY)
    if x.seq_adjusts and not seq_reply(x, p):
        return drop(w, R_OPTION)
    return NEXT


cdef bint ftp_answer(worker_t *w, pkt_t *p, uint32_t i) noexcept nogil:
    """Make the data connection of a 227 or 229 and put the virtual address into it; another reply
    is left alone.  False: no memory."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef conn_ext_t *x = &e.exts[i]
    cdef uint32_t n, size, seq
    cdef const uint8_t *text = ftp_text(p, &n)
    cdef char[FTP_TEXT] new
    cdef ftp_addr_t r
    cdef bint done
    r.addr = conn_daddr(e, i)
    if x.ftp_asked == FTP_PASV:
        if not ftp_says(text, n, b"227 ", 4) or not ftp_read_plain(
            text, n, ftp_skip(text, n, 4, 40, False), &r
        ):
            return True
    elif not ftp_says(text, n, b"229 ", 4) or not ftp_read_extended(
        text, n, ftp_skip(text, n, 4, 40, True), True, p.is_v6, &r
    ):
        return True
    size = ftp_expect_passive(w, i, &r, new)
    if size == 0:
        return False
    x.ftp_asked = FTP_ACTIVE
    seq = ld32(p.l4 + 4)
    done = tcp_replace(w, p, <uint32_t>(text - p.l4) + r.start, r.end - r.start, new, size)
    if done:
        seq_moved(x, seq, <int32_t>size - <int32_t>(r.end - r.start))
    return done


cdef uint32_t ftp_expect_passive(
    worker_t *w, uint32_t control, const ftp_addr_t *r, char *new
) noexcept nogil:
    """The client will connect, from a port not known yet, to the virtual address and the port that
    the real server names.  Writes what to tell it; returns its length, 0 without memory."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef tuple_t t = ftp_tuple(e, control)
    cdef uint32_t i, size = 0
    cdef addr_t vaddr
    t.daddr = r.addr
    t.dport = r.port
    t.vport = r.port
    engine_lock(e)
    i = expected_find(e, &t, True)
    if i == NO_INDEX:
        i = expected_new(w, &t, CONN_NO_CPORT, control)
    if i != NO_INDEX:
        ftp_listen(w, i)
        vaddr = conn_vaddr(e, i)
        size = ftp_write(e.exts[control].ftp_asked, &vaddr, LB_SWAP16(e.conns[i].vport), new)
    engine_unlock(e)
    return size


cdef uint32_t ftp_write(
    uint32_t asked, const addr_t *addr, uint16_t port, char *to
) noexcept nogil:
    """Write the address in the format that was asked for; returns its length."""
    cdef const uint8_t *b = <const uint8_t *>addr
    if asked == FTP_EPSV:
        return snprintf(to, FTP_TEXT, b"|||%u|", <unsigned int>port)
    return snprintf(
        to, FTP_TEXT, b"%u,%u,%u,%u,%u,%u", <unsigned int>b[0], <unsigned int>b[1],
        <unsigned int>b[2], <unsigned int>b[3], <unsigned int>(port >> 8),
        <unsigned int>(port & 255),
    )


# ---------------------------------------------------------------- changing a payload

cdef bint pkt_room(worker_t *w, pkt_t *p, uint32_t more) noexcept nogil:
    """See to it that a packet may grow at its end; it moves to other memory if it must."""
    cdef uint32_t length = <uint32_t>(p.l3 - p.data) + p.ip_len
    cdef uint8_t *at
    if p.ip_len + more > 0xFFFF:
        return False
    if length + more <= p.room:
        return True
    at = scratch_take(w, length + more)
    if at == NULL:
        return False
    memcpy(at, p.data, length)
    p.l3 = at + (p.l3 - p.data)
    p.l4 = p.l3 + p.l3_len
    p.data = at
    p.room = length + more
    return True


cdef bint tcp_replace(
    worker_t *w, pkt_t *p, uint32_t at, uint32_t size, const char *new, uint32_t new_size
) noexcept nogil:
    """Replace bytes of a segment, `at` counted from its TCP header, and bring lengths up to date;
    the checksum is left to the device, as the kernel does.  False when there is no room for it."""
    cdef uint32_t old_length = p.ip_len - p.l3_len
    cdef uint32_t length = old_length + new_size - size
    cdef be16 before = LB_SWAP16(<uint16_t>old_length), after = LB_SWAP16(<uint16_t>length)
    cdef uint8_t *check
    if new_size > size and not pkt_room(w, p, new_size - size):
        return False
    check = p.l4 + 16
    memmove(p.l4 + at + new_size, p.l4 + at + size, old_length - at - size)
    memcpy(p.l4 + at, new, new_size)
    p.ip_len = p.l3_len + length
    p.len = <uint32_t>(p.l3 - p.data) + p.ip_len
    if p.is_v6:
        st16(p.l3 + 4, p.ip_len - 40)
    else:
        st16(p.l3 + 2, p.ip_len)
        ipv4_header_seal(p.l3)
    if p.vnet.flags & VNET_NEEDS_CSUM:
        put16(check, csum_raw(csum_swap(
            raw16(check), <const uint8_t *>&before, <const uint8_t *>&after, 2)))
    else:
        put16(check, csum_raw(csum_pseudo(p.l3, p.is_v6, IPPROTO_TCP_, length)))
        p.vnet.flags = VNET_NEEDS_CSUM
        p.vnet.csum_start = 14 + p.l3_len
        p.vnet.csum_offset = 16
    return True
