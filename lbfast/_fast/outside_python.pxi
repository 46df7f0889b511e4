"""Schedulers that are not built in, the side that holds the GIL: registration and answers."""
import traceback as _traceback

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_IsValid
from cpython.ref cimport Py_DECREF, Py_INCREF

from lbfast.model.scheduling import Flow as _Flow
from lbfast.model.scheduling import Scheduler as _Scheduler
from lbfast.model.scheduling import Server as _Server

cdef const char *CAPSULE = b"lbfast.scheduler"


cdef object flow_value(const flow_t *f, uint64_t now_ns):
    return _Flow(
        f.protocol, addr_bytes(&f.caddr, f.is_v6), LB_SWAP16(f.cport),
        addr_bytes(&f.vaddr, f.is_v6), LB_SWAP16(f.vport), f.fwmark, now_ns,
    )


cdef object server_value(const row_t *r):
    return _Server(
        addr_bytes(&r.addr, r.is_v6), LB_SWAP16(r.port), r.weight, r.active, r.inactive,
        r.overloaded != 0,
    )


cdef object hook_of(object factory, object instance, str name):
    """Return the hook of that name if the class has one of its own, else None."""
    own = getattr(factory, name, None)
    if own is None or own is getattr(_Scheduler, name):
        return None
    return getattr(instance, name)


cdef class Host:
    """The scheduler in Python of one service, and the servers as it is shown them."""

    cdef kind_t *kind
    cdef dict texts
    cdef object pick, opened, closed, changed
    cdef list servers
    cdef tuple shown
    cdef dict positions           # destination -> position in the list
    cdef dict keys                # (addr, port) -> destination
    cdef bint is_made, is_new_list

    cdef bint ready(self, outside_t *o) noexcept:
        """Take over what changed, make the scheduler if this is its first question."""
        try:
            self.take(o)
            self.make()
            if self.is_new_list and self.changed is not None:
                self.changed(self.shown)
            self.is_new_list = False
        except BaseException as error:
            self.failed(error)
            return False
        return self.pick is not None

    cdef int make(self) except -1:
        if self.is_made:
            return 0
        self.is_made = True           # one that cannot be made is not tried again
        factory = <object>self.kind.factory
        instance = factory()
        self.pick = instance.pick
        self.opened = hook_of(factory, instance, "opened")
        self.closed = hook_of(factory, instance, "closed")
        self.changed = hook_of(factory, instance, "changed")
        return 0

    cdef int take(self, outside_t *o) except -1:
        """Bring the list of servers up to date."""
        cdef uint32_t i
        if o.is_list:
            self.servers = [server_value(&o.rows[i]) for i in range(o.nrows)]
            self.positions = {o.rows[i].dest: i for i in range(o.nrows)}
            self.keys = {(s.addr, s.port): o.rows[i].dest for i, s in enumerate(self.servers)}
            self.is_new_list = True
        else:
            for i in range(o.nrows):
                self.servers[self.positions[o.rows[i].dest]] = server_value(&o.rows[i])
        if o.nrows or o.is_list:
            self.shown = tuple(self.servers)
        return 0

    cdef int choose(self, outside_t *o) noexcept:
        """Return the destination that the scheduler picks, NO_DEST or STAND_IN."""
        cdef uint64_t begin = monotonic_ns(), took
        try:
            choice = self.pick(flow_value(&o.flow, o.now_ns), self.shown)
            took = (monotonic_ns() - begin) // 1000000
            if took >= LATE_MS:
                self.texts[(self.kind.name, "late")] = f"pick took {took} ms"
            return self.judge(choice)
        except BaseException as error:
            self.failed(error)
            return STAND_IN

    cdef int judge(self, object choice) except? -3:
        """Return the destination that was meant; STAND_IN if it was none that may be picked."""
        if choice is None:
            return NO_DEST
        if not isinstance(choice, _Server):
            return self.wrong(f"pick returned {choice!r:.80}, expected one of the servers or None")
        dest = self.keys.get((choice.addr, choice.port))
        if dest is None:
            return self.wrong(f"pick returned {choice}, which is not among the servers")
        if not self.servers[self.positions[dest]].usable:
            return self.wrong(f"pick returned {choice}, which is quiesced or overloaded")
        return dest

    cdef int wrong(self, str text) except? -3:
        self.kind.wrong += 1
        self.texts[(self.kind.name, "wrong")] = text
        return STAND_IN

    cdef void hear(self, const told_t *t) noexcept:
        """Be told that a connection was made, or ended."""
        try:
            self.make()
            hook = self.opened if t.made else self.closed
            if hook is not None:
                hook(flow_value(&t.flow, t.now_ns), server_value(&t.server))
        except BaseException as error:
            self.failed(error)

    cdef void failed(self, object error) noexcept:
        """Count an exception and keep its last line and place."""
        self.kind.raised += 1
        try:
            line = _traceback.format_exception_only(error).pop().strip()
            frames = list(_traceback.extract_tb(error.__traceback__))
            last = frames.pop() if frames else None
            where = f" ({last.filename}:{last.lineno})" if last else ""
            self.texts[(self.kind.name, "raised")] = f"{line:.200}{where}"
        except BaseException:
            self.texts[(self.kind.name, "raised")] = type(error).__name__


cdef uint64_t host_make(sched_t *s) noexcept with gil:
    """Make the host of a service's scheduler; return its number, 0 when there is no memory."""
    cdef kind_t *kind = <kind_t *>(<sched_ops_t *>s.ops).kind
    cdef outside_t *o = outside_of(kind)
    cdef Host host
    try:
        host = Host()
        host.kind = kind
        host.texts = <dict>o.texts
        host.servers, host.shown, host.positions, host.keys = [], (), {}, {}
        o.serial += 1
        (<dict>o.hosts)[o.serial] = host
    except MemoryError:
        return 0
    return o.serial


cdef void host_forget(sched_t *s, uint64_t serial) noexcept with gil:
    (<dict>outside_of(<kind_t *>(<sched_ops_t *>s.ops).kind).hosts).pop(serial, None)


# ---------------------------------------------------------------- answering

cdef void serve_question(outside_t *o) noexcept:
    """Answer the question: what happened to connections is told first."""
    cdef Host host = (<dict>o.hosts).get(o.serial_asked)
    cdef bint is_ready = host is not None and host.ready(o)
    serve_told(o)
    o.answer = host.choose(o) if is_ready else STAND_IN


cdef void serve_told(outside_t *o) noexcept:
    """Tell the schedulers what happened to connections."""
    cdef told_t t
    cdef Host host
    while o.told_tail != lb_load_seq(&o.told_head):
        t = o.told[o.told_tail % MAX_TOLD]
        lb_publish(&o.told_tail, o.told_tail + 1)
        host = (<dict>o.hosts).get(t.serial)
        if host is not None:
            host.hear(&t)


cdef void serve_here(outside_t *o) noexcept with gil:
    serve_question(o)


cdef void serve(outside_t *o) noexcept:
    """Answer questions until told to stop; the GIL is given away while there is none."""
    cdef uint64_t ignored
    cdef uint32_t number
    lb_publish(&o.served, 1)
    while not lb_load_seq(&o.stop):
        with nogil:
            eventfd_read(o.ask_fd, &ignored)
        if lb_load_seq(&o.busy):
            number = o.asked
            serve_question(o)
            lb_publish(&o.answered, number)
            lb_publish(&o.busy, 0)
            eventfd_write(o.answer_fd, 1)
        serve_told(o)
    lb_publish(&o.served, 0)
    lb_publish(&o.stop, 0)


# ---------------------------------------------------------------- registering

cdef outside_t *outside_get(engine_t *e) except NULL:
    """Return the table of outside schedulers, made if need be."""
    cdef outside_t *o = <outside_t *>e.outside
    if o != NULL:
        return o
    o = <outside_t *>calloc(1, sizeof(outside_t))
    if o == NULL:
        raise MemoryError
    o.ask_fd = eventfd(0, EFD_CLOEXEC)
    o.answer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    o.told = <told_t *>malloc(MAX_TOLD * sizeof(told_t))
    hosts, texts = {}, {}
    Py_INCREF(hosts)
    Py_INCREF(texts)
    o.hosts, o.texts = <void *>hosts, <void *>texts
    e.outside = o
    if o.ask_fd < 0 or o.answer_fd < 0 or o.told == NULL:
        outside_free(e)
        raise MemoryError("no memory or descriptors for schedulers")
    return o


cdef void outside_free(engine_t *e) noexcept with gil:
    """Release everything; the services' schedulers were stopped."""
    cdef outside_t *o = <outside_t *>e.outside
    cdef uint32_t i
    if o == NULL:
        return
    for i in range(o.n):
        if o.kinds[i].factory != NULL:
            Py_DECREF(<object>o.kinds[i].factory)
        if o.kinds[i].capsule != NULL:
            Py_DECREF(<object>o.kinds[i].capsule)
    Py_DECREF(<object>o.hosts)
    Py_DECREF(<object>o.texts)
    if o.ask_fd >= 0:
        close(o.ask_fd)
    if o.answer_fd >= 0:
        close(o.answer_fd)
    free(o.rows)
    free(o.told)
    free(o)
    e.outside = NULL


cdef kind_t *kind_new(engine_t *e, const char *name) except NULL:
    """Check a name and prepare the next row of the table, which does not count yet."""
    cdef outside_t *o = outside_get(e)
    cdef kind_t *kind
    if name == NULL or not name_sane(name) or strcmp(name, b"none") == 0:
        raise ValueError(
            f"scheduler name {'' if name == NULL else name!r}: expected 1 to 15 printable "
            "characters without a space, not none"
        )
    if sched_find(e, name) != NULL:
        raise ValueError(f"scheduler {name.decode()!r} is there already")
    if o.n == MAX_OUTSIDE:
        raise ValueError(f"more than {MAX_OUTSIDE} schedulers")
    kind = &o.kinds[o.n]
    memset(kind, 0, sizeof(kind_t))
    strcpy(kind.name, name)
    kind.engine = e
    return kind


cdef void kind_enter(engine_t *e, const kind_t *kind, const sched_ops_t *ops) noexcept:
    """Let a scheduler be found; services that waited for it get it."""
    cdef outside_t *o = <outside_t *>e.outside
    cdef uint32_t i
    o.ops[o.n] = ops[0]
    o.ops[o.n].name = kind.name
    o.ops[o.n].kind = <void *>kind
    o.n += 1
    edit_begin(e)
    for i in range(e.max_svcs):
        if e.svcs[i].used and strcmp(e.svcs[i].sched_name, kind.name) == 0:
            sched_bind(e, i, kind.name)
    edit_end(e)


cdef object python_register(engine_t *e, bytes name, object factory):
    cdef sched_ops_t ops = sched_ops_t(
        NULL, python_start, python_stop, python_change, python_pick, python_load, NULL, NULL
    )
    cdef kind_t *kind
    if not callable(factory) or isinstance(factory, type) and not hasattr(factory, "pick"):
        raise TypeError(f"{factory!r} is no scheduler, expected a class with a method pick")
    kind = kind_new(e, name)
    if hook_wanted(factory, "opened") or hook_wanted(factory, "closed"):
        ops.conn = python_conn
    Py_INCREF(factory)
    kind.factory = <void *>factory
    kind_enter(e, kind, &ops)


cdef bint hook_wanted(object factory, str name):
    own = getattr(factory, name, None)
    return own is not None and own is not getattr(_Scheduler, name)


cdef str capsule_fault(const sched_capsule_t *c):
    """Say why a capsule does not fit this lbfast; "" when it does."""
    if c.abi != SCHED_ABI:
        return f"made for ABI {c.abi}, expected {SCHED_ABI}"
    for what, found, expected in (
        ("sched_capsule_t", c.size, sizeof(sched_capsule_t)),
        ("dest_t", c.dest_size, sizeof(dest_t)), ("sched_t", c.sched_size, sizeof(sched_t)),
        ("pkt_t", c.pkt_size, sizeof(pkt_t)),
        ("worker_t", c.worker_size, sizeof(worker_t)),
    ):
        if found != expected:
            return f"made for a {what} of {found} bytes, expected {expected}"
    if c.layout != sched_layout():
        return "made for records of another layout"
    if c.ops.start == NULL or c.ops.stop == NULL or c.ops.change == NULL or c.ops.pick == NULL:
        return "without one of the hooks start, stop, change and pick"
    return ""


cdef bytes capsule_register(engine_t *e, object capsule):
    """Check a compiled scheduler and register it; return its name."""
    cdef const sched_capsule_t *c
    cdef kind_t *kind
    if not PyCapsule_IsValid(capsule, CAPSULE):
        if type(capsule).__name__ != "PyCapsule":
            raise TypeError(f"{capsule!r} is no scheduler, expected a capsule")
        found = PyCapsule_GetName(capsule)
        raise ValueError(
            f"capsule {b'' if found == NULL else <bytes>found!r}, expected {<bytes>CAPSULE!r}"
        )
    c = <const sched_capsule_t *>PyCapsule_GetPointer(capsule, CAPSULE)
    fault = capsule_fault(c)
    if fault:
        raise ValueError(f"scheduler capsule {fault}: compile it with the headers of this lbfast")
    kind = kind_new(e, c.ops.name)
    Py_INCREF(capsule)
    kind.capsule = <void *>capsule
    kind_enter(e, kind, &c.ops)
    return kind.name


# ---------------------------------------------------------------- what an operator sees

cdef dict kinds_dict(engine_t *e):
    """{name: (is compiled, {event: how often}, {event: what happened last})}."""
    cdef outside_t *o = <outside_t *>e.outside
    cdef kind_t *k
    cdef uint32_t i
    rows = {}
    for i in range(o.n if o != NULL else 0):
        k = &o.kinds[i]
        counts = {
            "picked": k.picked, "stood-in": k.stood_in, "raised": k.raised, "wrong": k.wrong,
            "late": k.late, "lost": k.lost,
        }
        texts = {what: text for (name, what), text in (<dict>o.texts).items() if name == k.name}
        rows[<bytes>k.name] = (k.capsule != NULL, counts, texts)
    return rows


cdef list kinds_missing(engine_t *e):
    """Return the names of schedulers that services have and nobody registered."""
    cdef uint32_t i
    names = []
    for i in range(e.max_svcs):
        if (
            e.svcs[i].used and strcmp(e.svcs[i].sched_name, b"none") != 0
            and sched_find(e, e.svcs[i].sched_name) == NULL
        ):
            names.append(<bytes>e.svcs[i].sched_name)
    return names
