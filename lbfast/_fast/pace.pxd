"""How to wait for the next frame: until one comes, or by the clock while frames keep coming.

A sleep that a frame ends costs some 8 us of CPU time, three to six times what forwarding a frame
costs, so under load it pays to sleep a while and find many.  A lone packet must not wait for the
clock, nor must senders who wait for answers (a closed loop): sleeping longer would only slow them
down.  What tells an open loop from a closed one is the rate: if frames come as fast with the
longer sleep as with the shorter, nobody is waiting for us.  That finds the loss of a quarter of
the rate and not less, so TCP, whose senders always wait, gets short naps or none.  Figures:
docs/rings.md.
"""
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    NAP_MIN_US = 225            # the first trial
    NAP_MAX_US = 900            # under a millisecond, whatever the load
    NAP_TCP_US = 100            # the longest when more than an eighth of the frames are TCP
    NAP_FEW = 3                 # fewer frames are not worth a nap
    NAP_WORTH = 32              # with so many each time a frame ends a sleep, naps save little
    NAP_MANY = 768              # with so many, naps become shorter: a ring is finite
    MAJORITY = 5                # of up to nine naps: a disturbed one decides nothing
    RECHECK_NAPS = 64           # after so many, see whether half as long brings more
    TRIAL_AGAIN = 8             # sleeps ended by a frame until naps are tried, after a pause,
    TRIAL_MIN = 32              # at first,
    TRIAL_MAX = 16384           # and after many trials in vain

ctypedef struct came_t:         # frames since the last sleep began
    uint32_t frames
    uint32_t tcp                # of these
    uint32_t big                # super-frames, whose senders wait for acknowledgements

ctypedef struct pace_t:
    uint32_t max_us             # NAP_MAX_US or less; 0 = never sleep by the clock
    uint32_t limit_us           # the same for what comes at present
    uint32_t nap_us             # 0 = wait for a frame
    uint32_t sleeps             # since the way to wait was last changed: how many,
    uint64_t frames             # what they brought,
    uint64_t us                 # and how long it took
    uint32_t yes                # naps that brought frames as fast as the shorter sleep did,
    uint32_t no                 # and those that did not
    uint64_t rate               # frames a second with the shorter sleep (recheck: longer)
    uint32_t resume_us          # the naps that a pause of the senders ended, 0 = none
    bint recheck                # this nap is of half the length
    uint32_t trial              # backs off while trials are in vain
    uint32_t until_trial        # sleeps ended by a frame until the next one


cdef inline void pace_count(pace_t *p) noexcept nogil:
    """Begin to count anew."""
    p.sleeps = p.yes = p.no = 0
    p.frames = p.us = 0


cdef inline void pace_reset(pace_t *p, uint32_t max_us) noexcept nogil:
    p.max_us = max_us if max_us < NAP_MAX_US else NAP_MAX_US
    p.limit_us = p.max_us
    p.nap_us = p.resume_us = 0
    p.rate = 0
    p.recheck = False
    p.trial = p.until_trial = TRIAL_MIN
    pace_count(p)


cdef inline uint32_t pace_awake(pace_t *p, uint32_t until_trial) noexcept nogil:
    """Wait for frames, until so many sleeps were ended by one."""
    p.nap_us = p.resume_us = 0
    p.recheck = False
    p.until_trial = until_trial
    pace_count(p)
    return 0


cdef inline uint32_t pace_pause(pace_t *p) noexcept nogil:
    """The senders paused: wait for frames, then nap as before.  They may have been kept from
    their core, so what comes first, all that is late, tells no rate."""
    cdef uint32_t nap_us = p.nap_us
    pace_awake(p, TRIAL_AGAIN)
    p.resume_us = nap_us
    return 0


cdef inline uint32_t pace_vain(pace_t *p) noexcept nogil:
    """Naps do not pay: wait for frames, and for longer until the next trial."""
    if p.trial < TRIAL_MAX:
        p.trial *= 2
    return pace_awake(p, p.trial)


cdef inline uint32_t pace_nap(pace_t *p, uint32_t nap_us) noexcept nogil:
    p.nap_us = nap_us if nap_us < p.limit_us else p.limit_us
    pace_count(p)
    return p.nap_us


cdef inline uint64_t pace_rate(const pace_t *p) noexcept nogil:
    return p.frames * 1000000 // (p.us + 1)


cdef inline uint32_t pace_next(
    pace_t *p, const came_t *came, uint64_t us
) noexcept nogil:
    """Return for how many microseconds to sleep now; 0 = until a frame comes.

    came: frames since the last sleep began, us: how long ago that was.
    """
    if came.big or p.max_us == 0:
        return pace_awake(p, p.trial)
    p.limit_us = p.max_us
    if came.tcp * 8 > came.frames and p.max_us > NAP_TCP_US:
        p.limit_us = NAP_TCP_US
    p.sleeps += 1
    p.frames += came.frames
    p.us += us
    if p.nap_us > p.limit_us:
        return pace_nap(p, p.limit_us)
    if p.nap_us:
        return pace_napped(p, came.frames, us)
    if came.frames == 0:
        pace_count(p)
        return 0
    if p.sleeps < p.until_trial:
        return 0
    return pace_trial(p)


cdef inline uint32_t pace_trial(pace_t *p) noexcept nogil:
    """So many sleeps were ended by a frame: nap, unless they were too far apart, or frames came in
    bursts, each of which takes one sleep as it is."""
    if p.frames * NAP_MIN_US < p.us * NAP_FEW or p.frames >= <uint64_t>p.sleeps * NAP_WORTH:
        pace_count(p)
        return 0
    if p.resume_us:
        return pace_nap(p, p.resume_us)
    p.rate = pace_rate(p)
    return pace_nap(p, NAP_MIN_US)


cdef inline void pace_vote(pace_t *p, bint as_fast) noexcept nogil:
    """Count a nap for or against the present length."""
    if as_fast:
        p.yes += 1
    else:
        p.no += 1


cdef inline uint32_t pace_napped(pace_t *p, uint32_t frames, uint64_t us) noexcept nogil:
    """A nap is over: another one, longer or shorter, or none."""
    cdef uint64_t rate = <uint64_t>frames * 1000000 // (us + 1)
    if frames == 0 or frames < NAP_FEW and not p.resume_us:
        return pace_pause(p)
    if frames < NAP_FEW:
        return pace_vain(p)
    if frames > NAP_MANY:
        return pace_nap(p, (p.nap_us + 1) // 2)
    if p.recheck:
        return pace_rechecked(p, rate * 3 <= p.rate * 4)
    pace_vote(p, rate * 4 >= p.rate * 3)
    if p.no == MAJORITY:
        return pace_vain(p)
    if p.yes < MAJORITY:
        return p.nap_us
    if p.nap_us < p.limit_us and p.frames < <uint64_t>p.sleeps * (NAP_MANY // 4):
        return pace_nap(p, p.nap_us * 2)
    p.trial = TRIAL_MIN
    p.no = p.resume_us = 0
    if p.yes < RECHECK_NAPS:
        return p.nap_us
    p.rate = pace_rate(p)
    p.recheck = True
    return pace_nap(p, p.nap_us // 2)


cdef inline uint32_t pace_rechecked(pace_t *p, bint as_fast) noexcept nogil:
    """A nap of half the length is over: if most bring frames faster, senders wait for us."""
    pace_vote(p, as_fast)
    if p.no == MAJORITY:
        return pace_vain(p)
    if p.yes < MAJORITY:
        return p.nap_us
    p.recheck = False
    return pace_nap(p, p.nap_us * 2)
