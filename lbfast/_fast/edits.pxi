"""Edits of control between the batches of the workers: a flag that keeps these out."""

cdef extern from *:
    """
    #include <sched.h>
    /* A worker announces itself and then looks whether control wants the tables; control does the
       opposite: sequential consistency makes one of them see the other. */
    static inline void lb_batch_begin(int *busy, int *paused)
    {
        for (;;) {
            __atomic_store_n(busy, 1, __ATOMIC_SEQ_CST);
            if (__builtin_expect(!__atomic_load_n(paused, __ATOMIC_SEQ_CST), 1))
                return;
            __atomic_store_n(busy, 0, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(paused, __ATOMIC_ACQUIRE))
                sched_yield();
        }
    }
    static inline void lb_batch_end(int *busy) { __atomic_store_n(busy, 0, __ATOMIC_RELEASE); }
    static inline void lb_pause(int *paused) { __atomic_store_n(paused, 1, __ATOMIC_SEQ_CST); }
    static inline void lb_wait_idle(int *busy)
    {
        while (__atomic_load_n(busy, __ATOMIC_SEQ_CST))
            sched_yield();
    }
    static inline void lb_resume(int *paused) { __atomic_store_n(paused, 0, __ATOMIC_RELEASE); }
    """
    void lb_batch_begin(int *busy, int *paused) noexcept nogil
    void lb_batch_end(int *busy) noexcept nogil
    void lb_pause(int *paused) noexcept nogil
    void lb_wait_idle(int *busy) noexcept nogil
    void lb_resume(int *paused) noexcept nogil


cdef void pause_begin(engine_t *e) noexcept:
    """Wait until no worker is inside a batch and keep them out, until edit_end.  The GIL is given
    away meanwhile: a worker may wait for a scheduler in Python."""
    cdef uint32_t i
    with nogil:
        lb_pause(&e.paused)
        for i in range(e.nworkers):
            lb_wait_idle(&e.busy[i])


cdef void edit_begin(engine_t *e) noexcept:
    """The same, for an edit after which packets may go another way: what was found out about
    connections (flow.pxi) is found out anew."""
    pause_begin(e)
    e.generation += GENERATION
    if e.generation == 0:             # once around: what is older than that must not look new
        memset(e.flows, 0, <size_t>e.max_conns * sizeof(known_t))
        e.generation = GENERATION


cdef void edit_end(engine_t *e) noexcept nogil:
    lb_resume(&e.paused)
