"""Schedulers that are not built in: their table, and how one in Python is asked.

A Python scheduler never runs in a worker that walks rings: the worker writes down what is asked,
wakes the thread that serves (`Engine.serve_schedulers`) and waits LATE_MS at most; wlc decides if
no answer came, and for REST_TICKS from then on.  Where nobody serves (`Engine.process`), the one
who asks runs it himself.  What is asked holds copies only, so a late answer harms nothing.

There is one question on its way at a time: those who ask hold the set-up lock.
"""

cdef enum:
    MAX_OUTSIDE = 32             # registered schedulers of an engine
    MAX_TOLD = 4096              # connections made or ended that the scheduler has not heard of
    LATE_MS = 20                 # a packet waits no longer for a scheduler
    REST_TICKS = TICKS_PER_S
    STAND_IN = -2                # instead of a destination: let wlc decide

ctypedef struct kind_t:          # a registered scheduler
    char name[16]
    uint64_t picked              # (l) connections it decided on
    uint64_t stood_in            # (l) ... that wlc decided on instead
    uint64_t late                # (l) no answer in time
    uint64_t lost                # (l) connections made or ended of which it was not told
    uint64_t raised              # by who serves
    uint64_t wrong               # by who serves; compiled: (l)
    void *factory                # Python object that makes one; NULL: compiled
    void *capsule                # Python object; NULL: in Python
    void *engine                 # engine_t *

ctypedef struct row_t:           # a destination as Python is shown it
    uint32_t dest
    uint32_t active
    uint32_t inactive
    int32_t weight
    uint16_t is_v6
    uint16_t overloaded
    be16 port
    uint16_t pad
    addr_t addr

ctypedef struct told_t:          # a connection was made, or ended
    uint64_t serial
    uint64_t now_ns
    flow_t flow
    row_t server
    uint32_t made

ctypedef struct outside_t:
    sched_ops_t ops[MAX_OUTSIDE]
    kind_t kinds[MAX_OUTSIDE]
    uint32_t n                   # (c)
    uint64_t serial              # (c) last number given to a service's scheduler
    void *hosts                  # dict: serial -> Host
    void *texts                  # dict: (name, what) -> what happened last
    uint32_t served              # somebody serves
    uint32_t stop                # ... and is to leave
    uint32_t busy                # the question is with who serves
    uint32_t asked               # (l) number of the last question
    uint32_t answered            # number of the last answer
    int ask_fd                   # eventfds: -1 before anybody serves
    int answer_fd
    # the question
    uint64_t serial_asked
    uint64_t now_ns
    flow_t flow
    row_t *rows                  # destinations that changed since the last one, or all
    uint32_t nrows
    uint32_t room
    uint32_t is_list             # all, in the order of the list
    int answer                   # destination, NO_DEST, STAND_IN
    # what happened to connections: a ring
    told_t *told
    uint32_t told_head           # (l)
    uint32_t told_tail           # by who serves

ctypedef struct asked_t:         # sched_t.priv of a scheduler in Python
    heap_t heap                  # wlc
    uint64_t serial
    uint32_t *changed            # destinations whose counts changed; `dest_t.mark` is set
    uint32_t nchanged
    uint32_t room
    uint32_t is_new_list
    uint32_t rests
    uint32_t rests_until         # tick


cdef inline engine_t *engine_of(const kind_t *kind) noexcept nogil:
    return <engine_t *>kind.engine


cdef inline outside_t *outside_of(const kind_t *kind) noexcept nogil:
    return <outside_t *>engine_of(kind).outside


cdef sched_ops_t *outside_find(engine_t *e, const char *name) noexcept nogil:
    cdef outside_t *o = <outside_t *>e.outside
    cdef uint32_t i
    if o == NULL:
        return NULL
    for i in range(o.n):
        if strcmp(o.ops[i].name, name) == 0:
            return &o.ops[i]
    return NULL


cdef int outside_picked(
    engine_t *e, const sched_ops_t *ops, uint32_t svc, int dest
) noexcept nogil:
    """Judge what an outside scheduler picked: one of the service's destinations, or none."""
    cdef kind_t *kind = <kind_t *>ops.kind
    if dest != NO_DEST and (
        <uint32_t>dest >= e.max_dests or e.dests[dest].svc != svc
        or not e.dests[dest].flags & DEST_USED
    ):
        kind.wrong += 1
        return NO_DEST
    if kind.capsule != NULL:
        kind.picked += 1
    return dest


cdef void flow_of_conn(engine_t *e, uint32_t conn, uint32_t svc, flow_t *f) noexcept nogil:
    memset(f, 0, sizeof(flow_t))
    f.caddr = conn_caddr(e, conn)
    f.vaddr = conn_vaddr(e, conn)
    f.cport = e.conns[conn].cport
    f.vport = e.conns[conn].vport
    f.protocol = e.conns[conn].protocol
    f.is_v6 = (e.conns[conn].flags & CONN_V6) != 0
    f.fwmark = e.svcs[svc].fwmark


# ---------------------------------------------------------------- hooks of one in Python

cdef bint python_start(sched_t *s) noexcept nogil:
    cdef asked_t *a = <asked_t *>calloc(1, sizeof(asked_t))
    cdef uint32_t i
    s.priv = a
    if a == NULL or not heap_fill(s, &a.heap, RANK_WLC) or not python_room(s, a):
        return False
    for i in range(s.ndest):
        s.dests[s.list[i]].mark = 0
    a.is_new_list = 1
    a.serial = host_make(s)
    return a.serial != 0


cdef void python_stop(sched_t *s) noexcept nogil:
    cdef asked_t *a = <asked_t *>s.priv
    if a != NULL:
        if a.serial:
            host_forget(s, a.serial)
        free(a.heap.at)
        free(a.changed)
    free(a)
    s.priv = NULL


cdef bint python_room(sched_t *s, asked_t *a) noexcept nogil:
    """Have memory to note that every destination changed."""
    cdef void *more
    if a.room >= s.capacity + 1:
        return True
    more = realloc(a.changed, (<size_t>s.capacity + 1) * sizeof(uint32_t))
    if more == NULL:
        return False
    a.changed = <uint32_t *>more
    a.room = s.capacity + 1
    return True


cdef bint python_change(
    sched_t *s, uint32_t event, uint32_t at, uint32_t dest
) noexcept nogil:
    cdef asked_t *a = <asked_t *>s.priv
    a.is_new_list = 1
    if event == DEST_ADDED:
        s.dests[dest].mark = 0
        if not python_room(s, a):
            return False
    return heap_follow(s, &a.heap, event, dest, RANK_WLC)


cdef void python_load(sched_t *s, uint32_t dest) noexcept nogil:
    cdef asked_t *a = <asked_t *>s.priv
    heap_update(s, &a.heap, dest, RANK_WLC)
    if not a.is_new_list and not s.dests[dest].mark:
        s.dests[dest].mark = 1
        a.changed[a.nchanged] = dest
        a.nchanged += 1


cdef void python_conn(sched_t *s, uint32_t dest, const flow_t *f, bint made) noexcept nogil:
    """Queue what happened to a connection; it is told before the next pick, at the latest."""
    cdef kind_t *kind = <kind_t *>(<sched_ops_t *>s.ops).kind
    cdef outside_t *o = outside_of(kind)
    cdef uint32_t waiting = o.told_head - lb_load_seq(&o.told_tail)
    cdef told_t *t
    if waiting == MAX_TOLD:
        kind.lost += 1
        return
    t = &o.told[o.told_head % MAX_TOLD]
    t.serial = (<asked_t *>s.priv).serial
    t.now_ns = engine_of(kind).workers[0].now_ns
    t.flow = f[0]
    row_fill(s, dest, &t.server)
    t.made = made
    lb_publish(&o.told_head, o.told_head + 1)
    if waiting == 0 and lb_load_seq(&o.served):
        eventfd_write(o.ask_fd, 1)


cdef int python_pick(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Return what the scheduler picks; what wlc would where it does not answer."""
    cdef asked_t *a = <asked_t *>s.priv
    cdef kind_t *kind = <kind_t *>(<sched_ops_t *>s.ops).kind
    cdef outside_t *o = outside_of(kind)
    cdef int dest = STAND_IN
    if s.ndest == 0:
        return NO_DEST
    if not a.rests or <int32_t>(a.rests_until - w.now) <= 0:
        a.rests = 0
        if not lb_load_seq(&o.busy) and ask_fill(o, s, p, w):
            dest = ask(kind, a, w)
    if dest == STAND_IN:
        kind.stood_in += 1
        return heap_first(&a.heap)
    kind.picked += 1
    return dest


# ---------------------------------------------------------------- a question

cdef void row_fill(sched_t *s, uint32_t dest, row_t *r) noexcept nogil:
    cdef const dest_t *d = &s.dests[dest]
    r.dest = dest
    r.active = d.activeconns
    r.inactive = d.inactconns
    r.weight = d.weight
    r.is_v6 = d.af == AF_INET6
    r.overloaded = (d.flags & DEST_OVERLOAD) != 0
    r.port = d.port
    r.addr = d.addr


cdef bint ask_fill(outside_t *o, sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil:
    """Write a question down; False when there is no memory."""
    cdef asked_t *a = <asked_t *>s.priv
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t n = s.ndest if a.is_new_list else a.nchanged
    cdef uint32_t i, dest
    cdef void *more
    if n > o.room:
        more = realloc(o.rows, (<size_t>n * 2) * sizeof(row_t))
        if more == NULL:
            return False
        o.rows = <row_t *>more
        o.room = n * 2
    for i in range(n):
        dest = s.list[i] if a.is_new_list else a.changed[i]
        s.dests[dest].mark = 0
        row_fill(s, dest, &o.rows[i])
    o.nrows = n
    o.is_list = a.is_new_list
    a.is_new_list = a.nchanged = 0
    o.serial_asked = a.serial
    o.now_ns = w.now_ns
    memset(&o.flow, 0, sizeof(flow_t))
    o.flow.caddr = p.saddr
    o.flow.vaddr = p.daddr
    o.flow.cport = p.sport
    o.flow.vport = p.dport
    o.flow.protocol = p.protocol
    o.flow.is_v6 = p.is_v6
    o.flow.fwmark = e.svcs[p.svc].fwmark
    return True


cdef int ask(kind_t *kind, asked_t *a, worker_t *w) noexcept nogil:
    """Have the question answered: by who serves, in time, or right here when nobody does."""
    cdef outside_t *o = outside_of(kind)
    if not lb_load_seq(&o.served):
        serve_here(o)
        return o.answer
    o.asked += 1
    lb_publish(&o.busy, 1)
    eventfd_write(o.ask_fd, 1)
    if wait_answer(o):
        return o.answer
    kind.late += 1
    a.rests = 1
    a.rests_until = w.now + REST_TICKS
    return STAND_IN


cdef bint wait_answer(outside_t *o) noexcept nogil:
    """Wait until the question is answered; False when that takes too long."""
    cdef pollfd f
    cdef uint64_t begin = monotonic_ns(), passed = 0, ignored
    while passed < LATE_MS:
        f.fd = o.answer_fd
        f.events = POLLIN
        f.revents = 0
        if poll(&f, 1, <int>(LATE_MS - passed)) > 0:
            eventfd_read(o.answer_fd, &ignored)
        if lb_load_seq(&o.answered) == o.asked:      # else: that of an earlier question, late
            return True
        passed = (monotonic_ns() - begin) // 1000000
    return False
