"""A batch: up to 64 frames of one interface, each by the short way or by the stages."""

cdef enum:
    CACHED = 8192                # connections that a level 2 cache of 1 MiB holds

ctypedef struct batch_t:
    const frame_t *frames
    uint32_t n
    uint32_t ifindex
    const uint8_t *mac           # of that interface
    way_t way                    # that plain packets are tried first
    way_t other                  # that the last one took which could not go it
    uint32_t turned              # how many could not
    uint32_t others              # packets that are not plain
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
    b.way = <way_t>w.ways[link]
    b.cut = b.turned = b.others = 0
    batch_ahead(e, w, &b, True)
    while i < n:
        at = RUNS[run_index(b.plains[i].key, b.way)](e, w, &b, i, n)
        if at == i:
            batch_one(e, w, &b, i)
            at += 1
        i = at
    w.ways[link] = <uint8_t>(b.other if LB_UNLIKELY(b.turned > n // 2) else b.way)
    return b.cut


# ---------------------------------------------------------------- the short way

cdef inline uint32_t flow_run(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end, bint is_v6,
    way_t way,
) noexcept nogil:
    """Send plain packets from the first on, as long as they are of this family and known this
    way; returns the one after the last."""
    cdef const frame_t *f = &b.frames[first]
    cdef plain_t *q = <plain_t *>&b.plains[first]
    cdef plain_t *last = <plain_t *>&b.plains[end]
    cdef neigh_t *neighs = e.world.neighs
    cdef uint64_t bytes = 0
    cdef out_t *o
    if LB_UNLIKELY(w.nouts + BATCH > w.max_outs):
        w.flush(w)
    o = &w.outs[w.nouts]
    while q != last:
        if LB_UNLIKELY((q.key & PLAIN_V6 != 0) != is_v6):
            break
        if LB_UNLIKELY(not flow_step(e, w, neighs, f, q, o, &bytes, is_v6, way)):
            break
        f += 1
        q += 1
        o += 1
    end = <uint32_t>(q - <plain_t *>b.plains)
    run_end(w, end - first, bytes, way != WAY_REQUEST)
    return end


cdef inline void run_end(worker_t *w, uint32_t n, uint64_t bytes, bint reply) noexcept nogil:
    """Count n packets that were sent, with so many bytes from the IP header on."""
    w.nouts += n
    w.plain += n
    w.verdicts[<int>SENT] += n
    if reply:
        w.total.outpkts += n
        w.total.outbytes += bytes
    else:
        w.total.inpkts += n
        w.total.inbytes += bytes


ctypedef uint32_t (*run_of_t)(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil

cdef uint32_t run_v4(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, False, WAY_REQUEST)

cdef uint32_t run_v4_reply(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, False, WAY_REPLY)

cdef uint32_t run_v6(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, True, WAY_REQUEST)

cdef uint32_t run_v6_reply(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, True, WAY_REPLY)

cdef uint32_t run_v4_local(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, False, WAY_LOCAL)

cdef uint32_t run_v6_local(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t first, uint32_t end
) noexcept nogil:
    return flow_run(e, w, b, first, end, True, WAY_LOCAL)

# by run_index: pointers keep the copies apart, each with the registers to itself
cdef run_of_t[2 * <int>WAYS] RUNS = [
    run_v4, run_v6, run_v4_reply, run_v6_reply, run_v4_local, run_v6_local
]


cdef inline uint32_t run_index(uint32_t key, way_t way) noexcept nogil:
    return 2 * <uint32_t>way + (key & PLAIN_V6 != 0)


# ---------------------------------------------------------------- the stages of a batch

cdef inline void batch_ahead(engine_t *e, worker_t *w, batch_t *b, bint known) noexcept nogil:
    """Look at all packets and fetch what they need.  known: what is known of the entries too."""
    LOOKS[<uint32_t>b.way](e, w, b)
    if LB_UNLIKELY(b.way == WAY_LOCAL):
        batch_fetch_local(e, w, b)
    elif LB_LIKELY(w.nconns <= CACHED):
        batch_fetch(e, w, b)
    else:
        batch_fetch_far(e, w, b, known)


cdef inline void batch_look(
    engine_t *e, worker_t *w, batch_t *b, way_t way
) noexcept nogil:
    """Hash the plain packets and fetch their buckets, classify the others."""
    cdef uint64_t mac = mac_word(b.mac)
    cdef uint32_t kind, bucket
    cdef const uint32_t *buckets = heads_of(e, way)
    cdef const frame_t *f = b.frames
    cdef plain_t *q = b.plains
    cdef plain_t *last = &b.plains[b.n]
    while q != last:
        kind = plain_kind(f, mac, &q.ip_len)
        if LB_LIKELY(kind != PLAIN_NOT):
            bucket = flow_hash(e, f.data + 14, kind, way) & e.bucket_mask
            q.key = e.generation + (kind + way_key(way))
            q.bucket = bucket
            LB_PREFETCH_FAR(&buckets[bucket])
        else:
            batch_other(e, w, b, q)
        f += 1
        q += 1
    if LB_UNLIKELY(e.nworkers > 1):
        batch_disown(e, w, b)


cdef inline const uint32_t *heads_of(const engine_t *e, way_t way) noexcept nogil:
    return e.locals if way == WAY_LOCAL else e.buckets


cdef inline uint32_t way_key(way_t way) noexcept nogil:
    """What a key has of the way."""
    return PLAIN_LOCAL if way == WAY_LOCAL else 0


ctypedef void (*look_t)(engine_t *e, worker_t *w, batch_t *b) noexcept nogil

cdef void look_requests(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    batch_look(e, w, b, WAY_REQUEST)

cdef void look_replies(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    batch_look(e, w, b, WAY_REPLY)

cdef void look_locals(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    batch_look(e, w, b, WAY_LOCAL)

# by batch_t.way; apart as RUNS
cdef look_t[<int>WAYS] LOOKS = [look_requests, look_replies, look_locals]


cdef void batch_other(engine_t *e, worker_t *w, batch_t *b, plain_t *q) noexcept nogil:
    """A packet that is not plain, or not for this worker to send."""
    q.key = PLAIN_NOT
    q.conn = e.conns - 1
    q.known = e.flows - 1
    b.others += 1
    batch_classify(e, w, b, <uint32_t>(q - b.plains))


cdef void batch_disown(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    """Plain packets whose bucket is another worker's take the stages, which hand them over.  With
    several workers frames come to the owner as a rule: if the first is not this worker's, but
    would be when it is taken for something else, all are taken for that."""
    cdef uint32_t i, bucket
    if b.plains[0].key != PLAIN_NOT and hash_owner(e, b.plains[0].bucket) != w.index:
        b.way = way_of_mine(e, w, b)
    for i in range(b.n):
        if b.plains[i].key == PLAIN_NOT:
            continue
        bucket = flow_hash(e, b.frames[i].data + 14, b.plains[i].key, b.way)
        b.plains[i].bucket = bucket & e.bucket_mask
        b.plains[i].key = b.plains[i].key & ~<uint32_t>PLAIN_LOCAL | way_key(b.way)
        if hash_owner(e, bucket) != w.index:
            batch_other(e, w, b, &b.plains[i])


cdef way_t way_of_mine(const engine_t *e, const worker_t *w, const batch_t *b) noexcept nogil:
    """The way that makes the first packet of a batch this worker's; the batch's if none does."""
    cdef const plain_t *q = &b.plains[0]
    cdef uint32_t way
    for way in range(WAYS):
        if way_exists(e, q.key, <way_t>way) and w.index == hash_owner(
            e, flow_hash(e, b.frames[0].data + 14, q.key, <way_t>way)
        ):
            return <way_t>way
    return b.way


cdef inline bint way_exists(const engine_t *e, uint32_t key, way_t way) noexcept nogil:
    """Whether a server of that family makes any packet go this way."""
    if way == WAY_LOCAL:
        return e.locals != NULL and e.has_full[key & PLAIN_V6 != 0] != 0
    return way == WAY_REQUEST or e.has_masq[key & PLAIN_V6 != 0] != 0


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
        w.verdicts[<int>DROP] += v == DROP
    b.verdicts[i] = v


cdef inline void batch_fetch(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    """The buckets are there now: fetch the entries they begin with, and what is known of them."""
    cdef plain_t *q = b.plains
    cdef plain_t *last = &b.plains[b.n]
    cdef const uint32_t *buckets = e.buckets
    cdef conn_t *conns = e.conns
    cdef known_t *flows = e.flows
    if LB_UNLIKELY(b.others):
        batch_fetch_some(e, w, b)
        return
    while q != last:
        plain_point(q, buckets, conns, flows)
        LB_PREFETCH(q.conn)
        LB_PREFETCH(q.known)
        q += 1


cdef void batch_fetch_some(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    """The same where not all packets are plain."""
    cdef uint32_t i
    for i in range(b.n):
        if b.plains[i].key != PLAIN_NOT:
            plain_point(&b.plains[i], e.buckets, e.conns, e.flows)
            LB_PREFETCH(b.plains[i].conn)
            LB_PREFETCH(b.plains[i].known)
        elif b.verdicts[i] == NEXT:
            fetch_ahead(w, &b.pkts[i])


cdef void batch_fetch_far(engine_t *e, worker_t *w, batch_t *b, bint known) noexcept nogil:
    """The same where there are more connections than a cache holds: first the entries, then what
    is known of them.  Where the client's port says that the first in the bucket is another
    connection, go on to the second: one that nobody fetched costs a walk to memory."""
    cdef uint32_t i, after
    cdef plain_t *q
    for i in range(b.n):
        q = &b.plains[i]
        if LB_LIKELY(q.key != PLAIN_NOT):
            plain_point(q, e.buckets, e.conns, e.flows)
            LB_PREFETCH_FAR(q.conn)
        elif b.verdicts[i] == NEXT:
            fetch_ahead(w, &b.pkts[i])
    for i in range(b.n):
        q = &b.plains[i]
        if LB_UNLIKELY(q.conn < e.conns):
            continue
        if q.conn.cport != plain_cport(b.frames[i].data + 14, q.key, b.way):
            after = q.conn.hnext
            if after == NO_INDEX:
                continue
            q.conn = &e.conns[after]
            q.known = &e.flows[after]
            LB_PREFETCH_FAR(q.conn)
        if known:
            LB_PREFETCH_FAR(q.known)
        if LB_UNLIKELY(is_full(q.conn.flags)):
            LB_PREFETCH_FAR(e.fulls + (q.conn - e.conns))


cdef void batch_fetch_local(engine_t *e, worker_t *w, batch_t *b) noexcept nogil:
    """The same for packets to local addresses, whose entries have a third part."""
    cdef uint32_t i
    cdef plain_t *q
    for i in range(b.n):
        q = &b.plains[i]
        if LB_LIKELY(q.key != PLAIN_NOT):
            plain_point(q, e.locals, e.conns, e.flows)
            LB_PREFETCH_FAR(q.conn)
            LB_PREFETCH_FAR(q.known)
            LB_PREFETCH_FAR(e.fulls + (q.conn - e.conns))
        elif b.verdicts[i] == NEXT:
            fetch_ahead(w, &b.pkts[i])


cdef inline void plain_point(
    plain_t *q, const uint32_t *buckets, conn_t *conns, known_t *flows
) noexcept nogil:
    """Point a plain packet to the first entry of its bucket.  Of an empty bucket that is the one
    before all, as of a packet that is not plain: no packet has the key that is known of it
    (flows_take), so nobody reads it."""
    cdef uint32_t first = buckets[q.bucket]
    q.conn = conns - 1 + first
    q.known = flows - 1 + first


cdef void batch_one(engine_t *e, worker_t *w, batch_t *b, uint32_t i) noexcept nogil:
    """A packet that does not go the way of the batch: perhaps it does go another one (when most
    do, that is the next batch's); else it takes the stages."""
    cdef uint32_t way
    if b.plains[i].key != PLAIN_NOT:
        for way in range(WAYS):
            if way != <uint32_t>b.way and batch_turns(e, w, b, i, <way_t>way):
                b.turned += 1
                b.other = <way_t>way
                return
        batch_classify(e, w, b, i)
    if b.verdicts[i] == NEXT:
        settle(w, &b.pkts[i], NEXT)
        scratch_reclaim(w)


cdef bint batch_turns(
    engine_t *e, worker_t *w, const batch_t *b, uint32_t i, way_t way
) noexcept nogil:
    """Try another way, with this one packet; False when it is not known there either."""
    cdef batch_t one
    cdef plain_t *q = &one.plains[0]
    if not way_exists(e, b.plains[i].key, way):
        return False
    one.frames = &b.frames[i]
    one.n = 1
    q[0] = b.plains[i]
    q.key = q.key & ~<uint32_t>PLAIN_LOCAL | way_key(way)
    q.bucket = flow_hash(e, b.frames[i].data + 14, q.key, way) & e.bucket_mask
    if hash_owner(e, q.bucket) != w.index:
        return False
    plain_point(q, heads_of(e, way), e.conns, e.flows)
    return RUNS[run_index(q.key, way)](e, w, &one, 0, 1) == 1


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
