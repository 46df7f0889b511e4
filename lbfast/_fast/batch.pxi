"""A batch: up to 64 frames of one interface, each by the short way or by the stages."""

ctypedef struct batch_t:
    const frame_t *frames
    uint32_t n
    uint32_t ifindex
    const uint8_t *mac           # of that interface
    uint32_t reply               # direction in which plain packets are looked for first
    uint32_t cut                 # frames that were cut short
    plain_t plains[BATCH]
    verdict_t verdicts[BATCH]    # after classify, of frames that are not plain
    pkt_t pkts[BATCH]


cdef uint32_t frames_run(
    engine_t *e, worker_t *w, const frame_t *frames, uint32_t n, uint32_t ifindex
) noexcept nogil:
    """Up to BATCH frames of one interface: look at all, fetch ahead, settle all.  Returns how
    many were cut short (or of no interface that is known), which are left alone."""
    cdef batch_t b
    cdef uint32_t i = 0, at, link = link_find(&e.world, ifindex)
    if LB_UNLIKELY(link == NO_INDEX):
        return n
    b.frames = frames
    b.n = n
    b.ifindex = ifindex
    b.mac = e.world.links[link].mac
    b.reply = w.replies[link]
    b.cut = 0
    batch_look(e, w, &b)
    batch_fetch(e, w, &b)
    while i < n:
        at = RUNS[b.plains[i].kind * 2 + b.reply](e, w, &b, i)
        if at == i:
            batch_one(e, w, &b, i)
            at += 1
        i = at
    w.replies[link] = b.reply
    return b.cut


# ---------------------------------------------------------------- the short way

cdef inline uint32_t flow_run(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, bint is_v6, bint reply
) noexcept nogil:
    """Send plain packets from the first on, as long as they are of this family and known in this
    direction; returns the one after the last."""
    cdef uint32_t n = b.n, i = first
    cdef uint64_t bytes = 0
    while i < n and b.plains[i].kind == (PLAIN_V6 if is_v6 else PLAIN_V4):
        if LB_UNLIKELY(not flow_step(e, w, &b.frames[i], &b.plains[i], is_v6, reply)):
            break
        bytes += b.frames[i].len
        i += 1
    w.plain += i - first
    w.frames += i - first
    w.bytes += bytes
    w.verdicts[<int>SENT] += i - first
    return i


ctypedef uint32_t (*run_t)(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first
) noexcept nogil

cdef uint32_t run_none(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first
) noexcept nogil:
    return first

cdef uint32_t run_v4(engine_t *e, worker_t *w, const batch_t *b, uint32_t first) noexcept nogil:
    return flow_run(e, w, b, first, False, False)

cdef uint32_t run_v4_reply(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first
) noexcept nogil:
    return flow_run(e, w, b, first, False, True)

cdef uint32_t run_v6(engine_t *e, worker_t *w, const batch_t *b, uint32_t first) noexcept nogil:
    return flow_run(e, w, b, first, True, False)

cdef uint32_t run_v6_reply(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first
) noexcept nogil:
    return flow_run(e, w, b, first, True, True)

# by PLAIN_* and direction: pointers keep the copies apart, each with the registers to itself
cdef run_t[6] RUNS = [run_none, run_none, run_v4, run_v4_reply, run_v6, run_v6_reply]


# ---------------------------------------------------------------- the stages of a batch

cdef inline void batch_look(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    """Hash the plain packets, classify the others; fetch their buckets."""
    cdef uint32_t i
    cdef const frame_t *f
    cdef plain_t *q
    for i in range(b.n):
        f = &b.frames[i]
        q = &b.plains[i]
        q.kind = PLAIN_NOT if f.len < f.wire_len else plain_kind(f, b.mac, &q.ip_len)
        if LB_LIKELY(q.kind != PLAIN_NOT):
            q.hash = flow_hash(e, f, q.kind, b.reply)
            LB_PREFETCH(&e.buckets[q.hash & e.bucket_mask])
            if LB_UNLIKELY(e.nworkers > 1) and not flow_is_owned(e, w, q.hash):
                q.kind = PLAIN_NOT
        if LB_UNLIKELY(q.kind == PLAIN_NOT):
            batch_classify(e, w, b, i)


cdef void batch_classify(engine_t *e, worker_t *w, batch_t *b, uint32_t i) noexcept nogil:
    """The first half of the stages; b.verdicts[i] is NEXT when this worker has to go on."""
    cdef pkt_t *p = &b.pkts[i]
    cdef verdict_t v
    b.verdicts[i] = IGNORE
    if b.frames[i].len < b.frames[i].wire_len:
        b.cut += 1
        return
    packet_from(p, &b.frames[i], b.ifindex)
    v = classify(w, p, b.mac)
    if v != NEXT:
        w.verdicts[<int>v] += 1
    elif e.nworkers > 1 and packet_owner(e, w, p) != w.index:
        v = hand_over(w, p, packet_owner(e, w, p))
    b.verdicts[i] = v


cdef inline void batch_fetch(engine_t *e, worker_t *w, const batch_t *b) noexcept nogil:
    """The buckets are there now: fetch the entries they begin with, and what is known of them."""
    cdef uint32_t i, first
    for i in range(b.n):
        if LB_LIKELY(b.plains[i].kind != PLAIN_NOT):
            first = e.buckets[b.plains[i].hash & e.bucket_mask]
            if first != NO_INDEX:
                LB_PREFETCH(&e.conns[first])
                LB_PREFETCH(&e.flows[first])
        elif b.verdicts[i] == NEXT:
            fetch_ahead(w, &b.pkts[i])


cdef void batch_one(engine_t *e, worker_t *w, batch_t *b, uint32_t i) noexcept nogil:
    """A packet that does not take the short way in the direction of those before: a plain one
    that takes it in the other direction turns the batch, all others take the stages."""
    cdef plain_t *q = &b.plains[i]
    if q.kind != PLAIN_NOT:
        if batch_turns(e, w, b, i):
            b.reply = not b.reply
            return
        batch_classify(e, w, b, i)
    if b.verdicts[i] == NEXT:
        settle(w, &b.pkts[i], NEXT)
        scratch_reclaim(w)


cdef bint batch_turns(engine_t *e, worker_t *w, const batch_t *b, uint32_t i) noexcept nogil:
    """Try the other direction, with this one packet; False when it is not known there either."""
    cdef batch_t one
    cdef bint reply = not b.reply
    if reply and not e.has_masq[b.plains[i].kind == PLAIN_V6]:
        return False
    one.frames = &b.frames[i]
    one.n = 1
    one.plains[0] = b.plains[i]
    one.plains[0].hash = flow_hash(e, one.frames, one.plains[0].kind, reply)
    if not flow_is_owned(e, w, one.plains[0].hash):
        return False
    return RUNS[one.plains[0].kind * 2 + reply](e, w, &one, 0) == 1


cdef inline void packet_from(pkt_t *p, const frame_t *f, uint32_t ifindex) noexcept nogil:
    p.data = f.data
    p.len = f.len
    p.room = f.len
    p.ifindex = ifindex
    p.vlan_tci = f.vlan_tci
    p.vlan_tpid = f.vlan_tpid
    p.vnet = f.vnet
    p.frag_max = 0
    p.df_seen = 0
    p.fwmark = 0
    p.new_conn = 0
    p.from_icmp = 0
    p.held = NO_INDEX
