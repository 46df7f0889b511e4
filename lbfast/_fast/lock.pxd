"""The lock of the set-up path: what happens once a connection, never once a packet."""
from lbfast._fast.types cimport engine_t

cdef extern from *:
    """
    static inline void lb_spin_lock(int *l)
    {
        while (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
            while (__atomic_load_n(l, __ATOMIC_RELAXED))
                ;
    }
    static inline void lb_spin_unlock(int *l) { __atomic_store_n(l, 0, __ATOMIC_RELEASE); }
    """
    void lb_spin_lock(int *l) noexcept nogil
    void lb_spin_unlock(int *l) noexcept nogil


cdef inline void engine_lock(engine_t *e) noexcept nogil:
    """Enter the set-up path; free of cost with one worker.  Not recursive."""
    if e.nworkers > 1:
        lb_spin_lock(&e.lock)


cdef inline void engine_unlock(engine_t *e) noexcept nogil:
    if e.nworkers > 1:
        lb_spin_unlock(&e.lock)
