# cython: language_level=3
"""The data path: one extension, its parts in `_fast/`."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memmove, memset, strcmp, strcpy, strncpy
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE,
    PROT_READ, PROT_WRITE, mmap, munmap,
)
from posix.unistd cimport close
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from lbfast._fast.addr cimport *
from lbfast._fast.conn cimport *
from lbfast._fast.csum cimport *
from lbfast._fast.ftptext cimport *
from lbfast._fast.lock cimport *
from lbfast._fast.map cimport *
from lbfast._fast.parse cimport *
from lbfast._fast.ring cimport *
from lbfast._fast.sched cimport *
from lbfast._fast.sched_cache cimport cache_change, cache_load, cache_start, cache_stop
from lbfast._fast.sched_dh cimport dh_change, dh_pick, dh_start, dh_stop
from lbfast._fast.sched_fo cimport fo_change, fo_load, fo_pick, fo_start
from lbfast._fast.sched_heap cimport (
    RANK_WLC, heap_fill, heap_first, heap_follow, heap_stop, heap_t, heap_update,
)
from lbfast._fast.sched_lblc cimport lblc_pick
from lbfast._fast.sched_lblcr cimport lblcr_pick
from lbfast._fast.sched_lc cimport lc_change, lc_load, lc_pick, lc_start
from lbfast._fast.sched_mh cimport mh_change, mh_pick, mh_start, mh_stop
from lbfast._fast.sched_nq cimport nq_change, nq_load, nq_pick, nq_start
from lbfast._fast.sched_ovf cimport ovf_change, ovf_load, ovf_pick, ovf_start
from lbfast._fast.sched_rr cimport rr_change, rr_load, rr_pick, rr_start, rr_stop
from lbfast._fast.sched_sed cimport sed_change, sed_load, sed_pick, sed_start
from lbfast._fast.sched_sh cimport sh_change, sh_pick, sh_start, sh_stop
from lbfast._fast.sched_twos cimport twos_change, twos_load, twos_pick, twos_start, twos_stop
from lbfast._fast.sched_wlc cimport wlc_change, wlc_load, wlc_pick, wlc_start
from lbfast._fast.sched_wrr cimport wrr_change, wrr_load, wrr_pick, wrr_start, wrr_stop
from lbfast._fast.sctpstate cimport *
from lbfast._fast.service cimport *
from lbfast._fast.siptext cimport *
from lbfast._fast.tcpstate cimport *
from lbfast._fast.types cimport *
from lbfast._fast.wire cimport *
from lbfast._fast.world cimport *

cdef extern from "sys/eventfd.h" nogil:
    int eventfd_write(int fd, uint64_t value)
    int eventfd_read(int fd, uint64_t *value)
    int eventfd(unsigned int initial, int flags)
    enum:
        EFD_NONBLOCK
        EFD_CLOEXEC

cdef extern from "sys/socket.h" nogil:
    enum:
        AF_INET
        AF_INET6

cdef extern from "errno.h" nogil:
    enum:
        EAFNOSUPPORT

include "_fast/memory.pxi"
include "_fast/map.pxi"
include "_fast/arena.pxi"
include "_fast/edits.pxi"
include "_fast/sane.pxi"
include "_fast/world.pxi"
include "_fast/registry.pxi"
include "_fast/estimate.pxi"
include "_fast/service.pxi"
include "_fast/dest.pxi"
include "_fast/conn.pxi"
include "_fast/chain.pxi"
include "_fast/outside.pxi"
include "_fast/outside_python.pxi"
include "_fast/persist.pxi"
include "_fast/localaddr.pxi"
include "_fast/emit.pxi"
include "_fast/fragpool.pxi"
include "_fast/frag.pxi"
include "_fast/fragout.pxi"
include "_fast/segment.pxi"
include "_fast/nat.pxi"
include "_fast/expect.pxi"
include "_fast/pe_sip.pxi"
include "_fast/seqadj.pxi"
include "_fast/ftp.pxi"
include "_fast/toa.pxi"
include "_fast/icmperr.pxi"
include "_fast/options.pxi"
include "_fast/xmit.pxi"
include "_fast/icmp.pxi"
include "_fast/fullnat.pxi"
include "_fast/mark.pxi"
include "_fast/sctp.pxi"
include "_fast/defence.pxi"
include "_fast/steer.pxi"
include "_fast/schedule.pxi"
include "_fast/handover.pxi"
include "_fast/flowlearn.pxi"
include "_fast/pipeline.pxi"
include "_fast/flowfull.pxi"
include "_fast/flow.pxi"
include "_fast/batch.pxi"
include "_fast/face.pxi"
include "_fast/ring.pxi"
include "_fast/worker.pxi"
include "_fast/engine_region.pxi"
include "_fast/engine_world.pxi"
include "_fast/engine_services.pxi"
include "_fast/engine_schedulers.pxi"
include "_fast/engine_state.pxi"
include "_fast/engine.pxi"
include "_fast/listing.pxi"
include "_fast/reader.pxi"
include "_fast/bench.pxi"
include "_fast/drive.pxi"
include "_fast/benchlookup.pxi"
