"""Several workers: a packet goes to the worker that owns its connection.

The kernel delivers a frame to the worker that a program of ours names (control/fanout.py), which
computes the owner of the client's side; without that program, by a flow hash that knows nothing of
address translation.  Whoever gets a packet of another's connection copies it into a queue between
the two, single producer, single consumer.
"""
from lbfast._fast.pace cimport came_t

cdef enum:
    QUEUE = 512                  # packets between two workers; a power of two
    HANDED_ROOM = 2048           # bytes that lie ready for each; longer ones are allocated

ctypedef struct handed_t:
    uint8_t *memory              # the frame, HEADROOM bytes behind; in the queue, or allocated
    uint32_t len
    uint32_t ifindex
    uint16_t vlan_tci
    uint16_t vlan_tpid
    uint16_t frag_max
    uint16_t df_seen
    vnet_t vnet

ctypedef struct handover_t:      # from one worker to another
    uint32_t head                # (w) producer
    uint32_t pad0[15]
    uint32_t tail                # (w) consumer
    uint32_t pad1[15]
    handed_t items[QUEUE]
    uint8_t room[QUEUE][HANDED_ROOM]

cdef extern from *:
    """
    static inline void lb_publish(unsigned *p, unsigned v)
    { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
    static inline unsigned lb_load_seq(const unsigned *p)
    { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
    static inline unsigned lb_exchange(unsigned *p, unsigned v)
    { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
    """
    void lb_publish(uint32_t *p, uint32_t v) noexcept nogil
    uint32_t lb_load_seq(const uint32_t *p) noexcept nogil
    uint32_t lb_exchange(uint32_t *p, uint32_t v) noexcept nogil


cdef inline handover_t *handover_between(
    engine_t *e, uint32_t sender, uint32_t receiver
) noexcept nogil:
    return &(<handover_t *>e.handovers)[sender * e.nworkers + receiver]


# ---------------------------------------------------------------- whose is it

cdef uint32_t packet_owner(engine_t *e, const worker_t *w, pkt_t *p) noexcept nogil:
    """Return which worker settles a packet: its connection's; fragments are put together by the
    first."""
    if p.is_frag:
        return 0
    if LB_UNLIKELY(p.is_icmp_error):
        return icmp_owner(e, w, p)
    if p.role == ROLE_LOCAL:
        return local_owner(e, p)
    return hash_owner(e, p.hash)


cdef uint32_t icmp_owner(engine_t *e, const worker_t *w, pkt_t *p) noexcept nogil:
    """Return the owner of the connection that an ICMP error is about; of one that is about none,
    whoever has it."""
    cdef inner_t q
    cdef pkt_t c
    cdef ends_t ends
    cdef uint32_t header
    if not icmp_inner(p, &q):
        return w.index
    if p.role == ROLE_PASSING or not is_balanced(q.protocol):
        if p.is_v6 or not tunnel_payload(p, &q, &c, &header):
            return w.index
        return client_owner(e, &c.saddr, c.sport, c.protocol)
    if is_laddr(e, &q.saddr, p.is_v6):
        ends = quoted_ends(p, &q)
        return ends_owner(e, &ends, local_hash(e, &ends))
    if quotes_request(e, p, &q):
        return client_owner(e, &q.saddr, q.sport, q.protocol)
    return client_owner(e, &q.daddr, q.dport, q.protocol)


cdef bint quotes_request(engine_t *e, const pkt_t *p, const inner_t *q) noexcept nogil:
    """Whether an error came from the servers' side: about a packet to a real server, or (direct
    routing) to the virtual address."""
    if service_at(e, p.is_v6, q.protocol, &q.saddr, q.sport, 0) != NO_INDEX:
        return False
    return (
        is_masq_server(e, q.protocol, &q.daddr, q.dport, p.is_v6)
        or service_at(e, p.is_v6, q.protocol, &q.daddr, q.dport, 0) != NO_INDEX
    )


cdef inline uint32_t client_owner(
    const engine_t *e, const addr_t *caddr, be16 cport, uint32_t protocol
) noexcept nogil:
    return hash_owner(e, conn_hash(e.seed, addr_fold(caddr), cport, protocol))


cdef inline bint is_mine(const engine_t *e, const worker_t *w, uint32_t hash) noexcept nogil:
    """Whether this worker may look into the chain of a hash: it is its only writer."""
    return e.nworkers == 1 or hash_owner(e, hash) == w.index


# ---------------------------------------------------------------- sending

cdef verdict_t hand_over(worker_t *w, const pkt_t *p, uint32_t receiver) noexcept nogil:
    """Queue a copy of the packet for another worker; handover_wake tells it at the end of the
    batch."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef handover_t *q = handover_between(e, w.index, receiver)
    cdef uint32_t head = q.head
    cdef handed_t *one = &q.items[head & (QUEUE - 1)]
    if head - lb_load_acquire(&q.tail) == QUEUE:
        return drop(w, R_HANDOVER)
    one.memory = q.room[head & (QUEUE - 1)]
    if HEADROOM + p.len + 64 > HANDED_ROOM:
        one.memory = <uint8_t *>malloc(HEADROOM + p.len + 64)
        if one.memory == NULL:
            return drop(w, R_HANDOVER)
    memcpy(one.memory + HEADROOM, p.data, p.len)
    one.len = p.len
    one.ifindex = p.ifindex
    one.vlan_tci = p.vlan_tci
    one.vlan_tpid = p.vlan_tpid
    one.frag_max = p.frag_max
    one.df_seen = p.df_seen
    one.vnet = p.vnet
    w.handed += 1
    w.to_wake |= <uint32_t>1 << receiver
    lb_publish(&q.head, head + 1)
    return HELD


cdef void handover_wake(engine_t *e, worker_t *w) noexcept nogil:
    """Wake those who sleep of the workers that this batch had something for, each once."""
    cdef uint32_t k
    for k in range(e.nworkers):
        if w.to_wake >> k & 1 and lb_load_seq(&e.sleeping[k]) and lb_exchange(&e.sleeping[k], 0):
            eventfd_write(e.wake_fds[k], 1)
    w.to_wake = 0


# ---------------------------------------------------------------- receiving

cdef bint handover_waits(engine_t *e, uint32_t receiver) noexcept nogil:
    """Whether any worker has queued something for this one."""
    cdef handover_t *q
    cdef uint32_t k
    for k in range(e.nworkers):
        q = handover_between(e, k, receiver)
        if lb_load_seq(&q.head) != q.tail:
            return True
    return False


cdef uint32_t handover_run(engine_t *e, worker_t *w, came_t *came) noexcept nogil:
    """Settle what others queued for this worker, a batch from each; returns how many."""
    cdef uint32_t k, n = 0
    for k in range(e.nworkers):
        if k != w.index:
            n += handover_from(e, w, handover_between(e, k, w.index), came)
    came.frames += n
    return n


cdef uint32_t handover_from(
    engine_t *e, worker_t *w, handover_t *q, came_t *came
) noexcept nogil:
    cdef uint32_t n = lb_load_acquire(&q.head) - q.tail
    cdef uint32_t i = 0
    cdef handed_t *one
    if n > BATCH:
        n = BATCH
    while i < n:
        i += handover_step(e, w, q, q.tail + i, n - i)
    if n:
        w.flush(w)
        w.scratch_used = 0
    for i in range(n):
        one = &q.items[(q.tail + i) & (QUEUE - 1)]
        came.tcp += is_tcp(one.memory + HEADROOM)
        came.big += one.vnet.gso_type != 0
        if one.memory != q.room[(q.tail + i) & (QUEUE - 1)]:
            free(one.memory)
    lb_publish(&q.tail, q.tail + n)
    return n


cdef uint32_t handover_step(
    engine_t *e, worker_t *w, handover_t *q, uint32_t at, uint32_t n
) noexcept nogil:
    """Settle packets from a place of the queue on: one that was put together of fragments, or as
    many frames as came in by one interface.  Returns how many, at most n."""
    cdef frame_t[BATCH] frames
    cdef handed_t *first = &q.items[at & (QUEUE - 1)]
    cdef handed_t *one = first
    cdef uint32_t i = 0
    if first.frag_max:
        handover_whole(e, w, first)
        return 1
    while i < n and one.ifindex == first.ifindex and one.frag_max == 0:
        frames[i].data = one.memory + HEADROOM
        frames[i].len = frames[i].wire_len = one.len
        frames[i].vlan_tci = one.vlan_tci
        frames[i].vlan_tpid = one.vlan_tpid
        frames[i].vnet = one.vnet
        i += 1
        one = &q.items[(at + i) & (QUEUE - 1)]
    frames_run(e, w, frames, i, first.ifindex)
    return i


cdef void handover_whole(engine_t *e, worker_t *w, const handed_t *one) noexcept nogil:
    """Settle a packet that the first worker put together; the host has none of its fragments."""
    cdef uint32_t link = link_find(&e.world, one.ifindex)
    cdef pkt_t p
    cdef verdict_t v
    if link == NO_INDEX:
        return
    memset(&p, 0, sizeof(p))
    p.data = one.memory + HEADROOM
    p.len = p.room = one.len
    p.ifindex = one.ifindex
    p.vlan_tci = one.vlan_tci
    p.vlan_tpid = one.vlan_tpid
    p.frag_max = one.frag_max
    p.df_seen = one.df_seen
    p.vnet = one.vnet
    p.held = NO_INDEX
    v = classify(w, &p, e.world.links[link].mac)
    if v == NEXT and packet_owner(e, w, &p) != w.index:
        hand_over(w, &p, packet_owner(e, w, &p))
    elif settle(w, &p, v) == IGNORE:
        emit_host(w, &p)


cdef void handover_free(engine_t *e) noexcept nogil:
    cdef uint32_t k
    cdef handover_t *q = <handover_t *>e.handovers
    cdef handed_t *one
    if q == NULL:
        return
    for k in range(e.nworkers * e.nworkers):
        while q[k].tail != q[k].head:
            one = &q[k].items[q[k].tail & (QUEUE - 1)]
            if one.memory != q[k].room[q[k].tail & (QUEUE - 1)]:
                free(one.memory)
            q[k].tail += 1
    free(e.handovers)
