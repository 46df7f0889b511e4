"""Several workers without rings: for tests of what they share, truly at the same time."""

cdef extern from *:
    """
    static inline void lb_meet(unsigned *arrived, unsigned meet)
    {
        __atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < meet)
            ;
    }
    """
    void lb_meet(uint32_t *arrived, uint32_t meet) noexcept nogil


def drive(
    Engine engine, uint32_t index, list frames, uint32_t rounds, uint64_t now_ns,
    uint64_t step_ns=0, uint32_t meet=0,
):
    """Be worker `index` for `rounds` passes over the frames, without the GIL and without rings:
    with others in threads of their own, several workers at work at the same time.

    frames: as `bench` takes them; without any, what others handed over is settled, a batch from
    each in a pass.  The clock goes on by `step_ns` at each batch.  meet: begin when so many calls
    that meet have got ready, counted from the engine's birth.
    """
    cdef uint32_t n = len(frames), ifindex = frames[0][0] if frames else 0
    cdef uint8_t *memory
    cdef frame_t *ready
    cdef worker_t *w
    if index >= engine.e.nworkers:
        raise ValueError(f"no worker {index}")
    memory = <uint8_t *>malloc(<size_t>(n + 1) * BENCH_ROOM)
    ready = <frame_t *>calloc(n + 1, sizeof(frame_t))
    try:
        if memory == NULL or ready == NULL:
            raise MemoryError
        bench_prepare(frames, memory, ready, n)
        w = &engine.e.workers[index]
        with nogil:
            if meet:
                lb_meet(&engine.arrived, meet)
            while rounds:
                drive_pass(&engine.e, w, ready, n, ifindex, &now_ns, step_ns)
                rounds -= 1
    finally:
        free(memory)
        free(ready)


cdef void drive_pass(
    engine_t *e, worker_t *w, const frame_t *ready, uint32_t n, uint32_t ifindex,
    uint64_t *now_ns, uint64_t step_ns,
) noexcept nogil:
    cdef uint8_t[BATCH][BENCH_ROOM] copies       # a frame is rewritten where it lies
    cdef frame_t[BATCH] batch
    cdef came_t came
    cdef uint32_t at = 0, k, many = 1
    memset(&came, 0, sizeof(came_t))
    w.flush = bench_sink
    while many:
        many = n - at if n - at < BATCH else BATCH
        for k in range(many):
            batch[k] = ready[at + k]
            batch[k].data = copies[k] + HEADROOM
            memcpy(batch[k].data, ready[at + k].data, ready[at + k].len)
        lb_batch_begin(&e.busy[w.index], &e.paused)
        batch_time(w, now_ns[0])
        frames_run(e, w, batch, many, ifindex)
        if e.nworkers > 1:
            handover_run(e, w, &came)
        w.flush(w)
        w.scratch_used = w.to_wake = 0
        lb_batch_end(&e.busy[w.index])
        now_ns[0] += step_ns
        at += many
