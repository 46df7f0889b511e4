"""Several workers: a packet goes to the worker that owns its connection.

The kernel spreads frames over workers by a flow hash that knows nothing of address translation, so
the two directions of a NAT connection may arrive at different workers.  Whoever gets a packet of
another's connection copies it into a queue between the two, single producer, single consumer.
"""

cdef enum:
    QUEUE = 512                  # packets between two workers; a power of two

ctypedef struct handed_t:
    uint8_t *memory              # HEADROOM bytes, then the frame
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


cdef inline handover_t *handover_between(
    engine_t *e, uint32_t sender, uint32_t receiver
) noexcept nogil:
    return &(<handover_t *>e.handovers)[sender * e.nworkers + receiver]


cdef uint32_t packet_owner(
    engine_t *e, const worker_t *w, const pkt_t *p
) noexcept nogil:
    """Return which worker settles a packet: its connection's; fragments are put together by the
    first; ICMP errors change nothing, so anyone."""
    if p.is_frag:
        return 0
    if p.role == ROLE_ICMP:
        return w.index
    if p.role == ROLE_LOCAL:
        return local_owner(e, p)
    return (p.hash & e.bucket_mask) % e.nworkers


cdef verdict_t hand_over(worker_t *w, const pkt_t *p, uint32_t receiver) noexcept nogil:
    """Queue a copy of the packet for another worker and wake it if it sleeps."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef handover_t *q = handover_between(e, w.index, receiver)
    cdef uint32_t head = q.head
    cdef handed_t *one = &q.items[head & (QUEUE - 1)]
    if head - lb_load_acquire(&q.tail) == QUEUE:
        return drop(w, R_OUT_FULL)
    one.memory = <uint8_t *>malloc(HEADROOM + p.len + 64)
    if one.memory == NULL:
        return drop(w, R_OUT_FULL)
    memcpy(one.memory + HEADROOM, p.data, p.len)
    one.len = p.len
    one.ifindex = p.ifindex
    one.vlan_tci = p.vlan_tci
    one.vlan_tpid = p.vlan_tpid
    one.frag_max = p.frag_max
    one.df_seen = p.df_seen
    one.vnet = p.vnet
    w.frames -= 1                # the receiver counts it
    w.bytes -= p.len
    lb_publish(&q.head, head + 1)
    if lb_load_seq(&e.sleeping[receiver]):
        eventfd_write(e.wake_fds[receiver], 1)
    return HELD

cdef extern from *:
    """
    static inline void lb_publish(unsigned *p, unsigned v)
    { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
    static inline unsigned lb_load_seq(const unsigned *p)
    { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
    """
    void lb_publish(uint32_t *p, uint32_t v) noexcept nogil
    uint32_t lb_load_seq(const uint32_t *p) noexcept nogil


cdef bint handover_waits(engine_t *e, uint32_t receiver) noexcept nogil:
    """Whether any worker has queued something for this one."""
    cdef handover_t *q
    cdef uint32_t k
    for k in range(e.nworkers):
        q = handover_between(e, k, receiver)
        if lb_load_seq(&q.head) != q.tail:
            return True
    return False


cdef void handover_run(engine_t *e, worker_t *w) noexcept nogil:
    """Settle what others queued for this worker, a batch from each."""
    cdef uint32_t k
    for k in range(e.nworkers):
        if k != w.index:
            handover_from(e, w, handover_between(e, k, w.index))


cdef void handover_from(engine_t *e, worker_t *w, handover_t *q) noexcept nogil:
    cdef uint32_t n = lb_load_acquire(&q.head) - q.tail
    cdef uint32_t i, link
    cdef handed_t *one
    cdef pkt_t p
    if n > BATCH:
        n = BATCH
    for i in range(n):
        one = &q.items[(q.tail + i) & (QUEUE - 1)]
        link = link_find(&e.world, one.ifindex)
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
        if link != NO_INDEX:
            forward(w, &p, e.world.links[link].mac)
    if n:
        w.flush(w)
        w.scratch_used = 0
    for i in range(n):
        free(q.items[(q.tail + i) & (QUEUE - 1)].memory)
    lb_publish(&q.tail, q.tail + n)


cdef void handover_free(engine_t *e) noexcept nogil:
    cdef uint32_t k
    cdef handover_t *q = <handover_t *>e.handovers
    if q == NULL:
        return
    for k in range(e.nworkers * e.nworkers):
        while q[k].tail != q[k].head:
            free(q[k].items[q[k].tail & (QUEUE - 1)].memory)
            q[k].tail += 1
    free(e.handovers)
