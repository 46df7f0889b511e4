"""A worker: rings in, data path, rings out, in a thread that holds no GIL."""
from posix.time cimport CLOCK_MONOTONIC, nanosleep

from lbfast._fast.pace cimport pace_next, pace_reset, pace_t

cdef extern from "sys/prctl.h" nogil:
    enum:
        PR_SET_TIMERSLACK
    int prctl(int option, ...)

cdef enum:
    TICK_MS = 50                 # how long a worker sleeps at most: timers are run in between


cdef inline uint64_t monotonic_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef void rings_flush(worker_t *w) noexcept nogil:
    """The sink of a worker: every out goes to the socket of its interface."""
    cdef rings_t *r = <rings_t *>w.sink
    cdef uint32_t i, k
    cdef out_t *o
    for i in range(w.nouts):
        o = &w.outs[i]
        for k in range(r.nrx):
            if r.rx[k].ifindex == o.ifindex:
                tx_in_order(r, k, o.kind)
                tx_push(&r.tx[k + o.kind * r.nrx], o.data, o.len, &o.vnet)
                break
        else:
            w.drops[R_NO_ROUTE] += 1
    w.nouts = 0
    for k in range(r.ntx):
        if r.tx[k].n:
            tx_flush(&r.tx[k])


cdef inline void tx_in_order(rings_t *r, uint32_t k, uint32_t kind) noexcept nogil:
    """Frames and tunnelled super-frames of an interface take two sockets: send what is queued for
    the other one first."""
    if kind == OUT_WRAP and r.tx[k].n:
        tx_flush(&r.tx[k])
    elif LB_UNLIKELY(kind == OUT_WIRE and r.tx[k + OUT_WRAP * r.nrx].n):
        tx_flush(&r.tx[k + OUT_WRAP * r.nrx])


cdef uint32_t worker_batch(engine_t *e, worker_t *w, rx_t *rx) noexcept nogil:
    """One batch of frames of one interface, from its ring to the sockets.  Returns how many."""
    cdef frame_t[BATCH] frames
    cdef uint32_t n = rx_batch(rx, frames)
    if n == 0:
        return 0
    rx.cut += frames_run(e, w, frames, n, rx.ifindex)
    w.flush(w)
    w.scratch_used = 0
    rx_release(rx)
    return n


cdef void worker_run(engine_t *e, worker_t *w, rings_t *r, int *stop) noexcept nogil:
    """Until *stop: walk the rings while there is something, sleep when there is nothing."""
    cdef pace_t pace
    cdef came_t came
    cdef uint32_t nap_us
    cdef uint64_t before = monotonic_ns(), now
    memset(&came, 0, sizeof(came_t))
    pace_begin(&pace, r.nap_max_us)
    w.sink = r
    w.flush = rings_flush
    e.wake_fds[w.index] = r.wake_fd
    while not lb_load_seq(<uint32_t *>stop):
        if worker_turn(e, w, r, &came):
            continue
        now = monotonic_ns()
        nap_us = pace_next(&pace, &came, (now - before) // 1000)
        before = now
        memset(&came, 0, sizeof(came_t))
        if nap_us:
            nap(nap_us)
        else:
            worker_wait(e, w, r)


cdef uint32_t worker_turn(
    engine_t *e, worker_t *w, rings_t *r, came_t *came
) noexcept nogil:
    """A batch of each interface and of what other workers handed over.  Returns the frames."""
    cdef uint32_t i, n, got = 0
    lb_batch_begin(&e.busy[w.index], &e.paused)
    batch_time(w, monotonic_ns())
    for i in range(r.nrx):
        if rx_ready(&r.rx[i]):
            n = worker_batch(e, w, &r.rx[i])
            got += n
            came_count(came, &r.rx[i], n)
    if e.nworkers > 1:
        got += handover_run(e, w, came)
    w.flush(w)
    w.scratch_used = 0
    if w.to_wake:
        handover_wake(e, w)
    lb_batch_end(&e.busy[w.index])
    return got


cdef inline void came_count(came_t *came, const rx_t *rx, uint32_t n) noexcept nogil:
    """Add the last batch of an interface, of n frames."""
    came.frames += n
    came.tcp += rx.tcp
    came.big += rx.fetched


cdef void worker_wait(engine_t *e, worker_t *w, rings_t *r) noexcept nogil:
    """Sleep until a frame comes, control or another worker wakes us, or a tick is over."""
    cdef pollfd[MAX_LINKS + 1] fds
    cdef uint32_t i
    for i in range(r.nrx):
        fds[i].fd = r.rx[i].fd
        fds[i].events = POLLIN
    fds[r.nrx].fd = r.wake_fd
    fds[r.nrx].events = POLLIN
    fds[r.nrx].revents = 0
    lb_publish(&e.sleeping[w.index], 1)
    if e.nworkers == 1 or not handover_waits(e, w.index):
        if poll(fds, r.nrx + 1, TICK_MS) <= 0:
            fds[r.nrx].revents = 0
    lb_publish(&e.sleeping[w.index], 0)
    if fds[r.nrx].revents:
        recv_wake(r.wake_fd)
    for i in range(r.nrx):
        if LB_UNLIKELY(fds[i].revents & POLLERR):
            socket_error_clear(r.rx[i].fd)


cdef void pace_begin(pace_t *pace, uint32_t nap_max_us) noexcept nogil:
    """Start pacing in this thread; its naps are to end on time, not in the default 50 us."""
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    pace_reset(pace, nap_max_us)


cdef void nap(uint32_t us) noexcept nogil:
    cdef timespec t
    t.tv_sec = 0
    t.tv_nsec = <long>us * 1000
    nanosleep(&t, NULL)


cdef void recv_wake(int fd) noexcept nogil:
    cdef uint64_t value
    eventfd_read(fd, &value)


cdef void reflect(rings_t *r, uint64_t until_ns) noexcept nogil:
    """The yardstick: the same rings and the same way to wait, nothing balanced; frames of either
    of two interfaces leave by the other as they are."""
    cdef pollfd[2] fds
    cdef pace_t pace
    cdef came_t came
    cdef uint32_t i, nap_us
    cdef uint64_t before = monotonic_ns(), now
    memset(&came, 0, sizeof(came_t))
    pace_begin(&pace, r.nap_max_us)
    for i in range(2):
        fds[i].fd = r.rx[i].fd
        fds[i].events = POLLIN
    while monotonic_ns() < until_ns:
        if reflect_turn(r, &came):
            continue
        now = monotonic_ns()
        nap_us = pace_next(&pace, &came, (now - before) // 1000)
        before = now
        memset(&came, 0, sizeof(came_t))
        if nap_us:
            nap(nap_us)
        else:
            poll(fds, 2, TICK_MS)


cdef uint32_t reflect_turn(rings_t *r, came_t *came) noexcept nogil:
    cdef frame_t[BATCH] frames
    cdef uint32_t i, k, n, got = 0
    for i in range(2):
        n = rx_batch(&r.rx[i], frames)
        if n == 0:
            continue
        for k in range(n):
            tx_push(&r.tx[1 - i], frames[k].data, frames[k].len, &frames[k].vnet)
        tx_flush(&r.tx[1 - i])
        came_count(came, &r.rx[i], n)
        rx_release(&r.rx[i])
        got += n
    return got
